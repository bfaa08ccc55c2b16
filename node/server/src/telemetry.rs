//! The log: JSON lines or text on standard error, with a level that a reload can change.

use crate::Exit;
use eport_model::codes;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Handle on the running log.
#[derive(Clone)]
pub struct Telemetry {
    recent: eport_http::RecentLog,
    filter: reload::Handle<EnvFilter, Registry>,
}

fn filter(level: &str) -> Result<EnvFilter, Exit> {
    EnvFilter::try_new(level)
        .map_err(|e| Exit { code: codes::CONFIG_INVALID, detail: format!("log.level: {level:?}: {e}") })
}

/// Starts the log. Called once in the life of the process.
pub fn start(level: &str, json: bool) -> Result<Telemetry, Exit> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let recent = eport_http::RecentLog::default();
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(recent.writer())).try_init()
    } else {
        registry.with(fmt::layer().with_writer(recent.writer())).try_init()
    };
    started.map_err(|e| Exit { code: codes::CONFIG_INVALID, detail: format!("log: {e}") })?;
    Ok(Telemetry { recent, filter: handle })
}

impl Telemetry {
    /// The newest lines of the log.
    pub fn recent(&self) -> eport_http::RecentLog {
        self.recent.clone()
    }

    /// Changes the level.
    pub fn set_level(&self, level: &str) -> Result<(), Exit> {
        let fresh = filter(level)?;
        self.filter
            .reload(fresh)
            .map_err(|e| Exit { code: codes::CONFIG_INVALID, detail: format!("log.level: {e}") })
    }
}

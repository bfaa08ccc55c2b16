//! The log: JSON lines or text on standard error, with a level that a reload can change.

use crate::Exit;
use eport_model::codes;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Handle on the running log.
#[derive(Clone)]
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

fn filter(level: &str) -> Result<EnvFilter, Exit> {
    EnvFilter::try_new(level)
        .map_err(|e| Exit { code: codes::CONFIG_INVALID, detail: format!("log.level: {level:?}: {e}") })
}

/// Starts the log. Called once in the life of the process.
pub fn start(level: &str, json: bool) -> Result<Telemetry, Exit> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_writer(std::io::stderr)).try_init()
    };
    started.map_err(|e| Exit { code: codes::CONFIG_INVALID, detail: format!("log: {e}") })?;
    Ok(Telemetry { filter: handle })
}

impl Telemetry {
    /// Changes the level.
    pub fn set_level(&self, level: &str) -> Result<(), Exit> {
        let fresh = filter(level)?;
        self.filter
            .reload(fresh)
            .map_err(|e| Exit { code: codes::CONFIG_INVALID, detail: format!("log.level: {e}") })
    }
}

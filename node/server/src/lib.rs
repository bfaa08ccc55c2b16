//! The daemon eportd: configuration, roles, start and stop order, telemetry.
//!
//! Start: configuration, log, data directory, keys, storage, connections, registry, platforms, API; ready last.
//! Stop: not ready, API drains, platforms end, registry ends, connections close, data directory is released.
#![forbid(unsafe_code)]
// A shell: it reads the clock when it starts.
#![allow(clippy::disallowed_methods)]

mod archive;
mod backups;
pub mod config;
mod custody;
mod example;
mod founding;
pub mod genesis;
mod keeper;
mod node;
mod release;
mod renewal;
mod revoked;
mod service;
mod slots;
pub mod telemetry;
mod trust;

use eport_model::{Code, Coded};

pub use example::EXAMPLE;
pub use node::run;

/// Why the daemon ends before it was told to.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The code; it decides the exit status.
    pub code: Code,
    /// This case.
    pub detail: String,
}

impl Exit {
    /// From anything with a code, with the causes below it.
    pub fn of<E: Coded + std::error::Error>(error: &E) -> Self {
        Self { code: error.code(), detail: with_causes(error) }
    }

    /// From an error below the error codes; it knows its number only.
    pub(crate) fn of_tls(error: &eport_tls::Error) -> Self {
        Self { code: Code(error.code()), detail: with_causes(error) }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        detail.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    detail
}

impl<E: Coded + std::error::Error> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

//! The daemon eportd: configuration, roles, start and stop order, telemetry.
#![forbid(unsafe_code)]

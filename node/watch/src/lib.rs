//! What is watched of a node and of its federation, as data: every metric with type, unit, labels and meaning in two languages.
//!
//! Always holds: what `/metrics` says of a metric, the reference page and the dashboard come from the one catalogue here; a name is
//! unique, begins with `eport_`, and ends as its unit demands. No I/O, no clock.
#![forbid(unsafe_code)]

pub mod availability;
mod catalogue;
pub mod dashboard;
pub mod reference;
mod unit;

pub use catalogue::{METRICS, metric};
pub use unit::{Kind, Metric, Unit};

//! Clearance timeliness (口岸通关时效): from events on a consignment's way to figures that are published (timeliness.md).
//!
//! What always holds: durations are whole seconds, figures are rounded once, at the end, from exact whole numbers, half away from
//! zero; nothing that is missing is made up; figures of parts are put together from their durations, never from their figures;
//! nothing counts of record time but lateness. A core: no I/O, no clock.
#![forbid(unsafe_code)]

mod calendar;
mod compare;
mod consistency;
mod duration;
mod figure;
mod gather;
mod quality;
mod query;
mod statistics;
mod store;
mod suppression;

pub use calendar::{Calendar, Window};
pub use compare::{BasePolicy, Ranked, change, compression, rank, share};
pub use consistency::{Finding, Printed, check_change, check_total};
pub use duration::{DURATIONS, Definition, Direction, Flag, Measured, measure};
pub use figure::{Figure, round_half_away};
pub use gather::{Event, Sample, gather};
pub use quality::{Counts, Quality, quality};
pub use query::{By, Cell, Cells, Query, QueryError};
pub use statistics::{Durations, Statistics};
pub use store::{
    Consignment, DIMENSIONS, EVENTS_OF_KEY_MAX, Fact, Mark, NONE, Row, SourceCounts, Store, document_key,
    month,
};
pub use suppression::hidden;

//! The demonstration: the whole story on this machine, its judgement and its report.

pub mod reconcile;
pub mod report;
pub mod story;

//! The demonstration: the whole story on this machine, its judgement and its report.

pub mod report;
pub mod story;

pub use eport_drill::reconcile;

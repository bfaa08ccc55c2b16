//! Backups that a node makes by schedule (decision 0027): the section of the configuration, the task, the work itself.
//!
//! What is due, late and superfluous is decided by the core `eport-retention`; what a backup is, by `eport-backup`.

mod job;
mod section;
mod service;

pub use section::BackupSection;
pub(crate) use service::Backups;

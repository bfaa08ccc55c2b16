//! Scheduled backups as decisions: when one is due, when the newest is tested, what is late, which old ones may go.
//!
//! Instants come from the caller; files, clocks and tasks belong to the shell that performs what is decided here. The civil day
//! and week are those of Asia/Shanghai, which has had one offset since 1991.
//!
//! What always holds: retention never names the newest backup, the newest one that passed a restore test, or anything that
//! restoring a kept one needs; nothing is removed while the last restore test found a backup bad; a clock that was set back makes a
//! backup due, never late for years.
#![forbid(unsafe_code)]

mod diary;
mod keep;
mod schedule;

pub use diary::{Diary, Failure, Made, Plan, Step, Tested, Trouble};
pub use keep::{Held, Retention, Why, expendable, keep};
pub use schedule::{Period, Schedule, ScheduleError};

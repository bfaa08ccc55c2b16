//! Verification in the background: marks by which every backup compares its rows with the primary's, a slow look through what
//! each node has stored, and the mending of what is damaged.
//!
//! Always holds: verification changes nothing but what is proven damaged, and puts in its place only what the digest chain
//! proves; it gives way to everything else (a pace, one platform at a time); what it finds is told until it is mended.

mod heads;
mod marks;
mod mend;
mod scrub;

pub(crate) use heads::sign_head;
pub(crate) use marks::{MarkBook, marks_to};
pub(crate) use mend::{Question, Reply};
pub(crate) use scrub::Scrubs;

use crate::node::Agent;
use eport_model::{JournalIndex, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often and how fast a node verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// A primary writes a checksum mark this often, if anything was written since. Default an hour.
    pub mark_every: Duration,
    /// Each copy here is looked through this often. Default a day.
    pub scrub_every: Duration,
    /// Bytes looked at in a second. Default 8 MiB.
    pub scrub_bytes_s: u64,
}

impl Default for Verification {
    fn default() -> Self {
        Self {
            mark_every: Duration::from_secs(3_600),
            scrub_every: Duration::from_secs(86_400),
            scrub_bytes_s: 8 << 20,
        }
    }
}

/// The newest comparison of rows at a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The mark.
    pub index: JournalIndex,
    /// The rows here had the digest that the primary told.
    pub equal: bool,
    /// When it was compared here.
    pub at: Timestamp,
}

/// What comparisons at marks have shown since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MarkSoft {
    /// The newest one.
    pub compared: Option<Compared>,
    /// How many showed a difference.
    pub differences: u64,
}

/// How far the look through one copy is, and what it has found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScrubSoft {
    /// True while it runs.
    pub running: bool,
    /// Bytes looked at in this pass.
    pub checked_bytes: u64,
    /// When the last whole pass ended.
    pub finished: Option<Timestamp>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Records that it read.
    pub records: u64,
    /// Rows that it read.
    pub rows: u64,
    /// Damaged files and sets of rows found, ever.
    pub found: u64,
    /// Of these, mended.
    pub mended: u64,
    /// Damage that is not mended, in words.
    pub open: Option<String>,
}

/// Starts the tasks.
pub(crate) async fn follow(agent: Agent) {
    let (looks, broken) = (scrub::follow(agent.clone()), scrub::follow_broken(agent.clone()));
    let waiting = scrub::follow_waiting(agent.clone());
    tokio::join!(marks::follow(agent), looks, broken, waiting);
}

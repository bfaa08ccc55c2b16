//! The relay of a local federation: a process that carries everything between sites and cuts, delays, loses, limits,
//! duplicates, reorders or spoils it on command. `eportd` knows nothing of it: its nodes are told other addresses.
//!
//! Always: a path has one address, UDP for nodes and TCP for callers; a datagram passes only between the two nodes of its
//! path; everything under way is bounded; fates come from a seed. [`Shaper`] decides and touches nothing; the rest is the
//! sockets around it. Never part of a production node.
#![forbid(unsafe_code)]
// A shell: it reads the monotonic clock.
#![allow(clippy::disallowed_methods)]

mod cable;
mod control;
mod plan;
mod relay;
mod rule;
mod shaper;
mod socket;
mod stream;

pub use cable::{Counts, HELD_BYTES_MAX, HELD_COUNT_MAX};
pub use control::{Answer, Change, LinkState, Question, ask, socket};
pub use plan::{End, PATHS_MAX, Path, Plan, PlanError};
pub use relay::{Error, Relay, allow_sockets};
pub use rule::{DELAY_MS_MAX, QUEUE_KIB, RATE_KBIT, Rule, Unfit};
pub use shaper::{Delivery, Fate, Lost, Shaper};

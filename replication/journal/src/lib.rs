//! Primary/backup protocol of one platform's journal on one node.
//!
//! [`Replica`] takes an [`Input`] and the time and returns [`Output`]s; it does no I/O, reads no clock, draws no randomness.
//! The same type is driven by the node's agent and by the seeded simulator.
//!
//! Invariants (numbers of `replication.md` §4.10): I1 at most one node acknowledges writes per (platform, epoch);
//! I3 one payload per (platform, epoch, index); I4 a replicated answer is in the final state; I7 a backup is never durable
//! beyond the primary; I8 applied ≤ committed ≤ durable, commit never falls; I10 nothing is truncated before its export is
//! acknowledged; I11 equal index and epoch have equal digests; I12 a message of a lower epoch changes nothing.
#![forbid(unsafe_code)]

mod bootstrap;
mod bugs;
mod degrade;
mod follower;
mod handover;
mod input;
mod lease;
mod log;
mod message;
mod opening;
mod output;
mod pace;
mod placement;
mod places;
mod primary;
mod replica;
mod rewind;
mod seal;
mod shipping;
mod slots;
mod steps;

#[cfg(feature = "planted-bugs")]
pub use bugs::Bug;
#[cfg(not(feature = "planted-bugs"))]
pub(crate) use bugs::Bug;

pub use input::{Input, Limits, Recovered, Rewind, Ticket};
pub use message::{Ack, BootstrapReason, Hello, HelloAnswer, Message, RejectReason, SealReport};
pub use output::{Alarm, Outcome, Output, RegistryStep, Role};
pub use placement::{BackupView, PlacementView, ViewState};
pub use places::append_kind;
pub use replica::{Now, Progress, Replica};
pub use slots::{Acked, Slot};

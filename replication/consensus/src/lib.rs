//! openraft behind one small door: propose, read, watch, membership, snapshots.
//!
//! [`Registry`] is one node's part in the federation's Raft group. Commands go in on any node and come out applied, in one
//! order, on all; the state machine itself is `registry::State`. Always:
//! - an answer of success means that a majority has the command on disk; a timeout is [`ProposeError::Unknown`], never an
//!   answer of failure, and the same command may be proposed again: it takes effect once;
//! - a voter that comes back after a cut does not unseat a leader whom the others hear (decision 0044);
//! - a leader that has not heard from a majority refuses instead of letting callers hang;
//! - a message counts for what its sender's certificate says, never for what it claims;
//! - after a storage failure the node takes no further part ([`Registry::fatal`]); it must be restarted.
//!
//! Reading order: `registry.rs` (the door), `machine.rs` and `log.rs` (storage), `link.rs` and `inbox.rs` (network),
//! `batcher.rs` (many commands, one entry), `canvass.rs` and `stand.rs` (who may stand for election), `autopilot.rs` and `pilot.rs` (who votes). openraft stays inside this crate.
#![forbid(unsafe_code)]
// A shell: it measures its deadlines. The large error type is openraft's own.
#![allow(clippy::disallowed_methods, clippy::result_large_err)]

mod autopilot;
mod batcher;
mod canvass;
mod clock;
mod config;
mod error;
mod inbox;
mod link;
mod log;
mod machine;
mod message;
mod pilot;
pub mod recover;
mod registry;
mod rpc;
mod signer;
mod stand;
mod types;

#[cfg(test)]
mod tests;

pub use config::{Config, Profile};
pub use error::{Error, ProposeError};
pub use machine::View;
pub use registry::Registry;
pub use signer::StepSigner;

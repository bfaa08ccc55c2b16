//! The leader's wall clock: the time of a log entry.
//!
//! Every command that enters the log carries the time at which the leader took it. Whether a certificate was valid is judged
//! by that time on every node, so nobody chooses it but the leader: neither the signer nor the node that brings the command.

use eport_model::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by this node's wall clock.
#[allow(clippy::disallowed_methods, reason = "the one place where this crate reads the wall clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        .plus_millis(eport_failpoint::wall_offset_ms())
}

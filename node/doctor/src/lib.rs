//! Diagnosis of a federation: what every node says of itself in, findings out.
//!
//! Always holds: a finding has an id of the catalogue ([`KINDS`]) or a code EPnnnn, a cause, somebody who must act and a command to
//! begin with; the same facts and the same instant give the same findings in the same order; nothing that leaves in a bundle has
//! passed without [`redact`]. A core: no I/O, time is an argument. Asking the nodes is the command line's.
#![forbid(unsafe_code)]

mod bundle;
mod facts;
mod finding;
mod incident;
mod kinds;
mod metrics;
mod redact;
mod rules;

pub use bundle::{BundleInput, MEMBERS_MAX, archive, members};
pub use facts::{Asked, Gathered, Unread};
pub use finding::{Finding, Owner, Severity, Words};
pub use incident::{Timeline, merge};
pub use kinds::{KINDS, Kind, kind};
pub use metrics::{FINDINGS, finding_of};
pub use redact::{REMOVED, redact};

use eport_model::Timestamp;

/// Everything that is wrong, the worst first; `now` is the asker's wall clock.
pub fn examine(gathered: &Gathered, now: Timestamp) -> Vec<Finding> {
    let mut found = rules::all(gathered, now);
    found.sort();
    found.dedup_by(|a, b| (a.id == b.id) && (a.subject == b.subject));
    found
}

//! States of a document on the owner's side; the names are those of domain/documents.md §2.2.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// State of a document. What is refused or was never submitted is not stored, so `Draft`, `Submitted`, `Refused` and `Discarded` are
/// names that queries and explanations understand; an accepted one is `Checked`, or `Dispatched` when agencies get parts of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Saved, not submitted.
    Draft,
    /// Handed in, not judged.
    Submitted,
    /// All platform rules pass.
    Checked,
    /// On its way to agencies.
    Dispatched,
    /// An agency has answered.
    InProcess,
    /// Every mandatory agency accepted.
    Accepted,
    /// Some mandatory agency rejected.
    PartlyRejected,
    /// The lead agency rejected.
    Rejected,
    /// A change is asked for.
    Amending,
    /// A withdrawal is asked for.
    Withdrawing,
    /// Withdrawn.
    Withdrawn,
    /// Over.
    Closed,
    /// Platform rules failed: nothing was stored.
    Refused,
    /// Given up before it was submitted.
    Discarded,
}

impl State {
    /// Every state with its name.
    pub const ALL: [(State, &'static str); 14] = [
        (State::Draft, "DRAFT"),
        (State::Submitted, "SUBMITTED"),
        (State::Checked, "CHECKED"),
        (State::Dispatched, "DISPATCHED"),
        (State::InProcess, "IN_PROCESS"),
        (State::Accepted, "ACCEPTED"),
        (State::PartlyRejected, "PARTLY_REJECTED"),
        (State::Rejected, "REJECTED"),
        (State::Amending, "AMENDING"),
        (State::Withdrawing, "WITHDRAWING"),
        (State::Withdrawn, "WITHDRAWN"),
        (State::Closed, "CLOSED"),
        (State::Refused, "REFUSED"),
        (State::Discarded, "DISCARDED"),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(s, _)| *s == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = eport_model::ParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|(_, name)| *name == s).map(|(state, _)| *state).ok_or_else(|| {
            eport_model::ParseError {
                what: "document state",
                input: s.chars().take(64).collect(),
                reason: "it is none of the states of a document",
            }
        })
    }
}

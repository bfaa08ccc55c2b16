//! Commands: who asks for a change, when and why; what it is stands in `op.rs`.

use crate::{Op, Proof};
use eport_model::{MoveId, ParseError, Subject, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Names a command, so that a repeated one takes effect once. Drawn by whoever proposes it. Prints as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommandId(pub [u8; 16]);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CommandId {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        // Same shape as a move id: sixteen bytes in hex.
        s.parse::<MoveId>().map(|m| Self(m.0)).map_err(|e| ParseError { what: "command id", ..e })
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for CommandId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
        } else {
            Ok(Self(<[u8; 16]>::deserialize(d)?))
        }
    }
}

/// A change somebody asks for, with who, when and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Its name.
    pub id: CommandId,
    /// Who asks: the path of a subject, for example `operator/admin` or `platform/440300/node/sz-a-1`.
    pub by: String,
    /// When it was entered: the time of the log entry, given by the leader; before that the proposer's.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What.
    pub op: Op,
    /// The author's signature, where there is one.
    pub proof: Option<Proof>,
}

impl Command {
    /// The subject that asks, if `by` is one.
    pub fn subject(&self) -> Option<Subject> {
        self.by.parse().ok()
    }
}

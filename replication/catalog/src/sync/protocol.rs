//! What nodes say to each other about catalog content.

use bytes::Bytes;
use eport_identity::Digest;
use serde::{Deserialize, Serialize};

/// Bytes of one answer; a frame of the purpose holds 64 MiB.
pub const PART_LEN: u64 = 4 << 20;
/// Objects of one question.
pub const OBJECTS_MAX: usize = 2_048;
/// A question is no longer: 2 048 digests of 33 bytes and what stands around them.
pub const ASK_LEN_MAX: usize = 128 << 10;
/// A packed delta is no longer.
pub const PACKED_LEN_MAX: u64 = (crate::DELTA_LEN_MAX as u64) + (1 << 20);

/// A question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// What would this content cost me, who have that one?
    Offer {
        /// The content.
        root: Digest,
        /// The one that the asker has.
        base: Option<Digest>,
    },
    /// A part of the row delta between two contents.
    Delta {
        /// The one that the asker has.
        base: Digest,
        /// The one that it wants.
        root: Digest,
        /// Bytes that it has of the delta.
        offset: u64,
    },
    /// These objects, as many as fit one answer.
    Objects(Vec<Digest>),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is here: bytes of the delta, if one is worth sending, and of the objects that the base does not have.
    Offer {
        /// Bytes of the packed delta.
        delta: Option<u64>,
        /// Bytes of the packed objects.
        objects: u64,
    },
    /// Bytes of the delta from the offset, and its whole length.
    Part {
        /// The whole length.
        total: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// Objects in the order of the question, up to the length of an answer; those not here are left out.
    Objects(Vec<(Digest, Bytes)>),
    /// It is on its way here.
    Coming,
    /// It is not here.
    Missing,
}

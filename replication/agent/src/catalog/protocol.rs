//! What nodes say to each other about catalog content.

use bytes::Bytes;
use eport_model::Digest;
use serde::{Deserialize, Serialize};

/// Bytes of one answer; a frame of the purpose holds 64 MiB.
pub(super) const PART_LEN: u64 = 4 << 20;
/// Objects of one question.
pub(super) const OBJECTS_MAX: usize = 2_048;
/// A question is no longer: 2 048 digests of 33 bytes and what stands around them.
pub(super) const ASK_LEN_MAX: usize = 128 << 10;
/// A packed delta is no longer.
pub(super) const PACKED_LEN_MAX: u64 = (eport_catalog::DELTA_LEN_MAX as u64) + (1 << 20);

/// A question.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Ask {
    /// What would this content cost me, who have that one?
    Offer { root: Digest, base: Option<Digest> },
    /// A part of the row delta between two contents.
    Delta { base: Digest, root: Digest, offset: u64 },
    /// These objects, as many as fit one answer.
    Objects(Vec<Digest>),
}

/// An answer.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is here: bytes of the delta, if one is worth sending, and of the objects that the base does not have.
    Offer { delta: Option<u64>, objects: u64 },
    /// Bytes of the delta from the offset, and its whole length.
    Part { total: u64, bytes: Bytes },
    /// Objects in the order of the question, up to the length of an answer; those not here are left out.
    Objects(Vec<(Digest, Bytes)>),
    /// It is on its way here.
    Coming,
    /// It is not here.
    Missing,
}

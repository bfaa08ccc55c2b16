//! The platform's key ring on this node: put by whoever follows the registry, used by every request.
//!
//! Encryption happens on the caller's task, never in the sequencer: what reaches the sequencer is encrypted already.

use crate::Error;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use eport_documents::BusinessKey;
use eport_envelope::{Blind, KeyRing, OpenError, Part, Place};
use std::fmt;
use std::sync::Arc;

/// Domain of the blind index for client references.
const CLIENT_REF: &str = "client_ref";
/// Domain of the blind index for numbers that documents are known by.
const NUMBER: &str = "number";

/// The key ring of one platform as it is now; empty until the registry has given this node a key. Clones share it.
#[derive(Clone, Default)]
pub struct Keys(Arc<ArcSwapOption<KeyRing>>);

impl Keys {
    /// Nothing yet: documents are refused with a retryable error until a ring is put.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the ring that is used from now on.
    pub fn put(&self, ring: Arc<KeyRing>) {
        self.0.store(Some(ring));
    }

    /// The ring, if there is one.
    pub fn get(&self) -> Option<Arc<KeyRing>> {
        self.0.load_full()
    }

    /// The ring, or the error that says that it is missing.
    pub(crate) fn need(&self) -> Result<Arc<KeyRing>, Error> {
        self.get().ok_or(Error::NoKey)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(ring) => ring.fmt(f),
            None => f.write_str("Keys(none)"),
        }
    }
}

/// What stands for a client reference in keys of rows and in request ids.
pub(crate) fn blind(ring: &KeyRing, client_ref: &str) -> Blind {
    ring.blind(CLIENT_REF, client_ref)
}

/// What stands for a number that a document is known by.
pub(crate) fn blind_number(ring: &KeyRing, number: &str) -> Blind {
    ring.blind(NUMBER, number)
}

/// The request id of a record: the business key with the client reference blinded. Equal for equal keys, on every node and
/// for ever; it tells who lodged and what type, not the lodger's number.
pub(crate) fn request_id(lodged_by: &str, doc_type: &str, reference: &Blind, doc_version: u32) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut blinded = String::with_capacity(1 + reference.len() * 2);
    blinded.push('#');
    for byte in reference {
        blinded.push(char::from(HEX[usize::from(byte >> 4)]));
        blinded.push(char::from(HEX[usize::from(byte & 15)]));
    }
    BusinessKey::print(lodged_by, doc_type, &blinded, doc_version)
}

/// Encrypts one part of a record.
pub(crate) fn encrypt(ring: &KeyRing, request: &str, part: Part, plain: &[u8]) -> Result<Bytes, Error> {
    ring.seal(Place { request, part }, plain).map(Bytes::from).map_err(|_| Error::NoKey)
}

/// Decrypts one part of a record.
pub(crate) fn decrypt(ring: &KeyRing, request: &str, part: Part, envelope: &[u8]) -> Result<Vec<u8>, Error> {
    ring.open(Place { request, part }, envelope).map_err(|source| match source {
        OpenError::NoKey(_) => Error::NoKey,
        _ => Error::Envelope { request: request.chars().take(96).collect(), source },
    })
}

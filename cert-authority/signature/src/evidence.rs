//! What a node signs when it gives evidence of one document: the bytes of its attestation (decision 0049).
//!
//! Always: another federation, platform, record, statement or instant gives other bytes, and none of them can pass for a command or
//! for a signed head.

use eport_identity::{Digest, Epoch, Lineage, RegionCode};

/// A record that stands in a node's journal, and what the node states about the document that it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatedRecord {
    /// The federation's history, as the record names it.
    pub lineage: Lineage,
    /// The platform.
    pub region: RegionCode,
    /// Epoch of the record.
    pub epoch: Epoch,
    /// Its index.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
    /// SHA-256 of the statement.
    pub statement: Digest,
    /// When it was signed, milliseconds since 1970.
    pub at_ms: i64,
}

impl StatedRecord {
    /// The bytes that are signed.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { lineage, region, epoch, index, digest, statement, at_ms } = self;
        format!(
            "eport-evidence 1\nlineage {lineage}\nplatform {region}\nepoch {epoch}\nindex {index}\ndigest {digest}\n\
             statement {statement}\nat {at_ms}\n"
        )
        .into_bytes()
    }
}

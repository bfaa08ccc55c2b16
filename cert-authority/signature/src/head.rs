//! What a node signs when it vouches for a journal: the bytes of a signed checkpoint (design §5).
//!
//! Always: another federation, platform, record or instant gives other bytes, and none of them can pass for a command.

use eport_identity::{Digest, Epoch, Lineage, RegionCode};

/// A record of a journal that a node vouches for, and with it for every record before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalHead {
    /// The federation's history.
    pub lineage: Lineage,
    /// The platform.
    pub region: RegionCode,
    /// Epoch of the record.
    pub epoch: Epoch,
    /// Its index.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
    /// When it was signed, milliseconds since 1970.
    pub at_ms: i64,
}

impl JournalHead {
    /// The bytes that are signed.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { lineage, region, epoch, index, digest, at_ms } = self;
        format!(
            "eport-journal-head 1\nlineage {lineage}\nplatform {region}\nepoch {epoch}\nindex {index}\ndigest {digest}\nat {at_ms}\n"
        )
        .into_bytes()
    }
}

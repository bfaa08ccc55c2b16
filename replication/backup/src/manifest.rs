//! What a backup holds.

use eport_envelope::DataKey;
use eport_model::{Digest, JournalIndex, Lineage, Position, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// One file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Plain file name.
    pub file: String,
    /// Length as stored.
    pub bytes: u64,
    /// SHA-256 as stored.
    pub sha256: Digest,
}

/// One segment of a journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentPart {
    /// The file.
    #[serde(flatten)]
    pub entry: FileEntry,
    /// First record in it.
    pub first: JournalIndex,
    /// Last record in it.
    pub last: JournalIndex,
}

/// The backup's key, wrapped for the node that made the backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MakerWrap {
    /// The node.
    pub name: String,
    /// Public half of its key, hex.
    pub public: String,
    /// The key, wrapped to it, hex.
    pub wrapped: String,
}

/// What a backup holds of one platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlatformPart {
    /// The platform.
    pub region: RegionCode,
    /// The record before the first one: where the former backup ended, or nothing.
    pub before: Position,
    /// The last record, here or in a former backup.
    pub last: Position,
    /// Records in this backup.
    pub records: u64,
    /// Digest of the state rows at the last record, where whoever made the backup took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    /// The files in order.
    pub segments: Vec<SegmentPart>,
}

impl PlatformPart {
    /// True when it needs no former backup.
    pub fn is_whole(&self) -> bool {
        self.before == Position::ZERO
    }
}

/// What a backup holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the backup.
    pub format: u32,
    /// Its number in the folder, from 1.
    pub seq: u64,
    /// True when it needs no former backup.
    pub full: bool,
    /// SHA-256 of the manifest before it; `None` for the first in the folder.
    pub previous: Option<Digest>,
    /// The federation's lineage.
    pub lineage: Lineage,
    /// Name of the federation, for people.
    pub federation: String,
    /// When it was made.
    pub created: Timestamp,
    /// Public half of the recovery key, hex.
    pub recovery: String,
    /// The backup's key, wrapped to it, hex.
    pub wrapped: String,
    /// The same for the node that made it; absent when an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<MakerWrap>,
    /// The registry's rows.
    pub registry: FileEntry,
    /// Last registry command in them.
    pub registry_index: u64,
    /// The platforms.
    pub platforms: Vec<PlatformPart>,
    /// The backup's key vouches for all of the above: nobody without it makes a manifest that passes a restore.
    pub proof: Digest,
    /// SHA-256 of all of the above: shows damage without any key.
    pub check: Digest,
}

impl Manifest {
    /// Digest of what the proof covers.
    fn content(&self) -> Digest {
        digest(&Self { proof: Digest::ZERO, check: Digest::ZERO, ..self.clone() })
    }

    /// Fills in proof and check.
    pub(crate) fn sealed(mut self, key: &DataKey) -> Self {
        self.proof = key.prove(&self.content());
        self.check = digest(&Self { check: Digest::ZERO, ..self.clone() });
        self
    }

    /// True when nothing was altered by accident.
    pub(crate) fn is_whole(&self) -> bool {
        self.check == digest(&Self { check: Digest::ZERO, ..self.clone() })
    }

    /// True when it was made with this key.
    pub(crate) fn is_proven(&self, key: &DataKey) -> bool {
        self.proof == key.prove(&self.content())
    }

    /// Its name: the number with leading zeros.
    pub fn name(&self) -> String {
        name_of(self.seq)
    }

    /// The part of a platform.
    pub fn platform(&self, region: RegionCode) -> Option<&PlatformPart> {
        self.platforms.iter().find(|p| p.region == region)
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let segments = self.platforms.iter().flat_map(|p| &p.segments).map(|s| &s.entry);
        std::iter::once(&self.registry).chain(segments)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files().map(|f| f.bytes).sum()
    }
}

fn digest(manifest: &Manifest) -> Digest {
    Digest::of(&serde_json::to_vec(manifest).expect("a manifest has only plain fields"))
}

/// Name of a backup.
pub(crate) fn name_of(seq: u64) -> String {
    format!("{seq:06}")
}

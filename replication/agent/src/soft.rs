//! Soft state: what nodes tell each other once a second. It is never in the registry's log and never decides anything by
//! itself; it is shown, and it feeds plans that are checked again before they are carried out.

use crate::BootstrapSoft;
use eport_model::{Code, Digest, Epoch, JournalIndex, NodeId, Position, RegionCode, Timestamp};
use eport_retention::{Made, Tested};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::{Duration, Instant};

/// Role of a journal that no placement gives this node: it came from an earlier life of the node, or of the federation.
pub const KEPT: &str = "kept";

/// What one node says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SoftState {
    /// Start of the process, in wall milliseconds: tells a restart apart.
    pub incarnation: u64,
    /// Version of its software and digest of its file, as [`eport_model::Software`] spells them.
    pub version: String,
    /// Its wall clock when it spoke.
    pub wall: Timestamp,
    /// True while the node takes requests.
    pub ready: bool,
    /// Registry index it has applied.
    pub registry_index: u64,
    /// Bytes free where it keeps its data; `None` when it could not measure that.
    pub free_bytes: Option<u64>,
    /// From when to when its certificate is valid, milliseconds since 1970; zeros until it is known.
    pub certificate: (i64, i64),
    /// Its replicas.
    pub platforms: Vec<PlatformSoft>,
    /// Table versions it can serve.
    pub tables: Vec<TableSoft>,
    /// Its catalogs as a whole: staged contents, objects, troubles.
    pub catalog: crate::CatalogSoft,
    /// Milliseconds since its newest news of the registry left a leader that a majority followed; `None` before the first.
    pub news_ms: Option<u64>,
    /// Numbers of the revocation lists that it has, by the CA's key.
    pub lists: Vec<(Digest, u64)>,
    /// The backups it makes by schedule, if it makes any.
    pub backup_set: Option<BackupSetSoft>,
}

/// What a node says of the backups that it makes by schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSetSoft {
    /// Where they lie; never a credential.
    pub target: String,
    /// When they are made, as configured.
    pub schedule: String,
    /// `waiting`, `running` or `testing`.
    pub state: String,
    /// The newest whole one.
    pub newest: Option<Made>,
    /// How many there are.
    pub kept: u64,
    /// When the next is due.
    pub due: Timestamp,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// The last restore test.
    pub test: Option<Tested>,
    /// When one last passed.
    pub passed_at: Option<Timestamp>,
    /// What a person should look at: code and text.
    pub troubles: Vec<(Code, String)>,
}

/// One replica on that node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlatformSoft {
    /// The platform.
    pub region: RegionCode,
    /// Role by name: primary, opening, handover, backup, sealed, fenced, idle.
    pub role: String,
    /// Epoch of the role.
    pub epoch: Epoch,
    /// Last fsynced record.
    pub last: Position,
    /// Last committed record.
    pub committed: JournalIndex,
    /// Last applied record.
    pub applied: JournalIndex,
    /// As primary: how far each backup is.
    pub backups: Vec<BackupSoft>,
    /// As primary: `replicated`, `local` or `blocked`.
    pub durability_now: String,
    /// Alarm text, if one is raised.
    pub alarm: Option<String>,
    /// Its code.
    pub alarm_code: Option<String>,
    /// The checkpoint that it takes, if it takes one.
    pub bootstrap: Option<BootstrapSoft>,
    /// The first record that shipping may still need here: those below are not kept for any backup.
    pub shipping_floor: JournalIndex,
    /// Digest of the state rows at the last checksum mark applied here.
    pub state_digest: Option<(JournalIndex, Digest)>,
    /// What comparisons at marks have shown.
    pub marks: crate::MarkSoft,
    /// What the look through this copy has shown; `None` before the first.
    pub scrub: Option<crate::ScrubSoft>,
    /// What of its journal lies in an archive; `None` where nothing is archived.
    pub archive: Option<ArchiveSoft>,
    /// Bytes it takes on that node's disk.
    pub disk_bytes: u64,
    /// As backup: the epoch followed and how many milliseconds ago the newest acknowledgement was sent that the primary has
    /// confirmed.
    pub heard: Option<(Epoch, u64)>,
}

impl PlatformSoft {
    /// A journal that lies here without a duty: a person may adopt it.
    pub(crate) fn kept(region: RegionCode, last: Position) -> Self {
        Self { last, role: KEPT.to_owned(), alarm: None, ..Self::broken(region, "") }
    }

    /// A platform that this node should keep and cannot open.
    pub(crate) fn broken(region: RegionCode, why: &str) -> Self {
        Self {
            region,
            role: "fenced".to_owned(),
            epoch: Epoch::NONE,
            last: Position::ZERO,
            committed: JournalIndex::ZERO,
            applied: JournalIndex::ZERO,
            backups: Vec::new(),
            durability_now: "blocked".to_owned(),
            alarm: Some(format!("cannot be opened: {why}")),
            alarm_code: None,
            bootstrap: None,
            shipping_floor: JournalIndex::ZERO,
            state_digest: None,
            marks: crate::MarkSoft::default(),
            scrub: None,
            archive: None,
            disk_bytes: 0,
            heard: None,
        }
    }
}

/// What of a journal lies in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSoft {
    /// Files there.
    pub files: u64,
    /// The name of one that cannot be reached.
    pub away: Option<String>,
}

/// A backup as its primary sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupSoft {
    /// The backup.
    pub node: NodeId,
    /// Last record it received.
    pub received: JournalIndex,
    /// Last record it fsynced.
    pub durable: JournalIndex,
    /// Last record it applied.
    pub applied: JournalIndex,
    /// Milliseconds since it was last level with the primary.
    pub behind_ms: u64,
    /// What is kept for shipping to it.
    pub slot: SlotSoft,
}

/// What a primary keeps for shipping to one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSoft {
    /// Records that it lacks.
    pub records: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// How long the oldest has waited.
    pub age_ms: u64,
    /// More than is kept for shipping: it takes a checkpoint.
    pub lost: bool,
    /// It lost its disk and does not have again what it had acknowledged.
    pub reseeding: bool,
    /// The most it has acknowledged in this epoch.
    pub acked: JournalIndex,
}

/// A table version a node can serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSoft {
    /// OWNER/NAME.
    pub name: String,
    /// Version.
    pub version: u64,
    /// Root digest.
    pub root: Digest,
    /// Bytes fetched from a peer for it; 0 where it was published here.
    pub bytes_fetched: u64,
    /// Seconds from the registry's news to the installed object.
    pub seconds: f64,
}

/// The newest soft state of every node heard of.
#[derive(Debug, Default)]
pub struct SoftBoard {
    heard: RwLock<BTreeMap<NodeId, (Instant, SoftState)>>,
}

impl SoftBoard {
    /// Notes what a node said.
    pub fn put(&self, node: NodeId, state: SoftState) {
        let mut heard = self.heard.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.insert(node, (Instant::now(), state));
    }

    /// Age and content of what a node said last.
    pub fn get(&self, node: NodeId) -> Option<(Duration, SoftState)> {
        let heard = self.heard.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.get(&node).map(|(at, s)| (at.elapsed(), s.clone()))
    }

    /// Everything heard, by node.
    pub fn all(&self) -> BTreeMap<NodeId, (Duration, SoftState)> {
        let heard = self.heard.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.iter().map(|(n, (at, s))| (*n, (at.elapsed(), s.clone()))).collect()
    }

    /// What a node said of one platform, and how long ago.
    pub fn platform(&self, node: NodeId, region: RegionCode) -> Option<(Duration, PlatformSoft)> {
        let heard = self.heard.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (at, state) = heard.get(&node)?;
        state.platforms.iter().find(|p| p.region == region).map(|p| (at.elapsed(), p.clone()))
    }

    /// Forgets nodes that are no longer members.
    pub fn retain(&self, member: impl Fn(NodeId) -> bool) {
        self.heard.write().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|n, _| member(*n));
    }
}

//! Whom the federation trusts: versions of the trust bundle, which node verifies by which version, and the rotation of a root or
//! an issuing CA that is under way.
//!
//! Always: a bundle has at least one root; its version rises with every change of what verifiers accept; a rotation goes through
//! its phases in order and leaves no trace in the bundle when it is aborted before `activate`; a root that was retired never
//! comes back. What is signed by whom is judged by every node before it adopts a bundle, and it acknowledges only then.

use crate::{IssuerState, State};
use eport_model::{CaPurpose, NodeId, RegionCode, Timestamp};
use eport_signature::{CaFacts, ca_facts};
use serde::{Deserialize, Serialize};

/// Version of the bundle that a federation is founded with.
pub const TRUST_FIRST: u64 = 1;
/// Longest life of a node's certificate, in days (profile `node`).
const NODE_LEAF_DAYS: i64 = 30;
/// Longest life of any other certificate, in days (profile `enterprise-sign`).
const SUBJECT_LEAF_DAYS: i64 = 730;
const DAY_MS: i64 = 86_400_000;
/// Certificates of CAs in a bundle.
pub(crate) const CERTIFICATES_MAX: usize = 512;
/// Longest certificate, in bytes.
pub(crate) const CERTIFICATE_LEN_MAX: usize = 16 << 10;
/// Longest revocation list of a root, in bytes.
pub(crate) const LIST_LEN_MAX: usize = 256 << 10;

/// A revocation list of a root, as its ceremony made it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RootList {
    /// The root's key, SHA-256 of its SPKI in lower-case hex.
    pub key_id: String,
    /// DER.
    pub list: Vec<u8>,
    /// When the next one must be there.
    pub ends: Timestamp,
}

/// What a rotation brings in. Made offline, in a ceremony; every piece is a certificate or a list, no key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Material {
    /// The new root, DER; `None` when an issuing CA gets a new key.
    pub root: Option<Vec<u8>>,
    /// The new root's revocation list.
    pub list: Vec<u8>,
    /// When the next one must be there.
    pub list_ends: Timestamp,
    /// The new root signed by the old one.
    pub new_by_old: Vec<u8>,
    /// The old root signed by the new one.
    pub old_by_new: Vec<u8>,
    /// Issuing CAs under the new root with the keys they have; or the one issuing CA with a new key.
    pub issuing: Vec<Vec<u8>>,
}

/// A step of a rotation, or what ends one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RotationStep {
    /// Register what the ceremony made. Nobody trusts it yet.
    Prepare(Box<Material>),
    /// Put the new root, or the new issuing CA, into the bundle beside the old one.
    Publish,
    /// Put the re-issued issuing CAs into the bundle: whoever knows one root alone can verify everything.
    Cross,
    /// From now on the new one is shown and named; members that have not acknowledged the bundle must be named.
    Activate {
        /// Members that are left behind knowingly.
        without: Vec<NodeId>,
    },
    /// Take the old one out of the bundle.
    Retire {
        /// Why it goes before the last certificate under it has ended.
        force: Option<String>,
    },
    /// Undo whatever was done, before `activate`.
    Abort,
}

impl RotationStep {
    /// The word of the command line.
    pub const fn word(&self) -> &'static str {
        match self {
            RotationStep::Prepare(_) => "prepare",
            RotationStep::Publish => "publish",
            RotationStep::Cross => "cross",
            RotationStep::Activate { .. } => "activate",
            RotationStep::Retire { .. } => "retire",
            RotationStep::Abort => "abort",
        }
    }
}

/// How far a rotation is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationPhase {
    /// Registered.
    Prepared,
    /// The new one is in the bundle.
    Published,
    /// The re-issued issuing CAs are in the bundle.
    Crossed,
    /// The new one is in use; what the old one signed lives on.
    Draining,
    /// Over: the old one is trusted no more.
    Retired,
    /// Undone.
    Aborted,
}

impl RotationPhase {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            RotationPhase::Prepared => "prepared",
            RotationPhase::Published => "published",
            RotationPhase::Crossed => "crossed",
            RotationPhase::Draining => "draining",
            RotationPhase::Retired => "retired",
            RotationPhase::Aborted => "aborted",
        }
    }
}

/// A rotation, under way or the last that was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rotation {
    /// The issuing CA's platform and purpose; `None` for the root.
    pub issuing: Option<(RegionCode, CaPurpose)>,
    /// Key of the old one.
    pub old: String,
    /// Key of the new one.
    pub new: String,
    /// How far it is.
    pub phase: RotationPhase,
    /// What it brings in; empty once it is in the bundle for good, or undone.
    pub material: Material,
    /// When it was prepared.
    pub begun: Timestamp,
    /// By whom.
    pub by: String,
    /// When the new one came into use.
    pub activated: Option<Timestamp>,
    /// From then on the old one may go.
    pub drained: Option<Timestamp>,
    /// Members that had not acknowledged when the new one came into use.
    pub without: Vec<NodeId>,
}

impl Rotation {
    /// True while it is under way.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, RotationPhase::Retired | RotationPhase::Aborted)
    }
}

/// The trust bundle and its rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trust {
    /// Version of what verifiers accept.
    pub version: u64,
    /// Rises with every command about trust: the version that a command names.
    pub changes: u64,
    /// Roots, DER.
    pub roots: Vec<Vec<u8>>,
    /// Issuing CAs, DER; during a rotation of the root each under both.
    pub issuing: Vec<Vec<u8>>,
    /// Roots signed by other roots, DER: what a node that was away proves a new root by. Kept.
    pub crosses: Vec<Vec<u8>>,
    /// Revocation lists of roots that came with a rotation.
    pub lists: Vec<RootList>,
    /// Keys of roots that were retired.
    pub tainted: Vec<String>,
    /// The rotation under way, or the last one.
    pub rotation: Option<Rotation>,
}

/// A node verifies by this version of the bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrustAck {
    /// The node.
    pub node: NodeId,
    /// The version.
    pub version: u64,
    /// When it said so.
    pub at: Timestamp,
}

impl Trust {
    /// The rotation under way.
    pub fn open_rotation(&self) -> Option<&Rotation> {
        self.rotation.as_ref().filter(|r| r.is_open())
    }

    /// The root that signs new CAs and is named in tokens: the newest once a rotation is activated. `None` in a bundle that cannot
    /// be read.
    pub fn active_root(&self) -> Option<(CaFacts, &[u8])> {
        let under_way = self.open_rotation().filter(|r| r.phase < RotationPhase::Draining);
        let staged = under_way.filter(|r| r.issuing.is_none()).map(|r| r.new.as_str());
        let mut known = self.roots.iter().filter_map(|der| Some((ca_facts(der).ok()?, der.as_slice())));
        // A root that is only published is not used yet; of the others the last came last.
        known.rfind(|(facts, _)| staged != Some(facts.key_id.to_string().as_str()))
    }

    /// What is shown above a certificate of this issuing key: its CA under the root in use, and while the former root is still
    /// trusted, the certificate that connects both. Empty when the bundle does not know the key.
    pub fn path(&self, issuer: &str) -> Vec<Vec<u8>> {
        let Some((root, _)) = self.active_root() else { return Vec::new() };
        let known = self.issuing.iter().filter_map(|der| Some((ca_facts(der).ok()?, der)));
        let own = known.filter(|(facts, _)| facts.key_id.to_string() == issuer);
        let first = own.min_by_key(|(facts, _)| facts.issuer != root.subject);
        first.map(|(_, der)| self.path_above(der)).unwrap_or_default()
    }

    /// This certificate of an issuing CA, and what connects its root with the one that is still trusted beside it.
    pub fn path_above(&self, issuing: &[u8]) -> Vec<Vec<u8>> {
        let mut path = vec![issuing.to_vec()];
        let Some((root, _)) = self.active_root().filter(|_| self.roots.len() > 1) else { return path };
        if ca_facts(issuing).is_ok_and(|f| f.issuer == root.subject) {
            let crossed = self.crosses.iter().rev().find(|der| {
                ca_facts(der).is_ok_and(|f| f.subject == root.subject && f.key_id == root.key_id)
            });
            path.extend(crossed.cloned());
        }
        path
    }

    /// Every certificate of the bundle: roots, issuing CAs, crosses.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().chain(&self.issuing).chain(&self.crosses).map(Vec::as_slice)
    }
}

/// How long what a CA signed may live: the longest profile of its purpose, and a day for whoever is late.
pub(crate) fn drain_ms(issuing: Option<(RegionCode, CaPurpose)>) -> i64 {
    let days = match issuing {
        Some((_, CaPurpose::Infra)) => NODE_LEAF_DAYS,
        _ => SUBJECT_LEAF_DAYS,
    };
    (days + 1) * DAY_MS
}

impl State {
    /// The trust bundle: as it was founded from the issuers, or as the last command about trust left it.
    pub fn trust(&self) -> Trust {
        if let Some(trust) = &self.trust {
            return trust.clone();
        }
        let of = |root: bool| {
            let used = self.issuers().filter(move |i| i.platform.is_none() == root);
            used.filter(|i| i.state != IssuerState::Staged).map(|i| i.certificate.clone()).collect()
        };
        Trust {
            version: TRUST_FIRST,
            changes: 0,
            roots: of(true),
            issuing: of(false),
            crosses: Vec::new(),
            lists: Vec::new(),
            tainted: Vec::new(),
            rotation: None,
        }
    }

    /// The version of the bundle, without the bundle.
    pub fn trust_version(&self) -> u64 {
        self.trust.as_ref().map_or(TRUST_FIRST, |t| t.version)
    }

    /// The version by which a node verifies, as it said last.
    pub fn trust_ack(&self, node: NodeId) -> u64 {
        self.trust_acks.get(&node).map_or(TRUST_FIRST, |a| a.version)
    }

    /// All acknowledgements by node.
    pub fn trust_acks(&self) -> impl Iterator<Item = &TrustAck> {
        self.trust_acks.values()
    }

    /// Members that do not verify by the newest bundle yet.
    pub fn trust_behind(&self) -> Vec<NodeId> {
        let version = self.trust_version();
        self.nodes().filter(|n| n.is_member() && self.trust_ack(n.id) < version).map(|n| n.id).collect()
    }
}

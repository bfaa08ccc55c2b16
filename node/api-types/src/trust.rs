//! Whom the federation trusts: the bundle, who verifies by it, the rotation under way.

use eport_identity::{Digest, NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// A certificate of a root or an issuing CA.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrustCa {
    /// SHA-256 of its public key (SPKI).
    pub key: String,
    /// Name for people.
    pub name: String,
    /// The platform of an issuing CA.
    pub platform: Option<RegionCode>,
    /// For whom it issues: `infra`, `subject` or `any`.
    pub purpose: Option<String>,
    /// Serial of this certificate.
    pub serial: String,
    /// Key of the root that it stands under.
    pub under: Option<String>,
    /// First valid second.
    pub not_before: String,
    /// Last valid second.
    pub not_after: String,
    /// `active`, `staged` (a rotation brings it in), `retired` (trusted for what it signed) or `revoked`.
    pub state: String,
    /// It issues from this epoch of its platform on.
    pub since_epoch: u64,
    /// Its key is on the node that answered.
    pub here: bool,
}

/// A member and the bundle it verifies by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrustMember {
    /// The node.
    pub node: NodeId,
    /// The version it acknowledged last.
    pub acknowledged: u64,
}

/// A revocation list of a root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RootListItem {
    /// The root's key.
    pub key: String,
    /// When the next one must be there.
    pub ends: String,
}

/// A rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RotationItem {
    /// `root`, or `REGION/PURPOSE` of an issuing CA.
    pub of: String,
    /// `prepared`, `published`, `crossed`, `draining`, `retired` or `aborted`.
    pub phase: String,
    /// Key of the old one.
    pub old: String,
    /// Key of the new one.
    pub new: String,
    /// When it was prepared.
    pub begun: String,
    /// By whom.
    pub by: String,
    /// When the new one came into use.
    pub activated: Option<String>,
    /// From then on the old one may go.
    pub drained: Option<String>,
    /// Members that had not acknowledged when the new one came into use.
    pub without: Vec<NodeId>,
}

/// Newest published head of the journal that holds a platform's ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerHead {
    /// The platform.
    pub region: RegionCode,
    /// Its epoch.
    pub epoch: u64,
    /// Last record.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Whom the federation trusts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrustStatus {
    /// Version of the bundle.
    pub version: u64,
    /// Version of the record: what a command about trust names.
    pub changes: u64,
    /// The roots.
    pub roots: Vec<TrustCa>,
    /// The issuing CAs; during a rotation of the root each under both.
    pub issuing: Vec<TrustCa>,
    /// The members.
    pub members: Vec<TrustMember>,
    /// Members that do not verify by this version yet.
    pub behind: Vec<NodeId>,
    /// The rotation under way, or the last one.
    pub rotation: Option<RotationItem>,
    /// Keys of roots that were retired: they never come back.
    pub tainted: Vec<String>,
    /// Lists of roots that are served.
    pub lists: Vec<RootListItem>,
    /// Heads of the journals that hold the ledgers.
    pub ledgers: Vec<LedgerHead>,
    /// CAs outside the federation, removed ones included.
    #[serde(default)]
    pub outside: Vec<OutsideItem>,
}

/// The newest list of an outside CA on the node that answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideList {
    /// Its number.
    pub number: u64,
    /// When the next one should be there.
    pub next: String,
    /// That time has passed: bring the next one.
    pub over: bool,
    /// Certificates on it.
    pub entries: u64,
}

/// A CA outside the federation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideItem {
    /// SHA-256 of its public key (SPKI).
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Whom it may name: `agency/CODE`, `enterprise/USCC`, `enterprise/*`.
    pub subjects: Vec<String>,
    /// The profiles that follow from the subjects.
    pub profiles: Vec<String>,
    /// Where its certificates count.
    pub platforms: Vec<RegionCode>,
    /// Serial of its certificate.
    pub serial: String,
    /// First valid second.
    pub not_before: String,
    /// Last valid second.
    pub not_after: String,
    /// `active`, `ended`, `revoked` or `removed`.
    pub state: String,
    /// When it was registered.
    pub since: String,
    /// By whom.
    pub by: String,
    /// When it was removed.
    pub removed: Option<String>,
    /// Why it was removed.
    pub reason: Option<String>,
    /// Its newest list here.
    pub list: Option<OutsideList>,
}

/// `POST /v1/trust/outside`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideRequest {
    /// Version of the trust record that was looked at.
    pub version: u64,
    /// The CA's certificate, PEM.
    pub certificate: String,
    /// The challenge, as it was signed.
    pub challenge: String,
    /// The CA's signature under it, DER of ECDSA with SHA-256, as hex.
    pub proof: String,
}

/// `POST /v1/trust/outside/{key}/removal`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideRemovalRequest {
    /// Version of the trust record that was looked at.
    pub version: u64,
    /// Why.
    pub reason: String,
}

/// What became of a list that was brought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideListTaken {
    /// The CA's key.
    pub key: String,
    /// True when it is newer than what was here.
    pub taken: bool,
    /// Number of the newest list here.
    pub number: u64,
    /// Certificates that the CA's lists have named here so far.
    pub entries: u64,
}

/// What a rotation brings in: certificates as PEM, the list as hex of DER.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RotationMaterial {
    /// The new root; absent when an issuing CA gets a new key.
    #[serde(default)]
    pub root: Option<String>,
    /// The new root's revocation list.
    #[serde(default)]
    pub list: String,
    /// The new root signed by the old one.
    #[serde(default)]
    pub new_by_old: String,
    /// The old root signed by the new one.
    #[serde(default)]
    pub old_by_new: String,
    /// Issuing CAs under the new root; or the one with a new key.
    #[serde(default)]
    pub issuing: Vec<String>,
}

/// `POST /v1/trust/rotation`
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RotationRequest {
    /// `prepare`, `publish`, `cross`, `activate`, `retire` or `abort`.
    pub step: String,
    /// Version of the trust record that was looked at.
    pub version: u64,
    /// Of `prepare`.
    #[serde(default)]
    pub material: Option<RotationMaterial>,
    /// Of `activate`: members that are left behind knowingly.
    #[serde(default)]
    pub without: Vec<NodeId>,
    /// Of `retire`: why it goes before the drain is over.
    #[serde(default)]
    pub force: Option<String>,
}

/// `POST /v1/trust/issuers`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IssuerRequest {
    /// Version of the trust record that was looked at.
    pub version: u64,
    /// The CA's certificate, PEM.
    pub certificate: String,
    /// It issues from this epoch of its platform on.
    #[serde(default)]
    pub since_epoch: u64,
}

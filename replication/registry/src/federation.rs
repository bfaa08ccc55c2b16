//! The federation itself, its sites, nodes, issuers, revocations and settings.

use eport_model::{Epoch, Lineage, NodeId, RegionCode, SiteId, Timestamp, TrustDomain};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How strict the federation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every rule holds.
    Production,
    /// A demonstration: publications may take effect at once.
    Demo,
    /// A developer's federation: as `Demo`.
    Dev,
}

impl Mode {
    /// True when rules that only protect real trade are relaxed.
    pub fn relaxed(self) -> bool {
        !matches!(self, Mode::Production)
    }
}

/// The federation: written once when it is founded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Federation {
    /// Name for people.
    pub name: String,
    /// Identity of its history.
    pub lineage: Lineage,
    /// Trust domain of its certificates.
    pub domain: TrustDomain,
    /// Region of the founding province; owner of tables that name no owner.
    pub province: RegionCode,
    /// How strict it is.
    pub mode: Mode,
    /// Two persons approve dangerous commands (off in `dev` and `demo`).
    pub two_person: bool,
    /// When it was founded.
    pub created: Timestamp,
}

/// A site: what is lost together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Site {
    /// The site.
    pub id: SiteId,
    /// Region it stands in.
    pub region: RegionCode,
    /// Name for people.
    pub name: String,
    /// What it shares with other sites, and so may lose together with them: `power`, `network`, `river`.
    pub labels: BTreeMap<String, String>,
    /// Copies of platforms, primaries included, that it has room for; `None` is no limit.
    pub copies_max: Option<u32>,
}

impl Site {
    /// A site that shares nothing and has room without limit.
    pub fn new(id: SiteId, region: RegionCode, name: impl Into<String>) -> Self {
        Self { id, region, name: name.into(), labels: BTreeMap::new(), copies_max: None }
    }
}

/// Hard state of a node. Whether it answers (`suspect`, `down`) is soft state and not kept here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// A member.
    Up,
    /// A member that gives its duties away; no target of a move.
    Draining,
    /// Gone for ever; its id is never used again.
    Removed,
    /// Its certificate is revoked; it is refused until it has a new one.
    Revoked,
}

/// A node of the federation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// The node.
    pub id: NodeId,
    /// Where it stands.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// `host:port` of its QUIC listener.
    pub quic: String,
    /// `host:port` of its HTTPS listener.
    pub api: String,
    /// Serial of its current certificate, lower-case hex; empty while unknown.
    pub cert_serial: String,
    /// Hard state.
    pub state: NodeState,
    /// Software version it last reported.
    pub software: String,
    /// Start count it last reported.
    pub incarnation: u64,
    /// The newest record format that it reads, as it last reported; never falls.
    pub reads: u16,
    /// When it joined.
    pub joined: Timestamp,
}

impl Node {
    /// True for nodes whose steps the registry accepts and who take part in Raft.
    pub fn is_member(&self) -> bool {
        matches!(self.state, NodeState::Up | NodeState::Draining)
    }
}

/// Whether an issuer may still be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerState {
    /// Issues and is trusted.
    Active,
    /// Trusted for what it issued, issues nothing new.
    Retired,
    /// On its way in by a rotation, or left over from one that was aborted: issues nothing, vouches for nobody.
    Staged,
}

/// A certificate authority that speaks for a platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Issuer {
    /// Digest of its public key, lower-case hex.
    pub key_id: String,
    /// Name for people.
    pub name: String,
    /// The platform it speaks for; `None` for the root.
    pub platform: Option<RegionCode>,
    /// Its certificate (DER).
    pub certificate: Vec<u8>,
    /// Whether it is used.
    pub state: IssuerState,
    /// It issues from this epoch of its platform on.
    pub since_epoch: Epoch,
}

/// A revoked certificate, or a rule that takes the trust from many.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// Serial, lower-case hex; or the text of a rule ([`Distrust`](eport_model::Distrust)), which no serial can look like. One kind
    /// of row for both: what unites, restores and descends revocations knows every form.
    pub serial: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
}

/// A setting that all nodes agree on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Name, for example `publish_lead_ms`.
    pub name: String,
    /// Value as text.
    pub value: String,
}

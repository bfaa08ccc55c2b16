//! Enrolment: tokens, requests that wait, joining.

use core::net::IpAddr;
use eport_model::{Lineage, NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};

/// `POST /v1/platforms/{region}/enrolment-tokens`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// For whom: `operator/ID`, `enterprise/USCC`, `agency/CODE/gw/N`, `platform/REGION/node/NODE`.
    pub subject: String,
    /// Profile; absent: the usual one of the subject.
    #[serde(default)]
    pub profile: Option<String>,
    /// SHA-256 of the public key (SPKI) it is for; absent: any key.
    #[serde(default)]
    pub key: Option<String>,
    /// Days of life of the certificate; absent: what the profile allows.
    #[serde(default)]
    pub days: Option<i64>,
    /// Further DNS names of a node.
    #[serde(default)]
    pub dns: Vec<String>,
    /// Further addresses of a node.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The request waits for an operator before the certificate is made.
    #[serde(default)]
    pub approval: bool,
    /// Seconds of life of the token; absent: a day.
    #[serde(default)]
    pub ttl_s: Option<u32>,
}

/// An enrolment token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenItem {
    /// Its name; gives nothing away.
    pub id: String,
    /// The token itself; only in the answer that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The platform whose CA it is for.
    pub platform: String,
    /// For whom.
    pub subject: String,
    /// Profile.
    pub profile: String,
    /// The key it is for, or was used for.
    pub key: Option<String>,
    /// The request waits for an operator.
    pub approval: bool,
    /// Last usable instant.
    pub expires: String,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: String,
    /// `open`, `used`, `expired`, `revoked`.
    pub state: String,
}

/// `POST /v1/platforms/{region}/certificates:enrol`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// PKCS#10 request, PEM.
    pub csr: String,
    /// One-time token.
    #[serde(default)]
    pub token: Option<String>,
    /// Old certificate and signature of its key.
    #[serde(default)]
    pub renewal: Option<RenewalProof>,
}

/// That the holder of an old certificate asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalProof {
    /// The old certificate, PEM.
    pub certificate: String,
    /// Signature (ECDSA with SHA-256, DER, hex) of `eport certificate renewal 1`, a line feed and the request as DER.
    pub signature: String,
}

/// A request that waits or is decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestItem {
    /// Its name.
    pub id: String,
    /// For whom.
    pub subject: String,
    /// Profile.
    pub profile: String,
    /// Platform of the CA.
    pub platform: String,
    /// SHA-256 of the key (SPKI).
    pub key: String,
    /// `token ID`, or the subject of the certificate shown.
    pub asked_by: String,
    /// When.
    pub asked_at: String,
    /// `waiting`, `approved`, `denied`.
    pub state: String,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Serial of the certificate.
    pub serial: Option<String>,
}

/// `POST /v1/platforms/{region}/enrolment-requests/{id}`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestDecision {
    /// Issue it, or refuse it.
    pub approve: bool,
    /// Why it is refused.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `POST /v1/nodes:join`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Address of its QUIC listener.
    pub quic: String,
    /// Address of its API.
    pub api: String,
}

/// What a node needs to know to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// Name of the federation.
    pub federation: String,
    /// Its lineage.
    pub lineage: Lineage,
    /// Its trust domain.
    pub trust_domain: String,
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// Timing of the registry: `lan`, `default`, `wan`.
    pub registry_profile: String,
    /// Nodes to dial first.
    pub seeds: Vec<JoinSeed>,
}

/// A node to dial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinSeed {
    /// Its id.
    pub node: NodeId,
    /// Its QUIC address.
    pub quic: String,
}

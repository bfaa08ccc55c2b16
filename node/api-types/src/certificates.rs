//! Certificates of the federation's CAs.

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// `POST /v1/certificates`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// PKCS#10 request, PEM: its public key and the proof of possession count, nothing else.
    pub csr: String,
    /// For whom: `operator/ID`, `enterprise/USCC`, `agency/CODE/gw/N`, `platform/REGION/node/NODE`. With a token, or in one's own
    /// name: absent.
    #[serde(default)]
    pub subject: String,
    /// One-time token, which says everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Profile; absent: the usual one of the subject.
    #[serde(default)]
    pub profile: Option<String>,
    /// Platform whose CA shall issue; absent: a node's home platform, else the federation's province.
    #[serde(default)]
    pub platform: Option<String>,
    /// Days of life; absent: what the profile allows.
    #[serde(default)]
    pub days: Option<i64>,
    /// Further DNS names of a node.
    #[serde(default)]
    pub dns: Vec<String>,
    /// Further addresses of a node.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// Certificates of one `POST /v1/certificates:batch`.
pub const CERTIFICATE_BATCH_MAX: usize = 256;

/// One request of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchedRequest {
    /// PKCS#10 request, PEM: its public key and the proof of possession count, nothing else.
    pub csr: String,
    /// For whom.
    pub subject: String,
    /// Profile; absent: the usual one of the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Days of life; absent: what the profile allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<i64>,
}

/// `POST /v1/certificates:batch`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateBatch {
    /// Platform whose CAs shall issue.
    pub platform: String,
    /// What is asked for, at most [`CERTIFICATE_BATCH_MAX`].
    pub requests: Vec<BatchedRequest>,
}

/// What became of one request of a batch; in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchedCertificate {
    /// 201, or the status of the refusal.
    pub status: u16,
    /// The certificate alone, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Its serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Last valid instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Key of the issuing CA; what stands above the certificate is in `chains`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateBatchAnswer {
    /// One for each request, in their order.
    pub items: Vec<BatchedCertificate>,
    /// What is shown above a certificate of each issuing CA, PEM.
    pub chains: std::collections::BTreeMap<String, String>,
}

/// `POST /v1/certificates:import`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateImport {
    /// The CA's platform.
    pub platform: String,
    /// The certificate, PEM.
    pub certificate: String,
}

/// A certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateItem {
    /// Serial, lower-case hex.
    pub serial: String,
    /// Profile.
    pub profile: String,
    /// Path of the subject.
    pub subject: String,
    /// Platform of the CA.
    pub platform: String,
    /// The node, when it is one's.
    pub node: Option<String>,
    /// First valid instant.
    pub not_before: String,
    /// Last valid instant.
    pub not_after: String,
    /// `intent`, `valid`, `expired`, `revoked`.
    pub state: String,
    /// SHA-256 of the issuing CA's public key.
    pub issuer: String,
    /// Who asked for it.
    pub requested_by: String,
    /// True when it was issued before the ledger began.
    pub imported: bool,
    /// The certificate with its CA, PEM; only where one certificate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
}

/// `POST /v1/certificates:verify`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamineRequest {
    /// The certificate, and what came above it, PEM.
    pub chain: String,
    /// As of when; absent: now.
    #[serde(default)]
    pub at: Option<String>,
}

/// A revocation that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokedItem {
    /// Of the certificate or of a CA above it.
    pub serial: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// What a certificate is worth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExamineAnswer {
    /// A node would take it, for one of the purposes.
    pub valid: bool,
    /// As of when.
    pub at: String,
    /// Why not: the code.
    pub code: Option<String>,
    /// Why not.
    pub reason: Option<String>,
    /// Serial.
    pub serial: String,
    /// Path of the subject, when the chain holds.
    pub subject: Option<String>,
    /// The URI that stands in it.
    pub uri: String,
    /// `client`, `server`.
    pub purposes: Vec<String>,
    /// Key of the issuing CA, when the chain holds.
    pub issuer: Option<String>,
    /// First valid instant.
    pub not_before: String,
    /// Last valid instant.
    pub not_after: String,
    /// A revocation of it or of a CA above it, at or before that moment.
    pub revoked: Option<RevokedItem>,
}

/// `POST /v1/certificates/{serial}/revocation`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// Why: a reason of RFC 5280 with dashes, then free text.
    pub reason: String,
    /// Revoke also a serial that this node does not know.
    #[serde(default)]
    pub unknown: bool,
}

/// `POST /v1/certificates:distrust`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistrustRequest {
    /// `key/KEY`: every certificate of a public key, and below it; `epoch/ISSUER/N/SECOND`: what a CA issued in an epoch whose
    /// validity begins at that second since 1970 or later.
    pub rule: String,
    /// Why: a reason of RFC 5280 with dashes, then free text.
    pub reason: String,
}

//! Who holds shares of an issuing CA's key: the anchor of the wrapped key that travels with the platform's journal.
//!
//! What always holds: no private key enters the registry, wrapped or not; only the digest of the wrapped key does, so a node opens
//! exactly what the persons who divided the key have agreed on; a newer division replaces the older one whole.

use eport_model::{Digest, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// Custody of one issuing CA's key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CaCustody {
    /// SHA-256 of the CA's public key (SPKI).
    pub ca: Digest,
    /// The platform that owns the CA.
    pub region: RegionCode,
    /// Id of the key that wraps it; shares name it.
    pub kek: String,
    /// SHA-256 of the wrapped key as the journal keeps it.
    pub wrapped: Digest,
    /// So many shares open it.
    pub threshold: u8,
    /// Who holds a share.
    pub holders: Vec<String>,
    /// Who put it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

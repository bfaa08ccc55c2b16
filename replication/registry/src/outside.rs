//! CAs outside the federation: registered beside our own, each within a scope that its own key has signed.
//!
//! Always: a row is made once a key and never deleted, so that whoever looks up an issuer finds its limits also after it was removed; a
//! removed CA's key stands in the revocations and does not come back; nothing in a scope names a node or an operator.

use crate::State;
use eport_model::{Digest, OutsideScope, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a challenge is good for, in milliseconds: the CA's key lies offline, and somebody must walk there.
pub const CHALLENGE_LIFE_MS: i64 = 30 * 86_400_000;
/// Outside CAs of a federation, removed ones included.
pub const OUTSIDE_MAX: usize = 128;

/// When, by whom and why a CA was removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideRemoval {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A CA outside the federation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideCa {
    /// SHA-256 of its public key (SPKI).
    pub key: Digest,
    /// Its name for people.
    pub name: String,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Whom it speaks for, and where.
    pub scope: OutsideScope,
    /// The text that its key signed.
    pub challenge: String,
    /// The signature, DER.
    pub signature: Vec<u8>,
    /// When it was registered.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// Its end, where it has one.
    pub removed: Option<OutsideRemoval>,
}

impl State {
    /// A registered outside CA by its key, also a removed one.
    pub fn outside_ca(&self, key: &Digest) -> Option<&OutsideCa> {
        self.outside.get(key)
    }

    /// All outside CAs by key, removed ones included.
    pub fn outside_cas(&self) -> impl Iterator<Item = &OutsideCa> {
        self.outside.values()
    }

    /// The CAs whose own lists are followed, with their certificates: the issuing CAs of the platforms and those outside.
    pub fn listing_cas(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        let ours = self.issuers().filter(|i| i.platform.is_some());
        let ours = ours.filter_map(|i| Some((i.key_id.parse().ok()?, i.certificate.as_slice())));
        let outside = self.outside.values().filter(|o| o.removed.is_none());
        ours.chain(outside.map(|o| (o.key, o.certificate.as_slice())))
    }

    /// The certificate and the name of a CA whose own lists are followed.
    pub(crate) fn listing_ca(&self, key: &Digest) -> Option<(&[u8], &str)> {
        let ours = self.issuers.get(&key.to_string()).filter(|i| i.platform.is_some());
        let ours = ours.map(|i| (i.certificate.as_slice(), i.name.as_str()));
        let outside = || self.outside.get(key).filter(|o| o.removed.is_none());
        ours.or_else(|| outside().map(|o| (o.certificate.as_slice(), o.name.as_str())))
    }
}

//! Certificate chains that forwards carry, verified once for a short time.
//!
//! Path validation costs far more than the request behind it. Always holds: revocation and expiry are looked at every time;
//! only the signatures are remembered, for at most `LIFE`, so that a changed trust bundle is felt within that time.

use eport_model::{Digest, DigestHasher};
use eport_tls::{PeerIdentity, Refused, Tls};
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long verified signatures are remembered.
const LIFE: Duration = Duration::from_secs(30);
/// Chains remembered at most; beyond it all are forgotten at once.
const CHAINS_MAX: usize = 4_096;

/// The remembered chains of one node.
#[derive(Default)]
pub struct Chains(Mutex<HashMap<Digest, (Instant, Arc<PeerIdentity>)>>);

impl Chains {
    /// Who a chain speaks for, judged now.
    pub fn peer(&self, tls: &Tls, chain: &[bytes::Bytes]) -> Result<Arc<PeerIdentity>, Refused> {
        let key = digest(chain);
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, identity)) = found
            && at.elapsed() < LIFE
            && identity.not_after > now()
            && identity.revoked(tls.revocations()).is_none()
        {
            return Ok(identity);
        }
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|c| CertificateDer::from(&c[..])).collect();
        let identity = Arc::new(tls.peer(&chain)?);
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= CHAINS_MAX {
            remembered.clear();
        }
        remembered.insert(key, (Instant::now(), identity.clone()));
        Ok(identity)
    }
}

fn digest(chain: &[bytes::Bytes]) -> Digest {
    let mut hasher = DigestHasher::new();
    for certificate in chain {
        hasher.update(&(certificate.len() as u64).to_le_bytes());
        hasher.update(certificate);
    }
    hasher.finish()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

//! The federation that the bodies judge by: a root, a city's CA, a key. Made once a process, at an instant of its own.

use eport_authority::{
    Authority, CaPurpose, IssuingSpec, KeyAlgorithm, KeyStore, SoftKey, Validity, bundle_pem,
};
use eport_identity::{Epoch, TrustDomain};
use eport_tls::TrustBundle;
use std::fmt::Display;
use std::sync::LazyLock;
use time::OffsetDateTime;

/// Seconds since 1970 at which everything is judged.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) struct World {
    pub domain: TrustDomain,
    pub root: Authority,
    pub city: Authority,
    /// Of whoever asks.
    pub key: SoftKey,
    pub bundle: TrustBundle,
}

pub(crate) static WORLD: LazyLock<World> =
    LazyLock::new(|| world().unwrap_or_else(|why| panic!("no federation to judge by: {why}")));

pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn world() -> Result<World, String> {
    let text = |e: eport_authority::Error| e.to_string();
    let domain: TrustDomain = "gd.eport.example".parse().map_err(|e| format!("{e}"))?;
    let root = Authority::create_root("gd", &domain, Validity::days(now(), 3_650)).map_err(text)?;
    let region = "440300".parse().map_err(|e| format!("{e}"))?;
    let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch: Epoch::INITIAL, loopback: false };
    let city = root.create_issuing(spec, Validity::days(now(), 1_800)).map_err(text)?;
    let bundle = TrustBundle::from_pem(bundle_pem([&root, &city]).as_bytes(), domain.clone());
    let bundle = bundle.map_err(|e| e.to_string())?;
    let key = SoftKey::generate(KeyAlgorithm::P256).map_err(text)?;
    Ok(World { domain, root, city, key, bundle })
}

impl World {
    /// A structure of content and signature, signed anew by the city's CA.
    pub(crate) fn signed_by_city(&self, der: &[u8]) -> Option<Vec<u8>> {
        let content = crate::der::signed_part(der)?;
        let signature = self.city.key().sign(content).ok()?;
        Some(crate::der::signed(content, &signature))
    }

    /// A request for the key of this federation's asker, whatever else stands in it, with a proof that holds.
    pub(crate) fn proven_request(&self, der: &[u8]) -> Option<Vec<u8>> {
        let content = crate::der::with_key(crate::der::signed_part(der)?, self.key.public_point())?;
        let signature = self.key.sign(&content).ok()?;
        Some(crate::der::signed(&content, &signature))
    }
}

/// The way an input takes, as one number.
pub(crate) struct Way(u64);

impl Way {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn mark(self) -> u64 {
        self.0
    }

    /// One step of it. Digits and what stands in quotes are not the way but the input.
    pub(crate) fn step(&mut self, name: &str) {
        let mut quoted = false;
        for b in name.bytes().take(200) {
            quoted ^= b == b'"';
            if !quoted && !b.is_ascii_digit() {
                self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }

    /// What came of a step.
    pub(crate) fn note<T, E: Display>(&mut self, done: Result<T, E>) -> Option<T> {
        match done {
            Ok(value) => {
                self.step("good");
                Some(value)
            }
            Err(error) => {
                self.step(&error.to_string());
                None
            }
        }
    }
}

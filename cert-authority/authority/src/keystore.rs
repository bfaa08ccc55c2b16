//! Where a CA's private key lives: the seam between the rules of issuing and the thing that signs.
//!
//! A key store signs and shows its public half; it never gives the private half away, but for a key in software, which can be
//! sealed for a file. A hardware token or an SM2 card is another implementation of [`KeyStore`].

use crate::{Error, Seal};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Key and signature algorithm of a CA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
}

impl KeyAlgorithm {
    fn rcgen(self) -> &'static SignatureAlgorithm {
        match self {
            KeyAlgorithm::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::P384 => &PKCS_ECDSA_P384_SHA384,
        }
    }
}

/// A private key that signs.
pub trait KeyStore: Send + Sync {
    /// Its algorithm.
    fn algorithm(&self) -> KeyAlgorithm;

    /// The public point, uncompressed, as it stands in a SubjectPublicKeyInfo.
    fn public_point(&self) -> &[u8];

    /// The signature of a message, DER.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;

    /// The private key as PKCS#8 PEM, where the store can give it; a token cannot.
    fn export(&self) -> Option<Zeroizing<String>>;

    /// The private key under a seal, for a file that is useless alone; [`SoftKey::unwrap`] opens it.
    fn wrap(&self, seal: &Seal, context: &[u8]) -> Result<Vec<u8>, Error> {
        let pem = self
            .export()
            .ok_or_else(|| Error::Custody { reason: "this key never leaves its token".into() })?;
        seal.seal(pem.as_bytes(), context)
    }
}

/// A key in memory.
pub struct SoftKey {
    pair: KeyPair,
    algorithm: KeyAlgorithm,
}

impl SoftKey {
    /// A new key.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, Error> {
        Ok(Self { pair: KeyPair::generate_for(algorithm.rcgen())?, algorithm })
    }

    /// Reads PKCS#8 PEM; only P-256 and P-384 are accepted.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Custody { reason: reason.into() };
        let pair = KeyPair::from_pem(pem).map_err(|_| refuse("no usable private key in PKCS#8 PEM"))?;
        let known = [KeyAlgorithm::P256, KeyAlgorithm::P384];
        let algorithm = known.into_iter().find(|a| pair.is_compatible(a.rcgen()));
        Ok(Self { pair, algorithm: algorithm.ok_or_else(|| refuse("a CA's key is on P-256 or P-384"))? })
    }

    /// Opens a key that `wrap` sealed.
    pub fn unwrap(seal: &Seal, sealed: &[u8], context: &[u8]) -> Result<Self, Error> {
        let plain = seal.open(sealed, context)?;
        let damaged = || Error::Custody { reason: "the sealed file holds no key".into() };
        Self::from_pem(std::str::from_utf8(&plain).map_err(|_| damaged())?)
    }
}

impl Drop for SoftKey {
    fn drop(&mut self) {
        // The form it was read from goes; the scalar inside the signing library cannot be reached from here.
        self.pair.zeroize();
    }
}

impl KeyStore for SoftKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn public_point(&self) -> &[u8] {
        self.pair.public_key_raw()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.pair.sign(message)?)
    }

    fn export(&self) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(self.pair.serialize_pem()))
    }
}

/// A key store as rcgen wants a key.
#[derive(Clone)]
pub(crate) struct Signer(pub Arc<dyn KeyStore>);

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm().rcgen()
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

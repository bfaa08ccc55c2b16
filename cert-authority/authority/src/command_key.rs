//! The key with which somebody signs commands: an operator's at the command line, a node's in the daemon.

use crate::{Error, read_key};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use std::path::Path;

/// A private P-256 key that signs commands (ECDSA with SHA-256). It never leaves this value.
pub struct CommandKey(KeyPair);

impl CommandKey {
    /// Reads a key file; refuses one that group or others can reach.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_pem(&read_key(path)?)
            .map_err(|reason| Error::Unusable { path: path.to_owned(), reason: reason.to_string() })
    }

    /// Reads PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Refused { subject: "signing key".into(), reason: reason.into() };
        let key = KeyPair::from_pem(pem).map_err(|_| refuse("no usable private key in PKCS#8 PEM"))?;
        if !key.is_compatible(&PKCS_ECDSA_P256_SHA256) {
            return Err(refuse("commands are signed with P-256 keys only"));
        }
        Ok(Self(key))
    }

    /// The signature of these bytes, DER.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(bytes)?)
    }
}

impl std::fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommandKey")
    }
}

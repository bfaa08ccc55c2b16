//! The own certificate chain and private key.

use crate::Error;
use crate::bundle::read_bounded;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const PEM_LEN_MAX: u64 = 64 << 10;

/// A leaf with its issuing CA, and the leaf's private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads PEM text.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let unusable = |what: &str, reason: String| Error::Unusable { what: what.into(), reason };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| unusable("certificate", e.to_string()))?;
        if chain.is_empty() {
            return Err(unusable("certificate", "the file holds no certificate".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| unusable("private key", e.to_string()))?;
        Ok(Self { chain, key })
    }

    /// Reads PEM files; a key that group or others can read is refused.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, Error> {
        let fail = |source| Error::File { path: key.to_owned(), source };
        let mode = std::fs::metadata(key).map_err(fail)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::KeyExposed { path: key.to_owned(), mode });
        }
        Self::from_pem(&read_bounded(chain, PEM_LEN_MAX)?, &read_bounded(key, PEM_LEN_MAX)?)
    }

    /// The leaf and its issuing CA.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Whether the key is the certificate's.
    pub fn fits(&self) -> bool {
        self.certified(&rustls::crypto::ring::default_provider()).is_ok()
    }

    /// The pair for rustls; fails when the key is not the certificate's.
    pub(crate) fn certified(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let certified = CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), provider)?;
        // `from_der` lets a pair pass when it cannot compare; ours are ECDSA and always comparable.
        certified.keys_match()?;
        Ok(certified)
    }
}

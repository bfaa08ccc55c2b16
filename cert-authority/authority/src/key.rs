//! Where the public key of a certificate comes from.

use crate::Error;
use eport_identity::Digest;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SubjectPublicKeyInfo};
use x509_parser::prelude::{FromDer, X509CertificationRequest};
use zeroize::Zeroizing;

/// The key a certificate is issued for.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// Make a P-256 key here; the answer carries it.
    Generate,
    /// Take the public key of this PEM request. Nothing else in it is used; its signature proves possession.
    Request(&'a str),
    /// Take the public key of a request that was read before.
    Proven(&'a RequestFacts),
}

/// Makes a P-256 key and a request for it, on the machine where the key stays. Returns (request, key) as PEM.
pub fn certificate_request() -> Result<(String, Zeroizing<String>), Error> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?;
    Ok((request.pem()?, Zeroizing::new(key.serialize_pem())))
}

/// A request for a key that exists already, PEM.
pub fn request_of_key(key_pem: &str) -> Result<String, Error> {
    let refuse = |_| Error::Custody { reason: "no usable private key in PKCS#8 PEM".into() };
    let key = KeyPair::from_pem(key_pem).map_err(refuse)?;
    Ok(CertificateParams::default().serialize_request(&key)?.pem()?)
}

/// Longest request that is read, PEM: ten times what a P-256 request with long names takes.
pub const REQUEST_LEN_MAX: usize = 16 << 10;

/// What a request brings: its signature was verified when this was made, and is not looked at again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestFacts {
    /// SHA-256 of its public key (SPKI).
    pub key: Digest,
    /// The request, DER: what the old key signs in a renewal.
    pub der: Vec<u8>,
    /// The key itself; made only where the proof of possession was verified.
    pub(crate) spki: SubjectPublicKeyInfo,
}

/// Reads a request: its form, its size, the kind of its key, and that the asker holds the private one.
pub fn read_request(pem: &str) -> Result<RequestFacts, Error> {
    let refuse = |reason: String| Error::Refused { subject: "request".into(), reason };
    let (spki, der) = proven(pem).map_err(refuse)?;
    Ok(RequestFacts { key: Digest::of(&spki.subject_public_key_info()), der, spki })
}

/// The public key of a request whose signature verifies. The curve is read from the key itself, because a P-384 key
/// may sign its request with SHA-256 and would be taken for a P-256 one.
pub(crate) fn public_key(pem: &str) -> Result<SubjectPublicKeyInfo, String> {
    proven(pem).map(|(spki, _)| spki)
}

/// The key, and the request as DER.
fn proven(pem: &str) -> Result<(SubjectPublicKeyInfo, Vec<u8>), String> {
    if pem.len() > REQUEST_LEN_MAX {
        return Err(format!("a request of {} bytes is too long; {REQUEST_LEN_MAX} are allowed", pem.len()));
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| "the request is not PEM")?;
    if pem.label != "CERTIFICATE REQUEST" && pem.label != "NEW CERTIFICATE REQUEST" {
        return Err(format!("PEM section {:?} is not a certificate request", pem.label));
    }
    let spki = {
        let (rest, csr) = X509CertificationRequest::from_der(&pem.contents)
            .map_err(|_| "the request is not a PKCS#10 structure")?;
        if !rest.is_empty() {
            return Err("bytes follow the request".into());
        }
        csr.verify_signature().map_err(|_| "the request's signature does not prove possession of the key")?;
        SubjectPublicKeyInfo::from_der(csr.certification_request_info.subject_pki.raw)
            .map_err(|_| "only P-256 keys are accepted")?
    };
    if *spki.algorithm() != PKCS_ECDSA_P256_SHA256 {
        return Err("only P-256 keys are accepted".into());
    }
    Ok((spki, pem.contents))
}

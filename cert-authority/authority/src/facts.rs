//! What a certificate of ours says, read from its bytes.

use crate::authority::first_certificate;
use crate::{Error, Validity, pem_of, serial};
use eport_identity::{Digest, Epoch};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Largest certificate read.
const CERTIFICATE_LEN_MAX: usize = 16 << 10;

/// What stands in a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFacts {
    /// Serial, lower-case hex without leading zeros.
    pub serial: String,
    /// From when to when.
    pub validity: Validity,
    /// Epoch in the serial; none when the serial is of another form.
    pub epoch: Epoch,
    /// Digest of the signed bytes.
    pub tbs: Digest,
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let refuse = || Error::Refused { subject: "certificate".into(), reason: "it is not an X.509 one".into() };
    if der.len() > CERTIFICATE_LEN_MAX {
        return Err(refuse());
    }
    match X509Certificate::from_der(der) {
        Ok(([], cert)) => Ok(cert),
        _ => Err(refuse()),
    }
}

/// Reads a certificate.
pub fn facts_of(der: &[u8]) -> Result<CertificateFacts, Error> {
    let cert = read(der)?;
    let raw = cert.raw_serial();
    let epoch = match raw {
        [1, a, b, c, d, rest @ ..] if rest.len() == 12 => {
            Epoch::from_u64(u64::from(u32::from_be_bytes([*a, *b, *c, *d])))
        }
        _ => Epoch::NONE,
    };
    let validity = Validity {
        not_before: cert.validity().not_before.to_datetime(),
        not_after: cert.validity().not_after.to_datetime(),
    };
    let tbs = Digest::of(cert.tbs_certificate.as_ref());
    Ok(CertificateFacts { serial: serial::text(raw), validity, epoch, tbs })
}

/// Whether this CA's key signed a certificate under its name.
pub fn issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok(leaf), Ok(ca)) = (read(certificate), read(issuer)) else { return false };
    leaf.issuer().as_raw() == ca.subject().as_raw() && leaf.verify_signature(Some(ca.public_key())).is_ok()
}

/// The first certificate of a PEM text, DER.
pub fn certificate_of_pem(pem: &str) -> Result<Vec<u8>, Error> {
    first_certificate(pem).map_err(|reason| Error::Refused { subject: "certificate".into(), reason })
}

/// Every certificate of a PEM bundle, DER.
pub fn certificates_of_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let refuse = |_| Error::Refused { subject: "bundle".into(), reason: "it is not PEM".into() };
    let read = |p: pem::Pem| (p.tag() == "CERTIFICATE").then(|| p.into_contents());
    Ok(pem::parse_many(pem).map_err(refuse)?.into_iter().filter_map(read).collect())
}

/// A certificate as PEM.
pub fn certificate_pem(der: &[u8]) -> String {
    pem_of("CERTIFICATE", der)
}

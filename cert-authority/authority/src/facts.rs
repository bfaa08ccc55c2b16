//! What a certificate of ours says, read from its bytes.

use crate::authority::first_certificate;
use crate::{Error, LeafNames, Validity, pem_of, serial};
use eport_identity::{CaName, Digest, Epoch, RegionCode, Subject, TrustDomain};
use std::net::IpAddr;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

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
    /// SHA-256 of its public key (SPKI).
    pub key: Digest,
    /// Its one URI; empty when it has none or several.
    pub uri: String,
    /// DNS names and addresses, as they stand in it.
    pub names: LeafNames,
}

impl CertificateFacts {
    /// The names a renewal carries over: all but those that every certificate of the subject has.
    pub fn further_names(&self, subject: &Subject, domain: &TrustDomain) -> LeafNames {
        let usual = crate::profile::names_of(subject, &LeafNames::default(), domain);
        let dns = self.names.dns.iter().filter(|n| !usual.dns.contains(n)).cloned().collect();
        LeafNames { loopback: false, dns, addresses: self.names.addresses.clone() }
    }

    /// Days of its life, rounded up.
    pub fn days(&self) -> i64 {
        let life = self.validity.not_after - self.validity.not_before - crate::NOT_BEFORE_SLACK;
        (life.whole_seconds() + 86_399).div_euclid(86_400)
    }
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
    let (key, serial) = (Digest::of(cert.public_key().raw), serial::text(raw));
    let (uri, names) = names(&cert);
    Ok(CertificateFacts { serial, validity, epoch, tbs, key, uri, names })
}

fn names(cert: &X509Certificate<'_>) -> (String, LeafNames) {
    let (mut uris, mut names) = (Vec::new(), LeafNames::default());
    let listed = cert.subject_alternative_name().ok().flatten();
    for name in listed.iter().flat_map(|l| &l.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                names.addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    let uri = if let [uri] = uris.as_slice() { (*uri).to_owned() } else { String::new() };
    (uri, names)
}

/// Whether this CA's key signed a certificate under its name.
pub fn issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok(leaf), Ok(ca)) = (read(certificate), read(issuer)) else { return false };
    leaf.issuer().as_raw() == ca.subject().as_raw() && leaf.verify_signature(Some(ca.public_key())).is_ok()
}

/// SHA-256 of a CA's public key (SPKI), and the platform that it issues for; `None` for a root.
pub fn ca_of_pem(pem: &str) -> Result<(Digest, Option<RegionCode>), Error> {
    let facts = facts_of(&certificate_of_pem(pem)?)?;
    let region = CaName::from_uri(&facts.uri).ok().and_then(|(_, name)| name.region());
    Ok((facts.key, region))
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

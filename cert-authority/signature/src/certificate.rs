//! Who signed: the certificate of a signer under the issuers of the registry, judged at a given instant.
//!
//! A path is never longer than leaf and issuing CA: the issuers come from the registry, where each was entered by a command
//! of its own, so they are the anchors here. Revocation and roles are looked at by the caller, who has them.

use crate::Refused;
use eport_identity::{CaName, CertificateMark, Digest, RegionCode, Subject, TrustDomain};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Largest certificate that is read.
pub(crate) const CERTIFICATE_LEN_MAX: usize = 16 << 10;
/// id-ecPublicKey.
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
/// prime256v1.
const P256: &str = "1.2.840.10045.3.1.7";
/// ecdsa-with-SHA256.
pub(crate) const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
/// The same as an AlgorithmIdentifier.
const ECDSA_SHA256_DER: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// What an issuing CA's or a root's certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerFacts {
    /// SHA-256 of its public key (SPKI): the name under which the registry lists it.
    pub key_id: Digest,
    /// Its common name.
    pub name: String,
    /// The platform it issues for; `None` for a root.
    pub region: Option<RegionCode>,
}

/// Somebody whose certificate an issuer of this federation has signed.
#[derive(Clone, Debug)]
pub struct Signatory {
    /// Who it is.
    pub subject: Subject,
    /// Serial of the certificate, lower-case hex.
    pub serial: String,
    /// Serial of the issuer's own certificate, lower-case hex.
    pub issuer_serial: String,
    /// SHA-256 of the signer's public key (SPKI).
    pub key_id: Digest,
    /// SHA-256 of the issuer's.
    pub issuer_key_id: Digest,
    /// First valid second of the certificate since 1970.
    pub not_before: i64,
    /// The platform that the issuer speaks for; `None` when it names none.
    pub issuer_region: Option<RegionCode>,
    key: VerifyingKey,
}

impl Signatory {
    /// What the rules of distrust look at.
    pub fn mark(&self) -> CertificateMark<'_> {
        let (key, issuer, not_before) = (self.key_id, self.issuer_key_id, self.not_before);
        CertificateMark { serial: &self.serial, key, issuer, not_before }
    }

    /// Whether this key signed exactly these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let signature = Signature::from_der(signature)
            .map_err(|_| Refused::Malformed("the signature is not DER of an ECDSA signature".into()))?;
        self.key.verify(bytes, &signature).map_err(|_| Refused::Mismatch)
    }
}

/// Reads the certificate of a root or an issuing CA.
pub fn issuer_facts(der: &[u8]) -> Result<IssuerFacts, Refused> {
    let certificate = read(der)?;
    if !certificate.is_ca() {
        return Err(Refused::Unfit("it is not a CA".into()));
    }
    let name = certificate.subject().iter_common_name().next().and_then(|n| n.as_str().ok());
    Ok(IssuerFacts {
        key_id: Digest::of(certificate.public_key().raw),
        name: name.unwrap_or_default().to_owned(),
        region: issuer_region(&certificate),
    })
}

/// Who a certificate speaks for, when one of these issuers signed it and both were valid at the instant.
pub fn signatory<'a>(
    certificate: &[u8],
    issuers: impl IntoIterator<Item = &'a [u8]>,
    domain: &TrustDomain,
    at_ms: i64,
) -> Result<Signatory, Refused> {
    signatory_by(certificate, issuers, domain, at_ms, |issuer, subject| speaks_for(issuer, subject, domain))
}

/// The same with the caller's rule about which issuer may speak for whom.
pub(crate) fn signatory_by<'a>(
    certificate: &[u8],
    issuers: impl IntoIterator<Item = &'a [u8]>,
    domain: &TrustDomain,
    at_ms: i64,
    may: impl Fn(&X509Certificate<'_>, &Subject) -> bool,
) -> Result<Signatory, Refused> {
    let leaf = read(certificate)?;
    let subject = subject(&leaf, domain)?;
    fit_to_sign(&leaf)?;
    canonical_end(certificate, &leaf)?;
    let mut verdict = Refused::UnknownIssuer;
    for der in issuers {
        let Ok(issuer) = read(der) else { continue };
        if issuer.subject().as_raw() != leaf.issuer().as_raw() || !issuer.is_ca() {
            continue;
        }
        match signed_by(&leaf, &issuer) {
            Ok(()) => {}
            Err(refused) => {
                verdict = refused;
                continue;
            }
        }
        if !may(&issuer, &subject) {
            verdict = Refused::Unfit(format!("its issuer may not speak for {subject}"));
            continue;
        }
        if !valid_at(&leaf, at_ms) {
            return Err(Refused::Expired(subject.to_string()));
        }
        if !valid_at(&issuer, at_ms) {
            return Err(Refused::Expired(issuer.subject().to_string()));
        }
        return Ok(Signatory {
            subject,
            serial: serial(&leaf),
            issuer_serial: serial(&issuer),
            key_id: Digest::of(leaf.public_key().raw),
            issuer_key_id: Digest::of(issuer.public_key().raw),
            not_before: leaf.validity().not_before.timestamp(),
            issuer_region: issuer_region(&issuer),
            key: key_of(&leaf)?,
        });
    }
    Err(verdict)
}

pub(crate) fn read(der: &[u8]) -> Result<X509Certificate<'_>, Refused> {
    let bad = || Refused::Malformed("the certificate is not an X.509 one".into());
    if der.len() > CERTIFICATE_LEN_MAX {
        return Err(bad());
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(bad()),
    }
}

/// What follows the signed part must be its one canonical form. The parser is kinder than that, and a certificate that can
/// be written in two ways would be two certificates.
fn canonical_end(der: &[u8], leaf: &X509Certificate<'_>) -> Result<(), Refused> {
    let signature = &leaf.signature_value.data;
    let len = u8::try_from(signature.len() + 1).ok().filter(|len| *len < 0x80);
    let expected = len.map(|len| [ECDSA_SHA256_DER, &[3, len, 0], signature].concat());
    if expected.is_some_and(|end| der.ends_with(&end)) {
        return Ok(());
    }
    Err(Refused::Malformed("the certificate does not end in a P-256 signature in canonical form".into()))
}

fn signed_by(leaf: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<(), Refused> {
    if leaf.signature_algorithm.algorithm.to_id_string() != ECDSA_SHA256 {
        return Err(Refused::Unfit("its issuer did not sign it with ECDSA and SHA-256".into()));
    }
    let signature = Signature::from_der(&leaf.signature_value.data).map_err(|_| Refused::UnknownIssuer)?;
    key_of(issuer)?.verify(leaf.tbs_certificate.as_ref(), &signature).map_err(|_| Refused::UnknownIssuer)
}

pub(crate) fn key_of(certificate: &X509Certificate<'_>) -> Result<VerifyingKey, Refused> {
    let unfit = || Refused::Unfit("its key is not on P-256".into());
    let spki = certificate.public_key();
    let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    let is_p256 = spki.algorithm.algorithm.to_id_string() == EC_PUBLIC_KEY
        && curve.is_some_and(|oid| oid.to_id_string() == P256);
    if !is_p256 {
        return Err(unfit());
    }
    VerifyingKey::from_sec1_bytes(&spki.subject_public_key.data).map_err(|_| unfit())
}

fn fit_to_sign(leaf: &X509Certificate<'_>) -> Result<(), Refused> {
    let unfit = |reason: &str| Refused::Unfit(reason.to_owned());
    if leaf.is_ca() {
        return Err(unfit("it is a CA"));
    }
    let usage = leaf.key_usage().map_err(|_| unfit("its key usage is stated twice"))?;
    if !usage.is_some_and(|u| u.value.digital_signature()) {
        return Err(unfit("it lacks the key usage digitalSignature"));
    }
    let purposes = leaf.extended_key_usage().map_err(|_| unfit("its extended key usage is stated twice"))?;
    if !purposes.is_some_and(|p| p.value.client_auth) {
        return Err(unfit("it lacks the extended key usage clientAuth"));
    }
    Ok(())
}

fn subject(leaf: &X509Certificate<'_>, domain: &TrustDomain) -> Result<Subject, Refused> {
    let uris = uris(leaf);
    let [uri] = uris.as_slice() else {
        return Err(Refused::Unfit(format!("exactly one URI is needed, {} are there", uris.len())));
    };
    Subject::from_uri(uri, domain).map_err(|e| Refused::Unfit(e.to_string()))
}

pub(crate) fn uris<'a>(certificate: &'a X509Certificate<'a>) -> Vec<&'a str> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|san| san.value.general_names.iter()).into_iter().flatten();
    names.filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect()
}

/// The platform that an issuing CA's URI names.
fn issuer_region(issuer: &X509Certificate<'_>) -> Option<RegionCode> {
    uris(issuer).into_iter().find_map(|uri| CaName::from_uri(uri).ok()?.1.region())
}

/// A CA for nodes vouches for no operator, one of another city for no node; a root signs CAs only. An issuer that says nothing
/// about itself, as one imported from elsewhere, is what the registry lists it as.
fn speaks_for(issuer: &X509Certificate<'_>, subject: &Subject, domain: &TrustDomain) -> bool {
    let uris = uris(issuer);
    match uris.as_slice() {
        [] => true,
        [uri] => CaName::from_uri(uri).is_ok_and(|(td, name)| td == *domain && name.covers(subject)),
        _ => false,
    }
}

/// As the registry's revocations and `cert list` print it: leading zeros dropped.
pub(crate) fn serial(certificate: &X509Certificate<'_>) -> String {
    let raw = certificate.raw_serial();
    let start = raw.iter().position(|b| *b != 0).unwrap_or(raw.len());
    hex::encode(&raw[start..])
}

fn valid_at(certificate: &X509Certificate<'_>, at_ms: i64) -> bool {
    let at = at_ms.div_euclid(1_000);
    let validity = certificate.validity();
    validity.not_before.timestamp() <= at && at <= validity.not_after.timestamp()
}

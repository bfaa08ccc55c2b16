//! Certificates that a root signs over keys which have a certificate already: another root (cross), an issuing CA under a new root.
//!
//! Always: the key and the name are those of the certificate that stands already, byte for byte, so that whatever it signed is
//! verified through the new one as well; what could not repeat them is refused.

use crate::authority::Authority;
use crate::{Error, IssuingSpec, Validity, pem_of, profile};
use eport_identity::{CaName, Epoch};
use rcgen::{CertificateParams, SubjectPublicKeyInfo};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

fn refuse(subject: &str, reason: impl Into<String>) -> Error {
    Error::Refused { subject: subject.to_owned(), reason: reason.into() }
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], cert)) if cert.is_ca() => Ok(cert),
        _ => Err(refuse("CA certificate", "it is no CA's certificate")),
    }
}

impl Authority {
    /// Signs the root whose certificate this is, under the name it has: PEM. Valid until it or this root ends.
    pub fn cross(&self, root: &[u8], now: OffsetDateTime) -> Result<String, Error> {
        let cert = read(root)?;
        if cert.subject().as_raw() != cert.issuer().as_raw() {
            return Err(refuse("cross certificate", "only roots are connected by one"));
        }
        let text = |n: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            n.and_then(|n| n.as_str().ok()).map(str::to_owned)
        };
        let (organization, name) =
            (text(cert.subject().iter_organization().next()), text(cert.subject().iter_common_name().next()));
        let end = cert.validity().not_after.to_datetime();
        let validity = Validity { not_after: end, ..Validity::days(now, 1) }.within(self.not_after())?;
        let params = profile::cross(organization, name, self.domain(), validity)?;
        self.repeat(&cert, params)
    }

    /// Signs an issuing CA that stands under another root: the same key, the same name, the same limits, until it ends there: PEM.
    pub fn reissue(&self, issuing: &[u8], now: OffsetDateTime) -> Result<String, Error> {
        let cert = read(issuing)?;
        let (domain, name) = uri(&cert).ok_or_else(|| refuse("issuing CA", "it names no platform"))?;
        let CaName::Issuing { region, purpose } = name else {
            return Err(refuse("issuing CA", "it is a root"));
        };
        if domain != *self.domain() {
            return Err(refuse("issuing CA", "it belongs to another trust domain"));
        }
        let epoch = crate::facts_of(issuing).map_or(Epoch::NONE, |f| f.epoch);
        let spec = IssuingSpec { region, purpose, epoch, loopback: loopback(&cert) };
        let end = cert.validity().not_after.to_datetime();
        let validity = Validity { not_after: end, ..Validity::days(now, 1) }.within(self.not_after())?;
        self.repeat(&cert, profile::issuing(spec, &domain, validity)?)
    }

    fn repeat(&self, cert: &X509Certificate<'_>, params: CertificateParams) -> Result<String, Error> {
        let subject = cert.subject().to_string();
        let spki = SubjectPublicKeyInfo::from_der(cert.public_key().raw)
            .map_err(|_| refuse(&subject, "its key is on another curve than ours"))?;
        let made = params.signed_by(&spki, self.issuer())?;
        let again = read(made.der())?;
        let same = again.subject().as_raw() == cert.subject().as_raw()
            && again.public_key().raw == cert.public_key().raw
            && identifier(&again) == identifier(cert);
        if !same {
            return Err(refuse(&subject, "its name or key identifier has a form that cannot be repeated"));
        }
        let above = read(self.der())?;
        again
            .verify_signature(Some(above.public_key()))
            .map_err(|_| refuse(&subject, "what was signed does not verify"))?;
        Ok(pem_of("CERTIFICATE", made.der()))
    }
}

fn identifier(cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn uri(cert: &X509Certificate<'_>) -> Option<(eport_identity::TrustDomain, CaName)> {
    let names = cert.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => CaName::from_uri(uri).ok(),
        _ => None,
    })
}

/// Whether a CA may speak for localhost.
pub(crate) fn loopback(cert: &X509Certificate<'_>) -> bool {
    let constraints = cert.name_constraints().ok().flatten();
    let permitted = constraints.and_then(|c| c.value.permitted_subtrees.as_ref());
    permitted.is_some_and(|all| all.iter().any(|t| matches!(t.base, GeneralName::DNSName("localhost"))))
}

/// Every certificate of a bundle that is an issuing CA, DER.
pub(crate) fn issuing_of(bundle: &str) -> Result<Vec<Vec<u8>>, Error> {
    let all = crate::certificates_of_pem(bundle.as_bytes())?;
    let issuing = |der: &Vec<u8>| {
        X509Certificate::from_der(der).is_ok_and(|(_, cert)| {
            cert.is_ca() && uri(&cert).is_some_and(|(_, name)| matches!(name, CaName::Issuing { .. }))
        })
    };
    Ok(all.into_iter().filter(issuing).collect())
}

/// Name of an issuing CA's files.
pub(crate) fn stem_of(der: &[u8]) -> Result<String, Error> {
    let cert = read(der)?;
    match uri(&cert) {
        Some((_, CaName::Issuing { region, purpose })) => Ok(match purpose {
            eport_identity::CaPurpose::Any => region.to_string(),
            purpose => format!("{region}-{purpose}"),
        }),
        _ => Err(refuse("issuing CA", "it names no platform")),
    }
}

/// The number after the one at the end of a root's name; a name without one is the first.
pub(crate) fn next_generation(root: &[u8]) -> Result<u32, Error> {
    let cert = read(root)?;
    let name = cert.subject().iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default();
    let number = name.rsplit(' ').next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(1);
    number.checked_add(1).ok_or_else(|| refuse("root", "its name ends in too large a number"))
}

//! From the operator's files to a TLS setup.
//!
//! The trust domain is read from the operator's own certificate; that gives nothing away, because the certificate must
//! itself verify under the given bundle before it is used.

use crate::Error;
use eport_model::Code;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// An operator's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM, mode 0600.
    pub key: PathBuf,
    /// Roots and issuing CAs, PEM.
    pub ca: PathBuf,
}

/// The client side of HTTPS with these files.
pub fn client_config(files: &Files) -> Result<rustls::ClientConfig, Error> {
    let domain = domain_of(&files.cert)?;
    let tls = eport_tls::Tls::from_files(&files.cert, &files.key, &files.ca, domain).map_err(setup)?;
    let mut config = tls.https_client().map_err(setup)?;
    config.alpn_protocols = eport_tls::HTTPS_ALPN.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

pub(crate) fn setup(error: eport_tls::Error) -> Error {
    let mut detail = error.to_string();
    let mut at: &dyn std::error::Error = &error;
    while let Some(source) = at.source() {
        detail = format!("{detail}: {source}");
        at = source;
    }
    Error::Setup { detail, code: Code(error.code()) }
}

/// The trust domain in the URI of a certificate.
fn domain_of(cert: &Path) -> Result<eport_model::TrustDomain, Error> {
    let uri = uri_of(cert)?;
    let domain = uri.split('/').next().unwrap_or(&uri);
    domain.parse().map_err(|e| unusable(cert, format!("{e}")))
}

/// The path of the subject in the URI of a certificate, for example `operator/admin`.
pub(crate) fn subject_of(cert: &Path) -> Result<String, Error> {
    let uri = uri_of(cert)?;
    let path = uri.split_once('/').map(|(_, path)| path.to_owned());
    path.ok_or_else(|| unusable(cert, "it names no subject".into()))
}

/// The first certificate of a file, DER.
pub(crate) fn leaf_of(cert: &Path) -> Result<Vec<u8>, Error> {
    let pem = std::fs::read(cert).map_err(|e| unusable(cert, e.to_string()))?;
    let der =
        CertificateDer::from_pem_slice(&pem).map_err(|_| unusable(cert, "no certificate in PEM".into()))?;
    Ok(der.to_vec())
}

/// Every certificate of a PEM file, DER.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let pem = std::fs::read(path).map_err(|e| unusable(path, e.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|_| unusable(path, "no certificates in PEM".into()))?;
    Ok(all.into_iter().map(|der| der.to_vec()).collect())
}

/// The trust domain in the URI of a certificate.
pub(crate) fn domain_of_der(der: &[u8]) -> Option<eport_model::TrustDomain> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten()?;
    let uris = names.value.general_names.iter();
    let uri = uris.filter_map(|n| if let GeneralName::URI(uri) = n { Some(*uri) } else { None }).next()?;
    uri.strip_prefix("spiffe://")?.split('/').next()?.parse().ok()
}

fn unusable(cert: &Path, reason: String) -> Error {
    Error::Setup { detail: format!("{}: {reason}", cert.display()), code: eport_model::codes::KEY_UNREADABLE }
}

/// The URI of a certificate behind `spiffe://`.
fn uri_of(cert: &Path) -> Result<String, Error> {
    let fail = |reason: String| unusable(cert, reason);
    let pem = std::fs::read(cert).map_err(|e| fail(e.to_string()))?;
    let der = CertificateDer::from_pem_slice(&pem).map_err(|_| fail("no certificate in PEM".into()))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| fail("no X.509 certificate".into()))?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|n| &n.value.general_names);
    let uri = names.filter_map(|n| if let GeneralName::URI(uri) = n { Some(*uri) } else { None }).next();
    let rest = uri.and_then(|u| u.strip_prefix("spiffe://"));
    rest.map(str::to_owned).ok_or_else(|| fail("it names no trust domain".into()))
}

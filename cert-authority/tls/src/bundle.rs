//! Whom a federation trusts: its roots, its issuing CAs, and which issuer may speak for which platform.

use crate::Error;
use crate::outside::OutsideCa;
use eport_identity::{CaName, Digest, RegionCode, TrustDomain};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Largest bundle read: some hundred CAs.
const BUNDLE_LEN_MAX: u64 = 1 << 20;

/// Roots, issuing CAs and issuer rules of one federation.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    domain: TrustDomain,
    anchors: Vec<TrustAnchor<'static>>,
    roots: Vec<CertificateDer<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
    paths: BTreeMap<Digest, Vec<CertificateDer<'static>>>,
    issuers: BTreeMap<RegionCode, BTreeSet<Digest>>,
    outside: Vec<OutsideCa>,
}

impl TrustBundle {
    /// A bundle from roots and issuing CAs. Any issuer under a root may speak for any platform until `with_issuers`.
    pub fn new(
        domain: TrustDomain,
        roots: &[CertificateDer<'_>],
        intermediates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Unusable { what: "trust bundle".into(), reason };
        let anchors = roots
            .iter()
            .map(|root| Ok(webpki::anchor_from_trusted_cert(root)?.to_owned()))
            .collect::<Result<Vec<_>, webpki::Error>>()
            .map_err(|e| unusable(format!("a root cannot be read: {e}")))?;
        if anchors.is_empty() {
            return Err(unusable("it holds no self-signed root".into()));
        }
        let roots = roots.iter().map(|root| root.clone().into_owned()).collect();
        let (paths, issuers) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { domain, anchors, roots, intermediates, paths, issuers, outside: Vec::new() })
    }

    /// Sorts the certificates of a PEM bundle into roots (self-signed) and issuing CAs.
    pub fn from_pem(pem: &[u8], domain: TrustDomain) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Unusable { what: "trust bundle".into(), reason };
        let (mut roots, mut intermediates) = (Vec::new(), Vec::new());
        for der in CertificateDer::pem_slice_iter(pem) {
            let der = der.map_err(|e| unusable(e.to_string()))?;
            let (_, cert) = X509Certificate::from_der(&der).map_err(|e| unusable(e.to_string()))?;
            if !cert.is_ca() {
                return Err(unusable(format!("{} is not a CA", cert.subject())));
            }
            if cert.subject().as_raw() == cert.issuer().as_raw() {
                roots.push(der);
            } else {
                intermediates.push(der);
            }
        }
        Self::new(domain, &roots, intermediates)
    }

    /// The part of a bundle under the one root whose public key (SPKI) has this SHA-256, with its
    /// certificates, DER. The trust domain is what its CAs name. Whatever else the bundle holds is left out.
    pub fn pinned(pem: &[u8], root: Digest) -> Result<(Self, Vec<Vec<u8>>), Error> {
        let unusable = |reason: &str| Error::Unusable { what: "trust bundle".into(), reason: reason.into() };
        if pem.len() as u64 > BUNDLE_LEN_MAX {
            return Err(unusable("it is too long"));
        }
        let (mut roots, mut intermediates, mut domain) = (Vec::new(), Vec::new(), None);
        for der in CertificateDer::pem_slice_iter(pem) {
            let der = der.map_err(|_| unusable("it is not PEM"))?;
            let (_, cert) = X509Certificate::from_der(&der).map_err(|_| unusable("it is not X.509"))?;
            if cert.subject().as_raw() != cert.issuer().as_raw() {
                intermediates.push(der);
            } else if cert.is_ca() && Digest::of(cert.public_key().raw) == root {
                roots.push(der);
            }
        }
        let Some(found) = roots.first() else { return Err(Error::Root(root)) };
        let (_, anchor) = X509Certificate::from_der(found).map_err(|_| unusable("it is not X.509"))?;
        // Names only: what a root signed is proven whenever a path is built.
        intermediates.retain(|der| {
            X509Certificate::from_der(der)
                .is_ok_and(|(_, ca)| ca.is_ca() && ca.issuer().as_raw() == anchor.subject().as_raw())
        });
        for der in roots.iter().chain(&intermediates) {
            domain = domain.or_else(|| domain_of(der));
        }
        let domain = domain.ok_or_else(|| unusable("its CAs name no trust domain"))?;
        let kept = roots.iter().chain(&intermediates).map(|der| der.to_vec()).collect();
        Ok((Self::new(domain, &roots, intermediates)?, kept))
    }

    /// The certificates of a PEM bundle file, DER, in its order.
    pub fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
        let pem = read_bounded(path, BUNDLE_LEN_MAX)?;
        let read: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&pem).map(|c| c.map(|c| c.to_vec())).collect();
        read.map_err(|e| Error::Unusable { what: "trust bundle".into(), reason: e.to_string() })
    }

    /// Reads a PEM bundle file.
    pub fn from_file(path: &Path, domain: TrustDomain) -> Result<Self, Error> {
        Self::from_pem(&read_bounded(path, BUNDLE_LEN_MAX)?, domain)
    }

    /// Limits who may speak for a platform: region → SHA-256 of the SPKI of each allowed issuer. Operators,
    /// enterprises and agencies need any issuer of the map. An empty map allows every issuer under the roots.
    pub fn with_issuers(mut self, issuers: BTreeMap<RegionCode, BTreeSet<Digest>>) -> Self {
        self.issuers = issuers;
        self
    }

    /// What is shown above a leaf of each issuing key (SHA-256 of its SPKI) instead of what stands in the leaf's own file.
    pub fn with_paths(mut self, paths: BTreeMap<Digest, Vec<Vec<u8>>>) -> Self {
        let der = |path: Vec<Vec<u8>>| path.into_iter().map(CertificateDer::from).collect();
        self.paths = paths.into_iter().map(|(key, path)| (key, der(path))).collect();
        self
    }

    /// CAs outside the federation that are registered, each within its scope.
    pub fn with_outside(mut self, outside: Vec<OutsideCa>) -> Self {
        self.outside = outside;
        self
    }

    /// The roots, DER.
    pub fn roots(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().map(|der| der.as_ref())
    }

    /// Every certificate that is no root, DER.
    pub fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.intermediates.iter().map(|der| der.as_ref())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = (&Digest, &Vec<CertificateDer<'static>>)> {
        self.paths.iter()
    }

    pub(crate) fn outside(&self) -> &[OutsideCa] {
        &self.outside
    }

    pub(crate) fn path(&self, issuer: &Digest) -> &[CertificateDer<'static>] {
        self.paths.get(issuer).map(Vec::as_slice).unwrap_or_default()
    }

    /// The trust domain.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub(crate) fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// Whether an issuer may speak for a node's home platform, or (`None`) for a subject without one.
    pub(crate) fn allows(&self, issuer: &Digest, platform: Option<RegionCode>) -> bool {
        if self.issuers.is_empty() {
            return true;
        }
        match platform {
            Some(region) => self.issuers.get(&region).is_some_and(|set| set.contains(issuer)),
            None => self.issuers.values().any(|set| set.contains(issuer)),
        }
    }
}

/// The trust domain in the URI of a CA.
fn domain_of(der: &[u8]) -> Option<TrustDomain> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let names = cert.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => CaName::from_uri(uri).ok().map(|(domain, _)| domain),
        _ => None,
    })
}

pub(crate) fn read_bounded(path: &Path, len_max: u64) -> Result<Vec<u8>, Error> {
    let fail = |source| Error::File { path: path.to_owned(), source };
    let len = std::fs::metadata(path).map_err(fail)?.len();
    if len > len_max {
        let reason = format!("{len} bytes exceed the limit of {len_max}");
        return Err(Error::Unusable { what: path.display().to_string(), reason });
    }
    std::fs::read(path).map_err(fail)
}

//! Which roots may follow which: the rule by which a process takes another trust bundle in place of its own.
//!
//! Always: a root that is not known yet counts only when a root that is known has signed it (a cross certificate), directly or
//! through others that are proven the same way. Where the bundle comes from proves nothing: the registry, a peer, an address
//! without any certificate. What is offered by an address alone never takes a root away.

use crate::{Error, TrustBundle};
use eport_identity::{Digest, TrustDomain};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::collections::{BTreeMap, BTreeSet};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates of an offered bundle that are read.
const OFFERED_MAX: usize = 1024;

/// A bundle that is offered in place of the one in force. All DER.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offer {
    /// The roots.
    pub roots: Vec<Vec<u8>>,
    /// Issuing CAs and cross certificates.
    pub others: Vec<Vec<u8>>,
    /// What is shown above a leaf of each issuing key.
    pub paths: BTreeMap<Digest, Vec<Vec<u8>>>,
}

fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], cert)) if cert.is_ca() => Some(cert),
        _ => None,
    }
}

impl Offer {
    /// Sorts the certificates of a PEM text. What is no CA's certificate is left out.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let unusable = |reason: &str| Error::Unusable { what: "trust bundle".into(), reason: reason.into() };
        let mut offer = Self::default();
        for (count, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let der = der.map_err(|_| unusable("it is not PEM"))?;
            if count == OFFERED_MAX {
                return Err(unusable("it holds more certificates than any federation has"));
            }
            match read(&der) {
                Some(cert) if cert.subject().as_raw() == cert.issuer().as_raw() => {
                    offer.roots.push(der.to_vec())
                }
                Some(_) => offer.others.push(der.to_vec()),
                None => {}
            }
        }
        Ok(offer)
    }
}

/// The roots of an offer that are known or proven, in its order; the keys of those that are neither.
fn proven(known: &TrustBundle, offer: &Offer) -> (Vec<Vec<u8>>, Vec<Digest>) {
    // Who may vouch: key and name. Known roots first, then whoever they vouch for.
    let mut trusted: BTreeSet<Vec<u8>> = known.roots().map(<[u8]>::to_vec).collect();
    let candidates = || offer.roots.iter().chain(offer.others.iter());
    loop {
        let found = candidates().find(|der| !trusted.contains(*der) && vouched(der, offer, &trusted));
        match found {
            Some(der) => drop(trusted.insert(der.clone())),
            None => break,
        }
    }
    let (good, bad): (Vec<_>, Vec<_>) = offer.roots.iter().cloned().partition(|der| trusted.contains(der));
    let keys = bad.iter().filter_map(|der| read(der)).map(|cert| Digest::of(cert.public_key().raw));
    (good, keys.collect())
}

/// A self-signed root whose very key and name a trusted root has signed; or such a cross certificate itself, which then vouches for
/// the next root although the root between is in no bundle any more.
fn vouched(der: &[u8], offer: &Offer, trusted: &BTreeSet<Vec<u8>>) -> bool {
    let Some(cert) = read(der) else { return false };
    let signed_by_trusted = |cross: &X509Certificate<'_>| {
        trusted.iter().filter_map(|t| read(t)).any(|above| {
            cross.issuer().as_raw() == above.subject().as_raw()
                && cross.verify_signature(Some(above.public_key())).is_ok()
        })
    };
    // Issuing CAs never vouch: a path length of nothing ends the line.
    let makes_cas = |c: &X509Certificate<'_>| {
        let basic = c.basic_constraints().ok().flatten();
        basic.is_some_and(|b| b.value.path_len_constraint != Some(0))
    };
    if cert.subject().as_raw() != cert.issuer().as_raw() {
        return makes_cas(&cert) && signed_by_trusted(&cert);
    }
    let own = cert.verify_signature(None).is_ok();
    own && offer.others.iter().filter_map(|d| read(d)).any(|cross| {
        cross.subject().as_raw() == cert.subject().as_raw()
            && cross.public_key().raw == cert.public_key().raw
            && makes_cas(&cross)
            && signed_by_trusted(&cross)
    })
}

/// The offered bundle in place of the one in force. Refused as a whole when it has a root that is not proven, or none.
pub fn adopt(known: &TrustBundle, offer: &Offer) -> Result<TrustBundle, Error> {
    let (good, bad) = proven(known, offer);
    if let Some(key) = bad.first() {
        return Err(Error::Unproven(*key));
    }
    build(known.domain().clone(), &good, offer.others.iter().cloned(), offer.paths.clone())
}

/// What is offered by anybody, beside the bundle in force: proven roots and CAs come in, nothing goes. `None` when nothing new is
/// in it.
pub fn unite(known: &TrustBundle, offer: &Offer) -> Result<Option<TrustBundle>, Error> {
    let (good, _) = proven(known, offer);
    let roots: Vec<Vec<u8>> = known.roots().map(<[u8]>::to_vec).collect();
    let fresh: Vec<Vec<u8>> = good.into_iter().filter(|der| !roots.contains(der)).collect();
    if fresh.is_empty() {
        return Ok(None);
    }
    let all: Vec<Vec<u8>> = roots.into_iter().chain(fresh).collect();
    let mut others: Vec<Vec<u8>> = known.others().map(<[u8]>::to_vec).collect();
    others.extend(offer.others.iter().filter(|der| !known.others().any(|k| k == der.as_slice())).cloned());
    others.truncate(OFFERED_MAX);
    let paths = known.paths().map(|(key, path)| (*key, path.iter().map(|d| d.to_vec()).collect())).collect();
    let united = build(known.domain().clone(), &all, others.into_iter(), paths)?;
    Ok(Some(united.with_outside(known.outside().to_vec())))
}

fn build(
    domain: TrustDomain,
    roots: &[Vec<u8>],
    others: impl Iterator<Item = Vec<u8>>,
    paths: BTreeMap<Digest, Vec<Vec<u8>>>,
) -> Result<TrustBundle, Error> {
    let roots: Vec<CertificateDer<'_>> =
        roots.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let others = others.map(CertificateDer::from).collect();
    Ok(TrustBundle::new(domain, &roots, others)?.with_paths(paths))
}

//! CAs outside the federation: beside the roots and never among them.
//!
//! Always: an outside CA vouches for clients only, signs them itself, and only for subjects that its registered scope names; it can never
//! name a node or an operator, and no chain leads through it to anything else. What stands under our own roots is judged first.

use crate::peer::Usage;
use crate::revocation::Serial;
use crate::{Error, Refused};
use eport_identity::{Digest, OutsideScope, Subject};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A registered CA.
#[derive(Clone, Debug)]
pub struct OutsideCa {
    anchor: TrustAnchor<'static>,
    name: Vec<u8>,
    pub(crate) key: Digest,
    pub(crate) serial: Serial,
    from: i64,
    to: i64,
    scope: OutsideScope,
}

impl OutsideCa {
    /// A CA by its certificate, and what the registry lets it speak for.
    pub fn new(certificate: &[u8], scope: OutsideScope) -> Result<Self, Error> {
        let unusable =
            |reason: &str| Error::Unusable { what: "outside CA".into(), reason: reason.to_owned() };
        let der = CertificateDer::from(certificate);
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|e| unusable(&e.to_string()))?;
        let (_, cert) = X509Certificate::from_der(certificate).map_err(|_| unusable("it is not X.509"))?;
        if !cert.is_ca() {
            return Err(unusable("it is not a CA"));
        }
        Ok(Self {
            anchor: anchor.to_owned(),
            name: cert.subject().as_raw().to_vec(),
            key: Digest::of(cert.public_key().raw),
            serial: Serial::from_bytes(cert.raw_serial()),
            from: cert.validity().not_before.timestamp(),
            to: cert.validity().not_after.timestamp(),
            scope,
        })
    }

    /// Whether it may name a subject.
    pub(crate) fn covers(&self, subject: &Subject) -> bool {
        self.scope.covers(subject)
    }

    /// webpki takes an anchor as valid whenever it is asked; we do not.
    fn valid(&self, now: UnixTime) -> Result<(), Refused> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match now {
            n if n < self.from => Err(Refused::NotYetValid),
            n if n > self.to => Err(Refused::Expired),
            _ => Ok(()),
        }
    }
}

/// The outside CA that signed a leaf, or why none counts; `None` when no registered one has the name of its issuer.
pub(crate) fn issuer<'a>(
    known: &'a [OutsideCa],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    leaf: &CertificateDer<'_>,
    usage: Usage,
    now: UnixTime,
) -> Option<Result<&'a OutsideCa, Refused>> {
    let (_, cert) = X509Certificate::from_der(leaf).ok()?;
    let mut verdict = None;
    for ca in known.iter().filter(|ca| ca.name == cert.issuer().as_raw()) {
        match signed(ca, algorithms, leaf, usage, now) {
            // Ours are made so; of others it is asked.
            Ok(()) if !signs(&cert) => verdict = Some(Err(Refused::Usage(usage.name()))),
            Ok(()) => return Some(Ok(ca)),
            Err(refused) => verdict = Some(Err(refused)),
        }
    }
    verdict
}

fn signs(leaf: &X509Certificate<'_>) -> bool {
    leaf.key_usage().ok().flatten().is_some_and(|u| u.value.digital_signature())
}

fn signed(
    ca: &OutsideCa,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    leaf: &CertificateDer<'_>,
    usage: Usage,
    now: UnixTime,
) -> Result<(), Refused> {
    let from_webpki = |e| Refused::from_webpki(e, usage.name());
    let end = EndEntityCert::try_from(leaf).map_err(from_webpki)?;
    let anchors = std::slice::from_ref(&ca.anchor);
    // No certificate in between: whoever was registered signs itself.
    end.verify_for_usage(algorithms, anchors, &[], now, usage.key_usage(), None, None)
        .map_err(from_webpki)?;
    ca.valid(now)?;
    match usage {
        Usage::Client => Ok(()),
        Usage::Server => Err(Refused::Usage(usage.name())),
    }
}

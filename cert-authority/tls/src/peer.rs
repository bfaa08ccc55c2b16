//! The verdict on a certificate chain: who the peer is, or why it is refused (R4).

use crate::outside::{self, OutsideCa};
use crate::{Refused, Revocations, Serial, TrustBundle};
use eport_identity::{CaName, CertificateMark, Digest, Subject, TrustDomain};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use std::sync::LazyLock;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Longest accepted chain: leaf, issuing CA, a cross-signed CA, root.
pub const CHAIN_LEN_MAX: usize = 4;

const EKU_SERVER: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 1];
const EKU_CLIENT: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 2];

/// In which direction a certificate is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// The peer answered our dial.
    Server,
    /// The peer dialled us, or its chain was forwarded.
    Client,
}

impl Usage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Usage::Server => "servers",
            Usage::Client => "clients",
        }
    }

    /// webpki applies this to CAs too, which carry no extended key usage; that the *leaf* has one is checked below.
    pub(crate) fn key_usage(self) -> KeyUsage {
        KeyUsage::required_if_present(match self {
            Usage::Server => EKU_SERVER,
            Usage::Client => EKU_CLIENT,
        })
    }
}

/// A verified peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerIdentity {
    /// Who it is.
    pub subject: Subject,
    /// Its certificate's serial.
    pub serial: Serial,
    /// The serials of the CAs above it that came with the chain or the bundle.
    pub issuer_serials: Vec<Serial>,
    /// SHA-256 of its issuer's public key (SPKI).
    pub issuer: Digest,
    /// SHA-256 of its own public key (SPKI).
    pub key: Digest,
    /// First valid second, since 1970.
    pub not_before: i64,
    /// Last valid second, since 1970.
    pub not_after: i64,
    /// The chain as presented, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

impl PeerIdentity {
    /// Whether this peer's certificate or one of its CAs is in a set of revocations, or falls under one of its rules.
    pub fn revoked(&self, revocations: &Revocations) -> Option<&Serial> {
        let listed =
            std::iter::once(&self.serial).chain(&self.issuer_serials).find(|s| revocations.contains(s));
        listed.or_else(|| {
            let (key, issuer, not_before) = (self.key, self.issuer, self.not_before);
            let mark = CertificateMark { serial: self.serial.as_str(), key, issuer, not_before };
            revocations.distrusts(&mark).then_some(&self.serial)
        })
    }
}

/// Judges a chain at a moment. Path building and signatures are webpki's; everything named in R4 is checked here.
pub(crate) fn verify(
    trust: &TrustBundle,
    revocations: &Revocations,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    chain: &[CertificateDer<'_>],
    usage: Usage,
    now: UnixTime,
) -> Result<PeerIdentity, Refused> {
    let (leaf, above) = chain.split_first().ok_or(Refused::Missing)?;
    if chain.len() > CHAIN_LEN_MAX {
        return Err(Refused::ChainTooLong(chain.len()));
    }
    let signer = match by_us(trust, algorithms, (leaf, above), usage, now) {
        Ok(signer) => signer,
        // Only what no root of ours vouches for is looked at as somebody else's.
        Err(refused) => match outside::issuer(trust.outside(), algorithms, leaf, usage, now) {
            Some(found) => Signer::Outside(found?),
            None => return Err(refused),
        },
    };
    let facts = Facts::read(leaf)?;
    if !facts.has_usage {
        return Err(Refused::Usage(usage.name()));
    }
    let subject = Subject::from_uri(&facts.uri, trust.domain()).map_err(|e| Refused::Name(e.to_string()))?;
    if !signer.speaks_for(trust, &subject) {
        return Err(Refused::Issuer(subject.to_string()));
    }
    let (issuer, issuer_serials) = signer.names();
    let chain = chain.iter().map(|c| c.clone().into_owned()).collect();
    let peer = PeerIdentity {
        subject,
        serial: facts.serial,
        issuer_serials,
        issuer,
        key: facts.key,
        not_before: facts.not_before,
        not_after: facts.not_after,
        chain,
    };
    match peer.revoked(revocations) {
        Some(serial) => Err(Refused::Revoked(serial.clone())),
        None => Ok(peer),
    }
}

/// Who signed a leaf.
enum Signer<'a> {
    /// An issuing CA under our roots: its key, the serials of the CAs above the leaf, its certificate.
    Ours(Digest, Vec<Serial>, Vec<u8>),
    /// A registered CA outside.
    Outside(&'a OutsideCa),
}

impl Signer<'_> {
    fn speaks_for(&self, trust: &TrustBundle, subject: &Subject) -> bool {
        match self {
            Signer::Ours(key, _, der) => {
                let platform = match subject {
                    Subject::Node { platform, .. } => Some(*platform),
                    _ => None,
                };
                speaks_for(der, trust.domain(), subject) && trust.allows(key, platform)
            }
            Signer::Outside(ca) => ca.covers(subject),
        }
    }

    fn names(self) -> (Digest, Vec<Serial>) {
        match self {
            Signer::Ours(key, serials, _) => (key, serials),
            Signer::Outside(ca) => (ca.key, vec![ca.serial.clone()]),
        }
    }
}

/// The path from a leaf to one of our roots.
fn by_us<'a>(
    trust: &TrustBundle,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    (leaf, above): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    usage: Usage,
    now: UnixTime,
) -> Result<Signer<'a>, Refused> {
    let from_webpki = |e| Refused::from_webpki(e, usage.name());
    let end = EndEntityCert::try_from(leaf).map_err(from_webpki)?;
    let candidates: Vec<CertificateDer<'_>> = above.iter().chain(trust.intermediates()).cloned().collect();
    let path = end
        .verify_for_usage(algorithms, trust.anchors(), &candidates, now, usage.key_usage(), None, None)
        .map_err(from_webpki)?;
    let (key, serials, der) = issuers(&path)?;
    Ok(Signer::Ours(key, serials, der))
}

/// Judges a chain (DER, leaf first) by a bundle at a second since 1970, whoever shows it. Revocation is left to the caller, who knows when
/// each came.
pub fn examine(
    trust: &TrustBundle,
    chain: &[Vec<u8>],
    usage: Usage,
    at: i64,
) -> Result<PeerIdentity, Refused> {
    let provider = rustls::crypto::ring::default_provider();
    let chain: Vec<CertificateDer<'_>> =
        chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    let algorithms = provider.signature_verification_algorithms.all;
    verify(trust, &Revocations::default(), algorithms, &chain, usage, at)
}

/// Judges a leaf that is only tried: `anchor` is its issuing CA with the key that signed the trial, `name` what the CA itself is called. For
/// each direction that the leaf claims, path, constraints, names and scope are looked at as in [`verify`]; revocation and
/// the registry's list of issuers are not.
pub fn rehearse(
    anchor: &[u8],
    name: &CaName,
    leaf: &[u8],
    domain: &TrustDomain,
    now: i64,
) -> Result<(), Refused> {
    static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(rustls::crypto::ring::default_provider);
    let algorithms = PROVIDER.signature_verification_algorithms.all;
    let (anchor, leaf) = (CertificateDer::from(anchor), CertificateDer::from(leaf));
    let anchors = [webpki::anchor_from_trusted_cert(&anchor).map_err(|e| Refused::Chain(e.to_string()))?];
    let end = EndEntityCert::try_from(&leaf).map_err(|e| Refused::from_webpki(e, "peers"))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let (_, cert) = X509Certificate::from_der(&leaf).map_err(|e| Refused::Chain(e.to_string()))?;
    let facts = Facts::of(&cert)?;
    let claimed = cert.extended_key_usage().ok().flatten();
    let claims = |usage| {
        claimed.as_ref().is_some_and(|c| match usage {
            Usage::Server => c.value.server_auth,
            Usage::Client => c.value.client_auth,
        })
    };
    let usages: Vec<Usage> = [Usage::Client, Usage::Server].into_iter().filter(|u| claims(*u)).collect();
    if usages.is_empty() {
        return Err(Refused::Usage("clients"));
    }
    for usage in usages {
        end.verify_for_usage(algorithms, &anchors, &[], now, usage.key_usage(), None, None)
            .map_err(|e| Refused::from_webpki(e, usage.name()))?;
    }
    let subject = Subject::from_uri(&facts.uri, domain).map_err(|e| Refused::Name(e.to_string()))?;
    match name.covers(&subject) {
        true => Ok(()),
        false => Err(Refused::Issuer(subject.to_string())),
    }
}

/// Whether the issuing CA's own URI lets it speak for a subject. webpki cannot check this scope: it knows constraints of DNS
/// names and addresses only, and a leaf that has a URI alone escapes both.
fn speaks_for(issuer: &[u8], domain: &TrustDomain, subject: &Subject) -> bool {
    let Ok((_, cert)) = X509Certificate::from_der(issuer) else { return false };
    let Ok(Some(names)) = cert.subject_alternative_name() else { return false };
    let uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uris: Vec<&str> = uris.collect();
    let [uri] = uris.as_slice() else { return false };
    CaName::from_uri(uri).is_ok_and(|(td, name)| td == *domain && name.covers(subject))
}

/// Last valid second of a certificate, since 1970.
pub(crate) fn end_of(der: &[u8]) -> Option<u64> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    u64::try_from(cert.validity().not_after.timestamp()).ok()
}

fn issuers(path: &VerifiedPath<'_>) -> Result<(Digest, Vec<Serial>, Vec<u8>), Refused> {
    let mut cas = path.intermediate_certificates();
    let issuer = cas.next().ok_or(Refused::NoIssuingCa)?;
    let (spki, der) = (Digest::of(&issuer.subject_public_key_info()), issuer.der().to_vec());
    let serials = std::iter::once(issuer).chain(cas).map(|ca| Serial::from_bytes(ca.serial())).collect();
    Ok((spki, serials, der))
}

/// What of the leaf webpki does not hand out.
struct Facts {
    uri: String,
    serial: Serial,
    key: Digest,
    not_before: i64,
    not_after: i64,
    has_usage: bool,
}

impl Facts {
    fn read(leaf: &CertificateDer<'_>) -> Result<Self, Refused> {
        let (_, cert) = X509Certificate::from_der(leaf).map_err(|e| Refused::Chain(e.to_string()))?;
        Self::of(&cert)
    }

    fn of(cert: &X509Certificate<'_>) -> Result<Self, Refused> {
        let names = cert.subject_alternative_name().map_err(|e| Refused::Name(e.to_string()))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|san| &san.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris.as_slice() else {
            return Err(Refused::Name(format!("exactly one URI is needed, {} are there", uris.len())));
        };
        let usage = cert.extended_key_usage().map_err(|e| Refused::Chain(e.to_string()))?;
        Ok(Self {
            has_usage: usage.is_some(),
            uri: (*uri).to_owned(),
            serial: Serial::from_bytes(cert.raw_serial()),
            key: Digest::of(cert.public_key().raw),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
        })
    }
}

//! A certificate authority with its key: a root, or the issuing CA of one platform.

use crate::files::{read, write_certificate, write_key};
use crate::keystore::Signer;
use crate::spec::Trial;
use crate::{
    Error, Key, KeyAlgorithm, KeyStore, LeafNames, Passphrase, SoftKey, Validity, key, profile, sealed,
    serial,
};
use eport_identity::{CaName, CaPurpose, Digest, Epoch, NodeId, RegionCode, Subject, TrustDomain};
use rcgen::{Certificate, CertificateParams, Issuer, KeyPair};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};
use zeroize::Zeroizing;

/// A CA that can sign. Its private key leaves it only through `save`.
pub struct Authority {
    issuer: Issuer<'static, Signer>,
    pem: String,
    der: Vec<u8>,
    facts: Facts,
    trial: OnceLock<Trial>,
}

/// What a CA certificate says about itself.
#[derive(Clone, Debug)]
struct Facts {
    domain: TrustDomain,
    name: CaName,
    not_after: OffsetDateTime,
    serial: String,
    spki: Digest,
    public_key: Vec<u8>,
    distinguished_name: Vec<u8>,
    key_identifier: Vec<u8>,
}

/// The issuing CA that a root is asked to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IssuingSpec {
    /// The platform whose nodes, operators and enterprises it issues for.
    pub region: RegionCode,
    /// For whom it issues.
    pub purpose: CaPurpose,
    /// The epoch that goes into the CA's own serial.
    pub epoch: Epoch,
    /// Allows `localhost` and addresses in certificates below it (federations on one machine).
    pub loopback: bool,
}

/// A certificate that was just issued.
pub struct Issued {
    /// The leaf, then its issuing CA, as PEM.
    pub chain_pem: String,
    /// The private key as PEM, when it was made here.
    pub key_pem: Option<Zeroizing<String>>,
    /// The serial in lower-case hex.
    pub serial: String,
    /// For whom.
    pub subject: Subject,
    /// Last valid instant, after the cut to the CA's.
    pub not_after: OffsetDateTime,
}

impl Issued {
    /// Writes `DIR/STEM.crt` and, when the key was made here, `DIR/STEM.key` (first, so that a certificate without its
    /// key never appears).
    pub fn save(&self, dir: &Path, stem: &str) -> Result<(), Error> {
        if let Some(key) = &self.key_pem {
            write_key(&dir.join(format!("{stem}.key")), key)?;
        }
        write_certificate(&dir.join(format!("{stem}.crt")), &self.chain_pem)
    }
}

/// The PEM bundle of several CAs: what clients use as `ca`, and nodes as trust bundle.
pub fn bundle_pem<'a>(authorities: impl IntoIterator<Item = &'a Authority>) -> String {
    authorities.into_iter().map(Authority::certificate_pem).collect()
}

impl Authority {
    /// Founds a federation: a self-signed P-384 root.
    pub fn create_root(name: &str, domain: &TrustDomain, validity: Validity) -> Result<Self, Error> {
        Self::create_root_with(name, domain, validity, Arc::new(SoftKey::generate(KeyAlgorithm::P384)?))
    }

    /// The same with a key that exists.
    pub fn create_root_with(
        name: &str,
        domain: &TrustDomain,
        validity: Validity,
        key: Arc<dyn KeyStore>,
    ) -> Result<Self, Error> {
        Self::create_root_named(&format!("{name} root"), domain, validity, key)
    }

    /// The same under this common name.
    pub(crate) fn create_root_named(
        name: &str,
        domain: &TrustDomain,
        validity: Validity,
        key: Arc<dyn KeyStore>,
    ) -> Result<Self, Error> {
        let params = profile::root(name, domain, validity)?;
        let certificate = params.self_signed(&Signer(key.clone()))?;
        Self::new(params, certificate, key)
    }

    /// Makes the issuing CA of a platform with a new key: P-256, path length 0, DNS names limited to the platform.
    pub fn create_issuing(&self, spec: IssuingSpec, validity: Validity) -> Result<Self, Error> {
        let key = SoftKey::generate(KeyAlgorithm::P256)?;
        let (params, validity) = self.issuing_params(spec, validity)?;
        debug_assert!(validity.not_after <= self.facts.not_after);
        let key: Arc<dyn KeyStore> = Arc::new(key);
        let certificate = params.signed_by(&Signer(key.clone()), &self.issuer)?;
        Self::new(params, certificate, key)
    }

    /// Signs the certificate of an issuing CA whose key was made elsewhere: PEM. The request gives its public key only.
    pub fn sign_issuing(
        &self,
        spec: IssuingSpec,
        validity: Validity,
        request: &str,
    ) -> Result<String, Error> {
        let refuse =
            |reason: String| Error::Refused { subject: format!("issuing CA of {}", spec.region), reason };
        let (params, _) = self.issuing_params(spec, validity)?;
        Ok(params.signed_by(&key::public_key(request).map_err(refuse)?, &self.issuer)?.pem())
    }

    fn issuing_params(
        &self,
        spec: IssuingSpec,
        validity: Validity,
    ) -> Result<(CertificateParams, Validity), Error> {
        if let Some(region) = self.facts.name.region() {
            let reason = format!("the CA of {region} has path length 0 and cannot make another CA");
            return Err(Error::Refused { subject: format!("issuing CA of {}", spec.region), reason });
        }
        let validity = validity.within(self.facts.not_after)?;
        Ok((profile::issuing(spec, &self.facts.domain, validity)?, validity))
    }

    /// Reads `DIR/STEM.crt` and `DIR/STEM.key`. The key must match and be readable by its owner only. A sealed one opens with the
    /// passphrase that lies in the same folder.
    pub fn load(dir: &Path, stem: &str) -> Result<Self, Error> {
        Self::load_with(dir, stem, None)
    }

    /// The same with a passphrase at hand.
    pub fn load_with(dir: &Path, stem: &str, passphrase: Option<&Passphrase>) -> Result<Self, Error> {
        let (cert_path, key_path) = (dir.join(format!("{stem}.crt")), dir.join(format!("{stem}.key")));
        let unusable = |path: &Path, reason: String| Error::Unusable { path: path.to_owned(), reason };
        let pem = read(&cert_path)?;
        let der = first_certificate(&pem).map_err(|reason| unusable(&cert_path, reason))?;
        let (_, cert) =
            X509Certificate::from_der(&der).map_err(|_| unusable(&cert_path, "not an X.509 one".into()))?;
        let point = &cert.public_key().subject_public_key.data;
        let key = sealed::open_beside(&key_path, point, passphrase)?;
        Self::from_parts(&pem, Arc::new(key), None).map_err(|e| unusable(&cert_path, e.to_string()))
    }

    /// A CA from its certificate and its key. `domain` is needed for a root that names no trust domain itself.
    pub fn from_parts(
        pem: &str,
        key: Arc<dyn KeyStore>,
        domain: Option<&TrustDomain>,
    ) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Refused { subject: "CA certificate".into(), reason };
        let der = first_certificate(pem).map_err(refuse)?;
        let facts = Facts::read(&der, domain).map_err(refuse)?;
        if key.public_point() != facts.public_key {
            return Err(refuse("the key does not belong to it".into()));
        }
        let issuer = Issuer::from_ca_cert_der(&der.clone().into(), Signer(key))?;
        let authority = Self { issuer, pem: pem.to_owned(), der, facts, trial: OnceLock::new() };
        authority.same_name()?;
        Ok(authority)
    }

    /// What it signs must carry its name byte for byte; rcgen reads names into a table and may write another form.
    fn same_name(&self) -> Result<(), Error> {
        let mut trial = CertificateParams::default();
        trial.serial_number = Some(serial::draw(Epoch::NONE));
        let signed = trial.signed_by(&KeyPair::generate()?, &self.issuer)?;
        let same = X509Certificate::from_der(signed.der())
            .is_ok_and(|(_, c)| c.issuer().as_raw() == self.facts.distinguished_name);
        match same {
            true => Ok(()),
            false => Err(Error::Refused {
                subject: "CA certificate".into(),
                reason: "its name has a form that certificates below it could not repeat".into(),
            }),
        }
    }

    /// Writes `DIR/STEM.crt` and `DIR/STEM.key` (mode 0600), synced.
    pub fn save(&self, dir: &Path, stem: &str) -> Result<(), Error> {
        let key = self.key().export();
        let key =
            key.ok_or_else(|| Error::Custody { reason: "this CA's key never leaves its token".into() })?;
        write_key(&dir.join(format!("{stem}.key")), &key)?;
        write_certificate(&dir.join(format!("{stem}.crt")), &self.pem)
    }

    /// The same with the key sealed under a passphrase.
    pub fn save_sealed(&self, dir: &Path, stem: &str, passphrase: &Passphrase) -> Result<(), Error> {
        write_key(&dir.join(format!("{stem}.key")), &passphrase.seal(&**self.key())?)?;
        write_certificate(&dir.join(format!("{stem}.crt")), &self.pem)
    }

    /// The CA's certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the CA's public key (SPKI): the name under which the registry lists issuers.
    pub fn spki(&self) -> Digest {
        self.facts.spki
    }

    /// The platform of an issuing CA, `None` for a root.
    pub fn region(&self) -> Option<RegionCode> {
        self.facts.name.region()
    }

    /// What the CA is: a root, or whose issuing CA.
    pub fn name(&self) -> &CaName {
        &self.facts.name
    }

    /// Whether certificates below it may name `localhost`; whoever checks a chain refuses the others.
    pub fn speaks_for_localhost(&self) -> bool {
        X509Certificate::from_der(self.der()).is_ok_and(|(_, cert)| crate::cross::loopback(&cert))
    }

    /// The key that signs.
    pub fn key(&self) -> &Arc<dyn KeyStore> {
        &self.issuer.key().0
    }

    /// The CA's certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn distinguished_name(&self) -> &[u8] {
        &self.facts.distinguished_name
    }

    /// The throw-away key of this CA, made once a process: what it signs is never given away.
    pub(crate) fn trial(&self) -> Result<&Trial, Error> {
        if let Some(trial) = self.trial.get() {
            return Ok(trial);
        }
        let trial = Trial::new(self)?;
        Ok(self.trial.get_or_init(|| trial))
    }

    pub(crate) fn key_identifier(&self) -> &[u8] {
        &self.facts.key_identifier
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, Signer> {
        &self.issuer
    }

    /// The trust domain.
    pub fn domain(&self) -> &TrustDomain {
        &self.facts.domain
    }

    /// The serial of the CA's own certificate.
    pub fn serial(&self) -> &str {
        &self.facts.serial
    }

    /// The CA's own end.
    pub fn not_after(&self) -> OffsetDateTime {
        self.facts.not_after
    }

    /// Issues a leaf certificate; `epoch` is that of the platform that owns this CA.
    pub fn issue(
        &self,
        subject: &Subject,
        names: &LeafNames,
        key: Key<'_>,
        epoch: Epoch,
        validity: Validity,
    ) -> Result<Issued, Error> {
        let refuse = |reason: String| Error::Refused { subject: subject.to_string(), reason };
        if self.facts.name == CaName::Root {
            return Err(refuse("the root signs CAs only; use an issuing CA".into()));
        }
        if !self.facts.name.covers(subject) {
            let ca = self.facts.name.uri(&self.facts.domain);
            return Err(refuse(format!("the CA {ca} may not speak for this subject")));
        }
        if subject.to_string().parse::<Subject>().as_ref() != Ok(subject) {
            return Err(refuse("the name has characters that a subject URI cannot carry".into()));
        }
        let validity = validity.within(self.facts.not_after)?;
        let params = profile::leaf(subject, names, epoch, &self.facts.domain, validity)?;
        let serial = params.serial_number.as_ref().map(|s| serial::text(&s.to_bytes())).unwrap_or_default();
        let (leaf, key_pem) = match key {
            Key::Generate => {
                let pair = KeyPair::generate()?;
                (params.signed_by(&pair, &self.issuer)?, Some(Zeroizing::new(pair.serialize_pem())))
            }
            Key::Request(pem) => {
                (params.signed_by(&key::public_key(pem).map_err(refuse)?, &self.issuer)?, None)
            }
            Key::Proven(request) => (params.signed_by(&request.spki, &self.issuer)?, None),
        };
        let chain_pem = format!("{}{}", leaf.pem(), self.pem);
        Ok(Issued { chain_pem, key_pem, serial, subject: subject.clone(), not_after: validity.not_after })
    }

    /// Issues a node certificate: server and client, URI and DNS name of the node.
    pub fn issue_node(
        &self,
        platform: RegionCode,
        node: NodeId,
        names: &LeafNames,
        key: Key<'_>,
        epoch: Epoch,
        validity: Validity,
    ) -> Result<Issued, Error> {
        self.issue(&Subject::Node { platform, node }, names, key, epoch, validity)
    }

    /// Issues an operator certificate: client only.
    pub fn issue_operator(
        &self,
        id: &str,
        key: Key<'_>,
        epoch: Epoch,
        validity: Validity,
    ) -> Result<Issued, Error> {
        self.issue(&Subject::Operator(id.to_owned()), &LeafNames::default(), key, epoch, validity)
    }

    /// Issues an enterprise certificate: client only, with the right to sign.
    pub fn issue_enterprise(
        &self,
        id: &str,
        key: Key<'_>,
        epoch: Epoch,
        validity: Validity,
    ) -> Result<Issued, Error> {
        self.issue(&Subject::Enterprise(id.to_owned()), &LeafNames::default(), key, epoch, validity)
    }

    /// Issues the certificate of an agency's gateway: client only.
    pub fn issue_agency(
        &self,
        code: &str,
        gateway: &str,
        key: Key<'_>,
        epoch: Epoch,
        validity: Validity,
    ) -> Result<Issued, Error> {
        let subject = Subject::Agency { code: code.to_owned(), gateway: gateway.to_owned() };
        self.issue(&subject, &LeafNames::default(), key, epoch, validity)
    }

    fn new(
        params: CertificateParams,
        certificate: Certificate,
        key: Arc<dyn KeyStore>,
    ) -> Result<Self, Error> {
        let pem = certificate.pem();
        let facts = Facts::read(certificate.der(), None)
            .map_err(|reason| Error::Refused { subject: "CA certificate".into(), reason })?;
        let (issuer, der) = (Issuer::new(params, Signer(key)), certificate.der().to_vec());
        Ok(Self { issuer, pem, der, facts, trial: OnceLock::new() })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Facts {
    fn read(der: &[u8], domain: Option<&TrustDomain>) -> Result<Self, String> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|_| "not an X.509 certificate")?;
        if !cert.is_ca() {
            return Err("the certificate is not a CA".into());
        }
        let (domain, name) = match (ca_uri(&cert), domain) {
            (Some(uri), _) => CaName::from_uri(&uri).map_err(|e| e.to_string())?,
            (None, Some(domain)) => (domain.clone(), CaName::Root),
            (None, None) => return Err("the CA certificate names no trust domain".into()),
        };
        Ok(Self {
            domain,
            name,
            not_after: cert.validity().not_after.to_datetime(),
            serial: serial::text(cert.raw_serial()),
            spki: Digest::of(cert.public_key().raw),
            public_key: cert.public_key().subject_public_key.data.to_vec(),
            distinguished_name: cert.subject().as_raw().to_vec(),
            key_identifier: key_identifier(&cert)
                .ok_or("the CA certificate has no subject key identifier")?,
        })
    }
}

/// What certificates and lists below name as their issuer's key.
fn key_identifier(cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn ca_uri(cert: &X509Certificate<'_>) -> Option<String> {
    let san = cert.subject_alternative_name().ok()??;
    san.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })
}

pub(crate) fn first_certificate(pem: &str) -> Result<Vec<u8>, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| "not PEM")?;
    if pem.label != "CERTIFICATE" {
        return Err(format!("PEM section {:?} is not a certificate", pem.label));
    }
    Ok(pem.contents)
}

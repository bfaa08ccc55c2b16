//! Ceremonies of the root, offline: the first one, the import of a root that exists, the yearly opening, and the proof of what
//! was done.
//!
//! What always holds: a paper with an error makes nothing; the root's private key is in memory only while a ceremony acts and
//! leaves it sealed under a key that is divided among persons; every public file stands with its digest in a transcript that
//! the root sealed; the transcript is written last, so that whatever was cut short shows. Nothing here asks a clock or the
//! network: `now` and every file come from the caller.

mod config;
mod folder;
mod rotate;
mod shares;
mod transcript;

pub use config::{
    CONFIG_LEN_MAX, CeremonyConfig, Finding, IssuingConfig, Severity, SharesConfig, WitnessConfig,
};
pub use folder::{Folder, Proof};
pub use rotate::{NEW_BY_OLD, OLD_BY_NEW, OldRoot, Pieces, Rotated, rotate};
pub(crate) use shares::new_id;
pub use shares::{Custody, SHARE_LEN_MAX, Share, ShareOf};
pub use transcript::{Line, TRANSCRIPT_LEN_MAX, Transcript, Verified};

use crate::authority::{Authority, first_certificate};
use crate::{
    CrlContent, CrlEntry, CrlNumber, Error, IssuingSpec, KeyAlgorithm, KeyStore, Reason, Seal, SoftKey,
    Validity, read_crl,
};
use eport_identity::{CaName, CaPurpose, Digest, Epoch, RegionCode, TrustDomain};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// A file that a ceremony makes, by its path in the ceremony's folder.
pub struct OutFile {
    /// Path with `/`.
    pub path: String,
    /// Content.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Readable by its owner only; for one holder's or one node's eyes.
    pub secret: bool,
}

/// An issuing CA that was signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SignedCa {
    /// Its platform.
    pub region: RegionCode,
    /// For whom it issues.
    pub purpose: CaPurpose,
    /// Serial of its certificate.
    pub serial: String,
    /// Its certificate's file in the folder.
    pub certificate: String,
    /// Its key's file, when the key was made here.
    pub key: Option<String>,
}

/// What a ceremony made. Nothing is on disk yet.
pub struct Product {
    /// The files, in the order in which they are to be written: the transcript is the last.
    pub files: Vec<OutFile>,
    /// SHA-256 of the root's public key.
    pub root: Digest,
    /// The issuing CAs.
    pub issuing: Vec<SignedCa>,
    /// Number of the root's revocation list.
    pub crl_number: u64,
    /// Last line of the transcript.
    pub head: Digest,
}

/// The file `root.sealed`: the sealed key together with what its shares are checked against, replaced in one step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRoot {
    /// Who holds shares of the sealing key.
    pub custody: Custody,
    /// The root's private key, sealed; hex.
    pub sealed: String,
}

/// What stands in a ceremony's folder and is needed to open the root again.
pub struct Record {
    /// `root.crt`.
    pub root_pem: String,
    /// `root.crl`.
    pub crl: Vec<u8>,
    /// `root.sealed`.
    pub sealed: SealedRoot,
    /// `bundle.pem`.
    pub bundle: String,
    /// `transcript.jsonl`.
    pub transcript: Transcript,
}

/// Certificate requests by the name they have in the paper.
pub type Requests = BTreeMap<String, String>;

/// The first ceremony: a new root.
pub fn begin(config: &CeremonyConfig, requests: &Requests, now: OffsetDateTime) -> Result<Product, Error> {
    clean(config, true)?;
    let key: Arc<dyn KeyStore> = Arc::new(SoftKey::generate(KeyAlgorithm::P384)?);
    let validity = Validity::days(now, config.root_days);
    let root = Authority::create_root_with(&config.federation, &config.trust_domain, validity, key)?;
    let mut act = Act::new(config, root, now, Transcript::default(), String::new());
    act.note("generate", [("algorithm", "p384".to_owned())]);
    act.root_certificate();
    act.first(requests)
}

/// The first ceremony with a root that exists: certificate and key as PEM. The key's file should be destroyed afterwards.
pub fn import(
    config: &CeremonyConfig,
    certificate: &str,
    key: &str,
    requests: &Requests,
    now: OffsetDateTime,
) -> Result<Product, Error> {
    clean(config, true)?;
    let root =
        Authority::from_parts(certificate, Arc::new(SoftKey::from_pem(key)?), Some(&config.trust_domain))?;
    fit_as_root(certificate, &root, &config.trust_domain, now)?;
    let mut act = Act::new(config, root, now, Transcript::default(), String::new());
    act.note("import", [("serial", act.root.serial().to_owned())]);
    act.root_certificate();
    act.first(requests)
}

/// A later opening: a new revocation list, new issuing CAs, and, with `divide`, new shares.
pub fn open(
    record: Record,
    shares: &[Share],
    config: &CeremonyConfig,
    requests: &Requests,
    divide: bool,
    now: OffsetDateTime,
) -> Result<Product, Error> {
    clean(config, divide)?;
    let der = first_certificate(&record.root_pem).map_err(|reason| Error::Transcript { reason })?;
    record.transcript.verify(&der)?;
    let SealedRoot { custody, sealed } = &record.sealed;
    let seal = custody.recover(shares)?;
    let sealed =
        hex::decode(sealed).map_err(|_| Error::Custody { reason: "root.sealed is damaged".into() })?;
    let key: Arc<dyn KeyStore> = Arc::new(SoftKey::unwrap(&seal, &sealed, custody.context().as_bytes())?);
    let root = Authority::from_parts(&record.root_pem, key, Some(&config.trust_domain))?;
    if root.spki() != custody.root || *root.domain() != config.trust_domain {
        return Err(Error::Custody {
            reason: "root.sealed, root.crt and the paper are not of one root".into(),
        });
    }
    let former = read_crl(&record.crl, &der)?;
    let mut act = Act::new(config, root, now, record.transcript, record.bundle);
    let present: Vec<&str> = shares.iter().map(Share::holder).collect();
    act.note("open", [("division", custody.generation.to_string()), ("present", present.join(" "))]);
    act.issue(requests)?;
    act.list(former.entries, former.number.next(Epoch::NONE))?;
    if divide {
        act.divide(&custody.ceremony, custody.generation.saturating_add(1))?;
    }
    act.finish()
}

/// What an issuing CA's own node makes before the ceremony: a key that stays and a request that travels. (request, key) as PEM.
pub use crate::key::certificate_request as ca_request;

fn clean(config: &CeremonyConfig, divides: bool) -> Result<(), Error> {
    let share_rules = ["share-count", "one-person", "threshold", "holder-name", "holder-twice"];
    let errors = config.lint().into_iter().filter(|f| f.severity == Severity::Error);
    let errors = errors.filter(|f| divides || !share_rules.contains(&f.rule));
    let rules: Vec<String> = errors.map(|f| format!("{}: {}", f.rule, f.detail)).collect();
    if rules.is_empty() { Ok(()) } else { Err(Error::Lint { rules }) }
}

/// A root made elsewhere must do what ours does.
fn fit_as_root(pem: &str, root: &Authority, domain: &TrustDomain, now: OffsetDateTime) -> Result<(), Error> {
    let der = first_certificate(pem).map_err(|reason| Error::Lint { rules: vec![reason] })?;
    let (_, cert) = X509Certificate::from_der(&der)
        .map_err(|_| Error::Lint { rules: vec!["the root cannot be read".into()] })?;
    let usage = cert.key_usage().ok().flatten().map(|u| (u.value.key_cert_sign(), u.value.crl_sign()));
    let path_len = cert.basic_constraints().ok().flatten().and_then(|b| b.value.path_len_constraint);
    let broken = [
        (*root.name() != CaName::Root, "it is an issuing CA, not a root"),
        (root.domain() != domain, "it names another trust domain than the paper"),
        (cert.subject().as_raw() != cert.issuer().as_raw(), "it is not self-issued"),
        (cert.verify_signature(None).is_err(), "it is not signed by its own key"),
        (usage != Some((true, true)), "its key usage must allow certificates and revocation lists"),
        (
            path_len.is_some_and(|n| n < 2),
            "its path length must be 2 or more: a rotation puts one more CA in the path",
        ),
        (cert.validity().not_before.to_datetime() > now, "it is not valid yet"),
        (cert.validity().not_after.to_datetime() < now + Duration::days(365), "it ends within a year"),
    ];
    let rules: Vec<String> = broken.into_iter().filter(|(b, _)| *b).map(|(_, r)| r.to_owned()).collect();
    if rules.is_empty() { Ok(()) } else { Err(Error::Lint { rules }) }
}

/// A ceremony under way.
struct Act<'a> {
    config: &'a CeremonyConfig,
    root: Authority,
    now: OffsetDateTime,
    transcript: Transcript,
    bundle: String,
    files: Vec<OutFile>,
    issuing: Vec<SignedCa>,
    crl_number: u64,
}

impl<'a> Act<'a> {
    fn new(
        config: &'a CeremonyConfig,
        root: Authority,
        now: OffsetDateTime,
        transcript: Transcript,
        bundle: String,
    ) -> Self {
        Self { config, root, now, transcript, bundle, files: Vec::new(), issuing: Vec::new(), crl_number: 0 }
    }

    fn note<const N: usize>(&mut self, action: &str, facts: [(&str, String); N]) {
        self.transcript.add(self.now, action, facts);
    }

    /// A public file, with its digest in the transcript.
    fn publish(&mut self, action: &str, path: &str, bytes: &[u8], facts: Vec<(String, String)>) {
        let file = (format!("{}{path}", transcript::FILE), Digest::of(bytes).to_string());
        self.transcript.add(self.now, action, facts.into_iter().chain([file]));
        self.files.push(OutFile { path: path.to_owned(), bytes: bytes.to_vec().into(), secret: false });
    }

    fn keep_secret(&mut self, path: String, text: &str) {
        self.files.push(OutFile { path, bytes: text.as_bytes().to_vec().into(), secret: true });
    }

    fn root_certificate(&mut self) {
        let pem = self.root.certificate_pem().to_owned();
        let facts = vec![
            ("fingerprint".to_owned(), self.root.spki().to_string()),
            ("serial".to_owned(), self.root.serial().to_owned()),
        ];
        self.publish("root", "root.crt", pem.as_bytes(), facts);
        self.bundle = pem;
    }

    fn first(mut self, requests: &Requests) -> Result<Product, Error> {
        self.issue(requests)?;
        self.list(BTreeMap::new(), CrlNumber::default().next(Epoch::NONE))?;
        self.divide(&shares::new_id(), 1)?;
        self.finish()
    }

    fn issue(&mut self, requests: &Requests) -> Result<(), Error> {
        let config = self.config;
        for ca in &config.issuing {
            let spec = IssuingSpec {
                region: ca.region,
                purpose: ca.purpose,
                epoch: Epoch::from_u64(ca.epoch),
                loopback: ca.loopback,
            };
            let (validity, stem) = (Validity::days(self.now, ca.days), ca.stem());
            let (pem, key) = match &ca.request {
                Some(name) => {
                    let missing =
                        || Error::Lint { rules: vec![format!("{stem}: request {name} is not here")] };
                    (self.root.sign_issuing(spec, validity, requests.get(name).ok_or_else(missing)?)?, None)
                }
                None => {
                    let made = self.root.create_issuing(spec, validity)?;
                    (made.certificate_pem().to_owned(), made.key().export())
                }
            };
            let serial = self.own(&pem)?;
            let key_path = key.as_ref().map(|_| format!("issuing/{stem}.key"));
            if let (Some(path), Some(key)) = (&key_path, &key) {
                self.keep_secret(path.clone(), key);
            }
            let path = format!("issuing/{stem}.crt");
            let facts = [("region", ca.region.to_string()), ("purpose", ca.purpose.to_string())];
            let facts = facts.into_iter().chain([("serial", serial.clone())]);
            let facts = facts.map(|(k, v)| (k.to_owned(), v)).collect();
            self.publish("issuing-ca", &path, pem.as_bytes(), facts);
            self.bundle.push_str(&pem);
            let (region, purpose) = (ca.region, ca.purpose);
            self.issuing.push(SignedCa { region, purpose, serial, certificate: path, key: key_path });
        }
        let bundle = self.bundle.clone();
        self.publish("bundle", "bundle.pem", bundle.as_bytes(), Vec::new());
        Ok(())
    }

    /// The certificate that was just signed, read again: it must be under this root. Its serial.
    fn own(&self, pem: &str) -> Result<String, Error> {
        let refuse = |reason: &str| Error::Refused { subject: "issuing CA".into(), reason: reason.into() };
        let der = first_certificate(pem).map_err(|r| refuse(&r))?;
        let root = first_certificate(self.root.certificate_pem()).map_err(|r| refuse(&r))?;
        let unreadable = |_| refuse("what was signed cannot be read");
        let (_, cert) = X509Certificate::from_der(&der).map_err(unreadable)?;
        let (_, root) = X509Certificate::from_der(&root).map_err(unreadable)?;
        cert.verify_signature(Some(root.public_key()))
            .map_err(|_| refuse("the root's signature does not verify"))?;
        Ok(crate::serial::text(cert.raw_serial()))
    }

    /// The root's revocation list: what was revoked stays revoked.
    fn list(&mut self, mut entries: BTreeMap<String, CrlEntry>, number: CrlNumber) -> Result<(), Error> {
        let now = self.now.replace_nanosecond(0).unwrap_or(self.now);
        for revoke in &self.config.revoke {
            let serial = crate::serial::bytes(&revoke.serial).map(|b| crate::serial::text(&b));
            let entry = CrlEntry { at: now, reason: Reason::of_text(&revoke.reason) };
            entries.entry(serial.unwrap_or_default()).or_insert(entry);
        }
        let revoked = entries.len();
        let (next_update, shard) = (now + Duration::days(self.config.crl_days), None);
        let der =
            self.root.sign_crl(&CrlContent { number, this_update: now, next_update, entries, shard })?;
        let facts = vec![
            ("number".to_owned(), number.0.to_string()),
            ("revoked".to_owned(), revoked.to_string()),
            ("next".to_owned(), next_update.date().to_string()),
        ];
        self.publish("revocation-list", "root.crl", &der, facts);
        self.crl_number = number.0;
        Ok(())
    }

    /// A new sealing key, divided; the shares come before the sealed key, so that the old ones open until it is replaced.
    fn divide(&mut self, ceremony: &str, generation: u32) -> Result<(), Error> {
        let SharesConfig { threshold, holders } = &self.config.shares;
        let seal = Seal::generate();
        let (custody, parts) = Custody::divide(
            &seal,
            ShareOf::Root,
            ceremony,
            self.root.spki(),
            generation,
            *threshold,
            holders,
        );
        // Read back from their files before anything depends on them: a share that does not open is found today.
        let read: Vec<Share> = parts.iter().map(|s| Share::parse(&s.text())).collect::<Result<_, _>>()?;
        for start in 0..read.len() {
            let some: Vec<Share> =
                read.iter().cycle().skip(start).take(usize::from(*threshold)).cloned().collect();
            custody.recover(&some)?;
        }
        for share in &parts {
            self.keep_secret(format!("shares/{}.{generation}.share", share.holder()), &share.text());
        }
        let sealed = hex::encode(self.root.key().wrap(&seal, custody.context().as_bytes())?);
        self.note(
            "divide",
            [
                ("division", generation.to_string()),
                ("threshold", threshold.to_string()),
                ("holders", holders.join(" ")),
                ("check", custody.check.to_string()),
            ],
        );
        let file =
            serde_json::to_vec_pretty(&SealedRoot { custody, sealed }).expect("text always serializes");
        self.publish("sealed-root", "root.sealed", &file, Vec::new());
        Ok(())
    }

    fn finish(mut self) -> Result<Product, Error> {
        let witnesses: Vec<String> =
            self.config.witnesses.iter().map(|w| format!("{} {}", w.name, w.key)).collect();
        self.note("close", [("witnesses", witnesses.join(", "))]);
        self.transcript.seal(self.now, &**self.root.key())?;
        let (text, head) = (self.transcript.text(), self.transcript.head());
        let bytes = text.into_bytes().into();
        self.files.push(OutFile { path: "transcript.jsonl".into(), bytes, secret: false });
        let (files, root, issuing) = (self.files, self.root.spki(), self.issuing);
        Ok(Product { files, root, issuing, crl_number: self.crl_number, head })
    }
}

//! The ceremony of a new root beside the old one: both in one room, each signs the other, and every issuing CA stands under both.

use super::{Act, CeremonyConfig, Product, Record, SealedRoot, Share, clean, fit_as_root};
use crate::authority::{Authority, first_certificate};
use crate::cross::{issuing_of, next_generation, stem_of};
use crate::{CrlNumber, Error, KeyAlgorithm, KeyStore, SoftKey, Validity, facts_of, read_crl};
use eport_identity::{Digest, Epoch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// File of the new root signed by the old one.
pub const NEW_BY_OLD: &str = "cross/new-by-old.crt";
/// File of the old root signed by the new one.
pub const OLD_BY_NEW: &str = "cross/old-by-new.crt";

/// The root that is replaced.
pub enum OldRoot {
    /// One of a ceremony, opened with its shares.
    Ceremony(Box<Record>, Vec<Share>),
    /// One whose key is a file: of a federation that began without a ceremony.
    Files {
        /// Certificate, PEM.
        certificate: String,
        /// Private key, PKCS#8 PEM.
        key: zeroize::Zeroizing<String>,
        /// The trust bundle in force, PEM.
        bundle: String,
    },
}

/// What the ceremony of a rotation made. Nothing is on disk yet.
pub struct Rotated {
    /// The new root's folder: what the online command reads.
    pub new: Product,
    /// The old root's folder with the opening in its transcript; `None` when it has none.
    pub old: Option<Product>,
}

/// Makes a new root, connects it with the old one, and signs every issuing CA again under it.
pub fn rotate(old: OldRoot, config: &CeremonyConfig, now: OffsetDateTime) -> Result<Rotated, Error> {
    clean(config, true)?;
    if !config.issuing.is_empty() {
        let rules =
            vec!["issuing: a rotation signs the CAs that stand; new ones come at an opening".to_owned()];
        return Err(Error::Lint { rules });
    }
    let old = Old::open(old, config, now)?;
    let name = format!("{} root {}", config.federation, next_generation(old.root.der())?);
    let key: Arc<dyn KeyStore> = Arc::new(SoftKey::generate(KeyAlgorithm::P384)?);
    let validity = Validity::days(now, config.root_days);
    let root = Authority::create_root_named(&name, &config.trust_domain, validity, key)?;
    if root.distinguished_name() == old.root.distinguished_name() {
        return Err(Error::Lint { rules: vec!["the new root needs another name than the old one".into()] });
    }
    let (by_old, by_new) = (old.root.cross(root.der(), now)?, root.cross(old.root.der(), now)?);
    // The old root's revocations are of certificates that stand under it: none of them comes back under the new one.
    let fresh = CeremonyConfig { revoke: Vec::new(), ..config.clone() };
    let mut act = Act::new(&fresh, root, now, super::Transcript::default(), String::new());
    act.note("generate", [("algorithm", "p384".to_owned()), ("replaces", old.root.spki().to_string())]);
    act.root_certificate();
    act.publish("cross", NEW_BY_OLD, by_old.as_bytes(), Vec::new());
    act.publish("cross", OLD_BY_NEW, by_new.as_bytes(), Vec::new());
    let mut seen = BTreeSet::new();
    for der in issuing_of(&old.bundle)? {
        let facts = facts_of(&der)?;
        let ended = facts.validity.not_after <= now;
        if old.revoked.contains(&facts.serial) || ended || !seen.insert(facts.key) {
            continue;
        }
        let (pem, stem) = (act.root.reissue(&der, now)?, stem_of(&der)?);
        let short: String = facts.key.to_string().chars().take(8).collect();
        let path = format!("issuing/{stem}-{short}.crt");
        let serial = act.own(&pem)?;
        let said = [("replaces", facts.serial), ("serial", serial)].map(|(k, v)| (k.to_owned(), v));
        act.publish("issuing-ca", &path, pem.as_bytes(), said.into());
        act.bundle.push_str(&pem);
    }
    let bundle = act.bundle.clone();
    act.publish("bundle", "bundle.pem", bundle.as_bytes(), Vec::new());
    act.list(BTreeMap::new(), CrlNumber::default().next(Epoch::NONE))?;
    act.divide(&super::shares::new_id(), 1)?;
    let key = act.root.spki();
    Ok(Rotated { new: act.finish()?, old: old.close(config, &by_old, key, now)? })
}

/// The old root, open.
struct Old {
    root: Authority,
    bundle: String,
    revoked: BTreeSet<String>,
    /// Of a ceremony: its former list, its transcript, the division and who is present.
    record: Option<(crate::CrlContent, super::Transcript, u32, Vec<String>)>,
}

impl Old {
    fn open(old: OldRoot, config: &CeremonyConfig, now: OffsetDateTime) -> Result<Self, Error> {
        let mut revoked: BTreeSet<String> = config
            .revoke
            .iter()
            .filter_map(|r| crate::serial::bytes(&r.serial))
            .map(|b| crate::serial::text(&b))
            .collect();
        match old {
            OldRoot::Files { certificate, key, bundle } => {
                let key = Arc::new(SoftKey::from_pem(&key)?);
                let root = Authority::from_parts(&certificate, key, Some(&config.trust_domain))?;
                fit_as_root(&certificate, &root, &config.trust_domain, now)?;
                Ok(Self { root, bundle, revoked, record: None })
            }
            OldRoot::Ceremony(record, shares) => {
                let der =
                    first_certificate(&record.root_pem).map_err(|reason| Error::Transcript { reason })?;
                record.transcript.verify(&der)?;
                let SealedRoot { custody, sealed } = &record.sealed;
                let seal = custody.recover(&shares)?;
                let sealed = hex::decode(sealed)
                    .map_err(|_| Error::Custody { reason: "root.sealed is damaged".into() })?;
                let key = Arc::new(SoftKey::unwrap(&seal, &sealed, custody.context().as_bytes())?);
                let root = Authority::from_parts(&record.root_pem, key, Some(&config.trust_domain))?;
                if root.spki() != custody.root || *root.domain() != config.trust_domain {
                    let reason = "root.sealed, root.crt and the paper are not of one root".into();
                    return Err(Error::Custody { reason });
                }
                let list = read_crl(&record.crl, &der)?;
                revoked.extend(list.entries.keys().cloned());
                let present = shares.iter().map(|s| s.holder().to_owned()).collect();
                let more = (list, record.transcript, custody.generation, present);
                Ok(Self { root, bundle: record.bundle, revoked, record: Some(more) })
            }
        }
    }

    /// The opening in the old root's own transcript, with the cross certificate and its newest list.
    fn close(
        self,
        config: &CeremonyConfig,
        cross: &str,
        new: Digest,
        now: OffsetDateTime,
    ) -> Result<Option<Product>, Error> {
        let Some((list, transcript, generation, present)) = self.record else { return Ok(None) };
        let mut act = Act::new(config, self.root, now, transcript, self.bundle);
        act.note("open", [("division", generation.to_string()), ("present", present.join(" "))]);
        let path = format!("cross/{new}.crt");
        act.publish("cross", &path, cross.as_bytes(), vec![("successor".to_owned(), new.to_string())]);
        act.list(list.entries, list.number.next(Epoch::NONE))?;
        act.finish().map(Some)
    }
}

/// What the online command needs of a new root's folder, which was proven before. Certificates and the list are DER.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pieces {
    /// The new root.
    pub root: Vec<u8>,
    /// Its revocation list.
    pub list: Vec<u8>,
    /// When the next list must be there.
    pub list_ends: OffsetDateTime,
    /// The new root under the old one.
    pub new_by_old: Vec<u8>,
    /// The old root under the new one.
    pub old_by_new: Vec<u8>,
    /// Issuing CAs under the new root.
    pub issuing: Vec<Vec<u8>>,
}

impl Pieces {
    /// Proves what was signed by whom: the pieces fit together, and `old` is the root that is replaced.
    pub fn prove(&self, old: &[u8]) -> Result<(), Error> {
        let refuse = |reason: &str| Error::Refused { subject: "rotation".into(), reason: reason.into() };
        let unreadable = |_| refuse("a certificate cannot be read");
        let (_, root) = X509Certificate::from_der(&self.root).map_err(unreadable)?;
        root.verify_signature(None).map_err(|_| refuse("the new root is not signed by its own key"))?;
        let crossed =
            crate::issued_by(&self.new_by_old, old) && crate::issued_by(&self.old_by_new, &self.root);
        let key = |der: &[u8]| facts_of(der).map(|facts| facts.key).ok();
        let same = key(&self.new_by_old) == key(&self.root) && key(&self.old_by_new) == key(old);
        if !crossed || !same {
            return Err(refuse("the cross certificates are not signed by the root in use and the new one"));
        }
        if !self.issuing.iter().all(|der| crate::issued_by(der, &self.root)) {
            return Err(refuse("an issuing CA is not signed by the new root"));
        }
        let list = read_crl(&self.list, &self.root)?;
        if list.next_update != self.list_ends {
            return Err(refuse("the list ends at another time than was said"));
        }
        Ok(())
    }
}

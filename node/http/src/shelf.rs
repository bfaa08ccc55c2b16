//! The CAs of this node: those whose keys are open, and those whose keys lie here locked.
//!
//! What always holds: a key is open because its file was opened, or because persons brought their shares while this node was primary;
//! what shares opened closes when the platform has another epoch or another primary; a key file that others can reach, or that
//! lies in the clear without a passphrase to seal it, ends the start. Nothing that was opened by shares is written to disk.

use crate::lockout::Lockout;
use bytes::Bytes;
use eport_authority::{Authority, KeyForm, Passphrase, read_key_file, seal_in_place};
use eport_model::{CaName, Code, Digest, Epoch, RegionCode, Subject, codes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Certificates issued at once; the journal groups them, more wait.
const ISSUING_MAX: usize = 256;
/// CAs in the folder.
const CAS_MAX: usize = 256;

/// Answers that were signed and can be given again.
pub(crate) type Signed = Mutex<BTreeMap<Vec<u8>, (usize, Epoch, Instant, Bytes)>>;

/// Why a key is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenedBy {
    /// Its file.
    File,
    /// Shares, in this epoch of its platform.
    Shares(Epoch),
}

/// A CA whose key lies here sealed.
#[derive(Clone, Debug)]
pub struct LockedCa {
    /// Name of its files.
    pub stem: String,
    /// SHA-256 of its public key (SPKI).
    pub key: Digest,
    /// Its platform and purpose.
    pub name: CaName,
    dir: PathBuf,
}

#[derive(Default)]
struct Held {
    open: Vec<(Arc<Authority>, OpenedBy)>,
    locked: Vec<LockedCa>,
}

/// The CAs of this node.
pub struct CaShelf {
    held: RwLock<Held>,
    /// Revocation lists of roots, by key: made in a ceremony, served as they are.
    pub(crate) root_lists: BTreeMap<String, Bytes>,
    pub(crate) issuing: Semaphore,
    pub(crate) lists: Signed,
    pub(crate) answers: Signed,
    /// Who answers OCSP in the place of the CAs.
    pub(crate) delegates: crate::ocsp::Delegates,
    /// Wrong tokens by address, lately.
    pub(crate) wrong: Lockout,
}

impl Default for CaShelf {
    fn default() -> Self {
        Self {
            held: RwLock::default(),
            root_lists: BTreeMap::new(),
            issuing: Semaphore::new(ISSUING_MAX),
            lists: Mutex::default(),
            answers: Mutex::default(),
            delegates: Default::default(),
            wrong: Lockout::default(),
        }
    }
}

fn coded(e: eport_authority::Error) -> (Code, String) {
    (Code(e.code()), e.to_string())
}

impl CaShelf {
    /// Reads every pair `NAME.crt`, `NAME.key` of a folder, and `root.crl` with `root.crt`. Sealed keys open with the passphrase, or
    /// stay locked without one; a key in the clear is sealed, or refused without one. Answers also what is there and not used,
    /// for the log: a root's key has no place on a node.
    pub fn open(dir: &Path, passphrase: Option<&Passphrase>) -> Result<(Self, Vec<String>), (Code, String)> {
        let mut unused = Vec::new();
        let mut held = Held::default();
        for name in stems(dir)? {
            let key_path = dir.join(format!("{name}.key"));
            let (_, form) = read_key_file(&key_path).map_err(coded)?;
            let facts = certificate(dir, &name)?;
            if form == KeyForm::Plain {
                let Some(passphrase) = passphrase else {
                    return Err((codes::CA_KEY_PLAIN, key_path.display().to_string()));
                };
                seal_in_place(&key_path, passphrase).map_err(coded)?;
                unused.push(format!("{name}.key lay in the clear and is sealed now"));
            }
            let CaName::Issuing { .. } = facts.1 else {
                unused.push(format!("{name}.key is a root's: take it off this node"));
                continue;
            };
            if held.open.len() + held.locked.len() >= CAS_MAX {
                unused.push(format!("{name}: more than {CAS_MAX} CAs"));
                continue;
            }
            match passphrase {
                Some(word) => {
                    let authority = Authority::load_with(dir, &name, Some(word)).map_err(coded)?;
                    held.open.push((Arc::new(authority), OpenedBy::File));
                }
                None => {
                    let (dir, key, ca) = (dir.to_owned(), facts.0, facts.1);
                    held.locked.push(LockedCa { stem: name, key, name: ca, dir });
                }
            }
        }
        let mut shelf = Self { held: RwLock::new(held), ..Self::default() };
        if let Ok(list) = std::fs::read(dir.join("root.crl")) {
            match root_list(dir, &list) {
                Some(key) => drop(shelf.root_lists.insert(key, list.into())),
                None => unused.push("root.crl is not signed by root.crt".into()),
            }
        }
        Ok((shelf, unused))
    }

    fn read<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every CA whose key is open, and why it is.
    pub fn all(&self) -> Vec<(Arc<Authority>, OpenedBy)> {
        self.read(|held| held.open.clone())
    }

    /// Every CA whose key lies here locked.
    pub fn locked(&self) -> Vec<LockedCa> {
        self.read(|held| held.locked.clone())
    }

    /// The open CA with this key.
    pub(crate) fn of_key(&self, key: &Digest) -> Option<Arc<Authority>> {
        self.read(|held| held.open.iter().find(|(a, _)| a.spki() == *key).map(|(a, _)| a.clone()))
    }

    /// The CA of a platform that may speak for a subject; one that is for this kind of subject alone comes first.
    pub(crate) fn find(&self, platform: RegionCode, subject: &Subject) -> Option<Arc<Authority>> {
        let fits = |a: &&Arc<Authority>| a.region() == Some(platform) && a.name().covers(subject);
        // Names order Infra and Subject before Any.
        self.read(|held| {
            held.open.iter().map(|(a, _)| a).filter(fits).min_by_key(|a| a.name().clone()).cloned()
        })
    }

    /// Takes a CA whose key persons have opened.
    pub(crate) fn admit(&self, authority: Authority, by: OpenedBy) {
        let key = authority.spki();
        self.change(|held| {
            held.open.retain(|(a, _)| a.spki() != key);
            held.open.push((Arc::new(authority), by));
            if by == OpenedBy::File {
                held.locked.retain(|l| l.key != key);
            }
        });
    }

    /// Opens what lies here locked for a platform; answers whose keys are open now.
    pub(crate) fn unlock(
        &self,
        region: RegionCode,
        passphrase: &Passphrase,
    ) -> Result<Vec<Digest>, (Code, String)> {
        let wanted = self.locked().into_iter().filter(|l| l.name.region() == Some(region));
        let mut opened = Vec::new();
        for ca in wanted {
            let authority = Authority::load_with(&ca.dir, &ca.stem, Some(passphrase)).map_err(coded)?;
            opened.push(authority.spki());
            self.admit(authority, OpenedBy::File);
        }
        Ok(opened)
    }

    /// Lets the keys go that shares opened for an epoch that is over; answers whose.
    pub(crate) fn close(&self, holds: impl Fn(RegionCode, Epoch) -> bool) -> Vec<Digest> {
        let over = |(authority, by): &(Arc<Authority>, OpenedBy)| match (by, authority.region()) {
            (OpenedBy::Shares(epoch), Some(region)) => !holds(region, *epoch),
            _ => false,
        };
        if !self.read(|held| held.open.iter().any(over)) {
            return Vec::new();
        }
        self.change(|held| {
            let gone = held.open.iter().filter(|entry| over(entry)).map(|(a, _)| a.spki()).collect();
            held.open.retain(|entry| !over(entry));
            gone
        })
    }
}

fn stems(dir: &Path) -> Result<Vec<String>, (Code, String)> {
    let failed = |e: std::io::Error| (codes::KEY_UNREADABLE, format!("{}: {e}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)?.take(4 * CAS_MAX) {
        let path = entry.map_err(failed)?.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned);
        if let Some(stem) = stem.filter(|_| path.extension().is_some_and(|e| e == "key")) {
            names.push(stem);
        }
    }
    names.sort();
    Ok(names)
}

/// Key and name of a CA's certificate in the folder.
fn certificate(dir: &Path, stem: &str) -> Result<(Digest, CaName), (Code, String)> {
    let path = dir.join(format!("{stem}.crt"));
    let unusable = |why: String| (codes::KEY_UNREADABLE, format!("{}: {why}", path.display()));
    let certificates = eport_tls::TrustBundle::certificates(&path).map_err(|e| unusable(e.to_string()))?;
    let der = certificates.first().ok_or_else(|| unusable("it holds no certificate".into()))?;
    let key = eport_signature::issuer_facts(der).map_err(|e| unusable(e.to_string()))?.key_id;
    let uri = eport_authority::facts_of(der).map_err(|e| unusable(e.to_string()))?.uri;
    Ok((key, CaName::from_uri(&uri).map_or(CaName::Root, |(_, name)| name)))
}

/// Key of the root that signed this list.
fn root_list(dir: &Path, list: &[u8]) -> Option<String> {
    let certificates = eport_tls::TrustBundle::certificates(&dir.join("root.crt")).ok()?;
    let root = certificates.first()?;
    eport_authority::read_crl(list, root).ok()?;
    Some(eport_signature::issuer_facts(root).ok()?.key_id.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use eport_authority::{CaPurpose, IssuingSpec, Validity};

    fn cas(dir: &Path, word: Option<&Passphrase>) -> Digest {
        let (domain, now) = ("gd.eport.example".parse().unwrap(), time::OffsetDateTime::now_utc());
        let root = Authority::create_root("gd", &domain, Validity::days(now, 9)).unwrap();
        let (region, purpose) = ("440300".parse().unwrap(), CaPurpose::Any);
        let spec = IssuingSpec { region, purpose, epoch: Epoch::INITIAL, loopback: true };
        let ca = root.create_issuing(spec, Validity::days(now, 8)).unwrap();
        match word {
            Some(word) => ca.save_sealed(dir, "440300", word).unwrap(),
            None => ca.save(dir, "440300").unwrap(),
        }
        ca.spki()
    }

    #[test]
    fn a_sealed_key_stays_locked_until_its_passphrase_comes_and_a_plain_one_is_sealed_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (region, word) = ("440300".parse().unwrap(), Passphrase::draw());
        let key = cas(dir.path(), Some(&word));
        let (shelf, _) = CaShelf::open(dir.path(), None).unwrap();
        assert!(shelf.all().is_empty() && shelf.locked()[0].key == key);
        assert!(shelf.unlock(region, &Passphrase::draw()).is_err() && shelf.all().is_empty());
        assert!(shelf.unlock("440100".parse().unwrap(), &word).unwrap().is_empty(), "another platform's");
        assert_eq!(shelf.unlock(region, &word).unwrap(), [key]);
        assert!(shelf.of_key(&key).is_some() && shelf.locked().is_empty());
        assert!(shelf.close(|_, _| false).is_empty(), "what a file opened stays open");
        let key = cas(dir.path(), None);
        let (code, _) = CaShelf::open(dir.path(), None).err().unwrap();
        assert_eq!(code, codes::CA_KEY_PLAIN);
        let (shelf, said) = CaShelf::open(dir.path(), Some(&word)).unwrap();
        assert!(shelf.of_key(&key).is_some() && said[0].contains("sealed now"), "{said:?}");
        let (_, form) = read_key_file(&dir.path().join("440300.key")).unwrap();
        assert_eq!(form, KeyForm::Sealed);
    }

    #[test]
    fn what_shares_opened_closes_with_the_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let word = Passphrase::draw();
        let key = cas(dir.path(), Some(&word));
        let (shelf, _) = CaShelf::open(dir.path(), None).unwrap();
        let epoch = Epoch::from_u64(5);
        let authority = Authority::load_with(dir.path(), "440300", Some(&word)).unwrap();
        shelf.admit(authority, OpenedBy::Shares(epoch));
        assert!(shelf.close(|_, e| e == epoch).is_empty() && shelf.of_key(&key).is_some());
        assert_eq!(shelf.close(|_, e| e == epoch.next()), [key]);
        assert!(shelf.of_key(&key).is_none() && shelf.locked().len() == 1);
    }
}

//! Key files at rest: PKCS#8 sealed with AES-256-GCM under Argon2id of a passphrase, and the passphrase's own file.
//!
//! ```text
//! -----BEGIN EPORT SEALED KEY-----     version 1 ‖ KiB (u32) ‖ passes (u32) ‖ salt (16) ‖ nonce ‖ ciphertext ‖ tag
//! ```
//!
//! What always holds: a sealed key opens only beside the certificate it belongs to; file and passphrase are readable by their owner
//! only, or are refused; what was opened is wiped when it goes. A passphrase that this program drew has 256 random bits and is
//! stretched by almost nothing; a person's is stretched by 64 MiB and three passes. A header that asks for more than
//! [`KIB_MAX`] is refused before a byte is taken.

use crate::authority::first_certificate;
use crate::files::read_key;
use crate::seal::Cost;
use crate::{Error, KeyStore, SALT_LEN, Seal, SoftKey, pem_of};
use eport_identity::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

const LABEL: &str = "EPORT SEALED KEY";
const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 4 + 4 + SALT_LEN;
/// Most memory that a file's header may ask for.
pub(crate) const KIB_MAX: u32 = 256 << 10;
/// Most passes that it may ask for.
pub(crate) const PASSES_MAX: u32 = 10;
/// What a drawn passphrase begins with.
const DRAWN: &str = "drawn:";
/// Name of the passphrase's file beside the keys, where a federation keeps it there: development and demonstration.
pub const PASSPHRASE_BESIDE: &str = "passphrase";
/// Different salts remembered; a folder has one.
const DERIVED_MAX: usize = 64;

/// Keys that were derived already, by cost and salt.
type Derived = BTreeMap<(Cost, [u8; SALT_LEN]), Arc<Seal>>;

/// A passphrase under which keys are sealed. What it was stretched to is kept, so that a folder of keys costs one stretching.
pub struct Passphrase {
    text: Zeroizing<String>,
    salt: [u8; SALT_LEN],
    derived: Mutex<Derived>,
}

impl Passphrase {
    /// A person's passphrase, or the text of a drawn one.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() < crate::PASSPHRASE_LEN_MIN {
            let reason = format!("a passphrase of at least {} bytes is needed", crate::PASSPHRASE_LEN_MIN);
            return Err(Error::Custody { reason });
        }
        let derived = Mutex::default();
        Ok(Self { text: Zeroizing::new(text.to_owned()), salt: rand::random(), derived })
    }

    /// Draws one.
    pub fn draw() -> Self {
        let secret = Zeroizing::new(rand::random::<[u8; 32]>());
        let text = Zeroizing::new(format!("{DRAWN}{}", hex::encode(*secret)));
        Self { text, salt: rand::random(), derived: Mutex::default() }
    }

    /// Reads the file of a passphrase: comments (`#`) and one line. Refused when anyone but its owner can reach it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_key(path)?;
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let unusable = |reason: &str| Error::Unusable { path: path.to_owned(), reason: reason.to_owned() };
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(unusable("one line with the passphrase is needed, besides comments"));
        };
        Self::new(line).map_err(|e| unusable(&e.to_string()))
    }

    /// Writes its file, mode 0600, with a comment that says what it opens.
    pub fn write(&self, path: &Path, comment: &str) -> Result<(), Error> {
        let comment: String = comment.lines().map(|l| format!("# {l}\n")).collect();
        crate::write_key(path, &Zeroizing::new(format!("{comment}{}\n", *self.text)))
    }

    /// Its text, for a node that shall open its own files.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Seals a key: the text of its file.
    pub fn seal(&self, key: &dyn KeyStore) -> Result<String, Error> {
        let cost = if self.text.starts_with(DRAWN) { Cost::RANDOM } else { Cost::PERSON };
        let sealed = key.wrap(&*self.stretched(cost, self.salt)?, context(key.public_point()).as_bytes())?;
        let mut body = vec![VERSION];
        body.extend_from_slice(&cost.kib.to_be_bytes());
        body.extend_from_slice(&cost.passes.to_be_bytes());
        body.extend_from_slice(&self.salt);
        body.extend_from_slice(&sealed);
        Ok(pem_of(LABEL, &body))
    }

    /// Opens the text of a key's file. `public_point` is that of the certificate it belongs to.
    pub fn open(&self, text: &str, public_point: &[u8]) -> Result<SoftKey, Error> {
        let damaged = |reason: &str| Error::Custody { reason: format!("the sealed key {reason}") };
        let pem = pem::parse(text).map_err(|_| damaged("is not PEM"))?;
        let body = pem.contents();
        if pem.tag() != LABEL || body.len() < HEADER_LEN || body[0] != VERSION {
            return Err(damaged("has a form that this version does not know"));
        }
        let number = |at: usize| {
            let bytes = body[at..at + 4].try_into().unwrap_or_default();
            u32::from_be_bytes(bytes)
        };
        let cost = Cost { kib: number(1), passes: number(5) };
        if !(8..=KIB_MAX).contains(&cost.kib) || !(1..=PASSES_MAX).contains(&cost.passes) {
            return Err(damaged("asks for more work than any of ours"));
        }
        let salt: [u8; SALT_LEN] = body[9..HEADER_LEN].try_into().unwrap_or_default();
        let seal = self.stretched(cost, salt)?;
        SoftKey::unwrap(&seal, &body[HEADER_LEN..], context(public_point).as_bytes())
    }

    fn stretched(&self, cost: Cost, salt: [u8; SALT_LEN]) -> Result<Arc<Seal>, Error> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seal) = derived.get(&(cost, salt)) {
            return Ok(seal.clone());
        }
        let seal = Arc::new(Seal::stretched(&self.text, &salt, cost)?);
        if derived.len() >= DERIVED_MAX {
            derived.clear();
        }
        derived.insert((cost, salt), seal.clone());
        Ok(seal)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

fn context(public_point: &[u8]) -> String {
    format!("eport sealed key 1/{}", Digest::of(public_point))
}

/// How a key lies in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyForm {
    /// PKCS#8 in the clear.
    Plain,
    /// Sealed under a passphrase.
    Sealed,
}

/// Reads a key's file, which its owner alone may reach, and says how the key lies in it.
pub fn read_key_file(path: &Path) -> Result<(Zeroizing<String>, KeyForm), Error> {
    let text = read_key(path)?;
    let sealed = text.contains(&format!("-----BEGIN {LABEL}-----"));
    Ok((text, if sealed { KeyForm::Sealed } else { KeyForm::Plain }))
}

/// The key of a certificate from its file, as PKCS#8 PEM; a sealed one is opened with the passphrase beside it.
pub fn open_key(path: &Path, certificate_pem: &str) -> Result<Zeroizing<String>, Error> {
    let (text, form) = read_key_file(path)?;
    if form == KeyForm::Plain {
        return Ok(text);
    }
    let unusable = |reason: String| Error::Unusable { path: path.to_owned(), reason };
    let der = first_certificate(certificate_pem).map_err(unusable)?;
    let (_, certificate) = X509Certificate::from_der(&der)
        .map_err(|_| unusable("its certificate is not an X.509 one".into()))?;
    let key = open_beside(path, &certificate.public_key().subject_public_key.data, None)?;
    key.export().ok_or_else(|| unusable("the key does not leave its store".into()))
}

/// A key's file opened beside its certificate: with the passphrase given, or the one that lies in the same folder. A sealed key
/// without one is [`Error::Locked`].
pub(crate) fn open_beside(
    path: &Path,
    public_point: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<SoftKey, Error> {
    let unusable = |e: Error| match e {
        Error::Custody { reason } => Error::Unusable { path: path.to_owned(), reason },
        other => other,
    };
    let (text, form) = read_key_file(path)?;
    if form == KeyForm::Plain {
        return SoftKey::from_pem(&text).map_err(unusable);
    }
    if let Some(passphrase) = passphrase {
        return passphrase.open(&text, public_point).map_err(unusable);
    }
    let beside = beside(path);
    if !beside.exists() {
        return Err(Error::Locked { path: path.to_owned() });
    }
    Passphrase::read(&beside)?.open(&text, public_point).map_err(unusable)
}

fn beside(path: &Path) -> PathBuf {
    path.with_file_name(PASSPHRASE_BESIDE)
}

/// Seals a key's file in place when it lies there in the clear; true when it did. The new file takes the old one's name in one step.
pub fn seal_in_place(path: &Path, passphrase: &Passphrase) -> Result<bool, Error> {
    let (text, form) = read_key_file(path)?;
    if form == KeyForm::Sealed {
        return Ok(false);
    }
    let unusable = |e: Error| Error::Unusable { path: path.to_owned(), reason: e.to_string() };
    let key = SoftKey::from_pem(&text).map_err(unusable)?;
    let sealed = passphrase.seal(&key)?;
    // It must open again before the plain one goes.
    passphrase.open(&sealed, key.public_point())?;
    crate::write_key(path, &sealed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::KeyAlgorithm;
    use std::os::unix::fs::PermissionsExt;

    fn key() -> SoftKey {
        SoftKey::generate(KeyAlgorithm::P256).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_beside_its_certificate_and_with_nothing_else() {
        let (key, other, word) = (key(), key(), Passphrase::draw());
        let text = word.seal(&key).unwrap();
        assert!(!text.contains("PRIVATE KEY"));
        assert_eq!(word.open(&text, key.public_point()).unwrap().public_point(), key.public_point());
        assert!(Passphrase::draw().open(&text, key.public_point()).is_err(), "another passphrase");
        assert!(word.open(&text, other.public_point()).is_err(), "another certificate");
        let persons = Passphrase::new("correct horse battery").unwrap();
        let text = persons.seal(&key).unwrap();
        let again = Passphrase::new("correct horse battery").unwrap();
        assert!(again.open(&text, key.public_point()).is_ok());
        assert!(Passphrase::new("too short").is_err());
    }

    #[test]
    fn an_altered_sealed_file_is_an_error_never_a_panic_and_takes_no_memory_it_asks_for() {
        let (key, word) = (key(), Passphrase::draw());
        let text = word.seal(&key).unwrap();
        let body = pem::parse(&text).unwrap().contents().to_vec();
        // The last bytes of each part stand for the part; each trial of a salt or a cost stretches anew.
        for at in [0, 12, HEADER_LEN, HEADER_LEN + 20, body.len() - 1] {
            let mut bad = body.clone();
            bad[at] ^= 1;
            assert!(word.open(&pem_of(LABEL, &bad), key.public_point()).is_err(), "byte {at}");
        }
        for cut in 0..body.len() {
            assert!(word.open(&pem_of(LABEL, &body[..cut]), key.public_point()).is_err(), "cut at {cut}");
        }
        for (at, value) in [(1, u32::MAX), (1, KIB_MAX + 1), (1, 0), (5, 0), (5, u32::MAX)] {
            let mut bad = body.clone();
            bad[at..at + 4].copy_from_slice(&value.to_be_bytes());
            let error = word.open(&pem_of(LABEL, &bad), key.public_point()).err().unwrap().to_string();
            assert!(error.contains("asks for more work"), "{error}");
        }
    }

    #[test]
    fn a_plain_key_is_sealed_in_place_and_a_passphrase_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, word_path) = (dir.path().join("ca.key"), dir.path().join(PASSPHRASE_BESIDE));
        let (key, word) = (key(), Passphrase::draw());
        crate::write_key(&path, &key.export().unwrap()).unwrap();
        assert!(seal_in_place(&path, &word).unwrap() && !seal_in_place(&path, &word).unwrap());
        assert!(!std::fs::read_to_string(&path).unwrap().contains("BEGIN PRIVATE KEY"));
        let locked = open_beside(&path, key.public_point(), None).err().unwrap();
        assert!(matches!(locked, Error::Locked { .. }) && locked.code() == 4140, "{locked}");
        word.write(&word_path, "opens ca.key\nkept beside it").unwrap();
        assert!(open_beside(&path, key.public_point(), None).is_ok());
        std::fs::set_permissions(&word_path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Passphrase::read(&word_path).err().unwrap(), Error::KeyExposed { .. }));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(
            open_beside(&path, key.public_point(), Some(&word)).err().unwrap(),
            Error::KeyExposed { .. }
        ));
    }
}

//! Whole files encrypted for a backup: one key a file, derived from the backup's key and the file's name.
//!
//! Always: a file key encrypts once, because a backup's key is drawn for one backup and a name stands in it once; so the nonce
//! may be zero. A file opens under its own name only.

use crate::{DataKey, OpenError};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// First bytes of an encrypted file; the digits are its format.
const MAGIC: &[u8; 8] = b"EPBKUP01";

fn key_of(key: &DataKey, name: &str) -> LessSafeKey {
    let key = key.derive(name.as_bytes(), &[b"eport backup file 1"]);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).expect("the key has the length that AES-256 needs"))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Encrypts the content of the file `name`.
pub fn seal_file(key: &DataKey, name: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAGIC.len() + plain.len() + 16);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(plain);
    let tag = key_of(key, name)
        .seal_in_place_separate_tag(nonce(), Aad::from(MAGIC), &mut out[MAGIC.len()..])
        .expect("a file of a backup is far shorter than what GCM encrypts at once");
    out.extend_from_slice(tag.as_ref());
    out
}

/// Decrypts the content of the file `name`.
pub fn open_file(key: &DataKey, name: &str, mut file: Vec<u8>) -> Result<Vec<u8>, OpenError> {
    if !file.starts_with(MAGIC) {
        return Err(OpenError::Format);
    }
    let plain = key_of(key, name)
        .open_within(nonce(), Aad::from(MAGIC), &mut file, MAGIC.len()..)
        .map_err(|_| OpenError::Forged)?;
    let len = plain.len();
    file.truncate(len);
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_opens_whole_under_its_own_name_and_key_only() {
        let (key, other) = (DataKey::from_bytes([1; 32].into()), DataKey::from_bytes([2; 32].into()));
        let sealed = seal_file(&key, "registry.epb", b"rows of the registry");
        assert!(!sealed.windows(4).any(|w| w == b"rows"));
        assert_eq!(open_file(&key, "registry.epb", sealed.clone()).unwrap(), b"rows of the registry");
        assert!(open_file(&key, "440000-1.epb", sealed.clone()).is_err());
        assert!(open_file(&other, "registry.epb", sealed.clone()).is_err());
        for cut in 0..sealed.len() {
            assert!(open_file(&key, "registry.epb", sealed[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        assert_eq!(open_file(&key, "e", seal_file(&key, "e", b"")).unwrap(), b"");
    }
}

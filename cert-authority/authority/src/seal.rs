//! AES-256-GCM under a key that is random (shared among persons) or derived from a passphrase by Argon2id.
//!
//! A sealed blob is `nonce ‖ ciphertext ‖ tag`; the context is bound to it, so a blob opens only where it belongs. Nonces are
//! random: a seal is used a handful of times in its life.

use crate::Error;
use eport_identity::Digest;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Largest blob opened.
const SEALED_LEN_MAX: usize = 64 << 10;
/// What Argon2id is asked to do, with one lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Cost {
    /// Memory, KiB.
    pub kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Cost {
    /// For what a person can remember: 64 MiB, three passes (second choice of RFC 9106).
    pub(crate) const PERSON: Self = Self { kib: 64 << 10, passes: 3 };
    /// For 256 random bits, which no stretching makes harder to guess.
    pub(crate) const RANDOM: Self = Self { kib: 256, passes: 1 };
}

/// Shortest passphrase accepted, in bytes.
pub const PASSPHRASE_LEN_MIN: usize = 12;
/// Bytes of a salt.
pub const SALT_LEN: usize = 16;

/// A key that seals other keys.
pub struct Seal(Zeroizing<[u8; 32]>);

impl Seal {
    /// A random one.
    pub fn generate() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| fault("a sealing key has 32 bytes"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// From a passphrase and the salt of its file.
    pub fn from_passphrase(passphrase: &str, salt: &[u8; SALT_LEN]) -> Result<Self, Error> {
        Self::stretched(passphrase, salt, Cost::PERSON)
    }

    /// From a passphrase with a stated cost.
    pub(crate) fn stretched(passphrase: &str, salt: &[u8; SALT_LEN], cost: Cost) -> Result<Self, Error> {
        if passphrase.len() < PASSPHRASE_LEN_MIN {
            return Err(fault("a passphrase of at least 12 bytes is needed"));
        }
        let params = argon2::Params::new(cost.kib, cost.passes, 1, Some(32))
            .map_err(|_| fault("the cost of the passphrase is out of bounds"))?;
        let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut key = Zeroizing::new([0u8; 32]);
        argon
            .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
            .map_err(|_| fault("the passphrase is too long"))?;
        Ok(Self(key))
    }

    /// The bytes, for those who divide them.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What tells this key from another without giving anything of it away: the key is 256 random bits.
    pub(crate) fn check(&self, context: &[u8]) -> Digest {
        Digest::of(&Zeroizing::new([b"eport seal check 1".as_slice(), context, &*self.0].concat()))
    }

    /// Seals a secret.
    pub fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut out = nonce.to_vec();
        let mut body = plain.to_vec();
        self.key()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
            .map_err(|_| fault("the key could not be sealed"))?;
        out.append(&mut body);
        Ok(out)
    }

    /// Opens what `seal` made.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let damaged = || fault("it was sealed under another key or context, or was altered");
        if sealed.len() > SEALED_LEN_MAX {
            return Err(damaged());
        }
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = Zeroizing::new(body.to_vec());
        let len =
            self.key().open_in_place(nonce, Aad::from(context), &mut body).map_err(|_| damaged())?.len();
        body.truncate(len);
        Ok(body)
    }

    fn key(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*self.0).expect("the key has 32 bytes"))
    }
}

fn fault(reason: &str) -> Error {
    Error::Custody { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_with_its_key_and_context_and_shows_every_altered_byte() {
        let seal = Seal::generate();
        let blob = seal.seal(b"secret", b"here").unwrap();
        assert_eq!(**seal.open(&blob, b"here").unwrap(), *b"secret");
        assert!(seal.open(&blob, b"there").is_err() && Seal::generate().open(&blob, b"here").is_err());
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            assert!(seal.open(&bad, b"here").is_err(), "byte {at}");
            assert!(seal.open(&blob[..at], b"here").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_passphrase_gives_the_same_key_only_with_the_same_salt() {
        let key = |word: &str, salt| *Seal::from_passphrase(word, &[salt; SALT_LEN]).unwrap().bytes();
        assert_eq!(key("correct horse battery", 1), key("correct horse battery", 1));
        assert_ne!(key("correct horse battery", 1), key("correct horse battery", 2));
        assert!(Seal::from_passphrase("short", &[0; SALT_LEN]).is_err());
    }
}

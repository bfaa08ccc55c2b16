//! The keys of one platform on one node: the newest encrypts, every one decrypts.

use crate::{DataKey, FORMAT, HEADER_LEN, KEY_LEN, KeyId, OVERHEAD, Opening, commitment};
use eport_identity::{Digest, RegionCode};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// 128 random bits, drawn once for one key ring and never again.
pub type Session = [u8; 16];

/// Encryptions of one session at most: with parts of at most 1 MiB that is 2^48 blocks under one key, far below what GCM bears.
pub const SESSION_MAX: u64 = 1 << 32;

/// A keyed digest of a value that rows are found by.
pub type Blind = [u8; 16];

/// Which part of a record an envelope holds. Numbers are part of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Body 0: the request as lodged.
    Request = 0,
    /// Body 1: what readers are shown, where normalisation changed something.
    Shown = 1,
    /// Sensitive columns of a state row.
    Columns = 2,
}

/// What an envelope is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// Request id of the record.
    pub request: &'a str,
    /// Part of the record.
    pub part: Part,
}

/// Why something was not encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The session has encrypted as much as it may; a new one is needed.
    #[error("the key session is used up")]
    UsedUp,
}

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not an envelope, or one of another format.
    #[error("not an envelope of a known format")]
    Format,
    /// Its key is not here.
    #[error("data key {0} is not here")]
    NoKey(u32),
    /// Altered, or made for another platform, request or part.
    #[error("the envelope was altered or belongs elsewhere")]
    Forged,
}

/// The data keys of one platform. Shared by request tasks; encrypting takes no lock.
pub struct KeyRing {
    platform: RegionCode,
    keys: BTreeMap<KeyId, DataKey>,
    newest: KeyId,
    session: Session,
    sealing: LessSafeKey,
    counter: AtomicU64,
    index: hmac::Key,
    content: hmac::Key,
    openings: hmac::Key,
}

impl KeyRing {
    /// A ring of these keys. `None` without the first key, on which the blind index rests.
    pub fn new(platform: RegionCode, keys: BTreeMap<KeyId, DataKey>, session: Session) -> Option<Self> {
        let first = keys.get(&KeyId::FIRST)?;
        let (newest, key) = keys.last_key_value()?;
        let code = platform.as_u32().to_be_bytes();
        let mac = |what: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &*first.derive(&[], &[what, &code]));
        Some(Self {
            index: mac(b"eport blind index 1"),
            content: mac(b"eport content digest 1"),
            openings: mac(b"eport content opening 1"),
            sealing: session_key(key, platform, &session),
            counter: AtomicU64::new(0),
            newest: *newest,
            session,
            platform,
            keys,
        })
    }

    /// The platform.
    pub fn platform(&self) -> RegionCode {
        self.platform
    }

    /// The key that new records are encrypted under.
    pub fn newest(&self) -> KeyId {
        self.newest
    }

    /// Numbers of all keys here.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.keys().copied()
    }

    /// A key.
    pub fn key(&self, id: KeyId) -> Option<&DataKey> {
        self.keys.get(&id)
    }

    /// True when the session is half used: time for a ring with a new one.
    pub fn is_worn(&self) -> bool {
        self.counter.load(Ordering::Relaxed) >= SESSION_MAX / 2
    }

    /// Encrypts `plain` for its place.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        if counter >= SESSION_MAX {
            return Err(SealError::UsedUp);
        }
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        out.push(FORMAT);
        out.extend_from_slice(&self.newest.as_u32().to_le_bytes());
        out.extend_from_slice(&self.session);
        out.extend_from_slice(&counter.to_le_bytes());
        out.extend_from_slice(plain);
        let aad = self.aad(self.newest, place);
        let tag = self
            .sealing
            .seal_in_place_separate_tag(nonce(counter), Aad::from(aad), &mut out[HEADER_LEN..])
            .expect("a part is far shorter than what GCM encrypts at once");
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Decrypts an envelope made for this place.
    pub fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, sealed) = envelope.split_at_checked(HEADER_LEN).ok_or(OpenError::Format)?;
        if header[0] != FORMAT {
            return Err(OpenError::Format);
        }
        let id = u32::from_le_bytes(header[1..5].try_into().map_err(|_| OpenError::Format)?);
        let session: Session = header[5..21].try_into().map_err(|_| OpenError::Format)?;
        let counter = u64::from_le_bytes(header[21..29].try_into().map_err(|_| OpenError::Format)?);
        let id = KeyId::from_u32(id);
        let key = self.keys.get(&id).ok_or(OpenError::NoKey(id.as_u32()))?;
        let key = session_key(key, self.platform, &session);
        let mut out = sealed.to_vec();
        let aad = Aad::from(self.aad(id, place));
        let len = key.open_in_place(nonce(counter), aad, &mut out).map_err(|_| OpenError::Forged)?.len();
        out.truncate(len);
        Ok(out)
    }

    /// What a row is found by: a keyed digest of a value. The same value gives another digest in another domain.
    pub fn blind(&self, domain: &str, value: &str) -> Blind {
        let mut mac = hmac::Context::with_key(&self.index);
        mac.update(domain.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        let mut out = [0; 16];
        out.copy_from_slice(&mac.sign().as_ref()[..16]);
        out
    }

    /// A keyed digest of content, so that a copy of the rows does not confirm a guess.
    pub fn content(&self, content: &Digest) -> Digest {
        let tag = hmac::sign(&self.content, content.as_bytes());
        let mut out = [0; KEY_LEN];
        out.copy_from_slice(tag.as_ref());
        Digest::from_bytes(out)
    }

    /// What opens the commitment of the record with this request id: the same on every node and after every rotation.
    pub fn opening(&self, request: &str) -> Opening {
        commitment::opening(&self.openings, request)
    }

    fn aad(&self, id: KeyId, place: Place<'_>) -> Vec<u8> {
        let mut aad = Vec::with_capacity(10 + place.request.len());
        aad.push(FORMAT);
        aad.extend_from_slice(&id.as_u32().to_le_bytes());
        aad.extend_from_slice(&self.platform.as_u32().to_le_bytes());
        aad.push(place.part as u8);
        aad.extend_from_slice(place.request.as_bytes());
        aad
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({}, newest {})", self.platform, self.newest)
    }
}

fn session_key(key: &DataKey, platform: RegionCode, session: &Session) -> LessSafeKey {
    let key: Zeroizing<[u8; KEY_LEN]> =
        key.derive(session, &[b"eport envelope 1", &platform.as_u32().to_be_bytes()]);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).expect("the key has the length that AES-256 needs"))
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REQUEST: &str = "91440100MA5ABCD19J|arrival_report|#00|1";

    fn key(byte: u8) -> DataKey {
        DataKey::from_bytes(Zeroizing::new([byte; KEY_LEN]))
    }

    fn ring(platform: &str, keys: &[u8], session: u8) -> KeyRing {
        let keys = keys.iter().zip(1..).map(|(b, id)| (KeyId::from_u32(id), key(*b))).collect();
        KeyRing::new(platform.parse().unwrap(), keys, [session; 16]).unwrap()
    }

    fn at(part: Part) -> Place<'static> {
        Place { request: REQUEST, part }
    }

    #[test]
    fn what_was_encrypted_comes_back_only_at_its_own_place() {
        let r = ring("440300", &[1], 9);
        let sealed = r.seal(at(Part::Request), b"packages 120").unwrap();
        assert_eq!(sealed.len(), 12 + OVERHEAD);
        assert!(!sealed.windows(8).any(|w| w == b"packages"));
        assert_eq!(r.open(at(Part::Request), &sealed).unwrap(), b"packages 120");
        assert_eq!(r.open(at(Part::Shown), &sealed), Err(OpenError::Forged));
        let other = Place { request: "another", part: Part::Request };
        assert_eq!(r.open(other, &sealed), Err(OpenError::Forged));
        assert_eq!(ring("440100", &[1], 9).open(at(Part::Request), &sealed), Err(OpenError::Forged));
        assert_eq!(ring("440300", &[2], 9).open(at(Part::Request), &sealed), Err(OpenError::Forged));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_opens() {
        let r = ring("440300", &[1], 9);
        let sealed = r.seal(at(Part::Request), b"body").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(r.open(at(Part::Request), &bad).is_err(), "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert!(r.open(at(Part::Request), &sealed[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn after_a_rotation_the_new_key_encrypts_and_the_old_one_still_reads() {
        let before = ring("440300", &[1], 1);
        let old = before.seal(at(Part::Request), b"old").unwrap();
        let after = ring("440300", &[1, 2], 2);
        let new = after.seal(at(Part::Request), b"new").unwrap();
        assert_eq!(after.open(at(Part::Request), &old).unwrap(), b"old");
        assert_eq!(after.open(at(Part::Request), &new).unwrap(), b"new");
        assert_eq!(before.open(at(Part::Request), &new), Err(OpenError::NoKey(2)));
    }

    #[test]
    fn duplicates_are_recognised_after_a_rotation_and_on_every_node() {
        let (before, after) = (ring("440300", &[1], 1), ring("440300", &[1, 2], 2));
        assert_eq!(before.blind("client_ref", "GZ-1"), after.blind("client_ref", "GZ-1"));
        assert_eq!(before.content(&Digest::of(b"x")), after.content(&Digest::of(b"x")));
        assert_eq!(before.opening(REQUEST), after.opening(REQUEST));
        assert_ne!(before.opening(REQUEST), before.opening("another"));
        assert_ne!(before.opening(REQUEST), ring("440100", &[1], 1).opening(REQUEST));
        assert_ne!(before.blind("client_ref", "GZ-1"), before.blind("lodged_by", "GZ-1"));
        assert_ne!(before.blind("client_ref", "GZ-1"), ring("440100", &[1], 1).blind("client_ref", "GZ-1"));
    }

    #[test]
    fn no_nonce_is_used_twice_by_concurrent_callers() {
        let r = ring("440300", &[1], 3);
        let seal = || (0..2_000).map(|_| r.seal(at(Part::Columns), b"").unwrap()).collect::<Vec<_>>();
        let all: Vec<Vec<u8>> = std::thread::scope(|s| {
            let tasks: Vec<_> = (0..4).map(|_| s.spawn(seal)).collect();
            tasks.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        let unique: std::collections::BTreeSet<&[u8]> = all.iter().map(|e| &e[5..29]).collect();
        assert_eq!(unique.len(), 8_000);
    }

    #[test]
    fn a_session_ends_before_its_key_bears_too_much() {
        let r = ring("440300", &[1], 3);
        assert!(!r.is_worn());
        r.counter.store(SESSION_MAX - 1, Ordering::Relaxed);
        assert!(r.is_worn() && r.seal(at(Part::Columns), b"").is_ok());
        assert_eq!(r.seal(at(Part::Columns), b""), Err(SealError::UsedUp));
    }

    #[test]
    fn a_ring_needs_the_first_key_and_prints_none() {
        let keys = [(KeyId::from_u32(2), key(2))].into();
        assert!(KeyRing::new("440300".parse().unwrap(), keys, [0; 16]).is_none());
        assert_eq!(format!("{:?}", key(0xAB)), "DataKey(..)");
        assert_ne!(key(1).check(), key(2).check());
    }
}

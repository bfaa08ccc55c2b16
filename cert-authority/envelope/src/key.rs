//! Data keys: 256 random bits that belong to one platform, under a number that only rises.

use eport_identity::Digest;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::fmt;
use zeroize::Zeroizing;

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;

/// Number of a data key within its platform, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId(u32);

impl KeyId {
    /// The first key of a platform; its blind index rests on it.
    pub const FIRST: KeyId = KeyId(1);

    /// From a number.
    pub const fn from_u32(id: u32) -> Self {
        Self(id)
    }

    /// As a number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A data key. Wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY_LEN]>);

impl DataKey {
    /// From bytes drawn by the caller.
    pub fn from_bytes(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be wrapped for a holder.
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Tells two keys apart without telling either: what the registry keeps beside the wrapped copies.
    pub fn check(&self) -> Digest {
        Digest::from_bytes(*self.derive(&[], &[b"eport data key check 1"]))
    }

    /// Proves to whoever holds the key that it vouches for content with this digest.
    pub fn prove(&self, content: &Digest) -> Digest {
        Digest::from_bytes(*self.derive(content.as_bytes(), &[b"eport content proof 1"]))
    }

    /// A key for one use.
    pub(crate) fn derive(&self, salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; KEY_LEN]> {
        struct Len;
        impl KeyType for Len {
            fn len(&self) -> usize {
                KEY_LEN
            }
        }
        let mut out = Zeroizing::new([0; KEY_LEN]);
        Salt::new(HKDF_SHA256, salt)
            .extract(&*self.0)
            .expand(info, Len)
            .and_then(|okm| okm.fill(&mut *out))
            .expect("32 bytes are within what HKDF-SHA256 expands to");
        out
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl PartialEq for DataKey {
    fn eq(&self, other: &Self) -> bool {
        self.check() == other.check()
    }
}

impl Eq for DataKey {}

//! Encryption at rest: how bodies and sensitive columns of a platform are stored, and how a row is found without telling what
//! it names.
//!
//! ```text
//! envelope   0xE1, key id u32 LE, session 16 bytes, counter u64 LE, ciphertext, tag 16 bytes
//! key        HKDF-SHA256(data key, salt = session, info = "eport envelope 1" ‖ platform)      AES-256-GCM
//! nonce      0000 ‖ counter
//! bound to   platform, key id, part, and the request id of the record
//! ```
//!
//! What always holds: a nonce never repeats under one key, because a session is 128 random bits drawn for one key ring and its
//! counter only rises; an envelope opens only for the platform, request and part it was made for; keys are wiped from memory
//! and never printed. The blind index is derived from the platform's first key and stays the same for its whole life, so that
//! a duplicate is recognised after every rotation. A core: sessions and keys are drawn by the caller. Basis: design §5
//! "At rest", decision 0010.
#![forbid(unsafe_code)]

mod commitment;
mod file;
mod key;
mod ring_of_keys;

pub use commitment::{Opening, commitment};
pub use file::{open_file, seal_file};
pub use key::{DataKey, KEY_LEN, KeyId};
pub use ring_of_keys::{Blind, KeyRing, OpenError, Part, Place, SESSION_MAX, SealError, Session};

/// First byte of every envelope of this format. No JSON text and no codec value begins with it.
pub const FORMAT: u8 = 0xE1;

/// Bytes an envelope adds to what it holds.
pub const OVERHEAD: usize = HEADER_LEN + 16;

/// Format, key id, session, counter.
pub(crate) const HEADER_LEN: usize = 1 + 4 + 16 + 8;

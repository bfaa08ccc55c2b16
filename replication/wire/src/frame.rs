//! One frame: 20 header bytes, then the payload.
//!
//! `magic "EP" · version u8 · purpose u8 · sequence u64 · payload length u32 · crc32c u32`, integers little endian. The
//! checksum covers the first 16 header bytes and the payload. The sequence counts from 0 on every stream, so a frame that
//! is repeated, or cut out, is seen at once.

use crate::{Purpose, WIRE_VERSION_MAX};
use bytes::Bytes;
use eport_model::{Code, Coded, codes};

/// Bytes before the payload.
pub const FRAME_HEADER_LEN: usize = 20;
/// Bytes of the header that the checksum covers.
pub(crate) const CHECKED_LEN: usize = 16;
pub(crate) const MAGIC: [u8; 2] = *b"EP";

/// One received frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What it is for.
    pub purpose: Purpose,
    /// Its place on the stream, from 0.
    pub sequence: u64,
    /// The content.
    pub payload: Bytes,
}

/// Why bytes are not the next frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first bytes are not those of a frame.
    #[error("frame starts with {0:02x?} instead of \"EP\"")]
    Magic([u8; 2]),
    /// A version this software does not speak.
    #[error("frame of wire version {found}; {WIRE_VERSION_MAX} is the newest known here")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A purpose this software does not know.
    #[error("purpose {0} is not known")]
    Purpose(u8),
    /// A stream changed its purpose.
    #[error("frame for {found} on a stream for {expected}")]
    Mixed {
        /// The stream's purpose.
        expected: Purpose,
        /// The frame's purpose.
        found: Purpose,
    },
    /// Longer than the purpose allows. Nothing was allocated for it.
    #[error("{purpose} frame of {len} bytes exceeds the limit of {limit}")]
    TooLong {
        /// The purpose whose limit was crossed.
        purpose: Purpose,
        /// Bytes claimed or given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A repeated frame.
    #[error("frame {found} was already received; {expected} is next")]
    Replayed {
        /// The next sequence number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// A frame is missing before this one.
    #[error("frame {found} arrived where {expected} is next")]
    Gap {
        /// The next sequence number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The checksum differs.
    #[error("checksum of frame {sequence} differs")]
    Checksum {
        /// The frame's place on the stream.
        sequence: u64,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended after {have} bytes of a frame")]
    Truncated {
        /// Bytes of the unfinished frame.
        have: usize,
    },
}

impl Coded for FrameError {
    fn code(&self) -> Code {
        match self {
            FrameError::TooLong { .. } => codes::FRAME_TOO_LONG,
            FrameError::Version { .. } => codes::WIRE_VERSION,
            FrameError::Replayed { .. } | FrameError::Gap { .. } => codes::FRAME_REPLAYED,
            _ => codes::FRAME_MALFORMED,
        }
    }
}

/// The header for a payload. Header and payload are written one after the other, so the payload is never copied.
pub fn header(purpose: Purpose, sequence: u64, payload: &[u8]) -> Result<[u8; FRAME_HEADER_LEN], FrameError> {
    let limit = purpose.payload_len_max();
    let len = match u32::try_from(payload.len()) {
        Ok(len) if payload.len() <= limit => len,
        _ => return Err(FrameError::TooLong { purpose, len: payload.len(), limit }),
    };
    let mut out = [0u8; FRAME_HEADER_LEN];
    out[..2].copy_from_slice(&MAGIC);
    out[2] = WIRE_VERSION_MAX;
    out[3] = purpose.tag();
    out[4..12].copy_from_slice(&sequence.to_le_bytes());
    out[12..16].copy_from_slice(&len.to_le_bytes());
    let crc = checksum(&out[..CHECKED_LEN], payload);
    out[16..20].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

pub(crate) fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), payload)
}

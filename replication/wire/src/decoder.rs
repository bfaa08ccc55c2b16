//! Incremental decoder of one stream's frames.

use crate::frame::{CHECKED_LEN, FRAME_HEADER_LEN, Frame, FrameError, MAGIC, checksum};
use crate::{Purpose, WIRE_VERSION_MAX, WIRE_VERSION_MIN};
use bytes::{Buf, Bytes, BytesMut};

/// Decodes the frames of one stream from pieces of any size.
///
/// It buffers what it was given and nothing more: a length above the purpose's limit fails before any of the payload is
/// waited for. The first frame fixes the purpose. After an error every call repeats it.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
    purpose: Option<Purpose>,
    next_sequence: u64,
    head: Option<Head>,
    failed: Option<FrameError>,
}

/// A header that passed every check which needs no payload.
#[derive(Debug, Clone, Copy)]
struct Head {
    purpose: Purpose,
    sequence: u64,
    len: usize,
    head_crc: u32,
    crc: u32,
}

impl FrameDecoder {
    /// A decoder for a stream whose first frame says what it is for.
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder that accepts only one purpose, for answers to requests.
    pub fn expecting(purpose: Purpose) -> Self {
        Self { purpose: Some(purpose), ..Self::default() }
    }

    /// Adds received bytes. Call `next` until it yields nothing before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole frame, `None` when more bytes are needed.
    #[allow(clippy::should_implement_trait)] // A fallible, resumable `next` is not an iterator.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(e) = &self.failed {
            return Err(e.clone());
        }
        self.step().inspect_err(|e| {
            self.failed = Some(e.clone());
            self.buffer = BytesMut::new();
        })
    }

    /// Says whether the stream may end here: only between frames.
    pub fn finish(&self) -> Result<(), FrameError> {
        match (&self.failed, self.head.is_some(), self.buffer.len()) {
            (Some(e), ..) => Err(e.clone()),
            (None, false, 0) => Ok(()),
            (None, head, len) => {
                Err(FrameError::Truncated { have: len + if head { FRAME_HEADER_LEN } else { 0 } })
            }
        }
    }

    /// The purpose of the frames on this stream, known as soon as the first header has arrived.
    pub fn purpose(&self) -> Option<Purpose> {
        self.head.map(|h| h.purpose).or(self.purpose)
    }

    /// Bytes held for an unfinished frame.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn step(&mut self) -> Result<Option<Frame>, FrameError> {
        let head = match self.head {
            Some(head) => head,
            None => match self.parse_head()? {
                Some(head) => *self.head.insert(head),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < head.len {
            return Ok(None);
        }
        let payload: Bytes = self.buffer.split_to(head.len).freeze();
        if crc32c::crc32c_append(head.head_crc, &payload) != head.crc {
            return Err(FrameError::Checksum { sequence: head.sequence });
        }
        self.head = None;
        self.purpose = Some(head.purpose);
        self.next_sequence += 1;
        Ok(Some(Frame { purpose: head.purpose, sequence: head.sequence, payload }))
    }

    fn parse_head(&mut self) -> Result<Option<Head>, FrameError> {
        // A wrong first byte fails at once: a stranger must not be able to hold the stream open with 19 bytes.
        let have = self.buffer.len().min(2);
        if self.buffer[..have] != MAGIC[..have] {
            let mut found = [0u8; 2];
            found[..have].copy_from_slice(&self.buffer[..have]);
            return Err(FrameError::Magic(found));
        }
        if self.buffer.len() < FRAME_HEADER_LEN {
            return Ok(None);
        }
        let checked = self.buffer.split_to(CHECKED_LEN);
        let crc = self.buffer.get_u32_le();
        let (version, tag) = (checked[2], checked[3]);
        if !(WIRE_VERSION_MIN..=WIRE_VERSION_MAX).contains(&version) {
            return Err(FrameError::Version { found: version });
        }
        let purpose = Purpose::from_tag(tag).ok_or(FrameError::Purpose(tag))?;
        if let Some(expected) = self.purpose.filter(|p| *p != purpose) {
            return Err(FrameError::Mixed { expected, found: purpose });
        }
        let mut rest = &checked[4..];
        let sequence = rest.get_u64_le();
        let len = rest.get_u32_le() as usize;
        let limit = purpose.payload_len_max();
        if len > limit {
            return Err(FrameError::TooLong { purpose, len, limit });
        }
        let expected = self.next_sequence;
        match sequence.cmp(&expected) {
            std::cmp::Ordering::Less => Err(FrameError::Replayed { expected, found: sequence }),
            std::cmp::Ordering::Greater => Err(FrameError::Gap { expected, found: sequence }),
            std::cmp::Ordering::Equal => {
                Ok(Some(Head { purpose, sequence, len, head_crc: checksum(&checked, &[]), crc }))
            }
        }
    }
}

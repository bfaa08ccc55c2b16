//! Where content is cut into chunks: at places that its own bytes choose, so that a change moves no cut far away from it.
//!
//! A gear hash runs over the bytes and a chunk ends where thirteen of its bits are zero, not before `CHUNK_LEN_MIN` and not
//! after `CHUNK_LEN_MAX`. Rows are never cut: a chunk of a table ends behind the row in which its place was found, and the front
//! of a table (schema and number of rows) is a chunk of its own. Always: the cut depends on nothing in front of the chunk, so a
//! chunk that begins with the same bytes ends at the same place.

use crate::rows::{MAGIC, row_len};
use crate::{DamageError, Header};

/// Least bytes of a chunk, except the last and a table's front.
pub const CHUNK_LEN_MIN: usize = 4 << 10;
/// A chunk ends behind the row, or at the byte, that reaches this.
pub const CHUNK_LEN_MAX: usize = 64 << 10;
/// Longest row in bytes: with it a chunk of a table has less than `CHUNK_LEN_MAX + ROW_LEN_MAX` bytes.
pub const ROW_LEN_MAX: usize = 4 << 20;
/// Zero bits that end a chunk: one byte in 8 KiB, so that chunks have 12 KiB in the middle.
const MASK: u64 = ((1 << 13) - 1) << 51;

/// 256 fixed numbers without pattern: splitmix64 from one seed. They are part of the format.
const GEAR: [u64; 256] = gear();

const fn gear() -> [u64; 256] {
    let mut table = [0u64; 256];
    let mut state = 0x6570_6f72_7463_7574u64;
    let mut i = 0;
    while i < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[i] = z ^ (z >> 31);
        i += 1;
    }
    table
}

/// The state of the cut inside one chunk.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cutter {
    len: usize,
    hash: u64,
}

impl Cutter {
    /// Bytes of the chunk so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True at the beginning of a chunk.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a whole row; true when the chunk ends behind it.
    pub fn row(&mut self, row: &[u8]) -> bool {
        self.len += row.len();
        let mut found = false;
        if self.len >= CHUNK_LEN_MIN {
            for byte in row {
                self.hash = (self.hash << 1).wrapping_add(GEAR[*byte as usize]);
                found |= self.hash & MASK == 0;
            }
        }
        self.end_if(found || self.len >= CHUNK_LEN_MAX)
    }

    /// Takes bytes of content without rows; answers how many belong to this chunk when it ends among them.
    pub fn bytes(&mut self, bytes: &[u8]) -> Option<usize> {
        for (i, byte) in bytes.iter().enumerate() {
            self.len += 1;
            self.hash = (self.hash << 1).wrapping_add(GEAR[*byte as usize]);
            let found = self.len >= CHUNK_LEN_MIN && self.hash & MASK == 0;
            if self.end_if(found || self.len >= CHUNK_LEN_MAX) {
                return Some(i + 1);
            }
        }
        None
    }

    fn end_if(&mut self, end: bool) -> bool {
        if end {
            *self = Cutter::default();
        }
        end
    }
}

/// Hands the chunks of a content to `chunk` in order, each with the number of rows that begin in it. Memory: none of its own.
pub fn cut<E: From<DamageError>>(
    content: &[u8],
    mut chunk: impl FnMut(&[u8], u64) -> Result<(), E>,
) -> Result<(), E> {
    if content.starts_with(MAGIC) { cut_rows(content, chunk) } else { cut_bytes(content, &mut chunk) }
}

fn cut_rows<E: From<DamageError>>(
    content: &[u8],
    mut chunk: impl FnMut(&[u8], u64) -> Result<(), E>,
) -> Result<(), E> {
    let header = Header::read(content)?;
    let columns = header.schema().columns.len();
    let (front, mut rest) = content.split_at(header.start());
    chunk(front, 0)?;
    let (mut cutter, mut begin, mut rows) = (Cutter::default(), 0, 0);
    let mut at = 0;
    while at < rest.len() {
        let damaged = |what| DamageError { offset: content.len() - rest.len() + at, what };
        let len = row_len(&rest[at..], columns).ok_or_else(|| damaged("a field is cut off"))?;
        if len > ROW_LEN_MAX {
            return Err(damaged("a row is over the limit").into());
        }
        at += len;
        rows += 1;
        if cutter.row(&rest[at - len..at]) {
            chunk(&rest[begin..at], rows)?;
            rest = &rest[at..];
            (at, begin, rows) = (0, 0, 0);
        }
    }
    if rest.len() > begin { chunk(&rest[begin..], rows) } else { Ok(()) }
}

fn cut_bytes<E>(mut content: &[u8], chunk: &mut impl FnMut(&[u8], u64) -> Result<(), E>) -> Result<(), E> {
    let mut cutter = Cutter::default();
    while let Some(end) = cutter.bytes(content) {
        let (head, tail) = content.split_at(end);
        chunk(head, 0)?;
        content = tail;
    }
    if content.is_empty() { Ok(()) } else { chunk(content, 0) }
}

//! Text search in a table: which blocks of rows hold all pieces of a word, and a look at the rows of those blocks.
//!
//! Pieces are three letters of ASCII, two characters of anything, or one Chinese character; each goes into one of a fixed
//! number of buckets, and a bucket lists the blocks in which one of its pieces stands. A false block costs a look, a block
//! is never missed. The index is made at the first search and holds at most `BLOCKS_MAX` blocks, so its size is bounded
//! whatever the number of rows.

use eport_catalog::RowRef;
use eport_identity::ParseError;

/// Rows of a block at least.
const BLOCK_ROWS_MIN: usize = 32;
/// Blocks at most; larger tables have larger blocks.
const BLOCKS_MAX: usize = 8_192;
/// Longest text that is searched for, in bytes.
pub const QUERY_LEN_MAX: usize = 256;
/// Words of a query at most.
const WORDS_MAX: usize = 8;

/// How a word is compared with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compare {
    /// Bytes as they are: nothing in it has upper or lower case.
    Bytes,
    /// Letters of ASCII in either case.
    Ascii,
    /// Both in lower case.
    Folded,
}

/// What is searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    words: Vec<(String, Compare)>,
}

impl Query {
    /// Words that must all stand in a row, each in any field, in either case.
    pub fn parse(text: &str) -> Result<Query, ParseError> {
        let bad = |reason| ParseError { what: "search text", input: text.chars().take(64).collect(), reason };
        if text.len() > QUERY_LEN_MAX {
            return Err(bad("256 bytes are allowed"));
        }
        let words: Vec<(String, Compare)> = text.split_whitespace().map(|w| word(w.to_lowercase())).collect();
        match words.len() {
            0 => Err(bad("a word is needed")),
            n if n > WORDS_MAX => Err(bad("8 words are allowed")),
            _ => Ok(Query { words }),
        }
    }

    /// True when each word stands in some field of the row.
    pub(crate) fn fits(&self, row: &RowRef<'_>, scratch: &mut String) -> bool {
        self.words.iter().all(|(word, how)| {
            row.fields().any(|field| match how {
                Compare::Bytes => field.contains(word.as_str()),
                Compare::Ascii => contains_ascii(field.as_bytes(), word.as_bytes()),
                Compare::Folded => {
                    fold(field, scratch);
                    scratch.contains(word.as_str())
                }
            })
        })
    }
}

fn word(text: String) -> (String, Compare) {
    let caseless = |c: char| c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]);
    let how = match () {
        () if text.chars().all(caseless) => Compare::Bytes,
        () if text.is_ascii() => Compare::Ascii,
        () => Compare::Folded,
    };
    (text, how)
}

fn contains_ascii(field: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else { return true };
    field.windows(word.len()).any(|w| w[0].eq_ignore_ascii_case(first) && w.eq_ignore_ascii_case(word))
}

fn fold(text: &str, out: &mut String) {
    out.clear();
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&text.to_lowercase());
    }
}

/// Pieces of a text in lower case. Of a word that is searched for (`ask`) only those that tell most.
fn pieces(text: &str, ask: bool, mut each: impl FnMut(u64)) {
    let long_ascii = ask && text.is_ascii() && text.len() >= 3;
    let single = ask && text.chars().nth(1).is_none();
    let (mut a, mut b) = ('\0', '\0');
    for c in text.chars() {
        if c.is_whitespace() {
            (a, b) = ('\0', '\0');
            continue;
        }
        if !c.is_ascii() && (!ask || single) {
            each(piece(['\0', '\0', c]));
        }
        if b != '\0' && !long_ascii {
            each(piece(['\0', b, c]));
        }
        if a != '\0' && a.is_ascii() && b.is_ascii() && c.is_ascii() && (!ask || long_ascii) {
            each(piece([a, b, c]));
        }
        (a, b) = (b, c);
    }
}

/// A number for a piece, its bits well mixed.
fn piece(chars: [char; 3]) -> u64 {
    let number = chars.iter().fold(0u64, |n, c| (n << 21) | u64::from(u32::from(*c)));
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// Which blocks of rows hold which pieces.
pub(crate) struct Index {
    block_rows: usize,
    rows: usize,
    bits: u32,
    /// Where the list of each bucket begins in `lists`; one more for the end.
    starts: Vec<u32>,
    /// Rising block numbers as differences, in shortest-form varints.
    lists: Vec<u8>,
}

impl Index {
    /// Reads all rows once.
    pub(crate) fn build<'t>(rows: usize, row: impl Fn(usize) -> Option<RowRef<'t>>) -> Index {
        let block_rows = BLOCK_ROWS_MIN.max(rows.div_ceil(BLOCKS_MAX));
        let blocks = rows.div_ceil(block_rows);
        // Small tables need few buckets: about eight a row, between 4 Ki and 64 Ki.
        let bits = rows.saturating_mul(8).max(1).ilog2().clamp(12, 16);
        let buckets = 1usize << bits;
        let mut lists: Vec<(u32, Vec<u8>)> = vec![(0, Vec::new()); buckets];
        let (mut seen, mut touched) = (vec![false; buckets], Vec::new());
        let mut text = String::new();
        for block in 0..blocks {
            for place in block * block_rows..((block + 1) * block_rows).min(rows) {
                for field in row(place).iter().flat_map(RowRef::fields) {
                    fold(field, &mut text);
                    pieces(&text, false, |p| {
                        let bucket = (p >> (64 - bits)) as usize;
                        if !std::mem::replace(&mut seen[bucket], true) {
                            touched.push(bucket);
                        }
                    });
                }
            }
            for bucket in touched.drain(..) {
                seen[bucket] = false;
                let (last, list) = &mut lists[bucket];
                put(block as u32 + 1 - *last, list);
                *last = block as u32 + 1;
            }
        }
        let mut starts = Vec::with_capacity(buckets + 1);
        let mut joined = Vec::with_capacity(lists.iter().map(|(_, l)| l.len()).sum());
        for (_, list) in lists {
            starts.push(joined.len() as u32);
            joined.extend_from_slice(&list);
        }
        starts.push(joined.len() as u32);
        Index { block_rows, rows, bits, starts, lists: joined }
    }

    /// Bytes that the index takes.
    pub(crate) fn len(&self) -> usize {
        self.lists.len() + 4 * self.starts.len()
    }

    fn list(&self, piece: u64) -> &[u8] {
        let bucket = (piece >> (64 - self.bits)) as usize;
        let end = self.starts.get(bucket + 1).copied().unwrap_or(0) as usize;
        self.starts.get(bucket).and_then(|s| self.lists.get(*s as usize..end)).unwrap_or(&[])
    }

    /// Places of rows that may fit, in order, from a place on.
    pub(crate) fn candidates(&self, query: &Query, from: usize) -> impl Iterator<Item = usize> + use<> {
        let blocks = self.rows.div_ceil(self.block_rows);
        let mut lists = Vec::new();
        for (word, _) in &query.words {
            pieces(word, true, |p| lists.push(self.list(p)));
        }
        // The shortest first: it bounds the others.
        lists.sort_by_key(|l| l.len());
        let mut left: Option<Vec<u32>> = None;
        for list in lists {
            let found = numbers(list);
            left = Some(match left {
                None => found.collect(),
                Some(left) => meet(&left, found),
            });
        }
        let blocks: Box<dyn Iterator<Item = usize>> = match left {
            Some(left) => Box::new(left.into_iter().map(|b| b as usize)),
            None => Box::new(0..blocks),
        };
        let (size, rows) = (self.block_rows, self.rows);
        blocks
            .filter(move |b| (b + 1) * size > from)
            .flat_map(move |b| (b * size).max(from)..((b + 1) * size).min(rows))
    }
}

fn put(mut n: u32, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Block numbers of a list.
fn numbers(list: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (mut at, mut last) = (0, 0u32);
    std::iter::from_fn(move || {
        let (mut n, mut shift) = (0u32, 0);
        loop {
            let byte = *list.get(at)?;
            at += 1;
            n |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        last += n;
        last.checked_sub(1)
    })
}

fn meet(left: &[u32], mut right: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut out = Vec::new();
    let mut next = right.next();
    for block in left {
        while next.is_some_and(|n| n < *block) {
            next = right.next();
        }
        if next == Some(*block) {
            out.push(*block);
        }
    }
    out
}

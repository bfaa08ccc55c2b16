//! The row delta: what turns one version of a table into another, by position, column by column.
//!
//! Layout: `EPDL` and a version byte; both roots; the front of the wanted content; the steps; the values. A step says how many rows
//! stay as they are and what then happens to the next one: it changes (which columns, their values follow), goes, or another row
//! comes before it. The receiver walks its own rows, so unchanged bytes never travel and chunks that nothing touches are taken
//! over unread. Always: what is rebuilt counts only if its root is the wanted one; no claim of the delta allocates memory
//! before the bytes for it are there.

use crate::cut::ROW_LEN_MAX;
use crate::index::{Child, ObjectSink, ObjectSource, WalkError, chunks};
use crate::rows::{key_cmp, row_len, take_field};
use crate::stream::Writer;
use crate::{CONTENT_LEN_MAX, ContentError, Header, varint};
use eport_identity::Digest;
use std::cmp::Ordering;

const MAGIC: &[u8; 5] = b"EPDL\x01";
/// Longest delta, before compression. Beyond it chunks travel.
pub const DELTA_LEN_MAX: usize = 64 << 20;

const CHANGE: u64 = 0;
const REMOVE: u64 = 1;
const INSERT: u64 = 2;
const END: u64 = 3;

/// Why a delta cannot be made or applied.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError<E> {
    /// The contents have other columns or keys, or one of them has no rows at all: there is no row delta between them.
    #[error("there is no row delta between these contents")]
    NotComparable,
    /// It would be longer than chunks may be worth.
    #[error("the delta is longer than {DELTA_LEN_MAX} bytes")]
    TooLong,
    /// The delta is not one, is for another base, or does not give the root it names.
    #[error("the delta is wrong: {0}")]
    Wrong(&'static str),
    /// The base cannot be read.
    #[error(transparent)]
    Base(#[from] WalkError<E>),
    /// The place that keeps objects failed.
    #[error("{0}")]
    Objects(E),
}

impl<E> From<ContentError> for DeltaError<E> {
    fn from(error: ContentError) -> Self {
        DeltaError::Base(WalkError::Content(error))
    }
}

/// The rows of a content, chunk by chunk. Memory: one chunk, and the list of chunks.
struct Cursor<'s, S: ObjectSource> {
    source: &'s S,
    header: Header,
    front: Vec<u8>,
    chunks: Vec<Child>,
    /// The next chunk to open.
    next: usize,
    open: Vec<u8>,
    at: usize,
}

impl<'s, S: ObjectSource> Cursor<'s, S> {
    fn open(source: &'s S, root: &Digest) -> Result<Self, DeltaError<S::Error>> {
        let chunks = chunks(source, root)?;
        let first = chunks.first().ok_or(DeltaError::NotComparable)?;
        let front = read(source, first)?;
        let Some(header) = Header::read_front(&front).filter(|h| h.start() == front.len()) else {
            return Err(DeltaError::NotComparable);
        };
        Ok(Self { source, header, front, chunks, next: 1, open: Vec::new(), at: 0 })
    }

    fn columns(&self) -> usize {
        self.header.schema().columns.len()
    }

    /// The chunk that comes next, when the one before is used up.
    fn whole_chunk(&self) -> Option<&Child> {
        if self.at == self.open.len() { self.chunks.get(self.next) } else { None }
    }

    fn is_last(&self) -> bool {
        self.next + 1 == self.chunks.len()
    }

    fn pass_chunk(&mut self) {
        self.next += 1;
        self.open.clear();
        self.at = 0;
    }

    /// Length of the next row, which then lies in `open` at `at`; `None` at the end.
    fn row_len(&mut self) -> Result<Option<usize>, DeltaError<S::Error>> {
        while self.at == self.open.len() {
            let Some(chunk) = self.chunks.get(self.next) else { return Ok(None) };
            self.open = read(self.source, chunk)?;
            (self.at, self.next) = (0, self.next + 1);
        }
        let len = row_len(&self.open[self.at..], self.columns());
        Ok(Some(len.filter(|l| *l <= ROW_LEN_MAX).ok_or(DeltaError::Wrong("the base has a damaged row"))?))
    }

    fn row(&self, len: usize) -> &[u8] {
        &self.open[self.at..self.at + len]
    }
}

fn read<S: ObjectSource>(source: &S, chunk: &Child) -> Result<Vec<u8>, DeltaError<S::Error>> {
    let bytes = source.get(&chunk.digest).map_err(DeltaError::Objects)?;
    Ok(bytes.ok_or(ContentError::Missing(chunk.digest))?)
}

/// Makes the delta between two contents of one source.
pub fn make_delta<S: ObjectSource>(
    source: &S,
    from: &Digest,
    to: &Digest,
) -> Result<Vec<u8>, DeltaError<S::Error>> {
    let (mut old, mut new) = (Cursor::open(source, from)?, Cursor::open(source, to)?);
    let places = old.header.key_places().to_vec();
    if old.columns() != new.columns() || places != new.header.key_places() {
        return Err(DeltaError::NotComparable);
    }
    let columns = old.columns();
    let mut steps = Steps::default();
    loop {
        if let (Some(a), Some(b)) = (old.whole_chunk(), new.whole_chunk())
            && a.digest == b.digest
        {
            steps.stays += a.rows;
            old.pass_chunk();
            new.pass_chunk();
            continue;
        }
        let (a, b) = (old.row_len()?, new.row_len()?);
        let order = match (a, b) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => key_cmp(old.row(a), &places, new.row(b), &places),
        };
        match order {
            Ordering::Less => steps.step(REMOVE),
            Ordering::Greater => {
                steps.step(INSERT);
                steps.values.extend_from_slice(new.row(b.unwrap_or(0)));
            }
            Ordering::Equal => {
                let (a, b) = (old.row(a.unwrap_or(0)), new.row(b.unwrap_or(0)));
                if a == b {
                    steps.stays += 1;
                } else {
                    steps.change(a, b, columns);
                }
            }
        }
        if order != Ordering::Greater {
            old.at += a.unwrap_or(0);
        }
        if order != Ordering::Less {
            new.at += b.unwrap_or(0);
        }
        if steps.steps.len() + steps.values.len() > DELTA_LEN_MAX {
            return Err(DeltaError::TooLong);
        }
    }
    steps.step(END);
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(from.as_bytes());
    out.extend_from_slice(to.as_bytes());
    for part in [&new.front, &steps.steps] {
        varint::put(part.len() as u64, &mut out);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&steps.values);
    Ok(out)
}

#[derive(Default)]
struct Steps {
    stays: u64,
    steps: Vec<u8>,
    values: Vec<u8>,
}

impl Steps {
    fn step(&mut self, kind: u64) {
        varint::put(self.stays << 2 | kind, &mut self.steps);
        self.stays = 0;
    }

    fn change(&mut self, mut old: &[u8], mut new: &[u8], columns: usize) {
        self.step(CHANGE);
        let mut mask = vec![0u8; columns.div_ceil(8)];
        for column in 0..columns {
            let (Some((a, old_rest)), Some((b, new_rest))) = (take_field(old), take_field(new)) else {
                break;
            };
            if a != b {
                mask[column / 8] |= 1 << (column % 8);
                varint::put(b.len() as u64, &mut self.values);
                self.values.extend_from_slice(b);
            }
            (old, new) = (old_rest, new_rest);
        }
        self.steps.extend_from_slice(&mask);
    }
}

/// The parts of a delta.
struct Parts<'d> {
    from: Digest,
    to: Digest,
    front: &'d [u8],
    steps: &'d [u8],
    values: &'d [u8],
}

fn parts(delta: &[u8]) -> Option<Parts<'_>> {
    let rest = delta.strip_prefix(MAGIC.as_slice())?;
    let (from, rest) = rest.split_first_chunk::<32>()?;
    let (to, rest) = rest.split_first_chunk::<32>()?;
    let (front, rest) = take_field(rest)?;
    let (steps, values) = take_field(rest)?;
    Some(Parts { from: Digest::from_bytes(*from), to: Digest::from_bytes(*to), front, steps, values })
}

/// Rebuilds the wanted content from the base and hands its objects to the sink. Success means that the root is `to`.
pub fn apply_delta<S: ObjectSource, K: ObjectSink<Error = S::Error>>(
    source: &S,
    sink: &mut K,
    (from, to): (&Digest, &Digest),
    delta: &[u8],
) -> Result<(), DeltaError<S::Error>> {
    let wrong = DeltaError::Wrong;
    let parts = parts(delta).ok_or(wrong("it is cut off"))?;
    if (&parts.from, &parts.to) != (from, to) {
        return Err(wrong("it is for other versions"));
    }
    let mut base = Cursor::open(source, from)?;
    let front = Header::read_front(parts.front).filter(|h| h.start() == parts.front.len());
    let front = front.ok_or(wrong("its front is none"))?;
    if front.schema().columns.len() != base.columns() {
        return Err(wrong("it has another number of columns"));
    }
    let mut out = Writer::begin(sink, parts.front).map_err(DeltaError::Objects)?;
    let mut steps = parts.steps;
    let mut values = parts.values;
    let mut row = Vec::new();
    loop {
        let (step, rest) = varint::take(steps).ok_or(wrong("a step is cut off"))?;
        steps = rest;
        let kind = step & 3;
        copy(&mut base, &mut out, step >> 2, kind == END)?;
        if out.total > CONTENT_LEN_MAX as u64 {
            return Err(wrong("it makes more than a table may have"));
        }
        match kind {
            END => break,
            INSERT => {
                let len = row_len(values, base.columns()).filter(|l| *l <= ROW_LEN_MAX);
                let (new, rest) = values.split_at(len.ok_or(wrong("a row is cut off"))?);
                values = rest;
                out.row(new).map_err(DeltaError::Objects)?;
            }
            _ => {
                let len = base.row_len()?.ok_or(wrong("it goes on behind the last row"))?;
                if kind == CHANGE {
                    let (mask, rest) = steps
                        .split_at_checked(base.columns().div_ceil(8))
                        .ok_or(wrong("a mask is cut off"))?;
                    steps = rest;
                    row.clear();
                    values =
                        merge(base.row(len), mask, values, &mut row).ok_or(wrong("a value is cut off"))?;
                    out.row(&row).map_err(DeltaError::Objects)?;
                }
                base.at += len;
            }
        }
    }
    if !steps.is_empty() || !values.is_empty() || base.row_len()?.is_some() {
        return Err(wrong("its steps do not end with the rows"));
    }
    match out.finish().map_err(DeltaError::Objects)? {
        Some(root) if root == *to => Ok(()),
        _ => Err(wrong("it does not give the root it names")),
    }
}

/// Takes over so many rows of the base: by whole chunks where the cut stands at one, else row by row.
fn copy<S: ObjectSource, K: ObjectSink<Error = S::Error>>(
    base: &mut Cursor<'_, S>,
    out: &mut Writer<'_, K>,
    mut rows: u64,
    to_end: bool,
) -> Result<(), DeltaError<S::Error>> {
    while rows > 0 {
        if out.cutter.is_empty()
            && let Some(chunk) = base.whole_chunk().copied()
            && chunk.rows <= rows
            // The last chunk ends because the rows do: another row behind it would have been in it.
            && (!base.is_last() || (to_end && chunk.rows == rows))
        {
            if !out.sink().keep(&chunk.digest).map_err(DeltaError::Objects)? {
                return Err(ContentError::Missing(chunk.digest).into());
            }
            out.chunk_of(chunk).map_err(DeltaError::Objects)?;
            base.pass_chunk();
            rows -= chunk.rows;
            continue;
        }
        let len = base.row_len()?.ok_or(DeltaError::Wrong("it goes on behind the last row"))?;
        out.row(base.row(len)).map_err(DeltaError::Objects)?;
        base.at += len;
        rows -= 1;
    }
    Ok(())
}

/// The row with the values of the masked columns replaced; answers the values that are left.
fn merge<'v>(mut old: &[u8], mask: &[u8], mut values: &'v [u8], row: &mut Vec<u8>) -> Option<&'v [u8]> {
    let mut column = 0;
    while !old.is_empty() {
        let (field, rest) = take_field(old)?;
        old = rest;
        let field = if mask.get(column / 8)? >> (column % 8) & 1 == 1 {
            let (value, rest) = take_field(values)?;
            values = rest;
            value
        } else {
            field
        };
        varint::put(field.len() as u64, row);
        row.extend_from_slice(field);
        column += 1;
    }
    (row.len() <= ROW_LEN_MAX).then_some(values)
}

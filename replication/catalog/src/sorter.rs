//! Putting rows in order in bounded memory: runs are sorted here, wait in a scratch, and are merged at the end.
//!
//! Always: the content is that of [`RowBuffer`] with the same rows, byte for byte; of rows with one key the first, or where the
//! caller says so the last, stays, and each of the others is told once, in key order. Memory: one run and its places, one row and
//! what is read at once of each run. Rows that fit one run never leave memory.

use crate::buffer::RowBuffer;
use crate::place::{Fronted, Pile, Scratch, Source};
use crate::rows::{MAGIC, key_cmp};
use crate::stream::{ReadError, RowError, Window, root_of_rows};
use crate::{CONTENT_LEN_MAX, EncodeError, Schema, varint};
use eport_identity::Digest;
use std::cmp::Ordering;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes of a run in memory when nobody says, places included. The largest content makes about 128 runs of it.
pub const RUN_LEN: usize = 32 << 20;
/// Bytes written at once.
const WRITE_LEN: usize = 256 << 10;
/// Bytes of all runs at most: a content, and room for rows that stand more than once.
const RUNS_LEN_MAX: u64 = CONTENT_LEN_MAX as u64 + (1 << 30);

/// Why rows cannot be put in order.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// They cannot become content.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The place where they wait failed.
    #[error("rows that wait cannot be kept: {0}")]
    Scratch(#[from] io::Error),
}

/// Which row of a key stays.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Keep {
    /// The one that came first.
    #[default]
    First,
    /// The one that came last.
    Last,
}

/// A row whose key was there already, by the marks their caller gave them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Again<'r> {
    /// Mark of the first row of the key.
    pub first: u64,
    /// Mark of this one.
    pub second: u64,
    /// True when it equals the first one in every field.
    pub equal: bool,
    /// The value of the first key column.
    pub key: &'r str,
}

/// Rows in order.
pub struct Ordered {
    /// Their canonical content.
    pub content: Arc<dyn Source>,
    /// Its root.
    pub root: Digest,
    /// How many there are.
    pub rows: u64,
}

/// Collects rows of one schema.
pub struct Sorter<'s> {
    schema: Schema,
    key: Vec<usize>,
    buffer: RowBuffer,
    scratch: &'s dyn Scratch,
    runs: Vec<Arc<dyn Source>>,
    run_len: usize,
    keep: Keep,
}

impl<'s> Sorter<'s> {
    /// An empty one for a checked schema. `run_len` is what a run may take in memory.
    pub fn new(
        schema: Schema,
        keep: Keep,
        scratch: &'s dyn Scratch,
        run_len: usize,
    ) -> Result<Self, EncodeError> {
        let buffer = RowBuffer::new(schema.clone())?;
        Ok(Sorter { key: schema.key_places(), schema, buffer, scratch, runs: Vec::new(), run_len, keep })
    }

    /// Adds a row under the caller's mark. Marks rise.
    pub fn push<F: AsRef<str>>(
        &mut self,
        mark: u64,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<(), SortError> {
        self.buffer.push(mark, fields)?;
        if self.buffer.bytes_in_memory() >= self.run_len {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), SortError> {
        let spilled: u64 = self.runs.iter().map(|run| run.len()).sum();
        if spilled > RUNS_LEN_MAX {
            return Err(EncodeError::TooLarge.into());
        }
        let mut pile = Buffered::new(self.scratch.begin()?);
        let mut frame = Vec::new();
        self.buffer.take_in_order(|mark, row| {
            frame.clear();
            varint::put(mark, &mut frame);
            pile.write(&frame)?;
            pile.write(row)
        })?;
        self.runs.push(pile.end()?);
        Ok(())
    }

    /// Merges everything; `again` is told of every row whose key was there already.
    pub fn finish(mut self, mut again: impl FnMut(Again<'_>)) -> Result<Ordered, SortError> {
        if self.runs.is_empty() && self.buffer.is_in_order() {
            let (rows, bytes) = self.buffer.into_bytes();
            return ordered(&self.schema, rows, Arc::new(bytes));
        }
        let spilled = !self.runs.is_empty();
        if spilled && !self.buffer.is_empty() {
            self.spill()?;
        }
        let pile: Box<dyn Pile> = if spilled { self.scratch.begin()? } else { Box::new(Vec::new()) };
        let mut out = Merged {
            out: Buffered::new(pile),
            group: None,
            columns: self.schema.columns.len(),
            key: &self.key,
            keep: self.keep,
            rows: 0,
            len: 0,
        };
        if spilled {
            // The runs stay until the merge is over: the rows take the scratch twice at most.
            drop(self.buffer);
            merge(&self.runs, &self.key, self.schema.columns.len(), |m, r| out.row(m, r, &mut again))?;
        } else {
            self.buffer.take_in_order(|mark, row| out.row(mark, row, &mut again))?;
        }
        out.flush()?;
        let rows = out.rows;
        let body = out.out.end()?;
        ordered(&self.schema, rows, body)
    }
}

fn ordered(schema: &Schema, rows: u64, rest: Arc<dyn Source>) -> Result<Ordered, SortError> {
    let mut front = MAGIC.to_vec();
    schema.encode(&mut front);
    varint::put(rows, &mut front);
    if front.len() as u64 + rest.len() > CONTENT_LEN_MAX as u64 {
        return Err(EncodeError::TooLarge.into());
    }
    let content = Fronted { front, rest };
    let root = root_of_rows(content.open()?).map_err(|e| match e {
        ReadError::Unread(error) => error,
        ReadError::Damaged(error) => io::Error::other(error),
    })?;
    Ok(Ordered { content: Arc::new(content), root, rows })
}

/// A pile that is written in large pieces.
struct Buffered {
    pile: Box<dyn Pile>,
    buffer: Vec<u8>,
}

impl Buffered {
    fn new(pile: Box<dyn Pile>) -> Self {
        Buffered { pile, buffer: Vec::with_capacity(WRITE_LEN) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SortError> {
        if self.buffer.len() + bytes.len() > WRITE_LEN {
            self.pile.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn end(mut self) -> Result<Arc<dyn Source>, SortError> {
        self.pile.write_all(&self.buffer)?;
        Ok(self.pile.end()?)
    }
}

/// What comes out of a merge: one row a key.
struct Merged<'k> {
    out: Buffered,
    group: Option<Group>,
    columns: usize,
    key: &'k [usize],
    keep: Keep,
    rows: u64,
    len: u64,
}

/// The rows of one key so far.
struct Group {
    mark: u64,
    first: Vec<u8>,
    /// Empty while the first one is the last one.
    last: Vec<u8>,
}

impl Merged<'_> {
    fn row(&mut self, mark: u64, row: &[u8], again: &mut impl FnMut(Again<'_>)) -> Result<(), SortError> {
        if let Some(group) = &mut self.group
            && key_cmp(&group.first, self.key, row, self.key) == Ordering::Equal
        {
            let key = self.key.first().map_or(&[][..], |place| crate::rows::nth_field(row, *place));
            let key = std::str::from_utf8(key).unwrap_or("");
            again(Again { first: group.mark, second: mark, equal: group.first == row, key });
            if self.keep == Keep::Last {
                group.last.clear();
                group.last.extend_from_slice(row);
            }
            return Ok(());
        }
        self.flush()?;
        debug_assert!(crate::rows::row_len(row, self.columns) == Some(row.len()));
        match &mut self.group {
            Some(group) => {
                group.mark = mark;
                group.first.clear();
                group.first.extend_from_slice(row);
                group.last.clear();
            }
            None => self.group = Some(Group { mark, first: row.to_vec(), last: Vec::new() }),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SortError> {
        let Some(group) = &self.group else { return Ok(()) };
        let row = if group.last.is_empty() { &group.first } else { &group.last };
        self.out.write(row)?;
        self.rows += 1;
        self.len += row.len() as u64;
        if self.len > CONTENT_LEN_MAX as u64 {
            return Err(EncodeError::TooLarge.into());
        }
        Ok(())
    }
}

/// A run that is read: the row in front lies at the beginning of the window.
struct Run<'r> {
    window: Window<Box<dyn Read + Send + 'r>>,
    mark: u64,
    len: usize,
}

impl Run<'_> {
    fn row(&self) -> &[u8] {
        &self.window.rest()[..self.len]
    }

    /// Goes to the next row; false behind the last one.
    fn advance(&mut self, columns: usize) -> io::Result<bool> {
        let cut_off = || io::Error::other("a run of rows is cut off");
        self.window.pass(self.len);
        self.len = 0;
        while !self.window.ended && self.window.rest().len() < 16 {
            self.window.more()?;
        }
        let rest = self.window.rest();
        if rest.is_empty() {
            return Ok(false);
        }
        let (mark, behind) = varint::take(rest).ok_or_else(cut_off)?;
        let taken = rest.len() - behind.len();
        self.mark = mark;
        self.window.pass(taken);
        self.len = match self.window.row_len(columns) {
            Ok(len) => len.ok_or_else(cut_off)?,
            Err(RowError::Io(error)) => return Err(error),
            Err(RowError::CutOff | RowError::TooLong) => return Err(cut_off()),
        };
        Ok(true)
    }
}

/// Hands out the rows of all runs in key order; of equal keys those of the earlier run first.
fn merge(
    sources: &[Arc<dyn Source>],
    key: &[usize],
    columns: usize,
    mut row: impl FnMut(u64, &[u8]) -> Result<(), SortError>,
) -> Result<(), SortError> {
    let mut runs = Vec::new();
    for source in sources {
        let mut run = Run { window: Window::new(source.open()?), mark: 0, len: 0 };
        if run.advance(columns)? {
            runs.push(run);
        }
    }
    // A heap of places in `runs`, the least row on top. Runs stand in the order in which they came.
    let before = |runs: &[Run<'_>], a: usize, b: usize| {
        key_cmp(runs[a].row(), key, runs[b].row(), key).then(a.cmp(&b)) == Ordering::Less
    };
    let mut heap: Vec<usize> = (0..runs.len()).collect();
    for at in (0..heap.len() / 2).rev() {
        sift(&mut heap, at, |a, b| before(&runs, a, b));
    }
    while let Some(top) = heap.first().copied() {
        row(runs[top].mark, runs[top].row())?;
        if !runs[top].advance(columns)? {
            heap.swap_remove(0);
        }
        sift(&mut heap, 0, |a, b| before(&runs, a, b));
    }
    Ok(())
}

/// Lets what stands at a place sink to where it belongs.
fn sift(heap: &mut [usize], mut at: usize, before: impl Fn(usize, usize) -> bool) {
    loop {
        let mut least = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if child < heap.len() && before(heap[child], heap[least]) {
                least = child;
            }
        }
        if least == at {
            return;
        }
        heap.swap(at, least);
        at = least;
    }
}

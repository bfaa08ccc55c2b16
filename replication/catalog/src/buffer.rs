//! Making canonical content: rows in any order go in, sorted bytes without repeated keys come out.
//!
//! Rows are kept encoded in one buffer with an offset each: rows that come in key order take the memory of the content and 16 bytes
//! a row, others that of the content twice while they are put in order.

use crate::rows::{MAGIC, key_cmp};
use crate::{CONTENT_LEN_MAX, EncodeError, FIELD_LEN_MAX, ROW_LEN_MAX, Schema, varint};
use std::cmp::Ordering;

/// Two rows with one key, by the marks their caller gave them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repeat {
    /// Mark of the row that came first.
    pub first: u64,
    /// Mark of the later one, which is not in the content.
    pub second: u64,
    /// True when they are equal in every field.
    pub equal: bool,
}

/// What `RowBuffer::finish` gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sorted {
    /// Canonical content of the rows, the first of every key.
    pub content: Vec<u8>,
    /// Rows in the content.
    pub rows: u64,
    /// Rows that were left out because their key was there already.
    pub repeats: Vec<Repeat>,
}

/// Collects rows of one schema.
pub struct RowBuffer {
    schema: Schema,
    key: Vec<usize>,
    bytes: Vec<u8>,
    rows: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    end: u32,
    mark: u64,
}

impl RowBuffer {
    /// An empty buffer for a checked schema.
    pub fn new(schema: Schema) -> Result<Self, EncodeError> {
        schema.check()?;
        Ok(RowBuffer { key: schema.key_places(), schema, bytes: Vec::new(), rows: Vec::new() })
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the first row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row; `mark` is the caller's name for it in errors, for example a line number. A refused row is not added.
    pub fn push<F: AsRef<str>>(
        &mut self,
        mark: u64,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        let result = self.append(mark, fields);
        if result.is_err() {
            self.bytes.truncate(start);
        }
        result
    }

    fn append<F: AsRef<str>>(
        &mut self,
        mark: u64,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        let mut found = 0;
        for field in fields {
            let field = field.as_ref();
            if field.len() > FIELD_LEN_MAX {
                return Err(EncodeError::FieldTooLong { row: mark, len: field.len() });
            }
            varint::put(field.len() as u64, &mut self.bytes);
            self.bytes.extend_from_slice(field.as_bytes());
            found += 1;
        }
        if found != self.schema.columns.len() {
            return Err(EncodeError::Width { row: mark, found, columns: self.schema.columns.len() });
        }
        let len = self.bytes.len() - start;
        if len > ROW_LEN_MAX {
            return Err(EncodeError::RowTooLong { row: mark, len });
        }
        let offset = |n: usize| u32::try_from(n).map_err(|_| EncodeError::TooLarge);
        let entry = Entry { start: offset(start)?, end: offset(self.bytes.len())?, mark };
        self.rows.push(entry);
        Ok(())
    }

    /// Sorts and joins. Of rows with one key the first stays; the caller decides what a repeat means.
    pub fn finish(mut self) -> Result<Sorted, EncodeError> {
        if self.is_in_order() {
            return self.in_place();
        }
        let row = |e: &Entry| &self.bytes[e.start as usize..e.end as usize];
        // Stable, so that of repeated keys the first in the file stays first.
        self.rows.sort_by(|a, b| key_cmp(row(a), &self.key, row(b), &self.key));
        let mut repeats = Vec::new();
        let mut first: Option<Entry> = None;
        self.rows.retain(|entry| {
            if let Some(kept) = first
                && key_cmp(row(&kept), &self.key, row(entry), &self.key) == Ordering::Equal
            {
                let equal = row(&kept) == row(entry);
                repeats.push(Repeat { first: kept.mark, second: entry.mark, equal });
                return false;
            }
            first = Some(*entry);
            true
        });
        let mut content = self.front();
        content.reserve_exact(self.bytes.len());
        for entry in &self.rows {
            content.extend_from_slice(row(entry));
        }
        if content.len() > CONTENT_LEN_MAX {
            return Err(EncodeError::TooLarge);
        }
        Ok(Sorted { content, rows: self.rows.len() as u64, repeats })
    }
}

impl RowBuffer {
    /// Bytes that the rows and their places take.
    pub fn bytes_in_memory(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<Entry>()
    }

    /// Hands out all rows with their marks in key order, those of one key as they came, and is empty then.
    pub(crate) fn take_in_order<E>(
        &mut self,
        mut see: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let row = |e: &Entry| &self.bytes[e.start as usize..e.end as usize];
        self.rows.sort_by(|a, b| key_cmp(row(a), &self.key, row(b), &self.key));
        for entry in &self.rows {
            see(entry.mark, row(entry))?;
        }
        self.rows.clear();
        self.bytes.clear();
        Ok(())
    }

    /// The rows one behind the other, as they came, and how many they are.
    pub(crate) fn into_bytes(self) -> (u64, Vec<u8>) {
        (self.rows.len() as u64, self.bytes)
    }

    /// Whether the rows came in rising key order, as most lists are kept.
    pub(crate) fn is_in_order(&self) -> bool {
        let row = |e: &Entry| &self.bytes[e.start as usize..e.end as usize];
        let rises = |a: &Entry, b: &Entry| key_cmp(row(a), &self.key, row(b), &self.key) == Ordering::Less;
        self.rows.is_sorted_by(rises)
    }

    /// What stands in front of the rows.
    fn front(&self) -> Vec<u8> {
        let mut front = MAGIC.to_vec();
        self.schema.encode(&mut front);
        varint::put(self.rows.len() as u64, &mut front);
        front
    }

    /// The content of rows that are in order: the buffer itself, so that a large table is in memory once.
    fn in_place(self) -> Result<Sorted, EncodeError> {
        let (front, rows) = (self.front(), self.rows.len() as u64);
        let mut content = self.bytes;
        if front.len() + content.len() > CONTENT_LEN_MAX {
            return Err(EncodeError::TooLarge);
        }
        content.reserve_exact(front.len());
        content.splice(0..0, front);
        Ok(Sorted { content, rows, repeats: Vec::new() })
    }
}

/// Canonical content of rows in any order. Equal repeated rows become one; different rows with one key are an error.
pub fn encode_table<R, F>(schema: &Schema, rows: impl IntoIterator<Item = R>) -> Result<Vec<u8>, EncodeError>
where
    R: IntoIterator<Item = F>,
    F: AsRef<str>,
{
    let mut buffer = RowBuffer::new(schema.clone())?;
    for (i, row) in rows.into_iter().enumerate() {
        buffer.push(i as u64, row)?;
    }
    let sorted = buffer.finish()?;
    match sorted.repeats.iter().find(|r| !r.equal) {
        Some(r) => Err(EncodeError::RepeatedKey { first: r.first, second: r.second }),
        None => Ok(sorted.content),
    }
}

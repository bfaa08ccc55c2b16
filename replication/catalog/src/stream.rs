//! Rows of a content that comes from a reader: proven as they pass, one in memory at a time.
//!
//! Always: what a reader of rows has handed out was in key order, of the schema in front, within all limits and UTF-8; the end
//! comes only where the number of rows in front says so and nothing is left behind it.

use crate::cut::{Cutter, ROW_LEN_MAX};
use crate::index::{Child, IndexBuilder, ObjectSink};
use crate::rows::{key_cmp, row_len, take_field};
use crate::{CONTENT_LEN_MAX, DamageError, FIELD_LEN_MAX, Header, RowRef};
use eport_identity::Digest;
use std::cmp::Ordering;
use std::io::{self, Read};

/// Bytes read at once.
const READ_LEN: usize = 128 << 10;
/// The front of a content is not longer: a thousand columns of 256 bytes, and what stands around them.
const FRONT_LEN_MAX: usize = 512 << 10;

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are no canonical content.
    #[error(transparent)]
    Damaged(#[from] DamageError),
    /// The reader failed.
    #[error("the rows cannot be read: {0}")]
    Unread(#[from] io::Error),
}

/// A part of what a reader gives, as much as somebody needs to look at in one piece.
pub(crate) struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    at: usize,
    pub(crate) ended: bool,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(input: R) -> Self {
        Window { input, bytes: Vec::new(), at: 0, ended: false }
    }

    /// What is here.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Goes on behind so many bytes.
    pub(crate) fn pass(&mut self, len: usize) {
        self.at += len;
    }

    /// Reads on; what was passed is given up.
    pub(crate) fn more(&mut self) -> io::Result<()> {
        self.bytes.drain(..self.at);
        self.at = 0;
        let before = self.bytes.len();
        let read = self.input.by_ref().take(READ_LEN as u64).read_to_end(&mut self.bytes)?;
        debug_assert_eq!(self.bytes.len(), before + read);
        self.ended = read < READ_LEN;
        Ok(())
    }

    /// The length of the row in front: `None` when there is nothing more, an error when it is cut off or too long.
    pub(crate) fn row_len(&mut self, columns: usize) -> Result<Option<usize>, RowError> {
        loop {
            if let Some(len) = row_len(self.rest(), columns)
                && !self.rest().is_empty()
            {
                return if len > ROW_LEN_MAX { Err(RowError::TooLong) } else { Ok(Some(len)) };
            }
            match (self.ended, self.rest().len()) {
                (true, 0) => return Ok(None),
                (true, _) => return Err(RowError::CutOff),
                // Lengths are not longer than ten bytes a field.
                (false, len) if len > ROW_LEN_MAX + 16 => return Err(RowError::TooLong),
                _ => self.more()?,
            }
        }
    }
}

/// What is wrong with the row in front.
pub(crate) enum RowError {
    CutOff,
    TooLong,
    Io(io::Error),
}

impl From<io::Error> for RowError {
    fn from(error: io::Error) -> Self {
        RowError::Io(error)
    }
}

/// Walks the rows of a content. Memory: one row twice, and what is read at once.
pub struct RowReader<R> {
    window: Window<R>,
    header: Header,
    front: Vec<u8>,
    /// Bytes of the row that is shown; it lies at the beginning of the window.
    shown: Option<usize>,
    previous: Vec<u8>,
    left: u64,
    offset: u64,
}

impl<R: Read> RowReader<R> {
    /// Reads the front.
    pub fn open(input: R) -> Result<Self, ReadError> {
        let mut window = Window::new(input);
        while !window.ended && window.rest().len() < FRONT_LEN_MAX {
            window.more()?;
        }
        let header = Header::front(window.rest())?;
        let front = window.rest()[..header.start()].to_vec();
        window.pass(front.len());
        let (left, offset) = (header.rows(), front.len() as u64);
        Ok(RowReader { window, header, front, shown: None, previous: Vec::new(), left, offset })
    }

    /// What stands in front of the rows.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Goes to the next row; false behind the last one.
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        if let Some(len) = self.shown.take() {
            self.previous.clear();
            self.previous.extend_from_slice(&self.window.rest()[..len]);
            self.window.pass(len);
            self.offset += len as u64;
        }
        let damaged =
            |offset: u64, what| DamageError { offset: usize::try_from(offset).unwrap_or(usize::MAX), what };
        let found = self.window.row_len(self.header.schema().columns.len()).map_err(|e| match e {
            RowError::CutOff => damaged(self.offset, "a field is cut off").into(),
            RowError::TooLong => damaged(self.offset, "a row is over the limit").into(),
            RowError::Io(error) => ReadError::Unread(error),
        })?;
        let len = match (self.left, found) {
            (0, None) => return Ok(false),
            (0, Some(_)) => {
                return Err(damaged(self.offset, "bytes are left over behind the last row").into());
            }
            (_, None) => return Err(damaged(self.offset, "a field is cut off").into()),
            (_, Some(len)) => len,
        };
        let row = &self.window.rest()[..len];
        let mut fields = row;
        while let Some((field, rest)) = take_field(fields) {
            if field.len() > FIELD_LEN_MAX {
                return Err(damaged(self.offset, "a field is over the limit").into());
            }
            if std::str::from_utf8(field).is_err() {
                return Err(damaged(self.offset, "a field is not UTF-8").into());
            }
            fields = rest;
        }
        let key = self.header.key_places();
        let begun = self.left != self.header.rows();
        if begun && key_cmp(&self.previous, key, row, key) != Ordering::Less {
            return Err(damaged(self.offset, "rows are not in rising key order").into());
        }
        self.left -= 1;
        self.shown = Some(len);
        Ok(true)
    }

    /// The row that is shown, if the walk stands at one.
    pub fn row(&self) -> Option<RowRef<'_>> {
        let bytes = &self.window.rest()[..self.shown?];
        Some(RowRef { schema: self.header.schema(), key: self.header.key_places(), bytes })
    }
}

/// Cuts rows into chunks with an index above, as they come.
pub(crate) struct Writer<'k, K: ObjectSink> {
    sink: &'k mut K,
    index: IndexBuilder,
    pub(crate) cutter: Cutter,
    chunk: Vec<u8>,
    rows: u64,
    pub(crate) total: u64,
}

impl<'k, K: ObjectSink> Writer<'k, K> {
    /// Begins with the front of a content, which is a chunk of its own.
    pub(crate) fn begin(sink: &'k mut K, front: &[u8]) -> Result<Self, K::Error> {
        let (index, cutter) = (IndexBuilder::default(), Cutter::default());
        let mut writer = Writer { sink, index, cutter, chunk: front.to_vec(), rows: 0, total: 0 };
        writer.end()?;
        Ok(writer)
    }

    pub(crate) fn sink(&mut self) -> &mut K {
        self.sink
    }

    /// Takes over a chunk that is kept already.
    pub(crate) fn chunk_of(&mut self, child: Child) -> Result<(), K::Error> {
        self.total += child.bytes;
        let sink = &mut *self.sink;
        self.index.push(child, &mut |d, b| sink.put(d, b))
    }

    fn end(&mut self) -> Result<(), K::Error> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let digest = Digest::of(&self.chunk);
        self.sink.put(&digest, &self.chunk)?;
        let child = Child { digest, bytes: self.chunk.len() as u64, rows: self.rows };
        self.chunk.clear();
        self.rows = 0;
        self.chunk_of(child)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: &[u8]) -> Result<(), K::Error> {
        self.chunk.extend_from_slice(row);
        self.rows += 1;
        if self.cutter.row(row) { self.end() } else { Ok(()) }
    }

    /// Ends the last chunk and the index; answers the root.
    pub(crate) fn finish(mut self) -> Result<Option<Digest>, K::Error> {
        self.end()?;
        let Writer { sink, index, .. } = self;
        index.finish(&mut |d, b| sink.put(d, b))
    }
}

/// Why rows that come from a reader cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<E> {
    /// They cannot be read.
    #[error(transparent)]
    Rows(#[from] ReadError),
    /// The place that keeps objects failed.
    #[error("{0}")]
    Objects(E),
}

/// Cuts the rows of a reader and hands chunks and nodes to a sink; answers the root. Memory: a chunk, and the open nodes.
pub fn store_rows<S: ObjectSink>(input: impl Read, sink: &mut S) -> Result<Digest, StreamError<S::Error>> {
    let mut rows = RowReader::open(input)?;
    let mut out = Writer::begin(sink, &rows.front).map_err(StreamError::Objects)?;
    while rows.advance()? {
        if let Some(row) = rows.row() {
            out.row(row.bytes).map_err(StreamError::Objects)?;
        }
        if rows.offset > CONTENT_LEN_MAX as u64 {
            let what = "the content is over the limit";
            return Err(ReadError::Damaged(DamageError { offset: CONTENT_LEN_MAX, what }).into());
        }
    }
    let root = out.finish().map_err(StreamError::Objects)?;
    root.ok_or_else(|| ReadError::Damaged(DamageError { offset: 0, what: "the content is empty" }).into())
}

/// The root of the rows of a reader, nothing kept.
pub fn root_of_rows(input: impl Read) -> Result<Digest, ReadError> {
    store_rows(input, &mut crate::index::Nowhere).map_err(|e| match e {
        StreamError::Rows(e) => e,
        StreamError::Objects(never) => match never {},
    })
}

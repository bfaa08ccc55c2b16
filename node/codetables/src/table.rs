//! An installed version: its canonical bytes and four bytes a row to find them.
//!
//! Immutable and cheap to clone. The bytes are proven once, when the table is opened.

use bytes::Bytes;
use eport_catalog::{ContentError, Header, Key, RowRef, Schema};
use eport_identity::Digest;
use std::cmp::Ordering;
use std::sync::Arc;

/// A version of a table, ready for lookup.
#[derive(Clone)]
pub struct Table(Arc<Inner>);

struct Inner {
    content: Bytes,
    root: Digest,
    header: Header,
    /// Where each row begins, in key order.
    offsets: Vec<u32>,
}

/// A part of a listing.
pub struct Page<'t> {
    /// Rows in key order.
    pub rows: Vec<RowRef<'t>>,
    /// The key to go on behind; none at the end.
    pub next: Option<Key>,
}

impl Table {
    /// Opens content that must hash to `root`.
    pub fn open(content: Bytes, root: Digest) -> Result<Table, ContentError> {
        let found = eport_catalog::root_of(&content)?;
        if found != root {
            return Err(ContentError::WrongDigest { wanted: root, found });
        }
        let header = Header::read(&content)?;
        // `Header::read` has held the number of rows against the bytes, so this is at most four times the content.
        let mut offsets = Vec::with_capacity(usize::try_from(header.rows()).unwrap_or(0));
        let mut rows = header.walk(&content);
        loop {
            let offset = rows.offset();
            let Some(row) = rows.next() else { break };
            row?;
            let small = u32::try_from(offset);
            offsets
                .push(small.map_err(|_| ContentError::Metadata { root, what: "the content is over 4 GiB" })?);
        }
        Ok(Table(Arc::new(Inner { content, root, header, offsets })))
    }

    /// Columns and key.
    pub fn schema(&self) -> &Schema {
        self.0.header.schema()
    }

    /// The root of the content.
    pub fn root(&self) -> Digest {
        self.0.root
    }

    /// The canonical content.
    pub fn content(&self) -> &Bytes {
        &self.0.content
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.offsets.len()
    }

    /// True for a table without rows.
    pub fn is_empty(&self) -> bool {
        self.0.offsets.is_empty()
    }

    /// The row at a place in key order.
    pub fn row(&self, place: usize) -> Option<RowRef<'_>> {
        let offset = self.0.offsets.get(place)?;
        Some(self.0.header.row_at(&self.0.content, *offset as usize))
    }

    /// All rows in key order.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.len()).filter_map(|place| self.row(place))
    }

    /// The row of a key.
    pub fn get(&self, key: &Key) -> Option<RowRef<'_>> {
        self.find_place(&key.0).ok().and_then(|place| self.row(place))
    }

    /// The row of a key in text form (`Key`).
    pub fn get_text(&self, key: &str) -> Option<RowRef<'_>> {
        self.get(&Key::parse(key, self.schema().key.len())?)
    }

    /// True when a table with one key column has this code.
    pub fn contains(&self, code: &str) -> bool {
        self.get_text(code).is_some()
    }

    /// Rows whose first key column begins with `prefix`, from behind a key on.
    pub fn page(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Page<'_> {
        let from_prefix = self.partition(|row| row.first_key().as_bytes() < prefix.as_bytes());
        let from_key = after.map_or(0, |key| match self.find_place(&key.0) {
            Ok(place) => place + 1,
            Err(place) => place,
        });
        let rows = (from_prefix.max(from_key)..self.len()).filter_map(|place| self.row(place));
        self.cut(rows.take_while(|row| row.first_key().starts_with(prefix)), limit)
    }

    /// Rows in which some field contains the text, letters of either case, from behind a key on. Reads the whole table.
    pub fn search<'t>(&'t self, text: &str, after: Option<&Key>, limit: usize) -> Page<'t> {
        let text = text.to_lowercase();
        let from =
            after.map_or(0, |key| self.find_place(&key.0).map_or_else(|place| place, |place| place + 1));
        let rows = (from..self.len()).filter_map(|place| self.row(place));
        self.cut(rows.filter(|row| row.fields().any(|f| f.to_lowercase().contains(&text))), limit)
    }

    fn cut<'t>(&self, rows: impl Iterator<Item = RowRef<'t>>, limit: usize) -> Page<'t> {
        let mut rows: Vec<RowRef<'t>> = rows.take(limit.saturating_add(1)).collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(RowRef::key) } else { None };
        Page { rows, next }
    }

    fn find_place(&self, key: &[String]) -> Result<usize, usize> {
        let (content, header) = (&self.0.content, &self.0.header);
        self.0.offsets.binary_search_by(|offset| header.row_at(content, *offset as usize).key_cmp_to(key))
    }

    fn partition(&self, below: impl Fn(&RowRef<'_>) -> bool) -> usize {
        let (content, header) = (&self.0.content, &self.0.header);
        let order = |offset: &u32| match below(&header.row_at(content, *offset as usize)) {
            true => Ordering::Less,
            false => Ordering::Greater,
        };
        self.0.offsets.binary_search_by(order).unwrap_or_else(|place| place)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} rows, {})", self.len(), self.0.root.short())
    }
}

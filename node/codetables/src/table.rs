//! An installed version: its canonical bytes and four bytes a row to find them.
//!
//! Immutable and cheap to clone. The bytes are proven once, when the table is opened. What only some questions need is indexed
//! when they come: text search and the rows below a parent at the first, places of keys at the [`HALVED`]th look-up by key.

use crate::places::{Places, hash};
use crate::search::{Index, Query};
use bytes::Bytes;
use eport_catalog::{ContentError, Header, Key, RowRef, Schema, Source};
use eport_identity::Digest;
use std::cmp::Ordering;
use std::sync::atomic::{AtomicU32, Ordering as Memory};
use std::sync::{Arc, OnceLock};

/// Look-ups by key that are answered by halving before places are indexed: whoever asks once pays nothing for an index.
const HALVED: u32 = 64;
/// Tables of fewer rows lie in the processor's caches: halving is as fast.
const INDEXED_ROWS_MIN: usize = 1_024;

/// A version of a table, ready for lookup.
#[derive(Clone)]
pub struct Table(Arc<Inner>);

struct Inner {
    content: Bytes,
    root: Digest,
    header: Header,
    /// Where each row begins, in key order.
    offsets: Vec<u32>,
    /// Places of keys; no index inside where there is none.
    places: OnceLock<Option<Places>>,
    /// Look-ups by key before there was an index.
    asked: AtomicU32,
    /// For text search.
    index: OnceLock<Index>,
    /// Rows by the value of one column and then by key, for the first column that was asked for.
    by_value: OnceLock<(usize, Vec<u32>)>,
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
        let (index, by_value, places) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let asked = AtomicU32::new(0);
        Ok(Table(Arc::new(Inner { content, root, header, offsets, places, asked, index, by_value })))
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

    /// The canonical content, to be read from the beginning.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.0.content.clone())
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
        if key.0.len() != self.schema().key.len() {
            return None;
        }
        let Some(places) = self.places() else {
            return self.find_place(&key.0).ok().and_then(|place| self.row(place));
        };
        let at = |offset: u32| self.0.header.row_at(&self.0.content, offset as usize);
        let hash = hash(key.0.iter().map(String::as_str));
        places.find(hash, |offset| at(offset).key_cmp_to(&key.0) == Ordering::Equal).map(at)
    }

    /// The row of a key in text form (`Key`).
    pub fn get_text(&self, key: &str) -> Option<RowRef<'_>> {
        if let [_] = self.schema().key.as_slice() {
            let Some(places) = self.places() else {
                let place = self.first_from(key);
                return self.row(place).filter(|row| row.first_key() == key);
            };
            let at = |offset: u32| self.0.header.row_at(&self.0.content, offset as usize);
            return places.find(hash([key].into_iter()), |offset| at(offset).first_key() == key).map(at);
        }
        // Without a backslash the parts stand between the bars as they are: no copy is made to look them up.
        if let Some(places) = self.places()
            && !key.contains('\\')
        {
            if key.split('|').count() != self.schema().key.len() {
                return None;
            }
            let at = |offset: u32| self.0.header.row_at(&self.0.content, offset as usize);
            let is = |offset| at(offset).key_fields().eq(key.split('|'));
            return places.find(hash(key.split('|')), is).map(at);
        }
        self.get(&Key::parse(key, self.schema().key.len())?)
    }

    /// True when a table with one key column has this code.
    pub fn contains(&self, code: &str) -> bool {
        self.get_text(code).is_some()
    }

    /// Rows whose first key column begins with `prefix`, from behind a key on.
    pub fn page(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Page<'_> {
        self.page_where(prefix, after, limit, |_| true)
    }

    /// The same, of the rows that `keep` takes.
    pub fn page_where<'t>(
        &'t self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
        keep: impl Fn(&RowRef<'_>) -> bool,
    ) -> Page<'t> {
        let from = self.first_from(prefix).max(self.behind(after));
        let rows = (from..self.len()).filter_map(|place| self.row(place));
        Self::cut(rows.take_while(|row| row.first_key().starts_with(prefix)).filter(|row| keep(row)), limit)
    }

    /// Rows in which each word of the query stands in some field, from behind a key on.
    pub fn search<'t>(&'t self, query: &Query, after: Option<&Key>, limit: usize) -> Page<'t> {
        self.search_where(query, after, limit, |_| true)
    }

    /// The same, of the rows that `keep` takes.
    pub fn search_where<'t>(
        &'t self,
        query: &Query,
        after: Option<&Key>,
        limit: usize,
        keep: impl Fn(&RowRef<'_>) -> bool,
    ) -> Page<'t> {
        let mut scratch = String::new();
        let places = self.index().candidates(query, self.behind(after));
        let rows = places.filter_map(|place| self.row(place));
        Self::cut(rows.filter(|row| query.fits(row, &mut scratch) && keep(row)), limit)
    }

    /// The places of keys, once enough were asked for. Who asks when it is time makes the index; others go on by halving.
    fn places(&self) -> Option<&Places> {
        if let Some(made) = self.0.places.get() {
            return made.as_ref();
        }
        if self.0.asked.fetch_add(1, Memory::Relaxed) != HALVED {
            return None;
        }
        self.0.places.get_or_init(|| self.index_places()).as_ref()
    }

    /// With its indexes a table stays below twice its content: where rows are so short that they would take more, there are
    /// no places. Reckoned are offsets, places, and rows by value.
    fn index_places(&self) -> Option<Places> {
        let rows = self.len();
        let taken = rows.saturating_mul(8).saturating_add(Places::len_of(rows));
        if rows < INDEXED_ROWS_MIN || taken > self.0.content.len() {
            return None;
        }
        let of = |offset: &u32| {
            (hash(self.0.header.row_at(&self.0.content, *offset as usize).key_fields()), *offset)
        };
        Places::build(rows, self.0.offsets.iter().map(of))
    }

    fn index(&self) -> &Index {
        self.0.index.get_or_init(|| Index::build(self.len(), |place| self.row(place)))
    }

    /// Bytes in memory: content, offsets and the indexes that were made so far.
    pub fn bytes_in_memory(&self) -> usize {
        let by_value = self.0.by_value.get().map_or(0, |(_, places)| 4 * places.len());
        let index = self.0.index.get().map_or(0, Index::len);
        let places = self.0.places.get().and_then(Option::as_ref).map_or(0, Places::len);
        self.0.content.len() + 4 * self.0.offsets.len() + by_value + index + places
    }

    /// Rows with a value in a column, in key order, from behind a key on. `None` when there is no such column.
    pub(crate) fn with_value<'t>(
        &'t self,
        column: &str,
        value: &str,
        after: Option<&Key>,
    ) -> Option<Box<dyn Iterator<Item = RowRef<'t>> + 't>> {
        let column = self.schema().column(column)?;
        let from = self.behind(after);
        let value = value.to_owned();
        let (indexed, places) = self.0.by_value.get_or_init(|| {
            let mut places: Vec<u32> = (0..self.0.offsets.len() as u32).collect();
            // Stable: rows of one value stay in key order.
            places.sort_by(|a, b| self.field(*a, column).cmp(self.field(*b, column)));
            (column, places)
        });
        if *indexed != column {
            // Another version of the rules on the same rows: rare, and a walk answers too.
            let rows = (from..self.len()).filter_map(|place| self.row(place));
            return Some(Box::new(rows.filter(move |row| row.field(column) == value)));
        }
        let start = places.partition_point(|p| {
            let found = self.field(*p, column);
            found < value.as_str() || (found == value && (*p as usize) < from)
        });
        let rows = places[start..].iter().filter_map(|place| self.row(*place as usize));
        Some(Box::new(rows.take_while(move |row| row.field(column) == value)))
    }

    fn field(&self, place: u32, column: usize) -> &str {
        self.row(place as usize).map_or("", |row| row.field(column))
    }

    pub(crate) fn cut<'t>(rows: impl Iterator<Item = RowRef<'t>>, limit: usize) -> Page<'t> {
        let mut rows: Vec<RowRef<'t>> = rows.take(limit.saturating_add(1)).collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(RowRef::key) } else { None };
        Page { rows, next }
    }

    /// Place of the first row behind a key; of the first row of all without one.
    pub(crate) fn behind(&self, after: Option<&Key>) -> usize {
        after.map_or(0, |key| self.find_place(&key.0).map_or_else(|place| place, |place| place + 1))
    }

    /// Place of the first row whose first key column is at or behind a text.
    pub(crate) fn first_from(&self, text: &str) -> usize {
        self.partition(|row| row.first_key() < text)
    }

    /// Place of the first row behind all whose first key column begins with a text.
    pub(crate) fn first_behind_prefix(&self, prefix: &str) -> usize {
        self.partition(|row| row.first_key() < prefix || row.first_key().starts_with(prefix))
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

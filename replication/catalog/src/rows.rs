//! Reading canonical content without copying it.
//!
//! Layout: `EPTB` and a version byte; the schema; the number of rows; the rows in rising key order; nothing behind.
//! A row is its fields in column order, each a length and UTF-8 bytes. Lengths are shortest-form varints, so a table has
//! exactly one encoding. Keys compare field by field, by bytes. `Rows` proves all of this while it walks.

use crate::{DamageError, FIELD_LEN_MAX, ROW_LEN_MAX, Schema, varint};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// First bytes of every content; the last one is the version of the layout.
pub(crate) const MAGIC: &[u8; 5] = b"EPTB\x01";

/// What stands in front of the rows.
#[derive(Clone, Debug)]
pub struct Header {
    schema: Schema,
    key: Vec<usize>,
    rows: u64,
    start: usize,
}

impl Header {
    /// Reads the front of a content. The claimed number of rows is held against the bytes that are there.
    pub fn read(content: &[u8]) -> Result<Self, DamageError> {
        let header = Self::front(content)?;
        // Every field takes at least its length byte.
        let least = header.rows.saturating_mul(header.schema.columns.len() as u64);
        if least > (content.len() - header.start) as u64 {
            let what = "more rows are claimed than the bytes can hold";
            return Err(DamageError { offset: header.start, what });
        }
        Ok(header)
    }

    /// Reads the front alone, without the rows behind it; `None` when it is none.
    pub(crate) fn read_front(front: &[u8]) -> Option<Self> {
        Self::front(front).ok()
    }

    pub(crate) fn front(content: &[u8]) -> Result<Self, DamageError> {
        let fail = |offset, what| Err(DamageError { offset, what });
        let Some(rest) = content.strip_prefix(MAGIC.as_slice()) else {
            return fail(0, "not table content of a known layout");
        };
        let Some((schema, rest)) = Schema::decode(rest) else {
            return fail(MAGIC.len(), "the schema is malformed");
        };
        let at = content.len() - rest.len();
        let Some((rows, rest)) = varint::take(rest) else {
            return fail(at, "the number of rows is malformed");
        };
        Ok(Header { key: schema.key_places(), schema, rows, start: content.len() - rest.len() })
    }

    /// Columns and key.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Where the rows begin.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Places of the key columns.
    pub(crate) fn key_places(&self) -> &[usize] {
        &self.key
    }

    /// Walks the rows of the content this header was read from.
    pub fn walk<'a>(&'a self, content: &'a [u8]) -> Rows<'a> {
        Rows {
            header: self,
            content,
            at: self.start.min(content.len()),
            left: self.rows,
            previous: None,
            failed: false,
        }
    }

    /// The row that starts at an offset which `Rows` gave for the same content.
    pub fn row_at<'a>(&'a self, content: &'a [u8], offset: usize) -> RowRef<'a> {
        RowRef { schema: &self.schema, key: &self.key, bytes: content.get(offset..).unwrap_or(&[]) }
    }
}

/// The values of a row's key columns, in key order. As text: one value as it is; several joined by `|`, where `|` and
/// `\` inside a value are preceded by `\`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(pub Vec<String>);

impl Key {
    /// Reads the text form of a key of so many columns; `None` when the number of parts differs.
    pub fn parse(text: &str, columns: usize) -> Option<Key> {
        if columns == 1 {
            return Some(Key(vec![text.to_owned()]));
        }
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => parts.last_mut()?.push(chars.next()?),
                '|' => parts.push(String::new()),
                c => parts.last_mut()?.push(c),
            }
        }
        (parts.len() == columns).then_some(Key(parts))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return f.write_str(only);
        }
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("|")?;
            }
            f.write_str(&part.replace('\\', "\\\\").replace('|', "\\|"))?;
        }
        Ok(())
    }
}

/// A row inside its content.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) key: &'a [usize],
    pub(crate) bytes: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// The fields' bytes in column order. The bytes were proven before; were they not, the walk ends early.
    fn raw(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.bytes;
        (0..self.schema.columns.len()).map_while(move |_| {
            let (field, tail) = take_field(rest)?;
            rest = tail;
            Some(field)
        })
    }

    /// The fields in column order.
    pub fn fields(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.raw().map(|f| std::str::from_utf8(f).unwrap_or(""))
    }

    /// The field of a column by place; empty when there is no such column.
    pub fn field(&self, column: usize) -> &'a str {
        self.raw().nth(column).map_or("", |f| std::str::from_utf8(f).unwrap_or(""))
    }

    /// The field of a column by name.
    pub fn get(&self, column: &str) -> Option<&'a str> {
        self.schema.column(column).map(|place| self.field(place))
    }

    /// The value of the first key column.
    pub fn first_key(&self) -> &'a str {
        self.key.first().map_or("", |place| self.field(*place))
    }

    /// The values of the key columns, in key order.
    pub fn key_fields(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let row = *self;
        row.key.iter().map(move |place| row.field(*place))
    }

    /// The key.
    pub fn key(&self) -> Key {
        Key(self.key_fields().map(str::to_owned).collect())
    }

    /// Column names and values.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.schema.columns.iter().map(|c| c.name.clone()).zip(self.fields().map(str::to_owned)).collect()
    }

    /// Compares keys.
    pub fn key_cmp(&self, other: &RowRef<'_>) -> Ordering {
        key_cmp(self.bytes, self.key, other.bytes, other.key)
    }

    /// Compares this row's key with values in key order.
    pub fn key_cmp_to(&self, key: &[String]) -> Ordering {
        let own = self.key.iter().map(|p| nth_field(self.bytes, *p));
        own.cmp(key.iter().map(|k| k.as_bytes()))
    }
}

pub(crate) fn take_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = varint::take(bytes)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// Bytes of the row in front; `None` when it is cut off.
pub(crate) fn row_len(bytes: &[u8], columns: usize) -> Option<usize> {
    let mut rest = bytes;
    for _ in 0..columns {
        rest = take_field(rest)?.1;
    }
    Some(bytes.len() - rest.len())
}

pub(crate) fn nth_field(mut bytes: &[u8], n: usize) -> &[u8] {
    for _ in 0..n {
        let Some((_, rest)) = take_field(bytes) else { return &[] };
        bytes = rest;
    }
    take_field(bytes).map_or(&[], |(field, _)| field)
}

/// Compares the keys of two encoded rows.
pub(crate) fn key_cmp(a: &[u8], a_key: &[usize], b: &[u8], b_key: &[usize]) -> Ordering {
    a_key.iter().map(|p| nth_field(a, *p)).cmp(b_key.iter().map(|p| nth_field(b, *p)))
}

/// Proving walk over the rows: order, repeated keys, lengths, UTF-8, nothing left over. Ends at the first error.
pub struct Rows<'a> {
    header: &'a Header,
    content: &'a [u8],
    at: usize,
    left: u64,
    previous: Option<&'a [u8]>,
    failed: bool,
}

impl<'a> Rows<'a> {
    /// Offset of the next row.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn step(&mut self) -> Result<RowRef<'a>, DamageError> {
        let rest = &self.content[self.at..];
        let mut tail = rest;
        for _ in 0..self.header.schema.columns.len() {
            let offset = self.content.len() - tail.len();
            let (field, after) =
                take_field(tail).ok_or(DamageError { offset, what: "a field is cut off" })?;
            if field.len() > FIELD_LEN_MAX {
                return Err(DamageError { offset, what: "a field is over the limit" });
            }
            if std::str::from_utf8(field).is_err() {
                return Err(DamageError { offset, what: "a field is not UTF-8" });
            }
            tail = after;
        }
        let bytes = &rest[..rest.len() - tail.len()];
        if bytes.len() > ROW_LEN_MAX {
            return Err(DamageError { offset: self.at, what: "a row is over the limit" });
        }
        let key = &self.header.key;
        if let Some(previous) = self.previous
            && key_cmp(previous, key, bytes, key) != Ordering::Less
        {
            return Err(DamageError { offset: self.at, what: "rows are not in rising key order" });
        }
        self.previous = Some(bytes);
        self.at += bytes.len();
        self.left -= 1;
        Ok(RowRef { schema: &self.header.schema, key, bytes })
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<RowRef<'a>, DamageError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let result = match (self.left, self.content.len() - self.at) {
            (0, 0) => return None,
            (0, _) => Err(DamageError { offset: self.at, what: "bytes are left over behind the last row" }),
            _ => self.step(),
        };
        self.failed = result.is_err();
        Some(result)
    }
}

/// Schema and owned rows of a content, proven. For tests and small tables; large ones are walked with `Header::walk`.
pub fn decode_table(content: &[u8]) -> Result<(Schema, Vec<Vec<String>>), DamageError> {
    let header = Header::read(content)?;
    let rows = header.walk(content).map(|row| row.map(|r| r.fields().map(str::to_owned).collect()));
    let rows = rows.collect::<Result<_, _>>()?;
    Ok((header.schema, rows))
}

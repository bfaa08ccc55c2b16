//! What columns a table has and which of them make its key.
//!
//! Invariants of a checked schema: at least one column, names unique and not empty, at least one key column, each named once.

use crate::{COLUMNS_MAX, KEY_COLUMNS_MAX, SchemaError, varint};
use serde::{Deserialize, Serialize};

/// Longest column name in bytes.
const COLUMN_NAME_LEN_MAX: usize = 256;

/// What a column holds. Codes are case-sensitive strings, never numbers: leading zeros matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A code: half-width, no blanks at the ends, not damaged by a spreadsheet.
    Code,
    /// Free text as given.
    Text,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Column {
    /// Name, as in the file's header.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// Columns and key of a table version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schema {
    /// Columns in file order.
    pub columns: Vec<Column>,
    /// Names of the key columns, in the order in which keys are compared.
    pub key: Vec<String>,
}

impl Schema {
    /// A checked schema; key columns become codes.
    pub fn new(columns: &[&str], key: &[&str]) -> Result<Self, SchemaError> {
        let schema = Schema {
            columns: columns
                .iter()
                .map(|name| Column {
                    name: (*name).to_owned(),
                    kind: if key.contains(name) { ColumnType::Code } else { ColumnType::Text },
                })
                .collect(),
            key: key.iter().map(|k| (*k).to_owned()).collect(),
        };
        schema.check()?;
        Ok(schema)
    }

    /// Checks the invariants, for a schema that was received.
    pub fn check(&self) -> Result<(), SchemaError> {
        if self.columns.is_empty() || self.columns.len() > COLUMNS_MAX {
            return Err(SchemaError::Columns { found: self.columns.len() });
        }
        let mut names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        if let Some(bad) = names.iter().find(|n| n.is_empty() || n.len() > COLUMN_NAME_LEN_MAX) {
            return Err(SchemaError::ColumnName { name: bad.chars().take(64).collect() });
        }
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(SchemaError::RepeatedColumn { name: pair[0].to_owned() });
        }
        if self.key.is_empty() || self.key.len() > KEY_COLUMNS_MAX {
            return Err(SchemaError::KeyColumns { found: self.key.len() });
        }
        for (i, name) in self.key.iter().enumerate() {
            if self.column(name).is_none() {
                return Err(SchemaError::MissingKeyColumn { name: name.clone() });
            }
            if self.key[..i].contains(name) {
                return Err(SchemaError::RepeatedColumn { name: name.clone() });
            }
        }
        Ok(())
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Places of the key columns, in key order. Complete for a checked schema.
    pub(crate) fn key_places(&self) -> Vec<usize> {
        self.key.iter().filter_map(|k| self.column(k)).collect()
    }

    /// Appends the schema's part of the canonical bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(self.columns.len() as u64, out);
        for column in &self.columns {
            varint::put(column.name.len() as u64, out);
            out.extend_from_slice(column.name.as_bytes());
            out.push(match column.kind {
                ColumnType::Code => 1,
                ColumnType::Text => 2,
            });
        }
        let places = self.key_places();
        varint::put(places.len() as u64, out);
        places.iter().for_each(|p| varint::put(*p as u64, out));
    }

    /// Reads and checks a schema; gives the bytes behind it. `None` when the bytes are no schema at all.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Schema, &[u8])> {
        let (count, mut rest) = varint::take(bytes)?;
        if count as usize > COLUMNS_MAX {
            return None;
        }
        let mut columns = Vec::new();
        for _ in 0..count {
            let (len, tail) = varint::take(rest)?;
            let len = usize::try_from(len).ok().filter(|len| *len <= COLUMN_NAME_LEN_MAX)?;
            let (name, tail) = tail.split_at_checked(len)?;
            let (kind, tail) = tail.split_first()?;
            let kind = match kind {
                1 => ColumnType::Code,
                2 => ColumnType::Text,
                _ => return None,
            };
            columns.push(Column { name: std::str::from_utf8(name).ok()?.to_owned(), kind });
            rest = tail;
        }
        let (keys, mut rest) = varint::take(rest)?;
        if keys as usize > KEY_COLUMNS_MAX {
            return None;
        }
        let mut key = Vec::new();
        for _ in 0..keys {
            let (place, tail) = varint::take(rest)?;
            key.push(columns.get(usize::try_from(place).ok()?)?.name.clone());
            rest = tail;
        }
        let schema = Schema { columns, key };
        schema.check().ok()?;
        Some((schema, rest))
    }
}

//! Difference of two contents, by key and by field.
//!
//! One walk over both in key order. Columns are matched by name, so a moved column is no difference; a column that only
//! one version has shows as a field with no value on the other side.

use crate::{DiffError, RowReader, RowRef};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Read;

/// A row that only one version has, or that both have with different fields.
pub enum Change<'a> {
    /// Only the newer version has it.
    Added(RowRef<'a>),
    /// Only the older version has it.
    Removed(RowRef<'a>),
    /// Both have the key; some field differs.
    Changed(RowRef<'a>, RowRef<'a>),
}

/// Numbers of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Rows only in the newer version.
    pub added: u64,
    /// Rows only in the older version.
    pub removed: u64,
    /// Keys in both with different fields.
    pub changed: u64,
    /// Rows equal in both.
    pub unchanged: u64,
}

/// A changed row: each differing column with the value before and after; no value where the column does not exist.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// The key in text form.
    pub key: String,
    /// Column to values before and after.
    pub fields: BTreeMap<String, (Option<String>, Option<String>)>,
}

/// The whole difference, in key order. Its JSON is that of `table diff`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// Keys only in the newer version.
    pub added: Vec<String>,
    /// Keys only in the older version.
    pub removed: Vec<String>,
    /// Rows in both with different fields.
    pub changed: Vec<Changed>,
}

/// Walks both contents and hands every change to `see`, in key order.
pub fn compare(before: &[u8], after: &[u8], see: impl FnMut(Change<'_>)) -> Result<Counts, DiffError> {
    compare_rows(before, after, see)
}

/// The same for contents that come from readers. Memory: a row of each.
pub fn compare_rows(
    before: impl Read,
    after: impl Read,
    mut see: impl FnMut(Change<'_>),
) -> Result<Counts, DiffError> {
    let (mut olds, mut news) = (RowReader::open(before)?, RowReader::open(after)?);
    let (old_key, new_key) = (&olds.header().schema().key, &news.header().schema().key);
    if old_key != new_key {
        return Err(DiffError::KeyDiffers { before: old_key.clone(), after: new_key.clone() });
    }
    let same_columns = olds.header().schema() == news.header().schema();
    let mut counts = Counts::default();
    olds.advance()?;
    news.advance()?;
    loop {
        let order = match (olds.row(), news.row()) {
            (None, None) => return Ok(counts),
            (Some(x), None) => {
                counts.removed += 1;
                see(Change::Removed(x));
                Ordering::Less
            }
            (None, Some(y)) => {
                counts.added += 1;
                see(Change::Added(y));
                Ordering::Greater
            }
            (Some(x), Some(y)) => {
                let order = x.key_cmp(&y);
                match order {
                    Ordering::Less => {
                        counts.removed += 1;
                        see(Change::Removed(x));
                    }
                    Ordering::Greater => {
                        counts.added += 1;
                        see(Change::Added(y));
                    }
                    Ordering::Equal if same_columns && x.bytes == y.bytes => counts.unchanged += 1,
                    Ordering::Equal if !same_columns && fields(&x, &y).is_empty() => counts.unchanged += 1,
                    Ordering::Equal => {
                        counts.changed += 1;
                        see(Change::Changed(x, y));
                    }
                }
                order
            }
        };
        if order != Ordering::Greater {
            olds.advance()?;
        }
        if order != Ordering::Less {
            news.advance()?;
        }
    }
}

/// The difference with all keys and fields.
pub fn diff(before: &[u8], after: &[u8]) -> Result<Difference, DiffError> {
    let mut out = Difference::default();
    compare(before, after, |change| match change {
        Change::Added(row) => out.added.push(row.key().to_string()),
        Change::Removed(row) => out.removed.push(row.key().to_string()),
        Change::Changed(x, y) => {
            out.changed.push(Changed { key: x.key().to_string(), fields: fields(&x, &y) });
        }
    })?;
    Ok(out)
}

/// Columns that differ between two rows.
fn fields(x: &RowRef<'_>, y: &RowRef<'_>) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let names = x.schema.columns.iter().chain(&y.schema.columns).map(|c| c.name.as_str());
    names
        .filter(|name| x.get(name) != y.get(name))
        .map(|name| (name.to_owned(), (x.get(name).map(str::to_owned), y.get(name).map(str::to_owned))))
        .collect()
}

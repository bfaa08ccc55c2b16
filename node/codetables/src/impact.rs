//! What uses codes that a coming version drops: columns of other tables, packs, open documents.

use crate::reading::Reading;
use eport_model::codes::TABLE_IN_USE;
use eport_model::{Code, Coded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Uses that are listed; more are counted.
const USES_MAX: usize = 1_000;
/// Places named for one use.
const PLACES_MAX: usize = 10;

/// What kind of thing uses a code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A column of another table.
    Table,
    /// A field of documents that are not over.
    Document,
    /// A field of documents that are not submitted yet.
    Draft,
    /// A rule, a condition or a list of values of a pack.
    Pack,
}

/// A code that goes, and what uses it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Use {
    /// The key that goes.
    pub key: String,
    /// What uses it.
    pub kind: UserKind,
    /// Which table, or which platform and type of document.
    pub user: String,
    /// The column or the field.
    pub field: String,
    /// How often.
    pub count: u64,
    /// The first places: keys of rows, numbers of documents.
    pub places: Vec<String>,
}

/// All uses of codes that go.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Impact {
    /// Uses, by key.
    pub uses: Vec<Use>,
    /// How many there are; the list is cut.
    pub found: u64,
}

/// Codes would go that are still used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} uses of codes that go; the first: {key:?} in {field} of {user}, {count} times")]
pub struct InUse {
    found: u64,
    key: String,
    user: String,
    field: String,
    count: u64,
}

impl Coded for InUse {
    fn code(&self) -> Code {
        TABLE_IN_USE
    }
}

impl Impact {
    /// Puts uses in order and cuts the list.
    pub fn of(mut uses: Vec<Use>) -> Impact {
        let found = uses.len() as u64;
        uses.sort_by(|a, b| (&a.key, a.kind, &a.user, &a.field).cmp(&(&b.key, b.kind, &b.user, &b.field)));
        uses.truncate(USES_MAX);
        Impact { uses, found }
    }

    /// An error when anything is used.
    pub fn check(&self) -> Result<(), InUse> {
        let Some(first) = self.uses.first() else { return Ok(()) };
        let Use { key, user, field, count, .. } = first.clone();
        Err(InUse { found: self.found, key, user, field, count })
    }
}

/// Counts uses of keys, place by place.
pub struct Tally<'k> {
    keys: &'k [String],
    kind: UserKind,
    found: BTreeMap<(usize, String, String), (u64, Vec<String>)>,
}

impl<'k> Tally<'k> {
    /// Nothing counted yet; `keys` are in rising order.
    pub fn new(keys: &'k [String], kind: UserKind) -> Self {
        Tally { keys, kind, found: BTreeMap::new() }
    }

    /// Sees a value; counts it when it is one of the keys. Places beyond the first are only counted.
    pub fn see(&mut self, value: &str, user: &str, field: &str, place: impl FnOnce() -> String) {
        let Ok(key) = self.keys.binary_search_by(|k| k.as_str().cmp(value)) else { return };
        let (count, places) = self.found.entry((key, user.to_owned(), field.to_owned())).or_default();
        *count += 1;
        if places.len() < PLACES_MAX {
            places.push(place());
        }
    }

    /// What was counted.
    pub fn uses(self) -> Vec<Use> {
        let Tally { keys, kind, found } = self;
        let of = |((key, user, field), (count, places)): ((usize, String, String), (u64, Vec<String>))| {
            let key = keys.get(key).cloned().unwrap_or_default();
            Use { key, kind, user, field, count, places }
        };
        found.into_iter().map(of).collect()
    }
}

/// Uses of keys in the columns of another table that refer to this one. `keys` are in rising order.
pub fn uses_in_table(keys: &[String], name: &str, table: &Reading, columns: &[String]) -> Vec<Use> {
    let mut tally = Tally::new(keys, UserKind::Table);
    for row in table.table().iter() {
        for column in columns {
            if let Some(value) = row.get(column).filter(|v| !v.is_empty()) {
                tally.see(value, name, column, || row.key().to_string());
            }
        }
    }
    tally.uses()
}

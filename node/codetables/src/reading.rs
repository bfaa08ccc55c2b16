//! A table as it reads at an instant: rows whose days bound them are there only on their days, and codes have parents.
//!
//! What always holds: every answer leaves out the rows that do not count at the instant, whether asked by key, by prefix, by
//! text or along the hierarchy; no answer is larger than the caller's limit, and none walks further than the rows it gives.

use crate::rules::{DEPTH_MAX, Hierarchy, Rules};
use crate::search::Query;
use crate::table::{Page, Table};
use eport_catalog::{Key, RowRef};
use eport_model::Timestamp;
use std::sync::Arc;

/// A version of a table, its rules and an instant.
#[derive(Clone, Debug)]
pub struct Reading {
    table: Table,
    rules: Arc<Rules>,
    at: Timestamp,
}

impl Reading {
    /// A version as it reads at an instant.
    pub fn new(table: Table, rules: Arc<Rules>, at: Timestamp) -> Reading {
        Reading { table, rules, at }
    }

    /// The version, whatever counts in it.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn counts(&self, row: &RowRef<'_>) -> bool {
        self.rules.counts(row, self.at)
    }

    /// The row of a key in text form, if it counts.
    pub fn get_text(&self, key: &str) -> Option<RowRef<'_>> {
        self.table.get_text(key).filter(|row| self.counts(row))
    }

    /// True when a row of this key counts.
    pub fn contains(&self, code: &str) -> bool {
        self.get_text(code).is_some()
    }

    /// Rows whose first key column begins with `prefix`, from behind a key on.
    pub fn page(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Page<'_> {
        self.table.page_where(prefix, after, limit, |row| self.counts(row))
    }

    /// Rows in which each word of the query stands in some field, from behind a key on.
    pub fn search(&self, query: &Query, after: Option<&Key>, limit: usize) -> Page<'_> {
        self.table.search_where(query, after, limit, |row| self.counts(row))
    }

    /// The rows above a row, nearest first. `None` when there is no such row; empty for one on top.
    pub fn parents(&self, key: &str) -> Option<Vec<RowRef<'_>>> {
        let mut row = self.get_text(key)?;
        let mut above = Vec::new();
        while above.len() < DEPTH_MAX
            && let Some(parent) = self.parent(&row)
        {
            above.push(parent);
            row = parent;
        }
        Some(above)
    }

    fn parent(&self, row: &RowRef<'_>) -> Option<RowRef<'_>> {
        let hierarchy = self.rules.hierarchy.as_ref()?;
        if let Some(column) = &hierarchy.parent {
            return row.get(column).filter(|key| !key.is_empty()).and_then(|key| self.get_text(key));
        }
        let stem = hierarchy.stem(row.first_key());
        let shorter = hierarchy.levels.iter().rev().map(|l| usize::from(*l)).filter(|l| *l < stem.len());
        shorter.filter_map(|l| hierarchy.filled(stem.get(..l)?)).find_map(|key| self.get_text(&key))
    }

    /// The rows right below a row, or the topmost ones for an empty key, from behind a key on. `None` without a hierarchy.
    pub fn children(&self, key: &str, after: Option<&Key>, limit: usize) -> Option<Page<'_>> {
        let hierarchy = self.rules.hierarchy.as_ref()?;
        let rows: Box<dyn Iterator<Item = RowRef<'_>> + '_> = match &hierarchy.parent {
            Some(column) => Box::new(self.table.with_value(column, key, after)?.filter(|r| self.counts(r))),
            None => Box::new(Below::new(self, hierarchy, key, after)),
        };
        Some(Table::cut(rows, limit))
    }
}

impl Hierarchy {
    /// The part of a code that says something: what fills it up to the longest level is taken off, level by level.
    fn stem<'c>(&self, code: &'c str) -> &'c str {
        let (Some(pad), Some(longest)) = (self.pad, self.levels.last()) else { return code };
        if code.len() != usize::from(*longest) {
            return code;
        }
        let levels = self.levels.iter().map(|l| usize::from(*l));
        let cut =
            levels.filter_map(|l| code.split_at_checked(l)).find(|(_, rest)| rest.chars().all(|c| c == pad));
        cut.map_or(code, |(stem, _)| stem)
    }

    /// The code of a stem.
    fn filled(&self, stem: &str) -> Option<String> {
        let mut code = stem.to_owned();
        if let (Some(pad), Some(longest)) = (self.pad, self.levels.last()) {
            let missing = usize::from(*longest).saturating_sub(stem.len());
            code.extend(std::iter::repeat_n(pad, missing));
        }
        Some(code)
    }
}

/// Walks the rows right below a code: a code stands before all that begin with its stem, so behind each row found the walk
/// goes on where its stem ends.
struct Below<'r> {
    reading: &'r Reading,
    hierarchy: &'r Hierarchy,
    stem: String,
    own: String,
    place: usize,
}

impl<'r> Below<'r> {
    fn new(reading: &'r Reading, hierarchy: &'r Hierarchy, key: &str, after: Option<&Key>) -> Self {
        let stem = hierarchy.stem(key).to_owned();
        let table = &reading.table;
        let place = match after.and_then(|k| k.0.first()) {
            Some(after) => table.first_behind_prefix(hierarchy.stem(after)),
            None => table.first_from(&stem),
        };
        Below { reading, hierarchy, stem, own: key.to_owned(), place }
    }
}

impl<'r> Iterator for Below<'r> {
    type Item = RowRef<'r>;
    fn next(&mut self) -> Option<RowRef<'r>> {
        loop {
            let row = self.reading.table.row(self.place)?;
            let code = row.first_key();
            if !code.starts_with(&self.stem) {
                return None;
            }
            if code == self.own || !self.reading.counts(&row) {
                self.place += 1;
                continue;
            }
            let behind = self.reading.table.first_behind_prefix(self.hierarchy.stem(code));
            self.place = behind.max(self.place + 1);
            return Some(row);
        }
    }
}

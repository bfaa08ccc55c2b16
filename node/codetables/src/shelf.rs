//! The versions of all tables that a node knows, and the content it holds: lookup by table and instant.
//!
//! A value, changed by its owner and swapped as a whole, so that every reader sees either all of a publication or nothing.
//! What always holds: a lookup answers with the version in force at the instant asked for or says why it cannot; it
//! never answers with another one. Content is shared by root: a rollback costs no second copy.

use crate::table::Table;
use eport_catalog::{Choice, TableName, TableVersion, choose, civil_date, rfc3339};
use eport_identity::Digest;
use eport_model::codes::{NOT_FOUND, TABLE_NO_VERSION, TABLE_NOT_HERE};
use eport_model::{Code, Coded, Timestamp};
use std::collections::BTreeMap;

/// Known versions and held contents.
#[derive(Clone, Default, Debug)]
pub struct Shelf {
    versions: BTreeMap<TableName, Vec<TableVersion>>,
    contents: BTreeMap<Digest, Table>,
}

/// Why there is no table to look into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nobody published a table of that name.
    #[error("there is no table {0}")]
    Unpublished(TableName),
    /// The first version takes effect later.
    #[error("table {table} has no version in force on {}; the first takes effect {}", civil_date(*at), rfc3339(*first))]
    NotYet {
        /// The table.
        table: TableName,
        /// The instant asked for.
        at: Timestamp,
        /// When the first version takes effect.
        first: Timestamp,
    },
    /// The version in force has not arrived here.
    #[error("version {version} of table {table} is in force but not on this node")]
    NotHere {
        /// The table.
        table: TableName,
        /// The version.
        version: u64,
    },
}

impl Coded for LookupError {
    fn code(&self) -> Code {
        match self {
            LookupError::Unpublished(_) => NOT_FOUND,
            LookupError::NotYet { .. } => TABLE_NO_VERSION,
            LookupError::NotHere { .. } => TABLE_NOT_HERE,
        }
    }
}

impl Shelf {
    /// Adds a published version; one that is known already, by table and number, is left as it is.
    pub fn publish(&mut self, version: TableVersion) {
        let known = self.versions.entry(version.table.clone()).or_default();
        if let Err(place) = known.binary_search_by_key(&version.version, |v| v.version) {
            known.insert(place, version);
        }
    }

    /// Adds content. It counts for every version with its root.
    pub fn install(&mut self, table: Table) {
        self.contents.insert(table.root(), table);
    }

    /// The versions of a table in the order of their numbers.
    pub fn versions(&self, table: &TableName) -> &[TableVersion] {
        self.versions.get(table).map_or(&[], Vec::as_slice)
    }

    /// All tables with their versions.
    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &[TableVersion])> {
        self.versions.iter().map(|(name, versions)| (name, versions.as_slice()))
    }

    /// Content by root.
    pub fn content(&self, root: &Digest) -> Option<&Table> {
        self.contents.get(root)
    }

    /// Roots of known versions whose content is not here.
    pub fn missing(&self) -> Vec<&TableVersion> {
        self.versions.values().flatten().filter(|v| !self.contents.contains_key(&v.root)).collect()
    }

    /// The version of a table in force at an instant, with its content.
    pub fn in_force(&self, table: &TableName, at: Timestamp) -> Result<(&TableVersion, &Table), LookupError> {
        let not_here = |v: &TableVersion| LookupError::NotHere { table: table.clone(), version: v.version };
        match choose(self.versions(table), at, |v| self.contents.contains_key(&v.root)) {
            Choice::InForce(v) => self.contents.get(&v.root).map(|t| (v, t)).ok_or_else(|| not_here(v)),
            Choice::NotHere(v) => Err(not_here(v)),
            Choice::NotYet { first } => {
                Err(LookupError::NotYet { table: table.clone(), at, first: first.effective })
            }
            Choice::Unpublished => Err(LookupError::Unpublished(table.clone())),
        }
    }
}

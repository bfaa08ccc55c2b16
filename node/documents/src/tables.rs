//! What validation needs to know of code tables; the shell brings the tables.

use eport_model::{ReadVersion, Timestamp};
use std::sync::Arc;

/// A version of a table, shared so that naming it costs no copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TableVersion {
    /// Full name, `OWNER/NAME`.
    pub table: Arc<str>,
    /// The version, as documents and records carry it.
    pub version: Arc<str>,
}

impl TableVersion {
    /// The entry of a record's read set.
    pub fn read(&self) -> ReadVersion {
        ReadVersion { name: format!("table:{}", self.table), version: self.version.to_string() }
    }
}

/// Which version of a table is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InForce {
    /// This one, and it is here.
    Version(TableVersion),
    /// None: the table was never published, or not yet effective.
    NotPublished,
    /// The registry names one, but this node has not fetched it.
    NotHere,
}

/// Whether a key is in the version in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// The key exists in this version.
    Found(TableVersion),
    /// The key does not exist in this version.
    Missing(TableVersion),
    /// No version is in force.
    NotPublished,
    /// A version is in force but not on this node.
    NotHere,
}

/// What stands in a row of the version in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableRow {
    /// The row is there: the text of the column that was asked, if one was.
    Found(TableVersion, Option<String>),
    /// No row has this key.
    Missing(TableVersion),
    /// The version has no such column, or its key has another number of columns.
    Unlike(TableVersion),
    /// No version is in force.
    NotPublished,
    /// A version is in force but not on this node.
    NotHere,
}

/// Tables by bare name (the province's) or `OWNER/NAME`, at an instant.
pub trait Tables {
    /// Whether `key` is in the version of `table` in force at `at`.
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup;

    /// What stands in the row of `key`, whose columns are given in the order of the table's key, at `at`.
    fn cell(&self, table: &str, key: &[&str], column: Option<&str>, at: Timestamp) -> TableRow;

    /// Which version of `table` is in force at `at`: tells cheaply whether an earlier lookup still holds.
    fn in_force(&self, table: &str, at: Timestamp) -> InForce;
}

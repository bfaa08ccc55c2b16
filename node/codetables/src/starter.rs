//! The starter set: which files become which tables of a new federation, under what licence, from what day.
//!
//! The manifest is data (`node/tables/starter.toml`); this module reads and checks it. Files are handed in by the caller,
//! who may have them from disk or from `embedded`.

use crate::encoding::Encoding;
use crate::import::{Beside, Imported, Options, import};
use crate::rules::Rules;
use crate::table::Table;
use eport_catalog::{TableName, parse_instant};
use eport_identity::{ParseError, RegionCode};
use eport_model::codes::TABLE_IMPORT_REFUSED;
use eport_model::{Code, Coded, Timestamp};
use serde::Deserialize;

/// A version of a table in the starter set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StarterTable {
    /// File beside the manifest.
    pub file: String,
    /// Owner and name.
    pub table: TableName,
    /// Key columns.
    pub key: Vec<String>,
    /// Encoding of the file.
    pub encoding: Encoding,
    /// What is kept with the version beside columns and key.
    pub rules: Rules,
    /// From when the version counts.
    pub effective: Timestamp,
    /// Licence of the content, as an SPDX expression.
    pub licence: String,
    /// Where it comes from.
    pub source: String,
    /// True when it was written for this project and is no official list.
    pub sample: bool,
}

impl StarterTable {
    /// Imports the file's bytes as this table's next version.
    pub fn import(&self, file: &[u8], before: Option<Table>) -> Imported {
        let mut options = Options { encoding: self.encoding, ..Options::with_key(self.key.clone()) };
        options.rules = self.rules.clone();
        import(
            &self.table,
            file,
            &options,
            Beside { before: before.map(|table| table.source()), ..Beside::default() },
        )
    }
}

/// The starter set, in the order in which it is published. Of a table with several versions the newest stands first:
/// the older ones are then history, which may be published with instants in the past (design §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Starter {
    /// The versions.
    pub tables: Vec<StarterTable>,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StarterError {
    /// Not TOML of the expected shape.
    #[error("the starter manifest cannot be read")]
    Malformed(#[from] toml::de::Error),
    /// A name, an encoding or an instant in it is wrong.
    #[error("the starter manifest's entry for {file}: {source}")]
    Entry {
        /// The entry's file.
        file: String,
        /// What is wrong.
        source: ParseError,
    },
    /// Two versions of one table, of which the later entry is not the older.
    #[error(
        "the starter manifest lists {table} of file {file} behind an older version; the newest comes first"
    )]
    Order {
        /// The table.
        table: TableName,
        /// The entry's file.
        file: String,
    },
}

impl Coded for StarterError {
    fn code(&self) -> Code {
        TABLE_IMPORT_REFUSED
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    table: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    name: String,
    /// A region, or `province`.
    owner: String,
    key: Vec<String>,
    encoding: String,
    #[serde(default)]
    rules: Rules,
    effective: String,
    licence: String,
    source: String,
    #[serde(default)]
    sample: bool,
}

impl Starter {
    /// Reads a manifest for the federation of `province`.
    pub fn parse(manifest: &str, province: RegionCode) -> Result<Starter, StarterError> {
        let manifest: Manifest = toml::from_str(manifest)?;
        let mut tables: Vec<StarterTable> = Vec::new();
        for entry in manifest.table {
            let file = entry.file.clone();
            let table =
                entry.check(province).map_err(|source| StarterError::Entry { file: file.clone(), source })?;
            if tables.iter().any(|t| t.table == table.table && t.effective <= table.effective) {
                return Err(StarterError::Order { table: table.table, file });
            }
            tables.push(table);
        }
        Ok(Starter { tables })
    }
}

impl Entry {
    fn check(self, province: RegionCode) -> Result<StarterTable, ParseError> {
        let owner = if self.owner == "province" { province } else { self.owner.parse()? };
        Ok(StarterTable {
            table: TableName::new(owner, &self.name)?,
            encoding: self.encoding.parse()?,
            rules: self.rules,
            effective: parse_instant(&self.effective)?,
            file: self.file,
            key: self.key,
            licence: self.licence,
            source: self.source,
            sample: self.sample,
        })
    }
}

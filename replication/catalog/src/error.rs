//! Errors of the catalog. What a person can act on carries a code; damage names the place in the bytes.

use crate::ReadError;
use eport_model::codes::{TABLE_DAMAGED, TABLE_EFFECTIVE_PAST, TABLE_IMPORT_REFUSED, TABLE_NOT_HERE};
use eport_model::{Code, Coded, Digest};

/// A schema that breaks its invariants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// No column, or too many.
    #[error("{found} columns; 1 to {max} are allowed", max = crate::COLUMNS_MAX)]
    Columns {
        /// Columns found.
        found: usize,
    },
    /// A column name that is empty or too long.
    #[error("column name {name:?} is empty or longer than 256 bytes")]
    ColumnName {
        /// The name, cut to 64 characters.
        name: String,
    },
    /// A name that stands twice.
    #[error("column {name:?} is named twice")]
    RepeatedColumn {
        /// The name.
        name: String,
    },
    /// No key column, or too many.
    #[error("{found} key columns; 1 to {max} are allowed", max = crate::KEY_COLUMNS_MAX)]
    KeyColumns {
        /// Key columns found.
        found: usize,
    },
    /// A key column that the table does not have.
    #[error("key column {name:?} is not among the columns")]
    MissingKeyColumn {
        /// The name.
        name: String,
    },
}

/// Why rows cannot become content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The schema is not usable.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A row with another number of fields than columns.
    #[error("row {row} has {found} fields, the table has {columns} columns")]
    Width {
        /// The caller's mark of the row.
        row: u64,
        /// Fields found.
        found: usize,
        /// Columns of the table.
        columns: usize,
    },
    /// A field over the limit.
    #[error("a field of row {row} has {len} bytes; {max} are allowed", max = crate::FIELD_LEN_MAX)]
    FieldTooLong {
        /// The caller's mark of the row.
        row: u64,
        /// Bytes of the field.
        len: usize,
    },
    /// A row over the limit.
    #[error("row {row} has {len} bytes; {max} are allowed", max = crate::ROW_LEN_MAX)]
    RowTooLong {
        /// The caller's mark of the row.
        row: u64,
        /// Bytes of the row.
        len: usize,
    },
    /// The content would be over the limit.
    #[error("the table needs more than {max} bytes", max = crate::CONTENT_LEN_MAX)]
    TooLarge,
    /// Two different rows with one key.
    #[error("rows {first} and {second} have the same key and differ")]
    RepeatedKey {
        /// Mark of the first row.
        first: u64,
        /// Mark of the second.
        second: u64,
    },
}

impl Coded for EncodeError {
    fn code(&self) -> Code {
        TABLE_IMPORT_REFUSED
    }
}

/// Bytes that are not the canonical content of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table content is damaged at byte {offset}: {what}")]
pub struct DamageError {
    /// Place in the content.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl Coded for DamageError {
    fn code(&self) -> Code {
        TABLE_DAMAGED
    }
}

/// Why the content of a version cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// No object of that digest is at hand.
    #[error("object {0} is not here")]
    Missing(Digest),
    /// The object does not hash to the digest it was asked for.
    #[error("object {wanted} hashes to {found}")]
    WrongDigest {
        /// The digest asked for.
        wanted: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The bytes hash right but are not canonical: the publisher's own software made them wrong.
    #[error(transparent)]
    Damaged(#[from] DamageError),
    /// Schema or row count differ from the version's metadata.
    #[error("content of {root} does not fit its metadata: {what}")]
    Metadata {
        /// The version's root.
        root: Digest,
        /// What differs.
        what: &'static str,
    },
}

impl Coded for ContentError {
    fn code(&self) -> Code {
        match self {
            ContentError::Missing(_) => TABLE_NOT_HERE,
            _ => TABLE_DAMAGED,
        }
    }
}

/// Why two contents cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// The versions have different key columns, so that no row of one belongs to a row of the other.
    #[error("the key is {before:?} in one version and {after:?} in the other")]
    KeyDiffers {
        /// Key columns of the older version.
        before: Vec<String>,
        /// Key columns of the newer one.
        after: Vec<String>,
    },
    /// One of them is damaged.
    #[error(transparent)]
    Damaged(#[from] DamageError),
    /// One of them cannot be read.
    #[error("a version cannot be read: {0}")]
    Unread(String),
}

impl From<ReadError> for DiffError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(error) => DiffError::Damaged(error),
            ReadError::Unread(error) => DiffError::Unread(error.to_string()),
        }
    }
}

impl Coded for DiffError {
    fn code(&self) -> Code {
        match self {
            DiffError::KeyDiffers { .. } => TABLE_IMPORT_REFUSED,
            DiffError::Damaged(_) | DiffError::Unread(_) => TABLE_DAMAGED,
        }
    }
}

/// An effective instant that may not be given to a new version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("effective {effective} is before {earliest}, the earliest instant a new version may take effect")]
pub struct EffectiveError {
    /// The instant asked for.
    pub effective: String,
    /// The earliest one allowed.
    pub earliest: String,
}

impl Coded for EffectiveError {
    fn code(&self) -> Code {
        TABLE_EFFECTIVE_PAST
    }
}

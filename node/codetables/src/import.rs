//! From the bytes of a file to canonical content, or to the list of everything that is wrong with it.

use crate::encoding::Encoding;
use crate::format::Format;
use crate::guard::{Guard, GuardTripped};
use crate::impact::{Impact, InUse, Use};
use crate::mapping::Mapping;
use crate::problem::{Kind, Note, Problem};
use crate::read::read_with;
use crate::reading::Reading;
use crate::report::ImportReport;
use crate::rules::{Rules, TableSchema};
use crate::table::Table;
use eport_catalog::{
    COLUMNS_MAX, Counts, DiffError, FIELD_LEN_MAX, InMemory, RUN_LEN, ReadError, RowReader, Schema, Scratch,
    Source, TableName,
};
use eport_identity::Digest;
use eport_model::codes::{DISK_FULL, STORAGE_FAILED, TABLE_ENCODING, TABLE_IMPORT_REFUSED};
use eport_model::{Code, Coded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// How large a file may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the file. Default 2 GiB.
    pub bytes: u64,
    /// Rows. Default 20 million.
    pub rows: u64,
    /// Columns. Default and most: 1,000.
    pub columns: usize,
    /// Bytes of a field. Default and most: 1 MiB.
    pub field_bytes: usize,
    /// Problems that are listed; more are counted. Default 1,000.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (bytes, rows) = (2 << 30, 20_000_000);
        Limits { bytes, rows, columns: COLUMNS_MAX, field_bytes: FIELD_LEN_MAX, problems: 1_000 }
    }
}

/// What is done with rows that have the key of an earlier one and other values.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// The file is refused.
    #[default]
    Refuse,
    /// The first row of a key stays.
    First,
    /// The last row of a key stays.
    Last,
}

/// How to read a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Form of the file.
    pub format: Format,
    /// Declared encoding; workbooks have their own.
    pub encoding: Encoding,
    /// What stands between fields: `,` or a tab.
    pub delimiter: u8,
    /// Sheet of a workbook; none: the first.
    pub sheet: Option<String>,
    /// What becomes of rows that repeat a key with other values.
    pub repeats: Repeats,
    /// Which column of the file is which of the table.
    pub mapping: Mapping,
    /// What is kept with the version beside columns and key.
    pub rules: Rules,
    /// Key columns.
    pub key: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// How much a version may drop or change.
    pub guard: Guard,
    /// Publish although the guard says no.
    pub force: bool,
    /// Tables that are to come before this one: where one is not at hand, that is no problem, and its keys are not looked at.
    pub pending: Vec<String>,
}

impl Options {
    /// UTF-8 with commas, the default limits and guard, and this key.
    pub fn with_key<S: Into<String>>(key: impl IntoIterator<Item = S>) -> Self {
        Options {
            format: Format::Csv,
            encoding: Encoding::Utf8,
            delimiter: b',',
            sheet: None,
            repeats: Repeats::Refuse,
            mapping: Mapping::default(),
            rules: Rules::default(),
            key: key.into_iter().map(Into::into).collect(),
            limits: Limits::default(),
            guard: Guard::default(),
            force: false,
            pending: Vec::new(),
        }
    }

    /// What may stand between fields, and in quotes inside one; between the tokens of JSON, and nowhere else, a tab is a blank.
    pub(crate) fn text_delimiter(&self) -> u8 {
        match self.format {
            Format::Csv | Format::Tsv => self.delimiter,
            Format::Xlsx | Format::Jsonl => b'\n',
        }
    }

    /// Sets the form, and with it the delimiter that it has by itself.
    pub fn set_format(&mut self, format: Format) {
        self.format = format;
        self.delimiter = if format == Format::Tsv { b'\t' } else { b',' };
    }
}

/// What reading a file works with.
#[derive(Clone, Copy)]
pub struct Desk<'s> {
    /// Where rows wait that are too many for memory.
    pub scratch: &'s dyn Scratch,
    /// Bytes of rows that are put in order in memory. Default 32 MiB.
    pub run_len: usize,
}

impl<'s> Desk<'s> {
    /// The default bound, and this scratch.
    pub fn with(scratch: &'s dyn Scratch) -> Self {
        Desk { scratch, run_len: RUN_LEN }
    }
}

impl Default for Desk<'_> {
    fn default() -> Self {
        Desk::with(&InMemory)
    }
}

/// Canonical content and what names it.
#[derive(Clone)]
pub struct Content {
    /// The canonical bytes: in memory where they are few, else where the scratch put them.
    pub body: Arc<dyn Source>,
    /// Their digest.
    pub root: Digest,
    /// Columns and key.
    pub schema: Schema,
    /// What else is kept with the version.
    pub rules: Rules,
    /// Number of rows.
    pub rows: u64,
}

impl Content {
    /// The schema text that is published and signed.
    pub fn schema_text(&self) -> String {
        TableSchema { schema: self.schema.clone(), rules: self.rules.clone() }.to_text()
    }

    /// The canonical bytes in one piece of memory.
    pub fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.body.len()).unwrap_or(0));
        self.body.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The content opened for lookup, in memory.
    pub fn open(self) -> Result<Table, Refusal> {
        let opened = Table::open(self.bytes()?.into(), self.root);
        opened.map_err(|e| Refusal::Storage { code: e.code(), detail: e.to_string() })
    }
}

/// Equal roots name equal bytes.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (self.root, &self.schema, &self.rules) == (other.root, &other.schema, &other.rules)
    }
}

impl Eq for Content {}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} rows, {})", self.rows, self.root.short())
    }
}

/// A file without problems.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The table.
    pub content: Content,
    /// Rows that repeated an earlier one in every field.
    pub duplicates_ignored: u64,
    /// What was tolerated.
    pub notes: Vec<Note>,
}

/// Why nothing can be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The file has problems.
    #[error("{found} problems; the first: line {}, column {}: {}", first.line, first.column, first.detail)]
    Problems {
        /// The problem to begin with: a bad byte, else the first of the file.
        first: Box<Problem>,
        /// All of them in file order, cut at the limit.
        problems: Vec<Problem>,
        /// How many were found; reading ends where the list is full.
        found: u64,
        /// What was tolerated.
        notes: Vec<Note>,
    },
    /// Too much would be dropped or changed.
    #[error(transparent)]
    Guard(#[from] GuardTripped),
    /// Codes would go that are still used.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The new version cannot be compared with the one before.
    #[error(transparent)]
    Before(#[from] DiffError),
    /// Where the file or its rows lie failed: the disk is full, or damaged.
    #[error("{detail}")]
    Storage {
        /// What to do about it.
        code: Code,
        /// What was reported.
        detail: String,
    },
}

impl Refusal {
    pub(crate) fn storage(error: std::io::Error) -> Refusal {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let code = match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => DISK_FULL,
            _ => STORAGE_FAILED,
        };
        Refusal::Storage { code, detail: error.to_string() }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Refusal::storage(error)
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Refusal::Before(error.into())
    }
}

impl Coded for Refusal {
    fn code(&self) -> Code {
        match self {
            Refusal::Problems { first, .. } if first.kind == Kind::Encoding => TABLE_ENCODING,
            Refusal::Problems { .. } => TABLE_IMPORT_REFUSED,
            Refusal::Guard(e) => e.code(),
            Refusal::InUse(e) => e.code(),
            Refusal::Before(e) => e.code(),
            Refusal::Storage { code, .. } => *code,
        }
    }
}

/// Result of an import: the report always, the content only when it may be published.
#[derive(Debug)]
pub struct Imported {
    /// What people and scripts read. `published`, `version` and `effective` are for the caller to fill in.
    pub report: ImportReport,
    /// The table, or why there is none.
    pub outcome: Result<Content, Refusal>,
}

/// Tells what uses codes of a table, given the keys that go.
pub type AskUsers<'a> = dyn FnMut(&[String]) -> Vec<Use> + 'a;

/// What stands beside a new version: the one it takes over from, tables it refers to, and what uses its codes.
#[derive(Default)]
pub struct Beside<'a> {
    /// The content of the version before, if there is one.
    pub before: Option<Arc<dyn Source>>,
    /// Tables that its columns refer to, as they are in force when the version takes effect; by the name in the rules. None:
    /// what columns refer to is not looked at.
    pub references: Option<BTreeMap<String, Reading>>,
    /// What uses codes of the table: asked with the keys that go.
    pub users: Option<&'a mut AskUsers<'a>>,
}

/// Reads a file that is in memory for a table and compares it with the content of the version before, if there is one.
pub fn import(table: &TableName, file: &[u8], options: &Options, beside: Beside<'_>) -> Imported {
    import_from(table, &file.to_vec(), options, beside, &Desk::default())
}

/// The same with a file of any size, in bounded memory.
pub fn import_from(
    table: &TableName,
    file: &dyn Source,
    options: &Options,
    beside: Beside<'_>,
    desk: &Desk<'_>,
) -> Imported {
    let mut report = ImportReport::new(table);
    let outcome = match read_with(file, options, beside.references.as_ref(), desk) {
        Ok(parsed) => {
            report.describe(&parsed);
            judge(parsed.content, options, beside, &mut report)
        }
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &outcome {
        report.refuse(refusal);
    }
    Imported { report, outcome }
}

fn judge(
    content: Content,
    options: &Options,
    beside: Beside<'_>,
    report: &mut ImportReport,
) -> Result<Content, Refusal> {
    let Some(before) = beside.before else {
        report.count(Counts { added: content.rows, ..Counts::default() });
        return Ok(content);
    };
    let rows_before = RowReader::open(before.open()?)?.header().rows();
    let mut going = Vec::new();
    let compared = report.compare(before.open()?, content.body.open()?, &mut going);
    let counts = match compared {
        Ok(counts) => counts,
        // Another key: every row of the old version goes, every row of the new one comes.
        Err(DiffError::KeyDiffers { .. }) => {
            Counts { added: content.rows, removed: rows_before, ..Counts::default() }
        }
        Err(e) => return Err(e.into()),
    };
    report.count(counts);
    if let Some(users) = beside.users
        && !going.is_empty()
    {
        // Keys of several columns order otherwise as text.
        going.sort_unstable();
        report.impact = Impact::of(users(&going));
    }
    if !options.force {
        options.guard.check(rows_before, &counts)?;
        report.impact.check()?;
    }
    Ok(content)
}

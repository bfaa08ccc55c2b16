//! From the bytes of a file to canonical content, or to the list of everything that is wrong with it.

use crate::characters;
use crate::encoding::{self, Encoding};
use crate::guard::{Guard, GuardTripped};
use crate::header::{self, Head};
use crate::problem::{Findings, Kind, Note, NoteKind, Place, Problem, shown};
use crate::report::ImportReport;
use crate::scan::{Field, Scanner, Start, place_from};
use eport_catalog::{
    COLUMNS_MAX, Counts, DiffError, FIELD_LEN_MAX, Header, Repeat, RowBuffer, Schema, TableName, compare,
    root_of,
};
use eport_identity::Digest;
use eport_model::codes::{TABLE_ENCODING, TABLE_GUARD, TABLE_IMPORT_REFUSED};
use eport_model::{Code, Coded};
use std::collections::BTreeMap;

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

/// How to read a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Declared encoding.
    pub encoding: Encoding,
    /// What stands between fields: `,` or a tab.
    pub delimiter: u8,
    /// Key columns.
    pub key: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// How much a version may drop or change.
    pub guard: Guard,
    /// Publish although the guard says no.
    pub force: bool,
}

impl Options {
    /// UTF-8 with commas, the default limits and guard, and this key.
    pub fn with_key<S: Into<String>>(key: impl IntoIterator<Item = S>) -> Self {
        Options {
            encoding: Encoding::Utf8,
            delimiter: b',',
            key: key.into_iter().map(Into::into).collect(),
            limits: Limits::default(),
            guard: Guard::default(),
            force: false,
        }
    }
}

/// Canonical content and what names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The canonical bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub root: Digest,
    /// Columns and key.
    pub schema: Schema,
    /// Number of rows.
    pub rows: u64,
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
    /// The new version cannot be compared with the one before.
    #[error(transparent)]
    Before(#[from] DiffError),
}

impl Coded for Refusal {
    fn code(&self) -> Code {
        match self {
            Refusal::Problems { first, .. } if first.kind == Kind::Encoding => TABLE_ENCODING,
            Refusal::Problems { .. } => TABLE_IMPORT_REFUSED,
            Refusal::Guard(_) => TABLE_GUARD,
            Refusal::Before(e) => e.code(),
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

/// Reads a file for a table and compares it with the content of the version before, if there is one.
pub fn import(table: &TableName, file: &[u8], options: &Options, before: Option<&[u8]>) -> Imported {
    let mut report = ImportReport::new(table);
    let outcome = match read_csv(file, options) {
        Ok(parsed) => {
            report.describe(&parsed);
            judge(parsed.content, options, before, &mut report)
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
    before: Option<&[u8]>,
    report: &mut ImportReport,
) -> Result<Content, Refusal> {
    let Some(before) = before else {
        report.count(Counts { added: content.rows, ..Counts::default() });
        return Ok(content);
    };
    let rows_before = Header::read(before).map_err(DiffError::from)?.rows();
    let counts = match compare(before, &content.bytes, |_| {}) {
        Ok(counts) => counts,
        // Another key: every row of the old version goes, every row of the new one comes.
        Err(DiffError::KeyDiffers { .. }) => {
            Counts { added: content.rows, removed: rows_before, ..Counts::default() }
        }
        Err(e) => return Err(e.into()),
    };
    report.count(counts);
    if !options.force {
        options.guard.check(rows_before, &counts)?;
    }
    Ok(content)
}

/// Reads a file. All or nothing.
pub fn read_csv(file: &[u8], options: &Options) -> Result<Parsed, Refusal> {
    let limits = &options.limits;
    let mut findings = Findings::new(limits.problems.max(1));
    if file.len() as u64 > limits.bytes {
        let detail = format!("the file has {} bytes; {} are allowed", file.len(), limits.bytes);
        findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, detail);
        return Err(refusal(findings));
    }
    let text = encoding::decode(file, options.encoding, &mut findings);
    characters::check_text(&text, options.delimiter, findings.found > 0, &mut findings);
    // Faults of characters and of structure are found in two walks, each with the whole list to fill.
    if text.is_empty() && findings.found > 0 {
        return Err(refusal(findings));
    }
    let mut structure = Findings::new(limits.problems.max(1));
    let table = rows(&text, options, &mut structure);
    findings.join(structure);
    match table {
        Some(table) if findings.found == 0 => Ok(Parsed { notes: findings.notes, ..table }),
        _ => Err(refusal(findings)),
    }
}

fn refusal(findings: Findings) -> Refusal {
    let Findings { problems, notes, found, .. } = findings;
    // Text that was decoded wrongly makes other faults: then the bad byte is what the reader has to know first.
    let bad_byte = problems.iter().find(|p| p.kind == Kind::Encoding);
    let first = bad_byte.or(problems.first()).cloned().unwrap_or(Problem {
        line: 1,
        column: 1,
        kind: Kind::NoRows,
        detail: "nothing could be read".to_owned(),
        field: None,
        offset: None,
    });
    Refusal::Problems { first: Box::new(first), problems, found, notes }
}

/// The header and the rows. `None` when there is no table; then at least one problem says why.
fn rows(text: &str, options: &Options, findings: &mut Findings) -> Option<Parsed> {
    let limits = &options.limits;
    let mut scanner = Scanner::new(text, options);
    let mut fields = Vec::new();
    let before = findings.found;
    let Some(start) = scanner.record(&mut fields, findings) else {
        if findings.found == before {
            let detail = "the file has no header line".to_owned();
            findings.problem(Place { line: 1, column: 1 }, Kind::NoHeader, None, detail);
        }
        return None;
    };
    let columns_max = limits.columns.min(COLUMNS_MAX);
    let head = header::read(&scanner, start, &fields, &options.key, columns_max, findings);
    let mut buffer = head.schema.clone().and_then(|schema| RowBuffer::new(schema).ok());
    let mut count = 0u64;
    while let Some(start) = scanner.record(&mut fields, findings) {
        count += 1;
        if count > limits.rows {
            let detail = format!("more than {} rows", limits.rows);
            findings.problem(scanner.place(start, start.at), Kind::TooManyRows, None, detail);
            return None;
        }
        // Rows are kept also when a problem was found before, so that repeated keys are reported in the same run.
        if check_row(&scanner, start, &head, &mut fields, findings)
            && let Some(rows) = &mut buffer
            && let Some(first_key) = head.key.first()
            && let Err(e) = rows.push(fields[*first_key].at as u64, fields.iter().map(|f| &f.text))
        {
            findings.problem(scanner.place(start, start.at), Kind::TooManyBytes, None, e.to_string());
            return None;
        }
    }
    if count == 0 && findings.found == before {
        let detail = "the file has a header and no rows".to_owned();
        findings.problem(scanner.place(start, start.at), Kind::NoRows, None, detail);
    }
    finish(text, buffer?, head.schema?, &head.key, findings)
}

/// Judges width and key of a row; empty fields behind the last column are taken off. True for a row without fault.
fn check_row(
    scanner: &Scanner<'_>,
    start: Start,
    head: &Head,
    fields: &mut Vec<Field<'_>>,
    findings: &mut Findings,
) -> bool {
    let before = findings.found;
    let width = head.names.len();
    if fields.len() > width {
        if fields[width..].iter().all(|f| f.text.is_empty()) {
            findings.note(NoteKind::TrailingColumn, || scanner.place(start, fields[width].at));
            fields.truncate(width);
        } else {
            let filled = fields[width..].iter().find(|f| !f.text.is_empty()).map_or(start.at, |f| f.at);
            let detail = format!("{} fields; the header has {width} columns", fields.len());
            findings.problem(scanner.place(start, filled), Kind::RaggedRow, None, detail);
            return false;
        }
    }
    if fields.len() < width {
        let detail = format!("{} fields; the header has {width} columns", fields.len());
        findings.problem(scanner.place(start, start.at), Kind::RaggedRow, None, detail);
        return false;
    }
    for place in &head.key {
        let Some(field) = fields.get(*place) else { continue };
        if let Some((kind, detail)) = characters::check_key(&field.text) {
            let name = head.names.get(*place).map(String::as_str);
            findings.problem(scanner.place(start, field.at), kind, name, detail);
        }
    }
    findings.found == before
}

fn finish(
    text: &str,
    buffer: RowBuffer,
    schema: Schema,
    key: &[usize],
    findings: &mut Findings,
) -> Option<Parsed> {
    let sorted = match buffer.finish() {
        Ok(sorted) => sorted,
        Err(e) => {
            findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, e.to_string());
            return None;
        }
    };
    let duplicates_ignored = sorted.repeats.iter().filter(|r| r.equal).count() as u64;
    let name = key.first().and_then(|place| schema.columns.get(*place)).map(|c| c.name.as_str());
    report_repeats(text, &sorted.repeats, name, findings);
    let root = match root_of(&sorted.content) {
        Ok(root) => root,
        Err(e) => {
            findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, e.to_string());
            return None;
        }
    };
    let content = Content { root, bytes: sorted.content, schema, rows: sorted.rows };
    Some(Parsed { content, duplicates_ignored, notes: Vec::new() })
}

/// Repeated keys were found after sorting; one walk over the text gives them their places again.
fn report_repeats(text: &str, repeats: &[Repeat], field: Option<&str>, findings: &mut Findings) {
    let mut wanted: Vec<u64> = repeats.iter().flat_map(|r| [r.first, r.second]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut places: BTreeMap<u64, Place> = BTreeMap::new();
    let mut line = Start { line: 1, at: 0 };
    for offset in wanted {
        let at = offset as usize;
        let place = place_from(text, line, at);
        // The next place is counted from the start of this line.
        line = Start { line: place.line, at: text[..at].rfind('\n').map_or(0, |n| n + 1) };
        places.insert(offset, place);
    }
    let mut ordered: Vec<&Repeat> = repeats.iter().collect();
    ordered.sort_by_key(|r| r.second);
    for repeat in ordered {
        let (Some(first), Some(second)) = (places.get(&repeat.first), places.get(&repeat.second)) else {
            continue;
        };
        if repeat.equal {
            findings.note(NoteKind::DuplicateRow, || *second);
        } else {
            let value = text[repeat.second as usize..]
                .split([',', '\t', '\r', '\n'])
                .next()
                .unwrap_or("")
                .trim_matches('"');
            let detail = format!("the key {} stands in line {} with other values", shown(value), first.line);
            findings.problem(*second, Kind::RepeatedKey, field, detail);
        }
    }
}

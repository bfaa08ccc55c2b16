//! The header: column names, the columns of the table they become, key columns.

use crate::characters;
use crate::format::At;
use crate::import::Options;
use crate::mapping::{Controls, Mapped, Unlisted};
use crate::problem::{Findings, Kind, NoteKind, shown};
use crate::rules::ColumnRule;
use crate::scan::{Field, Start};
use eport_catalog::{COLUMNS_MAX, Schema};
use std::collections::BTreeSet;

/// What the header said.
pub(crate) struct Head {
    /// Columns of the file that count; fields behind them must be empty.
    pub(crate) width: usize,
    /// Names of the table's columns.
    pub(crate) names: Vec<String>,
    /// For each column of the table its place in the file; none: always empty. `None` as a whole: the file as it is.
    pub(crate) picks: Option<Vec<Option<usize>>>,
    /// Places of the key columns in the table; empty when one is missing.
    pub(crate) key: Vec<usize>,
    /// For each column of the table whether control characters are dropped; empty when none drops them.
    pub(crate) drops: Vec<bool>,
    /// What stands between fields, where it may stand inside one as well.
    pub(crate) delimiter: u8,
    /// Rules of columns by place in the table.
    pub(crate) rules: Vec<(usize, ColumnRule)>,
    /// The schema, when the header is without fault.
    pub(crate) schema: Option<Schema>,
}

/// Judges the header. With a faulty one the rows are still checked as far as they can be.
pub(crate) fn read(
    reader: &dyn At,
    start: Start,
    fields: &[Field<'_>],
    options: &Options,
    findings: &mut Findings,
) -> Head {
    let columns_max = options.limits.columns.min(COLUMNS_MAX);
    let count = fields.iter().rposition(|f| !f.text.is_empty()).map_or(0, |last| last + 1);
    if let Some(extra) = fields.get(count) {
        findings.note(NoteKind::TrailingColumn, || reader.place(start, extra.at));
    }
    let before = findings.found;
    if let Some(extra) = fields[..count].get(columns_max) {
        let detail = format!("{count} columns; {columns_max} are allowed");
        findings.problem(reader.place(start, extra.at), Kind::TooManyColumns, None, detail);
    }
    let file: Vec<String> = fields[..count].iter().map(|f| f.text.clone().into_owned()).collect();
    judge_names(reader, start, fields, &file, findings);
    let (names, picks) = match options.mapping.columns.is_empty() {
        true => (file.clone(), None),
        false => {
            let (names, picks) = map(reader, start, fields, &file, options, findings);
            (names, Some(picks))
        }
    };
    for wanted in options.key.iter().filter(|k| !names.contains(k)) {
        let detail = format!("the header has no column {}; it has {}", shown(wanted), list(&names));
        findings.problem(reader.place(start, start.at), Kind::MissingKeyColumn, Some(wanted), detail);
    }
    let key: Option<Vec<usize>> = options.key.iter().map(|k| names.iter().position(|n| n == k)).collect();
    let rules = names.iter().enumerate();
    let rules = rules.filter_map(|(i, n)| Some((i, options.rules.columns.get(n)?.clone()))).collect();
    let drops = drops(reader, start, fields, &names, options, findings);
    let delimiter = options.text_delimiter();
    let key = key.unwrap_or_default();
    let mut head = Head { width: count, key, names, picks, drops, delimiter, rules, schema: None };
    if findings.found == before {
        head.schema = schema(reader, start, &head.names, options, findings);
    }
    head
}

/// Which columns drop control characters. Where some do, those of the header were not looked at yet; none is dropped there.
fn drops(
    reader: &dyn At,
    start: Start,
    fields: &[Field<'_>],
    names: &[String],
    options: &Options,
    findings: &mut Findings,
) -> Vec<bool> {
    if !options.mapping.drops_controls() {
        return Vec::new();
    }
    for field in fields {
        let at = || (reader.place(start, field.at), None);
        characters::clean(&mut field.text.clone(), options.text_delimiter(), false, findings, at);
    }
    let columns = &options.mapping.columns;
    let drop =
        |name: &String| columns.iter().any(|c| c.name == *name && c.control_characters == Controls::Drop);
    names.iter().map(drop).collect()
}

/// Bytes of a column's name at most.
pub(crate) const NAME_LEN_MAX: usize = 256;

fn judge_names(
    reader: &dyn At,
    start: Start,
    fields: &[Field<'_>],
    names: &[String],
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for (field, name) in fields.iter().zip(names) {
        let at = reader.place(start, field.at);
        if name.is_empty() {
            findings.problem(at, Kind::EmptyColumnName, None, "a column has no name".to_owned());
        } else if name.len() > NAME_LEN_MAX {
            let detail = format!("{} is too long for a column name", shown(name));
            findings.problem(at, Kind::BadColumnName, None, detail);
        } else if !seen.insert(name) {
            let detail = format!("column {} is named twice", shown(name));
            findings.problem(at, Kind::BadColumnName, Some(name), detail);
        }
    }
}

/// Columns of the table by the mapping: the named ones in its order, then the others as it says.
fn map(
    reader: &dyn At,
    start: Start,
    fields: &[Field<'_>],
    file: &[String],
    options: &Options,
    findings: &mut Findings,
) -> (Vec<String>, Vec<Option<usize>>) {
    let mapping = &options.mapping;
    let (mut names, mut picks) = (Vec::new(), Vec::new());
    let mut taken = vec![false; file.len()];
    for column in &mapping.columns {
        let found: Vec<usize> = (0..file.len()).filter(|i| column.from.contains(&file[*i])).collect();
        found.iter().for_each(|i| taken[*i] = true);
        if let [_, second, ..] = found.as_slice() {
            let detail = format!(
                "{} and {} are both column {}",
                shown(&file[found[0]]),
                shown(&file[*second]),
                shown(&column.name)
            );
            findings.problem(
                reader.place(start, fields[*second].at),
                Kind::BadColumnName,
                Some(&column.name),
                detail,
            );
        } else if found.is_empty() && !column.optional {
            findings.problem(
                reader.place(start, start.at),
                Kind::MissingColumn,
                Some(&column.name),
                absent(column, file),
            );
        }
        names.push(column.name.clone());
        picks.push(found.first().copied());
    }
    for (i, name) in file.iter().enumerate().filter(|(i, name)| !taken[*i] && !name.is_empty()) {
        let at = || reader.place(start, fields[i].at);
        match mapping.unlisted {
            Unlisted::Keep if names.contains(name) => {
                let detail = format!("{} is the name of a mapped column too", shown(name));
                findings.problem(at(), Kind::BadColumnName, Some(name), detail);
            }
            Unlisted::Keep => {
                names.push(name.clone());
                picks.push(Some(i));
            }
            Unlisted::Drop => findings.note(NoteKind::DroppedColumn, at),
            Unlisted::Refuse => {
                let detail = format!("the mapping does not name column {}", shown(name));
                findings.problem(at(), Kind::UnlistedColumn, Some(name), detail);
            }
        }
    }
    (names, picks)
}

fn absent(column: &Mapped, file: &[String]) -> String {
    format!(
        "the header has none of {} for column {}; it has {}",
        list(&column.from),
        shown(&column.name),
        list(file)
    )
}

fn schema(
    reader: &dyn At,
    start: Start,
    names: &[String],
    options: &Options,
    findings: &mut Findings,
) -> Option<Schema> {
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys: Vec<&str> = options.key.iter().map(String::as_str).collect();
    let at = || reader.place(start, start.at);
    match Schema::new(&columns, &keys) {
        Ok(schema) => match options.rules.check(&schema) {
            Ok(()) => Some(schema),
            Err(e) => {
                findings.problem(at(), Kind::BadRules, None, e.to_string());
                None
            }
        },
        Err(e) => {
            findings.problem(at(), Kind::MissingKeyColumn, None, e.to_string());
            None
        }
    }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|n| shown(n)).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

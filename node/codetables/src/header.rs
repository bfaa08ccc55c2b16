//! The header line: column names, trailing empty columns, key columns.

use crate::problem::{Findings, Kind, NoteKind, shown};
use crate::scan::{Field, Scanner, Start};
use eport_catalog::Schema;

/// What the header said.
pub(crate) struct Head {
    /// Names of the columns that count.
    pub(crate) names: Vec<String>,
    /// Places of the key columns; empty when one is missing.
    pub(crate) key: Vec<usize>,
    /// The schema, when the header is without fault.
    pub(crate) schema: Option<Schema>,
}

/// Judges the header. With a faulty one the rows are still checked as far as they can be.
pub(crate) fn read(
    scanner: &Scanner<'_>,
    start: Start,
    fields: &[Field<'_>],
    key: &[String],
    columns_max: usize,
    findings: &mut Findings,
) -> Head {
    let count = fields.iter().rposition(|f| !f.text.is_empty()).map_or(0, |last| last + 1);
    if let Some(extra) = fields.get(count) {
        findings.note(NoteKind::TrailingColumn, || scanner.place(start, extra.at));
    }
    let before = findings.found;
    if let Some(extra) = fields[..count].get(columns_max) {
        let detail = format!("{count} columns; {columns_max} are allowed");
        findings.problem(scanner.place(start, extra.at), Kind::TooManyColumns, None, detail);
    }
    let names: Vec<String> = fields[..count].iter().map(|f| f.text.clone().into_owned()).collect();
    let mut seen = std::collections::BTreeSet::new();
    for (field, name) in fields.iter().zip(&names) {
        let at = scanner.place(start, field.at);
        if name.is_empty() {
            findings.problem(at, Kind::EmptyColumnName, None, "a column has no name".to_owned());
        } else if name.len() > 256 {
            findings.problem(
                at,
                Kind::BadColumnName,
                None,
                format!("{} is too long for a column name", shown(name)),
            );
        } else if !seen.insert(name) {
            let detail = format!("column {} is named twice", shown(name));
            findings.problem(at, Kind::BadColumnName, Some(name), detail);
        }
    }
    for wanted in key.iter().filter(|k| !names.contains(k)) {
        let detail = format!("the header has no column {}; it has {}", shown(wanted), list(&names));
        findings.problem(scanner.place(start, start.at), Kind::MissingKeyColumn, Some(wanted), detail);
    }
    let places: Option<Vec<usize>> = key.iter().map(|k| names.iter().position(|n| n == k)).collect();
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys: Vec<&str> = key.iter().map(String::as_str).collect();
    let schema = if findings.found == before {
        Schema::new(&columns, &keys)
    } else {
        return head(names, places, None);
    };
    match schema {
        Ok(schema) => head(names, places, Some(schema)),
        Err(e) => {
            findings.problem(scanner.place(start, start.at), Kind::MissingKeyColumn, None, e.to_string());
            head(names, places, None)
        }
    }
}

fn head(names: Vec<String>, key: Option<Vec<usize>>, schema: Option<Schema>) -> Head {
    Head { names, key: key.unwrap_or_default(), schema }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|n| shown(n)).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

//! What only the whole table can judge: parents that exist and lead to the top, references, days in order.
//!
//! The file is walked once more, so that every fault has its line and column; tables without such rules are not.

use crate::format::At;
use crate::header::Head;
use crate::import::{Content, Refusal};
use crate::problem::{Findings, Kind, Place, shown};
use crate::read::{check_width, pick};
use crate::reading::Reading;
use crate::rules::{DEPTH_MAX, check_date};
use crate::scan::{Field, Start};
use crate::table::Table;
use crate::walk::File;
use eport_catalog::{EncodeError, ReadError, RowBuffer, RowReader, Schema};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Bytes that the keys of a table and their parents may take: they are in memory while parents are looked at.
const PARENTS_LEN_MAX: usize = 512 << 20;

/// What is looked at, by place of the column.
struct Checks<'r> {
    parent: Option<usize>,
    from: Option<usize>,
    to: Option<usize>,
    references: Vec<(usize, &'r str, &'r Reading)>,
}

/// Checks the rows of a file against the table they make. Without `references` the tables referred to are not at hand.
pub(crate) fn check(
    file: &File<'_>,
    head: &Head,
    content: &Content,
    references: Option<&BTreeMap<String, Reading>>,
    pending: &[String],
    findings: &mut Findings,
) -> Result<(), Refusal> {
    let rules = &content.rules;
    let place_of = |name: &Option<String>| name.as_deref().and_then(|n| content.schema.column(n));
    let mut checks = Checks {
        parent: rules.hierarchy.as_ref().and_then(|h| place_of(&h.parent)),
        from: rules.validity.as_ref().and_then(|v| place_of(&v.from)),
        to: rules.validity.as_ref().and_then(|v| place_of(&v.to)),
        references: Vec::new(),
    };
    for (column, table) in rules.references() {
        let (Some(known), Some(place)) = (references, content.schema.column(column)) else { continue };
        match known.get(table) {
            Some(reading) => checks.references.push((place, table, reading)),
            None if pending.iter().any(|p| p == table) => {}
            None => {
                let detail =
                    format!("table {table}, to which column {column} refers, has no version to look into");
                findings.problem(Place { line: 1, column: 1 }, Kind::MissingTable, Some(column), detail);
            }
        }
    }
    if checks.parent.is_none() && checks.from.is_none() && checks.to.is_none() && checks.references.is_empty()
    {
        return Ok(());
    }
    let table = match checks.parent {
        None => None,
        Some(_) => match parents(content)? {
            Some(table) => Some(table),
            None => {
                let detail = format!("keys and parents take more than {PARENTS_LEN_MAX} bytes");
                findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, detail);
                return Ok(());
            }
        },
    };
    let (mut first, mut quiet) = (true, Findings::new(usize::MAX));
    file.walk_quietly(&mut |at, start, fields, _| {
        // The header; its faults and those of structure were reported by the first walk.
        if std::mem::take(&mut first) {
            return ControlFlow::Continue(());
        }
        if findings.is_full() {
            return ControlFlow::Break(());
        }
        quiet.clear();
        let mut picked = Vec::new();
        if check_width(at, start, head, fields, &mut quiet) {
            let row = pick(at, head, start, fields, &mut picked, &mut quiet);
            row_of(at, start, head, row, &checks, table.as_ref(), findings);
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// The keys of a content and their parents, and nothing else. `None`: they are too many.
fn parents(content: &Content) -> Result<Option<Table>, Refusal> {
    let parent = content.rules.hierarchy.as_ref().and_then(|h| h.parent.as_deref());
    let mut names: Vec<&str> = content.schema.key.iter().map(String::as_str).collect();
    names.extend(parent.filter(|p| !content.schema.key.iter().any(|k| k == p)));
    let keys: Vec<&str> = content.schema.key.iter().map(String::as_str).collect();
    let inside = |e: EncodeError| Refusal::storage(std::io::Error::other(e));
    let schema = Schema::new(&names, &keys).map_err(|e| inside(e.into()))?;
    let mut buffer = RowBuffer::new(schema).map_err(inside)?;
    // These rows were written a moment ago: what cannot be read of them is a fault of the disk.
    let own = |e: ReadError| match e {
        ReadError::Unread(error) => Refusal::storage(error),
        ReadError::Damaged(error) => Refusal::storage(std::io::Error::other(error)),
    };
    let mut rows = RowReader::open(content.body.open()?).map_err(own)?;
    while rows.advance().map_err(own)? {
        let Some(row) = rows.row() else { break };
        buffer.push(0, names.iter().map(|n| row.get(n).unwrap_or(""))).map_err(inside)?;
        if buffer.bytes_in_memory() > PARENTS_LEN_MAX {
            return Ok(None);
        }
    }
    let bytes = buffer.finish().map_err(inside)?.content;
    let root = eport_catalog::root_of(&bytes).map_err(|e| Refusal::storage(std::io::Error::other(e)))?;
    let table = Table::open(bytes.into(), root).map_err(|e| Refusal::storage(std::io::Error::other(e)))?;
    Ok(Some(table))
}

fn row_of(
    reader: &dyn At,
    start: Start,
    head: &Head,
    row: &[Field<'_>],
    checks: &Checks<'_>,
    table: Option<&Table>,
    findings: &mut Findings,
) {
    let mut report = |place: usize, kind: Kind, detail: String| {
        let (Some(field), name) = (row.get(place), head.names.get(place).map(String::as_str)) else { return };
        findings.problem(reader.place(start, field.at), kind, name, detail);
    };
    let value = |place: Option<usize>| place.and_then(|p| row.get(p)).map_or("", |f| f.text.as_ref());
    let (from, to) = (value(checks.from), value(checks.to));
    for (place, day) in [(checks.from, from), (checks.to, to)] {
        if let (Some(place), false) = (place, day.is_empty())
            && let Some((kind, detail)) = check_date(day)
        {
            report(place, kind, detail);
        }
    }
    if let Some(place) = checks.to
        && !from.is_empty()
        && !to.is_empty()
        && to < from
    {
        report(
            place,
            Kind::BadValidity,
            format!("the last day {} lies before the first, {}", shown(to), shown(from)),
        );
    }
    for (place, name, reading) in &checks.references {
        let code = row.get(*place).map_or("", |f| f.text.as_ref());
        if !code.is_empty() && !reading.contains(code) {
            report(*place, Kind::UnknownReference, format!("{} is no key of table {name}", shown(code)));
        }
    }
    let (Some(place), Some(table)) = (checks.parent, table) else { return };
    let parent = value(Some(place));
    let mut above = parent.to_owned();
    for _ in 0..DEPTH_MAX {
        if above.is_empty() {
            return;
        }
        let Some(found) = table.get_text(&above) else {
            // Higher up it is reported at the row that names it.
            if above == parent {
                report(place, Kind::UnknownParent, format!("{} is no key of this table", shown(parent)));
            }
            return;
        };
        above = head.names.get(place).and_then(|name| found.get(name)).unwrap_or("").to_owned();
    }
    report(
        place,
        Kind::ParentCycle,
        format!("the parents of {} lead round, or over {DEPTH_MAX} steps", shown(parent)),
    );
}

//! What only the whole table can judge: parents that exist and lead to the top, references, days in order.
//!
//! The file is walked once more, so that every fault has its line and column; tables without such rules are not.

use crate::format::Records;
use crate::header::Head;
use crate::import::Content;
use crate::problem::{Findings, Kind, Place, shown};
use crate::read::{check_width, pick};
use crate::reading::Reading;
use crate::rules::{DEPTH_MAX, check_date};
use crate::scan::{Field, Start};
use crate::table::Table;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What is looked at, by place of the column.
struct Checks<'r> {
    parent: Option<usize>,
    from: Option<usize>,
    to: Option<usize>,
    references: Vec<(usize, &'r str, &'r Reading)>,
}

/// Checks the rows of a file against the table they make. Without `references` the tables referred to are not at hand.
pub(crate) fn check<'t, R: Records<'t>>(
    open: &dyn Fn() -> R,
    head: &Head,
    content: &Content,
    references: Option<&BTreeMap<String, Reading>>,
    pending: &[String],
    findings: &mut Findings,
) {
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
        return;
    }
    // A view on the content for parents. It was made a moment ago; it is copied only where parents are named.
    let table =
        checks.parent.and_then(|_| Table::open(Bytes::copy_from_slice(&content.bytes), content.root).ok());
    let mut reader = open();
    let (mut fields, mut picked) = (Vec::new(), Vec::new());
    // Faults of structure were reported by the first walk.
    let mut quiet = Findings::new(usize::MAX);
    if reader.record(&mut fields, &mut quiet).is_none() {
        return;
    }
    while let Some(start) = reader.record(&mut fields, &mut quiet) {
        quiet.problems.clear();
        if findings.is_full() {
            return;
        }
        if check_width(&reader, start, head, &mut fields, &mut quiet) {
            let row = pick(&reader, head, start, &mut fields, &mut picked, &mut quiet);
            row_of(&reader, start, head, row, &checks, table.as_ref(), findings);
        }
    }
}

fn row_of<'t, R: Records<'t>>(
    reader: &R,
    start: Start,
    head: &Head,
    row: &[Field<'t>],
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
        above = found.field(place).to_owned();
    }
    report(
        place,
        Kind::ParentCycle,
        format!("the parents of {} lead round, or over {DEPTH_MAX} steps", shown(parent)),
    );
}

//! Reading a file of any form, all or nothing: header, rows, repeated keys, and what only the whole table can judge.

use crate::characters;
use crate::format::At;
use crate::header::{self, Head};
use crate::import::{Content, Desk, Options, Parsed, Refusal, Repeats};
use crate::problem::{Findings, Kind, NoteKind, Place, Problem, shown};
use crate::reading::Reading;
use crate::repeats::Again;
use crate::scan::{Field, Start};
use crate::walk::{File, Found};
use crate::whole;
use eport_catalog::{Keep, SortError, Sorter, Source};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Reads a file that is in memory. All or nothing. What its columns refer to is not looked at.
pub fn read(file: &[u8], options: &Options) -> Result<Parsed, Refusal> {
    read_with(&file.to_vec(), options, None, &Desk::default())
}

/// Reads a file of any size in bounded memory; rows wait in the scratch of the desk.
pub fn read_from(file: &dyn Source, options: &Options, desk: &Desk<'_>) -> Result<Parsed, Refusal> {
    read_with(file, options, None, desk)
}

/// Reads a file whose columns may refer to other tables, which are handed in by the names of the rules.
pub(crate) fn read_with(
    file: &dyn Source,
    options: &Options,
    references: Option<&BTreeMap<String, Reading>>,
    desk: &Desk<'_>,
) -> Result<Parsed, Refusal> {
    let limits = &options.limits;
    let mut findings = Findings::new(limits.problems.max(1));
    if file.len() > limits.bytes {
        let detail = format!("the file has {} bytes; {} are allowed", file.len(), limits.bytes);
        findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, detail);
        return Err(refusal(findings));
    }
    let Some(file) = File::open(file, options, &mut findings)? else { return Err(refusal(findings)) };
    // Faults of characters and of structure each have the whole list to fill.
    let mut found =
        Found { characters: findings, records: Findings::new(limits.problems.max(1)), quiet: false };
    let parsed = table(&file, options, references, desk, &mut found)?;
    let Found { mut characters, records, .. } = found;
    characters.join(records);
    match parsed {
        Some(parsed) if characters.found == 0 => Ok(Parsed { notes: characters.notes, ..parsed }),
        _ => Err(refusal(characters)),
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

/// The rows of a file on their way into order.
struct Rows<'a> {
    options: &'a Options,
    desk: &'a Desk<'a>,
    head: Option<(Head, Place)>,
    sorter: Option<Sorter<'a>>,
    count: u64,
    /// What ended the walk before the file did.
    ended: Option<Result<(), SortError>>,
}

impl<'a> Rows<'a> {
    /// Takes a record; the first one is the header.
    fn see(
        &mut self,
        at: &dyn At,
        start: Start,
        fields: &mut Vec<Field<'_>>,
        findings: &mut Findings,
    ) -> ControlFlow<()> {
        let Some((head, _)) = &self.head else {
            let head = header::read(at, start, fields, self.options, findings);
            let keep = if self.options.repeats == Repeats::Last { Keep::Last } else { Keep::First };
            let (scratch, run_len) = (self.desk.scratch, self.desk.run_len);
            self.sorter = head.schema.clone().and_then(|s| Sorter::new(s, keep, scratch, run_len).ok());
            self.head = Some((head, at.place(start, start.at)));
            return ControlFlow::Continue(());
        };
        self.count += 1;
        if self.count > self.options.limits.rows {
            let detail = format!("more than {} rows", self.options.limits.rows);
            findings.problem(at.place(start, start.at), Kind::TooManyRows, None, detail);
            self.ended = Some(Ok(()));
            return ControlFlow::Break(());
        }
        let mut picked = Vec::new();
        // Rows are kept also when a problem was found before, so that repeated keys are reported in the same run.
        if check_width(at, start, head, fields, findings)
            && let row = pick(at, head, start, fields, &mut picked, findings)
            && check_values(at, start, head, row, findings)
            && let Some(rows) = &mut self.sorter
            && let Some(first_key) = head.key.first()
            && let mark = at.place(start, row[*first_key].at).mark()
            && let Err(e) = rows.push(mark, row.iter().map(|f| &f.text))
        {
            if let SortError::Encode(e) = &e {
                findings.problem(at.place(start, start.at), Kind::TooManyBytes, None, e.to_string());
            }
            self.ended = Some(Err(e));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The header and the rows. `None` when there is no table; then at least one problem says why.
fn table(
    file: &File<'_>,
    options: &Options,
    references: Option<&BTreeMap<String, Reading>>,
    desk: &Desk<'_>,
    found: &mut Found,
) -> Result<Option<Parsed>, Refusal> {
    let mut rows = Rows { options, desk, head: None, sorter: None, count: 0, ended: None };
    let before = found.records.found;
    let readable =
        file.walk(found, &mut |at, start, fields, findings| rows.see(at, start, fields, findings))?;
    let Rows { head, sorter, count, ended, .. } = rows;
    let findings = &mut found.records;
    match ended {
        Some(Err(SortError::Scratch(error))) => return Err(error.into()),
        Some(_) => return Ok(None),
        None if !readable => return Ok(None),
        None => {}
    }
    let Some((head, top)) = head else {
        if findings.found == before {
            let detail = "the file has no header line".to_owned();
            findings.problem(Place { line: 1, column: 1 }, Kind::NoHeader, None, detail);
        }
        return Ok(None);
    };
    if count == 0 && findings.found == before {
        let detail = "the file has a header and no rows".to_owned();
        findings.problem(top, Kind::NoRows, None, detail);
    }
    let Some(parsed) = finish(sorter, &head, options, findings)? else { return Ok(None) };
    if !findings.is_full() {
        whole::check(file, &head, &parsed.content, references, &options.pending, findings)?;
    }
    Ok(Some(parsed))
}

/// Judges the width of a row; empty fields behind the last column are taken off. True for a row without fault.
pub(crate) fn check_width(
    reader: &dyn At,
    start: Start,
    head: &Head,
    fields: &mut Vec<Field<'_>>,
    findings: &mut Findings,
) -> bool {
    let width = head.width;
    if fields.len() > width {
        if fields[width..].iter().all(|f| f.text.is_empty()) {
            findings.note(NoteKind::TrailingColumn, || reader.place(start, fields[width].at));
            fields.truncate(width);
        } else {
            let filled = fields[width..].iter().find(|f| !f.text.is_empty()).map_or(start.at, |f| f.at);
            let detail = format!("{} fields; the header has {width} columns", fields.len());
            findings.problem(reader.place(start, filled), Kind::RaggedRow, None, detail);
            return false;
        }
    }
    if fields.len() < width {
        let detail = format!("{} fields; the header has {width} columns", fields.len());
        findings.problem(reader.place(start, start.at), Kind::RaggedRow, None, detail);
        return false;
    }
    true
}

/// The fields in the order of the table's columns, without the control characters that the mapping drops.
pub(crate) fn pick<'a, 't>(
    reader: &dyn At,
    head: &Head,
    start: Start,
    fields: &'a mut Vec<Field<'t>>,
    picked: &'a mut Vec<Field<'t>>,
    findings: &mut Findings,
) -> &'a [Field<'t>] {
    let Some(picks) = &head.picks else { return fields };
    picked.clear();
    for place in picks {
        let empty = Field { text: Cow::Borrowed(""), at: start.at, number: false };
        // A column of the file belongs to one column of the table, so its field can be taken.
        let field = place.and_then(|p| fields.get_mut(p)).map(|f| std::mem::replace(f, empty.clone()));
        picked.push(field.unwrap_or(empty));
    }
    for ((field, drop), name) in picked.iter_mut().zip(&head.drops).zip(&head.names) {
        let at = field.at;
        let place = || (reader.place(start, at), Some(name.clone()));
        characters::clean(&mut field.text, head.delimiter, *drop, findings, place);
    }
    picked
}

/// Judges keys and values of a row. True for a row without fault.
fn check_values(
    reader: &dyn At,
    start: Start,
    head: &Head,
    row: &[Field<'_>],
    findings: &mut Findings,
) -> bool {
    let before = findings.found;
    for place in &head.key {
        let Some(field) = row.get(*place) else { continue };
        let name = head.names.get(*place).map(String::as_str);
        if field.number {
            let detail = format!("{} is kept as a number; codes must be text", shown(&field.text));
            findings.problem(reader.place(start, field.at), Kind::NumberCode, name, detail);
        } else if let Some((kind, detail)) = characters::check_key(&field.text) {
            findings.problem(reader.place(start, field.at), kind, name, detail);
        }
    }
    for (place, rule) in &head.rules {
        let Some(field) = row.get(*place) else { continue };
        let of_key = head.key.contains(place);
        let found = match rule.kind == crate::rules::ValueType::Code && field.number && !of_key {
            true => Some((Kind::NumberCode, format!("{} is kept as a number", shown(&field.text)))),
            false => rule.check(&field.text),
        };
        // A key column was judged as a code already; of it only the width is new.
        let found = found.filter(|(kind, _)| {
            !of_key || (findings.found == before && matches!(kind, Kind::LostZero | Kind::WrongWidth))
        });
        if let Some((kind, detail)) = found {
            let name = head.names.get(*place).map(String::as_str);
            findings.problem(reader.place(start, field.at), kind, name, detail);
        }
    }
    findings.found == before
}

/// Puts the rows in order and judges keys that stand more than once.
fn finish(
    sorter: Option<Sorter<'_>>,
    head: &Head,
    options: &Options,
    findings: &mut Findings,
) -> Result<Option<Parsed>, Refusal> {
    let (Some(sorter), Some(schema)) = (sorter, head.schema.clone()) else { return Ok(None) };
    let most = if options.repeats == Repeats::Refuse { options.limits.problems.max(1) } else { 0 };
    let mut again = Again::new(most);
    let ordered = match sorter.finish(|row| again.see(&row)) {
        Ok(ordered) => ordered,
        Err(SortError::Scratch(error)) => return Err(error.into()),
        Err(SortError::Encode(e)) => {
            findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, e.to_string());
            return Ok(None);
        }
    };
    let name = head.key.first().and_then(|place| head.names.get(*place)).map(String::as_str);
    let duplicates_ignored = again.report(name, options.repeats, findings);
    let content = Content {
        root: ordered.root,
        body: ordered.content,
        schema,
        rules: options.rules.clone(),
        rows: ordered.rows,
    };
    Ok(Some(Parsed { content, duplicates_ignored, notes: Vec::new() }))
}

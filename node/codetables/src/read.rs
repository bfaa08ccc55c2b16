//! Reading a file of any form, all or nothing: header, rows, repeated keys, and what only the whole table can judge.

use crate::characters;
use crate::encoding;
use crate::format::{Format, Records};
use crate::header::{self, Head};
use crate::import::{Content, Limits, Options, Parsed, Refusal, Repeats};
use crate::json_lines::JsonLines;
use crate::problem::{Findings, Kind, NoteKind, Place, Problem, shown};
use crate::reading::Reading;
use crate::scan::{Field, Scanner, Start};
use crate::sheet::{Sheet, SheetRows};
use crate::whole;
use eport_catalog::{Repeat, RowBuffer, root_of};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Reads a file. All or nothing. What its columns refer to is not looked at.
pub fn read(file: &[u8], options: &Options) -> Result<Parsed, Refusal> {
    read_with(file, options, None)
}

/// Reads a file whose columns may refer to other tables, which are handed in by the names of the rules.
pub(crate) fn read_with(
    file: &[u8],
    options: &Options,
    references: Option<&BTreeMap<String, Reading>>,
) -> Result<Parsed, Refusal> {
    let limits = &options.limits;
    let mut findings = Findings::new(limits.problems.max(1));
    if file.len() as u64 > limits.bytes {
        let detail = format!("the file has {} bytes; {} are allowed", file.len(), limits.bytes);
        findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, detail);
        return Err(refusal(findings));
    }
    let table = match options.format {
        Format::Xlsx => {
            let Some(sheet) = Sheet::read(file, options, &mut findings) else {
                return Err(refusal(findings));
            };
            let mut structure = Findings::new(limits.problems.max(1));
            let table = table(&|| SheetRows::new(&sheet), options, references, &mut structure);
            findings.join(structure);
            table
        }
        _ => text(file, options, references, &mut findings)?,
    };
    match table {
        Some(table) if findings.found == 0 => Ok(Parsed { notes: findings.notes, ..table }),
        _ => Err(refusal(findings)),
    }
}

fn text(
    file: &[u8],
    options: &Options,
    references: Option<&BTreeMap<String, Reading>>,
    findings: &mut Findings,
) -> Result<Option<Parsed>, Refusal> {
    let text = encoding::decode(file, options.encoding, findings);
    let jsonl = options.format == Format::Jsonl;
    // Between the tokens of JSON a tab is a blank.
    let delimiter = if jsonl { b'\t' } else { options.delimiter };
    let controls = !options.mapping.drops_controls();
    characters::check_text(&text, delimiter, findings.found > 0, controls, findings);
    // Faults of characters and of structure are found in two walks, each with the whole list to fill.
    if text.is_empty() && findings.found > 0 {
        return Err(refusal(std::mem::take(findings)));
    }
    let mut structure = Findings::new(options.limits.problems.max(1));
    let found = match jsonl {
        true => table(&|| JsonLines::new(&text, options), options, references, &mut structure),
        false => table(&|| Scanner::new(&text, options), options, references, &mut structure),
    };
    findings.join(structure);
    Ok(found)
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
fn table<'t, R: Records<'t>>(
    open: &dyn Fn() -> R,
    options: &Options,
    references: Option<&BTreeMap<String, Reading>>,
    findings: &mut Findings,
) -> Option<Parsed> {
    let limits = &options.limits;
    let mut reader = open();
    let mut fields = Vec::new();
    let before = findings.found;
    let Some(start) = reader.record(&mut fields, findings) else {
        if findings.found == before {
            let detail = "the file has no header line".to_owned();
            findings.problem(Place { line: 1, column: 1 }, Kind::NoHeader, None, detail);
        }
        return None;
    };
    let head = header::read(&reader, start, &fields, options, findings);
    let mut buffer = head.schema.clone().and_then(|schema| RowBuffer::new(schema).ok());
    let rows = fill(&mut reader, &head, limits, &mut buffer, None, findings)?;
    if rows == 0 && findings.found == before {
        let detail = "the file has a header and no rows".to_owned();
        findings.problem(reader.place(start, start.at), Kind::NoRows, None, detail);
    }
    let parsed = finish(open, &reader, buffer?, &head, options, findings)?;
    whole::check(open, &head, &parsed.content, references, &options.pending, findings);
    Some(parsed)
}

/// Reads all rows into the buffer, but those with a mark in `without`. Answers how many there are.
fn fill<'t, R: Records<'t>>(
    reader: &mut R,
    head: &Head,
    limits: &Limits,
    buffer: &mut Option<RowBuffer>,
    without: Option<&BTreeSet<u64>>,
    findings: &mut Findings,
) -> Option<u64> {
    let (mut fields, mut count) = (Vec::new(), 0u64);
    let mut picked = Vec::new();
    while let Some(start) = reader.record(&mut fields, findings) {
        count += 1;
        if count > limits.rows {
            let detail = format!("more than {} rows", limits.rows);
            findings.problem(reader.place(start, start.at), Kind::TooManyRows, None, detail);
            return None;
        }
        // Rows are kept also when a problem was found before, so that repeated keys are reported in the same run.
        if check_width(reader, start, head, &mut fields, findings)
            && let row = pick(reader, head, start, &mut fields, &mut picked, findings)
            && check_values(reader, start, head, row, findings)
            && let Some(rows) = buffer
            && let Some(first_key) = head.key.first()
            && let mark = row[*first_key].at as u64
            && without.is_none_or(|marks| !marks.contains(&mark))
            && let Err(e) = rows.push(mark, row.iter().map(|f| &f.text))
        {
            findings.problem(reader.place(start, start.at), Kind::TooManyBytes, None, e.to_string());
            return None;
        }
    }
    Some(count)
}

/// Judges the width of a row; empty fields behind the last column are taken off. True for a row without fault.
pub(crate) fn check_width<'t, R: Records<'t>>(
    reader: &R,
    start: Start,
    head: &Head,
    fields: &mut Vec<Field<'t>>,
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
pub(crate) fn pick<'a, 't, R: Records<'t>>(
    reader: &R,
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
fn check_values<'t, R: Records<'t>>(
    reader: &R,
    start: Start,
    head: &Head,
    row: &[Field<'t>],
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

fn finish<'t, R: Records<'t>>(
    open: &dyn Fn() -> R,
    reader: &R,
    buffer: RowBuffer,
    head: &Head,
    options: &Options,
    findings: &mut Findings,
) -> Option<Parsed> {
    let schema = head.schema.clone()?;
    let sort = |buffer: RowBuffer, findings: &mut Findings| match buffer.finish() {
        Ok(sorted) => Some(sorted),
        Err(e) => {
            findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, e.to_string());
            None
        }
    };
    let mut sorted = sort(buffer, findings)?;
    let duplicates_ignored = sorted.repeats.iter().filter(|r| r.equal).count() as u64;
    let name = head.key.first().and_then(|place| head.names.get(*place)).map(String::as_str);
    report_repeats(reader, &sorted.repeats, name, options.repeats, findings);
    if options.repeats == Repeats::Last && sorted.repeats.iter().any(|r| !r.equal) {
        // Of every key the last row stays: read once more without the others.
        let mut without = BTreeSet::new();
        for repeat in &sorted.repeats {
            without.insert(repeat.first);
            without.insert(repeat.second);
        }
        let lasts = sorted.repeats.iter().map(|r| (r.first, r.second)).collect::<BTreeMap<_, _>>();
        for last in lasts.values() {
            without.remove(last);
        }
        let mut again = open();
        let mut quiet = Findings::new(1);
        let mut buffer = RowBuffer::new(schema.clone()).ok();
        again.record(&mut Vec::new(), &mut quiet)?;
        fill(&mut again, head, &options.limits, &mut buffer, Some(&without), &mut quiet)?;
        sorted = sort(buffer?, findings)?;
    }
    let root = match root_of(&sorted.content) {
        Ok(root) => root,
        Err(e) => {
            findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, e.to_string());
            return None;
        }
    };
    let content =
        Content { root, bytes: sorted.content, schema, rules: options.rules.clone(), rows: sorted.rows };
    Some(Parsed { content, duplicates_ignored, notes: Vec::new() })
}

/// Repeated keys were found after sorting; one walk over the file gives them their places again.
fn report_repeats<'t, R: Records<'t>>(
    reader: &R,
    repeats: &[Repeat],
    field: Option<&str>,
    rule: Repeats,
    findings: &mut Findings,
) {
    let mut wanted: Vec<u64> = repeats.iter().flat_map(|r| [r.first, r.second]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let places: BTreeMap<u64, Place> = wanted.iter().copied().zip(reader.places(&wanted)).collect();
    let mut ordered: Vec<&Repeat> = repeats.iter().collect();
    ordered.sort_by_key(|r| r.second);
    for repeat in ordered {
        let (Some(first), Some(second)) = (places.get(&repeat.first), places.get(&repeat.second)) else {
            continue;
        };
        if repeat.equal {
            findings.note(NoteKind::DuplicateRow, || *second);
        } else if rule != Repeats::Refuse {
            findings.note(NoteKind::RepeatedKey, || *second);
        } else {
            let value = shown(&reader.value_at(repeat.second));
            let detail = format!("the key {value} stands in line {} with other values", first.line);
            findings.problem(*second, Kind::RepeatedKey, field, detail);
        }
    }
}

//! A sheet of an Office Open XML workbook as records, with row and column of everything.
//!
//! A workbook is a ZIP archive of XML and may unpack to anything. So all of it is unpacked once into nothing, under a limit,
//! before the reader of workbooks sees it; cells are then taken one by one, never as the rectangle that a sheet claims.
//! Cells that hold a number are marked: a code that was kept as a number has lost its leading zeros already.

use crate::characters;
use crate::format::{At, Step, Steps};
use crate::import::{Limits, Options};
use crate::problem::{Findings, Kind, NoteKind, Place, shown};
use crate::scan::{Field, Start};
use calamine::{DataRef, Reader, Xlsx};
use eport_catalog::{COLUMNS_MAX, FIELD_LEN_MAX};
use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes to which a workbook may unpack: the reader holds its shared texts in memory.
const UNPACKED_MAX: u64 = 512 << 20;
/// Bytes of a workbook's file, which is in memory while it is read. What is larger is better kept as CSV.
pub(crate) const FILE_LEN_MAX: u64 = 64 << 20;
/// Files in the archive.
const ENTRIES_MAX: usize = 10_000;
/// Columns beyond the limit of a table that may stand empty.
const TRAILING_COLUMNS_MAX: usize = 1_000;
/// A column needs 14 bits; rows stand above them in a mark.
const COLUMN_BITS: u32 = 14;

#[derive(Clone, Copy)]
struct Cell {
    column: u16,
    number: bool,
    start: u32,
    end: u32,
}

/// Cells of one sheet, row by row.
#[derive(Default)]
pub(crate) struct Sheet {
    text: String,
    cells: Vec<Cell>,
    /// Row number from 0, and where its cells begin.
    rows: Vec<(u32, u32)>,
}

impl Sheet {
    /// Reads the sheet of the options, else the first one. What is wrong goes to `findings`.
    pub(crate) fn read(file: &[u8], options: &Options, findings: &mut Findings) -> Option<Sheet> {
        let start = Place { line: 1, column: 1 };
        if let Err((kind, detail)) = unpacks(file, &options.limits) {
            findings.problem(start, kind, None, detail);
            return None;
        }
        // The library is given bytes from outside; should it stumble over them, this file is refused and nothing else happens.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut sheet = Sheet::default();
            let read = sheet.fill(file, options, findings);
            read.map(|()| sheet)
        }));
        let fault = match read {
            Ok(Ok(sheet)) => return Some(sheet),
            Ok(Err(fault)) => fault,
            Err(_) => (start, Kind::BadWorkbook, "the workbook cannot be read".to_owned()),
        };
        findings.problem(fault.0, fault.1, None, fault.2);
        None
    }

    fn fill(
        &mut self,
        file: &[u8],
        options: &Options,
        findings: &mut Findings,
    ) -> Result<(), (Place, Kind, String)> {
        let top = Place { line: 1, column: 1 };
        let bad = |at: Place, e: &dyn std::fmt::Display| (at, Kind::BadWorkbook, e.to_string());
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(file)).map_err(|e| bad(top, &e))?;
        let names = book.sheet_names();
        let name = match &options.sheet {
            Some(wanted) if names.contains(wanted) => wanted.clone(),
            Some(wanted) => {
                let known: Vec<String> = names.iter().take(12).map(|n| shown(n)).collect();
                let detail = format!("there is no sheet {}; there are {}", shown(wanted), known.join(", "));
                return Err((top, Kind::NoSheet, detail));
            }
            None => {
                let first = names.first().cloned();
                first.ok_or_else(|| (top, Kind::NoSheet, "the workbook has no sheet".to_owned()))?
            }
        };
        let field_len_max = options.limits.field_bytes.min(FIELD_LEN_MAX);
        let controls = !options.mapping.drops_controls();
        let mut cells = book.worksheet_cells_reader(&name).map_err(|e| bad(top, &e))?;
        let (mut last, mut rows) = (None, 0u64);
        loop {
            let here = last.map_or(top, |(row, column)| place(row, column));
            let Some(cell) = cells.next_cell().map_err(|e| bad(here, &e))? else { return Ok(()) };
            let (row, column) = cell.get_position();
            let at = place(row, column);
            if row >= 1 << 20 || column >= 1 << COLUMN_BITS {
                return Err((here, Kind::BadWorkbook, "a cell outside of any sheet".to_owned()));
            }
            if last.is_some_and(|last| last >= (row, column)) {
                return Err((at, Kind::BadWorkbook, "cells are not in order".to_owned()));
            }
            if last.is_none_or(|(before, _)| before != row) {
                rows += 1;
                if rows > options.limits.rows.saturating_add(1) {
                    return Err((at, Kind::TooManyRows, format!("more than {} rows", options.limits.rows)));
                }
            }
            last = Some((row, column));
            let (text, number) = match value(cell.get_value()) {
                Ok(value) => value,
                Err(detail) => {
                    findings.problem(at, Kind::CellError, None, detail);
                    continue;
                }
            };
            if text.is_empty() {
                continue;
            }
            if column as usize >= COLUMNS_MAX + TRAILING_COLUMNS_MAX {
                return Err((at, Kind::TooManyColumns, "a cell far to the right of any table".to_owned()));
            }
            if text.len() > field_len_max {
                findings.problem(at, Kind::FieldTooLong, None, format!("more than {field_len_max} bytes"));
                continue;
            }
            characters::check_field(&text, controls, findings, || at);
            self.push(row, column, &text, number).ok_or_else(|| {
                (at, Kind::TooManyBytes, "the texts of the sheet are over 4 GiB".to_owned())
            })?;
        }
    }

    fn push(&mut self, row: u32, column: u32, text: &str, number: bool) -> Option<()> {
        if self.rows.last().is_none_or(|(last, _)| *last != row) {
            self.rows.push((row, u32::try_from(self.cells.len()).ok()?));
        }
        let start = u32::try_from(self.text.len()).ok()?;
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        self.text.push_str(text);
        self.cells.push(Cell { column: u16::try_from(column).ok()?, number, start, end });
        Some(())
    }

    fn cells_of(&self, index: usize) -> &[Cell] {
        let Some((_, from)) = self.rows.get(index) else { return &[] };
        let to = self.rows.get(index + 1).map_or(self.cells.len(), |(_, to)| *to as usize);
        self.cells.get(*from as usize..to).unwrap_or(&[])
    }

    fn text_of(&self, cell: &Cell) -> &str {
        self.text.get(cell.start as usize..cell.end as usize).unwrap_or("")
    }
}

/// Unpacks everything once, into nothing, under the limit.
fn unpacks(file: &[u8], limits: &Limits) -> Result<(), (Kind, String)> {
    let bad = |e: &dyn std::fmt::Display| (Kind::BadWorkbook, format!("no workbook (.xlsx): {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).map_err(|e| bad(&e))?;
    if archive.len() > ENTRIES_MAX {
        return Err((Kind::TooManyBytes, format!("{} files in the workbook", archive.len())));
    }
    let max = limits.bytes.min(UNPACKED_MAX);
    let mut left = max;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| bad(&e))?;
        let read = std::io::copy(&mut entry.take(left + 1), &mut std::io::sink()).map_err(|e| bad(&e))?;
        left = left
            .checked_sub(read)
            .ok_or_else(|| (Kind::TooManyBytes, format!("the workbook unpacks to more than {max} bytes")))?;
    }
    Ok(())
}

/// A cell's text, and whether the sheet keeps it as a number.
fn value<'a>(cell: &'a DataRef<'_>) -> Result<(Cow<'a, str>, bool), String> {
    let number = |n: f64| match n {
        n if n.fract() == 0.0 && n.abs() < 1e15 => format!("{n:.0}"),
        n => n.to_string(),
    };
    Ok(match cell {
        DataRef::Empty => (Cow::Borrowed(""), false),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            (line_ends(text), false)
        }
        DataRef::SharedString(text) => (line_ends(text), false),
        DataRef::Int(n) => (Cow::Owned(n.to_string()), true),
        DataRef::Float(n) => (Cow::Owned(number(*n)), true),
        DataRef::Bool(b) => (Cow::Borrowed(if *b { "true" } else { "false" }), false),
        DataRef::DateTime(at) if at.is_datetime() => {
            let (y, m, d, h, min, s, _) = at.to_ymd_hms_milli();
            let day = format!("{y:04}-{m:02}-{d:02}");
            let text = if (h, min, s) == (0, 0, 0) { day } else { format!("{day}T{h:02}:{min:02}:{s:02}") };
            (Cow::Owned(text), true)
        }
        DataRef::DateTime(at) => (Cow::Owned(number(at.as_f64())), true),
        DataRef::Error(e) => return Err(format!("the cell holds the error {e}")),
    })
}

fn line_ends(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

fn place(row: u32, column: u32) -> Place {
    Place { line: u64::from(row) + 1, column: u64::from(column) + 1 }
}

fn mark(row: u32, column: usize) -> usize {
    ((row as usize) << COLUMN_BITS) | column
}

fn place_of(mark: usize) -> Place {
    place((mark >> COLUMN_BITS) as u32, (mark & ((1 << COLUMN_BITS) - 1)) as u32)
}

/// Walks the rows of a sheet. The first row with a cell is the header; a table may begin in any column.
pub(crate) struct SheetRows<'t> {
    sheet: &'t Sheet,
    next: usize,
    /// First column and width of the header.
    frame: Option<(usize, usize)>,
}

impl<'t> SheetRows<'t> {
    pub(crate) fn new(sheet: &'t Sheet) -> Self {
        SheetRows { sheet, next: 0, frame: None }
    }
}

impl At for SheetRows<'_> {
    fn place(&self, _: Start, at: usize) -> Place {
        place_of(at)
    }
}

impl<'t> Steps<'t> for SheetRows<'t> {
    fn step(&mut self, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> Step {
        fields.clear();
        let Some((row, _)) = self.sheet.rows.get(self.next).copied() else { return Step::End };
        let cells = self.sheet.cells_of(self.next);
        let before = self.next.checked_sub(1).and_then(|i| self.sheet.rows.get(i)).map(|(row, _)| *row);
        self.next += 1;
        for blank in before.map_or(row, |before| before + 1)..row {
            findings.note(NoteKind::BlankLine, || place(blank, 0));
        }
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { return Step::Nothing };
        let (from, width) = *self.frame.get_or_insert((
            usize::from(first.column),
            usize::from(last.column) + 1 - usize::from(first.column),
        ));
        if usize::from(first.column) < from {
            let detail = "a cell to the left of the header's first column".to_owned();
            findings.problem(place(row, u32::from(first.column)), Kind::RaggedRow, None, detail);
            return Step::Nothing;
        }
        let columns = from..(usize::from(last.column) + 1).max(from + width);
        fields.extend(columns.map(|c| Field { text: Cow::Borrowed(""), at: mark(row, c), number: false }));
        for cell in cells {
            let field = &mut fields[usize::from(cell.column) - from];
            field.text = Cow::Borrowed(self.sheet.text_of(cell));
            field.number = cell.number;
            if field.text.contains('\n') {
                findings.note(NoteKind::QuotedNewline, || place(row, u32::from(cell.column)));
            }
        }
        Step::Record(Start { line: u64::from(row) + 1, at: mark(row, from) })
    }

    fn stand(&self) -> (usize, u64) {
        (0, 0)
    }
}

//! CSV as RFC 4180 writes it, with the exact place of everything.
//!
//! Written here because a report must name line and character of every fault, and go on behind it: readers made for
//! speed know only where a record begins and repair what they can. A test holds this one against such a reader.
//!
//! After a fault the scanner resumes at the next line. A quoted field that spans lines and does not end properly is taken
//! for one whose closing quote is missing on its first line: the lines it swallowed are read as lines again.

use crate::format::{At, Step, Steps};
use crate::import::Options;
use crate::problem::{Findings, Kind, NoteKind, Place};
use eport_catalog::{COLUMNS_MAX, FIELD_LEN_MAX};
use std::borrow::Cow;
use std::cell::Cell;

/// A field and where it begins in the text.
#[derive(Clone)]
pub(crate) struct Field<'t> {
    pub(crate) text: Cow<'t, str>,
    pub(crate) at: usize,
    /// True where the file keeps a number and not a text: no place for a code.
    pub(crate) number: bool,
}

/// Where a record begins.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) line: u64,
    pub(crate) at: usize,
}

/// Walks the records of a text.
pub(crate) struct Scanner<'t> {
    text: &'t str,
    /// The file ends with this text.
    last: bool,
    /// Something was looked for behind the text, which goes on elsewhere.
    short: Cell<bool>,
    delimiter: u8,
    field_len_max: usize,
    fields_max: usize,
    at: usize,
    line: u64,
}

/// Fields of a record beyond the column limit, all empty perhaps. A line of nothing but commas may not cost memory.
const TRAILING_FIELDS_MAX: usize = 1_000;

/// How a field ended.
enum End {
    Delimiter,
    Line,
    File,
    /// A fault was reported; the record is no use.
    Fault,
}

impl<'t> Scanner<'t> {
    /// Reads a part of a file that begins with a record in this line; `last`: the file ends with it.
    pub(crate) fn new(text: &'t str, line: u64, last: bool, options: &Options) -> Self {
        let limits = &options.limits;
        Scanner {
            text,
            last,
            short: Cell::new(false),
            delimiter: options.delimiter,
            field_len_max: limits.field_bytes.min(FIELD_LEN_MAX),
            fields_max: limits.columns.min(COLUMNS_MAX) + TRAILING_FIELDS_MAX,
            at: 0,
            line,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        let byte = self.text.as_bytes().get(at).copied();
        self.seen(byte.is_some());
        byte
    }

    /// Notes whether what was looked for lies in this text.
    fn seen(&self, found: bool) {
        if !found && !self.last {
            self.short.set(true);
        }
    }

    fn field(&mut self, start: Start, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> End {
        if self.byte(self.at) == Some(b'"') {
            self.quoted(start, fields, findings)
        } else {
            self.plain(start, fields, findings)
        }
    }

    fn plain(&mut self, start: Start, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> End {
        let at = self.at;
        let stop = |b: &u8| matches!(*b, b'\n' | b'\r' | b'"') || *b == self.delimiter;
        let len = self.text.as_bytes()[at..].iter().position(stop).unwrap_or(self.text.len() - at);
        if len > self.field_len_max {
            return self.too_long(start, at, findings);
        }
        let end = at + len;
        match self.byte(end) {
            Some(b'"') => {
                let detail = "a quote inside a field that does not begin with one".to_owned();
                return self.fault(start, end, Kind::StrayQuote, detail, findings);
            }
            Some(b'\r') if self.byte(end + 1) != Some(b'\n') => {
                return self.lone_return(start, end, findings);
            }
            _ => {}
        }
        fields.push(Field { text: Cow::Borrowed(&self.text[at..end]), at, number: false });
        self.after(start, end, findings)
    }

    /// Steps over what ends a field at `end`: a delimiter, a line end or the end of the file.
    fn after(&mut self, start: Start, end: usize, findings: &mut Findings) -> End {
        match self.byte(end) {
            None => {
                self.at = end;
                End::File
            }
            Some(b'\n') => {
                self.at = end + 1;
                self.line += 1;
                End::Line
            }
            Some(b'\r') => {
                findings.note(NoteKind::CrLf, || self.place(start, end));
                self.at = end + 2;
                self.line += 1;
                End::Line
            }
            Some(_) => {
                self.at = end + 1;
                End::Delimiter
            }
        }
    }

    fn quoted(&mut self, start: Start, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> End {
        let open = self.at;
        let (mut at, mut breaks, mut doubled) = (open + 1, 0u64, false);
        loop {
            match self.byte(at) {
                Some(b'"') if self.byte(at + 1) == Some(b'"') => {
                    doubled = true;
                    at += 2;
                }
                Some(b'"') => break,
                Some(b'\n') => {
                    breaks += 1;
                    at += 1;
                }
                Some(_) => at += 1,
                None => return self.unterminated(start, open, findings),
            }
            if at - open > self.field_len_max + 1 {
                return self.too_long(start, open, findings);
            }
        }
        let raw = &self.text[open + 1..at];
        let behind = self.byte(at + 1);
        let ends = match behind {
            None | Some(b'\n') => true,
            Some(b'\r') => self.byte(at + 2) == Some(b'\n'),
            Some(b) => b == self.delimiter,
        };
        if !ends {
            if breaks > 0 {
                return self.unterminated(start, open, findings);
            }
            if behind == Some(b'\r') {
                return self.lone_return(start, at + 1, findings);
            }
            let detail = "characters between the closing quote and the next delimiter".to_owned();
            return self.fault(start, at + 1, Kind::TextAfterQuote, detail, findings);
        }
        let broken = raw.contains('\r');
        if breaks > 0 || broken {
            findings.note(NoteKind::QuotedNewline, || self.place(start, open));
        }
        self.line += breaks;
        fields.push(Field { text: unquote(raw, doubled, broken), at: open, number: false });
        self.after(start, at + 1, findings)
    }

    fn unterminated(&mut self, start: Start, open: usize, findings: &mut Findings) -> End {
        let detail = "the quote that opens here is never closed".to_owned();
        self.fault(start, open, Kind::UnterminatedQuote, detail, findings)
    }

    fn lone_return(&mut self, start: Start, at: usize, findings: &mut Findings) -> End {
        let detail = "a carriage return (U+000D) that is not part of a line end".to_owned();
        self.fault(start, at, Kind::ControlCharacter, detail, findings)
    }

    fn too_long(&mut self, start: Start, at: usize, findings: &mut Findings) -> End {
        let detail = format!("a field has more than {} bytes", self.field_len_max);
        self.fault(start, at, Kind::FieldTooLong, detail, findings)
    }

    /// Reports a fault and goes to the line behind the one it stands in.
    fn fault(&mut self, start: Start, at: usize, kind: Kind, detail: String, findings: &mut Findings) -> End {
        let place = self.place(start, at);
        findings.problem(place, kind, None, detail);
        let end = self.text[at..].find('\n');
        self.seen(end.is_some());
        self.at = end.map_or(self.text.len(), |n| at + n + 1);
        self.line = place.line + 1;
        End::Fault
    }
}

impl At for Scanner<'_> {
    fn place(&self, start: Start, at: usize) -> Place {
        place_from(self.text, start, at)
    }
}

impl<'t> Steps<'t> for Scanner<'t> {
    fn step(&mut self, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> Step {
        fields.clear();
        self.short.set(false);
        if self.at >= self.text.len() {
            return if self.last { Step::End } else { Step::Short };
        }
        let start = Start { line: self.line, at: self.at };
        let end = loop {
            match self.field(start, fields, findings) {
                End::Delimiter if fields.len() < self.fields_max => {}
                End::Delimiter => {
                    let detail = format!("more than {} fields in a row", self.fields_max);
                    break self.fault(start, self.at, Kind::TooManyColumns, detail, findings);
                }
                end => break end,
            }
        };
        if self.short.get() {
            (self.at, self.line) = (start.at, start.line);
            return Step::Short;
        }
        if matches!(end, End::Fault) {
            return Step::Nothing;
        }
        if let [only] = fields.as_slice()
            && only.text.chars().all(|c| c == ' ')
            && !self.text[start.at..].starts_with('"')
        {
            findings.note(NoteKind::BlankLine, || Place { line: start.line, column: 1 });
            return Step::Nothing;
        }
        Step::Record(start)
    }

    fn stand(&self) -> (usize, u64) {
        (self.at, self.line)
    }
}

/// The value of a quoted field: doubled quotes become one, every line break becomes a line feed.
fn unquote(raw: &str, doubled: bool, broken: bool) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(raw);
    if doubled {
        text = Cow::Owned(text.replace("\"\"", "\""));
    }
    if broken {
        text = Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"));
    }
    text
}

/// The place of an offset at or behind a known start of a line.
pub(crate) fn place_from(text: &str, start: Start, at: usize) -> Place {
    let between = &text[start.at..at];
    let line = start.line + between.bytes().filter(|b| *b == b'\n').count() as u64;
    let column = 1 + between[between.rfind('\n').map_or(0, |n| n + 1)..].chars().count() as u64;
    Place { line, column }
}

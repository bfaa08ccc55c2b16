//! JSON lines: one flat object a line, with the exact place of everything.
//!
//! Strings, numbers, booleans and null; a nested value is no field of a table. Numbers keep their digits as written and are
//! marked, so that a code is never taken from one. Columns are all names of the file in the order in which they first appear;
//! a line that lacks one has an empty field there.

use crate::characters;
use crate::format::{At, Step, Steps};
use crate::header::NAME_LEN_MAX;
use crate::import::Options;
use crate::problem::{Findings, Kind, NoteKind, Place, shown};
use crate::scan::{Field, Start, place_from};
use eport_catalog::{COLUMNS_MAX, FIELD_LEN_MAX};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is wrong with a line, and where.
struct Fault {
    at: usize,
    kind: Kind,
    detail: String,
}

fn fault<T>(at: usize, kind: Kind, detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, kind, detail: detail.into() })
}

/// A name and its value inside a line.
struct Member<'t> {
    name: Cow<'t, str>,
    name_at: usize,
    value: Field<'t>,
}

/// Reads the members of one object.
struct Line<'t> {
    text: &'t str,
    at: usize,
    field_len_max: usize,
}

impl<'t> Line<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        self.blanks();
        if self.peek() != Some(byte) {
            return fault(self.at, Kind::BadJson, format!("`{}` is expected here", char::from(byte)));
        }
        self.at += 1;
        Ok(())
    }

    /// The members of the object that is this line, into `members`.
    fn members(&mut self, members: &mut Vec<Member<'t>>, names_max: usize) -> Result<(), Fault> {
        self.expect(b'{')?;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.blanks();
                let name_at = self.at;
                let name = self.string()?;
                self.expect(b':')?;
                self.blanks();
                let value = self.value()?;
                if members.len() >= names_max {
                    return fault(name_at, Kind::TooManyColumns, format!("more than {names_max} members"));
                }
                members.push(Member { name, name_at, value });
                self.blanks();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => {
                        self.at += 1;
                        break;
                    }
                    _ => return fault(self.at, Kind::BadJson, "`,` or `}` is expected here"),
                }
            }
        }
        self.blanks();
        match self.peek() {
            None | Some(b'\n') => Ok(()),
            Some(_) => fault(self.at, Kind::BadJson, "characters behind the object"),
        }
    }

    fn value(&mut self) -> Result<Field<'t>, Fault> {
        let at = self.at;
        let rest = &self.text[at..];
        let number = matches!(self.peek(), Some(b'-' | b'0'..=b'9'));
        let text = match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{' | b'[') => {
                return fault(at, Kind::NestedValue, "an object or a list is no field of a table");
            }
            Some(b't') if rest.starts_with("true") => self.word("true"),
            Some(b'f') if rest.starts_with("false") => self.word("false"),
            Some(b'n') if rest.starts_with("null") => {
                self.word("null");
                Cow::Borrowed("")
            }
            _ if number => self.number()?,
            _ => return fault(at, Kind::BadJson, "a value is expected here"),
        };
        if text.len() > self.field_len_max {
            return fault(
                at,
                Kind::FieldTooLong,
                format!("a field has more than {} bytes", self.field_len_max),
            );
        }
        Ok(Field { text, at, number })
    }

    fn word(&mut self, word: &'static str) -> Cow<'t, str> {
        self.at += word.len();
        Cow::Borrowed(word)
    }

    fn number(&mut self) -> Result<Cow<'t, str>, Fault> {
        let at = self.at;
        let bytes = self.text.as_bytes();
        let end =
            bytes[at..].iter().position(|b| !matches!(b, b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E'));
        let end = end.map_or(bytes.len(), |n| at + n);
        let text = &self.text[at..end];
        // The grammar of JSON: no leading zero, no bare point.
        if serde_json::from_str::<serde_json::Number>(text).is_err() {
            return fault(at, Kind::BadJson, format!("{} is no number of JSON", shown(text)));
        }
        self.at = end;
        Ok(Cow::Borrowed(text))
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Fault> {
        let open = self.at;
        if self.peek() != Some(b'"') {
            return fault(open, Kind::BadJson, "a name or text in quotes is expected here");
        }
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (open + 1, false);
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                None | Some(b'\n') => {
                    return fault(open, Kind::UnterminatedQuote, "the quote that opens here is never closed");
                }
                Some(_) => at += 1,
            }
        }
        let raw = &self.text[open..=at];
        self.at = at + 1;
        if !escaped {
            return Ok(Cow::Borrowed(&raw[1..raw.len() - 1]));
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(e) => fault(open, Kind::BadJson, format!("the text in quotes: {e}")),
        }
    }
}

/// The columns of a file: all names in the order in which they first appear.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Names {
    /// Takes up the names of the whole lines of a text; answers the bytes looked at. Faults are reported when the rows are read.
    pub(crate) fn collect(&mut self, text: &str, last: bool, options: &Options) -> usize {
        let field_len_max = options.limits.field_bytes.min(FIELD_LEN_MAX);
        let (mut at, mut members) = (0, Vec::new());
        while at < text.len() {
            let Some(end) = end_of_line(text, at, last) else { break };
            members.clear();
            let mut line = Line { text: &text[..end], at, field_len_max };
            let _ = line.members(&mut members, COLUMNS_MAX + 1);
            for member in members.drain(..) {
                // Longer than a name may be: its row is a fault when rows are read.
                if member.name.len() > NAME_LEN_MAX {
                    continue;
                }
                if self.names.len() <= COLUMNS_MAX && !self.places.contains_key(member.name.as_ref()) {
                    self.places.insert(member.name.clone().into_owned(), self.names.len());
                    self.names.push(member.name.into_owned());
                }
            }
            at = end;
        }
        at
    }
}

/// Walks the objects of a text.
pub(crate) struct JsonLines<'t> {
    text: &'t str,
    last: bool,
    at: usize,
    line: u64,
    names: Arc<Names>,
    field_len_max: usize,
    /// Whether control characters are faults wherever they stand; else they are judged column by column.
    controls: bool,
}

impl<'t> JsonLines<'t> {
    /// Reads a part of a file that begins with this line; `last`: the file ends with it.
    pub(crate) fn new(text: &'t str, line: u64, last: bool, names: Arc<Names>, options: &Options) -> Self {
        let field_len_max = options.limits.field_bytes.min(FIELD_LEN_MAX);
        let controls = !options.mapping.drops_controls();
        JsonLines { text, last, at: 0, line, names, field_len_max, controls }
    }
}

/// Offset behind the line in which `at` stands; `None` when it goes on elsewhere.
fn end_of_line(text: &str, at: usize, last: bool) -> Option<usize> {
    let at = at.min(text.len());
    let end = text.as_bytes()[at..].iter().position(|b| *b == b'\n').map(|n| at + n + 1);
    end.or(last.then_some(text.len()))
}

impl At for JsonLines<'_> {
    fn place(&self, start: Start, at: usize) -> Place {
        // Fields of the header stand nowhere in particular.
        place_from(self.text, start, at.max(start.at))
    }
}

impl<'t> Steps<'t> for JsonLines<'t> {
    fn step(&mut self, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> Step {
        fields.clear();
        if self.at >= self.text.len() {
            return if self.last { Step::End } else { Step::Short };
        }
        let Some(behind) = end_of_line(self.text, self.at, self.last) else { return Step::Short };
        let mut members = Vec::new();
        let start = Start { line: self.line, at: self.at };
        let mut line = Line { text: self.text, at: self.at, field_len_max: self.field_len_max };
        line.blanks();
        let blank = matches!(line.peek(), None | Some(b'\n'));
        let read = if blank { Ok(()) } else { line.members(&mut members, COLUMNS_MAX + 1) };
        let reached = line.at;
        if self.text[self.at..behind].ends_with("\r\n") {
            findings.note(NoteKind::CrLf, || place_from(self.text, start, behind - 2));
        }
        (self.at, self.line) = (behind, self.line + 1);
        if blank {
            findings.note(NoteKind::BlankLine, || Place { line: start.line, column: 1 });
            return Step::Nothing;
        }
        match read.and_then(|()| self.arrange(&mut members, start, reached, fields, findings)) {
            Ok(()) => Step::Record(start),
            Err(f) => {
                findings.problem(place_from(self.text, start, f.at), f.kind, None, f.detail);
                Step::Nothing
            }
        }
    }

    fn stand(&self) -> (usize, u64) {
        (self.at, self.line)
    }
}

impl<'t> JsonLines<'t> {
    /// Puts members into the order of the columns and looks at their characters.
    fn arrange(
        &self,
        members: &mut Vec<Member<'t>>,
        start: Start,
        end: usize,
        fields: &mut Vec<Field<'t>>,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let end = end.min(self.text.len());
        fields.extend((0..self.names.names.len()).map(|_| Field {
            text: Cow::Borrowed(""),
            at: end,
            number: false,
        }));
        let mut seen = vec![false; fields.len()];
        for member in members.drain(..) {
            let Some(place) = self.names.places.get(member.name.as_ref()).copied() else {
                if member.name.len() > NAME_LEN_MAX {
                    let detail = format!("a name of more than {NAME_LEN_MAX} bytes: {}", shown(&member.name));
                    return fault(member.name_at, Kind::BadColumnName, detail);
                }
                return fault(member.name_at, Kind::TooManyColumns, format!("more than {COLUMNS_MAX} names"));
            };
            if std::mem::replace(&mut seen[place], true) {
                return fault(member.name_at, Kind::BadJson, format!("{} stands twice", shown(&member.name)));
            }
            // Characters as they stand are looked at in the whole text; here those that escapes have made.
            if matches!(member.value.text, Cow::Owned(_)) {
                characters::check_field(&member.value.text, self.controls, findings, || {
                    place_from(self.text, start, member.value.at)
                });
            }
            fields[place] = member.value;
        }
        Ok(())
    }
}

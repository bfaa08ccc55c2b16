//! Characters that no table may hold, and what a code may look like.

use crate::problem::{Findings, Kind, NoteKind, Place, shown};

/// Watches the characters of a text that comes in pieces: reports NULs, control characters and replacement characters. Line ends
/// belong to the scanner. After a bad byte the text holds replacement characters of our own, which are not reported.
pub(crate) struct Watch {
    /// None: nothing is reported, and places are not counted.
    judges: Option<Judges>,
    /// Of the next character.
    place: Place,
    /// Replacement characters reported.
    replaced: u64,
}

/// What is judged in a text as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Judges {
    /// A tab is allowed only as the delimiter.
    pub(crate) delimiter: u8,
    /// Without it control characters are left to [`clean`].
    pub(crate) controls: bool,
}

impl Watch {
    pub(crate) fn new(judges: Option<Judges>) -> Self {
        Watch { judges, place: Place { line: 1, column: 1 }, replaced: 0 }
    }

    /// Takes the next part of the text.
    pub(crate) fn see(&mut self, text: &str, decoded_badly: bool, findings: &mut Findings) {
        let Some(judges) = self.judges else { return };
        let delimiter = judges.delimiter;
        let suspicious = |b: u8| {
            (b < 0x20 && b != delimiter && b != b'\n' && b != b'\r') || b == 0x7F || b == 0xC2 || b == 0xEF
        };
        for piece in text.split_inclusive('\n') {
            if piece.bytes().any(suspicious) {
                for (n, c) in piece.chars().enumerate() {
                    let at = Place { line: self.place.line, column: self.place.column + n as u64 };
                    self.judge(c, at, (judges, decoded_badly), findings);
                }
            }
            match piece.ends_with('\n') {
                true => self.place = Place { line: self.place.line + 1, column: 1 },
                false => self.place.column += piece.chars().count() as u64,
            }
        }
    }

    fn judge(&mut self, c: char, at: Place, (judges, bad): (Judges, bool), findings: &mut Findings) {
        let code = u32::from(c);
        match c {
            '\r' | '\n' => {}
            _ if code == u32::from(judges.delimiter) => {}
            '\0' => findings.problem(at, Kind::Nul, None, "a NUL character".to_owned()),
            '\u{FFFD}' if bad => {}
            '\u{FFFD}' => {
                self.replaced += 1;
                let detail = "U+FFFD: the text was damaged before it came here".to_owned();
                findings.problem(at, Kind::ReplacementCharacter, None, detail);
            }
            c if c.is_control() && judges.controls => {
                findings.problem(at, Kind::ControlCharacter, None, format!("control character U+{code:04X}"));
            }
            _ => {}
        }
    }

    /// The place behind a part of the text that it has not seen yet.
    pub(crate) fn place_behind(&self, part: &str) -> Place {
        let breaks = part.bytes().filter(|b| *b == b'\n').count() as u64;
        let last = part[part.rfind('\n').map_or(0, |n| n + 1)..].chars().count() as u64;
        let column = if breaks == 0 { self.place.column + last } else { 1 + last };
        Place { line: self.place.line + breaks, column }
    }

    /// The text is at its end; `decoded_badly`: some byte of it did not fit.
    pub(crate) fn end(&self, decoded_badly: bool, findings: &mut Findings) {
        if decoded_badly && self.replaced > 0 {
            findings.problems.retain(|p| p.kind != Kind::ReplacementCharacter);
            findings.found -= self.replaced.min(findings.found);
        }
    }
}

/// A control character of a value. NULs are another kind of fault, line feeds are allowed; so is what may stand between fields.
fn is_control_of(c: char, delimiter: u8) -> bool {
    c.is_control() && !matches!(c, '\0' | '\n') && u32::from(c) != u32::from(delimiter)
}

/// Judges the control characters of a value: left out and counted in a column that drops them, else a problem.
pub(crate) fn clean(
    text: &mut std::borrow::Cow<'_, str>,
    delimiter: u8,
    drop: bool,
    findings: &mut Findings,
    at: impl Fn() -> (Place, Option<String>),
) {
    if text.bytes().all(|b| b >= 0x20 && b != 0x7F && b != 0xC2) {
        return;
    }
    let mut kept = String::new();
    let mut dropped = 0u64;
    for c in text.chars() {
        if !is_control_of(c, delimiter) {
            kept.push(c);
        } else if drop {
            dropped += 1;
            findings.note(NoteKind::DroppedControl, || at().0);
        } else {
            let (place, field) = at();
            let detail = format!("control character U+{:04X} in the value that begins here", u32::from(c));
            findings.problem(place, Kind::ControlCharacter, field.as_deref(), detail);
        }
    }
    if dropped > 0 {
        *text = std::borrow::Cow::Owned(kept);
    }
}

/// The same as [`Watch`] for one value whose reader knows its place. Line feeds are allowed.
pub(crate) fn check_field(text: &str, controls: bool, findings: &mut Findings, at: impl Fn() -> Place) {
    if text.bytes().all(|b| b >= 0x20 && b != 0x7F && b != 0xC2 && b != 0xEF) {
        return;
    }
    for c in text.chars() {
        match c {
            '\n' => {}
            '\0' => findings.problem(at(), Kind::Nul, None, "a NUL character".to_owned()),
            '\u{FFFD}' => {
                let detail = "U+FFFD: the text was damaged before it came here".to_owned();
                findings.problem(at(), Kind::ReplacementCharacter, None, detail);
            }
            c if c.is_control() && controls => {
                let detail = format!("control character U+{:04X}", u32::from(c));
                findings.problem(at(), Kind::ControlCharacter, None, detail);
            }
            _ => continue,
        }
    }
}

/// What is wrong with the value of a key column, if anything.
pub(crate) fn check_key(value: &str) -> Option<(Kind, String)> {
    if value.is_empty() {
        return Some((Kind::EmptyKey, "a key column has no value".to_owned()));
    }
    if value.bytes().all(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let full_width = |c: char| ('\u{FF01}'..='\u{FF5E}').contains(&c) || c == '\u{3000}';
    if value.chars().any(full_width) {
        let half: String = value.chars().map(half_width).collect();
        return Some((
            Kind::FullWidthKey,
            format!("{} has full-width characters; {} is meant", shown(value), shown(&half)),
        ));
    }
    let invisible =
        |c: char| matches!(c, '\u{A0}' | '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}');
    if value.trim() != value || value.chars().any(invisible) {
        return Some((
            Kind::BlankInKey,
            format!("{} has blanks at its ends or invisible characters", shown(value)),
        ));
    }
    is_float(value).then(|| {
        (Kind::FloatCode, format!("{} looks like a code that a spreadsheet read as a number", shown(value)))
    })
}

fn half_width(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        c => c,
    }
}

/// `123.0`, `1.5E7` or `1E+05`. A bare `1E5` may be a true code: spreadsheets always write the sign.
fn is_float(value: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match value.split_once(['E', 'e']) {
        Some((m, e)) => (m, Some(e)),
        None => (value, None),
    };
    let signed = exponent.is_some_and(|e| e.starts_with(['+', '-']));
    let exponent_fits = exponent.is_none_or(|e| digits(e.trim_start_matches(['+', '-'])));
    match mantissa.split_once('.') {
        Some((whole, fraction)) if exponent.is_some() => digits(whole) && digits(fraction) && exponent_fits,
        Some((whole, fraction)) => {
            digits(whole) && !fraction.is_empty() && fraction.bytes().all(|b| b == b'0')
        }
        None => digits(mantissa) && signed && exponent_fits,
    }
}

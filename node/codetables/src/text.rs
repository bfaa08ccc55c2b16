//! From the bytes of a file to text in the declared encoding, piece by piece, with every character looked at on the way.
//!
//! Nothing is guessed: the first byte that does not fit is named by offset, line and column; the text then holds U+FFFD there, so that
//! the rest can still be checked. Memory: a piece, and what its caller keeps.

use crate::characters::Watch;
use crate::encoding::Encoding;
use crate::problem::{Findings, Kind, NoteKind, Place, Problem};
use encoding_rs::{Decoder, DecoderResult, GB18030, WINDOWS_1252};
use std::io::{self, Read};

/// Bytes of a piece.
const PIECE_LEN: usize = 1 << 20;
/// Bytes kept behind: a fault may begin in the piece before.
const BEHIND: usize = 16;
const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// A file on its way to text.
pub(crate) struct Text<'s> {
    input: Box<dyn Read + Send + 's>,
    encoding: Encoding,
    decoder: Decoder,
    /// Bytes of the file from `offset` on; those before `at` are text already.
    raw: Vec<u8>,
    at: usize,
    offset: u64,
    begun: bool,
    ended: bool,
    /// Nothing of it can be read.
    unreadable: bool,
    /// A byte did not fit.
    bad: bool,
    /// Where this piece begins in what is put out.
    piece: usize,
    watch: Watch,
}

impl<'s> Text<'s> {
    /// Begins with a file. With `watch` characters are judged; a second walk needs none.
    pub(crate) fn new(input: Box<dyn Read + Send + 's>, encoding: Encoding, watch: Watch) -> Self {
        let decoder = GB18030.new_decoder_without_bom_handling();
        let (raw, at, offset) = (Vec::new(), 0, 0);
        Text {
            input,
            encoding,
            decoder,
            raw,
            at,
            offset,
            begun: false,
            ended: false,
            unreadable: false,
            bad: false,
            piece: 0,
            watch,
        }
    }

    /// Appends the next piece. False: the file ends behind it.
    pub(crate) fn more(&mut self, out: &mut String, findings: &mut Findings) -> io::Result<bool> {
        let from = out.len();
        self.piece = from;
        self.fill()?;
        if !self.begun {
            self.begun = true;
            if !self.begin(findings) {
                self.unreadable = true;
                return Ok(false);
            }
        }
        match self.encoding {
            Encoding::Utf8 => self.utf8(out, findings),
            Encoding::Gb18030 => self.gb18030(out, findings),
            Encoding::Windows1252 => self.windows_1252(out, findings),
        }
        self.watch.see(&out[from..], self.bad, findings);
        if self.ended {
            self.watch.end(self.bad, findings);
        }
        Ok(!self.ended)
    }

    /// True when nothing of this file can be read; the problem that says why was found.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable
    }

    /// Reads a piece behind what is left of the one before.
    fn fill(&mut self) -> io::Result<()> {
        let gone = self.at.saturating_sub(BEHIND);
        self.raw.drain(..gone);
        self.at -= gone;
        self.offset += gone as u64;
        let read = self.input.by_ref().take(PIECE_LEN as u64).read_to_end(&mut self.raw)?;
        self.ended = read < PIECE_LEN;
        Ok(())
    }

    /// Byte-order marks. False: nothing of this file can be read.
    fn begin(&mut self, findings: &mut Findings) -> bool {
        let start = Place { line: 1, column: 1 };
        let encoding = self.encoding;
        if self.raw.starts_with(UTF8_BOM) {
            self.at = UTF8_BOM.len();
            findings.note(NoteKind::ByteOrderMark, || start);
            if encoding != Encoding::Utf8 {
                let detail =
                    format!("the file begins with the byte-order mark of UTF-8, but {encoding} is declared");
                self.bad = true;
                name(findings, start, 0, detail);
            }
        } else if self.raw.starts_with(b"\xFF\xFE") || self.raw.starts_with(b"\xFE\xFF") {
            let detail =
                format!("the file begins with the byte-order mark of UTF-16, but {encoding} is declared");
            name(findings, start, 0, detail);
            return false;
        }
        true
    }

    fn utf8(&mut self, out: &mut String, findings: &mut Findings) {
        while self.at < self.raw.len() {
            let rest = &self.raw[self.at..];
            let fault = match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    self.at = self.raw.len();
                    return;
                }
                Err(fault) => fault,
            };
            let (good, bad) = rest.split_at(fault.valid_up_to());
            out.push_str(&String::from_utf8_lossy(good));
            self.at += good.len();
            let len = match fault.error_len() {
                Some(len) => len,
                // Cut by the piece, not by the file.
                None if !self.ended => return,
                None => bad.len(),
            };
            self.fault(self.at, out, findings);
            self.at += len;
            out.push('\u{FFFD}');
        }
    }

    fn gb18030(&mut self, out: &mut String, findings: &mut Findings) {
        let first = self.offset == 0 && out.is_empty();
        loop {
            out.reserve(2 * (self.raw.len() - self.at) + 64);
            let (result, read) =
                self.decoder.decode_to_string_without_replacement(&self.raw[self.at..], out, self.ended);
            self.at += read;
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(len, behind) => {
                    self.fault(self.at.saturating_sub(usize::from(len) + usize::from(behind)), out, findings);
                    out.push('\u{FFFD}');
                }
            }
        }
        // The byte-order mark as GB 18030 writes it.
        if first && out.starts_with('\u{FEFF}') {
            findings.note(NoteKind::ByteOrderMark, || Place { line: 1, column: 1 });
            out.drain(..'\u{FEFF}'.len_utf8());
        }
    }

    /// Code page 1252 has five bytes without a character. The web's decoder passes them as controls; here they are errors.
    fn windows_1252(&mut self, out: &mut String, findings: &mut Findings) {
        let undefined = |b: &u8| matches!(b, 0x81 | 0x8D | 0x8F | 0x90 | 0x9D);
        while self.at < self.raw.len() {
            let rest = &self.raw[self.at..];
            let good = rest.iter().position(undefined).unwrap_or(rest.len());
            out.push_str(&WINDOWS_1252.decode_without_bom_handling(&rest[..good]).0);
            self.at += good;
            if self.at < self.raw.len() {
                self.fault(self.at, out, findings);
                out.push('\u{FFFD}');
                self.at += 1;
            }
        }
    }

    /// Names the first byte that does not fit; `out` ends in front of it.
    fn fault(&mut self, at: usize, out: &str, findings: &mut Findings) {
        if std::mem::replace(&mut self.bad, true) {
            return;
        }
        // What was put out in this piece is not behind the watch yet.
        let place = self.watch.place_behind(&out[self.piece.min(out.len())..]);
        let offset = self.offset + at as u64;
        let shown: Vec<String> = self.raw[at..].iter().take(4).map(|b| format!("{b:02X}")).collect();
        name(findings, place, offset, format!("byte {offset} is not {}: {}", self.encoding, shown.join(" ")));
    }
}

fn name(findings: &mut Findings, at: Place, offset: u64, detail: String) {
    let Place { line, column } = at;
    let (kind, field, offset) = (Kind::Encoding, None, Some(offset));
    findings.foremost(Problem { line, column, kind, detail, field, offset });
}

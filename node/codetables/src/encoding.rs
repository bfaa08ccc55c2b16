//! From bytes to text in the declared encoding. Nothing is guessed: the first byte that does not fit is named.

use crate::problem::{Findings, Kind, NoteKind, Place};
use encoding_rs::{DecoderResult, GB18030, WINDOWS_1252};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An encoding a file may be declared to have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte-order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// GB 18030, which contains GBK and GB 2312.
    #[serde(rename = "gb18030")]
    Gb18030,
    /// Windows code page 1252.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl FromStr for Encoding {
    type Err = eport_identity::ParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Encoding::Utf8),
            "gb18030" | "gbk" | "gb2312" => Ok(Encoding::Gb18030),
            "windows-1252" | "cp1252" => Ok(Encoding::Windows1252),
            _ => Err(eport_identity::ParseError {
                what: "encoding",
                input: s.chars().take(64).collect(),
                reason: "utf-8, gb18030 or windows-1252 is needed",
            }),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Gb18030 => "gb18030",
            Encoding::Windows1252 => "windows-1252",
        })
    }
}

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// Decodes a file. A bad byte is one problem; the text then holds U+FFFD there, so that the rest can still be checked.
pub(crate) fn decode<'a>(bytes: &'a [u8], encoding: Encoding, findings: &mut Findings) -> Cow<'a, str> {
    let start = Place { line: 1, column: 1 };
    let body = bytes.strip_prefix(UTF8_BOM);
    if body.is_some() {
        findings.note(NoteKind::ByteOrderMark, || start);
        if encoding != Encoding::Utf8 {
            let detail =
                format!("the file begins with the byte-order mark of UTF-8, but {encoding} is declared");
            bad(findings, start, 0, detail);
        }
    } else if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        bad(
            findings,
            start,
            0,
            format!("the file begins with the byte-order mark of UTF-16, but {encoding} is declared"),
        );
        return Cow::Borrowed("");
    }
    let skipped = bytes.len() - body.unwrap_or(bytes).len();
    let body = body.unwrap_or(bytes);
    let text = match encoding {
        Encoding::Utf8 => Cow::Borrowed(body),
        Encoding::Gb18030 => return strip_mark(with_decoder(body, skipped, findings), findings),
        Encoding::Windows1252 => return windows_1252(body, skipped, findings),
    };
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(e) => {
            let at = e.valid_up_to();
            let (good, rest) = body.split_at(at);
            report(findings, &String::from_utf8_lossy(good), at + skipped, rest, encoding);
            Cow::Owned(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

/// The byte-order mark as GB 18030 writes it.
fn strip_mark<'a>(text: Cow<'a, str>, findings: &mut Findings) -> Cow<'a, str> {
    match text.strip_prefix('\u{FEFF}') {
        Some(rest) => {
            findings.note(NoteKind::ByteOrderMark, || Place { line: 1, column: 1 });
            Cow::Owned(rest.to_owned())
        }
        None => text,
    }
}

fn with_decoder<'a>(body: &'a [u8], skipped: usize, findings: &mut Findings) -> Cow<'a, str> {
    let mut decoder = GB18030.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(body.len() + body.len() / 2 + 16);
    let (mut at, mut reported) = (0, false);
    loop {
        let (result, read) = decoder.decode_to_string_without_replacement(&body[at..], &mut text, true);
        at += read;
        match result {
            DecoderResult::InputEmpty => return Cow::Owned(text),
            DecoderResult::OutputFull => text.reserve(body.len() - at + 64),
            DecoderResult::Malformed(len, behind) => {
                let first = at.saturating_sub(usize::from(len) + usize::from(behind));
                if !reported {
                    report(findings, &text, first + skipped, &body[first..], Encoding::Gb18030);
                    reported = true;
                }
                text.push('\u{FFFD}');
                text.reserve(body.len() - at + 64);
            }
        }
    }
}

/// Code page 1252 has five bytes without a character. The web's decoder passes them as controls; here they are errors.
fn windows_1252<'a>(body: &'a [u8], skipped: usize, findings: &mut Findings) -> Cow<'a, str> {
    let undefined = body.iter().position(|b| matches!(b, 0x81 | 0x8D | 0x8F | 0x90 | 0x9D));
    if let Some(at) = undefined {
        let (good, _) = WINDOWS_1252.decode_without_bom_handling(&body[..at]);
        report(findings, &good, at + skipped, &body[at..], Encoding::Windows1252);
        let (text, _) = WINDOWS_1252.decode_without_bom_handling(body);
        let put = |c| {
            if matches!(c, '\u{81}' | '\u{8D}' | '\u{8F}' | '\u{90}' | '\u{9D}') { '\u{FFFD}' } else { c }
        };
        return Cow::Owned(text.chars().map(put).collect());
    }
    WINDOWS_1252.decode_without_bom_handling(body).0
}

fn report(findings: &mut Findings, good: &str, offset: usize, rest: &[u8], encoding: Encoding) {
    let line = 1 + good.bytes().filter(|b| *b == b'\n').count() as u64;
    let column = 1 + good[good.rfind('\n').map_or(0, |n| n + 1)..].chars().count() as u64;
    let shown: Vec<String> = rest.iter().take(4).map(|b| format!("{b:02X}")).collect();
    let detail = format!("byte {offset} is not {encoding}: {}", shown.join(" "));
    bad(findings, Place { line, column }, offset, detail);
}

fn bad(findings: &mut Findings, at: Place, offset: usize, detail: String) {
    findings.problem(at, Kind::Encoding, None, detail);
    if let Some(last) = findings.problems.last_mut() {
        last.offset = Some(offset as u64);
    }
}

//! Strict JSON: parsed once into borrowed nodes, written in the canonical form of RFC 8785.
//!
//! What always holds: no object has a key twice, every integer fits the 53 bits that RFC 8785 can print exactly, nesting is at
//! most `DEPTH_MAX`, and nothing is allocated beyond the input's size. Any other number is kept only as a mark that one stood
//! there, so that a refusal can list it among the other failures: no field type accepts it (decimals travel as strings).

use crate::{classes, parse};
use std::borrow::Cow;

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 16;

/// Largest integer with an exact canonical form: 2^53 − 1.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A JSON value that borrows its text from the input where it can.
#[derive(Clone, PartialEq, Debug)]
pub enum Node<'a> {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number within ±(2^53 − 1).
    Integer(i64),
    /// A number that is no such integer: a fraction, an exponent, too many digits. Never accepted, so it has no canonical form.
    Inexact,
    /// Text. Borrowed only where the input had no escape in it: then none is needed to write it.
    Text(Cow<'a, str>),
    /// Values in order.
    List(Vec<Node<'a>>),
    /// Members in the order of the input; no key twice.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Why bytes are not strict JSON. The message names line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);

impl<'a> Node<'a> {
    /// Parses a whole input.
    pub fn parse(input: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(input)
            .map_err(|e| JsonError(format!("byte {} is not UTF-8", e.valid_up_to() + 1)))?;
        parse::parse(text)
    }

    /// The kind, as messages name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Integer(_) => "a number",
            Node::Inexact => "a number with a fraction, an exponent or too many digits",
            Node::Text(_) => "a string",
            Node::List(_) => "an array",
            Node::Object(_) => "an object",
        }
    }

    /// Appends the canonical form (RFC 8785): members sorted by UTF-16 code units, shortest escapes, no white space.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        match self {
            Node::Null | Node::Inexact => out.extend_from_slice(b"null"),
            Node::Bool(true) => out.extend_from_slice(b"true"),
            Node::Bool(false) => out.extend_from_slice(b"false"),
            Node::Integer(n) => write_integer(*n, out),
            Node::Text(Cow::Borrowed(s)) => write_plain(s, out),
            Node::Text(Cow::Owned(s)) => write_text(s, out),
            Node::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write_canonical(out);
                }
                out.push(b']');
            }
            Node::Object(members) => write_object(members, out),
        }
    }
}

fn write_object(members: &[(Cow<'_, str>, Node<'_>)], out: &mut Vec<u8>) {
    let mut order: Vec<&(Cow<'_, str>, Node<'_>)> = members.iter().collect();
    // ASCII keys compare alike as bytes and as UTF-16; others differ above the surrogates.
    if members.iter().all(|(k, _)| k.is_ascii()) {
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    } else {
        order.sort_unstable_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
    }
    out.push(b'{');
    for (i, (key, value)) in order.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        value.write_canonical(out);
    }
    out.push(b'}');
}

fn write_integer(n: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_plain(s: &str, out: &mut Vec<u8>) {
    out.reserve(s.len() + 2);
    out.push(b'"');
    out.extend_from_slice(s.as_bytes());
    out.push(b'"');
}

fn write_text(s: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if classes::of(s) & classes::ESCAPED == 0 {
        return write_plain(s, out);
    }
    let bytes = s.as_bytes();
    out.push(b'"');
    let mut plain = 0;
    for (i, b) in bytes.iter().enumerate() {
        let short = match b {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..i]);
        plain = i + 1;
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(input: &str) -> String {
        let mut out = Vec::new();
        Node::parse(input.as_bytes()).unwrap().write_canonical(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_canonical_form_is_that_of_rfc_8785() {
        assert_eq!(
            canonical(r#" { "b" : [ 1 , -2, 0 ] , "a" : null, "c":{"z":true,"y":false} } "#),
            r#"{"a":null,"b":[1,-2,0],"c":{"y":false,"z":true}}"#
        );
        // The sorting example of RFC 8785 §3.2.3 (without its fractions): UTF-16 order puts the emoji before U+FB33.
        let sorted = canonical(
            "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
        );
        assert_eq!(sorted, "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}");
        assert_eq!(canonical(r#"["\u0041\/\u000f\n\"\\\u00e9"]"#), r#"["A/\u000f\n\"\\é"]"#);
        let once = canonical(r#"{"运抵":"报告","x":9007199254740991}"#);
        assert_eq!(canonical(&once), once);
    }

    #[test]
    fn what_json_libraries_disagree_about_is_refused() {
        for bad in [
            "",
            "{",
            "{}{}",
            "[1,]",
            "nan",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            "\"\\ud800\"",
            "01",
            "'a'",
            "[\"\u{1}\"]",
        ] {
            assert!(Node::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Node::parse(b"\"\xff\"").is_err());
        for inexact in ["1.0", "1e3", "-0", "9007199254740992", "-9007199254740992", "18446744073709551616"] {
            assert_eq!(Node::parse(inexact.as_bytes()), Ok(Node::Inexact), "{inexact}");
        }
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Node::parse(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert!(Node::parse(deep(DEPTH_MAX + 1).as_bytes()).unwrap_err().0.contains("deeper than 16"));
        assert!(Node::parse(deep(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_repeated_member_is_found_among_many() {
        let members: Vec<String> = (0..1000).map(|i| format!("\"k{i}\":0")).collect();
        assert!(Node::parse(format!("{{{}}}", members.join(",")).as_bytes()).is_ok());
        assert!(Node::parse(format!("{{{},\"k999\":1}}", members.join(",")).as_bytes()).is_err());
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let Node::List(items) = Node::parse(br#"["plain","with\nescape"]"#).unwrap() else {
            panic!("a list")
        };
        assert!(matches!(&items[0], Node::Text(Cow::Borrowed("plain"))));
        assert!(matches!(&items[1], Node::Text(Cow::Owned(_))));
    }
}

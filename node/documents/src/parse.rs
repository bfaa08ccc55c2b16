//! Reads strict JSON (RFC 8259) into borrowed nodes.
//!
//! A reader of its own, because it runs over every byte of every document: through a general deserializer this step took a
//! sixth of what a document costs (decision 0017). What it accepts and refuses is held against `serde_json` by a test.
//!
//! Always holds: every text borrows from the input unless it has an escape; nothing is allocated beyond a fixed multiple of
//! the input; nesting is bounded, so the stack is.

use crate::classes;
use crate::json::{DEPTH_MAX, INTEGER_MAX, JsonError, Node};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Items and members there is room for from the start, at most.
const ITEMS_ROOM: usize = 1_024;

type Member<'a> = (Cow<'a, str>, Node<'a>);

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<Node<'_>, JsonError> {
    // Room for what a document of this length usually holds, so that neither list grows step by step.
    let (items, members) = (text.len() / 16, text.len() / 64);
    let mut reader = Reader {
        text,
        at: 0,
        items: Vec::with_capacity(items.min(ITEMS_ROOM)),
        members: Vec::with_capacity(members.clamp(16, ITEMS_ROOM)),
    };
    reader.space();
    let node = reader.value(0)?;
    reader.space();
    match reader.at == text.len() {
        true => Ok(node),
        false => reader.fail("something follows the value"),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Items and members of the lists and objects that are open; each takes its own when it ends, with one allocation.
    items: Vec<Node<'a>>,
    members: Vec<Member<'a>>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn fail<T>(&self, what: &str) -> Result<T, JsonError> {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
        Err(JsonError(format!("{what}, line {line} column {column}")))
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Node::Text),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(_) => self.fail("a value is needed"),
            None => self.fail("the text ends where a value is needed"),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail("a value is needed");
        }
        self.at += word.len();
        Ok(node)
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonError> {
        match depth {
            0..DEPTH_MAX => Ok(depth + 1),
            _ => self.fail(&format!("nested deeper than {DEPTH_MAX}")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node<'a>, JsonError> {
        let depth = self.deeper(depth)?;
        let from = self.items.len();
        self.at += 1;
        self.space();
        if !self.take(b']') {
            loop {
                match self.plain() {
                    Some(text) => self.items.push(Node::Text(Cow::Borrowed(text))),
                    None => {
                        let item = self.value(depth)?;
                        self.items.push(item);
                    }
                }
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break self.at += 1,
                    _ => return self.fail("a comma or the end of the array is needed"),
                }
                self.space();
            }
        }
        Ok(Node::List(self.items.split_off(from)))
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>, JsonError> {
        let depth = self.deeper(depth)?;
        let from = self.members.len();
        let mut seen = Seen::default();
        self.at += 1;
        self.space();
        if !self.take(b'}') {
            loop {
                self.member(depth, from, &mut seen)?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return self.fail("a comma or the end of the object is needed"),
                }
                self.space();
            }
        }
        Ok(Node::Object(self.members.split_off(from)))
    }

    fn member(&mut self, depth: usize, from: usize, seen: &mut Seen) -> Result<(), JsonError> {
        let key = match self.plain() {
            Some(key) => Cow::Borrowed(key),
            None if self.peek() == Some(b'"') => self.string()?,
            None => return self.fail("the name of a member is needed"),
        };
        if seen.repeated(&self.members[from..], &key) {
            let shown: String = key.chars().take(64).collect();
            return self.fail(&format!("member {shown:?} stands twice"));
        }
        self.space();
        if !self.take(b':') {
            return self.fail("a colon is needed behind the name of a member");
        }
        self.space();
        match self.plain() {
            Some(text) => self.members.push((key, Node::Text(Cow::Borrowed(text)))),
            None => {
                let value = self.value(depth)?;
                self.members.push((key, value));
            }
        }
        Ok(())
    }

    /// A text without escapes, if one stands here. Nearly every value is one: it goes from here to its place without passing
    /// through the general ways, whose large results cost more to hand on than the text costs to read.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let from = self.at + 1;
        let rest = self.text.as_bytes().get(from..)?;
        let len = classes::plain(rest);
        if rest.get(len) != Some(&b'"') {
            return None;
        }
        self.at = from + len + 1;
        self.text.get(from..from + len)
    }

    /// A text; stands on its first quotation mark.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let from = self.at + 1;
        let plain = classes::plain(&self.text.as_bytes()[from..]);
        self.at = from + plain;
        if self.take(b'"') {
            return Ok(Cow::Borrowed(&self.text[from..from + plain]));
        }
        let mut own = self.text[from..from + plain].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(own));
                }
                Some(b'\\') => own.push(self.escape()?),
                Some(_) => return self.fail("a control character stands in a string"),
                None => return self.fail("the text ends inside a string"),
            }
            let plain = classes::plain(&self.text.as_bytes()[self.at..]);
            own.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
        }
    }

    /// An escape; stands on its stroke.
    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.fail("an escape is not known"),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.unit()?;
        let code = match first {
            0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                self.at += 1;
                match self.unit()? {
                    second @ 0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return self.fail("half of a surrogate pair stands alone"),
                }
            }
            code => code,
        };
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.fail("half of a surrogate pair stands alone"),
        }
    }

    /// Four hexadecimal digits; stands on the `u` before them.
    fn unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).unwrap_or_default();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.fail("four hexadecimal digits are needed");
        }
        self.at += 5;
        Ok(digits.iter().fold(0, |n, b| n << 4 | char::from(*b).to_digit(16).unwrap_or_default()))
    }

    fn number(&mut self) -> Result<Node<'a>, JsonError> {
        let negative = self.take(b'-');
        let from = self.at;
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            self.at = from;
            return self.fail("a number begins with a superfluous zero");
        }
        let mut exact = !(negative && whole == "0");
        if self.take(b'.') {
            self.digits()?;
            exact = false;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
            exact = false;
        }
        let n = whole.parse::<i64>().ok().filter(|n| exact && *n <= INTEGER_MAX);
        Ok(n.map_or(Node::Inexact, |n| Node::Integer(if negative { -n } else { n })))
    }

    fn digits(&mut self) -> Result<&'a str, JsonError> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { self.fail("a digit is needed") } else { Ok(&self.text[from..self.at]) }
    }
}

/// Finds repeated members: by looking through a few, by an ordered set once they are many.
#[derive(Default)]
struct Seen {
    many: Option<BTreeSet<String>>,
}

impl Seen {
    /// Above this many members a scan for each new one would cost more than a set.
    const SCAN_MAX: usize = 32;

    fn repeated(&mut self, members: &[Member<'_>], key: &str) -> bool {
        if members.len() < Self::SCAN_MAX {
            return members.iter().any(|(k, _)| k == key);
        }
        let many = self.many.get_or_insert_with(|| members.iter().map(|(k, _)| k.to_string()).collect());
        !many.insert(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use serde_json::Value;

    /// What `serde_json` makes of the same text; the last of repeated members counts there.
    fn same(node: &Node<'_>, value: &Value) -> bool {
        match (node, value) {
            (Node::Null, Value::Null) => true,
            (Node::Bool(a), Value::Bool(b)) => a == b,
            (Node::Integer(a), Value::Number(b)) => Some(*a) == b.as_i64(),
            (Node::Inexact, Value::Number(b)) => b.as_i64().is_none_or(|n| n.abs() > INTEGER_MAX),
            (Node::Text(a), Value::String(b)) => a == b,
            (Node::List(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Node::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(k, v)| b.get(k.as_ref()).is_some_and(|b| same(v, b)))
            }
            _ => false,
        }
    }

    const SEEDS: &[&str] = &[
        r#"{"doc_type":"arrival_report","doc_version":1,"body":{"c":["CSQU3054383","x"],"n":-12,"w":"18350.5"}}"#,
        "[ 1 , -2, 0, 9007199254740991, 1.5e+3, -0.25E-2, true,false , null ]\r\n",
        r#"["\u0041\/\u000f\n\"\\\u00e9\ud83d\ude00\b\f\r\t","集装箱号码","",{"":{}},[[]],"\u20ac"]"#,
    ];

    #[test]
    fn texts_are_accepted_and_refused_as_serde_json_does() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let (mut accepted, mut refused) = (0, 0);
        const BYTES: &[u8] = b"{}[]\",:\\/0123456789-+.eEtrufalsn \n\t\x01\x7f\xe9";
        for round in 0..200_000u32 {
            let mut bytes = SEEDS[round as usize % SEEDS.len()].as_bytes().to_vec();
            for _ in 0..rng.random_range(0..3) {
                let at = rng.random_range(0..bytes.len());
                let with = BYTES[rng.random_range(0..BYTES.len())];
                match rng.random_range(0..4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, with),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes[at] = with,
                }
            }
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            match (parse(text), serde_json::from_str::<Value>(text)) {
                (Ok(node), Ok(value)) => {
                    accepted += 1;
                    assert!(same(&node, &value), "{text}: {node:?}");
                }
                (Err(_), Err(_)) => refused += 1,
                // It reads a number beyond the range of its type as an error, we as a number that is not exact.
                (Ok(_), Err(e)) => assert!(e.to_string().contains("out of range"), "{text}: {e}"),
                // It keeps the last of repeated members.
                (Err(e), Ok(_)) => assert!(e.0.contains("stands twice"), "{text}: {e}"),
            }
        }
        assert!(accepted > 20_000 && refused > 20_000, "{accepted} accepted, {refused} refused");
    }

    #[test]
    fn a_refusal_names_line_and_column() {
        let at = |text: &str| parse(text).unwrap_err().0;
        assert_eq!(at("{\n  \"a\": 01\n}"), "a number begins with a superfluous zero, line 2 column 8");
        assert_eq!(at("[1,]"), "a value is needed, line 1 column 4");
        assert_eq!(at("[1"), "a comma or the end of the array is needed, line 1 column 3");
    }
}

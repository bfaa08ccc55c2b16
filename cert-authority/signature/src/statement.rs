//! The bytes that are signed: a short text that says what is asked, by whom, when, on which version, in which federation.
//!
//! ```text
//! eport-command 1
//! lineage 00112233445566778899aabbccddeeff
//! id 0123456789abcdef0123456789abcdef
//! by operator/admin
//! at 1700000000000
//! kind platform.switchover
//! version 7
//! .region 440300
//! .to gz-a-1
//! ```
//!
//! One line a field, `name value`, fields in the order of their names behind a dot, so that none can pass for a line of the
//! head. Control characters and the backslash in a value are escaped, so that a value never becomes a line of its own.

use eport_identity::{Digest, Lineage};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is asked, without who and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    kind: &'static str,
    version: Option<u64>,
    fields: BTreeMap<&'static str, String>,
}

/// Who asks, when, in which federation, under which id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    /// The federation's history: a command for one federation says nothing in another.
    pub lineage: Lineage,
    /// Id of the command; it takes effect once.
    pub id: [u8; 16],
    /// Path of the subject.
    pub by: &'a str,
    /// When it was signed, milliseconds since 1970.
    pub at_ms: i64,
}

impl Statement {
    /// A command of a kind, for example `platform.switchover`.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, version: None, fields: BTreeMap::new() }
    }

    /// The version of what is changed, as the signer saw it.
    #[must_use]
    pub fn on_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// One fact of the command.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.insert(name, value.to_string());
        self
    }

    /// The kind of command.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The fields, for people who are asked to approve.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The version of what is changed.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The bytes that are signed.
    pub fn bytes(&self, envelope: &Envelope<'_>) -> Vec<u8> {
        let mut out = String::from("eport-command 1\n");
        line(&mut out, "lineage", &envelope.lineage.to_string());
        line(&mut out, "id", &hex::encode(envelope.id));
        line(&mut out, "by", envelope.by);
        line(&mut out, "at", &envelope.at_ms.to_string());
        self.body(&mut out);
        out.into_bytes()
    }

    /// Digest of what is asked, whoever asks: what a second person confirms.
    pub fn digest(&self) -> Digest {
        digest_of(self.kind, self.version, self.fields.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn body(&self, out: &mut String) {
        body(out, self.kind, self.version, self.fields.iter().map(|(name, value)| (*name, value.as_str())));
    }
}

/// The digest of a statement that was shown part by part, fields in the order of their names.
pub fn digest_of<'a>(
    kind: &str,
    version: Option<u64>,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Digest {
    let mut out = String::from("eport-statement 1\n");
    body(&mut out, kind, version, fields);
    Digest::of(out.as_bytes())
}

fn body<'a>(
    out: &mut String,
    kind: &str,
    version: Option<u64>,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    line(out, "kind", kind);
    if let Some(version) = version {
        line(out, "version", &version.to_string());
    }
    for (name, value) in fields {
        out.push('.');
        line(out, name, value);
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(' ');
    for c in value.chars() {
        if c == '\\' || c.is_control() {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope<'static> {
        Envelope {
            lineage: Lineage::from_bytes([7; 16]),
            id: [1; 16],
            by: "operator/admin",
            at_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn the_signed_bytes_are_the_documented_text() {
        let statement =
            Statement::new("platform.switchover").with("to", "gz-a-1").with("region", 440_300).on_version(7);
        let text = String::from_utf8(statement.bytes(&envelope())).unwrap();
        assert_eq!(
            text,
            "eport-command 1\nlineage 07070707070707070707070707070707\nid 01010101010101010101010101010101\n\
             by operator/admin\nat 1700000000000\nkind platform.switchover\nversion 7\n.region 440300\n.to gz-a-1\n"
        );
    }

    #[test]
    fn every_part_changes_the_bytes_and_no_value_can_pass_for_another_line() {
        let base = Statement::new("platform.stop").with("region", "440300").on_version(7);
        let bytes = base.bytes(&envelope());
        for other in [
            Statement::new("platform.start").with("region", "440300").on_version(7),
            Statement::new("platform.stop").with("region", "440100").on_version(7),
            Statement::new("platform.stop").with("region", "440300").on_version(8),
            Statement::new("platform.stop").with("region", "440300"),
        ] {
            assert_ne!(other.bytes(&envelope()), bytes);
            assert_ne!(other.digest(), base.digest());
        }
        for other in [
            Envelope { id: [2; 16], ..envelope() },
            Envelope { by: "operator/b", ..envelope() },
            Envelope { at_ms: 1, ..envelope() },
            Envelope { lineage: Lineage::from_bytes([8; 16]), ..envelope() },
        ] {
            assert_ne!(base.bytes(&other), bytes);
        }
        let two = Statement::new("x").with("a", "1").with("b", "2");
        let one = Statement::new("x").with("a", "1\n.b 2");
        assert_ne!(two.digest(), one.digest());
        assert_ne!(
            Statement::new("x").with("a", "\n").digest(),
            Statement::new("x").with("a", "\\u{a}").digest()
        );
        assert_ne!(
            Statement::new("x").with("version", "7").digest(),
            Statement::new("x").on_version(7).digest()
        );
    }
}

//! Idempotency: the business key of a document, and what a version number may be.

use eport_model::ParseError;
use std::fmt;
use std::str::FromStr;

/// What makes a submission the same as an earlier one, for ever. Prints as `lodged_by|doc_type|client_ref|doc_version`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BusinessKey {
    /// The subject in whose name it is lodged, never a certificate.
    pub lodged_by: String,
    /// Its type.
    pub doc_type: String,
    /// The lodger's number.
    pub client_ref: String,
    /// The version the lodger expects; 1 for a first submission.
    pub doc_version: u32,
}

impl BusinessKey {
    /// The printed form of a key, from its parts.
    pub fn print(lodged_by: &str, doc_type: &str, client_ref: &str, doc_version: u32) -> String {
        // Longer than any version and the three separators together.
        let mut out = String::with_capacity(lodged_by.len() + doc_type.len() + client_ref.len() + 13);
        for part in [lodged_by, doc_type, client_ref] {
            out.push_str(part);
            out.push('|');
        }
        // Nearly every document has one digit here.
        match u8::try_from(doc_version) {
            Ok(digit @ 0..=9) => out.push(char::from(b'0' + digit)),
            _ => out.push_str(&doc_version.to_string()),
        }
        out
    }
}

impl fmt::Display for BusinessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::print(&self.lodged_by, &self.doc_type, &self.client_ref, self.doc_version))
    }
}

impl FromStr for BusinessKey {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        // A client reference may hold the separator; the other parts never do.
        let parse = || {
            let (lodged_by, rest) = s.split_once('|')?;
            let (doc_type, rest) = rest.split_once('|')?;
            let (client_ref, version) = rest.rsplit_once('|')?;
            let doc_version = version.parse().ok()?;
            let part = |p: &str| p.to_owned();
            Some(Self {
                lodged_by: part(lodged_by),
                doc_type: part(doc_type),
                client_ref: part(client_ref),
                doc_version,
            })
        };
        parse().ok_or_else(|| ParseError {
            what: "business key",
            input: s.chars().take(64).collect(),
            reason: "lodged_by|doc_type|client_ref|doc_version is needed",
        })
    }
}

/// How an asked version stands to the newest accepted one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionStep {
    /// The next one: 1 for a new document, newest + 1 for a change.
    Next,
    /// Accepted earlier: the same content gets the first answer again, other content is refused.
    Known,
    /// Neither: versions rise by one.
    Gap,
}

impl VersionStep {
    /// Judges an asked version. `newest` is `None` for a new document.
    pub fn of(newest: Option<u32>, asked: u32) -> Self {
        let newest = newest.unwrap_or(0);
        if asked >= 1 && asked <= newest {
            VersionStep::Known
        } else if asked == newest.saturating_add(1) {
            VersionStep::Next
        } else {
            VersionStep::Gap
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_even_with_separators_in_the_reference() {
        let key = BusinessKey {
            lodged_by: "operator/admin".into(),
            doc_type: "t".into(),
            client_ref: "a|b|7".into(),
            doc_version: 2,
        };
        assert_eq!(key.to_string().parse::<BusinessKey>().unwrap(), key);
        assert!("a|b|1".parse::<BusinessKey>().is_err() && "a|b|c|x".parse::<BusinessKey>().is_err());
    }

    #[test]
    fn an_accepted_document_is_changed_only_by_the_next_version() {
        assert_eq!(VersionStep::of(None, 1), VersionStep::Next);
        assert_eq!(VersionStep::of(None, 2), VersionStep::Gap);
        assert_eq!(VersionStep::of(Some(2), 1), VersionStep::Known);
        assert_eq!(VersionStep::of(Some(2), 2), VersionStep::Known);
        assert_eq!(VersionStep::of(Some(2), 3), VersionStep::Next);
        assert_eq!(VersionStep::of(Some(2), 4), VersionStep::Gap);
        assert_eq!(VersionStep::of(Some(2), 0), VersionStep::Gap);
    }
}

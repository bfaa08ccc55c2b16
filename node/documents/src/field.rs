//! Fields of a document's body, in the form that validation runs on.

use crate::checks::Rule;
use crate::classes::{LOWER, WIDE};
use crate::pack::Title;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A field.
#[derive(Debug)]
pub struct Field {
    /// Its name; empty for the item of a list.
    pub name: String,
    /// Its name for people; absent for the item of a list.
    pub title: Option<Title>,
    /// Whether it must be there.
    pub presence: Presence,
    /// What it may hold.
    pub kind: Kind,
    /// Groups of recipients it goes to; empty: all.
    pub groups: BTreeSet<char>,
    /// Recipients of key fields get it.
    pub key: bool,
    /// Classification: P, B, C, I, L or K.
    pub class: char,
}

/// Whether a field must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// In every document.
    Always,
    /// Under a condition, which the document type keeps among its requirements.
    Conditional,
    /// It may be absent.
    Optional,
}

impl Field {
    /// A field that stands where a refused pack has none.
    pub(crate) fn flag() -> Self {
        Self {
            name: String::new(),
            title: None,
            presence: Presence::Always,
            kind: Kind::Flag,
            groups: BTreeSet::new(),
            key: false,
            class: 'B',
        }
    }
}

/// What a field may hold.
#[derive(Debug)]
pub enum Kind {
    /// Text.
    Text(TextRules),
    /// A whole number, in a JSON number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A decimal, in a JSON string.
    Decimal {
        /// Digits before the point.
        whole: usize,
        /// Digits behind it.
        fraction: usize,
        /// Zero is not allowed.
        positive: bool,
    },
    /// A local calendar date.
    Date,
    /// An instant, RFC 3339; without offset it is local time of the pack.
    Instant,
    /// True or false.
    Flag,
    /// Items of one kind.
    List {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
        /// What each holds.
        item: Box<Field>,
    },
    /// Named fields.
    Object(Vec<Field>),
}

/// Rules of a text, applied in this order: normalise, length, characters, rule, values, table.
#[derive(Debug)]
pub struct TextRules {
    /// Normalisation of identifiers.
    pub normalise: Normalise,
    /// Fewest characters.
    pub min: usize,
    /// Most characters.
    pub max: usize,
    /// Which characters.
    pub characters: Characters,
    /// Check rule.
    pub rule: Option<Rule>,
    /// What it may be, where the pack itself says so.
    pub values: Option<BTreeSet<String>>,
    /// Table whose key it must be.
    pub table: Option<TableRule>,
}

/// A table whose key a text must be.
#[derive(Debug)]
pub struct TableRule {
    /// The table.
    pub table: Arc<str>,
    /// Only where a version is in force; otherwise a missing table fails the field.
    pub if_published: bool,
}

/// Normalisation steps of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Normalise {
    /// Full-width ASCII becomes half-width.
    pub half_width: bool,
    /// White space around it goes.
    pub trim: bool,
    /// ASCII letters become capitals.
    pub upper: bool,
}

/// Characters a text may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Characters {
    /// Anything but control characters.
    #[default]
    Printable,
    /// ASCII digits.
    Digits,
    /// ASCII capitals.
    Letters,
}

impl Normalise {
    /// The normalised text, or `None` when it is normal already. `classes` are those of the text.
    pub(crate) fn apply(self, text: &str, classes: u8) -> Option<String> {
        if self.is_plainly_normal(text.as_bytes(), classes) {
            return None;
        }
        let mut out: String = text
            .chars()
            .map(|c| match c {
                '\u{ff01}'..='\u{ff5e}' if self.half_width => char::from((c as u32 - 0xfee0) as u8),
                '\u{3000}' if self.half_width => ' ',
                c => c,
            })
            .map(|c| if self.upper { c.to_ascii_uppercase() } else { c })
            .collect();
        if self.trim {
            out = out.trim().to_owned();
        }
        (out != text).then_some(out)
    }

    /// True for ASCII that no step changes: nearly every text.
    fn is_plainly_normal(self, text: &[u8], classes: u8) -> bool {
        // The ASCII part of `char::is_whitespace`.
        let white = |b: Option<&u8>| matches!(b, Some(b'\t'..=b'\r' | b' '));
        classes & WIDE == 0
            && !(self.upper && classes & LOWER != 0)
            && !(self.trim && (white(text.first()) || white(text.last())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rules: Normalise, text: &str) -> Option<String> {
        rules.apply(text, crate::classes::of(text))
    }

    #[test]
    fn identifiers_become_half_width_trimmed_and_upper_and_nothing_else_changes() {
        let all = Normalise { half_width: true, trim: true, upper: true };
        assert_eq!(apply(all, "　ｃｓｑｕ３０５４３８３ ").as_deref(), Some("CSQU3054383"));
        assert_eq!(apply(all, "csqu3054383").as_deref(), Some("CSQU3054383"));
        assert_eq!(apply(all, "CSQU3054383"), None);
        for white in ['\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '\u{85}', '\u{2003}'] {
            assert_eq!(apply(all, &format!("A{white}")).as_deref(), Some("A"), "{white:?}");
            assert_eq!(apply(all, &format!("{white}A")).as_deref(), Some("A"), "{white:?}");
            assert_eq!(apply(all, &format!("A{white}B")), None, "{white:?}");
        }
        assert_eq!(apply(all, "\u{1c}A\u{1f}"), None, "not white space");
        assert_eq!(apply(all, "粤Z1234港"), None);
        assert_eq!(apply(Normalise::default(), " ａ"), None);
    }
}

//! Fields of a document's body: how a pack describes them, and the checked form that validation runs on.

use crate::checks::Rule;
use crate::classes::{LOWER, WIDE};
use crate::pack::{PackError, Title};
use serde::Deserialize;
use std::sync::Arc;

/// Nesting of fields that a pack may describe.
const FIELD_DEPTH_MAX: usize = 8;

/// A field.
#[derive(Debug)]
pub struct Field {
    /// Its name; empty for the item of a list.
    pub name: String,
    /// Its name for people; absent for the item of a list.
    pub title: Option<Title>,
    /// It must be there.
    pub required: bool,
    /// What it may hold.
    pub kind: Kind,
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
    /// An instant, RFC 3339; without offset it is local time of the pack.
    Instant,
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

/// Rules of a text, applied in this order: normalise, length, characters, rule, table.
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Characters {
    /// Anything but control characters.
    #[default]
    Printable,
    /// ASCII digits.
    Digits,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    HalfWidth,
    Trim,
    Upper,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    Text,
    Integer,
    Decimal,
    Instant,
    List,
    Object,
}

/// A field as the pack file writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldSpec {
    #[serde(default)]
    name: String,
    title: Option<Title>,
    r#type: KindName,
    #[serde(default)]
    required: bool,
    length: Option<[usize; 2]>,
    characters: Option<Characters>,
    normalise: Option<Vec<Step>>,
    rule: Option<Rule>,
    table: Option<String>,
    table_if_published: Option<String>,
    range: Option<[i64; 2]>,
    digits: Option<[usize; 2]>,
    positive: Option<bool>,
    item: Option<Box<FieldSpec>>,
    field: Option<Vec<FieldSpec>>,
}

impl Field {
    pub(crate) fn compile_all(specs: Vec<FieldSpec>, at: &str) -> Result<Vec<Field>, PackError> {
        Self::members(specs, at, 0)
    }

    fn members(specs: Vec<FieldSpec>, at: &str, depth: usize) -> Result<Vec<Field>, PackError> {
        let mut fields: Vec<Field> = Vec::with_capacity(specs.len());
        for spec in specs {
            let at = format!("{at}.{}", spec.name);
            if spec.name.is_empty() || spec.title.is_none() || fields.iter().any(|f| f.name == spec.name) {
                return Err(PackError::Rule {
                    at,
                    problem: "a field needs a title and a name of its own".into(),
                });
            }
            fields.push(Self::compile(spec, &at, depth)?);
        }
        Ok(fields)
    }

    fn compile(mut spec: FieldSpec, at: &str, depth: usize) -> Result<Field, PackError> {
        let fail = |problem: &str| PackError::Rule { at: at.to_owned(), problem: problem.to_owned() };
        if depth >= FIELD_DEPTH_MAX {
            return Err(fail("fields are nested too deep"));
        }
        let need = |what: &str| fail(&format!("{what} is needed"));
        let kind = match spec.r#type {
            KindName::Text => Kind::Text(TextRules::compile(&mut spec, at)?),
            KindName::Integer => {
                let [min, max] = spec.range.take().ok_or_else(|| need("range"))?;
                if min > max {
                    return Err(fail("range is empty"));
                }
                Kind::Integer { min, max }
            }
            KindName::Decimal => {
                let [whole, fraction] = spec.digits.take().ok_or_else(|| need("digits"))?;
                if whole == 0 || whole + fraction > 38 {
                    return Err(fail("digits allow 1 to 38 digits in all, at least one before the point"));
                }
                Kind::Decimal { whole, fraction, positive: spec.positive.take().unwrap_or(false) }
            }
            KindName::Instant => Kind::Instant,
            KindName::List => {
                let [min, max] = spec.length.take().ok_or_else(|| need("length"))?;
                let item = spec.item.take().ok_or_else(|| need("item"))?;
                if min > max {
                    return Err(fail("length is empty"));
                }
                Kind::List { min, max, item: Box::new(Self::compile(*item, &format!("{at}[]"), depth + 1)?) }
            }
            KindName::Object => {
                Kind::Object(Self::members(spec.field.take().ok_or_else(|| need("field"))?, at, depth + 1)?)
            }
        };
        if let Some(key) = spec.leftover() {
            return Err(fail(&format!("{key} means nothing for this type")));
        }
        Ok(Field { name: spec.name, title: spec.title, required: spec.required, kind })
    }
}

impl FieldSpec {
    /// A setting that no arm of `compile` has taken: it belongs to another type of field.
    fn leftover(&self) -> Option<&'static str> {
        [
            ("length", self.length.is_some()),
            ("characters", self.characters.is_some()),
            ("normalise", self.normalise.is_some()),
            ("rule", self.rule.is_some()),
            ("table", self.table.is_some()),
            ("table_if_published", self.table_if_published.is_some()),
            ("range", self.range.is_some()),
            ("digits", self.digits.is_some()),
            ("positive", self.positive.is_some()),
            ("item", self.item.is_some()),
            ("field", self.field.is_some()),
        ]
        .into_iter()
        .find_map(|(name, set)| set.then_some(name))
    }
}

impl TextRules {
    fn compile(spec: &mut FieldSpec, at: &str) -> Result<Self, PackError> {
        let fail = |problem: &str| PackError::Rule { at: at.to_owned(), problem: problem.to_owned() };
        let rule = spec.rule.take();
        let [min, max] = match spec.length.take() {
            Some(length) => length,
            // A check rule bounds its values by itself.
            None if rule.is_some() => [0, usize::MAX],
            None => return Err(fail("length is needed where no rule bounds the text")),
        };
        if min > max {
            return Err(fail("length is empty"));
        }
        let table = match (spec.table.take(), spec.table_if_published.take()) {
            (Some(_), Some(_)) => return Err(fail("table and table_if_published exclude each other")),
            (Some(t), None) => Some(TableRule { table: t.into(), if_published: false }),
            (None, Some(t)) => Some(TableRule { table: t.into(), if_published: true }),
            (None, None) => None,
        };
        let steps = spec.normalise.take().unwrap_or_default();
        let normalise = Normalise {
            half_width: steps.contains(&Step::HalfWidth),
            trim: steps.contains(&Step::Trim),
            upper: steps.contains(&Step::Upper),
        };
        Ok(Self { normalise, min, max, characters: spec.characters.take().unwrap_or_default(), rule, table })
    }
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

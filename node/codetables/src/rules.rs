//! What is known of a table beside its columns and its key: types, hierarchy, references, validity of rows.
//!
//! Rules are kept with the version, inside its signed schema text, and are no part of the content: rows that do not change
//! have the same root under new rules. What always holds for checked rules: every column they name exists, and what they
//! say of a row can be judged from the row, its table and the tables it refers to.

use crate::characters;
use crate::problem::{Kind, shown};
use eport_catalog::{RowRef, Schema, civil_date, start_of_day};
use eport_identity::ParseError;
use eport_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest chain from a row to its topmost parent.
pub const DEPTH_MAX: usize = 32;

/// What the values of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Free text.
    #[default]
    Text,
    /// A code: half-width, no blanks at the ends, not damaged by a spreadsheet.
    Code,
    /// A civil date, `2018-01-10`.
    Date,
    /// Digits, with a sign perhaps.
    Integer,
    /// Digits, with a point and a sign perhaps.
    Decimal,
}

/// What is known of one column.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ColumnRule {
    /// What its values are.
    #[serde(rename = "type", default, skip_serializing_if = "is_text")]
    pub kind: ValueType,
    /// Lengths in characters that a value may have; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widths: Vec<u16>,
    /// True when every row has a value.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Table whose keys the values are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
}

/// How a row's parent is found: a column that names it, or the code itself, cut at one of these lengths.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hierarchy {
    /// Column with the key of the parent; empty in rows on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Lengths of codes from the top down, as 2, 4, 6, 8, 10 of the Harmonized System.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<u16>,
    /// What fills a short code up to the longest level, as the `0` of GB/T 2260.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<char>,
}

/// Columns that bound the days on which a row counts. Both days are included; an empty field is no bound.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Column with the first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Column with the last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The rules of a table version.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Rules {
    /// Rules of columns; a column without one is text, a key column always a code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnRule>,
    /// How parents are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<Hierarchy>,
    /// When rows count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Validity>,
}

/// Columns, key and rules: what the registry keeps of a version as its schema text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableSchema {
    /// Columns and key.
    #[serde(flatten)]
    pub schema: Schema,
    /// Everything else.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
}

fn is_text(kind: &ValueType) -> bool {
    *kind == ValueType::Text
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Rules {
    /// True when nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// Every column that is named, and for what.
    fn named(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let hierarchy = self.hierarchy.iter().filter_map(|h| h.parent.as_deref()).map(|c| (c, "parents"));
        let days = self.validity.iter().flat_map(|v| [&v.from, &v.to]).flatten();
        self.columns
            .keys()
            .map(|c| (c.as_str(), "a rule"))
            .chain(hierarchy)
            .chain(days.map(|c| (c.as_str(), "validity")))
    }

    /// What contradicts the columns and the key, if anything.
    pub fn check(&self, schema: &Schema) -> Result<(), ParseError> {
        let fail = |input: &str, reason| {
            Err(ParseError { what: "table rules", input: input.chars().take(64).collect(), reason })
        };
        if let Some((column, _)) = self.named().find(|(c, _)| schema.column(c).is_none()) {
            return fail(column, "the rules name a column that the table does not have");
        }
        if let Some((column, _)) = self.columns.iter().find(|(_, rule)| rule.widths.contains(&0)) {
            return fail(column, "a width of 0 is not possible");
        }
        if let Some(h) = &self.hierarchy {
            if schema.key.len() != 1 {
                return fail("hierarchy", "a hierarchy needs a key of one column");
            }
            if h.parent.is_some() != h.levels.is_empty() {
                return fail("hierarchy", "either `parent` or `levels` is needed");
            }
            if h.levels.len() > DEPTH_MAX
                || h.levels.first() == Some(&0)
                || h.levels.windows(2).any(|w| w[0] >= w[1])
            {
                return fail("hierarchy", "levels are at most 32 lengths in rising order");
            }
        }
        match &self.validity {
            Some(v) if v.from.is_none() && v.to.is_none() => fail("validity", "`from` or `to` is needed"),
            _ => Ok(()),
        }
    }

    /// Columns that refer to other tables: column and table.
    pub fn references(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().filter_map(|(c, rule)| Some((c.as_str(), rule.references.as_deref()?)))
    }

    /// True when a row counts on the day of an instant in Shanghai. Days that are no days do not bound: an import refuses them.
    pub fn counts(&self, row: &RowRef<'_>, at: Timestamp) -> bool {
        let Some(validity) = &self.validity else { return true };
        // Dates of this form order as text.
        let day = civil_date(at);
        let bound =
            |column: &Option<String>| column.as_deref().and_then(|c| row.get(c)).filter(|d| !d.is_empty());
        bound(&validity.from).is_none_or(|from| from <= day.as_str())
            && bound(&validity.to).is_none_or(|to| day.as_str() <= to)
    }

    /// True when days bound the rows of the table.
    pub fn has_validity(&self) -> bool {
        self.validity.is_some()
    }
}

impl ColumnRule {
    /// What is wrong with a value, if anything.
    pub(crate) fn check(&self, value: &str) -> Option<(Kind, String)> {
        if value.is_empty() {
            return self.required.then(|| (Kind::EmptyValue, "the column needs a value".to_owned()));
        }
        let bad = match self.kind {
            ValueType::Text => None,
            ValueType::Code => characters::check_key(value),
            ValueType::Date => check_date(value),
            ValueType::Integer | ValueType::Decimal => check_number(value, self.kind == ValueType::Decimal),
        };
        bad.or_else(|| self.check_width(value))
    }

    fn check_width(&self, value: &str) -> Option<(Kind, String)> {
        if self.widths.is_empty() {
            return None;
        }
        let length = value.chars().count();
        if self.widths.iter().any(|w| usize::from(*w) == length) {
            return None;
        }
        let widths: Vec<String> = self.widths.iter().map(u16::to_string).collect();
        let wanted = widths.join(" or ");
        let longer = self.widths.iter().map(|w| usize::from(*w)).filter(|w| *w > length).min();
        match longer {
            Some(width) if value.bytes().all(|b| b.is_ascii_digit()) => Some((
                Kind::LostZero,
                format!(
                    "{} has {length} digits, {wanted} are needed; \"{value:0>width$}\" is meant perhaps",
                    shown(value)
                ),
            )),
            _ => Some((
                Kind::WrongWidth,
                format!("{} has {length} characters, {wanted} are needed", shown(value)),
            )),
        }
    }
}

pub(crate) fn check_date(value: &str) -> Option<(Kind, String)> {
    let detail = || (Kind::BadDate, format!("{} is no day of the form 2018-01-10", shown(value)));
    // The form is fixed, so that days order as text.
    (value.len() != 10 || start_of_day(value).is_none()).then(detail)
}

fn check_number(value: &str, decimal: bool) -> Option<(Kind, String)> {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = value.strip_prefix(['+', '-']).unwrap_or(value);
    let fits = match unsigned.split_once('.') {
        Some((whole, fraction)) => decimal && digits(whole) && digits(fraction),
        None => digits(unsigned),
    };
    let what = if decimal { "decimal number" } else { "whole number" };
    (!fits).then(|| (Kind::BadNumber, format!("{} is no {what}", shown(value))))
}

impl TableSchema {
    /// Reads the schema text of a version. Rules that do not fit the columns are an error.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad =
            |reason| ParseError { what: "table schema", input: text.chars().take(64).collect(), reason };
        let parsed: TableSchema = serde_json::from_str(text).map_err(|_| bad("it is no schema in JSON"))?;
        parsed.schema.check().map_err(|_| bad("columns and key contradict each other"))?;
        parsed.rules.check(&parsed.schema)?;
        Ok(parsed)
    }

    /// The schema text. Equal schemas give equal bytes: it is what a publisher signs.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

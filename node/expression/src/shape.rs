//! What an expression may name: the shape of a document, parameters, tables, check rules.

use crate::Digits;
use bigdecimal::BigDecimal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// True or false.
    Bool,
    /// Text.
    Text {
        /// Most characters.
        max: u32,
    },
    /// An exact decimal.
    Number(Digits),
    /// A local calendar date.
    Date,
    /// An instant.
    Instant,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("true or false"),
            Kind::Text { .. } => f.write_str("a text"),
            Kind::Number(d) => {
                write!(f, "a number ({} digits, {} behind the point)", d.whole + d.fraction, d.fraction)
            }
            Kind::Date => f.write_str("a date"),
            Kind::Instant => f.write_str("an instant"),
        }
    }
}

/// The shape of a value in a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One value.
    Value(Kind),
    /// Items of one shape.
    List {
        /// Most items.
        max: u64,
        /// Their shape.
        item: Box<Shape>,
    },
    /// Named members.
    Record(Vec<Member>),
}

/// A member of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// It is in every accepted document.
    pub always: bool,
    /// Its shape.
    pub shape: Shape,
}

/// A table that expressions may ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableShape {
    /// Columns of its key.
    pub keys: usize,
    /// Columns whose values may be asked.
    pub columns: BTreeSet<String>,
}

/// What else an expression may name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    /// Numbers, as `param.name`.
    pub numbers: BTreeMap<String, BigDecimal>,
    /// Sets of texts, as `param.name` behind `in`.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    /// Tables.
    pub tables: BTreeMap<String, TableShape>,
    /// Check rules that `valid` may name.
    pub rules: BTreeSet<String>,
}

//! The checked form of an expression: names are places, types fit.

use crate::ast::Fold;
use crate::functions::Function;
use crate::{Kind, Value};
use bigdecimal::BigDecimal;
use std::collections::BTreeSet;

/// Where a value stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Which of the open records, outermost first.
    pub(crate) frame: usize,
    /// Members from there on.
    pub(crate) path: Box<[Box<str>]>,
    /// It is in every accepted document.
    pub(crate) always: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Set {
    Texts(BTreeSet<String>),
    Numbers(Vec<BigDecimal>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Constant(Value<'static>),
    Read(Place, Kind),
    Present(Place),
    Not(Box<Op>),
    And(Box<Op>, Box<Op>),
    Or(Box<Op>, Box<Op>),
    Implies(Box<Op>, Box<Op>),
    If(Box<Op>, Box<Op>, Box<Op>),
    Otherwise(Box<Op>, Box<Op>),
    Compare(Relation, Box<Op>, Box<Op>),
    In(Box<Op>, Set),
    Arithmetic(Arithmetic, Box<Op>, Box<Op>),
    Negative(Box<Op>),
    Fold { fold: Fold, over: Place, max: u64, body: Box<Op> },
    Length(Place, u64),
    Function(Function, Vec<Op>),
    Table { table: Box<str>, column: Option<Box<str>>, keys: Vec<Op> },
    Valid(Box<str>, Box<Op>),
    Index(usize),
}

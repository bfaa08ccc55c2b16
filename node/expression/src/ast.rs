//! The parsed form of an expression, before names and types are known.

/// A part of an expression and where it begins.
#[derive(Debug)]
pub(crate) struct Ast {
    pub(crate) at: usize,
    pub(crate) kind: AstKind,
}

#[derive(Debug)]
pub(crate) enum AstKind {
    Number(String),
    Text(String),
    Bool(bool),
    Path(Vec<String>),
    Call(String, Vec<Ast>),
    Fold { fold: Fold, var: String, over: Box<Ast>, body: Box<Ast> },
    Not(Box<Ast>),
    Negative(Box<Ast>),
    Binary(Binary, Box<Ast>, Box<Ast>),
    If(Box<Ast>, Box<Ast>, Box<Ast>),
    In(Box<Ast>, Box<Ast>),
    List(Vec<Ast>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Binary {
    And,
    Or,
    Implies,
    Otherwise,
    Add,
    Subtract,
    Multiply,
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A way to come from the items of a list to one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fold {
    All,
    Any,
    Count,
    Sum,
    Distinct,
    Smallest,
    Largest,
}

impl Fold {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Fold::All,
            "any" => Fold::Any,
            "count" => Fold::Count,
            "sum" => Fold::Sum,
            "distinct" => Fold::Distinct,
            "smallest" => Fold::Smallest,
            "largest" => Fold::Largest,
            _ => return None,
        })
    }
}

/// Words that are no names.
pub(crate) const WORDS: [&str; 13] =
    ["and", "or", "not", "implies", "if", "then", "else", "in", "true", "false", "this", "body", "param"];

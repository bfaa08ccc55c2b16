//! The expression language of standards packs: small, total, statically typed, of bounded cost, with exact decimals.
//!
//! An expression is read once against the shape of a document (`Expression::compile`) and evaluated against documents. What
//! always holds: an accepted expression never meets a value of another type than it expects; a field that may be absent is used
//! only where the expression has made sure that it is there; decimals are exact and their digits are bounded at compile time;
//! there are no loops and no recursion, only folds over lists whose longest length is declared, so that the number of steps is
//! known before (`Expression::cost`) and never exceeded. Any text is either compiled or refused with the place; nothing panics.
//!
//! The language: literals `12.5`, `'text'`, `true`; fields `gross_weight`, `party.name`, `this` (the innermost record or item),
//! `body` (the document's body); parameters `param.name`; `+ - *`, `== != < <= > >=`, `and or not implies`, `if … then … else …`,
//! `x in ['a', 'b']`, `x in param.set`, `optional ?? default`, `present(field)`; folds `all any count sum distinct smallest
//! largest (i in items: …)`; functions, listed in `FUNCTIONS`.
#![forbid(unsafe_code)]

mod ast;
mod check;
mod cost;
mod error;
mod eval;
mod functions;
mod names;
mod number;
mod parse;
mod shape;
mod steps;
mod token;
mod value;

pub use error::{ErrorCode, ExpressionError};
pub use eval::{Frame, Host, Source, Stop};
pub use functions::FUNCTIONS;
pub use number::{Digits, decimal, plain};
pub use shape::{Environment, Kind, Member, Shape, TableShape};
pub use value::{Value, local_date, parse_date, parse_instant};

use std::collections::BTreeSet;

/// Longest expression in bytes.
pub const TEXT_LEN_MAX: usize = 4_096;
/// Most parts of an expression.
pub const PARTS_MAX: usize = 1_000;
/// Deepest nesting of an expression.
pub const DEPTH_MAX: usize = 48;
/// Most digits of a number that an expression may come to.
pub const DIGITS_MAX: u32 = 128;
/// Most steps of one evaluation.
pub const COST_MAX: u64 = 500_000;

/// When an expression looks at the clock: its result holds no longer than that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Clock {
    /// It does not.
    #[default]
    Never,
    /// At the local date.
    Day,
    /// At the instant.
    Instant,
}

/// What an expression names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mentions {
    /// Names of fields, functions and words, each part of a path by itself.
    pub names: BTreeSet<String>,
    /// Names behind `param.`.
    pub parameters: BTreeSet<String>,
    /// Texts between quotes.
    pub texts: BTreeSet<String>,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    text: Box<str>,
    op: steps::Op,
    kind: Kind,
    optional: bool,
    cost: u64,
    clock: Clock,
    tables: Vec<Box<str>>,
}

impl Expression {
    /// Reads an expression. `scopes` are the records it may name, outermost first: the body, then the items it is asked for.
    pub fn compile(text: &str, scopes: &[&Shape], env: &Environment) -> Result<Self, ExpressionError> {
        let ast = parse::parse(text)?;
        let checked = check::check(&ast, scopes, env)?;
        let cost = cost::cost(&checked.op);
        if cost > COST_MAX {
            return Err(ExpressionError::new(
                0,
                ErrorCode::Cost,
                format!("it may take {cost} steps, {COST_MAX} are allowed: shorten the lists it folds over"),
            ));
        }
        Ok(Self {
            text: text.into(),
            op: checked.op,
            kind: checked.kind,
            optional: checked.optional,
            cost,
            clock: checked.clock,
            tables: checked.tables,
        })
    }

    /// Reads an expression that must say true or false.
    pub fn condition(text: &str, scopes: &[&Shape], env: &Environment) -> Result<Self, ExpressionError> {
        let found = Self::compile(text, scopes, env)?;
        match (found.kind, found.optional) {
            (Kind::Bool, false) => Ok(found),
            (kind, optional) => Err(ExpressionError::new(
                0,
                ErrorCode::Type,
                format!("true or false is needed, this is {}{kind}", if optional { "perhaps " } else { "" }),
            )),
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it comes to.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// It may come to nothing.
    pub fn optional(&self) -> bool {
        self.optional
    }

    /// The most steps an evaluation takes.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// When it looks at the clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Tables it may ask, by the names it uses.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(AsRef::as_ref)
    }

    /// What its text names: fields and words of the language, parameters, and texts.
    pub fn mentions(&self) -> Mentions {
        use token::Token;
        let mut out = Mentions::default();
        // It was compiled from this text.
        let tokens = token::tokens(&self.text).unwrap_or_default();
        for (n, (_, token)) in tokens.iter().enumerate() {
            let before = |back: usize| n.checked_sub(back).and_then(|at| tokens.get(at)).map(|(_, t)| t);
            let of_param =
                before(1) == Some(&Token::Sign(".")) && before(2) == Some(&Token::Name("param".into()));
            match token {
                Token::Name(name) if of_param => drop(out.parameters.insert(name.clone())),
                Token::Name(name) => drop(out.names.insert(name.clone())),
                Token::Text(text) => drop(out.texts.insert(text.clone())),
                _ => {}
            }
        }
        out
    }

    /// Evaluates it. `frames` correspond to the scopes it was compiled for.
    pub fn evaluate<'a, S: Source<'a>>(
        &'a self,
        frames: &[Frame<S>],
        host: &mut dyn Host,
    ) -> Result<Value<'a>, Stop> {
        self.counted(frames, host).0
    }

    /// Evaluates it and says how many steps that took.
    pub fn counted<'a, S: Source<'a>>(
        &'a self,
        frames: &[Frame<S>],
        host: &mut dyn Host,
    ) -> (Result<Value<'a>, Stop>, u64) {
        let mut run = eval::Run::new(frames, host);
        let found = run.value(&self.op);
        (found, run.steps())
    }

    /// Evaluates a condition.
    pub fn holds<'a, S: Source<'a>>(
        &'a self,
        frames: &[Frame<S>],
        host: &mut dyn Host,
    ) -> Result<bool, Stop> {
        match self.evaluate(frames, host)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(Stop::Unknown),
        }
    }
}

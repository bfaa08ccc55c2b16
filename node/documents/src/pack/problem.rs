//! What is wrong with a pack: file, line, column, stable code. All of it at once, as far as it can be read.

use std::fmt;
use std::ops::Range;

/// Problems that a refusal lists at most; a pack with more is read again after these are mended.
pub const PROBLEMS_MAX: usize = 200;

/// Kind of a pack's problem. The codes are stable; those of expressions are `P-EXPR-…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ProblemCode {
    /// Not TOML, or not of the pack's shape: an unknown or missing key, a value of another type.
    Shape,
    /// Another layout than this program knows.
    Format,
    /// A name that is not allowed, or is used twice.
    Name,
    /// A field contradicts itself.
    Field,
    /// A name of something that is not there.
    Reference,
    /// A rule contradicts itself.
    Rule,
    /// A recipient contradicts itself.
    Recipient,
    /// The life cycle has a state that cannot be reached or left, or a receipt with two meanings.
    State,
    /// Too large, too many, too costly.
    Size,
    /// Two packs define one thing.
    Twice,
    /// An example is not judged as it says.
    Example,
    /// A fault of an expression.
    Expression(eport_expression::ErrorCode),
}

impl ProblemCode {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemCode::Shape => "P-SHAPE",
            ProblemCode::Format => "P-FORMAT",
            ProblemCode::Name => "P-NAME",
            ProblemCode::Field => "P-FIELD",
            ProblemCode::Reference => "P-REFERENCE",
            ProblemCode::Rule => "P-RULE",
            ProblemCode::Recipient => "P-RECIPIENT",
            ProblemCode::State => "P-STATE",
            ProblemCode::Size => "P-SIZE",
            ProblemCode::Twice => "P-TWICE",
            ProblemCode::Example => "P-EXAMPLE",
            ProblemCode::Expression(code) => code.as_str(),
        }
    }
}

/// One problem of a pack.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Its kind.
    pub code: ProblemCode,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.file, self.line, self.column, self.code.as_str(), self.detail)
    }
}

/// Why a pack is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} problems in a pack; the first: {}", problems.len(), problems.first().map(ToString::to_string).unwrap_or_default())]
pub struct PackError {
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl PackError {
    /// A refusal for one reason.
    pub fn one(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Collects problems of one file.
pub(crate) struct Problems<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Adds a problem that begins at a byte of the file.
    pub(crate) fn at(&mut self, byte: usize, code: ProblemCode, detail: impl Into<String>) {
        if self.found.len() < PROBLEMS_MAX {
            let (line, column) = place(self.text, byte);
            self.found.push(Problem { file: self.file.into(), line, column, code, detail: detail.into() });
        }
    }

    /// Adds a problem of something that stands there.
    pub(crate) fn add(&mut self, span: &Range<usize>, code: ProblemCode, detail: impl Into<String>) {
        self.at(span.start, code, detail);
    }

    /// Adds the fault of an expression, at its own place inside the text.
    pub(crate) fn expression(&mut self, span: &Range<usize>, error: &eport_expression::ExpressionError) {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let quotes = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
        let inside = written.get(quotes..).unwrap_or_default();
        let byte = inside.char_indices().nth(error.at).map_or(inside.len(), |(i, _)| i);
        self.at(span.start + quotes + byte, ProblemCode::Expression(error.code), error.detail.clone());
    }

    /// Line and column of something.
    pub(crate) fn place(&self, span: &Range<usize>) -> (usize, usize) {
        place(self.text, span.start)
    }

    pub(crate) fn end(mut self) -> Result<(), PackError> {
        self.found.sort();
        match self.found.is_empty() {
            true => Ok(()),
            false => Err(PackError { problems: self.found }),
        }
    }
}

/// Line and column of a byte.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (1 + before.matches('\n').count(), 1 + before[start..].chars().count())
}

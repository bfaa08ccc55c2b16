//! Why a text is no expression: the place, a stable code, what was found.

use std::fmt;

/// Kind of an expression's fault. The codes are stable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ErrorCode {
    /// The text does not follow the grammar.
    Syntax,
    /// A name is not known.
    Name,
    /// Values of these types do not go together.
    Type,
    /// A field that may be absent is used as if it were there.
    Absent,
    /// Too long, too deep, too many digits.
    Size,
    /// It could take too many steps.
    Cost,
}

impl ErrorCode {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Syntax => "P-EXPR-SYNTAX",
            ErrorCode::Name => "P-EXPR-NAME",
            ErrorCode::Type => "P-EXPR-TYPE",
            ErrorCode::Absent => "P-EXPR-ABSENT",
            ErrorCode::Size => "P-EXPR-SIZE",
            ErrorCode::Cost => "P-EXPR-COST",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault of an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {detail}, character {}", at + 1)]
pub struct ExpressionError {
    /// Characters before the place.
    pub at: usize,
    /// Its kind.
    pub code: ErrorCode,
    /// What is wrong.
    pub detail: String,
}

impl ExpressionError {
    pub(crate) fn new(at: usize, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { at, code, detail: detail.into() }
    }
}

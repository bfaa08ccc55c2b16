//! How many steps an expression takes at most. Evaluation counts by the same prices.

use crate::ast::Fold;
use crate::steps::Op;

/// Price of one operation without its parts.
pub(crate) fn own(op: &Op) -> u64 {
    match op {
        // A search in a table, and a check rule over a text, cost as much as many comparisons.
        Op::Table { .. } => 20,
        Op::Valid(..) => 5,
        _ => 1,
    }
}

/// Price of each item of a fold without its body.
pub(crate) fn item(fold: Fold) -> u64 {
    match fold {
        // Every value goes into an ordered set.
        Fold::Distinct => 5,
        _ => 1,
    }
}

/// The most steps of an evaluation.
pub(crate) fn cost(op: &Op) -> u64 {
    let parts = match op {
        Op::Constant(_) | Op::Read(..) | Op::Present(_) | Op::Length(..) | Op::Index(_) => 0,
        Op::Not(a) | Op::Negative(a) | Op::In(a, _) | Op::Valid(_, a) => cost(a),
        Op::And(a, b)
        | Op::Or(a, b)
        | Op::Implies(a, b)
        | Op::Otherwise(a, b)
        | Op::Compare(_, a, b)
        | Op::Arithmetic(_, a, b) => cost(a).saturating_add(cost(b)),
        Op::If(a, b, c) => cost(a).saturating_add(cost(b).max(cost(c))),
        Op::Fold { fold, max, body, .. } => max.saturating_mul(item(*fold).saturating_add(cost(body))),
        Op::Function(_, parts) | Op::Table { keys: parts, .. } => {
            parts.iter().fold(0, |sum: u64, p| sum.saturating_add(cost(p)))
        }
    };
    own(op).saturating_add(parts)
}

//! The fields of a document as expressions see them, and paths into them.

use crate::field::{Field, Kind, Presence};
use eport_expression::{Digits, Kind as ValueKind, Member, Shape};

/// Digits that a whole number of these ends has.
fn digits(min: i64, max: i64) -> u32 {
    let longest = min.unsigned_abs().max(max.unsigned_abs());
    longest.checked_ilog10().unwrap_or(0) + 1
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The shape of a record.
pub(super) fn record(fields: &[Field]) -> Shape {
    let member = |f: &Field| Member {
        name: f.name.clone(),
        always: f.presence == Presence::Always,
        shape: shape(&f.kind),
    };
    Shape::Record(fields.iter().map(member).collect())
}

fn shape(kind: &Kind) -> Shape {
    Shape::Value(match kind {
        Kind::Text(rules) => ValueKind::Text { max: small(rules.max) },
        Kind::Integer { min, max } => ValueKind::Number(Digits { whole: digits(*min, *max), fraction: 0 }),
        Kind::Decimal { whole, fraction, .. } => {
            ValueKind::Number(Digits { whole: small(*whole), fraction: small(*fraction) })
        }
        Kind::Date => ValueKind::Date,
        Kind::Instant => ValueKind::Instant,
        Kind::Flag => ValueKind::Bool,
        Kind::List { max, item, .. } => {
            let max = u64::try_from(*max).unwrap_or(u64::MAX);
            return Shape::List { max, item: Box::new(shape(&item.kind)) };
        }
        Kind::Object(fields) => return record(fields),
    })
}

/// What stands at a path of members; lists are passed through to their items.
pub(super) fn at<'s>(shape: &'s Shape, path: &str) -> Option<&'s Shape> {
    path.split('.').try_fold(shape, |shape, name| {
        let shape = match shape {
            Shape::List { item, .. } => item,
            other => other,
        };
        match shape {
            Shape::Record(members) => members.iter().find(|m| m.name == name).map(|m| &m.shape),
            _ => None,
        }
    })
}

//! The functions of the language: what they take and what they come to.

use crate::number::{Digits, divide, round, whole};
use crate::value::{add_months, local_date};
use crate::{Kind, Stop, Value};
use bigdecimal::BigDecimal;
use eport_model::Timestamp;
use std::borrow::Cow;

/// The functions, as a reference prints them: form and meaning.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("present(field)", "the field is in the document"),
    ("abs(n)", "the number without its sign"),
    ("round(n, scale)", "to so many digits behind the point, half away from zero"),
    ("divide(a, b, scale)", "a ÷ b to so many digits, half away from zero; absent when b is 0"),
    ("least(a, b), greatest(a, b)", "of two numbers, dates or instants"),
    ("number(text)", "plain digits with at most one point, 20 before and 12 behind it; otherwise absent"),
    ("length(text), length(list)", "characters, or items; an absent list has none"),
    ("left(text, n)", "the first characters"),
    ("slice(text, from, n)", "characters from the place on, the first is 1"),
    ("concat(a, b)", "one text behind the other"),
    ("starts_with(text, prefix)", "the text begins with the prefix"),
    ("is_digits(text)", "the text is digits and not empty"),
    ("index(item)", "the place of an item of a fold, or of `this`, the first is 1"),
    ("today(), now()", "local date and instant of the record"),
    ("date('2018-04-20')", "a date"),
    ("date_of(instant)", "its local date"),
    ("year(date)", "its year"),
    ("add_days(date, n), add_months(date, n)", "a later date; months end on the last day of a shorter one"),
    ("days_between(a, b)", "days from a to b"),
    ("add_minutes(instant, n), minutes_between(a, b)", "the same for instants; whole minutes, rounded down"),
    ("exists('table', key…)", "the key is in the version of the table in force"),
    (
        "column('table', 'column', key…)",
        "the text of a column; absent when the key is not there or the column is empty",
    ),
    ("valid('RULE', text)", "the check rule passes; warnings pass"),
];

/// Most digits that `number` reads.
pub(crate) const READ: Digits = Digits { whole: 20, fraction: 12 };

/// Longest text of a table's column that expressions see.
pub(crate) const COLUMN_LEN_MAX: u32 = 1_000;

/// A function whose arguments are values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Function {
    Abs,
    Round(u32),
    Divide(u32),
    Least,
    Greatest,
    Number,
    LengthOfText,
    Slice { from: u32, len: u32 },
    Concat,
    StartsWith,
    IsDigits,
    Today,
    Now,
    DateOf,
    Year,
    AddDays,
    AddMonths,
    DaysBetween,
    AddMinutes,
    MinutesBetween,
}

/// What a function comes to, if it takes values of these types; `true` when it may come to nothing.
pub(crate) fn result(function: Function, kinds: &[Kind]) -> Option<(Kind, bool)> {
    use Kind::{Bool, Date, Instant, Number, Text};
    let days = Number(Digits::whole(8));
    let found = match (function, kinds) {
        (Function::Abs, [Number(d)]) => Number(*d),
        (Function::Round(scale), [Number(d)]) => Number(Digits { whole: d.whole + 1, fraction: scale }),
        (Function::Divide(scale), [Number(a), Number(b)]) => {
            return Some((Number(Digits { whole: a.whole + b.fraction + 1, fraction: scale }), true));
        }
        (Function::Least | Function::Greatest, [Number(a), Number(b)]) => Number(a.either(*b)),
        (Function::Least | Function::Greatest, [Date, Date]) => Date,
        (Function::Least | Function::Greatest, [Instant, Instant]) => Instant,
        (Function::Number, [Text { .. }]) => return Some((Number(READ), true)),
        (Function::LengthOfText, [Text { .. }]) => Number(Digits::whole(10)),
        (Function::Slice { len, .. }, [Text { max }]) => Text { max: len.min(*max) },
        (Function::Concat, [Text { max: a }, Text { max: b }]) => Text { max: a.saturating_add(*b) },
        (Function::StartsWith, [Text { .. }, Text { .. }]) | (Function::IsDigits, [Text { .. }]) => Bool,
        (Function::Today, []) | (Function::DateOf, [Instant]) => Date,
        (Function::Now, []) => Instant,
        (Function::Year, [Date]) => Number(Digits::whole(4)),
        (Function::AddDays | Function::AddMonths, [Date, Number(n)]) if n.fraction == 0 => Date,
        (Function::DaysBetween, [Date, Date]) => days,
        (Function::AddMinutes, [Instant, Number(n)]) if n.fraction == 0 => Instant,
        (Function::MinutesBetween, [Instant, Instant]) => Number(Digits::whole(19)),
        _ => return None,
    };
    Some((found, false))
}

/// Carries a function out. The types were checked; anything else is unknown.
pub(crate) fn call<'a>(
    function: Function,
    mut values: Vec<Value<'a>>,
    now: Timestamp,
    offset_minutes: i32,
) -> Result<Value<'a>, Stop> {
    let second = if values.len() > 1 { values.pop() } else { None };
    let first = values.pop();
    Ok(match (function, first, second) {
        (Function::Abs, Some(Value::Number(n)), None) => Value::Number(n.abs()),
        (Function::Round(scale), Some(Value::Number(n)), None) => Value::Number(round(&n, scale)),
        (Function::Divide(scale), Some(Value::Number(a)), Some(Value::Number(b))) => {
            divide(&a, &b, scale).map_or(Value::Absent, Value::Number)
        }
        (Function::Least | Function::Greatest, Some(a), Some(b)) => {
            let order = a.order(&b).ok_or(Stop::Unknown)?;
            if order.is_le() == (function == Function::Least) { a } else { b }
        }
        (Function::Number, Some(Value::Text(t)), None) => number(&t),
        (Function::LengthOfText, Some(Value::Text(t)), None) => count(t.chars().count()),
        (Function::Slice { from, len }, Some(Value::Text(t)), None) => Value::Text(slice(t, from, len)),
        (Function::Concat, Some(Value::Text(a)), Some(Value::Text(b))) => {
            let mut text = a.into_owned();
            text.push_str(&b);
            Value::Text(text.into())
        }
        (Function::StartsWith, Some(Value::Text(t)), Some(Value::Text(p))) => Value::Bool(t.starts_with(&*p)),
        (Function::IsDigits, Some(Value::Text(t)), None) => {
            Value::Bool(!t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))
        }
        (Function::Today, None, None) => Value::Date(local_date(now, offset_minutes)),
        (Function::Now, None, None) => Value::Instant(now),
        (Function::DateOf, Some(Value::Instant(t)), None) => Value::Date(local_date(t, offset_minutes)),
        (Function::Year, Some(Value::Date(d)), None) => Value::Number(BigDecimal::from(d.year())),
        (Function::AddDays, Some(Value::Date(d)), Some(Value::Number(n))) => {
            // More days than any calendar has end at its last or first day.
            let days = whole(&n).clamp(-4_000_000, 4_000_000);
            Value::Date(d.saturating_add(time::Duration::days(days)))
        }
        (Function::AddMonths, Some(Value::Date(d)), Some(Value::Number(n))) => {
            Value::Date(add_months(d, whole(&n)))
        }
        (Function::DaysBetween, Some(Value::Date(a)), Some(Value::Date(b))) => {
            Value::Number(BigDecimal::from((b - a).whole_days()))
        }
        (Function::AddMinutes, Some(Value::Instant(t)), Some(Value::Number(n))) => {
            let millis = whole(&n).saturating_mul(60_000);
            Value::Instant(Timestamp::from_millis(t.as_millis().saturating_add(millis)))
        }
        (Function::MinutesBetween, Some(Value::Instant(a)), Some(Value::Instant(b))) => {
            let millis = b.as_millis().saturating_sub(a.as_millis());
            Value::Number(BigDecimal::from(millis.div_euclid(60_000)))
        }
        _ => return Err(Stop::Unknown),
    })
}

pub(crate) fn count(n: usize) -> Value<'static> {
    Value::Number(BigDecimal::from(u64::try_from(n).unwrap_or(u64::MAX)))
}

fn number(text: &str) -> Value<'static> {
    let digits = text.split_once('.').map_or((text.len(), 0), |(w, f)| (w.len(), f.len()));
    if digits.0 > READ.whole as usize || digits.1 > READ.fraction as usize {
        return Value::Absent;
    }
    crate::decimal(text).map_or(Value::Absent, Value::Number)
}

fn slice(text: Cow<'_, str>, from: u32, len: u32) -> Cow<'_, str> {
    let (skip, len) = (from.saturating_sub(1) as usize, len as usize);
    let cut = |t: &str| {
        let place = |n: usize| t.char_indices().nth(n).map_or(t.len(), |(i, _)| i);
        (place(skip), place(skip.saturating_add(len)))
    };
    match text {
        Cow::Borrowed(t) => {
            let (from, to) = cut(t);
            Cow::Borrowed(&t[from..to])
        }
        Cow::Owned(t) => {
            let (from, to) = cut(&t);
            Cow::Owned(t[from..to].to_owned())
        }
    }
}

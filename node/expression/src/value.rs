//! Values that expressions come to.

use bigdecimal::BigDecimal;
use eport_model::Timestamp;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// Nothing is there.
    Absent,
    /// True or false.
    Bool(bool),
    /// Text.
    Text(Cow<'a, str>),
    /// An exact decimal.
    Number(BigDecimal),
    /// A local calendar date.
    Date(Date),
    /// An instant.
    Instant(Timestamp),
}

impl Value<'_> {
    /// The order of two values of one type that have one; `None` otherwise.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
            (Value::Instant(a), Value::Instant(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Absent => f.write_str("absent"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Text(t) => f.write_str(t),
            Value::Number(n) => f.write_str(&n.to_plain_string()),
            Value::Date(d) => write!(f, "{d}"),
            Value::Instant(t) => write!(f, "{}", t.as_millis()),
        }
    }
}

/// Reads `2018-01-10`.
pub fn parse_date(text: &str) -> Option<Date> {
    let b = text.as_bytes();
    let shape = b.len() == 10
        && b.iter().enumerate().all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !shape {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to).and_then(|d| d.parse::<u16>().ok());
    let month = Month::try_from(u8::try_from(number(5, 7)?).ok()?).ok()?;
    Date::from_calendar_date(i32::from(number(0, 4)?), month, u8::try_from(number(8, 10)?).ok()?).ok()
}

/// Reads an instant of RFC 3339; without offset it is local time at `offset_minutes`.
pub fn parse_instant(text: &str, offset_minutes: i32) -> Option<Timestamp> {
    // Only the capital T stands between date and time, so that one instant has one spelling less.
    if text.len() < 19 || text.len() > 40 || text.as_bytes()[10] != b'T' {
        return None;
    }
    let millis = |t: OffsetDateTime| i64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok();
    if let Ok(zoned) = OffsetDateTime::parse(text, &Rfc3339) {
        return millis(zoned).map(Timestamp::from_millis);
    }
    let mut zoned = String::with_capacity(text.len() + 1);
    zoned.push_str(text);
    zoned.push('Z');
    let local = millis(OffsetDateTime::parse(&zoned, &Rfc3339).ok()?)?;
    Some(Timestamp::from_millis(local.saturating_sub(i64::from(offset_minutes) * 60_000)))
}

/// The local date of an instant; instants beyond the calendar have its last or first day.
pub fn local_date(at: Timestamp, offset_minutes: i32) -> Date {
    let local = at.as_millis().saturating_add(i64::from(offset_minutes) * 60_000);
    match OffsetDateTime::from_unix_timestamp(local.div_euclid(1000)) {
        Ok(t) => t.date(),
        Err(_) if local < 0 => Date::MIN,
        Err(_) => Date::MAX,
    }
}

/// The same day so many months later, or the last day of a shorter month.
pub(crate) fn add_months(date: Date, months: i64) -> Date {
    let count = i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1;
    let target = count.saturating_add(months);
    let found = || {
        let year = i32::try_from(target.div_euclid(12)).ok()?;
        let month = Month::try_from(u8::try_from(target.rem_euclid(12) + 1).ok()?).ok()?;
        Date::from_calendar_date(year, month, date.day().min(month.length(year))).ok()
    };
    found().unwrap_or(if months < 0 { Date::MIN } else { Date::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        parse_date(text).unwrap()
    }

    #[test]
    fn a_date_is_a_day_that_exists() {
        assert!(parse_date("2016-02-29").is_some());
        for bad in [
            "2018-02-29",
            "2018-13-01",
            "2018-00-01",
            "2018-1-01",
            "2018/01/01",
            "",
            "２018-01-0",
            "2018-01-01T",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn months_end_on_the_same_day_or_the_last_of_a_shorter_month() {
        for (from, months, to) in [
            ("2018-01-31", 1, "2018-02-28"),
            ("2016-01-31", 1, "2016-02-29"),
            ("2018-08-31", 6, "2019-02-28"),
            ("2018-03-15", -3, "2017-12-15"),
            ("2018-12-31", 12, "2019-12-31"),
        ] {
            assert_eq!(add_months(date(from), months), date(to), "{from} {months}");
        }
        assert_eq!(add_months(date("2018-01-01"), i64::MAX), Date::MAX);
        assert_eq!(add_months(date("2018-01-01"), i64::MIN), Date::MIN);
    }

    #[test]
    fn a_day_is_that_of_the_place() {
        // 2018-01-31T22:00Z is February in Shanghai.
        let at = parse_instant("2018-01-31T22:00:00Z", 480).unwrap();
        assert_eq!(local_date(at, 480), date("2018-02-01"));
        assert_eq!(local_date(at, 0), date("2018-01-31"));
        assert_eq!(parse_instant("2018-02-01T06:00:00", 480), Some(at));
        assert_eq!(local_date(Timestamp::from_millis(i64::MAX), 480), Date::MAX);
        assert_eq!(local_date(Timestamp::from_millis(i64::MIN), -480), Date::MIN);
    }
}

//! Instants as people write them: civil dates and times of Asia/Shanghai.
//!
//! The zone is the fixed offset +08:00 (a source without an offset is +08:00, domain §0). The summer times of 1986 to
//! 1991 are left out on purpose: effective instants of published tables are stated in standard time.

use eport_identity::ParseError;
use eport_model::Timestamp;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// What Asia/Shanghai is ahead of UTC, in milliseconds: eight hours.
pub const SHANGHAI_OFFSET_MS: i64 = 8 * 3_600_000;

const ZONE: UtcOffset = offset!(+8);

/// Reads an instant: a date (`2018-01-10`, its first moment in Shanghai), a local time (`2018-01-10T08:30[:00]`,
/// Shanghai) or RFC 3339 with an offset.
pub fn parse_instant(text: &str) -> Result<Timestamp, ParseError> {
    let text = text.trim();
    if let Some(day) = parse_date(text) {
        return Ok(start_of(day));
    }
    let local =
        PrimitiveDateTime::parse(text, format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]"))
            .or_else(|_| {
                PrimitiveDateTime::parse(text, format_description!("[year]-[month]-[day]T[hour]:[minute]"))
            });
    if let Ok(local) = local {
        return Ok(timestamp(local.assume_offset(ZONE)));
    }
    OffsetDateTime::parse(text, &Rfc3339).map(timestamp).map_err(|_| ParseError {
        what: "date or time",
        input: text.chars().take(64).collect(),
        reason: "2018-01-10, 2018-01-10T08:30 (Shanghai) or RFC 3339 with offset is needed",
    })
}

/// The first moment of a civil date `YYYY-MM-DD` in Shanghai; `None` when there is no such date.
pub fn start_of_day(date: &str) -> Option<Timestamp> {
    parse_date(date).map(start_of)
}

/// The civil date in Shanghai at an instant, `YYYY-MM-DD`.
pub fn civil_date(at: Timestamp) -> String {
    let d = local(at).date();
    format!("{:04}-{:02}-{:02}", d.year(), u8::from(d.month()), d.day())
}

/// An instant as RFC 3339 with Shanghai's offset; milliseconds are shown only when there are some.
pub fn rfc3339(at: Timestamp) -> String {
    local(at).format(&Rfc3339).unwrap_or_else(|_| format!("{}ms", at.as_millis()))
}

fn parse_date(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

fn start_of(day: Date) -> Timestamp {
    timestamp(day.midnight().assume_offset(ZONE))
}

fn timestamp(at: OffsetDateTime) -> Timestamp {
    let ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
    // The calendar of `time` ends at year 9999, far inside 64 bits of milliseconds.
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The wall clock in Shanghai. Instants outside the calendar are shown as its nearest end.
fn local(at: Timestamp) -> OffsetDateTime {
    const YEAR_9999_MS: i64 = 253_402_128_000_000;
    const YEAR_0001_MS: i64 = -62_135_596_800_000;
    let ms = at.as_millis().clamp(YEAR_0001_MS, YEAR_9999_MS);
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .expect("the value was clamped to the calendar")
        .to_offset(ZONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_civil_date_is_its_first_moment_in_shanghai() {
        let day = parse_instant("2018-01-10").unwrap();
        assert_eq!(day, parse_instant("2018-01-09T16:00:00Z").unwrap());
        assert_eq!(day, parse_instant("2018-01-10T00:00").unwrap());
        assert_eq!(rfc3339(day), "2018-01-10T00:00:00+08:00");
        assert_eq!(civil_date(day), "2018-01-10");
        assert_eq!(civil_date(day.plus_millis(-1)), "2018-01-09", "23:59:59.999 is still the day before");
        assert_eq!(start_of_day("2018-01-10"), Some(day));
        for bad in ["2018-02-30", "2018-1-1", "10.01.2018", "", "tomorrow", "2018-01-10T25:00"] {
            assert!(parse_instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_instant_can_be_printed() {
        for ms in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert!(!rfc3339(Timestamp::from_millis(ms)).is_empty());
            assert_eq!(civil_date(Timestamp::from_millis(ms)).len(), 10);
        }
    }
}

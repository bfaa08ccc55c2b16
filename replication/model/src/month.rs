//! A calendar month in Chinese time. Prints as `YYYY-MM`.

use crate::{ParseError, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Accounts are kept by the month of Asia/Shanghai, which has had one offset since 1991.
const OFFSET_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// A month: year times 12 plus the month from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Month(u32);

impl Month {
    /// The month that an instant lies in.
    pub fn of(at: Timestamp) -> Self {
        let days = at.as_millis().saturating_add(OFFSET_MS).div_euclid(DAY_MS);
        // Days are counted from March 1st of year 0, so that leap days stand at the end of a year; 400 years have 146 097 days.
        let shifted = days.saturating_add(719_468);
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 2 } else { from_march - 10 };
        let year = year + era * 400 + i64::from(month < 2);
        Self(u32::try_from(year.saturating_mul(12).saturating_add(month)).unwrap_or(0))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Month {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let fail =
            || ParseError { what: "month", input: s.chars().take(64).collect(), reason: "YYYY-MM is needed" };
        let (year, month) = s.split_once('-').ok_or_else(fail)?;
        let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(fail());
        }
        let (year, month): (u32, u32) =
            (year.parse().map_err(|_| fail())?, month.parse().map_err(|_| fail())?);
        if (1..=12).contains(&month) { Ok(Self(year * 12 + month - 1)) } else { Err(fail()) }
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
        } else {
            Ok(Self(u32::deserialize(d)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_in_china() {
        for (ms, month) in [
            (0, "1970-01"),
            (1_517_414_399_999, "2018-01"),
            (1_517_414_400_000, "2018-02"),
            (1_582_991_999_999, "2020-02"),
            (1_582_992_000_000, "2020-03"),
            (1_609_430_399_999, "2020-12"),
            (1_609_430_400_000, "2021-01"),
            (951_839_999_999, "2000-02"),
            (951_840_000_000, "2000-03"),
            (-1, "1970-01"),
            (-28_800_001, "1969-12"),
        ] {
            assert_eq!(Month::of(Timestamp::from_millis(ms)).to_string(), month, "{ms}");
        }
        // Absurd instants are some month, not a panic.
        for ms in [i64::MIN, i64::MAX] {
            let _ = Month::of(Timestamp::from_millis(ms)).to_string();
        }
    }

    #[test]
    fn what_is_printed_is_read_and_nothing_else() {
        let month: Month = "2018-09".parse().unwrap();
        assert_eq!(
            (month.to_string().as_str(), serde_json::to_string(&month).unwrap().as_str()),
            ("2018-09", "\"2018-09\"")
        );
        for bad in
            ["", "2018", "2018-13", "2018-00", "18-01", "2018-1", "2018-01-01", "2018-+1", "二〇一八-01"]
        {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }
}

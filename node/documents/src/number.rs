//! Document numbers given to outsiders (ID-02): a letter, the local year, thirteen digits. Never reused.
//!
//! The digits come from a block that the registry bound to the platform's epoch, so two epochs never share a number.

use eport_model::{ParseError, Timestamp};
use std::fmt;
use std::str::FromStr;

/// Largest number that thirteen digits can print.
pub const NUMBER_MAX: u64 = 9_999_999_999_999;

/// A document's number, for example `E20180000000000001`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DocId {
    letter: u8,
    year: u16,
    number: u64,
}

impl DocId {
    /// Makes a number of the year in which `at` lies locally. `None` when the digits do not hold it.
    pub fn new(letter: char, at: Timestamp, utc_offset_minutes: i32, number: u64) -> Option<Self> {
        let letter = u8::try_from(letter).ok().filter(u8::is_ascii_uppercase)?;
        let year = local_year(at, utc_offset_minutes)?;
        (1..=NUMBER_MAX).contains(&number).then_some(Self { letter, year, number })
    }

    /// The digits taken from the block.
    pub fn number(&self) -> u64 {
        self.number
    }
}

fn local_year(at: Timestamp, utc_offset_minutes: i32) -> Option<u16> {
    let seconds = at.as_millis().div_euclid(1000).checked_add(i64::from(utc_offset_minutes) * 60)?;
    let year = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?.year();
    u16::try_from(year).ok().filter(|y| (1..=9999).contains(y))
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"A00000000000000000";
        text[0] = self.letter;
        let (mut year, mut number) = (u64::from(self.year), self.number);
        for (from, to, rest) in [(1, 5, &mut year), (5, 18, &mut number)] {
            for digit in text[from..to].iter_mut().rev() {
                *digit = b'0' + (*rest % 10) as u8;
                *rest /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for DocId {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let parse = || {
            let b = s.as_bytes();
            if b.len() != 18 || !b[0].is_ascii_uppercase() || !b[1..].iter().all(u8::is_ascii_digit) {
                return None;
            }
            Some(Self { letter: b[0], year: s[1..5].parse().ok()?, number: s[5..].parse().ok()? })
        };
        parse().ok_or_else(|| ParseError {
            what: "document number",
            input: s.chars().take(64).collect(),
            reason: "a capital letter and 17 digits are needed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_carries_the_local_year_and_survives_its_text() {
        // 2017-12-31T16:00Z is midnight of the new year at +08:00.
        let newyear = Timestamp::from_millis(1_514_736_000_000);
        let id = DocId::new('E', newyear, 480, 1).unwrap();
        assert_eq!(id.to_string(), "E20180000000000001");
        assert_eq!(
            DocId::new('E', newyear.plus_millis(-1), 480, 1).unwrap().to_string(),
            "E20170000000000001"
        );
        assert_eq!(id.to_string().parse::<DocId>().unwrap(), id);
        assert_eq!(DocId::new('E', newyear, 480, NUMBER_MAX + 1), None);
        for bad in ["", "e20180000000000001", "E2018000000000001", "E2018000000000000Ａ"] {
            assert!(bad.parse::<DocId>().is_err(), "{bad}");
        }
    }
}

//! Exact decimals: reading, bounded digits, rounding half away from zero, division to a declared scale.

use crate::DIGITS_MAX;
use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use std::str::FromStr;

/// The most digits a number has before and behind its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digits {
    /// Before.
    pub whole: u32,
    /// Behind.
    pub fraction: u32,
}

impl Digits {
    /// Those of a whole number.
    pub fn whole(whole: u32) -> Self {
        Self { whole, fraction: 0 }
    }

    pub(crate) fn sum(self, other: Self) -> Self {
        Self { whole: self.whole.max(other.whole) + 1, fraction: self.fraction.max(other.fraction) }
    }

    pub(crate) fn either(self, other: Self) -> Self {
        Self { whole: self.whole.max(other.whole), fraction: self.fraction.max(other.fraction) }
    }

    pub(crate) fn product(self, other: Self) -> Self {
        Self { whole: self.whole + other.whole, fraction: self.fraction + other.fraction }
    }

    /// Of the sum of so many numbers.
    pub(crate) fn times(self, n: u64) -> Self {
        Self { whole: self.whole + n.checked_ilog10().unwrap_or(0) + 1, fraction: self.fraction }
    }

    pub(crate) fn bearable(self) -> bool {
        self.whole + self.fraction <= DIGITS_MAX
    }
}

/// Reads plain digits with at most one point, as documents and packs write decimals; `None` for anything else.
pub fn decimal(text: &str) -> Option<BigDecimal> {
    if text.len() > DIGITS_MAX as usize {
        return None;
    }
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || fraction.is_some_and(|f| !digits(f)) {
        return None;
    }
    // Nearly every number fits in here, and the general way reads a text digit by digit on the heap.
    let scale = fraction.map_or(0, str::len);
    if whole.len() + scale <= 18 {
        let value = whole.bytes().chain(fraction.unwrap_or("").bytes());
        let value = value.fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
        return Some(BigDecimal::from((value, scale as i64)));
    }
    BigDecimal::from_str(text).ok()
}

/// The digits of a number as it is written.
pub(crate) fn digits_of(value: &BigDecimal) -> Digits {
    let (_, scale) = value.as_bigint_and_exponent();
    let fraction = u32::try_from(scale.max(0)).unwrap_or(u32::MAX);
    let digits = u32::try_from(value.digits()).unwrap_or(u32::MAX);
    Digits { whole: digits.saturating_sub(fraction).max(1), fraction }
}

/// Rounds half away from zero.
pub(crate) fn round(value: &BigDecimal, scale: u32) -> BigDecimal {
    value.with_scale_round(i64::from(scale), RoundingMode::HalfUp)
}

/// `a ÷ b` to `scale` digits behind the point, half away from zero, rounded once from the exact quotient. `None` when b is 0.
pub(crate) fn divide(a: &BigDecimal, b: &BigDecimal, scale: u32) -> Option<BigDecimal> {
    if b.is_zero() {
        return None;
    }
    let ((a, a_scale), (b, b_scale)) = (a.as_bigint_and_exponent(), b.as_bigint_and_exponent());
    let shift = i64::from(scale) + b_scale - a_scale;
    let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).ok()?);
    let (above, below) = if shift >= 0 { (a * power, b) } else { (a, b * power) };
    let (quotient, rest) = (&above / &below, &above % &below);
    let negative = (above.sign() == Sign::Minus) != (below.sign() == Sign::Minus);
    let up = BigInt::from(2) * magnitude(rest) >= magnitude(below);
    let step = BigInt::from(i32::from(up) * if negative { -1 } else { 1 });
    Some(BigDecimal::new(quotient + step, i64::from(scale)))
}

fn magnitude(n: BigInt) -> BigInt {
    BigInt::from_biguint(Sign::Plus, n.into_parts().1)
}

/// A whole number as an `i64`; numbers beyond go to its ends.
pub(crate) fn whole(value: &BigDecimal) -> i64 {
    let (n, _) = value.with_scale_round(0, RoundingMode::Down).into_bigint_and_exponent();
    let end = if n.sign() == Sign::Minus { i64::MIN } else { i64::MAX };
    i64::try_from(n).unwrap_or(end)
}

/// A number as people write it, without exponent.
pub fn plain(value: &BigDecimal) -> String {
    value.to_plain_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> BigDecimal {
        BigDecimal::from_str(text).unwrap()
    }

    #[test]
    fn a_half_is_rounded_away_from_zero_on_both_sides() {
        for (value, scale, expected) in [
            ("2.345", 2, "2.35"),
            ("-2.345", 2, "-2.35"),
            ("2.344999", 2, "2.34"),
            ("0.5", 0, "1"),
            ("-0.5", 0, "-1"),
        ] {
            assert_eq!(round(&d(value), scale), d(expected), "{value}");
        }
    }

    #[test]
    fn a_quotient_is_rounded_once_from_its_exact_value() {
        for (a, b, scale, expected) in [
            ("1", "3", 5, "0.33333"),
            ("2", "3", 5, "0.66667"),
            ("-2", "3", 5, "-0.66667"),
            ("2", "-3", 0, "-1"),
            ("1", "8", 2, "0.13"),
            ("-1", "8", 2, "-0.13"),
            ("0.95", "0.95", 9, "1.000000000"),
            ("100000", "0.00001", 0, "10000000000"),
            ("1", "1000000", 3, "0.000"),
        ] {
            assert_eq!(divide(&d(a), &d(b), scale), Some(d(expected)), "{a} / {b}");
        }
        assert_eq!(divide(&d("1"), &d("0.00"), 2), None);
    }

    #[test]
    fn only_plain_digits_are_a_decimal_and_both_ways_read_them_alike() {
        for good in ["0", "105000.000000", "0.00005", "999999999999999999", "12345678901234567890.12345"] {
            assert_eq!(decimal(good), Some(d(good)), "{good}");
        }
        for bad in
            ["", ".", "1.", ".5", "-1", "+1", "1e9", "1e1000000000", "１", "1 ", "1.2.3", &"9".repeat(129)]
        {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }

    #[test]
    fn whole_numbers_beyond_the_range_go_to_its_ends() {
        assert_eq!(whole(&d("99999999999999999999999")), i64::MAX);
        assert_eq!(whole(&d("-99999999999999999999999")), i64::MIN);
        assert_eq!(whole(&d("-3.9")), -3);
    }
}

//! Quantities of accounts: exact, five digits behind the point (cross-checks §1.3), never a floating-point number.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Digits behind the point.
const SCALE: u32 = 5;
/// One, in units of the last digit.
const ONE: i128 = 100_000;
/// Largest amount, in units of the last digit: 10^24, a hundred thousand times the largest field of a document (dec(19,5)). Sums
/// and products with terms stay far inside `i128`.
const MAX: i128 = 1_000_000_000_000_000_000_000_000;

/// A quantity in units of 0.00001. Between −10^19 and 10^19.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Amount(i128);

/// Why something is no amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal.
    #[error("a plain decimal like 105.00001 is needed")]
    Text,
    /// More than five digits behind the point.
    #[error("at most 5 digits behind the point are kept")]
    Fine,
    /// Beyond what any account may hold.
    #[error("the amount exceeds what an account may hold")]
    Size,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// The largest amount; no account grants so much.
    pub const LARGEST: Amount = Amount(MAX);

    /// A whole number.
    pub const fn whole(n: u32) -> Self {
        Self(n as i128 * ONE)
    }

    /// An exact decimal; what is finer than the last digit is rounded up, never down.
    pub fn rounded_up(value: &BigDecimal) -> Result<Self, AmountError> {
        let units = value.with_scale_round(i64::from(SCALE), RoundingMode::Ceiling);
        let (units, scale) = units.into_bigint_and_exponent();
        debug_assert_eq!(scale, i64::from(SCALE));
        Self::bounded(&units)
    }

    fn bounded(units: &BigInt) -> Result<Self, AmountError> {
        units.to_i128().filter(|u| u.abs() <= MAX).map(Self).ok_or(AmountError::Size)
    }

    /// The units of 0.00001.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// True for 0.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// True below 0.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum; `None` beyond what an account may hold.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).filter(|u| u.abs() <= MAX).map(Self)
    }

    /// The difference; `None` beyond what an account may hold.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self(-other.0))
    }

    /// The sum of many.
    pub fn sum(items: impl IntoIterator<Item = Amount>) -> Option<Self> {
        items.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// Whether this is at most `limit × (1 + tolerance ÷ 10 000)`, exactly.
    pub fn within(self, limit: Self, tolerance: u32) -> bool {
        self.0 * 10_000 <= limit.0 * (10_000 + i128::from(tolerance))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / ONE as u128, self.0.unsigned_abs() % ONE as u128);
        let sign = if self.0 < 0 { "-" } else { "" };
        if rest == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let text = format!("{sign}{whole}.{rest:05}");
        f.pad(text.trim_end_matches('0'))
    }
}

impl FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, behind) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(behind) {
            return Err(AmountError::Text);
        }
        let behind = behind.trim_end_matches('0');
        if behind.len() > SCALE as usize {
            return Err(AmountError::Fine);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > 20 {
            return Err(AmountError::Size);
        }
        let units: i128 = format!("0{whole}{behind:0<5}").parse().map_err(|_| AmountError::Text)?;
        if units > MAX { Err(AmountError::Size) } else { Ok(Self(sign * units)) }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // JSON knows no exact decimals: texts there, whole numbers in rows.
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if from.is_human_readable() {
            return String::deserialize(from)?.parse().map_err(D::Error::custom);
        }
        let units = i128::deserialize(from)?;
        if units.checked_abs().is_some_and(|u| u <= MAX) {
            Ok(Self(units))
        } else {
            Err(D::Error::custom(AmountError::Size))
        }
    }
}

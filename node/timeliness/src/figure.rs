//! Figures with two decimals.

use std::fmt;

/// A figure in hundredths: hours, or percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Figure(pub i64);

/// The quotient rounded to a whole number, half away from zero. `None` for a divisor of 0, or beyond 64 bits.
pub fn round_half_away(dividend: i128, divisor: i128) -> Option<i64> {
    let (sign, up, down) = (dividend.signum() * divisor.signum(), dividend.abs(), divisor.abs());
    let rounded = up.checked_mul(2)?.checked_add(down)?.checked_div(down.checked_mul(2)?)?;
    i64::try_from(sign * rounded).ok()
}

impl Figure {
    /// Seconds, as a quotient, in hours.
    pub(crate) fn hours(seconds: i128, divisor: i128) -> Option<Self> {
        round_half_away(seconds.checked_mul(100)?, divisor.checked_mul(3_600)?).map(Self)
    }

    /// A quotient in percent.
    pub fn percent(part: i128, whole: i128) -> Option<Self> {
        round_half_away(part.checked_mul(10_000)?, whole).map(Self)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{:02}", self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100))
    }
}

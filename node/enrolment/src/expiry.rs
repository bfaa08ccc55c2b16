//! When the end of a certificate is near enough to be said.

use serde::Serialize;

/// What a forecast looks ahead.
pub const FORECAST_DAYS: i64 = 90;

/// How near an end is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// It is over.
    Over,
    /// A person must act now.
    Soon,
    /// Far enough.
    Far,
}

/// How near the end of a certificate is: soon in the last fifth of its life, for a CA in the last 90 days or fifth, whichever is
/// longer, because its successor needs a ceremony.
pub fn soon(now: i64, from: i64, to: i64, of_ca: bool) -> Ends {
    let fifth = to.saturating_sub(from).max(0) / 5;
    let ahead = if of_ca { fifth.max(FORECAST_DAYS * 86_400_000) } else { fifth };
    match to.saturating_sub(now) {
        left if left < 0 => Ends::Over,
        left if left < ahead => Ends::Soon,
        _ => Ends::Far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_said_in_the_last_fifth_and_of_a_ca_at_least_ninety_days_before() {
        const DAY: i64 = 86_400_000;
        assert_eq!(soon(23 * DAY, 0, 30 * DAY, false), Ends::Far);
        assert_eq!(soon(25 * DAY, 0, 30 * DAY, false), Ends::Soon);
        assert_eq!(soon(30 * DAY + 1, 0, 30 * DAY, false), Ends::Over);
        assert_eq!(soon(20 * DAY, 0, 100 * DAY, true), Ends::Soon);
        assert_eq!(soon(1_400 * DAY, 0, 1_825 * DAY, true), Ends::Far);
        assert_eq!(soon(0, i64::MIN, i64::MAX, true), Ends::Far);
    }
}

//! Availability as the product defines it: a minute of a platform is bad when fewer than 99 % of the canary submissions at its public
//! API succeed within two seconds; the goal is 99.95 % of the minutes.
//!
//! Always holds: `good + bad + unmeasured = minutes` of the period that has passed; a minute without any canary is unmeasured, never
//! good: whoever does not measure cannot claim. Times are arguments; minutes are counted from 1970 in UTC.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A submission must have succeeded within this time.
pub const WITHIN_MS: u64 = 2_000;
/// Of a hundred canaries of a minute so many must succeed.
pub const SHARE_MIN: u64 = 99;
/// The goal, in hundredths of a percent of the minutes.
pub const GOAL: u64 = 9_995;
/// Outages listed in a report at most, longest first.
pub const OUTAGES_MAX: usize = 50;

const MINUTE_MS: i64 = 60_000;

/// One canary: when it was sent, and when the promise of the platform came, if it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Canary {
    /// When it was first sent, in milliseconds since 1970.
    pub sent_ms: i64,
    /// How long until the platform promised to hold it; `None` where it never did.
    pub took_ms: Option<u64>,
}

impl Canary {
    /// Whether it counts as a success.
    pub fn good(&self) -> bool {
        self.took_ms.is_some_and(|ms| ms <= WITHIN_MS)
    }
}

/// What the canaries of one minute showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Minute {
    /// Canaries sent.
    pub sent: u64,
    /// Of them, successes.
    pub good: u64,
}

impl Minute {
    /// Whether the minute is bad: fewer than 99 of a hundred succeeded.
    pub fn bad(&self) -> bool {
        self.good.saturating_mul(100) < self.sent.saturating_mul(SHARE_MIN)
    }
}

/// The minutes of one platform, by their number since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Minutes(BTreeMap<i64, Minute>);

impl Minutes {
    /// Counts one canary in the minute in which it was sent.
    pub fn add(&mut self, canary: Canary) {
        let minute = self.0.entry(canary.sent_ms.div_euclid(MINUTE_MS)).or_default();
        minute.sent = minute.sent.saturating_add(1);
        minute.good = minute.good.saturating_add(u64::from(canary.good()));
    }

    /// Adds what was counted before.
    pub fn add_minute(&mut self, number: i64, counted: Minute) {
        let minute = self.0.entry(number).or_default();
        minute.sent = minute.sent.saturating_add(counted.sent);
        // More successes than canaries would be a damaged record; it must not hide a bad minute.
        minute.good = minute.good.saturating_add(counted.good.min(counted.sent));
    }

    /// The report of a period: from its first millisecond to the one behind its last, of which only what has passed `now` counts.
    pub fn report(&self, from_ms: i64, to_ms: i64, now_ms: i64) -> Report {
        let first = from_ms.div_euclid(MINUTE_MS);
        // The minute that runs now is not over.
        let end = to_ms.div_euclid(MINUTE_MS).min(now_ms.div_euclid(MINUTE_MS)).max(first);
        let mut report = Report { minutes: u64::try_from(end - first).unwrap_or(0), ..Report::default() };
        let mut outages: Vec<Outage> = Vec::new();
        for (&number, minute) in self.0.range(first..end) {
            report.canaries = report.canaries.saturating_add(minute.sent);
            report.successes = report.successes.saturating_add(minute.good);
            if minute.sent == 0 {
                continue;
            }
            if !minute.bad() {
                report.good += 1;
                continue;
            }
            report.bad += 1;
            match outages.last_mut() {
                Some(o)
                    if o.from_ms + i64::try_from(o.minutes).unwrap_or(0) * MINUTE_MS
                        == number * MINUTE_MS =>
                {
                    o.minutes += 1;
                }
                _ => outages.push(Outage { from_ms: number * MINUTE_MS, minutes: 1 }),
            }
        }
        report.unmeasured = report.minutes.saturating_sub(report.good + report.bad);
        report.outages_total = outages.len() as u64;
        outages.sort_by_key(|o| (std::cmp::Reverse(o.minutes), o.from_ms));
        outages.truncate(OUTAGES_MAX);
        report.outages = outages;
        report
    }
}

/// Bad minutes one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Outage {
    /// Its first millisecond.
    pub from_ms: i64,
    /// How many minutes.
    pub minutes: u64,
}

/// What a period showed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Minutes of the period that have passed.
    pub minutes: u64,
    /// Good ones.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
    /// Those in which nothing was measured.
    pub unmeasured: u64,
    /// Canaries sent.
    pub canaries: u64,
    /// Of them, successes.
    pub successes: u64,
    /// Outages in all.
    pub outages_total: u64,
    /// The longest ones.
    pub outages: Vec<Outage>,
}

impl Report {
    /// Good minutes among those measured, in ten-thousandths of a percent rounded down; `None` where nothing was measured.
    pub fn availability_ppm(&self) -> Option<u64> {
        let measured = self.good + self.bad;
        (measured > 0).then(|| self.good.saturating_mul(1_000_000) / measured)
    }

    /// Whether the goal is kept by what was measured.
    pub fn keeps_goal(&self) -> Option<bool> {
        let measured = self.good + self.bad;
        (measured > 0).then(|| self.good.saturating_mul(10_000) >= measured.saturating_mul(GOAL))
    }

    /// Bad minutes that the goal still permits in the measured time; below zero it is broken.
    pub fn minutes_left(&self) -> i64 {
        let permitted = (self.good + self.bad).saturating_mul(10_000 - GOAL) / 10_000;
        i64::try_from(permitted).unwrap_or(i64::MAX) - i64::try_from(self.bad).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canaries(minutes: &mut Minutes, minute: i64, good: u64, late: u64, lost: u64) {
        let mut add = |took_ms, count| {
            (0..count).for_each(|_| minutes.add(Canary { sent_ms: minute * MINUTE_MS + 59_999, took_ms }));
        };
        add(Some(WITHIN_MS), good);
        add(Some(WITHIN_MS + 1), late);
        add(None, lost);
    }

    #[test]
    fn a_minute_is_bad_below_ninety_nine_of_a_hundred_and_unmeasured_without_a_canary() {
        let mut minutes = Minutes::default();
        canaries(&mut minutes, 10, 99, 1, 0);
        canaries(&mut minutes, 11, 98, 1, 1);
        canaries(&mut minutes, 12, 0, 0, 1);
        canaries(&mut minutes, 14, 60, 0, 0);
        let report = minutes.report(10 * MINUTE_MS, 20 * MINUTE_MS, 16 * MINUTE_MS + 5);
        assert_eq!((report.minutes, report.good, report.bad, report.unmeasured), (6, 2, 2, 2));
        assert_eq!(report.outages, [Outage { from_ms: 11 * MINUTE_MS, minutes: 2 }]);
        assert_eq!(report.availability_ppm(), Some(500_000));
        assert_eq!((report.keeps_goal(), report.minutes_left()), (Some(false), -2));
    }

    #[test]
    fn a_month_keeps_its_goal_with_twenty_one_bad_minutes_and_not_with_twenty_two() {
        let month = 30 * 24 * 60;
        for (bad, kept, left) in [(21, true, 0), (22, false, -1)] {
            let mut minutes = Minutes::default();
            for n in 0..month {
                minutes.add_minute(n, Minute { sent: 60, good: if n < bad { 0 } else { 60 } });
            }
            let report = minutes.report(0, month * MINUTE_MS, i64::MAX);
            assert_eq!((report.keeps_goal(), report.minutes_left()), (Some(kept), left), "{bad}");
            assert_eq!(report.unmeasured, 0);
        }
    }

    #[test]
    fn what_is_not_measured_is_neither_good_nor_bad_and_the_future_counts_for_nothing() {
        let minutes = Minutes::default();
        let report = minutes.report(0, 100 * MINUTE_MS, 40 * MINUTE_MS);
        assert_eq!((report.minutes, report.unmeasured), (40, 40));
        assert_eq!((report.availability_ppm(), report.keeps_goal()), (None, None));
        assert_eq!(minutes.report(100 * MINUTE_MS, 200 * MINUTE_MS, 40 * MINUTE_MS).minutes, 0);
        let mut minutes = Minutes::default();
        minutes.add_minute(-1, Minute { sent: 1, good: 9 });
        assert_eq!(
            minutes.report(-MINUTE_MS, 0, 0).successes,
            1,
            "a damaged record does not claim more than it sent"
        );
    }

    #[test]
    fn outages_are_joined_over_neighbouring_minutes_and_the_longest_come_first() {
        let mut minutes = Minutes::default();
        for n in [1, 5, 6, 7, 9] {
            canaries(&mut minutes, n, 0, 1, 0);
        }
        let outages = minutes.report(0, 20 * MINUTE_MS, i64::MAX).outages;
        let seen: Vec<(i64, u64)> = outages.iter().map(|o| (o.from_ms / MINUTE_MS, o.minutes)).collect();
        assert_eq!(seen, [(5, 3), (1, 1), (9, 1)]);
    }
}

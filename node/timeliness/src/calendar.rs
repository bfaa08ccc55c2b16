//! Working time (timeliness.md §4): the overlap of an interval with the working windows of an office.

use std::collections::{BTreeMap, BTreeSet};
use time::{Date, Weekday};

/// A working window of a day, in seconds from its local midnight; an end beyond 86 400 lies on the next day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Begin, 0 to 86 400.
    pub from: i64,
    /// End, after the begin.
    pub to: i64,
}

/// When an office works, in local time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calendar {
    /// Windows of each weekday, Monday first.
    pub week: [Vec<Window>; 7],
    /// Days without work.
    pub closed: BTreeSet<Date>,
    /// Working days that make up for others, with the weekday whose windows hold.
    pub make_up: BTreeMap<Date, Weekday>,
    /// Minutes that local time is ahead of UTC.
    pub offset_minutes: i64,
}

/// Longest interval that is measured: 400 days.
const DAYS_MAX: i64 = 400;

impl Calendar {
    /// Working seconds of the interval from `start` to `end`, seconds since 1970-01-01T00:00:00Z. `None` where it is longer than 400 days.
    pub fn working(&self, start: i64, end: i64) -> Option<i64> {
        let (start, end) = (start + self.offset_minutes * 60, end + self.offset_minutes * 60);
        let (first, last) = (start.div_euclid(86_400) - 1, end.div_euclid(86_400));
        if last - first > DAYS_MAX {
            return None;
        }
        // Windows of a day may overlap with those of the day before: covered time counts once.
        let (mut sum, mut covered) = (0, i64::MIN);
        for day in first..=last {
            for window in self.windows(day) {
                let from = (day * 86_400 + window.from).max(start).max(covered);
                let to = (day * 86_400 + window.to).min(end);
                if to > from {
                    sum += to - from;
                    covered = to;
                }
            }
        }
        Some(sum)
    }

    fn windows(&self, day: i64) -> &[Window] {
        let julian = i32::try_from(day + 2_440_588).ok();
        let Some(date) = julian.and_then(|j| Date::from_julian_day(j).ok()) else { return &[] };
        if self.closed.contains(&date) {
            return &[];
        }
        let weekday = self.make_up.get(&date).copied().unwrap_or(date.weekday());
        &self.week[usize::from(weekday.number_days_from_monday())]
    }
}

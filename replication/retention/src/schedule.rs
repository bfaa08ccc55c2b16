//! Periods and times of day as an operator writes them.

use eport_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What Asia/Shanghai is ahead of UTC, in milliseconds.
pub(crate) const ZONE_MS: i64 = 8 * 3_600_000;
/// A day in milliseconds.
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;
/// Longest period: ten years.
const PERIOD_MS_MAX: u64 = 3_660 * DAY_MS as u64;

/// A text that is no period or schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of: 30s, 15m, 6h, 7d, hourly, daily, weekly, or daily HH:MM")]
pub struct ScheduleError(pub String);

/// A length of time: `30s`, `15m`, `6h`, `7d`, `hourly`, `daily`, `weekly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(u64);

impl Period {
    /// So many milliseconds, at least one second.
    pub fn from_millis(ms: u64) -> Self {
        Self(ms.clamp(1_000, PERIOD_MS_MAX))
    }

    /// In milliseconds.
    pub fn as_millis(self) -> i64 {
        // Bounded by ten years.
        self.0 as i64
    }
}

impl FromStr for Period {
    type Err = ScheduleError;
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let fail = || ScheduleError(text.chars().take(40).collect());
        let (number, unit) = match text {
            "hourly" => ("1", 'h'),
            "daily" => ("1", 'd'),
            "weekly" => ("7", 'd'),
            _ => text.char_indices().next_back().map(|(at, unit)| (&text[..at], unit)).ok_or_else(fail)?,
        };
        let unit: u64 = match unit {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => DAY_MS as u64,
            _ => return Err(fail()),
        };
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|n| plain && *n > 0).ok_or_else(fail)?;
        number.checked_mul(unit).filter(|ms| *ms <= PERIOD_MS_MAX).map(Self).ok_or_else(fail)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms.is_multiple_of(DAY_MS as u64) => write!(f, "{}d", ms / DAY_MS as u64),
            ms if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            ms if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            ms => write!(f, "{}s", ms / 1_000),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = ScheduleError;
    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

/// When backups are made: after a period (`6h`), or every day at a time of Asia/Shanghai (`daily 02:30`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// So long after the one before.
    Every(Period),
    /// Every day at this minute of the civil day.
    Daily {
        /// Minutes since midnight.
        minute: u16,
    },
}

impl Schedule {
    /// How far apart two backups are.
    pub fn period(self) -> Period {
        match self {
            Schedule::Every(period) => period,
            Schedule::Daily { .. } => Period(DAY_MS as u64),
        }
    }

    /// When the next one is due after the one made at `last`.
    pub fn after(self, last: Timestamp) -> Timestamp {
        let last = last.as_millis();
        let due = match self {
            Schedule::Every(period) => last.saturating_add(period.as_millis()),
            Schedule::Daily { minute } => {
                let local = last.saturating_add(ZONE_MS);
                let day = local.div_euclid(DAY_MS);
                let at = |day: i64| day.saturating_mul(DAY_MS).saturating_add(i64::from(minute) * 60_000);
                let next = if local < at(day) { at(day) } else { at(day + 1) };
                next.saturating_sub(ZONE_MS)
            }
        };
        Timestamp::from_millis(due)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let Some(time) = text.strip_prefix("daily ") else { return text.parse().map(Schedule::Every) };
        let fail = || ScheduleError(text.chars().take(40).collect());
        let two =
            |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<u16>().ok());
        let (hour, minute) = time.split_once(':').ok_or_else(fail)?;
        match (two(hour).flatten(), two(minute).flatten()) {
            (Some(h), Some(m)) if h < 24 && m < 60 => Ok(Schedule::Daily { minute: h * 60 + m }),
            _ => Err(fail()),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Every(period) => period.fmt(f),
            Schedule::Daily { minute } => write!(f, "daily {:02}:{:02}", minute / 60, minute % 60),
        }
    }
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;
    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> String {
        schedule.to_string()
    }
}

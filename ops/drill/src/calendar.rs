//! When scheduled drills are due.

use eport_api_types::{DrillScheduleItem, from_rfc3339, rfc3339};
use eport_model::{RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// One date in the calendar.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub due: String,
    /// Name of the script.
    pub name: String,
    /// The platform.
    pub region: RegionCode,
    /// Who looks after it.
    pub owner: String,
    /// True when it is past.
    pub late: bool,
}

/// Dates at most: ten years of a daily drill.
const DATES_MAX: usize = 3_650;
const DAY_MS: i64 = 86_400_000;

/// The dates of all schedules until an instant, oldest first. What is late comes first and once.
pub fn calendar(schedules: &[DrillScheduleItem], now: Timestamp, until: Timestamp) -> Vec<Due> {
    let mut dates: Vec<(Timestamp, Due)> = Vec::new();
    for s in schedules {
        let Some(first) = from_rfc3339(&s.due) else { continue };
        let every = i64::from(s.every_days.max(1)).saturating_mul(DAY_MS);
        let mut at = first;
        while at <= until && dates.len() < DATES_MAX {
            let due = Due {
                due: rfc3339(at),
                name: s.name.clone(),
                region: s.region,
                owner: s.owner.clone(),
                late: at < now,
            };
            dates.push((at, due));
            // Whoever is late does it now: the next one counts from now.
            at = at.max(now).plus_millis(every);
        }
    }
    dates.sort_by(|a, b| (a.0, a.1.region, &a.1.name).cmp(&(b.0, b.1.region, &b.1.name)));
    dates.into_iter().map(|(_, d)| d).collect()
}

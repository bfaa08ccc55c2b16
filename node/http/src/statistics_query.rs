//! Questions about clearance timeliness: read from a query string, refused with what is wrong, passed on as they were.
//!
//! What always holds: days are local ones (+08:00); a question of the public is of whole months and has no filters.

use crate::problem::ApiError;
use eport_model::Timestamp;
use eport_platform::OFFSET_MINUTES;
use eport_timeliness::{By, DIMENSIONS, DURATIONS, Direction, Query as Question};
use serde::Deserialize;
use time::{Date, Month};

/// Months of one answer at most, where months are a dimension.
const MONTHS_MAX: usize = 36;
/// Values of one filter at most.
const ONLY_MAX: usize = 1_000;
/// Figures stay preliminary until this day of the next month, 00:00 local time (timeliness.md §6).
const FINAL_DAY: u8 = 5;

/// What is asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatisticsQuery {
    pub(crate) platform: Option<String>,
    direction: Option<String>,
    duration: Option<String>,
    pub(crate) month: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) view: Option<String>,
    pub(crate) compare: Option<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) page_token: Option<String>,
    mode: Option<String>,
    port: Option<String>,
    place: Option<String>,
    district: Option<String>,
    office: Option<String>,
    trader: Option<String>,
    declarant: Option<String>,
    chapter: Option<String>,
    trade_mode: Option<String>,
    declare_mode: Option<String>,
    inspected: Option<String>,
    dutiable: Option<String>,
}

impl StatisticsQuery {
    /// Filters by the names of their dimensions.
    fn filters(&self) -> [(&'static str, &Option<String>); 12] {
        [
            ("mode", &self.mode),
            ("port", &self.port),
            ("place", &self.place),
            ("district", &self.district),
            ("office", &self.office),
            ("trader", &self.trader),
            ("declarant", &self.declarant),
            ("chapter", &self.chapter),
            ("trade_mode", &self.trade_mode),
            ("declare_mode", &self.declare_mode),
            ("inspected", &self.inspected),
            ("dutiable", &self.dutiable),
        ]
    }

    /// What each platform is asked: its durations of one period, in full.
    pub(crate) fn of_one_platform(&self, period: Period) -> Self {
        let without_months =
            |by: &String| by.split(',').filter(|n| *n != "month").collect::<Vec<_>>().join(",");
        Self {
            platform: None,
            month: None,
            view: None,
            compare: None,
            from: Some(period.from.to_string()),
            to: Some(period.to.to_string()),
            by: self.by.as_ref().map(without_months),
            ..self.clone()
        }
    }
}

/// A period of whole local days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Date,
    /// The first day behind it.
    pub(crate) to: Date,
}

/// What is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The same period a year before.
    Year,
    /// The period of the same length before.
    Before,
}

/// One of the periods that have to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name, where months are a dimension.
    pub(crate) month: Option<String>,
    /// When.
    pub(crate) period: Period,
    /// What it is compared with.
    pub(crate) base: Option<Period>,
}

/// A question that is understood.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) direction: Direction,
    pub(crate) duration: usize,
    pub(crate) period: Period,
    pub(crate) by: Vec<By>,
    pub(crate) months: bool,
    pub(crate) only: Vec<(By, Vec<String>)>,
    pub(crate) public: bool,
    pub(crate) compare: Option<Base>,
}

fn date(name: &str, text: &str) -> Result<Date, ApiError> {
    let shape = time::macros::format_description!("[year]-[month]-[day]");
    Date::parse(text, shape).map_err(|_| ApiError::bad(format!("{name} {text}: a day is written 2018-01-31")))
}

fn next_month(day: Date) -> Result<Date, ApiError> {
    let (year, month) = match day.month() {
        Month::December => (day.year() + 1, Month::January),
        other => (day.year(), other.next()),
    };
    Date::from_calendar_date(year, month, 1).map_err(|e| ApiError::bad(e.to_string()))
}

impl Period {
    fn of(query: &StatisticsQuery) -> Result<Self, ApiError> {
        match (&query.month, &query.from, &query.to) {
            (Some(month), None, None) => {
                let from = date("month", &format!("{month}-01"))
                    .map_err(|_| ApiError::bad(format!("month {month}: a month is written 2018-01")))?;
                Ok(Self { from, to: next_month(from)? })
            }
            (None, Some(from), Some(to)) => {
                let period = Self { from: date("from", from)?, to: date("to", to)? };
                if period.from >= period.to {
                    return Err(ApiError::bad("from lies before to; the day `to` is not in the period"));
                }
                Ok(period)
            }
            _ => Err(ApiError::bad("give month, or from and to")),
        }
    }

    pub(crate) fn whole_months(self) -> bool {
        self.from.day() == 1 && self.to.day() == 1
    }

    /// Its months, each with its name.
    fn months(self) -> Result<Vec<(String, Period)>, ApiError> {
        if !self.whole_months() {
            return Err(ApiError::bad("by=month needs a period of whole months"));
        }
        let (mut out, mut from) = (Vec::new(), self.from);
        while from < self.to {
            if out.len() == MONTHS_MAX {
                return Err(ApiError::bad(format!("by=month: at most {MONTHS_MAX} months")));
            }
            let to = next_month(from)?;
            out.push((format!("{:04}-{:02}", from.year(), u8::from(from.month())), Period { from, to }));
            from = to;
        }
        Ok(out)
    }

    /// Seconds since 1970 of its begin and of what lies behind it.
    fn seconds(self) -> (u32, u32) {
        let second = |day: Date| {
            let midnight = day.midnight().assume_utc().unix_timestamp() - i64::from(OFFSET_MINUTES) * 60;
            u32::try_from(midnight.max(0)).unwrap_or(u32::MAX)
        };
        (second(self.from), second(self.to))
    }

    /// The period that it is compared with; none where a day does not exist in the year before.
    pub(crate) fn base(self, base: Base) -> Option<Self> {
        match base {
            Base::Year => {
                let before = |day: Date| day.replace_year(day.year() - 1).ok();
                Some(Self { from: before(self.from)?, to: before(self.to)? })
            }
            Base::Before if self.whole_months() => {
                let count = |day: Date| day.year() * 12 + i32::from(u8::from(day.month())) - 1;
                let first = 2 * count(self.from) - count(self.to);
                let month = Month::try_from(u8::try_from(first.rem_euclid(12)).ok()? + 1).ok()?;
                let from = Date::from_calendar_date(first.div_euclid(12), month, 1).ok()?;
                Some(Self { from, to: self.from })
            }
            Base::Before => {
                let length = self.to - self.from;
                Some(Self { from: self.from.checked_sub(length)?, to: self.from })
            }
        }
    }

    /// PRELIM until the fifth of the month behind its last day, then FINAL.
    pub(crate) fn status(self, now: Timestamp) -> &'static str {
        let last = self.to.previous_day().unwrap_or(self.to);
        let closes = next_month(last).ok().and_then(|d| d.replace_day(FINAL_DAY).ok());
        let closes = closes.map(|day| Period { from: day, to: day }.seconds().0);
        let now = now.as_millis().div_euclid(1_000);
        if closes.is_some_and(|c| now >= i64::from(c)) { "FINAL" } else { "PRELIM" }
    }
}

impl Asked {
    pub(crate) fn of(query: &StatisticsQuery) -> Result<Self, ApiError> {
        let direction = match query.direction.as_deref() {
            Some("import") => Direction::Import,
            Some("export") => Direction::Export,
            _ => return Err(ApiError::bad("direction is import or export")),
        };
        let code = query.duration.as_deref().unwrap_or("T-ALL");
        let duration = DURATIONS.iter().position(|d| d.code == code).ok_or_else(|| {
            let known: Vec<&str> = DURATIONS.iter().map(|d| d.code).collect();
            ApiError::bad(format!("duration {code}: known are {}", known.join(", ")))
        })?;
        let (mut by, mut months) = (Vec::new(), false);
        for name in query.by.iter().flat_map(|by| by.split(',')).filter(|n| !n.is_empty()) {
            match name {
                "month" => months = true,
                _ => by.push(dimension(name)?),
            }
        }
        by.dedup();
        let asked = Self {
            direction,
            duration,
            period: Period::of(query)?,
            by,
            months,
            only: only(query)?,
            public: match query.view.as_deref() {
                None | Some("full") => false,
                Some("public") => true,
                Some(other) => return Err(ApiError::bad(format!("view {other}: full or public"))),
            },
            compare: match query.compare.as_deref() {
                None => None,
                Some("yoy") => Some(Base::Year),
                Some("mom") => Some(Base::Before),
                Some(other) => return Err(ApiError::bad(format!("compare {other}: yoy or mom"))),
            },
        };
        asked.fit_for_the_public()?;
        Ok(asked)
    }

    /// Public figures are of whole months and of no single enterprise: else two answers would tell by their difference.
    fn fit_for_the_public(&self) -> Result<(), ApiError> {
        let names = ["trader", "declarant"];
        let of_one = |by: &By| names.contains(&by.name());
        if self.public && (!self.period.whole_months() || self.by.iter().any(of_one)) {
            return Err(ApiError::bad("view=public: whole months, and not by trader or declarant"));
        }
        if self.public && !self.only.is_empty() {
            return Err(ApiError::bad("view=public: no filters; ask by the dimension instead"));
        }
        Ok(())
    }

    pub(crate) fn question(&self, period: Period, own: Option<String>) -> Question {
        let (from, to) = period.seconds();
        Question {
            direction: self.direction,
            duration: self.duration,
            from,
            to,
            only: self.only.clone(),
            by: self.by.clone(),
            own,
        }
    }

    /// Names of the dimensions of an answer, in order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let months = self.months.then_some("month");
        months.into_iter().chain(self.by.iter().map(|by| by.name())).collect()
    }

    /// Every period that has to be asked: months or the whole, and what they are compared with.
    pub(crate) fn periods(&self) -> Result<Vec<Part>, ApiError> {
        let part = |month: Option<String>, period: Period| {
            let base = self.compare.and_then(|b| period.base(b));
            Part { month, period, base }
        };
        if !self.months {
            return Ok(vec![part(None, self.period)]);
        }
        Ok(self.period.months()?.into_iter().map(|(name, period)| part(Some(name), period)).collect())
    }
}

fn dimension(name: &str) -> Result<By, ApiError> {
    By::named(name).ok_or_else(|| {
        ApiError::bad(format!("by {name}: known are month, inspected, dutiable, {}", DIMENSIONS.join(", ")))
    })
}

fn only(query: &StatisticsQuery) -> Result<Vec<(By, Vec<String>)>, ApiError> {
    let mut out = Vec::new();
    for (name, value) in query.filters() {
        let Some(value) = value else { continue };
        let values: Vec<String> = value.split(',').take(ONLY_MAX + 1).map(str::to_owned).collect();
        if values.len() > ONLY_MAX {
            return Err(ApiError::bad(format!("{name}: at most {ONLY_MAX} values")));
        }
        out.push((dimension(name)?, values));
    }
    Ok(out)
}

/// The query string of a question about one period.
pub(crate) fn pairs(query: &StatisticsQuery) -> String {
    let encoded =
        |t: &str| percent_encoding::utf8_percent_encode(t, percent_encoding::NON_ALPHANUMERIC).to_string();
    let named = [
        ("direction", &query.direction),
        ("duration", &query.duration),
        ("from", &query.from),
        ("to", &query.to),
        ("by", &query.by),
    ];
    let pair =
        |(name, value): (&str, &Option<String>)| value.as_ref().map(|v| format!("{name}={}", encoded(v)));
    named.into_iter().chain(query.filters()).filter_map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;

    fn period(from: &str, to: &str) -> Period {
        Period { from: date("from", from).unwrap(), to: date("to", to).unwrap() }
    }

    fn query(pairs: &[(&str, &str)]) -> StatisticsQuery {
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let uri: Uri = format!("/x?{}", text.join("&")).parse().unwrap();
        axum::extract::Query::try_from_uri(&uri).unwrap().0
    }

    #[test]
    fn a_month_is_one_of_local_time_and_what_it_is_compared_with_has_its_length() {
        let january = Period::of(&query(&[("month", "2018-01")])).unwrap();
        assert_eq!(january, period("2018-01-01", "2018-02-01"));
        // 2018-01-31T22:00Z belongs to February.
        assert_eq!(january.seconds().1, 1_517_414_400);
        assert_eq!(january.base(Base::Year), Some(period("2017-01-01", "2017-02-01")));
        assert_eq!(january.base(Base::Before), Some(period("2017-12-01", "2018-01-01")));
        let quarter = period("2018-01-01", "2018-04-01");
        assert_eq!(quarter.base(Base::Before), Some(period("2017-10-01", "2018-01-01")));
        let leap = period("2020-02-29", "2020-03-01");
        assert_eq!(leap.base(Base::Year), None, "29 February has no base");
        assert_eq!(
            period("2018-01-03", "2018-01-10").base(Base::Before),
            Some(period("2017-12-27", "2018-01-03"))
        );
        let names: Vec<String> = quarter.months().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["2018-01", "2018-02", "2018-03"]);
    }

    #[test]
    fn figures_are_preliminary_until_the_fifth_of_the_next_month() {
        let january = period("2018-01-01", "2018-02-01");
        // 2018-02-05T00:00:00+08:00
        let closes = 1_517_760_000_000;
        assert_eq!(january.status(Timestamp::from_millis(closes - 1)), "PRELIM");
        assert_eq!(january.status(Timestamp::from_millis(closes)), "FINAL");
    }

    #[test]
    fn what_cannot_be_answered_is_said_and_nothing_else_is_answered() {
        let month = ("month", "2018-01");
        let import = ("direction", "import");
        for (pairs, told) in [
            (vec![month], "direction is import or export"),
            (vec![import], "give month, or from and to"),
            (vec![import, ("month", "2018-13")], "a month is written"),
            (vec![import, ("from", "2018-02-01"), ("to", "2018-02-01")], "from lies before to"),
            (vec![import, month, ("from", "2018-02-01")], "give month, or from and to"),
            (vec![import, month, ("duration", "T-NONE")], "T-DWELL"),
            (vec![import, month, ("by", "weather")], "by weather"),
            (vec![import, month, ("view", "secret")], "full or public"),
            (vec![import, month, ("compare", "wow")], "yoy or mom"),
            (vec![import, month, ("view", "public"), ("by", "trader")], "not by trader"),
            (vec![import, month, ("view", "public"), ("trader", "A")], "no filters"),
            (vec![import, ("view", "public"), ("from", "2018-01-02"), ("to", "2018-02-01")], "whole months"),
        ] {
            let refused = Asked::of(&query(&pairs)).unwrap_err();
            assert_eq!(refused.problem.status, 400);
            let detail = serde_json::to_string(&refused.problem).unwrap();
            assert!(detail.contains(told), "{pairs:?}: {detail}");
        }
        let asked =
            Asked::of(&query(&[import, month, ("by", "month,port,inspected"), ("port", "5316,5317")]))
                .unwrap();
        assert_eq!(asked.names(), ["month", "port", "inspected"]);
        assert_eq!(asked.only[0].1, ["5316", "5317"]);
    }

    #[test]
    fn a_query_that_is_passed_on_says_what_it_said() {
        let asked =
            query(&[("direction", "import"), ("month", "2018-01"), ("port", "5316,5317"), ("by", "port")]);
        let one = asked.of_one_platform(Period::of(&asked).unwrap());
        assert_eq!((one.from.as_deref(), one.to.as_deref()), (Some("2018-01-01"), Some("2018-02-01")));
        let uri: Uri = format!("/x?{}", pairs(&one)).parse().unwrap();
        let read: axum::extract::Query<StatisticsQuery> = axum::extract::Query::try_from_uri(&uri).unwrap();
        assert_eq!(format!("{:?}", read.0), format!("{one:?}"));
    }
}

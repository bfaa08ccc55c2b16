//! timeliness.md §8.

use eport_timeliness::{
    BasePolicy, Calendar, DURATIONS, Direction, Durations, Figure, Flag, Sample, Statistics, Window, change,
    compression, measure,
};
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset, Weekday};

/// `01-03 08:00` of 2018 at +08:00, in seconds since 1970.
pub fn at(text: &str) -> i64 {
    let number = |from: usize| text[from..from + 2].parse::<u8>().unwrap();
    let date = Date::from_calendar_date(2018, Month::try_from(number(0)).unwrap(), number(3)).unwrap();
    let time = Time::from_hms(number(6), number(9), 0).unwrap();
    PrimitiveDateTime::new(date, time).assume_offset(UtcOffset::from_hms(8, 0, 0).unwrap()).unix_timestamp()
}

pub fn sample(times: &[(&str, &str)]) -> Sample {
    let times = times.iter().filter(|(_, t)| !t.is_empty()).map(|(code, t)| ((*code).to_owned(), at(t)));
    Sample { times: times.collect(), ..Sample::default() }
}

/// Declarations A, B, C, D and F of January; E is a February sample.
fn january() -> Vec<Sample> {
    [
        ["01-03 08:00", "01-03 14:30", "01-04 09:00", "01-04 16:00", "01-05 10:15"],
        ["01-08 20:00", "01-08 23:30", "01-07 10:00", "01-09 02:30", "01-09 09:00"],
        ["01-10 00:00", "01-10 05:00", "01-11 00:00", "01-13 01:30", "01-14 12:00"],
        ["01-15 06:00", "01-15 10:00", "01-15 18:00", "01-16 11:45", ""],
        ["01-22 09:00", "01-22 11:00", "01-22 13:00", "01-22 21:15", "01-23 08:00"],
    ]
    .map(|t| sample(&[("I01", t[0]), ("I04", t[1]), ("I07", t[2]), ("I14", t[3]), ("I16", t[4])]))
    .to_vec()
}

fn of(samples: &[Sample], code: &str) -> Statistics {
    let definition = DURATIONS.iter().find(|d| d.code == code).unwrap();
    let seconds = samples.iter().filter_map(|s| measure(s, Direction::Import, definition).seconds());
    Durations::new(seconds.collect()).statistics()
}

fn shown(figure: Option<Figure>) -> String {
    figure.map_or_else(|| "null".into(), |f| f.to_string())
}

#[test]
fn january_of_example_1() {
    let samples = january();
    let all = of(&samples, "T-ALL");
    assert_eq!(all.n, 5);
    let figures =
        [all.mean, all.p50, all.p80, all.p90, all.p95, all.geometric, all.deviation, all.min, all.max];
    assert_eq!(
        figures.map(shown),
        ["30.80", "29.75", "40.30", "56.90", "65.20", "22.35", "26.27", "6.50", "73.50"]
    );
    assert_eq!([all.within_24h, all.within_48h].map(shown), ["40.00", "80.00"]);
    assert_eq!(shown(of(&samples, "S2").mean), "13.00");
    assert_eq!(shown(of(&samples, "T-CUS").mean), "17.80");
    let dwell = of(&samples, "T-DWELL");
    assert_eq!(dwell.n, 4);
    let figures = [dwell.mean, dwell.p50, dwell.p80, dwell.p90, dwell.p95, dwell.geometric];
    assert_eq!(figures.map(shown), ["48.56", "36.63", "73.35", "90.68", "99.34", "35.69"]);
    // Sums add up over the same samples.
    let hundredths = |code| of(&samples, code).mean.unwrap().0;
    assert_eq!(hundredths("S2") + hundredths("T-CUS"), hundredths("T-ALL"));
    let definition = DURATIONS.iter().find(|d| d.code == "S2").unwrap();
    assert!(measure(&samples[1], Direction::Import, definition).flags.contains(&Flag::Advance));
}

#[test]
fn nothing_is_said_of_nothing() {
    assert_eq!(Durations::default().statistics(), Statistics::default());
    let one = Durations::new(vec![3_600]).statistics();
    assert_eq!((shown(one.p95), one.deviation), ("1.00".into(), None));
    let zeros = Durations::new(vec![0, 0, 36]).statistics();
    assert_eq!((zeros.clamped, shown(zeros.mean)), (2, "0.00".into()));
}

#[test]
fn working_time_across_spring_festival() {
    let hours = |from: i64, to: i64| Window { from: from * 3_600, to: to * 3_600 };
    let day = vec![hours(9, 12), hours(14, 17)];
    let mut week: [Vec<Window>; 7] = std::array::from_fn(|_| day.clone());
    (week[5], week[6]) = (Vec::new(), Vec::new());
    let date = |d| Date::from_calendar_date(2018, Month::February, d).unwrap();
    let calendar = Calendar {
        week,
        closed: (15..=21).map(date).collect(),
        make_up: [(date(11), Weekday::Monday), (date(24), Weekday::Friday)].into(),
        offset_minutes: 480,
    };
    let (from, to) = (at("02-14 16:00"), at("02-22 10:30"));
    assert_eq!((to - from, calendar.working(from, to)), (671_400, Some(9_000)));
    let (from, to) = (at("02-24 11:00"), at("02-26 09:20"));
    assert_eq!(calendar.working(from, to), Some(4 * 3_600 + 20 * 60));
    assert_eq!(calendar.working(to, from), Some(0));
    // Night work crosses midnight and counts once.
    let night = Calendar {
        week: std::array::from_fn(|_| vec![Window { from: 79_200, to: 108_000 }]),
        ..Calendar::default()
    };
    assert_eq!(night.working(0, 2 * 86_400), Some(6 * 3_600 + 8 * 3_600 + 2 * 3_600));
    assert_eq!(night.working(0, 500 * 86_400), None);
}

#[test]
fn comparison_compression_and_federation() {
    let pct = |now, base| shown(change(now, base, BasePolicy::Null));
    assert_eq!(pct(10_951, Some(7_636)), "43.41");
    assert_eq!(pct(10_951, Some(11_297)), "-3.06");
    assert_eq!((pct(5, None), pct(5, Some(0))), ("null".into(), "null".into()));
    let rate = |base, now| shown(compression(Figure(base), Figure(now)));
    assert_eq!([rate(9_739, 3_893), rate(9_739, 3_491)], ["60.03", "64.15"]);
    assert_eq!([rate(1_229, 178), rate(1_229, 212)], ["85.52", "82.75"]);
    let hours = |h: &[u32]| Durations::new(h.iter().map(|h| h * 3_600).collect());
    let (mut one, two) = (hours(&[6, 12, 30]), hours(&[20, 80]));
    one.merge(&two);
    let both = one.statistics();
    assert_eq!(
        (both.n, [both.mean, both.p50, both.p90].map(shown)),
        (5, ["29.60", "20.00", "60.00"].map(String::from))
    );
}

#[test]
fn half_goes_away_from_zero_on_both_sides() {
    assert_eq!(eport_timeliness::round_half_away(5, 2), Some(3));
    assert_eq!(eport_timeliness::round_half_away(-5, 2), Some(-3));
    assert_eq!(eport_timeliness::round_half_away(1, 0), None);
    assert_eq!(Figure(-5).to_string(), "-0.05");
}

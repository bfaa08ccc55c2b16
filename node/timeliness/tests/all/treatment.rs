//! timeliness.md §3 and §7: events that are doubled, contradictory, corrected, reversed, missing.

use crate::examples::sample;
use eport_timeliness::{Counts, DURATIONS, Direction, Event, Flag, Sample, gather, measure, quality};

fn event(id: &str, source: &str, milestone: &str, at: i64) -> Event {
    Event {
        id: id.into(),
        source: source.into(),
        milestone: milestone.into(),
        at,
        recorded: at + 60,
        corrects: None,
        retracts: None,
    }
}

/// Source `first` is the first choice.
fn gathered(events: &[Event]) -> Sample {
    gather(events, |_, source| u32::from(source != "first"))
}

fn measured(times: &[(&str, &str)], code: &str) -> eport_timeliness::Measured {
    let definition = DURATIONS.iter().find(|d| d.code == code).unwrap();
    measure(&sample(times), Direction::Import, definition)
}

#[test]
fn sources_are_never_averaged_and_containers_count_first_or_last() {
    let s = gathered(&[
        event("1", "other", "I01", 1_000),
        event("2", "first", "I01", 1_200),
        event("2", "first", "I01", 1_200),
        event("3", "first", "I03", 50),
        event("4", "first", "I03", 40),
        event("5", "first", "I16", 900),
        event("6", "first", "I16", 950),
    ]);
    assert_eq!((s.times["I01"], s.times["I03"], s.times["I16"]), (1_200, 40, 950));
    assert_eq!((s.duplicates, s.flags.len()), (1, 0));
    let apart = gathered(&[event("1", "other", "I01", 1_000), event("2", "first", "I01", 1_301)]);
    assert_eq!(apart.times["I01"], 1_301);
    assert!(apart.flags.contains("CONFLICT:I01"));
}

#[test]
fn corrections_replace_whenever_they_come_and_the_last_recorded_counts() {
    let correction = |id: &str, target: &str, at, recorded| Event {
        corrects: Some(target.into()),
        recorded,
        ..event(id, "first", "I01", at)
    };
    let s = gathered(&[
        correction("c2", "1", 300, 900),
        correction("c1", "1", 200, 800),
        event("1", "first", "I01", 100),
    ]);
    assert_eq!(s.times["I01"], 300);
    let chain = gathered(&[
        event("1", "first", "I01", 100),
        correction("c1", "1", 200, 800),
        correction("c2", "c1", 250, 850),
    ]);
    assert_eq!(chain.times["I01"], 250);
    let taken = Event { retracts: Some("1".into()), ..event("r", "first", "I01", 100) };
    assert!(gathered(&[taken, event("1", "first", "I01", 100)]).times.is_empty());
    // Another source's event of the same number is another event.
    let other = gathered(&[correction("c1", "1", 200, 800), event("1", "other", "I01", 210)]);
    assert_eq!(other.times["I01"], 200);
}

#[test]
fn the_future_is_refused_and_the_stale_is_not_used() {
    let early = Event { recorded: 1_000, ..event("1", "first", "I01", 1_301) };
    let old = Event { recorded: 401 * 86_400, ..event("2", "first", "I14", 0) };
    let s = gathered(&[early, old]);
    assert!(s.times.is_empty());
    assert_eq!(Vec::from_iter(s.flags), ["FUTURE:I01", "STALE:I14"]);
}

#[test]
fn what_is_reversed_missing_or_ahead_is_told() {
    let skew = measured(&[("I07", "01-03 08:05"), ("I08", "01-03 08:00")], "S3");
    assert_eq!((skew.seconds(), skew.flags.contains(&Flag::Skew)), (Some(0), true));
    let negative = measured(&[("I07", "01-03 08:06"), ("I08", "01-03 08:00")], "S3");
    assert_eq!((negative.seconds(), negative.flags.contains(&Flag::Negative)), (None, true));
    let missing = measured(&[("I01", "01-03 08:00")], "T-ALL");
    assert_eq!((missing.seconds(), missing.missing), (None, vec!["I14"]));
    let ahead = measured(&[("I01", "01-03 08:00"), ("I07", "01-01 08:00"), ("I14", "01-02 08:00")], "T-ALL");
    assert_eq!((ahead.seconds(), ahead.flags.contains(&Flag::Advance0)), (Some(0), true));
    let customs =
        measured(&[("I01", "01-03 08:00"), ("I07", "01-01 08:00"), ("I14", "01-02 08:00")], "T-CUS");
    assert_eq!(customs.seconds(), Some(0));
    // The review that took place last counts; what did not take place is not asked for.
    let concluded = measured(&[("I09", "01-03 08:00"), ("I13", "01-03 10:00"), ("I14", "01-03 11:00")], "S7");
    assert_eq!(concluded.seconds(), Some(3_600));
}

#[test]
fn a_terminal_passes_by_its_four_figures() {
    let good = Counts {
        released: 100,
        covered: 95,
        expected: 700,
        present: 630,
        received: 1_010,
        duplicates: 10,
        valid: 1_000,
        in_time: 900,
        samples: 100,
        inconsistent: 2,
    };
    let q = quality(&good);
    let shown = [q.coverage, q.completeness, q.timeliness, q.consistency, q.uniqueness, q.validity];
    assert_eq!(shown.map(|f| f.unwrap().to_string()), ["95.00", "90.00", "90.00", "98.00", "99.01", "99.01"]);
    assert!(q.passes);
    assert!(!quality(&Counts { covered: 94, ..good }).passes);
    assert!(!quality(&Counts::default()).passes, "nothing counted is nothing proven");
}

//! The column store: the worked example asked of it, facts in any order, keys with too many events, questions that are too large.

use crate::examples::at;
use eport_timeliness::{
    By, Cells, Consignment, DIMENSIONS, DURATIONS, Direction, EVENTS_OF_KEY_MAX, Event, Fact, Figure, Mark,
    Query, QueryError, Row, Store, document_key,
};
use std::collections::BTreeMap;

const LOCAL: i32 = 480;

fn consignment(document: &str, trader: &str, keys: &[&str]) -> Consignment {
    let mut dimensions: [String; DIMENSIONS.len()] = Default::default();
    dimensions[0] = "2".into();
    dimensions[2] = "DECLARED".into();
    dimensions[5] = trader.into();
    Consignment {
        document: document.into(),
        direction: Direction::Import,
        keys: keys.iter().map(|k| (*k).to_owned()).collect(),
        dimensions,
    }
}

fn event(id: &str, milestone: &str, at: i64) -> Event {
    Event {
        id: id.into(),
        source: "first".into(),
        milestone: milestone.into(),
        at,
        recorded: at + 60,
        corrects: None,
        retracts: None,
    }
}

fn fact(subject: &str, event: Event) -> Fact {
    Fact { subject: subject.into(), event, rank: 1, place: String::new() }
}

fn query(duration: &str, from: &str, to: &str) -> Query {
    let second = |text| u32::try_from(at(text)).unwrap();
    Query {
        direction: Direction::Import,
        duration: DURATIONS.iter().position(|d| d.code == duration).unwrap(),
        from: second(from),
        to: second(to),
        only: Vec::new(),
        by: Vec::new(),
        own: None,
    }
}

fn january(duration: &str) -> Query {
    query(duration, "01-01 00:00", "02-01 00:00")
}

/// timeliness.md §8, example 1.
fn example() -> Store {
    let mut store = Store::default();
    for (name, times) in [
        ("A", ["01-03 08:00", "01-03 14:30", "01-04 09:00", "01-04 16:00", "01-05 10:15"]),
        ("B", ["01-08 20:00", "01-08 23:30", "01-07 10:00", "01-09 02:30", "01-09 09:00"]),
        ("C", ["01-10 00:00", "01-10 05:00", "01-11 00:00", "01-13 01:30", "01-14 12:00"]),
        ("D", ["01-15 06:00", "01-15 10:00", "01-15 18:00", "01-16 11:45", ""]),
        ("E", ["01-30 20:00", "01-31 01:00", "01-31 16:00", "02-01 06:00", "02-01 15:00"]),
        ("F", ["01-22 09:00", "01-22 11:00", "01-22 13:00", "01-22 21:15", "01-23 08:00"]),
    ] {
        let trader = if name < "C" { "T1" } else { "T2" };
        store.consign(&consignment(name, trader, &[&format!("bill:{name}")]));
        for (code, time) in ["I01", "I04", "I07", "I14", "I16"].into_iter().zip(times) {
            let own = matches!(code, "I07" | "I14");
            let subject = if own { document_key(name) } else { format!("bill:{name}") };
            if !time.is_empty() {
                store.happened(&fact(&subject, event(&format!("{name}{code}"), code, at(time))), LOCAL);
            }
        }
    }
    store
}

fn whole(cells: Cells) -> eport_timeliness::Cell {
    assert_eq!(cells.0.len(), 1);
    cells.0.into_values().next().unwrap()
}

#[test]
fn the_worked_example_comes_out_of_the_store() {
    let mut store = example();
    let cell = whole(store.cells(&january("T-ALL"), true).unwrap());
    let s = cell.durations.clone().statistics();
    assert_eq!((s.n, s.mean, s.p50, s.p80), (5, Some(Figure(3080)), Some(Figure(2975)), Some(Figure(4030))));
    assert_eq!(cell.traders, BTreeMap::from([("T1".into(), 2), ("T2".into(), 3)]));
    assert_eq!((cell.overfull, cell.counts.released, cell.counts.covered), (0, 5, 5));
    let mean = |store: &mut Store, code| {
        let s = whole(store.cells(&january(code), false).unwrap()).durations.statistics();
        (s.n, s.mean)
    };
    assert_eq!(mean(&mut store, "S2"), (5, Some(Figure(1300))));
    assert_eq!(mean(&mut store, "T-CUS"), (5, Some(Figure(1780))));
    assert_eq!(mean(&mut store, "T-DWELL"), (4, Some(Figure(4856))));
    let february = query("T-ALL", "02-01 00:00", "03-01 00:00");
    assert_eq!(whole(store.cells(&february, false).unwrap()).durations.len(), 1);
}

#[test]
fn withdrawn_ones_filters_and_own_cargo_narrow() {
    let mut store = example();
    let own = Query { own: Some("T1".into()), ..january("T-ALL") };
    assert_eq!(whole(store.cells(&own, false).unwrap()).durations.len(), 2);
    let trader = By::named("trader").unwrap();
    let only = Query { only: vec![(trader, vec!["T2".into(), "nobody".into()])], ..january("T-ALL") };
    assert_eq!(store.rows_of(&only, None, 10).len(), 3);
    store.mark("A", Mark::Void);
    let by = Query { by: vec![trader], ..january("T-ALL") };
    let sizes: Vec<(Vec<String>, usize)> =
        store.cells(&by, false).unwrap().0.into_iter().map(|(k, c)| (k, c.durations.len())).collect();
    assert_eq!(sizes, [(vec!["T1".to_owned()], 1), (vec!["T2".to_owned()], 3)]);
}

#[test]
fn a_question_with_too_many_cells_is_refused() {
    let mut store = Store::default();
    for n in 0..1_100 {
        store.consign(&consignment(&n.to_string(), &format!("T{n}"), &[]));
    }
    let (trader, mode) = (By::named("trader").unwrap(), By::named("mode").unwrap());
    let large = Query { by: vec![trader, trader], ..january("T-ALL") };
    assert_eq!(store.cells(&large, false), Err(QueryError::Cells(1_101 * 1_101)));
    let deep = Query { by: vec![mode; 4], ..january("T-ALL") };
    assert!(matches!(store.cells(&deep, false), Err(QueryError::Cells(_))));
}

#[test]
fn a_key_with_too_many_events_tells_nothing_and_that_is_told_in_whatever_order_they_came() {
    let flood = |n: usize| fact("voyage:V", event(&format!("e{n}"), "I01", at("01-03 08:00") + n as i64));
    let mut answers = Vec::new();
    for consigned_first in [true, false] {
        let mut store = example();
        let late = consignment("G", "T3", &["voyage:V"]);
        if consigned_first {
            store.consign(&late);
        }
        let order: Vec<usize> = match consigned_first {
            true => (0..=EVENTS_OF_KEY_MAX).collect(),
            false => (0..=EVENTS_OF_KEY_MAX).rev().collect(),
        };
        let (last, most) = order.split_last().unwrap();
        most.iter().for_each(|n| store.happened(&flood(*n), LOCAL));
        assert_eq!((store.overfull(), store.events_not_used()), (0, 0));
        let kept = store.events();
        store.happened(&flood(*last), LOCAL);
        store.consign(&late);
        store.happened(&fact(&document_key("G"), event("g", "I14", at("01-09 08:00"))), LOCAL);
        assert_eq!(store.events(), kept - EVENTS_OF_KEY_MAX as u64 + 1);
        assert_eq!((store.overfull(), store.events_not_used()), (1, EVENTS_OF_KEY_MAX as u64 + 1));
        let cell = whole(store.cells(&january("T-ALL"), false).unwrap());
        assert_eq!((cell.overfull, cell.durations.len(), cell.counts.released), (1, 5, 6));
        let row = store.row(6).unwrap();
        assert!(row.flags.contains("OVERFULL") && row.flags.contains("MISS-I01"));
        answers.push((cell, row));
    }
    assert_eq!(answers[0], answers[1]);
}

/// xorshift: the same seed, the same run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

#[derive(Clone)]
enum Step {
    Consign(Consignment),
    Happened(Fact),
}

/// Consignments that share voyages; events of two sources, repeated, corrected, taken back, late, seen at several places.
fn steps(dice: &mut Dice) -> Vec<Step> {
    let mut out = Vec::new();
    for n in 0..8 {
        let keys = [format!("bill:B{n}"), format!("voyage:V{}", n % 3)];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        out.push(Step::Consign(consignment(&format!("D{n}"), &format!("T{}", n % 2), &keys)));
    }
    let mut ids: Vec<(String, String, String)> = Vec::new();
    for n in 0..120 {
        let code = ["I01", "I04", "I06", "I07", "I08", "I14", "I16"][dice.below(7)];
        let subject = match dice.below(3) {
            0 => format!("voyage:V{}", dice.below(3)),
            1 => format!("bill:B{}", dice.below(8)),
            _ => document_key(&format!("D{}", dice.below(8))),
        };
        let mut e = event(&format!("e{n}"), code, at("01-05 00:00") + dice.below(2_000_000) as i64);
        e.source = ["first", "other"][dice.below(2)].to_owned();
        e.recorded = e.at + dice.below(100_000) as i64;
        let mut subject = subject;
        if n > 20 && dice.below(3) == 0 {
            let (of, id, source) = ids[dice.below(ids.len())].clone();
            (subject, e.source) = (of, source);
            if dice.below(3) == 0 { e.retracts = Some(id) } else { e.corrects = Some(id) }
        }
        ids.push((subject.clone(), e.id.clone(), e.source.clone()));
        let place = ["", "P1", "P2"][dice.below(3)].to_owned();
        let rank = if e.source == "first" { 1 } else { 2 };
        let step = Step::Happened(Fact { subject, event: e, rank, place });
        if dice.below(5) == 0 {
            out.push(step.clone());
        }
        out.push(step);
    }
    out
}

fn played(steps: &[Step], dice: &mut Dice, ask_between: bool) -> (Cells, Vec<Row>) {
    let mut store = Store::default();
    for step in steps {
        match step {
            Step::Consign(c) => store.consign(c),
            Step::Happened(f) => store.happened(f, LOCAL),
        }
        if ask_between && dice.below(4) == 0 {
            store.cells(&january("T-ALL"), true).unwrap();
        }
    }
    let by = Query { by: vec![By::named("place").unwrap()], ..january("T-ALL") };
    let mut cells = store.cells(&by, true).unwrap();
    // Durations of a cell stand in any order; told as runs they stand rising.
    cells.0.values_mut().for_each(|cell| drop(cell.durations.runs()));
    let mut rows: Vec<Row> = (0..store.len()).map(|n| store.row(n).unwrap()).collect();
    rows.sort_by(|a, b| a.document.cmp(&b.document));
    (cells, rows)
}

#[test]
fn the_order_of_facts_and_questions_between_them_decide_nothing() {
    for seed in 1..=40 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ seed);
        let mut steps = steps(&mut dice);
        let expected = played(&steps, &mut dice, false);
        assert!(expected.1.iter().any(|r| r.times.contains_key("I14")), "seed {seed} releases nothing");
        for round in 0..4 {
            for n in (1..steps.len()).rev() {
                steps.swap(n, dice.below(n + 1));
            }
            let again = played(&steps, &mut dice, round % 2 == 0);
            assert_eq!(again, expected, "seed {seed}, round {round}");
        }
    }
}

/// Consignments of a port's traders in January, each released after six hours.
fn by_port(of: &[(&str, &str, u32)]) -> Store {
    let mut store = Store::default();
    let mut n = 0;
    for (port, trader, count) in of {
        for _ in 0..*count {
            n += 1;
            let document = format!("D{n}");
            let mut c = consignment(&document, trader, &[]);
            c.dimensions[1] = (*port).into();
            store.consign(&c);
            for (milestone, at_text) in [("I01", "01-03 08:00"), ("I14", "01-03 14:00")] {
                let e = event(&format!("{document}{milestone}"), milestone, at(at_text));
                store.happened(&fact(&document_key(&document), e), LOCAL);
            }
        }
    }
    store
}

fn hidden_ports(of: &[(&str, &str, u32)]) -> Vec<String> {
    let mut asked = january("T-ALL");
    asked.by = vec![By::named("port").unwrap()];
    let cells = by_port(of).cells(&asked, true).unwrap();
    eport_timeliness::hidden(&cells).into_iter().map(|key| key.concat()).collect()
}

#[test]
fn cells_of_few_enterprises_or_of_one_that_has_most_are_hidden_and_none_is_found_by_subtraction() {
    let even = |port| [(port, "A", 3), (port, "B", 3), (port, "C", 3)];
    let three = [even("1"), even("2"), even("3")].concat();
    assert!(hidden_ports(&three).is_empty(), "three enterprises, none above 85 %");
    // 17 of 20 are 85 %, and not above; 18 of 21 are above.
    let edge = [&three[..], &[("4", "A", 17), ("4", "B", 2), ("4", "C", 1)]].concat();
    assert!(hidden_ports(&edge).is_empty());
    let above = [&three[..], &[("4", "A", 18), ("4", "B", 2), ("4", "C", 1)]].concat();
    assert_eq!(
        hidden_ports(&above),
        ["1", "4"],
        "with the total, a single hidden cell is known: the smallest goes too"
    );
    let two = [&three[..], &[("4", "A", 5), ("4", "B", 5)], &[("5", "A", 1)]].concat();
    assert_eq!(hidden_ports(&two), ["4", "5"], "two hidden cells keep each other");
    assert_eq!(
        hidden_ports(&[("1", "", 40), ("1", "A", 30), ("1", "B", 30)]),
        ["1"],
        "who is not named is nobody"
    );
}

#[test]
fn cells_of_platforms_are_put_together_from_their_durations() {
    let mut cells = by_port(&[("1", "A", 2)]).cells(&january("T-ALL"), true).unwrap();
    let other = by_port(&[("1", "A", 1), ("1", "B", 3)]).cells(&january("T-ALL"), true).unwrap();
    cells.add(other);
    let cell = &cells.0[&Vec::new()];
    assert_eq!((cell.durations.len(), cell.counts.samples), (6, 6));
    assert_eq!(cell.traders, BTreeMap::from([("A".to_owned(), 3), ("B".to_owned(), 3)]));
}

//! Canonical content: one encoding a table, every damage refused, nothing chosen before its time.
#![allow(clippy::type_complexity, reason = "a failed test may panic; tables of cases are types")]

use eport_catalog::*;
use eport_model::Timestamp;
use std::collections::BTreeMap;

fn ports() -> Schema {
    Schema::new(&["code", "name", "country"], &["code"]).unwrap()
}

fn version(n: u64, effective: &str, content: &[u8]) -> TableVersion {
    TableVersion {
        table: "440000/ports".parse().unwrap(),
        version: n,
        root: root_of(content).unwrap(),
        rows: Header::read(content).unwrap().rows(),
        bytes: content.len() as u64,
        effective: parse_instant(effective).unwrap(),
        schema: ports(),
        publisher: "operator/admin".into(),
        published_at: Timestamp::from_millis(0),
    }
}

/// A small generator with a fixed stream: the seed is the whole input of a failure.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn word(&mut self, len_max: u64) -> String {
        const LETTERS: [&str; 12] = ["a", "b", "0", "1", "|", "\\", "\"", ",", "\n", "港", "é", "🚢"];
        (0..self.next(len_max + 1)).map(|_| LETTERS[self.next(12) as usize]).collect()
    }
}

#[test]
fn random_rows_come_back_as_they_went_in_whatever_their_order() {
    for seed in 1..300u64 {
        let mut dice = Dice(seed);
        let width = 1 + dice.next(5) as usize;
        let keys = 1 + dice.next(width as u64) as usize;
        let names: Vec<String> = (0..width).map(|i| format!("c{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let key: Vec<&str> = names.iter().rev().take(keys).copied().collect();
        let schema = Schema::new(&names, &key).unwrap();
        let mut expected = BTreeMap::new();
        for _ in 0..dice.next(60) {
            let len_max = if dice.next(20) == 0 { 200 } else { 6 };
            let row: Vec<String> = (0..width).map(|_| dice.word(len_max)).collect();
            let key: Vec<String> = row.iter().rev().take(keys).cloned().collect();
            expected.entry(key).or_insert(row);
        }
        let mut shuffled: Vec<&Vec<String>> = expected.values().collect();
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, dice.next(i as u64 + 1) as usize);
        }
        let content = encode_table(&schema, shuffled).unwrap();
        let (read, rows) = decode_table(&content).unwrap();
        assert_eq!(read, schema, "seed {seed}");
        assert_eq!(rows, expected.values().cloned().collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(content, encode_table(&schema, rows).unwrap(), "seed {seed}: one encoding a table");
        for k in expected.keys() {
            assert_eq!(Key::parse(&Key(k.clone()).to_string(), keys), Some(Key(k.clone())), "seed {seed}");
        }
    }
}

#[test]
fn any_flipped_or_missing_byte_is_refused_or_changes_the_root_and_never_panics() {
    let content = encode_table(&ports(), [["CNCAN", "Guangzhou", "CN"], ["CNSHK", "Shekou", "CN"]]).unwrap();
    let v = version(1, "2018-01-01", &content);
    assert_eq!(prove(&v, &content), Ok(()));
    for at in 0..content.len() {
        assert!(decode_table(&content[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut bad = content.clone();
            bad[at] ^= 1 << bit;
            let _ = decode_table(&bad);
            assert!(prove(&v, &bad).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut long = content.clone();
    long.push(0);
    assert_eq!(decode_table(&long).unwrap_err().what, "bytes are left over behind the last row");
}

#[test]
fn rows_out_of_order_and_absurd_claims_are_refused() {
    let row = |code: &str| [&[code.len() as u8], code.as_bytes(), &[0, 0]].concat();
    let good = encode_table(&ports(), [["A", "", ""], ["B", "", ""]]).unwrap();
    let front = good.len() - 2 * row("A").len();
    let swapped = [&good[..front], &row("B"), &row("A")].concat();
    assert_eq!(decode_table(&swapped).unwrap_err().what, "rows are not in rising key order");
    let twice = [&good[..front], &row("A"), &row("A")].concat();
    assert_eq!(decode_table(&twice).unwrap_err().what, "rows are not in rising key order");
    let mut claim = good[..front - 1].to_vec();
    claim.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(decode_table(&claim).unwrap_err().what, "more rows are claimed than the bytes can hold");
}

#[test]
fn equal_repeated_rows_become_one_and_different_ones_are_refused() {
    let schema = ports();
    let once = encode_table(&schema, [["A", "x", ""]]).unwrap();
    assert_eq!(encode_table(&schema, [["A", "x", ""], ["A", "x", ""]]).unwrap(), once);
    assert_eq!(
        encode_table(&schema, [["A", "x", ""], ["B", "", ""], ["A", "y", ""]]),
        Err(EncodeError::RepeatedKey { first: 0, second: 2 })
    );
    assert_eq!(encode_table(&schema, [["A", "x"]]), Err(EncodeError::Width { row: 0, found: 2, columns: 3 }));
    assert!(matches!(Schema::new(&["a"], &["b"]), Err(SchemaError::MissingKeyColumn { .. })));
    assert!(matches!(Schema::new(&["a", "a"], &["a"]), Err(SchemaError::RepeatedColumn { .. })));
    assert!(matches!(Schema::new(&["a"], &[]), Err(SchemaError::KeyColumns { found: 0 })));
}

#[test]
fn the_version_on_an_instant_is_the_one_in_force_then_and_never_another() {
    let content = encode_table(&ports(), [["A", "", ""]]).unwrap();
    // Published out of order, with a rollback (4) at the very instant of 3.
    let versions = [
        version(1, "2018-01-01", &content),
        version(2, "2015-01-01", &content),
        version(3, "2019-04-01", &content),
        version(4, "2019-04-01", &content),
    ];
    let at = |t: &str| in_force(&versions, parse_instant(t).unwrap()).map(|v| v.version);
    assert_eq!(at("2014-12-31"), None);
    assert_eq!(at("2015-01-01"), Some(2));
    assert_eq!(at("2018-01-10"), Some(1));
    assert_eq!(at("2019-03-31T23:59:59"), Some(1), "23:59:59 uses the old");
    assert_eq!(at("2019-04-01T00:00:00"), Some(4), "00:00:00 the new");
    assert_eq!(next_version(&versions), 5);

    let day = parse_instant("2018-01-10").unwrap();
    assert_eq!(choose(&versions, day, |_| true), Choice::InForce(&versions[0]));
    assert_eq!(
        choose(&versions, day, |v| v.version != 1),
        Choice::NotHere(&versions[0]),
        "never the neighbour"
    );
    let early = parse_instant("2000-01-01").unwrap();
    assert_eq!(choose(&versions, early, |_| true), Choice::NotYet { first: &versions[1] });
    assert_eq!(choose(&[], day, |_| true), Choice::Unpublished);
}

#[test]
fn a_past_effective_instant_is_for_first_versions_history_and_dev_only() {
    let content = encode_table(&ports(), [["A", "", ""]]).unwrap();
    let now = parse_instant("2026-01-01").unwrap();
    let (past, lead) = (parse_instant("2018-01-10").unwrap(), 600_000);
    let current = [version(1, "2018-01-01", &content)];
    assert!(judge_effective(&[], past, now, lead, false).is_ok(), "first version");
    assert!(judge_effective(&current, past, now, lead, false).is_err(), "would change what counts today");
    assert!(judge_effective(&current, past, now, lead, true).is_ok(), "dev and demo");
    let history = parse_instant("2017-01-01").unwrap();
    assert!(judge_effective(&current, history, now, lead, false).is_ok(), "history");
    assert!(judge_effective(&current, now, now, lead, false).is_err(), "nearer than the lead");
    assert!(judge_effective(&current, now.plus_millis(lead), now, lead, false).is_ok());
    assert_eq!(baseline(&current, past).map(|v| v.version), Some(1));
    assert_eq!(baseline(&current, history), None);
}

#[test]
fn a_difference_names_keys_and_fields_and_matches_columns_by_name() {
    let before = encode_table(&ports(), [["A", "a", "CN"], ["B", "b", "CN"], ["C", "c", "CN"]]).unwrap();
    let after = encode_table(&ports(), [["B", "b2", "CN"], ["C", "c", "CN"], ["D", "d", "CN"]]).unwrap();
    let json = serde_json::to_value(diff(&before, &after).unwrap()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"added": ["D"], "removed": ["A"], "changed": [{"key": "B", "fields": {"name": ["b", "b2"]}}]})
    );
    let counts = compare(&before, &after, |_| {}).unwrap();
    assert_eq!(counts, Counts { added: 1, removed: 1, changed: 1, unchanged: 1 });

    let moved = Schema::new(&["country", "code", "name"], &["code"]).unwrap();
    let moved = encode_table(&moved, [["CN", "A", "a"], ["CN", "B", "b"], ["CN", "C", "c"]]).unwrap();
    assert_eq!(diff(&before, &moved).unwrap(), Difference::default());
    let fewer = encode_table(&Schema::new(&["code", "name"], &["code"]).unwrap(), [["A", "a"]]).unwrap();
    let only_a = encode_table(&ports(), [["A", "a", "CN"]]).unwrap();
    assert_eq!(diff(&only_a, &fewer).unwrap().changed[0].fields["country"], (Some("CN".into()), None));
    let other_key = encode_table(&Schema::new(&["code", "name"], &["name"]).unwrap(), [["A", "a"]]).unwrap();
    assert!(matches!(diff(&before, &other_key), Err(DiffError::KeyDiffers { .. })));
}

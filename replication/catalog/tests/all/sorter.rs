//! Rows that wait in runs give the content of rows that are in memory, byte for byte.

use eport_catalog::{InMemory, Keep, RowBuffer, Schema, Sorter};
use std::io::Read;

fn rows(seed: u64) -> Vec<[String; 3]> {
    let mut state = seed;
    let mut next = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    // One key in three stands more than once; some of those rows are equal.
    (0..3_000)
        .map(|_| {
            [format!("K{:05}", next(2_000)), format!("v{}", next(2)), "x".repeat(next(40) as usize / 30)]
        })
        .collect()
}

/// Content, rows, and what was told of keys that stand more than once.
type Told = (Vec<u8>, u64, Vec<(u64, u64, bool)>);

fn sorted(rows: &[[String; 3]], keep: Keep, run_len: usize) -> Told {
    let schema = Schema::new(&["code", "name", "note"], &["code"]).unwrap();
    let mut sorter = Sorter::new(schema, keep, &InMemory, run_len).unwrap();
    for (n, row) in rows.iter().enumerate() {
        sorter.push(n as u64, row).unwrap();
    }
    let mut told = Vec::new();
    let ordered = sorter.finish(|a| told.push((a.first, a.second, a.equal))).unwrap();
    let mut bytes = Vec::new();
    ordered.content.open().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(ordered.root, eport_catalog::root_of(&bytes).unwrap());
    (bytes, ordered.rows, told)
}

#[test]
fn runs_give_the_content_of_one_buffer_and_tell_the_same_repeats() {
    for seed in 0..8 {
        let rows = rows(seed);
        let schema = Schema::new(&["code", "name", "note"], &["code"]).unwrap();
        let mut buffer = RowBuffer::new(schema).unwrap();
        for (n, row) in rows.iter().enumerate() {
            buffer.push(n as u64, row).unwrap();
        }
        let plain = buffer.finish().unwrap();
        let told: Vec<_> = plain.repeats.iter().map(|r| (r.first, r.second, r.equal)).collect();
        assert!(told.iter().any(|t| t.2) && told.iter().any(|t| !t.2));
        for run_len in [1, 100, 5_000, usize::MAX] {
            let found = sorted(&rows, Keep::First, run_len);
            assert_eq!(
                found,
                (plain.content.clone(), plain.rows, told.clone()),
                "seed {seed}, runs of {run_len}"
            );
        }
        // The last row of a key: what the first is of the rows the other way round.
        let mut back = rows.clone();
        back.reverse();
        let last = sorted(&back, Keep::First, usize::MAX).0;
        assert!(
            [1, 5_000, usize::MAX].iter().all(|len| sorted(&rows, Keep::Last, *len).0 == last),
            "seed {seed}"
        );
    }
}

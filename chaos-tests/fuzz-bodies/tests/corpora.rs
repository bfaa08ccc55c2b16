//! The corpora, and some thousand changes of them, through every target.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_fuzz_bodies::{Mutator, Shape, Target, Until, corpus, once, run, target, targets};
use std::path::PathBuf;

/// Changes of each corpus that are tried at every test; `make fuzz` tries as many as there is time for.
const CHANGES: u64 = 400;

/// This crate's folder where the test runs: the compiled-in one may be of another checkout that shares the target folder.
fn here() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn folder(target: &Target) -> PathBuf {
    here().join("../fuzz/corpus").join(target.name)
}

#[test]
fn every_target_takes_its_corpus_and_changes_of_it() {
    let mut found = Vec::new();
    for target in targets() {
        let corpus = corpus(&folder(target)).unwrap();
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let report = run(target, &corpus, 1, Until::Count(CHANGES));
        assert!(report.ways > 3, "{}: {} ways only", target.name, report.ways);
        found.extend(report.finding.map(|f| format!("{}: {} by {:02x?}", target.name, f.what, f.input)));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn fresh_good_inputs_are_taken_as_the_committed_ones_are() {
    for target in targets() {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (name, bytes) in seeds {
            assert!(!bytes.is_empty(), "{} {name}", target.name);
            once(target, &bytes).unwrap_or_else(|f| panic!("{} {name}: {}", target.name, f.what));
        }
    }
}

#[test]
fn each_target_has_a_program_for_the_guided_fuzzer_and_both_know_no_other() {
    let manifest = here().join("../fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let programs = manifest.matches("[[bin]]").count();
    let guided: Vec<&Target> =
        targets().iter().filter(|t| !["manifest", "bundle"].contains(&t.name)).collect();
    for target in &guided {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
    }
    assert_eq!(programs, guided.len());
}

fn lies(input: &[u8]) -> u64 {
    assert!(!input.windows(3).any(|w| w == b"BUG"), "a promise is broken");
    u64::from(input.first().copied().unwrap_or(0))
}

#[test]
fn a_broken_promise_is_found_with_its_input_and_the_same_seed_finds_it_again() {
    let broken =
        Target { name: "x", of_ca: false, shape: Shape::Text, words: &["BUG"], body: lies, seeds: Vec::new };
    let corpus = [b"a good line\nand another".to_vec()];
    let first = run(&broken, &corpus, 7, Until::Count(20_000));
    let finding = first.finding.expect("the word is among those that the parser knows");
    assert!(finding.what.contains("a promise is broken") && once(&broken, &finding.input).is_err());
    let again = run(&broken, &corpus, 7, Until::Count(20_000));
    assert_eq!(again.executions, first.executions);
    assert_eq!(again.finding.map(|f| f.input), Some(finding.input));
}

#[test]
fn changes_stay_bounded_and_most_of_a_tree_stay_a_tree() {
    let csr = target("csr").unwrap();
    let corpus = corpus(&folder(csr)).unwrap();
    let mut mutator = Mutator::new(csr.shape, csr.words, 3);
    let inputs: Vec<Vec<u8>> = (0..2_000).map(|_| mutator.input(&corpus)).collect();
    assert!(inputs.iter().all(|i| i.len() <= eport_fuzz_bodies::INPUT_LEN_MAX));
    let fits = |i: &&Vec<u8>| i.first() == Some(&0x30) && i.len() > 100;
    assert!(inputs.iter().filter(fits).count() > 600, "most changes make noise");
}

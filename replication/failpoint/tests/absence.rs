//! A build without the feature carries nothing: not the names of the places, not the code that reads them.
// Tests: an unwrap is an assertion, and they read the environment.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// This crate's folder where the test runs: the compiled-in one may be of another checkout that shares the target folder.
fn here() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Builds the probe beside the workspace's own build, into a folder of its own: only this crate is compiled again.
fn probe(dir: &Path, more: &[&str]) -> PathBuf {
    let (source, example) = (here().join("src/lib.rs"), here().join("examples/probe.rs"));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let lib = dir.join("libeport_failpoint.rlib");
    // Without the feature the crate needs no other: so it can be compiled by itself, in a second.
    let built = Command::new(&rustc)
        .args(["--edition", "2024", "--crate-type", "rlib", "--crate-name", "eport_failpoint", "-o"])
        .arg(&lib)
        .args(more)
        .arg(&source)
        .status()
        .unwrap();
    assert!(built.success());
    let out = dir.join("probe");
    let linked = Command::new(&rustc)
        .args(["--edition", "2024", "-o"])
        .arg(&out)
        .arg("--extern")
        .arg(format!("eport_failpoint={}", lib.display()))
        .args(more)
        .arg(&example)
        .status()
        .unwrap();
    assert!(linked.success());
    out
}

fn carries(program: &Path, word: &str) -> bool {
    let bytes = std::fs::read(program).unwrap();
    bytes.windows(word.len()).any(|w| w == word.as_bytes())
}

#[test]
fn a_build_without_the_feature_has_no_places_and_obeys_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let program = probe(dir.path(), &["-C", "debug-assertions=on"]);
    for word in ["EPORT_FAILPOINTS", "probe.place.before", "probe.place.fails", ".reached"] {
        assert!(!carries(&program, word), "{word}");
    }
    let points = dir.path().join("points/probe");
    std::fs::create_dir_all(&points).unwrap();
    std::fs::write(points.join("probe.place.fails"), "fail").unwrap();
    // A place that obeyed would wait here for ever.
    std::fs::write(points.join("probe.place.before"), "stop").unwrap();
    let ran = Command::new(&program).env("EPORT_FAILPOINTS", dir.path().join("points")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), "carried false failed false clock 0");
}

#[test]
fn the_build_of_this_test_carries_them_and_a_file_makes_a_call_fail_and_moves_the_clock() {
    assert!(std::hint::black_box(eport_failpoint::CARRIED), "the workspace build carries failpoints");
    let name = "probe.place.fails";
    assert!(!eport_failpoint::fails!(name, "x"), "nobody may arm a process that has not entered");
}

/// What cargo resolves for the two programs alone: the feature is nobody's wish.
#[test]
fn the_programs_own_build_resolves_to_no_failpoints() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let features = |extra: &[&str]| {
        let mut tree = Command::new(&cargo);
        tree.args(["tree", "--offline", "--prefix", "none", "-e", "features,normal", "-f", "{p} [{f}]"])
            .args(extra);
        let out = tree.current_dir(here().join("../..")).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines = text.lines().filter(|l| l.starts_with("eport-failpoint v")).map(str::to_owned);
        lines.collect::<std::collections::BTreeSet<_>>()
    };
    let alone = features(&["-p", "eport-server", "-p", "eport-cli"]);
    assert!(!alone.is_empty() && alone.iter().all(|l| l.contains("[]")), "{alone:?}");
    let whole = features(&["--workspace"]);
    assert!(whole.iter().any(|l| l.contains("points")), "the check can see the feature: {whole:?}");
}

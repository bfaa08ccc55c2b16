//! Every piece of evidence that the controls name is in this tree.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use clap::CommandFactory;
use eport_cli::compliance::{Evidence, controls};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../..").canonicalize().unwrap()
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Functions that are tests, or steps of one in a folder of tests.
fn tests() -> BTreeSet<String> {
    let (mut files, mut names) = (Vec::new(), BTreeSet::new());
    for folder in ["cert-authority", "replication", "node", "ops", "chaos-tests"] {
        sources(&root().join(folder), &mut files);
    }
    for path in files {
        let of_tests = path.components().any(|c| c.as_os_str() == "tests");
        let mut marked = false;
        for line in std::fs::read_to_string(&path).unwrap().lines().map(str::trim_start) {
            let plain = line.strip_prefix("pub ").unwrap_or(line);
            let plain = plain.strip_prefix("async ").unwrap_or(plain);
            if let Some(rest) = plain.strip_prefix("fn ")
                && (marked || of_tests)
            {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
            marked = line.starts_with("#[test]")
                || line.starts_with("#[tokio::test")
                || (marked && line.starts_with("#["));
        }
    }
    names
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn is_command(words: &str) -> bool {
    let mut at = eport_cli::args::Cli::command();
    words.split(' ').all(|word| match at.find_subcommand(word).cloned() {
        Some(child) => {
            at = child;
            true
        }
        None => false,
    })
}

#[test]
fn every_evidence_of_a_control_is_in_this_tree() {
    let (tests, settings) = (tests(), text("replication/registry/src/users.rs"));
    let routes = text("node/http/src/catalogue.rs");
    let status = text("node/api-types/src/status.rs");
    // A key may be optional, with a mark before it.
    let config = text("node/server/eportd.example.toml");
    let config = config.lines().map(|l| l.strip_prefix('#').unwrap_or(l));
    let mut keys = BTreeSet::new();
    let mut section = "";
    for line in config {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{section}.{key}"));
        }
    }
    let mut missing = Vec::new();
    for control in controls().unwrap() {
        for evidence in &control.evidence {
            let there = match evidence {
                Evidence::Test { test } => tests.contains(test),
                Evidence::Page { page } => page.starts_with("docs/") && root().join(page).is_file(),
                Evidence::Command { command } => is_command(command),
                Evidence::Config { config } => keys.contains(config),
                Evidence::Route { route, .. } => routes.contains(&format!("\"{route}\"")),
                Evidence::Setting { setting, .. } => settings.contains(&format!("= \"{setting}\";")),
                Evidence::Status { status: field, .. } => status.contains(&format!("pub {field}: ")),
                Evidence::Absent { absent } => {
                    absent.parse::<eport_model::Code>().is_ok_and(|c| c.info().is_some())
                }
            };
            if !there {
                missing.push(format!("{}: {evidence:?}", control.id));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

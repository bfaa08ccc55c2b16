//! The catalogue keeps its rules; page and dashboard are what it says; every metric of it is said somewhere, and only those.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/promql.rs"]
mod promql;

use eport_watch::{METRICS, Unit, dashboard, reference};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../..")
}

fn in_step(file: &str, made: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let checked = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked == made, "{file} is stale: UPDATE=1 cargo test -p eport-watch --test reference");
}

#[test]
fn the_reference_page_is_in_step_with_the_catalogue() {
    in_step("docs/reference/metrics.md", &reference::page());
}

#[test]
fn the_dashboard_is_in_step_with_the_catalogue_and_asks_only_for_what_is_said() {
    let made = dashboard::dashboard();
    let panels = made["panels"].as_array().unwrap();
    let known: BTreeSet<String> = METRICS.iter().map(|(_, m)| m.name.to_owned()).collect();
    let mut asked = BTreeSet::new();
    for target in panels.iter().flat_map(|p| p["targets"].as_array().into_iter().flatten()) {
        asked.extend(promql::Query::parse(target["expr"].as_str().unwrap()).unwrap().metrics());
    }
    assert_eq!(asked, known, "a panel for every metric, and for no other");
    let ids: BTreeSet<u64> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "an id twice");
    in_step("ops/alerts/eport.dashboard.json", &format!("{made:#}\n"));
}

#[test]
fn names_are_unique_and_end_as_their_units_demand() {
    let suffixes =
        ["_seconds", "_bytes", "_records", "_index", "_total", "_ratio", "_milliseconds", "_ms", "_info"];
    let (mut names, mut groups) = (BTreeSet::new(), Vec::new());
    for (_, m) in METRICS {
        let name = m.name;
        assert!(names.insert(name), "{name} twice");
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(plain && name.starts_with("eport_") && !name.contains("__"), "{name}");
        match m.unit.suffix() {
            Some(suffix) => assert!(name.ends_with(suffix), "{name} is in {}", m.unit.word()),
            None => assert!(!suffixes.iter().any(|s| name.ends_with(s)), "{name} has no such unit"),
        }
        assert!(m.unit != Unit::Seconds || !name.ends_with("_total"), "{name}");
        assert!(m.labels.iter().collect::<BTreeSet<_>>().len() == m.labels.len(), "{name}");
        assert!(!m.en.is_empty() && !m.en.ends_with('.') && !m.zh.is_ascii(), "{name} in both languages");
        assert!(!m.en.contains(['|', '\n']) && !m.zh.contains(['|', '\n']), "{name} breaks the page");
        if groups.last() != Some(&m.group) {
            groups.push(m.group);
        }
    }
    assert_eq!(
        groups.iter().collect::<BTreeSet<_>>().len(),
        groups.len(),
        "a group in two places: {groups:?}"
    );
    // No name is the beginning of what another family adds to it.
    for (_, m) in METRICS {
        assert!(!names.contains(format!("{}_total", m.name).as_str()), "{} and its total", m.name);
    }
}

fn sources(dir: &Path, out: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            out.push_str(text.split("#[cfg(test)]").next().unwrap());
        }
    }
}

#[test]
fn a_node_says_every_metric_of_the_catalogue_and_no_other() {
    let mut text = String::new();
    sources(&root().join("node/http/src"), &mut text);
    // Said by `put(&m::NAME, …)` or `put_for(&metric::NAME, …)`; a name that is not in the catalogue does not compile.
    let said = |id: &str| {
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        ["&m::", "&metric::"].iter().any(|before| {
            let wanted = format!("{before}{id}");
            text.match_indices(&wanted).any(|(at, _)| ends(&text[at + wanted.len()..]))
        })
    };
    let unsaid: Vec<&str> = METRICS.iter().filter(|(id, _)| !said(id)).map(|(_, m)| m.name).collect();
    assert!(unsaid.is_empty(), "in the catalogue, but no node says them: {unsaid:?}");
    let around = text.matches(".register(").count();
    assert_eq!(
        around,
        text.matches("registry.register(metric.family()").count(),
        "a metric beside the catalogue"
    );
}

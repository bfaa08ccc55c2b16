//! The rules for Prometheus: every metric that they name exists, and each alert fires at its planted fault and resolves after it.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/promql.rs"]
mod promql;
#[path = "support/rules.rs"]
mod rules;

use eport_watch::METRICS;
use promql::{Labels, Query, Samples};
use rules::{File, Rule, STEP};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../..")
}

fn alerts() -> Vec<Rule> {
    let text = std::fs::read_to_string(root().join("ops/alerts/eport.rules.yml")).unwrap();
    let file: File = serde_saphyr::from_str(&text).unwrap();
    let names: BTreeSet<&String> = file.groups.iter().map(|g| &g.name).collect();
    assert_eq!(names.len(), file.groups.len(), "two groups of one name");
    file.groups.into_iter().flat_map(|g| g.rules).collect()
}

/// A fault as samples: what a healthy federation says, and what it says during the fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    alert: String,
    /// How long the fault lasts.
    #[serde(default = "hour")]
    minutes: f64,
    series: Vec<Series>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    metric: String,
    #[serde(default)]
    labels: Labels,
    healthy: f64,
    /// Nothing is said where this is missing.
    fault: Option<f64>,
    /// The figures are what is added each minute.
    #[serde(default)]
    per_minute: bool,
}

fn hour() -> f64 {
    60.0
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(root().join("node/watch/tests/faults.toml")).unwrap();
    toml::from_str::<Cases>(&text).unwrap().case
}

/// Healthy for half an hour, the fault, healthy for two hours.
const BEFORE: f64 = 1_800.0;
const AFTER: f64 = 7_200.0;

impl Case {
    fn end(&self) -> f64 {
        BEFORE + self.minutes * 60.0
    }

    fn samples(&self, faulty: bool) -> Samples {
        let mut out = Samples::default();
        for s in &self.series {
            let (mut points, mut now, mut sum) = (Vec::new(), 0.0, 0.0);
            while now <= self.end() + AFTER {
                let said =
                    if faulty && (BEFORE..self.end()).contains(&now) { s.fault } else { Some(s.healthy) };
                if let Some(v) = said {
                    sum += v * STEP / 60.0;
                    points.push((now, if s.per_minute { sum } else { v }));
                }
                now += STEP;
            }
            out.0.push((s.metric.clone(), s.labels.clone(), points));
        }
        out
    }
}

#[test]
fn every_alert_names_known_metrics_and_says_how_bad_what_and_where_to_read_on() {
    let known: BTreeMap<&str, &[&str]> = METRICS.iter().map(|(_, m)| (m.name, m.labels)).collect();
    let runbook = std::fs::read_to_string(root().join("docs/runbooks/alerts.md")).unwrap();
    let mut seen = BTreeSet::new();
    for rule in alerts() {
        let name = &rule.alert;
        assert!(seen.insert(name.clone()), "{name} twice");
        let query = Query::parse(&rule.expr).unwrap_or_else(|e| panic!("{name}: {e}"));
        let unknown: Vec<String> =
            query.metrics().into_iter().filter(|m| !known.contains_key(m.as_str())).collect();
        assert!(unknown.is_empty(), "{name} names metrics that no node says: {unknown:?}");
        promql::seconds(&rule.pending).unwrap();
        assert!(matches!(rule.labels["severity"].as_str(), "critical" | "warning"), "{name}");
        for text in ["summary", "summary_zh"] {
            let said = &rule.annotations[text];
            for label in said.split("$labels.").skip(1) {
                let label: String = label.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
                let has = |m: &String| label == "instance" || known[m.as_str()].contains(&label.as_str());
                assert!(query.metrics().iter().all(has), "{name}: {text} names the label {label}");
            }
        }
        assert!(!rule.annotations["summary_zh"].is_ascii(), "{name} has no Chinese summary");
        assert_eq!(rule.annotations["runbook"], format!("docs/runbooks/alerts.md#{}", name.to_lowercase()));
        assert!(runbook.contains(&format!("## {name}\n")), "the runbook has no section {name}");
    }
    let sections = runbook.lines().filter_map(|l| l.strip_prefix("## "));
    let stale: Vec<&str> = sections.filter(|s| !seen.contains(*s)).collect();
    assert!(stale.is_empty(), "sections of alerts that are no more: {stale:?}");
}

#[test]
fn each_alert_fires_at_its_planted_fault_and_resolves_after_it() {
    let cases = cases();
    for rule in alerts() {
        let mut planted = cases.iter().filter(|c| c.alert == rule.alert).peekable();
        assert!(planted.peek().is_some(), "no fault is planted for {}", rule.alert);
        for case in planted {
            let fired = rule.firing(&case.samples(true), case.end() + AFTER);
            let (first, last) = (fired.first().copied(), fired.last().copied());
            assert!(
                first.is_some_and(|t| t >= BEFORE),
                "{} does not fire, or too early: {first:?}",
                rule.alert
            );
            let pending = promql::seconds(&rule.pending).unwrap();
            let at_end = fired.iter().any(|t| (t - (case.end() - STEP)).abs() < STEP / 2.0);
            assert!(at_end, "{} does not fire at the end of the fault", rule.alert);
            assert!(first >= Some(BEFORE + pending), "{} does not wait for {}", rule.alert, rule.pending);
            assert!(last < Some(case.end() + AFTER - STEP), "{} does not resolve", rule.alert);
        }
    }
    let known: BTreeSet<String> = alerts().into_iter().map(|r| r.alert).collect();
    let stale: Vec<&String> = cases.iter().map(|c| &c.alert).filter(|a| !known.contains(*a)).collect();
    assert!(stale.is_empty(), "faults of alerts that are no more: {stale:?}");
}

#[test]
fn without_a_fault_no_alert_fires() {
    let mut all = Samples::default();
    for case in cases() {
        all.0.extend(case.samples(false).0);
    }
    for rule in alerts() {
        assert_eq!(rule.firing(&all, BEFORE + AFTER), Vec::<f64>::new(), "{}", rule.alert);
    }
}

#[test]
fn a_fault_shorter_than_the_waiting_time_wakes_nobody() {
    let cases = cases();
    for rule in alerts().iter().filter(|r| promql::seconds(&r.pending).unwrap() >= 60.0) {
        let case = cases.iter().find(|c| c.alert == rule.alert).unwrap();
        // Windows remember longer than the fault lasts: they are not meant here.
        if rule.expr.contains('[') || rule.expr.contains("absent") {
            continue;
        }
        let minutes = (promql::seconds(&rule.pending).unwrap() - 2.0 * STEP) / 60.0;
        let series =
            case.series.iter().map(|s| Series { labels: s.labels.clone(), metric: s.metric.clone(), ..*s });
        let short = Case { alert: case.alert.clone(), minutes, series: series.collect() };
        assert!(rule.firing(&short.samples(true), short.end() + AFTER).is_empty(), "{}", rule.alert);
    }
}

#[test]
fn promtool_agrees_where_it_is_installed() {
    let file = root().join("ops/alerts/eport.rules.yml");
    match std::process::Command::new("promtool").args(["check", "rules"]).arg(&file).output() {
        Ok(ran) => assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr)),
        Err(_) => eprintln!("promtool is not installed: its check of the rules is left out"),
    }
}

#[test]
fn the_evaluator_knows_windows_resets_groups_and_refuses_what_it_does_not_know() {
    let labels = |v: &str| Labels::from([("node".to_owned(), v.to_owned())]);
    let mut samples = Samples::default();
    samples.0.push(("c".into(), labels("a"), vec![(0.0, 0.0), (60.0, 10.0), (120.0, 2.0), (180.0, 5.0)]));
    samples.0.push(("g".into(), labels("a"), vec![(0.0, 3.0), (180.0, -4.0)]));
    samples.0.push(("g".into(), labels("b"), vec![(180.0, 1.0)]));
    let at = |text: &str, now: f64| -> Vec<f64> {
        Query::parse(text).unwrap().at(&samples, now).into_iter().map(|(_, v)| v).collect()
    };
    assert_eq!(at("increase(c[5m])", 180.0), [15.0], "a process that began again lost nothing");
    assert_eq!(at("rate(c[1m])", 180.0), Vec::<f64>::new(), "one sample has no rate");
    assert_eq!(at("delta(g[5m])", 180.0), [-7.0]);
    assert_eq!(at("max(g) - min(g)", 180.0), [5.0]);
    assert_eq!(at("sum by (node) (g) < 0", 180.0), [-4.0]);
    assert_eq!(at("abs(g{node=\"a\"}) > 3.5", 180.0), [4.0]);
    assert_eq!(at("c > 4 and g < 0", 180.0), [5.0], "the same labels on both sides");
    assert_eq!(at("absent(g)", 180.0 + 301.0), [1.0], "an old sample is gone");
    assert_eq!(at("g == -4", 180.0), [-4.0]);
    for bad in ["quantile(0.9, g)", "g{node!=\"a\"}", "increase(g)", "g >", "g ) ", "g[5x]", "\u{e9}"] {
        assert!(Query::parse(bad).is_err(), "{bad}");
    }
}

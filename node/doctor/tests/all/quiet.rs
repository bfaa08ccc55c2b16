//! What is sound is quiet, and the catalogue is whole.

use crate::support::*;
use eport_doctor::{FINDINGS, KINDS, Severity, finding_of, kind};
use std::collections::BTreeSet;

#[test]
fn a_sound_federation_has_no_finding() {
    assert_eq!(findings(&sound()), []);
}

#[test]
fn every_kind_has_a_stable_id_and_says_everything_in_both_languages() {
    let mut seen = BTreeSet::new();
    for k in KINDS {
        assert!(seen.insert(k.id), "{} twice", k.id);
        assert!(k.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", k.id);
        for text in [k.title.0, k.means.0, k.remedy.0] {
            assert!(text.is_ascii() && !text.is_empty(), "{}: {text}", k.id);
        }
        for text in [k.title.1, k.means.1, k.remedy.1] {
            assert!(!text.is_ascii(), "{}: {text}", k.id);
        }
    }
}

#[test]
fn every_finding_that_needs_a_person_has_a_runbook() {
    let page = include_str!("../../../../docs/runbooks/README.md");
    for k in KINDS {
        let section = page.contains(&format!("\n## {}\n", k.id));
        assert_eq!(section, k.severity != Severity::Info, "{} in docs/runbooks/README.md", k.id);
    }
    for heading in page.lines().filter_map(|l| l.strip_prefix("## ")) {
        assert!(kind(heading).is_some(), "a runbook for {heading}, which nothing finds");
    }
}

#[test]
fn a_metric_names_a_finding_that_there_is() {
    for (metric, finding) in FINDINGS {
        assert!(kind(finding).is_some(), "{metric}: {finding}");
    }
    assert_eq!(finding_of("eport_slot_lost"), Some("slot-lost"));
    assert_eq!((finding_of("slot_lost"), finding_of("eport_x")), (None, None));
}

#[test]
fn the_worst_comes_first_and_the_same_facts_give_the_same_findings() {
    let mut g = with_fact(0, |f| f.files_max = Some(1_024));
    g.asked[1].facts.as_mut().unwrap().disk.fault = Some("read-only file system".into());
    let all = findings(&g);
    assert_eq!(all.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["disk-unwritable", "files-few"]);
    assert_eq!(all, findings(&g));
}

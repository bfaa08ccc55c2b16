//! Faults of nodes, links, clocks, disks, certificates, versions, the registry.

use crate::support::*;
use eport_api_types::CodedText;
use eport_doctor::{Owner, Severity};

#[test]
fn a_silent_node_is_named_once_with_its_reason() {
    let mut g = sound();
    silent(&mut g, 2);
    // The others cannot reach it either; that is no finding of its own.
    for node in [0, 1] {
        let peers = &mut g.asked[node].facts.as_mut().unwrap().peers;
        let peer = peers.iter_mut().find(|p| p.node.to_string() == "sz-a-1").unwrap();
        for c in &mut peer.classes {
            (c.took_ms, c.fault) = (None, Some(CodedText { code: "EP1304".into(), text: "gone".into() }));
        }
    }
    let all = findings(&g);
    assert_eq!(all.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["node-silent", "quorum-thin"]);
    assert!(all[0].subject == "sz-a-1" && all[0].cause.en.contains("connection refused"), "{all:#?}");
    assert_eq!(all[0].next, "eport node show sz-a-1");
}

#[test]
fn a_node_that_is_not_ready_says_why() {
    let found = only(&with_fact(1, |f| {
        f.ready = false;
        f.reasons = vec!["the registry is not known here yet".into()];
    }));
    assert!(found.id == "node-not-ready" && found.cause.en.contains("not known here yet"));
}

#[test]
fn a_cut_link_is_named_by_direction_and_class() {
    let found = only(&with_fact(0, |f| {
        let bulk = &mut f.peers[1].classes[1];
        (bulk.took_ms, bulk.fault) = (None, Some(CodedText { code: "EP1304".into(), text: "no way".into() }));
    }));
    assert_eq!((found.id.as_str(), found.subject.as_str()), ("link-cut", "gz-a-1 → sz-a-1 bulk"));
    assert_eq!(found.owner, Owner::SystemAdministrator);
}

#[test]
fn a_slow_link_is_a_warning() {
    let found = only(&with_fact(0, |f| f.peers[0].classes[0].took_ms = Some(1_500.0)));
    assert_eq!((found.id.as_str(), found.severity), ("link-slow", Severity::Warning));
}

#[test]
fn one_clock_of_three_that_is_off_is_named_and_the_others_are_not() {
    let found = only(&with_fact(1, |f| f.wall = at(NOW_MS + DAY_MS)));
    assert_eq!((found.id.as_str(), found.subject.as_str()), ("clock-off", "gz-c-1"));
    assert_eq!(only(&with_fact(1, |f| f.wall = at(NOW_MS - 900))).id, "clock-off");
    assert!(findings(&with_fact(1, |f| f.wall = at(NOW_MS + 400))).is_empty(), "within the limit");
}

#[test]
fn a_slow_answer_blames_no_clock_and_of_two_clocks_none_is_right() {
    let mut g = with_fact(1, |f| f.wall = at(NOW_MS + 3_000));
    g.asked[1].took_ms = 3_000;
    assert!(findings(&g).is_empty(), "the way took longer than the difference");
    g.asked[1].facts.as_mut().unwrap().busy_ms = 2_990;
    assert!(findings(&g).is_empty(), "it measured for three seconds and read its clock then");
    g.asked[1].facts.as_mut().unwrap().wall = at(NOW_MS + 3_800);
    assert_eq!(only(&g).id, "clock-off", "long measurements hide no clock");
    let mut g = with_fact(1, |f| f.wall = at(NOW_MS + 3_000));
    silent(&mut g, 2);
    let clocks: Vec<_> = findings(&g).into_iter().filter(|f| f.id == "clock-off").collect();
    assert_eq!(clocks.len(), 2, "{clocks:#?}");
}

#[test]
fn a_clock_that_was_set_back_is_named() {
    assert_eq!(only(&with_fact(0, |f| f.clock_back_ms = 60_000)).id, "clock-set-back");
}

#[test]
fn a_disk_that_fills_is_a_warning_and_then_critical() {
    let found = only(&with_fact(0, |f| f.disk.free_bytes = Some(1 << 30)));
    assert_eq!((found.id.as_str(), found.severity), ("disk-full", Severity::Warning));
    let found = only(&with_fact(0, |f| f.disk.free_bytes = Some(100 << 20)));
    assert!(found.severity == Severity::Critical && found.cause.en.contains("100 MiB"));
}

#[test]
fn a_slow_disk_and_one_that_cannot_be_written_are_told_apart() {
    assert_eq!(only(&with_fact(0, |f| f.disk.fsync_ms = Some(400.0))).id, "disk-slow");
    let found = only(&with_fact(0, |f| f.disk.fault = Some("input/output error".into())));
    assert!(found.id == "disk-unwritable" && found.severity == Severity::Critical);
}

#[test]
fn too_few_open_files_are_told() {
    assert_eq!(only(&with_fact(0, |f| f.files_max = Some(1_024))).id, "files-few");
}

#[test]
fn a_certificate_whose_renewal_is_overdue_and_one_that_has_ended() {
    let life = |left: i64| {
        with_fact(2, |f| {
            let c = f.certificate.as_mut().unwrap();
            (c.from, c.to) = (at(NOW_MS + left - 30 * DAY_MS), at(NOW_MS + left));
        })
    };
    assert!(findings(&life(7 * DAY_MS)).is_empty());
    let found = only(&life(5 * DAY_MS));
    assert!(found.id == "certificate-ends-soon" && found.owner == Owner::SecurityAdministrator);
    assert_eq!(only(&life(-1)).id, "certificate-expired");
}

#[test]
fn versions_that_differ_are_good_to_know_and_those_that_cannot_talk_are_an_error() {
    let found = only(&with_fact(0, |f| f.version = "0.2.0".into()));
    assert_eq!((found.id.as_str(), found.severity), ("version-mixed", Severity::Info));
    let all = ids(&with_fact(0, |f| f.wire = (4, 5)));
    assert_eq!(all, ["version-apart", "version-apart"]);
}

#[test]
fn a_lost_quorum_and_news_that_are_old() {
    let mut g = sound();
    silent(&mut g, 1);
    silent(&mut g, 2);
    assert_eq!(ids(&g)[0], "quorum-lost");
    let leaderless = {
        let mut g = sound();
        for a in &mut g.asked {
            a.facts.as_mut().unwrap().registry.leader = None;
        }
        g
    };
    assert_eq!(only(&leaderless).id, "quorum-lost");
    assert_eq!(only(&with_fact(1, |f| f.registry.news_s = Some(90.0))).id, "registry-stale");
}

#[test]
fn what_could_not_be_read_is_said() {
    let mut g = sound();
    g.unread.push(eport_doctor::Unread {
        what: "approvals".into(),
        code: "EP6002".into(),
        text: "not allowed".into(),
    });
    let found = only(&g);
    assert!(found.id == "unread" && found.severity == Severity::Info && found.subject == "approvals");
}

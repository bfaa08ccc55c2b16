//! Plans, measurements, verdicts, reports, calendar.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

use eport_api_types::{
    BackupStatus, DrillScheduleItem, DurabilityNow, FederationStatus, Mode, NodeState, NodeStatus,
    PlatformKind, PlatformState, PlatformStatus, from_rfc3339,
};
use eport_drill::log::{Attempt, Line, Outcome};
use eport_drill::reconcile::Held;
use eport_drill::*;
use eport_model::{Digest, Epoch, Lineage};

fn node(id: &str, site: &str, home: &str) -> NodeStatus {
    NodeStatus {
        node: id.parse().unwrap(),
        site: site.parse().unwrap(),
        state: NodeState::Up,
        last_seen_s: Some(0.1),
        voter: !id.ends_with('2'),
        version: "0.1.0".into(),
        reads: Some(3),
        build: None,
        region: Some(home.parse().unwrap()),
        api: Some(format!("https://{id}")),
        certificate_ends: None,
    }
}

fn platform(region: &str, primary: &str, backups: &[&str]) -> PlatformStatus {
    let backup = |id: &&str| BackupStatus {
        node: id.parse().unwrap(),
        in_sync: true,
        lag_records: 0,
        lag_seconds: 0.0,
        received: 9,
        durable: 9,
        applied: 9,
        slot: None,
        bootstrap: None,
    };
    PlatformStatus {
        region: region.parse().unwrap(),
        name_zh: region.into(),
        name_en: region.into(),
        kind: PlatformKind::Physical,
        primary: primary.parse().unwrap(),
        epoch: Epoch::INITIAL,
        version: 7,
        durability: "sync".into(),
        durability_now: DurabilityNow::Replicated,
        proven: 1,
        isolation: "block".into(),
        failover: "manual".into(),
        state: PlatformState::Active,
        backups: backups.iter().map(backup).collect(),
        records: 9,
        head_digest: Digest::ZERO,
        away: false,
        copies: Vec::new(),
        min_durability: "local".into(),
        disk_bytes: 0,
        quota: None,
    }
}

fn federation() -> FederationStatus {
    FederationStatus {
        federation: "gd".into(),
        lineage: Lineage::from_bytes([7; 16]),
        leader: None,
        term: 1,
        nodes: vec![
            node("gz-a-1", "gz-a", "440000"),
            node("gz-a-2", "gz-a", "440000"),
            node("gz-c-1", "gz-c", "440100"),
            node("sz-a-1", "sz-a", "440300"),
        ],
        platforms: vec![
            platform("440000", "gz-a-1", &["gz-c-1", "sz-a-1"]),
            platform("440300", "sz-a-1", &["gz-a-1", "gz-c-1"]),
            platform("440500", "gz-a-2", &["gz-c-1", "sz-a-1"]),
        ],
        mode: Mode::Dev,
        two_person: false,
        operator_signatures: false,
        role_separation: "off".into(),
        tables: vec![],
        warnings: vec![],
        index: 1,
        kept_journals: Vec::new(),
        lineages: Vec::new(),
    }
}

fn facts(status: &FederationStatus) -> Facts<'_> {
    Facts {
        status,
        running: None,
        canary_refused: vec![],
        recovery_key: true,
        hands: Hands::Own,
        custody: CustodyFacts { threshold: 2, kept: true, open: false, shares: 2 },
        isolated: false,
        rotation_refused: None,
        limit_s: None,
    }
}

fn planned(name: &str, region: &str, status: &FederationStatus) -> Plan {
    plan(&script(name).unwrap().unwrap(), region.parse().unwrap(), &facts(status)).unwrap()
}

fn broken(p: &Plan) -> Vec<&str> {
    p.preconditions.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect()
}

fn names<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[test]
fn every_drill_can_be_planned_on_a_healthy_federation() {
    let status = federation();
    for s in scripts().unwrap().into_iter().filter(|s| !s.is_chain()) {
        let p = planned(&s.name, "440300", &status);
        // One works on copies only, and that has to be said.
        let unsaid: &[&str] = if s.name == "quorum-loss" { &["isolated"] } else { &[] };
        assert_eq!(broken(&p), unsaid, "{}: {:?}", s.name, p.preconditions);
        assert_eq!(p.steps.len(), s.steps.len());
    }
}

#[test]
fn what_passes_by_itself_is_waited_for_and_what_somebody_must_do_is_not() {
    let mut status = federation();
    assert!(!planned("switchover", "440300", &status).may_settle(), "nothing speaks against it");
    let city = status.platforms.iter_mut().find(|p| p.region.to_string() == "440300").unwrap();
    city.backups[0].in_sync = false;
    let p = planned("switchover", "440300", &status);
    assert!(!p.may_run() && p.may_settle(), "{:?}", broken(&p));
    let said = Facts { running: Some("d-1".into()), ..facts(&status) };
    let p = plan(&script("switchover").unwrap().unwrap(), "440300".parse().unwrap(), &said).unwrap();
    assert!(!p.may_settle(), "another drill ends when its people end it: {:?}", broken(&p));
}

#[test]
fn the_loss_of_a_site_or_of_the_province_takes_every_platform_that_is_served_there_along() {
    let status = federation();
    let kill = planned("primary-kill", "440300", &status);
    assert_eq!((names(&kill.victims), kill.platforms.len()), (vec!["sz-a-1".into()], 1));
    assert_eq!(kill.platforms[0].to.unwrap().to_string(), "gz-a-1");
    let province = planned("province-loss", "440300", &status);
    assert_eq!(province.region.to_string(), "440000", "it is the province that is lost, whatever was named");
    assert_eq!(names(&province.victims), ["gz-a-1", "gz-a-2"]);
    let regions: Vec<String> = province.platforms.iter().map(|p| p.region.to_string()).collect();
    assert_eq!(regions, ["440000", "440500"]);
    assert!(province.platforms.iter().all(|p| !province.victims.contains(&p.to.unwrap())));
}

#[test]
fn a_rotation_takes_down_a_member_that_serves_nothing_and_begins_only_where_it_can_end() {
    let status = federation();
    let p = planned("ca-rotation", "440300", &status);
    let serves = |n: &eport_model::NodeId| status.platforms.iter().any(|p| p.primary == *n);
    assert!(p.victims.len() == 1 && !p.victims.iter().any(serves), "{:?}", p.victims);
    assert!(p.platforms.len() == 1 && p.platforms[0].to.is_none(), "nothing is moved");
    let mut busy = federation();
    let victim = p.victims[0];
    busy.platforms.push(platform("440100", victim.as_str(), &[]));
    let none = planned("ca-rotation", "440300", &busy);
    assert!(none.victims.is_empty() && broken(&none).contains(&"member"), "{:?}", broken(&none));
    let refused = Facts { rotation_refused: Some("a rotation is draining already".into()), ..facts(&status) };
    let s = script("ca-rotation").unwrap().unwrap();
    let p = plan(&s, "440300".parse().unwrap(), &refused).unwrap();
    assert_eq!(broken(&p), ["rotation"]);
    let text = include_str!("../scripts/ca-rotation.toml");
    let half = text.replace("action = \"rotate_forced\"", "action = \"follow\"");
    assert!(eport_drill::Script::read("ca-rotation", &half).is_err(), "half a rotation");
}

#[test]
fn a_cut_leaves_the_backup_that_writes_need() {
    let status = federation();
    let p = planned("link-cut", "440300", &status);
    assert_eq!(p.behind.unwrap().to_string(), "gz-c-1");
    assert_eq!(p.disturbs(), ["link sz-a gz-c"]);
    let mut lean = federation();
    lean.platforms[1].backups.truncate(1);
    assert_eq!(broken(&planned("link-cut", "440300", &lean)), ["writes_survive"]);
}

#[test]
fn what_speaks_against_a_drill_is_named_before_it_begins() {
    let mut status = federation();
    status.nodes[3].state = NodeState::Suspect;
    let p = planned("switchover", "440000", &status);
    assert_eq!(broken(&p), ["in_sync"], "a backup that is not heard of");
    let mut status = federation();
    status.platforms[1].durability = "async".into();
    status.platforms[1].proven = 0;
    assert_eq!(broken(&planned("primary-kill", "440300", &status)), ["lossless"]);
    let mut status = federation();
    status.nodes[2].voter = false;
    status.nodes[1].voter = true;
    assert_eq!(broken(&planned("province-loss", "440000", &status)), ["quorum"]);
    let status = federation();
    let ca = script("ca-loss").unwrap().unwrap();
    let about = |custody| {
        let f = Facts { custody, ..facts(&status) };
        let p = plan(&ca, "440300".parse().unwrap(), &f).unwrap();
        broken(&p).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let good = facts(&status).custody;
    assert!(about(good).is_empty());
    assert_eq!(about(CustodyFacts { open: true, ..good }), ["locked"], "it would show nothing");
    assert_eq!(about(CustodyFacts { kept: false, ..good }), ["custody"]);
    assert_eq!(about(CustodyFacts { shares: 1, ..good }), ["shares"]);
    assert_eq!(about(CustodyFacts::default()), ["custody", "shares"]);
    let s = script("restore-test").unwrap().unwrap();
    let f = Facts {
        running: Some("aa".into()),
        canary_refused: vec!["no table".into()],
        recovery_key: false,
        ..facts(&status)
    };
    let p = plan(&s, "440300".parse().unwrap(), &f).unwrap();
    assert_eq!(broken(&p), ["alone", "canary", "recovery_key"]);
}

#[test]
fn the_id_of_a_plan_changes_with_everything_that_was_chosen() {
    let status = federation();
    let base = planned("primary-kill", "440300", &status).plan_id;
    assert_eq!(planned("primary-kill", "440300", &status).plan_id, base);
    let mut moved = federation();
    moved.platforms[1].version = 8;
    assert_ne!(planned("primary-kill", "440300", &moved).plan_id, base);
    let mut other = federation();
    other.platforms[1].backups.remove(0);
    assert_ne!(planned("primary-kill", "440300", &other).plan_id, base, "another heir");
    assert_ne!(planned("switchover", "440300", &status).plan_id, base);
}

fn ack(n: u64, done_ms: f64) -> Line {
    line(n, done_ms, Outcome::Acknowledged)
}

fn line(n: u64, done_ms: f64, outcome: Outcome) -> Line {
    Line::Attempt(Box::new(Attempt {
        number: n,
        attempt: 1,
        client_ref: format!("D-{n}"),
        api: "https://a".into(),
        sent_ms: done_ms - 5.0,
        done_ms,
        outcome,
        status: None,
        code: None,
        detail: None,
        doc_id: outcome.is_promise().then(|| format!("E{n}")),
        durability: None,
        epoch: None,
        index: None,
        digest: None,
    }))
}

fn held(numbers: impl IntoIterator<Item = u64>) -> Vec<Held> {
    numbers.into_iter().map(|n| Held { client_ref: format!("D-{n}"), doc_id: format!("E{n}") }).collect()
}

/// Writes every 50 ms, none between 1 000 and 1 800, and after that again.
fn log() -> Vec<Line> {
    let before = (1..=20).map(|n| ack(n, n as f64 * 50.0));
    before.chain((21..=40).map(|n| ack(n, 750.0 + n as f64 * 50.0))).collect()
}

const WINDOW: Window = Window { from_ms: 1_010.0, to_ms: 2_000.0 };

fn measured(lines: &[Line], held: &[Held], windows: &[Window]) -> Measured {
    measure(&[Canary { region: "440300".parse().unwrap(), lines, held }], windows)
}

#[test]
fn the_pause_runs_from_the_last_write_before_and_the_recovery_time_from_the_disturbance() {
    let m = measured(&log(), &held(1..=40), &[WINDOW]);
    assert_eq!((m.write_pause_ms, m.rto_ms), (Some(800.0), Some(790.0)));
    assert_eq!((m.rpo_records, m.documents.present), (0, 40));
    let late = Window { from_ms: 900.0, to_ms: 2_000.0 };
    assert_eq!(measured(&log(), &held(1..=40), &[late]).rto_ms, Some(800.0), "writes went on until 1 000");
    let calm = Window { from_ms: 100.0, to_ms: 300.0 };
    assert_eq!(measured(&log(), &held(1..=40), &[calm]).write_pause_ms, Some(50.0));
    assert_eq!(measured(&log(), &held(1..=40), &[]).write_pause_ms, None, "nothing was disturbed");
}

#[test]
fn writing_that_never_came_back_has_no_recovery_time() {
    let lines: Vec<Line> = log().into_iter().take(20).collect();
    let m = measured(&lines, &held(1..=20), &[WINDOW]);
    assert!(m.stopped && m.rto_ms.is_none());
}

#[test]
fn lost_records_are_counted_with_the_time_from_the_oldest_to_what_lost_it() {
    let m = measured(&log(), &held((1..=18).chain(21..=40)), &[WINDOW]);
    assert_eq!((m.rpo_records, m.rpo_ms), (2, 60.0), "950 to 1 010");
    assert_eq!(m.documents.examples, ["D-19", "D-20"]);
}

const OBJECTIVES: Objectives =
    Objectives { rpo_records: 0, rpo_seconds: 0.0, rto_seconds: Some(1.0), write_pause_ms: Some(1_000.0) };

fn steps(ok: bool) -> Vec<ReportStep> {
    vec![ReportStep { name: "kill".into(), started: "t".into(), seconds: 0.1, result: "ok".into(), ok }]
}

fn good() -> Ending {
    Ending { aborted: None, restored: true, in_time: true }
}

fn failed(objectives: &Objectives, m: &Measured, steps: &[ReportStep], e: &Ending) -> (Verdict, Vec<String>) {
    let (verdict, criteria) = judge(objectives, m, steps, e);
    (verdict, criteria.into_iter().filter(|c| !c.ok).map(|c| c.name).collect())
}

#[test]
fn a_drill_passes_only_when_every_criterion_holds() {
    let m = measured(&log(), &held(1..=40), &[WINDOW]);
    assert_eq!(failed(&OBJECTIVES, &m, &steps(true), &good()), (Verdict::Passed, vec![]));
    let lost = measured(&log(), &held(2..=40), &[WINDOW]);
    let (verdict, why) = failed(&OBJECTIVES, &lost, &steps(true), &good());
    assert_eq!((verdict, why), (Verdict::Failed, vec!["rpo_records".into(), "rpo_seconds".into()]));
    let slow = Objectives { rto_seconds: Some(0.5), ..OBJECTIVES };
    assert_eq!(failed(&slow, &m, &steps(true), &good()), (Verdict::Failed, vec!["rto_seconds".into()]));
    let short = Objectives { write_pause_ms: Some(799.0), ..OBJECTIVES };
    assert_eq!(failed(&short, &m, &steps(true), &good()), (Verdict::Failed, vec!["write_pause_ms".into()]));
    let mut twice = held(1..=40);
    twice.push(Held { client_ref: "D-7".into(), doc_id: "E99".into() });
    let m2 = measured(&log(), &twice, &[WINDOW]);
    assert_eq!(failed(&OBJECTIVES, &m2, &steps(true), &good()), (Verdict::Failed, vec!["once".into()]));
    assert_eq!(failed(&OBJECTIVES, &m, &steps(false), &good()), (Verdict::Failed, vec!["steps".into()]));
    let away = Ending { restored: false, ..good() };
    assert_eq!(failed(&OBJECTIVES, &m, &steps(true), &away), (Verdict::Failed, vec!["start_state".into()]));
    let late = Ending { in_time: false, ..good() };
    assert_eq!(failed(&OBJECTIVES, &m, &steps(true), &late), (Verdict::Failed, vec!["in_time".into()]));
}

#[test]
fn what_was_not_measured_is_not_met_and_what_was_ended_early_is_not_judged() {
    let nothing = measured(&[], &[], &[]);
    let (verdict, why) = failed(&OBJECTIVES, &nothing, &steps(true), &good());
    assert_eq!(verdict, Verdict::Failed);
    assert_eq!(why, ["canaries", "rto_seconds", "write_pause_ms"]);
    let stopped = measured(&log()[..20], &held(1..=20), &[WINDOW]);
    assert_eq!(failed(&OBJECTIVES, &stopped, &steps(true), &good()).0, Verdict::Failed);
    let mut open = log();
    open.push(line(41, 3_000.0, Outcome::Unknown));
    let m = measured(&open, &held(1..=40), &[WINDOW]);
    assert_eq!(failed(&OBJECTIVES, &m, &steps(true), &good()).1, ["answered"]);
    let early = Ending { aborted: Some("interrupted".into()), ..good() };
    let m = measured(&log(), &held(1..=40), &[WINDOW]);
    assert_eq!(failed(&OBJECTIVES, &m, &steps(true), &early).0, Verdict::Aborted);
}

fn report() -> Report {
    let status = federation();
    let plan = planned("primary-kill", "440300", &status);
    let m = measured(&log(), &held((1..=18).chain(21..=40)), &[WINDOW]);
    let (verdict, criteria) = judge(&OBJECTIVES, &m, &steps(true), &good());
    let row = |epoch: u64| StateRow {
        region: "440300".parse().unwrap(),
        primary: "sz-a-1".parse().unwrap(),
        epoch: Epoch::from_u64(epoch),
        records: 9,
        in_sync: vec!["gz-a-1".parse().unwrap()],
    };
    let mut r = Report {
        format: 1,
        drill_id: "00".repeat(16),
        name: plan.name.clone(),
        title: plan.title.clone(),
        script: plan.script.to_string(),
        plan_id: plan.plan_id.clone(),
        region: plan.region,
        federation: "gd <b>".into(),
        lineage: "l".into(),
        operator: "operator/a|b".into(),
        versions: vec!["0.1.0".into()],
        begun: "t0".into(),
        ended: "t1".into(),
        deadline: "t2".into(),
        verdict,
        aborted: None,
        rpo_records: 0,
        rpo_seconds: 0.0,
        rto_seconds: None,
        write_pause_ms: None,
        documents: Documents::default(),
        objectives: OBJECTIVES,
        criteria,
        disturbed: plan.disturbs(),
        steps: steps(true),
        measured: Measured::default(),
        before: vec![row(1)],
        after: vec![row(3)],
        plan: Some(plan),
        parts: vec![],
    };
    r.set_measured(m);
    r
}

#[test]
fn the_report_says_the_same_in_json_markdown_and_html_and_nothing_in_it_becomes_markup() {
    let r = report();
    let json: serde_json::Value = serde_json::from_slice(&r.json()).unwrap();
    assert_eq!((json["verdict"].as_str(), json["rpo_records"].as_u64()), (Some("failed"), Some(2)));
    assert_eq!(json["documents"]["missing"], 2);
    assert_eq!(json["rto_seconds"], 0.79);
    assert_eq!(serde_json::from_slice::<Report>(&r.json()).unwrap(), r);
    let md = markdown(&r);
    assert!(md.contains("Verdict FAILED") && md.contains("结论 未通过"), "{md}");
    assert!(md.contains("operator/a\\|b") && md.contains("1 → 3") && md.contains("D-19"), "{md}");
    let page = html(&r);
    assert!(page.contains("gd &lt;b&gt;") && !page.contains("gd <b>"));
    assert!(page.contains("Verdict FAILED") && page.contains("0.790 s"));
}

#[test]
fn the_calendar_repeats_a_schedule_and_counts_a_late_one_from_now() {
    let at = |t: &str| from_rfc3339(t).unwrap();
    let item = |name: &str, every_days: u32, due: &str| DrillScheduleItem {
        name: name.into(),
        region: "440300".parse().unwrap(),
        every_days,
        first: due.into(),
        owner: "ops".into(),
        due: due.into(),
        is_due: false,
    };
    let all =
        [item("switchover", 30, "2026-03-10T00:00:00Z"), item("restore-test", 31, "2026-02-01T00:00:00Z")];
    let dates = calendar(&all, at("2026-03-01T00:00:00Z"), at("2026-04-30T00:00:00Z"));
    let seen: Vec<(&str, &str, bool)> =
        dates.iter().map(|d| (d.name.as_str(), &d.due[..10], d.late)).collect();
    assert_eq!(
        seen,
        [
            ("restore-test", "2026-02-01", true),
            ("switchover", "2026-03-10", false),
            ("restore-test", "2026-04-01", false),
            ("switchover", "2026-04-09", false),
        ]
    );
}

//! Faults of platforms, backups, tails, tables, the exchange, and what waits for people.

use crate::support::*;
use eport_api_types::{
    ApprovalItem, ChannelItem, DurabilityNow, ExchangeStatus, InboxSummary, Mode, PlatformState, TailItem,
    Warning,
};
use eport_doctor::{Owner, Severity};
use serde_json::json;

fn warning(code: &str, text: &str) -> Warning {
    Warning { code: code.into(), text: text.into() }
}

#[test]
fn a_platform_that_takes_no_writes_is_critical() {
    let found = only(&with_status(|s| s.platforms[0].durability_now = DurabilityNow::Blocked));
    assert!(found.id == "platform-blocked" && found.severity == Severity::Critical);
    assert_eq!(found.next, "eport platform show 440300");
}

#[test]
fn local_answers_are_an_error_unless_the_policy_asks_for_no_more() {
    let local = |durability: &str| {
        with_status(|s| {
            s.platforms[0].durability = durability.into();
            s.platforms[0].durability_now = DurabilityNow::Local;
        })
    };
    assert_eq!(only(&local("auto_sync")).severity, Severity::Error);
    assert_eq!(only(&local("async")).severity, Severity::Info);
}

#[test]
fn a_platform_that_is_not_served_says_in_which_state_it_is() {
    let found = only(&with_status(|s| s.platforms[0].state = PlatformState::Recovering));
    assert!(found.id == "platform-stopped" && found.cause.en.contains("recovering"));
    assert!(findings(&with_status(|s| s.platforms[0].state = PlatformState::Switching)).is_empty());
}

#[test]
fn a_backup_that_lags_and_one_whose_slot_is_lost() {
    let found = only(&with_status(|s| {
        s.platforms[0].backups[1].in_sync = false;
        s.platforms[0].backups[1].lag_records = 700;
    }));
    assert!(found.id == "backup-behind" && found.subject == "440300 on gz-c-1", "{found:?}");
    let lost = with_status(|s| {
        let slot = json!({"state": "lost", "position": 1, "records": 9, "bytes": 9, "seconds": 9.0});
        s.platforms[0].backups[0].slot = serde_json::from_value(slot).unwrap();
        s.warnings = vec![warning("EP1310", "440300: backup gz-a-1 lacks 9 records")];
    });
    assert_eq!(only(&lost).id, "slot-lost", "the node's own warning is the same finding");
}

#[test]
fn a_quota_that_is_nearly_used_up() {
    let found = only(&with_status(|s| {
        s.platforms[0].disk_bytes = 90 << 20;
        let quota = json!({"region": "440300", "version": 1, "requests_per_s": null, "burst": null,
            "bytes_in_flight": null, "disk_bytes": 100 << 20, "by": null, "since": null});
        s.platforms[0].quota = Some(serde_json::from_value(quota).unwrap());
    }));
    assert_eq!(found.id, "quota-near");
}

#[test]
fn a_tail_is_told_once_with_the_command_that_shows_it() {
    let mut g = sound();
    g.tails = vec![tail("exported"), tail("resolved")];
    let text = "diverged tail tail-440300-1 of platform 440300 waits for a decision";
    g.status.as_mut().unwrap().warnings = vec![warning("EP3013", text)];
    let found = only(&g);
    assert!(found.id == "tail-open" && found.next == "eport tail show tail-440300-1", "{found:?}");
}

fn tail(state: &str) -> TailItem {
    serde_json::from_value(json!({
        "id": "tail-440300-1", "region": "440300", "node": "sz-a-1", "epoch": 1, "fork": 30, "last": 90,
        "records": 60, "digest": "cd".repeat(32), "state": state, "at": at(NOW_MS - 5_000), "documents": null,
    }))
    .unwrap()
}

#[test]
fn a_journal_without_a_duty_is_named() {
    let found = only(&with_status(|s| {
        let kept = json!({"region": "440300", "node": "gz-c-1", "role": "kept",
            "last": {"epoch": 1, "index": 5, "digest": "ab".repeat(32)}});
        s.kept_journals = vec![serde_json::from_value(kept).unwrap()];
    }));
    assert_eq!(found.next, "eport platform adopt 440300 --node gz-c-1 --dry-run");
}

#[test]
fn promises_that_cannot_hold_are_the_planners_words() {
    let mut g = sound();
    g.promises =
        vec![warning("EP2151", "platform 440300 is async: losing its primary's site loses the newest")];
    let found = only(&g);
    assert!(
        found.id == "promise-weak"
            && found.cause.en.contains("is async")
            && found.next == "eport plan backups"
    );
}

#[test]
fn a_table_that_is_not_everywhere_is_the_publishers() {
    let found = only(&with_status(|s| s.tables[0].installed_nodes = 2));
    assert!(found.id == "table-late" && found.owner == Owner::Publisher);
    assert_eq!(found.next, "eport table status 440000/places");
}

#[test]
fn approvals_wait_and_are_a_warning_when_they_are_forgotten() {
    let approval = |minutes: i64| -> ApprovalItem {
        serde_json::from_value(json!({
            "id": "a1", "state": "pending", "kind": "platform adopt", "version": null, "fields": {},
            "digest": "ab".repeat(32), "reason": "", "expires": at(NOW_MS + DAY_MS),
            "first": {"by": "operator/a", "at": at(NOW_MS - minutes * 60_000), "serial": null}, "second": null,
        }))
        .unwrap()
    };
    let mut g = sound();
    g.approvals = vec![approval(5)];
    assert_eq!((only(&g).id.as_str(), only(&g).severity), ("approval-waiting", Severity::Info));
    g.approvals = vec![approval(120)];
    assert_eq!((only(&g).severity, only(&g).owner), (Severity::Warning, Owner::Approver));
}

fn exchange() -> ExchangeStatus {
    ExchangeStatus {
        region: "440300".into(),
        channels: Vec::new(),
        inboxes: Vec::new(),
        unrouted: 0,
        dead_letters: 0,
        alerts: 0,
    }
}

#[test]
fn dead_letters_and_messages_without_an_agency() {
    let mut g = sound();
    g.exchange = vec![ExchangeStatus { dead_letters: 2, ..exchange() }];
    assert_eq!(only(&g).next, "eport exchange dead-letters --platform 440300");
    g.exchange = vec![ExchangeStatus { unrouted: 1, ..exchange() }];
    assert_eq!(only(&g).id, "messages-unrouted");
}

#[test]
fn messages_that_do_not_go_and_an_inbox_nobody_empties() {
    let channel = |minutes: i64| ChannelItem {
        to: "440100".into(),
        rows: 4,
        lanes: Vec::new(),
        oldest: Some(at(NOW_MS - minutes * 60_000)),
        acknowledged: 0,
        receiver_epoch: None,
        last_received: None,
        last_received_epoch: None,
        trouble: Some("not primary".into()),
        answered: None,
    };
    let mut g = sound();
    g.exchange = vec![ExchangeStatus { channels: vec![channel(2)], ..exchange() }];
    assert!(findings(&g).is_empty());
    g.exchange = vec![ExchangeStatus { channels: vec![channel(20)], ..exchange() }];
    assert!(only(&g).id == "outbox-stuck" && only(&g).cause.en.contains("not primary"));
    let inbox = InboxSummary { agency: "X".into(), waiting: 3, oldest: Some(at(NOW_MS - 2 * DAY_MS)) };
    g.exchange = vec![ExchangeStatus { inboxes: vec![inbox], ..exchange() }];
    assert_eq!(only(&g).id, "inbox-waiting");
}

#[test]
fn what_nodes_warn_of_is_found_under_its_kind() {
    for (code, id) in [
        ("EP8006", "backup-late"),
        ("EP8008", "restore-unproven"),
        ("EP2009", "quorum-site"),
        ("EP1113", "copy-damaged"),
        ("EP3006", "copy-damaged"),
        ("EP1209", "key-missing"),
        ("EP2024", "approver-missing"),
        ("EP8106", "drill-overdue"),
        ("EP8107", "drill-due"),
        ("EP4050", "table-fault"),
        ("EP4140", "ca-locked"),
        ("EP4166", "access-log"),
        ("EP2152", "room-missing"),
    ] {
        let found = only(&with_status(|s| s.warnings = vec![warning(code, "gz-a-1: it is so")]));
        assert_eq!(found.id, id, "{code}");
        assert!(found.cause.en.contains("it is so") && found.next.starts_with("eport "), "{found:?}");
    }
}

#[test]
fn a_warning_of_a_code_that_nothing_knows_is_not_lost() {
    let found = only(&with_status(|s| s.warnings = vec![warning("EP4144", "gz-a-1 has no fresh news")]));
    assert!(found.id == "EP4144" && found.next == "eport explain EP4144" && !found.runbook, "{found:?}");
    let strange = only(&with_status(|s| s.warnings = vec![warning("EP9999", "of a newer node")]));
    assert!(strange.id == "EP9999" && strange.severity == Severity::Warning);
}

#[test]
fn two_warnings_of_one_kind_are_two_findings() {
    let all = ids(&with_status(|s| {
        s.warnings = vec![warning("EP8006", "gz-a-1: late"), warning("EP8006", "sz-a-1: late")];
    }));
    assert_eq!(all, ["backup-late", "backup-late"]);
}

#[test]
fn production_without_any_backup_by_schedule_is_a_warning() {
    assert_eq!(only(&with_status(|s| s.mode = Mode::Production)).id, "backup-none");
}

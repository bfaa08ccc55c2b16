//! Hosted platforms: the least durability of answers, the quota of disk, the count of requests served.

use crate::support;

use eport_journal::Outcome;
use eport_model::{Durability, Epoch, Position, Timestamp, codes};
use eport_platform::{Config, Hosting, SubmitAnswer};
use eport_registry::{
    DurabilityMode, FailoverMode, Isolation, Placement, PlacementState, Policy, Quota, QuotaLimits,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::*;

fn placement(durability: DurabilityMode, min_durability: Durability) -> Arc<Placement> {
    let policy = Policy {
        durability,
        k: usize::from(durability != DurabilityMode::Async),
        isolation: Isolation::Block,
        failover: FailoverMode::Manual,
        same_site: false,
        min_durability,
    };
    Arc::new(Placement {
        region: region(),
        name_zh: String::new(),
        name_en: String::new(),
        version: 1,
        epoch: Epoch::INITIAL,
        last_epoch: Epoch::INITIAL,
        primary: node("gz-a-1"),
        start: Position::ZERO,
        backups: Vec::new(),
        policy,
        proven_k: 0,
        start_k: 0,
        seen: true,
        degrade_k: 0,
        state: PlacementState::Active,
        history: Vec::new(),
    })
}

fn replicated(h: &Harness) {
    h.log.place(placement(DurabilityMode::AutoSync, Durability::Replicated));
}

#[tokio::test]
async fn an_answer_that_must_say_replicated_waits_until_it_can_and_then_says_it() {
    let h = start(Config { write_timeout: Duration::from_secs(10), ..config() });
    replicated(&h);
    h.log.journal().durability = Some(Durability::Local);
    let platform = h.platform.clone();
    let one = tokio::spawn(async move { platform.submit(&caller(), &document("A"), None).await });
    while h.log.journal().records.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!one.is_finished(), "stored and applied, but not replicated");
    h.log.journal().durability = Some(Durability::Replicated);
    h.log.role(primary(1));
    let answer = one.await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(stored(answer).durability, Durability::Replicated);
}

#[tokio::test]
async fn one_that_waits_too_long_is_unknown_and_its_repeat_gets_the_same_number_once_it_is_replicated() {
    let h = start(config());
    replicated(&h);
    h.log.journal().durability = Some(Durability::Local);
    let blocked = |answer: &SubmitAnswer| matches!(answer, SubmitAnswer::Unavailable { code, unknown: true, .. } if *code == codes::WRITE_BLOCKED);
    let first = h.platform.submit(&caller(), &document("A"), None).await;
    assert!(blocked(&first) && first.status() == 503, "{first:?}");
    // A repeat asks for the same promise, and leaves no second record.
    let again = h.platform.submit(&caller(), &document("A"), None).await;
    assert!(blocked(&again), "{again:?}");
    assert_eq!(h.log.journal().records.len(), 1);
    h.log.journal().durability = Some(Durability::Replicated);
    let now = h.platform.submit(&caller(), &document("A"), None).await;
    assert_eq!((now.status(), stored(now.clone()).durability), (200, Durability::Replicated));
    let number = stored(now).doc_id;
    assert_eq!(stored(h.platform.submit(&caller(), &document("A"), None).await).doc_id, number);
    assert_eq!(h.log.journal().records.len(), 1);
}

#[tokio::test]
async fn under_a_policy_that_never_replicates_such_a_write_is_refused_and_nothing_is_stored() {
    let h = start(config());
    h.log.place(placement(DurabilityMode::Async, Durability::Replicated));
    let answer = h.platform.submit(&caller(), &document("A"), None).await;
    assert!(
        matches!(&answer, SubmitAnswer::Unavailable { code, unknown: false, .. } if *code == codes::DURABILITY_UNMET),
        "{answer:?}"
    );
    assert_eq!(h.log.journal().records.len(), 0);
    h.log.place(placement(DurabilityMode::Async, Durability::Local));
    h.log.journal().durability = Some(Durability::Local);
    let answer = stored(h.platform.submit(&caller(), &document("A"), None).await);
    assert_eq!(answer.durability, Durability::Local);
}

#[tokio::test]
async fn a_lost_role_ends_the_wait_as_unknown() {
    let h = start(Config { write_timeout: Duration::from_secs(10), ..config() });
    replicated(&h);
    h.log.journal().durability = Some(Durability::Local);
    let platform = h.platform.clone();
    let one = tokio::spawn(async move { platform.submit(&caller(), &document("A"), None).await });
    while h.log.journal().records.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    h.log.journal().depending =
        Some(Outcome::NotPrimary { primary: node("sz-a-1"), epoch: Epoch::from_u64(2) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    h.log.role(primary(1));
    let answer = one.await.unwrap();
    assert!(matches!(&answer, SubmitAnswer::Unavailable { unknown: true, .. }), "{answer:?}");
}

fn disk_quota(hosting: &Hosting, version: u64, disk_bytes: Option<u64>) {
    let limits = QuotaLimits { disk_bytes, ..QuotaLimits::default() };
    let quota = Quota { region: region(), version, limits, by: String::new(), since: Timestamp::default() };
    hosting.admit(region(), Some(&quota), 0).unwrap();
}

#[tokio::test]
async fn beyond_the_quota_of_disk_nothing_new_is_stored_and_what_was_answered_is_answered_again() {
    let hosting = Hosting::new(1);
    let h = start(Config { hosting: hosting.clone(), ..config() });
    let first = stored(h.platform.submit(&caller(), &document("A"), None).await);
    disk_quota(&hosting, 1, Some(32 << 20));
    assert_eq!(h.platform.submit(&caller(), &document("B"), None).await.status(), 201, "there is room");
    h.log.disk.store(32 << 20, Ordering::Relaxed);
    let lines = [document("A"), document("C"), amendment("A", 2), document("B")];
    let answers = h.platform.submit_batch(&caller(), &lines).await;
    let statuses: Vec<u16> = answers.iter().map(SubmitAnswer::status).collect();
    assert_eq!(statuses, [200, 507, 507, 200]);
    assert_eq!(stored(answers[0].clone()).doc_id, first.doc_id);
    assert!(
        matches!(&answers[1], SubmitAnswer::Unavailable { code, unknown: false, .. } if *code == codes::QUOTA_DISK)
    );
    assert_eq!(h.log.journal().records.len(), 2, "nothing was stored");
    assert_eq!(hosting.gate(region()).counted().refused_disk, 2);
    disk_quota(&hosting, 2, Some(64 << 20));
    assert_eq!(
        h.platform.submit(&caller(), &document("C"), None).await.status(),
        201,
        "raised without a restart"
    );
    disk_quota(&hosting, 3, None);
    h.log.disk.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(h.platform.submit(&caller(), &document("D"), None).await.status(), 201);
}

fn served(h: &Harness) -> u64 {
    h.platform.usage("2018-01".parse().unwrap()).unwrap().requests
}

#[tokio::test]
async fn whoever_was_answered_with_a_document_is_counted_by_the_journal_and_nobody_twice() {
    let h = start(config());
    stored(h.platform.submit(&caller(), &document("A"), None).await);
    let lines: Vec<_> = (0..600).map(|n| document(&format!("R-{n}"))).collect();
    h.platform.submit_batch(&caller(), &lines).await;
    h.platform.check(&caller(), &document("Z")).await.unwrap();
    assert_eq!(served(&h), 601, "the check was served after the last record");
    // Killed here: another process, or another node, goes on from what is applied.
    let log = h.log.clone();
    drop(h);
    let h = restart(log, config());
    stored(h.platform.submit(&caller(), &document("B"), None).await);
    assert_eq!(served(&h), 602);
    assert_eq!(h.platform.submit(&caller(), &document("B"), None).await.status(), 200);
    stored(h.platform.submit(&caller(), &document("C"), None).await);
    assert_eq!(served(&h), 604, "a repeat is served too");
}

#[tokio::test]
async fn what_no_document_carries_is_written_after_a_while_and_only_once() {
    let h = start(Config { served_every: Duration::from_millis(20), ..config() });
    for _ in 0..5 {
        h.platform.check(&caller(), &document("A")).await.unwrap();
    }
    while served(&h) < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let records = h.log.journal().records.len();
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!((served(&h), h.log.journal().records.len()), (5, records), "nothing new, nothing written");
    // The record is none of a document: numbers, events and tails know nothing of it.
    assert!(h.log.journal().records.iter().all(|r| r.header.request.is_none()));
    stored(h.platform.submit(&caller(), &document("A"), None).await);
    assert_eq!(served(&h), 6);
}

#[tokio::test]
async fn a_record_that_was_turned_away_counts_with_the_next_one() {
    let h = start(config());
    h.log.journal().refusing = Some(Outcome::Overloaded);
    assert_eq!(h.platform.submit(&caller(), &document("A"), None).await.status(), 503);
    h.log.journal().refusing = None;
    stored(h.platform.submit(&caller(), &document("A"), None).await);
    assert_eq!(served(&h), 2);
}

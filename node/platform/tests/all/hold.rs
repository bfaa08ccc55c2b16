//! Switchovers and openings: requests wait a bounded time, then go on, go elsewhere, or come back.

use crate::support;

use bytes::Bytes;
use eport_journal::{Outcome, Role};
use eport_model::{Epoch, codes};
use eport_platform::{Config, SubmitAnswer};
use std::time::Duration;
use support::*;

fn handover() -> Role {
    Role::Handover { epoch: Epoch::INITIAL, to: node("sz-a-1") }
}

fn backup() -> Role {
    Role::Backup { epoch: Epoch::from_u64(2), primary: node("sz-a-1") }
}

fn patient() -> Config {
    Config { hold_max: Duration::from_secs(10), write_timeout: Duration::from_secs(10), ..config() }
}

#[tokio::test]
async fn a_held_batch_goes_on_in_order_when_the_switchover_is_aborted() {
    let h = start(patient());
    h.log.role(handover());
    let lines: Vec<Bytes> =
        (1..=600).flat_map(|i| [document(&format!("R-{i}")), amendment(&format!("R-{i}"), 2)]).collect();
    let platform = h.platform.clone();
    let batch = tokio::spawn(async move { platform.submit_batch(&caller(), &lines).await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!batch.is_finished());
    h.log.role(primary(1));
    let answers = batch.await.unwrap();
    assert_eq!(answers.len(), 1200);
    assert!(answers.iter().all(|a| a.status() == 201), "{:?}", answers.iter().find(|a| a.status() != 201));
}

#[tokio::test]
async fn a_held_request_is_sent_to_the_new_primary_when_the_switchover_is_done() {
    let h = start(patient());
    h.log.role(handover());
    let platform = h.platform.clone();
    let one = tokio::spawn(async move { platform.submit(&caller(), &document("A"), None).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    h.log.role(backup());
    let redirect = SubmitAnswer::Redirect { primary: node("sz-a-1"), epoch: Epoch::from_u64(2) };
    assert_eq!(one.await.unwrap(), redirect);
    assert_eq!(h.platform.submit(&caller(), &document("A"), None).await, redirect);
    assert_eq!(
        h.platform.submit_batch(&caller(), &[document("A"), Bytes::from_static(b"x")]).await,
        [redirect.clone(), redirect]
    );
    assert_eq!(h.log.journal().records.len(), 0);
}

#[tokio::test]
async fn a_request_that_the_replica_holds_is_tried_again_until_it_takes_it() {
    let h = start(patient());
    h.log.journal().refusing = Some(Outcome::Held);
    let platform = h.platform.clone();
    let one = tokio::spawn(async move { platform.submit(&caller(), &document("A"), None).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!one.is_finished());
    h.log.journal().refusing = None;
    assert_eq!(one.await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_hold_ends_with_503_and_nothing_stored_when_it_takes_too_long() {
    for role in [handover(), Role::Opening { epoch: Epoch::INITIAL }, Role::Sealed { epoch: Epoch::INITIAL }]
    {
        let h = start(config());
        h.log.role(role);
        let answer = h.platform.submit(&caller(), &document("A"), None).await;
        assert!(
            matches!(&answer, SubmitAnswer::Unavailable { code, unknown: false, .. } if *code == codes::OVERLOADED),
            "{answer:?}"
        );
        assert_eq!(answer.status(), 503);
        assert_eq!(h.log.journal().records.len(), 0);
    }
}

#[tokio::test]
async fn more_documents_than_may_be_held_are_turned_away_at_once() {
    let h = start(Config { hold_documents_max: 3, ..patient() });
    h.log.role(handover());
    let lines: Vec<Bytes> = (0..4).map(|i| document(&format!("R-{i}"))).collect();
    let answers = h.platform.submit_batch(&caller(), &lines).await;
    assert!(answers.iter().all(|a| a.status() == 503));
    let platform = h.platform.clone();
    let held = tokio::spawn(async move { platform.submit_batch(&caller(), &lines[..3]).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    h.log.role(primary(1));
    assert!(held.await.unwrap().iter().all(|a| a.status() == 201));
}

#[tokio::test]
async fn a_node_that_knows_no_placement_says_that_it_may_not_write() {
    let h = start(config());
    h.log.role(Role::Idle);
    let answer = h.platform.submit(&caller(), &document("A"), None).await;
    assert!(
        matches!(&answer, SubmitAnswer::Unavailable { code, .. } if *code == codes::FENCED),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_committed_prefix_of_a_batch_is_answered_although_the_rest_is_unknown() {
    let h = start(Config { write_timeout: Duration::from_millis(300), ..config() });
    h.log.journal().manual = true;
    let lines: Vec<Bytes> = (0..10).map(|i| document(&format!("R-{i}"))).collect();
    let platform = h.platform.clone();
    let batch = tokio::spawn(async move { platform.submit_batch(&caller(), &lines).await });
    h.log.until_in_flight(10).await;
    h.log.commit(4);
    let statuses: Vec<u16> = batch.await.unwrap().iter().map(SubmitAnswer::status).collect();
    assert_eq!(statuses, [201, 201, 201, 201, 503, 503, 503, 503, 503, 503]);
}

//! Enrolment in the journal: a token is used once, by whoever comes first, also under another primary.

use crate::support;

use bytes::Bytes;
use eport_enrolment::{Fault, RequestRow, RequestState, TOKENS_MAX, TokenRow, TokenState, request_id};
use eport_journal::Outcome;
use eport_model::{Coded, Digest, Epoch, RecordKind, Timestamp, codes};
use eport_platform::{CertificateRow, CertificateState, Grant, Platform};
use support::*;

const FAR: i64 = 4_000_000_000_000;

fn token(secret: &[u8], expires: i64) -> TokenRow {
    TokenRow {
        secret: Digest::of(secret),
        subject: "operator/li".parse().unwrap(),
        profile: "operator".into(),
        key: None,
        days: None,
        dns: vec![],
        addresses: vec![],
        approval: false,
        expires: Timestamp::from_millis(expires),
        made_by: "operator/admin".into(),
        made_at: Timestamp::from_millis(1),
        state: TokenState::Open,
    }
}

fn intent(serial: &str) -> CertificateRow {
    CertificateRow {
        serial: serial.into(),
        profile: "operator".into(),
        subject: "operator/li".into(),
        issuer: Digest::of(b"ca"),
        not_before: Timestamp::from_millis(1),
        not_after: Timestamp::from_millis(2),
        state: CertificateState::Intent,
        epoch: Epoch::from_u64(1),
        tbs: Digest::of(serial.as_bytes()),
        requested_by: "token".into(),
        at: Timestamp::from_millis(1),
        certificate: Bytes::new(),
    }
}

/// What the API does with a token: claim, look, settle with the intent.
async fn use_token(platform: &Platform, id: &str, key: &Digest, serial: &str) -> Result<(), Fault> {
    let _claim = platform.claim(id).await.unwrap();
    let row = platform.enrolment_token(id).unwrap().unwrap();
    row.admits(&row.secret, key, Timestamp::from_millis(5))?;
    // The certificate is tried and prepared here: whoever comes at the same time gets this far too, unless the claim stops him.
    tokio::task::yield_now().await;
    let used = TokenState::Used { key: *key, at: Timestamp::from_millis(5) };
    let grant = Grant { key: Some(*key), token: Some(TokenRow { state: used, ..row }), request: None };
    platform.record_intent(&intent(serial), &grant).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn of_two_uses_at_once_one_wins_and_the_new_primary_knows_it() {
    let h = start(config());
    let row = token(b"secret", FAR);
    h.platform.record_token(&row, "operator/admin").await.unwrap();
    assert_eq!(h.log.journal().records[0].header.kind, RecordKind::Enrolment);
    let (id, a, b) = (row.id(), Digest::of(b"a"), Digest::of(b"b"));
    let (one, two) =
        tokio::join!(use_token(&h.platform, &id, &a, "01"), use_token(&h.platform, &id, &b, "02"));
    assert!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count() == 1, "{one:?} {two:?}");
    assert_eq!(one.and(two), Err(Fault::Used));
    assert_eq!(h.log.journal().records.len(), 2, "the loser wrote nothing");
    // A backup that took the records over sees the token used.
    let backup = start(config());
    let records = h.log.journal().records.clone();
    backup.log.follow(&records);
    let winner = backup.platform.enrolment_token(&id).unwrap().unwrap();
    assert!(matches!(winner.state, TokenState::Used { .. }));
    let third = use_token(&backup.platform, &id, &Digest::of(b"c"), "03").await;
    assert_eq!(third, Err(Fault::Used));
    let known =
        backup.platform.certificate_of_key(&a).unwrap().or(backup.platform.certificate_of_key(&b).unwrap());
    assert_eq!(known.unwrap().subject, "operator/li");
}

#[tokio::test]
async fn a_token_whose_intent_was_not_written_is_still_open() {
    let h = start(config());
    let row = token(b"secret", FAR);
    h.platform.record_token(&row, "operator/admin").await.unwrap();
    h.log.journal().refusing = Some(Outcome::Unknown);
    let used = TokenState::Used { key: Digest::of(b"a"), at: Timestamp::from_millis(5) };
    let grant = Grant { token: Some(TokenRow { state: used, ..row.clone() }), ..Grant::default() };
    assert!(h.platform.record_intent(&intent("01"), &grant).await.is_err());
    assert_eq!(h.platform.enrolment_token(&row.id()).unwrap().unwrap().state, TokenState::Open);
    h.log.journal().refusing = None;
    h.log.role(eport_journal::Role::Fenced { epoch: Epoch::from_u64(1) });
    let fenced = h.platform.record_token(&token(b"other", FAR), "operator/admin").await.unwrap_err();
    assert_eq!(fenced.code(), codes::FENCED);
}

#[tokio::test]
async fn tokens_and_requests_are_bounded_and_old_ones_make_room() {
    let h = start(config());
    // Ended long ago by any clock that a test has.
    h.platform.record_token(&token(b"old", -FAR), "operator/admin").await.unwrap();
    for n in 1..TOKENS_MAX {
        h.platform.record_token(&token(&n.to_be_bytes(), FAR), "operator/admin").await.unwrap();
    }
    h.platform.record_token(&token(b"one more", FAR), "operator/admin").await.unwrap();
    assert!(h.platform.enrolment_token(&token(b"old", 0).id()).unwrap().is_none(), "the old one left");
    let full = h.platform.record_token(&token(b"too many", FAR), "operator/admin").await.unwrap_err();
    assert_eq!(full.code(), codes::ENROLMENT_FULL);
    // One that is there already can still be withdrawn.
    let gone = TokenState::Revoked { by: "operator/admin".into(), at: Timestamp::from_millis(1) };
    let row = TokenRow { state: gone, ..token(b"one more", FAR) };
    h.platform.record_token(&row, "operator/admin").await.unwrap();
}

#[tokio::test]
async fn a_request_and_the_token_it_uses_are_one_record() {
    let h = start(config());
    let row = token(b"secret", FAR);
    h.platform.record_token(&row, "operator/admin").await.unwrap();
    let key = Digest::of(b"a");
    let request = RequestRow {
        id: request_id(&row.subject, &key),
        subject: row.subject.clone(),
        profile: "operator".into(),
        key,
        csr: "PEM".into(),
        days: None,
        dns: vec![],
        addresses: vec![],
        asked_by: "token".into(),
        asked_at: Timestamp::from_millis(5),
        state: RequestState::Waiting,
    };
    let used = TokenRow { state: TokenState::Used { key, at: Timestamp::from_millis(5) }, ..row.clone() };
    h.platform.record_request(&request, Some(&used), "token").await.unwrap();
    assert_eq!(h.log.journal().records.len(), 2);
    assert_eq!(h.platform.enrolment_requests().unwrap(), [request]);
    assert_eq!(h.platform.enrolment_token(&row.id()).unwrap().unwrap(), used);
}

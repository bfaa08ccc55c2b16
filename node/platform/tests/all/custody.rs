//! Wrapped keys of the platform's CAs travel with its journal.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::support;

use bytes::Bytes;
use eport_model::{Coded, Digest, Position, RecordKind, Timestamp, codes};
use eport_platform::{WRAPPED_KEPT_MAX, WrappedRow};
use support::*;

fn row(n: u8) -> WrappedRow {
    WrappedRow {
        ca: Digest::of(b"ca"),
        kek: format!("{n:02x}").repeat(16),
        wrapped: Bytes::from(vec![n; 40]),
        head: Position::ZERO,
        by: "operator/admin".into(),
        at: Timestamp::from_millis(i64::from(n)),
    }
}

#[tokio::test]
async fn a_wrapped_key_is_a_record_that_every_backup_has_and_the_same_one_again_is_none() {
    let h = start(config());
    h.platform.record_wrapped(&row(1), None).await.unwrap();
    h.platform.record_wrapped(&row(1), None).await.unwrap();
    let records = h.log.journal().records.clone();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].header.kind.clone(), records[0].header.schema), (RecordKind::CaAct, 7));
    let backup = start(config());
    backup.log.follow(&records);
    assert_eq!(backup.platform.wrapped_keys(&row(1).ca).unwrap(), [row(1)]);
    assert!(backup.platform.wrapped_keys(&Digest::of(b"other")).unwrap().is_empty());
}

#[tokio::test]
async fn of_many_wrapped_keys_the_oldest_leave_but_never_the_one_in_force() {
    let h = start(config());
    let force = row(1).digest();
    let many = u8::try_from(WRAPPED_KEPT_MAX + 6).unwrap();
    for n in 1..=many {
        h.platform.record_wrapped(&row(n), Some(&force)).await.unwrap();
    }
    let mut kept: Vec<i64> =
        h.platform.wrapped_keys(&row(1).ca).unwrap().iter().map(|r| r.at.as_millis()).collect();
    kept.sort();
    assert_eq!(kept.len(), WRAPPED_KEPT_MAX);
    assert_eq!((kept[0], kept[WRAPPED_KEPT_MAX - 1]), (1, i64::from(many)), "{kept:?}");
}

#[tokio::test]
async fn what_persons_did_with_a_ca_is_recorded_only_by_the_open_primary() {
    let h = start(config());
    h.platform.record_ca_act("ca/x/opened/5".into(), "operator/li", None).await.unwrap();
    let journal = h.log.journal().records.clone();
    let request = journal[0].header.request.clone().unwrap();
    assert_eq!((request.id.as_str(), request.caller.as_str()), ("ca/x/opened/5", "operator/li"));
    h.log.role(eport_journal::Role::Idle);
    let refused = h.platform.record_ca_act("ca/x/opened/6".into(), "operator/li", None).await.unwrap_err();
    assert_eq!(refused.code(), codes::FENCED);
}

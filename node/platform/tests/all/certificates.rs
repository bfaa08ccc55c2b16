//! The ledger of the platform's CAs: intent before signature, record before answer, nothing across epochs.

use crate::support;

use bytes::Bytes;
use eport_journal::Outcome;
use eport_model::{Coded, Digest, Epoch, RecordKind, Timestamp, codes};
use eport_platform::{CertificateRow, CertificateState, Grant, LedgerError};
use support::*;

fn row(serial: &str, epoch: u64, state: CertificateState) -> CertificateRow {
    let issued = state != CertificateState::Intent;
    CertificateRow {
        serial: serial.into(),
        profile: "operator".into(),
        subject: "operator/li".into(),
        issuer: Digest::of(b"ca"),
        not_before: Timestamp::from_millis(1),
        not_after: Timestamp::from_millis(2),
        state,
        epoch: Epoch::from_u64(epoch),
        tbs: Digest::of(serial.as_bytes()),
        requested_by: "operator/admin".into(),
        at: Timestamp::from_millis(1),
        certificate: if issued { Bytes::from(serial.to_owned()) } else { Bytes::new() },
    }
}

#[tokio::test]
async fn an_intent_is_open_until_its_certificate_is_recorded() {
    let h = start(config());
    h.platform.record_intent(&row("01", 1, CertificateState::Intent), &Grant::default()).await.unwrap();
    h.platform.record_intent(&row("02", 1, CertificateState::Intent), &Grant::default()).await.unwrap();
    h.platform.record_issued(&row("01", 1, CertificateState::Issued)).await.unwrap();
    let open: Vec<String> = h.platform.open_intents(10).unwrap().into_iter().map(|r| r.serial).collect();
    assert_eq!(open, ["02"]);
    let kinds: Vec<RecordKind> = h.log.journal().records.iter().map(|r| r.header.kind.clone()).collect();
    assert_eq!(kinds, [RecordKind::CertIntent, RecordKind::CertIntent, RecordKind::CertIssued]);
    let (all, full) = h.platform.certificates(Some("operator/li"), None, 10).unwrap();
    assert_eq!((all.len(), full), (2, false));
    let (page, full) = h.platform.certificates(None, Some("01"), 1).unwrap();
    assert_eq!((page[0].serial.as_str(), full), ("02", true));
    assert!(
        h.platform.certificates(Some("operator/l"), None, 10).unwrap().0.is_empty(),
        "a prefix of a name"
    );
}

#[tokio::test]
async fn a_serial_is_used_once_and_what_stands_is_never_replaced() {
    let h = start(config());
    let intent = row("01", 1, CertificateState::Intent);
    h.platform.record_intent(&intent, &Grant::default()).await.unwrap();
    assert!(matches!(h.platform.record_intent(&intent, &Grant::default()).await, Err(LedgerError::Known(_))));
    let other = CertificateRow { tbs: Digest::of(b"other"), ..row("01", 1, CertificateState::Issued) };
    assert!(
        matches!(h.platform.record_issued(&other).await, Err(LedgerError::Known(_))),
        "another certificate than intended"
    );
    let issued = row("01", 1, CertificateState::Issued);
    h.platform.record_issued(&issued).await.unwrap();
    h.platform.record_issued(&issued).await.unwrap();
    assert_eq!(h.log.journal().records.len(), 2, "a repetition writes nothing");
    let import = CertificateRow { certificate: "x".into(), ..row("01", 0, CertificateState::Imported) };
    assert!(matches!(h.platform.record_issued(&import).await, Err(LedgerError::Known(_))));
    h.platform.record_issued(&row("03", 0, CertificateState::Imported)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_recorded_under_another_epoch_or_without_the_backups() {
    let h = start(config());
    h.platform.record_intent(&row("01", 1, CertificateState::Intent), &Grant::default()).await.unwrap();
    h.log.role(primary(2));
    assert_eq!(h.platform.issuing_epoch(), Some(Epoch::from_u64(2)));
    let late = h.platform.record_issued(&row("01", 1, CertificateState::Issued)).await.unwrap_err();
    assert_eq!(late.code(), codes::FENCED);
    h.log.role(eport_journal::Role::Fenced { epoch: Epoch::from_u64(2) });
    assert_eq!(h.platform.issuing_epoch(), None);
    assert!(
        h.platform.record_intent(&row("04", 2, CertificateState::Intent), &Grant::default()).await.is_err()
    );
    h.log.role(primary(2));
    h.log.journal().refusing = Some(Outcome::Unknown);
    let blocked = h
        .platform
        .record_intent(&row("05", 2, CertificateState::Intent), &Grant::default())
        .await
        .unwrap_err();
    assert_eq!(blocked.code(), codes::WRITE_BLOCKED);
}

#[tokio::test]
async fn many_are_intended_and_recorded_together_and_each_stands_for_itself() {
    let h = start(config());
    let serials: Vec<String> = (1..=9).map(|n| format!("0{n}")).collect();
    let key = |s: &str| Some(Digest::of(s.as_bytes()));
    let of = |state| serials.iter().map(move |s| row(s, 1, state));
    let intents: Vec<_> = of(CertificateState::Intent)
        .map(|r| (r.clone(), Grant { key: key(&r.serial), ..Grant::default() }))
        .collect();
    h.platform.record_intents(&intents).await.unwrap();
    assert_eq!(h.platform.open_intents(20).unwrap().len(), 9);
    let again = h.platform.record_intents(&intents[3..4]).await;
    assert!(matches!(again, Err(LedgerError::Known(_))), "a serial is used once");
    let mut issued: Vec<_> = of(CertificateState::Issued).collect();
    issued[4].tbs = Digest::of(b"other");
    let all: Vec<&CertificateRow> = issued.iter().collect();
    assert!(
        matches!(h.platform.record_all_issued(&all).await, Err(LedgerError::Known(_))),
        "one was never intended"
    );
    assert_eq!(h.platform.open_intents(20).unwrap().len(), 9, "and none of them is recorded");
    h.platform.record_all_issued(&all[..4]).await.unwrap();
    let open: Vec<String> = h.platform.open_intents(20).unwrap().into_iter().map(|r| r.serial).collect();
    assert_eq!(open, ["05", "06", "07", "08", "09"]);
    let kinds: Vec<RecordKind> = h.log.journal().records.iter().map(|r| r.header.kind.clone()).collect();
    assert_eq!(kinds.len(), 13, "a record for each, as without the batch");
    assert_eq!(h.platform.certificate_of_key(&Digest::of(b"02")).unwrap().unwrap().serial, "02");
    h.platform.record_intents(&[]).await.unwrap();
    h.log.role(primary(2));
    let late = h.platform.record_all_issued(&all[5..]).await.unwrap_err();
    assert_eq!(late.code(), codes::FENCED, "another epoch");
}

//! Two primaries of one platform that issue at the same time, each in its own epoch: no serial twice, and what the old one gave away
//! waits for a person.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::support;

use eport_authority::serial_of;
use eport_model::{Digest, Epoch, JournalIndex, Lineage, RecordKind, Timestamp};
use eport_platform::{
    CertificateRow, CertificateState, Grant, LedgerError, TAIL_CERTIFICATES_MAX, TailSource,
};
use eport_store::{Budget, PlatformStore, Shared};
use std::collections::BTreeSet;
use support::*;

/// What each side issues.
const EACH: usize = 10_000;

fn row(epoch: u64, n: usize, state: CertificateState) -> CertificateRow {
    // The worst case: both sides draw the same random bits.
    let mut random = [0; 12];
    random[4..].copy_from_slice(&(n as u64).to_be_bytes());
    let serial = hex::encode(serial_of(Epoch::from_u64(epoch), random));
    let certificate = match state {
        CertificateState::Intent => Vec::new(),
        _ => serial.clone().into_bytes(),
    };
    CertificateRow {
        profile: "enterprise-sign".into(),
        subject: format!("enterprise/E{n}"),
        issuer: Digest::of(b"ca"),
        not_before: Timestamp::from_millis(NOW),
        not_after: Timestamp::from_millis(NOW + 86_400_000),
        state,
        epoch: Epoch::from_u64(epoch),
        tbs: Digest::of(serial.as_bytes()),
        requested_by: "operator/admin".into(),
        at: Timestamp::from_millis(NOW),
        certificate: certificate.into(),
        serial,
    }
}

/// Intent and record of each, through the ledger.
async fn issue(side: &Harness, epoch: u64) -> BTreeSet<String> {
    let mut serials = BTreeSet::new();
    for n in 0..EACH {
        let intent = row(epoch, n, CertificateState::Intent);
        side.platform.record_intent(&intent, &Grant::default()).await.unwrap();
        let again = side.platform.record_intent(&intent, &Grant::default()).await;
        assert!(matches!(again, Err(LedgerError::Known(_))), "one side draws a serial once");
        side.platform.record_issued(&row(epoch, n, CertificateState::Issued)).await.unwrap();
        assert!(serials.insert(intent.serial));
    }
    serials
}

fn exported(old: &Harness, dir: &std::path::Path) -> TailSource {
    let shared = Shared::new(Budget::default()).unwrap();
    let (store, _) = PlatformStore::open(&dir.join("db"), Lineage::default(), region(), &shared).unwrap();
    let records = old.log.journal().records.clone();
    for group in records.chunks(1_000) {
        store.append(group).unwrap();
    }
    let tail = store.export_tail(JournalIndex::ZERO, &dir.join("tails")).unwrap();
    TailSource {
        id: "tail-440300-1-1-20000-sz-a-1".into(),
        manifest: dir.join("tails").join(tail.file_name()),
        discarded: BTreeSet::new(),
        all_discarded: false,
    }
}

#[tokio::test]
async fn two_sides_of_a_split_brain_issue_ten_thousand_each_and_no_serial_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (start(config()), start(config()));
    new.log.role(primary(2));
    // The fenced side cannot write under the other's epoch, and a ledger takes no record of another one.
    assert!(
        old.platform.record_intent(&row(2, 0, CertificateState::Intent), &Grant::default()).await.is_err()
    );
    let (of_old, of_new) = (issue(&old, 1).await, issue(&new, 2).await);
    assert_eq!((of_old.len(), of_new.len()), (EACH, EACH));
    assert!(of_old.is_disjoint(&of_new), "a serial twice");
    let named = |serials: &BTreeSet<String>, epoch: u64| {
        serials.iter().all(|s| eport_model::epoch_of_serial(s) == Some(Epoch::from_u64(epoch)))
    };
    assert!(named(&of_old, 1) && named(&of_new, 2), "each side's serials are one rule");

    // The old side's ledger comes back as a tail: listed for a person, never submitted again.
    let tail = exported(&old, dir.path());
    let before = new.log.journal().records.len();
    let undecided = |_: &CertificateRow| false;
    let listed = new.platform.tail_certificates(&tail, &undecided).unwrap();
    assert_eq!(listed.len(), TAIL_CERTIFICATES_MAX);
    let (again, present, conflicts) =
        new.platform.resubmit_tail(&tail, &BTreeSet::new(), "operator/admin").await.unwrap();
    assert_eq!((again, present), (0, 0), "what a CA signed is not signed again");
    assert!(conflicts.iter().all(|c| c.detail.as_ref().is_some_and(|d| d.contains("was given away"))));
    assert_eq!(new.log.journal().records.len(), before, "looking and resubmitting write nothing");

    // Half of what is listed is adopted, the other half revoked: both are decided, and the next come into view.
    let (adopted, revoked) = listed.split_at(listed.len() / 2);
    for row in adopted {
        let import = CertificateRow { state: CertificateState::Imported, ..row.clone() };
        new.platform.record_issued(&import).await.unwrap();
        new.platform.record_issued(&import).await.unwrap();
    }
    assert_eq!(
        new.log.journal().records.len(),
        before + adopted.len(),
        "an adoption repeated writes nothing"
    );
    let gone: BTreeSet<String> = revoked.iter().map(|r| r.serial.clone()).collect();
    let next = new.platform.tail_certificates(&tail, &|row| gone.contains(&row.serial)).unwrap();
    assert_eq!(next.len(), TAIL_CERTIFICATES_MAX);
    let seen: BTreeSet<&String> = listed.iter().map(|r| &r.serial).collect();
    assert!(next.iter().all(|r| !seen.contains(&r.serial)), "what is decided stands in the way of the rest");
    let kinds: BTreeSet<&str> =
        new.log.journal().records[before..].iter().map(|r| r.header.kind.name()).collect();
    assert_eq!(kinds, BTreeSet::from([RecordKind::CertIssued.name()]));
    let row = new.platform.certificate(&adopted[0].serial).unwrap().unwrap();
    assert_eq!((row.state, row.epoch), (CertificateState::Imported, Epoch::INITIAL));
}

//! Exports and tails: what a verification proves, and that every kind of damage is reported with its record.

use crate::support::*;
use bytes::Bytes;
use eport_model::{
    Coded, Digest, Draft, Epoch, JournalIndex, Position, Record, RecordKind, Timestamp, codes,
};
use eport_store::{ExportManifest, HeadJudge, PlatformStore, VerifyReport, read_tail, verify_export};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A journal of 121 records of 600 kB in two epochs, exported into segments.
struct Exported {
    _dirs: (tempfile::TempDir, tempfile::TempDir),
    dir: PathBuf,
    manifest: ExportManifest,
    head: Position,
    store: PlatformStore,
}

fn exported() -> Exported {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut chain = Chain::new();
    let mut records = chain.start(60, 600_000);
    records.push(chain.epoch(2));
    records.extend((0..60).map(|_| chain.document(600_000)));
    let (store, _) = open(dirs.0.path());
    store.append(&records[..60]).unwrap();
    store.append(&records[60..]).unwrap();
    let dir = dirs.1.path().to_owned();
    let manifest = store.export(&dir, at(1)).unwrap();
    Exported { _dirs: dirs, dir, manifest, head: chain.last, store }
}

impl Exported {
    fn segment(&self, n: usize) -> PathBuf {
        self.dir.join(&self.manifest.segments[n].file)
    }

    /// Damages a copy of the export and verifies it.
    fn damaged(&self, damage: impl FnOnce(&Path)) -> VerifyReport {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(&self.dir, copy.path());
        damage(copy.path());
        let report = verify_export(copy.path(), Some(self.head), None).unwrap();
        assert!(!report.ok && !report.end_proven && !report.problems.is_empty());
        report
    }
}

fn has(report: &VerifyReport, kind: &str, index: u64) -> bool {
    report.problems.iter().any(|p| p.kind == kind && p.index == at(index))
}

#[test]
fn a_whole_export_verifies_and_only_an_outside_head_proves_its_end() {
    let e = exported();
    assert!(e.manifest.segments.len() >= 3, "{}", e.manifest.segments.len());
    let report = verify_export(&e.dir, None, None).unwrap();
    assert!(report.ok && !report.end_proven, "{:?}", report.problems);
    assert_eq!((report.records, report.first, report.last), (121, at(1), at(121)));
    assert_eq!((report.region, report.head_digest), (Some(region()), e.head.digest));
    let spans: Vec<_> =
        report.epochs.iter().map(|s| (s.epoch.as_u64(), s.first, s.last, s.primary)).collect();
    let primary = Some(node("sz-a-1"));
    assert_eq!(spans, [(1, at(1), at(60), primary), (2, at(61), at(121), primary)]);

    let anchored = verify_export(&e.dir, Some(e.head), None).unwrap();
    assert!(anchored.ok && anchored.end_proven);
    let older = e.store.position(at(90)).unwrap().unwrap();
    let report = verify_export(&e.dir, Some(older), None).unwrap();
    assert!(report.ok && !report.end_proven, "an older head proves no end");
    assert!(e.store.verify(Some(e.head)).unwrap().end_proven);

    let json = serde_json::to_value(&anchored).unwrap();
    for field in ["region", "records", "first", "last", "epochs", "ok", "end_proven", "problems"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    assert_eq!((json["region"].as_str(), json["last"].as_u64()), (Some("440300"), Some(121)));
    assert_eq!(
        json["epochs"][1],
        serde_json::json!({"epoch": 2, "first": 61, "last": 121, "primary": "sz-a-1"})
    );

    damage_is_reported_with_its_record(&e);
    a_wrong_head_is_reported(&e);
    a_part_of_a_journal_can_be_exported(&e);
}

fn damage_is_reported_with_its_record(e: &Exported) {
    let second = e.manifest.segments[1].clone();
    let name = |dir: &Path, n: usize| dir.join(&e.manifest.segments[n].file);

    let report = e.damaged(|d| {
        let mut bytes = std::fs::read(name(d, 1)).unwrap();
        bytes[300_000] ^= 4;
        std::fs::write(name(d, 1), bytes).unwrap();
    });
    assert!(has(&report, "damaged", second.first.as_u64()) && has(&report, "file", second.first.as_u64()));
    assert_eq!(report.records, 120, "the records behind the damage are still checked");

    let report = e.damaged(|d| {
        let file = std::fs::OpenOptions::new().write(true).open(name(d, 1)).unwrap();
        file.set_len(second.bytes - 100).unwrap();
    });
    assert!(has(&report, "damaged", second.last.as_u64()), "{:?}", report.problems);
    assert!(has(&report, "missing", second.last.as_u64()));

    let report = e.damaged(|d| std::fs::remove_file(name(d, 1)).unwrap());
    assert!(has(&report, "file", second.first.as_u64()) && has(&report, "missing", second.first.as_u64()));

    let report = e.damaged(|d| std::fs::remove_file(name(d, e.manifest.segments.len() - 1)).unwrap());
    assert!(has(&report, "missing", e.manifest.segments.last().unwrap().first.as_u64()));

    let report = e.damaged(|d| {
        std::fs::rename(name(d, 0), d.join("swap")).unwrap();
        std::fs::rename(name(d, 1), name(d, 0)).unwrap();
        std::fs::rename(d.join("swap"), name(d, 1)).unwrap();
    });
    assert!(has(&report, "missing", 1) && has(&report, "order", 1), "{:?}", report.problems);

    let report = e.damaged(|d| assert!(std::fs::copy(name(d, 0), d.join("segment-9.eps")).is_ok()));
    assert!(report.problems.iter().any(|p| p.file.as_deref() == Some("segment-9.eps")));

    let report = e.damaged(|d| std::fs::remove_file(d.join("manifest.json")).unwrap());
    assert_eq!((report.problems.len(), report.records), (1, 121), "the records prove themselves without it");

    let report = e.damaged(|d| std::fs::write(d.join("manifest.json"), b"{\"format\":").unwrap());
    assert_eq!(report.problems[0].kind, "manifest");

    // The last file dropped and the manifest written to match: only the outside head notices.
    let report = e.damaged(|d| {
        let mut manifest = e.manifest.clone();
        std::fs::remove_file(d.join(&manifest.segments.pop().unwrap().file)).unwrap();
        let end = manifest.segments.last().unwrap().last;
        manifest.last = e.store.position(end).unwrap().unwrap();
        std::fs::write(d.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert!(verify_export(d, None, None).unwrap().ok);
    });
    assert_eq!((report.problems.len(), report.problems[0].kind.as_str()), (1, "head"));

    let report = e.damaged(|d| {
        let mut manifest = e.manifest.clone();
        manifest.segments[1].file = "../../etc/passwd".to_owned();
        std::fs::write(d.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    });
    assert!(report.problems.iter().any(|p| p.detail.contains("outside")));
}

fn a_wrong_head_is_reported(e: &Exported) {
    let wrong = Position { digest: eport_model::Digest::of(b"another history"), ..e.head };
    let report = verify_export(&e.dir, Some(wrong), None).unwrap();
    assert!(!report.ok && !report.end_proven && has(&report, "head", 121));
    let further = Position { index: at(130), ..e.head };
    assert!(has(&verify_export(&e.dir, Some(further), None).unwrap(), "head", 122));
}

fn a_part_of_a_journal_can_be_exported(e: &Exported) {
    let dir = tempfile::tempdir().unwrap();
    let part = e.store.export(dir.path(), at(100)).unwrap();
    assert_eq!((part.records, part.before.index), (22, at(99)));
    let report = verify_export(dir.path(), Some(e.head), None).unwrap();
    assert!(report.ok && report.end_proven, "{:?}", report.problems);
    assert_eq!((report.first, report.epochs[0].primary), (at(100), None));
    assert_eq!(e.store.export(dir.path(), at(999)).unwrap_err().code(), codes::NOT_STORED);
    assert!(e.segment(0).is_file());
}

#[test]
fn every_single_bit_of_a_small_export_matters() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = Chain::new().start(3, 40);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    let manifest = store.export(out.path(), at(1)).unwrap();
    let file = out.path().join(&manifest.segments[0].file);
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bad).unwrap();
        assert!(!verify_export(out.path(), None, None).unwrap().ok, "byte {at}");
        std::fs::write(&file, &whole[..at]).unwrap();
        assert!(!verify_export(out.path(), None, None).unwrap().ok, "cut at {at}");
    }
}

#[test]
fn a_record_rewritten_with_matching_checksums_breaks_the_chain() {
    // Somebody alters record 2, seals it again, and writes manifest and checksums to match.
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut chain = Chain::new();
    let records = chain.start(4, 40);
    let mut forger = Chain::behind(records[0].position());
    let forged = forger.document(41);
    let (store, _) = open(dir.path());
    store.append(&[records[0].clone(), forged]).unwrap();
    store.export(out.path(), at(1)).unwrap();
    let (true_dir, true_out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (truth, _) = open(true_dir.path());
    truth.append(&records).unwrap();
    truth.export(true_out.path(), at(3)).unwrap();
    let from = files(true_out.path(), &[".eps"]).remove(0);
    std::fs::copy(&from, out.path().join(from.file_name().unwrap())).unwrap();
    std::fs::remove_file(out.path().join("manifest.json")).unwrap();
    let report = verify_export(out.path(), None, None).unwrap();
    assert!(has(&report, "chain", 3), "{:?}", report.problems);
}

#[test]
fn a_tail_is_exported_whole_and_comes_back() {
    let (dir, tails) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = Chain::new().start(20, 2_000);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    let tail = store.export_tail(at(12), tails.path()).unwrap();
    assert_eq!(tail.file_name(), "tail-440300-1-12-20.json");
    assert_eq!(
        (tail.after, tail.last, tail.segment.records),
        (records[11].position(), records[19].position(), 8)
    );
    let document = &tail.documents[0];
    assert_eq!((document.request.as_str(), document.epoch), ("GZ-000013", Epoch::INITIAL));
    assert_eq!(
        (document.body, document.record),
        (Some(records[12].header.bodies[0].digest), records[12].digest)
    );
    assert_eq!(store.export_tail(at(12), tails.path()).unwrap(), tail, "a repeated export is the same");

    let manifest = tails.path().join(tail.file_name());
    let mut back = Vec::new();
    let read = read_tail(&manifest, |r| {
        back.push(std::sync::Arc::new(r));
        Ok(())
    });
    assert_eq!(read.unwrap(), tail);
    assert_eq!(back, records[12..]);

    let file = tails.path().join(&tail.segment.file);
    let whole = std::fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        std::fs::write(&file, bad).unwrap();
        assert_eq!(read_tail(&manifest, |_| Ok(())).unwrap_err().code(), codes::RECORD_DAMAGED, "byte {at}");
    }
}

/// A chain of ten records, one that vouches for `covers`, exported from record `from` on.
fn vouched(
    covers: impl Fn(&[Arc<Record>]) -> Position,
    from: u64,
    judge: Option<HeadJudge<'_>>,
) -> VerifyReport {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut chain = Chain::new();
    let mut records = chain.start(10, 100);
    let at = Timestamp::from_millis(9_000);
    let (certificate, signature) = (Bytes::from_static(b"certificate"), Bytes::from_static(b"signature"));
    let kind = RecordKind::SignedHead { covers: covers(&records), at, certificate, signature };
    records.push(chain.add(Draft::bare(kind, at)));
    let (store, _) = open_small(dir.path(), 10_000).unwrap();
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    let folder = out.path().join("export");
    store.export(&folder, JournalIndex::from_u64(from)).unwrap();
    verify_export(&folder, None, judge).unwrap()
}

#[test]
fn a_signed_head_counts_only_for_the_record_that_stands_in_the_chain_and_only_when_its_signature_holds() {
    let good = |records: &[Arc<Record>]| records[6].position();
    let holds = || -> Option<HeadJudge<'_>> { Some(Box::new(|_| Ok("platform/440300/node/sz-a-1".into()))) };
    let report = vouched(good, 1, holds());
    let last = report.signed.last.clone().unwrap();
    assert!(report.ok && (report.signed.count, report.signed.verified) == (1, 1), "{report:?}");
    assert_eq!((last.record, last.covers.index), (JournalIndex::from_u64(11), JournalIndex::from_u64(7)));
    let unjudged = vouched(good, 1, None);
    assert!(unjudged.ok && (unjudged.signed.count, unjudged.signed.verified) == (1, 0), "{unjudged:?}");
    let other =
        |records: &[Arc<Record>]| Position { digest: Digest::of(b"another"), ..records[6].position() };
    assert!(has(&vouched(other, 1, holds()), "signature", 11), "another record");
    let forged = vouched(good, 1, Some(Box::new(|_| Err("forged".into()))));
    assert!(has(&forged, "signature", 11) && forged.signed.verified == 0, "{forged:?}");
    // What an excerpt does not hold cannot be told from it.
    let excerpt = vouched(good, 9, holds());
    assert!(excerpt.ok && excerpt.signed.verified == 0, "{excerpt:?}");
}

//! Incremental, chained, encrypted; restored to any point.

use crate::world::*;
use eport_authority::NodeKey;
use eport_backup::{Folder, Manifest, Writer, restore};
use eport_model::{
    Coded, Draft, Epoch, JournalIndex, Lineage, MoveId, Position, RecordKind, Timestamp, codec, codes,
};
use eport_store::{Budget, PlatformStore, Shared, Until};

#[test]
fn an_incremental_backup_holds_what_is_new_and_a_restore_gives_the_whole_state_back() {
    let mut w = World::new();
    w.documents(20);
    let first = w.backup(false);
    w.documents(5);
    let second = w.backup(false);
    let nothing_new = w.backup(false);
    assert!(first.full && !second.full && !nothing_new.full);
    assert_eq!(second.platforms[0].records, 5);
    assert_eq!(nothing_new.platforms[0].records, 0);
    assert_eq!(w.folder().verify().unwrap(), []);
    let live = w.store.snapshot().state_digest().unwrap();
    for (of, out) in [(&second, "a"), (&nothing_new, "b")] {
        let made = w.restore(of, Until::End, out).unwrap();
        let p = &made.platforms[0];
        assert_eq!((p.last, p.state_digest, p.rows), (w.store.last(), live.digest, live.rows));
        assert_eq!(p.readable, Some(true));
        assert_eq!(made.registry.digest, w.state.digest());
    }
    assert_eq!(w.restore(&first, Until::End, "c").unwrap().platforms[0].last.index.as_u64(), 21);
}

#[test]
fn an_export_that_is_not_what_its_manifest_says_is_not_taken() {
    let mut w = World::new();
    w.documents(3);
    let folder = w.folder();
    let mut writer = Writer::begin(&folder, &w.heading(false)).unwrap();
    let dir = w.path("rotten");
    let export = w.store.export(&dir, writer.continues(region()).index.next()).unwrap();
    let file = dir.join(&export.segments[0].file);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(writer.platform(&dir).unwrap_err().code(), codes::BACKUP_DAMAGED);
}

#[test]
fn a_restore_ends_exactly_at_the_record_or_instant_asked_for() {
    let mut w = World::new();
    w.documents(10);
    w.backup(false);
    w.documents(10);
    let newest = w.backup(false);
    let at = |n: u64| Until::Record(Epoch::from_u64(1), JournalIndex::from_u64(n));
    for n in [1, 7, 11, 12, 21] {
        let made = w.restore(&newest, at(n), &format!("r{n}")).unwrap();
        // A row for each document, and from the first on the account of what came in.
        let rows = n - 1 + u64::from(n > 1);
        assert_eq!((made.platforms[0].last.index.as_u64(), made.platforms[0].rows), (n, rows));
    }
    let made = w.restore(&newest, Until::Time(Timestamp::from_millis(8_500)), "t").unwrap();
    assert_eq!(made.platforms[0].last.index.as_u64(), 8);
    let other_epoch = Until::Record(Epoch::from_u64(2), JournalIndex::from_u64(7));
    for (until, out) in [(at(99), "x"), (other_epoch, "y")] {
        assert_eq!(w.restore(&newest, until, out).unwrap_err().code(), codes::BACKUP_POINT);
    }
}

#[test]
fn nothing_in_the_folder_is_readable_and_another_key_opens_nothing() {
    let mut w = World::new();
    w.documents(3);
    let made = w.backup(false);
    for file in files(&w.path("backups")) {
        let bytes = std::fs::read(&file).unwrap();
        for text in [SECRET, "Shenzhen", "lodger|t", "operator/a"] {
            let found = bytes.windows(text.len()).any(|b| b == text.as_bytes());
            assert!(!found, "{text} stands in {}", file.display());
        }
    }
    let stranger = NodeKey::generate();
    let error = restore(&w.folder(), &made, &[], Until::End, &stranger, &w.path("o")).unwrap_err();
    assert_eq!(error.code(), codes::BACKUP_KEY);
}

#[test]
fn any_damaged_missing_or_exchanged_file_is_named() {
    let mut w = World::new();
    w.documents(3);
    w.backup(false);
    w.documents(3);
    w.backup(false);
    let clean: Vec<_> = files(&w.path("backups")).into_iter().filter(|f| !f.ends_with(".lock")).collect();
    for file in &clean {
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        for content in [Some(bad), Some(good[..good.len() - 1].to_vec()), None] {
            match content {
                Some(bytes) => std::fs::write(file, bytes).unwrap(),
                None => std::fs::remove_file(file).unwrap(),
            }
            let found = Folder::open(&w.path("backups"), Some(lineage())).and_then(|f| f.verify());
            // A backup without its manifest does not exist: only what follows it shows that it is missing.
            let newest = file.ends_with("000002/manifest.json") && !file.exists();
            assert!(newest || found.is_err() || !found.unwrap().is_empty(), "{}", file.display());
        }
        std::fs::write(file, good).unwrap();
    }
    assert_eq!(w.folder().verify().unwrap(), []);
}

#[test]
fn a_manifest_written_by_somebody_else_is_refused_by_a_restore() {
    let mut w = World::new();
    w.documents(3);
    let made = w.backup(false);
    let path = w.path("backups").join(made.name()).join("manifest.json");
    // A forger can make all digests fit, but has not the backup's key.
    let forged = Manifest { federation: "other".into(), ..made };
    let zero = Manifest { check: eport_model::Digest::ZERO, ..forged.clone() };
    let check = eport_model::Digest::of(&serde_json::to_vec(&zero).unwrap());
    std::fs::write(&path, serde_json::to_vec(&Manifest { check, ..forged }).unwrap()).unwrap();
    let folder = w.folder();
    assert_eq!(folder.verify().unwrap(), []);
    let of = folder.find(None).unwrap().clone();
    assert_eq!(w.restore(&of, Until::End, "o").unwrap_err().code(), codes::BACKUP_DAMAGED);
}

#[test]
fn a_journal_that_lost_its_tail_is_taken_whole_again() {
    let mut w = World::new();
    w.documents(10);
    w.backup(false);
    // A failover: the last three records are gone, epoch 2 goes on at another record.
    let shared = Shared::new(Budget::default()).unwrap();
    let kept = w.store.read(JournalIndex::from_u64(1), usize::MAX).unwrap();
    let (store, _) = PlatformStore::open(&w.path("live2"), lineage(), region(), &shared).unwrap();
    store.append(&kept[..8]).unwrap();
    store.apply(&kept[..8]).unwrap();
    w.store = store;
    let start = RecordKind::EpochStart {
        primary: "gz-a-1".parse().unwrap(),
        previous: Epoch::from_u64(1),
        move_id: MoveId::default(),
    };
    for _ in 0..6 {
        let kind = if w.store.last().epoch == Epoch::from_u64(1) { start.clone() } else { RecordKind::Noop };
        w.append(Draft::bare(kind, Timestamp::from_millis(20_000)), 2);
    }
    let folder = w.folder();
    let mut writer = Writer::begin(&folder, &w.heading(false)).unwrap();
    let next = w.store.export(&w.path("next"), writer.continues(region()).index.next()).unwrap();
    assert!(!writer.fits(&next), "the fork shows");
    assert!(writer.platform(&w.path("next")).is_err());
    w.store.export(&w.path("whole"), JournalIndex::from_u64(1)).unwrap();
    writer.platform(&w.path("whole")).unwrap();
    let made = writer.finish(10, &codec::encode(&w.state.rows())).unwrap();
    let restored = w.restore(&made, Until::End, "o").unwrap();
    assert_eq!(restored.platforms[0].last, w.store.last());
}

#[test]
fn retention_removes_whole_chains_and_never_what_a_kept_backup_needs() {
    let mut w = World::new();
    let mut full = |full: bool| {
        w.documents(2);
        w.backup(full)
    };
    full(false);
    full(false);
    full(true);
    let newest = full(false);
    assert_eq!(w.folder().prune(2, false).unwrap(), Vec::<String>::new());
    assert_eq!(w.folder().prune(1, true).unwrap(), ["000001", "000002"]);
    assert_eq!(w.folder().manifests().count(), 4, "a dry run removes nothing");
    w.folder().prune(0, false).unwrap();
    let names: Vec<_> = w.folder().manifests().map(Manifest::name).collect();
    assert_eq!(names, ["000003", "000004"]);
    assert_eq!(w.folder().verify().unwrap(), []);
    assert_eq!(w.restore(&newest, Until::End, "o").unwrap().platforms[0].last, w.store.last());
}

#[test]
fn an_interrupted_backup_never_was_and_a_foreign_folder_is_refused() {
    let mut w = World::new();
    w.documents(2);
    w.backup(false);
    let mut writer = Writer::begin(&w.folder(), &w.heading(false)).unwrap();
    w.documents(2);
    w.store.export(&w.path("next"), writer.continues(region()).index.next()).unwrap();
    writer.platform(&w.path("next")).unwrap();
    drop(writer);
    assert!(w.path("backups/000002").exists());
    assert_eq!(w.folder().manifests().count(), 1);
    assert_eq!(w.backup(false).name(), "000003");
    assert!(!w.path("backups/000002").exists(), "what was left is swept away");
    assert_eq!(w.folder().verify().unwrap(), []);
    let other = Folder::open(&w.path("backups"), Some(Lineage::from_bytes([8; 16])));
    assert_eq!(other.err().unwrap().code(), codes::BACKUP_OF_ANOTHER);
    assert!(Position::ZERO == Writer::begin(&w.folder(), &w.heading(true)).unwrap().continues(region()));
}

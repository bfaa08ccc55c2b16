//! What a node's scheduled backups rely on: pieces, its own key, comparison of rows, removal by retention, damage, interruption.

use crate::world::*;
use eport_authority::{NodeKey, Unwrap};
use eport_backup::{
    Bounds, DirTarget, Error, Folder, Heading, Manifest, Restoration, Target, Writer, restore_within,
};
use eport_model::{Coded, Digest, JournalIndex, codec, codes};
use eport_store::{Budget, Until};
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A backup in pieces of a few records, as a node makes it.
fn piecewise(w: &World, maker: &NodeKey, full: bool, state: Option<Digest>) -> Manifest {
    let heading = Heading { maker: Some(("gz-a-1".into(), maker.public())), ..w.heading(full) };
    let mut writer = Writer::begin(&w.folder(), &heading).unwrap();
    let end = w.store.snapshot().applied().unwrap();
    let mut from = writer.continues(region());
    let mut pieces = 0;
    loop {
        let dir = w.path("piece");
        let _ = std::fs::remove_dir_all(&dir);
        let piece = w.store.export_piece(&dir, from.index.next(), end.index.max(from.index), 700).unwrap();
        assert!(piece.segments.len() <= 1);
        writer.platform(&dir).unwrap();
        pieces += 1;
        from = piece.last;
        if from.index >= end.index {
            break;
        }
    }
    assert!(pieces > 1 || !full, "the pieces are small");
    let digest = state.unwrap_or_else(|| w.store.snapshot().state_digest().unwrap().digest);
    writer.state(region(), digest);
    writer.finish(9, &codec::encode(&w.state.rows())).unwrap()
}

fn open(w: &World, of: &Manifest, key: &NodeKey, bounds: &Bounds<'_>) -> Result<Restoration, Error> {
    let out = w.path("restored");
    let _ = std::fs::remove_dir_all(&out);
    restore_within(&w.folder(), of, &[], Until::End, key, &out, bounds)
}

#[test]
fn a_backup_in_pieces_restores_with_either_key_and_shows_equal_rows_or_names_the_difference() {
    let (mut w, maker) = (World::new(), NodeKey::generate());
    w.documents(30);
    piecewise(&w, &maker, false, None);
    w.documents(5);
    let second = piecewise(&w, &maker, false, None);
    assert!(!second.full && second.platforms[0].records == 5);
    let restored = open(&w, &second, &w.recovery, &Bounds::default()).unwrap();
    assert_eq!((restored.platforms[0].equal, restored.platforms[0].readable), (Some(true), Some(true)));
    assert_eq!(restored.fault(), None);
    // The maker's key opens the backup; the data key of this platform is not wrapped for it, and the test says so.
    let own = open(&w, &second, &maker, &Bounds::default()).unwrap();
    assert_eq!((own.platforms[0].equal, own.platforms[0].readable), (Some(true), Some(false)));
    assert!(own.fault().unwrap().contains("cannot be decrypted"));
    let stranger = open(&w, &second, &NodeKey::generate(), &Bounds::default());
    assert_eq!(stranger.unwrap_err().code(), codes::BACKUP_KEY);
    let wrong = piecewise(&w, &maker, false, Some(Digest::of(b"other rows")));
    let differs = open(&w, &wrong, &w.recovery, &Bounds::default()).unwrap();
    assert!(differs.fault().unwrap().contains("the rows differ"));
}

#[test]
fn another_key_begins_a_new_chain() {
    let (mut w, maker) = (World::new(), NodeKey::generate());
    w.documents(10);
    piecewise(&w, &maker, false, None);
    assert!(!piecewise(&w, &maker, false, None).full);
    assert!(piecewise(&w, &NodeKey::generate(), false, None).full, "another maker");
    w.recovery = NodeKey::generate();
    let made = w.backup(false);
    assert!(made.full, "another recovery key");
    assert_eq!(w.folder().verify().unwrap(), []);
}

#[test]
fn nothing_behind_the_given_record_is_taken() {
    let mut w = World::new();
    w.documents(20);
    let piece =
        w.store.export_piece(&w.path("p"), JournalIndex::from_u64(3), JournalIndex::from_u64(7), u64::MAX);
    let piece = piece.unwrap();
    assert_eq!((piece.before.index.as_u64(), piece.last.index.as_u64(), piece.records), (2, 7, 5));
    let none =
        w.store.export_piece(&w.path("q"), JournalIndex::from_u64(8), JournalIndex::from_u64(7), 1).unwrap();
    assert_eq!((none.records, none.last), (0, none.before));
}

#[test]
fn backups_in_the_middle_go_and_the_chain_of_manifests_stays_proven() {
    let mut w = World::new();
    for n in 0..9 {
        w.documents(2);
        w.backup(n % 3 == 0);
    }
    let bytes = |dir: PathBuf| -> u64 { files(&dir).iter().map(|f| f.metadata().unwrap().len()).sum() };
    let before = bytes(w.path("backups"));
    w.folder().remove(&[4, 5, 6]).unwrap();
    assert!(bytes(w.path("backups")) < before);
    let folder = w.folder();
    assert_eq!(folder.verify().unwrap(), []);
    let names: Vec<_> = folder.manifests().map(Manifest::name).collect();
    assert_eq!(names, ["000001", "000002", "000003", "000007", "000008", "000009"]);
    for of in ["000003", "000009"] {
        let of = folder.find(Some(of)).unwrap();
        assert_eq!(w.restore(of, Until::End, &format!("o{}", of.seq)).unwrap().fault(), None);
    }
    // The oldest go with everything that stood for them.
    folder.remove(&[1, 2, 3]).unwrap();
    let left: Vec<_> = files(&w.path("backups")).iter().map(|f| f.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|f| !f.contains("00000") || ["7", "8", "9"].iter().any(|n| f.contains(&format!("00000{n}")))), "{left:?}");
    assert_eq!(w.folder().verify().unwrap(), []);
    // Somebody who takes one away without a trace is noticed.
    std::fs::remove_dir_all(w.path("backups").join("000008")).unwrap();
    assert_eq!(w.folder().verify().unwrap()[0].backup, "000009");
    // Never everything.
    w.folder().remove(&[7, 8, 9]).unwrap();
    assert_eq!(w.folder().manifests().count(), 2);
}

#[test]
fn a_damaged_manifest_is_named_and_the_next_backup_does_not_build_on_it() {
    let mut w = World::new();
    for _ in 0..3 {
        w.documents(2);
        w.backup(false);
    }
    let path = w.path("backups/000003/manifest.json");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let folder = w.folder();
    assert_eq!((folder.damaged().len(), folder.find(None).unwrap().name()), (1, "000002".into()));
    w.documents(1);
    let next = w.backup(false);
    assert!(next.full && next.name() == "000004");
    assert_eq!(w.restore(&next, Until::End, "o").unwrap().platforms[0].last, w.store.last());
    assert!(w.folder().verify().unwrap().iter().any(|p| p.backup == "000003" && p.file == "manifest.json"));
}

#[test]
fn a_restore_keeps_its_bounds_and_ends_when_it_is_told_to() {
    let mut w = World::new();
    w.documents(10);
    let of = w.backup(false);
    let tight = Bounds { reserve: u64::MAX / 4, ..Bounds::default() };
    assert_eq!(open(&w, &of, &w.recovery, &tight).unwrap_err().code(), codes::RESTORE_SPACE);
    let stop = Bounds { budget: Budget::default(), reserve: 0, pace: &|_| Err(Error::Stopped) };
    assert!(matches!(open(&w, &of, &w.recovery, &stop), Err(Error::Stopped)));
}

#[test]
fn one_backup_at_a_time_is_written_into_a_folder() {
    let mut w = World::new();
    w.documents(2);
    let first = Writer::begin(&w.folder(), &w.heading(false)).unwrap();
    let second = Writer::begin(&w.folder(), &w.heading(false));
    assert_eq!(second.err().unwrap().code(), codes::BACKUP_BUSY);
    drop(first);
    assert_eq!(w.backup(false).name(), "000001");
}

/// A target that dies after so many changes: nothing later happens, as if the process had been killed.
#[derive(Debug)]
struct Dying {
    inner: DirTarget,
    left: AtomicU64,
}

impl Dying {
    fn step(&self) -> std::io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(std::io::Error::other("killed"));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        Ok(())
    }
}

impl Target for Dying {
    fn place(&self, name: &str) -> PathBuf {
        self.inner.place(name)
    }
    fn folders(&self) -> std::io::Result<Vec<String>> {
        self.inner.folders()
    }
    fn files(&self, folder: &str) -> std::io::Result<Vec<String>> {
        self.inner.files(folder)
    }
    fn size(&self, name: &str) -> std::io::Result<u64> {
        self.inner.size(name)
    }
    fn read(&self, name: &str, len_max: u64) -> std::io::Result<Vec<u8>> {
        self.inner.read(name, len_max)
    }
    fn write(&self, name: &str, bytes: Vec<u8>) -> std::io::Result<()> {
        self.step()?;
        self.inner.write(name, bytes)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.step()?;
        self.inner.remove(name)
    }
    fn remove_folder(&self, folder: &str) -> std::io::Result<()> {
        self.step()?;
        self.inner.remove_folder(folder)
    }
    fn lock(&self) -> std::io::Result<Box<dyn Any + Send>> {
        self.inner.lock()
    }
}

#[test]
fn death_at_any_change_leaves_whole_backups_only() {
    let mut w = World::new();
    for n in 0..6 {
        w.documents(2);
        w.backup(n % 2 == 0);
    }
    let end = w.store.last();
    let mut survived = 0;
    for changes in 0..200 {
        let inner = DirTarget::new(&w.path("backups"));
        let target: Arc<dyn Target> = Arc::new(Dying { inner, left: AtomicU64::new(changes) });
        let folder = Folder::open_at(target, Some(lineage())).unwrap();
        // A backup, then the removal of all but the newest two.
        let attempt = (|| {
            let mut writer = Writer::begin(&folder, &w.heading(changes % 2 == 0))?;
            let dir = w.path(&format!("x{changes}"));
            w.store.export(&dir, writer.continues(region()).index.next()).unwrap();
            writer.platform(&dir)?;
            writer.finish(9, &codec::encode(&w.state.rows()))?;
            let folder = Folder::open_at(folder.target().clone(), Some(lineage()))?;
            let seqs: Vec<u64> = folder.manifests().map(|m| m.seq).collect();
            let full = folder.manifests().filter(|m| m.full).map(|m| m.seq).next_back().unwrap();
            let gone: Vec<u64> = seqs.into_iter().filter(|s| *s < full).collect();
            folder.remove(&gone)
        })();
        survived += u64::from(attempt.is_ok());
        // Whatever was left, every backup there is whole and the newest is complete.
        let after = w.folder();
        assert_eq!(after.verify().unwrap(), [], "after {changes} changes");
        let newest = after.find(None).unwrap();
        let restored = w.restore(newest, Until::End, &format!("r{changes}")).unwrap();
        assert_eq!((restored.platforms[0].last, restored.fault()), (end, None), "after {changes} changes");
        if survived == 3 {
            return;
        }
    }
    panic!("no attempt came to its end");
}

//! Full and read-only disks, on a small file system mounted for the test. Skipped, with a message, without that right.

use crate::support::*;
use eport_model::{Coded, codes};
use eport_store::DataDir;
use std::path::Path;
use std::process::Command;

struct Mount(tempfile::TempDir);

impl Mount {
    fn small(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let done = run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", path(dir.path())]);
        if !done {
            eprintln!("SKIPPED: a tmpfs cannot be mounted here (needs root)");
        }
        done.then(|| Mount(dir))
    }

    fn remount(&self, options: &str) {
        assert!(run("mount", &["-o", &format!("remount,{options}"), path(self.0.path())]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", path(self.0.path())]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
}

#[test]
fn a_full_disk_stops_writing_and_loses_nothing_acknowledged() {
    let Some(mount) = Mount::small("12m") else { return };
    let dir = mount.0.path().join("platform");
    let (store, _) = open(&dir);
    let mut chain = Chain::new();
    let mut records = vec![chain.epoch(1)];
    store.append(&records).unwrap();
    let failure = loop {
        let next = chain.document(64 << 10);
        match store.append(std::slice::from_ref(&next)) {
            Ok(()) => records.push(next),
            Err(e) => break e,
        }
        assert!(records.len() < 1_000, "12 MiB hold no 64 MiB");
    };
    assert_eq!(failure.code(), codes::DISK_FULL, "{failure}");
    assert!(store.is_poisoned());
    let mut chain = Chain::behind(store.last());
    let later = store.append(&[chain.document(10)]).unwrap_err();
    assert_eq!(later.code(), codes::DISK_FULL, "the first cause stays visible: {later}");
    assert!(store.apply(&records).is_err() && store.seal(eport_model::Epoch::from_u64(9)).is_err());
    assert_eq!(store.last(), records.last().unwrap().position());
    assert_eq!(store.read(at(1), 1).unwrap()[0], records[0], "what is there can still be read");
    drop(store);

    mount.remount("size=96m");
    let (store, found) = open(&dir);
    let kept = all_records(&store);
    assert!(kept.len() >= records.len(), "the failed record may be there, acknowledged ones must be");
    assert_eq!(kept[..records.len()], records);
    let mut chain = Chain::behind(found.last);
    store.append(&[chain.document(10)]).unwrap();
}

#[test]
fn a_read_only_disk_is_named_as_such() {
    let Some(mount) = Mount::small("16m") else { return };
    let dir = mount.0.path().join("node");
    let held = DataDir::open(&dir, node("gz-a-1"), lineage(), 0).unwrap();
    drop(open(&held.platform(region())));
    let platform = held.platform(region());
    drop(held);
    mount.remount("ro");
    let refused = DataDir::open(&dir, node("gz-a-1"), lineage(), 0).unwrap_err();
    assert_eq!(refused.code(), codes::DIR_READ_ONLY, "{refused}");
    assert_eq!(try_open(&platform).err().unwrap().code(), codes::DIR_READ_ONLY);
}

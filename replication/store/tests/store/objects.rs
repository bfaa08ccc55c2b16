//! Catalog objects on disk: whole or absent, healed, collected, never half visible.

use crate::support::files;
use eport_catalog::{ObjectSource, Schema, apply_delta, chunks, encode_table, make_delta, root_of};
use eport_model::{Coded, Digest, codes};
use eport_store::{ObjectStore, pack_delta, unpack_delta};
use std::collections::BTreeSet;
use std::path::Path;

fn table(rows: impl IntoIterator<Item = (u32, String)>) -> Vec<u8> {
    let schema = Schema::new(&["code", "name"], &["code"]).unwrap();
    encode_table(&schema, rows.into_iter().map(|(k, v)| [format!("K{k:06}"), v])).unwrap()
}

fn version(count: u32, salt: u32) -> Vec<u8> {
    // Every hundredth row depends on the salt.
    table((0..count).map(|n| (n, format!("value {}", n * 7 + if n % 100 == 50 { salt } else { 0 }))))
}

fn bytes_of(dir: &Path) -> u64 {
    files(dir, &["eps"]).iter().map(|f| std::fs::metadata(f).unwrap().len()).sum()
}

fn flip(store: &ObjectStore, digest: &Digest) {
    let (path, offset, len) = store.place_of(digest).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(offset + len / 2) as usize] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn content_comes_back_by_its_root_also_after_a_restart_and_versions_share_what_is_equal() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path()).unwrap();
    let (first, second) = (version(30_000, 0), version(30_000, 1));
    let root = store.put(&first).unwrap();
    assert_eq!(root, root_of(&first).unwrap());
    let alone = bytes_of(dir.path());
    assert!(alone < first.len() as u64 / 2, "it is compressed: {alone} of {}", first.len());
    assert_eq!(store.put(&first).unwrap(), root);
    assert_eq!(bytes_of(dir.path()), alone, "the same content again takes no space");
    let mut edited: Vec<(u32, String)> = (0..30_000).map(|n| (n, format!("value {}", n * 7))).collect();
    edited[15_000].1 = "another".into();
    let edited = table(edited);
    let near = store.put(&edited).unwrap();
    assert!(bytes_of(dir.path()) - alone < 64 << 10, "one row costs a chunk and a path of nodes");
    let other = store.put(&second).unwrap();
    drop(store);
    let store = ObjectStore::open(dir.path()).unwrap();
    for (root, content) in [(root, &first), (near, &edited), (other, &second)] {
        assert!(store.has(&root));
        assert_eq!(&store.content(&root).unwrap()[..], &content[..]);
    }
    assert_eq!(store.content(&Digest::ZERO).unwrap_err().code(), codes::NOT_STORED);
}

#[test]
fn a_flipped_bit_is_never_served_takes_the_contents_that_need_it_from_the_list_and_heals() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, peer) = (ObjectStore::open(dir.path()).unwrap(), ObjectStore::open(other.path()).unwrap());
    let (first, second) = (version(30_000, 0), table((0..500).map(|n| (n, "x".into()))));
    let (root, apart) = (store.put(&first).unwrap(), store.put(&second).unwrap());
    peer.put(&first).unwrap();
    let chunk = chunks(&store, &root).unwrap()[3].digest;
    flip(&store, &chunk);
    let mut paced = 0;
    let seen = store.scrub(|bytes| paced += bytes).unwrap();
    assert_eq!((seen.damaged.as_slice(), seen.bytes), (&[chunk][..], paced));
    assert!(!store.has(&root) && store.has(&apart), "only what needs the chunk is given up");
    assert!(store.get(&chunk).unwrap().is_none() && store.object_packed(&chunk).unwrap().is_none());
    assert_eq!(store.content(&root).unwrap_err().code(), codes::NOT_STORED);
    // Nothing but the one object comes from the peer.
    let mut batch = store.batch();
    assert_eq!(batch.install(&root).unwrap_err().code(), codes::NOT_STORED, "not whole yet");
    batch.put_packed(&chunk, &peer.object_packed(&chunk).unwrap().unwrap()).unwrap();
    batch.install(&root).unwrap();
    assert_eq!(&store.content(&root).unwrap()[..], &first[..]);
    assert!(store.scrub(|_| {}).unwrap().damaged.is_empty());
    // A reader finds damage as well as a scrub does.
    flip(&store, &chunk);
    assert_eq!(store.content(&root).unwrap_err().code(), codes::RECORD_DAMAGED);
    assert!(!store.has(&root));
}

#[test]
fn bytes_that_are_not_what_they_are_named_by_are_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, peer) = (ObjectStore::open(dir.path()).unwrap(), ObjectStore::open(other.path()).unwrap());
    let root = peer.put(&version(3_000, 0)).unwrap();
    let packed = peer.object_packed(&root).unwrap().unwrap();
    let mut batch = store.batch();
    for at in 0..packed.len() {
        let mut bad = packed.to_vec();
        bad[at] ^= 0x04;
        if let Err(error) = batch.put_packed(&root, &bad) {
            assert!(
                [codes::RECORD_DAMAGED, codes::OBJECT_TOO_LARGE].contains(&error.code()),
                "byte {at}: {error}"
            );
        }
        assert!(batch.put_packed(&Digest::of(b"another"), &packed).is_err());
    }
    // 64 MiB of zeros pack into a few kilobytes: the limit counts what comes out.
    let bomb = pack_delta(&vec![0; 64 << 20]).unwrap();
    assert_eq!(batch.put_packed(&root, &bomb).unwrap_err().code(), codes::OBJECT_TOO_LARGE);
    assert_eq!(unpack_delta(&bomb, 1 << 20).unwrap_err().code(), codes::OBJECT_TOO_LARGE);
}

#[test]
fn a_delta_installs_the_next_version_beside_the_former_one() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, peer) = (ObjectStore::open(dir.path()).unwrap(), ObjectStore::open(other.path()).unwrap());
    let (before, after) = (version(30_000, 0), version(30_000, 9));
    let (from, to) = (peer.put(&before).unwrap(), peer.put(&after).unwrap());
    store.put(&before).unwrap();
    let packed = pack_delta(&make_delta(&peer, &from, &to).unwrap()).unwrap();
    assert!(packed.len() * 50 < after.len(), "{} bytes for 1 % of {}", packed.len(), after.len());
    let delta = unpack_delta(&packed, 1 << 20).unwrap();
    let mut batch = store.batch();
    apply_delta(&store, &mut batch, (&from, &to), &delta).unwrap();
    assert!(!store.has(&to), "nothing is visible before it is installed");
    batch.install(&to).unwrap();
    assert_eq!(&store.content(&to).unwrap()[..], &after[..]);
    assert_eq!(&store.content(&from).unwrap()[..], &before[..]);
}

#[test]
fn what_was_not_installed_is_not_visible_after_a_crash_but_its_objects_stay_for_the_next_attempt() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let peer = ObjectStore::open(other.path()).unwrap();
    let content = version(30_000, 0);
    let root = peer.put(&content).unwrap();
    let all = chunks(&peer, &root).unwrap();
    {
        let store = ObjectStore::open(dir.path()).unwrap();
        let mut batch = store.batch();
        for chunk in &all[..10] {
            batch.put_packed(&chunk.digest, &peer.object_packed(&chunk.digest).unwrap().unwrap()).unwrap();
        }
        batch.flush().unwrap();
        for chunk in &all[10..20] {
            batch.put_packed(&chunk.digest, &peer.object_packed(&chunk.digest).unwrap().unwrap()).unwrap();
        }
        // The process dies here: the open segment is left half written.
        std::mem::forget(batch);
    }
    let partial = || {
        std::fs::read_dir(dir.path())
            .unwrap()
            .any(|e| e.unwrap().path().extension().is_some_and(|e| e == "partial"))
    };
    assert!(partial());
    let store = ObjectStore::open(dir.path()).unwrap();
    assert!(!partial() && !store.has(&root));
    let here = all.iter().filter(|c| store.has_object(&c.digest)).count();
    assert_eq!(here, 10, "what was flushed stays");
}

#[test]
fn a_segment_that_cannot_be_read_is_set_aside_and_its_contents_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path()).unwrap();
    let (root, apart) =
        (store.put(&version(5_000, 0)).unwrap(), store.put(&table([(1, "x".into())])).unwrap());
    let (path, ..) = store.place_of(&root).unwrap();
    drop(store);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 9).unwrap();
    let store = ObjectStore::open(dir.path()).unwrap();
    assert!(!store.has(&root) && store.has(&apart));
    assert_eq!(files(dir.path(), &["damaged"]).len(), 1);
    // A damaged list of roots makes nothing whole that is not: contents are proven anew.
    drop(store);
    std::fs::write(dir.path().join("roots"), b"EPR1nonsense").unwrap();
    let store = ObjectStore::open(dir.path()).unwrap();
    assert!(!store.has(&apart) && store.is_complete(&apart).unwrap());
    store.batch().install(&apart).unwrap();
    assert!(store.has(&apart));
}

#[test]
fn a_collection_frees_the_disk_and_takes_nothing_that_lives_or_is_on_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path()).unwrap();
    let versions: Vec<Vec<u8>> = (0..6).map(|salt| version(20_000, salt)).collect();
    let roots: Vec<Digest> = versions.iter().map(|v| store.put(v).unwrap()).collect();
    let alien = store
        .put(&table((0..9_000).map(|n: u32| (n, format!("{:x}", n.wrapping_mul(2_654_435_761))))))
        .unwrap();
    let before = bytes_of(dir.path());
    let mut batch = store.batch();
    let staged = batch.put_content(&version(20_000, 77)).unwrap();
    let live: BTreeSet<Digest> = [roots[0], roots[5]].into();
    assert!(store.unnamed(&live));
    let done = store.collect(|| Some(live.clone())).unwrap().unwrap();
    assert!(done.objects > 0 && bytes_of(dir.path()) < before, "{done:?}");
    assert!(!store.unnamed(&live));
    for (n, root) in roots.iter().enumerate() {
        assert_eq!(store.has(root), live.contains(root), "version {n}");
    }
    assert!(!store.has(&alien) && store.has(&staged));
    for (root, content) in
        [(roots[0], &versions[0]), (roots[5], &versions[5]), (staged, &version(20_000, 77))]
    {
        assert_eq!(&store.content(&root).unwrap()[..], &content[..]);
    }
    // The draft is given up: the next round takes it, and what is left is exactly what lives, also after a restart.
    drop(batch);
    store.collect(|| Some(live.clone())).unwrap().unwrap();
    assert!(!store.has(&staged));
    drop(store);
    let store = ObjectStore::open(dir.path()).unwrap();
    assert_eq!(store.roots(), live.iter().copied().collect::<Vec<_>>());
    assert_eq!(&store.content(&roots[5]).unwrap()[..], &versions[5][..]);
    assert_eq!(store.collect(|| None).unwrap(), None, "nothing is dead before somebody knows what lives");
    assert!(store.has(&roots[0]));
}

#[test]
fn collections_beside_publications_and_fetches_never_take_what_is_needed() {
    use std::sync::Mutex;
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path()).unwrap();
    let live: Mutex<BTreeSet<Digest>> = Mutex::default();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                store.collect(|| Some(live.lock().unwrap().clone())).unwrap();
            }
        });
        let writers: Vec<_> = (0..2u32)
            .map(|writer| {
                let (store, live) = (&store, &live);
                threads.spawn(move || {
                    for round in 0..25u32 {
                        // Contents share most of their chunks, also with versions that go meanwhile.
                        let content = version(4_000, (round + writer) % 7);
                        let mut batch = store.batch();
                        let root = batch.put_content(&content).unwrap();
                        assert_eq!(&store.content(&root).unwrap()[..], &content[..], "{writer} {round}");
                        live.lock().unwrap().insert(root);
                        drop(batch);
                        if round % 3 == 0 && writer == 0 {
                            live.lock().unwrap().pop_first();
                        }
                        // Whoever holds the list sees every live version whole.
                        for root in live.lock().unwrap().iter() {
                            assert!(store.is_complete(root).unwrap(), "{writer} {round}");
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

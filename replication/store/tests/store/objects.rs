//! Objects by digest.

use crate::support::files;
use eport_model::{Coded, Digest, codes};
use eport_store::ObjectStore;
use std::path::PathBuf;

fn file_of(dir: &std::path::Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    dir.join(&name[..2]).join(name)
}

#[test]
fn content_comes_back_by_its_digest_and_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path(), 1 << 20).unwrap();
    let content = b"port,name\nCNCAN,Guangzhou\n".repeat(1_000);
    let digest = store.put(&content).unwrap();
    assert_eq!((digest, store.put(&content).unwrap()), (Digest::of(&content), digest));
    assert_eq!(store.get(&digest).unwrap(), content);
    let listed = store.list().unwrap();
    assert_eq!((listed.len(), listed[0].digest), (1, digest));
    assert!(listed[0].stored_len < content.len() as u64 / 4, "it is compressed");

    let other = tempfile::tempdir().unwrap();
    let copy = ObjectStore::open(other.path(), 1 << 20).unwrap();
    copy.put_packed(&digest, &store.get_packed(&digest).unwrap()).unwrap();
    assert_eq!(copy.get(&digest).unwrap(), content);
    assert!(store.remove(&digest).unwrap() && !store.remove(&digest).unwrap());
    assert_eq!(store.get(&digest).unwrap_err().code(), codes::NOT_STORED);
    assert!(files(dir.path(), &["partial"]).is_empty());
}

#[test]
fn a_damaged_object_is_never_served_and_the_next_put_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path(), 1 << 20).unwrap();
    let digest = store.put(b"the content of a table").unwrap();
    let path = file_of(dir.path(), &digest);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        match store.get(&digest) {
            Ok(content) => assert_eq!(content, &b"the content of a table"[..], "byte {at}"),
            Err(e) => assert!(
                [codes::RECORD_DAMAGED, codes::OBJECT_TOO_LARGE].contains(&e.code()),
                "byte {at}: {e}"
            ),
        }
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(store.get(&digest).is_err(), "cut at {at}");
    }
    store.put(b"the content of a table").unwrap();
    assert_eq!(store.get(&digest).unwrap(), &b"the content of a table"[..]);
}

#[test]
fn what_is_not_the_named_object_or_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(dir.path(), 1_000).unwrap();
    assert_eq!(store.put(&[0; 1_001]).unwrap_err().code(), codes::OBJECT_TOO_LARGE);
    let wide = ObjectStore::open(dir.path(), 1 << 30).unwrap();
    // A megabyte of zeros packs into a few bytes: the limit counts what comes out.
    let bomb = wide.put(&vec![0; 1 << 20]).unwrap();
    let packed = wide.get_packed(&bomb).unwrap();
    assert!(packed.len() < 1_000);
    assert_eq!(store.put_packed(&bomb, &packed).unwrap_err().code(), codes::OBJECT_TOO_LARGE);
    assert_eq!(store.get(&bomb).unwrap_err().code(), codes::OBJECT_TOO_LARGE);
    let digest = Digest::of(b"something else");
    assert_eq!(wide.put_packed(&digest, &packed).unwrap_err().code(), codes::RECORD_DAMAGED);
    assert!(!wide.has(&digest));
}

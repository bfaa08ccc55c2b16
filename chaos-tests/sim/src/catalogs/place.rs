//! The disk of a node for one content under way: what was put is there after a flush, what was flushed stays, and a content is listed
//! behind its objects. It proves as the store of a node does.

use bytes::Bytes;
use eport_catalog::sync::{Fault, Place};
use eport_catalog::{DeltaError, ObjectSink, ObjectSource, apply_delta, walk};
use eport_identity::Digest;
use eport_model::codes::{DISK_FULL, INTERNAL};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What survives a crash.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub objects: BTreeMap<Digest, Bytes>,
    pub roots: BTreeSet<Digest>,
    pub full: bool,
}

impl ObjectSource for Disk {
    type Error = String;
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(self.objects.get(digest).map(|b| b.to_vec()))
    }
}

impl Disk {
    /// Whether every object of a content is here.
    pub fn is_complete(&self, root: &Digest) -> bool {
        let mut whole = true;
        let walked = walk(self, root, &mut |_, child| {
            whole &= self.objects.contains_key(&child.digest);
            whole
        });
        walked.is_ok() && whole
    }

    /// An object is lost; contents that need it are no longer listed.
    pub fn lose(&mut self, digest: &Digest) {
        self.objects.remove(digest);
        let roots = std::mem::take(&mut self.roots);
        self.roots = roots.into_iter().filter(|root| self.is_complete(root)).collect();
    }
}

/// Bugs of a disk, to see that the checks find them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Planted {
    /// Objects are not proven.
    pub unproven: bool,
    /// A content is listed before its objects are durable.
    pub listed_first: bool,
}

/// One content under way.
pub(super) struct Local<'d> {
    pub disk: &'d mut Disk,
    /// Put and not flushed.
    pub fresh: &'d mut BTreeMap<Digest, Bytes>,
    pub planted: Planted,
    /// The process dies in the install, between objects and list.
    pub dies: bool,
    /// It has died.
    pub died: bool,
    pub by_delta: bool,
}

/// Objects that a rebuild makes, beside the disk that it reads.
struct Fresh<'d>(&'d RefCell<BTreeMap<Digest, Bytes>>, &'d Disk);

impl ObjectSink for Fresh<'_> {
    type Error = String;
    fn put(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), String> {
        self.0.borrow_mut().insert(*digest, Bytes::copy_from_slice(bytes));
        Ok(())
    }
    fn keep(&mut self, digest: &Digest) -> Result<bool, String> {
        Ok(self.1.objects.contains_key(digest) || self.0.borrow().contains_key(digest))
    }
}

fn full() -> Fault {
    Fault::Here(DISK_FULL, "no space is left".to_owned())
}

impl Place for Local<'_> {
    fn has_object(&self, digest: &Digest) -> bool {
        self.disk.objects.contains_key(digest)
    }

    fn object(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.disk.objects.get(digest).map(|b| b.to_vec())
    }

    fn keep(&mut self, digest: &Digest) -> Result<bool, Fault> {
        Ok(self.disk.objects.contains_key(digest) || self.fresh.contains_key(digest))
    }

    fn put(&mut self, digest: &Digest, packed: &[u8]) -> Result<Vec<u8>, Fault> {
        if Digest::of(packed) != *digest && !self.planted.unproven {
            return Err(Fault::Wrong("its bytes are another object".to_owned()));
        }
        if self.disk.full {
            return Err(full());
        }
        self.fresh.insert(*digest, Bytes::copy_from_slice(packed));
        Ok(packed.to_vec())
    }

    fn rebuild(&mut self, base: &Digest, root: &Digest, packed: Vec<u8>) -> Result<bool, Fault> {
        if self.disk.full {
            return Err(full());
        }
        let made = RefCell::new(BTreeMap::new());
        let done = apply_delta(self.disk, &mut Fresh(&made, self.disk), (base, root), &packed);
        match done {
            Ok(()) => {}
            Err(DeltaError::Wrong(what)) => return Err(Fault::Wrong(what.to_owned())),
            Err(_) => return Ok(false),
        }
        self.fresh.extend(made.into_inner());
        self.by_delta = true;
        self.install(root).map(|()| true)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if self.disk.full && !self.fresh.is_empty() {
            return Err(full());
        }
        self.disk.objects.extend(std::mem::take(self.fresh));
        Ok(())
    }

    fn install(&mut self, root: &Digest) -> Result<(), Fault> {
        if self.planted.listed_first {
            self.disk.roots.insert(*root);
        }
        if self.dies {
            // Half of what was put reached the disk.
            let half = self.fresh.len() / 2;
            let reached = std::mem::take(self.fresh).into_iter().take(half);
            self.disk.objects.extend(reached);
            self.died = true;
            return Err(Fault::Here(INTERNAL, "the process is gone".to_owned()));
        }
        self.flush()?;
        if !self.disk.is_complete(root) {
            return Err(Fault::Here(INTERNAL, "an object is missing".to_owned()));
        }
        self.disk.roots.insert(*root);
        Ok(())
    }
}

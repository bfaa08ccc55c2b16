//! A content that is being made or fetched: its objects come in segments, and are safe from collection as long as the batch lives.

use super::segment::{SEGMENT_LEN, Writer};
use super::{OBJECT_LEN_MAX, ObjectStore, Place, pack};
use crate::Error;
use eport_catalog::{ObjectSink, ReadError, Source, Staging, StoreError, StreamError, store_rows};
use eport_model::Digest;
use std::collections::HashSet;
use std::io::Read;

/// Objects on their way into a store. What was flushed stays when the batch is given up; what was not, never appears.
pub struct Batch {
    store: ObjectStore,
    staging: Staging,
    open: Option<(u64, Writer)>,
    /// In the open segment: not to be read yet.
    fresh: HashSet<Digest>,
    pinned: Vec<Digest>,
}

impl Batch {
    pub(super) fn begin(store: ObjectStore) -> Self {
        let staging = store.lock().keeper.begin();
        Self { store, staging, open: None, fresh: HashSet::new(), pinned: Vec::new() }
    }

    /// Takes an object up: true when it is here and readable, or on its way.
    fn take_up(&self, digest: &Digest) -> bool {
        let mut state = self.store.lock();
        state.keeper.touch(self.staging, *digest);
        self.fresh.contains(digest) || state.objects.contains_key(digest)
    }

    fn is_sound(&self, digest: &Digest) -> bool {
        self.fresh.contains(digest) || matches!(self.store.fetch(digest), Ok(Some(_)))
    }

    /// Puts an object as another node sent it, after checking that it is what `digest` names; answers its plain bytes.
    pub fn put_packed(&mut self, digest: &Digest, packed: &[u8]) -> Result<Vec<u8>, Error> {
        let bytes = pack::unpack_object(&self.store.0.dir, digest, packed, OBJECT_LEN_MAX)?;
        if !(self.take_up(digest) && self.is_sound(digest)) {
            self.append(digest, packed)?;
        }
        Ok(bytes)
    }

    fn append(&mut self, digest: &Digest, packed: &[u8]) -> Result<(), Error> {
        if self.open.is_none() {
            let number = {
                let mut state = self.store.lock();
                state.next += 1;
                state.next - 1
            };
            self.open = Some((number, Writer::create(&self.store.segment_path(number))?));
        }
        if let Some((_, writer)) = &mut self.open {
            writer.append(*digest, packed)?;
            self.fresh.insert(*digest);
            if writer.len() >= SEGMENT_LEN {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Makes everything put so far durable.
    pub fn flush(&mut self) -> Result<(), Error> {
        let Some((number, writer)) = self.open.take() else { return Ok(()) };
        self.fresh.clear();
        let len = writer.len();
        let entries = writer.publish(&self.store.segment_path(number))?;
        let mut state = self.store.lock();
        state.segments.insert(number, len);
        for e in entries {
            state.objects.insert(e.digest, Place { segment: number, offset: e.offset, len: e.len });
        }
        Ok(())
    }

    /// Lists a content whose objects were all put or kept. It stays listed as long as the batch lives, and afterwards as long as
    /// collections are told that it lives.
    pub fn install(&mut self, root: &Digest) -> Result<(), Error> {
        self.flush()?;
        eport_failpoint::point!("objects.install.before", root.short());
        if !self.store.is_complete(root)? {
            return Err(Error::NoObject { digest: *root });
        }
        {
            let mut state = self.store.lock();
            *state.pinned.entry(*root).or_default() += 1;
            self.pinned.push(*root);
            if !state.roots.insert(*root) {
                return Ok(());
            }
        }
        let listed = self.store.write_roots();
        if listed.is_err() {
            self.store.lock().roots.remove(root);
        }
        listed
    }

    /// The same as [`Batch::put_content`] for a content of any size: rows in bounded memory, what is no table as a whole.
    pub fn put_source(&mut self, content: &dyn Source) -> Result<Digest, Error> {
        let unread = |e: std::io::Error| Error::io("read content", &self.store.0.dir, e);
        let mut input = content.open().map_err(unread)?;
        let mut front = Vec::new();
        input.by_ref().take(4).read_to_end(&mut front).map_err(unread)?;
        if front != b"EPTB" {
            input.read_to_end(&mut front).map_err(unread)?;
            return self.put_content(&front);
        }
        let root = store_rows(front.as_slice().chain(input), self).map_err(|e| match e {
            StreamError::Objects(error) => error,
            StreamError::Rows(ReadError::Unread(error)) => {
                Error::io("read content", &self.store.0.dir, error)
            }
            StreamError::Rows(ReadError::Damaged(error)) => {
                Error::damaged(&self.store.0.dir, None, error.to_string())
            }
        })?;
        self.install(&root)?;
        Ok(root)
    }

    /// Cuts a content, puts its objects and lists it; answers its root.
    pub fn put_content(&mut self, content: &[u8]) -> Result<Digest, Error> {
        let root = eport_catalog::store_content(content, self).map_err(|e| match e {
            StoreError::Objects(error) => error,
            StoreError::Damaged(error) => Error::damaged(&self.store.0.dir, None, error.to_string()),
        })?;
        self.install(&root)?;
        Ok(root)
    }
}

impl ObjectSink for Batch {
    type Error = Error;

    fn put(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        // A damaged object of this name is replaced: the caller holds the right bytes.
        if self.take_up(digest) && self.is_sound(digest) {
            return Ok(());
        }
        self.append(digest, &pack::pack_object(bytes)?)
    }

    fn keep(&mut self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.take_up(digest))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        state.keeper.end(self.staging);
        for root in self.pinned.drain(..) {
            if let Some(count) = state.pinned.get_mut(&root) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.pinned.remove(&root);
                    // A round under way may have asked for the living before this root was named.
                    state.late.insert(root);
                }
            }
        }
    }
}

//! The sync thread: one fsync answers everybody who waits.
//!
//! openraft awaits the flush of every append inside its core task, so an fsync on a runtime thread would hold up heartbeats.

use super::Error;
use rocksdb::DB;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Called with the result of the sync.
pub(super) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Waiting syncs. openraft keeps one append in flight; votes and marks add a few. A full queue blocks the submitter.
const QUEUE_LEN: usize = 256;

/// Handle of the sync thread; dropping it ends the thread after the queued syncs.
pub(super) struct Syncer {
    queue: Mutex<Option<SyncSender<Done>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Syncer {
    pub(super) fn start(db: Arc<DB>, path: PathBuf) -> Result<Self, Error> {
        let (queue, waiting) = sync_channel(QUEUE_LEN);
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("registry-sync".into())
            .spawn({
                let (stopped, path) = (stopped.clone(), path.clone());
                move || run(&db, &waiting, &stopped, &path)
            })
            .map_err(|e| Error::io("start the sync thread", &path, &e))?;
        Ok(Self { queue: Mutex::new(Some(queue)), stopped, thread: Some(thread), path })
    }

    /// Refuses after a failed sync.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.stopped.load(Ordering::Acquire) {
            true => Err(Error::Stopped { path: self.path.clone() }),
            false => Ok(()),
        }
    }

    pub(super) fn submit(&self, done: Done) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = match queue {
            Some(queue) => queue.send(done).err().map(|e| e.0),
            None => Some(done),
        };
        if let Some(done) = refused {
            done(Err(Error::Stopped { path: self.path.clone() }));
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            // A callback may have dropped the last store handle on the sync thread itself; a thread cannot join itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn run(db: &DB, waiting: &Receiver<Done>, stopped: &AtomicBool, path: &std::path::Path) {
    while let Ok(first) = waiting.recv() {
        let group: Vec<Done> = std::iter::once(first).chain(waiting.try_iter().take(QUEUE_LEN)).collect();
        let result = if stopped.load(Ordering::Acquire) {
            Err(Error::Stopped { path: path.to_owned() })
        } else {
            eport_failpoint::point!("registry.fsync.before");
            let synced = db.flush_wal(true).map_err(|e| Error::rocks("sync", path, &e));
            eport_failpoint::point!("registry.fsync.after");
            match eport_failpoint::fails!("registry.fsync", "") {
                true => Err(Error::Stopped { path: path.to_owned() }),
                false => synced,
            }
        };
        if let Err(e) = &result {
            // After a failed fsync the kernel may have dropped the dirty pages: a second, successful one proves nothing.
            stopped.store(true, Ordering::Release);
            tracing::error!(error = %e, "registry storage stopped");
        }
        group.into_iter().for_each(|done| done(result.clone()));
    }
}

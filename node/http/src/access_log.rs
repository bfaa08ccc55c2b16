//! The access log on disk: one thread writes, in groups, with one fsync a group.
//!
//! Always: who waits for a line is told only after it is on disk; what does not fit the queue is counted and the count is
//! written; a failed write leaves no half line behind and nothing of it counts as written; a start goes on behind the last whole
//! line, and a log that was changed meanwhile stays as it is, with a new segment behind it.

use eport_access::{Coalescer, Event, Head, Line, Log, SegmentName, recover};
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

/// Lines that wait for the disk at most.
const QUEUE: usize = 4_096;
/// Lines of one group.
const GROUP: usize = 512;
/// A segment ends behind this size.
const SEGMENT_LEN: u64 = 4 << 20;
/// Largest segment that is read: one group may go over the size above.
pub(crate) const SEGMENT_READ_MAX: u64 = 16 << 20;
/// How often counts become lines, and old segments are looked for.
const TICK: Duration = Duration::from_secs(1);
/// At most one segment goes in this time: a clock that runs ahead must not take the whole log away.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

struct Asked {
    line: Line,
    done: Option<oneshot::Sender<bool>>,
}

/// The log of this node. Clones share it.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    queue: SyncSender<Asked>,
    lost: Arc<AtomicU64>,
    coalescer: Mutex<Coalescer>,
    head: watch::Receiver<Head>,
    failed: watch::Receiver<Option<String>>,
    keep_days: Arc<AtomicU64>,
}

/// The writing thread's own.
struct Writer {
    dir: PathBuf,
    log: Log,
    file: Option<(File, u64)>,
    head: watch::Sender<Head>,
    failed: watch::Sender<Option<String>>,
    lost: Arc<AtomicU64>,
    keep_days: Arc<AtomicU64>,
    forgot: Option<Instant>,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(eport_failpoint::wall_offset_ms())
}

/// The segments of a folder, oldest first.
pub(crate) fn segments(dir: &Path) -> Result<Vec<(SegmentName, PathBuf, u64)>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().and_then(|n| n.parse().ok()) {
            found.push((name, entry.path(), entry.metadata()?.len()));
        }
    }
    found.sort_unstable_by_key(|(name, _, _)| *name);
    Ok(found)
}

/// A segment's bytes, bounded.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(SEGMENT_READ_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SEGMENT_READ_MAX {
        return Err(Error::new(ErrorKind::InvalidData, "the segment is larger than any that was written"));
    }
    Ok(bytes)
}

impl AccessLog {
    /// Opens the log below a folder and starts its thread.
    pub fn open(dir: &Path, node: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(dir)?;
        let (log, file, broken) = continue_at(dir, node)?;
        let (queue, asked) = sync_channel(QUEUE);
        let (head_tx, head) = watch::channel(log.head());
        let (failed_tx, failed) = watch::channel(broken);
        let (lost, keep_days) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let writer = Writer {
            dir: dir.to_owned(),
            log,
            file,
            head: head_tx,
            failed: failed_tx,
            lost: lost.clone(),
            keep_days: keep_days.clone(),
            forgot: None,
        };
        std::thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&asked))?;
        let coalescer = Mutex::default();
        let inner = Inner { dir: dir.to_owned(), queue, lost, coalescer, head, failed, keep_days };
        let log = Self(Arc::new(inner));
        log.write(Line::of(Event::Started));
        Ok(log)
    }

    /// Writes a line soon.
    pub fn write(&self, line: Line) {
        self.send(Asked { line, done: None });
    }

    /// Writes a denial soon; equal ones in a row take few lines.
    pub fn deny(&self, line: Line) {
        let now = now_ms();
        let first = self.0.coalescer.lock().unwrap_or_else(PoisonError::into_inner).note(line, now);
        if let Some(line) = first {
            self.write(line);
        }
    }

    /// Writes the counts whose time is over. Called once a second.
    pub fn tick(&self) {
        let due = self.0.coalescer.lock().unwrap_or_else(PoisonError::into_inner).due(now_ms());
        due.into_iter().for_each(|line| self.write(line));
    }

    /// Writes every count, at the end.
    pub fn drain(&self) {
        let held = self.0.coalescer.lock().unwrap_or_else(PoisonError::into_inner).drain();
        held.into_iter().for_each(|line| self.write(line));
    }

    /// Writes a line and waits until it is on disk. False when it is not.
    pub async fn durable(&self, line: Line) -> bool {
        let (done, answer) = oneshot::channel();
        self.send(Asked { line, done: Some(done) }) && answer.await.unwrap_or(false)
    }

    fn send(&self, asked: Asked) -> bool {
        match self.0.queue.try_send(asked) {
            Ok(()) => true,
            Err(TrySendError::Full(asked) | TrySendError::Disconnected(asked)) => {
                self.0.lost.fetch_add(asked.line.times, Ordering::Relaxed);
                false
            }
        }
    }

    /// The last line on disk.
    pub fn head(&self) -> Head {
        *self.0.head.borrow()
    }

    /// What is wrong with it, if anything.
    pub fn failure(&self) -> Option<String> {
        self.0.failed.borrow().clone()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Segments older than this go.
    pub fn keep_days(&self, days: u64) {
        self.0.keep_days.store(days, Ordering::Relaxed);
    }
}

/// Where the log goes on: behind the last whole line of the newest segment. One that cannot be read as written is kept, and a new
/// segment begins behind the last line that holds.
type Opened = (Log, Option<(File, u64)>, Option<String>);

fn continue_at(dir: &Path, node: &str) -> Result<Opened, Error> {
    let Some((name, path, _)) = segments(dir)?.pop() else {
        return Ok((Log::new(node, Head::default()), None, None));
    };
    match recover(name, &read(&path)?) {
        Ok(found) => {
            let file = OpenOptions::new().append(true).open(&path)?;
            // A line that a crash cut was never reported as written.
            file.set_len(found.len)?;
            file.sync_all()?;
            Ok((Log::new(node, found.head), Some((file, found.len)), None))
        }
        // Cut in its very first write: nothing was reported of it, and the segment before is the end.
        Err(_) if read(&path)?.iter().filter(|b| **b == b'\n').count() == 0 => {
            std::fs::remove_file(&path)?;
            continue_at(dir, node)
        }
        Err(problem) => {
            error!(segment = %name, %problem, "the access log is not what was written; it goes on in a new segment");
            // Behind everything that the file can hold; the gap shows in every verification.
            let lines = read(&path)?.iter().filter(|b| **b == b'\n').count() as u64;
            let head = Head { seq: name.0 + lines, ..Head::default() };
            Ok((Log::new(node, head), None, Some(format!("{name}: {problem}"))))
        }
    }
}

impl Writer {
    fn run(mut self, asked: &Receiver<Asked>) {
        loop {
            let first = match asked.recv_timeout(TICK) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let group: Vec<Asked> = first.into_iter().chain(asked.try_iter().take(GROUP)).collect();
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if !group.is_empty() || lost > 0 {
                self.write(group, lost);
            }
            self.forget();
        }
    }

    /// One group: all of it is on disk, or nothing of it counts.
    fn write(&mut self, group: Vec<Asked>, lost: u64) {
        let before = self.log.clone();
        let (mut lines, mut waiting, mut count) = (Vec::new(), Vec::new(), lost);
        for Asked { line, done } in group {
            count = count.saturating_add(line.times);
            lines.push(line);
            waiting.extend(done);
        }
        if lost > 0 {
            lines.push(Line { times: lost, ..Line::of(Event::Lost) });
        }
        let written = self.append(lines);
        let ok = written.is_ok();
        match written {
            Ok(()) => {
                self.head.send_replace(self.log.head());
                if self.failed.borrow().as_ref().is_some_and(|f| f.starts_with("write: ")) {
                    self.failed.send_replace(None);
                }
            }
            Err(failure) => {
                if self.failed.borrow().is_none() {
                    error!(error = %failure, dir = %self.dir.display(), "the access log cannot be written");
                }
                self.log = before;
                self.lost.fetch_add(count, Ordering::Relaxed);
                self.failed.send_replace(Some(format!("write: {failure}")));
            }
        }
        for done in waiting {
            // Whoever asked may be gone.
            let _ = done.send(ok);
        }
    }

    fn append(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        if self.file.as_ref().is_some_and(|(_, len)| *len >= SEGMENT_LEN) {
            self.file = None;
        }
        let mut text = String::new();
        let (mut file, len) = match self.file.take() {
            Some(open) => open,
            None => {
                text = self.log.header();
                let path = self.dir.join(SegmentName(self.log.head().seq + 1).to_string());
                // A segment of the same name can only be one whose first write failed.
                let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
                file.set_len(0)?;
                File::open(&self.dir)?.sync_all()?;
                (file, 0)
            }
        };
        let at = now_ms();
        for line in lines {
            text += &self.log.append(Line { at_ms: at, ..line });
        }
        let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = done {
            // What was half written goes; if that fails too, the next start drops it.
            let _ = file.set_len(len);
            self.file = (len > 0).then_some((file, len));
            return Err(error);
        }
        self.file = Some((file, len + text.len() as u64));
        Ok(())
    }

    /// Removes the oldest segment when its last line is old enough, never the one being written.
    fn forget(&mut self) {
        let days = self.keep_days.load(Ordering::Relaxed);
        if days == u64::MAX || self.forgot.is_some_and(|at| at.elapsed() < FORGET_EVERY) {
            return;
        }
        self.forgot = Some(Instant::now());
        let Ok(found) = segments(&self.dir) else { return };
        let [(name, path, _), _, ..] = found.as_slice() else { return };
        let written = std::fs::metadata(path).and_then(|m| m.modified());
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        if age.as_secs() / 86_400 >= days {
            match std::fs::remove_file(path) {
                Ok(()) => warn!(segment = %name, days, "an access log segment beyond its time is gone"),
                Err(error) => warn!(segment = %name, %error, "an old access log segment cannot be removed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_access::Verifier;

    fn denied(n: usize) -> Line {
        Line { subject: format!("operator/{n}"), ..Line::of(Event::Denied) }
    }

    fn verified(dir: &Path, head: Head) -> eport_access::Verified {
        let mut v = Verifier::new([head]);
        for (name, path, _) in segments(dir).unwrap() {
            v.segment(name, &read(&path).unwrap(), |_| {});
        }
        v.finish()
    }

    #[tokio::test]
    async fn what_was_reported_as_written_is_there_after_a_restart_and_the_chain_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let log = AccessLog::open(dir.path(), "gz-a-1").unwrap();
            for n in 0..20 {
                assert!(log.durable(denied(n)).await);
            }
            let found = verified(dir.path(), log.head());
            assert!(found.end_proven() && found.lines == (round + 1) * 21, "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_line_cut_by_a_crash_goes_and_a_changed_log_is_kept_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let log = AccessLog::open(dir.path(), "gz-a-1").unwrap();
        assert!(log.durable(denied(1)).await);
        drop(log);
        let path = segments(dir.path()).unwrap()[0].1.clone();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"0011 {\"seq\":3"].concat()).unwrap();
        let log = AccessLog::open(dir.path(), "gz-a-1").unwrap();
        assert!(log.durable(denied(2)).await && log.failure().is_none());
        assert!(verified(dir.path(), log.head()).end_proven());
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap().replace("operator/1", "operator/7");
        std::fs::write(&path, &text).unwrap();
        let log = AccessLog::open(dir.path(), "gz-a-1").unwrap();
        assert!(log.failure().is_some(), "it says so");
        assert!(log.durable(denied(3)).await, "and goes on");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "the evidence stays as it was found");
        assert!(!verified(dir.path(), log.head()).ok());
    }

    #[tokio::test]
    async fn while_the_disk_refuses_nothing_counts_as_written_and_afterwards_the_loss_is_counted() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("log");
        let log = AccessLog::open(&dir, "gz-a-1").unwrap();
        assert!(log.durable(denied(1)).await);
        // Beyond the size a new segment is made, in a folder that is not there any more.
        let aside = home.path().join("aside");
        let path = segments(&dir).unwrap()[0].1.clone();
        let mut lines = 0;
        while std::fs::metadata(&path).unwrap().len() < SEGMENT_LEN {
            for _ in 0..GROUP {
                log.write(Line { request: "x".repeat(250), ..denied(2) });
                lines += 1;
            }
            assert!(log.durable(denied(2)).await && lines < 100_000);
        }
        std::fs::rename(&dir, &aside).unwrap();
        assert!(!log.durable(denied(3)).await);
        assert!(log.failure().is_some());
        std::fs::rename(&aside, &dir).unwrap();
        assert!(log.durable(denied(4)).await && log.failure().is_none());
        let mut lost = 0;
        let mut v = Verifier::new([log.head()]);
        for (name, path, _) in segments(&dir).unwrap() {
            v.segment(name, &read(&path).unwrap(), |l| {
                lost += if l.event == Event::Lost { l.times } else { 0 };
            });
        }
        assert!(v.finish().end_proven());
        assert_eq!(lost, 1);
    }
}

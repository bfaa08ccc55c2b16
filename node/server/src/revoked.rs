//! Revocations on this node: what the registry says, and everything this node ever knew, in force on every connection.
//!
//! What always holds: a serial that was in force here is in force again before the first listener opens, also when the registry was
//! set back by a restore or has no news yet: the set is a union and never shrinks. A change closes the live connections it
//! is about; a connection that slipped between two looks is closed by the next one.

use crate::Exit;
use eport_consensus::Registry;
use eport_http::Lists;
use eport_model::{Distrust, codes};
use eport_tls::{Serial, Tls};
use eport_transport::{CloseCode, Transport};

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tracing::{error, info, warn};

/// Name of the file in the data directory: one serial or rule a line.
const FILE: &str = "revoked.txt";
/// Largest file read: half a million serials.
const FILE_LEN_MAX: u64 = 32 << 20;
/// Looks at live connections without a change: an end of validity has no other signal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A serial, or a rule that takes the trust from many certificates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Serial(Serial),
    Rule(Distrust),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entry::Serial(serial) => write!(f, "{serial}"),
            Entry::Rule(rule) => write!(f, "{rule}"),
        }
    }
}

impl std::str::FromStr for Entry {
    type Err = eport_model::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') { text.parse().map(Entry::Rule) } else { text.parse().map(Entry::Serial) }
    }
}

/// Puts a set in force: every handshake after this sees it.
fn put<'a>(entries: impl Iterator<Item = &'a Entry> + Clone, tls: &Tls) {
    let serial = |e: &'a Entry| if let Entry::Serial(s) = e { Some(s.clone()) } else { None };
    let rule = |e: &'a Entry| if let Entry::Rule(r) = e { Some(r.clone()) } else { None };
    tls.revocations().replace(entries.clone().filter_map(serial));
    tls.revocations().replace_rules(entries.filter_map(rule));
}

/// The revocations that this node knows.
pub(crate) struct Revoked {
    path: PathBuf,
    known: BTreeSet<Entry>,
    /// Length of the file up to which every line is whole.
    whole: u64,
}

impl Revoked {
    /// Reads what an earlier run knew and puts it in force.
    pub(crate) fn open(data_dir: &Path, tls: &Tls) -> Result<Self, Exit> {
        let path = data_dir.join(FILE);
        let failed = |detail: String| Exit {
            code: codes::STORAGE_FAILED,
            detail: format!("{}: {detail}", path.display()),
        };
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(FILE_LEN_MAX + 1).read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e.to_string())),
        }
        if text.len() as u64 > FILE_LEN_MAX {
            return Err(failed("it is longer than any set of revocations".into()));
        }
        // A line that a crash cut short is written again: the registry still has it.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let read = text[..whole].lines().map(|l| l.parse::<Entry>().map_err(|e| failed(e.to_string())));
        let known = read.collect::<Result<BTreeSet<_>, _>>()?;
        put(known.iter(), tls);
        Ok(Self { path, known, whole: whole as u64 })
    }

    /// Takes serials in; true when one was new. In force even when the disk refuses: the next look writes again.
    fn unite(&mut self, entries: impl Iterator<Item = Entry>, tls: &Tls) -> bool {
        let new: Vec<Entry> = entries.filter(|s| !self.known.contains(s)).collect();
        if new.is_empty() {
            return false;
        }
        put(self.known.iter().chain(&new), tls);
        match self.append(&new) {
            Ok(()) => self.known.extend(new),
            Err(error) => {
                error!(%error, file = %self.path.display(), "revocations are in force but not on disk yet")
            }
        }
        true
    }

    fn append(&mut self, new: &[Entry]) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        file.set_len(self.whole)?;
        use std::io::Seek;
        file.seek(std::io::SeekFrom::End(0))?;
        let lines: String = new.iter().map(|s| format!("{s}\n")).collect();
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        self.whole += lines.len() as u64;
        Ok(())
    }

    /// Follows the registry until `stop` is notified.
    pub(crate) async fn follow(
        mut self,
        registry: Registry,
        tls: Tls,
        transport: Transport,
        lists: Arc<Lists>,
        stop: Arc<Notify>,
    ) {
        let mut changes = registry.changes();
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let view = registry.state();
            let read = view.state.revocations().filter_map(|r| match r.serial.parse::<Entry>() {
                Ok(entry) => Some(entry),
                Err(error) => {
                    warn!(serial = %r.serial, %error, "a revocation of the registry names no serial");
                    None
                }
            });
            // What a CA's own list says holds before the registry has heard of it.
            let listed = lists.rules().into_iter().map(Entry::Rule);
            if self.unite(read.chain(listed), &tls) {
                info!(revoked = self.known.len(), "revocations in force");
            }
            let closed = transport.close_revoked();
            let now = now();
            let expired = transport.close_where(CloseCode::Expired, |peer| peer.not_after < now);
            if closed + expired > 0 {
                warn!(revoked = closed, expired, "connections closed: certificates revoked or expired");
            }
            tokio::select! {
                () = stop.notified() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = lists.changed() => {}
                _ = every.tick() => {}
            }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

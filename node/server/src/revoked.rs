//! Revocations on this node: what the registry says, and everything this node ever knew, in force on every connection.
//!
//! What always holds: a serial that was in force here is in force again before the first listener opens, also when the registry was
//! set back by a restore or has no news yet: the set is a union and never shrinks. A change closes the live connections it
//! is about; a connection that slipped between two looks is closed by the next one.

use crate::Exit;
use eport_consensus::Registry;
use eport_model::codes;
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

/// Name of the file in the data directory: one serial a line.
const FILE: &str = "revoked.txt";
/// Largest file read: half a million serials.
const FILE_LEN_MAX: u64 = 32 << 20;
/// Looks at live connections without a change: an end of validity has no other signal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The revocations that this node knows.
pub(crate) struct Revoked {
    path: PathBuf,
    known: BTreeSet<Serial>,
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
        let read = text[..whole].lines().map(|l| l.parse::<Serial>().map_err(|e| failed(e.to_string())));
        let known = read.collect::<Result<BTreeSet<_>, _>>()?;
        tls.revocations().replace(known.iter().cloned());
        Ok(Self { path, known, whole: whole as u64 })
    }

    /// Takes serials in; true when one was new. In force even when the disk refuses: the next look writes again.
    fn unite(&mut self, serials: impl Iterator<Item = Serial>, tls: &Tls) -> bool {
        let new: Vec<Serial> = serials.filter(|s| !self.known.contains(s)).collect();
        if new.is_empty() {
            return false;
        }
        tls.revocations().replace(self.known.iter().chain(&new).cloned());
        match self.append(&new) {
            Ok(()) => self.known.extend(new),
            Err(error) => {
                error!(%error, file = %self.path.display(), "revocations are in force but not on disk yet")
            }
        }
        true
    }

    fn append(&mut self, new: &[Serial]) -> std::io::Result<()> {
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
        stop: Arc<Notify>,
    ) {
        let mut changes = registry.changes();
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let view = registry.state();
            let read = view.state.revocations().filter_map(|r| match r.serial.parse::<Serial>() {
                Ok(serial) => Some(serial),
                Err(error) => {
                    warn!(serial = %r.serial, %error, "a revocation of the registry names no serial");
                    None
                }
            });
            if self.unite(read, &tls) {
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
                _ = every.tick() => {}
            }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

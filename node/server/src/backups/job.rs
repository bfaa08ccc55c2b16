//! The work: one backup of what this node keeps, the restore test of the newest, the removal of old ones.
//!
//! Blocking: it runs on a thread of its own, moves bytes no faster than configured, and ends soon after it was asked to. Journals are
//! taken piece by piece up to what is applied, so a backup holds nothing that a failover can undo.

use super::section::BackupSection;
use eport_agent::{Agent, PlatformHandle};
use eport_authority::Unwrap;
use eport_backup::{
    Bounds, Error, Folder, Heading, Manifest, Target, Writer, bucket, open_target, restore_within,
};
use eport_consensus::Registry;
use eport_model::{Coded, Position, RegionCode, Timestamp, codec, codes};
use eport_registry::{HolderName, State};
use eport_retention::{Diary, Held, Made, Plan, Tested};
use eport_store::{Budget, Until};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tracing::warn;

/// A journal is taken in pieces of this size: what is in memory and in the scratch folder at once.
const PIECE_BYTES: u64 = 8 << 20;
/// Longest wait for the registry's leader; without one the registry as it is here is taken.
const REGISTRY_WAIT: Duration = Duration::from_secs(5);
/// How soon a pause notices that the node stops.
const PAUSE: Duration = Duration::from_millis(50);
/// What a backup lacks is told to every node once a second: so many lines at most.
const LACKS_MAX: usize = 16;
/// Memory of the databases of a restore test.
const TEST_MEMORY: usize = 16 << 20;

/// Everything the work needs.
pub(crate) struct Job {
    pub(crate) section: BackupSection,
    pub(crate) plan: Plan,
    pub(crate) scratch: PathBuf,
    pub(crate) registry: Registry,
    pub(crate) agent: Agent,
    pub(crate) node_key: Arc<dyn Unwrap>,
    pub(crate) stopping: Arc<AtomicBool>,
}

/// What became of an attempt.
pub(crate) struct Done {
    pub(crate) made: Made,
    pub(crate) lacks: Vec<String>,
}

/// A backup as retention sees it.
fn made(m: &Manifest) -> Made {
    Made { seq: m.seq, at: m.created, full: m.full, bytes: m.bytes() }
}

impl Job {
    /// The target, with this node's folder in it.
    pub(crate) fn target(&self) -> Result<Arc<dyn Target>, Error> {
        open_target(&self.section.target, Some(self.agent.me().as_str()), &self.section.s3())
    }

    /// The target as it is now.
    pub(crate) fn folder(&self) -> Result<Folder, Error> {
        Folder::open_at(self.target()?, Some(self.agent.lineage()))
    }

    /// What is at the target.
    pub(crate) fn look(&self) -> Result<(Vec<Made>, bool), Error> {
        let folder = self.folder()?;
        Ok((folder.manifests().map(made).collect(), folder.damaged().is_empty()))
    }

    fn stopped(&self) -> Result<(), Error> {
        if self.stopping.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Waits as long as so many bytes may take.
    fn pace(&self, bytes: u64) -> Result<(), Error> {
        let rate = self.section.rate_kib.saturating_mul(1_024);
        let seconds = if rate == 0 { 0.0 } else { bytes as f64 / rate as f64 };
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            self.stopped()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(PAUSE));
        }
    }

    fn reserve(&self) -> u64 {
        self.section.reserve_mib << 20
    }

    /// Refuses to fill a disk.
    fn room(&self, dir: &Path) -> Result<(), Error> {
        let stat =
            rustix::fs::statvfs(dir).map_err(|e| Error::File { path: dir.to_owned(), source: e.into() })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = self.reserve().saturating_add(PIECE_BYTES);
        if free < needed { Err(Error::Space { path: dir.to_owned(), free, needed }) } else { Ok(()) }
    }

    /// Makes a backup. After a failure nothing of it is left.
    pub(crate) fn backup(
        &self,
        diary: &Diary,
        full: bool,
        test: bool,
        now: Timestamp,
    ) -> Result<Done, Error> {
        let folder = self.folder()?;
        let held: Vec<Made> = folder.manifests().map(made).collect();
        let place = folder.target().place("");
        if diary.is_bereft(&place.to_string_lossy(), &held) && folder.damaged().is_empty() {
            let text = "it is empty although backups were made there: an empty mount point?";
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, text);
            return Err(Error::Target { path: place, source });
        }
        let done = self.write(&folder, full, test, now);
        if done.is_err()
            && let Ok(_lock) = folder.lock()
            && let Err(error) = folder.sweep()
        {
            warn!(%error, "what a failed backup left stays until the next");
        }
        done
    }

    fn write(&self, folder: &Folder, full: bool, test: bool, now: Timestamp) -> Result<Done, Error> {
        let view = self.registry.state();
        let recovery = view.state.holders().find(|h| matches!(h.name, HolderName::Recovery(_)));
        let recovery = recovery.map(|h| h.public).ok_or_else(|| {
            Error::Key("the federation has no recovery key; make one with eport backup key".into())
        })?;
        let federation = view.state.federation().map(|f| f.name.clone()).unwrap_or_default();
        drop(view);
        let heading = Heading {
            lineage: self.agent.lineage(),
            federation: &federation,
            recovery,
            maker: Some((self.agent.me().to_string(), self.node_key.public())),
            created: now,
            full,
        };
        let mut writer = Writer::begin(folder, &heading)?;
        let mut lacks = Vec::new();
        let platforms = self.platforms(&mut lacks);
        for handle in &platforms {
            self.platform(&mut writer, handle, test)?;
        }
        // After every journal: each epoch and data key that a record needs is in it.
        let view = Handle::current().block_on(self.registry.linearizable(REGISTRY_WAIT));
        // Cut off, a node still backs up what it serves: its own registry names the epoch and keys it serves with.
        let view = view.unwrap_or_else(|_| self.registry.state());
        let regions: Vec<RegionCode> = platforms.iter().map(PlatformHandle::region).collect();
        lacks.extend(unreadable(&view.state, &regions, &recovery));
        lacks.truncate(LACKS_MAX);
        let manifest = writer.finish(view.index, &codec::encode(&view.state.rows()))?;
        Ok(Done { made: made(&manifest), lacks })
    }

    /// The platforms to take: those that the configuration names, or all that are placed here.
    fn platforms(&self, lacks: &mut Vec<String>) -> Vec<PlatformHandle> {
        let named = &self.section.platforms;
        let mut here = self.agent.platforms();
        here.retain(|h| h.status().borrow().placement.is_some());
        for region in named.iter().filter(|r| here.iter().all(|h| h.region() != **r)) {
            lacks.push(format!("platform {region} is named in [backup] and not kept on this node"));
        }
        here.retain(|h| named.is_empty() || named.contains(&h.region()));
        here
    }

    /// Takes what is new of a journal; all of it where it no longer continues the former backup.
    fn platform(&self, writer: &mut Writer, handle: &PlatformHandle, test: bool) -> Result<(), Error> {
        let (store, region) = (handle.store(), handle.region());
        let snapshot = store.snapshot();
        let end = snapshot.applied()?;
        let state = if test { Some(snapshot.state_digest()?.digest) } else { None };
        drop(snapshot);
        let former = writer.continues(region);
        let mut from = match store.position(former.index) {
            Ok(Some(found)) if found == former => former,
            Ok(_) => Position::ZERO,
            Err(e) => return Err(e.into()),
        };
        loop {
            self.stopped()?;
            self.room(&self.scratch)?;
            if bucket(&self.section.target).is_none() {
                self.room(Path::new(&self.section.target))?;
            }
            let dir = self.scratch.join("piece");
            let _ = std::fs::remove_dir_all(&dir);
            let piece =
                store.export_piece(&dir, from.index.next(), end.index.max(from.index), PIECE_BYTES)?;
            let bytes = writer.platform(&dir)?;
            from = piece.last;
            self.pace(bytes)?;
            if from.index >= end.index || piece.records == 0 {
                break;
            }
        }
        let _ = std::fs::remove_dir_all(self.scratch.join("piece"));
        if let Some(state) = state.filter(|_| from == end) {
            writer.state(region, state);
        }
        Ok(())
    }

    /// Restores the newest backup into the scratch folder, which is emptied again. `None` when the node stops meanwhile.
    pub(crate) fn test(&self, now: impl Fn() -> Timestamp) -> Option<Tested> {
        let began = Instant::now();
        let out = self.scratch.join("restore-test");
        let _ = std::fs::remove_dir_all(&out);
        let (mut seq, mut records) = (0, 0);
        let tried = self.folder().and_then(|folder| {
            let newest = folder.find(None)?;
            seq = newest.seq;
            eport_failpoint::point!("backup.test.before", newest.name());
            let budget = Budget { cache_bytes: TEST_MEMORY, buffer_bytes: TEST_MEMORY, ..Budget::default() };
            let bounds = Bounds { budget, reserve: self.reserve(), pace: &|bytes| self.pace(bytes) };
            restore_within(&folder, newest, &[], Until::End, &*self.node_key, &out, &bounds)
        });
        let _ = std::fs::remove_dir_all(&out);
        let (fault, judged) = match tried {
            Ok(restored) => {
                records = restored.platforms.iter().map(|p| p.records).sum();
                (restored.fault().unwrap_or_default(), true)
            }
            Err(Error::Stopped) => return None,
            Err(error) => {
                // Space, the target, our own disk: these say nothing about the backup.
                let judged = match &error {
                    Error::Damaged { .. } | Error::Key(_) | Error::Point(_) => true,
                    Error::Store(e) => e.code() == codes::RECORD_DAMAGED,
                    _ => false,
                };
                (crate::with_causes(&error), judged)
            }
        };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Tested { seq, at: now(), fault, judged, records, took_ms })
    }

    /// Removes the backups that retention no longer keeps. Answers how many stay.
    pub(crate) fn thin(&self, diary: &Diary) -> Result<u64, Error> {
        let folder = self.folder()?;
        let held: Vec<Held> =
            folder.manifests().map(|m| Held { seq: m.seq, full: m.full, created: m.created }).collect();
        let gone = diary.expendable(&self.plan, &held);
        if !gone.is_empty() {
            let _lock = folder.lock()?;
            folder.remove(&gone)?;
        }
        Ok(held.len().saturating_sub(gone.len()) as u64)
    }
}

/// Data keys that the recovery key cannot open yet: with it alone the backup would be restored and not read.
fn unreadable(state: &State, regions: &[RegionCode], recovery: &[u8; 32]) -> Vec<String> {
    let lacking = |region: &RegionCode| {
        let keys = state.data_keys(*region);
        let ids: Vec<String> = keys
            .filter(|k| k.wraps.iter().all(|w| w.public != *recovery))
            .map(|k| k.id.to_string())
            .collect();
        (!ids.is_empty()).then(|| {
            format!(
                "data key {} of platform {region} is not wrapped for the recovery key yet",
                ids.join(", ")
            )
        })
    };
    regions.iter().filter_map(lacking).collect()
}

/// The code and the words of a failed attempt.
pub(crate) fn words(error: &Error) -> (eport_model::Code, String) {
    (error.code(), crate::with_causes(error))
}

//! Old journal files go to another file system: the section of the configuration, and the task that moves them.
//!
//! Always: one file at a time, at a bounded pace, and only while the archive is there; an archive that is away is told and waited for.
//! Nothing is ever removed: whose retention class has ended is a decision for people (design §5).

use eport_agent::{Agent, ArchiveSoft, PlatformHandle};
use eport_model::{JournalIndex, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// How often it is looked whether the archive is there.
const LOOK: Duration = Duration::from_secs(60);
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// `[archive]`: where old journal files go. Full files only; a platform's newest stays with the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSection {
    /// Folder on another file system; files of this node lie in DIR/NODE/REGION.
    pub dir: PathBuf,
    /// A file whose newest record is older than so many days goes. 0–36500; default 90.
    pub after_days: u32,
    /// MiB a second at most. 1–4096; default 16.
    pub rate_mib_s: u64,
    /// Seconds between two looks. 1–604800; default 3600.
    pub every_s: u64,
}

impl Default for ArchiveSection {
    fn default() -> Self {
        Self { dir: PathBuf::new(), after_days: 90, rate_mib_s: 16, every_s: 3_600 }
    }
}

impl ArchiveSection {
    /// Bounds of the values.
    pub(crate) fn check(&self) -> Result<(), String> {
        let bad = |what: &str| Err(format!("archive.{what}"));
        match self {
            s if !s.dir.is_absolute() => bad("dir: an absolute path is needed"),
            s if s.after_days > 36_500 => bad("after_days: 0 to 36500"),
            s if !(1..=4_096).contains(&s.rate_mib_s) => bad("rate_mib_s: 1 to 4096"),
            s if !(1..=604_800).contains(&s.every_s) => bad("every_s: 1 to 604800"),
            _ => Ok(()),
        }
    }
}

/// The task.
pub(crate) struct Archiver {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Archiver {
    /// Starts moving.
    pub(crate) fn start(section: &ArchiveSection, agent: Agent) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        Self { task: tokio::spawn(follow(section.clone(), agent, stop.clone())), stop }
    }

    /// Ends a move under way; the file stays where it was.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn follow(section: ArchiveSection, agent: Agent, stop: Arc<AtomicBool>) {
    let home = section.dir.join(agent.me().as_str());
    let every = Duration::from_secs(section.every_s);
    let mut due = tokio::time::Instant::now();
    loop {
        let away = look(&agent).await;
        if tokio::time::Instant::now() >= due {
            due = tokio::time::Instant::now() + every;
            // The folder is never made, and a mount point without its file system shows by what is missing in it: either way the
            // file system that is to be relieved would be filled.
            if section.dir.is_dir() && !away {
                let before = agent.clock().wall().as_millis() - i64::from(section.after_days) * DAY_MS;
                for handle in agent.platforms() {
                    let region = handle.region();
                    let job = (handle, home.join(region.to_string()), section.rate_mib_s << 20);
                    look_after(region, job, Timestamp::from_millis(before), stop.clone()).await;
                }
                look(&agent).await;
            }
        }
        tokio::time::sleep(every.min(LOOK)).await;
    }
}

/// Tells everybody what of each journal is archived; true when an archive is away.
async fn look(agent: &Agent) -> bool {
    let mut any = false;
    for handle in agent.platforms() {
        let region = handle.region();
        let found = tokio::task::spawn_blocking(move || handle.store().archived()).await;
        let Ok(found) = found else { continue };
        if found.files > 0 {
            any |= found.away.is_some();
            let away = found.away.map(|p| p.display().to_string());
            agent.note_archive(region, ArchiveSoft { files: found.files, away });
        }
    }
    any
}

type Job = (PlatformHandle, PathBuf, u64);

async fn look_after(region: RegionCode, (handle, to, rate): Job, before: Timestamp, stop: Arc<AtomicBool>) {
    let moved = tokio::task::spawn_blocking(move || {
        let mut moved = (0u64, 0u64);
        for first in handle.store().archivable(before)? {
            let bytes = one(&handle, first, &to, rate, &stop)?;
            if bytes > 0 {
                moved = (moved.0 + 1, moved.1 + bytes);
            }
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        Ok::<_, eport_store::Error>(moved)
    });
    match moved.await {
        Ok(Ok((0, _))) | Err(_) => {}
        Ok(Ok((files, bytes))) => info!(%region, files, bytes, "journal files archived"),
        Ok(Err(error)) => {
            let code = eport_model::Coded::code(&error);
            warn!(%region, %code, %error, "journal files are not archived; tried again");
        }
    }
}

fn one(
    handle: &PlatformHandle,
    first: JournalIndex,
    to: &Path,
    rate: u64,
    stop: &AtomicBool,
) -> Result<u64, eport_store::Error> {
    handle.store().archive_file(first, to, &mut |bytes| {
        std::thread::sleep(Duration::from_millis(bytes.saturating_mul(1_000) / rate.max(1)));
        !stop.load(Ordering::SeqCst)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_bounds_are_named() {
        let good = ArchiveSection { dir: "/archive".into(), ..ArchiveSection::default() };
        assert!(good.check().is_ok());
        for (bad, named) in [
            (ArchiveSection { dir: "archive".into(), ..good.clone() }, "archive.dir"),
            (ArchiveSection { rate_mib_s: 0, ..good.clone() }, "archive.rate_mib_s"),
            (ArchiveSection { every_s: 0, ..good.clone() }, "archive.every_s"),
            (ArchiveSection { after_days: 40_000, ..good }, "archive.after_days"),
        ] {
            assert!(bad.check().unwrap_err().contains(named));
        }
    }
}

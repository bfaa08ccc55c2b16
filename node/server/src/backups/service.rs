//! The task: asks the core what is to be done, has it done, remembers it and tells it.
//!
//! What always holds: one piece of work at a time; the diary is written before anything is told; what the task remembers can
//! be lost with the data directory, because the target's manifests say which backups there are.

use super::job::{Job, words};
use super::section::BackupSection;
use crate::Exit;
use eport_agent::{Agent, BackupSetSoft};
use eport_authority::Unwrap;
use eport_backup::{DirTarget, Error, Target};
use eport_consensus::Registry;
use eport_model::{Timestamp, codes};
use eport_retention::{Diary, Step};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// Longest time between two looks at what is due and late.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a stop waits for work under way; it looks for the stop after every piece.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Longest diary that is read.
const DIARY_LEN_MAX: u64 = 1 << 20;
const DIARY: &str = "diary.json";

/// The scheduled backups of one node.
pub(crate) struct Backups {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    job: Job,
    home: DirTarget,
    diary: Mutex<Diary>,
    kept: Mutex<u64>,
    wake: Notify,
    stopping: Arc<AtomicBool>,
}

impl Backups {
    /// Starts the task. Only a configuration that cannot ever work stops the node: a target that is away is an alarm.
    pub(crate) fn start(
        section: &BackupSection,
        data_dir: &Path,
        registry: Registry,
        agent: Agent,
        node_key: Arc<dyn Unwrap>,
    ) -> Result<Self, Exit> {
        let home = data_dir.join("backups");
        let scratch = section.scratch.clone().unwrap_or_else(|| home.join("scratch"));
        // A folder that is ours by its name: it is emptied, whatever else lies in the one that the configuration names.
        let scratch = scratch.join(format!("eport-backup-scratch-{}", agent.me()));
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir_all(&scratch).map_err(|e| Exit {
            code: codes::CONFIG_INVALID,
            detail: format!("backup.scratch: {}: {e}", scratch.display()),
        })?;
        let stopping = Arc::new(AtomicBool::new(false));
        let job = Job {
            section: section.clone(),
            plan: section.plan(),
            scratch,
            registry,
            agent,
            node_key,
            stopping: stopping.clone(),
        };
        let target = job.target()?;
        let home = DirTarget::new(&home);
        let mut diary = read(&home);
        diary.aim(&target.place("").to_string_lossy());
        let inner = Arc::new(Inner {
            job,
            home,
            diary: Mutex::new(diary),
            kept: Mutex::default(),
            wake: Notify::new(),
            stopping,
        });
        let task = tokio::spawn(inner.clone().follow());
        Ok(Self { inner, task })
    }

    /// Ends the task; work under way is given up and leaves nothing.
    pub(crate) async fn stop(self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
        self.inner.wake.notify_one();
        if tokio::time::timeout(STOP_WAIT, self.task).await.is_err() {
            warn!("a backup under way does not end; it is left");
        }
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.job.agent.clock().wall()
    }

    fn diary(&self) -> Diary {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the diary, durably.
    fn note(&self, change: impl FnOnce(&mut Diary)) {
        let text = {
            let mut diary = self.diary.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut diary);
            serde_json::to_vec_pretty(&*diary).expect("a diary has only plain fields")
        };
        if let Err(error) = self.home.write(DIARY, text) {
            warn!(%error, "the diary of backups cannot be written");
        }
    }

    fn tell(&self, state: &str) {
        let (diary, now, plan) = (self.diary(), self.now(), &self.job.plan);
        self.job.agent.put_backup_set(BackupSetSoft {
            target: diary.target.clone(),
            schedule: plan.schedule.to_string(),
            state: state.to_owned(),
            newest: diary.newest,
            kept: *self.kept.lock().unwrap_or_else(PoisonError::into_inner),
            due: diary.due(plan, now),
            failures: diary.failure.as_ref().map_or(0, |f| f.count),
            test: diary.test.clone(),
            passed_at: diary.passed.map(|(_, at)| at),
            troubles: diary.troubles(plan, now).into_iter().map(|t| (t.code, t.text)).collect(),
        });
    }

    async fn follow(self: Arc<Self>) {
        self.look().await;
        while !self.stopping.load(Ordering::Relaxed) {
            self.tell("waiting");
            let now = self.now();
            let view = self.job.registry.state();
            // Before the node knows its federation there is nothing to back up.
            let founded = view.state.federation().is_some() && view.state.is_member(self.job.agent.me());
            let pause = match self.diary().next(&self.job.plan, now) {
                Step::Backup { full, test } if founded => {
                    self.work(full, test).await;
                    continue;
                }
                Step::Backup { .. } => Duration::from_millis(500),
                Step::Wait(until) => {
                    let ms = until.as_millis().saturating_sub(now.as_millis());
                    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
                        .clamp(Duration::from_millis(20), LOOK_EVERY)
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes what the target shows, before the first decision: a backup that was made before a crash is not made again.
    async fn look(self: &Arc<Self>) {
        let me = self.clone();
        let found = tokio::task::spawn_blocking(move || me.job.look()).await;
        let now = self.now();
        match found {
            Ok(Ok((held, whole))) => {
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = held.len() as u64;
                let bereft = whole && self.diary().is_bereft(&self.diary().target, &held);
                self.note(|d| {
                    if bereft {
                        // Kept as it is, so that the next attempt notices it too.
                        d.since.get_or_insert(now);
                    } else {
                        d.found(&held, now);
                    }
                });
            }
            Ok(Err(error)) => {
                warn!(%error, "the target of backups cannot be read");
                self.note(|d| {
                    d.since.get_or_insert(now);
                });
            }
            Err(error) => warn!(%error, "the look at the backups did not end"),
        }
    }

    async fn work(self: &Arc<Self>, full: bool, test: bool) {
        self.tell("running");
        let me = self.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || me.perform(full, test)).await {
            // A panic in our own code: told as any other failure, and tried again with growing pauses.
            error!(%error, "a backup did not end");
            let now = self.now();
            self.note(|d| d.failed(codes::INTERNAL, "the work did not end", now));
        }
    }

    /// Backup, test, removal; each is remembered as soon as it is over.
    fn perform(&self, full: bool, test: bool) {
        match self.job.backup(&self.diary(), full, test, self.now()) {
            Ok(done) => {
                info!(backup = done.made.seq, full = done.made.full, bytes = done.made.bytes, "backup made");
                for lack in &done.lacks {
                    warn!(code = %codes::BACKUP_INCOMPLETE, %lack, "the backup is incomplete");
                }
                self.note(|d| d.made(done.made, done.lacks));
            }
            Err(Error::Stopped) => return,
            Err(failed) => {
                let (code, detail) = words(&failed);
                error!(code = %codes::BACKUP_FAILED, cause = %code, %detail, "a scheduled backup failed");
                let now = self.now();
                self.note(|d| d.failed(code, &detail, now));
                return;
            }
        }
        if test {
            self.tell("testing");
            let Some(tested) = self.job.test(|| self.now()) else { return };
            match tested.passed() {
                true => info!(
                    backup = tested.seq,
                    records = tested.records,
                    ms = tested.took_ms,
                    "restore test passed"
                ),
                false => {
                    error!(code = %codes::RESTORE_TEST_FAILED, backup = tested.seq, fault = %tested.fault, "restore test");
                }
            }
            self.note(|d| d.tested(tested));
        }
        match self.job.thin(&self.diary()) {
            Ok(kept) => *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept,
            Err(failed) => {
                let (_, detail) = words(&failed);
                warn!(%detail, "old backups stay");
                self.note(|d| d.lacks.push(format!("old backups could not be removed: {detail}")));
            }
        }
    }
}

/// The diary; a new one when there is none or it is damaged: the target says which backups there are.
fn read(home: &DirTarget) -> Diary {
    let bytes = match home.read(DIARY, DIARY_LEN_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Diary::default(),
        Err(error) => {
            warn!(%error, "the diary of backups cannot be read");
            return Diary::default();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        warn!(%error, "the diary of backups is damaged; a new one is begun");
        Diary::default()
    })
}

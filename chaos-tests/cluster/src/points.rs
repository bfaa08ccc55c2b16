//! Failpoints of a federation's processes, as a scenario arms them.
//!
//! Always holds: what was armed is disarmed with its value, so that no process waits for a scenario that is over.

use crate::{Federation, wait_for};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Told apart from earlier ones of the same place.
static ARMED: AtomicU64 = AtomicU64::new(1);

/// A place that is armed. Dropping it disarms it.
#[derive(Debug)]
pub struct Armed {
    file: PathBuf,
}

impl Armed {
    fn reached_file(&self) -> PathBuf {
        self.file.with_file_name(format!(
            "{}.reached",
            self.file.file_name().map(|n| n.to_string_lossy()).unwrap_or_default()
        ))
    }

    /// True once a process has come there.
    pub fn reached(&self) -> bool {
        self.reached_file().exists()
    }

    /// Waits until a process stands there; false when none came within the limit.
    pub fn wait(&self, limit: Duration) -> bool {
        wait_for("the place", limit, || if self.reached() { Ok(()) } else { Err("not yet".into()) }).is_ok()
    }

    /// Lets whoever stands there go on.
    pub fn release(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.release();
        let _ = std::fs::remove_file(self.reached_file());
    }
}

impl Federation {
    /// Arms a place of one process: a node's id, `eport` for operators' commands, `guard` for a drill's guard. `action` is
    /// `stop`, `delay MS` or `fail`, and what else the file may say.
    pub fn arm(&self, scope: &str, place: &str, action: &str) -> Result<Armed> {
        let dir = self.points_dir(scope)?;
        let armed = Armed { file: dir.join(place) };
        let _ = std::fs::remove_file(armed.reached_file());
        let text = format!("{action} id={}", ARMED.fetch_add(1, Ordering::Relaxed));
        // In place at once or not at all: half a line is another word.
        let beside = dir.join(format!("{place}.new"));
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &armed.file)?;
        Ok(armed)
    }

    /// Moves the wall clock of one node by so many milliseconds; zero puts it right.
    pub fn shift_clock(&self, node: &str, ms: i64) -> Result<()> {
        Ok(std::fs::write(self.points_dir(node)?.join("clock"), ms.to_string())?)
    }

    fn points_dir(&self, scope: &str) -> Result<PathBuf> {
        let dir = self.points().context("this federation was started without failpoints")?.join(scope);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

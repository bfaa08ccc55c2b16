//! File systems of a scenario's own: read-only ones and small ones to fill.
//!
//! Always holds: what was mounted is unmounted with its value; where mounting is not allowed the scenario is told so and skips.

use anyhow::{Result, ensure};
use eport_cluster::Ran;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount that ends with its value.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    fn run(args: &[&std::ffi::OsStr], at: &Path) -> Result<Option<Self>> {
        let ran = Ran::of(Command::new("mount").args(args).arg(at))?;
        Ok((ran.code == 0).then(|| Self(at.to_owned())))
    }

    /// A folder shown a second time, read-only; `None` where this process may not mount.
    pub fn bind_read_only(from: &Path, at: &Path) -> Result<Option<Self>> {
        let Some(mount) = Self::run(&["--bind".as_ref(), from.as_os_str()], at)? else { return Ok(None) };
        let ran = Ran::of(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(at))?;
        ensure!(ran.code == 0, "{ran:?}");
        Ok(Some(mount))
    }

    /// A file system in memory of a given size, to be filled; `None` where this process may not mount.
    pub fn memory(size: &str, at: &Path) -> Result<Option<Self>> {
        let options = format!("size={size}");
        Self::run(&["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "tmpfs".as_ref()], at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

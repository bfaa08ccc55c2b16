//! Files that are whole or absent: written beside their place, fsynced, renamed, and the folder fsynced.

use crate::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ending of a file that is still being written; left over only by a crash and safe to remove.
pub(crate) const PARTIAL: &str = "partial";

/// A file under construction. Dropped without `publish`, it is removed.
pub(crate) struct Draft {
    target: PathBuf,
    partial: PathBuf,
    file: Option<std::io::BufWriter<File>>,
}

impl Draft {
    /// Starts a file that will appear at `target`.
    pub(crate) fn create(target: &Path) -> Result<Self, Error> {
        // Two writers of one target must not share a partial file; the last to publish wins with whole content.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".{}.{PARTIAL}", SERIAL.fetch_add(1, Ordering::Relaxed)));
        let partial = PathBuf::from(name);
        let file = File::create(&partial).map_err(|e| Error::io("create file", &partial, e))?;
        Ok(Self {
            target: target.to_owned(),
            partial,
            file: Some(std::io::BufWriter::with_capacity(1 << 18, file)),
        })
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let file = self.file.as_mut().expect("a draft has its file until it is published");
        file.write_all(bytes).map_err(|e| Error::io("write file", &self.partial, e))
    }

    /// Makes what was written durable, so that `publish` has little left to do.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let file = self.file.as_mut().expect("a draft has its file until it is published");
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|e| Error::io("fsync file", &self.partial, e))
    }

    /// Makes the file durable and visible under its name.
    pub(crate) fn publish(mut self) -> Result<(), Error> {
        let writer = self.file.take().expect("a draft is published once");
        let file = writer.into_inner().map_err(|e| Error::io("write file", &self.partial, e.into_error()))?;
        file.sync_all().map_err(|e| Error::io("fsync file", &self.partial, e))?;
        fs::rename(&self.partial, &self.target).map_err(|e| Error::io("rename file", &self.target, e))?;
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: a left-over partial file is passed over by every reader.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Writes a whole file durably.
pub(crate) fn write_file(target: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut draft = Draft::create(target)?;
    draft.write(bytes)?;
    draft.publish()
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|f| f.sync_all()).map_err(|e| Error::io("fsync folder", dir, e))
}

/// Creates a folder and its parents, durably.
pub(crate) fn create_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(|e| Error::io("create folder", dir, e))?;
    dir.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

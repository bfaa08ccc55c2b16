//! The node's data directory: whose it is, who holds it now, and whether it can be written.
//!
//! Grammar: `LOCK` (held exclusively while a process runs, never deleted), `NODE.json` (format, node, lineage),
//! `platform/REGION/` (one database each), `registry/`, `objects/`, `tails/`.
//! Always holds: while a [`DataDir`] lives, no other process of this software writes below its folder.

use crate::{Error, durable};
use eport_model::{Lineage, NodeId, RegionCode};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Newest format of a data directory known here.
const FORMAT: u32 = 1;
/// Longest NODE.json that is read; a real one has about 150 bytes.
const NODE_FILE_LEN_MAX: u64 = 64 << 10;

/// What `NODE.json` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeFile {
    /// Format of the directory.
    pub format: u32,
    /// The node it belongs to.
    pub node: NodeId,
    /// The federation's lineage.
    pub lineage: Lineage,
}

impl NodeFile {
    /// Reads the identity of a directory without locking it; `None` when it has none yet.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join("NODE.json");
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read identity", &path, e)),
        };
        if meta.len() > NODE_FILE_LEN_MAX {
            return Err(Error::damaged(&path, None, "it is too long for an identity"));
        }
        let text = fs::read(&path).map_err(|e| Error::io("read identity", &path, e))?;
        // A newer format may have other fields: look at the format alone first.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |e: serde_json::Error| Error::damaged(&path, None, e.to_string());
        let found = serde_json::from_slice::<Format>(&text).map_err(damaged)?.format;
        if found > FORMAT {
            return Err(Error::NewerFormat { path, found, known: FORMAT });
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }
}

/// The node's data directory, held exclusively until dropped.
#[derive(Debug)]
pub struct DataDir {
    dir: PathBuf,
    // Closing the file releases the lock.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for `node` of `lineage`, creating it if needed. Refuses a directory in use, of another node or
    /// federation, of a newer format, that cannot be written, or with less than `free_bytes_min` free.
    pub fn open(dir: &Path, node: NodeId, lineage: Lineage, free_bytes_min: u64) -> Result<Self, Error> {
        durable::create_dir(dir)?;
        // The identity is read before anything is written, so that a foreign directory stays as it was.
        let found = NodeFile::read(dir)?;
        let lock = lock(&dir.join("LOCK"))?;
        probe(dir)?;
        let opened = Self { dir: dir.to_owned(), _lock: lock };
        opened.claim(found, NodeFile { format: FORMAT, node, lineage })?;
        let free = opened.free_bytes()?;
        if free < free_bytes_min {
            return Err(Error::LowSpace { path: dir.to_owned(), free, needed: free_bytes_min });
        }
        Ok(opened)
    }

    fn claim(&self, found: Option<NodeFile>, mine: NodeFile) -> Result<(), Error> {
        let path = self.dir.join("NODE.json");
        match found {
            Some(f) if f.node == mine.node && f.lineage == mine.lineage => Ok(()),
            Some(f) => Err(Error::OtherOwner {
                path,
                found: format!("node {} of federation {}", f.node, f.lineage),
                expected: format!("node {} of federation {}", mine.node, mine.lineage),
            }),
            None => {
                let text = serde_json::to_vec_pretty(&mine).expect("an identity has only plain fields");
                durable::write_file(&path, &text)
            }
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Folder of a platform's database.
    pub fn platform(&self, region: RegionCode) -> PathBuf {
        self.dir.join("platform").join(region.to_string())
    }

    /// Folder of the registry's database.
    pub fn registry(&self) -> PathBuf {
        self.dir.join("registry")
    }

    /// Folder of the object store.
    pub fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// Folder of exported tails.
    pub fn tails(&self) -> PathBuf {
        self.dir.join("tails")
    }

    /// Bytes free for this process on the file system of the directory.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|e| Error::io("measure free space", &self.dir, e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    let file = file.map_err(|e| not_writable(path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.parent().unwrap_or(path).to_owned() }),
        Err(TryLockError::Error(e)) => Err(Error::io("lock data directory", path, e)),
    }
}

/// Proves that a file can be created, written and made durable.
fn probe(dir: &Path) -> Result<(), Error> {
    let path = dir.join("PROBE");
    durable::write_file(&path, b"written to learn whether this folder can be written\n")?;
    fs::remove_file(&path).map_err(|e| not_writable(&path, e))
}

fn not_writable(path: &Path, e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Error::ReadOnly { path: path.to_owned(), source: Arc::new(e) }
        }
        _ => Error::io("write probe", path, e),
    }
}

//! The node's data directory: whose it is, who holds it now, and whether it can be written.
//!
//! Grammar: `LOCK` (held exclusively while a process runs, never deleted), `NODE.json` (format, node, lineage, ancestors),
//! `platform/REGION/` (one database each), `registry/` (`registry-LINEAGE/` after a recovery), `objects/`, `tails/`,
//! `checkpoints/REGION/` (made for backups), `backups/` (what the node remembers of its scheduled ones, and scratch space).
//! Always holds: while a [`DataDir`] lives, no other process of this software writes below its folder.

use crate::{Error, durable};
use eport_model::{Lineage, NodeId, RegionCode};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Newest format of a data directory known here.
const FORMAT: u32 = eport_model::formats::DATA_DIR;
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
    /// The lineages it descends from, the parent first: each ended when its quorum was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Lineage>,
    /// Ids under which earlier lives of this directory took part, the last first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<NodeId>,
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
    identity: NodeFile,
    // Closing the file releases the lock.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for `node` of `lineage`, creating it if needed. Refuses a directory in use, of another node or
    /// federation, of a newer format, that cannot be written, or with less than `free_bytes_min` free. A directory whose
    /// lineage descends from the one named is taken: the configuration names the lineage that the node was set up with, the
    /// directory the one it has come to.
    pub fn open(dir: &Path, node: NodeId, lineage: Lineage, free_bytes_min: u64) -> Result<Self, Error> {
        durable::create_dir(dir)?;
        // The identity is read before anything is written, so that a foreign directory stays as it was.
        let found = NodeFile::read(dir)?;
        let lock = lock(&dir.join("LOCK"))?;
        probe(dir)?;
        let mine = NodeFile { format: FORMAT, node, lineage, ancestors: Vec::new(), former: Vec::new() };
        let mut opened = Self { dir: dir.to_owned(), identity: mine, _lock: lock };
        opened.claim(found)?;
        let free = opened.free_bytes()?;
        if free < free_bytes_min {
            return Err(Error::LowSpace { path: dir.to_owned(), free, needed: free_bytes_min });
        }
        Ok(opened)
    }

    fn claim(&mut self, found: Option<NodeFile>) -> Result<(), Error> {
        let mine = &self.identity;
        match found {
            Some(f)
                if f.node == mine.node
                    && (f.lineage == mine.lineage || f.ancestors.contains(&mine.lineage)) =>
            {
                self.identity = f;
                Ok(())
            }
            Some(f) => Err(Error::OtherOwner {
                path: self.dir.join("NODE.json"),
                found: format!("node {} of federation {}", f.node, f.lineage),
                expected: format!("node {} of federation {}", mine.node, mine.lineage),
            }),
            None => self.write_identity(),
        }
    }

    fn write_identity(&self) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(&self.identity).expect("an identity has only plain fields");
        durable::write_file(&self.dir.join("NODE.json"), &text)
    }

    /// Whose the directory is.
    pub fn identity(&self) -> &NodeFile {
        &self.identity
    }

    /// Takes the directory into a lineage that descends from its own, under the same or a new node id. One durable write: before
    /// it the directory belongs to the old lineage, after it to the new one. The new lineage has a registry folder of its
    /// own; the old one's stays as it was.
    pub fn descend(&mut self, lineage: Lineage, ancestors: &[Lineage], node: NodeId) -> Result<(), Error> {
        let old = &self.identity;
        if lineage == old.lineage && node == old.node {
            return Ok(());
        }
        let mut next = NodeFile { lineage, ancestors: ancestors.to_vec(), ..old.clone() };
        if node != old.node {
            next.former.insert(0, old.node);
            next.node = node;
        }
        self.identity = next;
        self.write_identity()
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Folder of a platform's database.
    pub fn platform(&self, region: RegionCode) -> PathBuf {
        self.dir.join("platform").join(region.to_string())
    }

    /// Folder of the registry's database: one a lineage and node id, because a registry never goes on under another of either.
    pub fn registry(&self) -> PathBuf {
        let NodeFile { lineage, ancestors, former, .. } = &self.identity;
        if ancestors.is_empty() && former.is_empty() {
            self.dir.join("registry")
        } else {
            self.registry_of(*lineage)
        }
    }

    /// Folder of the registry's database in a lineage that this directory may not belong to yet, under the same node id.
    pub fn registry_of(&self, lineage: Lineage) -> PathBuf {
        let NodeFile { former, node, .. } = &self.identity;
        let id = if former.is_empty() { String::new() } else { format!("-{node}") };
        self.dir.join(format!("registry-{lineage}{id}"))
    }

    /// Removes registries of lineages that were never founded here: a recovery that was cut short wrote one, and the identity
    /// never named it. The own lineage's and its ancestors' stay, under whatever node id.
    pub fn clear_unfounded(&self) -> Result<(), Error> {
        let known =
            |lineage: Lineage| lineage == self.identity.lineage || self.identity.ancestors.contains(&lineage);
        for entry in fs::read_dir(&self.dir).map_err(|e| Error::io("list", &self.dir, e))? {
            let entry = entry.map_err(|e| Error::io("list", &self.dir, e))?;
            let name = entry.file_name();
            let named = name.to_str().and_then(|n| n.strip_prefix("registry-"));
            let lineage = named.and_then(|n| n.split('-').next()).and_then(|l| l.parse().ok());
            // Other names are not ours to judge.
            if lineage.is_some_and(|l| !known(l)) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        Ok(())
    }

    /// Folders of platforms that are here, whoever serves them.
    pub fn kept_platforms(&self) -> Result<Vec<RegionCode>, Error> {
        let dir = self.dir.join("platform");
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("list platforms", &dir, e)),
        };
        let mut regions = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io("list platforms", &dir, e))?.file_name();
            // Other names are not ours to judge.
            regions.extend(name.to_str().and_then(|n| n.parse::<RegionCode>().ok()));
        }
        regions.sort();
        Ok(regions)
    }

    /// Folder of the object store.
    pub fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// Folder of checkpoints made for backups of a platform.
    pub fn checkpoints(&self, region: RegionCode) -> PathBuf {
        self.dir.join("checkpoints").join(region.to_string())
    }

    /// Folder of exported tails.
    pub fn tails(&self) -> PathBuf {
        self.dir.join("tails")
    }

    /// Bytes free for this process on the file system of the directory.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.space()?.0)
    }

    /// Bytes free for this process on the file system of the directory, and those of the whole file system.
    pub fn space(&self) -> Result<(u64, u64), Error> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|e| Error::io("measure free space", &self.dir, e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok((bytes(stat.f_bavail), bytes(stat.f_blocks)))
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

//! A folder of backups: which there are, whether they are whole, which may go.

use crate::manifest::name_of;
use crate::{Error, FORMAT, FileEntry, Manifest, key_context};
use eport_authority::Unwrap;
use eport_envelope::{DataKey, open_file};
use eport_model::{Digest, Lineage};
use std::fs;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.json";
/// Longest manifest that is read: some hundred thousand segments.
const MANIFEST_LEN_MAX: u64 = 64 << 20;
/// Longest file of a backup that is read at once: a segment of 32 MiB and one record behind it.
const FILE_LEN_MAX: u64 = 256 << 20;

/// Something wrong with a backup.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Problem {
    /// The backup.
    pub backup: String,
    /// The file.
    pub file: String,
    /// What is wrong.
    pub detail: String,
}

/// A folder of backups.
pub struct Folder {
    dir: PathBuf,
    manifests: Vec<(Manifest, Digest)>,
}

impl Folder {
    /// Opens a folder; an empty or missing one holds no backup yet. `lineage` names the federation it must belong to.
    pub fn open(dir: &Path, lineage: Option<Lineage>) -> Result<Self, Error> {
        let mut manifests = Vec::new();
        for seq in numbers(dir)? {
            let path = dir.join(name_of(seq)).join(MANIFEST);
            if !path.exists() {
                // A backup that was interrupted before its manifest never was.
                continue;
            }
            let (manifest, digest) = read_manifest(&path)?;
            if manifest.seq != seq {
                return Err(Error::damaged(&path, format!("it is the manifest of backup {}", manifest.seq)));
            }
            if let Some(expected) = lineage.filter(|l| *l != manifest.lineage) {
                return Err(Error::Another { path: dir.to_owned(), found: manifest.lineage, expected });
            }
            manifests.push((manifest, digest));
        }
        Ok(Self { dir: dir.to_owned(), manifests })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every backup, oldest first.
    pub fn manifests(&self) -> impl DoubleEndedIterator<Item = &Manifest> {
        self.manifests.iter().map(|(m, _)| m)
    }

    /// The newest one with the digest of its manifest.
    pub(crate) fn newest(&self) -> Option<(&Manifest, Digest)> {
        self.manifests.last().map(|(m, d)| (m, *d))
    }

    /// The number of the next backup: higher than any folder there, finished or not.
    pub(crate) fn next_seq(&self) -> Result<u64, Error> {
        Ok(numbers(&self.dir)?.last().map_or(1, |n| n + 1))
    }

    /// A backup by its name; the newest without one.
    pub fn find(&self, name: Option<&str>) -> Result<&Manifest, Error> {
        let found = match name {
            Some(name) => self.manifests().find(|m| m.name() == name),
            None => self.manifests().next_back(),
        };
        found.ok_or_else(|| {
            let what = name.map_or_else(|| "any backup".to_owned(), |n| format!("backup {n}"));
            Error::NotFound(format!("{} does not hold {what}", self.dir.display()))
        })
    }

    /// The backups that restoring this one needs: from its full one to itself.
    pub fn chain(&self, of: &Manifest) -> Vec<&Manifest> {
        let until: Vec<&Manifest> = self.manifests().filter(|m| m.seq <= of.seq).collect();
        let from = until.iter().rposition(|m| m.full).unwrap_or(0);
        until[from..].to_vec()
    }

    /// Checks every file against its digest and every manifest against the one before it. No key is needed.
    pub fn verify(&self) -> Result<Vec<Problem>, Error> {
        let mut problems = Vec::new();
        let mut before: Option<(u64, Digest)> = None;
        for (manifest, digest) in &self.manifests {
            let mut problem = |file: &str, detail: String| {
                problems.push(Problem { backup: manifest.name(), file: file.to_owned(), detail });
            };
            match (before, manifest.previous) {
                (Some((_, known)), Some(named)) if known == named => {}
                // Older ones were pruned: the first that is left must need none of them.
                (None, _) if manifest.full => {}
                _ => problem(MANIFEST, "it does not follow the backup before it".into()),
            }
            before = Some((manifest.seq, *digest));
            for entry in manifest.files() {
                match self.read(manifest, entry) {
                    Ok(_) => {}
                    Err(Error::Damaged { detail, .. }) => problem(&entry.file, detail),
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(problems)
    }

    /// The backup's key, opened with the recovery key.
    pub fn key(&self, manifest: &Manifest, recovery: &dyn Unwrap) -> Result<DataKey, Error> {
        let fail = |detail: &str| Error::Key(format!("backup {}: {detail}", manifest.name()));
        if manifest.recovery != hex::encode(recovery.public()) {
            return Err(fail("it was encrypted for another recovery key"));
        }
        let wrapped = hex::decode(&manifest.wrapped).map_err(|_| fail("its wrapped key is damaged"))?;
        let context = key_context(manifest.lineage, manifest.seq);
        let key = recovery
            .unwrap_key(&wrapped, context.as_bytes())
            .map(DataKey::from_bytes)
            .map_err(|_| fail("its wrapped key does not open"))?;
        if !manifest.is_proven(&key) {
            let path = self.dir.join(manifest.name()).join(MANIFEST);
            return Err(Error::damaged(&path, "it was not written by whoever made the backup"));
        }
        Ok(key)
    }

    /// The decrypted content of a file.
    pub(crate) fn content(
        &self,
        manifest: &Manifest,
        entry: &FileEntry,
        key: &DataKey,
    ) -> Result<Vec<u8>, Error> {
        let sealed = self.read(manifest, entry)?;
        let path = self.dir.join(manifest.name()).join(&entry.file);
        open_file(key, &entry.file, sealed).map_err(|e| Error::damaged(&path, e.to_string()))
    }

    fn read(&self, manifest: &Manifest, entry: &FileEntry) -> Result<Vec<u8>, Error> {
        let path = self.dir.join(manifest.name()).join(&entry.file);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        if !entry.file.ends_with(".epb") || !entry.file.bytes().all(plain) {
            return Err(Error::damaged(&path, "the manifest names a file outside the backup"));
        }
        let len = fs::metadata(&path).map_err(Error::file(&path))?.len();
        if len != entry.bytes || len > FILE_LEN_MAX {
            return Err(Error::damaged(
                &path,
                format!("it has {len} bytes, the manifest says {}", entry.bytes),
            ));
        }
        let bytes = fs::read(&path).map_err(Error::file(&path))?;
        if Digest::of(&bytes) != entry.sha256 {
            return Err(Error::damaged(&path, "it does not have the digest in the manifest"));
        }
        Ok(bytes)
    }

    /// Removes the oldest backups, so that at least `keep` full ones stay with all that follow them. Answers the names removed.
    pub fn prune(&self, keep: usize, dry_run: bool) -> Result<Vec<String>, Error> {
        let fulls: Vec<u64> = self.manifests().filter(|m| m.full).map(|m| m.seq).collect();
        let Some(first_kept) = fulls.len().checked_sub(keep.max(1)).map(|n| fulls[n]) else {
            return Ok(Vec::new());
        };
        let mut removed = Vec::new();
        for manifest in self.manifests().filter(|m| m.seq < first_kept) {
            removed.push(manifest.name());
            if dry_run {
                continue;
            }
            let dir = self.dir.join(manifest.name());
            // The manifest goes first: what is left of an interrupted removal is no backup.
            let path = dir.join(MANIFEST);
            fs::remove_file(&path).map_err(Error::file(&path))?;
            fs::remove_dir_all(&dir).map_err(Error::file(&dir))?;
        }
        Ok(removed)
    }
}

/// Numbers of the folders there, rising.
fn numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::File { path: dir.to_owned(), source }),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::file(dir))?.file_name();
        let number = name.to_str().and_then(|n| n.parse::<u64>().ok().filter(|seq| name_of(*seq) == n));
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_manifest(path: &Path) -> Result<(Manifest, Digest), Error> {
    let len = fs::metadata(path).map_err(Error::file(path))?.len();
    if len > MANIFEST_LEN_MAX {
        return Err(Error::damaged(path, format!("{len} bytes are too long for a manifest")));
    }
    let bytes = fs::read(path).map_err(Error::file(path))?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|e| Error::damaged(path, format!("it is no manifest: {e}")))?;
    if manifest.format > FORMAT {
        return Err(Error::damaged(path, format!("format {} is not known here", manifest.format)));
    }
    if !manifest.is_whole() {
        return Err(Error::damaged(path, "it does not have the digest it names"));
    }
    Ok((manifest, Digest::of(&bytes)))
}

/// Writes the manifest: with it the backup exists.
pub(crate) fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), Error> {
    let path = dir.join(MANIFEST);
    let text = serde_json::to_vec_pretty(manifest).expect("a manifest has only plain fields");
    write_durable(&path, &text)?;
    sync_dir(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Writes a file so that it is whole or absent after a crash.
pub(crate) fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|f| f.sync_all()).map_err(Error::file(dir))
}

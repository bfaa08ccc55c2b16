//! A folder of backups: which there are, whether they are whole, which may go.
//!
//! Always holds: what has a manifest is a whole backup and what has none is no backup, whenever the work was interrupted; whatever
//! goes, the chain of manifests stays proven; one damaged backup hides no other.

use crate::manifest::name_of;
use crate::target::{DirTarget, Target};
use crate::{Error, FORMAT, FileEntry, Manifest, key_context};
use eport_authority::Unwrap;
use eport_envelope::{DataKey, open_file};
use eport_model::{Digest, Lineage};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// With this file a backup exists.
pub(crate) const MANIFEST: &str = "manifest.json";
/// What is left of a backup that retention removed: its manifest, so that the chain of manifests stays proven.
pub(crate) const PRUNED: &str = "pruned.json";
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

/// What stands under a number.
struct Entry {
    manifest: Manifest,
    digest: Digest,
    /// Retention removed its files.
    pruned: bool,
}

/// A folder of backups, as it was when it was opened.
pub struct Folder {
    target: Arc<dyn Target>,
    entries: BTreeMap<u64, Entry>,
    /// Numbers with a manifest that cannot be read.
    damaged: Vec<Problem>,
    /// The highest number there, whole or not.
    highest: u64,
}

impl Folder {
    /// Opens a folder on this machine; an empty or missing one holds no backup yet. `lineage` names the federation it must
    /// belong to.
    pub fn open(dir: &Path, lineage: Option<Lineage>) -> Result<Self, Error> {
        Self::open_at(Arc::new(DirTarget::new(dir)), lineage)
    }

    /// The same at any target. A manifest that cannot be read makes no other backup unreadable: it is a problem of `verify`.
    pub fn open_at(target: Arc<dyn Target>, lineage: Option<Lineage>) -> Result<Self, Error> {
        let numbers = numbers(&*target)?;
        let highest = numbers.last().copied().unwrap_or(0);
        let mut folder = Self { target, entries: BTreeMap::new(), damaged: Vec::new(), highest };
        for seq in numbers {
            let read = match folder.manifest(seq, MANIFEST) {
                Ok(Some((manifest, digest))) => Ok(Some(Entry { manifest, digest, pruned: false })),
                // A backup that was interrupted before its manifest never was.
                Ok(None) => folder
                    .manifest(seq, PRUNED)
                    .map(|found| found.map(|(manifest, digest)| Entry { manifest, digest, pruned: true })),
                Err(e) => Err(e),
            };
            match read {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    if let Some(expected) = lineage.filter(|l| *l != entry.manifest.lineage) {
                        let path = folder.target.place("");
                        return Err(Error::Another { path, found: entry.manifest.lineage, expected });
                    }
                    folder.entries.insert(seq, entry);
                }
                Err(Error::Damaged { detail, .. }) => {
                    folder.damaged.push(Problem { backup: name_of(seq), file: MANIFEST.into(), detail });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn target(&self) -> &Arc<dyn Target> {
        &self.target
    }

    /// Every backup, oldest first.
    pub fn manifests(&self) -> impl DoubleEndedIterator<Item = &Manifest> {
        self.entries.values().filter(|e| !e.pruned).map(|e| &e.manifest)
    }

    /// Manifests that cannot be read.
    pub fn damaged(&self) -> &[Problem] {
        &self.damaged
    }

    /// What the next backup follows: the digest of the newest manifest, and that manifest if its content may be followed.
    pub(crate) fn former(&self) -> (Option<Digest>, Option<&Manifest>) {
        let newest = self.entries.last_key_value();
        let broken = self.damaged.last().map(|p| &p.backup);
        let follow = newest
            .filter(|(seq, e)| !e.pruned && broken.is_none_or(|b| *b < name_of(**seq)))
            .map(|(_, e)| &e.manifest);
        (newest.map(|(_, e)| e.digest), follow)
    }

    /// The number of the next backup: higher than any there, finished or not.
    pub(crate) fn next_seq(&self) -> u64 {
        self.highest.saturating_add(1)
    }

    /// A backup by its name; the newest without one.
    pub fn find(&self, name: Option<&str>) -> Result<&Manifest, Error> {
        let found = match name {
            Some(name) => self.manifests().find(|m| m.name() == name),
            None => self.manifests().next_back(),
        };
        found.ok_or_else(|| {
            let what = name.map_or_else(|| "any backup".to_owned(), |n| format!("backup {n}"));
            Error::NotFound(format!("{} does not hold {what}", self.target.place("").display()))
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
        let mut problems = self.damaged.clone();
        let mut before: Option<Digest> = None;
        for Entry { manifest, digest, pruned } in self.entries.values() {
            let mut problem = |file: &str, detail: String| {
                problems.push(Problem { backup: manifest.name(), file: file.to_owned(), detail });
            };
            match (before, manifest.previous) {
                (Some(known), Some(named)) if known == named => {}
                // Older ones were removed: the first that is left must need none of them.
                (None, _) if manifest.full || *pruned => {}
                _ => problem(MANIFEST, "it does not follow the backup before it".into()),
            }
            before = Some(*digest);
            for entry in manifest.files().filter(|_| !pruned) {
                match self.read(manifest, entry) {
                    Ok(_) => {}
                    Err(Error::Damaged { detail, .. }) => problem(&entry.file, detail),
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(problems)
    }

    /// The backup's key, opened with the recovery key or that of the node which made the backup.
    pub fn key(&self, manifest: &Manifest, holder: &dyn Unwrap) -> Result<DataKey, Error> {
        let fail = |detail: &str| Error::Key(format!("backup {}: {detail}", manifest.name()));
        let mine = hex::encode(holder.public());
        let maker = manifest.maker.as_ref().filter(|m| m.public == mine).map(|m| &m.wrapped);
        let wrapped = match maker {
            Some(wrapped) => wrapped,
            None if manifest.recovery == mine => &manifest.wrapped,
            None => return Err(fail("it was encrypted for another recovery key")),
        };
        let wrapped = hex::decode(wrapped).map_err(|_| fail("its wrapped key is damaged"))?;
        let context = key_context(manifest.lineage, manifest.seq);
        let key = holder
            .unwrap_key(&wrapped, context.as_bytes())
            .map(DataKey::from_bytes)
            .map_err(|_| fail("its wrapped key does not open"))?;
        if !manifest.is_proven(&key) {
            let path = self.target.place(&format!("{}/{MANIFEST}", manifest.name()));
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
        let path = self.target.place(&format!("{}/{}", manifest.name(), entry.file));
        open_file(key, &entry.file, sealed).map_err(|e| Error::damaged(&path, e.to_string()))
    }

    fn read(&self, manifest: &Manifest, entry: &FileEntry) -> Result<Vec<u8>, Error> {
        let name = format!("{}/{}", manifest.name(), entry.file);
        let path = self.target.place(&name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        if !entry.file.ends_with(".epb") || !entry.file.bytes().all(plain) {
            return Err(Error::damaged(&path, "the manifest names a file outside the backup"));
        }
        let len = self.target.size(&name).map_err(Error::file(&path))?;
        if len != entry.bytes || len > FILE_LEN_MAX {
            return Err(Error::damaged(
                &path,
                format!("it has {len} bytes, the manifest says {}", entry.bytes),
            ));
        }
        let bytes = self.target.read(&name, len).map_err(Error::file(&path))?;
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
        let gone: Vec<u64> = self.manifests().map(|m| m.seq).filter(|seq| *seq < first_kept).collect();
        if !dry_run {
            let _lock = self.lock()?;
            self.remove(&gone)?;
        }
        Ok(gone.into_iter().map(name_of).collect())
    }

    /// Removes these backups. Their manifests stay as long as an older backup does, so that what follows is still proven to
    /// follow. A removal that was interrupted leaves each of them whole or gone; `sweep` ends it.
    pub fn remove(&self, gone: &[u64]) -> Result<(), Error> {
        let first_whole = self.manifests().map(|m| m.seq).find(|seq| !gone.contains(seq));
        let Some(first_whole) = first_whole else {
            // Everything would go: whoever asks for that is wrong.
            return Ok(());
        };
        // The newest first: an interruption leaves what is older and needs nothing of it.
        for (seq, _) in self.entries.iter().rev().filter(|(seq, e)| gone.contains(seq) && !e.pruned) {
            let folder = name_of(*seq);
            let (manifest, pruned) = (format!("{folder}/{MANIFEST}"), format!("{folder}/{PRUNED}"));
            let path = self.target.place(&manifest);
            let text = self.target.read(&manifest, MANIFEST_LEN_MAX).map_err(Error::file(&path))?;
            self.target.write(&pruned, text).map_err(Error::file(&path))?;
            eport_failpoint::point!("backup.remove.before", folder);
            // With this the backup is gone: what is left of it is no backup.
            self.target.remove(&manifest).map_err(Error::file(&path))?;
            eport_failpoint::point!("backup.remove.after", folder);
            self.clean(*seq)?;
        }
        for (seq, _) in self.entries.range(..first_whole) {
            let folder = name_of(*seq);
            self.target.remove_folder(&folder).map_err(Error::file(&self.target.place(&folder)))?;
        }
        Ok(())
    }

    /// Removes what interrupted backups and removals left. Only for whoever holds the lock.
    pub fn sweep(&self) -> Result<(), Error> {
        for seq in numbers(&*self.target)? {
            let folder = name_of(seq);
            let at = self.target.place(&folder);
            let files = self.target.files(&folder).map_err(Error::file(&at))?;
            let has = |name: &str| files.iter().any(|f| f == name);
            match (has(MANIFEST), has(PRUNED)) {
                (true, true) => {
                    let pruned = format!("{folder}/{PRUNED}");
                    self.target.remove(&pruned).map_err(Error::file(&at))?;
                }
                (true, false) => {}
                (false, true) => self.clean(seq)?,
                (false, false) => self.target.remove_folder(&folder).map_err(Error::file(&at))?,
            }
        }
        Ok(())
    }

    /// Removes the files of a backup that is no more.
    fn clean(&self, seq: u64) -> Result<(), Error> {
        let folder = name_of(seq);
        let at = self.target.place(&folder);
        for file in self.target.files(&folder).map_err(Error::file(&at))? {
            if file != PRUNED {
                self.target.remove(&format!("{folder}/{file}")).map_err(Error::file(&at))?;
            }
        }
        Ok(())
    }

    /// Held while backups are written or removed.
    pub fn lock(&self) -> Result<Box<dyn std::any::Any + Send>, Error> {
        let path = self.target.place("");
        self.target.lock().map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => Error::Busy(path),
            _ => Error::Target { path, source },
        })
    }

    fn manifest(&self, seq: u64, file: &str) -> Result<Option<(Manifest, Digest)>, Error> {
        let name = format!("{}/{file}", name_of(seq));
        let path = self.target.place(&name);
        let bytes = match self.target.read(&name, MANIFEST_LEN_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Error::damaged(&path, "it is too long for a manifest"));
            }
            Err(source) => return Err(Error::Target { path, source }),
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|e| Error::damaged(&path, format!("it is no manifest: {e}")))?;
        if manifest.format > FORMAT {
            return Err(Error::damaged(&path, format!("format {} is not known here", manifest.format)));
        }
        if !manifest.is_whole() {
            return Err(Error::damaged(&path, "it does not have the digest it names"));
        }
        if manifest.seq != seq {
            return Err(Error::damaged(&path, format!("it is the manifest of backup {}", manifest.seq)));
        }
        Ok(Some((manifest, Digest::of(&bytes))))
    }
}

/// Numbers of the folders there, rising.
fn numbers(target: &dyn Target) -> Result<Vec<u64>, Error> {
    let path = target.place("");
    let names = target.folders().map_err(|source| Error::Target { path, source })?;
    let number = |n: &String| n.parse::<u64>().ok().filter(|seq| name_of(*seq) == **n);
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

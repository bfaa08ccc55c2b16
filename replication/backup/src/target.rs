//! Where backups lie: a folder, or a store that speaks S3. Names are `BACKUP/FILE` of plain characters.
//!
//! What always holds of a target: a file that was written is whole and durable or absent; nothing here knows what a backup is.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the file that is locked while a backup is written into a folder.
const LOCK: &str = ".lock";

/// A place for backups.
pub trait Target: Send + Sync + Debug {
    /// How people name a file in it, or the whole of it for the empty name. Never a credential.
    fn place(&self, name: &str) -> PathBuf;

    /// Names of the folders directly in it; a place that does not exist yet has none.
    fn folders(&self) -> io::Result<Vec<String>>;

    /// Names of the files in one of its folders.
    fn files(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Length of a file.
    fn size(&self, name: &str) -> io::Result<u64>;

    /// A whole file of at most `len_max` bytes.
    fn read(&self, name: &str, len_max: u64) -> io::Result<Vec<u8>>;

    /// Writes a file: whole and durable when this returns, whole or absent after a crash.
    fn write(&self, name: &str, bytes: Vec<u8>) -> io::Result<()>;

    /// Removes a file; one that is not there is removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes a folder with its files.
    fn remove_folder(&self, folder: &str) -> io::Result<()>;

    /// Held by whoever writes or removes backups. `WouldBlock` while somebody else does, as far as the target can tell.
    fn lock(&self) -> io::Result<Box<dyn Any + Send>>;
}

/// A folder on a file system.
#[derive(Debug, Clone)]
pub struct DirTarget(PathBuf);

impl DirTarget {
    /// A folder, made by the first write.
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }
}

impl Target for DirTarget {
    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        names(&self.0, |e| e.file_type().is_ok_and(|t| t.is_dir()))
    }

    fn files(&self, folder: &str) -> io::Result<Vec<String>> {
        names(&self.0.join(folder), |e| e.file_type().is_ok_and(|t| t.is_file()))
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        fs::metadata(self.0.join(name)).map(|m| m.len())
    }

    fn read(&self, name: &str, len_max: u64) -> io::Result<Vec<u8>> {
        use io::Read;
        let file = File::open(self.0.join(name))?;
        let mut bytes = Vec::new();
        file.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
        within(bytes, len_max)
    }

    fn write(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        let path = self.0.join(name);
        let dir = path.parent().unwrap_or(Path::new("."));
        if !dir.is_dir() {
            fs::create_dir_all(dir)?;
            dir.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_dir)?;
        }
        let draft = path.with_extension("new");
        let written = (|| {
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        })();
        if let Err(error) = written {
            // Half a file on a full disk helps nobody.
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        sync_dir(dir)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => path.parent().filter(|d| d.is_dir()).map_or(Ok(()), sync_dir),
        }
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.0.join(folder)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send>> {
        fs::create_dir_all(&self.0)?;
        let file =
            File::options().create(true).truncate(false).read(true).write(true).open(self.0.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

/// Refuses what is longer than allowed; one byte more than allowed was read to learn that.
pub(crate) fn within(bytes: Vec<u8>, len_max: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > len_max {
        let text = format!("it is longer than {len_max} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

fn names(dir: &Path, wanted: impl Fn(&fs::DirEntry) -> bool) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Other names are not ours to judge.
        names.extend(entry.file_name().into_string().ok().filter(|_| wanted(&entry)));
    }
    Ok(names)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir).and_then(|f| f.sync_all())
}

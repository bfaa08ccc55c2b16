//! Large files on their way: uploads, and rows that wait to be put in order.
//!
//! Always: a file has no name, so it is gone when who holds it lets go, and after a crash; the disk keeps a stated room for others
//! (journals lie on it), and who would take that room is told that there is none. Memory: what is read or written at once.
#![forbid(unsafe_code)]

use eport_catalog::{Pile, Scratch, Source};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes written between two looks at the room that is left.
const LOOK_EVERY: u64 = 16 << 20;
/// Bytes read at once.
const READ_LEN: usize = 256 << 10;

/// A folder in which such files are made.
#[derive(Clone, Debug)]
pub struct Spool {
    dir: PathBuf,
    keep_free: u64,
}

impl Spool {
    /// Makes the folder when it is not there. `keep_free` bytes of its file system are never taken.
    pub fn open(dir: &Path, keep_free: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Spool { dir: dir.to_owned(), keep_free })
    }

    /// The same in a folder that is this program's alone: whatever lies there was left by a crash and is removed. Most file
    /// systems make files without a name; on others one has a name for a moment.
    pub fn own(dir: &Path, keep_free: u64) -> io::Result<Self> {
        let spool = Spool::open(dir, keep_free)?;
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(spool)
    }

    /// Begins a file.
    pub fn file(&self) -> io::Result<Filling> {
        let file = tempfile::tempfile_in(&self.dir)?;
        Ok(Filling { file, len: 0, looked: None, spool: self.clone() })
    }

    /// An error when so many bytes more would take the room that is kept for others.
    pub fn has_room(&self, bytes: u64) -> io::Result<()> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free >= self.keep_free.saturating_add(bytes) {
            return Ok(());
        }
        let detail = format!(
            "{} has {free} bytes free; {bytes} are needed and {} are kept for journals",
            self.dir.display(),
            self.keep_free
        );
        Err(io::Error::new(ErrorKind::StorageFull, detail))
    }
}

/// A file that is being written.
pub struct Filling {
    file: File,
    len: u64,
    /// Length at the last look at the room.
    looked: Option<u64>,
    spool: Spool,
}

impl Filling {
    /// Nothing more comes.
    pub fn done(self) -> Spooled {
        Spooled { file: self.file, len: self.len }
    }
}

impl Write for Filling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.looked.is_none_or(|at| self.len >= at + LOOK_EVERY) {
            self.spool.has_room(LOOK_EVERY)?;
            self.looked = Some(self.len);
        }
        let len = self.file.write(bytes)?;
        self.len += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pile for Filling {
    fn end(self: Box<Self>) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::new(self.done()))
    }
}

impl Scratch for Spool {
    fn begin(&self) -> io::Result<Box<dyn Pile>> {
        Ok(Box::new(self.file()?))
    }
}

/// A file that is read, by as many as want to.
#[derive(Debug)]
pub struct Spooled {
    file: File,
    len: u64,
}

impl Spooled {
    /// A file of somebody else's.
    pub fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            // It is read several times, and a pipe can be read once.
            let detail = "no regular file; write it to a file first";
            return Err(io::Error::new(ErrorKind::InvalidInput, detail));
        }
        Ok(Spooled { file, len: metadata.len() })
    }
}

impl Source for Spooled {
    fn len(&self) -> u64 {
        self.len
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(BufReader::with_capacity(READ_LEN, Reader { file: &self.file, at: 0 })))
    }
}

/// Reads by position: readers do not move each other.
struct Reader<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(out, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_name_and_is_read_by_two_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut filling = Spool::open(dir.path(), 0).unwrap().file().unwrap();
        filling.write_all(b"code,name\n").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left after a crash");
        let file = filling.done();
        let (mut one, mut two) = (file.open().unwrap(), file.open().unwrap());
        let mut first = [0; 5];
        one.read_exact(&mut first).unwrap();
        let mut all = String::new();
        two.read_to_string(&mut all).unwrap();
        assert_eq!((&first, all.as_str(), file.len()), (b"code,", "code,name\n", 10));
    }

    #[test]
    fn what_a_crash_left_in_a_folder_of_its_own_is_removed_and_nothing_of_a_shared_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".tmp1"), b"half a file").unwrap();
        Spool::open(dir.path(), 0).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "an operator's own folder");
        Spool::own(dir.path(), 0).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_room_that_is_kept_for_others_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), u64::MAX / 2).unwrap();
        let refused = spool.file().unwrap().write_all(b"x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        assert!(refused.to_string().contains("kept for journals"), "{refused}");
    }
}

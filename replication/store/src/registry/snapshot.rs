//! Snapshot files: one checksummed file holds the whole state of the registry at one log index.
//!
//! ```text
//! magic "EPRS" · version 1 · header length u32 · header · { key length u32 · value length u32 · key · value }*
//! · end mark u32::MAX · row count u64 · SHA-256 of all before
//! ```
//! Integers are little endian. A file gets its final name `<index>-<serial>.snap` only after it was fsynced, and the
//! folder after it; `*.tmp` files are leftovers of a crash and are removed at start. The newest two are kept.

use super::Error;
use eport_identity::{Digest, DigestHasher};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const MAGIC: &[u8; 4] = b"EPRS";
const VERSION: u8 = 1;
const END: u32 = u32::MAX;
const DIGEST_LEN: u64 = 32;
/// Longest header, key and value that a reader accepts.
const HEADER_LEN_MAX: u32 = 1 << 20;
const KEY_LEN_MAX: u32 = 64 << 10;
const VALUE_LEN_MAX: u32 = 16 << 20;
/// Longest snapshot that is received. The registry is designed for tens of MiB.
const FILE_LEN_MAX: u64 = 1 << 30;
/// Files kept: the newest, and the one before it that may still be on its way to another node.
const KEEP: usize = 2;

/// A snapshot file on disk, complete unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    path: PathBuf,
    len: u64,
}

/// What a snapshot file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotContent {
    /// The header bytes given by the writer.
    pub header: Vec<u8>,
    /// All rows in key order.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl SnapshotFile {
    #[cfg(test)]
    pub(super) fn at(path: PathBuf, len: u64) -> Self {
        Self { path, len }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for a file without bytes, which is never a complete snapshot.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Opens the file for reading piece by piece; it stays readable when a newer snapshot replaces it meanwhile.
    pub fn open(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(|e| Error::io("open snapshot", &self.path, &e))
    }

    /// Reads the piece at an offset, at most `len_max` bytes.
    pub fn read_piece(&self, file: &mut File, offset: u64, len_max: usize) -> Result<Vec<u8>, Error> {
        let fail = |e| Error::io("read snapshot", &self.path, &e);
        file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        let mut piece = Vec::new();
        file.take(len_max as u64).read_to_end(&mut piece).map_err(fail)?;
        Ok(piece)
    }

    /// Reads the whole file and checks magic, version, shape and digest before anything is returned.
    pub fn read(&self) -> Result<SnapshotContent, Error> {
        let file = self.open()?;
        let len = file.metadata().map_err(|e| Error::io("read snapshot", &self.path, &e))?.len();
        Reader { from: BufReader::new(file), hasher: DigestHasher::new(), left: len, path: &self.path }.read()
    }
}

/// Reads with a running digest and a count of what is left, so that no claimed length allocates more than the file holds.
struct Reader<'p> {
    from: BufReader<File>,
    hasher: DigestHasher,
    left: u64,
    path: &'p Path,
}

impl Reader<'_> {
    fn read(mut self) -> Result<SnapshotContent, Error> {
        let head = self.take(5)?;
        if head[..4] != MAGIC[..] || head[4] != VERSION {
            return Err(self.damaged("it is not a registry snapshot of a known version"));
        }
        let header_len = self.length(HEADER_LEN_MAX)?;
        let header = self.take(header_len)?;
        let mut rows = Vec::new();
        loop {
            match self.u32()? {
                END => break,
                len if len > KEY_LEN_MAX => return Err(self.damaged("a key is too long")),
                key_len => {
                    let value_len = self.length(VALUE_LEN_MAX)?;
                    rows.push((self.take(key_len)?, self.take(value_len)?));
                }
            }
        }
        let count = self.take(8)?;
        if count != (rows.len() as u64).to_le_bytes() {
            return Err(self.damaged("the row count does not match"));
        }
        let computed = self.hasher.clone().finish();
        let stored = self.take(DIGEST_LEN as u32)?;
        if stored != computed.as_bytes() || self.left != 0 {
            return Err(self.damaged("the digest does not match"));
        }
        Ok(SnapshotContent { header, rows })
    }

    fn length(&mut self, max: u32) -> Result<u32, Error> {
        match self.u32()? {
            len if len > max => Err(self.damaged("a length exceeds its limit")),
            len => Ok(len),
        }
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Exactly `len` bytes.
    fn take(&mut self, len: u32) -> Result<Vec<u8>, Error> {
        self.left = match self.left.checked_sub(u64::from(len)) {
            Some(left) => left,
            None => return Err(self.damaged("it ends too early")),
        };
        let mut bytes = vec![0; len as usize];
        self.from.read_exact(&mut bytes).map_err(|e| Error::io("read snapshot", self.path, &e))?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::Damaged { path: self.path.to_owned(), detail: detail.to_owned() }
    }
}

/// The folder of the snapshot files. Its lock orders changes of the file list.
pub(super) struct SnapshotDir {
    dir: PathBuf,
    serial: Mutex<u64>,
}

impl SnapshotDir {
    /// Opens the folder and removes unfinished files.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, &e))?;
        let mut serial = 0;
        for path in files(dir)? {
            match path.extension().and_then(|e| e.to_str()) {
                Some("tmp") => std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?,
                _ => serial = serial.max(serial_of(&path).unwrap_or(0)),
            }
        }
        Ok(Self { dir: dir.to_owned(), serial: Mutex::new(serial) })
    }

    pub(super) fn list(&self) -> Result<Vec<SnapshotFile>, Error> {
        let mut paths: Vec<PathBuf> =
            files(&self.dir)?.into_iter().filter(|p| serial_of(p).is_some()).collect();
        paths.sort_by(|a, b| b.cmp(a));
        paths.into_iter().map(file_at).collect()
    }

    pub(super) fn write<'r>(
        &self,
        index: u64,
        header: &[u8],
        rows: impl Iterator<Item = (&'r [u8], &'r [u8])>,
    ) -> Result<SnapshotFile, Error> {
        let temp = self.temp();
        write_file(&temp, header, rows).map_err(|e| {
            // Half a file is of no use and may be what filled the disk.
            let _ = std::fs::remove_file(&temp);
            Error::io("write snapshot", &temp, &e)
        })?;
        self.publish(index, &temp)
    }

    pub(super) fn receive(&self, len: u64) -> Result<Incoming, Error> {
        let path = self.temp();
        if len > FILE_LEN_MAX {
            return Err(Error::Damaged {
                path,
                detail: format!("a snapshot of {len} bytes exceeds {FILE_LEN_MAX}"),
            });
        }
        let file = File::create(&path).map_err(|e| Error::io("create", &path, &e))?;
        Ok(Incoming { path: Some(path), file, written: 0, len })
    }

    pub(super) fn adopt(&self, index: u64, file: &SnapshotFile) -> Result<SnapshotFile, Error> {
        if file.path.parent() == Some(&self.dir) {
            return match serial_of(&file.path) {
                Some(_) => Ok(file.clone()),
                None => self.publish(index, &file.path),
            };
        }
        let temp = self.temp();
        let copied = std::fs::copy(&file.path, &temp).and_then(|_| File::open(&temp)?.sync_all());
        copied.map_err(|e| Error::io("copy snapshot", &temp, &e))?;
        self.publish(index, &temp)
    }

    /// Gives a complete, fsynced file its final name, and removes the oldest.
    fn publish(&self, index: u64, temp: &Path) -> Result<SnapshotFile, Error> {
        let path = self.dir.join(format!("{index:020}-{:010}.snap", self.next_serial()));
        std::fs::rename(temp, &path).map_err(|e| Error::io("rename snapshot", &path, &e))?;
        sync_dir(&self.dir)?;
        for old in self.list()?.into_iter().skip(KEEP).filter(|old| old.path != path) {
            std::fs::remove_file(&old.path).map_err(|e| Error::io("remove", &old.path, &e))?;
        }
        file_at(path)
    }

    fn temp(&self) -> PathBuf {
        self.dir.join(format!("{:010}.tmp", self.next_serial()))
    }

    fn next_serial(&self) -> u64 {
        let mut serial = self.serial.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *serial += 1;
        *serial
    }
}

/// A snapshot on its way in. Dropped before [`Incoming::finish`], it removes its file.
#[derive(Debug)]
pub struct Incoming {
    path: Option<PathBuf>,
    file: File,
    written: u64,
    len: u64,
}

impl Incoming {
    /// Bytes received so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends a piece; refused when the whole would exceed the stated length.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), Error> {
        let path = self.path.clone().unwrap_or_default();
        if self.written + piece.len() as u64 > self.len {
            return Err(Error::Damaged { path, detail: "more bytes than stated".into() });
        }
        self.file.write_all(piece).map_err(|e| Error::io("write snapshot", &path, &e))?;
        self.written += piece.len() as u64;
        Ok(())
    }

    /// Fsyncs the file. Its content is checked by [`SnapshotFile::read`]; it is temporary until adopted.
    pub fn finish(mut self) -> Result<SnapshotFile, Error> {
        let path = self.path.take().unwrap_or_default();
        if self.written != self.len {
            self.path = Some(path.clone());
            return Err(Error::Damaged {
                path,
                detail: format!("{} of {} bytes arrived", self.written, self.len),
            });
        }
        self.file.sync_all().map_err(|e| Error::io("sync snapshot", &path, &e))?;
        Ok(SnapshotFile { path, len: self.len })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn write_file<'r>(
    path: &Path,
    header: &[u8],
    rows: impl Iterator<Item = (&'r [u8], &'r [u8])>,
) -> std::io::Result<()> {
    let mut out = HashingWriter { to: BufWriter::new(File::create(path)?), hasher: DigestHasher::new() };
    out.put(MAGIC)?;
    out.put(&[VERSION])?;
    out.put(&length(header, HEADER_LEN_MAX)?)?;
    out.put(header)?;
    let mut count = 0u64;
    for (key, value) in rows {
        out.put(&length(key, KEY_LEN_MAX)?)?;
        out.put(&length(value, VALUE_LEN_MAX)?)?;
        out.put(key)?;
        out.put(value)?;
        count += 1;
    }
    out.put(&END.to_le_bytes())?;
    out.put(&count.to_le_bytes())?;
    let HashingWriter { mut to, hasher } = out;
    let digest: Digest = hasher.finish();
    to.write_all(digest.as_bytes())?;
    to.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

/// The length prefix of a part, refused above what a reader accepts.
fn length(part: &[u8], max: u32) -> std::io::Result<[u8; 4]> {
    match u32::try_from(part.len()) {
        Ok(len) if len <= max => Ok(len.to_le_bytes()),
        _ => Err(std::io::Error::other(format!("a part of {} bytes exceeds {max}", part.len()))),
    }
}

struct HashingWriter {
    to: BufWriter<File>,
    hasher: DigestHasher,
}

impl HashingWriter {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.to.write_all(bytes)
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io("list", dir, &e))?;
    entries.map(|e| e.map(|e| e.path()).map_err(|e| Error::io("list", dir, &e))).collect()
}

fn file_at(path: PathBuf) -> Result<SnapshotFile, Error> {
    let len = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, &e))?.len();
    Ok(SnapshotFile { path, len })
}

/// The serial of a final file name, `None` for any other name.
fn serial_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".snap")?;
    name.split_once('-')?.1.parse().ok()
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io("sync folder", dir, &e))
}

//! Digest-addressed objects: compressed files named by the SHA-256 of their content.
//!
//! Grammar: `DIR/ab/ab12…` (64 hex digits) holds `EPO1` and a zstd stream. An object is whole or absent; what is read is
//! verified against its name; writing the same content twice changes nothing.

use crate::{Error, durable};
use bytes::Bytes;
use eport_model::Digest;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// First bytes of an object file.
const MAGIC: &[u8; 4] = b"EPO1";
/// Compression level: 3 is zstd's default, close to the knee of its curve for text rows.
const LEVEL: i32 = 3;

/// One stored object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectInfo {
    /// SHA-256 of its content, and its name.
    pub digest: Digest,
    /// Bytes it takes on disk.
    pub stored_len: u64,
}

/// A folder of objects. Clones share it; readers and writers may be many.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    dir: PathBuf,
    content_len_max: u64,
}

impl ObjectStore {
    /// Opens or creates the folder. Content beyond `content_len_max` bytes is refused on the way in and on the way out.
    pub fn open(dir: &Path, content_len_max: u64) -> Result<Self, Error> {
        durable::create_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), content_len_max })
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// Stores content durably and returns its name.
    pub fn put(&self, content: &[u8]) -> Result<Digest, Error> {
        self.allow(content.len() as u64)?;
        let digest = Digest::of(content);
        // A damaged object of this name is replaced: the caller holds the right content.
        if self.get(&digest).is_err() {
            let packed = zstd::bulk::compress(content, LEVEL)
                .map_err(|e| Error::io("compress object", &self.dir, e))?;
            self.store(&digest, &packed)?;
        }
        Ok(digest)
    }

    /// Stores an object as another node sent it (see `get_packed`), after checking that it is what `digest` names.
    pub fn put_packed(&self, digest: &Digest, packed: &[u8]) -> Result<(), Error> {
        let path = self.path_of(digest);
        self.unpack(&path, digest, packed)?;
        if self.get(digest).is_ok() {
            return Ok(());
        }
        self.store(digest, packed)
    }

    fn store(&self, digest: &Digest, packed: &[u8]) -> Result<(), Error> {
        let path = self.path_of(digest);
        durable::create_dir(path.parent().unwrap_or(&self.dir))?;
        let mut draft = durable::Draft::create(&path)?;
        draft.write(MAGIC)?;
        draft.write(packed)?;
        draft.publish()
    }

    /// Content of an object, verified against its name.
    pub fn get(&self, digest: &Digest) -> Result<Bytes, Error> {
        let (path, packed) = self.read_file(digest)?;
        self.unpack(&path, digest, &packed).map(Bytes::from)
    }

    /// The compressed form of an object, for sending it to another node; verified against its name.
    pub fn get_packed(&self, digest: &Digest) -> Result<Bytes, Error> {
        let (path, packed) = self.read_file(digest)?;
        self.unpack(&path, digest, &packed)?;
        Ok(Bytes::from(packed))
    }

    fn read_file(&self, digest: &Digest) -> Result<(PathBuf, Vec<u8>), Error> {
        let path = self.path_of(digest);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoObject { digest: *digest });
            }
            Err(e) => return Err(Error::io("open object", &path, e)),
        };
        let mut bytes = Vec::new();
        // zstd never grows content by more than a few bytes in a thousand; a longer file is not one of ours.
        let limit = self.content_len_max + self.content_len_max / 64 + 4096;
        (&mut file).take(limit).read_to_end(&mut bytes).map_err(|e| Error::io("read object", &path, e))?;
        if !bytes.starts_with(MAGIC) {
            return Err(Error::damaged(&path, None, "it is not an object file"));
        }
        Ok((path, bytes.split_off(MAGIC.len())))
    }

    fn unpack(&self, path: &Path, digest: &Digest, packed: &[u8]) -> Result<Vec<u8>, Error> {
        let damaged = |e: std::io::Error| Error::damaged(path, None, format!("it does not decompress: {e}"));
        let mut content = Vec::new();
        let stream = zstd::stream::read::Decoder::new(packed).map_err(damaged)?;
        stream.take(self.content_len_max + 1).read_to_end(&mut content).map_err(damaged)?;
        self.allow(content.len() as u64)?;
        if Digest::of(&content) != *digest {
            return Err(Error::damaged(path, None, "the content does not have the digest it is named by"));
        }
        Ok(content)
    }

    fn allow(&self, len: u64) -> Result<(), Error> {
        if len > self.content_len_max {
            return Err(Error::TooLarge { what: "object", len, limit: self.content_len_max });
        }
        Ok(())
    }

    /// True when an object of this name is stored. Its content is verified when it is read.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path_of(digest).is_file()
    }

    /// Every stored object in order of name. Foreign and half-written files are passed over.
    pub fn list(&self) -> Result<Vec<ObjectInfo>, Error> {
        let mut found = Vec::new();
        for shelf in fs::read_dir(&self.dir).map_err(|e| Error::io("list objects", &self.dir, e))? {
            let shelf = shelf.map_err(|e| Error::io("list objects", &self.dir, e))?.path();
            if !shelf.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&shelf).map_err(|e| Error::io("list objects", &shelf, e))? {
                let entry = entry.map_err(|e| Error::io("list objects", &shelf, e))?;
                let name = entry.file_name();
                if let (Some(Ok(digest)), Ok(meta)) = (name.to_str().map(str::parse), entry.metadata()) {
                    found.push(ObjectInfo { digest, stored_len: meta.len() });
                }
            }
        }
        found.sort_by_key(|o| o.digest);
        Ok(found)
    }

    /// Removes an object; true when it was there.
    pub fn remove(&self, digest: &Digest) -> Result<bool, Error> {
        let path = self.path_of(digest);
        match fs::remove_file(&path) {
            Ok(()) => durable::sync_dir(path.parent().unwrap_or(&self.dir)).map(|()| true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("remove object", &path, e)),
        }
    }
}

impl eport_catalog::ContentStore for ObjectStore {
    type Error = Error;

    fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        ObjectStore::put(self, bytes)
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        match ObjectStore::get(self, digest) {
            Ok(content) => Ok(Some(content.into())),
            Err(Error::NoObject { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn has(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(ObjectStore::has(self, digest))
    }
}

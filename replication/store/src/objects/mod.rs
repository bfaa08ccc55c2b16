//! Catalog objects: chunks and index nodes by their SHA-256, and which contents are here whole.
//!
//! Grammar: `DIR/<16 hex digits>.eps` are segments (see `segment`), `DIR/roots` lists the roots of contents that were installed.
//! Always holds: an object is whole or absent; what is read is verified against its name; a root is listed only when every object
//! below it is durable here; what turns out damaged is given up at once, and with it the roots that need it, so that it is fetched
//! again and never answered from.

mod batch;
mod pack;
mod segment;
mod tend;

pub use batch::Batch;
pub use pack::{pack_delta, unpack_delta};
pub use tend::{Collected, Scrubbed};

use crate::{Error, durable};
use bytes::Bytes;
use eport_catalog::{CHUNK_LEN_MAX, Keeper, ObjectSource, ROW_LEN_MAX, WalkError};
use eport_model::{Digest, codec};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{error, warn};

/// Largest object: a chunk that ends behind its last row.
pub const OBJECT_LEN_MAX: u64 = (CHUNK_LEN_MAX + ROW_LEN_MAX) as u64;
/// First bytes of the list of roots.
const ROOTS_MAGIC: &[u8; 4] = b"EPR1";
const SEGMENT_ENDING: &str = "eps";

/// A folder of objects. Clones share it; readers and writers may be many.
#[derive(Clone)]
pub struct ObjectStore(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    state: Mutex<State>,
    /// One writer of the list at a time, so that it never goes back.
    listing: Mutex<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    segment: u64,
    offset: u64,
    len: u32,
}

#[derive(Default)]
struct State {
    objects: HashMap<Digest, Place>,
    /// Bytes of each segment.
    segments: BTreeMap<u64, u64>,
    next: u64,
    roots: BTreeSet<Digest>,
    keeper: Keeper,
    /// Roots that somebody has installed and the registry may not name yet.
    pinned: BTreeMap<Digest, u32>,
    /// Pins that were given back while a round was under way.
    late: BTreeSet<Digest>,
    /// Objects found damaged since the start, and contents that had to be given up for them.
    damaged: u64,
}

/// Figures of a store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ObjectFigures {
    /// Objects.
    pub objects: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Contents installed.
    pub roots: u64,
    /// Objects found damaged since the start.
    pub damaged: u64,
}

/// An object as it is stored, and what it holds.
type PackedAndPlain = (Vec<u8>, Vec<u8>);

impl ObjectStore {
    /// Opens or creates the folder. A segment that cannot be read is set aside; contents that need it are given up.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        durable::create_dir(dir)?;
        let mut state = State::default();
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(dir).map_err(|e| Error::io("list objects", dir, e))? {
            names.push(entry.map_err(|e| Error::io("list objects", dir, e))?.path());
        }
        names.sort();
        let mut aside = false;
        for path in names {
            let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if ending == durable::PARTIAL {
                // Left over by a crash; never named by anything.
                let _ = fs::remove_file(&path);
            }
            let stem = path.file_stem().and_then(|s| s.to_str());
            let number = stem.and_then(|s| u64::from_str_radix(s, 16).ok());
            let (Some(number), true) = (number, ending == SEGMENT_ENDING) else { continue };
            state.next = state.next.max(number.saturating_add(1));
            match segment::entries(&path) {
                Ok(entries) => {
                    let len = fs::metadata(&path).map_err(|e| Error::io("look at segment", &path, e))?.len();
                    state.segments.insert(number, len);
                    for e in entries {
                        let place = Place { segment: number, offset: e.offset, len: e.len };
                        state.objects.insert(e.digest, place);
                    }
                }
                Err(Error::Damaged { detail, .. }) => {
                    error!(path = %path.display(), detail, "a segment of catalog objects is set aside");
                    let to = path.with_extension("damaged");
                    fs::rename(&path, &to).map_err(|e| Error::io("set segment aside", &path, e))?;
                    aside = true;
                }
                Err(error) => return Err(error),
            }
        }
        state.roots = match read_roots(&dir.join("roots"))? {
            Some(roots) => roots,
            None => {
                warn!("the list of installed contents cannot be read; they are proven anew");
                BTreeSet::new()
            }
        };
        let store = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            state: Mutex::new(state),
            listing: Mutex::default(),
        }));
        if aside {
            store.drop_incomplete()?;
        }
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segment_path(&self, number: u64) -> PathBuf {
        self.0.dir.join(format!("{number:016x}.{SEGMENT_ENDING}"))
    }

    /// True when the content with this root is here whole.
    pub fn has(&self, root: &Digest) -> bool {
        self.lock().roots.contains(root)
    }

    /// True when an object is here.
    pub fn has_object(&self, digest: &Digest) -> bool {
        self.lock().objects.contains_key(digest)
    }

    /// Roots of the contents that are here whole.
    pub fn roots(&self) -> Vec<Digest> {
        self.lock().roots.iter().copied().collect()
    }

    /// Figures for people.
    pub fn figures(&self) -> ObjectFigures {
        let state = self.lock();
        ObjectFigures {
            objects: state.objects.len() as u64,
            segments: state.segments.len() as u64,
            bytes: state.segments.values().sum(),
            roots: state.roots.len() as u64,
            damaged: state.damaged,
        }
    }

    /// Bytes that an object takes here; `None` when it is not here.
    pub fn packed_len(&self, digest: &Digest) -> Option<u64> {
        self.lock().objects.get(digest).map(|p| u64::from(p.len))
    }

    /// The compressed form of an object, verified, for sending it to another node.
    pub fn object_packed(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        Ok(self.fetch(digest)?.map(|(packed, _)| packed.into()))
    }

    /// Packed and plain bytes. An object that is damaged is given up and reported once; afterwards it is absent.
    fn fetch(&self, digest: &Digest) -> Result<Option<PackedAndPlain>, Error> {
        // A collection may move an object while it is read: then it is looked up again.
        for _ in 0..3 {
            let Some(place) = self.lock().objects.get(digest).copied() else { return Ok(None) };
            let path = self.segment_path(place.segment);
            let read = segment::read(&path, place.offset, place.len);
            let opened = match read {
                Ok(None) => continue,
                Ok(Some(packed)) => {
                    pack::unpack_object(&path, digest, &packed, OBJECT_LEN_MAX).map(|b| (packed, b))
                }
                Err(error) => Err(error),
            };
            return match opened {
                Ok(both) => Ok(Some(both)),
                Err(error @ (Error::Damaged { .. } | Error::TooLarge { .. })) => {
                    error!(%error, object = %digest.short(), "a catalog object is damaged and given up");
                    self.lose(digest, place)?;
                    Err(error)
                }
                Err(error) => Err(error),
            };
        }
        Err(Error::NoObject { digest: *digest })
    }

    /// Forgets a damaged object and every content that needs it.
    fn lose(&self, digest: &Digest, place: Place) -> Result<(), Error> {
        {
            let mut state = self.lock();
            if state.objects.get(digest) != Some(&place) {
                return Ok(());
            }
            state.objects.remove(digest);
            state.damaged += 1;
        }
        self.drop_incomplete()
    }

    /// Takes roots from the list whose objects are not all here.
    fn drop_incomplete(&self) -> Result<(), Error> {
        let mut gone = Vec::new();
        for root in self.roots() {
            if !self.is_complete(&root)? {
                gone.push(root);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        for root in &gone {
            error!(root = %root.short(), "a content is not whole any more; it is fetched again");
            self.lock().roots.remove(root);
        }
        self.write_roots()
    }

    /// Whether every object below a root is here. Reads the index nodes, not the chunks.
    pub fn is_complete(&self, root: &Digest) -> Result<bool, Error> {
        if !self.has_object(root) {
            return Ok(false);
        }
        let mut whole = true;
        let walked = eport_catalog::walk(self, root, &mut |_, child| {
            whole &= self.has_object(&child.digest);
            whole
        });
        match walked {
            Ok(()) => Ok(whole),
            Err(WalkError::Content(_)) => Ok(false),
            Err(WalkError::Objects(Error::Damaged { .. } | Error::NoObject { .. })) => Ok(false),
            Err(WalkError::Objects(error)) => Err(error),
        }
    }

    fn write_roots(&self) -> Result<(), Error> {
        let _one = self.0.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let roots = codec::encode(&self.lock().roots);
        let mut bytes = ROOTS_MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&roots).to_le_bytes());
        bytes.extend_from_slice(&roots);
        durable::write_file(&self.0.dir.join("roots"), &bytes)
    }

    /// Keeps a small named note beside the objects, whole or not at all.
    pub fn write_note(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        durable::write_file(&self.0.dir.join(name).with_extension("note"), bytes)
    }

    /// A note, as it was written last.
    pub fn read_note(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.0.dir.join(name).with_extension("note");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read note", &path, e)),
        }
    }

    /// The content with this root.
    pub fn content(&self, root: &Digest) -> Result<Bytes, Error> {
        if !self.has(root) {
            return Err(Error::NoObject { digest: *root });
        }
        eport_catalog::join(self, root).map(Bytes::from).map_err(|e| match e {
            WalkError::Objects(error) => error,
            WalkError::Content(error) => Error::damaged(&self.0.dir, None, error.to_string()),
        })
    }

    /// Stores a content durably and lists it; answers its root. For tests and small contents: nothing holds it against
    /// a collection once this returns.
    pub fn put(&self, content: &[u8]) -> Result<Digest, Error> {
        let mut batch = self.batch();
        batch.put_content(content)
    }

    /// Begins a content: what is put is safe from collection until the batch is dropped.
    pub fn batch(&self) -> Batch {
        Batch::begin(self.clone())
    }
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectStore({})", self.0.dir.display())
    }
}

impl ObjectSource for ObjectStore {
    type Error = Error;

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.fetch(digest)?.map(|(_, bytes)| bytes))
    }
}

/// The list of roots: empty where there is none yet, `None` where it is damaged.
fn read_roots(path: &Path) -> Result<Option<BTreeSet<Digest>>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Some(BTreeSet::new())),
        Err(e) => return Err(Error::io("read list of roots", path, e)),
    };
    let parsed = bytes.strip_prefix(ROOTS_MAGIC.as_slice()).and_then(|rest| rest.split_first_chunk::<4>());
    Ok(parsed
        .filter(|(crc, roots)| crc32c::crc32c(roots) == u32::from_le_bytes(**crc))
        .and_then(|(_, roots)| codec::decode(roots).ok()))
}

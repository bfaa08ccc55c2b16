//! The content of a version as objects: one a version now, chunks under an index later.
//!
//! Whoever fetches objects asks `objects` what a version consists of, and `assemble` to prove what came.

use crate::{ContentError, Header, TableVersion};
use eport_identity::Digest;

/// One digest-addressed piece of a version's content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContentObject {
    /// Digest of the object's bytes before any compression.
    pub digest: Digest,
    /// Their number.
    pub len: u64,
}

/// A place that keeps objects by digest. Compression, files and caches are its own matter.
pub trait ContentStore {
    /// What can go wrong in keeping and reading.
    type Error;
    /// Keeps bytes and gives their digest; keeping what is kept already changes nothing.
    fn put(&self, bytes: &[u8]) -> Result<Digest, Self::Error>;
    /// The bytes of a digest, verified; `None` when they are not here.
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Self::Error>;
    /// True when the object is here.
    fn has(&self, digest: &Digest) -> Result<bool, Self::Error>;
}

/// The objects a version's content consists of.
pub fn objects(version: &TableVersion) -> Vec<ContentObject> {
    vec![ContentObject { digest: version.root, len: version.bytes }]
}

/// Puts a version's content together from its objects and proves it: digests, order of rows, schema and row count.
pub fn assemble(
    version: &TableVersion,
    mut object: impl FnMut(&Digest) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, ContentError> {
    let content = object(&version.root).ok_or(ContentError::Missing(version.root))?;
    let found = Digest::of(&content);
    if found != version.root {
        return Err(ContentError::WrongDigest { wanted: version.root, found });
    }
    let header = Header::read(&content)?;
    for row in header.walk(&content) {
        row?;
    }
    let mismatch = |what| Err(ContentError::Metadata { root: version.root, what });
    if header.schema() != &version.schema {
        return mismatch("columns or key");
    }
    if header.rows() != version.rows || content.len() as u64 != version.bytes {
        return mismatch("number of rows or bytes");
    }
    Ok(content)
}

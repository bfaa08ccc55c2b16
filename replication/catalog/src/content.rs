//! The content of a version, put together from its objects and proven.

use crate::index::{ObjectSource, WalkError, chunks};
use crate::{CONTENT_LEN_MAX, ContentError, Header, TableVersion, root_of};
use eport_identity::Digest;

/// First bytes of content that is no table: a pack, a directory, anything that is used as a whole.
const BLOB: &[u8; 5] = b"EPBL\x01";

/// The content that carries these bytes as they are.
pub fn blob(bytes: &[u8]) -> Vec<u8> {
    [BLOB.as_slice(), bytes].concat()
}

/// The bytes that a content carries; `None` for a table, and for what is no content.
pub fn blob_bytes(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(BLOB.as_slice())
}

/// Joins the chunks of a root. The source proves each object; the index proves their order and number.
pub fn join<S: ObjectSource>(source: &S, root: &Digest) -> Result<Vec<u8>, WalkError<S::Error>> {
    let chunks = chunks(source, root)?;
    let total: u64 = chunks.iter().map(|c| c.bytes).fold(0, u64::saturating_add);
    let wrong = |what| WalkError::Content(ContentError::Metadata { root: *root, what });
    if total > CONTENT_LEN_MAX as u64 {
        return Err(wrong("it is larger than a content may be"));
    }
    let mut content = Vec::new();
    for chunk in chunks {
        let bytes = source.get(&chunk.digest).map_err(WalkError::Objects)?;
        let bytes = bytes.ok_or(ContentError::Missing(chunk.digest))?;
        if bytes.len() as u64 != chunk.bytes {
            return Err(wrong("the length of a chunk"));
        }
        if content.capacity() == 0 {
            // The first chunk is there: the claim is worth believing, in steps.
            content.reserve_exact(usize::try_from(total).unwrap_or(0).min(64 << 20));
        }
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}

/// Reads a content chunk by chunk. Memory: one chunk, and 48 bytes a chunk.
pub struct ContentReader<S> {
    source: S,
    chunks: std::vec::IntoIter<crate::Child>,
    open: Vec<u8>,
    at: usize,
}

impl<S> ContentReader<S> {
    /// Bytes of the chunks that were not begun yet.
    pub fn left(&self) -> u64 {
        self.chunks.as_slice().iter().map(|c| c.bytes).fold(0, u64::saturating_add)
    }
}

impl<S: ObjectSource> ContentReader<S> {
    /// Begins in front of the content of a root.
    pub fn open(source: S, root: &Digest) -> Result<Self, WalkError<S::Error>> {
        let chunks = chunks(&source, root)?.into_iter();
        Ok(ContentReader { source, chunks, open: Vec::new(), at: 0 })
    }
}

impl<S: ObjectSource<Error: std::fmt::Display>> std::io::Read for ContentReader<S> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.open.len() {
            let Some(chunk) = self.chunks.next() else { return Ok(0) };
            let bytes = self.source.get(&chunk.digest).map_err(|e| std::io::Error::other(e.to_string()))?;
            let bytes = bytes.filter(|b| b.len() as u64 == chunk.bytes);
            let missing = || std::io::Error::other(ContentError::Missing(chunk.digest));
            (self.open, self.at) = (bytes.ok_or_else(missing)?, 0);
        }
        let len = out.len().min(self.open.len() - self.at);
        out[..len].copy_from_slice(&self.open[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// Holds a content against what is published of it: root, order of rows, schema, number of rows and bytes.
pub fn prove(version: &TableVersion, content: &[u8]) -> Result<(), ContentError> {
    let found = root_of(content)?;
    if found != version.root {
        return Err(ContentError::WrongDigest { wanted: version.root, found });
    }
    let header = Header::read(content)?;
    for row in header.walk(content) {
        row?;
    }
    let mismatch = |what| Err(ContentError::Metadata { root: version.root, what });
    if header.schema() != &version.schema {
        return mismatch("columns or key");
    }
    if header.rows() != version.rows || content.len() as u64 != version.bytes {
        return mismatch("number of rows or bytes");
    }
    Ok(())
}

/// Puts a version's content together from its objects and proves it.
pub fn assemble<S: ObjectSource>(version: &TableVersion, source: &S) -> Result<Vec<u8>, WalkError<S::Error>> {
    let content = join(source, &version.root)?;
    prove(version, &content)?;
    Ok(content)
}

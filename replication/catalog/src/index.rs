//! The index of a content: a tree of nodes over its chunks. The digest of its top node is the content's *root*.
//!
//! A node names its children (chunks at level 0, nodes above) with their bytes and rows. A node ends behind a child whose digest
//! says so, so a change of one chunk makes new nodes on one path only; all others are shared with the version before.
//! Always: equal content gives an equal root; a node decodes only from the one form in which it is written, and within its
//! bounds; whoever knows the root can prove every node and chunk alone, before the rest has come.

use crate::{ContentError, DamageError, cut, varint};
use eport_identity::Digest;

const MAGIC: &[u8; 5] = b"EPIX\x01";
/// Children before which a node does not end, unless it is the last one of its level.
const NODE_MIN: usize = 16;
/// Children with which a node ends.
const NODE_MAX: usize = 256;
/// Levels of the largest tree: 16 children a node and more make 2^32 chunks with eight.
const LEVEL_MAX: u64 = 8;
/// No node is longer: its children, and what stands in front.
pub const NODE_LEN_MAX: usize = NODE_MAX * (32 + 2 * 9) + 64;

/// A child of a node: a chunk, or a node one level below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Child {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Bytes of content in it or below it.
    pub bytes: u64,
    /// Rows of content in it or below it.
    pub rows: u64,
}

/// A node of an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// 0: its children are chunks.
    pub level: u64,
    /// In the order of the content.
    pub children: Vec<Child>,
}

impl Node {
    /// The bytes whose digest names the node.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        varint::put(self.level, &mut out);
        varint::put(self.children.len() as u64, &mut out);
        for child in &self.children {
            out.extend_from_slice(child.digest.as_bytes());
            varint::put(child.bytes, &mut out);
            varint::put(child.rows, &mut out);
        }
        out
    }

    /// Reads a node. `None`: these bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let (level, rest) = varint::take(rest)?;
        let (count, mut rest) = varint::take(rest)?;
        if level > LEVEL_MAX || count == 0 || count > NODE_MAX as u64 {
            return None;
        }
        let mut children = Vec::with_capacity(usize::try_from(count).ok()?);
        for _ in 0..count {
            let (digest, tail) = rest.split_first_chunk::<32>()?;
            let (bytes, tail) = varint::take(tail)?;
            let (rows, tail) = varint::take(tail)?;
            children.push(Child { digest: Digest::from_bytes(*digest), bytes, rows });
            rest = tail;
        }
        rest.is_empty().then_some(Node { level, children })
    }

    /// Bytes and rows below it; `None` when they are beyond all numbers.
    pub fn total(&self) -> Option<(u64, u64)> {
        self.children
            .iter()
            .try_fold((0u64, 0u64), |(b, r), c| Some((b.checked_add(c.bytes)?, r.checked_add(c.rows)?)))
    }
}

/// Makes the index while chunks come. Memory: the open nodes of each level.
#[derive(Default)]
pub struct IndexBuilder {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    open: Vec<Child>,
    /// The last node that was ended, and how many were.
    ended: Option<Digest>,
    count: u64,
}

impl IndexBuilder {
    /// The next chunk; `node` is handed the bytes of each node that is finished by it.
    pub fn push<E>(
        &mut self,
        chunk: Child,
        node: &mut impl FnMut(&Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut level, mut child) = (0, chunk);
        loop {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let at = &mut self.levels[level];
            at.open.push(child);
            let ends = at.open.len() >= NODE_MAX
                || (at.open.len() >= NODE_MIN && child.digest.as_bytes()[31].is_multiple_of(64));
            if !ends {
                return Ok(());
            }
            child = at.end(level as u64, node)?;
            level += 1;
        }
    }

    /// Ends the last nodes and answers the root. An empty content has none.
    pub fn finish<E>(
        mut self,
        node: &mut impl FnMut(&Digest, &[u8]) -> Result<(), E>,
    ) -> Result<Option<Digest>, E> {
        let mut level = 0;
        while let Some(at) = self.levels.get_mut(level) {
            let child = if at.open.is_empty() { None } else { Some(at.end(level as u64, node)?) };
            if at.count == 1 {
                return Ok(at.ended);
            }
            if let Some(child) = child {
                if self.levels.len() == level + 1 {
                    self.levels.push(Level::default());
                }
                self.levels[level + 1].open.push(child);
            }
            level += 1;
        }
        Ok(None)
    }
}

impl Level {
    fn end<E>(
        &mut self,
        level: u64,
        node: &mut impl FnMut(&Digest, &[u8]) -> Result<(), E>,
    ) -> Result<Child, E> {
        let made = Node { level, children: std::mem::take(&mut self.open) };
        let (bytes, rows) = made.total().unwrap_or((u64::MAX, u64::MAX));
        let encoded = made.encode();
        let digest = Digest::of(&encoded);
        node(&digest, &encoded)?;
        self.ended = Some(digest);
        self.count += 1;
        Ok(Child { digest, bytes, rows })
    }
}

/// Takes the objects of a content, chunks before the nodes above them.
pub trait ObjectSink {
    /// What can go wrong in keeping.
    type Error;
    /// Keeps an object under its digest.
    fn put(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Self::Error>;
    /// An object that is kept already belongs to this content too; false when it is not kept after all.
    fn keep(&mut self, digest: &Digest) -> Result<bool, Self::Error>;
}

/// Gives objects by digest, proven. A place that keeps them.
pub trait ObjectSource {
    /// What can go wrong in reading.
    type Error;
    /// The bytes of a digest; `None` when they are not here.
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// Why content could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError<E> {
    /// The content is not canonical.
    #[error(transparent)]
    Damaged(#[from] DamageError),
    /// The place that keeps objects failed.
    #[error("{0}")]
    Objects(E),
}

/// Cuts a content and hands its chunks and nodes to a sink; answers the root.
pub fn store_content<S: ObjectSink>(content: &[u8], sink: &mut S) -> Result<Digest, StoreError<S::Error>> {
    let mut index = IndexBuilder::default();
    cut(content, |bytes, rows| {
        let digest = Digest::of(bytes);
        sink.put(&digest, bytes).map_err(StoreError::Objects)?;
        let child = Child { digest, bytes: bytes.len() as u64, rows };
        index.push(child, &mut |d, b| sink.put(d, b)).map_err(StoreError::Objects)
    })?;
    let root = index.finish(&mut |d, b| sink.put(d, b)).map_err(StoreError::Objects)?;
    root.ok_or_else(|| DamageError { offset: 0, what: "the content is empty" }.into())
}

pub(crate) struct Nowhere;

impl ObjectSink for Nowhere {
    type Error = std::convert::Infallible;
    fn put(&mut self, _: &Digest, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
    fn keep(&mut self, _: &Digest) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// The root of a content, nothing kept. Content that is not canonical as far as the cut reads it has none.
pub fn root_of(content: &[u8]) -> Result<Digest, DamageError> {
    store_content(content, &mut Nowhere).map_err(|e| match e {
        StoreError::Damaged(e) => e,
        StoreError::Objects(never) => match never {},
    })
}

/// Why the objects of a content cannot be walked.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E> {
    /// An object is missing, or an object is no node of this tree.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The place that keeps objects failed.
    #[error("{0}")]
    Objects(E),
}

/// The node of a digest, as the parent describes it; the top one has no parent.
pub fn node_at<S: ObjectSource>(
    source: &S,
    digest: &Digest,
    parent: Option<(u64, &Child)>,
) -> Result<Node, WalkError<S::Error>> {
    let bytes = source.get(digest).map_err(WalkError::Objects)?;
    let bytes = bytes.ok_or(ContentError::Missing(*digest))?;
    Ok(check_node(&bytes, digest, parent)?)
}

/// A node from its proven bytes, held against what its parent says.
pub fn check_node(
    bytes: &[u8],
    digest: &Digest,
    parent: Option<(u64, &Child)>,
) -> Result<Node, ContentError> {
    let wrong = |what| ContentError::Metadata { root: *digest, what };
    let node = Node::decode(bytes).ok_or_else(|| wrong("it is no index node"))?;
    let total = node.total().ok_or_else(|| wrong("its sizes are beyond all numbers"))?;
    if let Some((level, child)) = parent
        && (node.level != level || total != (child.bytes, child.rows))
    {
        return Err(wrong("level or sizes of an index node"));
    }
    Ok(node)
}

/// The chunks of a content in order. Memory: 48 bytes a chunk.
pub fn chunks<S: ObjectSource>(source: &S, root: &Digest) -> Result<Vec<Child>, WalkError<S::Error>> {
    let mut out = Vec::new();
    walk(source, root, &mut |level, child| {
        if level == 0 {
            out.push(*child);
        }
        true
    })?;
    Ok(out)
}

/// Shows every child of every node to `see`, a node before what is below it, in the order of the content; what `see` refuses is
/// not gone into. The level told is that of the node that has the child.
pub fn walk<S: ObjectSource>(
    source: &S,
    root: &Digest,
    see: &mut impl FnMut(u64, &Child) -> bool,
) -> Result<(), WalkError<S::Error>> {
    let top = node_at(source, root, None)?;
    down(source, &top, see)
}

fn down<S: ObjectSource>(
    source: &S,
    node: &Node,
    see: &mut impl FnMut(u64, &Child) -> bool,
) -> Result<(), WalkError<S::Error>> {
    for child in &node.children {
        if see(node.level, child) && node.level > 0 {
            let below = node_at(source, &child.digest, Some((node.level - 1, child)))?;
            down(source, &below, see)?;
        }
    }
    Ok(())
}

//! Fetching one content: by row delta or by missing objects, whichever is smaller, from one holder after the other.
//!
//! Always holds: an object is stored only under the digest it hashes to; a delta counts only if what it gives has the wanted root;
//! what a holder gave before it failed stays; the content is listed only when it is whole.

use super::protocol::{Answer, Ask, OBJECTS_MAX, PACKED_LEN_MAX};
use super::{Fetcher, Want};
use bytes::Bytes;
use eport_catalog::{Child, DeltaError, ObjectSource, WalkError, apply_delta, check_node};
use eport_model::{Code, Coded, Digest, NodeId, codec};
use eport_store::{Batch, Error, unpack_delta};
use eport_wire::Purpose;
use std::time::{Duration, Instant};

/// One part must arrive within this time.
const PART_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the first holder is given to get it itself, and how long while it says that it is coming.
const PATIENCE: Duration = Duration::from_millis(600);
const PATIENCE_COMING: Duration = Duration::from_secs(15);
/// Pause between two questions to a holder that does not have it yet.
const ASK_AGAIN: Duration = Duration::from_millis(30);

/// Why a holder did not give a content.
pub(super) enum Why {
    /// It does not have it, or not all of it.
    Absent,
    /// It cannot be reached, or does not answer.
    Link(String),
    /// What it gave is wrong.
    Wrong(String),
    /// It cannot be kept here.
    Here(Code, String),
}

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        Why::Here(error.code(), error.to_string())
    }
}

impl Fetcher<'_> {
    /// Fetches a content from one holder.
    pub(super) async fn from(&mut self, node: NodeId, want: &Want, first: bool) -> Result<(), Why> {
        let store = self.agent.objects().clone();
        let base = want.base;
        // What an earlier attempt left, or damage took, is objects: a delta would bring rows that are here.
        if !store.has_object(&want.root) {
            match self.offer(node, want, first).await? {
                (Some(delta), objects) if delta <= objects => {
                    if let Some(base) = base
                        && self.delta(node, base, want.root).await?
                    {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        self.objects(node, want.root).await
    }

    async fn ask(&mut self, node: NodeId, ask: &Ask) -> Result<Answer, Why> {
        let payload = Bytes::from(codec::encode(ask));
        let answer = self.agent.transport().request(node, Purpose::Catalog, payload, PART_TIMEOUT).await;
        let answer = answer.map_err(|e| Why::Link(e.to_string()))?;
        if answer.is_empty() {
            return Err(Why::Link("it is not ready".into()));
        }
        self.bytes += answer.len() as u64;
        self.agent.pace_catalog(answer.len() as u64).await;
        codec::decode::<Answer>(&answer).map_err(|e| Why::Wrong(e.to_string()))
    }

    /// What it costs. The first holder is waited for: it gets the content itself now.
    async fn offer(&mut self, node: NodeId, want: &Want, first: bool) -> Result<(Option<u64>, u64), Why> {
        let begin = Instant::now();
        loop {
            let patience = match self.ask(node, &Ask::Offer { root: want.root, base: want.base }).await? {
                Answer::Offer { delta, objects } => return Ok((delta, objects)),
                Answer::Coming if first => PATIENCE_COMING,
                Answer::Missing if first && want.fresh => PATIENCE,
                _ => return Err(Why::Absent),
            };
            if begin.elapsed() >= patience {
                return Err(Why::Absent);
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Takes the delta and rebuilds. False: the base here is not whole, objects are needed.
    async fn delta(&mut self, node: NodeId, base: Digest, root: Digest) -> Result<bool, Why> {
        let mut packed: Vec<u8> = Vec::new();
        loop {
            let ask = Ask::Delta { base, root, offset: packed.len() as u64 };
            let Answer::Part { total, bytes } = self.ask(node, &ask).await? else { return Err(Why::Absent) };
            if total > PACKED_LEN_MAX || bytes.is_empty() || packed.len() as u64 + bytes.len() as u64 > total
            {
                return Err(Why::Wrong(format!("a delta of {total} bytes in parts of {}", bytes.len())));
            }
            packed.extend_from_slice(&bytes);
            if packed.len() as u64 == total {
                break;
            }
        }
        let store = self.agent.objects().clone();
        let apply = move || -> Result<bool, Why> {
            let delta = unpack_delta(&packed, eport_catalog::DELTA_LEN_MAX + (1 << 20))
                .map_err(|e| Why::Wrong(e.to_string()))?;
            let mut batch = store.batch();
            match apply_delta(&store, &mut batch, (&base, &root), &delta) {
                Ok(()) => Ok(batch.install(&root).map(|()| true)?),
                Err(DeltaError::Wrong(what)) => Err(Why::Wrong(what.to_owned())),
                Err(DeltaError::Objects(error) | DeltaError::Base(WalkError::Objects(error))) => {
                    match error {
                        // Damage in the base is given up by the store; the content then comes by objects.
                        Error::Damaged { .. } | Error::NoObject { .. } => Ok(false),
                        error => Err(error.into()),
                    }
                }
                Err(DeltaError::Base(_) | DeltaError::NotComparable | DeltaError::TooLong) => Ok(false),
            }
        };
        tokio::task::spawn_blocking(apply).await.unwrap_or_else(|e| Err(Why::Link(e.to_string())))
    }

    /// Takes the objects that are not here, nodes before what is below them, and lists the content.
    async fn objects(&mut self, node: NodeId, root: Digest) -> Result<(), Why> {
        let mut batch = self.agent.objects().batch();
        let done = self.levels(node, root, &mut batch).await;
        // What came stays, whatever ended it.
        let store = batch;
        let end = move || -> Result<(), Why> {
            let mut batch = store;
            match done {
                Ok(()) => Ok(batch.install(&root)?),
                Err(why) => {
                    batch.flush()?;
                    Err(why)
                }
            }
        };
        tokio::task::spawn_blocking(end).await.unwrap_or_else(|e| Err(Why::Link(e.to_string())))
    }

    async fn levels(&mut self, node: NodeId, root: Digest, batch: &mut Batch) -> Result<(), Why> {
        let mut open = vec![(root, None::<(u64, Child)>)];
        while !open.is_empty() {
            let digests: Vec<Digest> = open.iter().map(|(d, _)| *d).collect();
            let bytes = self.nodes(node, &digests, batch).await?;
            let mut below = Vec::new();
            for ((digest, parent), bytes) in open.iter().zip(bytes) {
                let parent = parent.as_ref().map(|(level, child)| (*level, child));
                let found = check_node(&bytes, digest, parent);
                // Every object hashes to what its parent says: the tree itself is wrong, whoever sent it.
                let found = found.map_err(|e| Why::Here(e.code(), e.to_string()))?;
                for child in found.children {
                    below.push((child.digest, found.level.checked_sub(1).map(|level| (level, child))));
                }
            }
            let (nodes, chunks): (Vec<_>, Vec<_>) = below.into_iter().partition(|(_, p)| p.is_some());
            let chunks: Vec<Digest> = chunks.into_iter().map(|(d, _)| d).collect();
            self.chunks(node, &chunks, batch).await?;
            open = nodes;
        }
        Ok(())
    }

    /// The plain bytes of nodes, from here or from the holder.
    async fn nodes(
        &mut self,
        node: NodeId,
        digests: &[Digest],
        batch: &mut Batch,
    ) -> Result<Vec<Vec<u8>>, Why> {
        let store = self.agent.objects().clone();
        let mut found: std::collections::BTreeMap<Digest, Vec<u8>> = std::collections::BTreeMap::new();
        for digest in digests {
            if let Ok(Some(bytes)) = store.get(digest) {
                eport_catalog::ObjectSink::keep(batch, digest)?;
                found.insert(*digest, bytes);
            }
        }
        let mut missing: Vec<Digest> = digests.iter().copied().filter(|d| !found.contains_key(d)).collect();
        missing.sort_unstable();
        missing.dedup();
        self.take(node, missing, batch, &mut |digest, bytes| drop(found.insert(digest, bytes))).await?;
        digests.iter().map(|d| found.get(d).cloned().ok_or(Why::Absent)).collect()
    }

    async fn chunks(&mut self, node: NodeId, digests: &[Digest], batch: &mut Batch) -> Result<(), Why> {
        let mut missing = Vec::new();
        for digest in digests {
            if !eport_catalog::ObjectSink::keep(batch, digest)? {
                missing.push(*digest);
            }
        }
        missing.sort_unstable();
        missing.dedup();
        self.take(node, missing, batch, &mut |_, _| {}).await
    }

    /// Asks for objects until all have come. An answer without any of them: this holder does not have the rest.
    async fn take(
        &mut self,
        node: NodeId,
        mut missing: Vec<Digest>,
        batch: &mut Batch,
        see: &mut (dyn FnMut(Digest, Vec<u8>) + Send),
    ) -> Result<(), Why> {
        while !missing.is_empty() {
            let asked: Vec<Digest> = missing.iter().take(OBJECTS_MAX).copied().collect();
            let Answer::Objects(given) = self.ask(node, &Ask::Objects(asked)).await? else {
                return Err(Why::Absent);
            };
            let before = missing.len();
            let mut got = std::collections::BTreeSet::new();
            for (digest, packed) in given {
                if missing.binary_search(&digest).is_err() {
                    return Err(Why::Wrong(format!("object {} was not asked for", digest.short())));
                }
                // One object has a few milliseconds of work at most, and a yield lies between two answers.
                match tokio::task::block_in_place(|| batch.put_packed(&digest, &packed)) {
                    Ok(bytes) => see(digest, bytes),
                    Err(Error::Damaged { detail, .. }) => {
                        return Err(Why::Wrong(format!("object {}: {detail}", digest.short())));
                    }
                    Err(Error::TooLarge { len, .. }) => {
                        return Err(Why::Wrong(format!("object {} of {len} bytes", digest.short())));
                    }
                    Err(error) => return Err(error.into()),
                }
                got.insert(digest);
            }
            missing.retain(|d| !got.contains(d));
            if missing.len() == before {
                return Err(Why::Absent);
            }
            tokio::task::block_in_place(|| batch.flush())?;
        }
        Ok(())
    }
}

//! Deltas are made once a pair of contents and kept for everybody who asks, within bounds.

use bytes::Bytes;
use eport_catalog::{DeltaError, WalkError, make_delta, walk};
use eport_model::Digest;
use eport_store::{Error, ObjectStore, pack_delta};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Most pairs, and most bytes of their deltas.
const PAIRS_MAX: usize = 64;
const BYTES_MAX: usize = 64 << 20;

/// What a content costs somebody who has the base.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// The packed delta, when there is one and it is smaller than the objects.
    pub delta: Option<Bytes>,
    /// Packed bytes of the objects that the base does not have.
    pub objects: u64,
}

type Pair = (Option<Digest>, Digest);
type Cell = Arc<OnceCell<Option<Offer>>>;

#[derive(Default)]
pub(crate) struct Offers {
    pairs: Mutex<VecDeque<(Pair, Cell)>>,
}

impl Offers {
    /// The offer for a pair, made by the first who asks; `None` when it cannot be made.
    pub(super) async fn get(
        &self,
        objects: &ObjectStore,
        base: Option<Digest>,
        root: Digest,
    ) -> Option<Offer> {
        let cell = self.cell((base, root));
        let store = objects.clone();
        let made = cell.get_or_init(|| async move {
            let make = tokio::task::spawn_blocking(move || make(&store, base, root));
            make.await.ok().flatten()
        });
        let offer = made.await.clone();
        if offer.is_none() {
            // Nothing to remember: what failed may work the next time.
            self.lock().retain(|(p, _)| *p != (base, root));
        }
        self.trim();
        offer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Pair, Cell)>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, pair: Pair) -> Cell {
        let mut pairs = self.lock();
        let cell = match pairs.iter().position(|(p, _)| *p == pair) {
            Some(at) => pairs.remove(at).map(|(_, cell)| cell).unwrap_or_default(),
            None => Cell::default(),
        };
        // Last asked for, last to go.
        pairs.push_back((pair, cell.clone()));
        cell
    }

    fn trim(&self) {
        let mut pairs = self.lock();
        let len = |cell: &Cell| {
            cell.get().and_then(Option::as_ref).and_then(|o| o.delta.as_ref()).map_or(0, Bytes::len)
        };
        while pairs.len() > PAIRS_MAX || pairs.iter().map(|(_, c)| len(c)).sum::<usize>() > BYTES_MAX {
            pairs.pop_front();
        }
    }
}

fn make(store: &ObjectStore, base: Option<Digest>, root: Digest) -> Option<Offer> {
    let objects = missing_len(store, base, root).ok()?;
    let Some(base) = base else { return Some(Offer { delta: None, objects }) };
    let delta = match make_delta(store, &base, &root) {
        Ok(delta) => Bytes::from(pack_delta(&delta).ok()?),
        Err(DeltaError::NotComparable | DeltaError::TooLong) => return Some(Offer { delta: None, objects }),
        Err(error) => {
            tracing::debug!(%error, root = %root.short(), "no delta");
            return None;
        }
    };
    let smaller = (delta.len() as u64) <= objects;
    Some(Offer { delta: smaller.then_some(delta), objects })
}

/// Packed bytes of the objects of a content that another one does not have.
fn missing_len(store: &ObjectStore, base: Option<Digest>, root: Digest) -> Result<u64, WalkError<Error>> {
    let mut have: HashSet<Digest> = HashSet::new();
    if let Some(base) = base {
        have.insert(base);
        walk(store, &base, &mut |_, child| have.insert(child.digest))?;
    }
    let mut len = if have.contains(&root) { 0 } else { store.packed_len(&root).unwrap_or(0) };
    walk(store, &root, &mut |_, child| {
        let fresh = have.insert(child.digest);
        if fresh {
            len += store.packed_len(&child.digest).unwrap_or(0);
        }
        fresh
    })?;
    Ok(len)
}

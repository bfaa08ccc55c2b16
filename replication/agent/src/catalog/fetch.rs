//! Carries out what the fetch of a content decides (`eport_catalog::sync`): questions go over the line, objects into the store.
//!
//! Always holds: the store's own proofs stand behind every object; work on objects is done off the async threads.

use crate::node::Agent;
use bytes::Bytes;
use eport_catalog::sync::{Answer, Ask, Event, Fault, Fetch, Next, Place};
use eport_catalog::{DeltaError, ObjectSink, WalkError, apply_delta};
use eport_model::{Code, Coded, Digest, NodeId, codec};
use eport_store::{Batch, Error, ObjectStore, unpack_delta};
use eport_wire::Purpose;
use std::time::{Duration, Instant};

/// One part must arrive within this time.
const PART_TIMEOUT: Duration = Duration::from_secs(20);

/// How a fetch ended.
pub(super) enum End {
    /// The content is here.
    Whole,
    /// No holder gave it.
    Absent,
    /// It cannot be kept here.
    Here(Code, String),
}

/// The objects of one content on this node. What was put is safe from collection until the fetch has ended.
struct Local {
    store: ObjectStore,
    batch: Batch,
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Damaged { detail, .. } => Fault::Wrong(detail),
        Error::TooLarge { len, .. } => Fault::Wrong(format!("an object of {len} bytes")),
        error => here(error),
    }
}

fn here(error: Error) -> Fault {
    Fault::Here(error.code(), error.to_string())
}

impl Place for Local {
    fn has_object(&self, digest: &Digest) -> bool {
        self.store.has_object(digest)
    }

    fn object(&self, digest: &Digest) -> Option<Vec<u8>> {
        eport_catalog::ObjectSource::get(&self.store, digest).ok().flatten()
    }

    fn keep(&mut self, digest: &Digest) -> Result<bool, Fault> {
        self.batch.keep(digest).map_err(here)
    }

    fn put(&mut self, digest: &Digest, packed: &[u8]) -> Result<Vec<u8>, Fault> {
        self.batch.put_packed(digest, packed).map_err(|e| match fault(e) {
            Fault::Wrong(detail) => Fault::Wrong(format!("object {}: {detail}", digest.short())),
            here => here,
        })
    }

    fn rebuild(&mut self, base: &Digest, root: &Digest, packed: Vec<u8>) -> Result<bool, Fault> {
        let delta = unpack_delta(&packed, eport_catalog::DELTA_LEN_MAX + (1 << 20))
            .map_err(|e| Fault::Wrong(e.to_string()))?;
        match apply_delta(&self.store, &mut self.batch, (base, root), &delta) {
            Ok(()) => self.install(root).map(|()| true),
            Err(DeltaError::Wrong(what)) => Err(Fault::Wrong(what.to_owned())),
            Err(DeltaError::Objects(error) | DeltaError::Base(WalkError::Objects(error))) => match error {
                // Damage in the base is given up by the store; the content then comes by objects.
                Error::Damaged { .. } | Error::NoObject { .. } => Ok(false),
                error => Err(here(error)),
            },
            Err(DeltaError::Base(_) | DeltaError::NotComparable | DeltaError::TooLong) => Ok(false),
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.batch.flush().map_err(here)
    }

    fn install(&mut self, root: &Digest) -> Result<(), Fault> {
        self.batch.install(root).map_err(here)
    }
}

/// Runs a fetch to its end; `wrong` hears of every holder with wrong bytes. Answers the bytes that came as well.
pub(super) async fn run(
    agent: &Agent,
    mut fetch: Fetch,
    mut wrong: impl FnMut(NodeId, String) + Send,
) -> (End, u64) {
    let store = agent.objects().clone();
    let mut place = Local { batch: store.batch(), store };
    let (begin, mut bytes, mut event) = (Instant::now(), 0, Event::Begin);
    loop {
        let now_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let work = move || {
            let next = fetch.step(event, now_ms, &mut place);
            (next, fetch, place)
        };
        let Ok(done) = tokio::task::spawn_blocking(work).await else { return (End::Absent, bytes) };
        let next;
        (next, fetch, place) = done;
        while let Some((node, detail)) = fetch.take_wrong() {
            wrong(node, detail);
        }
        event = match next {
            Next::Ask(node, asked) => ask(agent, node, &asked, &mut bytes).await,
            Next::Wait(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Event::Woke
            }
            Next::Whole => return (End::Whole, bytes),
            Next::Failed(None) => return (End::Absent, bytes),
            Next::Failed(Some((code, detail))) => return (End::Here(code, detail), bytes),
        };
    }
}

/// Asks a holder and counts what came.
async fn ask(agent: &Agent, node: NodeId, ask: &Ask, bytes: &mut u64) -> Event {
    let payload = Bytes::from(codec::encode(ask));
    let answer = match agent.transport().request(node, Purpose::Catalog, payload, PART_TIMEOUT).await {
        // Empty: it is not ready.
        Ok(answer) if !answer.is_empty() => answer,
        Ok(_) => return Event::Silent,
        Err(error) => {
            tracing::debug!(%node, %error, "a holder of catalog content does not answer");
            return Event::Silent;
        }
    };
    *bytes += answer.len() as u64;
    agent.pace_catalog(answer.len() as u64).await;
    codec::decode::<Answer>(&answer).map_or_else(|e| Event::Garbled(e.to_string()), Event::Answer)
}

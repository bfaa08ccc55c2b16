//! Answers to peers that fetch.

use crate::node::Agent;
use bytes::Bytes;
use eport_catalog::sync::{ASK_LEN_MAX, Answer, Ask, OBJECTS_MAX, PART_LEN};
use eport_model::{Digest, codec};
use eport_store::ObjectStore;
use tracing::warn;

/// Answers a peer's question.
pub(crate) async fn serve(agent: &Agent, payload: Bytes) -> Bytes {
    let answer = match codec::decode_with_limit::<Ask>(&payload, ASK_LEN_MAX) {
        Ok(ask) => answer(agent, ask).await,
        Err(_) => Answer::Missing,
    };
    Bytes::from(codec::encode(&answer))
}

async fn answer(agent: &Agent, ask: Ask) -> Answer {
    let objects = agent.objects().clone();
    match ask {
        Ask::Offer { root, base } => {
            if !objects.has(&root) {
                let coming = agent.book().under_way.contains(&root);
                return if coming { Answer::Coming } else { Answer::Missing };
            }
            // A base that is not here is none: the asker then gets objects.
            let base = base.filter(|b| objects.has(b));
            match agent.offers().get(&objects, base, root).await {
                Some(offer) => {
                    let delta = offer.delta.map(|d| d.len() as u64);
                    Answer::Offer { delta, objects: offer.objects }
                }
                None => Answer::Missing,
            }
        }
        Ask::Delta { base, root, offset } => {
            if !objects.has(&root) || !objects.has(&base) {
                return Answer::Missing;
            }
            let Some(delta) = agent.offers().get(&objects, Some(base), root).await.and_then(|o| o.delta)
            else {
                return Answer::Missing;
            };
            let total = delta.len() as u64;
            let from = offset.min(total);
            let to = from.saturating_add(PART_LEN).min(total);
            // Both are at most the length of a slice in memory.
            Answer::Part { total, bytes: bent(delta.slice(from as usize..to as usize)) }
        }
        Ask::Objects(wanted) => {
            let read = tokio::task::spawn_blocking(move || read(&objects, &wanted));
            Answer::Objects(read.await.unwrap_or_default())
        }
    }
}

fn read(objects: &ObjectStore, wanted: &[Digest]) -> Vec<(Digest, Bytes)> {
    let (mut out, mut len) = (Vec::new(), 0u64);
    for digest in wanted.iter().take(OBJECTS_MAX) {
        match objects.object_packed(digest) {
            Ok(Some(packed)) => {
                len += packed.len() as u64;
                if len > PART_LEN && !out.is_empty() {
                    break;
                }
                out.push((*digest, bent(packed)));
            }
            Ok(None) => {}
            Err(error) => warn!(object = %digest.short(), %error, "object cannot be read"),
        }
    }
    out
}

/// A test may say that this node gives wrong bytes.
fn bent(bytes: Bytes) -> Bytes {
    if !eport_failpoint::fails!("catalog.serve", "") {
        return bytes;
    }
    let mut bad = bytes.to_vec();
    if let Some(last) = bad.last_mut() {
        *last ^= 0x20;
    }
    bad.into()
}

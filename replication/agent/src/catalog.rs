//! Fetching catalog objects: every version the registry names, from any node that holds it, same site first.
//!
//! Always holds: an object is stored only under the digest it hashes to; a version is on this node whole or not at all;
//! a fetch that fails is repeated from another holder.

use crate::node::Agent;
use bytes::Bytes;
use eport_model::{Digest, NodeId, codec};
use eport_wire::Purpose;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Bytes asked for at once; a frame of its purpose holds 64 MiB.
const PART_LEN: u64 = 8 << 20;
/// A packed object may have at most so many bytes.
const PACKED_LEN_MAX: u64 = 512 << 20;
/// One part must arrive within this time.
const PART_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a round in which something was missing everywhere.
const RETRY: Duration = Duration::from_millis(250);

#[derive(Serialize, Deserialize)]
struct Want {
    digest: Digest,
    offset: u64,
    len: u64,
}

#[derive(Serialize, Deserialize)]
enum Part {
    /// Bytes of the packed object from the offset, and its whole length.
    Bytes { total: u64, bytes: Bytes },
    /// Not held here.
    Missing,
}

/// Fetches what is missing whenever the registry changes, until the node stops.
pub(crate) async fn follow(agent: Agent) {
    let mut changes = agent.registry().changes();
    loop {
        changes.borrow_and_update();
        let missing = missing(&agent);
        if missing.is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let news = Instant::now();
        let mut failed = false;
        for (name, root) in missing {
            match fetch(&agent, root).await {
                Some(bytes) => {
                    let seconds = news.elapsed().as_secs_f64();
                    info!(table = %name, root = %root.short(), bytes, "table version installed");
                    agent.note_fetched(root, bytes, seconds);
                }
                None => failed = true,
            }
        }
        if failed {
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn missing(agent: &Agent) -> Vec<(String, Digest)> {
    let view = agent.registry().state();
    let mut out = Vec::new();
    for table in view.state.tables() {
        for v in view.state.table_versions(table) {
            if !agent.objects().has(&v.root) && !out.iter().any(|(_, root)| *root == v.root) {
                out.push((format!("{table} {}", v.version), v.root));
            }
        }
    }
    out
}

/// Fetches one object from the first holder that serves it whole; returns its packed length.
async fn fetch(agent: &Agent, root: Digest) -> Option<u64> {
    for node in holders(agent) {
        match fetch_from(agent, node, root).await {
            Ok(Some(packed)) => {
                let objects = agent.objects().clone();
                let len = packed.len() as u64;
                let stored = tokio::task::spawn_blocking(move || objects.put_packed(&root, &packed)).await;
                match stored {
                    Ok(Ok(())) => return Some(len),
                    Ok(Err(error)) => warn!(%node, root = %root.short(), %error, "object refused"),
                    Err(error) => warn!(%error, "object store task failed"),
                }
            }
            Ok(None) => {}
            Err(error) => debug!(%node, root = %root.short(), %error, "object not fetched"),
        }
    }
    None
}

/// Connected nodes, this site's first, then by name: an order that is the same at every attempt.
fn holders(agent: &Agent) -> Vec<NodeId> {
    let view = agent.registry().state();
    let site = |n: NodeId| view.state.node(n).map(|n| n.site);
    let mine = site(agent.me());
    let mut nodes: Vec<NodeId> = agent.transport().connected().borrow().iter().copied().collect();
    nodes.sort_by_key(|n| (site(*n) != mine, *n));
    nodes
}

async fn fetch_from(agent: &Agent, node: NodeId, digest: Digest) -> Result<Option<Vec<u8>>, String> {
    let mut packed: Vec<u8> = Vec::new();
    loop {
        let want = Want { digest, offset: packed.len() as u64, len: PART_LEN };
        let answer = agent
            .transport()
            .request(node, Purpose::Catalog, Bytes::from(codec::encode(&want)), PART_TIMEOUT)
            .await
            .map_err(|e| e.to_string())?;
        if answer.is_empty() {
            return Err("not ready".into());
        }
        match codec::decode::<Part>(&answer).map_err(|e| e.to_string())? {
            Part::Missing => return Ok(None),
            Part::Bytes { total, bytes } => {
                if total > PACKED_LEN_MAX || bytes.is_empty() {
                    return Err(format!("an object of {total} bytes in parts of {}", bytes.len()));
                }
                packed.extend_from_slice(&bytes);
                match (packed.len() as u64).cmp(&total) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return Ok(Some(packed)),
                    std::cmp::Ordering::Greater => return Err("more bytes than announced".into()),
                }
            }
        }
    }
}

/// Answers a peer's request for a part of an object.
pub(crate) async fn serve(agent: &Agent, payload: Bytes) -> Bytes {
    let objects = agent.objects().clone();
    let part = tokio::task::spawn_blocking(move || {
        let Ok(want) = codec::decode_with_limit::<Want>(&payload, 1_024) else { return Part::Missing };
        if !objects.has(&want.digest) {
            return Part::Missing;
        }
        match objects.get_packed(&want.digest) {
            Ok(packed) => {
                let total = packed.len() as u64;
                let from = want.offset.min(total);
                let to = from.saturating_add(want.len.min(PART_LEN)).min(total);
                // Both are at most the length of a slice in memory.
                Part::Bytes { total, bytes: packed.slice(from as usize..to as usize) }
            }
            Err(error) => {
                warn!(digest = %want.digest.short(), %error, "object cannot be read");
                Part::Missing
            }
        }
    })
    .await
    .unwrap_or(Part::Missing);
    Bytes::from(codec::encode(&part))
}

//! Stage, then publish: a content is on every node that needs it before the registry names it as a version (design §4).
//!
//! Who publishes the same version at the same time is told so as soon as another one has it.
//! Always holds: nothing is proposed before every reachable primary and in-sync backup has the content and has proven it, unless the
//! caller forces it; then those that lack it are named in the answer and in the registry. The content stays here until the registry
//! has answered. Any kind of catalog is published through this.

use crate::federation::heard;
use crate::problem::ApiError;
use crate::state::Api;
use eport_catalog::Source;
use eport_model::{Digest, NodeId, codes};
use eport_registry::{CatalogId, Refusal, State};
use eport_store::Batch;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node heard within this time is reachable.
const REACHABLE: Duration = Duration::from_secs(3);
/// How long nodes are waited for, and how long when the caller forces the publication.
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_FORCED: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long nodes are waited for at most, whatever the caller says: as long as a draft lives.
const PATIENCE_MAX: Duration = Duration::from_secs(3_600);

/// How long a publication waits for nodes that lack it, and what follows then.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Patience {
    /// It goes on without them and names them.
    pub force: bool,
    /// How long; 20 s without it, 2 s when it goes on then.
    pub wait: Option<Duration>,
}

/// A content that the nodes have. Kept until the registry has answered.
pub(crate) struct Staged {
    _batch: Batch,
    /// Its root.
    pub root: Digest,
    /// Reachable nodes with a duty that do not have it.
    pub lacking: Vec<NodeId>,
}

/// Stores a content here and brings it to the nodes as the next version of a catalog.
pub(crate) async fn stage(
    api: &Api,
    id: &CatalogId,
    version: u64,
    content: Arc<dyn Source>,
    patience: Patience,
) -> Result<Staged, ApiError> {
    let mut batch = api.agent.objects().batch();
    let stored = tokio::task::spawn_blocking(move || {
        let root = batch.put_source(&*content);
        (batch, root)
    });
    let (batch, root) = stored.await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let root = root?;
    let begin = Instant::now();
    api.agent.stage(id, version, root).await.map_err(|e| ApiError::of(&e))?;
    let force = patience.force;
    let patience = patience.wait.unwrap_or(if force { PATIENCE_FORCED } else { PATIENCE }).min(PATIENCE_MAX);
    loop {
        let newest = api.registry.state().state.table_newest(id).map_or(0, |v| v.version);
        if newest >= version {
            // Somebody else published it meanwhile: nobody fetches this one any more.
            let object = format!("table {id}");
            return Err(ApiError::of(&Refusal::VersionConflict { object, named: version, current: newest }));
        }
        let lacking = lacking(api, root);
        if lacking.is_empty() || (force && begin.elapsed() >= patience) {
            return Ok(Staged { _batch: batch, root, lacking });
        }
        if begin.elapsed() >= patience {
            let names = lacking.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let detail = format!("{id} version {version} is not on {names} after {} s", patience.as_secs());
            return Err(ApiError::new(codes::TABLE_NOT_STAGED, detail));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Primaries and in-sync backups that are reachable and do not have a content.
fn lacking(api: &Api, root: Digest) -> Vec<NodeId> {
    let view = api.registry.state();
    // A content that a version names already is nothing new to anybody: a rollback waits for nobody.
    let known = view.state.catalogs().flat_map(|id| view.state.catalog_versions(id));
    if known.filter(|v| v.keeps_content()).any(|v| v.root == root) {
        return Vec::new();
    }
    let heard = heard(api);
    let reachable = |n: &NodeId| {
        heard.get(n).is_some_and(|(age, soft)| *age < REACHABLE && !soft.catalog.staged.contains(&root))
    };
    on_duty(&view.state).into_iter().filter(|n| *n != api.agent.me()).filter(reachable).collect()
}

fn on_duty(state: &State) -> BTreeSet<NodeId> {
    let mut nodes = BTreeSet::new();
    for placement in state.placements() {
        nodes.insert(placement.primary);
        nodes.extend(placement.backups.iter().filter(|b| b.in_sync).map(|b| b.node));
    }
    nodes.retain(|n| state.is_member(*n));
    nodes
}

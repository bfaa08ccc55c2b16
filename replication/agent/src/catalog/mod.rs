//! Catalog content on one node: what the registry names is fetched, what nobody names goes, what lies here is looked through.
//!
//! Always holds: a content is on this node whole or not at all, under the root that it hashes to; a fetch that fails goes on with
//! another holder and keeps what has come; nothing that a version of the registry, a draft or a bundle needs is collected.

mod book;
mod bundle;
mod fetch;
mod offers;
mod serve;
mod tend;

pub(crate) use book::Book;
pub use book::CatalogSoft;
pub use bundle::{BUNDLE_LEN_MAX, BundleError, Carried};
pub(crate) use offers::Offers;
pub(crate) use serve::serve;
pub(crate) use tend::tend;

use crate::node::Agent;
use eport_catalog::sync::{Fetch, Named, Want, missing};
use eport_catalog::{Member, route};
use eport_model::{Digest, NodeId, Timestamp, codes};
use eport_registry::{DRAFT_LIFE_MS, Draft, State, TableId};
use fetch::End;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// First pause before a catalog that failed is tried again; it doubles four times.
const RETRY: Duration = Duration::from_millis(250);
/// A look without news: damage may have taken something.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the registry may take to name a draft.
const STAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Catalogs that are fetched beside each other.
const BESIDE: usize = 4;

/// A catalog of which something is missing.
struct Missing {
    /// Its name, for people and for the quarantine.
    name: String,
    /// What is missing, in the order in which it is fetched.
    wants: Vec<Want>,
}

/// Versions committed within this time are fresh, in milliseconds.
const FRESH_MS: i64 = 5_000;

/// Drafts that may still be published: those of the next version, for an hour. The registry forgets the others with the next draft
/// that comes; their content goes at once.
fn drafts(state: &State, now: Timestamp) -> impl Iterator<Item = &Draft> {
    let next = |d: &Draft| state.table_newest(&d.catalog).map_or(0, |v| v.version).saturating_add(1);
    state
        .drafts()
        .filter(move |d| d.version == next(d) && now.as_millis() - d.at.as_millis() <= DRAFT_LIFE_MS)
}

/// Roots that must stay: versions that are not retired or withdrawn, and drafts that may still be published.
pub(crate) fn live(state: &State, now: Timestamp) -> BTreeSet<Digest> {
    let kept = state.catalogs().flat_map(|id| state.catalog_versions(id)).filter(|v| v.keeps_content());
    kept.map(|v| v.root).chain(drafts(state, now).map(|d| d.root)).collect()
}

/// [`live`], and what bundles brought to this node.
pub(crate) fn live_here(agent: &Agent) -> BTreeSet<Digest> {
    let mut roots = live(&agent.registry().state().state, agent.clock().wall());
    roots.extend(agent.carried().iter().map(|v| v.root));
    roots
}

/// Fetches what is missing whenever the registry changes, until the node stops. A catalog that takes long, or fails, holds up no
/// other; one that fails is tried again after a pause that grows.
pub(crate) async fn follow(agent: Agent) {
    use futures::StreamExt;
    let mut changes = agent.registry().changes();
    let mut fetches = futures::stream::FuturesUnordered::new();
    let mut running: BTreeSet<TableId> = BTreeSet::new();
    let mut failed: BTreeMap<TableId, (u32, Instant)> = BTreeMap::new();
    let mut told = Vec::new();
    loop {
        changes.borrow_and_update();
        agent.tell_of_tables(&mut told);
        let now = Instant::now();
        let wanted = wanted(&agent);
        failed.retain(|id, _| wanted.contains_key(id));
        for (id, missing) in wanted {
            let pausing = failed.get(&id).is_some_and(|(_, until)| *until > now);
            if fetches.len() < BESIDE && !pausing && running.insert(id.clone()) {
                let agent = &agent;
                fetches.push(async move { (one_catalog(agent, missing, now).await, id) });
            }
        }
        let pause = if failed.is_empty() { LOOK_EVERY } else { RETRY };
        tokio::select! {
            Some((whole, id)) = fetches.next(), if !fetches.is_empty() => {
                running.remove(&id);
                if whole {
                    failed.remove(&id);
                } else {
                    let times = failed.get(&id).map_or(0, |(times, _)| *times);
                    let pause = RETRY * 2u32.pow(times.min(4));
                    failed.insert(id, (times + 1, Instant::now() + pause));
                }
            }
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Fetches the missing contents of one catalog, the oldest first: each is the base of the next.
async fn one_catalog(agent: &Agent, missing: Missing, news: Instant) -> bool {
    for want in missing.wants {
        if !agent.objects().has(&want.root) && !fetch(agent, &missing.name, want, news).await {
            return false;
        }
    }
    true
}

/// What is missing, by catalog.
fn wanted(agent: &Agent) -> BTreeMap<TableId, Missing> {
    let view = agent.registry().state();
    let (state, objects, now) = (&view.state, agent.objects(), agent.clock().wall());
    let mut out = BTreeMap::new();
    for id in state.catalogs() {
        let versions = state.catalog_versions(id).filter(|v| v.keeps_content());
        let versions = versions.map(|v| (v.root, v.origin, v.published_at));
        let drafts = drafts(state, now).filter(|d| d.catalog == *id).map(|d| (d.root, Some(d.by), d.at));
        let named = versions.chain(drafts).map(|(root, origin, at)| {
            let fresh = now.as_millis() - at.as_millis() < FRESH_MS;
            Named { root, origin, fresh }
        });
        let wants = missing(&named.collect::<Vec<_>>(), |root| objects.has(root));
        if !wants.is_empty() {
            out.insert(id.clone(), Missing { name: id.to_string(), wants });
        }
    }
    out
}

/// Fetches one content from the first holder that gives it whole.
async fn fetch(agent: &Agent, name: &str, want: Want, news: Instant) -> bool {
    let root = want.root;
    agent.book().under_way.insert(root);
    let begun = Instant::now();
    let holders: Vec<NodeId> =
        holders(agent, &want).into_iter().filter(|n| !agent.book().is_quarantined(*n, name, begun)).collect();
    let (end, came) = fetch::run(agent, Fetch::new(want, holders), |node, detail| {
        let code = codes::CATALOG_WRONG_BYTES;
        error!(%node, catalog = %name, %code, detail, "a peer gave wrong bytes; it is not asked again for a while");
        agent.book().quarantine(node, name, Instant::now());
        agent.tell_soon();
    })
    .await;
    let whole = matches!(end, End::Whole);
    let bytes = {
        let mut book = agent.book();
        book.under_way.remove(&root);
        let bytes = came + book.partial.remove(&root).unwrap_or(0);
        if !whole {
            book.partial.insert(root, bytes);
        }
        bytes
    };
    match end {
        End::Whole => {
            let seconds = news.elapsed().as_secs_f64();
            info!(catalog = %name, root = %root.short(), bytes, "catalog content installed");
            agent.book().trouble(name, None);
            agent.note_fetched(root, bytes, seconds);
        }
        End::Absent => {}
        End::Here(code, detail) => {
            warn!(catalog = %name, %code, detail, "content cannot be kept here; it is tried again");
            agent.book().trouble(name, Some((code, format!("{name}: {detail}"))));
            agent.tell_soon();
        }
    }
    whole
}

/// Connected members in the order in which this node asks them.
fn holders(agent: &Agent, want: &Want) -> Vec<NodeId> {
    let view = agent.registry().state();
    let connected = agent.transport().connected().borrow().clone();
    let here = |n: NodeId| n == agent.me() || connected.contains(&n);
    let members = view.state.nodes().filter(|n| n.is_member() && here(n.id));
    let members: Vec<Member> = members.map(|n| Member { node: n.id, site: n.site }).collect();
    let origin = want.origin.filter(|o| members.iter().any(|m| m.node == *o));
    route(agent.me(), &members, origin, &want.root)
}

impl Agent {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book_lock().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps fetches below the configured rate.
    pub(crate) async fn pace_catalog(&self, bytes: u64) {
        let rate = self.catalog_settings().fetch_bytes_s;
        if rate > 0 {
            tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
        }
    }

    /// Bytes fetched and seconds for a content; zeros where it came in here.
    pub(crate) fn fetched(&self, root: &Digest) -> (u64, f64) {
        self.book().fetched.get(root).copied().unwrap_or_default()
    }

    pub(crate) fn note_fetched(&self, root: Digest, bytes: u64, seconds: f64) {
        self.book().fetched.insert(root, (bytes, seconds));
        self.tell_soon();
    }

    /// Asks the other nodes to fetch a content that lies here, before it is published.
    pub async fn stage(
        &self,
        id: &TableId,
        version: u64,
        root: Digest,
    ) -> Result<(), eport_consensus::ProposeError> {
        let op = eport_registry::Op::StageTable { table: id.clone(), version, root };
        let command = self.command("stage", op);
        self.registry().propose(command, STAGE_TIMEOUT).await.map(|_| ())
    }

    /// What this node says of its catalogs.
    pub(crate) fn catalog_soft(&self) -> CatalogSoft {
        let view = self.registry().state();
        let now = self.clock().wall();
        let staged = drafts(&view.state, now).map(|d| d.root).filter(|r| self.objects().has(r)).collect();
        let figures = self.objects().figures();
        let book = self.book();
        CatalogSoft {
            staged,
            objects: figures.objects,
            bytes: figures.bytes,
            damaged: figures.damaged,
            collected: book.collected,
            scrubbed: book.scrubbed,
            scrubs: book.scrubs,
            wrong: book.wrong,
            quarantined: book.in_quarantine(Instant::now()),
            troubles: book.troubles(),
        }
    }
}

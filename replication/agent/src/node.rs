//! The agent of one node: which platforms it keeps, how frames reach them, what it tells its peers.
//!
//! The registry decides what this node keeps; the agent follows it. A platform that the registry no longer names here keeps
//! its task and its data: nothing is ever wiped automatically.

mod duties;
mod facts;
mod hosting;
mod kept;
mod messages;

use crate::checkpoints::Checkpoints;
use crate::clock::Clock;
use crate::coordinator::{self, SealReports};
use crate::lease::{self, Desk};
use crate::platform::{Context, EVENTS, Event, Task, recovered, soft};
use crate::soft::{PlatformSoft, SoftBoard, SoftState, TableSoft};
use crate::tails::Tails;
use crate::verification::{self, Scrubs, Verification};
use crate::view::placement_view;
use crate::{Error, PlatformHandle, catalog, steps};
use bytes::Bytes;
use eport_consensus::Registry;
use eport_model::{Digest, Lineage, NodeId, Position, RegionCode, Software, codec};
use eport_registry::{HeadReport, NodeChange, Op, Placement, State};
use eport_store::{DataDir, JournalWriter, ObjectStore, PlatformStore, Shared, WriterLimits};
use eport_transport::{Peer, Transport};
use eport_wire::Purpose;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// How often a node tells its peers how far it is.
const SOFT_EVERY: Duration = Duration::from_millis(500);
/// How often a node looks at how much disk its platforms take; between two looks their journals are counted.
const DISK_EVERY: Duration = Duration::from_secs(5);
/// How often journal heads are published in the registry (design §3: at most once a minute).
const HEADS_EVERY: Duration = Duration::from_secs(60);
/// How long one command of the agent may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// How catalog content is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogSettings {
    /// Bytes fetched in a second at most, a catalog; 0: as fast as the line is. Default 64 MiB.
    pub fetch_bytes_s: u64,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self { fetch_bytes_s: 64 << 20 }
    }
}

/// What the agent needs to know of its node.
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Its home platform.
    pub home: RegionCode,
    /// The federation's history.
    pub lineage: Lineage,
    /// The histories it descends from as far as the data directory knows, the parent first.
    pub ancestors: Vec<Lineage>,
    /// Bounds of each platform's replica.
    pub limits: eport_journal::Limits,
    /// How checkpoints are given to backups.
    pub bootstrap: crate::Bootstrap,
    /// Start of the process in wall milliseconds.
    pub incarnation: u64,
    /// Version of the software, and the digest of its file once that is known: SHA-256 over a large file takes a moment.
    pub software: watch::Receiver<Software>,
    /// How often and how fast this node verifies what it keeps.
    pub verification: Verification,
    /// How catalog content is fetched.
    pub catalog: crate::CatalogSettings,
    /// Signs heads of journals. `None`: none are signed here.
    pub signer: Option<eport_consensus::StepSigner>,
}

/// The agent. Cheap to clone; stops with `shutdown`.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Hosted {
    handle: PlatformHandle,
    events: mpsc::Sender<Event>,
    number_cursor: Arc<AtomicU64>,
    /// Placement version and record format that the task was told last.
    seen: (u64, u16),
}

struct Inner {
    config: Config,
    clock: Clock,
    data: DataDir,
    shared: Shared,
    objects: ObjectStore,
    registry: Registry,
    transport: Transport,
    board: Arc<SoftBoard>,
    platforms: RwLock<BTreeMap<RegionCode, Hosted>>,
    hosted: watch::Sender<u64>,
    /// Platforms that could not be opened, and why; tried again at the next start.
    broken: Mutex<BTreeMap<RegionCode, String>>,
    /// Last records of journals that lie here without a duty.
    kept: Mutex<BTreeMap<RegionCode, Position>>,
    book: Mutex<catalog::Book>,
    offers: catalog::Offers,
    scrub_asked: Notify,
    carried: Mutex<Vec<eport_registry::TableVersion>>,
    /// What is told of the backups that this node makes by schedule.
    backup_set: Mutex<Option<crate::BackupSetSoft>>,
    reports: Arc<SealReports>,
    desk: Arc<Desk>,
    tails: Tails,
    scrubs: Arc<Scrubs>,
    archives: Mutex<BTreeMap<RegionCode, crate::ArchiveSoft>>,
    /// A platform that could not be opened may be opened now.
    reopen: Notify,
    checkpoints: Checkpoints,
    news: Arc<Notify>,
    ready: watch::Sender<bool>,
    certificate: Mutex<(i64, i64)>,
    lists: Mutex<Vec<(Digest, u64)>>,
    heard_registry: Mutex<Option<Instant>>,
    fatal: watch::Sender<Option<String>>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The registry's placement of `region` as a platform's task wants it; `None` when it has none.
pub(crate) fn placement_event(state: &State, region: RegionCode, linearizable: bool) -> Option<Event> {
    let placement: &Placement = state.placement(region)?;
    let numbers = state.number_blocks(region, placement.epoch).iter().map(|b| (b.start, b.len)).collect();
    let view = Box::new(placement_view(state, placement));
    Some(Event::Placement { placement: Arc::new(placement.clone()), view, numbers, linearizable })
}

impl Agent {
    /// Starts the agent: opens what the registry already names and follows it from then on.
    pub async fn start(
        config: Config,
        data: DataDir,
        shared: Shared,
        objects: ObjectStore,
        registry: Registry,
        transport: Transport,
        board: Arc<SoftBoard>,
    ) -> Result<Self, Error> {
        let tails = Tails::new(data.tails());
        let checkpoints = Checkpoints::new(config.bootstrap);
        let inner = Inner {
            config,
            clock: Clock::start(),
            data,
            shared,
            objects,
            registry,
            transport,
            board,
            platforms: RwLock::default(),
            hosted: watch::Sender::new(0),
            broken: Mutex::default(),
            kept: Mutex::default(),
            book: Mutex::default(),
            offers: catalog::Offers::default(),
            scrub_asked: Notify::new(),
            carried: Mutex::default(),
            backup_set: Mutex::default(),
            reports: Arc::default(),
            desk: Arc::default(),
            tails,
            scrubs: Arc::default(),
            archives: Mutex::default(),
            reopen: Notify::new(),
            checkpoints,
            news: Arc::default(),
            ready: watch::Sender::new(false),
            certificate: Mutex::default(),
            lists: Mutex::default(),
            heard_registry: Mutex::default(),
            fatal: watch::Sender::new(None),
            stop: CancellationToken::new(),
            tasks: Mutex::default(),
        };
        let agent = Self { inner: Arc::new(inner) };
        tokio::task::block_in_place(|| agent.look_for_journals())?;
        tokio::task::block_in_place(|| agent.load_carried());
        // Subscribed before the first look, so that no change falls between the two.
        let changes = agent.inner.registry.changes();
        agent.follow_registry_once().await?;
        agent.spawn(agent.clone().follow_registry(changes));
        agent.spawn(agent.clone().tell_peers());
        agent.spawn(agent.clone().publish_heads());
        agent.spawn(agent.clone().introduce());
        agent.spawn(agent.clone().keep_numbers());
        agent.spawn(agent.clone().measure_disks());
        agent.spawn(agent.clone().keep_tails());
        agent.spawn(agent.clone().keep_checkpoints());
        agent.spawn(catalog::follow(agent.clone()));
        agent.spawn(catalog::tend(agent.clone()));
        agent.spawn(coordinator::follow(agent.clone()));
        agent.spawn(lease::follow(agent.clone()));
        agent.spawn(crate::drills::follow(agent.clone()));
        agent.spawn(verification::follow(agent.clone()));
        agent.spawn(crate::erasures::follow(agent.clone()));
        Ok(agent)
    }

    /// A task of the agent that ends or panics while the node runs is fatal: without it the node would only look alive.
    pub(crate) fn spawn(&self, task: impl std::future::Future<Output = ()> + Send + 'static) {
        let (stop, fatal) = (self.inner.stop.clone(), self.inner.fatal.clone());
        let running = tokio::spawn(async move {
            tokio::select! { () = task => {}, () = stop.cancelled() => {} }
        });
        let stop = self.inner.stop.clone();
        let handle = tokio::spawn(async move {
            if let Err(error) = running.await
                && !stop.is_cancelled()
            {
                error!(%error, "a task of the agent panicked");
                fatal.send_replace(Some(format!("a task of the agent panicked: {error}")));
            }
        });
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    fn platforms_read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<RegionCode, Hosted>> {
        self.inner.platforms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn platforms_write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<RegionCode, Hosted>> {
        self.inner.platforms.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every task. Platform tasks answer nobody any more; their writers finish what they took.
    pub async fn shutdown(&self) {
        self.set_ready(false);
        self.inner.stop.cancel();
        let tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                error!(%error, "a task of the agent panicked");
            }
        }
    }

    async fn follow_registry(self, mut changes: watch::Receiver<u64>) {
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.inner.reopen.notified() => {}
            }
            if let Err(error) = self.follow_registry_once().await {
                error!(%error, "a platform cannot be opened");
                self.inner.fatal.send_replace(Some(error.to_string()));
                return;
            }
        }
    }

    async fn follow_registry_once(&self) -> Result<(), Error> {
        let view = self.inner.registry.state();
        let state = &view.state;
        let me = self.me();
        let peers = state
            .nodes()
            .filter(|n| n.is_member() && n.id != me)
            .filter_map(|n| n.quic.parse().ok().map(|addr| Peer { node: n.id, addr }))
            .collect::<Vec<_>>();
        if !peers.is_empty() {
            self.inner.transport.set_peers(peers);
        }
        self.inner.board.retain(|n| state.is_member(n));
        self.host_named(state);
        for placement in state.placements() {
            let Some(known) = self.platforms_read().get(&placement.region).map(|h| h.seen) else {
                continue;
            };
            let numbers = state.number_blocks(placement.region, placement.epoch).len() as u64;
            // A refill changes the blocks without the placement: both make up what the task has seen.
            let version = placement.version.wrapping_mul(1 << 16).wrapping_add(numbers);
            let seen = (version, state.read_by_all(placement));
            if known != seen {
                let events = match self.platforms_write().get_mut(&placement.region) {
                    Some(hosted) => {
                        hosted.seen = seen;
                        hosted.events.clone()
                    }
                    None => continue,
                };
                if let Some(event) = placement_event(state, placement.region, false) {
                    // The task ends only with the node.
                    let _ = events.send(event).await;
                }
            }
        }
        Ok(())
    }

    fn broken(&self) -> std::sync::MutexGuard<'_, BTreeMap<RegionCode, String>> {
        self.inner.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Platforms that this node should keep and could not open.
    pub(crate) fn broken_platforms(&self) -> Vec<RegionCode> {
        self.broken().keys().copied().collect()
    }

    /// What kept a platform from opening is mended: it is opened like any other.
    pub(crate) fn open_again(&self, region: RegionCode) {
        self.broken().remove(&region);
        self.inner.reopen.notify_one();
    }

    pub(crate) fn platform_dir(&self, region: RegionCode) -> std::path::PathBuf {
        self.inner.data.platform(region)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Notes what of a platform's journal lies in an archive, for everybody who looks at this node.
    pub fn note_archive(&self, region: RegionCode, archive: crate::ArchiveSoft) {
        self.inner.archives.lock().unwrap_or_else(PoisonError::into_inner).insert(region, archive);
    }

    pub(crate) fn archived(&self, region: RegionCode) -> Option<crate::ArchiveSoft> {
        self.inner.archives.lock().unwrap_or_else(PoisonError::into_inner).get(&region).cloned()
    }

    pub(crate) fn scrubs(&self) -> &Scrubs {
        &self.inner.scrubs
    }

    pub(crate) fn scrubs_shared(&self) -> Arc<Scrubs> {
        self.inner.scrubs.clone()
    }

    pub(crate) fn signer(&self) -> Option<&eport_consensus::StepSigner> {
        self.inner.config.signer.as_ref()
    }

    /// Bytes that are no command, signed with the key of this node's certificate: certificate and signature, both DER. `None` when it
    /// cannot sign.
    pub fn vouch(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        self.signer()?.bytes(bytes)
    }

    /// Has this node vouch for the newest committed record of a platform of which it is the open primary: what it covers, and the
    /// record that says so. `None` when it is not, cannot sign, a holder does not read signed heads, or it was not confirmed.
    pub async fn sign_head(&self, region: RegionCode) -> Option<(Position, Position)> {
        crate::verification::sign_head(self, &self.platform(region)?).await
    }

    /// How often and how fast this node verifies.
    pub fn verification(&self) -> Verification {
        self.inner.config.verification
    }

    fn is_broken(&self, region: RegionCode) -> bool {
        self.broken().contains_key(&region)
    }

    fn host(&self, region: RegionCode) -> Result<(), Error> {
        let inner = &self.inner;
        let fail = |source| Error::Store { region, source };
        let dir = inner.data.platform(region);
        let (store, found) = PlatformStore::open_descended(
            &dir,
            inner.config.lineage,
            &self.ancestors(),
            region,
            &inner.shared,
        )
        .map_err(fail)?;
        self.kept().remove(&region);
        let recovered = recovered(&store, found).map_err(fail)?;
        self.find_checkpoints(region);
        info!(%region, last = %recovered.last, applied = %recovered.applied.index, "platform opened");
        let (done_tx, done) = mpsc::unbounded_channel();
        let writer = JournalWriter::start(
            store.clone(),
            WriterLimits::default(),
            Some(verification::marks_to(region, done_tx.clone(), self.scrubs_shared())),
        )
        .map_err(fail)?;
        let (events, inbox) = mpsc::channel(EVENTS);
        let context = Arc::new(Context {
            me: inner.config.me,
            home: inner.config.home,
            lineage: inner.config.lineage,
            clock: inner.clock,
            registry: inner.registry.clone(),
            transport: inner.transport.clone(),
            tails: inner.data.tails(),
            free: self.free_measure(),
            reports: inner.reports.clone(),
            news: inner.news.clone(),
            desk: inner.desk.clone(),
            stop: inner.stop.clone(),
        });
        let (task, status, outputs) = Task::new(
            context,
            store.clone(),
            recovered,
            writer,
            inner.config.limits.clone(),
            (inbox, events.downgrade()),
            (done_tx, done),
        );
        let number_cursor = Arc::new(AtomicU64::new(0));
        let handle = PlatformHandle::new(region, store, events.clone(), status, number_cursor.clone());
        self.platforms_write().insert(region, Hosted { handle, events, number_cursor, seen: (0, 0) });
        self.spawn_platform(region, task.run(outputs));
        inner.hosted.send_modify(|n| *n += 1);
        Ok(())
    }

    /// A platform's task that ends or panics while the node runs is fatal: its callers would wait for ever.
    fn spawn_platform(
        &self,
        region: RegionCode,
        task: impl std::future::Future<Output = ()> + Send + 'static,
    ) {
        let agent = self.clone();
        let running = tokio::spawn(task);
        let watcher = tokio::spawn(async move {
            let ended = running.await;
            if !agent.inner.stop.is_cancelled() {
                let text = format!("task of platform {region} ended: {ended:?}");
                error!(%region, ?ended, "the task of a platform ended");
                agent.inner.fatal.send_replace(Some(text));
            }
        });
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    pub(crate) fn checkpoints(&self) -> &Checkpoints {
        &self.inner.checkpoints
    }

    pub(crate) fn data_dir(&self) -> &DataDir {
        &self.inner.data
    }

    pub(crate) fn journal_limits(&self) -> &eport_journal::Limits {
        &self.inner.config.limits
    }

    /// Measures the free space for those who outlive a borrow of the agent.
    fn free_measure(&self) -> Box<dyn Fn() -> Option<u64> + Send + Sync> {
        let inner = Arc::downgrade(&self.inner);
        Box::new(move || inner.upgrade()?.data.free_bytes().ok())
    }

    pub(crate) fn tails(&self) -> &Tails {
        &self.inner.tails
    }

    /// Bytes free where this node keeps its data; `None` when that cannot be measured.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.inner.data.free_bytes().ok()
    }

    /// Bytes free, and in all, of the disk where this node keeps its data; `None` when that cannot be measured.
    pub fn disk(&self) -> Option<(u64, u64)> {
        self.inner.data.space().ok()
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    pub(crate) fn grace_ms(&self) -> u64 {
        self.inner.config.limits.grace_ms
    }

    /// Answers a primary that asks to renew a lease.
    pub(crate) fn serve_lease(&self, from: NodeId, payload: &[u8]) -> Bytes {
        self.inner.desk.serve(&self.inner.registry, from, payload)
    }

    pub(crate) fn reports(&self) -> &SealReports {
        &self.inner.reports
    }

    /// Answers a peer that fetches a catalog object.
    pub(crate) async fn serve_catalog(&self, payload: Bytes) -> Bytes {
        catalog::serve(self, payload).await
    }

    pub(crate) fn book_lock(&self) -> &Mutex<catalog::Book> {
        &self.inner.book
    }

    pub(crate) fn carried_lock(&self) -> &Mutex<Vec<eport_registry::TableVersion>> {
        &self.inner.carried
    }

    pub(crate) fn offers(&self) -> &catalog::Offers {
        &self.inner.offers
    }

    pub(crate) fn catalog_settings(&self) -> crate::CatalogSettings {
        self.inner.config.catalog
    }

    pub(crate) fn scrub_asked(&self) -> &Notify {
        &self.inner.scrub_asked
    }

    /// Has this node look through its catalog objects now.
    pub fn scrub_catalog(&self) {
        self.inner.scrub_asked.notify_one();
    }

    /// Peers hear of this node at once.
    pub(crate) fn tell_soon(&self) {
        self.inner.news.notify_one();
    }
}

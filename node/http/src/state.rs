//! What every handler holds: the engines of this node and the platforms it serves.

use crate::chains::Chains;
use crate::desk::Desk;
use crate::lists::Lists;
use crate::metrics::Counters;
use crate::packs::PackService;
use crate::shelf::CaShelf;
use crate::tables::TableService;
use eport_agent::{Agent, PlatformHandle};
use eport_consensus::Registry;
use eport_model::{RegionCode, Timestamp};
use eport_platform::{Hosting, Platform};
use eport_spool::Spool;
use eport_tls::Tls;
use eport_transport::Transport;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Longest wait of a write for its backups.
    pub write_timeout: Duration,
    /// Largest body of a request in bytes.
    pub body_len_max: usize,
    /// Largest file of a table in bytes; it comes in on the disk.
    pub table_file_len_max: u64,
    /// Where files of tables lie while they are read.
    pub spool: Spool,
    /// The trust bundle as PEM, served to anybody.
    pub trust_pem: Vec<u8>,
    /// Folder for journal exports that callers fetch.
    pub exports: PathBuf,
    /// Timing of the registry, which a node that joins must share.
    pub registry_profile: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The configuration in force, as text.
    pub shown: String,
    /// The newest lines of the log.
    pub log: crate::RecentLog,
}

/// Reads of documents that use a blocking thread at once; replication needs the others.
const READERS_MAX: usize = 64;

/// Starts the business side of a platform that this node keeps.
pub type PlatformFactory = Box<dyn Fn(PlatformHandle) -> Platform + Send + Sync>;

/// Shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

/// The parts behind [`Api`].
pub struct Inner {
    /// Settings.
    pub config: ApiConfig,
    /// The registry.
    pub registry: Registry,
    /// Connections to other nodes.
    pub transport: Transport,
    /// Tasks of this node.
    pub agent: Agent,
    /// Verifies forwarded chains.
    pub tls: Tls,
    /// Code tables.
    pub tables: Arc<TableService>,
    /// Packs by instant.
    pub packs: Arc<PackService>,
    /// The CAs whose keys are on this node.
    pub cas: Arc<CaShelf>,
    /// When the API was put together.
    pub started: Instant,
    /// Revocation lists of issuing CAs, as this node has them.
    pub lists: Arc<Lists>,
    /// Chains of forwarded callers, verified lately.
    pub chains: Chains,
    /// Access: its log, lockouts, sessions, the time seen.
    pub desk: Desk,
    /// Counters for `/metrics`.
    pub counters: Counters,
    /// True while the node takes requests; the text says why not.
    pub ready: watch::Receiver<Result<(), String>>,
    /// Reads that may use blocking threads at once.
    pub readers: Arc<Semaphore>,
    /// Questions about statistics that are answered at once.
    pub statistics: Arc<Semaphore>,
    /// How this node is shared among the platforms it hosts.
    pub hosting: Hosting,
    /// One journal export at a time.
    pub exporting: Arc<Semaphore>,
    /// One measurement of the disk at a time.
    pub measuring: tokio::sync::Mutex<()>,
    platforms: RwLock<BTreeMap<RegionCode, Platform>>,
    factory: PlatformFactory,
}

impl Deref for Api {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    /// Puts the parts together.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: ApiConfig,
        registry: Registry,
        transport: Transport,
        agent: Agent,
        tls: Tls,
        tables: Arc<TableService>,
        packs: Arc<PackService>,
        cas: Arc<CaShelf>,
        lists: Arc<Lists>,
        ready: watch::Receiver<Result<(), String>>,
        hosting: Hosting,
        desk: Desk,
        factory: PlatformFactory,
    ) -> Self {
        let (counters, platforms) = (Counters::default(), RwLock::default());
        let (readers, exporting) = (Arc::new(Semaphore::new(READERS_MAX)), Arc::new(Semaphore::new(1)));
        Self(Arc::new(Inner {
            config,
            registry,
            transport,
            agent,
            tls,
            tables,
            packs,
            cas,
            started: Instant::now(),
            lists,
            chains: Chains::default(),
            desk,
            counters,
            ready,
            readers,
            statistics: Arc::new(Semaphore::new(1)),
            hosting,
            exporting,
            measuring: tokio::sync::Mutex::default(),
            platforms,
            factory,
        }))
    }

    /// The business side of a platform kept here; started when first asked for.
    pub fn platform(&self, region: RegionCode) -> Option<Platform> {
        if let Some(found) = self.platforms.read().unwrap_or_else(PoisonError::into_inner).get(&region) {
            return Some(found.clone());
        }
        let handle = self.agent.platform(region)?;
        let mut platforms = self.platforms.write().unwrap_or_else(PoisonError::into_inner);
        // Two requests may arrive first together: only one sequencer may ever run for a platform.
        Some(platforms.entry(region).or_insert_with(|| (self.factory)(handle)).clone())
    }

    /// Now, by this node's wall clock.
    pub fn now(&self) -> Timestamp {
        self.agent.clock().wall()
    }
}

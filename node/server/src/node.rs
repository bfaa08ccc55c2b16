//! Start, run, stop.

use crate::archive::Archiver;
use crate::backups::Backups;
use crate::config::Config;
use crate::keeper::Keeper;
use crate::revoked::Revoked;
use crate::service::Systemd;
use crate::telemetry::Telemetry;
use crate::{Exit, founding};
use eport_agent::{Agent, Clock, Dispatcher, PlatformHandle};
use eport_consensus::{Profile, Registry};
use eport_http::{Api, ApiConfig, Lists, PackService, Receiver, TableService};
use eport_model::codes;
use eport_platform::{Hosting, Platform};
use eport_store::{Budget, DataDir, ObjectStore, RegistryStore, Shared};
use eport_tls::{Identity, Tls};
use eport_transport::{Peer, Transport};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Room on the disk that files of tables never take: journals lie there too. 512 MiB.
const IMPORT_KEEPS_FREE: u64 = 512 << 20;

/// A node does not start with less free space than this: a full disk in the first minute helps nobody.
const FREE_BYTES_MIN: u64 = 64 << 20;

type Ready = Result<(), String>;

/// Everything that was started, in order, to be stopped in the other order.
struct Running {
    transport: Transport,
    registry: Registry,
    agent: Agent,
    keeper: Arc<Keeper>,
    backups: Option<Backups>,
    archiver: Option<Archiver>,
    revoked: Arc<tokio::sync::Notify>,
    lists: Arc<tokio::sync::Notify>,
    renewal: Arc<tokio::sync::Notify>,
    trust: Arc<tokio::sync::Notify>,
    tls: Tls,
    listeners: Vec<tokio::task::JoinHandle<()>>,
    stop: watch::Sender<bool>,
    _data: PathBuf,
}

/// Runs the daemon until SIGTERM, SIGINT or a fatal error.
pub async fn run(config: Config, config_path: PathBuf, telemetry: Telemetry) -> Result<(), Exit> {
    let (ready_tx, ready) = watch::channel::<Ready>(Err("starting".into()));
    let running = start(&config, ready, telemetry.recent()).await?;
    let readiness = tokio::spawn(watch_readiness(
        running.registry.clone(),
        running.agent.clone(),
        running.keeper.clone(),
        ready_tx.clone(),
    ));
    let service =
        tokio::spawn(crate::service::tell(Arc::new(Systemd::of_environment()), ready_tx.subscribe()));
    let ended = wait(&config_path, &running, &telemetry).await;
    Systemd::of_environment().say("STOPPING=1");
    service.abort();
    readiness.abort();
    drop(ready_tx.send_replace(Err("stopping".into())));
    running.agent.set_ready(false);
    stop(running).await;
    ended
}

async fn start(
    config: &Config,
    ready: watch::Receiver<Ready>,
    log: eport_http::RecentLog,
) -> Result<Running, Exit> {
    crate::release::check(&config.release)?;
    let software = crate::release::software();
    crate::custody::guard(config);
    let clock = Clock::start();
    let fresh = eport_store::NodeFile::read(&config.node.data_dir)?.is_none();
    refuse_used_id(config, fresh)?;
    let data =
        DataDir::open(&config.node.data_dir, config.node.id, config.federation.lineage, FREE_BYTES_MIN)?;
    info!(node = %config.node.id, site = %config.node.site, dir = %data.path().display(), "data directory taken");
    match crate::slots::Slots::new(&config.tls.cert, &config.tls.key).settle() {
        Ok(false) => {}
        Ok(true) => info!("a renewal that was cut short is finished"),
        Err(error) => warn!(%error, "a renewal that was cut short cannot be finished"),
    }
    let trust = crate::trust::usable(&crate::trust::file(config, data.path()), config);
    let (tls, ended) = Tls::from_files_even_ended(
        &config.tls.cert,
        &config.tls.key,
        &trust,
        config.federation.trust_domain.clone(),
    )
    .map_err(|e| Exit::of_tls(&e))?;
    if ended {
        warn!(code = %codes::CERT_EXPIRED, "this node's certificate has ended: peers refuse it until it is renewed");
    }
    // Before anything listens or dials: a restart makes nobody welcome again.
    let revoked = Revoked::open(data.path(), &tls)?;
    let node_key = Keeper::open_key(config)?;
    let bytes = config.limits.memory_mib << 20;
    let shared =
        Shared::new(Budget { cache_bytes: bytes / 4 * 3, buffer_bytes: bytes / 4, ..Budget::default() })?;
    let objects = ObjectStore::open(&data.objects())?;
    let registry_store = RegistryStore::open(&data.registry())?;
    // Listen before anything is announced, so that a taken port ends the start early.
    let api_listener = listen(config.listen.api).await?;
    let metrics_listener = match config.listen.metrics {
        Some(addr) => Some(listen(addr).await?),
        None => None,
    };
    mark_used_id(config)?;
    let incarnation = u64::try_from(clock.wall().as_millis()).unwrap_or(0);
    let dispatcher = Dispatcher::new();
    let (lineage, ancestors) = (data.identity().lineage, data.identity().ancestors.clone());
    if lineage != config.federation.lineage {
        info!(%lineage, configured = %config.federation.lineage, "the directory descends from the configured lineage");
    }
    let mut net = eport_transport::Config::new(config.node.id, lineage, config.listen.quic, incarnation);
    // A test lets this build speak as an older or a newer one would.
    if let (Some(oldest), Some(newest)) =
        (eport_failpoint::setting("wire.oldest"), eport_failpoint::setting("wire.newest"))
    {
        net.versions = (oldest, newest);
    }
    // A full shipping window of the smallest records of several platforms fits: a dropped batch costs a second of silence.
    net.queue_count_max = 32_768;
    net.via = config.transport.via.clone();
    net.ancestors = ancestors.clone();
    let transport = Transport::start(net, tls.clone(), dispatcher.clone()).await?;
    let seeds = config.federation.seeds.iter().map(|s| Peer { node: s.node, addr: s.quic }).collect();
    transport.set_peers(seeds);
    let profile = profile(config);
    let own = tls.clone();
    let sign = move |bytes: &[u8]| own.sign(bytes).inspect_err(|error| warn!(%error, "not signed")).ok();
    let signer = eport_consensus::StepSigner::new(sign);
    let registry_config = eport_consensus::Config {
        signer: Some(signer.clone()),
        ..eport_consensus::Config::new(config.node.id, profile)
    };
    let registry = Registry::open(registry_config, registry_store, transport.clone()).await?;
    dispatcher.open_registry(registry.clone());
    let revoked_stop = Arc::new(tokio::sync::Notify::new());
    let lists_stop = Arc::new(tokio::sync::Notify::new());
    let lists_dir = data.path().join("lists");
    let lists = Lists::open(&lists_dir)
        .map_err(|e| Exit { code: codes::STORAGE_FAILED, detail: format!("{}: {e}", lists_dir.display()) })?;
    let lists = Arc::new(lists);
    let follow =
        revoked.follow(registry.clone(), tls.clone(), transport.clone(), lists.clone(), revoked_stop.clone());
    tokio::spawn(follow);
    // A directory that has come to another lineage was never meant to found the first one again.
    if lineage == config.federation.lineage {
        found(config, &registry, clock).await?;
    }
    let agent_config = eport_agent::Config {
        me: config.node.id,
        home: config.node.region,
        lineage,
        ancestors,
        limits: eport_journal::Limits {
            lease_ms: millis(profile.lease()),
            grace_ms: millis(profile.grace()),
            bootstrap_records: config.shipping.bootstrap_records,
            slot_records: config.shipping.slot_records,
            slot_bytes: config.shipping.slot_mib << 20,
            slot_age_ms: config.shipping.slot_age_s.saturating_mul(1_000),
            ..eport_journal::Limits::default()
        },
        bootstrap: eport_agent::Bootstrap {
            rate_bytes: config.shipping.bootstrap_rate_kib << 10,
            sends_max: config.shipping.bootstrap_sends,
        },
        incarnation,
        software,
        verification: eport_agent::Verification {
            mark_every: Duration::from_secs(config.verify.mark_every_s),
            scrub_every: Duration::from_secs(config.verify.scrub_every_s),
            scrub_bytes_s: config.verify.scrub_mib_s << 20,
        },
        catalog: eport_agent::CatalogSettings { fetch_bytes_s: config.shipping.catalog_rate_kib << 10 },
        signer: Some(signer),
    };
    let dir = data.path().to_owned();
    let exports = dir.join("exports");
    let desk_dir = dir.clone();
    // Exports are copies for callers that fetch them: what an earlier run left is of no use to anybody.
    let _ = std::fs::remove_dir_all(&exports);
    let agent = Agent::start(
        agent_config,
        data,
        shared,
        objects,
        registry.clone(),
        transport.clone(),
        dispatcher.board(),
    )
    .await?;
    dispatcher.open_agent(agent.clone());
    let renewer = crate::renewal::Renewer::new(
        (&config.tls.cert, &config.tls.key),
        tls.clone(),
        registry.clone(),
        &agent,
        reachable(config.listen.api),
    );
    let renewal_stop = Arc::new(tokio::sync::Notify::new());
    tokio::spawn(renewer.follow(renewal_stop.clone()));
    let keeper = Keeper::start(node_key, registry.clone(), &agent);
    let backups = match &config.backup {
        Some(section) => {
            Some(Backups::start(section, &dir, registry.clone(), agent.clone(), keeper.node_key())?)
        }
        None => None,
    };
    let archiver = config.archive.as_ref().map(|section| Archiver::start(section, agent.clone()));
    let tables = TableService::new(agent.clone(), config.node.region.province());
    let trust_pem = crate::trust::text(&trust)?;
    let trust_stop = Arc::new(tokio::sync::Notify::new());
    let follower =
        crate::trust::Follower::new(&dir, tls.clone(), registry.clone(), &agent, transport.clone());
    tokio::spawn(follower.follow(trust_stop.clone()));
    let spool = dir.join("imports");
    let spool = eport_spool::Spool::own(&spool, IMPORT_KEEPS_FREE)
        .map_err(|e| Exit { code: codes::STORAGE_FAILED, detail: format!("{}: {e}", spool.display()) })?;
    let api_config = ApiConfig {
        write_timeout: Duration::from_millis(config.limits.write_timeout_ms),
        body_len_max: config.limits.body_mib << 20,
        table_file_len_max: config.limits.table_file_mib << 20,
        spool,
        trust_pem,
        exports,
        registry_profile: config.registry.profile.clone(),
        data_dir: dir.clone(),
        shown: toml::to_string(config).unwrap_or_default(),
        log,
    };
    let hosting = Hosting::new(std::thread::available_parallelism().map_or(2, usize::from));
    let packs = packs(tables.clone())?;
    let routes = eport_http::RegistryRoutes::new(registry.clone());
    let factory =
        factory(config, packs.clone(), tables.clone(), keeper.clone(), clock, hosting.clone(), routes);
    let desk = eport_http::Desk::open(&desk_dir, config.node.id.as_str()).map_err(|e| Exit {
        code: codes::ACCESS_LOG_FAILED,
        detail: format!("{}: {e}", desk_dir.display()),
    })?;
    let api = Api::new(
        api_config,
        registry.clone(),
        transport.clone(),
        agent.clone(),
        tls.clone(),
        tables,
        packs,
        Arc::new(crate::custody::cas(config)?),
        lists,
        ready,
        hosting,
        desk,
        factory,
    );
    tokio::spawn(eport_http::follow_lists(api.clone(), lists_stop.clone()));
    let router = eport_http::router(api.clone());
    let receiver = Receiver::new(api.clone());
    receiver.serve(router.clone());
    dispatcher.open_forward(receiver);
    dispatcher.open_exchange(eport_http::Door::new(api.clone()));
    let (stop, stopped) = watch::channel(false);
    let mut listeners =
        vec![tokio::spawn(eport_http::serve(api_listener, tls.clone(), router, stopped.clone()))];
    listeners.push(tokio::spawn(eport_http::follow_access(api.clone(), stopped.clone())));
    listeners.push(tokio::spawn(eport_http::follow_changes(api.clone(), stopped.clone())));
    listeners.push(tokio::spawn(eport_http::follow_accounts(api.clone(), stopped.clone())));
    listeners.push(tokio::spawn(eport_http::follow_exchange(api.clone(), stopped.clone())));
    if let Some(listener) = metrics_listener {
        listeners.push(tokio::spawn(eport_http::serve_plain(
            listener,
            eport_http::metrics_router(api),
            stopped,
        )));
    }
    info!(api = %config.listen.api, quic = %transport.local_addr(), "listening");
    Ok(Running {
        transport,
        registry,
        agent,
        keeper,
        backups,
        archiver,
        revoked: revoked_stop,
        lists: lists_stop,
        renewal: renewal_stop,
        trust: trust_stop,
        tls,
        listeners,
        stop,
        _data: dir,
    })
}

/// Where this node reaches its own listener.
fn reachable(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listen.port()),
        _ => listen,
    }
}

fn profile(config: &Config) -> Profile {
    match config.registry.profile.as_str() {
        "lan" => Profile::Lan,
        "wan" => Profile::Wan,
        _ => Profile::Default,
    }
}

async fn listen(addr: std::net::SocketAddr) -> Result<TcpListener, Exit> {
    TcpListener::bind(addr).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => Exit { code: codes::PORT_TAKEN, detail: format!("tcp {addr}: {e}") },
        _ => Exit { code: codes::CONFIG_INVALID, detail: format!("tcp {addr}: {e}") },
    })
}

/// The founding node writes the genesis into its new registry; every other start finds it there. A founding that was
/// interrupted is finished: the commands have fixed ids and fixed times, so what was applied before has no second effect.
async fn found(config: &Config, registry: &Registry, clock: Clock) -> Result<(), Exit> {
    let Some(path) = &config.federation.genesis else { return Ok(()) };
    let genesis = founding::read(path)?;
    let view = registry.state();
    let begun = view.state.federation().map(|f| f.created);
    let complete = begun.is_some()
        && genesis.nodes.iter().all(|n| view.state.node(n.node).is_some())
        && genesis.platforms.iter().all(|p| view.state.placement(p.region).is_some())
        // The last of the founding commands.
        && view.state.setting(eport_registry::OPERATOR_SIGNATURES).is_some();
    if complete {
        return Ok(());
    }
    registry.found(founding::commands(config, path, &genesis, begun.unwrap_or(clock.wall()))?).await?;
    info!(name = %genesis.name, nodes = genesis.nodes.len(), platforms = genesis.platforms.len(), "federation founded");
    Ok(())
}

/// A node id votes and founds from one data directory only. An empty one under an id that was used before would forget its
/// votes and could found the same federation twice, so it is refused: the node joins again under a new id.
fn refuse_used_id(config: &Config, fresh: bool) -> Result<(), Exit> {
    let marker = config.tls.key.with_extension("used");
    if !fresh || !marker.exists() {
        return Ok(());
    }
    Err(Exit {
        code: codes::DIR_OF_ANOTHER_NODE,
        detail: format!(
            "{} is empty, but {} says that node {} has run before; a node whose data is lost joins again under a new id",
            config.node.data_dir.display(),
            marker.display(),
            config.node.id
        ),
    })
}

/// Leaves the mark that this id has run. Written when nothing in the surroundings can stop the start any more: a start that
/// never was uses up no id.
fn mark_used_id(config: &Config) -> Result<(), Exit> {
    let marker = config.tls.key.with_extension("used");
    let failed = |e: std::io::Error| Exit {
        code: codes::STORAGE_FAILED,
        detail: format!("{}: {e}", marker.display()),
    };
    if marker.exists() {
        return Ok(());
    }
    std::fs::File::create(&marker).and_then(|f| f.sync_all()).map_err(failed)
}

/// A built-in pack that does not compile is our own mistake, shown at the start and not at the first document.
fn packs(tables: Arc<TableService>) -> Result<Arc<PackService>, Exit> {
    PackService::new(tables)
        .map_err(|e| Exit { code: codes::INTERNAL, detail: format!("built-in pack: {e}") })
}

/// Makes the business side of a platform, with the keys that the keeper puts and renews.
fn factory(
    config: &Config,
    packs: Arc<PackService>,
    tables: Arc<TableService>,
    keeper: Arc<Keeper>,
    clock: Clock,
    hosting: Hosting,
    routes: eport_platform::SharedRoutes,
) -> Box<dyn Fn(PlatformHandle) -> Platform + Send + Sync> {
    let (write_timeout, hold_max) = (
        Duration::from_millis(config.limits.write_timeout_ms),
        Duration::from_millis(config.limits.hold_max_ms),
    );
    let hold_documents_max = config.limits.hold_requests;
    Box::new(move |handle| {
        let platform = eport_platform::Config {
            write_timeout,
            hold_max,
            hold_documents_max,
            hosting: hosting.clone(),
            routes: routes.clone(),
            ..eport_platform::Config::with_keys(keeper.keys(handle.region()))
        };
        let clock: eport_platform::Clock = Arc::new(move || clock.wall());
        Platform::start(Arc::new(handle), packs.clone(), tables.clone(), clock, platform)
    })
}

/// Ready: the registry is founded and has news from a leader, and every platform kept here has its placement.
async fn watch_readiness(registry: Registry, agent: Agent, keeper: Arc<Keeper>, ready: watch::Sender<Ready>) {
    loop {
        let state = judge(&registry, &agent, &keeper);
        agent.set_ready(state.is_ok());
        ready.send_if_modified(|r| {
            let changed = *r != state;
            if changed {
                match &state {
                    Ok(()) => info!("ready"),
                    Err(reason) => warn!(%reason, "not ready"),
                }
                r.clone_from(&state);
            }
            changed
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn judge(registry: &Registry, agent: &Agent, keeper: &Keeper) -> Ready {
    let view = registry.state();
    if view.state.federation().is_none() {
        return Err("the registry is not known here yet: no leader has reached this node".into());
    }
    if !view.state.is_member(agent.me()) {
        return Err("this node is not a member of the federation".into());
    }
    for handle in agent.platforms() {
        let status = handle.status().borrow().clone();
        if status.placement.is_none() {
            return Err(format!("platform {} has no placement yet", handle.region()));
        }
        if status.is_open() && keeper.keys(handle.region()).get().is_none() {
            return Err(format!("the data key of platform {} is not here yet", handle.region()));
        }
    }
    Ok(())
}

/// Waits for a reason to stop; reloads on SIGHUP.
async fn wait(config_path: &Path, running: &Running, telemetry: &Telemetry) -> Result<(), Exit> {
    let install = |kind| {
        signal(kind).map_err(|e| Exit { code: codes::INTERNAL, detail: format!("signal handler: {e}") })
    };
    let (mut term, mut int, mut hup) = (
        install(SignalKind::terminate())?,
        install(SignalKind::interrupt())?,
        install(SignalKind::hangup())?,
    );
    let (mut raft, mut platforms) = (running.registry.fatal(), running.agent.fatal());
    loop {
        tokio::select! {
            _ = term.recv() => { info!("SIGTERM: draining"); return Ok(()) }
            _ = int.recv() => { info!("SIGINT: draining"); return Ok(()) }
            _ = hup.recv() => reload(config_path, running, telemetry),
            failed = raft.wait_for(Option::is_some) => return Err(fatal("registry", failed.ok().and_then(|f| f.clone()))),
            failed = platforms.wait_for(Option::is_some) => return Err(fatal("platform", failed.ok().and_then(|f| f.clone()))),
        }
    }
}

fn fatal(what: &str, detail: Option<String>) -> Exit {
    Exit {
        code: codes::STORAGE_FAILED,
        detail: format!("{what}: {}", detail.unwrap_or_else(|| "ended".into())),
    }
}

/// SIGHUP: certificate, key and log level are read again; on any defect the former ones stay.
fn reload(config_path: &Path, running: &Running, telemetry: &Telemetry) {
    let fresh = match Config::load(config_path) {
        Ok(fresh) => fresh,
        Err(error) => {
            error!(%error, "reload refused, nothing changed");
            return;
        }
    };
    let identity = Identity::from_files(&fresh.tls.cert, &fresh.tls.key).map_err(|e| Exit::of_tls(&e));
    match identity.and_then(|i| running.tls.reload(&i).map_err(|e| Exit::of_tls(&e))) {
        Ok(()) => info!("certificate reloaded"),
        Err(exit) => {
            error!(code = %exit.code, detail = %exit.detail, "certificate not reloaded, the former one stays")
        }
    }
    match telemetry.set_level(&fresh.log.level) {
        Ok(()) => info!(level = %fresh.log.level, "log level reloaded"),
        Err(exit) => error!(detail = %exit.detail, "log level not changed"),
    }
}

async fn stop(running: Running) {
    if let Some(backups) = running.backups {
        backups.stop().await;
    }
    if let Some(archiver) = running.archiver {
        archiver.stop().await;
    }
    running.keeper.stop();
    running.revoked.notify_one();
    running.lists.notify_one();
    running.renewal.notify_one();
    running.trust.notify_one();
    running.stop.send_replace(true);
    for listener in running.listeners {
        if let Err(error) = listener.await {
            error!(%error, "a listener panicked");
        }
    }
    running.agent.shutdown().await;
    running.registry.shutdown().await;
    running.transport.shutdown().await;
    info!("stopped");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

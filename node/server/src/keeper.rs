//! Keeper of data keys: follows the registry, unwraps the keys of platforms kept here, and does this node's duties about keys.
//!
//! What always holds: a plain data key is in memory only; the registry holds wrapped copies; whatever must be made or wrapped is
//! read from the registry's state (`State::key_duties`), so a crash between two steps is repaired by the next look.

use crate::Exit;
use crate::config::Config;
use eport_agent::{Agent, Clock};
use eport_authority::{NodeKey, Unwrap, new_data_key, wrap_key};
use eport_consensus::{ProposeError, Registry};
use eport_envelope::{DataKey, KeyId, KeyRing, Session};
use eport_model::{Code, RegionCode, Subject, codes};
use eport_platform::Keys;
use eport_registry::{Command, CommandId, Holder, HolderName, KeyDuty, Op, State, Wrap, wrap_context};
use rand::RngCore;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, info, warn};

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Looks at worn sessions, and repeats what failed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Pause after a duty that failed: a leader may be missing.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Keeps the data keys of one node.
pub(crate) struct Keeper {
    node_key: Arc<dyn Unwrap>,
    registry: Registry,
    agent: Agent,
    clock: Clock,
    platforms: Mutex<BTreeMap<RegionCode, Keys>>,
    asked: Notify,
    stopping: Notify,
}

impl Keeper {
    /// Opens the node key, made at the first start. It may not lie where a copy of the data directory would take it along.
    pub(crate) fn open_key(config: &Config) -> Result<NodeKey, Exit> {
        let (file, secret) = config.key_files();
        for path in [&file, &secret] {
            if within(path, &config.node.data_dir) {
                return Err(Exit {
                    code: codes::CONFIG_INVALID,
                    detail: format!(
                        "keys: {} lies in the data directory; a copy of that directory must open nothing",
                        path.display()
                    ),
                });
            }
        }
        NodeKey::open_or_create(&file, &secret)
            .map_err(|e| Exit { code: Code(e.code()), detail: crate::with_causes(&e) })
    }

    /// Starts the keeper. It ends with [`Keeper::stop`].
    pub(crate) fn start(node_key: NodeKey, registry: Registry, agent: &Agent) -> Arc<Self> {
        let keeper = Arc::new(Self {
            node_key: Arc::new(node_key),
            registry,
            clock: agent.clock(),
            agent: agent.clone(),
            platforms: Mutex::default(),
            asked: Notify::new(),
            stopping: Notify::new(),
        });
        // Keys that the registry already names are there before the first request is.
        for handle in agent.platforms() {
            keeper.keys(handle.region());
        }
        tokio::spawn(keeper.clone().follow());
        keeper
    }

    /// The node's key, for what is wrapped to it besides data keys.
    pub(crate) fn node_key(&self) -> Arc<dyn Unwrap> {
        self.node_key.clone()
    }

    /// Ends the keeper's task.
    pub(crate) fn stop(&self) {
        self.stopping.notify_one();
    }

    /// The keys of a platform as they are now and will be. What the registry names already is opened before this returns: the
    /// first request after a move asks here.
    pub(crate) fn keys(&self, region: RegionCode) -> Keys {
        let mut platforms = self.platforms.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = platforms.entry(region).or_insert_with(|| {
            let keys = Keys::new();
            self.renew(&self.registry.state().state, region, &keys);
            self.asked.notify_one();
            keys
        });
        keys.clone()
    }

    async fn follow(self: Arc<Self>) {
        let mut changes = self.registry.changes();
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = self.look().await;
            let pause = async {
                match done {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(RETRY_AFTER).await,
                }
            };
            tokio::select! {
                () = self.stopping.notified() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = self.asked.notified() => {}
                () = pause => {}
                _ = every.tick() => {}
            }
        }
    }

    /// Renews rings, then does what is due. False when something could not be done.
    async fn look(&self) -> bool {
        let view = self.registry.state();
        let platforms: Vec<_> = {
            let held = self.platforms.lock().unwrap_or_else(PoisonError::into_inner);
            held.iter().map(|(region, keys)| (*region, keys.clone())).collect()
        };
        for (region, keys) in &platforms {
            self.renew(&view.state, *region, keys);
        }
        let mut done = true;
        for duty in view.state.key_duties(self.agent.me(), &self.node_key.public()) {
            done &= self.perform(&view.state, duty).await;
        }
        done
    }

    /// Puts a new ring when the registry names other keys than the ring holds, or its session is worn.
    fn renew(&self, state: &State, region: RegionCode, keys: &Keys) {
        let ring = keys.get();
        let known: Vec<u32> = state.data_keys(region).map(|k| k.id).collect();
        let fresh = |r: &Arc<KeyRing>| !r.is_worn() && r.ids().map(KeyId::as_u32).eq(known.iter().copied());
        if known.is_empty() || ring.as_ref().is_some_and(fresh) {
            return;
        }
        let mut opened = BTreeMap::new();
        for id in known {
            let held = ring.as_ref().and_then(|r| r.key(KeyId::from_u32(id)).cloned());
            match held.or_else(|| self.unwrap(state, region, id)) {
                Some(key) => drop(opened.insert(KeyId::from_u32(id), key)),
                None => return,
            }
        }
        let mut session: Session = [0; 16];
        rand::rng().fill_bytes(&mut session);
        if let Some(ring) = KeyRing::new(region, opened, session) {
            info!(%region, key = %ring.newest(), "data keys opened");
            keys.put(Arc::new(ring));
        }
    }

    /// The data key, if it is wrapped for this node.
    fn unwrap(&self, state: &State, region: RegionCode, id: u32) -> Option<DataKey> {
        let row = state.data_key(region, id)?;
        let wrap = row.wrap(&self.me()).filter(|w| w.public == self.node_key.public())?;
        match self.node_key.unwrap_key(&wrap.wrapped, wrap_context(region, id).as_bytes()) {
            Ok(bytes) => {
                let key = DataKey::from_bytes(bytes);
                if key.check() == row.check {
                    return Some(key);
                }
                error!(%region, id, "the wrapped data key is not the one the registry names");
            }
            Err(error) => error!(%region, id, %error, "the data key cannot be opened"),
        }
        None
    }

    fn me(&self) -> HolderName {
        HolderName::Node(self.agent.me())
    }

    async fn perform(&self, state: &State, duty: KeyDuty) -> bool {
        let made = match &duty {
            KeyDuty::Introduce => {
                let at = self.clock.wall();
                Some(Op::PutHolder(Holder { name: self.me(), public: self.node_key.public(), at }))
            }
            KeyDuty::Create { region, id, holders } => {
                let key = DataKey::from_bytes(new_data_key());
                self.wraps(&key, *region, *id, holders).map(|wraps| Op::PutDataKey {
                    region: *region,
                    id: *id,
                    check: key.check(),
                    wraps,
                })
            }
            KeyDuty::Wrap { region, id, holders } => self.unwrap(state, *region, *id).and_then(|key| {
                let wraps = self.wraps(&key, *region, *id, holders)?;
                Some(Op::AddWraps { region: *region, id: *id, check: key.check(), wraps })
            }),
        };
        let Some(op) = made else { return false };
        match self.registry.propose(self.command(op), COMMAND_TIMEOUT).await {
            Ok(_) => true,
            Err(ProposeError::Refused(refusal)) => {
                // The state moved on meanwhile: the next look sees it.
                info!(?duty, %refusal, "a duty about data keys was refused");
                false
            }
            Err(error) => {
                warn!(%error, "a duty about data keys waits");
                false
            }
        }
    }

    fn wraps(&self, key: &DataKey, region: RegionCode, id: u32, holders: &[Holder]) -> Option<Vec<Wrap>> {
        let context = wrap_context(region, id);
        let wrap = |h: &Holder| match wrap_key(&h.public, key.bytes(), context.as_bytes()) {
            Ok(wrapped) => Some(Wrap { holder: h.name.clone(), public: h.public, wrapped }),
            Err(error) => {
                error!(holder = %h.name, %region, %error, "the data key cannot be wrapped");
                None
            }
        };
        holders.iter().map(wrap).collect()
    }

    fn command(&self, op: Op) -> Command {
        let mut id = [0u8; 16];
        rand::rng().fill_bytes(&mut id);
        let by = Subject::Node { platform: self.agent.home(), node: self.agent.me() };
        Command {
            id: CommandId(id),
            by: by.to_string(),
            at: self.clock.wall(),
            reason: "data keys".into(),
            op,
            proof: None,
        }
    }
}

/// True when a file lies below a folder, whatever links lead there.
fn within(file: &Path, dir: &Path) -> bool {
    let real = |p: &Path| {
        std::fs::canonicalize(p).or_else(|_| std::path::absolute(p)).unwrap_or_else(|_| p.to_owned())
    };
    let parent = file.parent().unwrap_or(Path::new("."));
    real(parent).starts_with(real(dir))
}

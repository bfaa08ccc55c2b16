//! This node follows the trust bundle of the federation: adopts each new version, shows what goes with it, and says so.
//!
//! Always holds: a root that is new here counts only when a root known here has signed it (`eport_tls::adopt`), wherever the bundle
//! came from; a version is acknowledged after it is in force and on disk; a bundle that this node's own certificate would not pass
//! changes nothing. A node that hears nothing of the registry asks other nodes for their bundle without believing who they are: what
//! comes in is proven by itself, and takes nothing away.

use crate::Exit;
use crate::config::Config;
use crate::renewal::call;
use bytes::Bytes;
use eport_agent::{Agent, Clock};
use eport_authority::{certificate_pem, write_certificate};
use eport_consensus::{ProposeError, Registry};
use eport_model::{Digest, Subject, codes};
use eport_registry::{Command, CommandId, Node, Op, State, TRUST_FIRST};
use eport_tls::{Offer, OutsideCa, Tls, TrustBundle, adopt, unite};
use eport_transport::Transport;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::{info, warn};

/// Name of the adopted bundle in the data directory. It stands above the configured one: it descends from that.
const FILE: &str = "trust.pem";
/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Repeats what failed, and looks whether the registry is heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so long without a leader other nodes are asked for their bundle, and again after as long.
const SILENCE: Duration = Duration::from_secs(5);
/// Nodes asked at once.
const ASKED_MAX: usize = 4;

/// The bundle to start with: the one that was adopted last, else the configured one.
pub(crate) fn file(config: &Config, data_dir: &Path) -> PathBuf {
    let adopted = data_dir.join(FILE);
    if adopted.exists() { adopted } else { config.tls.trust.clone() }
}

/// A bundle that was never whole on disk is no reason not to start: the configured one proves its way to the same.
pub(crate) fn usable(path: &Path, config: &Config) -> PathBuf {
    let domain = config.federation.trust_domain.clone();
    match TrustBundle::from_file(path, domain) {
        Ok(_) => path.to_owned(),
        Err(error) => {
            warn!(%error, file = %path.display(), "the adopted trust bundle cannot be read; the configured one is used");
            config.tls.trust.clone()
        }
    }
}

/// Follows the bundle.
pub(crate) struct Follower {
    path: PathBuf,
    tls: Tls,
    registry: Registry,
    agent: Agent,
    transport: Transport,
    clock: Clock,
    /// The version in force here, as far as the registry named it.
    adopted: u64,
    /// The version that could not be adopted, so that it is said once.
    refused: u64,
    heard: Instant,
    /// How many of the other nodes were asked so far.
    asked: usize,
}

impl Follower {
    /// A follower; `follow` runs it.
    pub(crate) fn new(
        data_dir: &Path,
        tls: Tls,
        registry: Registry,
        agent: &Agent,
        transport: Transport,
    ) -> Self {
        let (agent, clock, path) = (agent.clone(), agent.clock(), data_dir.join(FILE));
        let heard = Instant::now();
        Self {
            path,
            tls,
            registry,
            agent,
            transport,
            clock,
            adopted: TRUST_FIRST,
            refused: 0,
            heard,
            asked: 0,
        }
    }

    /// Runs until `stop` is notified.
    pub(crate) async fn follow(mut self, stop: Arc<Notify>) {
        let mut changes = self.registry.changes();
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.look().await;
            tokio::select! {
                () = stop.notified() => return,
                changed = changes.changed() => if changed.is_err() { return },
                _ = every.tick() => {}
            }
        }
    }

    async fn look(&mut self) {
        let view = self.registry.state();
        let version = view.state.trust_version();
        if version > self.adopted {
            match self.adopt(&view.state) {
                Ok(roots) => {
                    info!(version, ?roots, "trust bundle in force");
                    self.adopted = version;
                }
                Err((code, why)) if self.refused != version => {
                    warn!(%code, version, %why, "the trust bundle is not adopted; the former one stays");
                    self.refused = version;
                }
                Err(_) => {}
            }
        }
        let me = self.agent.me();
        if self.adopted == version && view.state.is_member(me) && view.state.trust_ack(me) < version {
            self.acknowledge(version).await;
        }
        // A stored vote still names a leader that was never heard in this life: a connection must stand as well.
        let connected = !self.transport.connected().borrow().is_empty();
        if connected && self.registry.leader().is_some() {
            self.heard = Instant::now();
        } else if self.heard.elapsed() >= SILENCE {
            self.ask_others().await;
            self.heard = Instant::now();
        }
    }

    /// Puts a version in force: proven, on disk, in the verifiers. Answers the keys of its roots.
    fn adopt(&self, state: &State) -> Result<Vec<String>, (eport_model::Code, String)> {
        let trust = &state.trust();
        let failed = |e: eport_tls::Error| (eport_model::Code(e.code()), crate::with_causes(&e));
        let others = trust.issuing.iter().chain(&trust.crosses).cloned().collect();
        let keys =
            trust.issuing.iter().filter_map(|der| eport_signature::ca_facts(der).ok()).map(|f| f.key_id);
        let paths = keys.map(|key: Digest| (key, trust.path(&key.to_string())));
        let offer = Offer { roots: trust.roots.clone(), others, paths: paths.collect() };
        for list in &trust.lists {
            let root = trust
                .roots
                .iter()
                .find(|r| eport_signature::ca_facts(r).is_ok_and(|f| f.key_id.to_string() == list.key_id));
            let signed = root.is_some_and(|r| eport_authority::read_crl(&list.list, r).is_ok());
            if !signed {
                let why = format!("the revocation list of root {} is not signed by it", list.key_id);
                return Err((codes::TRUST_UNPROVEN, why));
            }
        }
        let next = adopt(&self.tls.bundle(), &offer).map_err(failed)?.with_outside(outside(state));
        let keys = next.roots().filter_map(|r| eport_signature::ca_facts(r).ok());
        let keys = keys.map(|f| f.key_id.to_string().chars().take(16).collect()).collect();
        let text: String = trust.certificates().map(certificate_pem).collect();
        let kept = self.tls.bundle();
        self.tls.set_bundle(next).map_err(failed)?;
        eport_failpoint::point!("trust.in-force");
        write_certificate(&self.path, &text).map_err(|e| {
            // In force without being on disk would be acknowledged too early.
            let _ = self.tls.set_bundle(TrustBundle::clone(&kept));
            (eport_model::Code(e.code()), crate::with_causes(&e))
        })?;
        Ok(keys)
    }

    async fn acknowledge(&self, version: u64) {
        let by = Subject::Node { platform: self.agent.home(), node: self.agent.me() };
        let command = Command {
            id: CommandId(rand::random()),
            by: by.to_string(),
            at: self.clock.wall(),
            reason: "trust bundle".into(),
            op: Op::AckTrust { version },
            proof: None,
        };
        match self.registry.propose(command, COMMAND_TIMEOUT).await {
            Ok(_) => info!(version, "trust bundle acknowledged"),
            Err(ProposeError::Refused(refusal)) => {
                info!(version, %refusal, "the acknowledgement was refused")
            }
            Err(error) => warn!(version, %error, "the acknowledgement waits"),
        }
    }

    /// Roots may have changed while this node was away, so that nobody's certificate is understood here any more: other nodes are asked
    /// for their bundle, and what a root known here has signed is taken in.
    async fn ask_others(&mut self) {
        let view = self.registry.state();
        let me = self.agent.me();
        let others: Vec<Node> = view.state.nodes().filter(|n| n.is_member() && n.id != me).cloned().collect();
        let turn = in_turn(&others, self.asked);
        self.asked = self.asked.wrapping_add(turn.len());
        for node in turn {
            let Ok(tls) = eport_tls::first_contact() else { return };
            let name = format!("{}.{}.{}", node.id, node.region, self.tls.domain());
            let answer = call(tls, &node.api, &name, "GET", "/v1/trust-bundle", Bytes::new()).await;
            let Ok((200, body)) = answer else { continue };
            let united = Offer::from_pem(&body).and_then(|offer| unite(&self.tls.bundle(), &offer));
            match united.map(|u| u.map(|bundle| self.tls.set_bundle(bundle))) {
                Ok(None) => {}
                Ok(Some(Ok(()))) => {
                    info!(from = %node.id, "a trust bundle was taken in: its new root is signed by a known one");
                    return;
                }
                Ok(Some(Err(error))) | Err(error) => {
                    warn!(from = %node.id, %error, "the trust bundle of another node is not taken in");
                }
            }
        }
    }
}

/// The CAs outside that are registered now. Their proofs were judged when their commands were applied, on this node as on every other.
/// One that cannot be used vouches for nobody, and keeps no bundle from being adopted.
fn outside(state: &State) -> Vec<OutsideCa> {
    let active = state.outside_cas().filter(|ca| ca.removed.is_none());
    let read = active.filter_map(|ca| match OutsideCa::new(&ca.certificate, ca.scope.clone()) {
        Ok(read) => Some(read),
        Err(error) => {
            warn!(key = %ca.key, %error, "an outside CA cannot be used; it vouches for nobody here");
            None
        }
    });
    read.collect()
}

/// Who is asked next: the site of the first few may be the one that is lost.
fn in_turn<T>(others: &[T], asked: usize) -> Vec<&T> {
    let from = asked.checked_rem(others.len()).unwrap_or(0);
    others.iter().cycle().skip(from).take(others.len().min(ASKED_MAX)).collect()
}

/// What a start refuses: a bundle that cannot be read at all.
pub(crate) fn text(path: &Path) -> Result<Vec<u8>, Exit> {
    std::fs::read(path)
        .map_err(|e| Exit { code: codes::KEY_UNREADABLE, detail: format!("{}: {e}", path.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_asked_in_turn_and_nobody_twice_at_once() {
        let nodes: Vec<u8> = (0..10).collect();
        let mut asked = 0;
        let mut seen: std::collections::BTreeSet<&u8> = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let turn = in_turn(&nodes, asked);
            asked += turn.len();
            assert_eq!(turn.len(), ASKED_MAX);
            seen.extend(turn);
        }
        assert_eq!(seen.len(), nodes.len());
        assert_eq!(in_turn(&nodes[..3], 1), [&1, &2, &0]);
        assert!(in_turn::<u8>(&[], 7).is_empty());
    }
}

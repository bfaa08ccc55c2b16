//! Who disturbs: this program in a federation made by `dev up`, an operator on the spot everywhere else.
//!
//! Always: what an operator is told to do is waited for by its effect, as the federation itself shows it; nobody's word is taken.

use crate::dev::state::{DevState, DirLock};
use crate::dev::{process, relay, up};
use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::output::Out;
use eport_api_types::{FederationStatus, NodeState, ProcessState};
use eport_client::Client;
use eport_drill::Hands;
use eport_model::{Lineage, NodeId, SiteId};
use eport_relay::{Change, Question, Rule};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whoever started a command on the folder may hold its lock for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// Where a drill takes place.
#[derive(Clone, Debug)]
pub enum Place {
    /// A local federation: its folder.
    Local(PathBuf),
    /// Any other: an operator acts.
    Elsewhere,
}

impl Place {
    /// The local federation that `EPORT_DIR` names, if it is the one that is called.
    pub fn find(lineage: Lineage) -> Self {
        let dir = std::env::var_os("EPORT_DIR").filter(|d| !d.is_empty()).map(PathBuf::from);
        match dir.map(|d| (DevState::load(&d), d)) {
            Some((Ok(state), dir)) if state.lineage == lineage => Place::Local(dir),
            _ => Place::Elsewhere,
        }
    }

    /// Who acts.
    pub fn hands(&self) -> Hands {
        match self {
            Place::Local(_) => Hands::Own,
            Place::Elsewhere => Hands::Operator,
        }
    }

    /// The folder of a local federation.
    pub fn dir(&self) -> Option<&Path> {
        match self {
            Place::Local(dir) => Some(dir),
            Place::Elsewhere => None,
        }
    }

    /// Ends processes at once. Elsewhere it waits until the federation misses them.
    pub async fn kill(
        &self,
        nodes: &[NodeId],
        client: &Client,
        until: Instant,
        out: Out,
    ) -> Result<(), Error> {
        match self {
            Place::Local(dir) => {
                let state = DevState::load(dir)?;
                for node in nodes {
                    if let Some(p) = state.node(*node)?.process {
                        process::kill(p).await?;
                    }
                }
                Ok(())
            }
            Place::Elsewhere => {
                for node in nodes {
                    out.say(
                        format!("NOW on {node}: systemctl kill --signal=KILL eportd && systemctl stop eportd"),
                        format!("请立即在 {node} 执行：systemctl kill --signal=KILL eportd && systemctl stop eportd"),
                    );
                }
                wait_nodes(client, nodes, until, |s| !matches!(s, NodeState::Up)).await
            }
        }
    }

    /// Starts processes that do not run, and waits until the federation hears of them.
    pub async fn start(
        &self,
        nodes: &[NodeId],
        client: &Client,
        until: Instant,
        out: Out,
    ) -> Result<(), Error> {
        match self {
            Place::Local(dir) => {
                let _lock = lock(dir).await?;
                let mut state = DevState::load(dir)?;
                for node in nodes {
                    up::start(&mut state, *node)?;
                }
            }
            Place::Elsewhere => {
                for node in nodes {
                    out.say(
                        format!("NOW on {node}: systemctl start eportd"),
                        format!("请立即在 {node} 执行：systemctl start eportd"),
                    );
                }
            }
        }
        wait_nodes(client, nodes, until, |s| matches!(s, NodeState::Up)).await
    }

    /// The processes of these that do not run, as far as this machine can tell.
    pub fn exited(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let Place::Local(dir) = self else { return Vec::new() };
        let Ok(state) = DevState::load(dir) else { return Vec::new() };
        let gone = |n: &&NodeId| state.node(**n).is_ok_and(|row| row.state() == ProcessState::Exited);
        nodes.iter().filter(gone).copied().collect()
    }

    /// Cuts a link in both directions, for `at_most` at the longest: the relay mends it by itself when nobody else does.
    pub async fn cut(&self, link: (SiteId, SiteId), at_most: Duration, out: Out) -> Result<(), Error> {
        match self {
            Place::Local(dir) => change(dir, link, true, Some(at_most)).await,
            Place::Elsewhere => {
                let (a, b) = link;
                out.say(
                    format!("NOW at the border of site {a}: block UDP and TCP to and from site {b}, for {} s at most", at_most.as_secs()),
                    format!("请立即在站点 {a} 出口阻断与站点 {b} 之间的 UDP 与 TCP，最长 {} 秒", at_most.as_secs()),
                );
                Ok(())
            }
        }
    }

    /// Mends a link.
    pub async fn heal(&self, link: (SiteId, SiteId), out: Out) -> Result<(), Error> {
        match self {
            Place::Local(dir) => change(dir, link, false, None).await,
            Place::Elsewhere => {
                let (a, b) = link;
                out.say(
                    format!("NOW at the border of site {a}: let everything to and from site {b} pass again"),
                    format!("请立即在站点 {a} 出口恢复与站点 {b} 之间的全部通信"),
                );
                Ok(())
            }
        }
    }
}

async fn lock(dir: &Path) -> Result<DirLock, Error> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match DirLock::take_existing(dir) {
            Ok(lock) => return Ok(lock),
            Err(e) if Instant::now() >= until => return Err(e),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Only the cut changes: a link that was slow before stays slow.
async fn change(
    dir: &Path,
    (a, b): (SiteId, SiteId),
    cut: bool,
    at_most: Option<Duration>,
) -> Result<(), Error> {
    let known = relay::links(dir, &Question::Show).await?;
    let between = known.iter().filter(|l| (l.from, l.to) == (a, b) || (l.from, l.to) == (b, a));
    let cut_ms = at_most.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let changes: Vec<Change> = between
        .map(|l| Change { from: l.from, to: l.to, rule: Rule { cut, ..l.rule }, seed: None, cut_ms })
        .collect();
    if changes.is_empty() {
        return Err(Error::dev(format!("the relay has no link between {a} and {b}")));
    }
    relay::links(dir, &Question::Set { changes }).await.map(|_| ())
}

async fn wait_nodes(
    client: &Client,
    nodes: &[NodeId],
    until: Instant,
    wanted: impl Fn(NodeState) -> bool,
) -> Result<(), Error> {
    wait_for(until, async || {
        let status: FederationStatus = client.get("/v1/federation", &[]).await.map_err(|e| e.to_string())?;
        let late = status.nodes.iter().find(|n| nodes.contains(&n.node) && !wanted(n.state));
        late.map_or(Ok(()), |n| Err(format!("{} is {:?}", n.node, n.state)))
    })
    .await
}

//! The relay as a whole: every path of a plan, and the socket on which it is told what to do.

use crate::cable::Cable;
use crate::control::{self, Answer, Change, LinkState, Question};
use crate::plan::{Plan, PlanError};
use crate::socket::{self, Outlet, Port};
use crate::stream;
use eport_identity::{NodeId, SiteId};
use eport_model::{Code, Coded, codes};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Why a relay does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan cannot be carried.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An address cannot be bound.
    #[error("{addr}: {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The control socket cannot be used.
    #[error("{path}: {source}")]
    Control {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A part of the relay ended although nobody asked it to.
    #[error("a part of the relay ended: {0}")]
    Ended(String),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::Plan(_) => codes::FILE_UNUSABLE,
            Error::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => codes::PORT_TAKEN,
            Error::Bind { .. } | Error::Control { .. } | Error::Ended(_) => codes::DEV_FAILED,
        }
    }
}

type Cables = BTreeMap<(SiteId, SiteId), Arc<Cable>>;

/// A running relay. Dropping it ends everything it carries.
pub struct Relay {
    cables: Arc<Cables>,
    tasks: JoinSet<String>,
}

impl Relay {
    /// Binds every path and the control socket of `dir`, and carries from then on.
    pub async fn start(plan: &Plan, dir: &Path) -> Result<Self, Error> {
        plan.check()?;
        allow_sockets();
        let cables: Arc<Cables> = Arc::new(
            plan.links()
                .into_iter()
                .zip(0u64..)
                .map(|((from, to), n)| ((from, to), Cable::new(from, to, plan.seed.wrapping_add(n))))
                .collect(),
        );
        let mut ports: BTreeMap<(NodeId, NodeId), Arc<Port>> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut listeners = Vec::new();
        for p in &plan.paths {
            let bind = |source| Error::Bind { addr: p.listen, source };
            ports.insert((p.from.node, p.to.node), Port::bind(p.listen).map_err(bind)?);
            listeners.push((p, TcpListener::bind(p.listen).await.map_err(bind)?));
        }
        let control =
            control::listen(dir).map_err(|source| Error::Control { path: control::socket(dir), source })?;
        for cable in cables.values() {
            let cable = cable.clone();
            tasks.spawn(async move {
                let name = format!("link {} to {}", cable.from, cable.to);
                cable.deliver().await;
                name
            });
        }
        for (p, listener) in listeners {
            // `check` has seen both directions of every pair.
            let pair = (ports.get(&(p.from.node, p.to.node)), ports.get(&(p.to.node, p.from.node)));
            let links = (cables.get(&(p.from.site, p.to.site)), cables.get(&(p.to.site, p.from.site)));
            let ((Some(port), Some(exit)), (Some(there), Some(back))) = (pair, links) else { continue };
            let outlet = Arc::new(Outlet { port: exit.clone(), to: p.to.quic });
            let (port, from) = (port.clone(), p.from.quic);
            let cable = there.clone();
            let name = format!("path {} to {}", p.from.node, p.to.node);
            tasks.spawn(
                async move { format!("{name}: {:?}", socket::carry(port, from, cable, outlet).await) },
            );
            let (api, there, back) = (p.to.api, there.clone(), back.clone());
            tasks.spawn(async move {
                stream::accept(listener, api, there, back).await;
                format!("listener for {api}")
            });
        }
        let known = cables.clone();
        tasks.spawn(
            async move { format!("control: {:?}", control::serve(control, |q| answer(&known, q)).await) },
        );
        Ok(Self { cables, tasks })
    }

    /// Every link with its rule and what it did.
    pub fn links(&self) -> Vec<LinkState> {
        links(&self.cables)
    }

    /// Puts rules in force, all or none.
    pub fn set(&self, changes: &[Change]) -> Result<(), String> {
        set(&self.cables, changes)
    }

    /// Carries until a part of it ends, which nobody wants.
    pub async fn run(&mut self) -> Result<(), Error> {
        match self.tasks.join_next().await {
            Some(Ok(what)) => Err(Error::Ended(what)),
            Some(Err(e)) => Err(Error::Ended(e.to_string())),
            // No path at all.
            None => Ok(()),
        }
    }
}

fn answer(cables: &Cables, question: Question) -> Answer {
    let done = match question {
        Question::Show => Ok(()),
        Question::Set { changes } => set(cables, &changes),
    };
    match done {
        Ok(()) => Answer::Links(links(cables)),
        Err(why) => Answer::Refused(why),
    }
}

fn links(cables: &Cables) -> Vec<LinkState> {
    let state = |c: &Arc<Cable>| LinkState { from: c.from, to: c.to, rule: c.rule(), counts: c.counts() };
    cables.values().map(state).collect()
}

fn set(cables: &Cables, changes: &[Change]) -> Result<(), String> {
    let mut fitting = Vec::new();
    for change in changes {
        change.rule.check().map_err(|e| format!("{} to {}: {e}", change.from, change.to))?;
        let cable = cables.get(&(change.from, change.to));
        let cable = cable.ok_or_else(|| format!("there is no link from {} to {}", change.from, change.to))?;
        fitting.push((cable, change));
    }
    for (cable, change) in fitting {
        cable.set(change.rule, change.seed);
        if let Some(ms) = change.cut_ms.filter(|_| change.rule.cut) {
            cable.mend_after(std::time::Duration::from_millis(ms));
        }
        tracing::info!(from = %change.from, to = %change.to, rule = ?change.rule, "rule in force");
    }
    Ok(())
}

/// Raises this process's own bound on open sockets. Two sockets a path: a large federation needs more than the 1 024 that a shell allows at first.
pub fn allow_sockets() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // What is not allowed shows as an address that cannot be bound.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

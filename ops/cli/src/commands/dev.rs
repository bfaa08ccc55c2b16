//! `eport dev`: a local federation of real processes.

use crate::args::Global;
use crate::commands::links;
use crate::dev::state::{DevState, DirLock, NodeRow};
use crate::dev::topology::{DEFAULT_SITES, DEFAULT_VIRTUAL, SiteSpec, Topology, VirtualSpec};
use crate::dev::up::{self, Blueprint};
use crate::dev::{find_eportd, process, ready, relay};
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::ProcessState;
use eport_model::NodeId;
use eport_model::codes::{DEV_DIR_IN_USE, DEV_NOT_FOUND};
use eport_relay::Question;
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `eport dev`.
#[derive(Args, Debug)]
pub struct DevArgs {
    /// Folder of the federation
    #[arg(long, global = true, value_name = "DIR", env = "EPORT_DIR", default_value = ".eport-dev")]
    pub dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: DevCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum DevCommand {
    /// Start a federation and wait until all nodes are ready, placed and in sync; starts a stopped one again
    Up(UpArgs),
    /// Show the processes
    Status,
    /// Stop all nodes; files stay
    Down {
        /// Remove the folder too
        #[arg(long)]
        wipe: bool,
    },
    /// Kill a node at once (SIGKILL)
    Kill {
        /// The node
        node: NodeId,
    },
    /// Freeze a node (SIGSTOP)
    Pause {
        /// The node
        node: NodeId,
    },
    /// Let a frozen node go on (SIGCONT)
    Resume {
        /// The node
        node: NodeId,
    },
    /// Stop a node if it runs, start it and wait until it is ready
    Restart {
        /// The node
        node: NodeId,
    },
    /// Cut the link between two sites: nothing passes until dev heal
    Cut(links::CutArgs),
    /// Make the link between two sites slow or unreliable; what is not given is without fault
    Slow(links::SlowArgs),
    /// Mend the link between two sites, or all links; starts the relay again if it ended
    Heal(links::HealArgs),
    /// Carry the traffic between the sites; started by dev up
    #[command(hide = true)]
    Relay,
}

/// Arguments of `eport dev up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// A site with its region and number of nodes; default gz-a=440000:2, gz-c=440100, sz-a=440300
    #[arg(long = "site", value_name = "NAME=REGION[:NODES]")]
    pub sites: Vec<SiteSpec>,
    /// A virtual platform and the site that hosts it; default 440500@gz-a when no site is named
    #[arg(long = "virtual", value_name = "REGION@SITE")]
    pub hosted: Vec<VirtualSpec>,
    /// Timing of the registry
    #[arg(long, value_name = "PROFILE", value_parser = ["lan", "default", "wan"], default_value = "lan")]
    pub profile: String,
    /// The daemon; default next to this program
    #[arg(long, value_name = "PATH")]
    pub eportd: Option<PathBuf>,
    /// Let nodes of different sites reach each other without the relay: no link can be cut or slowed then
    #[arg(long)]
    pub direct: bool,
}

/// Longest wait for a federation, unless `--timeout` says otherwise.
pub const UP_LIMIT: Duration = Duration::from_secs(90);
/// How long a node may drain before it is killed.
pub const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Runs the group.
pub async fn run(args: DevArgs, global: &Global, out: Out) -> Result<(), Error> {
    let dir = std::path::absolute(&args.dir).map_err(Error::file(&args.dir))?;
    match args.command {
        DevCommand::Up(up) => bring_up(&dir, &up, global, out).await,
        DevCommand::Status => status(&DevState::load(&dir)?, out).await,
        DevCommand::Down { wipe } => down(&dir, wipe, out).await,
        DevCommand::Kill { node } => one(&dir, node, out, async |row| kill(row).await).await,
        DevCommand::Pause { node } => one(&dir, node, out, async |row| mark(row, Signal::STOP)).await,
        DevCommand::Resume { node } => one(&dir, node, out, async |row| mark(row, Signal::CONT)).await,
        DevCommand::Restart { node } => restart(&dir, node, global.timeout_or(UP_LIMIT), out).await,
        DevCommand::Cut(args) => links::cut(&dir, args, out).await,
        DevCommand::Slow(args) => links::slow(&dir, args, out).await,
        DevCommand::Heal(args) => links::heal(&dir, args, out).await,
        DevCommand::Relay => relay::run(&dir).await,
    }
}

/// The plan of the flags; the documented default when no site is named.
pub fn plan(sites: &[SiteSpec], hosted: &[VirtualSpec]) -> Result<Topology, Error> {
    if !sites.is_empty() {
        return Topology::plan(sites, hosted);
    }
    if !hosted.is_empty() {
        return Err(Error::usage("--virtual needs the sites: name them with --site"));
    }
    let sites: Result<Vec<SiteSpec>, String> = DEFAULT_SITES.iter().map(|s| s.parse()).collect();
    let hosted: Result<Vec<VirtualSpec>, String> = DEFAULT_VIRTUAL.iter().map(|s| s.parse()).collect();
    Topology::plan(&sites.map_err(Error::usage)?, &hosted.map_err(Error::usage)?)
}

async fn bring_up(dir: &Path, args: &UpArgs, global: &Global, out: Out) -> Result<(), Error> {
    let lock = DirLock::take(dir)?;
    let eportd = find_eportd(args.eportd.as_deref())?;
    let mut state = match DevState::load(dir) {
        Ok(state) => again(state, args, eportd)?,
        Err(Error::Coded { code, .. }) if code == DEV_NOT_FOUND => {
            let profile = match args.profile.as_str() {
                "wan" => "wan",
                "default" => "default",
                _ => "lan",
            };
            let plan = plan(&args.sites, &args.hosted)?;
            Blueprint { dir: dir.to_owned(), plan, mode: "dev", profile, eportd, direct: args.direct }
                .build()?
        }
        Err(error) => return Err(error),
    };
    let count = state.nodes.len();
    out.say(
        format!("starting {count} nodes in {}", dir.display()),
        format!("正在 {} 启动 {count} 个节点", dir.display()),
    );
    up::run(&mut state, global.timeout_or(UP_LIMIT), |m| {
        out.say(format!("waiting: {m}"), format!("等待：{m}"))
    })
    .await?;
    drop(lock);
    let document = serde_json::to_value(state.document(false)).unwrap_or(Value::Null);
    out.result(&document, || {
        let hint = format!("export EPORT_DIR={}", dir.display());
        format!(
            "{}\n{}{hint}\n",
            out.lang.pick(("the federation serves", "联邦已就绪")),
            node_table(&state).render()
        )
    });
    Ok(())
}

/// A folder that holds a federation: a stopped one starts again as it is.
fn again(mut state: DevState, args: &UpArgs, eportd: PathBuf) -> Result<DevState, Error> {
    let refuse = |what: &str| Err(Error::coded(DEV_DIR_IN_USE, format!("{}: {what}", state.dir.display())));
    if state.alive() {
        return refuse("the federation runs already");
    }
    if !args.sites.is_empty() || !args.hosted.is_empty() || args.direct {
        return refuse(
            "a stopped federation lies here; start it without --site, --virtual and --direct, or choose another folder",
        );
    }
    state.eportd = eportd;
    Ok(state)
}

/// The processes and, while the relay runs, its links.
async fn status(state: &DevState, out: Out) -> Result<(), Error> {
    let mut document = serde_json::to_value(state.document(true)).unwrap_or(Value::Null);
    let runs = state.relay.as_ref().is_some_and(|r| r.state() == ProcessState::Running);
    let links = if runs { relay::links(&state.dir, &Question::Show).await? } else { Vec::new() };
    document["links"] = serde_json::to_value(&links).unwrap_or(Value::Null);
    out.result(&document, || {
        let table = links::table(&links);
        let between = if table.is_empty() { String::new() } else { format!("\n{}", table.render()) };
        node_table(state).render() + &between
    });
    Ok(())
}

fn show(state: &DevState, out: Out) -> Result<(), Error> {
    let document = serde_json::to_value(state.document(true)).unwrap_or(Value::Null);
    out.result(&document, || node_table(state).render());
    Ok(())
}

fn node_table(state: &DevState) -> Table {
    let mut table = Table::new(["node", "site", "region", "state", ">pid", "api", "quic"]);
    for n in &state.document(true).nodes {
        let v = serde_json::to_value(n).unwrap_or(Value::Null);
        table.row(["node", "site", "region", "state", "pid", "api", "quic"].map(|k| cell(&v, k)));
    }
    table
}

async fn down(dir: &Path, wipe: bool, out: Out) -> Result<(), Error> {
    let lock = DirLock::take_existing(dir)?;
    let state = DevState::load(dir)?;
    up::stop_all(&state, STOP_PATIENCE).await?;
    if wipe {
        std::fs::remove_dir_all(dir).map_err(Error::file(dir))?;
    }
    drop(lock);
    show(&state, out)
}

/// Does one thing to one node and prints what it does afterwards.
async fn one(
    dir: &Path,
    node: NodeId,
    out: Out,
    act: impl AsyncFnOnce(&NodeRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let _lock = DirLock::take_existing(dir)?;
    let state = DevState::load(dir)?;
    act(state.node(node)?).await?;
    show_one(&state, node, out)
}

fn show_one(state: &DevState, node: NodeId, out: Out) -> Result<(), Error> {
    let document = state.document(true);
    let row = document.nodes.iter().find(|n| n.node == node);
    let value = serde_json::to_value(row).unwrap_or(Value::Null);
    out.result(&value, || format!("{node}: {} (pid {})\n", cell(&value, "state"), cell(&value, "pid")));
    Ok(())
}

async fn kill(row: &NodeRow) -> Result<(), Error> {
    match row.process {
        Some(p) => process::kill(p).await,
        None => Ok(()),
    }
}

/// Sends STOP or CONT; a process that is gone cannot take it.
fn mark(row: &NodeRow, signal: Signal) -> Result<(), Error> {
    let sent = row.process.map(|p| process::signal(p, signal)).transpose()?.unwrap_or(false);
    if !sent {
        return Err(Error::coded(DEV_NOT_FOUND, format!("node {} does not run", row.node)));
    }
    let wanted = if signal == Signal::STOP { ProcessState::Paused } else { ProcessState::Running };
    // The kernel acts on the signal soon, not at once.
    for _ in 0..200 {
        if row.state() == wanted {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

async fn restart(dir: &Path, node: NodeId, limit: Duration, out: Out) -> Result<(), Error> {
    let _lock = DirLock::take_existing(dir)?;
    let mut state = DevState::load(dir)?;
    if let Some(p) = state.node(node)?.process {
        process::stop(p, STOP_PATIENCE).await?;
    }
    up::start(&mut state, node)?;
    ready::wait_node(&state, state.node(node)?, limit).await?;
    show_one(&state, node, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_sites_the_documented_federation_is_meant() {
        assert_eq!(plan(&[], &[]).unwrap().nodes.len(), 4);
        assert_eq!(plan(&[], &["440500@gz-a".parse().unwrap()]).unwrap_err().exit(), 2);
    }
}

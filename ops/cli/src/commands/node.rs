//! `eport node`: members of the federation.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use clap::{Args, Subcommand};
use eport_client::Method;
use eport_model::NodeId;
use eport_model::codes::NOT_FOUND;
use eport_registry::{NodeState, statement};
use serde_json::{Value, json};

/// Arguments of `eport node`.
#[derive(Args, Debug)]
pub struct NodeArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum NodeCommand {
    /// List the nodes
    List,
    /// Show one node and what it serves
    Show {
        /// The node
        node: NodeId,
    },
    /// Mark a node as draining: it is no target of moves any more; move its platforms with platform switchover
    Drain {
        /// The node
        node: NodeId,
        /// End the draining
        #[arg(long)]
        undo: bool,
    },
    /// Remove a node for good: its vote goes to another, its certificate is revoked, its id is never used again
    Remove(super::removal::RemoveArgs),
    /// Invite a node: make the one-time token with which it joins; the text is shown once
    Token(super::join::NodeTokenArgs),
    /// Join a federation with a token: on the new node's own machine, which needs no certificate yet
    Join(super::join::JoinArgs),
    /// Join again under a new id, with eportd stopped: after the loss of the quorum, or with an empty folder after the loss of a disk
    Rejoin(super::rejoin::RejoinArgs),
    /// Look after the time that a node has seen
    #[command(subcommand)]
    Clock(ClockCommand),
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ClockCommand {
    /// Take this machine's time as right although the node has seen a later one; with eportd stopped
    Accept {
        /// Data directory of the node
        #[arg(long, value_name = "DIR")]
        data: std::path::PathBuf,
    },
}

/// Writes the floor anew, so that a crash leaves the old or the new one.
fn accept_clock(data: &std::path::Path, out: Out) -> Result<(), Error> {
    let path = data.join(eport_access::CLOCK_FLOOR_FILE);
    let before = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
    let question = (
        format!("forget that the node of {} has seen a later time?", data.display()),
        format!("不再采用 {} 的节点曾见过的较晚时间？", data.display()),
    );
    out.confirm((&question.0, &question.1))?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp().saturating_mul(1_000);
    crate::files::write_atomic(&path, format!("{now}\n").as_bytes())?;
    let answer = json!({ "data": data, "before_ms": before.trim().parse::<i64>().ok(), "now_ms": now });
    out.result(&answer, || format!("{}\n", path.display()));
    Ok(())
}

/// Runs the group.
pub async fn run(args: NodeArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        NodeCommand::Join(args) => return super::join::join(&args, global, out).await,
        NodeCommand::Clock(ClockCommand::Accept { data }) => return accept_clock(&data, out),
        _ => {}
    }
    let client = connect::client(global)?;
    match args.command {
        NodeCommand::Join(_) | NodeCommand::Clock(_) => {}
        NodeCommand::Remove(args) => super::removal::remove(args, &client, out).await?,
        NodeCommand::Token(args) => super::join::token(&args, &client, out).await?,
        NodeCommand::Rejoin(args) => super::rejoin::rejoin(&args, &client, out).await?,
        NodeCommand::List => {
            let items = client.list("/v1/nodes", &[]).await?;
            out.items(&items, || super::status::nodes(&items, out.lang));
        }
        NodeCommand::Show { node } => show(&client.status().await?, node, out)?,
        NodeCommand::Drain { node, undo } => {
            let question = (
                format!("mark {node} as {}?", if undo { "up again" } else { "draining" }),
                format!("将 {node} 标记为{}？", if undo { "恢复服务" } else { "正在退出" }),
            );
            out.confirm((&question.0, &question.1))?;
            let to = if undo { NodeState::Up } else { NodeState::Draining };
            let statement = statement::node_state(node, to);
            let path = format!("/v1/nodes/{node}/drain");
            let answer: Value =
                client.give(Method::POST, &path, &json!({ "drain": !undo }), &statement).await?;
            out.result(&answer, || format!("{node}: {}\n", cell(&answer, "state")));
        }
    }
    Ok(())
}

/// The node's own row with what it is primary of and what it backs up.
fn show(status: &Value, node: NodeId, out: Out) -> Result<(), Error> {
    let list = |name: &str| status.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut row = list("nodes")
        .into_iter()
        .find(|n| n["node"] == node.as_str())
        .ok_or_else(|| Error::coded(NOT_FOUND, format!("the federation has no node {node}")))?;
    let platforms = list("platforms");
    let region = |p: &Value| p["region"].clone();
    let primary: Vec<Value> =
        platforms.iter().filter(|p| p["primary"] == node.as_str()).map(region).collect();
    let backs =
        |p: &&Value| p["backups"].as_array().is_some_and(|b| b.iter().any(|b| b["node"] == node.as_str()));
    let backup: Vec<Value> = platforms.iter().filter(backs).map(region).collect();
    row["primary_of"] = primary.into();
    row["backup_of"] = backup.into();
    out.result(&row, || {
        let mut table = crate::table::Table::new(["", ""]);
        for name in [
            "node",
            "site",
            "region",
            "state",
            "last_seen_s",
            "voter",
            "version",
            "build",
            "api",
            "primary_of",
            "backup_of",
        ] {
            table.row([name.to_owned(), cell(&row, name)]);
        }
        table.render()
    });
    Ok(())
}

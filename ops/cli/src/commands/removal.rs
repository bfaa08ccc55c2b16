//! `eport node remove`: drained, its vote given to another, revoked and removed, in this order; what stands against it is told first.

use crate::error::Error;
use crate::output::Out;
use clap::Args;
use eport_api_types::{NodeRemoval, NodeRemoved};
use eport_client::{Client, Method, Repeat};
use eport_model::{NodeId, codes};
use eport_registry::{NodeState, statement};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the leader may take to give a drained node's vote to another. Where none can take it, removal itself ends the vote.
const VOTE_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `eport node remove`.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The node
    node: NodeId,
    /// The node's disk is lost for good, with what a failover left behind on it
    #[arg(long)]
    tail_lost: bool,
    /// Show what stands against it and change nothing
    #[arg(long)]
    dry_run: bool,
}

async fn look(client: &Client, node: NodeId) -> Result<NodeRemoved, Error> {
    let ask = NodeRemoval { dry_run: true, tail_lost: false };
    Ok(client.post(&format!("/v1/nodes/{node}/removal"), &ask, Repeat::Safe).await?)
}

/// Runs it.
pub(super) async fn remove(args: RemoveArgs, client: &Client, out: Out) -> Result<(), Error> {
    let node = args.node;
    let seen = look(client, node).await?;
    if seen.removed {
        return finish(&seen, out);
    }
    let open: Vec<_> =
        seen.obstacles.iter().filter(|o| !(args.tail_lost && o.may_be_declared_lost)).collect();
    for o in &open {
        let (zh, en) = (&o.advice_zh, &o.advice_en);
        out.say(format!("{node} is {}: {en}", o.text), format!("{node} {}：{zh}", o.text));
    }
    if args.dry_run {
        let shown =
            json!({ "node": node, "removed": false, "voter": seen.voter, "obstacles": seen.obstacles });
        out.result(&shown, || {
            let n = open.len();
            out.lang.pick((format!("{n} reasons stand against it\n"), format!("有 {n} 项阻碍\n")))
        });
        return Ok(());
    }
    if !open.is_empty() {
        let why: Vec<&str> = open.iter().map(|o| o.text.as_str()).collect();
        return Err(Error::coded(codes::NODE_IN_USE, format!("node {node} is {}", why.join("; "))));
    }
    let en = format!("remove {node} for good? its certificate is revoked and its id never used again");
    let zh = format!("永久移除 {node}？其证书将被吊销，编号不再使用");
    out.confirm((&en, &zh))?;
    let drained = statement::node_state(node, NodeState::Draining);
    let path = format!("/v1/nodes/{node}/drain");
    let _: Value = client.give(Method::POST, &path, &json!({ "drain": true }), &drained).await?;
    let deadline = Instant::now() + VOTE_PATIENCE;
    while look(client, node).await?.voter && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ask = NodeRemoval { dry_run: false, tail_lost: args.tail_lost };
    let gone = statement::node_state(node, NodeState::Removed);
    let path = format!("/v1/nodes/{node}/removal");
    let done: NodeRemoved = client.give(Method::POST, &path, &ask, &gone).await?;
    finish(&done, out)
}

fn finish(done: &NodeRemoved, out: Out) -> Result<(), Error> {
    let shown = json!({ "node": done.node, "removed": true, "voter": done.voter });
    out.result(&shown, || {
        let node = done.node;
        out.lang.pick((
            format!("{node} is removed and its certificate revoked\n"),
            format!("{node} 已移除，证书已吊销\n"),
        ))
    });
    Ok(())
}

//! What must hold after a move, whatever happened during it.

use crate::{Ledger, document};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for};
use serde_json::Value;
use std::time::Duration;

/// Longest wait for the end of a move: above the switchover's own deadline of 30 s and a restart.
const MOVE_LIMIT: Duration = Duration::from_secs(120);

/// The newest move of a platform as a node knows it, if it is not `before`.
pub fn newest_move(fed: &Federation, node: &str, region: &str, before: &str) -> Result<Option<Value>> {
    Ok(fed.history_at(node, region)?.into_iter().next().filter(|m| m["move_id"] != before))
}

/// Waits until a move is over and returns it.
pub fn ended_move(fed: &Federation, node: &str, region: &str, move_id: &str) -> Result<Value> {
    wait_for(&format!("the end of move {move_id} at {node}"), MOVE_LIMIT, || {
        let history = fed.history_at(node, region).map_err(|e| format!("{e:#}"))?;
        let found = history.into_iter().find(|m| m["move_id"] == move_id).ok_or("no such move")?;
        match found["state"].as_str() {
            Some("done" | "aborted") => Ok(found),
            _ => Err(found.to_string()),
        }
    })
}

/// The same plan, steps and end of a move at two nodes.
pub fn check_same_plan(fed: &Federation, region: &str, move_id: &str, nodes: [&str; 2]) -> Result<()> {
    wait_for("the same history at two nodes", MOVE_LIMIT, || {
        let one = |node: &str| {
            let history = fed.history_at(node, region).map_err(|e| format!("{e:#}"))?;
            let found = history.into_iter().find(|m| m["move_id"] == move_id);
            found.ok_or_else(|| format!("{node} does not know {move_id}"))
        };
        let (a, b) = (one(nodes[0])?, one(nodes[1])?);
        let same = ["plan", "state", "from", "to", "epoch_before", "epoch_after", "version", "steps"]
            .iter()
            .all(|k| a[k] == b[k]);
        if same { Ok(()) } else { Err(format!("{a}\nagainst\n{b}")) }
    })
}

/// Waits until the platform accepts a document, through any node.
pub fn serves(fed: &Federation, region: &str, reference: &str, ledger: &mut Ledger) -> Result<()> {
    wait_for(&format!("platform {region} serves again"), MOVE_LIMIT, || {
        ledger.submit(fed, region, &[document(reference)]).map_err(|e| format!("{e:#}"))
    })
}

/// `platform verify`: every holder answers, with the same digest.
pub fn proof_of_equality(fed: &Federation, region: &str, holders: usize) -> Result<Value> {
    let proof = fed
        .eport(&["--timeout", "90s", "platform", "verify", region])?
        .expect(0, "platform verify")?
        .json()?;
    let replicas = proof["replicas"].as_array().context("replicas")?;
    let equal = replicas.iter().filter(|r| r["equal"] == true && r["digest"].is_string()).count();
    ensure!(
        equal == holders && replicas.len() == holders,
        "{region}: {equal} of {holders} holders are equal: {proof}"
    );
    Ok(proof)
}

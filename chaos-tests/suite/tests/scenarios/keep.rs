//! What is stored stays what it was, and what must go goes: verification in the background and Erase, over real processes.

mod erase;
mod evidence;
mod verification;

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http};
use serde_json::Value;

/// The platform, its primary and its two backups.
const R: &str = "440300";
const PRIMARY: &str = "sz-a-1";
const BACKUP: &str = "gz-a-2";
const OTHER: &str = "gz-c-1";

/// One document with its content, as a node answers; the status where it answers with an error.
fn document_at(fed: &Federation, http: &Http, node: &str, id: &str) -> Result<(u16, Value)> {
    let reply = http.get(&format!("{}/v1/platforms/{R}/documents/{id}", fed.api(node)?))?;
    Ok((reply.status, reply.json().with_context(|| reply.text())?))
}

/// Every node's journal proves itself.
fn journals_verify(fed: &Federation, nodes: &[&str]) -> Result<()> {
    for node in nodes {
        let proof = fed.eport_at(node, &["journal", "verify", R])?.ok_json()?;
        ensure!(proof["ok"] == true, "{node}: {proof}");
    }
    Ok(())
}

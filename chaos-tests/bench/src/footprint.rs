//! What a node takes when nothing happens, and how soon it serves again.

use crate::federation::Federation;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Largest resident memory of a node in MiB after `settle` without a request, and its name.
pub fn idle(federation: &Federation, settle: Duration) -> Result<(String, f64)> {
    std::thread::sleep(settle);
    let mut nodes = federation.resident()?;
    nodes.sort_by(|a, b| b.1.total_cmp(&a.1));
    ensure!(!nodes.is_empty(), "no node runs");
    Ok(nodes.swap_remove(0))
}

/// Milliseconds from the start of the process to the first 200 of `/readyz`; `killed`: the former process was killed.
pub async fn start_to_ready(federation: &Federation, node: &str, killed: bool) -> Result<f64> {
    if killed {
        federation.kill(node)?;
    } else {
        federation.stop(node).await?;
    }
    let apis = federation.apis()?;
    let client = federation.client(&apis[0])?;
    let (api, begin) = federation.start(node)?;
    loop {
        if let Ok((200, _)) = client.peek(&api, "/readyz", Duration::from_secs(2)).await {
            return Ok(begin.elapsed().as_secs_f64() * 1_000.0);
        }
        ensure!(begin.elapsed() < Duration::from_secs(60), "{node} was not ready within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

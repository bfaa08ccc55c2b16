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

/// Space that a folder takes on disk, in MiB.
pub fn disk_mib(folder: &std::path::Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let (mut blocks, mut folders) = (0u64, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // A file that went away meanwhile takes nothing.
            let Ok(meta) = entry.metadata() else { continue };
            blocks += meta.blocks();
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(blocks as f64 * 512.0 / f64::from(1 << 20))
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

//! When a local federation serves: every process answers ready, every platform is placed, every backup is in sync.
//!
//! The wait is on conditions, looked at again and again; an unmet one is named when the time is over, a process that
//! ended is named at once with the end of its log.

use crate::connect::client_of;
use crate::dev::state::{DevState, NodeRow};
use crate::error::Error;
use crate::lang::Lang;
use eport_api_types::{DurabilityNow, FederationStatus, NodeState, PlatformState, ProcessState};
use eport_client::Client;
use eport_model::codes::{DEV_FAILED, DEV_TIMEOUT};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(60);
/// How long one look at one node may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until the whole federation serves. `note` hears every change of what is missing.
pub async fn wait(state: &DevState, limit: Duration, mut note: impl FnMut(&str)) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    let client = client_of(&state.access(), PATIENCE, Lang::En)?;
    let mut said = String::new();
    loop {
        for row in &state.nodes {
            refuse_exited(row)?;
        }
        let missing = missing(&client, state).await;
        let Some(first) = missing.first() else { return Ok(()) };
        if *first != said {
            note(first);
            said = first.clone();
        }
        if Instant::now() >= deadline {
            return Err(timed_out(limit, &missing, &state.nodes));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until one node answers ready.
pub async fn wait_node(state: &DevState, row: &NodeRow, limit: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    let client = client_of(&state.access(), PATIENCE, Lang::En)?;
    loop {
        refuse_exited(row)?;
        let Some(reason) = not_ready(&client, row).await else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(timed_out(limit, &[reason], std::slice::from_ref(row)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until a condition on the federation's status holds; `None` means it does.
pub async fn wait_status(
    client: &Client,
    limit: Duration,
    mut unmet: impl FnMut(&FederationStatus) -> Option<String>,
) -> Result<FederationStatus, Error> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = client.get::<FederationStatus>("/v1/federation", &[]).await;
        let reason = match &seen {
            Ok(status) => unmet(status),
            Err(error) => Some(error.to_string()),
        };
        match (reason, seen) {
            (None, Ok(status)) => return Ok(status),
            (Some(reason), _) if Instant::now() >= deadline => {
                return Err(Error::coded(DEV_TIMEOUT, format!("after {} s: {reason}", limit.as_secs())));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

async fn missing(client: &Client, state: &DevState) -> Vec<String> {
    let mut out = Vec::new();
    for row in &state.nodes {
        out.extend(not_ready(client, row).await);
    }
    if !out.is_empty() {
        return out;
    }
    for row in &state.nodes {
        match client.only(&row.api).get::<FederationStatus>("/v1/federation", &[]).await {
            Ok(status) => out.extend(unmet(&status, state).into_iter().map(|m| format!("{}: {m}", row.node))),
            Err(error) => out.push(error.to_string()),
        }
        if !out.is_empty() {
            break;
        }
    }
    out
}

async fn not_ready(client: &Client, row: &NodeRow) -> Option<String> {
    match client.peek(&row.api, "/readyz", PATIENCE).await {
        Ok((200, _)) => None,
        Ok((_, body)) => Some(format!("{} is not ready: {}", row.node, reasons(&body))),
        Err(error) => Some(format!("{}: {error}", row.node)),
    }
}

/// What `/readyz` says, on one line.
fn reasons(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(200).collect()
}

/// What one node's view still lacks.
fn unmet(status: &FederationStatus, state: &DevState) -> Vec<String> {
    let mut out = Vec::new();
    for row in &state.nodes {
        match status.nodes.iter().find(|n| n.node == row.node) {
            // Until it has, no platform may be given to it.
            Some(n) if n.state == NodeState::Up && n.reads.is_none() => {
                out.push(format!("node {} has not told the registry what it reads", row.node));
            }
            Some(n) if n.state == NodeState::Up => {}
            Some(n) => out.push(format!("node {} is {:?}", row.node, n.state)),
            None => out.push(format!("node {} has not joined", row.node)),
        }
    }
    let voters = status.nodes.iter().filter(|n| n.voter).count();
    let wanted = if state.nodes.len() >= 3 { 3 } else { 1 };
    if voters < wanted {
        out.push(format!("the registry has {voters} of {wanted} voters"));
    }
    if status.platforms.is_empty() {
        out.push("no platform is placed".into());
    }
    for p in &status.platforms {
        if p.state != PlatformState::Active {
            out.push(format!("platform {} is {:?}", p.region, p.state));
        }
        out.extend(
            p.backups
                .iter()
                .filter(|b| !b.in_sync)
                .map(|b| format!("{} of {} is not in sync", b.node, p.region)),
        );
        if p.durability == "sync" && p.durability_now != DurabilityNow::Replicated {
            out.push(format!("platform {} does not answer replicated yet", p.region));
        }
        if p.durability != "async" && p.proven == 0 {
            out.push(format!("platform {} could not be failed over yet", p.region));
        }
    }
    out
}

fn refuse_exited(row: &NodeRow) -> Result<(), Error> {
    if row.state() != ProcessState::Exited {
        return Ok(());
    }
    let detail = format!("eportd of {} ended; {}: {}", row.node, row.log.display(), log_end(&row.log));
    Err(Error::coded(DEV_FAILED, detail))
}

fn timed_out(limit: Duration, missing: &[String], rows: &[NodeRow]) -> Error {
    let logs: Vec<String> = rows.iter().map(|r| r.log.display().to_string()).collect();
    let detail = format!("after {} s: {}; logs: {}", limit.as_secs(), missing.join("; "), logs.join(" "));
    Error::coded(DEV_TIMEOUT, detail)
}

/// The last line of a log that says something, cut to 600 characters.
pub fn log_end(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    // Only the end of a long log is looked at.
    let end = &text[text.len().saturating_sub(8 << 10)..];
    let end = String::from_utf8_lossy(end);
    let line = end.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("(the log is empty)");
    line.chars().take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_its_last_line_that_says_something() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert!(log_end(&path).contains("empty"));
        std::fs::write(&path, "first\nport 127.0.0.1:9 is taken EP1002\n\n  \n").unwrap();
        assert_eq!(log_end(&path), "port 127.0.0.1:9 is taken EP1002");
    }

    #[tokio::test]
    async fn a_process_that_ended_is_named_at_once_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "EP1101 the data directory is in use\n").unwrap();
        let row = NodeRow {
            node: "gz-a-1".parse().unwrap(),
            site: "gz-a".parse().unwrap(),
            region: "440000".parse().unwrap(),
            process: None,
            api: "https://127.0.0.1:1".into(),
            quic: "127.0.0.1:1".into(),
            metrics: "http://127.0.0.1:1".into(),
            config: "c".into(),
            log,
        };
        let error = refuse_exited(&row).unwrap_err();
        assert_eq!(error.exit(), 1);
        assert!(error.to_string().contains("gz-a-1") && error.to_string().contains("EP1101"));
    }
}

//! Moves under load: the pause of writes and the way back to them, from the log of a client process of its own.

use crate::federation::Federation;
use anyhow::{Context, Result, bail, ensure};
use eport_cli::demo::reconcile::{Pause, pause};
use eport_cli::load::log::{Line, parse};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The platform that moves: a city with backups on two other sites.
const REGION: &str = "440100";

/// Planned switchovers at `rate` documents a second; one entry a switchover.
pub fn switchovers(federation: &Federation, count: usize, rate: u64) -> Result<Vec<Pause>> {
    let load = Load::start(federation, "SWITCH", rate)?;
    let mut windows = Vec::new();
    for _ in 0..count {
        let to = backup(&federation.wait_in_sync(REGION, 1)?)?;
        // Steady writes before and after, so that a gap has two ends.
        std::thread::sleep(Duration::from_millis(700));
        let from = now_ms();
        let moved = federation.eport(&["platform", "switchover", REGION, "--to", &to])?;
        ensure!(moved["state"] == "done", "switchover to {to}: {moved}");
        windows.push((from, now_ms() + 200.0));
        std::thread::sleep(Duration::from_millis(300));
    }
    let lines = load.end()?;
    Ok(windows.into_iter().map(|(from, to)| pause(&lines, from, to)).collect())
}

/// From the failover command, given to the new primary, to the first document accepted after it; one entry a failover, in ms.
pub fn failovers(federation: &Federation, count: usize, rate: u64) -> Result<Vec<f64>> {
    let mut out = Vec::new();
    for n in 0..count {
        let placed = federation.wait_in_sync(REGION, 2)?;
        let (to, old) = (backup(&placed)?, placed["primary"].as_str().context("a primary")?.to_owned());
        let load = Load::start(federation, &format!("FAIL{n}"), rate)?;
        std::thread::sleep(Duration::from_millis(1_500));
        federation.kill(&old)?;
        // The wish comes from a person who has seen the node go; nothing is accepted in between.
        std::thread::sleep(Duration::from_millis(500));
        let api = api_of(federation, &to)?;
        let from = now_ms();
        let args = ["--api", &api, "platform", "failover", REGION, "--to", &to, "--old-primary", "stopped"];
        let moved = federation.eport(&args)?;
        ensure!(moved["state"] == "done", "failover to {to}: {moved}");
        std::thread::sleep(Duration::from_millis(1_500));
        let lines = load.end()?;
        out.push(pause(&lines, from, now_ms()).first_after_ms.context("no document after the failover")?);
        federation.eport(&["dev", "restart", &old, "--dir", &federation.home().display().to_string()])?;
    }
    Ok(out)
}

fn api_of(federation: &Federation, node: &str) -> Result<String> {
    let state = federation.state()?;
    let row = state.nodes.iter().find(|n| n.node.to_string() == node);
    Ok(row.with_context(|| format!("no node {node}"))?.api.clone())
}

/// An in-sync backup to move to.
fn backup(platform: &Value) -> Result<String> {
    let backups = platform["backups"].as_array().context("backups")?;
    let found = backups.iter().find(|b| b["in_sync"] == true).and_then(|b| b["node"].as_str());
    Ok(found.with_context(|| format!("no backup in sync: {platform}"))?.to_owned())
}

/// `eport load` as a process of its own.
struct Load {
    child: Child,
    stop: PathBuf,
    log: PathBuf,
}

impl Load {
    fn start(federation: &Federation, prefix: &str, rate: u64) -> Result<Self> {
        let file = |end: &str| federation.scratch().join(format!("{prefix}.{end}"));
        let (stop, log) = (file("stop"), file("log"));
        let mut command = federation.command(&["load", "-p", REGION, "--prefix", prefix]);
        command.args(["--rate", &rate.to_string(), "--settle", "10s"]);
        command.arg("--stop-file").arg(&stop).arg("--log").arg(&log);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, stop, log })
    }

    /// Ends the load and reads its log.
    fn end(mut self) -> Result<Vec<Line>> {
        std::fs::write(&self.stop, "")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the load ended with {status}");
        match parse(&std::fs::read_to_string(&self.log)?) {
            Ok(lines) => Ok(lines),
            Err(why) => bail!("{}: {why}", self.log.display()),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // After `end` it has been waited for, and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1_000.0
}

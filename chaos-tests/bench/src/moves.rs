//! Moves under load: the pause of writes and the way back to them, from the log of a client process of its own.

use crate::federation::Federation;
use anyhow::{Context, Result, bail, ensure};
use eport_cli::demo::reconcile::{Pause, pause};
use eport_cli::load::log::{Line, parse};
use eport_cluster::wait_for;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The platform that moves: a city with backups on two other sites.
pub const REGION: &str = "440100";

/// An open load: documents a second, and how many of them in one request.
#[derive(Clone, Copy)]
pub struct Rate {
    pub a_second: u64,
    pub batch: u64,
}

/// Planned switchovers under load; one entry a switchover, and documents acknowledged a second while they were made.
pub fn switchovers(federation: &Federation, count: usize, rate: Rate) -> Result<(Vec<Pause>, f64)> {
    let load = Load::start(federation, &format!("SWITCH{}", rate.a_second), rate)?;
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
    let pauses = windows.iter().map(|(from, to)| pause(&lines, *from, *to)).collect();
    let (first, last) = (windows.first().context("a window")?.0, windows.last().context("a window")?.1);
    let all = pause(&lines, first, last);
    Ok((pauses, all.acknowledged as f64 / ((last - first) / 1_000.0)))
}

/// From the failover command, given to the new primary, to the first document accepted after it; one entry a failover, in ms.
pub fn failovers(federation: &Federation, count: usize) -> Result<Vec<f64>> {
    let mut out = Vec::new();
    for n in 0..count {
        let placed = federation.wait_in_sync(REGION, 2)?;
        let (to, old) = (backup(&placed)?, primary(&placed)?);
        let load = Load::start(federation, &format!("FAIL{n}"), STEADY)?;
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
        federation.restart(&old)?;
    }
    Ok(out)
}

/// Who leads the registry when the primary is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// Another node: its clock runs on.
    Survives,
    /// The primary's own node: a new leader comes first.
    Dies,
}

/// Platforms of the default federation that fail over by themselves, one after the other: the second automatic failover of the
/// same platform waits before it is tried, so that nothing flaps.
const CITIES: [&str; 3] = ["440100", "440300", "440500"];

/// From the death of a primary to the first document accepted after it, with nobody at the keyboard; one entry a platform, ms.
pub fn automatic(federation: &Federation, leader: Leader) -> Result<Vec<f64>> {
    let mut out = Vec::new();
    for region in CITIES {
        federation.eport(&["platform", "policy", region, "--failover", "auto"])?;
        let old = place_beside(federation, region, leader)?;
        let load = Load::on(federation, region, &format!("AUTO{region}"), STEADY)?;
        std::thread::sleep(Duration::from_millis(1_500));
        federation.kill(&old)?;
        let from = now_ms();
        wait_for("the automatic failover", Duration::from_secs(60), || {
            let p = federation.platform(region).map_err(|e| format!("{e:#}"))?;
            if p["state"] == "active" && p["primary"] != old { Ok(()) } else { Err(p.to_string()) }
        })?;
        std::thread::sleep(Duration::from_millis(2_000));
        let lines = load.end()?;
        let back = pause(&lines, from, now_ms()).first_after_ms;
        out.push(back.context("no document after the failover")?);
        federation.restart(&old)?;
    }
    Ok(out)
}

/// Brings a platform's primary and the registry's leader together, or apart; the primary.
fn place_beside(federation: &Federation, region: &str, leader: Leader) -> Result<String> {
    for _ in 0..8 {
        let placed = federation.wait_in_sync(region, 2)?;
        let (leads, old) = (federation.leader()?, primary(&placed)?);
        if (leads == old) == (leader == Leader::Dies) {
            return Ok(old);
        }
        let to = match leader {
            Leader::Survives => backup(&placed)?,
            Leader::Dies if backs(&placed, &leads) => leads,
            Leader::Dies => {
                // The leader keeps no copy of this platform: another one is elected.
                federation.kill(&leads)?;
                wait_for("another leader", Duration::from_secs(60), || match federation.leader() {
                    Ok(l) if l != leads => Ok(()),
                    other => Err(format!("{other:?}")),
                })?;
                federation.restart(&leads)?;
                continue;
            }
        };
        let moved = federation.eport(&["platform", "switchover", region, "--to", &to])?;
        ensure!(moved["state"] == "done", "switchover to {to}: {moved}");
    }
    bail!("{region}: primary and leader are never where they are needed")
}

/// The registry's leader dies under load, and it is not this platform's primary; the pause, and whether anything moved.
pub fn leader_changes(federation: &Federation, count: usize) -> Result<(Vec<Pause>, bool)> {
    let (mut out, mut moved) = (Vec::new(), false);
    while out.len() < count {
        place_beside(federation, REGION, Leader::Survives)?;
        let (before, leads) = (federation.wait_in_sync(REGION, 2)?, federation.leader()?);
        let load = Load::start(federation, &format!("LEAD{}", out.len()), STEADY)?;
        std::thread::sleep(Duration::from_millis(1_500));
        let from = now_ms();
        federation.kill(&leads)?;
        wait_for("another leader", Duration::from_secs(60), || match federation.leader() {
            Ok(l) if l != leads => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        std::thread::sleep(Duration::from_millis(2_000));
        let after = federation.platform(REGION)?;
        moved |= after["epoch"] != before["epoch"] || after["primary"] != before["primary"];
        let lines = load.end()?;
        out.push(pause(&lines, from, now_ms()));
        federation.restart(&leads)?;
    }
    Ok((out, moved))
}

/// Documents a second beside a failure: few enough that nothing but the failure delays them.
const STEADY: Rate = Rate { a_second: 200, batch: 1 };

fn primary(platform: &Value) -> Result<String> {
    Ok(platform["primary"].as_str().context("a primary")?.to_owned())
}

fn backs(platform: &Value, node: &str) -> bool {
    platform["backups"].as_array().into_iter().flatten().any(|b| b["in_sync"] == true && b["node"] == node)
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
    fn start(federation: &Federation, prefix: &str, rate: Rate) -> Result<Self> {
        Self::on(federation, REGION, prefix, rate)
    }

    fn on(federation: &Federation, region: &str, prefix: &str, rate: Rate) -> Result<Self> {
        let file = |end: &str| federation.scratch().join(format!("{prefix}.{end}"));
        let (stop, log) = (file("stop"), file("log"));
        let mut command = federation.command(&["load", "-p", region, "--prefix", prefix]);
        command.args([
            "--rate",
            &rate.a_second.to_string(),
            "--batch",
            &rate.batch.to_string(),
            "--settle",
            "10s",
        ]);
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

//! Drills with a fault at each of their steps: whatever happens, the start state comes back by itself.

use super::ground::Ground;
use crate::{Ledger, Load, processes, proof_of_equality, serves};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Ran, wait_for};
use serde_json::Value;
use std::fmt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The platform that the drills are about, and where it is at home.
pub const CITY: &str = "440300";
/// Its node.
pub const AT: &str = "sz-a-1";
/// A node that no drill about the city kills.
const WATCH: &str = "gz-a-1";

/// A fault at a step of a drill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Blow {
    /// The terminal is closed for good: `kill -9` of the drill's process; its guard is left.
    TerminalDies,
    /// The leader of the registry is killed and started again.
    LeaderDies,
    /// The platform's primary of that moment is killed and started again.
    PrimaryDies,
    /// The drill's process stands still for a while.
    TerminalPauses,
    /// The city's links are cut for a while.
    LinkCut,
    /// The drill's process and its guard are killed: the registry's leader is left.
    BothDie,
}

/// Every kind.
pub const BLOWS: [Blow; 6] = [
    Blow::TerminalDies,
    Blow::LeaderDies,
    Blow::PrimaryDies,
    Blow::TerminalPauses,
    Blow::LinkCut,
    Blow::BothDie,
];

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blow::TerminalDies => "terminal dies",
            Blow::LeaderDies => "registry leader dies",
            Blow::PrimaryDies => "primary dies",
            Blow::TerminalPauses => "terminal stands still",
            Blow::LinkCut => "city cut off",
            Blow::BothDie => "terminal and guard die",
        })
    }
}

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrillCell {
    /// Name of the drill.
    pub drill: String,
    /// Its step.
    pub step: String,
    /// What happens before it.
    pub blow: Blow,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct DrillOutcome {
    /// The verdict that the registry keeps.
    pub verdict: String,
    /// How the registry says that it ended.
    pub note: String,
    /// False when the drill ended before the step.
    pub reached: bool,
    /// How long the cell took.
    pub seconds: f64,
}

/// Every step of every drill that is run here, the kinds of faults dealt out in turn; a drill that kills also loses terminal and guard.
pub fn cells(drills: &[(String, Vec<String>)]) -> Vec<DrillCell> {
    let mut all = Vec::new();
    for (d, (drill, steps)) in drills.iter().enumerate() {
        for (n, step) in steps.iter().enumerate() {
            let blow = BLOWS[(n + d) % BLOWS.len()];
            all.push(DrillCell { drill: drill.clone(), step: step.clone(), blow });
        }
    }
    all
}

/// The drills there are with their steps, as the program says.
pub fn drills(ground: &Ground, names: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
    let mut all = Vec::new();
    for name in names {
        let plan = ground.fed.eport(&["drill", "plan", name, CITY])?.json()?;
        let steps = plan["steps"].as_array().with_context(|| plan.to_string())?;
        all.push((
            (*name).to_owned(),
            steps.iter().filter_map(|s| s["name"].as_str().map(str::to_owned)).collect(),
        ));
    }
    Ok(all)
}

fn signal(pid: u32, name: &str) -> Result<()> {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(done.success(), "kill -{name} {pid}: {done}");
    Ok(())
}

/// Starts a node again unless the drill itself has killed it and will start it.
fn kill_and_start(ground: &Ground, node: &str) -> Result<()> {
    ground.fed.dev("kill", node)?;
    ground.fed.dev("restart", node)
}

fn strike(ground: &Ground, blow: Blow, child: &mut Child) -> Result<()> {
    match blow {
        Blow::TerminalDies => child.kill()?,
        Blow::BothDie => {
            for pid in processes(&ground.fed, "guard")? {
                signal(pid, "KILL")?;
            }
            child.kill()?;
        }
        Blow::TerminalPauses => {
            signal(child.id(), "STOP")?;
            std::thread::sleep(Duration::from_secs(2));
            signal(child.id(), "CONT")?;
        }
        Blow::LeaderDies => kill_and_start(ground, &ground.leader()?)?,
        Blow::PrimaryDies => {
            let primary = ground.fed.platform_at(WATCH, CITY)?["primary"].clone();
            let primary = primary.as_str().context("primary")?;
            // One that the drill has killed is dead already.
            if running(ground, primary)? {
                kill_and_start(ground, primary)?;
            }
        }
        Blow::LinkCut => {
            for other in ["gz-a", "gz-c"] {
                ground.fed.eport(&["dev", "cut", "sz-a", other])?.expect(0, "dev cut")?;
            }
            std::thread::sleep(Duration::from_secs(2));
            ground.fed.eport(&["dev", "heal"])?.expect(0, "dev heal")?;
        }
    }
    Ok(())
}

fn running(ground: &Ground, node: &str) -> Result<bool> {
    let status = ground.fed.eport(&["dev", "status"])?.ok_json()?;
    let row = status["nodes"].as_array().and_then(|l| l.iter().find(|n| n["node"] == node)).cloned();
    Ok(row.is_some_and(|r| r["state"] == "running"))
}

fn newest(ground: &Ground) -> Result<Value> {
    Ok(ground.fed.eport_at(WATCH, &["drill", "history"])?.ok_json()?["items"][0].clone())
}

/// Runs one cell: the drill, stopped before the step, the blow, and the start state afterwards.
pub fn run(ground: &mut Ground, cell: &DrillCell, number: usize) -> Result<DrillOutcome> {
    let begun = Instant::now();
    home_again(ground)?;
    let before = newest(ground)?["drill_id"].clone();
    let load = Load::start(&ground.fed, CITY, &format!("D{number}"), 10)?;
    let place = ground.fed.arm("eport", "drill.step.before", &format!("stop about={}", cell.step))?;
    let limit = if cell.blow == Blow::BothDie { "30s" } else { "180s" };
    let mut child =
        ground.fed.spawn(&["--timeout", "60s", "drill", "run", &cell.drill, CITY, "--limit", limit])?;
    let reached = wait_for("the step", Duration::from_secs(90), || {
        if place.reached() {
            return Ok(true);
        }
        match child.try_wait() {
            Ok(Some(_)) => Ok(false),
            other => Err(format!("{other:?}")),
        }
    })?;
    if reached {
        strike(ground, cell.blow, &mut child).context("the blow")?;
    }
    drop(place);
    let ran = finish(child)?;
    let killed = matches!(cell.blow, Blow::TerminalDies | Blow::BothDie) && reached;
    if cell.blow == Blow::BothDie && reached {
        // Nobody is left who would start what the drill has killed: that is the supervisor's, or the operator's one command.
        ground.heal()?;
    }
    // Passed, aborted or stopped, refused, no answer, failed: all are words of the contract; a crash is none.
    ensure!(killed || (0..=10).contains(&ran.code), "{ran:?}");
    let drill = wait_for("the end of the drill", Duration::from_secs(180), || {
        let newest = newest(ground).map_err(|e| format!("{e:#}"))?;
        if newest["drill_id"] == before {
            // It never began: its terminal was hit before it told the registry.
            return if ran.code == 0 { Err("no record".to_owned()) } else { Ok(Value::Null) };
        }
        if newest["state"] == "ended" { Ok(newest) } else { Err(newest.to_string()) }
    })?;
    if !drill.is_null() {
        ensure!(drill["restored"] == true, "the start state is not back: {drill}");
        ensure!(!killed || drill["verdict"] == "aborted", "{drill}");
    }
    ground.heal()?;
    restored(ground, number, load)?;
    let text = |k: &str| drill[k].as_str().unwrap_or_default().to_owned();
    Ok(DrillOutcome {
        verdict: text("verdict"),
        note: text("note"),
        reached,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn finish(mut child: Child) -> Result<Ran> {
    let done =
        wait_for("the end of the drill's process", Duration::from_secs(200), || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    if done.is_err() {
        let _ = child.kill();
    }
    let ran = Ran::from(child.wait_with_output()?);
    done.with_context(|| format!("{ran:?}"))?;
    Ok(ran)
}

/// The city at home, everybody in sync, nothing owed, every promise kept, no process left.
fn restored(ground: &Ground, number: usize, load: Load) -> Result<()> {
    let p = ground.fed.wait_platform(WATCH, CITY, "is as it was before the drill", level)?;
    ensure!(p["primary"] == AT, "the drill left the city elsewhere: {p}");
    let owed = |s: &Value| s["warnings"].as_array().is_some_and(|w| w.iter().any(|w| w["code"] == "EP8106"));
    ensure!(!owed(&ground.fed.status_at(WATCH)?), "something is still owed");
    load.wait_more(3)?;
    let mut ledger = Ledger::default();
    for a in load.finish()?.iter().filter(|a| a.accepted()) {
        ledger.note(&a.reference, a.doc_id.as_deref().context("doc_id")?)?;
    }
    serves(&ground.fed, CITY, &format!("AFTER-D{number}"), &mut ledger)?;
    ledger.check(&ground.fed, CITY, false)?;
    proof_of_equality(&ground.fed, CITY, 3)?;
    wait_for("the end of the drill's canaries and guard", Duration::from_secs(30), || {
        let mut left = processes(&ground.fed, "guard").map_err(|e| format!("{e:#}"))?;
        left.extend(processes(&ground.fed, "load").map_err(|e| format!("{e:#}"))?);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
}

fn level(p: &Value) -> bool {
    let whole = |b: &Value| b["in_sync"] == true && b["lag_records"] == 0;
    p["state"] == "active" && p["backups"].as_array().is_some_and(|b| b.iter().all(whole))
}

fn home_again(ground: &Ground) -> Result<()> {
    let p = ground.fed.wait_platform(WATCH, CITY, "is active and level", level)?;
    ensure!(p["primary"] == AT, "{CITY} does not begin at home: {p}");
    Ok(())
}

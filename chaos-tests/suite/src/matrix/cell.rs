//! One cell: stage, stop at the step, fault, let go, mend, and every check.

use super::fault::{self, Prey};
use super::ground::{Cast, ENTRY, Ground, LOST, R};
use super::plan::Cell;
use super::steps::{Kind, Who};
use crate::Load;
use anyhow::{Context, Result, ensure};
use eport_cluster::{Armed, Ran, wait_for};
use serde_json::Value;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long the step may take to be reached.
const REACHED: Duration = Duration::from_secs(25);
/// How long the operator's command may take to end.
const COMMAND: Duration = Duration::from_secs(100);

/// What came of a cell whose checks all held.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of the move: `done`, `aborted`, `not begun`.
    pub ended: String,
    /// Exit code of the operator's command; none where it was killed or there was none.
    pub exit: Option<i32>,
    /// Longest time without an acknowledgement, milliseconds.
    pub pause_ms: u64,
    /// False when nobody came to the step: the fault was done all the same, at the end of the wait.
    pub reached: bool,
    /// False when the fault had nothing to break.
    pub bit: bool,
    /// How long the cell took.
    pub seconds: f64,
}

/// The operator's command of a move.
fn command(kind: Kind, cast: &Cast) -> Vec<String> {
    let words: &[&str] = match kind {
        Kind::Switchover => &["platform", "switchover", R, "--to", cast.target],
        Kind::Failover => &["platform", "failover", R, "--to", cast.target, "--old-primary", "stopped"],
        Kind::Promote => &["platform", "promote", R, "--to", cast.target],
        Kind::Demote => &["platform", "demote", R, "--to", cast.target],
        Kind::Return => &[],
    };
    let mut all = vec!["--timeout".to_owned(), "60s".to_owned()];
    all.extend(words.iter().map(|w| (*w).to_owned()));
    all
}

fn arm(ground: &Ground, cell: &Cell, cast: &Cast) -> Result<Armed> {
    let scope = cast.node(cell.step.who).unwrap_or("eport").to_owned();
    let about = match cell.step.place {
        p if p.starts_with("raft.") || p.starts_with("call.") => String::new(),
        _ => format!(" about={R}"),
    };
    ground.fed.arm(&scope, cell.step.place, &format!("stop{about} skip={}", cell.step.skip))
}

/// Runs one cell. An error is a broken promise, or a federation that did not come to rest.
pub fn run(ground: &mut Ground, cell: &Cell, number: usize) -> Result<Outcome> {
    let begun = Instant::now();
    let kind = cell.step.kind;
    let cast = ground.stage(kind)?;
    let newest = |ground: &Ground| -> Result<Option<Value>> {
        Ok(ground.fed.history_at(ENTRY, R)?.into_iter().next())
    };
    let before = newest(ground)?.map(|m| m["move_id"].clone()).unwrap_or_default();
    let tails = ground.tails_of(cast.old)?;
    let load = Load::start(&ground.fed, R, &format!("M{number}"), 25)?;
    if kind != Kind::Failover {
        load.wait_more(3)?;
    }
    let place = arm(ground, cell, &cast)?;
    let mut operator = match kind {
        Kind::Return => {
            ground.fed.dev("resume", cast.old)?;
            None
        }
        _ => {
            let words = command(kind, &cast);
            Some(ground.fed.spawn_at(ENTRY, &words.iter().map(String::as_str).collect::<Vec<_>>())?)
        }
    };
    let reached = place.wait(REACHED);
    let hit = cell.hit();
    let prey = match (cast.node(hit), operator.as_mut()) {
        (Some(node), _) => Prey::Node(node),
        (None, Some(child)) => Prey::Command(child),
        (None, None) => unreachable!("a return has no command to hit"),
    };
    let bit = fault::inject(&ground.fed, R, cell.fault, prey, &place).context("the fault")?;
    drop(place);
    if cell.fault.needs_start()
        && let Some(node) = cast.node(hit)
    {
        // What its supervisor does, or an operator: the one documented command.
        ground.fed.dev("kill", node)?;
        ground.fed.dev("restart", node)?;
    }
    let killed_command = hit == Who::Cli && cell.fault == fault::Fault::Kill;
    let exit = operator.take().map(|child| ended(child, killed_command)).transpose()?.flatten();
    ground.heal().context("mending")?;
    ground.at_rest().context("the federation does not come to rest by itself")?;
    load.wait_more(5).context("nothing is accepted afterwards")?;
    let (pause_ms, local) = finish(ground, load)?;
    let ended = match newest(ground)?.filter(|m| m["move_id"] != before) {
        None if kind == Kind::Return => "came back".to_owned(),
        None => "not begun".to_owned(),
        Some(m) => {
            let state = m["state"].as_str().unwrap_or_default().to_owned();
            ensure!(state == "done" || state == "aborted" || state == "failed", "a move without an end: {m}");
            state
        }
    };
    if ended != "done" && matches!(kind, Kind::Promote | Kind::Demote) {
        again(ground, kind, &cast)?;
    }
    if kind == Kind::Return {
        came_back(ground, &cast, tails + local + LOST as u64)?;
    }
    ground.check()?;
    ground.clear_tails()?;
    Ok(Outcome { ended, exit, pause_ms, reached, bit, seconds: begun.elapsed().as_secs_f64() })
}

/// Waits for the end of the operator's command; it must end by itself.
fn ended(mut child: Child, killed: bool) -> Result<Option<i32>> {
    if killed {
        child.wait()?;
        return Ok(None);
    }
    let done = wait_for("the end of the command", COMMAND, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    });
    if done.is_err() {
        let _ = child.kill();
    }
    let ran = Ran::from(child.wait_with_output()?);
    done.with_context(|| format!("{ran:?}"))?;
    // Done, refused or overtaken, no answer: an internal error would be another code.
    ensure!([0, 1, 4, 5, 7].contains(&ran.code), "{ran:?}");
    Ok(Some(ran.code))
}

/// Writes the load's promises down; answers its longest pause, and how many answers were `local`: those hold as long as the node, and
/// must be in its tail when it is replaced.
fn finish(ground: &mut Ground, load: Load) -> Result<(u64, u64)> {
    let seen = load.finish()?;
    // From the first attempt on: a platform that was dead when the client came made it wait too.
    let first = seen.iter().map(|a| a.sent_ms).fold(f64::MAX, f64::min);
    let mut acknowledged: Vec<f64> = vec![first];
    let mut local = 0;
    for attempt in seen.iter().filter(|a| a.accepted()) {
        acknowledged.push(attempt.done_ms);
        if attempt.line["durability"] == "local" {
            local += 1;
            continue;
        }
        ground.ledger.note(&attempt.reference, attempt.doc_id.as_deref().context("doc_id")?)?;
    }
    acknowledged.sort_by(f64::total_cmp);
    let longest = acknowledged.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of one cell")]
    Ok((longest as u64, local))
}

/// A promotion that did not end is repeated: the same command goes on from where it stopped.
fn again(ground: &Ground, kind: Kind, cast: &Cast) -> Result<()> {
    let words = command(kind, cast);
    let ran = ground.fed.eport_at(ENTRY, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let moved = ran.expect(0, "the same command again")?.json()?;
    ensure!(moved["state"] == "done", "{moved}");
    Ok(())
}

/// The old primary follows, its tail is recorded and held by the new one.
fn came_back(ground: &Ground, cast: &Cast, documents: u64) -> Result<()> {
    let p = ground.at_rest()?;
    let follows = |b: &Value| b["node"] == cast.old && b["lag_records"] == 0;
    ensure!(
        p["primary"] == cast.old || p["backups"].as_array().is_some_and(|b| b.iter().any(follows)),
        "{} does not follow: {p}",
        cast.old
    );
    let now = ground.tails_of(cast.old)?;
    ensure!(
        now >= documents,
        "the tails of {} name {now} documents, {documents} were answered there alone",
        cast.old
    );
    Ok(())
}

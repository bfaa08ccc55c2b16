//! Moves of real processes: killed primaries, killed operators, killed coordinators, two operators, lost quorums.

use anyhow::{Context, Result, bail, ensure};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_model::{Lineage, RegionCode};
use eport_suite::{
    Ledger, Load, check_same_plan, documents, ended_move, lines, newest_move, proof_of_equality, serves,
    starter,
};
use serde_json::Value;
use std::io::BufRead;
use std::process::Child;
use std::time::Duration;

const NONE: &str = "";

/// Waits until a node follows a platform as an in-sync backup with nothing missing.
fn follows(fed: &Federation, node: &str, region: &str, backup: &str) -> Result<()> {
    fed.wait_platform(node, region, &format!("has {backup} in sync"), |p| {
        let backups = p["backups"].as_array().cloned().unwrap_or_default();
        p["state"] == "active"
            && backups.iter().any(|b| b["node"] == backup && b["in_sync"] == true && b["lag_records"] == 0)
    })?;
    Ok(())
}

fn leader(fed: &Federation, node: &str) -> Result<String> {
    let status = fed.wait_status(node, "a leader", |s| s["leader"].is_string())?;
    Ok(status["leader"].as_str().context("leader")?.to_owned())
}

fn text(v: &Value, key: &str) -> String {
    v[key].as_str().unwrap_or_default().to_owned()
}

fn newest_id(fed: &Federation, node: &str, region: &str) -> Result<String> {
    Ok(newest_move(fed, node, region, NONE)?.map(|m| text(&m, "move_id")).unwrap_or_default())
}

/// Hands a platform to a node by a planned move, unless it is there.
fn bring_to(fed: &Federation, region: &str, node: &str) -> Result<()> {
    let p = fed.wait_platform(node, region, "is active with all backups in sync", |p| {
        p["state"] == "active"
            && p["backups"].as_array().is_some_and(|b| b.iter().all(|b| b["in_sync"] == true))
    })?;
    if p["primary"] != node {
        let moved =
            fed.eport(&["platform", "switchover", region, "--to", node])?.expect(0, "switchover")?.json()?;
        ensure!(moved["state"] == "done", "{moved}");
    }
    fed.wait_platform(node, region, &format!("is served by {node}, all in sync"), |p| {
        p["primary"] == node
            && p["state"] == "active"
            && p["backups"].as_array().is_some_and(|b| b.len() == 2 && b.iter().all(|b| b["in_sync"] == true))
    })?;
    Ok(())
}

// --------------------------------------------------------------------------------------------------------------------
// The main promise.

#[test]
fn a_killed_primary_and_planned_moves_under_load_lose_and_double_nothing() {
    with_federation(&[], |fed| {
        starter(fed)?;
        unsafe_moves_are_refused_with_the_documented_exit(fed)?;
        ten_thousand_reports_survive_a_killed_primary(fed)?;
        nothing_is_refused_during_a_switchover_and_back(fed)
    });
}

fn unsafe_moves_are_refused_with_the_documented_exit(fed: &Federation) -> Result<()> {
    let before = fed.platform_at("gz-a-1", "440300")?;
    let answers = fed
        .eport(&["platform", "failover", "440300", "--old-primary", "stopped"])?
        .expect(7, "primary answers")?;
    ensure!(answers.error_code() == "EP2102", "{}", answers.stdout);
    fed.eport(&["platform", "switchover", "440300", "--to", "nobody-1"])?.expect(3, "unknown node")?;
    fed.eport(&["platform", "switchover", "440600", "--to", "gz-a-1"])?.expect(3, "unknown platform")?;
    let unsaid = Ran::of(
        fed.command(&["--json", "--yes", "platform", "failover", "440300"])
            .stdin(std::process::Stdio::null()),
    )?;
    unsaid.expect(2, "failover without --old-primary and without a terminal")?;
    let dry = fed
        .eport(&["platform", "switchover", "440300", "--to", "gz-a-2", "--dry-run"])?
        .expect(0, "dry run")?
        .json()?;
    ensure!(dry["state"] == "planned" && dry["plan"].as_array().is_some_and(|p| p.len() >= 5), "{dry}");
    ensure!(dry["version"] == before["version"], "{dry} against {before}");
    fed.eport(&["platform", "failover", "440300", "--old-primary", "stopped", "--dry-run"])?
        .expect(7, "dry failover")?;
    let after = fed.platform_at("gz-a-1", "440300")?;
    ensure!(
        after["version"] == before["version"] && after["primary"] == before["primary"],
        "{before} became {after}"
    );
    ensure!(fed.history_at("gz-a-1", "440300")?.is_empty(), "a dry run left a move");
    Ok(())
}

fn ten_thousand_reports_survive_a_killed_primary(fed: &Federation) -> Result<()> {
    const COUNT: usize = 10_000;
    let (region, old) = ("440300", "sz-a-1");
    let sent = documents("AR", COUNT);
    let file = fed.scratch().join("ten-thousand.ndjson");
    std::fs::write(&file, lines(&sent))?;
    let path = file.to_string_lossy().into_owned();
    let submit = ["--timeout", "90s", "doc", "submit", &path, "--platform", region];

    let mut child = fed.spawn(&submit)?;
    let mut progress = std::io::BufReader::new(child.stderr.take().context("stderr")?).lines();
    let begun = progress.by_ref().take(3).collect::<std::io::Result<Vec<_>>>()?;
    ensure!(begun.len() == 3, "the submission ended after {begun:?}");
    fed.dev("kill", old)?;
    let moved = fed
        .eport(&["platform", "failover", region, "--old-primary", "stopped"])?
        .expect(0, "failover")?
        .json()?;
    ensure!(moved["state"] == "done" && moved["from"] == old, "{moved}");
    let (first, rest) = (Ran::from(child.wait_with_output()?), progress.collect::<Vec<_>>());
    ensure!(first.code == 0 || first.code == 5, "submission over a failover: exit {} {rest:?}", first.code);
    let mut ledger = Ledger::default();
    // Exit 5 without items: the command gave up and promised nothing that it printed.
    let items = first.json()?["items"].as_array().cloned().unwrap_or_default();
    let open = if items.is_empty() { COUNT } else { ledger.note_batch(&sent, &items)? };
    eprintln!(
        "killed after {begun:?}; first run: {} promised, {open} open; {}",
        ledger.len(),
        text(&moved, "to")
    );
    ensure!(ledger.len() >= 3_000, "only {} promises before the kill", ledger.len());
    let local = items.iter().filter(|i| i["durability"].as_str().is_some_and(|d| d != "replicated")).count();
    ensure!(local == 0, "{local} answers were not replicated although the policy is sync");

    let promised = ledger.clone();
    let again = fed.eport(&submit)?.expect(0, "everything again")?.json()?;
    let open = ledger.note_batch(&sent, again["items"].as_array().context("items")?)?;
    ensure!(open == 0 && ledger.len() == COUNT, "{open} open, {} promised", ledger.len());
    let repeated = again["repeated"].as_u64().unwrap_or(0) as usize;
    ensure!(repeated >= promised.len(), "{repeated} repeated, {} were promised", promised.len());
    ledger.check(fed, region, true)?;

    fed.dev("restart", old)?;
    follows(fed, "gz-a-1", region, old)?;
    proof_of_equality(fed, region, 3)?;
    let tails = std::fs::read_dir(fed.node_dir(old).join("data/tails")).map(|d| d.count()).unwrap_or(0);
    let reported = fed.history_at("gz-a-1", region)?.iter().any(|m| m["exported_tail"].is_string());
    ensure!(reported == (tails > 0), "{tails} tails on {old}, reported: {reported}");
    ledger.check(fed, region, true)?;
    an_export_proves_itself_and_a_flipped_byte_is_found(fed, region)
}

fn an_export_proves_itself_and_a_flipped_byte_is_found(fed: &Federation, region: &str) -> Result<()> {
    let head = fed.eport(&["journal", "head", region])?.ok_json()?;
    let anchor = format!("{}:{}:{}", head["epoch"], head["index"], text(&head, "digest"));
    let dir = fed.scratch().join(format!("export-{region}"));
    let path = dir.to_string_lossy().into_owned();
    fed.eport(&["--timeout", "90s", "journal", "export", region, "--to", &path])?.expect(0, "export")?;
    let offline = ["journal", "verify", region, "--offline", &path];
    let open_end = fed.eport(&offline)?.expect(0, "verify without an anchor")?.json()?;
    ensure!(open_end["ok"] == true && open_end["end_proven"] == false, "{open_end}");
    let proven = fed
        .eport(&[&offline[..], &["--head", &anchor]].concat())?
        .expect(0, "verify with the head")?
        .json()?;
    ensure!(proven["ok"] == true && proven["end_proven"] == true, "{proven}");
    ensure!(
        proven["epochs"].as_array().is_some_and(|e| e.len() >= 2),
        "the failover is not in the epochs: {proven}"
    );

    let mut files: Vec<_> =
        std::fs::read_dir(&dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "eps"));
    files.sort();
    let victim = files.last().context("a segment")?;
    let mut bytes = std::fs::read(victim)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(victim, &bytes)?;
    let damaged = fed.eport(&offline)?.expect(11, "verify of a flipped byte")?.json()?;
    ensure!(
        damaged["ok"] == false && damaged["problems"].as_array().is_some_and(|p| !p.is_empty()),
        "{damaged}"
    );
    Ok(())
}

fn nothing_is_refused_during_a_switchover_and_back(fed: &Federation) -> Result<()> {
    let region = "440100";
    let load = Load::start(fed, region, "SW", 300)?;
    load.wait_more(200)?;
    let there =
        fed.eport(&["platform", "switchover", region, "--to", "gz-a-2"])?.expect(0, "switchover")?.json()?;
    ensure!(there["state"] == "done" && there["to"] == "gz-a-2" && there["from"] == "gz-c-1", "{there}");
    load.wait_more(200)?;
    // Under load a backup is always a few records behind.
    fed.wait_platform("gz-a-1", region, "has gz-c-1 in sync", |p| {
        p["backups"]
            .as_array()
            .is_some_and(|b| b.iter().any(|b| b["node"] == "gz-c-1" && b["in_sync"] == true))
    })?;
    let back = fed.eport(&["platform", "failback", region])?.expect(0, "failback")?.json()?;
    ensure!(back["state"] == "done" && back["to"] == "gz-c-1", "{back}");
    load.wait_more(200)?;
    let seen = load.finish()?;
    let bad: Vec<_> = seen.iter().filter(|a| !a.accepted()).map(|a| a.line.to_string()).collect();
    ensure!(
        bad.is_empty(),
        "{} of {} requests were not accepted: {:#?}",
        bad.len(),
        seen.len(),
        &bad[..bad.len().min(5)]
    );
    let epochs: std::collections::BTreeSet<_> = seen.iter().filter_map(|a| a.epoch).collect();
    ensure!(epochs.len() == 3, "writes were not under way in all three epochs: {epochs:?}");
    let slowest = seen.iter().map(|a| a.done_ms - a.sent_ms).fold(0.0, f64::max);
    eprintln!("{} requests over two planned moves, slowest {slowest:.0} ms", seen.len());
    let mut ledger = Ledger::default();
    for a in &seen {
        ledger.note(&a.reference, a.doc_id.as_deref().context("doc_id")?)?;
    }
    ledger.check(fed, region, true)?;
    follows(fed, "gz-a-1", region, "gz-a-2")?;
    proof_of_equality(fed, region, 3)?;
    Ok(())
}

// --------------------------------------------------------------------------------------------------------------------
// Coordinators and operators that die or compete.

/// The platform of these scenarios: it is moved between a node that does not vote and the others.
const R: &str = "440100";
/// The node without a vote.
const QUIET: &str = "gz-a-2";
const VOTERS: [&str; 3] = ["gz-a-1", "gz-c-1", "sz-a-1"];

#[test]
fn moves_end_and_the_platform_serves_whoever_dies_on_the_way() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, R, &documents("BASE", 50))?;
        for stage in ["reserved", "sealing", "committed"] {
            failover_with_its_coordinator_killed(fed, stage, &mut ledger)
                .with_context(|| format!("failover, {stage}"))?;
        }
        for victim in ["old primary", "target", "leader"] {
            switchover_with_a_node_killed(fed, victim, &mut ledger)
                .with_context(|| format!("switchover, {victim}"))?;
        }
        two_failovers_at_once_are_one_move(fed, &mut ledger)?;
        of_two_switchovers_at_once_one_wins(fed, &mut ledger)?;
        ledger.check(fed, R, true)?;
        proof_of_equality(fed, R, 3)?;
        Ok(())
    });
}

/// Waits until a move newer than `before` is visible and `reached`, then kills the operator's process.
fn kill_operator_when(
    fed: &Federation,
    node: &str,
    before: &str,
    mut operator: Child,
    reached: impl Fn(&Value) -> bool,
) -> Result<String> {
    let http = fed.http()?;
    let url = format!("{}/v1/platforms/{R}/moves", fed.api(node)?);
    let seen = wait_for("the move becomes visible", Duration::from_secs(60), || {
        if let Ok(Some(status)) = operator.try_wait()
            && !status.success()
        {
            return Ok(Err(status));
        }
        let page = http.get(&url).and_then(|r| r.json()).map_err(|e| format!("{e:#}"))?;
        match page["items"].as_array().and_then(|i| i.first()).filter(|m| m["move_id"] != before) {
            Some(m) if reached(m) => Ok(Ok(text(m, "move_id"))),
            other => Err(format!("{other:?}")),
        }
    });
    let _ = operator.kill();
    let ran = Ran::from(operator.wait_with_output()?);
    match seen? {
        Ok(id) => Ok(id),
        Err(status) => bail!("the operator's command ended with {status}: {ran:?}"),
    }
}

fn failover_with_its_coordinator_killed(fed: &Federation, stage: &str, ledger: &mut Ledger) -> Result<()> {
    bring_to(fed, R, QUIET)?;
    let leader = leader(fed, QUIET)?;
    // A paused candidate holds the failover in the sealing step.
    let paused = ["gz-c-1", "sz-a-1"].into_iter().find(|n| *n != leader).unwrap();
    let watcher = VOTERS.into_iter().find(|n| *n != leader && *n != paused).unwrap();
    let before = newest_id(fed, watcher, R)?;
    fed.dev("kill", QUIET)?;
    if stage == "sealing" {
        fed.dev("pause", paused)?;
    }
    let operator = fed.spawn(&["platform", "failover", R, "--old-primary", "stopped"])?;
    let id = kill_operator_when(fed, watcher, &before, operator, |m| match stage {
        "sealing" => m["steps"].as_array().is_some_and(|s| !s.is_empty()),
        "committed" => m["state"] == "done",
        _ => true,
    })?;
    fed.dev("kill", &leader)?;
    if stage == "sealing" {
        fed.dev("resume", paused)?;
    }
    fed.dev("restart", &leader)?;
    let ended = ended_move(fed, watcher, R, &id)?;
    eprintln!(
        "failover, leader {leader} killed at {stage}: {} -> {}",
        text(&ended, "state"),
        text(&ended, "to")
    );
    serves(fed, R, &format!("FO-{stage}"), ledger)?;
    fed.dev("restart", QUIET)?;
    check_same_plan(fed, R, &id, [watcher, QUIET])?;
    check_same_plan(fed, R, &id, [watcher, &leader])
}

fn switchover_with_a_node_killed(fed: &Federation, victim: &str, ledger: &mut Ledger) -> Result<()> {
    bring_to(fed, R, "gz-c-1")?;
    let (old, target) = ("gz-c-1", QUIET);
    let leader = leader(fed, "sz-a-1")?;
    let dies = match victim {
        "old primary" => old,
        "target" => target,
        _ => &leader,
    };
    let watcher = VOTERS.into_iter().find(|n| *n != dies && *n != old).unwrap();
    let before = newest_id(fed, watcher, R)?;
    // A paused target holds the switchover open.
    fed.dev("pause", target)?;
    let operator = fed.spawn(&["platform", "switchover", R, "--to", target])?;
    let id = kill_operator_when(fed, watcher, &before, operator, |m| m["state"] == "running")?;
    fed.dev("kill", dies)?;
    if dies != target {
        fed.dev("resume", target)?;
    }
    if victim != "target" {
        fed.dev("restart", dies)?;
    }
    let ended = ended_move(fed, watcher, R, &id)?;
    eprintln!("switchover, {victim} {dies} killed: {} {}", text(&ended, "state"), text(&ended, "reason"));
    serves(fed, R, &format!("SW-{}", victim.replace(' ', "-")), ledger)?;
    if victim == "target" {
        ensure!(ended["state"] == "aborted", "a move to a killed node ended {ended}");
        fed.dev("restart", dies)?;
    }
    check_same_plan(fed, R, &id, [watcher, dies])
}

fn two_failovers_at_once_are_one_move(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    bring_to(fed, R, QUIET)?;
    fed.dev("kill", QUIET)?;
    let one = fed.spawn(&["platform", "failover", R, "--old-primary", "stopped"])?;
    let other = fed.spawn(&["platform", "failover", R, "--old-primary", "unreachable"])?;
    let (one, other) = (Ran::from(one.wait_with_output()?), Ran::from(other.wait_with_output()?));
    let mut codes = [one.code, other.code];
    codes.sort_unstable();
    ensure!(codes == [0, 0] || codes == [0, 4], "{one:?}\n{other:?}");
    if codes == [0, 0] {
        ensure!(
            one.json()?["move_id"] == other.json()?["move_id"],
            "two moves: {}\n{}",
            one.stdout,
            other.stdout
        );
    }
    eprintln!("two failovers at once: exits {codes:?}");
    serves(fed, R, "TWO-FO", ledger)?;
    fed.dev("restart", QUIET)
}

fn of_two_switchovers_at_once_one_wins(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    bring_to(fed, R, "gz-c-1")?;
    let before = newest_id(fed, "gz-a-1", R)?;
    // Two requests under the same placement version, sent together: the registry accepts one.
    let version = fed.platform_at("gz-a-1", R)?["version"].clone();
    let answers: Vec<(u16, String)> = std::thread::scope(|s| {
        let send = |node: &'static str, to: &'static str| {
            let version = version.clone();
            s.spawn(move || -> Result<(u16, String)> {
                let url = format!("{}/v1/platforms/{R}/moves", fed.api(node)?);
                let reply = fed.http()?.post(
                    &url,
                    &serde_json::json!({"kind": "switchover", "to": to, "expected_version": version}),
                )?;
                Ok((reply.status, reply.text()))
            })
        };
        let both = [send("gz-a-1", QUIET), send("sz-a-1", "sz-a-1")];
        both.into_iter()
            .map(|t| t.join().map_err(|_| anyhow::anyhow!("panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    let mut statuses: Vec<u16> = answers.iter().map(|a| a.0).collect();
    statuses.sort_unstable();
    ensure!(statuses == [202, 409], "{answers:?}");
    let won = newest_id(fed, "gz-a-1", R)?;
    ensure!(won != before, "no move was opened");
    ended_move(fed, "gz-a-1", R, &won)?;

    // Two commands, the first held open by a paused target: the second is told that a move is under way.
    bring_to(fed, R, "gz-c-1")?;
    let before = newest_id(fed, "gz-a-1", R)?;
    fed.dev("pause", QUIET)?;
    let first = fed.spawn(&["--timeout", "60s", "platform", "switchover", R, "--to", QUIET])?;
    wait_for("the first move", Duration::from_secs(30), || match newest_id(fed, "gz-a-1", R) {
        Ok(id) if id != before => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let second = fed.eport(&["platform", "switchover", R, "--to", "sz-a-1"])?;
    fed.dev("resume", QUIET)?;
    let first = Ran::from(first.wait_with_output()?).expect(0, "the first switchover")?;
    ensure!(first.json()?["to"] == QUIET, "{}", first.stdout);
    second.expect(4, "the second switchover")?;
    serves(fed, R, "TWO-SW", ledger)?;
    proof_of_equality(fed, R, 3)?;
    Ok(())
}

// --------------------------------------------------------------------------------------------------------------------
// Losses that are accepted, quorums that are gone.

#[test]
fn an_async_primary_that_comes_back_gives_its_tail_and_a_lost_quorum_stops_moves_only() {
    with_federation(&[], |fed| {
        starter(fed)?;
        without_a_quorum_writes_go_on_and_moves_wait(fed)?;
        an_async_primary_that_wakes_up_stops_and_exports_its_tail(fed)
    });
}

fn without_a_quorum_writes_go_on_and_moves_wait(fed: &Federation) -> Result<()> {
    let region = "440100";
    let mut ledger = Ledger::default();
    ledger.submit(fed, region, &documents("Q0", 20))?;
    // Voters are gz-a-1, gz-c-1, sz-a-1: the primary and the backup that does not vote stay.
    fed.dev("kill", "gz-a-1")?;
    fed.dev("kill", "sz-a-1")?;
    ledger.submit(fed, region, &documents("Q1", 200))?;
    let refused =
        fed.eport_at("gz-c-1", &["--timeout", "20s", "platform", "switchover", region, "--to", "gz-a-2"])?;
    refused.expect(5, "a move without a quorum")?;
    ledger.submit(fed, region, &documents("Q2", 200))?;
    fed.dev("restart", "gz-a-1")?;
    fed.dev("restart", "sz-a-1")?;
    leader(fed, "gz-c-1")?;
    follows(fed, "gz-c-1", region, "sz-a-1")?;
    follows(fed, "gz-c-1", region, "gz-a-2")?;
    let p = fed.platform_at("gz-c-1", region)?;
    ensure!(p["state"] == "active" && p["epoch"] == 1, "{p}");
    let moved = fed
        .eport(&["platform", "switchover", region, "--to", "gz-a-2"])?
        .expect(0, "a move with the quorum back")?
        .json()?;
    ensure!(moved["state"] == "done", "{moved}");
    ledger.check(fed, region, true)?;
    follows(fed, "gz-a-1", region, "gz-c-1")?;
    proof_of_equality(fed, region, 3)?;
    Ok(())
}

fn an_async_primary_that_wakes_up_stops_and_exports_its_tail(fed: &Federation) -> Result<()> {
    let (region, old) = ("440300", "sz-a-1");
    let mut ledger = Ledger::default();
    ledger.submit(fed, region, &documents("A0", 20))?;
    fed.eport(&["platform", "policy", region, "--durability", "async"])?.expect(0, "policy")?;
    fed.wait_platform(old, region, "is async", |p| p["durability"] == "async")?;
    follows(fed, old, region, "gz-a-2")?;
    follows(fed, old, region, "gz-c-1")?;
    // What is written while both backups are dead exists on the primary only.
    fed.dev("kill", "gz-a-2")?;
    fed.dev("kill", "gz-c-1")?;
    let tail = documents("TAIL", 25);
    let file = fed.scratch().join("tail.ndjson");
    std::fs::write(&file, lines(&tail))?;
    let path = file.to_string_lossy().into_owned();
    let local = fed.eport(&["doc", "submit", &path, "--platform", region])?.ok_json()?;
    let items = local["items"].as_array().context("items")?;
    ensure!(items.iter().all(|i| i["status"] == 201 && i["durability"] == "local"), "{local}");
    let last = items.iter().filter_map(|i| i["position"]["index"].as_u64()).max().context("index")?;
    fed.dev("pause", old)?;
    fed.dev("restart", "gz-c-1")?;
    fed.dev("restart", "gz-a-2")?;
    leader(fed, "gz-c-1")?;
    let failover = ["platform", "failover", region, "--old-primary", "unreachable"];
    let refused = fed
        .eport_at("gz-c-1", &failover)?
        .expect(7, "failover of an async platform without accepting the loss")?;
    ensure!(refused.error_code() == "EP2103", "{}", refused.stdout);
    let moved = fed
        .eport_at("gz-c-1", &[&failover[..], &["--accept-data-loss"]].concat())?
        .expect(0, "failover")?
        .json()?;
    ensure!(moved["state"] == "done", "{moved}");
    let id = text(&moved, "move_id");
    serves(fed, region, "AFTER", &mut ledger)?;

    fed.dev("resume", old)?;
    let reported = wait_for("the exported tail in the history", Duration::from_secs(60), || {
        let history = fed.history_at("gz-c-1", region).map_err(|e| format!("{e:#}"))?;
        let m = history.into_iter().find(|m| m["move_id"] == id.as_str()).ok_or("no move")?;
        m["exported_tail"].as_str().map(str::to_owned).ok_or_else(|| m.to_string())
    })?;
    let exported = manifests(&fed.node_dir(old).join("data/tails"))?;
    ensure!(exported.len() == 1, "{reported}: {exported:?}");
    // References are encrypted in the journal; the record that each was answered with names it without a doubt.
    let named: std::collections::BTreeSet<(u64, String)> = exported[0]["documents"]
        .as_array()
        .context("documents of the tail")?
        .iter()
        .filter_map(|d| Some((d["index"].as_u64()?, text(d, "record"))))
        .collect();
    let lost: Vec<_> = items
        .iter()
        .map(|i| (i["position"]["index"].as_u64().unwrap_or(0), text(&i["position"], "digest")))
        .filter(|answered| !named.contains(answered))
        .collect();
    ensure!(
        lost.is_empty(),
        "{} of {} documents are not named in the tail {reported}: {lost:?} of {}",
        lost.len(),
        tail.len(),
        exported[0]
    );
    eprintln!("tail {reported} names {} documents", tail.len());
    // It answers no write any more, and knows who does.
    let http = fed.http()?;
    let url = format!("{}/v1/platforms/{region}/documents?forward=false", fed.api(old)?);
    let stopped = http.post(&url, &eport_suite::document("LATE"))?;
    ensure!(stopped.status == 421, "the old primary answered {} {}", stopped.status, stopped.text());
    ledger.check(fed, region, true)?;

    // Its tail is held by the new primary, so it was rewound: it follows, with the same rows as everybody.
    let p = fed.platform_at("gz-c-1", region)?;
    let primary = text(&p, "primary");
    let received = manifests(&fed.node_dir(&primary).join("data/tails").join(old))?;
    ensure!(received.len() == 1 && received[0]["last"]["index"].as_u64() >= Some(last), "{received:?}");
    follows(fed, "gz-c-1", region, old)?;
    proof_of_equality(fed, region, 3)?;
    let (lineage, store) = closed_store(fed, old, region)?;
    ensure!(store.lineage() == lineage && store.rewind_mark()?.is_none(), "no rewind is left under way");
    Ok(())
}

/// The store of a platform on a node that is stopped for it.
fn closed_store(fed: &Federation, node: &str, region: &str) -> Result<(Lineage, eport_store::PlatformStore)> {
    let lineage: Lineage =
        text(&fed.status_at("gz-c-1")?, "lineage").parse().map_err(|e| anyhow::anyhow!("{e}"))?;
    fed.dev("kill", node)?;
    let shared = eport_store::Shared::new(eport_store::Budget::default())?;
    let code: RegionCode = region.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
    let dir = fed.node_dir(node).join("data/platform").join(region);
    let (store, _) = eport_store::PlatformStore::open(&dir, lineage, code, &shared)?;
    Ok((lineage, store))
}

/// Every JSON manifest below a folder.
fn manifests(dir: &std::path::Path) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(manifests(&path)?);
        } else if path.extension().is_some_and(|e| e == "json") {
            out.push(serde_json::from_slice(&std::fs::read(&path)?)?);
        }
    }
    Ok(out)
}

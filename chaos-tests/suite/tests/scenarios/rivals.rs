//! Two operators at once, wrong targets, commands repeated after a timeout: one wins, the other is told so with exit 4, and nothing
//! happens twice.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, with_federation};
use eport_suite::{Ledger, documents, ended_move, newest_move, proof_of_equality, starter};
use serde_json::{Value, json};

const R: &str = "440100";
const HOME: &str = "gz-c-1";
const HOST: &str = "gz-a-2";
const THIRD: &str = "sz-a-1";
const ENTRY: &str = "gz-a-1";

fn level(fed: &Federation) -> Result<Value> {
    fed.wait_platform(ENTRY, R, "is active with every backup level", |p| {
        let whole = |b: &Value| b["in_sync"] == true && b["lag_records"] == 0;
        p["state"] == "active" && p["backups"].as_array().is_some_and(|b| b.iter().all(whole))
    })
}

/// Runs two commands at the same time, at two nodes.
fn both(fed: &Federation, one: &[&str], other: &[&str]) -> Result<[Ran; 2]> {
    let (first, second) = (fed.spawn_at(ENTRY, one)?, fed.spawn_at(THIRD, other)?);
    Ok([Ran::from(first.wait_with_output()?), Ran::from(second.wait_with_output()?)])
}

/// The same order from both. Whoever begins when the other has ended is told that nothing is left to do, as whoever types a
/// command again is: on a busy machine "at the same time" can be that late.
fn one_wins_or_is_late(ran: &[Ran; 2], what: &str, target: &str) -> Result<()> {
    let late = |r: &Ran| r.code == 7 && r.stdout.contains(&format!("{target} is the primary already"));
    if ran.iter().any(|r| r.code == 0) && ran.iter().any(late) {
        eprintln!("{what}: one came too late");
        return Ok(());
    }
    one_wins(ran, what)
}

/// At least one has its way; who has not is told with exit 4.
fn one_wins(ran: &[Ran; 2], what: &str) -> Result<()> {
    let mut codes = [ran[0].code, ran[1].code];
    codes.sort_unstable();
    eprintln!("{what}: exits {codes:?}");
    ensure!(codes == [0, 4] || codes == [0, 0], "{what}: {ran:?}");
    Ok(())
}

#[test]
fn of_two_operators_one_wins_and_the_other_is_told() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, R, &documents("BASE", 30))?;
        level(fed)?;
        two_moves(fed)?;
        two_policies(fed)?;
        two_promotions(fed)?;
        two_drills(fed)?;
        // The drill's canaries are there too.
        ledger.check(fed, R, false)?;
        proof_of_equality(fed, R, 3).map(|_| ())
    });
}

fn two_moves(fed: &Federation) -> Result<()> {
    let there = ["--timeout", "40s", "platform", "switchover", R, "--to", HOST];
    let elsewhere = ["--timeout", "40s", "platform", "switchover", R, "--to", THIRD];
    let before = newest_move(fed, ENTRY, R, "")?;
    let ran = both(fed, &there, &elsewhere)?;
    one_wins(&ran, "two switchovers")?;
    let after: Vec<Value> = fed.history_at(ENTRY, R)?;
    let done = after.iter().filter(|m| m["state"] == "done").count();
    // Both may have succeeded only one after the other, each with its own epoch.
    let won = ran.iter().filter(|r| r.code == 0).count();
    ensure!(before.is_none() && done == won, "{done} moves done, {won} commands say so: {after:#?}");
    let p = level(fed)?;
    let back = ["--timeout", "40s", "platform", "failback", R];
    if p["primary"] != HOME {
        one_wins_or_is_late(&both(fed, &back, &back)?, "two failbacks", HOME)?;
    }
    level(fed)?;
    Ok(())
}

fn two_policies(fed: &Federation) -> Result<()> {
    let version = level(fed)?["version"].clone();
    let one = ["platform", "policy", R, "--durability", "auto_sync"];
    let other = ["platform", "policy", R, "--durability", "sync", "--k", "2"];
    one_wins(&both(fed, &one, &other)?, "two policies")?;
    ensure!(level(fed)?["version"] != version, "nobody's policy counts");
    fed.eport(&["platform", "policy", R, "--durability", "sync", "--k", "1"])?.expect(0, "policy")?;
    level(fed)?;
    Ok(())
}

fn two_promotions(fed: &Federation) -> Result<()> {
    let demote = ["--timeout", "60s", "platform", "demote", R, "--to", HOST];
    one_wins_or_is_late(&both(fed, &demote, &demote)?, "two demotions", HOST)?;
    ensure!(level(fed)?["primary"] == HOST);
    let promote = ["--timeout", "60s", "platform", "promote", R, "--to", HOME];
    one_wins_or_is_late(&both(fed, &promote, &promote)?, "two promotions", HOME)?;
    ensure!(level(fed)?["primary"] == HOME);
    Ok(())
}

fn two_drills(fed: &Federation) -> Result<()> {
    let drill = ["--timeout", "60s", "drill", "run", "standby-read-check", R];
    let ran = both(fed, &drill, &drill)?;
    let mut codes = [ran[0].code, ran[1].code];
    codes.sort_unstable();
    ensure!(codes == [0, 4], "two drills at once: {ran:?}");
    let history = fed.eport(&["drill", "history"])?.ok_json()?;
    let items = history["items"].as_array().context("items")?;
    ensure!(items.len() == 1 && items[0]["state"] == "ended", "{history:#}");
    let id = items[0]["drill_id"].as_str().context("drill_id")?;
    let over = fed.eport(&["drill", "abort", id, "--reason", "late"])?;
    ensure!(over.code == 7, "a drill that is over: {over:?}");
    Ok(())
}

#[test]
fn a_wrong_target_is_refused_before_anything_happens_and_a_repeated_request_happens_once() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, R, &documents("BASE", 30))?;
        let version = level(fed)?["version"].clone();
        wrong_targets(fed)?;
        ensure!(fed.history_at(ENTRY, R)?.is_empty(), "a refused command left a move");
        ensure!(level(fed)?["primary"] == HOME, "the platform has moved");
        drop(version);
        the_same_request_twice(fed)?;
        ledger.check(fed, R, false)?;
        proof_of_equality(fed, R, 3).map(|_| ())
    });
}

fn wrong_targets(fed: &Federation) -> Result<()> {
    let to = |node: &str| fed.eport(&["platform", "switchover", R, "--to", node]);
    to("nobody-1")?.expect(3, "an unknown node")?;
    to(HOME)?.expect(7, "the primary itself")?;
    // Of the same site as a backup, but no copy of the platform lies there.
    to(ENTRY)?.expect(7, "a node without a copy")?;
    fed.eport(&["platform", "promote", R, "--to", HOST])?
        .expect(7, "a node of another region is no promotion")?;
    fed.eport(&["platform", "demote", R, "--to", HOME])?.expect(7, "a home node is no host")?;
    // Suspended: it gives its duties away.
    fed.eport(&["node", "drain", HOST])?.expect(0, "drain")?;
    let drained = to(HOST)?.expect(7, "a draining node")?;
    ensure!(drained.stdout.contains(HOST), "{}", drained.stdout);
    fed.eport(&["node", "drain", HOST, "--undo"])?.expect(0, "undo")?;
    // Behind: its link is cut while writes go on through the other backup.
    fed.dev("pause", HOST)?;
    let mut more = Ledger::default();
    let sent = documents("BEHIND", 200);
    more.submit(fed, R, &sent)?;
    silent(fed)?;
    to(HOST)?.expect(7, "a backup that stands still")?;
    fed.dev("resume", HOST)?;
    level(fed)?;
    // Dead.
    fed.dev("kill", HOST)?;
    silent(fed)?;
    to(HOST)?.expect(7, "a dead backup")?;
    fed.dev("restart", HOST)?;
    level(fed)?;
    Ok(())
}

/// Longer than a target may be silent.
fn silent(fed: &Federation) -> Result<()> {
    fed.wait_status(ENTRY, "a silent node", |s| {
        let silent = |n: &Value| n["node"] == HOST && n["last_seen_s"].as_f64() > Some(6.0);
        s["nodes"].as_array().is_some_and(|n| n.iter().any(silent))
    })?;
    Ok(())
}

/// The request of a command whose answer was lost, sent again as it was.
fn the_same_request_twice(fed: &Federation) -> Result<()> {
    let version = level(fed)?["version"].clone();
    let request = json!({ "kind": "switchover", "to": HOST, "expected_version": version });
    let url = format!("{}/v1/platforms/{R}/moves", fed.api(ENTRY)?);
    let http = fed.http()?;
    let first = http.post(&url, &request)?;
    ensure!(first.status == 202, "{} {}", first.status, first.text());
    let id = first.json()?["move_id"].as_str().context("move_id")?.to_owned();
    let again = http.post(&url, &request)?;
    ensure!(again.status == 409, "the same version cannot be used twice: {} {}", again.status, again.text());
    ended_move(fed, ENTRY, R, &id)?;
    let late = http.post(&url, &request)?;
    ensure!(late.status == 409, "nor after the move: {} {}", late.status, late.text());
    ensure!(fed.history_at(ENTRY, R)?.len() == 1, "one request, two moves");
    // A command typed again after it is done finds that nothing is left to do.
    let typed = fed.eport(&["platform", "switchover", R, "--to", HOST])?;
    ensure!(typed.code == 7, "{typed:?}");
    level(fed)?;
    fed.eport(&["platform", "failback", R])?.expect(0, "failback")?;
    level(fed)?;
    Ok(())
}

//! Drills on real federations: their reports, and the start state that comes back by itself when the terminal dies.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, with_federation};
use eport_suite::{Ledger, processes, proof_of_equality, serves, starter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const CITY: &str = "440300";
/// The city's node, its primary at the start.
const HOME: &str = "sz-a-1";
/// A node that no drill about the city kills.
const WATCH: &str = "gz-a-1";

/// Runs a drill that must pass, and checks what the contract says about it.
fn passes(fed: &Federation, name: &str) -> Result<Value> {
    let done = fed
        .eport(&["--timeout", "60s", "drill", "run", name, CITY])?
        .expect(0, &format!("drill {name}"))?
        .json()?;
    let d = &done["documents"];
    ensure!(done["verdict"] == "passed" && done["name"] == name && done["region"] == CITY, "{done:#}");
    ensure!(done["rpo_records"] == 0 && d["missing"] == 0 && d["duplicated"] == 0, "{done:#}");
    ensure!(d["acknowledged"].as_u64() >= Some(60) && d["present"] == d["acknowledged"], "{done:#}");
    ensure!(done["steps"].as_array().is_some_and(|s| s.iter().all(|s| s["ok"] == true)), "{done:#}");
    ensure!(done["restored"] == true, "{done:#}");
    let primary = fed.platform_at(WATCH, CITY)?["primary"].clone();
    ensure!(primary == HOME, "{name} left the city at {primary}");
    Ok(done)
}

fn file(done: &Value, kind: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(done["report"][kind].as_str().with_context(|| format!("{kind} of {done}"))?))
}

#[test]
fn drills_pass_on_a_real_federation_and_their_reports_are_signed_filed_and_cannot_be_altered() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let plan = fed.eport(&["drill", "plan", "primary-kill", CITY])?.ok_json()?;
        ensure!(plan["may_run"] == true && plan["victims"][0] == HOME, "{plan:#}");
        let stale = fed.eport(&["drill", "run", "primary-kill", CITY, "--plan", "0123456789abcdef"])?;
        ensure!(
            stale.expect(4, "another plan")?.error_code() == "EP8105",
            "the plan must be the one looked at"
        );
        fed.eport(&["drill", "schedule", "add", "primary-kill", CITY, "--every", "30", "--owner", "ops"])?
            .expect(0, "schedule")?;
        for name in ["standby-read-check", "switchover", "link-cut", "restore-test"] {
            passes(fed, name)?;
        }
        let killed = passes(fed, "primary-kill")?;
        ensure!(
            killed["rto_seconds"].as_f64() > Some(0.0) && killed["write_pause_ms"].is_f64(),
            "{killed:#}"
        );
        check_report(fed, &killed)?;
        let id = killed["drill_id"].as_str().context("drill_id")?;
        let history = fed.eport_at(WATCH, &["drill", "history"])?.ok_json()?;
        let items = history["items"].as_array().context("items")?;
        ensure!(items.len() == 5 && items[0]["drill_id"] == id, "{history:#}");
        ensure!(items.iter().all(|i| i["verdict"] == "passed" && i["state"] == "ended"), "{history:#}");
        // The schedule counts from the drill that was run, and the metric says when the next one is due.
        let due = fed.eport(&["drill", "calendar", "--days", "45"])?.ok_json()?;
        ensure!(due["items"].as_array().is_some_and(|i| i.len() == 1 && i[0]["late"] == false), "{due:#}");
        let page = fed.http()?.get(&format!("{}/metrics", fed.api(WATCH)?))?.text();
        let line = page.lines().find(|l| l.starts_with("eport_drill_due_seconds{")).context("the metric")?;
        let left: f64 = line.rsplit(' ').next().context("a value")?.parse()?;
        ensure!(left > 29.0 * 86_400.0 && line.contains("primary-kill"), "{line}");
        proof_of_equality(fed, CITY, 3).map(|_| ())
    });
}

fn check_report(fed: &Federation, done: &Value) -> Result<()> {
    let (json, id) = (file(done, "json")?, done["drill_id"].as_str().context("drill_id")?.to_owned());
    let path = json.to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&json)?;
    let report: Value = serde_json::from_str(&text)?;
    ensure!(report["verdict"] == "passed" && report["documents"] == done["documents"], "{report:#}");
    ensure!(std::fs::read_to_string(file(done, "markdown")?)?.contains("Verdict PASSED"));
    ensure!(std::fs::read_to_string(file(done, "html")?)?.contains("Verdict PASSED"));
    let verified = fed.eport(&["drill", "verify", &path])?.expect(0, "verify")?.json()?;
    ensure!(verified["signed_by"] == "operator/admin", "{verified:#}");
    fed.eport(&["drill", "show", &id, "--verify", &path])?.expect(0, "the digest in the registry")?;
    std::fs::write(&json, text.replacen("\"rpo_records\": 0", "\"rpo_records\": 7", 1))?;
    fed.eport(&["drill", "verify", &path])?.expect(11, "an altered report")?;
    std::fs::write(&json, text)?;
    Ok(())
}

/// Starts a drill and waits until the city is served by another node.
fn away(fed: &Federation, args: &[&str]) -> Result<Child> {
    let child = fed.spawn(args)?;
    fed.wait_platform(WATCH, CITY, "is away from home", |p| p["primary"] != HOME && p["state"] == "active")?;
    Ok(child)
}

fn kill(pid: u32) -> Result<()> {
    let done = Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    ensure!(done.success(), "kill {pid}: {done}");
    Ok(())
}

/// The newest drill once it is over.
fn ended(fed: &Federation) -> Result<Value> {
    eport_cluster::wait_for("the end of the drill", Duration::from_secs(150), || {
        let list = fed
            .eport_at(WATCH, &["drill", "history"])
            .and_then(|r| r.ok_json())
            .map_err(|e| format!("{e:#}"))?;
        let newest = list["items"][0].clone();
        if newest["state"] == "ended" { Ok(newest) } else { Err(newest.to_string()) }
    })
}

fn is_back(fed: &Federation, drill: &Value, ledger: &mut Ledger) -> Result<()> {
    ensure!(drill["verdict"] == "aborted" && drill["restored"] == true, "{drill:#}");
    ensure!(fed.platform_at(WATCH, CITY)?["primary"] == HOME, "the city is not back");
    fed.wait_platform(WATCH, CITY, "has every backup in sync", |p| {
        p["backups"].as_array().is_some_and(|b| b.iter().all(|b| b["in_sync"] == true))
    })?;
    serves(fed, CITY, "AFTERWARDS", ledger)?;
    let status = fed.status_at(WATCH)?;
    let left = status["warnings"].as_array().context("warnings")?.iter().find(|w| w["code"] == "EP8106");
    ensure!(left.is_none(), "{status}");
    eport_cluster::wait_for("the end of the canaries", Duration::from_secs(20), || {
        match processes(fed, "load").map_err(|e| format!("{e:#}"))?.as_slice() {
            [] => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
}

#[test]
fn a_drill_whose_terminal_is_killed_returns_to_its_start_state_by_its_guard() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut child = away(fed, &["drill", "run", "primary-kill", CITY])?;
        child.kill()?;
        child.wait()?;
        let drill = ended(fed)?;
        ensure!(drill["ended_by"] == "operator/admin", "{drill:#}");
        ensure!(drill["note"].as_str().is_some_and(|n| n.contains("guard")), "{drill:#}");
        is_back(fed, &drill, &mut Ledger::default())
    });
}

#[test]
fn when_the_guard_is_killed_too_the_leader_of_the_registry_moves_the_platform_back_after_the_deadline() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut child = away(fed, &["drill", "run", "switchover", CITY, "--limit", "25s"])?;
        for pid in processes(fed, "guard")? {
            kill(pid)?;
        }
        child.kill()?;
        child.wait()?;
        ensure!(processes(fed, "guard")?.is_empty(), "a guard is left");
        ensure!(fed.platform_at(WATCH, CITY)?["primary"] != HOME, "the drill ended before it was killed");
        let drill = ended(fed)?;
        ensure!(drill["ended_by"].as_str().is_some_and(|by| by.starts_with("platform/")), "{drill:#}");
        is_back(fed, &drill, &mut Ledger::default())
    });
}

#[test]
fn a_link_stays_cut_no_longer_than_the_drill_and_an_operator_can_stop_it() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut child = fed.spawn(&["drill", "run", "link-cut", CITY])?;
        let cut = || -> Result<bool> {
            let seen = fed.eport(&["dev", "status"])?.ok_json()?;
            Ok(seen["links"].as_array().context("links")?.iter().any(|l| l["cut"] == true))
        };
        eport_cluster::wait_for("a cut link", Duration::from_secs(60), || match cut() {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        let running = fed.eport_at(WATCH, &["drill", "history"])?.ok_json()?["items"][0].clone();
        let id = running["drill_id"].as_str().context("drill_id")?.to_owned();
        let other = fed.eport(&["drill", "run", "switchover", CITY])?.expect(4, "a second drill")?;
        ensure!(other.error_code() == "EP8104", "{other:?}");
        fed.eport(&["drill", "abort", &id, "--reason", "enough"])?.expect(0, "abort")?;
        let done = child.wait()?;
        ensure!(done.code() == Some(1), "an aborted drill exits 1: {done}");
        let drill = ended(fed)?;
        ensure!(drill["verdict"] == "aborted" && drill["restored"] == true, "{drill:#}");
        ensure!(!cut()?, "the link is mended");
        ensure!(Path::new(&fed.home().join("drills").join(&id).join("report.json")).exists(), "no report");
        Ok(())
    });
}

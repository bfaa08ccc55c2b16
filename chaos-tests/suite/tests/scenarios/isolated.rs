//! The drill `quorum-loss`: a quorum is lost, recovered and served on copies, and the living federation never hears of it.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use eport_suite::{Ledger, documents, proof_of_equality, starter};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const CITY: &str = "440300";
/// Its platform is served by a node without a vote in this scenario's second part.
const OTHER: &str = "440100";
const WATCH: &str = "gz-a-1";

/// Processes whose command line holds this text.
fn processes(text: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Nothing of a copy is left: no folder, no process.
fn swept(fed: &Federation, drill: &str) -> Result<()> {
    let copies = fed.home().join("drills").join(drill).join("copies");
    let place = copies.display().to_string();
    wait_for("the end of the copies", Duration::from_secs(60), || {
        let left = processes(&place).map_err(|e| format!("{e:#}"))?;
        if left.is_empty() && !copies.exists() {
            Ok(())
        } else {
            Err(format!("{left:?} {}", copies.exists()))
        }
    })
}

/// What the living federation knows of its own history and nodes.
fn living(fed: &Federation) -> Result<(Value, Value, usize)> {
    let s = fed.status_at(WATCH)?;
    let up = s["nodes"].as_array().context("nodes")?.iter().filter(|n| n["state"] == "up").count();
    let split = s["warnings"]
        .as_array()
        .is_some_and(|w| w.iter().any(|w| w["code"] == "EP2047" || w["code"] == "EP1306"));
    ensure!(!split, "the living federation has heard of the copy: {s}");
    Ok((s["lineage"].clone(), s["lineages"].clone(), up))
}

#[test]
fn a_lost_quorum_is_rehearsed_on_copies_and_the_living_federation_is_not_touched() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("BEFORE", 40))?;
        let unsaid = fed.eport(&["drill", "run", "quorum-loss", CITY])?;
        ensure!(unsaid.code != 0 && unsaid.stdout.contains("--isolated"), "it must be said: {unsaid:?}");
        let before = living(fed)?;
        for region in [CITY, OTHER] {
            let done = fed
                .eport(&["--timeout", "120s", "drill", "run", "quorum-loss", region, "--isolated"])?
                .expect(0, &format!("quorum-loss about {region}"))?
                .json()?;
            ensure!(done["verdict"] == "passed" && done["rpo_records"] == 0, "{done:#}");
            ensure!(done["rto_seconds"].as_f64() > Some(0.0), "{done:#}");
            ensure!(
                done["steps"].as_array().is_some_and(|s| s.len() == 8 && s.iter().all(|s| s["ok"] == true)),
                "{done:#}"
            );
            let path = done["report"]["json"].as_str().context("report")?.to_owned();
            fed.eport(&["drill", "verify", &path])?.expect(0, "its report")?;
            ensure!(Path::new(&path).exists());
            swept(fed, done["drill_id"].as_str().context("drill_id")?)?;
            eprintln!("quorum-loss {region}: {} s", done["rto_seconds"]);
        }
        ensure!(living(fed)? == before, "the living federation has changed");
        ledger.check(fed, CITY, false)?;
        proof_of_equality(fed, CITY, 3)?;
        a_killed_terminal_leaves_nothing_behind(fed)
    });
}

fn a_killed_terminal_leaves_nothing_behind(fed: &Federation) -> Result<()> {
    let mut child = fed.spawn(&["--timeout", "120s", "drill", "run", "quorum-loss", CITY, "--isolated"])?;
    let drill = wait_for("a copy that runs", Duration::from_secs(90), || {
        let list = fed
            .eport_at(WATCH, &["drill", "history"])
            .and_then(|r| r.ok_json())
            .map_err(|e| format!("{e:#}"))?;
        let id = list["items"][0]["drill_id"].as_str().unwrap_or_default().to_owned();
        let home = fed.home().join("drills").join(&id).join("copies");
        let running = processes(&home.display().to_string()).map_err(|e| format!("{e:#}"))?;
        let daemon = home.join("eportd.log").exists() && !running.is_empty();
        if list["items"][0]["state"] != "ended" && daemon {
            Ok(id)
        } else {
            Err(list["items"][0].to_string())
        }
    })?;
    child.kill()?;
    child.wait()?;
    swept(fed, &drill)?;
    let ended = wait_for("the end of the drill", Duration::from_secs(60), || {
        let list = fed
            .eport_at(WATCH, &["drill", "history"])
            .and_then(|r| r.ok_json())
            .map_err(|e| format!("{e:#}"))?;
        let newest = list["items"][0].clone();
        if newest["state"] == "ended" { Ok(newest) } else { Err(newest.to_string()) }
    })?;
    ensure!(ended["verdict"] == "aborted" && ended["restored"] == true, "{ended:#}");
    living(fed)?;
    Ok(())
}

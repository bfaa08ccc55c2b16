//! Two living lineages of one federation: both alarm, neither hears the other's records; and who may found one when two persons are asked for.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_suite::{Ledger, documents, starter};
use serde_json::Value;
use std::time::Duration;

/// Served by the first founder.
const ONE: &str = "440300";
const FOUNDER: &str = "sz-a-1";
/// Served by the second.
const TWO: &str = "440100";
const TWIN: &str = "gz-c-1";
const VOTERS: [&str; 3] = ["gz-a-1", TWIN, FOUNDER];

fn config(fed: &Federation, node: &str) -> String {
    fed.node_dir(node).join("eportd.toml").display().to_string()
}

fn text(v: &Value, key: &str) -> String {
    v[key].as_str().unwrap_or_default().to_owned()
}

/// Runs `eport` with another person's certificate.
fn as_person(fed: &Federation, id: &str, args: &[&str]) -> Result<Ran> {
    let home = fed.home();
    let mut command = fed.command(&["--json", "--yes"]);
    command.arg("--cert").arg(home.join(format!("operator/{id}.crt")));
    command.arg("--key").arg(home.join(format!("operator/{id}.key")));
    Ran::of(command.arg("--ca").arg(home.join("ca/bundle.pem")).args(args))
}

#[test]
fn two_founders_of_one_lost_quorum_alarm_and_exchange_nothing() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        one.submit(fed, ONE, &documents("BEFORE", 20))?;
        two.submit(fed, TWO, &documents("BEFORE", 20))?;
        two_persons_are_asked_for(fed)?;
        for node in ["gz-a-2", "gz-a-1", TWIN, FOUNDER] {
            fed.dev("kill", node)?;
        }
        let lineages = [found(fed, FOUNDER)?, found(fed, TWIN)?];
        ensure!(lineages[0] != lineages[1], "{lineages:?}");
        for (node, region) in [(FOUNDER, ONE), (TWIN, TWO)] {
            fed.dev("restart", node)?;
            fed.wait_status(node, "leads its lineage", |s| s["leader"] == node)?;
            let policy = ["platform", "policy", region, "--durability", "async"];
            wait_for("a policy under which one alone may answer", Duration::from_secs(60), || {
                let ran = approved(fed, node, &policy).map_err(|e| format!("{e:#}"))?;
                if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
            })?;
        }
        both_alarm(fed)?;
        serves_alone(fed, FOUNDER, ONE, "TWIN-A", &mut one)?;
        serves_alone(fed, TWIN, TWO, "TWIN-B", &mut two)?;
        nothing_was_exchanged(fed, &lineages)
    });
}

fn two_persons_are_asked_for(fed: &Federation) -> Result<()> {
    let home = fed.home().display().to_string();
    fed.eport(&["user", "issue", "bo", "--dir", &home, "--region", "440000"])?.ok_json()?;
    fed.eport(&["user", "add", "bo", "--role", "administrator"])?.ok_json()?;
    fed.eport(&["setting", "set", "operator_signatures", "required"])?.ok_json()?;
    fed.eport(&["setting", "set", "two_person", "on"])?.ok_json()?;
    // Everybody who will found must know of both persons.
    for node in [FOUNDER, TWIN] {
        fed.wait_status(node, "knows that two persons are asked for", |s| s["two_person"] == true)?;
    }
    Ok(())
}

/// A command of one person, approved by the other where that is asked for.
fn approved(fed: &Federation, node: &str, args: &[&str]) -> Result<Ran> {
    let asked = fed.eport_at(node, args)?;
    let waiting = fed.eport_at(node, &["approval", "list"])?.json().unwrap_or_default();
    for item in waiting["items"].as_array().into_iter().flatten() {
        if let Some(id) = item["id"].as_str().or(item["approval_id"].as_str()) {
            let api = fed.api(node)?.to_owned();
            as_person(fed, "bo", &["--api", &api, "approve", id])?;
        }
    }
    Ok(asked)
}

/// Plans, is refused without the second person, is signed by both, founds.
fn found(fed: &Federation, node: &str) -> Result<String> {
    let file = fed.scratch().join(format!("recover-{node}.json")).display().to_string();
    let plan = fed
        .eport(&["quorum", "recover", "plan", "--config", &config(fed, node), "--out", &file])?
        .ok_json()?;
    let token = text(&plan, "token");
    let stopped: Vec<&str> = VOTERS.into_iter().filter(|v| *v != node).collect();
    let config = config(fed, node);
    let mut apply = vec![
        "quorum", "recover", "apply", "--config", &config, "--tail", "commit", "--token", &token, "--plan",
        &file,
    ];
    apply.push("--confirm-stopped");
    apply.extend(&stopped);
    let alone = fed.eport(&apply)?;
    ensure!(alone.code != 0, "one person is not two: {alone:?}");
    fed.eport(&["quorum", "recover", "sign", "--plan", &file])?.ok_json()?;
    let twice_the_same = fed.eport(&apply)?;
    ensure!(twice_the_same.code != 0, "the same person twice is one person: {twice_the_same:?}");
    as_person(fed, "bo", &["quorum", "recover", "sign", "--plan", &file])?.ok_json()?;
    let done = fed.eport(&apply)?.ok_json().with_context(|| format!("apply on {node}"))?;
    Ok(text(&done, "lineage"))
}

fn both_alarm(fed: &Federation) -> Result<()> {
    for (node, other) in [(FOUNDER, TWIN), (TWIN, FOUNDER)] {
        fed.wait_status(node, "the alarm of two living lineages", |s| {
            let named =
                |w: &Value| w["code"] == "EP2047" && w["text"].as_str().is_some_and(|t| t.contains(other));
            s["warnings"].as_array().is_some_and(|w| w.iter().any(named))
        })?;
    }
    Ok(())
}

fn serves_alone(fed: &Federation, node: &str, region: &str, prefix: &str, ledger: &mut Ledger) -> Result<()> {
    let file = fed.scratch().join(format!("{prefix}.ndjson"));
    let sent = documents(prefix, 20);
    std::fs::write(&file, eport_suite::lines(&sent))?;
    let path = file.to_string_lossy().into_owned();
    let said =
        fed.eport_at(node, &["--timeout", "60s", "doc", "submit", &path, "--platform", region])?.ok_json()?;
    let open = ledger.note_batch(&sent, said["items"].as_array().context("items")?)?;
    ensure!(open == 0, "{said}");
    Ok(())
}

/// Each knows its own lineage and its own records only.
fn nothing_was_exchanged(fed: &Federation, lineages: &[String; 2]) -> Result<()> {
    for ((node, lineage), other) in
        [(FOUNDER, &lineages[0]), (TWIN, &lineages[1])].into_iter().zip([TWIN, FOUNDER])
    {
        let s = fed.status_at(node)?;
        ensure!(s["lineage"] == lineage.as_str(), "{s}");
        let up = |n: &Value| n["node"] == other && n["state"] == "up";
        ensure!(
            !s["nodes"].as_array().context("nodes")?.iter().any(up),
            "{node} counts {other} among its own: {s}"
        );
    }
    // Each keeps a copy of the other's platform from before the loss: nothing was added to it.
    for (node, region) in [(FOUNDER, TWO), (TWIN, ONE)] {
        let found = fed.status_at(node)?;
        let p = found["platforms"]
            .as_array()
            .context("platforms")?
            .iter()
            .find(|p| p["region"] == region)
            .cloned();
        let p = p.with_context(|| region.to_owned())?;
        ensure!(p["state"] == "stopped", "{node} serves what is the other's: {p}");
    }
    Ok(())
}

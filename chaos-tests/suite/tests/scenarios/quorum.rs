//! A lost quorum and platforms that change their home, with real processes: plan, refusals, apply, service back; promote and demote.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Daemon, Federation, Ran, with_federation};
use eport_suite::{Ledger, documents, newcomer, proof_of_equality, serves, starter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Served by the survivor itself.
const CITY: &str = "440300";
/// Served by a lost node; the survivor keeps a copy.
const PROVINCE: &str = "440000";
/// Served by a lost node; the second survivor keeps a copy that it brings back under a new id.
const OTHER: &str = "440100";
/// The voter that survives.
const SURVIVOR: &str = "sz-a-1";
/// Survives too, without a vote.
const LEARNER: &str = "gz-a-2";
/// What it is called afterwards.
const AGAIN: &str = "gz-a-9";
/// Voters whose machines are gone.
const LOST: [&str; 2] = ["gz-a-1", "gz-c-1"];

/// How long a process has to come to an armed place on a busy machine.
const REACHED: std::time::Duration = std::time::Duration::from_secs(60);

fn text(v: &Value, key: &str) -> String {
    v[key].as_str().unwrap_or_default().to_owned()
}

fn config(fed: &Federation, node: &str) -> String {
    fed.node_dir(node).join("eportd.toml").display().to_string()
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let ran = Ran::of(Command::new("cp").arg("-a").arg(from).arg(to))?;
    ensure!(ran.code == 0, "{ran:?}");
    Ok(())
}

#[test]
fn after_the_loss_of_two_of_three_voters_the_survivor_founds_a_lineage_and_everything_promised_is_there() {
    let fed = Federation::up_armed(&[]).unwrap_or_else(|e| panic!("{e:#}"));
    let scenario = |fed: &Federation| -> Result<()> {
        starter(fed)?;
        let mut ledgers = [Ledger::default(), Ledger::default(), Ledger::default()];
        for (region, ledger) in [CITY, PROVINCE, OTHER].into_iter().zip(&mut ledgers) {
            ledger.submit(fed, region, &documents("BEFORE", 40))?;
        }
        for region in [CITY, PROVINCE, OTHER] {
            all_in_sync(fed, region)?;
        }
        let old = destroy_the_majority(fed)?;
        let plans = plan_on_every_survivor(fed)?;
        wrong_recoveries_are_refused(fed, &plans)?;
        apply(fed, &plans)?;
        service_is_back(fed, &plans[0].lineage, &mut ledgers[0])?;
        adopted_on_the_survivor(fed, &mut ledgers[1])?;
        an_old_node_is_refused(fed, &old)?;
        let again = the_other_survivor_joins_again(fed)?;
        its_journal_is_adopted(fed, &mut ledgers[2])?;
        the_lineages_meet_in_one_journal(fed, &mut ledgers[0])?;
        drop(again);
        Ok(())
    };
    scenario(&fed).unwrap_or_else(|e| panic!("{e:#}"));
}

fn all_in_sync(fed: &Federation, region: &str) -> Result<()> {
    fed.wait_platform(SURVIVOR, region, "is active with all backups level", |p| {
        p["state"] == "active"
            && p["backups"]
                .as_array()
                .is_some_and(|b| b.iter().all(|b| b["in_sync"] == true && b["lag_records"] == 0))
    })?;
    Ok(())
}

/// Kills the lost voters and deletes their directories. Returns a copy of one, as an old image of its disk.
fn destroy_the_majority(fed: &Federation) -> Result<PathBuf> {
    // The learner first: the voter that survives then certainly knows as much.
    let known = fed.status_at(LEARNER)?["index"].as_u64().context("index")?;
    fed.dev("kill", LEARNER)?;
    fed.eport(&["setting", "set", "before_the_loss", "1"])?.expect(0, "a setting")?;
    fed.wait_status(SURVIVOR, "what the learner knew and more", |s| s["index"].as_u64() > Some(known))?;
    for node in LOST {
        fed.dev("kill", node)?;
    }
    let old = fed.scratch().join("old-image");
    copy_dir(&fed.node_dir(LOST[0]).join("data"), &old)?;
    for node in LOST {
        std::fs::remove_dir_all(fed.node_dir(node).join("data"))?;
    }
    let lost = |s: &Value| {
        s["nodes"].as_array().is_some_and(|n| n.iter().filter(|n| n["state"] == "up").count() == 1)
    };
    fed.wait_status(SURVIVOR, "nobody else is up", lost)?;
    let status = fed.eport_at(SURVIVOR, &["quorum", "status"])?.ok_json()?;
    ensure!(status["quorum"] == false && status["need"] == 2 && status["alive"] == 1, "{status}");
    let refused =
        fed.eport_at(SURVIVOR, &["--timeout", "15s", "platform", "policy", CITY, "--durability", "async"])?;
    ensure!(refused.code == 5, "nothing can be decided without a quorum: {refused:?}");
    Ok(old)
}

/// A plan file, its token, and the lineage that it was made in.
struct Plan {
    file: String,
    token: String,
    lineage: String,
}

fn plan(fed: &Federation, node: &str) -> Result<Plan> {
    let file = fed.scratch().join(format!("recover-{node}.json")).display().to_string();
    let answer = fed
        .eport(&["quorum", "recover", "plan", "--config", &config(fed, node), "--out", &file])?
        .ok_json()
        .with_context(|| format!("plan on {node}"))?;
    ensure!(answer["node"] == node && answer["voters"].as_array().is_some_and(|v| v.len() == 3), "{answer}");
    let saved = std::fs::read_to_string(&file)?;
    let token = text(&answer, "token");
    ensure!(!token.is_empty() && !saved.contains(&token), "the token is shown once and never written down");
    let lineage = text(&answer, "lineage");
    ensure!(!lineage.is_empty(), "{answer}");
    Ok(Plan { file, token, lineage })
}

fn plan_on_every_survivor(fed: &Federation) -> Result<[Plan; 2]> {
    let running = fed.eport(&["quorum", "recover", "plan", "--config", &config(fed, SURVIVOR)])?;
    ensure!(running.code == 4 && running.error_code() == "EP1101", "eportd still runs: {running:?}");
    fed.dev("kill", SURVIVOR)?;
    let gone = fed.eport(&["quorum", "recover", "plan", "--config", &config(fed, LOST[0])])?;
    ensure!(gone.code == 3, "a deleted directory has no plan: {gone:?}");
    Ok([plan(fed, SURVIVOR)?, plan(fed, LEARNER)?])
}

fn recover(
    fed: &Federation,
    node: &str,
    plans: &[&str],
    token: &str,
    stopped: &[&str],
    more: &[&str],
) -> Result<Ran> {
    let config = config(fed, node);
    let mut args =
        vec!["quorum", "recover", "apply", "--config", &config, "--tail", "commit", "--token", token];
    args.push("--plan");
    args.extend(plans);
    if !stopped.is_empty() {
        args.push("--confirm-stopped");
        args.extend(stopped);
    }
    args.extend(more);
    fed.eport(&args)
}

fn wrong_recoveries_are_refused(fed: &Federation, [own, other]: &[Plan; 2]) -> Result<()> {
    let both = [own.file.as_str(), other.file.as_str()];
    let refused = |ran: Ran, code: i32, error: &str, what: &str| -> Result<()> {
        ensure!(ran.code == code && ran.error_code() == error, "{what}: {ran:?}");
        Ok(())
    };
    let one = [own.file.as_str()];
    refused(
        recover(fed, SURVIVOR, &both, &own.token, &LOST[..1], &[])?,
        7,
        "EP2045",
        "one voter is not named",
    )?;
    refused(recover(fed, SURVIVOR, &both, &own.token, &[], &[])?, 7, "EP2045", "no voter is named")?;
    refused(recover(fed, SURVIVOR, &both, &other.token, &LOST, &[])?, 6, "EP2042", "another plan's token")?;
    refused(
        recover(fed, LEARNER, &one, &own.token, &LOST, &[])?,
        7,
        "EP2040",
        "this node's plan is missing",
    )?;
    let scratch = |name: &str| fed.scratch().join(name).display().to_string();
    let good = std::fs::read_to_string(&own.file)?;
    let tampered = scratch("tampered.json");
    std::fs::write(
        &tampered,
        good.replace("\"federation\": \"eport-dev\"", "\"federation\": \"eport-xxx\""),
    )?;
    ensure!(std::fs::read_to_string(&tampered)? != good, "the plan was not changed");
    refused(recover(fed, SURVIVOR, &[&tampered], &own.token, &LOST, &[])?, 7, "EP2040", "a changed plan")?;
    let long = scratch("long.json");
    std::fs::write(&long, vec![b' '; (16 << 20) + 1])?;
    refused(recover(fed, SURVIVOR, &[&long], &own.token, &LOST, &[])?, 7, "EP2040", "an oversized file")?;
    let nonsense = scratch("nonsense.json");
    std::fs::write(&nonsense, "{\"plan\": 7}")?;
    refused(recover(fed, SURVIVOR, &[&nonsense], &own.token, &LOST, &[])?, 7, "EP2040", "no plan at all")?;
    let absent = recover(fed, SURVIVOR, &[&scratch("absent.json")], &own.token, &LOST, &[])?;
    ensure!(absent.code == 3, "{absent:?}");
    let planned = recover(fed, SURVIVOR, &both, &own.token, &LOST, &["--dry-run"])?.ok_json()?;
    ensure!(planned["done"] == false && planned["dry_run"] == true, "{planned}");
    ensure!(!registries(fed)?.iter().any(|n| n.starts_with("registry-")), "a dry run changes nothing");
    Ok(())
}

fn registries(fed: &Federation) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(fed.node_dir(SURVIVOR).join("data"))?;
    entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect()
}

/// The command is killed at every step and given again; it takes effect once.
fn apply(fed: &Federation, [own, other]: &[Plan; 2]) -> Result<()> {
    let signed = fed.eport(&["quorum", "recover", "sign", "--plan", &own.file])?.ok_json()?;
    ensure!(signed["endorsed"] == 1 && signed["by"] == "operator/admin", "{signed}");
    let both = [own.file.as_str(), other.file.as_str()];
    let planned = recover(fed, SURVIVOR, &both, &own.token, &LOST, &["--dry-run"])?.ok_json()?;
    ensure!(planned["epochs_raised_by"] == 1_000_000, "{planned}");
    ensure!(planned["lost"].as_array().is_some_and(|l| l.len() == 2), "{planned}");
    let before = registries(fed)?;
    for (place, more) in [
        ("recover.registry.before", 0),
        ("recover.registry.after", 1),
        // What the attempt before left is gone.
        ("recover.registry.before", 1),
        ("recover.identity.after", 1),
    ] {
        let stops = fed.arm("eport", place, "stop")?;
        let (config, lost) = (config(fed, SURVIVOR), LOST);
        let mut child = fed.spawn(&[
            "quorum",
            "recover",
            "apply",
            "--config",
            &config,
            "--tail",
            "commit",
            "--token",
            &own.token,
            "--plan",
            both[0],
            both[1],
            "--confirm-stopped",
            lost[0],
            lost[1],
        ])?;
        let reached = stops.wait(REACHED);
        child.kill()?;
        let ended = child.wait_with_output()?;
        ensure!(reached, "{place} was not come to: {ended:?}");
        let found = registries(fed)?;
        ensure!(found.len() == before.len() + more, "after a kill at {place}: {found:?}, before {before:?}");
    }
    let again = recover(fed, SURVIVOR, &both, &own.token, &LOST, &[])?;
    ensure!(again.code == 4 && again.error_code() == "EP2041", "a plan serves once: {again:?}");
    Ok(())
}

fn service_is_back(fed: &Federation, old: &str, ledger: &mut Ledger) -> Result<()> {
    fed.dev("restart", SURVIVOR)?;
    let status = fed.wait_status(SURVIVOR, "leads the new lineage", |s| s["leader"] == SURVIVOR)?;
    ensure!(status["lineage"].is_string() && status["lineage"] != old, "{status}");
    let breaks = status["lineages"].as_array().context("lineages")?;
    ensure!(breaks.len() == 1 && breaks[0]["founder"] == SURVIVOR, "{status}");
    let p = fed
        .wait_platform(SURVIVOR, CITY, "is active", |p| p["state"] == "active" && p["primary"] == SURVIVOR)?;
    ensure!(p["epoch"].as_u64() > Some(1_000_000), "{p}");
    // Nobody is left who could acknowledge: the policy is a person's decision.
    fed.eport_at(SURVIVOR, &["platform", "policy", CITY, "--durability", "async"])?.ok_json()?;
    serves(fed, CITY, "AFTER", ledger)?;
    ledger.submit(fed, CITY, &documents("NEW", 40))?;
    ledger.check(fed, CITY, true)
}

fn adopted_on_the_survivor(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let waiting = fed.platform_at(SURVIVOR, PROVINCE)?;
    ensure!(waiting["state"] == "stopped", "nobody serves what nobody adopted: {waiting}");
    let own = fed.eport_at(SURVIVOR, &["platform", "adopt", CITY, "--node", SURVIVOR])?;
    ensure!(own.code == 7 && own.error_code() == "EP2048", "its primary lives: {own:?}");
    let none = fed.eport_at(SURVIVOR, &["platform", "adopt", PROVINCE, "--node", "xx-9"])?;
    ensure!(none.code == 3, "{none:?}");
    let planned = fed
        .eport_at(SURVIVOR, &["platform", "adopt", PROVINCE, "--node", SURVIVOR, "--dry-run"])?
        .ok_json()?;
    ensure!(planned["start"]["index"].as_u64() > Some(1) && planned["old_primary"] == LOST[0], "{planned}");
    adopted_through_every_kill(fed)?;
    fed.eport_at(SURVIVOR, &["platform", "policy", PROVINCE, "--durability", "async"])?.ok_json()?;
    serves(fed, PROVINCE, "AFTER", ledger)?;
    ledger.check(fed, PROVINCE, true)
}

/// The node that adopts, and leads the registry alone, is killed at every step of it.
fn adopted_through_every_kill(fed: &Federation) -> Result<()> {
    let adopt = ["platform", "adopt", PROVINCE, "--node", SURVIVOR];
    let killed_at = |places: &[&str]| -> Result<()> {
        let stops = places.iter().map(|p| fed.arm(SURVIVOR, p, "stop")).collect::<Result<Vec<_>>>()?;
        let mut child = fed.spawn_at(SURVIVOR, &adopt)?;
        let reached = stops.iter().all(|s| s.wait(REACHED));
        fed.dev("kill", SURVIVOR)?;
        child.kill()?;
        let ended = child.wait_with_output()?;
        ensure!(reached, "{places:?} were not come to: {ended:?}");
        Ok(())
    };
    killed_at(&["raft.AdoptJournal.before"])?;
    fed.dev("restart", SURVIVOR)?;
    let nothing = fed.wait_platform(SURVIVOR, PROVINCE, "is there", |_| true)?;
    ensure!(nothing["state"] == "stopped", "killed before it was decided: {nothing}");
    // Decided: from here on the node goes on by itself, however often it is killed.
    killed_at(&["raft.AdoptJournal.after", "append.epoch_start.before"])?;
    for place in ["append.epoch_start.after", "role.opening"] {
        let stops = fed.arm(SURVIVOR, place, "stop")?;
        let node = fed.daemon(Path::new(&config(fed, SURVIVOR)), &fed.node_dir(SURVIVOR).join("log"))?;
        let reached = stops.wait(REACHED);
        drop(node);
        ensure!(reached, "{place} was not come to");
    }
    fed.dev("restart", SURVIVOR)?;
    fed.wait_platform(SURVIVOR, PROVINCE, "is active", |p| {
        p["state"] == "active" && p["primary"] == SURVIVOR
    })?;
    let again = fed.eport_at(SURVIVOR, &adopt)?;
    ensure!(again.code == 7 && again.error_code() == "EP2048", "adopted once: {again:?}");
    Ok(())
}

/// A lost machine comes back from an old image of its disk: it stays in the old lineage and is spoken with by nobody.
fn an_old_node_is_refused(fed: &Federation, old: &Path) -> Result<()> {
    let node = LOST[0];
    copy_dir(old, &fed.node_dir(node).join("data"))?;
    let image = fed.daemon(Path::new(&config(fed, node)), &fed.node_dir(node).join("log"))?;
    fed.wait_status(SURVIVOR, &format!("{node} was sent away"), |s| {
        s["warnings"].as_array().is_some_and(|w| {
            w.iter().any(|w| w["code"] == "EP1306" && w["text"].as_str().is_some_and(|t| t.contains(node)))
        })
    })?;
    let its = fed.wait_status(node, "an API", |_| true)?;
    let new = fed.status_at(SURVIVOR)?;
    ensure!(new["lineage"] != its["lineage"], "{its}");
    let quorum = fed.eport_at(node, &["quorum", "status"])?.ok_json()?;
    ensure!(quorum["quorum"] == false, "it decides nothing: {quorum}");
    let members = |s: &Value| {
        let nodes = s["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().filter(|n| n["state"] == "up").map(|n| text(n, "node")).collect::<Vec<_>>()
    };
    ensure!(members(&new) == [SURVIVOR] && members(&its) == [node], "{new} {its}");
    drop(image);
    Ok(())
}

fn rejoin(fed: &Federation, from: &str, to: &str, cert: &(String, String), more: &[&str]) -> Result<Ran> {
    let (config, out) = (config(fed, from), fed.scratch().join(format!("{to}.toml")).display().to_string());
    let mut args = vec!["node", "rejoin", "--config", &config, "--node", to, "--config-out", &out];
    args.extend(["--node-cert", &cert.0, "--node-key", &cert.1]);
    args.extend(more);
    fed.eport_at(SURVIVOR, &args)
}

fn the_other_survivor_joins_again(fed: &Federation) -> Result<Daemon> {
    let cert = newcomer(fed, AGAIN, PROVINCE)?;
    let wrong = rejoin(fed, LEARNER, "gz-a-8", &cert, &["--keep-journals"])?;
    ensure!(wrong.code != 0 && wrong.error_code() == "EP1203", "another id's certificate: {wrong:?}");
    let used = newcomer(fed, LEARNER, PROVINCE)?;
    let used = rejoin(fed, LEARNER, LEARNER, &used, &["--keep-journals"])?;
    ensure!(used.code == 4 && used.error_code() == "EP2005", "an id is used once: {used:?}");
    let done = rejoin(fed, LEARNER, AGAIN, &cert, &["--keep-journals"])?.ok_json()?;
    ensure!(done["state"] == "done" && done["former"] == LEARNER, "{done}");
    rejoin(fed, LEARNER, AGAIN, &cert, &["--keep-journals"])?.expect(0, "repeated after a timeout")?;
    // The old configuration no longer opens the directory.
    let old = fed.eportd(Path::new(&config(fed, LEARNER)), std::time::Duration::from_secs(30))?;
    ensure!(old.code == 7 && old.stderr.contains("EP1102"), "{old:?}");
    let daemon =
        fed.daemon(&fed.scratch().join(format!("{AGAIN}.toml")), &fed.node_dir(LEARNER).join("log"))?;
    fed.wait_status(SURVIVOR, &format!("{AGAIN} is up with its journals"), |s| {
        let up =
            s["nodes"].as_array().is_some_and(|n| n.iter().any(|n| n["node"] == AGAIN && n["state"] == "up"));
        let kept = s["kept_journals"].as_array().is_some_and(|k| {
            [CITY, OTHER].iter().all(|r| k.iter().any(|k| k["node"] == AGAIN && k["region"] == *r))
        });
        up && kept
    })?;
    Ok(daemon)
}

fn its_journal_is_adopted(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    // Its key is told to the federation first.
    eport_cluster::wait_for("the journal is adopted", std::time::Duration::from_secs(60), || {
        let ran = fed
            .eport_at(SURVIVOR, &["platform", "adopt", OTHER, "--node", AGAIN])
            .map_err(|e| format!("{e:#}"))?;
        if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
    })?;
    fed.wait_platform(SURVIVOR, OTHER, "is served by the node that joined again", |p| {
        p["state"] == "active" && p["primary"] == AGAIN
    })?;
    // The survivor's own copy follows; written is what both hold.
    fed.eport_at(
        SURVIVOR,
        &["platform", "policy", OTHER, "--durability", "sync", "--k", "1", "--backup", SURVIVOR],
    )?
    .ok_json()?;
    all_in_sync(fed, OTHER)?;
    serves(fed, OTHER, "AFTER", ledger)?;
    ledger.submit(fed, OTHER, &documents("NEW", 40))?;
    ledger.check(fed, OTHER, true)?;
    proof_of_equality(fed, OTHER, 2)?;
    Ok(())
}

/// A journal that was kept goes on in the new lineage as a backup, and an empty one is filled across the break.
fn the_lineages_meet_in_one_journal(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    for region in [CITY, PROVINCE] {
        fed.eport_at(
            SURVIVOR,
            &["platform", "policy", region, "--durability", "sync", "--k", "1", "--backup", AGAIN],
        )?
        .ok_json()?;
        all_in_sync(fed, region)?;
        proof_of_equality(fed, region, 2)?;
    }
    ledger.submit(fed, CITY, &documents("LAST", 40))?;
    ledger.check(fed, CITY, true)?;
    let proof = fed.eport_at(SURVIVOR, &["journal", "verify", CITY])?.ok_json()?;
    ensure!(proof["ok"] == true && proof["epochs"].as_array().is_some_and(|e| e.len() == 2), "{proof}");
    Ok(())
}

// --------------------------------------------------------------------------------------------------------------------
// The province's site is lost; the quorum is not, because voters stand on three sites.

#[test]
fn after_the_loss_of_the_province_site_a_city_serves_the_province_until_it_is_rebuilt_and_hands_it_back() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, PROVINCE, &documents("BEFORE", 40))?;
        all_in_sync(fed, PROVINCE)?;
        for node in ["gz-a-1", "gz-a-2"] {
            fed.dev("kill", node)?;
            std::fs::remove_dir_all(fed.node_dir(node).join("data"))?;
        }
        the_city_takes_the_province_over(fed, &mut ledger)?;
        let rebuilt = the_province_is_rebuilt(fed)?;
        and_gets_its_platform_back(fed, &mut ledger)?;
        drop(rebuilt);
        Ok(())
    });
}

fn the_city_takes_the_province_over(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let leads = |s: &Value| s["leader"].is_string() && s["leader"] != "gz-a-1";
    fed.wait_status(SURVIVOR, "another leader", leads)?;
    eport_cluster::wait_for("the province fails over", std::time::Duration::from_secs(60), || {
        let args = ["platform", "failover", PROVINCE, "--to", SURVIVOR, "--old-primary", "stopped"];
        let ran = fed.eport_at(SURVIVOR, &args).map_err(|e| format!("{e:#}"))?;
        if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
    })?;
    fed.wait_platform(SURVIVOR, PROVINCE, "is served by the city", |p| {
        p["state"] == "active" && p["primary"] == SURVIVOR
    })?;
    serves(fed, PROVINCE, "CITY", ledger)?;
    ledger.submit(fed, PROVINCE, &documents("MEANWHILE", 40))?;
    ledger.check(fed, PROVINCE, true)
}

fn the_province_is_rebuilt(fed: &Federation) -> Result<Daemon> {
    let wiped = fed.eportd(Path::new(&config(fed, "gz-a-1")), std::time::Duration::from_secs(30))?;
    ensure!(wiped.code == 7 && wiped.stderr.contains("EP1102"), "an emptied id never comes back: {wiped:?}");
    let cert = newcomer(fed, "gz-a-3", PROVINCE)?;
    let dir = fed.scratch().join("rebuilt").display().to_string();
    rejoin(fed, "gz-a-1", "gz-a-3", &cert, &["--data-dir", &dir])?
        .expect(0, "rejoin with an empty folder")?;
    let daemon = fed.daemon(&fed.scratch().join("gz-a-3.toml"), &fed.node_dir("gz-a-1").join("log"))?;
    fed.wait_status(SURVIVOR, "gz-a-3 is up", |s| {
        let there = |n: &Value| n["node"] == "gz-a-3" && n["state"] == "up" && n["reads"].is_u64();
        s["nodes"].as_array().is_some_and(|n| n.iter().any(there))
    })?;
    Ok(daemon)
}

fn and_gets_its_platform_back(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let policy = ["platform", "policy", PROVINCE, "--durability", "sync", "--k", "1", "--backup"];
    let mut args = policy.to_vec();
    args.extend(["gz-a-3", "--backup", "gz-c-1"]);
    fed.eport_at(SURVIVOR, &args)?.ok_json()?;
    // Filled from record 1 by streaming.
    fed.wait_platform(SURVIVOR, PROVINCE, "has the rebuilt node in sync", |p| {
        p["state"] == "active"
            && p["backups"].as_array().is_some_and(|b| {
                b.iter().any(|b| b["node"] == "gz-a-3" && b["in_sync"] == true && b["lag_records"] == 0)
            })
    })?;
    // The new id never was primary, so going home is a switchover and not a failback in the words of the command line.
    let moved = fed.eport_at(SURVIVOR, &["platform", "switchover", PROVINCE, "--to", "gz-a-3"])?.ok_json()?;
    ensure!(moved["state"] == "done" && moved["to"] == "gz-a-3", "{moved}");
    fed.wait_platform(SURVIVOR, PROVINCE, "is home again", |p| {
        p["state"] == "active" && p["primary"] == "gz-a-3"
    })?;
    ledger.submit(fed, PROVINCE, &documents("HOME", 40))?;
    ledger.check(fed, PROVINCE, true)?;
    proof_of_equality(fed, PROVINCE, 3)?;
    Ok(())
}

/// Sites of a federation whose hosted platform has nodes of its own waiting.
const WITH_OWN_NODES: [&str; 10] = [
    "--site",
    "gz-a=440000",
    "--site",
    "gz-c=440100",
    "--site",
    "sz-a=440300",
    "--site",
    "st-a=440500",
    "--virtual",
    "440500@gz-a",
];

#[test]
fn a_hosted_platform_moves_to_a_node_of_its_own_that_first_takes_the_journal_and_back_to_a_host() {
    const HOSTED: &str = "440500";
    with_federation(&WITH_OWN_NODES, |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, HOSTED, &documents("HOSTED", 400))?;
        // Its own node is no backup any more: the promotion has to bring it the whole journal.
        let backups = ["--backup", "sz-a-1:sync", "--backup", "gz-c-1:sync"];
        let policy = ["platform", "policy", HOSTED, "--durability", "sync", "--k", "1", "--yes"];
        fed.eport(&[&policy[..], &backups[..]].concat())?.ok_json()?;
        let wrong = ["platform", "promote", HOSTED, "--to", "gz-c-1", "--yes"];
        fed.eport(&wrong)?.expect(7, "a node of another region")?;
        let plan = fed.eport(&["platform", "promote", HOSTED, "--to", "st-a-1", "--dry-run"])?.ok_json()?;
        ensure!(plan["state"] == "planned" && plan["expected_loss"]["records"] == 0, "{plan:#}");
        let is = |fed: &Federation| fed.platform_at("sz-a-1", HOSTED);
        ensure!(is(fed)?["kind"] == "virtual", "the dry run moved it: {}", is(fed)?);

        let done = fed.eport(&["platform", "promote", HOSTED, "--to", "st-a-1", "--yes"])?.ok_json()?;
        ensure!(done["kind"] == "promote" && done["state"] == "done", "{done:#}");
        let own = is(fed)?;
        ensure!(own["kind"] == "physical" && own["primary"] == "st-a-1", "{own:#}");
        let stays = own["backups"].as_array().context("backups")?.iter().any(|b| b["node"] == done["from"]);
        ensure!(stays, "the host stays as a backup: {own:#}");
        serves(fed, HOSTED, "OWN", &mut ledger)?;
        ledger.check(fed, HOSTED, true)?;
        proof_of_equality(fed, HOSTED, 4)?;

        let back = fed.eport(&["platform", "demote", HOSTED, "--to", "gz-a-1", "--yes"])?.ok_json()?;
        ensure!(back["state"] == "done", "{back:#}");
        let hosted = is(fed)?;
        ensure!(hosted["primary"] == "gz-a-1" && hosted["away"] == true, "{hosted:#}");
        serves(fed, HOSTED, "BACK", &mut ledger)?;
        ledger.check(fed, HOSTED, true)
    });
}

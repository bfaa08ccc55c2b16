//! Backups that are new, wiped or set back, over real processes: design §5 "Shipping", decision 0019.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use eport_suite::{Ledger, documents, proof_of_equality, starter};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The city and its primary; a backup; a node that keeps nothing of it at first.
const CITY: &str = "440300";
const PRIMARY: &str = "sz-a-1";
const BACKUP: &str = "gz-c-1";
/// Documents in the journal.
const DOCUMENTS: usize = 2_100;
/// Slow enough that a transfer of some megabytes is seen under way, and interrupted.
const SLOW: &str = "\n[shipping]\nbootstrap_records = 500\nbootstrap_rate_kib = 256\nbootstrap_sends = 1\n";
/// What is left of it when the interruptions are over.
const FAST: &str = "\n[shipping]\nbootstrap_records = 500\nbootstrap_rate_kib = 8192\nbootstrap_sends = 1\n";

#[test]
fn new_wiped_and_set_back_backups_end_as_equal_copies_and_count_only_then() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        for n in 0..3 {
            ledger.submit(fed, CITY, &documents(&format!("FILL{n}"), DOCUMENTS / 3))?;
        }
        // Nobody is so far behind that a checkpoint goes out which nobody asked for.
        for backup in backups(fed)? {
            in_sync(fed, &backup)?;
        }
        configure(fed, PRIMARY, SLOW)?;
        a_wiped_disk_is_seeded_anew_although_both_sides_die(fed)?;
        a_new_backup_is_seeded_and_its_evidence_is_whole(fed)?;
        an_old_copy_is_refused_until_it_is_taken_away(fed, &mut ledger)?;
        ledger.check(fed, CITY, true)
    });
}

/// Restarts a node with `section` at the end of its configuration, in place of the one of an earlier call.
fn configure(fed: &Federation, node: &str, section: &str) -> Result<()> {
    let path = fed.node_dir(node).join("eportd.toml");
    let text = fs::read_to_string(&path)?;
    let kept = text.split("\n[shipping]\n").next().unwrap_or_default();
    fs::write(&path, format!("{kept}{section}"))?;
    fed.dev("kill", node)?;
    fed.dev("restart", node)?;
    fed.wait_platform("gz-a-1", CITY, "serves after the restart", |p| p["durability_now"] == "replicated")?;
    Ok(())
}

fn store(fed: &Federation, node: &str) -> PathBuf {
    fed.node_dir(node).join("data/platform").join(CITY)
}

fn backup(platform: &Value, node: &str) -> Value {
    let list = platform["backups"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|b| b["node"] == node).unwrap_or(Value::Null)
}

fn backups(fed: &Federation) -> Result<Vec<String>> {
    let platform = fed.platform_at("gz-a-1", CITY)?;
    let list = platform["backups"].as_array().context("backups")?;
    Ok(list.iter().filter_map(|b| b["node"].as_str().map(str::to_owned)).collect())
}

fn bytes(b: &Value) -> u64 {
    b["bootstrap"]["bytes"].as_u64().unwrap_or(0)
}

/// Waits until a transfer is under way and returns how far it is.
fn under_way(fed: &Federation, node: &str, beyond: u64) -> Result<u64> {
    wait_for("a checkpoint under way", Duration::from_secs(90), || {
        let platform = fed.platform_at("gz-a-1", CITY).map_err(|e| format!("{e:#}"))?;
        let b = backup(&platform, node);
        let taken = &b["bootstrap"];
        if taken["state"] == "receiving" && bytes(&b) > beyond && taken["percent"].as_f64() < Some(90.0) {
            if b["in_sync"] == true {
                return Err(format!("counted while it takes a checkpoint: {b}"));
            }
            return Ok(bytes(&b));
        }
        Err(b.to_string())
    })
}

fn in_sync(fed: &Federation, node: &str) -> Result<()> {
    fed.wait_platform("gz-a-1", CITY, "is in sync", |p| {
        let b = backup(p, node);
        b["in_sync"] == true && b["lag_records"] == 0 && b["slot"]["state"] == "kept"
    })?;
    Ok(())
}

fn log(fed: &Federation, node: &str) -> String {
    fs::read_to_string(fed.node_dir(node).join("log")).unwrap_or_default()
}

fn a_wiped_disk_is_seeded_anew_although_both_sides_die(fed: &Federation) -> Result<()> {
    fed.dev("kill", BACKUP)?;
    fs::remove_dir_all(store(fed, BACKUP))?;
    fed.dev("restart", BACKUP)?;
    let first = under_way(fed, BACKUP, 0)?;
    fed.dev("kill", BACKUP)?;
    fed.dev("restart", BACKUP)?;
    let second = under_way(fed, BACKUP, first)?;
    ensure!(second > first, "{second} bytes after {first}");
    configure(fed, PRIMARY, FAST)?;
    in_sync(fed, BACKUP)?;
    let made = log(fed, PRIMARY).matches("checkpoint made").count();
    ensure!(made == 1, "{made} checkpoints were made: the one before the kill is found again");
    proof_of_equality(fed, CITY, 3)?;
    Ok(())
}

fn a_new_backup_is_seeded_and_its_evidence_is_whole(fed: &Federation) -> Result<()> {
    let known = backups(fed)?;
    let new = fed.nodes().iter().map(|n| n.node.clone()).find(|n| n != PRIMARY && !known.contains(n));
    let new = new.context("a node that keeps nothing of the city")?;
    let mut line =
        vec!["platform".to_owned(), "policy".into(), CITY.into(), "--durability".into(), "sync".into()];
    line.extend(["--k".to_owned(), "1".to_owned()]);
    for node in known.iter().chain([&new]) {
        line.extend(["--backup".to_owned(), node.clone()]);
    }
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    fed.eport(&line)?.expect(0, "policy")?;
    in_sync(fed, &new)?;
    ensure!(log(fed, &new).contains("checkpoint installed"), "it was streamed to");
    proof_of_equality(fed, CITY, 4)?;
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn an_old_copy_is_refused_until_it_is_taken_away(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let kept = fed.scratch().join("old-copy");
    fed.dev("kill", BACKUP)?;
    copy_dir(&store(fed, BACKUP), &kept)?;
    fed.dev("restart", BACKUP)?;
    in_sync(fed, BACKUP)?;
    ledger.submit(fed, CITY, &documents("LATER", 50))?;
    in_sync(fed, BACKUP)?;
    // What was acknowledged is noted once a second.
    std::thread::sleep(Duration::from_millis(1_500));
    fed.dev("kill", BACKUP)?;
    fs::remove_dir_all(store(fed, BACKUP))?;
    copy_dir(&kept, &store(fed, BACKUP))?;
    // The primary dies too: what it knows of acknowledgements is on its disk.
    fed.dev("kill", PRIMARY)?;
    fed.dev("restart", PRIMARY)?;
    fed.dev("restart", BACKUP)?;
    let status = fed.wait_status("gz-a-1", "the old copy is told", |s| {
        let warnings = s["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().any(|w| {
            w["code"] == "EP1311"
                && w["text"]
                    .as_str()
                    .is_some_and(|t| t.starts_with(BACKUP) && t.contains("move platform/440300"))
        })
    })?;
    let platform =
        status["platforms"].as_array().and_then(|l| l.iter().find(|p| p["region"] == CITY)).cloned();
    let lag = backup(&platform.unwrap_or_default(), BACKUP)["lag_records"].as_u64();
    ensure!(lag.is_some_and(|n| n >= 50), "it was repaired behind the operator's back: {lag:?}");
    // What the page of the code says.
    fed.dev("kill", BACKUP)?;
    fs::rename(store(fed, BACKUP), fed.scratch().join("moved-away"))?;
    fed.dev("restart", BACKUP)?;
    in_sync(fed, BACKUP)?;
    proof_of_equality(fed, CITY, 4)?;
    Ok(())
}

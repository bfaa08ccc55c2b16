//! Verification in the background over real processes: marks compared by every backup, flipped bits found and mended, on running
//! and on stopped nodes, on backups and on the primary.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use eport_suite::{Load, starter};
use serde_json::Value;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const R: &str = "440300";
const PRIMARY: &str = "sz-a-1";
const BACKUP: &str = "gz-a-1";

#[test]
fn flipped_bits_are_found_and_mended_on_running_and_stopped_nodes_and_marks_are_compared() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let load = Load::start(fed, R, "VERIFY", 200)?;
        load.wait_more(300)?;
        load.finish()?;
        let records = fed.platform_at(PRIMARY, R)?["records"].as_u64().context("records")?;
        every_backup_compares_marks_that_the_primary_writes_by_itself(fed)?;
        let mut mended = [0u64; 2];
        for (n, node) in [BACKUP, PRIMARY].into_iter().enumerate() {
            a_running_nodes_journal_is_mended(fed, node, &mut mended[n])?;
            a_running_nodes_rows_are_made_anew(fed, node, &mut mended[n])?;
        }
        for node in [BACKUP, PRIMARY] {
            a_stopped_nodes_journal_is_mended_when_it_starts(fed, node)?;
        }
        nothing_was_lost_and_the_platform_goes_on(fed, records)
    });
}

fn every_backup_compares_marks_that_the_primary_writes_by_itself(fed: &Federation) -> Result<()> {
    let config = fed.node_dir(PRIMARY).join("eportd.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, format!("{text}\n[verify]\nmark_every_s = 1\n"))?;
    fed.dev("restart", PRIMARY)?;
    let first = fed.wait_platform(BACKUP, R, "marks compared by every copy", |p| {
        let copies = p["copies"].as_array().cloned().unwrap_or_default();
        copies.len() == 3 && copies.iter().all(|c| c["mark"].as_u64() > Some(0) && c["equal"] == true)
    })?;
    // Nothing is written: nothing is marked, or an idle platform's journal would grow for ever.
    let quiet = first["records"].clone();
    std::thread::sleep(Duration::from_secs(4));
    ensure!(fed.platform_at(BACKUP, R)?["records"] == quiet, "an idle platform is not marked again");
    let load = Load::start(fed, R, "MARKED", 50)?;
    load.wait_more(20)?;
    load.finish()?;
    let mark =
        |p: &Value| p["copies"].as_array().and_then(|c| c.iter().map(|c| c["mark"].as_u64()).min()).flatten();
    fed.wait_platform(BACKUP, R, "the next mark compared", |p| mark(p) > mark(&first))?;
    Ok(())
}

fn scrub(fed: &Federation) -> Result<Value> {
    fed.eport(&["--timeout", "120s", "platform", "verify", R, "--scrub"])?.expect(0, "verify --scrub")?.json()
}

fn copy_of(answer: &Value, node: &str) -> Result<Value> {
    let copies = answer["copies"].as_array().context("copies")?;
    copies.iter().find(|c| c["node"] == node).cloned().with_context(|| format!("{node} in {answer}"))
}

fn platform_dir(fed: &Federation, node: &str) -> PathBuf {
    fed.node_dir(node).join("data/platform").join(R)
}

fn newest(dir: &Path, ending: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir)?.flatten().map(|e| e.path());
    let found = entries.filter(|p| p.extension().is_some_and(|e| e == ending));
    found
        .max_by_key(|p| p.metadata().map_or(0, |m| m.len()))
        .with_context(|| format!("{ending} in {}", dir.display()))
}

/// Flips one bit in place, as rot does it.
fn flip(file: &Path, at: u64) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 0x10], at)?;
    Ok(())
}

fn a_running_nodes_journal_is_mended(fed: &Federation, node: &str, mended: &mut u64) -> Result<()> {
    let file = newest(&platform_dir(fed, node).join("journal"), "log")?;
    flip(&file, file.metadata()?.len() / 2)?;
    let copy = copy_of(&scrub(fed)?, node)?;
    *mended += 1;
    ensure!(copy["scrub"]["found"] == *mended && copy["scrub"]["mended"] == *mended, "{copy}");
    // The same look once more finds nothing.
    let copy = copy_of(&scrub(fed)?, node)?;
    ensure!(copy["scrub"]["found"] == *mended && copy["scrub"]["open"].is_null(), "{copy}");
    Ok(())
}

fn a_running_nodes_rows_are_made_anew(fed: &Federation, node: &str, mended: &mut u64) -> Result<()> {
    let table = newest(&platform_dir(fed, node), "sst")?;
    flip(&table, table.metadata()?.len() / 3)?;
    // Rows made anew are seen to be sound by the look after the one that found them damaged.
    let answer = wait_for("rows made anew", Duration::from_secs(60), || {
        let copy = scrub(fed).and_then(|a| copy_of(&a, node)).map_err(|e| format!("{e:#}"))?;
        if copy["scrub"]["mended"] == *mended + 1 { Ok(copy) } else { Err(copy.to_string()) }
    })?;
    *mended += 1;
    ensure!(answer["scrub"]["found"] == *mended, "{answer}");
    ensure!(!table.exists(), "the damaged table is gone");
    let copy = copy_of(&scrub(fed)?, node)?;
    ensure!(copy["equal"] == true && copy["scrub"]["open"].is_null(), "{copy}");
    Ok(())
}

fn a_stopped_nodes_journal_is_mended_when_it_starts(fed: &Federation, node: &str) -> Result<()> {
    fed.dev("kill", node)?;
    let file = newest(&platform_dir(fed, node).join("journal"), "log")?;
    // The file that is written to: its damage keeps the journal from opening.
    let all = std::fs::read_dir(file.parent().context("folder")?)?.flatten().map(|e| e.path());
    let last = all.filter(|p| p.extension().is_some_and(|e| e == "log")).max().context("a file")?;
    let len = last.metadata()?.len();
    ensure!(len > 100, "the last file holds records: {len}");
    flip(&last, len - 40)?;
    let before = fed.platform_at(other(node), R)?;
    fed.dev("restart", node)?;
    fed.wait_platform(other(node), R, "the mended node is back in sync and open", |p| {
        let in_sync = p["backups"]
            .as_array()
            .is_some_and(|b| b.iter().all(|b| b["in_sync"] == true && b["lag_records"] == 0));
        p["state"] == "active"
            && p["durability_now"] == "replicated"
            && in_sync
            && p["records"].as_u64() >= before["records"].as_u64()
    })?;
    let text = std::fs::read_to_string(fed.node_dir(node).join("log"))?;
    ensure!(text.contains("a damaged journal is mended"), "the log of {node} names the damage");
    Ok(())
}

fn other(node: &str) -> &'static str {
    if node == BACKUP { PRIMARY } else { BACKUP }
}

fn nothing_was_lost_and_the_platform_goes_on(fed: &Federation, records: u64) -> Result<()> {
    let load = Load::start(fed, R, "AFTER", 50)?;
    load.wait_more(20)?;
    load.finish()?;
    let answer = scrub(fed)?;
    for node in [PRIMARY, BACKUP, "gz-c-1"] {
        let copy = copy_of(&answer, node)?;
        ensure!(copy["scrub"]["records"].as_u64() >= Some(records), "{copy}");
        let proof = fed.eport_at(node, &["journal", "verify", R])?.ok_json()?;
        ensure!(proof["ok"] == true, "{proof}");
    }
    let status = fed.status_at(PRIMARY)?;
    let codes: Vec<&Value> =
        status["warnings"].as_array().into_iter().flatten().map(|w| &w["code"]).collect();
    ensure!(!codes.iter().any(|c| **c == "EP1113" || **c == "EP3006"), "{codes:?}");
    let metrics = fed.http()?.get(&format!("{}/metrics", fed.api(PRIMARY)?))?.text();
    for name in ["eport_scrub_mended_total", "eport_verify_mark_index", "eport_verify_differences_total"] {
        ensure!(metrics.contains(&format!("{name}{{region=\"{R}\"}}")), "{name} in {metrics}");
    }
    Ok(())
}

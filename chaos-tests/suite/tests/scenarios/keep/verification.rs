//! Marks compared by every backup, flipped bits found and mended, on running and on stopped nodes, on backups and on the primary.

use super::{BACKUP, OTHER, PRIMARY, R, document_at, evidence, journals_verify};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use eport_suite::{Ledger, Load, starter};
use serde_json::Value;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn flipped_bits_are_found_and_mended_on_running_and_stopped_nodes_and_marks_are_compared() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let load = Load::start(fed, R, "VERIFY", 200)?;
        load.wait_more(100)?;
        let ids: Vec<String> = load.finish()?.into_iter().filter_map(|a| a.doc_id).collect();
        let records = fed.platform_at(PRIMARY, R)?["records"].as_u64().context("records")?;
        every_backup_compares_marks_that_the_primary_writes_by_itself(fed)?;
        let mut mended = [0u64; 2];
        a_running_nodes_journal_is_mended(fed, BACKUP, &mut mended[0])?;
        a_damaged_file_never_gives_wrong_bytes_and_is_mended(fed, &ids, &mut mended[1])?;
        both_look_through_their_copies_all_the_time(fed)?;
        for (node, mended) in [BACKUP, PRIMARY].into_iter().zip(&mended) {
            a_running_nodes_rows_are_made_anew(fed, node, *mended)?;
        }
        for node in [BACKUP, PRIMARY] {
            a_stopped_nodes_journal_is_mended_when_it_starts(fed, node)?;
        }
        rows_damaged_while_a_node_was_down_keep_nobody_from_following(fed)?;
        rows_damaged_while_a_backup_was_down_are_found_at_the_next_mark_and_healed(fed)?;
        what_no_other_holder_gives_is_told_until_one_comes(fed)?;
        evidence::old_files_lie_in_an_archive_that_may_be_away(fed, &mut Ledger::default())?;
        nothing_was_lost_and_the_platform_goes_on(fed, records)
    });
}

fn every_backup_compares_marks_that_the_primary_writes_by_itself(fed: &Federation) -> Result<()> {
    let config = fed.node_dir(PRIMARY).join("eportd.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, format!("{text}\n[verify]\nmark_every_s = 1\n"))?;
    fed.dev("restart", PRIMARY)?;
    fed.wait_platform(BACKUP, R, "marks compared by every copy", |p| {
        let copies = p["copies"].as_array().cloned().unwrap_or_default();
        copies.len() == 3 && copies.iter().all(|c| c["mark"].as_u64() > Some(0) && c["equal"] == true)
    })?;
    evidence::heads_are_signed_and_only_those_of_trusted_nodes_hold(fed)?;
    // What was signed by hand is marked once more, and that is signed for; then it is quiet.
    wait_for("the end of what verification writes", Duration::from_secs(60), || {
        let read = || {
            fed.wait_platform(BACKUP, R, "everybody has everything", in_sync).map_err(|e| format!("{e:#}"))
        };
        let before = read()?["records"].clone();
        std::thread::sleep(Duration::from_millis(2_500));
        let after = read()?["records"].clone();
        if before == after { Ok(()) } else { Err(format!("{before}, then {after} records")) }
    })?;
    let first = fed.platform_at(BACKUP, R)?;
    // Nothing is written: nothing is marked, or an idle platform's journal would grow for ever.
    let quiet = first["records"].clone();
    std::thread::sleep(Duration::from_millis(2_500));
    ensure!(fed.platform_at(BACKUP, R)?["records"] == quiet, "an idle platform is not marked again");
    let load = Load::start(fed, R, "MARKED", 50)?;
    load.wait_more(20)?;
    load.finish()?;
    let mark =
        |p: &Value| p["copies"].as_array().and_then(|c| c.iter().map(|c| c["mark"].as_u64()).min()).flatten();
    fed.wait_platform(BACKUP, R, "the next mark compared", |p| mark(p) > mark(&first))?;
    evidence::a_file_of_evidence_proves_one_document_offline(fed, &mut Ledger::default())
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

fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.flatten().map(|e| e.path());
    Ok(entries.filter(|p| p.extension().is_some_and(|e| e == ending)).collect())
}

fn newest(dir: &Path, ending: &str) -> Result<PathBuf> {
    let found = files(dir, ending)?.into_iter();
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
    let text = std::fs::read_to_string(fed.node_dir(node).join("log"))?;
    ensure!(text.contains("EP1113") && text.contains("journal file of record"), "the log of {node} names it");
    // The same look once more finds nothing.
    let copy = copy_of(&scrub(fed)?, node)?;
    ensure!(copy["scrub"]["found"] == *mended && copy["scrub"]["open"].is_null(), "{copy}");
    Ok(())
}

/// Reads beside the damage: every document is answered as it was, or with an error that names damage.
fn a_damaged_file_never_gives_wrong_bytes_and_is_mended(
    fed: &Federation,
    ids: &[String],
    mended: &mut u64,
) -> Result<()> {
    let (ids, http) = (&ids[..ids.len().min(100)], fed.http()?);
    let read = |id: &String| document_at(fed, &http, PRIMARY, id);
    let before: Vec<(u16, Value)> = ids.iter().map(read).collect::<Result<_>>()?;
    ensure!(before.iter().all(|(status, d)| *status == 200 && d["body"].is_object()), "{before:?}");
    let file = newest(&platform_dir(fed, PRIMARY).join("journal"), "log")?;
    let len = file.metadata()?.len();
    // The documents lie in the first part of the journal: one bit in each of eight of its pieces.
    for n in 1..=8 {
        flip(&file, len * n / 10)?;
    }
    let mut refused = 0;
    for (id, before) in ids.iter().zip(&before) {
        match read(id)? {
            (200, now) => ensure!(now["body"] == before.1["body"], "{id}: {now} was {}", before.1),
            (status, problem) => {
                refused += 1;
                ensure!(problem["code"] == "EP1107" && status == 500, "{id}: {status} {problem}");
            }
        }
    }
    ensure!(refused > 0, "no document lies where bits were flipped");
    let copy = copy_of(&scrub(fed)?, PRIMARY)?;
    *mended += 1;
    ensure!(copy["scrub"]["found"] == *mended && copy["scrub"]["mended"] == *mended, "{copy}");
    for (id, before) in ids.iter().zip(&before) {
        let now = read(id)?;
        ensure!(now.0 == 200 && now.1["body"] == before.1["body"], "{id}: {now:?}");
    }
    Ok(())
}

fn both_look_through_their_copies_all_the_time(fed: &Federation) -> Result<()> {
    for (node, section) in [(PRIMARY, ""), (BACKUP, "\n[verify]\n")] {
        let config = fed.node_dir(node).join("eportd.toml");
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, format!("{text}{section}scrub_every_s = 1\n"))?;
        fed.dev("restart", node)?;
        fed.wait_platform(other(node), R, "the node is back", in_sync)?;
    }
    Ok(())
}

/// The copy of a node as status has it, once `check` holds.
fn wait_copy(fed: &Federation, node: &str, what: &str, check: impl Fn(&Value) -> bool) -> Result<Value> {
    let find = |p: &Value| p["copies"].as_array().into_iter().flatten().find(|c| c["node"] == node).cloned();
    let p = fed.wait_platform(other(node), R, what, |p| find(p).is_some_and(|c| check(&c)))?;
    find(&p).context("the copy")
}

fn a_running_nodes_rows_are_made_anew(fed: &Federation, node: &str, mended: u64) -> Result<()> {
    wait_copy(fed, node, "a look after the start", |c| c["scrub"]["mended"].as_u64() == Some(mended))?;
    let table = newest(&platform_dir(fed, node), "sst")?;
    flip(&table, table.metadata()?.len() / 3)?;
    let copy = wait_copy(fed, node, "rows made anew", |c| {
        c["scrub"]["mended"].as_u64() == Some(mended + 1) && c["scrub"]["open"].is_null()
    })?;
    ensure!(copy["scrub"]["found"] == mended + 1, "{copy}");
    ensure!(!table.exists(), "the damaged table is gone");
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
    wait_for("the log names the damage and its end", Duration::from_secs(30), || {
        let text = std::fs::read_to_string(fed.node_dir(node).join("log")).unwrap_or_default();
        let told =
            text.contains("a damaged journal is mended") && text.contains("the journal is whole again");
        if told { Ok(()) } else { Err(format!("not in the log of {node}")) }
    })?;
    fed.wait_platform(other(node), R, "the mended node is back in sync and open", |p| {
        in_sync(p)
            && p["durability_now"] == "replicated"
            && p["records"].as_u64() >= before["records"].as_u64()
    })?;
    Ok(())
}

fn in_sync(p: &Value) -> bool {
    p["state"] == "active"
        && p["backups"]
            .as_array()
            .is_some_and(|b| b.iter().all(|b| b["in_sync"] == true && b["lag_records"] == 0))
}

/// The row that is read with every document that is applied lies in a damaged block.
fn rows_damaged_while_a_node_was_down_keep_nobody_from_following(fed: &Federation) -> Result<()> {
    // A look writes what is in memory into tables.
    let looked = wait_copy(fed, BACKUP, "a look", |c| c["scrub"]["finished"].is_string())?;
    let finished = looked["scrub"]["finished"].clone();
    let copy = wait_copy(fed, BACKUP, "another look", |c| c["scrub"]["finished"] != finished)?;
    let before = copy["scrub"]["mended"].as_u64().context("mended")?;
    fed.dev("kill", BACKUP)?;
    let row = eport_model::USAGE_KEY;
    let mut damaged = 0;
    for table in files(&platform_dir(fed, BACKUP), "sst")? {
        let bytes = std::fs::read(&table)?;
        for at in (0..bytes.len().saturating_sub(row.len())).filter(|at| bytes[*at..].starts_with(row)) {
            flip(&table, (at + row.len() + 1) as u64)?;
            damaged += 1;
        }
    }
    ensure!(damaged > 0, "the row of usage is in a table");
    fed.dev("restart", BACKUP)?;
    let load = Load::start(fed, R, "DURING", 50)?;
    load.wait_more(20)?;
    load.finish()?;
    fed.wait_platform(PRIMARY, R, "the backup has mended its rows and follows", |p| {
        let copies = p["copies"].as_array().cloned().unwrap_or_default();
        let copy = copies.iter().find(|c| c["node"] == BACKUP).cloned().unwrap_or_default();
        in_sync(p) && copy["scrub"]["mended"].as_u64() > Some(before) && copy["scrub"]["open"].is_null()
    })?;
    let copy = copy_of(&scrub(fed)?, BACKUP)?;
    ensure!(copy["equal"] == true, "{copy}");
    Ok(())
}

/// A backup whose looks come once a day: the next checksum mark meets the damage, and a look at once mends it.
fn rows_damaged_while_a_backup_was_down_are_found_at_the_next_mark_and_healed(
    fed: &Federation,
) -> Result<()> {
    // What is in memory is written into tables by a look.
    let before = copy_of(&scrub(fed)?, OTHER)?["scrub"]["mended"].as_u64().context("mended")?;
    fed.dev("kill", OTHER)?;
    let table = newest(&platform_dir(fed, OTHER), "sst")?;
    let len = table.metadata()?.len();
    flip(&table, len / 3)?;
    fed.dev("restart", OTHER)?;
    fed.wait_platform(PRIMARY, R, "the backup is back", in_sync)?;
    let load = Load::start(fed, R, "HEALED", 50)?;
    load.wait_more(20)?;
    load.finish()?;
    wait_copy(fed, OTHER, "rows healed", |c| {
        c["scrub"]["mended"].as_u64() > Some(before) && c["scrub"]["open"].is_null()
    })?;
    let name = table.file_name().and_then(|n| n.to_str()).context("name")?;
    let text = std::fs::read_to_string(fed.node_dir(OTHER).join("log"))?;
    let told = |line: &str| line.contains("EP1113") && line.contains(name);
    ensure!(text.lines().any(told), "the log of {OTHER} names {name}");
    wait_for("the end of the damaged table", Duration::from_secs(30), || {
        if table.exists() { Err(format!("{} is there", table.display())) } else { Ok(()) }
    })?;
    Ok(())
}

fn dev_links(fed: &Federation, args: &[&str]) -> Result<()> {
    fed.eport(&[&["dev"], args].concat())?.expect(0, &args.join(" "))?;
    Ok(())
}

fn warned(status: &Value, code: &str, text: &str) -> bool {
    let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().any(|w| w["code"] == code && w["text"].as_str().is_some_and(|t| t.contains(text)))
}

/// A look that nobody asked for, on a node whose site is cut off from every other holder.
fn what_no_other_holder_gives_is_told_until_one_comes(fed: &Federation) -> Result<()> {
    fed.wait_platform(PRIMARY, R, "the backup is back", in_sync)?;
    for site in ["sz-a", "gz-c"] {
        dev_links(fed, &["cut", "gz-a", site])?;
    }
    let file = newest(&platform_dir(fed, BACKUP).join("journal"), "log")?;
    flip(&file, file.metadata()?.len() / 3)?;
    fed.wait_status(BACKUP, "damage that nobody mends", |s| warned(s, "EP1113", "journal file of record"))?;
    dev_links(fed, &["heal"])?;
    fed.wait_status(BACKUP, "damage mended", |s| !warned(s, "EP1113", ""))?;
    fed.wait_platform(PRIMARY, R, "the backup has everything", in_sync)?;
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
    for node in [PRIMARY, BACKUP, OTHER] {
        let copy = copy_of(&answer, node)?;
        ensure!(copy["scrub"]["records"].as_u64() >= Some(records) && copy["equal"] == true, "{copy}");
    }
    journals_verify(fed, &[PRIMARY, BACKUP, OTHER])?;
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

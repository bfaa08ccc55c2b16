//! `eport doctor` on real processes: nothing where nothing is wrong, and each planted fault by its name; the bundle, the timeline.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for};
use eport_suite::{documents, lines, starter};
use serde_json::Value;
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Duration;

const CITY: &str = "440300";
const NODE: &str = "sz-a-1";
const SITE: &str = "sz-a";
const ELSEWHERE: &str = "gz-c-1";
const DAY_MS: i64 = 86_400_000;

#[test]
fn doctor_is_quiet_when_all_is_sound_and_names_each_planted_fault() {
    let fed = Federation::up_armed(&[]).unwrap();
    scenario(&fed).unwrap_or_else(|e| panic!("{e:#}"));
}

fn scenario(fed: &Federation) -> Result<()> {
    starter(fed)?;
    let begun = now_text()?;
    sound(fed)?;
    every_metric_is_explained(fed)?;
    a_full_disk_and_a_clock_are_named(fed)?;
    certificates_whose_renewal_is_overdue_are_named(fed)?;
    promises_that_cannot_hold_are_named(fed)?;
    a_cut_line_is_named_on_both_sides(fed)?;
    a_killed_node_and_its_lagging_backups_are_named(fed)?;
    a_tail_is_named(fed)?;
    the_bundle_holds_everything_and_no_key(fed)?;
    the_timeline_tells_it_in_order(fed, &begun)
}

fn now_text() -> Result<String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let ms = i64::try_from(since.as_millis())?;
    Ok(eport_api_types::rfc3339(eport_model::Timestamp::from_millis(ms)))
}

/// The findings, and the exit code.
fn doctor(fed: &Federation) -> Result<(i32, Vec<Value>)> {
    let ran = fed.eport_at(ELSEWHERE, &["--timeout", "60s", "doctor"])?;
    ensure!(ran.code == 0 || ran.code == 11, "{ran:?}");
    let found = ran.json()?["items"].as_array().context("items")?.clone();
    Ok((ran.code, found))
}

/// Nothing is found but that no agency is attached here, once documents are.
fn sound(fed: &Federation) -> Result<()> {
    let quiet = |f: &Value| f["severity"] == "info" || f["id"] == "messages-unrouted";
    wait_for("a sound federation", Duration::from_secs(120), || match doctor(fed) {
        Ok((_, found)) if found.iter().all(quiet) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// Waits until a finding with this id and subject is there; it names somebody and a command, in both languages.
fn named(fed: &Federation, id: &str, subject: &str) -> Result<Value> {
    let fits = |f: &&Value| f["id"] == id && f["subject"].as_str().is_some_and(|s| s.contains(subject));
    let found = wait_for(&format!("{id} of {subject}"), Duration::from_secs(120), || match doctor(fed) {
        Ok((11, found)) => found.iter().find(fits).cloned().ok_or_else(|| format!("{found:?}")),
        other => Err(format!("{other:?}")),
    })?;
    for key in ["cause", "owner", "next", "title"] {
        ensure!(found[key].as_str().is_some_and(|t| !t.is_empty()), "{key} of {found}");
    }
    let explained = fed.eport(&["explain", id])?.ok_json()?;
    ensure!(explained["runbook"].is_string() && explained["title"]["zh"].is_string(), "{explained}");
    Ok(found)
}

fn every_metric_is_explained(fed: &Federation) -> Result<()> {
    let page = fed.http()?.get(&format!("{}/metrics", fed.api(ELSEWHERE)?))?.text();
    let names: Vec<&str> =
        page.lines().filter_map(|l| l.strip_prefix("# HELP ")?.split(' ').next()).collect();
    ensure!(names.len() > 20, "{page}");
    for name in names {
        let told = fed.eport(&["explain", name])?.expect(0, name)?.json()?;
        // A page heads a counter without its ending.
        ensure!(told["metric"] == name || told["metric"] == format!("{name}_total"), "{told}");
    }
    fed.eport(&["explain", "no-such-thing"])?.expect(3, "an unknown word")?;
    Ok(())
}

fn a_full_disk_and_a_clock_are_named(fed: &Federation) -> Result<()> {
    let dir = fed.points().context("points")?.join("gz-a-2");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("disk.free"), (100u64 << 20).to_string())?;
    let full = named(fed, "disk-full", "gz-a-2")?;
    ensure!(full["severity"] == "critical" && full["owner"] == "system_administrator", "{full}");
    std::fs::remove_file(dir.join("disk.free"))?;
    fed.shift_clock("gz-a-2", 5_000)?;
    let zh = {
        named(fed, "clock-off", "gz-a-2")?;
        fed.eport(&["--lang", "zh", "doctor"])?.expect(11, "in Chinese")?.json()?
    };
    ensure!(zh["items"].to_string().contains("时钟偏差"), "{zh}");
    fed.shift_clock("gz-a-2", 0)?;
    // The node has seen the later time; within the limit of the floor it is taken back.
    sound(fed)
}

/// The asker's clock runs ahead: to it, every node's certificate is in its last days.
fn certificates_whose_renewal_is_overdue_are_named(fed: &Federation) -> Result<()> {
    fed.shift_clock("eport", 26 * DAY_MS)?;
    let ends = named(fed, "certificate-ends-soon", NODE)?;
    ensure!(ends["owner"] == "security_administrator", "{ends}");
    fed.shift_clock("eport", 400 * DAY_MS)?;
    named(fed, "certificate-expired", NODE)?;
    fed.shift_clock("eport", 0)?;
    sound(fed)
}

fn promises_that_cannot_hold_are_named(fed: &Federation) -> Result<()> {
    let policy = |durability: &str| fed.eport(&["platform", "policy", CITY, "--durability", durability]);
    policy("async")?.expect(0, "async")?;
    let weak = named(fed, "promise-weak", CITY)?;
    ensure!(weak["next"] == "eport plan backups", "{weak}");
    policy("sync")?.expect(0, "sync")?;
    sound(fed)
}

fn a_cut_line_is_named_on_both_sides(fed: &Federation) -> Result<()> {
    fed.eport(&["dev", "cut", SITE, "gz-c"])?.expect(0, "cut")?;
    named(fed, "link-cut", &format!("{NODE} → {ELSEWHERE} control"))?;
    named(fed, "link-cut", &format!("{ELSEWHERE} → {NODE} bulk"))?;
    fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
    sound(fed)
}

fn a_killed_node_and_its_lagging_backups_are_named(fed: &Federation) -> Result<()> {
    fed.dev("kill", "gz-a-2")?;
    let silent = named(fed, "node-silent", "gz-a-2")?;
    ensure!(silent["next"] == "eport node show gz-a-2", "{silent}");
    // Something to lack, for every platform that it backs up.
    for region in ["440000", "440100", CITY] {
        let file = fed.scratch().join(format!("lag-{region}.ndjson"));
        std::fs::write(&file, lines(&documents(&format!("LAG-{region}"), 5)))?;
        let path = file.to_string_lossy();
        fed.eport_at(ELSEWHERE, &["--timeout", "60s", "doc", "submit", &path, "--platform", region])?
            .expect(0, "documents")?;
    }
    named(fed, "backup-behind", "gz-a-2")?;
    fed.dev("restart", "gz-a-2")?;
    sound(fed)
}

fn a_tail_is_named(fed: &Federation) -> Result<()> {
    fed.eport(&["platform", "policy", CITY, "--durability", "async"])?.expect(0, "policy")?;
    for other in ["gz-a", "gz-c"] {
        fed.eport(&["dev", "cut", SITE, other])?.expect(0, "cut")?;
    }
    let file = fed.scratch().join("local.ndjson");
    std::fs::write(&file, lines(&documents("LOCAL", 10)))?;
    let path = file.to_string_lossy();
    fed.eport_at(NODE, &["--timeout", "60s", "doc", "submit", &path, "--platform", CITY])?
        .expect(0, "documents in the cut-off city")?;
    let failover = ["platform", "failover", CITY, "--old-primary", "unreachable", "--accept-data-loss"];
    fed.eport_at(ELSEWHERE, &[&["--timeout", "90s"], &failover[..]].concat())?.expect(0, "failover")?;
    fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
    let tail = named(fed, "tail-open", CITY)?;
    let next = tail["next"].as_str().context("next")?.to_owned();
    let words: Vec<&str> = next.split(' ').skip(1).collect();
    fed.eport_at(ELSEWHERE, &words)?.expect(0, &next)?;
    Ok(())
}

/// Lines of private keys: what must be in no bundle.
fn secrets(dir: &Path, out: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("data") {
            secrets(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "key" || e == "secret") {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            out.extend(text.lines().filter(|l| l.len() >= 32 && !l.starts_with("-----")).map(str::to_owned));
        }
    }
    Ok(())
}

fn the_bundle_holds_everything_and_no_key(fed: &Federation) -> Result<()> {
    let file = fed.scratch().join("bundle.zip");
    let path = file.to_string_lossy();
    fed.eport_at(ELSEWHERE, &["--timeout", "60s", "doctor", "--bundle", &path])?.expect(11, "bundle")?;
    let mut opened = zip::ZipArchive::new(Cursor::new(std::fs::read(&file)?))?;
    let mut planted = Vec::new();
    secrets(&fed.home(), &mut planted)?;
    ensure!(planted.len() > 5, "keys of nodes, CAs and the operator: {}", planted.len());
    let (mut whole, mut members) = (String::new(), 0);
    for i in 0..opened.len() {
        let mut text = String::new();
        opened.by_index(i)?.read_to_string(&mut text)?;
        ensure!(!planted.iter().any(|s| text.contains(s)), "a key in member {i}");
        ensure!(!text.contains("PRIVATE KEY"), "a key's armour in member {i}");
        whole.push_str(&text);
        members += 1;
    }
    ensure!(members == 5 + 3 * fed.nodes().len(), "{members}");
    for word in ["tail-open", "data_dir", "peer connected", "eport_peers_connected", "head_digest"] {
        ensure!(whole.contains(word), "{word} is not in the bundle");
    }
    fed.eport_at(ELSEWHERE, &["doctor", "--bundle", &path])?.expect(1, "a file that is there is kept")?;
    Ok(())
}

fn the_timeline_tells_it_in_order(fed: &Federation, begun: &str) -> Result<()> {
    let report = fed.scratch().join("incident.md");
    let path = report.to_string_lossy();
    let line = ["incident", "show", "--from", begun, "--markdown", &path];
    let shown = fed.eport_at(ELSEWHERE, &line)?.ok_json()?;
    let items = shown["items"].as_array().context("items")?;
    let times: Vec<&str> = items.iter().filter_map(|e| e["at"].as_str()).collect();
    ensure!(times.is_sorted() && times.len() == items.len(), "{times:?}");
    let first = |event: &str, about: &str| {
        let fits = |e: &&Value| e["event"] == event && e.to_string().contains(about);
        items.iter().position(|e| fits(&e)).with_context(|| format!("{event} {about} in {shown}"))
    };
    first("node.started", "gz-a-2")?;
    let moved = first("move.opened", "failover")?;
    ensure!(first("link.lost", NODE)? < moved, "the cut came before the move");
    let opened = items.iter().filter(|e| e["event"] == "move.opened" && e["region"] == CITY).count();
    ensure!(opened == 1, "a move stands there once, whoever tells it: {opened}");
    first("platform.role", CITY)?;
    first("tail.announced", CITY)?;
    ensure!(std::fs::read_to_string(&report)?.contains("| move | "), "the report");
    let only = fed.eport(&["incident", "show", "--from", begun, "--platform", "440100"])?.ok_json()?;
    let other = |e: &Value| e["region"].is_string() && e["region"] != "440100";
    ensure!(!only["items"].as_array().context("items")?.iter().any(other), "{only}");
    fed.eport(&["incident", "show", "--from", "yesterday"])?.expect(2, "no instant")?;
    Ok(())
}

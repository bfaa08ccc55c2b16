//! Hosting: twenty-one cities on two province nodes, quotas, what a month's account says, over real processes.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, bail, ensure};
use eport_cluster::{Federation, Reply, wait_for, with_federation};
use eport_suite::{Ledger, document, documents, lines, starter};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The prefecture cities of Guangdong by GB/T 2260.
const CITIES: [&str; 21] = [
    "440100", "440200", "440300", "440400", "440500", "440600", "440700", "440800", "440900", "441200",
    "441300", "441400", "441500", "441600", "441700", "441800", "441900", "442000", "445100", "445200",
    "445300",
];
const NODES: [&str; 2] = ["gz-a-1", "gz-b-1"];
/// Idle memory of a node with 40 platforms is bounded by 512 MiB (design §10); these nodes keep 22.
const RESIDENT_MAX_MIB: u64 = 512 * 22 / 40;
/// An idle platform takes about two MiB; before its logs took 30.
const DISK_MAX_MIB: u64 = 22 * 8;

fn host(n: usize) -> (&'static str, &'static str) {
    (NODES[n % 2], NODES[(n + 1) % 2])
}

#[test]
fn twenty_one_cities_live_on_two_province_nodes() {
    with_federation(&["--site", "gz-a=440000:1", "--site", "gz-b=440000:1"], |fed| {
        fed.eport(&["table", "import", "--starter"])?.expect(0, "starter import")?;
        for (n, city) in CITIES.iter().enumerate() {
            let (primary, backup) = host(n);
            let made = fed.eport(&["platform", "create", city, "--virtual", "--host", primary])?.ok_json()?;
            ensure!(
                made["kind"] == "virtual" && made["name_zh"].as_str().is_some_and(|z| z.ends_with('市')),
                "{made}"
            );
            fed.eport(&["platform", "policy", city, "--durability", "sync", "--k", "1", "--backup", backup])?
                .expect(0, city)?;
        }
        all_replicated(fed)?;
        let mut ledgers = Vec::new();
        for city in CITIES {
            let mut ledger = Ledger::default();
            ledger.submit(fed, city, &documents(city, 20))?;
            ledgers.push(ledger);
        }
        idle_takes_little(fed)?;
        status_is_quick(fed)?;
        every_city_has_keys_of_its_own(fed)?;
        every_city_moves(fed)?;
        a_node_is_back_soon_after_a_kill(fed)?;
        for (city, ledger) in CITIES.iter().zip(&mut ledgers) {
            ledger.submit(fed, city, &[document("LAST")])?;
            ledger.check(fed, city, true)?;
        }
        the_account_names_every_city(fed, 21)
    });
}

fn all_replicated(fed: &Federation) -> Result<()> {
    for node in NODES {
        fed.wait_status(node, "every city is replicated", |s| {
            let all = s["platforms"].as_array().cloned().unwrap_or_default();
            let fine = |p: &Value| p["durability_now"] == "replicated" && p["state"] == "active";
            CITIES.iter().all(|c| all.iter().any(|p| p["region"] == *c && fine(p)))
        })?;
    }
    Ok(())
}

fn idle_takes_little(fed: &Federation) -> Result<()> {
    for node in NODES {
        let (mib, threads, files) = process_of(fed, node)?;
        let disk = disk_mib(&fed.node_dir(node).join("data"))?;
        eprintln!("{node}: {mib} MiB resident, {threads} threads, {files} files open, {disk} MiB on disk");
        ensure!(mib <= RESIDENT_MAX_MIB, "{node}: {mib} MiB resident");
        ensure!(disk <= DISK_MAX_MIB, "{node}: {disk} MiB on disk for idle cities");
        ensure!(threads <= 22 * 3 + 16 && files <= 22 * 24 + 64, "{node}: {threads} threads, {files} files");
    }
    Ok(())
}

/// Resident MiB, threads, open files of a node's process.
fn process_of(fed: &Federation, node: &str) -> Result<(u64, usize, usize)> {
    let status = fed.eport(&["dev", "status"])?.ok_json()?;
    let found = status["nodes"].as_array().and_then(|l| l.iter().find(|n| n["node"] == node)).cloned();
    let pid = found.and_then(|n| n["pid"].as_u64()).with_context(|| format!("pid of {node} in {status}"))?;
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    let count =
        |what: &str| Ok::<_, anyhow::Error>(std::fs::read_dir(format!("/proc/{pid}/{what}"))?.count());
    Ok((kib / 1_024, count("task")?, count("fd")?))
}

fn disk_mib(folder: &std::path::Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut blocks = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file that goes away meanwhile takes nothing.
        let Ok(meta) = entry.metadata() else { continue };
        blocks += meta.blocks() * 512;
        if meta.is_dir() {
            blocks += disk_mib(&entry.path())? << 20;
        }
    }
    Ok(blocks >> 20)
}

fn status_is_quick(fed: &Federation) -> Result<()> {
    let begin = Instant::now();
    let status = fed.status_at(NODES[0])?;
    let took = begin.elapsed();
    eprintln!("status of 22 platforms: {} ms", took.as_millis());
    ensure!(status["platforms"].as_array().map(Vec::len) == Some(22), "{status}");
    ensure!(took < Duration::from_secs(5), "status took {took:?}");
    Ok(())
}

/// A key a platform, wrapped for the nodes that keep it; no two platforms share one (decision 0010).
fn every_city_has_keys_of_its_own(fed: &Federation) -> Result<()> {
    let mut checks = BTreeSet::new();
    for city in CITIES {
        let keys = fed.eport(&["platform", "keys", city])?.ok_json()?;
        let items = keys["items"].as_array().context("items")?;
        ensure!(
            items.len() == 1 && items[0]["lacking"].as_array().is_some_and(Vec::is_empty),
            "{city}: {keys}"
        );
        let holders = items[0]["holders"].to_string();
        ensure!(NODES.iter().all(|n| holders.contains(n)), "{city}: {keys}");
        checks.insert(items[0]["check"].as_str().context("what tells a key from another")?.to_owned());
    }
    ensure!(checks.len() == CITIES.len(), "two cities share a key: {checks:?}");
    Ok(())
}

fn every_city_moves(fed: &Federation) -> Result<()> {
    let mut pauses = Vec::new();
    for (n, city) in CITIES.iter().enumerate() {
        let (_, to) = host(n);
        let moved = fed.eport(&["platform", "switchover", city, "--to", to])?.expect(0, city)?.json()?;
        ensure!(moved["state"] == "done" && moved["lost_records"] == 0, "{moved}");
        pauses.push(moved["write_pause_ms"].as_f64().with_context(|| format!("write_pause_ms of {moved}"))?);
    }
    pauses.sort_by(f64::total_cmp);
    eprintln!("21 moves: pause {:.0} to {:.0} ms by the nodes' own account", pauses[0], pauses[20]);
    ensure!(pauses[20] < 2_000.0, "{pauses:?}");
    all_replicated(fed)
}

fn a_node_is_back_soon_after_a_kill(fed: &Federation) -> Result<()> {
    fed.dev("kill", NODES[0])?;
    let begin = Instant::now();
    fed.dev("restart", NODES[0])?;
    let ready = format!("{}/readyz", fed.api(NODES[0])?);
    let http = fed.http()?;
    wait_for("the node is ready", Duration::from_secs(60), || match http.get(&ready) {
        Ok(r) if r.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let took = begin.elapsed();
    eprintln!("22 platforms open and ready {} ms after the start", took.as_millis());
    ensure!(took < Duration::from_secs(15), "ready after {took:?}");
    all_replicated(fed)
}

fn the_account_names_every_city(fed: &Federation, documents: u64) -> Result<()> {
    let report = fed.eport(&["platform", "usage"])?.ok_json()?;
    ensure!(report["missing"].as_array().is_some_and(Vec::is_empty), "{report}");
    for city in CITIES {
        let found = report["items"].as_array().and_then(|l| l.iter().find(|u| u["region"] == city));
        let usage = found.with_context(|| format!("{city} in {report}"))?;
        ensure!(
            usage["documents"] == documents && usage["copies"].as_array().map(Vec::len) == Some(2),
            "{usage}"
        );
    }
    let csv = fed.command(&["platform", "usage", "--csv"]).output()?;
    let text = String::from_utf8_lossy(&csv.stdout).into_owned();
    ensure!(
        text.lines().count() == 23 && text.starts_with("region,month,requests,documents,bytes_in,"),
        "{text}"
    );
    Ok(())
}

const CITY: &str = "440500";
const OTHER: &str = "440100";

#[test]
fn a_quota_holds_on_every_node_and_loses_nothing_and_the_account_survives_kills_and_moves() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("FIRST", 30))?;
        a_flood_is_told_when_to_come_back(fed)?;
        a_full_disk_quota_keeps_what_was_answered(fed, &mut ledger)?;
        the_account_survives(fed, &mut ledger)
    });
}

fn lodge(fed: &Federation, node: &str, region: &str, reference: &str) -> Result<Reply> {
    fed.http()?.post(&format!("{}/v1/platforms/{region}/documents", fed.api(node)?), &document(reference))
}

fn quota(fed: &Federation, args: &[&str]) -> Result<Value> {
    let mut line = vec!["platform", "quota", CITY];
    line.extend(args);
    fed.eport(&line)?.expect(0, "platform quota")?.json()
}

fn a_flood_is_told_when_to_come_back(fed: &Federation) -> Result<()> {
    let none = quota(fed, &[])?;
    ensure!(none["version"] == 0 && none["requests_per_s"].is_null(), "{none}");
    let planned = quota(fed, &["--requests-per-s", "2", "--burst", "5", "--dry-run"])?;
    ensure!(planned["dry_run"] == true && quota(fed, &[])?["version"] == 0, "{planned}");
    quota(fed, &["--requests-per-s", "2", "--burst", "5"])?;
    let primary = fed.platform_at("gz-a-1", CITY)?["primary"].as_str().context("primary")?.to_owned();
    // The primary, a backup that forwards, and a node that may keep nothing of it.
    for node in [primary.as_str(), "gz-c-1", "sz-a-1"] {
        fed.wait_platform(node, CITY, "has the quota", |p| p["quota"]["burst"] == 5)?;
        let mut refused = None;
        for n in 0..40 {
            let reply = lodge(fed, node, CITY, &format!("FLOOD-{node}-{n}"))?;
            match reply.status {
                201 => {}
                429 => {
                    refused = Some(reply);
                    break;
                }
                _ => bail!("{node}: {} {}", reply.status, reply.text()),
            }
        }
        let refused =
            refused.with_context(|| format!("{node} let 40 requests at once through a burst of 5"))?;
        ensure!(refused.code() == "EP2060", "{}", refused.text());
        let wait = refused.retry_after.with_context(|| format!("Retry-After of {}", refused.text()))?;
        ensure!((1..=5).contains(&wait), "Retry-After {wait}");
        ensure!(
            lodge(fed, node, OTHER, &format!("BESIDE-{node}"))?.status == 201,
            "another platform has no quota"
        );
        let after = wait_for("the time of Retry-After", Duration::from_secs(30), || {
            match lodge(fed, node, CITY, &format!("LATER-{node}")) {
                Ok(r) if matches!(r.status, 200 | 201) => Ok(r),
                other => Err(format!("{other:?}")),
            }
        })?;
        ensure!(after.json()?["doc_id"].is_string(), "{}", after.text());
    }
    // A batch counts once a document; it is let in whole or not at all.
    let batch = format!("{}/v1/platforms/{CITY}/documents:batch", fed.api(&primary)?);
    let http = fed.http()?;
    let mut seen = BTreeSet::new();
    for n in 0..6 {
        let body = lines(&documents(&format!("BATCH{n}"), 50));
        let reply = http.send("POST", &batch, "application/x-ndjson", body)?;
        seen.insert(reply.status);
        ensure!(reply.status == 200 || reply.code() == "EP2060", "{}", reply.text());
    }
    ensure!(seen.contains(&429), "300 documents at once passed a burst of 5");
    let metrics = http.get(&format!("{}/metrics", fed.api(&primary)?))?.text();
    let line = metrics.lines().find(|l| {
        l.starts_with("eport_platform_refused_total{") && l.contains("quota=\"requests\"") && l.contains(CITY)
    });
    ensure!(line.is_some_and(|l| !l.ends_with(" 0")), "{line:?}");
    // Two operators who saw the same quota: one wins. A wrong bound changes nothing.
    let stale = json!({"requests_per_s": 9, "expected_version": 0});
    let url = format!("{}/v1/platforms/{CITY}/quota", fed.api("gz-a-1")?);
    let conflict = http.send("PUT", &url, "application/json", stale.to_string())?;
    ensure!((conflict.status, conflict.code().as_str()) == (409, "EP2001"), "{}", conflict.text());
    fed.eport(&["platform", "quota", CITY, "--disk-bytes", "1"])?.expect(7, "a bound below any platform")?;
    fed.eport(&["platform", "quota", "441900", "--clear"])?.expect(3, "an unknown platform")?;
    quota(fed, &["--clear"]).map(|_| ())
}

fn a_full_disk_quota_keeps_what_was_answered(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    quota(fed, &["--disk-bytes", "24MiB"])?;
    let primary = fed.platform_at("gz-a-1", CITY)?["primary"].as_str().context("primary")?.to_owned();
    fed.wait_platform(&primary, CITY, "has the quota of disk", |p| p["quota"]["disk_bytes"] == 24 << 20)?;
    let url = format!("{}/v1/platforms/{CITY}/documents:batch", fed.api(&primary)?);
    let http = fed.http()?;
    let mut full = false;
    for part in 0..60 {
        let sent = documents(&format!("FILL{part}"), 1_000);
        let reply = http.send("POST", &url, "application/x-ndjson", lines(&sent))?;
        ensure!(reply.status == 200, "{}", reply.text());
        let answers = reply.lines()?;
        ledger.note_batch(&sent, &answers)?;
        let codes: BTreeSet<&str> = answers.iter().filter_map(|a| a["code"].as_str()).collect();
        ensure!(codes.is_empty() || codes == BTreeSet::from(["EP2062"]), "{codes:?}");
        full = answers.iter().any(|a| a["status"] == 507);
        if full {
            break;
        }
    }
    ensure!(full, "60 000 documents fit into 24 MiB");
    let shown = fed.platform_at(&primary, CITY)?;
    ensure!(shown["state"] == "active" && shown["disk_bytes"].as_u64() >= Some(24 << 20), "{shown}");
    // Read, repeated and moved as before; only new is refused.
    let repeated = lodge(fed, &primary, CITY, "FIRST-000001")?;
    ensure!(repeated.status == 200, "{}", repeated.text());
    let refused = lodge(fed, "sz-a-1", CITY, "NEW")?;
    ensure!((refused.status, refused.code().as_str()) == (507, "EP2062"), "{}", refused.text());
    ensure!(lodge(fed, &primary, OTHER, "BESIDE-DISK")?.status == 201, "another platform has room");
    quota(fed, &["--disk-bytes", "1GiB"])?;
    wait_for("room after the quota was raised", Duration::from_secs(30), || {
        match lodge(fed, &primary, CITY, "NEW") {
            Ok(r) if r.status == 201 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    ledger.check(fed, CITY, false)
}

fn account(fed: &Federation, node: &str) -> Result<Value> {
    let report = fed.eport_at(node, &["platform", "usage", CITY])?.ok_json()?;
    report["items"]
        .as_array()
        .and_then(|l| l.first().cloned())
        .with_context(|| format!("an item in {report}"))
}

/// Documents that the platform holds, by itself.
fn held(fed: &Federation, node: &str) -> Result<u64> {
    let count = fed.eport_at(node, &["doc", "list", "--platform", CITY, "--count"])?.ok_json()?;
    count["count"].as_u64().context("count")
}

fn the_account_survives(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let before = account(fed, "gz-a-1")?;
    let number =
        |usage: &Value, field: &str| usage[field].as_u64().with_context(|| format!("{field} of {usage}"));
    ensure!(number(&before, "documents")? == held(fed, "gz-a-1")?, "{before}");
    ensure!(number(&before, "requests")? >= number(&before, "documents")?, "{before}");
    ensure!(before["copies"].as_array().map(Vec::len) == Some(3), "{before}");
    // Killed and started again: nothing forgotten, nothing counted twice.
    let primary = fed.platform_at("gz-a-1", CITY)?["primary"].as_str().context("primary")?.to_owned();
    let asked = if primary == "gz-a-1" { "gz-c-1" } else { "gz-a-1" };
    fed.dev("kill", &primary)?;
    fed.dev("restart", &primary)?;
    let again = wait_for("the account after a kill", Duration::from_secs(60), || {
        account(fed, asked).map_err(|e| format!("{e:#}"))
    })?;
    for field in ["documents", "bytes_in"] {
        ensure!(again[field] == before[field], "{field}: {before} and after the kill {again}");
    }
    ensure!(number(&again, "requests")? >= number(&again, "documents")?, "{again}");
    // Killed for good: the new primary has the same account.
    fed.dev("kill", &primary)?;
    fed.eport_at(asked, &["platform", "failover", CITY, "--old-primary", "stopped"])?
        .expect(0, "failover")?;
    let moved = wait_for("the account after a failover", Duration::from_secs(60), || {
        account(fed, asked).map_err(|e| format!("{e:#}"))
    })?;
    for field in ["documents", "bytes_in"] {
        ensure!(moved[field] == before[field], "{field}: {before} and after the failover {moved}");
    }
    // The old primary comes back, follows, and takes the platform again; repeats add requests, never documents.
    fed.dev("restart", &primary)?;
    ledger.submit(fed, CITY, &documents("FIRST", 30))?;
    ledger.submit(fed, CITY, &documents("SECOND", 10))?;
    fed.wait_platform(asked, CITY, "has its old primary in sync", |p| {
        let backups = p["backups"].as_array().cloned().unwrap_or_default();
        backups.iter().any(|b| b["node"] == primary.as_str() && b["in_sync"] == true && b["lag_records"] == 0)
    })?;
    fed.eport_at(asked, &["platform", "switchover", CITY, "--to", &primary])?.expect(0, "back")?;
    let last = wait_for("the account after the way back", Duration::from_secs(60), || {
        account(fed, asked).map_err(|e| format!("{e:#}"))
    })?;
    ensure!(number(&last, "documents")? == number(&before, "documents")? + 10, "{before} and {last}");
    ensure!(number(&last, "documents")? == held(fed, asked)?, "{last}");
    ensure!(number(&last, "requests")? >= number(&moved, "requests")? + 40, "{moved} and {last}");
    eport_suite::proof_of_equality(fed, CITY, 3)?;
    let none = fed.eport(&["platform", "usage", CITY, "--month", "2001-01"])?.ok_json()?;
    ensure!(none["items"][0]["documents"] == 0, "{none}");
    fed.eport(&["platform", "usage", "--month", "January"])?.expect(2, "no month")?;
    ledger.check(fed, CITY, false)
}

#[test]
fn a_hosted_city_has_keys_and_backups_of_its_own() {
    with_federation(&[], |fed| {
        starter(fed)?;
        for (city, reference) in [(CITY, "OWN"), (OTHER, "FOREIGN")] {
            Ledger::default().submit(fed, city, &documents(reference, 5))?;
        }
        let check = |city: &str| -> Result<String> {
            let keys = fed.eport(&["platform", "keys", city])?.ok_json()?;
            Ok(keys["items"][0]["check"].as_str().with_context(|| format!("check in {keys}"))?.to_owned())
        };
        ensure!(check(CITY)? != check(OTHER)?, "two cities share a key");
        let path = |name: &str| fed.scratch().join(name).to_string_lossy().into_owned();
        let (key, set, others) = (path("recovery.key"), path("set"), path("others"));
        fed.eport(&["backup", "key", "--out", &key])?.expect(0, "recovery key")?;
        wait_for("every data key is wrapped for the recovery key", Duration::from_secs(30), || {
            let keys = fed
                .eport(&["platform", "keys", CITY])
                .and_then(|r| r.ok_json())
                .map_err(|e| format!("{e:#}"))?;
            let lacking = keys["items"][0]["lacking"].as_array().is_some_and(Vec::is_empty);
            if lacking { Ok(()) } else { Err(keys.to_string()) }
        })?;
        fed.eport(&["backup", "create", "--dir", &set, "--platform", "441900"])?
            .expect(3, "an unknown platform")?;
        let regions = |made: &Value| -> Vec<String> {
            let parts = made["platforms"].as_array().into_iter().flatten();
            parts.filter_map(|p| p["region"].as_str().map(str::to_owned)).collect()
        };
        let made = fed.eport(&["backup", "create", "--dir", &set, "--platform", CITY, "--test", &key])?;
        let made = made.expect(0, "a set of its own")?.json()?;
        ensure!(regions(&made) == [CITY], "{made}");
        let next = fed.eport(&["backup", "create", "--dir", &set, "--platform", CITY])?.ok_json()?;
        ensure!(next["full"] == false && regions(&next) == [CITY], "{next}");
        let other = fed.eport(&["backup", "create", "--dir", &others, "--platform", OTHER])?.ok_json()?;
        ensure!(regions(&other) == [OTHER], "{other}");
        let restore = |city: &str, to: &str| {
            let to = path(to);
            fed.eport(&["backup", "restore", city, "--dir", &set, "--to", &to, "--recovery-key", &key])
        };
        let restored = restore(CITY, "restored")?.expect(0, "restored from its own set")?.json()?;
        ensure!(restored["platforms"][0]["readable"] == true, "{restored}");
        ensure!(restore(OTHER, "foreign")?.code != 0, "another city was restored from this city's set");
        Ok(())
    });
}

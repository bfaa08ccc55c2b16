//! Backups that a node makes by schedule: alarms, a kill in the middle of one, retention, restore tests, a damaged file, and the
//! node's disk lost and restored from the last of them (decision 0027).

use super::lodge;
use anyhow::{Context, Result, ensure};
use eport_cluster::{Daemon, Federation, wait_for};
use eport_suite::newcomer;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The node that backs itself up, loses its disk and comes back under another id.
const NODE: &str = "sz-a-1";
const AGAIN: &str = "sz-a-2";
/// Its platform, and a node that answers questions meanwhile.
const R: &str = "440300";
const OTHER: &str = "gz-a-1";
/// A backup every second, a full one every six; each is tested.
const SECTION: &str = r#"
[backup]
schedule = "1s"
full_every = "6s"
restore_test = "1s"
keep = { last = 2, days = 0, weeks = 0 }
reserve_mib = 16
"#;

const SOON: Duration = Duration::from_secs(40);

pub fn the_whole_story(fed: &Federation) -> Result<()> {
    fed.eport(&["table", "import", "--starter"])?.expect(0, "starter")?;
    lodge(fed, "SET-1")?;
    without_a_recovery_key_every_node_says_what_is_wrong(fed)?;
    let key = fed.scratch().join("recovery.key").display().to_string();
    fed.eport(&["backup", "key", "--out", &key])?.expect(0, "recovery key")?;
    backups_are_made_tested_and_thinned_out(fed)?;
    a_kill_in_the_middle_of_one_leaves_whole_ones_only(fed, &key)?;
    a_damaged_file_is_found_by_the_restore_test_and_the_next_chain_is_good_again(fed)?;
    the_disk_is_lost_and_restored_from_the_last_backup(fed, &key)
}

fn target(fed: &Federation) -> PathBuf {
    fed.scratch().join("sets").join(NODE)
}

/// What a node tells of the backups.
fn set(fed: &Federation) -> Result<Value> {
    let page = fed.eport_at(OTHER, &["backup", "status"])?.ok_json()?;
    let items = page["items"].as_array().context("items")?;
    items.iter().find(|i| i["node"] == NODE).cloned().with_context(|| format!("{NODE} in {page}"))
}

fn wait_set(fed: &Federation, what: &str, check: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(what, SOON, || match set(fed) {
        Ok(s) if check(&s) => Ok(s),
        Ok(s) => Err(s.to_string()),
        Err(e) => Err(format!("{e:#}")),
    })
}

fn newest(set: &Value) -> u64 {
    set["newest"]["backup"].as_str().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn warned(status: &Value, code: &str) -> bool {
    let named = |w: &Value| w["code"] == code && w["text"].as_str().is_some_and(|t| t.contains(NODE));
    status["warnings"].as_array().is_some_and(|w| w.iter().any(named))
}

fn without_a_recovery_key_every_node_says_what_is_wrong(fed: &Federation) -> Result<()> {
    let config = fed.node_dir(NODE).join("eportd.toml");
    let place = fed.scratch().join("sets");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, format!("{text}{SECTION}target = {:?}\n", place.display().to_string()))?;
    fed.dev("kill", NODE)?;
    fed.dev("restart", NODE)?;
    fed.wait_status(OTHER, "the failed backup is told", |s| warned(s, "EP8007"))?;
    let told = wait_set(fed, "failures", |s| s["failures"].as_u64() > Some(0))?;
    ensure!(told["newest"].is_null() && told["troubles"].to_string().contains("EP8002"), "{told}");
    Ok(())
}

fn backups_are_made_tested_and_thinned_out(fed: &Federation) -> Result<()> {
    let told = wait_set(fed, "a tested backup without any trouble", |s| {
        newest(s) > 0
            && s["restore_test"]["passed"] == true
            && s["troubles"].as_array().is_some_and(Vec::is_empty)
    })?;
    ensure!(told["restore_test"]["records"].as_u64() > Some(1), "{told}");
    lodge(fed, "SET-2")?;
    wait_set(fed, "retention", |s| newest(s) > 6 && !target(fed).join("000001").exists())?;
    let metrics = fed.http()?.get(&format!("{}/metrics", fed.api(NODE)?))?.text();
    let value = |name: &str| -> Result<i64> {
        let line =
            metrics.lines().find(|l| l.starts_with(name)).with_context(|| format!("{name} in {metrics}"))?;
        Ok(line.split_whitespace().nth(1).context("value")?.parse()?)
    };
    ensure!((0..120).contains(&value("eport_scheduled_backup_age_seconds")?));
    ensure!((0..120).contains(&value("eport_restore_test_age_seconds")?));
    ensure!(value("eport_restore_test_failed")? == 0 && value("eport_scheduled_backup_failures")? == 0);
    Ok(())
}

fn verify(fed: &Federation, key: &str) -> Result<Value> {
    let dir = target(fed).display().to_string();
    let ran = fed.eport_at(OTHER, &["backup", "verify", "--dir", &dir, "--recovery-key", key])?;
    ran.json().with_context(|| format!("{ran:?}"))
}

fn a_kill_in_the_middle_of_one_leaves_whole_ones_only(fed: &Federation, key: &str) -> Result<()> {
    let stop = fed.arm(NODE, "backup.manifest.before", "stop")?;
    ensure!(stop.wait(SOON), "no backup came to its end");
    fed.dev("kill", NODE)?;
    let broken = unfinished(fed)?.context("files of the interrupted backup")?;
    ensure!(target(fed).join(&broken).join("registry.epb").exists(), "all but the manifest was written");
    let sound = verify(fed, key)?;
    ensure!(sound["ok"] == true && sound["restore_test"]["platforms"].is_array(), "{sound}");
    let dir = target(fed).display().to_string();
    let listed = fed.eport_at(OTHER, &["backup", "list", "--dir", &dir])?.ok_json()?;
    let names: Vec<&str> =
        listed["items"].as_array().into_iter().flatten().filter_map(|i| i["backup"].as_str()).collect();
    ensure!(!names.is_empty() && !names.contains(&broken.as_str()), "{names:?} {broken}");
    stop.release();
    fed.dev("restart", NODE)?;
    let number: u64 = broken.parse()?;
    wait_set(fed, "the next backup", |s| newest(s) > number && s["restore_test"]["passed"] == true)?;
    ensure!(!target(fed).join(&broken).exists(), "what was left is swept away");
    Ok(())
}

/// The folder of a backup without manifest.
fn unfinished(fed: &Federation) -> Result<Option<String>> {
    for entry in std::fs::read_dir(target(fed))? {
        let path = entry?.path();
        let whole = ["manifest.json", "pruned.json"].iter().any(|f| path.join(f).exists());
        if path.is_dir() && !whole {
            return Ok(path.file_name().map(|n| n.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn a_damaged_file_is_found_by_the_restore_test_and_the_next_chain_is_good_again(
    fed: &Federation,
) -> Result<()> {
    let mut damaged = Vec::new();
    let told = wait_for("the restore test names a damaged file", SOON, || {
        // The node builds a new chain every few seconds: the first segments of whichever is current.
        damaged.extend(damage_full(fed).map_err(|e| format!("{e:#}"))?);
        let status = fed.status_at(OTHER).map_err(|e| format!("{e:#}"))?;
        let found = status["warnings"].as_array().into_iter().flatten().find(|w| w["code"] == "EP8008");
        found.cloned().ok_or_else(|| format!("{damaged:?} {}", status["warnings"]))
    })?;
    let text = told["text"].as_str().context("text")?;
    ensure!(text.contains(NODE) && damaged.iter().any(|f| text.contains(f.as_str())), "{told} {damaged:?}");
    wait_set(fed, "a good chain again", |s| {
        s["restore_test"]["passed"] == true && s["troubles"].as_array().is_some_and(Vec::is_empty)
    })?;
    Ok(())
}

/// Turns a bit in the first segment of the newest full backup; its name, unless that was done before.
fn damage_full(fed: &Federation) -> Result<Option<String>> {
    let dir = target(fed).display().to_string();
    let listed = fed.eport_at(OTHER, &["backup", "list", "--dir", &dir])?.ok_json()?;
    let full = listed["items"].as_array().into_iter().flatten().rfind(|i| i["full"] == true);
    let Some(name) = full.and_then(|i| i["backup"].as_str()) else { return Ok(None) };
    let file = target(fed).join(name).join(format!("{R}-{:020}.epb", 1));
    let marker = fed.scratch().join(format!("damaged-{name}"));
    if marker.exists() || !file.exists() {
        return Ok(None);
    }
    std::fs::write(&marker, b"")?;
    flip(&file)?;
    Ok(Some(format!("{name}/{R}-{:020}.epb", 1)))
}

fn flip(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(std::fs::write(file, bytes)?)
}

fn the_disk_is_lost_and_restored_from_the_last_backup(fed: &Federation, key: &str) -> Result<()> {
    let last = lodge(fed, "SET-LAST")?;
    let seen = newest(&set(fed)?);
    wait_set(fed, "a tested backup with the last document", |s| {
        newest(s) > seen + 1 && s["restore_test"]["passed"] == true
    })?;
    fed.dev("kill", NODE)?;
    std::fs::remove_dir_all(fed.node_dir(NODE).join("data"))?;
    let failover = ["platform", "failover", R, "--old-primary", "stopped"];
    wait_for("another node serves the platform", SOON, || match fed.eport_at(OTHER, &failover) {
        Ok(ran) if ran.code == 0 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let sound = verify(fed, key)?;
    ensure!(sound["ok"] == true, "{sound}");
    let (from, to) = (target(fed).display().to_string(), fed.scratch().join("restored"));
    let out = to.display().to_string();
    // With the key of the node itself, which does not lie in the data directory: the recovery key stays offline.
    let tls = fed.node_dir(NODE).join("tls");
    let own = [tls.join("node-vault.key"), tls.join("node-vault.secret")].map(|p| p.display().to_string());
    let restore =
        ["backup", "restore", "--dir", &from, "--to", &out, "--recovery-key", &own[0], "--secret", &own[1]];
    let restored = fed.eport_at(OTHER, &restore)?.ok_json()?;
    let of = |r: &Value, region: &str| {
        r["platforms"].as_array().into_iter().flatten().find(|p| p["region"] == region).cloned()
    };
    let city = of(&restored, R).context("the city's platform")?;
    ensure!(city["readable"] == true && city["equal"] == true, "{restored}");
    let daemon = it_joins_again_with_what_was_restored(fed, &to)?;
    let shown = fed.eport_at(OTHER, &["doc", "show", &last, "--platform", R])?.ok_json()?;
    ensure!(shown["client_ref"] == "SET-LAST", "{shown}");
    drop(daemon);
    one_damaged_file_is_named_and_nothing_is_restored_from_it(fed, key)
}

/// The restored journals lie in the new data directory before the first start; only what is new is shipped.
fn it_joins_again_with_what_was_restored(fed: &Federation, restored: &Path) -> Result<Daemon> {
    let (cert, key) = newcomer(fed, AGAIN, R)?;
    let path = |name: &str| fed.scratch().join(name).display().to_string();
    let (old, config, data) = (
        fed.node_dir(NODE).join("eportd.toml").display().to_string(),
        path("again.toml"),
        path("again-data"),
    );
    let rejoin = [
        "node",
        "rejoin",
        "--config",
        &old,
        "--node",
        AGAIN,
        "--node-cert",
        &cert,
        "--node-key",
        &key,
        "--data-dir",
        &data,
        "--config-out",
        &config,
    ];
    fed.eport_at(OTHER, &rejoin)?.expect(0, "rejoin")?;
    std::fs::create_dir_all(&data)?;
    std::fs::rename(restored.join("platform"), Path::new(&data).join("platform"))?;
    let daemon = fed.daemon(Path::new(&config), &fed.scratch().join("again.log"))?;
    fed.wait_status(OTHER, "the restored journal is there", |s| {
        let kept = |k: &Value| k["node"] == AGAIN && k["region"] == R;
        let reads = |n: &Value| n["node"] == AGAIN && n["reads"].is_u64();
        s["kept_journals"].as_array().is_some_and(|k| k.iter().any(kept))
            && s["nodes"].as_array().is_some_and(|n| n.iter().any(reads))
    })?;
    let primary = fed.platform_at(OTHER, R)?["primary"].as_str().context("primary")?.to_owned();
    let policy = ["platform", "policy", R, "--durability", "sync", "--k", "1", "--backup", AGAIN];
    ensure!(primary != AGAIN);
    fed.eport_at(OTHER, &policy)?.expect(0, "policy")?;
    fed.wait_platform(OTHER, R, "has the restored node in sync", |p| {
        p["backups"].as_array().is_some_and(|b| {
            b.iter().any(|b| b["node"] == AGAIN && b["in_sync"] == true && b["lag_records"] == 0)
        })
    })?;
    let equal =
        fed.eport_at(OTHER, &["--timeout", "60s", "platform", "verify", R])?.expect(0, "verify")?.json()?;
    let mine = equal["replicas"].as_array().into_iter().flatten().find(|r| r["node"] == AGAIN);
    ensure!(mine.is_some_and(|r| r["equal"] == true && r["digest"].is_string()), "{equal}");
    Ok(daemon)
}

fn one_damaged_file_is_named_and_nothing_is_restored_from_it(fed: &Federation, key: &str) -> Result<()> {
    let dir = target(fed).display().to_string();
    let listed = fed.eport_at(OTHER, &["backup", "list", "--dir", &dir])?.ok_json()?;
    let name = listed["items"].as_array().and_then(|l| l.last()).and_then(|i| i["backup"].as_str());
    let name = name.context("a backup")?.to_owned();
    flip(&target(fed).join(&name).join("registry.epb"))?;
    let ran =
        fed.eport_at(OTHER, &["backup", "verify", "--dir", &dir])?.expect(11, "damage is a difference")?;
    let problems = ran.json()?["problems"].clone();
    let one = problems.as_array().filter(|p| p.len() == 1).with_context(|| problems.to_string())?;
    ensure!(one[0]["backup"] == name.as_str() && one[0]["file"] == "registry.epb", "{problems}");
    let out = fed.scratch().join("never").display().to_string();
    let refused =
        fed.eport_at(OTHER, &["backup", "restore", "--dir", &dir, "--to", &out, "--recovery-key", key])?;
    ensure!(refused.code == 11 && refused.error_code() == "EP8001", "{refused:?}");
    Ok(())
}

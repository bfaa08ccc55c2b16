//! Encryption at rest and backups over real processes (security.md, threat 16).

mod scheduled;

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a trader lodged and nobody may find on a disk.
const SECRETS: [&str; 3] = ["SECRET-REF", "ZZSU7654321999", "98765.43219"];

#[test]
fn nothing_a_trader_lodged_stands_readable_on_any_disk_and_everything_is_restored_from_a_backup() {
    with_federation(&[], |fed| {
        fed.eport(&["table", "import", "--starter"])?.expect(0, "starter")?;
        let first = lodge(fed, "SECRET-REF-1")?;
        read_back(fed, "440300", &first)?;
        backups_are_incremental_tested_and_restored_to_a_point(fed)?;
        after_a_rotation_and_a_failover_everything_is_still_read(fed, &first)?;
        a_copied_data_directory_opens_nothing(fed)?;
        no_disk_holds_it(fed)
    });
}

#[test]
fn a_node_backs_itself_up_tests_what_it_made_thins_it_out_and_comes_back_from_it_after_its_disk_is_lost() {
    eport_cluster::Federation::up_armed(&[])
        .and_then(|fed| scheduled::the_whole_story(&fed).inspect_err(|_| eprintln!("{}", fed.logs())))
        .unwrap_or_else(|e| panic!("{e:#}"));
}

/// Lodges one document on 440300 and answers its number.
fn lodge(fed: &Federation, reference: &str) -> Result<String> {
    let document = format!(
        r#"{{"doc_type":"arrival_report","doc_version":1,"client_ref":"{reference}","function_code":"2",
        "body":{{"customs_office":"5101","ship_id":"UN9074729","voyage_no":"025E","bill_no":"ZZSU7654321999",
        "port":"CNCAN","arrived_at":"2018-01-10T08:30:00+08:00","containers":["CSQU3054383"],"packages":120,
        "gross_weight_kg":"98765.43219"}}}}"#
    );
    let path = fed.scratch().join(format!("{reference}.json"));
    std::fs::write(&path, document)?;
    let file = path.to_string_lossy().into_owned();
    let lodged = wait_for("the document is stored", Duration::from_secs(60), || {
        match fed.eport(&["doc", "submit", &file, "--platform", "440300"]) {
            Ok(ran) if ran.code == 0 => ran.json().map_err(|e| format!("{e:#}")),
            Ok(ran) => Err(format!("{ran:?}")),
            Err(e) => Err(format!("{e:#}")),
        }
    })?;
    let id = lodged["doc_id"].as_str().or_else(|| lodged["items"][0]["doc_id"].as_str());
    Ok(id.with_context(|| format!("doc_id in {lodged}"))?.to_owned())
}

fn read_back(fed: &Federation, platform: &str, id: &str) -> Result<()> {
    let shown = fed.eport(&["doc", "show", id, "--platform", platform])?.ok_json()?;
    ensure!(shown["body"]["bill_no"] == "ZZSU7654321999", "{shown}");
    ensure!(shown["client_ref"].as_str().is_some_and(|r| r.starts_with("SECRET-REF")), "{shown}");
    Ok(())
}

fn backups_are_incremental_tested_and_restored_to_a_point(fed: &Federation) -> Result<()> {
    let path = |name: &str| fed.scratch().join(name).to_string_lossy().into_owned();
    let (dir, key) = (path("backups"), path("recovery.key"));
    fed.eport(&["backup", "create", "--dir", &dir])?.expect(6, "no recovery key yet")?;
    fed.eport(&["backup", "key", "--out", &key])?.expect(0, "recovery key")?;
    wait_for("every data key is wrapped for the recovery key", Duration::from_secs(30), || {
        let keys = keys_of(fed).map_err(|e| format!("{e:#}"))?;
        let held = |k: &Value| k["lacking"].as_array().is_some_and(Vec::is_empty);
        if keys.iter().all(held) { Ok(()) } else { Err(format!("{keys:?}")) }
    })?;
    let full = fed.eport(&["backup", "create", "--dir", &dir, "--test", &key])?.expect(0, "full")?.json()?;
    ensure!(full["full"] == true && full["restore_test"]["platforms"].is_array(), "{full}");
    let before = end_of(&full)?;
    lodge(fed, "SECRET-REF-2")?;
    let next = fed.eport(&["backup", "create", "--dir", &dir])?.expect(0, "incremental")?.json()?;
    ensure!(next["full"] == false, "{next}");
    ensure!(end_of(&next)?.1 > before.1, "{next}");
    let verified = fed.eport(&["backup", "verify", "--dir", &dir, "--recovery-key", &key])?;
    ensure!(verified.expect(0, "verify")?.json()?["ok"] == true);
    let at = format!("{}:{}", before.0, before.1);
    let to = path("restored");
    let restored = fed
        .eport(&[
            "backup",
            "restore",
            "440300",
            "--dir",
            &dir,
            "--to",
            &to,
            "--recovery-key",
            &key,
            "--at",
            &at,
        ])?
        .expect(0, "restore to a point")?
        .json()?;
    let platform = &restored["platforms"][0];
    ensure!(platform["last"].as_u64() == Some(before.1) && platform["readable"] == true, "{restored}");
    let listed = fed.eport(&["backup", "list", "--dir", &dir])?.ok_json()?;
    ensure!(listed["items"].as_array().is_some_and(|l| l.len() == 2), "{listed}");
    Ok(())
}

/// Epoch and index where a backup of 440300 ends.
fn end_of(backup: &Value) -> Result<(u64, u64)> {
    let platforms = backup["platforms"].as_array().into_iter().flatten();
    let part = platforms.into_iter().find(|p| p["region"] == "440300").context("440300 in the backup")?;
    Ok((part["epoch"].as_u64().context("epoch")?, part["last"].as_u64().context("last")?))
}

fn keys_of(fed: &Federation) -> Result<Vec<Value>> {
    let page = fed.eport(&["platform", "keys", "440300"])?.ok_json()?;
    Ok(page["items"].as_array().context("items")?.clone())
}

fn after_a_rotation_and_a_failover_everything_is_still_read(fed: &Federation, first: &str) -> Result<()> {
    fed.eport(&["platform", "keys", "440300", "--rotate"])?.expect(0, "rotation")?;
    wait_for("the second data key", Duration::from_secs(30), || {
        let keys = keys_of(fed).map_err(|e| format!("{e:#}"))?;
        if keys.len() == 2 { Ok(()) } else { Err(format!("{keys:?}")) }
    })?;
    let second = lodge(fed, "SECRET-REF-3")?;
    let old = fed.platform_at("gz-a-1", "440300")?["primary"].as_str().context("primary")?.to_owned();
    fed.dev("kill", &old)?;
    fed.eport_at("gz-a-1", &["platform", "failover", "440300", "--old-primary", "stopped"])?
        .expect(0, "failover")?;
    for id in [first, &second] {
        wait_for("the new primary reads it", Duration::from_secs(60), || {
            read_back_at(fed, "gz-a-1", id).map_err(|e| format!("{e:#}"))
        })?;
    }
    Ok(())
}

fn read_back_at(fed: &Federation, node: &str, id: &str) -> Result<()> {
    let shown = fed.eport_at(node, &["doc", "show", id, "--platform", "440300"])?.ok_json()?;
    ensure!(shown["body"]["bill_no"] == "ZZSU7654321999", "{shown}");
    Ok(())
}

/// A thief with a copy of a data directory and a node certificate of his own has no node key.
fn a_copied_data_directory_opens_nothing(fed: &Federation) -> Result<()> {
    let node = fed.node_dir("gz-a-1");
    for (name, inside) in [("node-vault.key", "data"), ("node-vault.secret", "data")] {
        ensure!(node.join("tls").join(name).exists(), "{name} stands beside the certificate");
        ensure!(
            find(&node.join(inside), &|p| p.ends_with(name)).is_empty(),
            "{name} lies in the data directory"
        );
    }
    Ok(())
}

fn no_disk_holds_it(fed: &Federation) -> Result<()> {
    let home = fed.home();
    for node in fed.nodes() {
        let _ = fed.dev("kill", &node.node);
    }
    let mut read = 0;
    for file in find(&home, &|p| p.components().any(|c| c.as_os_str() == "data")) {
        let bytes = std::fs::read(&file)?;
        read += bytes.len();
        for secret in SECRETS {
            ensure!(!holds(&bytes, secret), "{secret} stands in {}", file.display());
        }
    }
    ensure!(read > 100_000, "the databases were looked at: {read} bytes");
    // The probe itself: what is not encrypted is found the same way.
    let holding = find(&home, &|p| p.components().any(|c| c.as_os_str() == "data"));
    let plain =
        holding.iter().filter(|f| std::fs::read(f).is_ok_and(|b| holds(&b, "arrival_report"))).count();
    ensure!(plain > 0, "the document type is found");
    for file in find(&fed.scratch().join("backups"), &|_| true) {
        let bytes = std::fs::read(&file)?;
        for secret in SECRETS.iter().chain(&["arrival_report", "operator/admin"]) {
            ensure!(!holds(&bytes, secret), "{secret} stands in {}", file.display());
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

fn find(dir: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(find(&path, wanted));
        } else if wanted(&path) {
            all.push(path);
        }
    }
    all
}

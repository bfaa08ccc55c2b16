//! Versions as the engine brings and keeps them: by difference, healed, collected, carried in bundles, published by one of two.

use super::{file, installed};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for};
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

#[test]
fn versions_travel_by_difference_are_carried_healed_and_collected() {
    let fed = Federation::up_armed(&[]).unwrap();
    let scenario = |fed: &Federation| -> Result<()> {
        a_node_stopped_through_five_publications_takes_what_changed_and_names_a_peer_with_wrong_bytes(fed)?;
        a_flipped_bit_is_found_and_healed_from_a_peer(fed)?;
        a_clock_that_is_ahead_makes_nothing_effective_early_and_is_named(fed)?;
        a_rollback_costs_nothing_and_a_retired_version_gives_its_disk_back(fed)?;
        of_two_publishers_one_wins_and_a_node_that_lacks_a_version_holds_it_up(fed)?;
        a_platform_publishes_the_directory_of_its_certificates(fed)?;
        a_bundle_may_be_large(fed)?;
        a_bundle_carries_a_version_to_a_site_without_a_line(fed)
    };
    // The federation is dropped while a failure unwinds and then prints the logs.
    scenario(&fed).unwrap();
}

/// A table of 10 000 rows, of which every hundredth depends on the salt.
fn quays(fed: &Federation, salt: u32) -> Result<String> {
    let rows: String = (0..10_000u32)
        .map(|n| {
            format!(
                "Q{n:05},quay {n},{}\n",
                n.wrapping_mul(2_654_435_761) ^ if n % 100 == 7 { salt } else { 0 }
            )
        })
        .collect();
    let path = file(fed, &format!("quays-{salt}.csv"), format!("code,name,mark\n{rows}"))?;
    Ok(path.to_string_lossy().into_owned())
}

fn publish_quays(fed: &Federation, salt: u32) -> Result<Value> {
    let path = quays(fed, salt)?;
    fed.eport(&["table", "import", &path, "--name", "quays", "--key", "code"])?.expect(0, "quays")?.json()
}

fn objects_of(fed: &Federation, node: &str) -> Result<Vec<PathBuf>> {
    let dir = fed.node_dir(node).join("data/objects");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "eps"));
    files.sort();
    Ok(files)
}

fn bytes_of(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
}

fn a_node_stopped_through_five_publications_takes_what_changed_and_names_a_peer_with_wrong_bytes(
    fed: &Federation,
) -> Result<()> {
    let first = publish_quays(fed, 0)?;
    ensure!(first["published"] == true && first["rows"] == 10_000, "{first}");
    installed(fed, "quays")?;
    let whole = bytes_of(&objects_of(fed, "gz-a-1")?);
    fed.dev("kill", "gz-a-2")?;
    for salt in 1..=5 {
        let next = publish_quays(fed, salt)?;
        ensure!(next["changed"] == 100 && next["published"] == true, "{next}");
    }
    // It dies in the middle of an install: nothing of it is visible afterwards, and it goes on.
    let dies = fed.arm("gz-a-2", "objects.install.before", "stop")?;
    fed.dev("restart", "gz-a-2")?;
    ensure!(dies.wait(Duration::from_secs(20)), "no install came");
    fed.dev("kill", "gz-a-2")?;
    drop(dies);
    // Its disk is full: the code is shown, and it tries again until there is space.
    let full = fed.arm("gz-a-2", "objects.write", "fail")?;
    // Its first choice gives wrong bytes: it is named, and the next holder serves.
    let armed = fed.arm("gz-a-1", "catalog.serve", "fail")?;
    fed.dev("restart", "gz-a-2")?;
    fed.wait_status("gz-a-2", "a full disk named", |s| {
        let warnings = s["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().any(|w| w["text"].as_str().is_some_and(|t| t.contains("no space is left")))
    })?;
    let held = fed.eport_at("gz-a-2", &["table", "get", "quays", "Q00007"])?;
    ensure!(held.code == 5, "a version that is not here is answered: {held:?}");
    drop(full);
    let status = installed(fed, "quays")?;
    let me = status["nodes"].as_array().context("nodes")?.iter().find(|n| n["node"] == "gz-a-2").cloned();
    let me = me.context("gz-a-2")?;
    let fetched = me["bytes_fetched"].as_u64().context("bytes")?;
    ensure!(me["version"] == 6 && fetched > 0, "{status}");
    ensure!(fetched * 10 < whole, "{fetched} bytes for a version with 1 % changed of {whole}");
    ensure!(me["seconds"].as_f64() > Some(0.0), "{status}");
    fed.wait_status("gz-a-2", "the peer with wrong bytes named", |s| {
        let warnings = s["warnings"].as_array().cloned().unwrap_or_default();
        warnings
            .iter()
            .any(|w| w["code"] == "EP4050" && w["text"].as_str().is_some_and(|t| t.contains("gz-a-1")))
    })?;
    drop(armed);
    for version in 1..=6u32 {
        // Every version is there, not only the newest: what was in force at any time can be asked for.
        let v = version.to_string();
        let diff = fed.eport_at("gz-a-2", &["table", "diff", "quays", &v, "6"])?.ok_json()?;
        let changed = diff["changed"].as_array().context("changed")?.len();
        ensure!(changed == if version == 6 { 0 } else { 100 }, "{version}: {changed}");
    }
    Ok(())
}

fn a_flipped_bit_is_found_and_healed_from_a_peer(fed: &Federation) -> Result<()> {
    let files = objects_of(fed, "sz-a-1")?;
    let largest = files.iter().max_by_key(|f| f.metadata().map_or(0, |m| m.len())).context("a segment")?;
    let mut bytes = std::fs::read(largest)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x08;
    std::fs::write(largest, bytes)?;
    let seen = fed.eport_at("sz-a-1", &["table", "verify", "quays"])?.ok_json()?;
    ensure!(seen["damaged"].as_array().is_some_and(|d| d.len() == 1) && seen["whole"] == true, "{seen}");
    let again = fed.eport_at("sz-a-1", &["table", "verify", "quays"])?.ok_json()?;
    ensure!(again["damaged"] == json!([]) && again["whole"] == true, "{again}");
    let row = fed.eport_at("sz-a-1", &["table", "get", "quays", "Q09999"])?.ok_json()?;
    ensure!(row["fields"]["name"] == "quay 9999", "{row}");
    Ok(())
}

fn a_clock_that_is_ahead_makes_nothing_effective_early_and_is_named(fed: &Federation) -> Result<()> {
    let path = file(fed, "tides.csv", "code,name\nT1,low\n")?.to_string_lossy().into_owned();
    let import = ["table", "import", &path, "--name", "tides", "--key", "code"];
    fed.eport(&import)?.expect(0, "tides")?;
    file(fed, "tides.csv", "code,name\nT1,high\n")?;
    let at = time::OffsetDateTime::now_utc() + time::Duration::minutes(20);
    let at = at.format(&time::format_description::well_known::Rfc3339)?;
    fed.eport(&[&import[..], &["--force", "--effective", &at]].concat())?.expect(0, "tides of the future")?;
    fed.shift_clock("gz-c-1", 30 * 60_000)?;
    fed.wait_status("gz-a-1", "the clock of gz-c-1 named", |s| {
        let warnings = s["warnings"].as_array().cloned().unwrap_or_default();
        warnings
            .iter()
            .any(|w| w["code"] == "EP4054" && w["text"].as_str().is_some_and(|t| t.contains("gz-c-1")))
    })?;
    let early = fed.eport_at("gz-c-1", &["table", "get", "tides", "T1"])?.ok_json()?;
    ensure!(early["fields"]["name"] == "low" && early["version"] == 1, "{early}");
    fed.shift_clock("gz-c-1", 0)?;
    // Taken back before its instant: as if it had never been.
    let back = fed.eport(&["table", "retire", "tides", "2", "--reason", "wrong file"])?.ok_json()?;
    ensure!(back["state"] == "withdrawn", "{back}");
    let later =
        fed.eport(&["table", "get", "tides", "T1", "--as-of", "2099-01-01T00:00:00+08:00"])?.ok_json()?;
    ensure!(later["fields"]["name"] == "low", "{later}");
    Ok(())
}

fn a_rollback_costs_nothing_and_a_retired_version_gives_its_disk_back(fed: &Federation) -> Result<()> {
    let before = bytes_of(&objects_of(fed, "sz-a-1")?);
    let back = fed.eport(&["table", "rollback", "quays", "1"])?.ok_json()?;
    ensure!(back["version"] == 7 && back["published"] == true, "{back}");
    let status = installed(fed, "quays")?;
    ensure!(status["root"] == back["root"] && status["version"] == 7, "{status}");
    ensure!(bytes_of(&objects_of(fed, "sz-a-1")?) <= before, "an old root again took space");
    fed.eport(&["table", "retire", "quays", "7", "--reason", "test"])?;
    for version in ["2", "3", "4", "5", "6"] {
        let gone = fed.eport(&["table", "retire", "quays", version, "--reason", "test"])?.ok_json()?;
        ensure!(gone["state"] == "retired", "{gone}");
    }
    wait_for("collected objects", Duration::from_secs(30), || {
        let now = objects_of(fed, "sz-a-1").map(|f| bytes_of(&f)).map_err(|e| format!("{e:#}"))?;
        if now < before { Ok(()) } else { Err(format!("{now} bytes of {before}")) }
    })?;
    let row = fed.eport_at("sz-a-1", &["table", "get", "quays", "Q00007"])?.ok_json()?;
    ensure!(row["version"] == 7, "{row}");
    Ok(())
}

fn of_two_publishers_one_wins_and_a_node_that_lacks_a_version_holds_it_up(fed: &Federation) -> Result<()> {
    let (late, one, other) = (quays(fed, 200)?, quays(fed, 201)?, quays(fed, 202)?);
    let before = fed.eport(&["table", "status", "quays"])?.ok_json()?["version"].clone();
    // A node on duty cannot keep it: the publication waits, and names the node when its time is over.
    let full = fed.arm("sz-a-1", "objects.write", "fail")?;
    let import = ["table", "import", &late, "--name", "quays", "--key", "code"];
    let held = fed.eport(&[&import[..], &["--wait", "1s"]].concat())?.expect(7, "sz-a-1 lacks it")?;
    ensure!(held.error_code() == "EP4051" && held.stdout.contains("sz-a-1"), "{held:?}");
    // Two operators at two nodes: both were told the same next number, both wait.
    let import = |node: &str, path: &str| {
        fed.spawn_at(node, &["table", "import", path, "--name", "quays", "--key", "code", "--wait", "60s"])
    };
    // Not at gz-c-1: its clock was ahead a while ago, and a node that has seen a later time administers nothing (threat 24).
    let mut publishers = [import("gz-a-1", &one)?, import("gz-a-2", &other)?];
    wait_for("their drafts beside the one that waited in vain", Duration::from_secs(30), || {
        for publisher in &mut publishers {
            if let Ok(Some(ended)) = publisher.try_wait() {
                let mut said = String::new();
                let _ = publisher.stdout.as_mut().map(|out| out.read_to_string(&mut said));
                let _ = publisher.stderr.as_mut().map(|out| out.read_to_string(&mut said));
                return Err(format!("a publisher did not wait: {ended} {said}"));
            }
        }
        let status = fed
            .eport(&["table", "status", "quays"])
            .and_then(|r| r.ok_json())
            .map_err(|e| format!("{e:#}"))?;
        let drafts = status["drafts"].as_array().map_or(0, Vec::len);
        if drafts == 3 && status["version"] == before { Ok(()) } else { Err(status.to_string()) }
    })?;
    drop(full);
    let mut codes = Vec::new();
    for publisher in publishers {
        let done = publisher.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        codes.push(done.status.code());
        ensure!(done.status.code() != Some(4) || said.contains("EP2001"), "{said}");
    }
    codes.sort_unstable();
    ensure!(codes == [Some(0), Some(4)], "{codes:?}");
    let status = installed(fed, "quays")?;
    ensure!(status["version"].as_u64() == before.as_u64().map(|v| v + 1), "{status}");
    ensure!(status["drafts"] == json!([]), "the draft that lost is still brought to the nodes: {status}");
    Ok(())
}

fn a_platform_publishes_the_directory_of_its_certificates(fed: &Federation) -> Result<()> {
    let file = |name: &str| fed.scratch().join(name).to_string_lossy().into_owned();
    let (key, out) = (file("li.key"), file("li.crt"));
    let made = fed.eport(&["cert", "issue", "--subject", "operator/li", "--key-out", &key, "--out", &out])?;
    let serial = made.ok_json()?["serial"].as_str().context("serial")?.to_owned();
    let first = fed.eport(&["cert", "publish", "--platform", "440000"])?.ok_json()?;
    ensure!(first["name"] == "440000/certificates" && first["published"] == true, "{first}");
    let at = |node: &str| -> Result<Value> {
        fed.eport_at(node, &["table", "get", "440000/certificates", &serial])?.ok_json()
    };
    installed(fed, "440000/certificates")?;
    let row = at("sz-a-1")?;
    ensure!(row["fields"]["subject"] == "operator/li" && row["fields"]["state"] == "valid", "{row}");
    fed.eport(&["cert", "revoke", &serial, "--reason", "superseded"])?.expect(0, "revoke")?;
    // Of few certificates one is a large share.
    let second = fed.eport(&["cert", "publish", "--platform", "440000", "--force"])?.ok_json()?;
    ensure!(second["changed"] == 1 && second["version"] == 2, "{second}");
    installed(fed, "440000/certificates")?;
    ensure!(at("gz-c-1")?["fields"]["state"] == "revoked", "{second}");
    Ok(())
}

/// All versions whole: more than other requests may have.
fn a_bundle_may_be_large(fed: &Federation) -> Result<()> {
    let bundle = fed.scratch().join("whole.eptu").to_string_lossy().into_owned();
    fed.eport(&["table", "bundle", "export", "quays", "--out", &bundle])?.ok_json()?;
    let size = std::fs::metadata(&bundle)?.len();
    ensure!(size > 64 << 10, "a bundle of {size} bytes proves nothing");
    fed.eport_at("sz-a-1", &["table", "bundle", "import", &bundle])?.ok_json()?;
    Ok(())
}

fn a_bundle_carries_a_version_to_a_site_without_a_line(fed: &Federation) -> Result<()> {
    for site in ["gz-a", "gz-c"] {
        fed.eport(&["dev", "cut", "sz-a", site])?.expect(0, "cut")?;
    }
    // Who asks over a line that was cut a moment ago hears nothing until the connection is given up, which is no matter of this test.
    fed.dev("kill", "gz-c-1")?;
    fed.dev("restart", "gz-c-1")?;
    let next = publish_quays(fed, 99)?;
    let number = next["version"].clone();
    ensure!(next["published"] == true, "{next}");
    let bundle = fed.scratch().join("quays.eptu").to_string_lossy().into_owned();
    let since = (number.as_u64().context("version")? - 1).to_string();
    fed.eport(&["table", "bundle", "export", "quays", "--since", &since, "--out", &bundle])?.ok_json()?;
    let size = std::fs::metadata(&bundle)?.len();
    ensure!(size < 30_000, "a bundle of {size} bytes for 100 changed rows");
    let mut bad = std::fs::read(&bundle)?;
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    let damaged = file(fed, "damaged.eptu", bad)?.to_string_lossy().into_owned();
    fed.eport_at("sz-a-1", &["table", "bundle", "import", &damaged])?.expect(1, "a damaged bundle")?;
    let old = fed.eport_at("sz-a-1", &["table", "get", "quays", "Q00007"])?.ok_json()?;
    ensure!(old["version"].as_u64().map(|v| v + 1) == number.as_u64(), "{old}");
    let taken = fed.eport_at("sz-a-1", &["table", "bundle", "import", &bundle])?.ok_json()?;
    ensure!(taken["items"][0]["version"] == number && taken["items"][0]["known"] == false, "{taken}");
    let new = fed.eport_at("sz-a-1", &["table", "get", "quays", "Q00007"])?.ok_json()?;
    ensure!(new["version"] == number && new["fields"]["mark"] != old["fields"]["mark"], "{new}");
    // A table of which this site hears by a bundle alone is a table of this site.
    let path = file(fed, "leaflets.csv", "code,name\nL1,one\n")?.to_string_lossy().into_owned();
    fed.eport(&["table", "import", &path, "--name", "leaflets", "--key", "code"])?.expect(0, "leaflets")?;
    let bundle = fed.scratch().join("leaflets.eptu").to_string_lossy().into_owned();
    fed.eport(&["table", "bundle", "export", "leaflets", "--out", &bundle])?.ok_json()?;
    let listed = || -> Result<bool> {
        let all = fed.eport_at("sz-a-1", &["table", "list"])?.ok_json()?;
        Ok(all["items"].as_array().into_iter().flatten().any(|t| t["name"] == "440000/leaflets"))
    };
    ensure!(!listed()?, "the line is not cut");
    fed.eport_at("sz-a-1", &["table", "bundle", "import", &bundle])?.ok_json()?;
    ensure!(listed()?, "a table that only a bundle brought is not listed");
    fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
    let status = installed(fed, "quays")?;
    let me = status["nodes"].as_array().context("nodes")?.iter().find(|n| n["node"] == "sz-a-1").cloned();
    let me = me.context("sz-a-1")?;
    ensure!(me["root"] == next["root"] && me["bytes_fetched"] == 0, "{status}");
    Ok(())
}

//! A node in wrong or broken surroundings: configuration, folders, disks, certificates, another federation's nodes. Always: it is
//! refused or kept out with its code, and the platform outlives it.

use super::{R, fail, foreign, issuing, parsed, past};
use anyhow::{Context, Result, ensure};
use eport_authority::{Key, LeafNames, Validity};
use eport_cluster::{Federation, Http, Ran, wait_for, with_federation};
use eport_model::{Epoch, Lineage, NodeId, RegionCode};
use eport_suite::{Ledger, Mount, documents, proof_of_equality, starter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use time::OffsetDateTime;

#[test]
fn a_node_refuses_wrong_surroundings_and_the_platform_outlives_its_disk() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, R, &documents("BEFORE", 100))?;
        a_start_in_wrong_surroundings_is_refused_with_its_code(fed)?;
        a_node_of_another_federation_is_kept_out(fed)?;
        a_planted_difference_is_found_and_named(fed)?;
        a_full_disk_of_a_backup_loses_nothing(fed, &mut ledger)
    });
}

/// `eportd` with a changed configuration of a node that is down must end with this exit and code, and name `object`.
fn refused(fed: &Federation, config: &Path, exit: i32, code: &str, object: &str) -> Result<()> {
    let ran = fed.eportd(config, Duration::from_secs(30))?;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    ensure!(
        ran.code == exit && said.contains(code) && said.contains(object),
        "{}: exit {}, wanted {exit} {code} naming {object}: {said}",
        config.display(),
        ran.code
    );
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

/// Writes a variation of a node's configuration.
fn variation(
    fed: &Federation,
    node: &str,
    name: &str,
    change: impl FnOnce(String) -> String,
) -> Result<PathBuf> {
    let text = std::fs::read_to_string(fed.node_dir(node).join("eportd.toml"))?;
    let path = fed.scratch().join(format!("{name}.toml"));
    std::fs::write(&path, change(text))?;
    Ok(path)
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let ran = Ran::of(Command::new("cp").arg("-a").arg(from).arg(to))?;
    ensure!(ran.code == 0, "{ran:?}");
    Ok(())
}

/// The value of `key = "value"` in a TOML text; the first one.
fn value_of(text: &str, key: &str) -> String {
    let line = text.lines().find(|l| l.trim_start().starts_with(&format!("{key} ="))).unwrap_or_default();
    line.split('"').nth(1).unwrap_or_default().to_owned()
}

fn a_start_in_wrong_surroundings_is_refused_with_its_code(fed: &Federation) -> Result<()> {
    let node = "gz-a-2";
    // While the node runs: its folder, then its ports with another folder.
    let own = fed.node_dir(node).join("eportd.toml");
    let data = fed.node_dir(node).join("data").display().to_string();
    refused(fed, &own, 4, "EP1101", &data)?;
    let fresh = |name: &str| fed.scratch().join(name).display().to_string();
    // Beside the key lies a mark that the node has run: with another folder it would be refused for that first.
    let (tls, clean) = (fed.node_dir(node).join("tls"), fed.scratch().join("clean-tls"));
    std::fs::create_dir_all(&clean)?;
    for file in ["node.crt", "node.key"] {
        copy_dir(&tls.join(file), &clean)?;
    }
    let used = clean.join("node.used");
    let clean = |t: String| t.replace(&tls.display().to_string(), &clean.display().to_string());
    let text = std::fs::read_to_string(&own)?;
    let (quic, api) = (value_of(&text, "quic"), value_of(&text, "api"));
    let taken = variation(fed, node, "api-taken", |t| clean(t).replace(&data, &fresh("fresh-api")))?;
    refused(fed, &taken, 1, "EP1002", &api)?;
    let _ = std::fs::remove_file(&used);
    let taken = variation(fed, node, "quic-taken", |t| {
        let t = clean(t)
            .replace(&data, &fresh("fresh-quic"))
            .replace(&format!("api = \"{api}\""), "api = \"127.0.0.1:0\"");
        t.lines().filter(|l| !l.starts_with("metrics =")).collect::<Vec<_>>().join("\n")
    })?;
    refused(fed, &taken, 1, "EP1002", &quic)?;
    // A node that has run never starts with an empty folder: it would have forgotten what it promised.
    let emptied = variation(fed, node, "emptied", |t| t.replace(&data, &fresh("fresh-empty")))?;
    refused(fed, &emptied, 7, "EP1102", "fresh-empty")?;

    fed.dev("kill", node)?;
    let copy = fed.scratch().join("copy");
    copy_dir(Path::new(&data), &copy)?;
    let copied = |name: &str| variation(fed, node, name, |t| t.replace(&data, &copy.display().to_string()));
    let identity = copy.join("NODE.json");
    let good = std::fs::read_to_string(&identity)?;
    std::fs::write(&identity, good.replace("\"format\": 1", "\"format\": 99"))?;
    refused(fed, &copied("newer")?, 7, "EP1103", "NODE.json")?;
    std::fs::write(&identity, good.replace("\"gz-a-2\"", "\"gz-a-9\""))?;
    refused(fed, &copied("other-node")?, 7, "EP1102", "gz-a-9")?;
    std::fs::write(&identity, "{\"format\": 1, \"node\":")?;
    refused(fed, &copied("damaged")?, 11, "EP1107", "NODE.json")?;
    std::fs::write(&identity, &good)?;
    read_only_folder(fed, node, &data, &copy)?;

    let unknown = variation(fed, node, "unknown-key", |t| t.replace("data_dir", "datadir"))?;
    refused(fed, &unknown, 2, "EP1001", "nearest valid key: data_dir")?;
    refused(fed, &fed.scratch().join("absent.toml"), 2, "EP1001", "absent.toml")?;
    wrong_certificates(fed, node)?;
    a_program_that_is_not_the_released_one_does_not_start(fed, node, &data)?;
    fed.dev("restart", node)?;
    follows(fed, R, node)
}

/// The program as it is, one with a byte more, and lists that somebody else signed or changed.
fn a_program_that_is_not_the_released_one_does_not_start(
    fed: &Federation,
    node: &str,
    data: &str,
) -> Result<()> {
    let program = eport_cluster::binaries()?.eportd.clone();
    let dir = fed.scratch().join("release");
    std::fs::create_dir_all(dir.join("altered"))?;
    let path = |name: &str| dir.join(name).display().to_string();
    let altered = dir.join("altered/eportd");
    std::fs::copy(&program, &altered)?;
    let mut file = std::fs::OpenOptions::new().append(true).open(&altered)?;
    std::io::Write::write_all(&mut file, b"\n")?;
    for name in ["release.key", "thief.key"] {
        let (_, key) = eport_authority::certificate_request()?;
        eport_authority::write_key(&dir.join(name), &key)?;
    }
    let sign = |key: &str, list: &str, program: &Path| -> Result<String> {
        let (key, list, program) = (path(key), path(list), program.display().to_string());
        let args = ["release", "sign", "--version", "0.1.0", "--release-key", &key, "--out", &list, &program];
        Ok(fed.eport(&args)?.ok_json()?["pin"].as_str().context("pin")?.to_owned())
    };
    let pin = sign("release.key", "good", &program)?;
    sign("release.key", "of-another", &altered)?;
    sign("thief.key", "stolen", &program)?;
    let text = std::fs::read_to_string(dir.join("good"))?;
    std::fs::write(dir.join("changed"), text.replace("version 0.1.0", "version 0.1.1"))?;
    let verify = |list: &str, program: &Path| {
        let (list, program) = (path(list), program.display().to_string());
        fed.eport(&["release", "verify", "--manifest", &list, "--pin", &pin, &program])
    };
    verify("good", &program)?.ok_json()?;
    for (list, program) in
        [("good", &altered), ("of-another", &program), ("stolen", &program), ("changed", &program)]
    {
        let ran = verify(list, program)?.expect(11, list)?;
        ensure!(ran.error_code() == "EP1004", "{list}: {}", ran.stdout);
    }
    let with = |list: &str| {
        // With an empty folder: a start that gets so far is refused for that.
        let to = fed.scratch().join(format!("fresh-{list}")).display().to_string();
        let section = format!("\n[release]\nmanifest = {:?}\npin = {pin:?}\n", path(list));
        variation(fed, node, &format!("release-{list}"), |t| t.replace(data, &to) + &section)
    };
    for list in ["of-another", "stolen", "changed", "absent"] {
        refused(fed, &with(list)?, 11, "EP1004", list)?;
    }
    refused(fed, &with("good")?, 7, "EP1102", "this program is the released one")
}

fn read_only_folder(fed: &Federation, node: &str, data: &str, copy: &Path) -> Result<()> {
    let bind = fed.scratch().join("read-only");
    std::fs::create_dir_all(&bind)?;
    let Some(_mount) = Mount::bind_read_only(copy, &bind)? else {
        eprintln!("SKIP read-only folder: mounting needs root and the right to mount");
        return Ok(());
    };
    let config = variation(fed, node, "read-only", |t| t.replace(data, &bind.display().to_string()))?;
    refused(fed, &config, 1, "EP1104", &bind.display().to_string())
}

fn wrong_certificates(fed: &Federation, node: &str) -> Result<()> {
    let tls = fed.node_dir(node).join("tls");
    let (one, platform): (_, RegionCode) = (Epoch::from_u64(1), parsed("440000")?);
    let id: NodeId = parsed(node)?;
    let names = LeafNames { loopback: true, ..LeafNames::default() };
    let with =
        |name: &str, issued: Result<eport_authority::Issued, eport_authority::Error>| -> Result<PathBuf> {
            let dir = fed.scratch().join("node-certs").join(name);
            std::fs::create_dir_all(&dir)?;
            issued.map_err(fail)?.save(&dir, "node").map_err(fail)?;
            variation(fed, node, name, |t| t.replace(&tls.display().to_string(), &dir.display().to_string()))
        };
    let good = Validity::days(OffsetDateTime::now_utc(), 10);
    let expired =
        with("node-expired", issuing(fed)?.issue_node(platform, id, &names, Key::Generate, one, past()))?;
    starts_and_is_kept_out(fed, node, &expired)?;
    let (_, other) = foreign(fed)?;
    let alien = with("node-foreign", other.issue_node(platform, id, &names, Key::Generate, one, good))?;
    refused(fed, &alien, 6, "EP1201", "")?;
    let exposed =
        with("node-exposed", issuing(fed)?.issue_node(platform, id, &names, Key::Generate, one, good))?;
    let key = fed.scratch().join("node-certs/node-exposed/node.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    refused(fed, &exposed, 1, "EP1204", "node.key")
}

/// A certificate that has ended, and that the ledger does not know: the node starts so that it can ask for the next one, says so,
/// and nobody hears it.
fn starts_and_is_kept_out(fed: &Federation, node: &str, config: &Path) -> Result<()> {
    let log = fed.scratch().join("expired.log");
    let mut daemon = fed.daemon(config, &log)?;
    wait_for("a node that says its certificate has ended", Duration::from_secs(30), || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if said.contains("EP1205") { Ok(()) } else { Err(said) }
    })?;
    let silent = |s: &Value| {
        let nodes = s["nodes"].as_array();
        nodes.is_some_and(|n| n.iter().any(|n| n["node"] == node && n["state"] != "up"))
    };
    fed.wait_status("gz-a-1", "a node that is not heard", silent)?;
    ensure!(daemon.ended().is_none(), "it gave up: {}", std::fs::read_to_string(&log)?);
    let said = std::fs::read_to_string(&log)?;
    ensure!(!said.contains("panicked") && !said.contains("peer connected"), "{said}");
    Ok(())
}

/// A node with its own root, but our lineage and our name, dials our nodes: nobody speaks with it.
fn a_node_of_another_federation_is_kept_out(fed: &Federation) -> Result<()> {
    let (root, other) = foreign(fed)?;
    let dir = fed.scratch().join("foreign");
    let id: NodeId = parsed("gz-a-2")?;
    let names = LeafNames { loopback: true, ..LeafNames::default() };
    let good = Validity::days(OffsetDateTime::now_utc(), 10);
    let issued = other.issue_node(parsed("440000")?, id, &names, Key::Generate, Epoch::from_u64(1), good);
    issued.map_err(fail)?.save(&dir, "node").map_err(fail)?;
    let bundle = dir.join("bundle.pem");
    std::fs::write(&bundle, eport_authority::bundle_pem([&root, &other]))?;
    let node = "gz-a-2";
    let (tls, data) = (fed.node_dir(node).join("tls"), fed.node_dir(node).join("data"));
    let own = fed.home().join("ca/bundle.pem");
    let before = fed.status_at("gz-a-1")?;
    let refusals = || -> Result<usize> {
        let log = std::fs::read_to_string(fed.node_dir("gz-a-1").join("log"))?;
        Ok(log.lines().filter(|l| l.contains("inbound connection refused")).count())
    };
    let earlier = refusals()?;
    fed.dev("kill", node)?;
    let config = variation(fed, node, "foreign", |t| {
        t.replace(&tls.display().to_string(), &dir.display().to_string())
            .replace(&own.display().to_string(), &bundle.display().to_string())
            .replace(&data.display().to_string(), &dir.join("data").display().to_string())
    })?;
    let log = dir.join("log");
    let mut daemon = fed.daemon(&config, &log)?;
    wait_for("a refused connection of the foreign node", Duration::from_secs(30), || match refusals() {
        Ok(n) if n > earlier => Ok(()),
        other => Err(format!("{other:?}, {:?}", daemon.ended())),
    })?;
    let nobody = Http::new(&bundle, None)?;
    let ready = nobody.get(&format!("{}/readyz", fed.api(node)?))?;
    ensure!(ready.status == 503, "the foreign node is ready: {}", ready.text());
    drop(daemon);
    let after = fed.status_at("gz-a-1")?;
    ensure!(
        before["lineage"] == after["lineage"] && after["nodes"].as_array().is_some_and(|n| n.len() == 4),
        "{after}"
    );
    fed.dev("restart", node)?;
    follows(fed, R, node)
}

fn a_planted_difference_is_found_and_named(fed: &Federation) -> Result<()> {
    let node = "gz-a-2";
    proof_of_equality(fed, R, 3)?;
    let lineage: Lineage = parsed(fed.status_at("gz-a-1")?["lineage"].as_str().context("lineage")?)?;
    fed.dev("kill", node)?;
    let (key, value) = {
        let shared = eport_store::Shared::new(eport_store::Budget::default())?;
        let dir = fed.node_dir(node).join("data/platform").join(R);
        let (store, _) = eport_store::PlatformStore::open(&dir, lineage, parsed(R)?, &shared)?;
        let rows = store.scan(b"d/", None, 10)?;
        let (key, value) = rows.first().context("a document row")?.clone();
        let mut changed = value.to_vec();
        *changed.last_mut().context("a value")? ^= 1;
        store.plant_row(&key, &changed)?;
        (key, value)
    };
    fed.dev("restart", node)?;
    follows(fed, R, node)?;
    let found = fed
        .eport(&["--timeout", "90s", "platform", "verify", R])?
        .expect(11, "verify with a planted difference")?
        .json()?;
    let replicas = found["replicas"].as_array().context("replicas")?;
    let different: Vec<&str> =
        replicas.iter().filter(|r| r["equal"] == false).filter_map(|r| r["node"].as_str()).collect();
    ensure!(different == [node] && found["ok"] == false, "{found}");
    // Put right again, so that what follows starts from equal copies.
    fed.dev("kill", node)?;
    {
        let shared = eport_store::Shared::new(eport_store::Budget::default())?;
        let dir = fed.node_dir(node).join("data/platform").join(R);
        let (store, _) = eport_store::PlatformStore::open(&dir, lineage, parsed(R)?, &shared)?;
        store.plant_row(&key, &value)?;
    }
    fed.dev("restart", node)?;
    follows(fed, R, node)?;
    proof_of_equality(fed, R, 3)?;
    Ok(())
}

fn a_full_disk_of_a_backup_loses_nothing(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let node = "gz-a-2";
    let data = fed.node_dir(node).join("data");
    let aside = fed.node_dir(node).join("data-aside");
    fed.dev("kill", node)?;
    std::fs::rename(&data, &aside)?;
    std::fs::create_dir(&data)?;
    let Some(_mount) = Mount::memory("160m", &data)? else {
        std::fs::remove_dir(&data)?;
        std::fs::rename(&aside, &data)?;
        eprintln!("SKIP full disk: mounting needs root and the right to mount");
        return fed.dev("restart", node);
    };
    copy_dir(&aside.join("."), &data)?;
    fed.dev("restart", node)?;
    follows(fed, R, node)?;
    let earlier = std::fs::read_to_string(fed.node_dir(node).join("log"))?.lines().count();
    // Fill what is left, byte by byte at the end.
    let filler = data.join("filler");
    let mut size = 0usize;
    for block in [1 << 20, 4_096, 1] {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&filler)?;
        while std::io::Write::write_all(&mut file, &vec![7u8; block]).is_ok() {
            size += block;
        }
    }
    ensure!(size > 32 << 20, "only {size} bytes were free");
    // Writes go on through the other backup. RocksDB has reserved space for its log: it may take a while to use that up.
    let coded = |fed: &Federation| -> Result<Option<String>> {
        let log = std::fs::read_to_string(fed.node_dir(node).join("log"))?;
        Ok(log
            .lines()
            .skip(earlier)
            .find(|l| l.contains("EP1105") || l.contains("EP1106"))
            .map(str::to_owned))
    };
    let mut rounds = 0;
    let words = loop {
        if let Some(words) = coded(fed)? {
            break words;
        }
        ensure!(rounds < 30, "the node with the full disk says nothing after {rounds} 000 documents");
        ledger.submit(fed, R, &documents(&format!("FULL{rounds}"), 1_000))?;
        rounds += 1;
    };
    eprintln!("full disk: said after {rounds} 000 documents: {words}");
    ledger.submit(fed, R, &documents("MEANWHILE", 200))?;
    let p = fed.platform_at("gz-a-1", R)?;
    ensure!(p["state"] == "active" && p["durability_now"] == "replicated", "{p}");
    // With the disk still full it does not start, and says why.
    fed.dev("kill", node)?;
    refused(fed, &fed.node_dir(node).join("eportd.toml"), 5, "EP1105", &data.display().to_string())?;
    // With space again it starts, follows, and has everything.
    std::fs::remove_file(&filler)?;
    fed.dev("restart", node)?;
    follows(fed, R, node)?;
    proof_of_equality(fed, R, 3)?;
    ledger.check(fed, R, true)?;
    // Ended before its folder is unmounted.
    fed.dev("kill", node)
}

fn follows(fed: &Federation, region: &str, backup: &str) -> Result<()> {
    fed.wait_platform("gz-a-1", region, &format!("has {backup} in sync"), |p| {
        let backups = p["backups"].as_array().cloned().unwrap_or_default();
        backups.iter().any(|b| b["node"] == backup && b["in_sync"] == true && b["lag_records"] == 0)
    })?;
    Ok(())
}

//! Custody of an issuing CA over real processes: sealed files, shares, the node that takes over, the primary that was paused, and the
//! revocation of a site that is cut off.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http, Presented, wait_for, with_federation};
use eport_suite::starter;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PROVINCE: &str = "440000";
/// Primary of the province, with the CA's passphrase.
const HOME: &str = "gz-a-1";
/// Nodes that may take over: the sealed key lies there, and nobody has opened it.
const STANDBYS: [&str; 2] = ["gz-c-1", "sz-a-1"];
/// Has neither the CA's key nor its ledger.
const APART: &str = "gz-a-2";

#[test]
fn a_node_that_takes_over_alone_cannot_sign_with_shares_and_epoch_it_can_and_a_stale_primary_cannot() {
    with_federation(&[], |fed| {
        starter(fed)?;
        nothing_of_a_key_lies_in_the_clear(fed)?;
        keys_in_memory_stay_out_of_swap_and_core_dumps_or_the_log_says_so(fed)?;
        without_the_ca(fed, APART)?;
        for node in STANDBYS {
            lock(fed, node)?;
        }
        let shares = divide(fed, "shares")?;
        shares_are_checked_one_by_one(fed, &shares)?;
        a_site_that_is_cut_off_revokes_at_once_and_its_list_reaches_the_others(fed)?;
        a_paused_primary_that_comes_back_cannot_issue(fed, &shares)?;
        the_loss_of_the_cas_site_is_rehearsed(fed, &shares)?;
        no_copy_of_the_cas_key_lies_on_any_disk(fed)
    });
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn nothing_of_a_key_lies_in_the_clear(fed: &Federation) -> Result<()> {
    let ca = fed.home().join("ca");
    for name in ["440000.key", "root.key"] {
        let file = std::fs::read_to_string(ca.join(name))?;
        ensure!(file.contains("EPORT SEALED KEY") && !file.contains("BEGIN PRIVATE KEY"), "{name}: {file}");
    }
    let passphrase = std::fs::read_to_string(ca.join("passphrase"))?;
    ensure!(passphrase.starts_with("# Opens the CAs' keys in this folder"), "it does not say what it is");
    Ok(())
}

/// As the kernel sees the process. Where the limit forbids it the node says so and runs all the same.
fn keys_in_memory_stay_out_of_swap_and_core_dumps_or_the_log_says_so(fed: &Federation) -> Result<()> {
    let node = fed.nodes().iter().find(|n| n.node == HOME).context(HOME)?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.pid))?;
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).context("the limit of cores")?;
    ensure!(core.split_whitespace().nth(4).is_some_and(|n| n == "1" || n == "0"), "{core}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid))?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    let (locked, swapped) = (kib("VmLck:").context("VmLck")?, kib("VmSwap:").unwrap_or(0));
    let log = std::fs::read_to_string(fed.node_dir(HOME).join("log"))?;
    match log.contains("memory is locked: no key reaches swap") {
        true => ensure!(locked > 0 && swapped == 0, "{locked} KiB are locked, {swapped} KiB in swap"),
        false => {
            ensure!(locked == 0 && log.contains("memory is not locked: keys in it may reach swap"), "{log}")
        }
    }
    eprintln!("locked: {locked} KiB");
    Ok(())
}

/// Takes the passphrase from a node: a restart leaves the key locked there.
fn lock(fed: &Federation, node: &str) -> Result<()> {
    let path = fed.node_dir(node).join("eportd.toml");
    let config = std::fs::read_to_string(&path)?;
    let kept: String =
        config.lines().filter(|l| !l.starts_with("passphrase_file")).map(|l| format!("{l}\n")).collect();
    ensure!(kept.len() < config.len(), "no passphrase was configured: {config}");
    std::fs::write(&path, kept)?;
    fed.dev("restart", node)?;
    wait_for("the locked node", Duration::from_secs(30), || match state(fed, node) {
        Ok(state) if state == "locked" => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    level(fed).map(|_| ())
}

fn level(fed: &Federation) -> Result<Value> {
    fed.wait_platform(HOME, PROVINCE, "is active with every backup in sync", |p| {
        let whole = |b: &Value| b["in_sync"] == true && b["lag_records"] == 0;
        p["state"] == "active" && p["backups"].as_array().is_some_and(|b| b.iter().all(whole))
    })
}

/// `open`, `locked` or `absent`.
fn state(fed: &Federation, node: &str) -> Result<String> {
    let shown = fed.eport_at(node, &["ca", "keys", "--platform", PROVINCE])?.ok_json()?;
    Ok(shown["items"][0]["state"].as_str().context("state")?.to_owned())
}

fn divide(fed: &Federation, folder: &str) -> Result<Vec<PathBuf>> {
    let out = fed.scratch().join(folder);
    let out_text = text(&out);
    let export = [
        "ca",
        "export",
        "--name",
        PROVINCE,
        "--shares",
        "2",
        "--of",
        "3",
        "--holders",
        "an,bo,chen",
        "--out",
        &out_text,
    ];
    let made = fed.eport_at("gz-c-1", &export)?.ok_json()?;
    ensure!(made["threshold"] == 2 && made["kept_here"] == true, "{made}");
    let again = fed.eport(&export)?.ok_json()?;
    ensure!(again["kek"] == made["kek"], "the same command divided the key anew");
    // The wrapped key travels with the journal.
    for node in STANDBYS {
        wait_for("the wrapped key at the standby", Duration::from_secs(30), || {
            let shown = fed.eport_at(node, &["ca", "keys", "--platform", PROVINCE]).and_then(|r| r.ok_json());
            let shown = shown.map_err(|e| format!("{e:#}"))?;
            (shown["items"][0]["custody"]["kept_here"] == true).then_some(()).ok_or_else(|| shown.to_string())
        })?;
    }
    let share = |holder: &str| out.join(format!("{PROVINCE}.{holder}.share"));
    Ok(["an", "bo", "chen"].into_iter().map(share).collect())
}

fn unlock(shares: &[&Path]) -> Vec<String> {
    let mut args: Vec<String> = ["ca", "unlock", "--platform", PROVINCE].map(str::to_owned).into();
    for share in shares {
        args.extend(["--share".to_owned(), text(share)]);
    }
    args
}

fn run(fed: &Federation, node: &str, args: &[String]) -> Result<eport_cluster::Ran> {
    fed.eport_at(node, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn shares_are_checked_one_by_one(fed: &Federation, shares: &[PathBuf]) -> Result<()> {
    let ran = run(fed, HOME, &unlock(&[&shares[0]]))?.expect(6, "one share of two")?;
    ensure!(ran.error_code() == "EP4102", "{}", ran.stdout);
    let good = std::fs::read_to_string(&shares[2])?;
    let at = good.find("value ").context("value")? + 12;
    let other = if good.as_bytes()[at] == b'0' { "1" } else { "0" };
    let damaged = fed.scratch().join("damaged.share");
    std::fs::write(&damaged, format!("{}{other}{}", &good[..at], &good[at + 1..]))?;
    let ran = run(fed, HOME, &unlock(&[&shares[0], &damaged]))?.expect(6, "a damaged share")?;
    ensure!(ran.stdout.contains("share of chen") && !ran.stdout.contains("share of an"), "{}", ran.stdout);
    // A newer division is in force: the shares of the older one open nothing.
    let newer = divide(fed, "newer")?;
    let ran = run(fed, HOME, &unlock(&[&shares[0], &shares[1]]))?.expect(4, "shares of an older division")?;
    ensure!(ran.error_code() == "EP4142", "{}", ran.stdout);
    // The files are where the caller looks for them.
    for (old, new) in shares.iter().zip(newer) {
        std::fs::copy(new, old)?;
    }
    Ok(())
}

struct Person {
    serial: String,
    cert: PathBuf,
    key: PathBuf,
}

fn issue(fed: &Federation, node: &str, id: &str) -> Result<Person> {
    let (cert, key) = (fed.scratch().join(format!("{id}.crt")), fed.scratch().join(format!("{id}.key")));
    let (cert_text, key_text) = (text(&cert), text(&key));
    let subject = format!("operator/{id}");
    let args = ["cert", "issue", "--subject", &subject, "--out", &cert_text, "--key-out", &key_text];
    let issued = fed.eport_at(node, &args)?.ok_json()?;
    Ok(Person { serial: issued["serial"].as_str().context("serial")?.to_owned(), cert, key })
}

/// Whether a node answers the person at all.
fn admitted(fed: &Federation, node: &str, person: &Person) -> Result<bool> {
    let shown = Presented { cert: &person.cert, key: &person.key };
    let http = Http::new(&fed.home().join("ca/bundle.pem"), Some(shown))?;
    Ok(http.get(&format!("{}/v1/tables", fed.api(node)?)).is_ok_and(|r| r.status == 200))
}

fn a_site_that_is_cut_off_revokes_at_once_and_its_list_reaches_the_others(fed: &Federation) -> Result<()> {
    let li = issue(fed, HOME, "li")?;
    for node in [HOME, "gz-c-1", "sz-a-1"] {
        ensure!(admitted(fed, node, &li)?, "{node}");
    }
    for site in ["gz-c", "sz-a"] {
        fed.eport(&["dev", "cut", "gz-a", site])?.ok_json()?;
    }
    news_held_back_stop_administration_and_not_reading(fed)?;
    let begun = Instant::now();
    let revoked =
        fed.eport_at(HOME, &["cert", "revoke", &li.serial, "--reason", "key-compromise"])?.ok_json()?;
    let took = begun.elapsed();
    ensure!(revoked["items"][0]["by"] == "list", "{revoked}");
    ensure!(!admitted(fed, HOME, &li)?, "the site itself still admits it");
    ensure!(admitted(fed, "sz-a-1", &li)?, "nobody could have told the other sites yet");
    // Node to node without the registry: the other node of the site hears of no leader, and has the list all the same.
    wait_for("the list at the other node of the site", Duration::from_secs(20), || {
        match admitted(fed, APART, &li) {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let known = std::fs::read_to_string(fed.node_dir(APART).join("data/revoked.txt"))?;
    let by_list = known.lines().any(|l| l.starts_with("list/") && l.ends_with(&li.serial));
    ensure!(by_list && !known.lines().any(|l| l == li.serial), "only the list can have told it: {known}");
    // Outsiders see it at the site.
    let ca = fed.home().join("ca/440000.crt");
    let der = eport_authority::certificate_of_pem(&std::fs::read_to_string(ca)?)?;
    let (key, _) = eport_authority::ca_of_pem(&eport_authority::certificate_pem(&der))?;
    let nobody = Http::new(&fed.home().join("ca/bundle.pem"), None)?;
    let list = nobody.get(&format!("{}/v1/crl/{key}.crl", fed.api(HOME)?))?;
    ensure!(list.status == 200, "the list at home: {} {}", list.status, list.text());
    ensure!(eport_authority::read_crl(&list.body, &der)?.entries.contains_key(&li.serial), "not in the list");
    fed.eport(&["dev", "heal"])?.ok_json()?;
    for node in ["gz-c-1", "sz-a-1"] {
        wait_for("the list at the other sites", Duration::from_secs(30), || {
            match admitted(fed, node, &li) {
                Ok(false) => Ok(()),
                other => Err(format!("{node}: {other:?}")),
            }
        })?;
        // Any node serves the newest list that it has.
        let url = format!("{}/v1/crl/{key}.crl", fed.api(node)?);
        wait_for("the list itself", Duration::from_secs(30), || {
            let list = nobody.get(&url).map_err(|e| format!("{e:#}"))?;
            let read =
                eport_authority::read_crl(&list.body, &der).map_err(|e| format!("{} {e}", list.status))?;
            read.entries
                .contains_key(&li.serial)
                .then_some(())
                .ok_or_else(|| "it lacks the serial".to_owned())
        })?;
        // By the list, or by the operator's command that reached the registry late: either is for ever.
        let known = std::fs::read_to_string(fed.node_dir(node).join("data/revoked.txt"))?;
        ensure!(known.lines().any(|l| l.ends_with(&li.serial)), "{node}: {known}");
    }
    eprintln!("cut off: revoked in {} ms", took.as_millis());
    wait_for("administration with fresh news", Duration::from_secs(30), || {
        let ran = fed.eport_at(APART, &["setting", "set", "revocation_news_max_ms", "300000"]);
        ran.and_then(|r| r.ok_json()).map(|_| ()).map_err(|e| format!("{e:#}"))
    })?;
    ensure!(took < Duration::from_secs(3), "it took {took:?}");
    level(fed).map(|_| ())
}

/// Takes the section of the CA from a node, and tells all what old news are.
fn without_the_ca(fed: &Federation, node: &str) -> Result<()> {
    let path = fed.node_dir(node).join("eportd.toml");
    let config = std::fs::read_to_string(&path)?;
    let mut inside = false;
    let kept: String = config
        .lines()
        .filter(|line| {
            inside = if line.starts_with('[') { *line == "[ca]" } else { inside };
            !inside
        })
        .map(|l| format!("{l}\n"))
        .collect();
    ensure!(kept.len() < config.len(), "no section [ca]: {config}");
    std::fs::write(&path, kept)?;
    fed.dev("restart", node)?;
    fed.eport(&["setting", "set", "revocation_news_max_ms", "3000"])?.ok_json().map(|_| ())
}

/// The site is cut off. Its node without the CA and its ledger cannot know what was revoked elsewhere: nothing is administered there, and
/// what is only read goes on.
fn news_held_back_stop_administration_and_not_reading(fed: &Federation) -> Result<()> {
    wait_for("news that are too old", Duration::from_secs(30), || {
        let ran = fed.eport_at(APART, &["node", "drain", APART]).map_err(|e| format!("{e:#}"))?;
        (ran.error_code() == "EP4144").then_some(()).ok_or(ran.stdout)
    })?;
    let http = fed.http()?;
    for path in ["/v1/tables", "/v1/federation"] {
        let reply = http.get(&format!("{}{path}", fed.api(APART)?))?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
    }
    // Of the CA at home the news is always fresh there.
    let ran = fed.eport_at(HOME, &["cert", "list", "--platform", PROVINCE])?;
    ran.ok_json().map(|_| ())
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Every file of every node, its data directories and logs among them: neither the key's bytes nor their hex nor its PEM.
fn no_copy_of_the_cas_key_lies_on_any_disk(fed: &Federation) -> Result<()> {
    let ca = fed.home().join("ca");
    let certificate = std::fs::read_to_string(ca.join("440000.crt"))?;
    let pem = eport_authority::open_key(&ca.join("440000.key"), &certificate)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let lines: Vec<&str> = pem.lines().filter(|l| !l.starts_with("-----")).collect();
    let der = eport_authority::base64_bytes(&lines.concat(), 4_096).context("the key")?;
    // PKCS#8 of P-256: the scalar is an OCTET STRING of 32 bytes behind the version of the inner structure.
    let at = der.windows(5).position(|w| w == [2, 1, 1, 4, 32]).context("the scalar")? + 5;
    let scalar = der.get(at..at + 32).context("the scalar")?;
    let hex: String = scalar.iter().map(|b| format!("{b:02x}")).collect();
    let wanted = [scalar, hex.as_bytes(), lines[1].as_bytes()];
    let mut all = Vec::new();
    files(&fed.home(), &mut all)?;
    ensure!(all.len() > 30, "{} files", all.len());
    for path in all {
        let bytes = std::fs::read(&path)?;
        for (n, what) in wanted.iter().enumerate() {
            ensure!(
                !bytes.windows(what.len()).any(|w| w == *what),
                "form {n} of the key in {}",
                path.display()
            );
        }
    }
    Ok(())
}

/// Asks one node alone, which must refuse; answers with which code.
fn refused_at(fed: &Federation, node: &str) -> Result<(u16, String)> {
    let (csr, _) = eport_authority::certificate_request()?;
    let body = json!({ "csr": csr, "subject": "operator/nobody", "platform": PROVINCE });
    let answer = fed.http()?.post(&format!("{}/v1/certificates", fed.api(node)?), &body)?;
    Ok((answer.status, answer.code()))
}

fn a_paused_primary_that_comes_back_cannot_issue(fed: &Federation, shares: &[PathBuf]) -> Result<()> {
    fed.dev("pause", HOME)?;
    let failover = ["platform", "failover", PROVINCE, "--to", "gz-c-1", "--old-primary", "stopped"];
    // Refused as long as its silence may be a moment's.
    wait_for("the failover", Duration::from_secs(60), || {
        let moved = fed.eport_at("gz-c-1", &failover).and_then(|r| r.ok_json());
        moved.map(|_| ()).map_err(|e| format!("{e:#}"))
    })?;
    let placed = fed.wait_platform("gz-c-1", PROVINCE, "is served by gz-c-1", |p| {
        p["primary"] == "gz-c-1" && p["state"] == "active"
    })?;
    let (status, code) = refused_at(fed, "gz-c-1")?;
    ensure!((status, code.as_str()) == (503, "EP4140"), "alone: {status} {code}");
    let opened = run(fed, "gz-c-1", &unlock(&[&shares[1], &shares[2]]))?.ok_json()?;
    ensure!(opened["node"] == "gz-c-1" && opened["epoch"] == placed["epoch"], "{opened}");
    let wang = issue(fed, "gz-c-1", "wang")?;
    let epoch = placed["epoch"].as_u64().context("epoch")?;
    ensure!(wang.serial.starts_with(&format!("01{epoch:08x}")), "{} in epoch {epoch}", wang.serial);
    fed.dev("resume", HOME)?;
    // Whatever it still believes: its intent finds no backup in its epoch, and its key is of no use.
    let (status, code) = refused_at(fed, HOME)?;
    ensure!(status >= 400, "the stale primary issued: {status} {code}");
    fed.wait_platform(HOME, PROVINCE, "is known to be away", |p| p["primary"] == "gz-c-1")?;
    let (status, code) = refused_at(fed, HOME)?;
    ensure!((status, code.as_str()) == (503, "EP4105"), "{status} {code}");
    wait_for("the way home", Duration::from_secs(60), || {
        let back = fed.eport_at("gz-c-1", &["platform", "switchover", PROVINCE, "--to", HOME]);
        back.and_then(|r| r.ok_json()).map(|_| ()).map_err(|e| format!("{e:#}"))
    })?;
    wait_for("the key to close", Duration::from_secs(10), || match state(fed, "gz-c-1") {
        Ok(state) if state == "locked" => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    level(fed).map(|_| ())
}

fn the_loss_of_the_cas_site_is_rehearsed(fed: &Federation, shares: &[PathBuf]) -> Result<()> {
    let (one, two) = (text(&shares[0]), text(&shares[2]));
    let plan = fed.eport(&["drill", "plan", "ca-loss", PROVINCE, "--share", &one])?;
    ensure!(plan.code != 0 && plan.stdout.contains("1 shares are at hand, 2 are needed"), "{plan:?}");
    let drill = ["--timeout", "90s", "drill", "run", "ca-loss", PROVINCE, "--share", &one, "--share", &two];
    let done = fed.eport(&drill)?.expect(0, "ca-loss")?.json()?;
    ensure!(done["verdict"] == "passed" && done["rpo_records"] == 0, "{done:#}");
    ensure!(done["rto_seconds"].as_f64() > Some(0.0) && done["restored"] == true, "{done:#}");
    ensure!(done["steps"].as_array().is_some_and(|s| s.iter().all(|s| s["ok"] == true)), "{done:#}");
    eprintln!("ca-loss: the CA issued again after {} s", done["rto_seconds"]);
    let refused = done["steps"].as_array().context("steps")?.iter().find(|s| s["name"] == "refused");
    ensure!(refused.is_some_and(|s| s["result"].as_str().is_some_and(|r| r.contains("EP4140"))), "{done:#}");
    ensure!(state(fed, HOME)? == "open" && state(fed, "gz-c-1")? == "locked", "the start state is not back");
    issue(fed, HOME, "zhao").map(|_| ())
}

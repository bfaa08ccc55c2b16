//! Rotation of the root over real processes: documents flow throughout, a member that was down is named, left behind, and comes back.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http, wait_for, with_federation};
use eport_suite::{proof_of_equality, starter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Serves nothing: the one that a drill takes down.
const IDLE: &str = "gz-a-2";
const CITY: &str = "440300";

#[test]
fn the_root_is_rotated_on_a_live_federation_while_a_member_is_down() {
    let sites = ["--site", "gz-a=440000:2", "--site", "gz-c=440100", "--site", "sz-a=440300"];
    with_federation(&sites, |fed| {
        starter(fed)?;
        let old = read(&fed.home().join("ca/root.crt"))?;
        let drill = the_drill_replaces_the_root(fed)?;
        let new = drill.join("root");
        openssl_takes_chains_under_both_roots(fed, &old, &read(&new.join("root.crt"))?)?;
        the_old_root_goes_only_after_the_drain_or_with_a_reason(fed)?;
        a_city_gets_its_own_ca_under_the_new_root(fed, &new)?;
        a_member_that_knows_the_old_root_alone_proves_its_way(fed, &old, &new)?;
        a_rotation_can_be_undone(fed, &new)?;
        proof_of_equality(fed, CITY, 3).map(|_| ())
    });
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn trust(fed: &Federation) -> Result<Value> {
    fed.eport_at("gz-a-1", &["ca", "status"])?.ok_json()
}

/// Runs openssl where there is one.
fn openssl(args: &[&str]) -> Result<bool> {
    let Ok(out) = Command::new("openssl").args(args).output() else {
        eprintln!("skipped: openssl is not installed");
        return Ok(false);
    };
    let shown = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "openssl {args:?}: {shown}");
    Ok(true)
}

/// The drill: refused with the name of the member that is down, forced, caught up. Answers its folder.
fn the_drill_replaces_the_root(fed: &Federation) -> Result<PathBuf> {
    let plan = fed.eport(&["drill", "plan", "ca-rotation", CITY])?.ok_json()?;
    ensure!(plan["may_run"] == true && plan["victims"][0] == IDLE, "{plan:#}");
    let before = trust(fed)?;
    ensure!(before["version"] == 1 && before["roots"][0]["state"] == "active", "{before:#}");
    let done = fed.eport(&["--timeout", "90s", "drill", "run", "ca-rotation", CITY])?;
    let done = done.expect(0, "drill ca-rotation")?.json()?;
    ensure!(done["verdict"] == "passed" && done["restored"] == true, "{done:#}");
    let d = &done["documents"];
    ensure!(d["missing"] == 0 && d["duplicated"] == 0 && d["present"] == d["acknowledged"], "{done:#}");
    let step = |name: &str| {
        let steps = done["steps"].as_array().cloned().unwrap_or_default();
        steps.into_iter().find(|s| s["name"] == name).map(|s| s["result"].to_string()).unwrap_or_default()
    };
    ensure!(step("refused").contains("EP4120") && step("refused").contains(IDLE), "{}", step("refused"));
    let after = trust(fed)?;
    let states: Vec<&Value> =
        after["roots"].as_array().context("roots")?.iter().map(|r| &r["state"]).collect();
    ensure!(states == ["retired", "active"] && after["behind"] == serde_json::json!([]), "{after:#}");
    ensure!(after["rotation"]["phase"] == "draining" && after["rotation"]["without"][0] == IDLE, "{after:#}");
    ensure!(after["issuing"].as_array().is_some_and(|i| i.len() == 2), "the CA under both roots: {after:#}");
    // It slept through publish and cross, and proved the new root by the old one after its start.
    let log = read(&fed.node_dir(IDLE).join("log"))?;
    ensure!(log.contains("trust bundle in force"), "the member never adopted the bundle");
    let report = done["report"]["json"].as_str().context("report")?;
    Ok(PathBuf::from(report).parent().context("folder")?.to_owned())
}

/// Before the old root goes: whoever trusts one of them alone takes what was signed before and after.
fn openssl_takes_chains_under_both_roots(fed: &Federation, old: &str, new: &str) -> Result<()> {
    let dir = fed.scratch();
    let (old_file, new_file) = (text(&dir.join("old.pem")), text(&dir.join("new.pem")));
    std::fs::write(&old_file, old)?;
    std::fs::write(&new_file, new)?;
    let http = fed.http()?;
    let (out, key) = (text(&dir.join("wang.crt")), text(&dir.join("wang.key")));
    let issue = ["cert", "issue", "--subject", "operator/wang", "--out", &out, "--key-out", &key];
    fed.eport(&issue)?.ok_json()?;
    // What comes with a new certificate suffices, also for those of before: its CA under the new root, and the way to the old one. A
    // list of everything would not do: openssl takes the first issuer of a name and does not turn back.
    let node = text(&fed.node_dir("sz-a-1").join("tls/node.crt"));
    for leaf in [&out, &node] {
        for root in [&old_file, &new_file] {
            openssl(&["verify", "-CAfile", root, "-untrusted", &out, leaf])?;
        }
    }
    openssl(&["verify", "-CAfile", &old_file, "-untrusted", &node, &node])?;
    // What it is worth, by a node's own verifier, now and before it was made.
    let worth = fed.eport(&["cert", "verify", &out])?.ok_json()?;
    ensure!(worth["valid"] == true && worth["subject"] == "operator/wang", "{worth}");
    ensure!(worth["purposes"] == serde_json::json!(["client"]), "{worth}");
    let before = fed
        .eport(&["cert", "verify", &out, "--at", "2020-01-01T00:00:00Z"])?
        .expect(11, "before it began")?;
    ensure!(before.stdout.contains("EP1205"), "{}", before.stdout);
    // The new root's list came with the rotation and is served by every node.
    let key = trust(fed)?["rotation"]["new"].as_str().context("key")?.to_owned();
    let list = http.get(&format!("{}/v1/crl/{key}.crl", fed.api("gz-c-1")?))?;
    let list_file = text(&dir.join("root.crl"));
    std::fs::write(&list_file, &list.body)?;
    openssl(&["crl", "-inform", "DER", "-in", &list_file, "-CAfile", &new_file, "-noout"])?;
    // A client that knows the new root alone, and one that knows the old one alone, both reach a node.
    for root in [&old_file, &new_file] {
        let reply = Http::new(Path::new(root), None)?.get(&format!("{}/healthz", fed.api("sz-a-1")?))?;
        ensure!(reply.status == 200, "{root}: {}", reply.status);
    }
    Ok(())
}

fn the_old_root_goes_only_after_the_drain_or_with_a_reason(fed: &Federation) -> Result<()> {
    let early = fed.eport(&["ca", "rotate", "retire"])?.expect(7, "before the drain is over")?;
    ensure!(early.error_code() == "EP4122", "{}", early.stdout);
    fed.eport(&["ca", "rotate", "retire", "--force"])?.expect(2, "without a reason")?;
    let again = fed.eport(&["ca", "rotate", "abort"])?.expect(4, "it is in use")?;
    ensure!(again.error_code() == "EP4121", "{}", again.stdout);
    fed.eport(&["ca", "rotate", "retire", "--force", "--reason", "rehearsal"])?.ok_json()?;
    let after = wait_for("every member without the old root", Duration::from_secs(30), || {
        let now = trust(fed).map_err(|e| format!("{e:#}"))?;
        if now["behind"] == serde_json::json!([]) { Ok(now) } else { Err(now["behind"].to_string()) }
    })?;
    ensure!(after["roots"].as_array().is_some_and(|r| r.len() == 1), "{after:#}");
    ensure!(after["tainted"].as_array().is_some_and(|t| t.len() == 1), "{after:#}");
    // The operator's own file is of before; its successor is proven by it.
    let file = text(&fed.scratch().join("trust.pem"));
    fed.eport(&["trust", "show", "--out", &file])?.ok_json()?;
    ensure!(read(Path::new(&file))?.matches("BEGIN CERTIFICATE").count() == 3, "root, CA, proof");
    let reply = Http::new(Path::new(&file), None)?.get(&format!("{}/healthz", fed.api("gz-a-1")?))?;
    ensure!(reply.status == 200, "{}", reply.status);
    Ok(())
}

/// Opened with its shares, the new root signs a CA for the city; the registry lists it; it issues.
fn a_city_gets_its_own_ca_under_the_new_root(fed: &Federation, root: &Path) -> Result<()> {
    let dir = fed.scratch();
    let paper = dir.join("city.toml");
    let (key, csr) = (dir.join("city.key"), dir.join("440300.csr"));
    fed.eport(&["ca", "request", "--key-out", &text(&key), "--request-out", &text(&csr)])?.ok_json()?;
    std::fs::write(
        &paper,
        "federation = \"gd\"\ntrust_domain = \"gd.eport.example\"\n[shares]\nthreshold = 2\nholders = [\"first\", \"second\", \"third\"]\n\
         [[issuing]]\nregion = \"440300\"\npurpose = \"subject\"\nrequest = \"440300.csr\"\n",
    )?;
    let share = |name: &str| text(&root.join(format!("shares/{name}.1.share")));
    let open = ["ca", "ceremony", "open", "--config", &text(&paper), "--dir", &text(root)];
    let shares = ["--share", &share("first"), "--share", &share("third")];
    fed.eport(&[&open[..], &shares].concat())?.ok_json()?;
    let certificate = root.join("issuing/440300-subject.crt");
    let add = ["ca", "add", "--certificate", &text(&certificate)];
    let shown = fed.eport(&add)?.ok_json()?;
    let listed = shown["issuing"].as_array().context("issuing")?.iter().any(|i| i["platform"] == CITY);
    ensure!(listed, "{shown:#}");
    let twice = fed.eport(&add)?.expect(7, "the same CA again")?;
    ensure!(twice.error_code() == "EP4123", "{}", twice.stdout);
    // Its key stayed where it was made: on the node that issues.
    std::fs::copy(&certificate, fed.home().join("ca/440300-subject.crt"))?;
    std::fs::copy(&key, fed.home().join("ca/440300-subject.key"))?;
    fed.dev("restart", "sz-a-1")?;
    fed.wait_platform("sz-a-1", CITY, "is open", |p| {
        p["state"] == "active" && p["durability_now"] == "replicated"
    })?;
    let out = text(&dir.join("trader.crt"));
    let key_out = text(&dir.join("trader.key"));
    let subject = "enterprise/91440300MA5ABCD19J";
    let issue =
        ["cert", "issue", "--platform", CITY, "--subject", subject, "--out", &out, "--key-out", &key_out];
    let issued = wait_for("the city's CA issues", Duration::from_secs(30), || {
        let ran = fed.eport(&issue).map_err(|e| format!("{e:#}"))?;
        ran.ok_json().map_err(|e| format!("{e:#}"))
    })?;
    ensure!(issued["platform"] == CITY, "{issued}");
    openssl(&["verify", "-CAfile", &text(&root.join("root.crt")), "-untrusted", &out, &out])?;
    Ok(())
}

/// Its configured bundle is of before all this and what it had adopted is gone: the old root's word, kept in the registry, is enough.
fn a_member_that_knows_the_old_root_alone_proves_its_way(
    fed: &Federation,
    old: &str,
    new: &Path,
) -> Result<()> {
    fed.dev("kill", IDLE)?;
    let home = fed.node_dir(IDLE);
    let old_file = fed.scratch().join("only-old.pem");
    std::fs::write(&old_file, old)?;
    let config = home.join("eportd.toml");
    let before = read(&config)?;
    let line = before.lines().find(|l| l.trim_start().starts_with("trust = ")).context("trust")?;
    std::fs::write(&config, before.replace(line, &format!("trust = {:?}", text(&old_file))))?;
    std::fs::remove_file(home.join("data/trust.pem"))?;
    let known = read(&home.join("log"))?.len();
    fed.dev("restart", IDLE)?;
    wait_for("the member is back under the new root", Duration::from_secs(60), || {
        let log = read(&home.join("log")).map_err(|e| format!("{e:#}"))?;
        let since = log.get(known..).unwrap_or(&log);
        if since.contains("trust bundle in force") {
            Ok(())
        } else {
            Err(since.chars().take(2_000).collect())
        }
    })?;
    let fresh = eport_authority::certificates_of_pem(read(&home.join("data/trust.pem"))?.as_bytes())?;
    let root = eport_authority::certificate_of_pem(&read(&new.join("root.crt"))?)?;
    ensure!(fresh.contains(&root), "the adopted bundle is on disk");
    fed.wait_status("gz-a-1", "the member is up", |s| {
        s["nodes"].as_array().is_some_and(|n| n.iter().any(|n| n["node"] == IDLE && n["state"] == "up"))
    })?;
    Ok(())
}

fn a_rotation_can_be_undone(fed: &Federation, root: &Path) -> Result<()> {
    let dir = fed.scratch();
    let (paper, to) = (dir.join("third.toml"), dir.join("third"));
    std::fs::write(
        &paper,
        "federation = \"gd\"\ntrust_domain = \"gd.eport.example\"\n[shares]\nthreshold = 2\nholders = [\"an\", \"bo\"]\n",
    )?;
    let share = |name: &str| text(&root.join(format!("shares/{name}.1.share")));
    let ceremony =
        ["ca", "ceremony", "rotate", "--config", &text(&paper), "--dir", &text(&to), "--old", &text(root)];
    let shares = ["--share", &share("second"), "--share", &share("third")];
    fed.eport(&[&ceremony[..], &shares].concat())?.ok_json()?;
    let before = trust(fed)?;
    let prepared = fed.eport(&["ca", "rotate", "prepare", "--dir", &text(&to)])?.ok_json()?;
    ensure!(
        prepared["rotation"]["phase"] == "prepared" && prepared["version"] == before["version"],
        "{prepared:#}"
    );
    let second = fed.eport(&["ca", "rotate", "prepare", "--dir", &text(&to)])?.expect(4, "two at once")?;
    ensure!(second.error_code() == "EP4121", "{}", second.stdout);
    fed.eport(&["ca", "rotate", "publish"])?.ok_json()?;
    fed.eport(&["ca", "rotate", "cross"])?.ok_json()?;
    let undone = fed.eport(&["ca", "rotate", "abort"])?.ok_json()?;
    ensure!(undone["roots"] == before["roots"] && undone["issuing"] == before["issuing"], "{undone:#}");
    ensure!(undone["rotation"]["phase"] == "aborted", "{undone:#}");
    Ok(())
}

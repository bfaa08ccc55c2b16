//! Whose word a command is, over real processes: signatures, roles, two persons, the audit of both.

use anyhow::{Context, Result, anyhow, ensure};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_suite::starter;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn operators_sign_and_what_is_dangerous_needs_two_of_them() {
    with_federation(&[], |fed| {
        a_second_operator_is_issued_and_listed(fed)?;
        without_a_signature_nothing_is_taken_once_it_is_required(fed)?;
        signed_commands_work_as_before(fed)?;
        an_unlisted_operator_and_a_suspended_one_may_nothing(fed)?;
        a_guard_is_changed_by_two_persons_even_when_the_leader_dies_between_them(fed)?;
        a_rejected_command_is_not_carried_out(fed)?;
        a_drill_whose_failover_takes_two_persons_waits_for_the_second(fed)?;
        a_rotation_of_the_root_takes_two_persons_at_every_step_and_one_stops_it(fed)
    });
}

/// Runs `eport` at one node as another operator than the first.
fn as_operator(fed: &Federation, id: &str, node: &str, args: &[&str]) -> Result<Ran> {
    let home = fed.home();
    let (cert, key) = (home.join(format!("operator/{id}.crt")), home.join(format!("operator/{id}.key")));
    let mut command = fed.command(&["--json", "--yes", "--api", fed.api(node)?]);
    command.arg("--cert").arg(cert).arg("--key").arg(key).arg("--ca").arg(home.join("ca/bundle.pem"));
    Ran::of(command.args(args))
}

fn issue(fed: &Federation, id: &str) -> Result<Value> {
    let home = fed.home().display().to_string();
    fed.eport(&["user", "issue", id, "--dir", &home, "--region", "440000"])?.ok_json()
}

fn a_second_operator_is_issued_and_listed(fed: &Federation) -> Result<()> {
    issue(fed, "bo")?;
    issue(fed, "eve")?;
    fed.eport(&["user", "add", "bo", "--role", "approver"])?.ok_json()?;
    let users = fed.eport(&["user", "list"])?.ok_json()?;
    let ids: Vec<&str> =
        users["items"].as_array().context("items")?.iter().filter_map(|u| u["id"].as_str()).collect();
    ensure!(ids == ["admin", "bo"], "{users}");
    fed.eport(&["setting", "set", "operator_signatures", "required"])?.ok_json()?;
    fed.eport(&["setting", "set", "two_person", "on"])?.ok_json()?;
    Ok(())
}

/// A valid certificate alone no longer moves a platform: what a stolen connection or a node could send is refused.
fn without_a_signature_nothing_is_taken_once_it_is_required(fed: &Federation) -> Result<()> {
    let (http, api) = (fed.http()?, fed.api("gz-c-1")?.to_owned());
    let version = fed.platform_at("gz-c-1", "440300")?["version"].clone();
    let request = json!({ "kind": "switchover", "to": "gz-a-2", "expected_version": version });
    let url = format!("{api}/v1/platforms/440300/moves");
    let answer = http.post(&url, &request)?;
    ensure!(
        (answer.status, answer.code().as_str()) == (401, "EP1210"),
        "{} {}",
        answer.status,
        answer.text()
    );
    let answer = http.post(&format!("{api}/v1/nodes/sz-a-1/drain"), &json!({ "drain": true }))?;
    ensure!(answer.code() == "EP1210", "{}", answer.text());
    let version_now = fed.platform_at("gz-c-1", "440300")?["version"].clone();
    ensure!(version == version_now, "{version} became {version_now}");
    Ok(())
}

fn signed_commands_work_as_before(fed: &Federation) -> Result<()> {
    let moved = fed.eport_at("gz-c-1", &["platform", "switchover", "440300", "--to", "gz-a-2"])?.ok_json()?;
    ensure!(moved["state"] == "done", "{moved}");
    let policy = ["platform", "policy", "440300", "--durability", "sync", "--k", "1"];
    fed.eport_at("gz-a-2", &policy)?.ok_json()?;
    let set = fed.eport(&["table", "import", "--starter"])?.ok_json()?;
    let items = set["items"].as_array().context("items")?;
    ensure!(!items.is_empty() && items.iter().all(|i| i["published"] == true), "{set}");
    let audit = fed.eport(&["audit", "--limit", "1000"])?.ok_json()?;
    let rows = audit["items"].as_array().context("items")?;
    let switch = rows.iter().find(|r| r["kind"] == "platform.switchover").context("the switchover's row")?;
    ensure!(switch["first"]["by"] == "operator/admin" && switch["first"]["serial"].is_string(), "{switch}");
    ensure!(rows.iter().filter(|r| r["kind"] == "table.publish").count() == items.len(), "{audit}");
    Ok(())
}

fn an_unlisted_operator_and_a_suspended_one_may_nothing(fed: &Federation) -> Result<()> {
    let ran = as_operator(fed, "eve", "gz-a-1", &["setting", "set", "publish_lead_ms", "1"])?;
    let ran = ran.expect(6, "an operator that the registry does not list")?;
    ensure!(ran.error_code() == "EP1214", "{}", ran.stdout);
    let ran = as_operator(fed, "bo", "gz-a-1", &["setting", "set", "publish_lead_ms", "1"])?;
    ensure!(ran.error_code() == "EP1214", "an approver gives no commands: {}", ran.stdout);
    Ok(())
}

/// Opens a command that waits; answers its approval.
fn wait_for_second(fed: &Federation, args: &[&str]) -> Result<String> {
    let ran = fed.eport(args)?.expect(4, "a command that needs a second person")?;
    ensure!(ran.error_code() == "EP2020", "{}", ran.stdout);
    let approval = ran.json()?["error"]["approval"].as_str().map(str::to_owned);
    approval.with_context(|| ran.stdout.clone())
}

fn a_guard_is_changed_by_two_persons_even_when_the_leader_dies_between_them(fed: &Federation) -> Result<()> {
    let id = wait_for_second(fed, &["setting", "set", "two_persons", "platform.failover"])?;
    let own = fed.eport(&["approval", "approve", &id])?.expect(6, "the same person")?;
    ensure!(own.error_code() == "EP2021", "{}", own.stdout);
    let leader = fed.status_at("gz-a-2")?["leader"].as_str().context("leader")?.to_owned();
    fed.dev("kill", &leader)?;
    let node =
        ["gz-a-2", "gz-c-1", "gz-a-1", "sz-a-1"].into_iter().find(|n| *n != leader).context("a node")?;
    fed.wait_status(node, "another leader", |s| s["leader"].as_str().is_some_and(|l| l != leader))?;
    let shown = as_operator(fed, "bo", node, &["approval", "show", &id])?.ok_json()?;
    ensure!(shown["state"] == "pending" && shown["fields"]["value"] == "platform.failover", "{shown}");
    let done = as_operator(fed, "bo", node, &["approve", &id])?.ok_json()?;
    ensure!(done["state"] == "executed" && done["second"]["by"] == "operator/bo", "{done}");
    let again = as_operator(fed, "bo", node, &["approve", &id])?.expect(4, "approved twice")?;
    ensure!(again.error_code() == "EP2023", "{}", again.stdout);
    fed.dev("restart", &leader)?;
    // Every node, the one that was away too, tells the same story and names both.
    for node in ["gz-a-1", "gz-a-2", "gz-c-1", "sz-a-1"] {
        wait_for(&format!("the audit at {node}"), Duration::from_secs(60), || {
            let audit =
                fed.eport_at(node, &["audit"]).and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
            let rows = audit["items"].as_array().cloned().unwrap_or_default();
            let row = rows.iter().find(|r| r["id"] == id.as_str() && r["event"] == "executed");
            match row {
                Some(r) if r["first"]["by"] == "operator/admin" && r["second"]["by"] == "operator/bo" => {
                    Ok(())
                }
                _ => Err(audit.to_string()),
            }
        })?;
    }
    Ok(())
}

fn a_rejected_command_is_not_carried_out(fed: &Federation) -> Result<()> {
    let id = wait_for_second(fed, &["setting", "set", "operator_signatures", "optional"])?;
    let rejected = as_operator(fed, "bo", "gz-a-1", &["approval", "reject", &id])?.ok_json()?;
    ensure!(rejected["state"] == "rejected", "{rejected}");
    let settings = fed.eport(&["setting", "list"])?.ok_json()?;
    let items = settings["items"].as_array().context("items")?;
    let signatures = items.iter().find(|s| s["name"] == "operator_signatures").context("the setting")?;
    ensure!(signatures["value"] == "required", "{settings}");
    Ok(())
}

/// The guard that was changed before makes every failover a matter of two persons.
fn a_drill_whose_failover_takes_two_persons_waits_for_the_second(fed: &Federation) -> Result<()> {
    starter(fed)?;
    let (watch, city) = ("gz-c-1", "440300");
    let home = fed.platform_at(watch, city)?["primary"].clone();
    let drill = std::thread::scope(|scope| -> Result<Value> {
        let drill = scope.spawn(|| fed.eport(&["--timeout", "60s", "drill", "run", "primary-kill", city]));
        let seen =
            wait_for("the drill's failover waits for its second person", Duration::from_secs(120), || {
                let listed = as_operator(fed, "bo", watch, &["approval", "list"]).and_then(|r| r.ok_json());
                let listed = listed.map_err(|e| format!("{e:#}"))?;
                let waits = |a: &&Value| a["state"] == "pending" && a["kind"] == "platform.failover";
                let found = listed["items"].as_array().into_iter().flatten().find(waits);
                found.and_then(|a| a["id"].as_str().map(str::to_owned)).ok_or_else(|| listed.to_string())
            });
        // A drill that nobody approves ends by itself; its word then says why.
        let approved = seen.and_then(|id| as_operator(fed, "bo", watch, &["approve", &id])?.ok_json());
        let ran = drill.join().map_err(|_| anyhow!("the drill's thread"))??;
        let approved = approved.with_context(|| format!("{ran:?}"))?;
        ensure!(approved["state"] == "executed", "{approved}");
        ensure!(ran.stderr.contains("waits for a second person: eport approve"), "{ran:?}");
        ran.expect(0, "the drill")?.json()
    })?;
    ensure!(drill["verdict"] == "passed" && drill["restored"] == true, "{drill:#}");
    ensure!(fed.platform_at(watch, city)?["primary"] == home, "the city is home again");
    Ok(())
}

/// Whatever the list of kinds says (it names failovers alone by now): the root is nobody's alone.
fn a_rotation_of_the_root_takes_two_persons_at_every_step_and_one_stops_it(fed: &Federation) -> Result<()> {
    let dir = fed.scratch();
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let (paper, to, old) = (text(dir.join("new.toml")), text(dir.join("root2")), fed.home().join("ca"));
    std::fs::write(
        &paper,
        "federation = \"gd\"\ntrust_domain = \"gd.eport.example\"\n[shares]\nthreshold = 2\nholders = [\"an\", \"bo\"]\n",
    )?;
    let (root, key, bundle) =
        (text(old.join("root.crt")), text(old.join("root.key")), text(old.join("bundle.pem")));
    let ceremony = ["ca", "ceremony", "rotate", "--config", &paper, "--dir", &to, "--old-root-cert", &root];
    fed.eport(&[&ceremony[..], &["--old-root-key", &key, "--bundle", &bundle]].concat())?.ok_json()?;
    let phase =
        || Ok::<_, anyhow::Error>(fed.eport(&["ca", "rotate", "status"])?.ok_json()?["rotation"].clone());
    let version = fed.eport(&["ca", "status"])?.ok_json()?["version"].clone();
    for (step, then) in [(vec!["prepare", "--dir", &to], "prepared"), (vec!["publish"], "published")] {
        let before = phase()?;
        let id = wait_for_second(fed, &[&["ca", "rotate"][..], &step].concat())?;
        ensure!(phase()? == before, "{step:?} was taken from one person: {}", phase()?);
        let own = fed.eport(&["approval", "approve", &id])?.expect(6, "the same person")?;
        ensure!(own.error_code() == "EP2021", "{}", own.stdout);
        let done = as_operator(fed, "bo", "gz-c-1", &["approve", &id])?.ok_json()?;
        ensure!(done["state"] == "executed" && done["second"]["by"] == "operator/bo", "{done}");
        ensure!(phase()?["phase"] == then, "{}", phase()?);
    }
    let published = fed.eport(&["ca", "status"])?.ok_json()?;
    ensure!(published["version"] != version && published["roots"].as_array().is_some_and(|r| r.len() == 2));
    // Stopping takes one.
    let undone = fed.eport(&["ca", "rotate", "abort"])?.ok_json()?;
    ensure!(undone["rotation"]["phase"] == "aborted", "{undone}");
    ensure!(undone["roots"].as_array().is_some_and(|r| r.len() == 1), "{undone}");
    Ok(())
}

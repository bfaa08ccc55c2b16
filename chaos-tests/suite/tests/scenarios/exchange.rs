//! Documents of a city go to an agency at the province and to one at the city itself; answers come back; the primaries of both
//! platforms fail over in the middle. Everything has exactly one effect.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_suite::{Ledger, documents, starter};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

const CITY: &str = "440100";
const PROVINCE: &str = "440000";
/// Primary of the city, of the province, and a node that is neither.
const OF_CITY: &str = "gz-c-1";
const OF_PROVINCE: &str = "gz-a-1";
const AT: &str = "sz-a-1";
const SOON: Duration = Duration::from_secs(90);
const ROUND: usize = 15;

/// The lead agency takes a document into review, then accepts it; on one field it refuses.
const SCRIPT: &str = r#"
[[rule]]
doc_type = "arrival_report"
receipts = [{ kind = "TECH_ACK", code = "E1" }, { code = "02", text = "人工审核" }, { code = "01", text = "接受" }]
"#;

#[test]
fn documents_reach_their_agencies_and_answers_come_back_once_through_failovers_of_both_sides() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let before = submitted_before_anybody_listens(fed)?;
        attach(fed, "CUS", PROVINCE)?;
        attach(fed, "CIQ", CITY)?;
        let mut agency = Agency::start(fed, "CUS", PROVINCE)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("A", ROUND))?;
        fail_over(fed, CITY, OF_CITY)?;
        ledger.submit(fed, CITY, &documents("B", ROUND))?;
        fed.dev("restart", OF_CITY)?;
        fed.wait_status(AT, "the old primary follows", |s| up(s, OF_CITY) && backed(s, PROVINCE, 1))?;
        fail_over(fed, PROVINCE, OF_PROVINCE)?;
        ledger.submit(fed, CITY, &documents("C", ROUND))?;
        let all = 3 * ROUND + 1;
        accepted(fed, all)?;
        agency.stop()?;
        ledger.check(fed, CITY, false)?;
        once(fed, all)?;
        agencies_see_their_part_alone(fed, &before)
    });
}

/// One document before any agency is attached: it waits, and says for whom.
fn submitted_before_anybody_listens(fed: &Federation) -> Result<String> {
    let file = fed.scratch().join("first.json");
    std::fs::write(&file, eport_suite::document("FIRST").to_string())?;
    let file = file.display().to_string();
    let answer = fed.eport_at(AT, &["doc", "submit", &file, "--platform", CITY])?.ok_json()?;
    ensure!(answer["state"] == "DISPATCHED", "{answer}");
    let doc_id = answer["doc_id"].as_str().context("doc_id")?.to_owned();
    let why = fed.eport_at(AT, &["doc", "why", &doc_id, "--platform", CITY])?.ok_json()?;
    let first = &why["items"][0];
    ensure!(first["actor"] == "operator" && first["record"] == answer["position"]["index"], "{why}");
    let status = fed.eport_at(AT, &["exchange", "status", "--platform", CITY])?.ok_json()?;
    ensure!(status["items"][0]["unrouted"] == 3, "{status}");
    Ok(doc_id)
}

fn files(fed: &Federation, agency: &str) -> (PathBuf, PathBuf) {
    (fed.scratch().join(format!("{agency}.crt")), fed.scratch().join(format!("{agency}.key")))
}

fn attach(fed: &Federation, agency: &str, platform: &str) -> Result<()> {
    let (cert, key) = files(fed, agency);
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let args = [
        "agency",
        "register",
        agency,
        "--platform",
        platform,
        "--out",
        &cert,
        "--key-out",
        &key,
        "--name",
        agency,
    ];
    fed.eport_at(OF_PROVINCE, &args)?.ok_json()?;
    let listed = fed.eport(&["agency", "list"])?.ok_json()?;
    let found = listed["items"].as_array().and_then(|l| l.iter().find(|a| a["agency"] == agency));
    ensure!(found.is_some_and(|a| a["platforms"][0] == platform), "{listed}");
    Ok(())
}

fn as_agency(fed: &Federation, agency: &str, args: &[&str]) -> Result<std::process::Command> {
    let (cert, key) = files(fed, agency);
    let mut command = fed.command(&["--json", "--yes", "--api", fed.api(AT)?]);
    command.arg("--cert").arg(cert).arg("--key").arg(key);
    command.arg("--ca").arg(fed.home().join("ca/bundle.pem")).args(args);
    Ok(command)
}

/// A virtual agency as a process of its own.
struct Agency(Child);

impl Agency {
    fn start(fed: &Federation, agency: &str, platform: &str) -> Result<Self> {
        let script = fed.scratch().join("script.toml");
        std::fs::write(&script, SCRIPT)?;
        let script = script.display().to_string();
        let args = ["agency", "simulate", agency, "--script", &script, "--platform", platform, "--wait", "2"];
        let mut command = as_agency(fed, agency, &args)?;
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    fn stop(&mut self) -> Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "the virtual agency has ended by itself");
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Agency {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fail_over(fed: &Federation, region: &str, primary: &str) -> Result<()> {
    fed.dev("kill", primary)?;
    // The dead node may have led the registry: asking again joins what was begun.
    let args = ["platform", "failover", region, "--old-primary", "stopped"];
    let asked = || fed.eport_at(AT, &args).and_then(|r| r.ok_json()).map_err(|e| e.to_string());
    wait_for("the failover", SOON, asked).map(drop)
}

fn up(status: &Value, node: &str) -> bool {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.filter(|n| n["node"] == node).any(|n| n["state"] == "up")
}

/// At least so many backups of a platform are in sync beside its primary.
fn backed(status: &Value, region: &str, least: usize) -> bool {
    let platforms = status["platforms"].as_array().into_iter().flatten();
    platforms.filter(|p| p["region"] == region).any(|p| {
        let backups = p["backups"].as_array().into_iter().flatten();
        backups.filter(|b| b["in_sync"] == true).count() >= least
    })
}

fn count(fed: &Federation, state: &str) -> Result<u64> {
    let args =
        ["doc", "list", "--platform", CITY, "--doc-type", "arrival_report", "--state", state, "--count"];
    let answer = fed.eport_at(AT, &args)?.ok_json()?;
    answer["count"].as_u64().context("count")
}

fn accepted(fed: &Federation, all: usize) -> Result<()> {
    wait_for("every document is accepted", SOON, || match count(fed, "ACCEPTED") {
        Ok(n) if n == all as u64 => Ok(()),
        Ok(n) => {
            Err(format!("{n} of {all}; {:?}", fed.eport_at(AT, &["exchange", "status"]).map(|r| r.stdout)))
        }
        Err(e) => Err(e.to_string()),
    })
}

/// Each document has its receipts once, each agency's message exists once, nothing is left on the way.
fn once(fed: &Federation, all: usize) -> Result<()> {
    let args = ["doc", "list", "--platform", CITY, "--limit", "1000"];
    let listed = fed.eport_at(AT, &args)?.ok_json()?;
    let items = listed["items"].as_array().context("items")?;
    ensure!(items.len() == all, "{} documents", items.len());
    let mut messages = BTreeSet::new();
    for item in items {
        let id = item["doc_id"].as_str().context("doc_id")?;
        let trace = fed.eport_at(AT, &["doc", "trace", id, "--platform", CITY])?.ok_json()?;
        let codes: Vec<&str> = trace["receipts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|r| r["agency"] == "CUS")
            .filter_map(|r| r["code"].as_str())
            .collect();
        ensure!(codes == ["E1", "02", "01"], "{id}: {codes:?}");
        for part in trace["agencies"].as_array().context("agencies")? {
            ensure!(messages.insert(part["msg_id"].to_string()), "a message id twice: {trace}");
        }
    }
    let mut command = as_agency(fed, "CUS", &["exchange", "status", "--platform", PROVINCE])?;
    ensure!(Ran::of(&mut command)?.code != 0, "an agency looks at what operators look at");
    // The virtual city's primary was the node that is dead: it is told of and keeps nobody back.
    let status = fed.eport_at(AT, &["exchange", "status"])?.ok_json()?;
    for platform in status["items"].as_array().context("items")? {
        let of_these = [CITY, PROVINCE].contains(&platform["region"].as_str().unwrap_or_default());
        let fine = platform["dead_letters"] == 0 && platform["alerts"] == 0;
        ensure!(fine || (!of_these && !platform["error"].is_null()), "{platform}");
    }
    let inbox = |region: &str, agency: &str| -> u64 {
        let of = |list: &Value, key: &str, wanted: &str| {
            list.as_array().into_iter().flatten().find(|x| x[key] == wanted).cloned().unwrap_or_default()
        };
        of(&of(&status["items"], "region", region)["inboxes"], "agency", agency)["waiting"]
            .as_u64()
            .unwrap_or(0)
    };
    ensure!((inbox(PROVINCE, "CUS"), inbox(CITY, "CIQ")) == (0, all as u64), "{status}");
    Ok(())
}

fn agencies_see_their_part_alone(fed: &Federation, doc_id: &str) -> Result<()> {
    let mut command =
        as_agency(fed, "CIQ", &["doc", "show", doc_id, "--platform", CITY, "--purpose", "CLEARANCE"])?;
    let shown = Ran::of(&mut command)?.ok_json()?;
    ensure!(shown["body"]["port"].is_null() && !shown["body"]["bill_no"].is_null(), "{shown}");
    // The other agency is attached to the province and reads nothing at the city.
    let mut command = as_agency(fed, "CUS", &["doc", "show", doc_id, "--platform", CITY])?;
    ensure!(Ran::of(&mut command)?.code == 6, "an agency reads on another platform");
    let script = fed.scratch().join("script.toml").display().to_string();
    let args = ["agency", "simulate", "CUS", "--script", &script, "--platform", CITY, "--idle", "1"];
    let mut command = as_agency(fed, "CIQ", &args)?;
    let refused = Ran::of(&mut command)?;
    ensure!(refused.error_code() == "EP5010", "{}", refused.stdout);
    Ok(())
}

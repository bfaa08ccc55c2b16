//! Links between sites that are cut, slow or lossy, over real processes and the relay of `eport dev`.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, with_federation};
use eport_suite::{Ledger, Load, documents, proof_of_equality, starter};
use serde_json::Value;

/// The city, its node and its site.
const CITY: &str = "440300";
const NODE: &str = "sz-a-1";
const SITE: &str = "sz-a";
const PROVINCE: &str = "gz-a";
/// The city's backup there.
const BACKUP: &str = "gz-a-2";

/// `eport dev VERB …`: the links it names, as they are afterwards.
fn links(fed: &Federation, args: &[&str]) -> Result<Vec<Value>> {
    let mut line = vec!["dev"];
    line.extend(args);
    let done = fed.eport(&line)?.expect(0, &args.join(" "))?.json()?;
    Ok(done["links"].as_array().context("links")?.clone())
}

fn link<'a>(links: &'a [Value], from: &str, to: &str) -> Result<&'a Value> {
    links.iter().find(|l| l["from"] == from && l["to"] == to).with_context(|| format!("{from} to {to}"))
}

/// The backup of a platform on a site, as `node` sees it.
fn backup_on<'a>(fed: &Federation, platform: &'a Value, site: &str) -> Option<&'a Value> {
    let stands = |b: &&Value| fed.nodes().iter().any(|n| b["node"] == n.node.as_str() && n.site == site);
    platform["backups"].as_array()?.iter().find(stands)
}

fn lag(fed: &Federation, platform: &Value, site: &str) -> Option<u64> {
    backup_on(fed, platform, site)?["lag_records"].as_u64()
}

/// The backup on a site has everything.
fn level(fed: &Federation, site: &str) -> Result<()> {
    fed.wait_platform(NODE, CITY, &format!("has the backup on {site} level"), |p| {
        backup_on(fed, p, site).is_some_and(|b| b["in_sync"] == true && b["lag_records"] == 0)
    })?;
    Ok(())
}

#[test]
fn a_city_cut_off_from_the_province_goes_on_under_its_policy_and_everything_converges() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("BEFORE", 100))?;
        level(fed, PROVINCE)?;
        let cut = links(fed, &["cut", SITE, PROVINCE])?;
        ensure!(cut.len() == 2 && cut.iter().all(|l| l["cut"] == true), "{cut:?}");
        // Its other backup stands on a third site: `sync` with k = 1 holds, so writes go on and are replicated. The callers
        // stand in the city.
        let file = fed.scratch().join("during.ndjson");
        let during = documents("DURING", 400);
        std::fs::write(&file, eport_suite::lines(&during))?;
        let path = file.to_string_lossy();
        let answered = fed
            .eport_at(NODE, &["--timeout", "60s", "doc", "submit", &path, "--platform", CITY])?
            .expect(0, "writes in the city during the cut")?
            .json()?;
        let items = answered["items"].as_array().context("items")?;
        ensure!(ledger.note_batch(&during, items)? == 0, "{answered}");
        ensure!(items.iter().all(|i| i["durability"] == "replicated"), "{answered}");
        fed.wait_platform(NODE, CITY, "knows that the province is behind", |p| {
            lag(fed, p, PROVINCE).is_some_and(|l| l >= 400)
        })?;
        let seen = fed.eport(&["dev", "status"])?.ok_json()?;
        let between = seen["links"].as_array().context("links of dev status")?;
        ensure!(link(between, SITE, PROVINCE)?["lost_cut"].as_u64() > Some(0), "{between:?}");
        let healed = links(fed, &["heal"])?;
        ensure!(healed.iter().all(|l| l["cut"] == false), "{healed:?}");
        level(fed, PROVINCE)?;
        ledger.check(fed, CITY, true)?;
        proof_of_equality(fed, CITY, 3)?;
        // A document for the city that enters at the province is forwarded again.
        ledger.submit(fed, CITY, &documents("AFTER", 20))?;
        ledger.check(fed, CITY, true)
    });
}

#[test]
fn a_backup_behind_a_line_of_one_megabit_catches_up_and_stays_level() {
    behind_a_slow_line(
        |fed| fed.dev("kill", BACKUP),
        |fed| {
            slow_down(fed)?;
            fed.dev("restart", BACKUP)
        },
    );
}

/// The same, from a cut straight to the slow line. The city's node, which heard no leader during the cut, must not unseat the
/// registry's leader: what it would send as leader waits behind the records on its own line.
#[test]
fn a_backup_that_was_cut_off_catches_up_over_a_line_of_one_megabit() {
    behind_a_slow_line(
        |fed| links(fed, &["cut", SITE, PROVINCE]).map(|_| ()),
        |fed| {
            links(fed, &["heal", SITE, PROVINCE])?;
            slow_down(fed)
        },
    );
}

/// A megabit a second with 20 ms each way and some losses.
fn slow_down(fed: &Federation) -> Result<()> {
    let slow = ["slow", SITE, PROVINCE, "--rate-kbit", "1000", "--delay-ms", "20", "--loss", "0.5"];
    let slowed = links(fed, &slow)?;
    ensure!(slowed.iter().all(|l| l["rate_kbit"] == 1000 && l["cut"] == false), "{slowed:?}");
    Ok(())
}

fn behind_a_slow_line(away: impl Fn(&Federation) -> Result<()>, back: impl Fn(&Federation) -> Result<()>) {
    with_federation(&["--profile", "default"], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("BEFORE", 50))?;
        level(fed, PROVINCE)?;
        away(fed)?;
        // Near three megabytes of records: half a minute on the line below.
        for part in 0..2 {
            ledger.submit(fed, CITY, &documents(&format!("BULK{part}"), 500))?;
        }
        fed.wait_platform(NODE, CITY, "has the province behind", |p| lag(fed, p, PROVINCE) >= Some(1_000))?;
        back(fed)?;
        level(fed, PROVINCE)?;
        let load = Load::start(fed, CITY, "SLOW", 20)?;
        load.wait_more(200)?;
        level_within(fed, PROVINCE, 400)?;
        for attempt in load.finish()?.iter().filter(|a| a.accepted()) {
            ledger.note(&attempt.reference, attempt.doc_id.as_deref().context("doc_id")?)?;
        }
        links(fed, &["heal"])?;
        level(fed, PROVINCE)?;
        ledger.check(fed, CITY, true)?;
        proof_of_equality(fed, CITY, 3).map(|_| ())
    });
}

/// The backup on a site is at most so many records behind while writes go on.
fn level_within(fed: &Federation, site: &str, records: u64) -> Result<()> {
    fed.wait_platform(NODE, CITY, &format!("has the backup on {site} within {records}"), |p| {
        lag(fed, p, site).is_some_and(|l| l <= records)
    })?;
    Ok(())
}

#[test]
fn links_are_named_refused_and_mended_and_a_dead_relay_is_started_again() {
    with_federation(&[], |fed| {
        let unknown = fed.eport(&["dev", "cut", SITE, "xm-a"])?.expect(3, "an unknown site")?;
        ensure!(unknown.error_code() == "EP7007", "{unknown:?}");
        fed.eport(&["dev", "slow", SITE, PROVINCE, "--loss", "101"])?
            .expect(2, "more than everything lost")?;
        let one_way = links(fed, &["cut", SITE, PROVINCE, "--one-way"])?;
        ensure!(one_way.len() == 1 && one_way[0]["from"] == SITE, "{one_way:?}");
        let relay = |fed: &Federation| -> Result<Value> {
            Ok(fed.eport(&["dev", "status"])?.ok_json()?["relay"].clone())
        };
        let before = relay(fed)?;
        ensure!(before["state"] == "running", "{before}");
        let pid = before["pid"].as_u64().context("pid")?.to_string();
        let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status()?;
        ensure!(killed.success(), "kill {pid}: {killed}");
        eport_cluster::wait_for("the end of the relay", std::time::Duration::from_secs(30), || match relay(
            fed,
        ) {
            Ok(r) if r["state"] == "exited" => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        fed.eport(&["dev", "cut", SITE, PROVINCE])?.expect(5, "a question to a dead relay")?;
        let healed = links(fed, &["heal"])?;
        ensure!(healed.len() == 6 && healed.iter().all(|l| l["cut"] == false), "{healed:?}");
        level(fed, PROVINCE)?;
        // What a caller on another site sees: the same API, through the link.
        let path = before["paths"].as_array().context("paths")?.iter().find(|p| p["to"] == NODE);
        let api = path.context("a path")?["api"].as_str().context("api")?.to_owned();
        let ready = fed.http()?.get(&format!("{api}/readyz"))?;
        ensure!(ready.status == 200, "{}", ready.text());
        Ok(())
    });
}

#[test]
fn the_plan_names_what_each_site_costs_and_its_command_mends_it() {
    with_federation(&[], |fed| {
        let plan = fed.eport(&["plan", "backups"])?.ok_json()?;
        let losses = plan["losses"].as_array().context("losses")?;
        ensure!(losses.len() == 3 + 3, "three sites and three pairs: {plan}");
        let single = |plan: &Value, site: &str| -> Result<Value> {
            let all = plan["losses"].as_array().context("losses")?;
            let found = all.iter().find(|l| l["because"] == "site" && l["sites"][0] == site);
            found.cloned().with_context(|| format!("{site} in {plan}"))
        };
        for site in [SITE, PROVINCE, "gz-c"] {
            ensure!(single(&plan, site)?["worst"] == "nothing", "{plan}");
        }
        fed.eport(&["platform", "policy", CITY, "--durability", "async", "--backup", "gz-a-1:async"])?
            .expect(0, "async")?;
        let weak = fed.eport(&["plan", "backups"])?.ok_json()?;
        let loss = single(&weak, SITE)?;
        ensure!(loss["worst"] == "unreplicated_tail" && loss["worst_after"] == "nothing", "{loss}");
        let advice = weak["platforms"].as_array().context("platforms")?.iter().find(|p| p["region"] == CITY);
        let command = advice.context("advice")?["command"].as_str().context("a command")?.to_owned();
        let args: Vec<&str> = command.split(' ').skip(1).collect();
        fed.eport(&args)?.expect(0, &command)?;
        for site in [PROVINCE, "gz-c"] {
            level(fed, site)?;
        }
        let mended = fed.wait_status(NODE, "the city is replicated again", |s| {
            let found =
                s["platforms"].as_array().and_then(|l| l.iter().find(|p| p["region"] == CITY).cloned());
            found.is_some_and(|p| p["durability_now"] == "replicated" && p["durability"] == "sync")
        })?;
        ensure!(mended["platforms"].is_array(), "{mended}");
        eport_cluster::wait_for("a site that costs nothing", std::time::Duration::from_secs(60), || {
            let plan =
                fed.eport(&["plan", "backups"]).and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
            let loss = single(&plan, SITE).map_err(|e| format!("{e:#}"))?;
            if loss["worst"] == "nothing" { Ok(()) } else { Err(loss.to_string()) }
        })?;
        // One grid under two sites: the plan counts it as one loss.
        for site in [SITE, PROVINCE] {
            fed.eport(&["site", "set", site, "--label", "power=grid-1"])?.expect(0, "label")?;
        }
        let plan = fed.eport(&["plan", "backups"])?.ok_json()?;
        let grid =
            plan["losses"].as_array().context("losses")?.iter().find(|l| l["because"] == "power=grid-1");
        ensure!(grid.context("the grid")?["quorum_lost"] == true, "{plan}");
        let people = fed.command(&["--lang", "zh", "plan", "backups"]).output()?;
        ensure!(String::from_utf8_lossy(&people.stdout).contains("如果失去 sz-a"), "{people:?}");
        Ok(())
    });
}

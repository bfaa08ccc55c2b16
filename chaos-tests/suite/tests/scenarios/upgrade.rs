//! Two versions side by side: wire versions that overlap and that do not, record kinds that not everybody reads yet.
//!
//! The failpoints let a node of this build say of itself what an older or a newer build would say.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Result, ensure};
use eport_cluster::{Federation, wait_for};
use eport_suite::{Ledger, documents, proof_of_equality, starter};
use serde_json::Value;
use std::time::Duration;

const CITY: &str = "440300";
const AT: &str = "sz-a-1";
const OTHER: &str = "gz-c-1";
const LEARNER: &str = "gz-a-2";

fn says(fed: &Federation, node: &str, name: &str, value: &str) -> Result<()> {
    let dir = fed.points().unwrap().join(node);
    std::fs::create_dir_all(&dir)?;
    Ok(std::fs::write(dir.join(name), value)?)
}

fn again(fed: &Federation, node: &str) -> Result<()> {
    fed.dev("kill", node)?;
    fed.dev("restart", node)
}

fn level(fed: &Federation) -> Result<Value> {
    fed.wait_platform(AT, CITY, "is active with every backup level", |p| {
        let whole = |b: &Value| b["in_sync"] == true && b["lag_records"] == 0;
        p["state"] == "active" && p["backups"].as_array().is_some_and(|b| b.len() == 2 && b.iter().all(whole))
    })
}

#[test]
fn nodes_of_two_versions_work_together_where_their_ranges_meet_and_part_with_a_code_where_not() {
    let fed = Federation::up_armed(&[]).unwrap();
    let run = || -> Result<()> {
        starter(&fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(&fed, CITY, &documents("OLD", 30))?;
        level(&fed)?;
        // One node after the other is replaced by a build that also knows the next wire version: nothing stops meanwhile.
        for node in [LEARNER, OTHER, "gz-a-1", AT] {
            says(&fed, node, "wire.oldest", "1")?;
            says(&fed, node, "wire.newest", "2")?;
            again(&fed, node)?;
            level(&fed)?;
            ledger.submit(&fed, CITY, &documents(&format!("WITH-{node}"), 10))?;
        }
        proof_of_equality(&fed, CITY, 3)?;
        // A build that has dropped the version which the others speak is kept out, and both sides say why.
        says(&fed, LEARNER, "wire.oldest", "3")?;
        says(&fed, LEARNER, "wire.newest", "4")?;
        fed.dev("kill", LEARNER)?;
        let mut restart = fed.spawn(&["--timeout", "20s", "dev", "restart", LEARNER])?;
        wait_for("the refusal in the learner's log", Duration::from_secs(30), || {
            let log = std::fs::read_to_string(fed.node_dir(LEARNER).join("log")).unwrap_or_default();
            match log.contains("EP1303") || log.contains("wire versions") {
                true => Ok(()),
                false => Err(log.lines().last().unwrap_or_default().to_owned()),
            }
        })?;
        ledger.submit(&fed, CITY, &documents("WITHOUT", 20))?;
        let _ = restart.kill();
        restart.wait()?;
        // Back in range it follows again by itself.
        says(&fed, LEARNER, "wire.oldest", "1")?;
        again(&fed, LEARNER)?;
        level(&fed)?;
        a_node_with_another_program_is_seen(&fed)?;
        ledger.check(&fed, CITY, true)?;
        proof_of_equality(&fed, CITY, 3).map(|_| ())
    };
    run().unwrap_or_else(|e| panic!("{e:#}"));
}

/// A program with one byte more runs as well, and everybody sees that it is another one.
fn a_node_with_another_program_is_seen(fed: &Federation) -> Result<()> {
    let warned = |s: &Value| {
        let all = s["warnings"].as_array()?;
        all.iter().find(|w| w["code"] == "EP1008").map(|w| w["text"].as_str().unwrap_or_default().to_owned())
    };
    let build = |s: &Value, node: &str| {
        let all = s["nodes"].as_array()?;
        all.iter().find(|n| n["node"] == node)?["build"].as_str().map(str::to_owned)
    };
    fed.wait_status(AT, "that all run one program", |s| {
        let one = build(s, AT);
        one.is_some() && [LEARNER, OTHER, "gz-a-1"].iter().all(|n| build(s, n) == one) && warned(s).is_none()
    })?;
    let (other, state) = (fed.scratch().join("other-program/eportd"), fed.home().join("dev.json"));
    std::fs::create_dir_all(other.parent().unwrap())?;
    std::fs::copy(&eport_cluster::binaries()?.eportd, &other)?;
    std::io::Write::write_all(&mut std::fs::OpenOptions::new().append(true).open(&other)?, b"\n")?;
    let with = |program: &std::path::Path| -> Result<()> {
        let mut text: Value = serde_json::from_slice(&std::fs::read(&state)?)?;
        text["eportd"] = program.to_string_lossy().into_owned().into();
        Ok(std::fs::write(&state, serde_json::to_vec(&text)?)?)
    };
    with(&other)?;
    again(fed, LEARNER)?;
    fed.wait_status(AT, "the warning about the learner's program", |s| {
        warned(s).is_some_and(|text| text.starts_with(LEARNER)) && build(s, LEARNER) != build(s, AT)
    })?;
    with(&eport_cluster::binaries()?.eportd)?;
    again(fed, LEARNER)?;
    fed.wait_status(AT, "that all run one program again", |s| warned(s).is_none())?;
    level(fed).map(|_| ())
}

#[test]
fn a_new_record_kind_is_written_only_when_every_holder_reads_it() {
    let fed = Federation::up_armed(&[]).unwrap();
    let run = || -> Result<()> {
        starter(&fed)?;
        let mut ledger = Ledger::default();
        let policy = ["platform", "policy", CITY, "--durability", "auto_sync", "--isolation", "degrade"];
        fed.eport(&policy)?.expect(0, "policy")?;
        level(&fed)?;
        ledger.submit(&fed, CITY, &documents("BEFORE", 10))?;
        // What a node reads never falls: an older build is told so.
        says(&fed, LEARNER, "reads", "1")?;
        again(&fed, LEARNER)?;
        wait_for("the refusal of an older reader", Duration::from_secs(30), || {
            let log = std::fs::read_to_string(fed.node_dir(LEARNER).join("log")).unwrap_or_default();
            match log.contains("start the newer version again") {
                true => Ok(()),
                false => Err(log.lines().last().unwrap_or_default().to_owned()),
            }
        })?;
        std::fs::remove_file(fed.points().unwrap().join(LEARNER).join("reads"))?;
        again(&fed, LEARNER)?;
        level(&fed)?;
        ledger.check(&fed, CITY, true)
    };
    run().unwrap_or_else(|e| panic!("{e:#}"));
}

#[test]
fn while_one_holder_reads_only_the_older_format_the_primary_waits_instead_of_degrading() {
    // Said before the first start: these nodes were never anything but old.
    let fed = Federation::up_armed_with(&[], &[(LEARNER, "reads", "1"), (OTHER, "reads", "1")]).unwrap();
    let run = || -> Result<()> {
        starter(&fed)?;
        let mut ledger = Ledger::default();
        fed.eport(&["platform", "policy", CITY, "--durability", "auto_sync", "--isolation", "degrade"])?
            .expect(0, "policy")?;
        level(&fed)?;
        ledger.submit(&fed, CITY, &documents("BEFORE", 10))?;
        // The city alone, without registry and backups: longer than its wait, and it writes no record that they could not read.
        for other in ["gz-a", "gz-c"] {
            fed.eport(&["dev", "cut", "sz-a", other])?.expect(0, "cut")?;
        }
        let file = fed.scratch().join("alone.json");
        std::fs::write(&file, eport_suite::document("ALONE").to_string())?;
        let path = file.to_string_lossy().into_owned();
        let lodge = ["--timeout", "12s", "doc", "submit", &path, "--platform", CITY];
        fed.eport_at(AT, &lodge)?
            .expect(5, "a write that nobody confirms, under a format that not all read")?;
        fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
        level(&fed)?;
        // Both are upgraded: from now on it may.
        for node in [LEARNER, OTHER] {
            std::fs::remove_file(fed.points().unwrap().join(node).join("reads"))?;
            again(&fed, node)?;
        }
        level(&fed)?;
        // What the primary does not know when it is cut off it does not count on.
        fed.wait_status(AT, "that both read the newer format", |s| {
            let reads = |node: &str| {
                let nodes = s["nodes"].as_array()?;
                nodes.iter().find(|n| n["node"] == node)?["reads"].as_u64()
            };
            [LEARNER, OTHER].iter().all(|node| reads(node) > Some(1))
        })?;
        for other in ["gz-a", "gz-c"] {
            fed.eport(&["dev", "cut", "sz-a", other])?.expect(0, "cut")?;
        }
        std::fs::write(&file, eport_suite::document("ALONE-NOW").to_string())?;
        let lodge = ["--timeout", "30s", "doc", "submit", &path, "--platform", CITY];
        let answered = fed.eport_at(AT, &lodge)?.expect(0, "a write of a degraded primary")?.json()?;
        ensure!(answered["durability"] == "local", "{answered}");
        fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
        level(&fed)?;
        ledger.check(&fed, CITY, false)?;
        proof_of_equality(&fed, CITY, 3).map(|_| ())
    };
    run().unwrap_or_else(|e| panic!("{e:#}"));
}

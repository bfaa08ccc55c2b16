//! A document's content goes by law: on the primary, on backups, on one that was away, and after a failover.

use super::{BACKUP, OTHER, PRIMARY, R, document_at, journals_verify};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_model::{JournalIndex, Lineage, RegionCode};
use eport_suite::{Load, starter};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The backup that is away while the body goes.
const AWAY: &str = OTHER;

#[test]
fn an_erased_document_is_gone_from_every_copy_and_the_journal_still_proves_itself() {
    with_federation(&[], |fed| {
        starter(fed)?;
        a_second_operator_is_listed(fed)?;
        let load = Load::start(fed, R, "ERASE", 100)?;
        load.wait_more(40)?;
        let ids: Vec<String> = load.finish()?.into_iter().filter_map(|a| a.doc_id).collect();
        let [id, others @ ..] = ids.as_slice() else { anyhow::bail!("no documents") };
        let others: Vec<&String> = others.iter().take(8).collect();
        let before = document_at(fed, &fed.http()?, PRIMARY, id)?.1;
        ensure!(before["body"].is_object(), "{before}");
        let kept: Vec<Value> = contents(fed, &others)?;
        all_backups_level(fed)?;
        fed.dev("kill", AWAY)?;
        let probes = bytes_of_bodies(fed, id)?;
        for node in [PRIMARY, BACKUP, AWAY] {
            ensure!(found_at(fed, node, &probes)? == probes.len(), "the probes find the bodies at {node}");
        }
        two_persons_order_it(fed, id)?;
        for node in [PRIMARY, BACKUP] {
            gone_at(fed, node, &probes)?;
        }
        let after = document_at(fed, &fed.http()?, PRIMARY, id)?.1;
        ensure!(after["body"].is_null() && after["erased"] == true, "{after}");
        ensure!(after["doc_id"] == before["doc_id"] && after["position"] == before["position"], "{after}");
        ensure!(found_at(fed, AWAY, &probes)? == probes.len(), "nobody has told the one that is away");
        fed.dev("restart", AWAY)?;
        gone_at(fed, AWAY, &probes)?;
        journals_verify(fed, &[PRIMARY, BACKUP, AWAY])?;
        ensure!(contents(fed, &others)? == kept, "other documents are as they were");
        // Ordering it once more changes nothing.
        let again = fed.eport(&erase(id, "once more"))?.ok_json()?;
        ensure!(again["erased"] == true, "{again}");
        after_a_failover_it_is_still_gone(fed, id, &probes)
    });
}

fn contents(fed: &Federation, ids: &[&String]) -> Result<Vec<Value>> {
    let http = fed.http()?;
    ids.iter().map(|id| Ok(document_at(fed, &http, PRIMARY, id)?.1["body"].clone())).collect()
}

fn all_backups_level(fed: &Federation) -> Result<()> {
    fed.wait_platform(PRIMARY, R, "every backup has everything", |p| {
        p["backups"].as_array().is_some_and(|b| b.iter().all(|b| b["lag_records"] == 0))
    })?;
    Ok(())
}

fn as_bo(fed: &Federation, args: &[&str]) -> Result<Ran> {
    let home = fed.home();
    let mut command = fed.command(&["--json", "--yes", "--api", fed.api(BACKUP)?]);
    command.arg("--cert").arg(home.join("operator/bo.crt")).arg("--key").arg(home.join("operator/bo.key"));
    Ran::of(command.arg("--ca").arg(home.join("ca/bundle.pem")).args(args))
}

fn a_second_operator_is_listed(fed: &Federation) -> Result<()> {
    let home = fed.home().display().to_string();
    fed.eport(&["user", "issue", "bo", "--dir", &home, "--region", "440000"])?.ok_json()?;
    fed.eport(&["user", "add", "bo", "--role", "approver"])?.ok_json()?;
    fed.eport(&["setting", "set", "two_person", "on"])?.ok_json()?;
    Ok(())
}

fn erase<'a>(id: &'a str, reason: &'a str) -> Vec<&'a str> {
    vec!["doc", "erase", id, "--platform", R, "--authority", "order 7", "--reason", reason]
}

/// Bytes from the middle of each body as it is stored, from the closed store of the node that is away.
fn bytes_of_bodies(fed: &Federation, id: &str) -> Result<Vec<Vec<u8>>> {
    let lineage: Lineage =
        fed.status_at(PRIMARY)?["lineage"].as_str().context("lineage")?.parse().ok().context("a lineage")?;
    let shared = eport_store::Shared::new(eport_store::Budget::default())?;
    let dir = fed.node_dir(AWAY).join("data/platform").join(R);
    let region: RegionCode = R.parse().ok().context("a region")?;
    let (store, _) = eport_store::PlatformStore::open(&dir, lineage, region, &shared)?;
    let url = format!("{}/v1/platforms/{R}/documents/{id}/bodies", fed.api(PRIMARY)?);
    let list = fed.http()?.get(&url)?.json()?;
    let mut out = Vec::new();
    for item in list["items"].as_array().context("bodies")? {
        let record = JournalIndex::from_u64(item["record"].as_u64().context("record")?);
        let n = u16::try_from(item["body"].as_u64().context("body")?)?;
        let body = store.body(record, n)?.context("a body")?;
        let at = body.len() / 2;
        out.push(body.get(at..at + 32).context("a body long enough")?.to_vec());
    }
    ensure!(!out.is_empty(), "{list}");
    Ok(out)
}

/// How many of these bytes are anywhere in a node's data directory.
fn found_at(fed: &Federation, node: &str, probes: &[Vec<u8>]) -> Result<usize> {
    let mut found = vec![false; probes.len()];
    look(&fed.node_dir(node).join("data"), probes, &mut found)?;
    Ok(found.iter().filter(|f| **f).count())
}

fn look(dir: &Path, probes: &[Vec<u8>], found: &mut [bool]) -> Result<()> {
    for entry in std::fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(&path, probes, found)?;
            continue;
        }
        // A file that went meanwhile holds nothing any more.
        let bytes = std::fs::read(&path).unwrap_or_default();
        for (probe, found) in probes.iter().zip(found.iter_mut()) {
            *found |= bytes.windows(probe.len()).any(|w| w == probe.as_slice());
        }
    }
    Ok(())
}

fn two_persons_order_it(fed: &Federation, id: &str) -> Result<()> {
    fed.eport(&erase(id, "  "))?.expect(2, "a reason is needed")?;
    let plan = fed.eport(&[&erase(id, "a person asked")[..], &["--dry-run"]].concat())?.ok_json()?;
    ensure!(plan["erased"] == false, "{plan}");
    let approval = |reason: &str| {
        let ran = fed.eport(&erase(id, reason))?.expect(4, "it needs a second person")?;
        ensure!(ran.error_code() == "EP2020", "{}", ran.stdout);
        ran.json()?["error"]["approval"].as_str().map(str::to_owned).context("an approval")
    };
    // Asked for twice, it is carried out once.
    let (first, second) = (approval("a person asked")?, approval("a person asked again")?);
    ensure!(document_at(fed, &fed.http()?, PRIMARY, id)?.1["body"].is_object(), "one person erases nothing");
    for id in [first, second] {
        let done = as_bo(fed, &["approve", &id])?.ok_json()?;
        ensure!(done["state"] == "executed", "{done}");
    }
    Ok(())
}

/// Every ordered body is gone from this node's copy, and from its disk.
fn gone_at(fed: &Federation, node: &str, probes: &[Vec<u8>]) -> Result<()> {
    let url = format!("{}/v1/platforms/{R}/erasures", fed.api(node)?);
    let http = fed.http()?;
    wait_for(&format!("bodies gone at {node}"), Duration::from_secs(60), || {
        let list = http.get(&url).and_then(|r| r.json()).map_err(|e| format!("{e:#}"))?;
        let items: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
        let all = items.len() == probes.len() && items.iter().all(|i| i["erased"] == true);
        if all { Ok(()) } else { Err(list.to_string()) }
    })?;
    ensure!(found_at(fed, node, probes)? == 0, "nothing of it is on the disk of {node}");
    Ok(())
}

fn after_a_failover_it_is_still_gone(fed: &Federation, id: &str, probes: &[Vec<u8>]) -> Result<()> {
    fed.dev("kill", PRIMARY)?;
    fed.eport_at(BACKUP, &["platform", "failover", R, "--old-primary", "stopped"])?.expect(0, "failover")?;
    let http = fed.http()?;
    let moved = wait_for("the document at the new primary", Duration::from_secs(60), || {
        match document_at(fed, &http, BACKUP, id) {
            Ok((200, shown)) => Ok(shown),
            other => Err(format!("{other:?}")),
        }
    })?;
    ensure!(moved["erased"] == true && moved["body"].is_null(), "{moved}");
    gone_at(fed, BACKUP, probes)?;
    journals_verify(fed, &[BACKUP, AWAY])
}

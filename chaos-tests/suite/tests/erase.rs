//! A document's content goes by law, over real processes: on the primary, on backups, on one that was away, and after a failover.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use eport_suite::{Load, starter};
use serde_json::Value;
use std::time::Duration;

const R: &str = "440300";
const PRIMARY: &str = "sz-a-1";
const AWAY: &str = "gz-c-1";

#[test]
fn an_erased_document_is_gone_from_every_copy_and_the_journal_still_proves_itself() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let load = Load::start(fed, R, "ERASE", 100)?;
        load.wait_more(50)?;
        let id = load.finish()?.into_iter().find_map(|a| a.doc_id).context("a document")?;
        let before = fed.eport(&["doc", "show", &id, "--platform", R])?.ok_json()?;
        ensure!(before["body"].is_object(), "{before}");
        fed.dev("kill", AWAY)?;
        let erase = ["doc", "erase", &id, "--platform", R, "--authority", "order 7"];
        fed.eport(&[&erase[..], &["--reason", "  "]].concat())?.expect(2, "a reason is needed")?;
        let why = [&erase[..], &["--reason", "a person asked"]].concat();
        let plan = fed.eport(&[&why[..], &["--dry-run"]].concat())?.ok_json()?;
        ensure!(plan["erased"] == false, "{plan}");
        let ordered = fed.eport(&why)?.ok_json()?;
        ensure!(ordered["ordered"].as_u64() >= Some(1), "{ordered}");
        gone_at(fed, PRIMARY)?;
        gone_at(fed, "gz-a-1")?;
        let after = fed.eport(&["doc", "show", &id, "--platform", R])?.ok_json()?;
        ensure!(after["body"].is_null() && after["erased"] == true, "{after}");
        ensure!(after["doc_id"] == before["doc_id"] && after["position"] == before["position"], "{after}");
        fed.dev("restart", AWAY)?;
        gone_at(fed, AWAY)?;
        for node in [PRIMARY, "gz-a-1", AWAY] {
            let proof = fed.eport_at(node, &["journal", "verify", R])?.ok_json()?;
            ensure!(proof["ok"] == true, "{node}: {proof}");
        }
        // Ordering it once more changes nothing.
        let again = fed.eport(&why)?.ok_json()?;
        ensure!(again["erased"] == true, "{again}");
        fed.dev("kill", PRIMARY)?;
        fed.eport_at("gz-a-1", &["platform", "failover", R, "--old-primary", "stopped"])?
            .expect(0, "failover")?;
        let moved = wait_for("the document at the new primary", Duration::from_secs(60), || {
            let shown = fed
                .eport_at("gz-a-1", &["doc", "show", &id, "--platform", R])
                .map_err(|e| format!("{e:#}"))?;
            shown.ok_json().map_err(|e| format!("{e:#}"))
        })?;
        ensure!(moved["erased"] == true && moved["body"].is_null(), "{moved}");
        Ok(())
    });
}

/// Every ordered body is gone from this node's copy.
fn gone_at(fed: &Federation, node: &str) -> Result<()> {
    let url = format!("{}/v1/platforms/{R}/erasures", fed.api(node)?);
    let http = fed.http()?;
    wait_for(&format!("bodies gone at {node}"), Duration::from_secs(60), || {
        let list = http.get(&url).and_then(|r| r.json()).map_err(|e| format!("{e:#}"))?;
        let items: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
        if !items.is_empty() && items.iter().all(|i| i["erased"] == true) {
            Ok(())
        } else {
            Err(list.to_string())
        }
    })
}

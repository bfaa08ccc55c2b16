//! The journal as evidence: heads that nodes have signed, and old files that lie in an archive.

use super::{BACKUP, PRIMARY, R};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for};
use eport_suite::{Ledger, documents, serves};
use serde_json::Value;
use std::time::Duration;

fn proof(fed: &Federation, more: &[&str]) -> Result<Value> {
    fed.eport_at(PRIMARY, &[&["journal", "verify", R], more].concat())?.json()
}

/// The primary signs by itself; who forges, or is not trusted, is told.
pub fn heads_are_signed_and_only_those_of_trusted_nodes_hold(fed: &Federation) -> Result<()> {
    wait_for("a head that the primary signs by itself", Duration::from_secs(60), || {
        let found = proof(fed, &[]).map_err(|e| format!("{e:#}"))?;
        if found["signed"]["verified"].as_u64() > Some(0) { Ok(()) } else { Err(found.to_string()) }
    })?;
    let signed = fed.eport(&["journal", "sign", R])?.ok_json()?;
    let found = proof(fed, &[])?;
    let (count, last) = (&found["signed"]["count"], &found["signed"]["last"]);
    ensure!(found["ok"] == true && found["signed"]["verified"] == *count, "{found}");
    ensure!(last["by"].as_str().is_some_and(|by| by.ends_with(PRIMARY)), "{found}");
    ensure!(last["covers"]["index"].as_u64() >= signed["index"].as_u64(), "{signed}, {found}");
    // The same journal for somebody who trusts another federation.
    let other = tempfile::tempdir()?;
    let made = fed.eport(
        &[
            "init",
            "federation",
            "--name",
            "xx",
            "--region",
            "440000",
            "--site",
            "xx-a",
            "--trust-domain",
            "xx.eport.example",
            "--dir",
        ]
        .into_iter()
        .chain([other.path().join("f").to_str().context("path")?])
        .collect::<Vec<_>>(),
    )?;
    ensure!(made.code == 0, "{made:?}");
    let bundle = find_bundle(other.path())?;
    let found = proof(fed, &["--trust", &bundle])?;
    let told = |p: &Value| p["kind"] == "signature";
    ensure!(
        found["ok"] == false && found["problems"].as_array().is_some_and(|p| p.iter().any(told)),
        "{found}"
    );
    Ok(())
}

/// One document is proven by a file alone; who alters it, or trusts somebody else, is told.
pub fn a_file_of_evidence_proves_one_document_offline(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    ledger.submit(fed, R, &documents("EVIDENCE", 3))?;
    let path = ["doc", "list", "-p", R, "--client-ref", "EVIDENCE-000001"];
    let listed = fed.eport(&path)?.ok_json()?;
    let id = listed["items"][0]["doc_id"].as_str().with_context(|| listed.to_string())?.to_owned();
    fed.eport(&["journal", "sign", R])?.ok_json()?;
    let dir = tempfile::tempdir()?;
    let out = dir.path().to_str().context("path")?;
    // Asked of another node than the primary: the request finds its way.
    let made = fed.eport_at(BACKUP, &["doc", "evidence", &id, "-p", R, "--out", out])?.ok_json()?;
    ensure!(made["end_proven"] == true && made["end"] == "signed_head", "{made}");
    let file = made["file"].as_str().with_context(|| made.to_string())?.to_owned();
    let check =
        |file: &str, more: &[&str]| fed.eport(&[&["journal", "verify", "--evidence", file], more].concat());
    let found = check(&file, &[])?.ok_json()?;
    ensure!(found["ok"] == true && found["end_proven"] == true && found["doc_id"] == *id, "{found}");
    for claim in ["attestation", "record", "document", "chain", "signed_head"] {
        ensure!(found["proven"].as_array().is_some_and(|p| p.iter().any(|c| c == claim)), "{claim}: {found}");
    }
    let foreign = check(&file, &["440100"])?;
    ensure!(foreign.code == 11, "{foreign:?}");
    // One byte of the document, of its record, of the signature; and a file that was cut.
    let good = std::fs::read(&file)?;
    let text = String::from_utf8(good.clone())?;
    let places = ["EVIDENCE-000001", "\"record\":\"", "\"signature\":\""];
    for place in places {
        let at = text.rfind(place).with_context(|| place.to_owned())? + place.len() - 1;
        // A digit of the number, or the one before the end of what follows the name.
        let at = if place.ends_with('1') { at } else { at + 40 };
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'3' { b'4' } else { b'3' };
        std::fs::write(&file, &bad)?;
        let refused = check(&file, &[])?;
        ensure!(refused.code == 11 && refused.json()?["ok"] == false, "{place}: {refused:?}");
    }
    std::fs::write(&file, &good[..good.len() / 2])?;
    let cut = check(&file, &[])?;
    ensure!(cut.code == 11 && cut.json()?["problems"][0]["kind"] == "file", "{cut:?}");
    Ok(())
}

fn find_bundle(dir: &std::path::Path) -> Result<String> {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|n| n == "bundle.pem" || n == "trust.pem") {
                return Ok(path.to_string_lossy().into_owned());
            }
        }
    }
    anyhow::bail!("no bundle")
}

/// Full files go to another file system by themselves; while that is away the platform serves, and status says what is missing.
pub fn old_files_lie_in_an_archive_that_may_be_away(fed: &Federation, ledger: &mut Ledger) -> Result<()> {
    let (archive, aside) = (fed.scratch().join("archive"), fed.scratch().join("archive-aside"));
    std::fs::create_dir(&archive)?;
    let config = fed.node_dir(PRIMARY).join("eportd.toml");
    let text = std::fs::read_to_string(&config)?;
    let section = format!("\n[archive]\ndir = \"{}\"\nafter_days = 0\nevery_s = 1\n", archive.display());
    std::fs::write(&config, text + &section)?;
    fed.dev("restart", PRIMARY)?;
    // What opening verifies stays with the node: more than that behind the last full file.
    ledger.submit(fed, R, &documents("ARCHIVED", 80))?;
    let copy = |p: &Value| {
        p["copies"]
            .as_array()
            .and_then(|c| c.iter().find(|c| c["node"] == PRIMARY).cloned())
            .unwrap_or_default()
    };
    let moved = |p: &Value| p["state"] == "active" && copy(p)["archived_files"].as_u64() > Some(0);
    fed.wait_platform(BACKUP, R, "files in the archive", moved)?;
    let found = proof(fed, &[])?;
    ensure!(found["ok"] == true, "{found}");
    std::fs::rename(&archive, &aside)?;
    let warned =
        |s: &Value| s["warnings"].as_array().is_some_and(|w| w.iter().any(|w| w["code"] == "EP1114"));
    fed.wait_status(BACKUP, "that the archive is away", |s| warned(s))?;
    fed.dev("restart", PRIMARY)?;
    serves(fed, R, "AWAY", ledger)?;
    let refused = fed.eport_at(PRIMARY, &["journal", "verify", R])?;
    ensure!(refused.code == 5 && refused.error_code() == "EP1114", "{refused:?}");
    std::fs::rename(&aside, &archive)?;
    fed.wait_status(BACKUP, "that the archive is back", |s| !warned(s))?;
    let found = proof(fed, &[])?;
    ensure!(found["ok"] == true, "{found}");
    Ok(())
}

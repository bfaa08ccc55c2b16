//! A pack changes without code: a field and a check are added, published, and in force everywhere; what was accepted before keeps
//! the version it was judged by; a retired pack takes nothing more.

use anyhow::{Context, Result, ensure};
use eport_cluster::Federation;
use serde_json::Value;

use super::{NODES, file, installed};

const PACK: &str = include_str!("../../../../../node/packs/arrival_report/pack.toml");
const CONTRACT: &str = include_str!("../../../../../node/packs/arrival_report/examples/valid/contract.json");

/// The pack with one field more and a rule about it. A rule may refuse what was right, so the first number rises.
fn changed() -> String {
    let last = "  { name = \"gross_weight_kg\"";
    let field = "  { name = \"seal_no\", zh = \"封志号\", en = \"Seal\", type = \"an..35\" },\n";
    let rule = "\n[[document.rule]]\nid = \"AR-R01\"\nzh = \"封志号至少三位\"\nen = \"a seal has three characters\"\n\
                when = \"present(seal_no)\"\ncheck = \"length(seal_no ?? '') >= 3\"\ncode = \"E-AR-SEAL\"\nat = \"seal_no\"\n";
    PACK.replacen("version = \"1.0.0\"", "version = \"2.0.0\"", 1).replacen(
        last,
        &format!("{field}{last}"),
        1,
    ) + rule
}

/// Lodges an arrival report, perhaps with a seal, at a node: the answer or the problem.
fn lodge(fed: &Federation, node: &str, reference: &str, seal: Option<&str>) -> Result<Value> {
    let mut document: Value = serde_json::from_str(CONTRACT)?;
    document["client_ref"] = reference.into();
    if let Some(seal) = seal {
        document["body"]["seal_no"] = seal.into();
    }
    let url = format!("{}/v1/platforms/440000/documents", fed.api(node)?);
    fed.http()?.post(&url, &document)?.json()
}

fn codes(answer: &Value) -> Vec<String> {
    let failures = answer["failures"].as_array().cloned().unwrap_or_default();
    failures.iter().map(|f| f["code"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The version of the pack that an accepted document names.
fn pack_of(fed: &Federation, answer: &Value) -> Result<String> {
    let id = answer["doc_id"].as_str().with_context(|| format!("not accepted: {answer}"))?;
    let shown = fed.eport(&["doc", "show", id, "--platform", "440000"])?.ok_json()?;
    Ok(shown["pack_version"].as_str().unwrap_or_default().to_owned())
}

pub fn a_pack_changes_without_code_and_documents_keep_their_version(fed: &Federation) -> Result<()> {
    let early = lodge(fed, NODES[0], "PACK-EARLY", None)?;
    ensure!(pack_of(fed, &early)? == "arrival_report 1.0.0", "{early}");
    ensure!(codes(&lodge(fed, NODES[0], "PACK-SEAL", Some("SEAL1"))?) == ["E-DOC-UNKNOWN"]);

    let path = file(fed, "arrival_report.toml", changed())?.to_string_lossy().into_owned();
    let diff = fed.eport(&["pack", "diff", "arrival_report", &path])?.ok_json()?;
    ensure!(diff["breaking"] == true && diff["numbering"].is_null(), "{diff}");
    let broken = file(fed, "broken.toml", changed().replacen("present(seal_no)", "present(sael_no)", 1))?;
    let broken = broken.to_string_lossy().into_owned();
    let told = fed.eport(&["pack", "validate", &broken])?.expect(1, "a misspelt field")?.json()?;
    ensure!(
        told["problems"][0]["code"] == "P-EXPR-NAME" && told["problems"][0]["line"].as_u64() > Some(1),
        "{told}"
    );
    // Past the program's own check, the node refuses it too: a catalogue is only ever published whole and right.
    let row =
        |text: &str| format!("name,version,text\narrival_report,2.0.0,\"{}\"\n", text.replace('"', "\"\""));
    let table =
        file(fed, "packs.csv", row(&std::fs::read_to_string(&broken)?))?.to_string_lossy().into_owned();
    fed.eport(&["table", "import", &table, "--name", "packs", "--key", "name"])?
        .expect(1, "a broken pack")?;

    fed.eport(&["pack", "publish", &path])?.expect(0, "publish")?;
    installed(fed, "packs")?;
    for node in NODES {
        let shown = fed.eport_at(node, &["pack", "list"])?.ok_json()?;
        let version = shown["items"].as_array().into_iter().flatten().find(|p| p["name"] == "arrival_report");
        ensure!(version.is_some_and(|p| p["version"] == "2.0.0"), "{node}: {shown}");
        ensure!(codes(&lodge(fed, node, &format!("PACK-X-{node}"), Some("X"))?) == ["E-AR-SEAL"], "{node}");
    }
    let late = lodge(fed, NODES[3], "PACK-SEAL", Some("SEAL1"))?;
    ensure!(pack_of(fed, &late)? == "arrival_report 2.0.0", "{late}");
    ensure!(pack_of(fed, &early)? == "arrival_report 1.0.0", "what was accepted keeps its version");

    fed.eport(&["pack", "retire", "arrival_report"])?.expect(0, "retire")?;
    installed(fed, "packs")?;
    let refused = lodge(fed, NODES[0], "PACK-AFTER", None)?;
    ensure!(refused["status"] == 422 && codes(&refused) == ["E-DOC-TYPE"], "{refused}");
    ensure!(pack_of(fed, &late)? == "arrival_report 2.0.0", "documents of a retired pack stay readable");
    let listed = fed.eport(&["doc", "list", "--platform", "440000"])?.ok_json()?;
    ensure!(listed["items"].as_array().is_some_and(|i| i.len() >= 2), "{listed}");
    // The same version as before takes its place again.
    fed.eport(&["pack", "publish", &path])?.expect(0, "publish again")?;
    installed(fed, "packs")?;
    let again = lodge(fed, NODES[0], "PACK-AGAIN", None)?;
    ensure!(pack_of(fed, &again)? == "arrival_report 2.0.0", "{again}");
    Ok(())
}

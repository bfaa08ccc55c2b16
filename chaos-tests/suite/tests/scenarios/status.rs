//! Comparisons at entry, status by any number from any node and after a move, and a table whose rows become documents.
// Tests: an unwrap is an assertion.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, with_federation};
use serde_json::{Value, json};

const DECLARATION: &str = include_str!(
    "../../../../node/packs/goods_declaration/examples/valid/bulk_import_with_licence_and_note.json"
);
const MANIFEST: &str = include_str!("../../../../node/packs/manifest/examples/valid/original_bulk.json");
const MAPPING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ops/mapping/mappings/declarations_kr.toml");
const GUANGZHOU: &str = "440100";
const BILL: &str = "COSU6112233440";
/// A good row, one with a mode of transport that the mapping does not know, one without a weight.
const TABLE: &str = "Declaration ID,Date,Office ID,Process Type,Import Type,Import Use,Payment Type,Mode of Transport,Declarant ID,Importer ID,Seller ID,Courier ID,HS6 Code,Country of Departure,Country of Origin,Tax Rate,Tax Type,Country of Origin Indicator,Net Mass,Item Price
1,2020-01-01,30,B,11,21,11,10,ZZR1LT6,QLRUBN9,0VKY2BR,,440890,BE,BE,0.0,FEU1,G,108.0,372254.4
2,2020-01-01,40,B,11,21,11,99,SWF9S4X,7JD1S2X,,,690722,CN,CN,8.0,A,Y,10.0,375751.2
3,2020-01-02,20,B,11,21,11,40,X4XT6P8,WI9O3I5,4DT3246,,620822,CN,CN,5.2,FCN1,B,0.0,5353.0
";

fn declaration(reference: &str, gross: &str) -> Value {
    let wrapped: Value = serde_json::from_str(DECLARATION).unwrap();
    let mut document = wrapped["document"].clone();
    document["client_ref"] = json!(reference);
    document["body"]["gross_weight"] = json!(gross);
    document["body"].as_object_mut().unwrap().remove("licence_uses");
    document
}

fn lodge(fed: &Federation, name: &str, document: &Value, code: i32) -> Result<Value> {
    let path = fed.scratch().join(format!("{name}.json"));
    std::fs::write(&path, document.to_string())?;
    let path = path.to_string_lossy().into_owned();
    fed.eport(&["doc", "submit", &path, "--platform", GUANGZHOU])?.expect(code, name)?.json()
}

/// What all platforms know of a number, asked at a node.
fn status(fed: &Federation, node: &str, number: &str) -> Result<Vec<Value>> {
    let answer = fed.eport_at(node, &["doc", "status", number])?.expect(0, number)?.json()?;
    let platforms = answer["platforms"].as_array().with_context(|| format!("{answer}"))?;
    Ok(platforms.iter().flat_map(|p| p["documents"].as_array().cloned().unwrap_or_default()).collect())
}

fn compared(fed: &Federation, id: &str) -> Result<Value> {
    let found = fed.eport(&["doc", "compare", id, "--platform", GUANGZHOU])?.expect(0, id)?.json()?;
    let of_bill = found["items"].as_array().and_then(|i| i.iter().find(|c| c["rule"] == "XC-01"));
    Ok(of_bill.with_context(|| format!("{found}"))?.clone())
}

#[test]
fn documents_are_compared_at_entry_and_found_by_any_number_from_any_node() {
    with_federation(&[], |fed| {
        // Before the manifest is here the declaration waits for it.
        let early = lodge(fed, "early", &declaration("ST-1", "105000"), 0)?;
        let early = early["doc_id"].as_str().context("accepted")?.to_owned();
        ensure!(compared(fed, &early)?["outcome"] == "WAIT");
        let manifest: Value = serde_json::from_str(MANIFEST)?;
        lodge(fed, "manifest", &manifest["document"], 0)?;
        let now = compared(fed, &early)?;
        ensure!(now["outcome"] == "PASS", "the manifest has come: {now}");
        // Three per cent and a little more than the manifest says, in bulk five per cent.
        let refused = lodge(fed, "heavy", &declaration("ST-2", "110250.1"), 1)?;
        ensure!(refused.to_string().contains("E-MF-WEIGHT"), "{refused}");
        lodge(fed, "edge", &declaration("ST-3", "110250"), 0)?;
        // What was accepted gets its first answer, whatever came meanwhile.
        lodge(fed, "again", &declaration("ST-1", "105000"), 0)?;
        for node in ["gz-c-1", "sz-a-1"] {
            let found = status(fed, node, &format!(" {} ", BILL.to_lowercase()))?;
            let types: Vec<&str> = found.iter().filter_map(|d| d["doc_type"].as_str()).collect();
            ensure!(types.iter().filter(|t| **t == "goods_declaration").count() == 2, "{types:?}");
            ensure!(types.contains(&"manifest_original"), "{types:?}");
        }
        ensure!(status(fed, "sz-a-1", &early)?.iter().any(|d| d["doc_id"] == json!(early)));
        fed.eport(&["doc", "status", "NOBODY-KNOWS-IT"])?.expect(3, "nothing")?;
        fed.eport(&["platform", "switchover", GUANGZHOU, "--to", "gz-a-2"])?.expect(0, "move")?;
        ensure!(status(fed, "sz-a-1", BILL)?.len() == 3, "the index moves with the platform");
        mapped(fed)
    });
}

fn mapped(fed: &Federation) -> Result<()> {
    let path = fed.scratch().join("rows.csv");
    std::fs::write(&path, TABLE)?;
    let path = path.to_string_lossy().into_owned();
    let args = ["doc", "map", &path, "--mapping", MAPPING, "--platform", GUANGZHOU];
    let told = fed.eport(&args)?.expect(1, "one row is refused, one not mapped")?.json()?;
    let counts = ["rows", "mapped", "accepted", "refused", "unmapped"].map(|n| told[n].as_u64());
    ensure!(counts == [3, 2, 1, 1, 1].map(Some), "{told}");
    ensure!(
        told["bad_rows"][0]["line"] == 3 && told["bad_rows"][0]["column"] == "Mode of Transport",
        "{told}"
    );
    let again = fed.eport(&args)?.expect(1, "the same again")?.json()?;
    ensure!(again["accepted"] == 0 && again["repeated"] == 1, "a repeated run repeats nothing: {again}");
    Ok(())
}

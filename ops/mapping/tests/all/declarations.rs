//! The 54 000 published declarations: every row becomes a document, and each is judged.

use eport_documents::pack::Packs;
use eport_documents::{Document, InForce, Lookup, TableRow, Tables};
use eport_mapping::Mapping;
use eport_model::Timestamp;
use std::collections::BTreeMap;

const MAPPING: &str = include_str!("../../mappings/declarations_kr.toml");
/// A few rows as the data set has them: one that is good, one without weight, one with a price of many digits, one without a price.
const ROWS: &str = "Declaration ID,Date,Office ID,Process Type,Import Type,Import Use,Payment Type,Mode of Transport,Declarant ID,Importer ID,Seller ID,Courier ID,HS6 Code,Country of Departure,Country of Origin,Tax Rate,Tax Type,Country of Origin Indicator,Net Mass,Item Price,Fraud,Critical Fraud
1,2020-01-01,30,B,11,21,11,10,ZZR1LT6,QLRUBN9,0VKY2BR,,440890,BE,BE,0.0,FEU1,G,108.0,372254.4,0,0
2,2020-01-01,40,B,11,21,11,40,SWF9S4X,7JD1S2X,,,690722,CN,CN,8.0,A,Y,0.0,375751.2,0,0
3,2020-01-02,20,B,80,21,11,99,X4XT6P8,WI9O3I5,4DT3246,,620822,XX,CN,5.2,FCN1,B,20.7,5353.020000000001,0,0
4,2020-01-02,20,B,11,21,11,40,X4XT6P8,WI9O3I5,4DT3246,,620822,CN,CN,5.2,FCN1,B,20.7,0.0,0,0
";

/// No table is published: rules that ask one say nothing.
struct None;

impl Tables for None {
    fn lookup(&self, _: &str, _: &str, _: Timestamp) -> Lookup {
        Lookup::NotPublished
    }
    fn cell(&self, _: &str, _: &[&str], _: Option<&str>, _: Timestamp) -> TableRow {
        TableRow::NotPublished
    }
    fn in_force(&self, _: &str, _: Timestamp) -> InForce {
        InForce::NotPublished
    }
}

#[derive(Default, Debug, PartialEq)]
struct Tally {
    rows: u64,
    accepted: u64,
    refused: u64,
    unmapped: u64,
    reasons: BTreeMap<String, u64>,
}

fn judged(table: impl std::io::Read) -> Tally {
    let packs = Packs::builtin().unwrap();
    let mapping = Mapping::parse(MAPPING).unwrap();
    let mut reader = csv::Reader::from_reader(table);
    let header = reader.headers().unwrap().clone();
    let bound = mapping.bind(&header.iter().collect::<Vec<_>>()).unwrap();
    // 2021-07-01: after the last of them.
    let at = Timestamp::from_millis(1_625_068_800_000);
    let mut tally = Tally::default();
    for row in reader.records() {
        let row = row.unwrap();
        tally.rows += 1;
        let document = match bound.document(&row.iter().collect::<Vec<_>>()) {
            Ok(document) => document,
            Err(problems) => {
                tally.unmapped += 1;
                for p in problems {
                    *tally.reasons.entry(format!("row: {}", p.field)).or_default() += 1;
                }
                continue;
            }
        };
        match Document::judge(&serde_json::to_vec(&document).unwrap(), &packs, &None, at) {
            Ok(_) => tally.accepted += 1,
            Err(refusal) => {
                tally.refused += 1;
                for f in refusal.failures() {
                    *tally.reasons.entry(format!("{} {}", f.code, f.path)).or_default() += 1;
                }
            }
        }
    }
    tally
}

#[test]
fn rows_become_declarations_and_what_is_nothing_is_refused_by_reason() {
    let found = judged(ROWS.as_bytes());
    assert_eq!((found.rows, found.accepted, found.refused, found.unmapped), (4, 2, 1, 1), "{found:#?}");
    let unmapped = ["row: traffic_mode", "row: trade_country", "row: trading_country"];
    assert!(unmapped.iter().all(|r| found.reasons.get(*r) == Some(&1)), "{found:#?}");
    assert!(found.reasons.keys().any(|r| r.ends_with(" /body/net_weight")), "{found:#?}");
}

#[test]
fn all_published_declarations_are_judged() {
    let Some(dir) = std::env::var_os("EPORT_DATA_DIR") else {
        eprintln!("skipped: EPORT_DATA_DIR names no folder with declarations_kr");
        return;
    };
    let path = std::path::Path::new(&dir).join("declarations_kr/import_declarations.csv.gz");
    let unpacked = std::process::Command::new("gzip").arg("-dc").arg(&path).output();
    let Some(table) = unpacked.ok().filter(|o| o.status.success()).map(|o| o.stdout) else {
        eprintln!("skipped: {} cannot be unpacked", path.display());
        return;
    };
    let found = judged(&*table);
    println!("{found:#?}");
    assert_eq!(found.rows, 54_000);
    assert_eq!(found.accepted + found.refused + found.unmapped, found.rows);
    // 396 rows have no weight.
    assert!(found.accepted > 53_000, "{found:#?}");
}

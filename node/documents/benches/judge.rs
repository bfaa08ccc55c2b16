//! Documents judged a second on one core: parse, canonical form, digest, every field, two table lookups.

// A benchmark measures time.
#![allow(clippy::disallowed_methods)]

use eport_documents::{Document, InForce, Lookup, Packs, TableRow, TableVersion, Tables};
use eport_model::Timestamp;
use std::time::Instant;

struct Everything(TableVersion);

/// Every key is there; a row's columns say nothing.
impl Tables for Everything {
    fn lookup(&self, _: &str, _: &str, _: Timestamp) -> Lookup {
        Lookup::Found(self.0.clone())
    }
    fn cell(&self, _: &str, _: &[&str], _: Option<&str>, _: Timestamp) -> TableRow {
        TableRow::Found(self.0.clone(), None)
    }
    fn in_force(&self, _: &str, _: Timestamp) -> InForce {
        InForce::Version(self.0.clone())
    }
}

fn main() {
    let packs = Packs::builtin().expect("the packs of this tree are good");
    let tables = Everything(TableVersion { table: "440000/any".into(), version: "1".into() });
    let template = include_str!("../../packs/arrival_report/examples/valid/contract.json");
    let containers = ["CSQU3054383", "CMAU1234564"];
    let containers: Vec<String> = (0..120).map(|i| format!("{:?}", containers[i % 2])).collect();
    let long = template.replace("\"CSQU3054383\"", &containers.join(","));
    let example: serde_json::Value = serde_json::from_str(include_str!(
        "../../packs/goods_declaration/examples/valid/bulk_import_with_licence_and_note.json"
    ))
    .expect("an example is JSON");
    let goods = |items: usize| {
        let mut document = example["document"].clone();
        document["client_ref"] = "GZ-000001".into();
        let item = document["body"]["items"][0].clone();
        let items = (1..=items).map(|n| {
            let mut item = item.clone();
            item["item_no"] = n.into();
            item
        });
        document["body"]["items"] = items.collect();
        document.to_string()
    };
    let (one, five) = (goods(1), goods(5));
    let all = [("short", template), ("long", &*long), ("goods_1", &*one), ("goods_5", &*five)];
    for (name, template) in all {
        let lines: Vec<String> =
            (0..4096).map(|i| template.replace("GZ-000001", &format!("GZ-{i:06}"))).collect();
        measure(name, &lines, &packs, &tables);
    }
}

fn measure(name: &str, lines: &[String], packs: &Packs, tables: &Everything) {
    let (mut judged, mut bytes) = (0u64, 0u64);
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 2.0 {
        for line in lines {
            let document = Document::judge(line.as_bytes(), packs, tables, Timestamp::from_millis(0))
                .expect("the example is valid");
            judged += 1;
            bytes += std::hint::black_box(document).canonical.len() as u64;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"bench\":\"documents/judge\",\"document\":\"{name}\",\"bytes\":{},\"microseconds\":{:.2},\"mib_per_second\":{:.1}}}",
        lines.first().map_or(0, String::len),
        seconds * 1e6 / judged as f64,
        bytes as f64 / seconds / 1048576.0
    );
}

//! Documents judged a second on one core: parse, canonical form, digest, every field, two table lookups.

// A benchmark measures time.
#![allow(clippy::disallowed_methods)]

use eport_documents::{TableRow, Document, InForce, Lookup, Packs, TableVersion, Tables};
use eport_model::Timestamp;
use std::time::Instant;

struct Everything(TableVersion);

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
    for (name, template) in [("short", template), ("long", &long)] {
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
        "{{\"bench\":\"documents/judge\",\"document\":\"{name}\",\"microseconds\":{:.2},\"mib_per_second\":{:.1}}}",
        seconds * 1e6 / judged as f64,
        bytes as f64 / seconds / 1048576.0
    );
}

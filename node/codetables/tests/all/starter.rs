//! The starter set that is built in: complete, importable without force, licensed, and right on given days.
#![allow(clippy::type_complexity, reason = "a failed test may panic; tables of cases are types")]

use bytes::Bytes;
use eport_catalog::{TableVersion, in_force, judge_effective, parse_instant};
use eport_codetables::*;
use std::collections::{BTreeMap, BTreeSet};

fn starter() -> Starter {
    Starter::parse(embedded::MANIFEST, "440000".parse().unwrap()).unwrap()
}

fn tables() -> BTreeMap<String, Vec<(TableVersion, Table)>> {
    let now = parse_instant("2026-01-01").unwrap();
    let mut out: BTreeMap<String, Vec<(TableVersion, Table)>> = BTreeMap::new();
    for entry in starter().tables {
        let file = embedded::file(&entry.file).unwrap();
        let content = entry.import(file, None).outcome.unwrap_or_else(|e| panic!("{}: {e}", entry.file));
        let of_table = out.entry(entry.table.name().to_owned()).or_default();
        let known: Vec<TableVersion> = of_table.iter().map(|(v, _)| v.clone()).collect();
        judge_effective(&known, entry.effective, now, 600_000, false).unwrap();
        let version = TableVersion {
            table: entry.table.clone(),
            version: known.len() as u64 + 1,
            root: content.root,
            rows: content.rows,
            bytes: content.body.len(),
            effective: entry.effective,
            schema: content.schema.clone(),
            publisher: "operator/admin".into(),
            published_at: now,
        };
        of_table.push((version, Table::open(Bytes::from(content.bytes().unwrap()), content.root).unwrap()));
    }
    out
}

fn on<'t>(versions: &'t [(TableVersion, Table)], day: &str) -> Option<&'t Table> {
    let known: Vec<TableVersion> = versions.iter().map(|(v, _)| v.clone()).collect();
    let version = in_force(&known, parse_instant(day).unwrap())?.version;
    versions.iter().find(|(v, _)| v.version == version).map(|(_, t)| t)
}

#[test]
fn the_manifest_and_the_embedded_files_are_the_same_set_and_every_entry_names_its_licence() {
    let starter = starter();
    let named: BTreeSet<&str> = starter.tables.iter().map(|t| t.file.as_str()).collect();
    let embedded: BTreeSet<&str> = embedded::FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, embedded);
    assert_eq!(named.len(), starter.tables.len(), "no file twice");
    assert!(starter.tables.iter().all(|t| !t.licence.is_empty() && !t.source.is_empty()));
    // The compiled-in folder may be of another checkout that shares the target folder.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), std::path::PathBuf::from);
    let folder = here.join("../tables");
    let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".csv"))
        .collect();
    assert_eq!(on_disk, embedded.iter().map(|s| (*s).to_owned()).collect());
}

#[test]
fn the_starter_set_can_be_published_in_production_and_holds_what_the_first_document_needs() {
    let tables = tables();
    let ports = &tables["ports"][0].1;
    assert_eq!(ports.len(), 1_634);
    for code in ["CNCAN", "CNNSA", "CNSHK", "CNSZX", "CNYTN", "CNSWA", "HKHKG", "MOMFM"] {
        assert!(ports.contains(code), "{code}");
    }
    let offices = &tables["customs_offices"][0].1;
    for code in ["5101", "5201", "5301", "5701", "6001", "6701", "6801"] {
        assert!(offices.contains(code), "{code}");
    }
    let modes = &tables["transport_modes"][0].1;
    assert_eq!(modes.get_text("1").unwrap().get("name_en"), Some("Maritime transport"));
    assert_eq!(tables["currencies"][0].1.get_text("CNY").unwrap().get("name_zh"), Some("人民币"));
    assert_eq!(tables["countries"][0].1.len(), 249);
    assert!(tables["ships"][0].1.contains("UN9074729"));
    for place in tables["places"][0].1.iter() {
        assert!(
            ports.contains(place.get("port").unwrap())
                && offices.contains(place.get("customs_office").unwrap())
        );
    }
}

#[test]
fn every_row_of_a_table_without_a_source_says_that_it_is_a_sample() {
    for entry in starter().tables.iter().filter(|t| t.sample) {
        let content = entry.import(embedded::file(&entry.file).unwrap(), None).outcome.unwrap();
        let table = Table::open(Bytes::from(content.bytes().unwrap()), content.root).unwrap();
        assert!(
            !table.is_empty() && table.iter().all(|row| row.get("sample") == Some("sample")),
            "{}",
            entry.file
        );
    }
}

/// A code of the set that refers to another table of the set is a key there, and the hierarchies have no holes.
#[test]
fn the_set_refers_only_to_its_own_keys_and_leads_up_to_its_tops() {
    let tables = tables();
    let at = parse_instant("2026-01-01").unwrap();
    let reading =
        |name: &str, rules: Rules| Reading::new(tables[name][0].1.clone(), std::sync::Arc::new(rules), at);
    let mut referred = 0;
    for entry in starter().tables {
        let named = entry.rules.references().map(|(_, table)| table.to_owned());
        let references: BTreeMap<String, Reading> =
            named.map(|table| (table.clone(), reading(&table, Rules::default()))).collect();
        referred += references.len();
        let mut options = Options { encoding: entry.encoding, ..Options::with_key(entry.key.clone()) };
        options.rules = entry.rules.clone();
        let beside = Beside { references: Some(references), ..Beside::default() };
        let imported = import(&entry.table, embedded::file(&entry.file).unwrap(), &options, beside);
        assert!(imported.outcome.is_ok(), "{}: {:?}", entry.file, imported.report.problems);
        if entry.rules.hierarchy.is_some() && entry.table.name() == "hs_codes" {
            let codes = reading("hs_codes", entry.rules.clone());
            let above: Vec<&str> =
                codes.parents("0101210010").unwrap().iter().map(|r| r.first_key()).collect();
            assert_eq!(above, ["010121", "0101", "01"]);
        }
    }
    assert_eq!(referred, 3, "places to ports and offices, customs codes to units");
    let modes = starter().tables.into_iter().find(|t| t.table.name() == "trade_modes").unwrap();
    let on = |day: &str| {
        Reading::new(
            tables["trade_modes"][0].1.clone(),
            std::sync::Arc::new(modes.rules.clone()),
            parse_instant(day).unwrap(),
        )
    };
    assert!(!on("2020-06-30").contains("9710") && on("2020-07-01").contains("9710"));
}

#[test]
fn a_division_has_the_name_it_had_on_the_day() {
    let tables = tables();
    let divisions = &tables["divisions"];
    let name = |day: &str, code: &str| {
        on(divisions, day).and_then(|t| t.get_text(code)?.get("name_zh").map(str::to_owned))
    };
    assert!(on(divisions, "1980-12-31").is_none(), "nothing is in force before the first revision");
    assert_eq!(name("1981-01-01", "440500").as_deref(), Some("汕头市"));
    assert_eq!(
        name("1988-12-31", "441500"),
        None,
        "Shanwei was not a city of its own in the revision of 1980"
    );
    assert_eq!(name("1989-01-01", "441500").as_deref(), Some("汕尾市"));
    assert_eq!(name("1989-06-01", "445100"), None);
    assert_eq!(name("1992-01-01", "445100").as_deref(), Some("潮州市"));
    assert_eq!(name("2018-01-10", "440300").as_deref(), Some("深圳市"));
    assert_eq!(on(divisions, "2026-01-01").unwrap().len(), 177);
}

#[test]
fn a_manifest_with_an_older_version_in_front_is_refused() {
    let entry = |file: &str, effective: &str| {
        format!(
            "[[table]]\nfile=\"{file}\"\nname=\"t\"\nowner=\"province\"\nkey=[\"code\"]\nencoding=\"utf-8\"\n\
             effective=\"{effective}\"\nlicence=\"x\"\nsource=\"y\"\n"
        )
    };
    let province = "440000".parse().unwrap();
    let newest_first = entry("b", "2019-01-01") + &entry("a", "2018-01-01");
    assert_eq!(Starter::parse(&newest_first, province).unwrap().tables.len(), 2);
    let oldest_first = entry("a", "2018-01-01") + &entry("b", "2019-01-01");
    assert!(matches!(Starter::parse(&oldest_first, province), Err(StarterError::Order { .. })));
    assert!(matches!(Starter::parse(&entry("a", "2018-02-30"), province), Err(StarterError::Entry { .. })));
    assert!(matches!(Starter::parse("table = 1", province), Err(StarterError::Malformed(_))));
}

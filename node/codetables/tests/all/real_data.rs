//! Real files, larger than what is committed: read from the folder named by `EPORT_DATA_DIR`, skipped without it.
#![allow(clippy::type_complexity, reason = "a failed test may panic; tables of cases are types")]

use bytes::Bytes;
use eport_catalog::{Counts, compare, diff};
use eport_codetables::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// The folder, or a message on why the test shows nothing.
fn data(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("EPORT_DATA_DIR").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("skipped {test}: EPORT_DATA_DIR is not set; it names the folder with the larger data sets");
    }
    dir
}

/// A file's bytes; `.gz` files through gzip, which every system with make has.
fn read(dir: &std::path::Path, file: &str) -> Vec<u8> {
    let path = dir.join(file);
    if !file.ends_with(".gz") {
        return std::fs::read(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
    let out = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
    assert!(out.status.success(), "{file}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

fn content(file: &[u8], options: &Options) -> Content {
    eport_codetables::read(file, options).unwrap_or_else(|e| panic!("{e}")).content
}

#[test]
fn nine_editions_of_the_customs_codes_import_and_their_differences_equal_a_plain_comparison() {
    let Some(dir) = data("nine editions") else { return };
    let options = Options::with_key(["商品编码"]);
    let mut before: Option<(Content, BTreeMap<String, BTreeMap<String, String>>)> = None;
    for year in 2015..=2023 {
        let file = read(&dir, &format!("cn_hs8/zh_hs8_{year}.csv.gz"));
        let content = content(&file, &options);
        // The other method: rows of another reader in a map.
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let names = reader.headers().unwrap().clone();
        let rows: BTreeMap<String, BTreeMap<String, String>> = reader
            .records()
            .map(|r| {
                let r = r.unwrap();
                let row = names.iter().map(str::to_owned).zip(r.iter().map(str::to_owned)).collect();
                (r[0].to_owned(), row)
            })
            .collect();
        assert!((8_292..=8_957).contains(&content.rows), "{year}: {}", content.rows);
        assert_eq!(content.rows, rows.len() as u64, "{year}");
        if let Some((old, old_rows)) = &before {
            let d = diff(&old.bytes().unwrap(), &content.bytes().unwrap()).unwrap();
            let added: Vec<&String> = rows.keys().filter(|k| !old_rows.contains_key(*k)).collect();
            let removed: Vec<&String> = old_rows.keys().filter(|k| !rows.contains_key(*k)).collect();
            assert_eq!(d.added.iter().collect::<Vec<_>>(), added, "{year}");
            assert_eq!(d.removed.iter().collect::<Vec<_>>(), removed, "{year}");
            let changed =
                rows.iter().filter(|(k, row)| old_rows.get(*k).is_some_and(|old| old != *row)).count();
            assert_eq!(d.changed.len(), changed, "{year}");
        }
        before = Some((content, rows));
    }
}

#[test]
fn the_published_gb18030_bytes_hold_the_same_codes_as_the_cleaned_file() {
    let Some(dir) = data("GB18030") else { return };
    let options = Options { encoding: Encoding::Gb18030, ..Options::with_key(["商品编码"]) };
    let raw = eport_codetables::read(&read(&dir, "cn_hs8/raw/zh-hs8-2023.gb18030.csv"), &options).unwrap();
    assert_eq!(raw.content.rows, 8_957);
    let note = |kind| raw.notes.iter().find(|n| n.kind == kind).map(|n| (n.line, n.count));
    assert_eq!(note(NoteKind::TrailingColumn), Some((1, 8_958)), "the header and every row");
    assert!(note(NoteKind::QuotedNewline).is_some());
    let clean = content(&read(&dir, "cn_hs8/zh_hs8_2023.csv.gz"), &Options::with_key(["商品编码"]));
    let counts = compare(&clean.bytes().unwrap(), &raw.content.bytes().unwrap(), |_| {}).unwrap();
    assert_eq!((counts.added, counts.removed), (0, 0));
    // Declared as UTF-8, the second byte of the file is named.
    let wrong = eport_codetables::read(
        &read(&dir, "cn_hs8/raw/zh-hs8-2023.gb18030.csv"),
        &Options::with_key(["商品编码"]),
    );
    let Err(Refusal::Problems { first, .. }) = wrong else { panic!("accepted") };
    assert_eq!((first.kind, first.offset, first.line, first.column), (Kind::Encoding, Some(1), 1, 2));
}

#[test]
fn files_without_fault_have_the_rows_that_their_list_states() {
    let Some(dir) = data("row counts") else { return };
    let cases: &[(&str, &[&str], u64)] = &[
        ("hs/hs2022.csv", &["hscode"], 6_940),
        ("hs/hs2017.csv", &["hscode"], 6_709),
        ("gb2260/gb2260_history.csv.gz", &["revision", "code"], 269_432),
        ("gb2260/gb2260_201904.csv", &["code"], 3_219),
        ("un_locode/country-codes.csv", &["CountryCode"], 249),
        ("sea_ports/sea_ports.csv", &["key"], 1_634),
        ("units_rec20/units_of_measure.csv", &["CommonCode"], 2_136),
        ("packages_rec21/package_codes.csv", &["Code"], 406),
        ("cn_customs_params/customs_info.csv", &["code"], 990),
        ("waste_ewc/ewc_codes.csv", &["code"], 842),
        ("vessels_eu_mrv/ships_2018.csv.gz", &["IMO Number"], 12_256),
        ("declarations_kr/import_declarations.csv.gz", &["Declaration ID"], 54_000),
    ];
    let mut failures = Vec::new();
    for (file, key, rows) in cases {
        match eport_codetables::read(&read(&dir, file), &Options::with_key(key.iter().copied())) {
            Ok(parsed) if parsed.content.rows == *rows => {}
            Ok(parsed) => failures.push(format!("{file}: {} rows, {rows} stated", parsed.content.rows)),
            Err(e) => failures.push(format!("{file}: {e}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_faults_of_the_world_list_of_places_are_all_found() {
    let Some(dir) = data("UN/LOCODE") else { return };
    let mut options = Options::with_key(["Country", "Location"]);
    options.limits.problems = 5_000;
    // Repeated keys of the list, of which so many are equal in every field; rows without a location.
    let cases = [("un_locode_2025-1.csv.gz", 146, 0, 344, 3), ("un_locode_latest.csv.gz", 161, 2, 344, 3)];
    for (file, repeated, equal, headers, controls) in cases {
        let refused = eport_codetables::read(&read(&dir, &format!("un_locode/{file}")), &options);
        let Err(Refusal::Problems { problems, found, notes, .. }) = refused else {
            panic!("{file} was accepted")
        };
        let count = |kind| problems.iter().filter(|p| p.kind == kind).count();
        assert_eq!(found, problems.len() as u64);
        assert_eq!(count(Kind::EmptyKey), headers, "{file}: rows that are headers of countries or groups");
        assert_eq!(count(Kind::RepeatedKey), repeated - equal, "{file}");
        let duplicates = notes.iter().find(|n| n.kind == NoteKind::DuplicateRow).map_or(0, |n| n.count);
        assert_eq!(duplicates, equal as u64, "{file}");
        assert_eq!(count(Kind::ControlCharacter), controls, "{file}");
        assert_eq!(problems.len(), headers + repeated - equal + controls, "{file}: and nothing else");
    }
}

#[test]
fn tariff_codes_that_a_spreadsheet_damaged_are_each_refused() {
    let Some(dir) = data("damaged codes") else { return };
    let mut options = Options::with_key(["税则号列"]);
    options.limits.problems = 10_000;
    let refused = eport_codetables::read(&read(&dir, "gac_lists/fta_asean_rates.csv"), &options);
    let Err(Refusal::Problems { problems, .. }) = refused else { panic!("accepted") };
    assert_eq!(problems.iter().filter(|p| p.kind == Kind::FloatCode).count(), 5_375);
    assert_eq!((problems[0].line, problems[0].column, problems[0].kind), (2, 2, Kind::EmptyKey));
    assert_eq!((problems[1].line, problems[1].column, problems[1].kind), (3, 3, Kind::FloatCode));
}

#[test]
fn a_large_revision_opens_in_place_and_an_unchanged_one_has_the_same_root() {
    let Some(dir) = data("large table") else { return };
    let options = Options::with_key(["revision", "code"]);
    let a = content(&read(&dir, "gb2260/gb2260_history.csv.gz"), &options);
    let same = compare(&a.bytes().unwrap(), &a.bytes().unwrap(), |_| {}).unwrap();
    assert_eq!(same, Counts { unchanged: 269_432, ..Counts::default() });
    let table = Table::open(Bytes::from(a.bytes().unwrap()), a.root).unwrap();
    assert_eq!(table.get_text("198812|441500").unwrap().get("name"), Some("汕尾市"));
    assert!(table.get_text("198712|441500").is_none());
}

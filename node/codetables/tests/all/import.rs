//! Import, comparison with the version before, guard rail, lookup.
#![allow(clippy::type_complexity, reason = "a failed test may panic; tables of cases are types")]

use bytes::Bytes;
use eport_catalog::{Key, TableName, TableVersion, encode_table, parse_instant, root_of};
use eport_codetables::*;
use eport_model::Coded;
use eport_model::codes::{NOT_FOUND, TABLE_GUARD, TABLE_NO_VERSION};

fn name() -> TableName {
    "440000/ports".parse().unwrap()
}

fn options() -> Options {
    Options::with_key(["code"])
}

fn numbered(range: std::ops::Range<u32>, name: &str) -> String {
    let rows: String = range.map(|n| format!("C{n:06},{name}\n")).collect();
    format!("code,name\n{rows}")
}

fn after(before: &Content) -> Beside<'static> {
    Beside { before: Some(before.body.clone()), ..Beside::default() }
}

fn table(csv: &str, options: &Options) -> Table {
    let content = read(csv.as_bytes(), options).unwrap().content;
    Table::open(Bytes::from(content.bytes().unwrap()), content.root).unwrap()
}

#[test]
fn the_report_counts_what_changes_against_the_version_before() {
    let first = import(&name(), b"code,name\nA,a\nB,b\nC,c\nD,d\n", &options(), Beside::default());
    assert_eq!((first.report.rows, first.report.added), (4, 4));
    let before = first.outcome.unwrap();
    let second = import(&name(), b"code,name\nD,d\nB,b2\nC,c\nE,e\nE,e\n", &options(), after(&before));
    let json = serde_json::to_value(&second.report).unwrap();
    let expected = serde_json::json!({
        "name": "ports", "owner": "440000", "version": null, "rows": 4, "added": 1, "removed": 1, "changed": 1,
        "unchanged": 2, "duplicates_ignored": 1, "problems": [], "effective": null, "published": false,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&json[key], value, "{key}");
    }
    assert_eq!(json["root"], second.outcome.unwrap().root.to_string());
    assert!(json.get("error").is_none());
    assert_eq!(serde_json::from_value::<ImportReport>(json).unwrap(), second.report);
}

#[test]
fn a_version_that_drops_or_changes_too_much_needs_force() {
    let before = read(numbered(0..100, "x").as_bytes(), &options()).unwrap().content;
    let run =
        |csv: String, force| import(&name(), csv.as_bytes(), &Options { force, ..options() }, after(&before));
    for (csv, what) in [(numbered(0..60, "x"), "removed"), (numbered(0..100, "y"), "changed")] {
        let refused = run(csv.clone(), false);
        assert_eq!(refused.report.error.unwrap().code, "EP4003");
        assert!(refused.report.root.is_some(), "the difference is shown all the same");
        let refusal = refused.outcome.unwrap_err();
        assert_eq!(refusal.code(), TABLE_GUARD);
        assert!(refusal.to_string().contains(what), "{refusal}");
        assert!(run(csv, true).outcome.is_ok());
    }
    assert!(run(numbered(0..70, "x"), false).outcome.is_ok());
    assert!(run(numbered(0..500, "x"), false).outcome.is_ok(), "growth is no danger");
    let other_key = Options { key: vec!["name".into()], ..options() };
    let moved = import(&name(), b"code,name\nA,a\n", &other_key, after(&before));
    assert_eq!((moved.report.added, moved.report.removed), (1, 100));
    assert!(moved.outcome.is_err());
}

#[test]
fn an_installed_table_finds_keys_prefixes_pages_and_text() {
    let t = table("code,name\nCNCAN,广州 Guangzhou\nCNSHK,Shekou\nCN,China\nHKHKG,Hong Kong\n", &options());
    assert_eq!(t.len(), 4);
    assert_eq!(t.get_text("CNCAN").unwrap().get("name"), Some("广州 Guangzhou"));
    assert!(t.contains("CN") && !t.contains("cncan") && !t.contains("CNCA") && !t.contains(""));
    let codes = |page: &Page<'_>| page.rows.iter().map(|r| r.field(0).to_owned()).collect::<Vec<_>>();
    let page = t.page("CN", None, 2);
    assert_eq!(codes(&page), ["CN", "CNCAN"]);
    let next = t.page("CN", page.next.as_ref(), 2);
    assert_eq!((codes(&next), next.next), (vec!["CNSHK".to_owned()], None));
    assert_eq!(codes(&t.page("", None, 10)).len(), 4);
    assert_eq!(codes(&t.page("ZZ", None, 10)), Vec::<String>::new());
    assert_eq!(codes(&t.search(&Query::parse("广州").unwrap(), None, 10)), ["CNCAN"]);
    assert_eq!(codes(&t.search(&Query::parse("hong").unwrap(), None, 10)), ["HKHKG"]);
    assert_eq!(t.get_text("CN").unwrap().to_map()["name"], "China");

    let two = Options::with_key(["list", "code"]);
    let t = table("code,name,list\n1,sea,mode\n1,open,status\n2,rail,mode\n", &two);
    assert_eq!(t.get_text("status|1").unwrap().get("name"), Some("open"));
    assert_eq!(t.row(1).unwrap().key(), Key(vec!["mode".into(), "2".into()]));
    assert!(t.get_text("status").is_none());
    assert_eq!(t.page("mode", None, 9).rows.len(), 2);
}

#[test]
fn a_table_opens_only_with_the_content_of_its_root() {
    let content = read(b"code,name\nA,a\n", &options()).unwrap().content;
    let mut bad = content.bytes().unwrap();
    *bad.last_mut().unwrap() ^= 1;
    assert!(Table::open(Bytes::from(bad.clone()), content.root).is_err());
    let shorter = content.bytes().unwrap()[..content.body.len() as usize - 1].to_vec();
    assert!(
        Table::open(Bytes::from(shorter.clone()), root_of(&shorter).unwrap_or_default()).is_err(),
        "right digest, not canonical"
    );
    assert!(Table::open(Bytes::from(content.bytes().unwrap()), content.root).is_ok());
}

#[test]
fn a_node_answers_with_the_version_in_force_or_says_why_it_cannot() {
    let day = |d: &str| parse_instant(d).unwrap();
    let content = |csv: &str| read(csv.as_bytes(), &options()).unwrap().content;
    let (old, new) = (content("code,name\nA,old\n"), content("code,name\nA,new\n"));
    let version = |n: u64, effective: &str, c: &Content| TableVersion {
        table: name(),
        version: n,
        root: c.root,
        rows: c.rows,
        bytes: c.body.len(),
        effective: day(effective),
        schema: c.schema.clone(),
        publisher: "operator/admin".into(),
        published_at: day("2026-01-01"),
    };
    let open = |c: &Content| Table::open(Bytes::from(c.bytes().unwrap()), c.root).unwrap();
    let mut shelf = Shelf::default();
    let at = day("2018-06-01");
    let missing = shelf.in_force(&name(), at).unwrap_err();
    assert_eq!((&missing, missing.code()), (&LookupError::Unpublished(name()), NOT_FOUND));

    shelf.publish(version(2, "2018-06-01", &new));
    shelf.publish(version(1, "2018-01-01", &old));
    shelf.publish(version(3, "2019-01-01", &old));
    shelf.install(open(&old));
    let found = |shelf: &Shelf, d: &str| {
        shelf
            .in_force(&name(), day(d))
            .map(|(v, t)| (v.version, t.get_text("A").unwrap().field(1).to_owned()))
    };
    assert_eq!(found(&shelf, "2018-05-31"), Ok((1, "old".into())));
    assert_eq!(found(&shelf, "2018-06-01"), Err(LookupError::NotHere { table: name(), version: 2 }));
    assert_eq!(shelf.missing().iter().map(|v| v.version).collect::<Vec<_>>(), [2]);
    assert_eq!(found(&shelf, "2019-01-01"), Ok((3, "old".into())), "a rollback shares the content");
    shelf.install(open(&new));
    assert_eq!(found(&shelf, "2018-06-01"), Ok((2, "new".into())));
    let early = shelf.in_force(&name(), day("2017-12-31")).unwrap_err();
    assert_eq!(early.code(), TABLE_NO_VERSION);
    assert_eq!(
        early.to_string(),
        "table 440000/ports has no version in force on 2017-12-31; the first takes effect 2018-01-01T00:00:00+08:00"
    );
}

/// What a CSV writer writes, this reader reads; another reader of the same bytes agrees on every field.
#[test]
fn random_tables_survive_csv_and_another_reader_agrees() {
    let mut seed = 7u64;
    let mut dice = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    const WORDS: [&str; 12] = ["", "a", "\"", ",", "\n", "\"\"", "广州", " ", "x,y", "\"q\"", "é", "0"];
    for round in 0..200 {
        let width = 2 + dice(4) as usize;
        let names: Vec<String> =
            (0..width).map(|i| if i == 0 { "code".into() } else { format!("c{i}") }).collect();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for n in 0..1 + dice(40) {
            let mut row = vec![format!("K{n:04}")];
            row.extend(
                (1..width).map(|_| (0..dice(4)).map(|_| WORDS[dice(12) as usize]).collect::<String>()),
            );
            rows.push(row);
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&names).unwrap();
        rows.iter().rev().for_each(|r| writer.write_record(r).unwrap());
        let file = writer.into_inner().unwrap();
        let other: Vec<Vec<String>> = csv::Reader::from_reader(file.as_slice())
            .records()
            .map(|r| r.unwrap().iter().map(str::to_owned).collect())
            .collect();
        let parsed = read(&file, &options()).unwrap();
        let expected = encode_table(&parsed.content.schema, other).unwrap();
        assert_eq!(
            parsed.content.bytes().unwrap(),
            expected,
            "round {round}: {:?}",
            String::from_utf8_lossy(&file)
        );
        let t = Table::open(Bytes::from(parsed.content.bytes().unwrap()), parsed.content.root).unwrap();
        for row in &rows {
            let found: Vec<&str> = t.get_text(&row[0]).unwrap().fields().collect();
            assert_eq!(&found, row, "round {round}");
        }
    }
}

#[test]
fn two_hundred_thousand_rows_in_falling_order_are_sorted_and_found() {
    let rows: String = (0..200_000u32).rev().map(|n| format!("C{n:06},\"name, {n}\",{}\n", n % 97)).collect();
    let t = table(&format!("code,name,group\n{rows}"), &options());
    assert_eq!(t.len(), 200_000);
    for n in (0..200_000).step_by(997) {
        assert_eq!(t.get_text(&format!("C{n:06}")).unwrap().get("name"), Some(format!("name, {n}").as_str()));
        assert_eq!(t.row(n).unwrap().field(0), format!("C{n:06}"));
    }
}

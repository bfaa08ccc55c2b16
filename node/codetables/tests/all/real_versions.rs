//! Many versions of real tables, looked at by date and held against another way of knowing: read from the folder named by
//! `EPORT_DATA_DIR`, skipped without it.

use eport_catalog::{TableName, TableVersion, parse_instant};
use eport_codetables::{Hierarchy, NoteKind, Options, Query, Reading, Rules, Shelf, difference, mapping};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The folder, or a message on why the test shows nothing.
fn data(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("EPORT_DATA_DIR").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("skipped {test}: EPORT_DATA_DIR is not set; it names the folder with the larger data sets");
    }
    dir
}

fn unpacked(dir: &Path, file: &str) -> Vec<u8> {
    let out = Command::new("gzip").arg("-dc").arg(dir.join(file)).output().unwrap();
    assert!(out.status.success(), "{file}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Puts a file on the shelf as the next version of a table.
fn publish(shelf: &mut Shelf, table: &TableName, file: &[u8], options: &Options, effective: &str) {
    let content =
        eport_codetables::read(file, options).unwrap_or_else(|e| panic!("{effective}: {e}")).content;
    shelf.publish(TableVersion {
        table: table.clone(),
        version: shelf.versions(table).len() as u64 + 1,
        root: content.root,
        rows: content.rows,
        bytes: content.body.len(),
        effective: parse_instant(effective).unwrap(),
        schema: content.schema.clone(),
        publisher: "operator/admin".into(),
        published_at: parse_instant("2026-01-01").unwrap(),
    });
    shelf.install(content.open().unwrap());
}

/// Rows of another reader: code to all fields.
fn plain(file: &[u8]) -> BTreeMap<String, Vec<String>> {
    let records = csv::Reader::from_reader(file).into_records();
    records
        .map(|r| r.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
        .map(|r| (r[0].clone(), r))
        .collect()
}

#[test]
fn nine_editions_answer_for_every_day_and_differ_as_a_plain_comparison_says() {
    let Some(dir) = data("nine editions by date") else { return };
    let (mut shelf, table) = (Shelf::default(), "440000/hs8".parse::<TableName>().unwrap());
    let options = Options::with_key(["商品编码"]);
    let mut editions = BTreeMap::new();
    for year in 2015..=2023u32 {
        let file = unpacked(&dir, &format!("cn_hs8/zh_hs8_{year}.csv.gz"));
        publish(&mut shelf, &table, &file, &options, &format!("{year}-01-01"));
        editions.insert(year, plain(&file));
    }
    let on =
        |day: &str| shelf.in_force(&table, parse_instant(day).unwrap()).map(|(v, t)| (v.version, t.clone()));
    assert!(on("2014-12-31").is_err());
    // The shortest-lived codes in the middle of the series are those of 2017 to 2020: hybrid cars that are plugged in.
    let alive = |day: &str| on(day).unwrap().1.contains("87036000");
    assert_eq!(
        ["2016-12-31", "2017-01-01", "2019-06-01", "2020-12-31T23:59:59", "2021-01-01"].map(alive),
        [false, true, true, true, false]
    );
    for (year, rows) in &editions {
        let (version, t) = on(&format!("{year}-07-01")).unwrap();
        assert_eq!((version, t.len()), (u64::from(year - 2014), rows.len()), "{year}");
        assert!(rows.values().all(|row| t.get_text(&row[0]).is_some_and(|r| r.field(1) == row[1])), "{year}");
        // A code of any other edition is there exactly when this edition has it.
        let all = editions.values().flat_map(BTreeMap::keys);
        assert!(all.into_iter().all(|code| t.contains(code) == rows.contains_key(code)), "{year}");
    }
    // Any two editions: sets of codes, and rows compared as lists of texts; the year in every row does not count.
    for (a, b) in [(2015, 2016), (2016, 2017), (2017, 2020), (2019, 2023), (2023, 2015)] {
        let (old, new) = (&editions[&a], &editions[&b]);
        let keys = |rows: &BTreeMap<String, Vec<String>>| rows.keys().cloned().collect::<BTreeSet<_>>();
        let versions = (on(&format!("{a}-07-01")).unwrap().1, on(&format!("{b}-07-01")).unwrap().1);
        let found = difference(&versions.0, &versions.1, None, usize::MAX).unwrap().difference;
        assert_eq!(found.added, keys(new).difference(&keys(old)).cloned().collect::<Vec<_>>(), "{a} to {b}");
        assert_eq!(
            found.removed,
            keys(old).difference(&keys(new)).cloned().collect::<Vec<_>>(),
            "{a} to {b}"
        );
        let changed = old.iter().filter(|(k, row)| new.get(*k).is_some_and(|n| n != *row));
        let names: BTreeMap<&String, (&String, &String)> = changed
            .clone()
            .filter(|(k, row)| new[*k][1] != row[1])
            .map(|(k, row)| (k, (&row[1], &new[k][1])))
            .collect();
        assert_eq!(
            found.changed.iter().map(|c| &c.key).collect::<Vec<_>>(),
            changed.map(|(k, _)| k).collect::<Vec<_>>()
        );
        let told: BTreeMap<&String, (&String, &String)> = found
            .changed
            .iter()
            .filter_map(|c| {
                c.fields.get("商品名称").map(|(o, n)| (&c.key, (o.as_ref().unwrap(), n.as_ref().unwrap())))
            })
            .collect();
        assert_eq!(told, names, "{a} to {b}");
    }
    let t = on("2018-01-10").unwrap().1;
    // One is the horses for breeding, the other all but those.
    let found = t.search(&Query::parse("改良种用 马").unwrap(), None, 9);
    assert_eq!(found.rows.iter().map(|r| r.first_key()).collect::<Vec<_>>(), ["01012100", "01012900"]);
}

#[test]
fn the_english_editions_load_by_a_stated_rule_and_say_what_it_left_out() {
    let Some(dir) = data("nine English editions") else { return };
    let mapping = "key = [\"CODES\"]\n[[column]]\nname = \"CODES\"\n[[column]]\nname = \"DESCRIPTION\"\ncontrol_characters = \"drop\"\n";
    let mut options = Options::with_key(["CODES"]);
    let bare = options.clone();
    mapping::apply(mapping, &mut options).unwrap();
    for year in 2015..=2023u32 {
        let file = unpacked(&dir, &format!("cn_hs8/en_hs8_{year}.csv.gz"));
        let text = std::str::from_utf8(&file).unwrap();
        let controls = text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\r')).count() as u64;
        assert_eq!(eport_codetables::read(&file, &bare).is_err(), controls > 0, "{year}: without the rule");
        let parsed = eport_codetables::read(&file, &options).unwrap_or_else(|e| panic!("{year}: {e}"));
        let note = parsed.notes.iter().find(|n| n.kind == NoteKind::DroppedControl);
        assert_eq!(note.map_or(0, |n| n.count), controls, "{year}");
        let table = parsed.content.open().unwrap();
        // Another reader has the same rows, but for what was dropped.
        let rows = plain(&file);
        assert_eq!(table.len(), rows.len(), "{year}");
        for (code, row) in rows {
            let wanted: String = row[1].chars().filter(|c| !c.is_control() || *c == '\n').collect();
            assert_eq!(table.get_text(&code).map(|r| r.field(1)), Some(wanted.as_str()), "{year} {code}");
        }
    }
}

#[test]
fn all_revisions_of_the_divisions_name_a_code_as_they_did_on_the_day() {
    let Some(dir) = data("82 revisions") else { return };
    let (mut shelf, table) = (Shelf::default(), "440000/divisions".parse::<TableName>().unwrap());
    let mut options = Options::with_key(["code"]);
    let rules = Rules {
        hierarchy: Some(Hierarchy { levels: vec![2, 4, 6], pad: Some('0'), ..Hierarchy::default() }),
        ..Rules::default()
    };
    options.rules = rules.clone();
    // Another way of knowing: the history as one map.
    let mut history: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for record in
        csv::Reader::from_reader(unpacked(&dir, "gb2260/gb2260_history.csv.gz").as_slice()).records()
    {
        let r = record.unwrap();
        history.entry(r[0].to_owned()).or_default().insert(r[1].to_owned(), r[2].to_owned());
    }
    assert_eq!(history.len(), 82);
    // A revision states what held at the end of its month: it takes effect on the first day of the next.
    let effective = |revision: &str| {
        let (year, month): (u32, u32) = (revision[..4].parse().unwrap(), revision[4..].parse().unwrap());
        format!("{:04}-{:02}-01", year + month / 12, month % 12 + 1)
    };
    for (revision, rows) in &history {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["code", "name"]).unwrap();
        rows.iter().for_each(|(code, name)| writer.write_record([code, name]).unwrap());
        publish(&mut shelf, &table, &writer.into_inner().unwrap(), &options, &effective(revision));
    }
    let on = |day: &str| {
        let at = parse_instant(day).unwrap();
        let (version, content) = shelf.in_force(&table, at).ok()?;
        Some((version.version, Reading::new(content.clone(), Arc::new(rules.clone()), at)))
    };
    let name =
        |day: &str, code: &str| on(day).and_then(|(_, r)| r.get_text(code).map(|r| r.field(1).to_owned()));
    for (day, code, expected) in [
        ("1980-12-31", "440500", None),
        ("1981-01-01", "440500", Some("汕头市")),
        ("1988-06-01", "441500", None),
        ("1988-12-31", "441500", None),
        ("1989-01-01", "441500", Some("汕尾市")),
        ("2003-05-05", "441500", Some("汕尾市")),
        ("2019-05-01", "441500", Some("汕尾市")),
        ("1995-12-31", "441522", Some("陆丰县")),
        ("1996-01-01", "441522", None),
        ("1996-01-01", "441581", Some("陆丰市")),
        ("1997-12-31", "500000", None),
        ("1998-01-01", "500000", Some("重庆市")),
        ("1991-12-31", "445100", None),
        ("1992-01-01", "445100", Some("潮州市")),
    ] {
        assert_eq!(name(day, code).as_deref(), expected, "{code} on {day}");
    }
    // Every revision, in the middle of its first month: number, rows and every name.
    for (number, (revision, rows)) in history.iter().enumerate() {
        let day = effective(revision).replace("-01-01", "-01-15");
        let (version, reading) = on(&day).unwrap();
        assert_eq!(version, number as u64 + 1, "{revision}");
        assert_eq!(reading.table().len(), rows.len(), "{revision}");
        let same =
            |(code, name): (&String, &String)| reading.get_text(code).is_some_and(|r| r.field(1) == name);
        assert!(rows.iter().all(same), "{revision}");
    }
    let (_, now) = on("2020-01-01").unwrap();
    let below = |key: &str| {
        now.children(key, None, 99).unwrap().rows.iter().map(|r| r.first_key().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(below("441500"), ["441502", "441521", "441523", "441581"]);
    assert_eq!(below("440000").len(), 21, "the cities of the province");
    assert_eq!(below("").len(), 34);
    let above: Vec<&str> = now.parents("441581").unwrap().iter().map(|r| r.field(1)).collect();
    assert_eq!(above, ["汕尾市", "广东省"]);
}

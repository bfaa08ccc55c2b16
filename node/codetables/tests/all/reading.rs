//! Tables as they read at an instant: days of rows, hierarchy, search, differences in parts, change feed, uses of codes that go.

use eport_catalog::{Key, parse_instant};
use eport_codetables::*;
use eport_model::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

fn day(text: &str) -> Timestamp {
    parse_instant(text).unwrap()
}

fn table(csv: &str) -> Table {
    read(csv.as_bytes(), &Options::with_key(["code"]))
        .unwrap_or_else(|e| panic!("{e}"))
        .content
        .open()
        .unwrap()
}

fn reading(csv: &str, rules: Rules, at: &str) -> Reading {
    let table = table(csv);
    rules.check(table.schema()).unwrap();
    Reading::new(table, Arc::new(rules), day(at))
}

fn codes(page: &Page<'_>) -> Vec<String> {
    page.rows.iter().map(|r| r.first_key().to_owned()).collect()
}

#[test]
fn a_row_is_there_on_its_days_and_on_no_other() {
    let csv = "code,from,to\nA,2018-01-01,2018-01-31\nB,,2018-01-15\nC,2018-02-01,\nD,,\n";
    let rules = Rules {
        validity: Some(Validity { from: Some("from".into()), to: Some("to".into()) }),
        ..Rules::default()
    };
    let on = |at: &str| codes(&reading(csv, rules.clone(), at).page("", None, 9));
    assert_eq!(on("2017-12-31T23:59:59"), ["B", "D"]);
    assert_eq!(on("2018-01-01"), ["A", "B", "D"]);
    assert_eq!(on("2018-01-15T23:59"), ["A", "B", "D"], "the last day counts to its end");
    assert_eq!(on("2018-01-15T16:00:00Z"), ["A", "D"], "days are days of Shanghai");
    assert_eq!(on("2018-02-01"), ["C", "D"]);
    let r = reading(csv, rules, "2018-02-01");
    assert!(r.get_text("A").is_none() && r.table().get_text("A").is_some());
    assert_eq!(codes(&r.search(&Query::parse("2018-01").unwrap(), None, 9)), Vec::<String>::new());
}

#[test]
fn customs_codes_have_parents_and_children_by_their_length() {
    let rules = Rules {
        hierarchy: Some(Hierarchy { levels: vec![2, 4, 6, 8, 10], ..Hierarchy::default() }),
        ..Rules::default()
    };
    // 010130 has no row of its own: 01013010 hangs below 0101.
    let csv = "code,name\n01,animals\n0101,horses\n010121,pure-bred\n0101210010,x\n01013010,asses\n0102,bovine\n02,meat\n0203,swine\n";
    let r = reading(csv, rules, "2018-01-01");
    let above =
        |key: &str| r.parents(key).map(|p| p.iter().map(|r| r.first_key().to_owned()).collect::<Vec<_>>());
    assert_eq!(above("0101210010").unwrap(), ["010121", "0101", "01"]);
    assert_eq!(above("01013010").unwrap(), ["0101", "01"]);
    assert_eq!(above("01").unwrap(), Vec::<String>::new());
    assert_eq!(above("99"), None);
    let below = |key: &str| codes(&r.children(key, None, 9).unwrap());
    assert_eq!(below(""), ["01", "02"]);
    assert_eq!(below("01"), ["0101", "0102"]);
    assert_eq!(below("0101"), ["010121", "01013010"]);
    assert_eq!(below("010121"), ["0101210010"]);
    assert_eq!(below("0101210010"), Vec::<String>::new());
    let first = r.children("01", None, 1).unwrap();
    assert_eq!(
        (codes(&first), codes(&r.children("01", first.next.as_ref(), 9).unwrap())),
        (vec!["0101".into()], vec!["0102".into()])
    );
}

#[test]
fn divisions_have_parents_by_padded_code_and_by_column_alike() {
    let csv = "code,name,up\n110000,北京,\n110101,东城,110000\n440000,广东,\n440100,广州,440000\n440103,荔湾,440100\n440300,深圳,440000\n441900,东莞,440000\n";
    let padded = Hierarchy { levels: vec![2, 4, 6], pad: Some('0'), ..Hierarchy::default() };
    let column = Hierarchy { parent: Some("up".into()), ..Hierarchy::default() };
    for hierarchy in [padded, column] {
        let r = reading(csv, Rules { hierarchy: Some(hierarchy.clone()), ..Rules::default() }, "2018-01-01");
        let above =
            |key: &str| r.parents(key).unwrap().iter().map(|r| r.first_key().to_owned()).collect::<Vec<_>>();
        let below = |key: &str| codes(&r.children(key, None, 9).unwrap());
        assert_eq!(above("440103"), ["440100", "440000"], "{hierarchy:?}");
        assert_eq!(above("110101"), ["110000"], "{hierarchy:?}: a district of a municipality");
        assert_eq!(below(""), ["110000", "440000"], "{hierarchy:?}");
        assert_eq!(below("440000"), ["440100", "440300", "441900"], "{hierarchy:?}");
        assert_eq!(below("440100"), ["440103"], "{hierarchy:?}");
        let first = r.children("440000", None, 2).unwrap();
        assert_eq!(
            codes(&r.children("440000", first.next.as_ref(), 9).unwrap()),
            ["441900"],
            "{hierarchy:?}"
        );
    }
    assert!(reading(csv, Rules::default(), "2018-01-01").children("", None, 9).is_none());
}

/// Every answer of the index is held against a look at every row.
#[test]
fn a_search_finds_exactly_the_rows_that_a_look_at_every_row_finds() {
    let words = ["广州", "港", "Port", "Zürich", "a", "Köln", "sea", "x-1", "深圳港", "AB", "É", "ﬁ", "İ"];
    let mut seed = 11u64;
    let mut dice = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut csv = String::from("code,one,two\n");
    for n in 0..5_000 {
        let mut text = || {
            (0..dice(4)).map(|_| words[dice(13) as usize]).collect::<Vec<_>>().join(if dice(2) == 0 {
                " "
            } else {
                ""
            })
        };
        csv.push_str(&format!("K{n:05},{},{}\n", text(), text()));
    }
    let t = table(&csv);
    let queries = [
        "广州",
        "港",
        "州港",
        "port",
        "zürich",
        "ZÜRICH",
        "köl",
        "a",
        "ab",
        "sea port",
        "k0012",
        "深圳港 sea x-1",
        "é",
        "x-",
        "nothing",
        "portp",
    ];
    for query in queries {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let expected: Vec<String> = t
            .iter()
            .filter(|row| words.iter().all(|w| row.fields().any(|f| f.to_lowercase().contains(w.as_str()))))
            .map(|row| row.first_key().to_owned())
            .collect();
        let parsed = Query::parse(query).unwrap();
        let (mut found, mut after) = (Vec::new(), None::<Key>);
        loop {
            let page = t.search(&parsed, after.as_ref(), 97);
            assert!(page.rows.len() <= 97);
            found.extend(codes(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query}");
    }
    for bad in ["", "  ", "a b c d e f g h i", &"x".repeat(300)] {
        assert!(Query::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_difference_in_parts_is_the_whole_difference() {
    let rows = |f: &dyn Fn(u32) -> Option<String>| -> Table {
        table(&format!(
            "code,v\n{}",
            (0..500).filter_map(|n| f(n).map(|v| format!("C{n:04},{v}\n"))).collect::<String>()
        ))
    };
    let old = rows(&|n| (n % 7 != 0).then(|| "a".into()));
    let new = rows(&|n| (n % 5 != 0).then(|| if n % 3 == 0 { "b".into() } else { "a".into() }));
    let whole = eport_catalog::diff(old.content(), new.content()).unwrap();
    let (mut parts, mut after) = (eport_catalog::Difference::default(), None::<Key>);
    loop {
        let page = difference(&old, &new, after.as_ref(), 13).unwrap();
        parts.added.extend(page.difference.added);
        parts.removed.extend(page.difference.removed);
        parts.changed.extend(page.difference.changed);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(parts, whole);
    assert!(!whole.added.is_empty() && !whole.removed.is_empty() && !whole.changed.is_empty());
}

/// A copy that only ever applies the feed, broken off anywhere, has every version in its turn.
#[test]
fn a_copy_that_follows_the_feed_becomes_the_version_in_force() {
    let contents: BTreeMap<u64, (Timestamp, Table)> = [
        (1, "2018-01-01", "code,v\nA,1\nB,1\nC,1\n"),
        (2, "2018-03-01", "code,v\nA,1\nC,2\nD,2\n"),
        // Published later, in force before: history.
        (3, "2018-02-01", "code,v\nA,3\nX,3\n"),
        (4, "2099-01-01", "code,v\nZ,4\n"),
    ]
    .into_iter()
    .map(|(n, at, csv)| (n, (day(at), table(csv))))
    .collect();
    let versions: Vec<(u64, Timestamp)> = contents.iter().map(|(n, (at, _))| (*n, *at)).collect();
    for limit in [1, 2, 100] {
        let (mut copy, mut token, mut passed) = (BTreeMap::new(), None::<String>, Vec::new());
        loop {
            let parsed = token.as_deref().map(|t| t.parse().unwrap());
            let Some(leg) = feed::next(&versions, parsed.as_ref(), day("2020-01-01")).unwrap() else { break };
            let empty = table("code,v\nA,1\n");
            let (from, to) = (leg.from.map(|v| &contents[&v].1), &contents[&leg.to].1);
            let after = leg.after.as_deref().map(|k| Key::parse(k, 1).unwrap());
            let (mut seen, mut last, mut more) = (0, None, false);
            let mut apply = |step: Step<'_>| {
                if seen == limit {
                    more = true;
                    return false;
                }
                seen += 1;
                last = Some(step.key());
                match step {
                    Step::Removed(row) => drop(copy.remove(row.first_key())),
                    Step::Added(row) | Step::Changed(_, row) => {
                        drop(copy.insert(row.first_key().to_owned(), row.field(1).to_owned()))
                    }
                }
                true
            };
            match from {
                Some(from) => steps(from, to, after.as_ref(), &mut apply).unwrap(),
                None => {
                    let _ = &empty;
                    for row in to.iter().filter(|r| after.as_ref().is_none_or(|a| r.key() > *a)) {
                        if !apply(Step::Added(row)) {
                            break;
                        }
                    }
                }
            }
            let next = leg.token(last.as_ref().filter(|_| more));
            if let feed::Token::At(version) = next {
                passed.push(version);
                let expected: BTreeMap<String, String> = contents[&version]
                    .1
                    .iter()
                    .map(|r| (r.first_key().to_owned(), r.field(1).to_owned()))
                    .collect();
                assert_eq!(copy, expected, "limit {limit}, version {version}");
            }
            token = Some(next.to_string());
        }
        assert_eq!(passed, [1, 3, 2], "in the order in which they take effect, and nothing of 2099");
    }
    let next = |token: &str| feed::next(&versions, Some(&token.parse().unwrap()), day("2020-01-01"));
    assert_eq!(next("2").unwrap(), None);
    assert!(next("9").is_err() && next("4").is_err() && next("1-9~A").is_err());
    for bad in ["", "x", "1~A", "1-~A", "-~", "-1~A"] {
        assert!(bad.parse::<feed::Token>().is_err(), "{bad}");
    }
}

#[test]
fn a_version_that_drops_codes_in_use_is_refused_and_says_where() {
    let tariff = read(b"code,unit\n0101,kg\n0102,pc\n0103,pc\n", &Options::with_key(["code"]))
        .unwrap()
        .content
        .open()
        .unwrap();
    let tariff = Reading::new(tariff, Arc::new(Rules::default()), day("2018-01-01"));
    let before = table("code,name\nkg,a\nlb,b\npc,c\n");
    let mut asked = Vec::new();
    let mut run = |file: &[u8], force| {
        let mut users = |going: &[String]| {
            asked.push(going.to_vec());
            uses_in_table(going, "440000/tariff", &tariff, &["unit".to_owned()])
        };
        let beside = Beside { before: Some(before.source()), users: Some(&mut users), ..Beside::default() };
        let mut options = Options { force, ..Options::with_key(["code"]) };
        options.guard = Guard { removed_percent_max: 100, changed_percent_max: 100 };
        import(&"440000/units".parse().unwrap(), file, &options, beside)
    };
    let refused = run(b"code,name\nkg,a\n", false);
    let report = serde_json::to_value(&refused.report).unwrap();
    assert_eq!(report["error"]["code"], "EP4042");
    assert_eq!(report["impact"]["found"], 1);
    assert_eq!(report["impact"]["uses"][0]["key"], "pc");
    assert_eq!(report["impact"]["uses"][0]["count"], 2);
    assert_eq!(report["impact"]["uses"][0]["places"], serde_json::json!(["0102", "0103"]));
    assert_eq!(report["difference"]["removed"], serde_json::json!(["lb", "pc"]));
    assert!(run(b"code,name\nkg,a\n", true).outcome.is_ok());
    let unused = run(b"code,name\nkg,a\npc,c\n", false);
    assert!(unused.outcome.is_ok() && unused.report.impact.uses.is_empty());
    assert_eq!(asked, [vec!["lb", "pc"], vec!["lb", "pc"], vec!["lb"]]);
}

#[test]
fn rules_travel_in_the_schema_text_and_old_texts_read_as_before() {
    let text = r#"{"columns":[{"name":"code","type":"code"},{"name":"up","type":"text"}],"key":["code"]}"#;
    let old = TableSchema::parse(text).unwrap();
    assert!(old.rules.is_empty());
    assert_eq!(old.to_text(), text);
    let mut new = old.clone();
    new.rules.hierarchy = Some(Hierarchy { parent: Some("up".into()), ..Hierarchy::default() });
    assert_eq!(TableSchema::parse(&new.to_text()).unwrap(), new);
    let plain: eport_catalog::Schema = serde_json::from_str(&new.to_text()).unwrap();
    assert_eq!(plain, old.schema);
    new.rules.hierarchy = Some(Hierarchy { parent: Some("other".into()), ..Hierarchy::default() });
    assert!(TableSchema::parse(&new.to_text()).is_err());
    // The request of a program and that of a node come to the same options.
    let request: Request = serde_json::from_str(r#"{"format":"tsv"}"#).unwrap();
    let key = ["code".to_owned()];
    let options = request.options(Some((&key, &old.rules))).unwrap();
    assert_eq!((options.delimiter, options.key.as_slice()), (b'\t', &key[..]));
}

/// Rows of two key columns, of which the second repeats, and no two alike when read as one text.
fn places(rows: u32) -> Table {
    let rows: String =
        (0..rows).map(|n| format!("{},{},place number {n} of many\n", n / 7, n % 7 * 1_111)).collect();
    let csv = format!("country,place,name\n{rows}");
    read(csv.as_bytes(), &Options::with_key(["country", "place"])).unwrap().content.open().unwrap()
}

#[test]
fn the_index_of_places_answers_as_halving_does_and_stays_within_twice_the_content() {
    let indexed = places(9_000);
    let alone = indexed.bytes_in_memory();
    for n in 0..100 {
        assert!(indexed.get_text(&format!("{n}|1111")).is_some(), "{n}");
    }
    let made = indexed.bytes_in_memory();
    assert!(made >= alone + 8 * 9_000 && made <= 2 * indexed.content().len(), "{alone}, then {made}");
    // Every key, keys that are none, and keys whose parts run into another.
    let rows: BTreeMap<Key, BTreeMap<String, String>> =
        indexed.iter().map(|r| (r.key(), r.to_map())).collect();
    assert_eq!(rows.len(), 9_000);
    for country in 0..1_400u32 {
        for part in [0, 1_111, 2_222, 3_333, 4_444, 5_555, 6_666, 7_777, 111] {
            let key = Key(vec![country.to_string(), part.to_string()]);
            assert_eq!(indexed.get(&key).map(|r| r.to_map()).as_ref(), rows.get(&key), "{key}");
        }
    }
    assert!(indexed.get(&Key(vec!["1".into()])).is_none() && indexed.get_text("11111").is_none());

    // Rows too short for an index, and few rows, are halved for ever.
    let short: String = (0..5_000).map(|n| format!("{n:04},\n")).collect();
    for (csv, key) in [(format!("code,n\n{short}"), "4999"), ("code,n\nA,one\nB,two\n".to_owned(), "B")] {
        let table = table(&csv);
        let before = table.bytes_in_memory();
        assert!((0..200).all(|_| table.contains(key)) && !table.contains("x"));
        assert_eq!(table.bytes_in_memory(), before, "{key}");
    }
}

//! Code tables over real processes: published whole, refused whole, the same bytes everywhere.

mod engine;
mod large;
mod packs;

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, wait_for, with_federation};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const NODES: [&str; 4] = ["gz-a-1", "gz-a-2", "gz-c-1", "sz-a-1"];

#[test]
fn tables_are_installed_whole_everywhere_or_not_at_all() {
    with_federation(&[], |fed| {
        the_starter_set_is_everywhere_and_dates_choose_the_revision(fed)?;
        a_damaged_file_is_reported_line_by_line_and_changes_nothing(fed)?;
        the_same_file_again_changes_nothing(fed)?;
        a_version_that_drops_too_much_needs_force(fed)?;
        a_table_is_read_along_its_hierarchy_and_followed_by_its_changes(fed)?;
        codes_in_use_are_not_dropped_unseen(fed)?;
        a_version_of_tomorrow_is_not_seen_today(fed)?;
        a_node_that_was_away_gets_what_it_missed(fed)?;
        large::a_file_goes_over_the_disk_under_a_limit_of_its_own(fed, "gz-a-2")?;
        packs::a_pack_changes_without_code_and_documents_keep_their_version(fed)
    });
}

fn file(fed: &Federation, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
    let path = fed.scratch().join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// Every node's own answer about a table, reduced to what must be equal.
fn views(fed: &Federation, table: &str, key: &str) -> Result<Vec<Value>> {
    NODES
        .iter()
        .map(|node| {
            let shown = fed.eport_at(node, &["table", "show", table, "--rows", "1"])?.ok_json()?;
            let row = fed.eport_at(node, &["table", "get", table, key])?.ok_json()?;
            Ok(json!({ "version": shown["version"], "root": shown["root"], "rows": shown["rows"], "row": row }))
        })
        .collect()
}

/// Waits until every node holds the wanted version, and checks that they hold the same bytes.
fn installed(fed: &Federation, table: &str) -> Result<Value> {
    wait_for(&format!("{table} on every node"), Duration::from_secs(60), || {
        let status =
            fed.eport(&["table", "status", table]).and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let same = nodes.len() == 4
            && nodes.iter().all(|n| n["root"] == status["root"] && n["version"] == status["version"]);
        if same { Ok(status) } else { Err(status.to_string()) }
    })
}

fn the_starter_set_is_everywhere_and_dates_choose_the_revision(fed: &Federation) -> Result<()> {
    let dry = fed.eport(&["table", "import", "--starter", "--dry-run"])?.expect(0, "a dry run")?.json()?;
    let sound = |i: &Value| i["problems"] == json!([]) && i["error"].is_null() && i["published"] == false;
    ensure!(dry["items"].as_array().is_some_and(|i| i.len() >= 10 && i.iter().all(sound)), "{dry}");
    let set = fed.eport(&["table", "import", "--starter"])?.expect(0, "starter")?.json()?;
    let items = set["items"].as_array().context("items")?;
    ensure!(items.len() >= 10 && items.iter().all(|i| i["published"] == true), "{set}");
    for table in ["ports", "divisions", "customs_offices"] {
        installed(fed, table)?;
    }
    // Shanwei (441500) was made a city in January 1988: GB/T 2260 of 1980 does not know it, that of 1988 does.
    for node in NODES {
        let at = |day: &str| fed.eport_at(node, &["table", "get", "divisions", "441500", "--as-of", day]);
        at("1985-06-01T00:00:00+08:00")?.expect(3, "441500 in 1985")?;
        at("1970-06-01T00:00:00+08:00")?.expect(3, "before the first revision")?;
        for day in ["1989-06-01T00:00:00+08:00", "2004-06-01T00:00:00+08:00", "2020-06-01T00:00:00+08:00"] {
            let row = at(day)?.expect(0, day)?.json()?;
            ensure!(
                row["fields"]["name_zh"] == "汕尾市" && row["fields"]["parent"] == "440000",
                "{node} {day}: {row}"
            );
        }
        // Lufeng was a county (441522) until it became a city (441581).
        let county = fed.eport_at(
            node,
            &["table", "get", "divisions", "441522", "--as-of", "1992-06-01T00:00:00+08:00"],
        )?;
        ensure!(county.ok_json()?["fields"]["name_zh"] == "陆丰县", "{node}");
        fed.eport_at(node, &["table", "get", "divisions", "441522", "--as-of", "2020-06-01T00:00:00+08:00"])?
            .expect(3, "441522 in 2020")?;
    }
    let a = fed.eport(&["table", "versions", "divisions"])?.ok_json()?;
    ensure!(a["items"].as_array().is_some_and(|v| v.len() >= 8), "{a}");
    Ok(())
}

fn a_damaged_file_is_reported_line_by_line_and_changes_nothing(fed: &Federation) -> Result<()> {
    let good = file(fed, "berths.csv", "code,name\nA1,one\nA2,two\nA3,three\nA4,four\n")?;
    let good = good.to_string_lossy().into_owned();
    fed.eport(&["table", "import", &good, "--name", "berths", "--key", "code"])?
        .expect(0, "first version")?;
    installed(fed, "berths")?;
    let before = views(fed, "berths", "A2")?;
    ensure!(before.windows(2).all(|w| w[0] == w[1]), "{before:#?}");

    // Line 3: too many fields. 4: no key. 5: a code that a spreadsheet turned into a number. 6: a key that stands in line 2
    // already, with other content. 7: a control character.
    let damaged =
        "code,name\nA1,one\nA2,two,extra\n,nobody\n1019010.0,five\nA1,another\nA6,si\u{7}x\nA7,seven\n";
    let bad = file(fed, "damaged.csv", damaged)?;
    let bad = bad.to_string_lossy().into_owned();
    let ran = fed
        .eport(&["table", "import", &bad, "--name", "berths", "--key", "code"])?
        .expect(1, "damaged file")?;
    let report = ran.json()?;
    ensure!(report["published"] == false && report["error"].is_string(), "{report}");
    let found: Vec<(u64, u64, String)> = report["problems"]
        .as_array()
        .context("problems")?
        .iter()
        .map(|p| {
            let number = |k: &str| p[k].as_u64().unwrap_or(0);
            (number("line"), number("column"), p["kind"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let expected: Vec<(u64, u64, String)> = [
        (3, 8, "ragged_row"),
        (4, 1, "empty_key"),
        (5, 1, "float_code"),
        (6, 1, "repeated_key"),
        (7, 6, "control_character"),
    ]
    .map(|(l, c, k)| (l, c, k.to_owned()))
    .to_vec();
    ensure!(found == expected, "found {found:#?}");
    let after = views(fed, "berths", "A2")?;
    ensure!(before == after, "the former version is not untouched: {before:#?} became {after:#?}");

    // Bytes that are not of the declared encoding are refused too, and a missing key column is a usage of the wrong file.
    let gbk = file(fed, "gbk.csv", [&b"code,name\nB1,"[..], &[0xB9, 0xE3, 0xD6, 0xDD], b"\n"].concat())?;
    let gbk = gbk.to_string_lossy().into_owned();
    let refused = fed.eport(&["table", "import", &gbk, "--name", "berths", "--key", "code"])?;
    ensure!(refused.code == 1, "a GBK file declared UTF-8: {refused:?}");
    let absent = fed.eport(&["table", "import", &good, "--name", "berths", "--key", "number"])?;
    ensure!(absent.code == 1, "a key column that is not there: {absent:?}");
    ensure!(before == views(fed, "berths", "A2")?, "a refused file left something");
    Ok(())
}

fn the_same_file_again_changes_nothing(fed: &Federation) -> Result<()> {
    let versions = |fed: &Federation| -> Result<usize> {
        let v = fed.eport(&["table", "versions", "berths"])?.ok_json()?;
        Ok(v["items"].as_array().context("items")?.len())
    };
    let before = versions(fed)?;
    let good = fed.scratch().join("berths.csv").to_string_lossy().into_owned();
    let again = fed
        .eport(&["table", "import", &good, "--name", "berths", "--key", "code"])?
        .expect(0, "again")?
        .json()?;
    let zero = ["added", "removed", "changed"].iter().all(|k| again[k] == 0);
    ensure!(zero && again["unchanged"] == 4, "{again}");
    ensure!(versions(fed)? == before, "the same file made a new version: {again}");
    Ok(())
}

fn a_version_that_drops_too_much_needs_force(fed: &Federation) -> Result<()> {
    let before = views(fed, "berths", "A1")?;
    let small = file(fed, "small.csv", "code,name\nA1,one\n")?.to_string_lossy().into_owned();
    let import = ["table", "import", &small, "--name", "berths", "--key", "code"];
    let report = fed.eport(&import)?.expect(7, "three of four rows dropped")?.json()?;
    ensure!(report["published"] == false && report["removed"] == 3, "{report}");
    ensure!(before == views(fed, "berths", "A1")?, "a guarded file left something");
    let forced = fed.eport(&[&import[..], &["--force"]].concat())?.expect(0, "with force")?.json()?;
    ensure!(forced["published"] == true && forced["removed"] == 3, "{forced}");
    installed(fed, "berths")?;
    for node in NODES {
        fed.eport_at(node, &["table", "get", "berths", "A2"])?.expect(3, "a dropped row")?;
    }
    Ok(())
}

fn keys(rows: &Value) -> Vec<&str> {
    rows["items"].as_array().into_iter().flatten().filter_map(|r| r["key"].as_str()).collect()
}

fn a_table_is_read_along_its_hierarchy_and_followed_by_its_changes(fed: &Federation) -> Result<()> {
    let at = ["--as-of", "2020-06-01"];
    for node in ["gz-a-1", "sz-a-1"] {
        let run = |args: &[&str]| fed.eport_at(node, args)?.ok_json();
        let cities = run(&[&["table", "children", "divisions", "440000"][..], &at].concat())?;
        ensure!(keys(&cities).len() == 21 && keys(&cities).contains(&"441500"), "{node}: {cities}");
        let above = run(&[&["table", "parents", "divisions", "441581"][..], &at].concat())?;
        ensure!(keys(&above) == ["441500", "440000"], "{node}: {above}");
        ensure!(keys(&run(&["table", "find", "ports", "guangzhou"])?).contains(&"CNCAN"), "{node}");
        ensure!(keys(&run(&["table", "find", "divisions", "汕尾"])?) == ["441500"], "{node}");
        let hs = run(&["table", "parents", "hs_codes", "0101210010"])?;
        ensure!(keys(&hs) == ["010121", "0101", "01"], "{node}: {hs}");
        // A row counts on its days only.
        fed.eport_at(node, &["table", "get", "trade_modes", "9710", "--as-of", "2020-06-30"])?
            .expect(3, "early")?;
        fed.eport_at(node, &["table", "get", "trade_modes", "9710", "--as-of", "2020-07-01"])?
            .expect(0, "then")?;
    }
    // The feed, two changes at a time, ends with the version in force: one berth of four is left.
    let (mut copy, mut token) = (std::collections::BTreeSet::new(), None::<String>);
    loop {
        let mut args = vec!["table", "changes", "berths", "--limit", "2"];
        if let Some(token) = &token {
            args.extend(["--after", token]);
        }
        let part = fed.eport(&args)?.ok_json()?;
        for change in part["items"].as_array().context("items")? {
            let key = change["key"].as_str().unwrap_or_default().to_owned();
            match change["op"] == "removed" {
                true => drop(copy.remove(&key)),
                false => drop(copy.insert(key)),
            }
        }
        token = part["next"].as_str().map(str::to_owned);
        if part["more"] == false {
            break;
        }
    }
    ensure!(copy.iter().map(String::as_str).collect::<Vec<_>>() == ["A1"], "{copy:?}");
    fed.eport(&["table", "changes", "berths", "--after", "77"])?.expect(4, "a token of nowhere")?;
    Ok(())
}

fn codes_in_use_are_not_dropped_unseen(fed: &Federation) -> Result<()> {
    // One table refers to another, by a mapping file; both come in other forms than CSV.
    let kinds = file(
        fed,
        "kinds.jsonl",
        "{\"code\":\"B\",\"name\":\"bulk\"}\n{\"code\":\"C\",\"name\":\"boxes\"}\n{\"code\":\"D\",\"name\":\"none\"}\n",
    )?;
    let kinds = kinds.to_string_lossy().into_owned();
    fed.eport(&["table", "import", &kinds, "--key", "code"])?.expect(0, "JSON lines")?;
    let mapping = file(
        fed,
        "quays.toml",
        "key = [\"code\"]\n[[column]]\nname = \"code\"\nfrom = [\"QUAY\"]\n[[column]]\nname = \"kind\"\nfrom = [\"KIND\"]\nreferences = \"kinds\"\n",
    )?;
    let mapping = mapping.to_string_lossy().into_owned();
    let import = |name: &str, content: &str| -> Result<eport_cluster::Ran> {
        let path = file(fed, name, content)?.to_string_lossy().into_owned();
        fed.eport(&["table", "import", &path, "--name", "quays", "--mapping", &mapping])
    };
    let unknown =
        import("quays.tsv", "QUAY\tKIND\nQ1\tC\nQ2\tX\n")?.expect(1, "a kind that is none")?.json()?;
    ensure!(
        unknown["problems"][0]["kind"] == "unknown_reference" && unknown["problems"][0]["line"] == 3,
        "{unknown}"
    );
    import("quays.tsv", "QUAY\tKIND\nQ1\tC\nQ2\tC\n")?.expect(0, "quays")?;
    let dropped = file(
        fed,
        "kinds2.jsonl",
        "{\"code\":\"B\",\"name\":\"bulk\"}\n{\"code\":\"D\",\"name\":\"none\"}\n",
    )?;
    let dropped = dropped.to_string_lossy().into_owned();
    let args = ["table", "import", &dropped, "--name", "kinds", "--key", "code"];
    let refused = fed.eport(&args)?.expect(7, "a kind in use")?.json()?;
    ensure!(
        refused["error"] == "EP4042" && refused["impact"][0]["places"] == json!(["Q1", "Q2"]),
        "{refused}"
    );
    let forced = fed.eport(&[&args[..], &["--force"]].concat())?.expect(0, "with force")?.json()?;
    let version = forced["version"].to_string();
    let impact = fed.eport(&["table", "impact", "kinds", &version])?.ok_json()?;
    ensure!(impact["removed"] == 1 && impact["items"][0]["user"] == "440000/quays", "{impact}");

    // A document that is open names a port; a list without that port is refused in a dry run already.
    let document = include_str!("../../../../node/packs/arrival_report/examples/valid/contract.json");
    let document: Value = serde_json::from_str(document)?;
    let document = document.get("document").cloned().unwrap_or(document);
    let port = document["body"]["port"].as_str().context("port")?.to_owned();
    let path = file(fed, "doc.json", document.to_string())?.to_string_lossy().into_owned();
    fed.eport(&["--timeout", "60s", "doc", "submit", &path, "--platform", "440100"])?
        .expect(0, "a document")?;
    let ports = include_str!("../../../../node/tables/ports.csv");
    let without: String = ports.lines().filter(|l| !l.starts_with(&port)).flat_map(|l| [l, "\n"]).collect();
    let without = file(fed, "ports.csv", without)?.to_string_lossy().into_owned();
    let dry = ["table", "import", &without, "--key", "code", "--dry-run"];
    let refused = fed.eport_at("gz-c-1", &dry)?.expect(7, "a port in use")?.json()?;
    ensure!(refused["difference"]["removed"] == json!([port]), "{refused}");
    let uses = refused["impact"].as_array().context("impact")?;
    let by = |kind: &str| uses.iter().any(|u| u["kind"] == kind && u["field"] == "port" && u["count"] == 1);
    ensure!(by("table") && by("document"), "{refused}");
    // So is one that a rule of a pack names.
    let modes = include_str!("../../../../node/tables/trade_modes.csv");
    let without: String = modes.lines().filter(|l| !l.starts_with("0110")).flat_map(|l| [l, "\n"]).collect();
    let without = file(fed, "trade_modes.csv", without)?.to_string_lossy().into_owned();
    let refused =
        fed.eport(&["table", "import", &without, "--dry-run"])?.expect(7, "a trade mode in use")?.json()?;
    let named = refused["impact"].as_array().context("impact")?.iter().find(|u| u["kind"] == "pack").cloned();
    let named = named.with_context(|| format!("{refused}"))?;
    ensure!(
        named["key"] == "0110" && named["user"].as_str().is_some_and(|u| u.starts_with("goods_declaration ")),
        "{named}"
    );
    let late = fed.eport_at("gz-c-1", &["table", "late", "ports"])?.ok_json()?;
    ensure!(
        late["items"] == json!([]) && late["platforms"].as_array().is_some_and(|p| !p.is_empty()),
        "{late}"
    );
    Ok(())
}

fn a_version_of_tomorrow_is_not_seen_today(fed: &Federation) -> Result<()> {
    let before = views(fed, "berths", "A1")?;
    let next =
        file(fed, "next.csv", "code,name\nA1,new name\nZ9,new berth\n")?.to_string_lossy().into_owned();
    let published = fed
        .eport(&[
            "table",
            "import",
            &next,
            "--name",
            "berths",
            "--key",
            "code",
            "--force",
            "--effective",
            "2099-01-01T00:00:00+08:00",
        ])?
        .expect(0, "a future version")?
        .json()?;
    ensure!(published["published"] == true, "{published}");
    let later = ["--as-of", "2099-02-01T00:00:00+08:00"];
    for node in NODES {
        wait_for(&format!("the future version at {node}"), Duration::from_secs(60), || {
            let row = fed.eport_at(node, &[&["table", "get", "berths", "Z9"][..], &later].concat());
            let row = row.and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
            if row["fields"]["name"] == "new berth" { Ok(()) } else { Err(row.to_string()) }
        })?;
        fed.eport_at(node, &["table", "get", "berths", "Z9"])?.expect(3, "a row of the future, today")?;
    }
    ensure!(before == views(fed, "berths", "A1")?, "a future version is seen before its time");
    Ok(())
}

fn a_node_that_was_away_gets_what_it_missed(fed: &Federation) -> Result<()> {
    fed.dev("kill", "gz-a-2")?;
    large::limits_are_narrow_and_a_crash_left_something(fed, "gz-a-2")?;
    let rows: String = (0..2_000).map(|n| format!("K{n:05},value {n}\n")).collect();
    let path = file(fed, "away.csv", format!("code,name\n{rows}"))?.to_string_lossy().into_owned();
    let published = fed.eport(&["table", "import", &path, "--name", "away", "--key", "code"])?;
    // A node that is away may be named; without force the publication may be refused for it (design §4).
    let published = match published.code {
        0 => published.json()?,
        _ => fed
            .eport(&["table", "import", &path, "--name", "away", "--key", "code", "--force"])?
            .expect(0, "with force")?
            .json()?,
    };
    ensure!(published["published"] == true && published["rows"] == 2_000, "{published}");
    fed.dev("restart", "gz-a-2")?;
    let status = installed(fed, "away")?;
    let fetched =
        status["nodes"].as_array().context("nodes")?.iter().find(|n| n["node"] == "gz-a-2").cloned();
    ensure!(fetched.is_some_and(|n| n["bytes_fetched"].as_u64() > Some(0)), "{status}");
    let row = fed.eport_at("gz-a-2", &["table", "get", "away", "K01999"])?.ok_json()?;
    ensure!(row["fields"]["name"] == "value 1999", "{row}");
    Ok(())
}

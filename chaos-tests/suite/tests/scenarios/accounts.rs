//! Two platforms race for one licence after the other, over cut links and a move of the home: each licence has exactly one
//! winner, nothing is overdrawn, and a city with a share goes on while it is cut off.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_api_types::rfc3339;
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_model::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HOME: &str = "440000";
const HOME_NODE: &str = "gz-a-1";
/// Platform, node and reference prefix of each racer.
const RACERS: [(&str, &str, &str); 2] = [("440100", "gz-c-1", "GZ"), ("440300", "sz-a-1", "SZ")];
const LICENCE: &str =
    include_str!("../../../../node/packs/licences/examples/valid/automatic_import_licence.json");
const DECLARATION: &str = include_str!(
    "../../../../node/packs/goods_declaration/examples/valid/bulk_import_with_licence_and_note.json"
);
const MANIFEST: &str = include_str!("../../../../node/packs/manifest/examples/valid/original_bulk.json");
/// Licences raced for in each of the three parts.
const ROUNDS: usize = 8;
/// Far above what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(60);

fn day(offset: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let at = Timestamp::from_millis(i64::try_from(now).unwrap()).plus_millis(offset * 86_400_000);
    rfc3339(at)[..10].to_owned()
}

fn number(n: usize) -> String {
    format!("18-AA-{:06}", 100_000 + n)
}

/// A licence for one lot of 105.
fn licence(n: usize) -> Value {
    let mut document: Value = serde_json::from_str(LICENCE).unwrap();
    document["client_ref"] = json!(format!("LIC-{n}"));
    let body = &mut document["body"];
    body["licence_no"] = json!(number(n));
    for (name, offset) in [("issue_date", -2), ("valid_from", -2), ("valid_to", 5)] {
        body[name] = json!(day(offset));
    }
    (body["bulk"], body["tolerance"]) = (json!(false), json!("0"));
    body["lines"] = json!([{ "line_no": "1", "hs_code": "1507100000", "name": "豆油", "spec": "散装", "quantity": "105", "unit": "070" }]);
    document
}

/// A declaration that uses a licence whole, or packages of a bill.
fn declaration(reference: &str, licence: Option<&str>, packages: u32) -> Value {
    let wrapped: Value = serde_json::from_str(DECLARATION).unwrap();
    let mut document = wrapped["document"].clone();
    document["client_ref"] = json!(reference);
    let body = document["body"].as_object_mut().unwrap();
    body.insert("packages".into(), json!(packages));
    match licence {
        Some(number) => {
            body.insert("traffic_mode".into(), json!("9"));
            let used = json!([{ "item_no": 1, "kind": "7", "number": number, "line_no": "1", "quantity": "105", "unit": "070" }]);
            body.insert("licence_uses".into(), used);
        }
        None => drop(body.remove("licence_uses")),
    }
    document
}

fn bill(packages: u32) -> Value {
    let mut wrapped: Value = serde_json::from_str(MANIFEST).unwrap();
    wrapped["document"]["body"]["bills"][0]["packages"] = json!(packages);
    wrapped["document"].clone()
}

fn file(fed: &Federation, name: &str, documents: &[Value]) -> Result<String> {
    let path = fed.scratch().join(format!("{name}.ndjson"));
    std::fs::write(&path, documents.iter().map(|d| format!("{d}\n")).collect::<String>())?;
    Ok(path.to_string_lossy().into_owned())
}

fn ids(ran: Ran, what: &str) -> Result<Vec<String>> {
    let answered = ran.expect(0, what)?.json()?;
    // One document is answered by itself.
    let one = [answered.clone()];
    let items = answered["items"].as_array().map_or(&one[..], Vec::as_slice);
    let id = |i: &Value| Ok(i["doc_id"].as_str().with_context(|| format!("{what}: {i}"))?.to_owned());
    items.iter().map(id).collect()
}

/// Lodges documents of one racer at its own node.
fn lodge(
    fed: &Federation,
    racer: (&str, &str, &str),
    name: &str,
    documents: &[Value],
) -> Result<Vec<String>> {
    let path = file(fed, name, documents)?;
    ids(fed.eport_at(racer.1, &["doc", "submit", &path, "--platform", racer.0])?, name)
}

/// What became of a document at the accounts it asks: `pending`, `done` or `refused`.
fn progress(fed: &Federation, racer: (&str, &str, &str), id: &str) -> Result<String> {
    let url = format!("{}/v1/platforms/{}/documents/{id}/accounts", fed.api(racer.1)?, racer.0);
    let shown = fed.http()?.get(&url)?.json()?;
    Ok(shown["accounts"]["progress"].as_str().with_context(|| format!("{shown}"))?.to_owned())
}

fn decided(fed: &Federation, racer: (&str, &str, &str), id: &str) -> Result<String> {
    wait_for(&format!("an answer for {id}"), LIMIT, || match progress(fed, racer, id) {
        Ok(word) if word != "pending" => Ok(word),
        Ok(word) => Err(word),
        Err(error) => Err(error.to_string()),
    })
}

/// Both racers lodge for the same licences at the same moment.
fn race(fed: &Federation, part: usize) -> Result<[Vec<String>; 2]> {
    let documents = |prefix: &str| -> Vec<Value> {
        let of = |n| declaration(&format!("{prefix}-{n}"), Some(&number(n)), 1);
        (part * ROUNDS..(part + 1) * ROUNDS).map(of).collect()
    };
    let paths = RACERS.map(|r| file(fed, &format!("{}-{part}", r.2), &documents(r.2)));
    let [first, second] = paths;
    let (first, second) = (first?, second?);
    let one = fed.spawn_at(RACERS[0].1, &["doc", "submit", &first, "--platform", RACERS[0].0])?;
    let other = fed.spawn_at(RACERS[1].1, &["doc", "submit", &second, "--platform", RACERS[1].0])?;
    Ok([
        ids(one.wait_with_output()?.into(), "the first racer")?,
        ids(other.wait_with_output()?.into(), "the second racer")?,
    ])
}

fn one_winner_each(fed: &Federation, part: usize, lodged: &[Vec<String>; 2]) -> Result<()> {
    for (n, (one, other)) in lodged[0].iter().zip(&lodged[1]).enumerate() {
        let mut words = [decided(fed, RACERS[0], one)?, decided(fed, RACERS[1], other)?];
        words.sort();
        ensure!(words == ["done", "refused"], "licence {}: {words:?}", number(part * ROUNDS + n));
    }
    Ok(())
}

#[test]
fn of_two_platforms_that_race_for_a_licence_one_wins_over_cut_links_and_moves() {
    with_federation(&[], |fed| {
        let granted: Vec<Value> = (0..3 * ROUNDS).map(licence).chain([bill(100)]).collect();
        let path = file(fed, "grants", &granted)?;
        ids(fed.eport_at(HOME_NODE, &["doc", "submit", &path, "--platform", HOME])?, "grants")?;
        // Links whole.
        let lodged = race(fed, 0)?;
        one_winner_each(fed, 0, &lodged)?;
        share(fed)?;
        // The home moves while both ask.
        let lodged = race(fed, 1)?;
        fed.eport(&["platform", "switchover", HOME, "--to", "gz-c-1", "--yes"])?
            .expect(0, "the home moves")?;
        one_winner_each(fed, 1, &lodged)?;
        cut_off(fed)?;
        whole(fed)
    });
}

/// The city gets a share of a bill's packages.
fn share(fed: &Federation) -> Result<()> {
    let (region, node, _) = RACERS[1];
    let until = day(3);
    let asked = [
        "licence",
        "share",
        region,
        "--name",
        "s1",
        "--account",
        ACCOUNT,
        "--quantity",
        "40",
        "--valid-to",
        &until,
    ];
    fed.eport_at(node, &asked)?.expect(0, "a share is asked for")?;
    wait_for("the share", LIMIT, || {
        let book = fed.eport_at(node, &["licence", "book", region]).and_then(|r| r.ok_json());
        match book {
            Ok(book) if book["shares"][0]["usable"] == true => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

const ACCOUNT: &str = "bill:018W/COSU6112233440";

/// The city is cut off from the home: what its share serves is done at once, the rest waits and is decided when the link is back.
fn cut_off(fed: &Federation) -> Result<()> {
    fed.eport(&["dev", "cut", "sz-a", "gz-c"])?.expect(0, "cut")?;
    let lodged = race(fed, 2)?;
    let served = lodge(fed, RACERS[1], "share", &[declaration("SZ-SHARE", None, 30)])?;
    ensure!(decided(fed, RACERS[1], &served[0])? == "done", "the share serves a city that is cut off");
    for id in &lodged[0] {
        ensure!(decided(fed, RACERS[0], id)? == "done", "who can ask wins");
    }
    for id in &lodged[1] {
        ensure!(
            progress(fed, RACERS[1], id)? == "pending",
            "nothing is promised where nobody could be asked"
        );
    }
    fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
    one_winner_each(fed, 2, &lodged)
}

/// Every account adds up, and the share's use is settled at home.
fn whole(fed: &Federation) -> Result<()> {
    for n in 0..3 * ROUNDS {
        let shown = fed
            .eport(&["licence", "show", &number(n), "--audit"])?
            .expect(0, "the account adds up")?
            .json()?;
        let account = &shown["items"][0];
        ensure!(account["reserved"] == "105" && account["available"] == "0", "{shown}");
        ensure!(account["uses"] == 1 && account["entries"] == 2, "{shown}");
    }
    wait_for("the share's use at home", LIMIT, || {
        let shown = fed.eport(&["licence", "show", "COSU6112233440", "--audit"]).and_then(|r| r.ok_json());
        match shown {
            Ok(s) if s["items"][0]["reserved"] == "30" && s["items"][0]["escrowed"] == "10" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let entries = fed.eport(&["licence", "entries", "COSU6112233440"])?.ok_json()?;
    let kinds: Vec<&str> =
        entries["items"].as_array().context("items")?.iter().filter_map(|e| e["kind"].as_str()).collect();
    ensure!(kinds == ["GRANT", "ESCROW", "SETTLE", "RESERVE"], "{kinds:?}");
    Ok(())
}

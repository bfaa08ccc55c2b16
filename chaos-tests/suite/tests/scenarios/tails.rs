//! A `manual` city is cut off, both sides write, and after the cut nothing that was answered is missing. Design §6, §9 (3).
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_suite::{Ledger, documents, lines, proof_of_equality, serves, starter};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The city, its node and its site; who is asked on the other side.
const CITY: &str = "440300";
const NODE: &str = "sz-a-1";
const SITE: &str = "sz-a";
const ELSEWHERE: &str = "gz-c-1";

#[test]
fn a_city_cut_off_with_writes_on_both_sides_loses_nothing() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("BEFORE", 30))?;
        fed.eport(&["platform", "policy", CITY, "--durability", "async"])?.expect(0, "policy")?;
        level(fed, NODE)?;
        cut(fed, true)?;
        let local = alone_in_the_city(fed)?;
        let before = ledger.len();
        let taken = the_other_side_takes_over(fed, &mut ledger)?;
        the_tail_can_be_carried(fed)?;
        cut(fed, false)?;
        let id = the_old_primary_returns_and_follows(fed)?;
        proof_of_equality(fed, CITY, 3)?;
        the_tail_is_told(fed, &id)?;
        let conflicts = the_tail_comes_back_once(fed, &id)?;
        nothing_is_missing(fed, &id, &local, &taken, &conflicts, before)?;
        outcomes_survive_a_move_and_the_rest_is_decided(fed, &id, &conflicts)
    });
}

fn cut(fed: &Federation, cut: bool) -> Result<()> {
    for other in ["gz-a", "gz-c"] {
        let line: &[&str] = if cut { &["dev", "cut", SITE, other] } else { &["dev", "heal", SITE, other] };
        fed.eport(line)?.expect(0, "links")?;
    }
    Ok(())
}

/// Every backup has everything.
fn level(fed: &Federation, node: &str) -> Result<()> {
    fed.wait_platform(node, CITY, "has its backups level", |p| {
        p["state"] == "active"
            && p["backups"]
                .as_array()
                .is_some_and(|b| b.len() == 2 && b.iter().all(|b| b["lag_records"] == 0))
    })?;
    Ok(())
}

fn text(v: &Value, key: &str) -> String {
    v[key].as_str().unwrap_or_default().to_owned()
}

/// Lodges at one node and returns reference → number of what was accepted, which must be all.
fn lodge(fed: &Federation, node: &str, name: &str, sent: &[Value]) -> Result<BTreeMap<String, String>> {
    let file = fed.scratch().join(format!("{name}.ndjson"));
    std::fs::write(&file, lines(sent))?;
    let path = file.to_string_lossy();
    let line = ["--timeout", "60s", "doc", "submit", &path, "--platform", CITY];
    let answered = fed.eport_at(node, &line)?.expect(0, name)?.json()?;
    let items = answered["items"].as_array().context("items")?;
    ensure!(items.len() == sent.len(), "{answered}");
    let one = |(d, i): (&Value, &Value)| {
        ensure!(matches!(i["status"].as_u64(), Some(200 | 201)), "{i}");
        Ok((text(d, "client_ref"), text(i, "doc_id")))
    };
    sent.iter().zip(items).map(one).collect()
}

/// Sixty documents that only the cut-off city holds; each was answered.
fn alone_in_the_city(fed: &Federation) -> Result<BTreeMap<String, String>> {
    lodge(fed, NODE, "local", &documents("LOCAL", 60))
}

/// The province takes over and goes on: twenty traders send the same again, ten something else under the same key.
fn the_other_side_takes_over(fed: &Federation, ledger: &mut Ledger) -> Result<BTreeMap<String, String>> {
    let failover = [
        "--timeout",
        "90s",
        "platform",
        "failover",
        CITY,
        "--old-primary",
        "unreachable",
        "--accept-data-loss",
    ];
    let moved = fed.eport_at(ELSEWHERE, &failover)?.expect(0, "failover")?.json()?;
    ensure!(moved["state"] == "done", "{moved}");
    fed.wait_platform(ELSEWHERE, CITY, "is served elsewhere", |p| {
        p["state"] == "active" && p["primary"] != NODE
    })?;
    let mut again = documents("LOCAL", 30);
    for other in &mut again[20..] {
        other["body"]["packages"] = 121.into();
    }
    let mut taken = lodge(fed, ELSEWHERE, "again", &again)?;
    let fresh = documents("PROVINCE", 25);
    taken.extend(lodge(fed, ELSEWHERE, "province", &fresh)?);
    for (reference, id) in taken.iter().filter(|(r, _)| r.starts_with("PROVINCE")) {
        ledger.note(reference, id)?;
    }
    Ok(taken)
}

/// While the city is still cut off its stopped node's tail is exported from the disk and brought to the province on another way, twice;
/// what is no tail, or does not verify, is refused.
fn the_tail_can_be_carried(fed: &Federation) -> Result<()> {
    let (out, stopped) = (fed.scratch().join("carried"), fed.node_dir(NODE));
    let (folder, dir) = (out.to_string_lossy(), stopped.to_string_lossy());
    let export = ["tail", "export", CITY, "--offline", &dir, "--out", &folder];
    let busy = fed.eport_at(ELSEWHERE, &export)?;
    ensure!(busy.code == 5 || busy.code == 4, "a running node's data is not read: {busy:?}");
    fed.dev("kill", NODE)?;
    let exported = fed.eport_at(ELSEWHERE, &export)?.expect(0, "tail export")?.json()?;
    ensure!(exported["documents"] == 60, "{exported}");
    let file = text(&exported, "file");
    let at_the_end = exported["last"].to_string();
    let nothing = [&export[..], &["--after", &at_the_end]].concat();
    fed.eport_at(ELSEWHERE, &nothing)?.expect(4, "nothing lies after the end")?;
    let records = file.replace(".json", ".eps");
    let whole = std::fs::read(&records)?;
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&records, &damaged)?;
    fed.eport_at(ELSEWHERE, &["tail", "import", &file])?.expect(1, "a flipped bit")?;
    std::fs::write(&records, &whole[..middle])?;
    fed.eport_at(ELSEWHERE, &["tail", "import", &file])?.expect(11, "half a file")?;
    std::fs::write(&records, &whole)?;
    for _ in 0..2 {
        let held = fed.eport_at(ELSEWHERE, &["tail", "import", &file])?.expect(0, "tail import")?.json()?;
        ensure!(held["held"] == true && held["documents"] == 60, "{held}");
    }
    let listed = fed.eport_at(ELSEWHERE, &["tail", "list"])?.expect(0, "tail list")?.json()?;
    let known = listed["items"].as_array().into_iter().flatten().filter(|t| t["node"] == NODE).count();
    ensure!(known == 1, "one tail, however often it is brought: {listed}");
    fed.dev("restart", NODE)?;
    Ok(())
}

/// The tail is recorded, handed over, rewound, and the old primary is a backup like any other.
fn the_old_primary_returns_and_follows(fed: &Federation) -> Result<String> {
    // It dies when it has exported, and again when the new primary has the tail: each time it begins again where it can.
    let primary = text(&fed.platform_at(ELSEWHERE, CITY)?, "primary");
    for whole in [fed.node_dir(NODE).join("data/tails"), fed.node_dir(&primary).join("data/tails").join(NODE)]
    {
        wait_for(&format!("a tail in {}", whole.display()), Duration::from_secs(90), || {
            let found = std::fs::read_dir(&whole).map_err(|e| e.to_string())?;
            let mut names = found.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
            names.any(|n| n.ends_with(".json")).then_some(()).ok_or_else(|| "no manifest".to_owned())
        })?;
        fed.dev("kill", NODE)?;
        fed.dev("restart", NODE)?;
    }
    let id = wait_for("the tail at the new primary", Duration::from_secs(90), || {
        let listed = fed.eport_at(ELSEWHERE, &["tail", "list"]).map_err(|e| format!("{e:#}"))?;
        let listed = listed.ok_json().map_err(|e| format!("{e:#}"))?;
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        let found = items.iter().find(|t| t["node"] == NODE && t["documents"]["total"] == 60);
        found.map(|t| text(t, "id")).ok_or_else(|| listed.to_string())
    })?;
    let kept = fed.node_dir(NODE).join("data/tails");
    ensure!(std::fs::read_dir(&kept)?.count() > 0, "the old primary keeps its export");
    // The policy names both as backups already; the old primary is named again.
    let p = fed.platform_at(ELSEWHERE, CITY)?;
    let named: BTreeSet<String> =
        p["backups"].as_array().context("backups")?.iter().map(|b| text(b, "node")).collect();
    ensure!(named.contains(NODE), "the old primary is a backup: {p}");
    fed.wait_platform(ELSEWHERE, CITY, "has all copies level", |p| {
        let level = |b: &Value| b["node"] == NODE && b["lag_records"] == 0;
        p["backups"].as_array().is_some_and(|b| b.iter().any(level))
    })?;
    Ok(id)
}

fn shown(fed: &Federation, id: &str) -> Result<Value> {
    fed.eport_at(ELSEWHERE, &["tail", "show", id])?.expect(0, "tail show")?.json()
}

fn count(items: &[Value], key: &str, word: &str) -> usize {
    items.iter().filter(|r| r[key] == word).count()
}

fn the_tail_is_told(fed: &Federation, id: &str) -> Result<()> {
    let detail = shown(fed, id)?;
    let items = detail["items"].as_array().context("items")?;
    let classes = ["present", "conflict", "clean"].map(|c| count(items, "class", c));
    ensure!(classes == [20, 10, 30], "present, conflict, clean: {classes:?} of {detail}");
    ensure!(items.iter().all(|r| r["class"] == "none" || r["client_ref"].is_string()), "{detail}");
    let warned = fed.status_at(ELSEWHERE)?;
    let warnings = warned["warnings"].as_array().cloned().unwrap_or_default();
    ensure!(warnings.iter().any(|w| text(w, "text").contains(id)), "{warnings:?}");
    Ok(())
}

/// Submitted again twice; the second time nothing is new. Returns what waits for a person.
fn the_tail_comes_back_once(fed: &Federation, id: &str) -> Result<BTreeMap<String, u64>> {
    // Two operators at once, one of them through a node that forwards to the primary: each document comes back once.
    let line = ["--timeout", "60s", "tail", "resubmit", id];
    let both = [fed.spawn_at(ELSEWHERE, &line)?, fed.spawn_at(NODE, &line)?];
    let mut back = [0, 0];
    for child in both {
        let ran = Ran::from(child.wait_with_output()?);
        ensure!(matches!(ran.code, 0 | 4), "{ran:?}");
        if ran.code == 0 {
            let done = ran.json()?;
            back[0] += done["resubmitted_now"].as_u64().context("resubmitted_now")?;
            back[1] += done["present_now"].as_u64().context("present_now")?;
        }
    }
    eprintln!("two resubmissions at once: {back:?}");
    ensure!(back[0] == 30, "{back:?}");
    let again = fed.eport_at(NODE, &line)?.expect(0, "again")?.json()?;
    ensure!(again["resubmitted_now"] == 0 && again["present_now"] == 0, "{again}");
    ensure!(again["documents"]["conflicts"] == 10 && again["documents"]["pending"] == 0, "{again}");
    let detail = shown(fed, id)?;
    let items = detail["items"].as_array().context("items")?;
    let conflicts = items.iter().filter(|r| r["outcome"] == "conflict");
    conflicts.map(|r| Ok((text(r, "client_ref"), r["index"].as_u64().context("index")?))).collect()
}

/// acknowledged = present + listed, each document once.
fn nothing_is_missing(
    fed: &Federation,
    id: &str,
    local: &BTreeMap<String, String>,
    taken: &BTreeMap<String, String>,
    conflicts: &BTreeMap<String, u64>,
    before: usize,
) -> Result<()> {
    let list = fed.eport(&["doc", "list", "--platform", CITY, "--limit", "100000"])?.ok_json()?;
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for d in list["items"].as_array().context("items")? {
        held.entry(text(d, "client_ref")).or_default().push(text(d, "doc_id"));
    }
    ensure!(held.values().all(|ids| ids.len() == 1), "a document is there twice: {held:?}");
    let present = local.keys().filter(|r| held.contains_key(*r) && !conflicts.contains_key(*r)).count();
    ensure!(
        present + conflicts.len() == local.len(),
        "{present} present, {} listed, {} answered",
        conflicts.len(),
        local.len()
    );
    ensure!(taken.iter().all(|(r, id)| held.get(r).is_some_and(|h| h[0] == *id)), "what the province took");
    let acknowledged = before + local.len() + taken.keys().filter(|r| !local.contains_key(*r)).count();
    ensure!(held.len() == acknowledged, "{} held, {acknowledged} acknowledged", held.len());
    // The number that was answered in the city leads to the document for ever.
    let resubmitted = local.get("LOCAL-000060").context("LOCAL-000060")?;
    ensure!(held["LOCAL-000060"][0] == *resubmitted, "a clean document keeps its number");
    let renumbered = local.get("LOCAL-000001").context("LOCAL-000001")?;
    let by_old =
        fed.eport(&["doc", "show", renumbered, "--platform", CITY])?.expect(0, "the old number")?.json()?;
    ensure!(by_old["client_ref"] == "LOCAL-000001", "{by_old}");
    eprintln!(
        "tail {id}: {} answered in the city, {present} present ({} of them submitted again), {} listed for a person; {} held",
        local.len(),
        30,
        conflicts.len(),
        held.len()
    );
    Ok(())
}

/// The platform goes home; its new primary knows what became of each record and can still be asked.
fn outcomes_survive_a_move_and_the_rest_is_decided(
    fed: &Federation,
    id: &str,
    conflicts: &BTreeMap<String, u64>,
) -> Result<()> {
    fed.eport(&["platform", "policy", CITY, "--durability", "sync", "--k", "1"])?.expect(0, "policy")?;
    fed.wait_platform(ELSEWHERE, CITY, "has the old primary in sync", |p| {
        p["backups"].as_array().is_some_and(|b| b.iter().any(|b| b["node"] == NODE && b["in_sync"] == true))
    })?;
    let moved = fed
        .eport(&["--timeout", "60s", "platform", "switchover", CITY, "--to", NODE])?
        .expect(0, "home")?
        .json()?;
    ensure!(moved["state"] == "done", "{moved}");
    let mut ledger = Ledger::default();
    serves(fed, CITY, "HOME", &mut ledger)?;
    let again = fed.eport(&["tail", "resubmit", id])?.expect(0, "after the move")?.json()?;
    ensure!(again["resubmitted_now"] == 0 && again["present_now"] == 0, "{again}");
    ensure!(again["documents"]["resubmitted"] == 30 && again["documents"]["conflicts"] == 10, "{again}");
    let refused = fed.eport(&["tail", "discard", id, "--reason", " "])?;
    ensure!(refused.code == 2, "a reason is needed: {refused:?}");
    let one = conflicts.values().next().context("a conflict")?.to_string();
    let reason = "trader confirmed the second version";
    fed.eport(&["tail", "discard", id, "--reason", reason, "--record", &one])?.expect(0, "discard one")?;
    let left = fed.eport(&["tail", "list"])?.ok_json()?;
    let tail =
        left["items"].as_array().and_then(|l| l.iter().find(|t| t["id"] == id)).cloned().context("tail")?;
    ensure!(tail["documents"]["discarded"] == 1 && tail["documents"]["conflicts"] == 9, "{tail}");
    fed.eport(&["tail", "discard", id, "--reason", reason])?.expect(0, "discard the rest")?;
    let audit = fed.eport(&["audit"])?.ok_json()?;
    let entries = audit["items"].as_array().cloned().unwrap_or_default();
    let named = |a: &&Value| a["kind"] == "tail.discard" && a["first"]["by"] == "operator/admin";
    ensure!(entries.iter().filter(named).count() == 2, "{audit}");
    ensure!(entries.iter().any(|a| a.to_string().contains(reason)), "the reason is in the audit: {audit}");
    proof_of_equality(fed, CITY, 3)?;
    Ok(())
}

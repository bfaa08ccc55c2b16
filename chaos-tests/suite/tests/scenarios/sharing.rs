//! Who reads what over real processes: purposes, masks, consents that hold and end at once, the access log; and the core data set, followed
//! over a switchover and the loss of a primary.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, anyhow, ensure};
use eport_api_types::rfc3339;
use eport_authority::{Authority, Key, Validity};
use eport_cluster::{Federation, Ran, wait_for, with_federation};
use eport_model::{Epoch, Timestamp};
use eport_suite::{document, documents, lines, starter};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

const CITY: &str = "440100";
const OTHER_CITY: &str = "440300";
/// Primary of the city, and where it is moved to.
const OF_CITY: &str = "gz-c-1";
const NEXT: &str = "gz-a-2";
const AT: &str = "sz-a-1";
const SOON: Duration = Duration::from_secs(90);
const TRADER: &str = "91440300MA5SZXY00X";
const BANK: &str = "91440100MA5BANK00X";
const DECLARATION: &str = include_str!(
    "../../../../node/packs/goods_declaration/examples/valid/bulk_import_with_licence_and_note.json"
);

#[test]
fn everybody_reads_what_the_rules_share_for_a_purpose_and_consents_begin_and_end_with_their_answers() {
    with_federation(&[], |fed| {
        starter(fed)?;
        enterprises(fed)?;
        let id = declared(fed)?;
        the_lodger_reads_it_whole(fed, &id)?;
        an_operator_is_shown_business_fields_and_told_of_the_others(fed, &id)?;
        an_agency_reads_its_part_for_what_it_is_there_for(fed, &id)?;
        a_consent_opens_it_for_its_purpose_until_it_is_withdrawn(fed, &id)?;
        the_access_log_names_purposes_and_rules(fed)
    });
}

#[test]
fn a_reader_of_the_core_data_set_misses_nothing_over_moves_and_its_figures_are_the_cities_own() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let file = fed.scratch().join("facts.ndjson");
        let file = file.display().to_string();
        lodged(fed, CITY, "A", 12)?;
        lodged(fed, OTHER_CITY, "S", 7)?;
        fed.eport(&["coredata", "follow", &file, "--limit", "5"])?.ok_json()?;
        fed.eport(&["platform", "switchover", CITY, "--to", NEXT])?.expect(0, "switchover")?;
        lodged(fed, CITY, "B", 12)?;
        // In the middle of the next part: the file ends in half a line, as after a crash.
        half_a_line(&file)?;
        fed.eport_at(AT, &["coredata", "follow", &file, "--limit", "5"])?.ok_json()?;
        fed.dev("kill", NEXT)?;
        // The dead node may have led the registry: asking again joins what was begun.
        let lost = ["platform", "failover", CITY, "--old-primary", "stopped", "--to", OF_CITY];
        let asked = || fed.eport_at(AT, &lost).and_then(|r| r.ok_json()).map_err(|e| e.to_string());
        wait_for("the failover", SOON, asked)?;
        lodged(fed, CITY, "C", 12)?;
        let read = || {
            let ran = fed.eport_at(AT, &["coredata", "follow", &file]);
            ran.and_then(|r| r.ok_json()).map_err(|e| e.to_string())
        };
        wait_for("every platform is read", SOON, read)?;
        once_each(&file, 36 + 7)?;
        let status = fed.eport_at(AT, &["coredata", "status", &file])?.ok_json()?;
        ensure!(status["equal"] == true && status["repeated"] == 0, "{status}");
        let of = |region: &str| -> u64 {
            let platforms = status["platforms"].as_array().into_iter().flatten();
            let found = platforms.filter(|p| p["platform"] == region);
            found.filter_map(|p| p["documents"]["arrival_report"]["facts"].as_u64()).sum()
        };
        ensure!((of(CITY), of(OTHER_CITY)) == (36, 7), "{status}");
        ensure!(status["province"]["documents"]["arrival_report"] == 43, "the sum of the cities: {status}");
        ensure!(
            status["province"]["milestones"]["E03"].is_null(),
            "no agency has accepted anything: {status}"
        );
        // Facts without a purpose, and by who may not.
        let url = format!("{}/v1/core-data", fed.api(AT)?);
        let reply = fed.http()?.get(&url)?;
        ensure!(reply.status == 403 && reply.code() == "EP4180", "{}", reply.text());
        let reply = fed.http()?.get(&format!("{url}?purpose=STATISTICS&after=nothing"))?;
        ensure!(reply.status == 400, "{}", reply.text());
        Ok(())
    });
}

fn enterprises(fed: &Federation) -> Result<()> {
    let authority = Authority::load(&fed.home().join("ca"), "440000").map_err(|e| anyhow!("{e}"))?;
    for id in [TRADER, BANK] {
        let life = Validity::days(OffsetDateTime::now_utc(), 10);
        let issued = authority.issue_enterprise(id, Key::Generate, Epoch::from_u64(1), life);
        let issued = issued.map_err(|e| anyhow!("{e}"))?;
        issued.save(&fed.home().join("operator"), id).map_err(|e| anyhow!("{e}"))?;
    }
    Ok(())
}

fn as_one(fed: &Federation, id: &str, args: &[&str]) -> Result<Ran> {
    let files = |ending: &str| -> PathBuf { fed.home().join(format!("operator/{id}.{ending}")) };
    let mut command = fed.command(&["--json", "--yes", "--api", fed.api(AT)?]);
    command.arg("--cert").arg(files("crt")).arg("--key").arg(files("key"));
    command.arg("--ca").arg(fed.home().join("ca/bundle.pem"));
    Ran::of(command.args(args))
}

fn refused(ran: Ran, exit: i32, code: &str, what: &str) -> Result<()> {
    let ran = ran.expect(exit, what)?;
    ensure!(ran.error_code() == code, "{what}: {}", ran.stdout);
    Ok(())
}

fn declared(fed: &Federation) -> Result<String> {
    let wrapped: Value = serde_json::from_str(DECLARATION)?;
    let mut document = wrapped["document"].clone();
    document["client_ref"] = json!("SHARED-1");
    let body = document["body"].as_object_mut().context("body")?;
    body.remove("licence_uses");
    body.insert("traffic_mode".into(), json!("9"));
    body.insert("bill_no".into(), json!("COSU6112233SH40"));
    let item = &mut body["items"][0];
    (item["hs_code"], item["unit2"], item["qty2"]) = (json!("0101210010"), json!("009"), json!("105"));
    let path = fed.scratch().join("declaration.json");
    std::fs::write(&path, document.to_string())?;
    let path = path.display().to_string();
    let answer = as_one(fed, TRADER, &["doc", "submit", &path, "--platform", CITY])?.ok_json()?;
    Ok(answer["doc_id"].as_str().with_context(|| format!("{answer}"))?.to_owned())
}

fn the_lodger_reads_it_whole(fed: &Federation, id: &str) -> Result<()> {
    let shown = as_one(fed, TRADER, &["doc", "show", id, "-p", CITY])?.ok_json()?;
    ensure!(shown["masked"].is_null() && !shown["body"]["overseas_name_en"].is_null(), "{shown}");
    ensure!(shown["shared_by"].as_array().is_some_and(|r| r.contains(&json!("all.lodger"))), "{shown}");
    let evidence = fed.scratch().join("own.evidence").display().to_string();
    as_one(fed, TRADER, &["doc", "evidence", id, "-p", CITY, "--out", &evidence])?.expect(0, "evidence")?;
    as_one(fed, BANK, &["doc", "show", id, "-p", CITY])?.expect(3, "to a stranger it is not there").map(drop)
}

fn an_operator_is_shown_business_fields_and_told_of_the_others(fed: &Federation, id: &str) -> Result<()> {
    let shown = fed.eport_at(AT, &["doc", "show", id, "-p", CITY, "--purpose", "SUPPORT"])?.ok_json()?;
    ensure!(shown["body"]["overseas_name_en"].is_null() && !shown["body"]["packages"].is_null(), "{shown}");
    let masked = shown["masked"].as_array().context("masked")?;
    let price = masked.iter().find(|m| m["path"] == "overseas_name_en").context("listed")?;
    ensure!(price["class"] == "C" && price["how"] == "withheld", "{price}");
    let other = fed.eport_at(AT, &["doc", "show", id, "-p", CITY, "--purpose", "CREDIT"])?;
    refused(other, 6, "EP4181", "an operator for another purpose")?;
    let out = fed.scratch().join("operator.evidence").display().to_string();
    let evidence = fed.eport_at(AT, &["doc", "evidence", id, "-p", CITY, "--out", &out])?;
    refused(evidence, 6, "EP6002", "evidence of the whole, by who is shown a part")
}

fn an_agency_reads_its_part_for_what_it_is_there_for(fed: &Federation, id: &str) -> Result<()> {
    let file = |ending: &str| fed.home().join(format!("operator/inspection.{ending}")).display().to_string();
    let (cert, key) = (file("crt"), file("key"));
    let args =
        ["agency", "register", "CIQ", "--platform", CITY, "--out", &cert, "--key-out", &key, "--name", "CIQ"];
    fed.eport_at("gz-a-1", &args)?.ok_json()?;
    let show = |more: &[&str]| {
        let mut args = vec!["doc", "show", id, "-p", CITY];
        args.extend(more);
        as_one(fed, "inspection", &args)
    };
    // Here nobody is in production: an agency that says nothing clears.
    let unsaid = show(&[])?.ok_json()?;
    ensure!(unsaid["body"]["overseas_name_en"].is_null() && unsaid["body"]["packages"].is_u64(), "{unsaid}");
    refused(show(&["--purpose", "TAX"])?, 6, "EP4181", "an agency for what is not its own")?;
    let shown = show(&["--purpose", "CLEARANCE"])?.ok_json()?;
    ensure!(shown["body"]["overseas_name_en"].is_null() && shown["client_ref"] == "", "{shown}");
    let listed =
        as_one(fed, "inspection", &["doc", "list", "-p", CITY, "--purpose", "CLEARANCE"])?.ok_json()?;
    ensure!(listed["items"].as_array().is_some(), "{listed}");
    Ok(())
}

fn a_consent_opens_it_for_its_purpose_until_it_is_withdrawn(fed: &Federation, id: &str) -> Result<()> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let until = rfc3339(Timestamp::from_millis(now + 3_600_000));
    let far = rfc3339(Timestamp::from_millis(now + 400 * 86_400_000));
    let give = |classes: &str, until: &str| {
        as_one(
            fed,
            TRADER,
            &[
                "consent",
                "grant",
                BANK,
                "-p",
                CITY,
                "--classes",
                classes,
                "--for",
                "CREDIT",
                "--until",
                until,
            ],
        )
    };
    give("BI", &until)?.expect(2, "personal data")?;
    give("BC", &far)?.expect(2, "more than a year")?;
    let given = give("BC", &until)?.ok_json()?;
    ensure!(given["state"] == "active", "{given}");
    ensure!(give("BC", &until)?.ok_json()?["id"] == given["id"], "given twice, it is one consent");
    let read = |more: &[&str]| {
        let mut args = vec!["doc", "show", id, "-p", CITY];
        args.extend(more);
        as_one(fed, BANK, &args)
    };
    refused(read(&[])?, 6, "EP4180", "a bank that does not say what for")?;
    let shown = read(&["--purpose", "CREDIT"])?.ok_json()?;
    ensure!(!shown["body"]["overseas_name_en"].is_null(), "{shown}");
    let by = shown["shared_by"][0].as_str().context("the consent")?;
    ensure!(by.contains(given["id"].as_str().context("id")?), "{shown}");
    let found = as_one(fed, BANK, &["doc", "list", "-p", CITY, "--purpose", "CREDIT"])?.ok_json()?;
    ensure!(found["items"].as_array().is_some_and(|i| i.len() == 1), "{found}");
    let received = as_one(fed, BANK, &["consent", "list", "-p", CITY, "--received"])?.ok_json()?;
    ensure!(received["items"][0]["grantor"] == TRADER, "{received}");
    let id_of = given["id"].as_str().context("id")?;
    as_one(fed, BANK, &["consent", "withdraw", id_of, "-p", CITY])?.expect(3, "another's consent")?;
    as_one(fed, TRADER, &["consent", "withdraw", id_of, "-p", CITY])?.ok_json()?;
    read(&["--purpose", "CREDIT"])?.expect(3, "after the withdrawal there is nothing")?;
    let listed = as_one(fed, TRADER, &["consent", "list", "-p", CITY])?.ok_json()?;
    ensure!(listed["items"][0]["state"] == "withdrawn", "{listed}");
    Ok(())
}

fn the_access_log_names_purposes_and_rules(fed: &Federation) -> Result<()> {
    // Decisions are written where they fall, at the platform's primary, and soon.
    let last = || {
        let ran = fed.eport_at(OF_CITY, &["audit", "show", "--lines", "1000"]);
        let log = ran.and_then(|r| r.ok_json()).map_err(|e| e.to_string())?;
        if log.to_string().contains("CREDIT") { Ok(log) } else { Err(log.to_string()) }
    };
    let log = wait_for("the lines of the log", SOON, last)?;
    let lines = log["items"].as_array().context("items")?;
    let has = |subject: &str, event: &str, purpose: &str| {
        lines.iter().any(|l| {
            let who = l["subject"].as_str().is_some_and(|s| s.contains(subject));
            who && l["event"] == event && l["purpose"] == purpose
        })
    };
    ensure!(has(BANK, "shared", "CREDIT") && has("agency/CIQ", "shared", "CLEARANCE"), "{log}");
    ensure!(has("agency/CIQ", "not_shared", "TAX"), "{log}");
    // The last look, after the withdrawal, found nothing.
    let read = |l: &&Value| l["purpose"] == "CREDIT" && l["event"] == "shared" && l["rows"] != 0;
    let bank = lines.iter().find(read).context("line")?;
    ensure!(bank["rules"].as_str().is_some_and(|r| r.contains("all.consent:")), "{bank}");
    ensure!(bank["acting_for"] == CITY, "{bank}");
    Ok(())
}

fn lodged(fed: &Federation, region: &str, prefix: &str, count: usize) -> Result<()> {
    let path = fed.scratch().join(format!("{region}-{prefix}.ndjson"));
    std::fs::write(&path, lines(&documents(prefix, count)))?;
    let path = path.display().to_string();
    fed.eport_at(AT, &["doc", "submit", &path, "--platform", region])?.expect(0, "documents")?;
    Ok(())
}

fn half_a_line(file: &str) -> Result<()> {
    use std::io::Write;
    let mut open = std::fs::OpenOptions::new().append(true).open(file)?;
    open.write_all(&document("HALF").to_string().as_bytes()[..40])?;
    Ok(())
}

/// Every document once, every id once, each with the record it rests on.
fn once_each(file: &str, documents: usize) -> Result<()> {
    let (mut ids, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for line in std::fs::read_to_string(file)?.lines() {
        let fact: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if fact["next"].is_string() {
            continue;
        }
        ensure!(fact["index"].as_u64() > Some(0) && fact["epoch"].as_u64() > Some(0), "{fact}");
        ensure!(ids.insert(fact["id"].to_string()), "twice: {fact}");
        if fact["kind"] == "document" {
            ensure!(numbers.insert(format!("{} {}", fact["platform"], fact["doc_id"])), "twice: {fact}");
            ensure!(!fact["body"].is_null() && !fact["rules"].is_null(), "{fact}");
        }
        ensure!(fact["kind"] != "rewound", "nothing was lost: {fact}");
    }
    ensure!(numbers.len() == documents, "{} of {documents}", numbers.len());
    Ok(())
}

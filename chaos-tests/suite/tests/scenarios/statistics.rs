//! Clearance timeliness over real processes: declarations of two cities, events that terminals upload, figures of each city and of
//! all put together, the same at another primary.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_api_types::rfc3339;
use eport_cluster::{Federation, with_federation};
use eport_model::Timestamp;
use eport_suite::starter;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const DECLARATION: &str = include_str!(
    "../../../../node/packs/goods_declaration/examples/valid/bulk_import_with_licence_and_note.json"
);
const GUANGZHOU: &str = "440100";
const SHENZHEN: &str = "440300";
const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
/// Minutes from arrival to release and to removal, timeliness.md §8, example 1; D was not removed.
const EXAMPLE: [(&str, &str, i64, Option<i64>); 5] = [
    (GUANGZHOU, "A", 1_920, Some(3_015)),
    (SHENZHEN, "B", 390, Some(780)),
    (GUANGZHOU, "C", 4_410, Some(6_480)),
    (SHENZHEN, "D", 1_785, None),
    (SHENZHEN, "F", 735, Some(1_380)),
];

struct Port<'f> {
    fed: &'f Federation,
    /// When the vessels came: twenty days ago.
    arrival: Timestamp,
}

impl Port<'_> {
    fn lodge(&self, region: &str, document: &Value) -> Result<String> {
        let path = self.fed.scratch().join("document.json");
        std::fs::write(&path, document.to_string())?;
        let path = path.to_string_lossy().into_owned();
        let answer = self.fed.eport(&["doc", "submit", &path, "--platform", region])?.ok_json()?;
        Ok(answer["doc_id"].as_str().with_context(|| format!("{answer}"))?.to_owned())
    }

    fn declare(&self, region: &str, name: &str) -> Result<String> {
        let wrapped: Value = serde_json::from_str(DECLARATION)?;
        let mut document = wrapped["document"].clone();
        document["client_ref"] = json!(format!("GD-{name}"));
        let body = document["body"].as_object_mut().context("body")?;
        body.remove("licence_uses");
        body.insert("traffic_mode".into(), json!("9"));
        body.insert("bill_no".into(), json!(format!("COSU6112233{name}40")));
        self.lodge(region, &document)
    }

    /// An event that a terminal uploads, `at` minutes after the arrival.
    fn upload(
        &self,
        region: &str,
        event: &str,
        milestone: &str,
        subject: (&str, &str),
        at: i64,
    ) -> Result<()> {
        self.upload_with(region, event, milestone, subject, at, &[])
    }

    fn upload_with(
        &self,
        region: &str,
        event: &str,
        milestone: &str,
        subject: (&str, &str),
        at: i64,
        more: &[(&str, &str)],
    ) -> Result<()> {
        let mut body = json!({
            "event_id": event, "system": "TOS", "milestone": milestone, "subject_kind": subject.0,
            "subject": subject.1, "event_time": rfc3339(self.arrival.plus_millis(at * MINUTE)),
        });
        for (name, value) in more {
            body[*name] = json!(value);
        }
        let url = format!("{}/v1/platforms/{region}/milestones", self.fed.api("gz-a-1")?);
        let answer = self.fed.http()?.post(&url, &body)?;
        ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
        Ok(())
    }

    fn period(&self) -> [String; 2] {
        let day = |at: Timestamp| rfc3339(at.plus_millis(480 * MINUTE))[..10].to_owned();
        [day(self.arrival), day(self.arrival.plus_millis(10 * DAY))]
    }

    fn stats(&self, more: &[&str]) -> Result<Value> {
        let [from, to] = self.period();
        let mut args = vec!["stats", "timeliness", "--direction", "import", "--from", &from, "--to", &to];
        args.extend(more);
        self.fed.eport(&args)?.ok_json()
    }
}

#[test]
fn figures_of_cities_and_of_all_come_from_durations_and_are_the_same_at_another_primary() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let arrival = Timestamp::from_millis(i64::try_from(now)?.div_euclid(DAY) * DAY - 20 * DAY);
        let port = Port { fed, arrival };
        let mut ids = Vec::new();
        for (region, name, released, removed) in EXAMPLE {
            let id = port.declare(region, name)?;
            let bill = format!("COSU6112233{name}40");
            // The vessel came with the bill; release and removal are told of the declaration. A is told wrong first.
            port.upload(region, &format!("{name}-1"), "I01", ("bill", &bill), 0)?;
            let wrong = if name == "A" { 60 } else { released };
            port.upload(region, &format!("{name}-2"), "I14", ("document", &id), wrong)?;
            if let Some(removed) = removed {
                port.upload(region, &format!("{name}-3"), "I16", ("document", &id), removed)?;
            }
            ids.push(id);
        }
        let before = port.stats(&["--platform", GUANGZHOU])?;
        ensure!(before["items"][0]["min"] == 1.0, "as it was told first: {before}");
        let corrects = [("corrects", "A-2")];
        port.upload_with(GUANGZHOU, "A-4", "I14", ("document", &ids[0]), EXAMPLE[0].2, &corrects)?;
        // Lodged without events: released by nobody, so no sample.
        port.declare(GUANGZHOU, "X")?;
        figures(&port)?;
        one_by_one(&port, &ids)?;
        refused(&port)?;
        changed(&port, &ids)?;
        a_stream_goes_on_over_a_move(&port)?;
        figures(&port)
    });
}

/// Changes over HTTP, at a node that is not the primary.
fn changed(port: &Port, ids: &[String]) -> Result<()> {
    let (fed, http) = (port.fed, port.fed.http()?);
    let id = port.lodge(GUANGZHOU, &eport_suite::document("CHANGED"))?;
    let base = format!("{}/v1/platforms/{GUANGZHOU}/documents", fed.api("sz-a-1")?);
    let mut body = eport_suite::document("CHANGED")["body"].clone();
    body["packages"] = json!(121);
    let amend = json!({ "doc_version": 2, "body": body });
    let first = http.post(&format!("{base}/{id}/amendments"), &amend)?;
    ensure!(first.status == 201 && first.json()?["doc_version"] == 2, "{}", first.text());
    let again = http.post(&format!("{base}/{id}/amendments"), &amend)?;
    ensure!(again.status == 200 && again.json()?["doc_id"] == first.json()?["doc_id"], "{}", again.text());
    body["packages"] = json!(122);
    let other = http.post(&format!("{base}/{id}/amendments"), &json!({ "doc_version": 2, "body": body }))?;
    ensure!(other.status == 409 && other.code() == "EP5002", "{}", other.text());
    let ahead = http.post(&format!("{base}/{id}/amendments"), &json!({ "doc_version": 9, "body": body }))?;
    ensure!(ahead.status == 422, "a version is left out: {}", ahead.text());
    let nobody = http.post(&format!("{base}/I440100-0/amendments"), &amend)?;
    ensure!(nobody.status == 404, "{}", nobody.text());
    let twice = br#"{"doc_version":3,"body":{"packages":1,"packages":2}}"#;
    let twice = http.send("POST", &format!("{base}/{id}/amendments"), "application/json", twice.to_vec())?;
    ensure!(twice.status == 400 && twice.code() == "EP5004", "{}", twice.text());
    let without = http.post(&format!("{base}/{id}/amendments"), &json!({ "doc_version": 3 }))?;
    ensure!(without.status == 400, "an amendment without content: {}", without.text());
    let unfit = http.post(&format!("{base}/{id}/withdrawal"), &json!({ "doc_version": 3 }))?;
    ensure!(unfit.status == 422, "an arrival report is not withdrawn: {}", unfit.text());
    let withdrawn = http.post(&format!("{base}/{}/withdrawal", ids[2]), &json!({ "doc_version": 2 }))?;
    ensure!(withdrawn.status == 201, "{}", withdrawn.text());
    let versions = http.get(&format!("{base}/{}/versions", ids[2]))?.json()?;
    ensure!(versions["items"].as_array().is_some_and(|v| v.len() == 2), "{versions}");
    Ok(())
}

/// A reader at a node that keeps no copy sees what is written after the platform has moved.
fn a_stream_goes_on_over_a_move(port: &Port) -> Result<()> {
    let fed = port.fed;
    let url = format!("{}/v1/platforms/{GUANGZHOU}/events", fed.api("gz-a-1")?);
    let platform = fed.eport(&["platform", "show", GUANGZHOU])?.ok_json()?;
    let last = platform["records"].as_u64().with_context(|| format!("{platform}"))?;
    let http = fed.http()?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| http.follow(&url, last, |text| text.contains("event: document\n")));
        fed.eport(&["platform", "switchover", GUANGZHOU, "--to", "gz-a-2"])?.expect(0, "switchover")?;
        let id = port.lodge(GUANGZHOU, &eport_suite::document("STREAMED"))?;
        let text = reader.join().map_err(|_| anyhow::anyhow!("the reader ended"))??;
        ensure!(text.contains(&id) && !text.contains(&format!("id: {last}\n")), "{text}");
        Ok(())
    })
}

/// The figures of the worked example; a mean of the cities' means would be 34.46.
fn figures(port: &Port) -> Result<()> {
    let all = port.stats(&[])?;
    let cell = &all["items"][0];
    for (name, value) in [
        ("n", 5.0),
        ("mean", 30.80),
        ("p50", 29.75),
        ("p80", 40.30),
        ("p90", 56.90),
        ("p95", 65.20),
        ("geometric_mean", 22.35),
        ("standard_deviation", 26.27),
        ("min", 6.50),
        ("max", 73.50),
        ("within_24h_percent", 40.0),
        ("within_48h_percent", 80.0),
    ] {
        ensure!(cell[name].as_f64() == Some(value), "{name}: {cell}");
    }
    ensure!(all["definition"] == "OCT-REL" && all["unit"] == "h", "{all}");
    ensure!(all["platforms"].as_array().is_some_and(|p| p.len() > 2), "every platform is named: {all}");
    for (region, mean) in [(GUANGZHOU, 52.75), (SHENZHEN, 16.17)] {
        let city = port.stats(&["--platform", region])?;
        ensure!(city["items"][0]["mean"].as_f64() == Some(mean), "{region}: {city}");
    }
    let dwell = port.stats(&["--duration", "T-DWELL"])?;
    let cell = &dwell["items"][0];
    ensure!(cell["n"] == 4 && cell["mean"] == 48.56 && cell["p50"] == 36.63, "{dwell}");
    let by = port.stats(&["--by", "declare_mode,inspected", "--only", "inspected=n"])?;
    ensure!(by["items"].as_array().is_some_and(|i| i.len() == 1 && i[0]["inspected"] == "n"), "{by}");
    let none = port.stats(&["--only", "port=9999"])?;
    ensure!(
        none["items"][0]["n"] == 0 && none["items"][0]["mean"].is_null(),
        "nothing is null, not 0: {none}"
    );
    Ok(())
}

fn one_by_one(port: &Port, ids: &[String]) -> Result<()> {
    let [from, to] = port.period();
    let csv = port.fed.scratch().join("samples.csv");
    let csv = csv.to_string_lossy().into_owned();
    let mut args = vec!["stats", "samples", "--direction", "import", "--from", &from, "--to", &to];
    args.extend(["--platform", GUANGZHOU, "--csv", &csv]);
    let listed = port.fed.eport(&args)?.ok_json()?;
    let items = listed["items"].as_array().context("items")?;
    let seen: Vec<&str> = items.iter().filter_map(|i| i["doc_id"].as_str()).collect();
    ensure!(seen == [&ids[0], &ids[2]], "{listed}");
    let flags = items[0]["flags"].as_array().context("flags")?;
    ensure!(items[0]["durations_s"]["T-ALL"] == 1_920 * 60 && flags.contains(&json!("MISS-I06")), "{listed}");
    let text = std::fs::read_to_string(&csv)?;
    ensure!(text.lines().count() == 3 && text.starts_with("doc_id,direction,"), "{text}");
    Ok(())
}

fn refused(port: &Port) -> Result<()> {
    let [from, to] = port.period();
    let ask = |more: &[&str]| {
        let mut args = vec!["stats", "timeliness", "--direction", "import"];
        args.extend(more);
        port.fed.eport(&args)
    };
    ask(&["--from", &to, "--to", &from])?.expect(2, "a period backwards")?;
    ask(&["--month", "2018-13"])?.expect(2, "no month")?;
    ask(&["--month", "2018-01", "--public", "--by", "trader"])?.expect(2, "the public, by trader")?;
    ask(&["--month", "2018-01", "--by", "weather"])?.expect(2, "no dimension")?;
    ask(&["--month", "2018-01", "--platform", "999999"])?.expect(3, "no platform")?;
    Ok(())
}

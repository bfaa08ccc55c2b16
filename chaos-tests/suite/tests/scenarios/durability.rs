//! What an answer promises when backups are away: blocked, degraded, or held to a least durability, over real processes.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Reply, wait_for, with_federation};
use eport_suite::{Ledger, document, documents, proof_of_equality, starter};
use serde_json::Value;
use std::time::Duration;

const CITY: &str = "440300";
const NODE: &str = "sz-a-1";
const BACKUP: &str = "gz-c-1";

/// Waits for whatever answer comes; the city's callers stand in the city.
fn lodge(fed: &Federation, reference: &str) -> Result<Reply> {
    fed.http()?.post(&format!("{}/v1/platforms/{CITY}/documents", fed.api(NODE)?), &document(reference))
}

fn policy(fed: &Federation, args: &[&str]) -> Result<Value> {
    let mut line = vec!["platform", "policy", CITY];
    line.extend(args);
    fed.eport_at(NODE, &line)?.expect(0, &args.join(" "))?.json()
}

fn refused(fed: &Federation, args: &[&str], word: &str) -> Result<()> {
    let mut line = vec!["platform", "policy", CITY];
    line.extend(args);
    let ran = fed.eport_at(NODE, &line)?.expect(7, &args.join(" "))?;
    ensure!(ran.error_code() == "EP2006" && ran.stdout.contains(word), "{}", ran.stdout);
    Ok(())
}

fn in_sync(fed: &Federation, backup: &str) -> Result<()> {
    fed.wait_platform(NODE, CITY, &format!("has {backup} in sync"), |p| {
        let backups = p["backups"].as_array().cloned().unwrap_or_default();
        backups.iter().any(|b| b["node"] == backup && b["in_sync"] == true && b["lag_records"] == 0)
    })?;
    Ok(())
}

fn now(fed: &Federation, word: &str) -> Result<()> {
    fed.wait_platform(NODE, CITY, &format!("answers {word}"), |p| p["durability_now"] == word)?;
    Ok(())
}

/// 503, may or may not be stored, when to come back, and under which key.
fn blocked(reply: &Reply) -> Result<()> {
    let said = reply.json()?;
    ensure!(
        (reply.status, reply.code().as_str()) == (503, "EP3002")
            && said["outcome"] == "unknown"
            && said["key"].as_str().is_some_and(|k| k.contains("arrival_report"))
            && reply.retry_after.is_some(),
        "{} {}",
        reply.status,
        reply.text()
    );
    Ok(())
}

/// The number under which the platform shows a reference, whatever was answered.
fn number_of(fed: &Federation, reference: &str) -> Result<String> {
    let query = format!("doc_type=arrival_report&client_ref={reference}");
    let url = format!("{}/v1/platforms/{CITY}/documents?{query}", fed.api(NODE)?);
    let list = fed.http()?.get(&url)?.json()?;
    let items = list["items"].as_array().with_context(|| format!("items of {list}"))?;
    ensure!(items.len() == 1, "{reference}: {list}");
    Ok(items[0]["doc_id"].as_str().context("doc_id")?.to_owned())
}

/// The same request again: stored once, under one number, and now as durable as the policy says.
fn the_same_number(fed: &Federation, reference: &str, durability: &str) -> Result<String> {
    let again = wait_for(&format!("the answer for {reference}"), Duration::from_secs(60), || {
        match lodge(fed, reference) {
            Ok(r) if matches!(r.status, 200 | 201) => Ok(r),
            other => Err(format!("{other:?}")),
        }
    })?;
    let said = again.json()?;
    ensure!(said["durability"] == durability, "{reference}: {said}");
    let number = said["doc_id"].as_str().context("doc_id")?.to_owned();
    ensure!(number_of(fed, reference)? == number, "{reference}: {said}");
    ensure!(lodge(fed, reference)?.json()?["doc_id"] == number.as_str(), "{reference} has two numbers");
    Ok(number)
}

#[test]
fn a_blocked_write_is_unknown_and_the_same_request_later_gets_the_same_number() {
    with_federation(&[], |fed| {
        starter(fed)?;
        policy(fed, &["--durability", "sync", "--k", "1", "--backup", BACKUP])?;
        in_sync(fed, BACKUP)?;
        ensure!(lodge(fed, "BEFORE")?.json()?["durability"] == "replicated");
        fed.dev("pause", BACKUP)?;
        // While its only backup is silent: nothing is answered, and nothing is withdrawn.
        blocked(&lodge(fed, "DURING-1")?)?;
        now(fed, "blocked")?;
        blocked(&lodge(fed, "DURING-2")?)?;
        blocked(&lodge(fed, "DURING-1")?)?;
        fed.dev("resume", BACKUP)?;
        for reference in ["DURING-2", "DURING-1"] {
            the_same_number(fed, reference, "replicated")?;
        }
        now(fed, "replicated")?;
        // A request that waits only a moment is answered as if nothing had been.
        fed.dev("pause", BACKUP)?;
        let url = format!("{}/v1/platforms/{CITY}/documents", fed.api(NODE)?);
        let http = fed.http()?;
        let waiting = std::thread::spawn(move || http.post(&url, &document("PAUSED")));
        std::thread::sleep(Duration::from_millis(500));
        fed.dev("resume", BACKUP)?;
        let answered = waiting.join().map_err(|_| anyhow::anyhow!("the waiting caller panicked"))??;
        ensure!(
            answered.status == 201 && answered.json()?["durability"] == "replicated",
            "{}",
            answered.text()
        );
        proof_of_equality(fed, CITY, 2).map(|_| ())
    });
}

#[test]
fn what_must_be_replicated_is_never_answered_local_and_what_need_not_says_local() {
    with_federation(&[], |fed| {
        starter(fed)?;
        // Who may set it, and what is refused because it could never be kept.
        refused(fed, &["--min-durability", "replicated", "--durability", "async"], "async")?;
        refused(fed, &["--min-durability", "replicated", "--same-site"], "same_site")?;
        let degrade =
            ["--min-durability", "replicated", "--durability", "auto_sync", "--isolation", "degrade"];
        refused(fed, &degrade, "degrade")?;
        let line =
            ["--durability", "auto_sync", "--k", "1", "--backup", BACKUP, "--min-durability", "replicated"];
        let mut dry = line.to_vec();
        dry.push("--dry-run");
        let planned = policy(fed, &dry)?;
        ensure!(planned["policy"]["min_durability"] == "replicated", "{planned}");
        let set = policy(fed, &line)?;
        ensure!(set["min_durability"] == "replicated" && set["durability"] == "auto_sync", "{set}");
        in_sync(fed, BACKUP)?;
        ensure!(lodge(fed, "BEFORE")?.json()?["durability"] == "replicated");
        // The backup is dropped, recorded first. The write is stored and applied, and its answer waits.
        fed.dev("kill", BACKUP)?;
        blocked(&lodge(fed, "HELD-1")?)?;
        now(fed, "local")?;
        blocked(&lodge(fed, "HELD-2")?)?;
        let held = number_of(fed, "HELD-1")?;
        // Without the demand the same platform answers, and says what it promises.
        policy(fed, &["--min-durability", "local"])?;
        // The primary hears of it a moment later; what it holds until then is answered when it is asked again.
        wait_for("an answer that says local", Duration::from_secs(20), || {
            let local = lodge(fed, "LOCAL").map_err(|e| format!("{e:#}"))?;
            let said = local.json().map_err(|e| format!("{e:#}"))?;
            if matches!(local.status, 200 | 201) && said["durability"] == "local" {
                Ok(())
            } else {
                Err(local.text().to_owned())
            }
        })?;
        policy(fed, &["--min-durability", "replicated"])?;
        // A repetition is answered by the policy that the primary knows: it hears of the new one a moment later.
        fed.wait_platform(NODE, CITY, "knows the policy", |p| p["min_durability"] == "replicated")?;
        wait_for("the demand at the primary", Duration::from_secs(20), || {
            let answered = lodge(fed, "LOCAL").map_err(|e| format!("{e:#}"))?;
            blocked(&answered).map_err(|e| format!("{e:#}"))
        })?;
        fed.dev("restart", BACKUP)?;
        in_sync(fed, BACKUP)?;
        ensure!(the_same_number(fed, "HELD-1", "replicated")? == held, "HELD-1 was {held}");
        for reference in ["HELD-2", "LOCAL"] {
            the_same_number(fed, reference, "replicated")?;
        }
        proof_of_equality(fed, CITY, 2).map(|_| ())
    });
}

#[test]
fn a_city_that_degrades_answers_local_after_its_wait_and_replicated_when_it_is_back() {
    with_federation(&[], |fed| {
        starter(fed)?;
        let line =
            ["--durability", "auto_sync", "--k", "1", "--isolation", "degrade", "--failover", "manual"];
        policy(fed, &line)?;
        in_sync(fed, BACKUP)?;
        let mut ledger = Ledger::default();
        ledger.submit(fed, CITY, &documents("BEFORE", 20))?;
        for site in ["gz-a", "gz-c"] {
            fed.eport(&["dev", "cut", "sz-a", site])?.expect(0, "cut")?;
        }
        // Not at once: only so long after the last acknowledgement that a backup's seal could not have missed it.
        let cut = std::time::Instant::now();
        let first =
            wait_for("the first local answer", Duration::from_secs(60), || match lodge(fed, "ALONE-1") {
                Ok(r) if matches!(r.status, 200 | 201) => Ok(r),
                other => Err(format!("{other:?}")),
            })?;
        ensure!(cut.elapsed() >= Duration::from_millis(2_500), "degraded after {:?}", cut.elapsed());
        let said = first.json()?;
        ensure!(said["durability"] == "local", "{said}");
        ledger.note("ALONE-1", said["doc_id"].as_str().context("doc_id")?)?;
        for n in 2..=20 {
            let reference = format!("ALONE-{n}");
            let reply = lodge(fed, &reference)?;
            let said = reply.json()?;
            ensure!(reply.status == 201 && said["durability"] == "local", "{said}");
            ledger.note(&reference, said["doc_id"].as_str().context("doc_id")?)?;
        }
        now(fed, "local")?;
        let events =
            fed.http()?.get(&format!("{}/v1/platforms/{CITY}/events?after=0&limit=1000", fed.api(NODE)?))?;
        let list = events.json()?;
        let kinds: Vec<&str> =
            list["items"].as_array().into_iter().flatten().filter_map(|e| e["kind"].as_str()).collect();
        ensure!(kinds.contains(&"degrade"), "nothing in the journal says that it went on alone: {kinds:?}");
        fed.eport(&["dev", "heal"])?.expect(0, "heal")?;
        in_sync(fed, BACKUP)?;
        now(fed, "replicated")?;
        ensure!(lodge(fed, "ALONE-1")?.json()?["durability"] == "replicated");
        ledger.check(fed, CITY, true)?;
        proof_of_equality(fed, CITY, 3).map(|_| ())
    });
}

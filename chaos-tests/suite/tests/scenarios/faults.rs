//! Bad input and bad callers; `surroundings`: wrong or broken surroundings of a node. Always: a coded error that names the object;
//! nothing lost, no panic.

mod listeners;
mod surroundings;

use anyhow::{Context, Result, bail, ensure};
use eport_authority::{Authority, CaPurpose, IssuingSpec, Key, Validity};
use eport_cluster::{Federation, Http, Presented, Ran, with_federation};
use eport_model::{Epoch, TrustDomain};
use eport_suite::{document, documents, starter};
use serde_json::{Value, json};
use time::OffsetDateTime;

const R: &str = "440100";

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| anyhow::anyhow!("{text}: {e}"))
}

fn fail(e: eport_authority::Error) -> anyhow::Error {
    anyhow::anyhow!("{e}")
}

#[test]
fn bad_callers_and_bad_input_get_coded_answers_and_change_nothing() {
    with_federation(&[], |fed| {
        starter(fed)?;
        without_a_certificate_only_the_open_routes_answer(fed)?;
        listeners::every_socket_that_a_node_listens_on_wants_a_certificate_and_there_is_no_other(fed)?;
        certificates_that_are_expired_or_foreign_are_refused(fed)?;
        malformed_and_oversized_bodies_are_refused(fed)?;
        every_failure_of_a_document_is_listed_at_once(fed)?;
        one_bad_line_of_a_batch_stops_only_itself(fed)?;
        a_reference_with_other_content_is_a_conflict(fed)?;
        listeners::no_log_and_no_metric_holds_a_secret(fed)?;
        listeners::a_flood_of_handshakes_requests_and_noise_stops_no_command_and_moves_nothing(fed)?;
        no_node_has_panicked(fed)
    });
}

fn no_node_has_panicked(fed: &Federation) -> Result<()> {
    for node in fed.nodes() {
        let log = std::fs::read_to_string(fed.node_dir(&node.node).join("log"))?;
        let bad: Vec<&str> = log.lines().filter(|l| l.contains("panicked")).collect();
        ensure!(bad.is_empty(), "{}: {bad:#?}", node.node);
    }
    Ok(())
}

/// Open without a certificate (design §8), as far as they exist, and nothing else.
const OPEN: [&str; 5] =
    ["/healthz", "/readyz", "/v1/version", "/v1/trust-bundle", "/.well-known/est/cacerts"];

/// Enrolment: who has no certificate yet, or none any more, brings a proof in the request.
const PROOF: [&str; 4] = [
    "/v1/certificates",
    "/v1/platforms/{region}/certificates:enrol",
    "/.well-known/est/simpleenroll",
    "/.well-known/est/simplereenroll",
];

/// Signed answers about revocation: whoever checks a certificate has none yet (RFC 5280, RFC 6960).
const PUBLIC: [&str; 2] = ["/v1/crl/{name}", "/ocsp"];

fn without_a_certificate_only_the_open_routes_answer(fed: &Federation) -> Result<()> {
    let (_, _, ca) = fed.operator();
    let nobody = Http::new(&ca, None)?;
    let base = fed.api("gz-c-1")?;
    for path in OPEN {
        let reply = nobody.get(&format!("{base}{path}"))?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
    }
    let description = fed.http()?.get(&format!("{base}/openapi.json"))?.json()?;
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, methods) in description["paths"].as_object().context("paths")? {
        for method in methods.as_object().context("methods")?.keys() {
            if OPEN.contains(&path.as_str())
                || PUBLIC.contains(&path.as_str())
                || !["get", "put", "post", "delete", "patch"].contains(&method.as_str())
            {
                continue;
            }
            seen += 1;
            let concrete = path
                .replace("{region}", R)
                .replace("{name}", "ports")
                .replace("{node}", "gz-a-1")
                .split('/')
                .map(|s| if s.starts_with('{') { "1" } else { s })
                .collect::<Vec<_>>()
                .join("/");
            let enrols = method == "post" && PROOF.contains(&path.as_str());
            let bodies: &[&str] = if enrols { &[r#"{"csr":"x"}"#] } else { &["", "{}"] };
            for body in bodies {
                let reply = nobody.send(
                    method,
                    &format!("{base}{concrete}"),
                    if body.is_empty() { "" } else { "application/json" },
                    *body,
                )?;
                if (reply.status, reply.code().as_str()) != (401, "EP1202") {
                    faults.push(format!("{method} {concrete} {body:?}: {} {}", reply.status, reply.text()));
                }
            }
        }
    }
    ensure!(seen > 25, "only {seen} protected routes are described");
    ensure!(faults.is_empty(), "{} routes answer without a certificate: {faults:#?}", faults.len());
    Ok(())
}

/// The issuing CA of the federation under test.
fn issuing(fed: &Federation) -> Result<Authority> {
    Authority::load(&fed.home().join("ca"), "440000").map_err(fail)
}

/// An authority of another federation of the same name.
fn foreign(fed: &Federation) -> Result<(Authority, Authority)> {
    let domain: TrustDomain = parsed("gd.eport.example")?;
    let now = OffsetDateTime::now_utc();
    let root = Authority::create_root("other", &domain, Validity::days(now, 100)).map_err(fail)?;
    let spec = IssuingSpec {
        region: parsed("440000")?,
        purpose: CaPurpose::Any,
        epoch: Epoch::from_u64(1),
        loopback: true,
    };
    let issuing = root.create_issuing(spec, Validity::days(now, 90)).map_err(fail)?;
    std::fs::create_dir_all(fed.scratch().join("foreign"))?;
    Ok((root, issuing))
}

fn past() -> Validity {
    let now = OffsetDateTime::now_utc();
    Validity { not_before: now - time::Duration::minutes(9), not_after: now - time::Duration::minutes(1) }
}

fn certificates_that_are_expired_or_foreign_are_refused(fed: &Federation) -> Result<()> {
    let (_, _, ca) = fed.operator();
    let base = fed.api("gz-c-1")?;
    let refuse =
        |what: &str, issued: Result<eport_authority::Issued, eport_authority::Error>| -> Result<()> {
            let dir = fed.scratch().join("certs").join(what);
            std::fs::create_dir_all(&dir)?;
            issued.map_err(fail)?.save(&dir, "c").map_err(fail)?;
            let (cert, key) = (dir.join("c.crt"), dir.join("c.key"));
            let caller = Http::new(&ca, Some(Presented { cert: &cert, key: &key }))?;
            // Also an open route: who shows a certificate must show a good one.
            for path in ["/v1/federation", "/healthz"] {
                if let Ok(reply) = caller.get(&format!("{base}{path}")) {
                    bail!("{what} {path}: answered {} {}", reply.status, reply.text());
                }
            }
            Ok(())
        };
    let (one, good) = (Epoch::from_u64(1), Validity::days(OffsetDateTime::now_utc(), 10));
    refuse("expired", issuing(fed)?.issue_operator("late", Key::Generate, one, past()))?;
    let (_, other) = foreign(fed)?;
    refuse("foreign", other.issue_operator("admin", Key::Generate, one, good))?;

    // The command line says which certificate and why, without a call.
    let expired = fed.scratch().join("certs/expired");
    let (cert, key) = (expired.join("c.crt"), expired.join("c.key"));
    let mut tool = fed.command(&["--json", "--api", base, "--cert"]);
    let ran = Ran::of(tool.arg(cert).arg("--key").arg(key).arg("--ca").arg(&ca).args(["status"]))?;
    ran.expect(6, "an expired certificate")?;

    // A certificate of an enterprise is a good one, but changes no platform.
    let dir = fed.scratch().join("certs/enterprise");
    std::fs::create_dir_all(&dir)?;
    let issued = issuing(fed)?.issue_enterprise("91440300MA5EXAMPL0", Key::Generate, one, good);
    if let Ok(issued) = issued {
        issued.save(&dir, "c").map_err(fail)?;
        let (cert, key) = (dir.join("c.crt"), dir.join("c.key"));
        let caller = Http::new(&ca, Some(Presented { cert: &cert, key: &key }))?;
        let moved = caller.post(
            &format!("{base}/v1/platforms/{R}/moves"),
            &json!({"kind": "switchover", "to": "gz-a-2"}),
        )?;
        ensure!(moved.status == 403, "an enterprise moved a platform: {} {}", moved.status, moved.text());
    }
    Ok(())
}

fn malformed_and_oversized_bodies_are_refused(fed: &Federation) -> Result<()> {
    let http = fed.http()?;
    let base = format!("{}/v1/platforms/{R}", fed.api("gz-a-1")?);
    for body in ["{", "[1,2", "\"text\"", "{\"doc_type\":1}", "\u{0}", "{\"a\":1,\"a\":2}"] {
        let reply = http.send("POST", &format!("{base}/documents"), "application/json", body)?;
        ensure!(reply.status == 400 || reply.status == 422, "{body:?}: {} {}", reply.status, reply.text());
        ensure!(reply.code().starts_with("EP"), "{body:?}: {}", reply.text());
    }
    let moves = http.send("POST", &format!("{base}/moves"), "application/json", "{\"kind\":")?;
    ensure!((moves.status, moves.code().as_str()) == (400, "EP6001"), "{} {}", moves.status, moves.text());
    let unknown =
        http.post(&format!("{base}/moves"), &json!({"kind": "switchover", "to": "gz-a-2", "frce": true}))?;
    ensure!(
        unknown.status == 400 && unknown.text().contains("frce"),
        "{} {}",
        unknown.status,
        unknown.text()
    );
    let deep = "[".repeat(100_000);
    let reply = http.send("POST", &format!("{base}/documents"), "application/json", deep)?;
    ensure!(reply.status == 400, "deep nesting: {} {}", reply.status, reply.text());
    let form = http.post(&format!("{}/v1/tables/ports/versions", fed.api("gz-a-1")?), &json!({}))?;
    ensure!((form.status, form.code().as_str()) == (400, "EP6001"), "{} {}", form.status, form.text());
    let route = http.get(&format!("{}/v1/nothing", fed.api("gz-a-1")?))?;
    ensure!((route.status, route.code().as_str()) == (404, "EP6003"), "{} {}", route.status, route.text());
    let region = http.get(&format!("{}/v1/platforms/nowhere", fed.api("gz-a-1")?))?;
    ensure!(region.status == 400 && region.code() == "EP6001", "{} {}", region.status, region.text());
    // One byte above the limit of 64 MiB.
    let big = vec![b' '; (64 << 20) + 1];
    match http.send("POST", &format!("{base}/documents:batch"), "application/x-ndjson", big) {
        Ok(reply) => ensure!(
            (reply.status, reply.code().as_str()) == (413, "EP6004"),
            "{} {}",
            reply.status,
            reply.text()
        ),
        // The server may end the connection before it has read everything; it must not have taken it.
        Err(error) => eprintln!("an oversized body ended the connection: {error:#}"),
    }
    let file = fed.scratch().join("malformed.json");
    std::fs::write(&file, "{\"doc_type\":")?;
    let ran = fed
        .eport(&["doc", "submit", &file.to_string_lossy(), "--platform", R])?
        .expect(1, "a malformed file")?;
    ensure!(ran.error_code() == "EP5004", "{}", ran.stdout);
    Ok(())
}

fn every_failure_of_a_document_is_listed_at_once(fed: &Federation) -> Result<()> {
    let mut bad = document("BAD-1");
    bad["body"]["port"] = "XXXXX".into();
    bad["body"]["customs_office"] = "51".into();
    bad["body"]["containers"] = json!(["CSQU3054384"]);
    bad["body"]["packages"] = 0.into();
    bad["body"]["gross_weight_kg"] = "-1".into();
    bad["body"]["colour"] = "red".into();
    let reply = fed.http()?.post(&format!("{}/v1/platforms/{R}/documents", fed.api("sz-a-1")?), &bad)?;
    ensure!((reply.status, reply.code().as_str()) == (422, "EP5001"), "{} {}", reply.status, reply.text());
    let failures = reply.json()?["failures"].as_array().cloned().unwrap_or_default();
    for field in ["port", "customs_office", "containers", "packages", "gross_weight_kg", "colour"] {
        let named = failures.iter().any(|f| {
            f["path"].as_str().is_some_and(|p| p.contains(field))
                && f["code"].as_str().is_some_and(|c| c.starts_with("E-"))
        });
        ensure!(named, "{field} is not named: {failures:#?}");
    }
    let file = fed.scratch().join("bad.json");
    std::fs::write(&file, bad.to_string())?;
    let ran = fed
        .eport(&["doc", "submit", &file.to_string_lossy(), "--platform", R])?
        .expect(1, "a refused document")?;
    ensure!(ran.json()?["error"]["failures"].as_array().is_some_and(|f| f.len() >= 6), "{}", ran.stdout);
    // A refusal does not consume the key.
    let good = fed
        .http()?
        .post(&format!("{}/v1/platforms/{R}/documents", fed.api("sz-a-1")?), &document("BAD-1"))?;
    ensure!(good.status == 201, "{} {}", good.status, good.text());
    Ok(())
}

fn one_bad_line_of_a_batch_stops_only_itself(fed: &Federation) -> Result<()> {
    let http = fed.http()?;
    let url = format!("{}/v1/platforms/{R}/documents:batch", fed.api("gz-a-2")?);
    let mut sent = documents("LINE", 5);
    sent[2]["body"]["port"] = "XXXXX".into();
    let mut body: Vec<String> = sent.iter().map(Value::to_string).collect();
    body[3] = "{\"doc_type\":".into();
    let reply = http.send("POST", &url, "application/x-ndjson", body.join("\n"))?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    let answers = reply.lines()?;
    let statuses: Vec<u64> = answers.iter().filter_map(|l| l["status"].as_u64()).collect();
    let numbers: Vec<u64> = answers.iter().filter_map(|l| l["line"].as_u64()).collect();
    ensure!(statuses == [201, 201, 422, 400, 201] && numbers == [1, 2, 3, 4, 5], "{answers:#?}");
    ensure!(answers[2]["failures"].as_array().is_some_and(|f| !f.is_empty()), "{}", answers[2]);
    Ok(())
}

fn a_reference_with_other_content_is_a_conflict(fed: &Federation) -> Result<()> {
    let http = fed.http()?;
    let url = format!("{}/v1/platforms/{R}/documents", fed.api("gz-a-1")?);
    let first = http.post(&url, &document("SAME-1"))?;
    ensure!(first.status == 201, "{} {}", first.status, first.text());
    // Another order of members and other white space are the same document.
    let text = serde_json::to_string_pretty(&document("SAME-1"))?;
    let again = http.send("POST", &url, "application/json", text)?;
    ensure!(
        again.status == 200 && again.json()?["doc_id"] == first.json()?["doc_id"],
        "{} {}",
        again.status,
        again.text()
    );
    let mut other = document("SAME-1");
    other["body"]["packages"] = 121.into();
    let reply = http.post(&url, &other)?;
    ensure!((reply.status, reply.code().as_str()) == (409, "EP5002"), "{} {}", reply.status, reply.text());
    ensure!(reply.text().contains("E-DUP-DIFFERENT"), "{}", reply.text());
    let file = fed.scratch().join("other.json");
    std::fs::write(&file, other.to_string())?;
    fed.eport(&["doc", "submit", &file.to_string_lossy(), "--platform", R])?
        .expect(4, "other content under one reference")?;
    Ok(())
}

// --------------------------------------------------------------------------------------------------------------------
// Starts that must not happen, disks that are full, copies that differ.

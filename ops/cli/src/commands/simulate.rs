//! A virtual agency: a process of its own with its own certificate that takes what is sent to it and answers by the rules of a script.
//!
//! ```toml
//! [[rule]]
//! doc_type = "a_type"                    # absent: every type
//! field = "a_field"                      # a member of the body, or a JSON pointer into it
//! equals = "VALUE"
//! receipts = [{ kind = "TECH_ACK", code = "E1" }, { code = "01", text = "accepted", delay_ms = 200 }]
//! ```
//!
//! The first rule that fits answers; without one a message is acknowledged only. Numbers and times of receipts follow from the
//! message, so that a script that is killed and started again gives the same receipts, and each counts once.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::files::read_input;
use crate::output::{Out, cell};
use clap::Args;
use eport_client::{Client, Repeat, path_segment};
use eport_model::{Code, RegionCode, codes};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Arguments of `eport agency simulate`.
#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// The agency's code; the certificate must be one of its gateways
    pub agency: String,
    /// Rules of its answers, TOML
    #[arg(long, value_name = "FILE")]
    pub script: PathBuf,
    /// The platform that it is attached to
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: RegionCode,
    /// End when nothing came for so many seconds; default never
    #[arg(long, value_name = "SECONDS")]
    pub idle: Option<u64>,
    /// Seconds that a request for news waits
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,
    /// Seconds for which a receipt that is answered `local` is repeated before its message is acknowledged all the same
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub patience: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    doc_type: Option<String>,
    field: Option<String>,
    equals: Option<String>,
    /// True: it neither answers nor acknowledges.
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    receipts: Vec<Given>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default = "business")]
    kind: String,
    code: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    delay_ms: u64,
}

fn business() -> String {
    "BUSINESS".into()
}

impl Rule {
    fn fits(&self, item: &Value) -> bool {
        let typed = self.doc_type.as_ref().is_none_or(|t| item["doc_type"] == t.as_str());
        let Some(field) = &self.field else { return typed };
        let pointer = if field.starts_with('/') { field.clone() } else { format!("/{field}") };
        let found = item["body"].pointer(&pointer);
        typed
            && match (&self.equals, found) {
                (None, found) => found.is_some(),
                (Some(wanted), Some(Value::String(text))) => text == wanted,
                (Some(wanted), Some(other)) => serde_json::to_string(other).is_ok_and(|t| t == *wanted),
                (Some(_), None) => false,
            }
    }
}

impl Script {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|e| Error::usage(format!("the script: {e}")))?;
        let script: Script = toml::from_str(text).map_err(|e| Error::usage(format!("the script: {e}")))?;
        if script.rule.iter().any(|r| r.equals.is_some() && r.field.is_none()) {
            return Err(Error::usage("the script: equals needs a field"));
        }
        Ok(script)
    }

    fn answer(&self, item: &Value) -> Option<&Rule> {
        (item["kind"] == "document").then(|| self.rule.iter().find(|r| r.fits(item))).flatten()
    }
}

/// What a virtual agency has done.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    receipts: u64,
    refused: u64,
    /// Answers that never promised more than `local`.
    local: u64,
    /// False once a platform was waited for in vain: then every answer counts as it is, until one says `replicated`.
    patient: bool,
}

/// Runs until it is idle, or for ever.
pub async fn run(args: &SimulateArgs, global: &Global, out: Out) -> Result<(), Error> {
    let name = args.script.display().to_string();
    let script = Script::read(&read_input(&name)?)?;
    let client = connect::client(global)?;
    let (mut tally, mut last) = (Tally { patient: true, ..Tally::default() }, Instant::now());
    let inbox = format!("/v1/agencies/{}/inbox", path_segment(&args.agency));
    let mut passed: Option<String> = None;
    loop {
        let idle = args.idle.map(Duration::from_secs);
        if idle.is_some_and(|idle| last.elapsed() >= idle) {
            break;
        }
        let left = idle.map_or(args.wait, |idle| (idle - last.elapsed().min(idle)).as_secs().max(1));
        let mut query = vec![
            ("platform", args.platform.to_string()),
            ("wait", left.min(args.wait).to_string()),
            ("limit", "50".to_owned()),
        ];
        query.extend(passed.clone().map(|id| ("after", id)));
        let page: Value = match client.get(&inbox, &query).await {
            Ok(page) => page,
            // A platform that moves answers again soon.
            Err(e) if e.may_retry() => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        for item in page["items"].as_array().into_iter().flatten() {
            last = Instant::now();
            match script.answer(item) {
                Some(rule) if rule.silent => passed = Some(cell(item, "msg_id")),
                rule => {
                    let receipts = rule.map_or(&[][..], |r| &r.receipts);
                    take(&client, args, item, receipts, &mut tally, out).await?;
                }
            }
        }
    }
    let document = json!({ "agency": args.agency, "messages": tally.messages,
        "receipts": tally.receipts, "refused": tally.refused, "local": tally.local });
    out.result(&document, || {
        format!("{}: {} messages, {} receipts\n", args.agency, tally.messages, tally.receipts)
    });
    Ok(())
}

/// What says that a message is not the one that was read.
const GONE: [Code; 2] = [codes::MESSAGE_CHANGED, codes::MESSAGE_UNKNOWN];

/// Sends something that may be repeated until its answer promises `replicated`, or for as long as the agency is patient.
async fn durable(
    client: &Client,
    args: &SimulateArgs,
    path: &str,
    body: &Value,
    tally: &mut Tally,
) -> Result<Value, eport_client::Error> {
    let until = Instant::now() + Duration::from_secs(args.patience);
    loop {
        let answer: Value = client.post(path, body, Repeat::Safe).await?;
        if answer["durability"] == "replicated" {
            tally.patient = true;
            return Ok(answer);
        }
        if !tally.patient || Instant::now() >= until {
            tally.patient = false;
            tally.local += 1;
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Answers one message and acknowledges it, once what it answered is kept.
async fn take(
    client: &Client,
    args: &SimulateArgs,
    item: &Value,
    receipts: &[Given],
    tally: &mut Tally,
    out: Out,
) -> Result<(), Error> {
    let id = cell(item, "msg_id");
    let agency = path_segment(&args.agency);
    for (n, given) in receipts.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(given.delay_ms)).await;
        let short: String = id.chars().take(24).collect();
        let receipt = json!({
            "agency_receipt_no": format!("SIM-{short}-{}", n + 1), "platform": item["platform"],
            "doc_id": item["doc_id"], "doc_version": item["doc_version"], "kind": given.kind,
            "code": given.code, "text": given.text, "event_time": item["received_at"],
        });
        let path = format!("/v1/agencies/{agency}/receipts?platform={}", args.platform);
        match durable(client, args, &path, &receipt, tally).await {
            Ok(answer) => {
                tally.receipts += 1;
                let line = format!(
                    "{} v{} {} {}",
                    cell(item, "doc_id"),
                    cell(item, "doc_version"),
                    given.code,
                    cell(&answer, "note")
                );
                out.say(&line, &line);
            }
            Err(e) if e.may_retry() => return Ok(()),
            Err(e) if e.problem().and_then(|p| p.stable_code()) == Some(codes::FORBIDDEN) => {
                return Err(e.into());
            }
            Err(e) => {
                tally.refused += 1;
                let line =
                    format!("{} v{} {}: {e}", cell(item, "doc_id"), cell(item, "doc_version"), given.code);
                out.say(&line, &line);
            }
        }
    }
    let read = cell(item, "read");
    let path = format!(
        "/v1/agencies/{agency}/inbox/{}/ack?platform={}&read={}",
        path_segment(&id),
        args.platform,
        path_segment(&read)
    );
    match durable(client, args, &path, &json!({}), tally).await {
        Ok(_) => tally.messages += 1,
        // Another content has taken its place, or it is void or gone: the inbox shows what stands now.
        Err(e) if e.problem().and_then(|p| p.stable_code()).is_some_and(|code| GONE.contains(&code)) => {}
        // It shows again; the receipts are known by their numbers then.
        Err(e) if e.may_retry() => {}
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_answers() {
        let script = Script::read(
            br#"
            [[rule]]
            doc_type = "a"
            field = "port"
            equals = "CNCAN"
            receipts = [{ code = "03" }]
            [[rule]]
            doc_type = "a"
            field = "/items/0/n"
            equals = "7"
            silent = true
            [[rule]]
            receipts = [{ kind = "TECH_ACK", code = "E1" }]
            "#,
        )
        .unwrap();
        let code = |item: Value| {
            script.answer(&item).map(|r| (r.silent, r.receipts.first().map(|g| g.code.clone())))
        };
        let item = |t: &str, body: Value| json!({ "kind": "document", "doc_type": t, "body": body });
        assert_eq!(code(item("a", json!({ "port": "CNCAN" }))), Some((false, Some("03".into()))));
        assert_eq!(code(item("a", json!({ "items": [{ "n": 7 }] }))), Some((true, None)));
        assert_eq!(code(item("b", json!({ "port": "CNCAN" }))), Some((false, Some("E1".into()))));
        assert_eq!(code(json!({ "kind": "withdrawal", "doc_type": "a", "body": null })), None);
        assert!(
            Script::read(b"[[rule]]\nequals = \"x\"").is_err() && Script::read(b"[[rule]]\nx = 1").is_err()
        );
    }
}

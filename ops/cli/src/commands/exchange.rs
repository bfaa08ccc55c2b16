//! `eport exchange`: channels between platforms, inboxes of agencies, dead letters; `eport doc trace` and `doc why`.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::lang::Lang;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, Repeat, path_segment};
use eport_model::{Coded, RegionCode, codes::NOT_FOUND};
use serde_json::{Value, json};
use std::time::Duration;

/// How long one platform is waited for where all are asked.
const EACH: Duration = Duration::from_secs(3);

/// Arguments of `eport exchange`.
#[derive(Args, Debug)]
pub struct ExchangeArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ExchangeCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ExchangeCommand {
    /// Show what waits: channels to other platforms, inboxes of agencies, dead letters
    Status {
        /// The platform; default all
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// List messages that cannot take effect, and answers that a person must look at
    DeadLetters {
        /// The platform; default all
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Send a dead letter again, once its cause is gone
    Resend {
        /// The message's id
        id: String,
        /// The platform that has it; default all are asked
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
}

/// Runs the group.
pub async fn run(args: ExchangeArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        ExchangeCommand::Status { platform } => status(&client, platform, out).await,
        ExchangeCommand::DeadLetters { platform } => dead_letters(&client, platform, out).await,
        ExchangeCommand::Resend { id, platform } => resend(&client, &id, platform, out).await,
    }
}

async fn regions(client: &Client, named: Option<RegionCode>) -> Result<Vec<String>, Error> {
    Ok(match named {
        Some(region) => vec![region.to_string()],
        None => client.list("/v1/platforms", &[]).await?.iter().map(|p| cell(p, "region")).collect(),
    })
}

/// What one platform answers. Of all platforms one that is away is told of and keeps no other back.
async fn asked(client: &Client, region: &str, named: bool, path: &str) -> Result<Value, Error> {
    if named {
        return Ok(client.get(path, &[]).await?);
    }
    match client.with_timeout(EACH).get(path, &[]).await {
        Ok(answer) => Ok(answer),
        Err(e) if e.may_retry() => {
            Ok(json!({ "region": region, "error": e.code().to_string(), "detail": e.to_string() }))
        }
        Err(e) => Err(e.into()),
    }
}

async fn status(client: &Client, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let mut items = Vec::new();
    for region in regions(client, platform).await? {
        let path = format!("/v1/platforms/{region}/exchange");
        items.push(asked(client, &region, platform.is_some(), &path).await?);
    }
    out.items(&items, || {
        let mut table = Table::new(["platform", "what", "waiting", "oldest", "acknowledged", "trouble"]);
        for s in &items {
            let region = cell(s, "region");
            if !s["error"].is_null() {
                let none = String::new;
                table.row([region.clone(), cell(s, "error"), none(), none(), none(), cell(s, "detail")]);
            }
            for c in s["channels"].as_array().into_iter().flatten() {
                let what = format!("to {}", cell(c, "to"));
                let rest = ["rows", "oldest", "acknowledged", "trouble"].map(|k| cell(c, k));
                let [rows, oldest, acknowledged, trouble] = rest;
                table.row([region.clone(), what, rows, oldest, acknowledged, trouble]);
            }
            for i in s["inboxes"].as_array().into_iter().flatten() {
                let what = format!("inbox {}", cell(i, "agency"));
                table.row([
                    region.clone(),
                    what,
                    cell(i, "waiting"),
                    cell(i, "oldest"),
                    String::new(),
                    String::new(),
                ]);
            }
            for (what, key) in
                [("no route", "unrouted"), ("dead letters", "dead_letters"), ("alerts", "alerts")]
            {
                if s[key].as_u64().is_some_and(|n| n > 0) {
                    let none = String::new;
                    table.row([region.clone(), what.to_owned(), cell(s, key), none(), none(), none()]);
                }
            }
        }
        table
    });
    Ok(())
}

async fn dead_letters(client: &Client, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let (mut items, mut alerts) = (Vec::new(), Vec::new());
    for region in regions(client, platform).await? {
        let path = format!("/v1/platforms/{region}/exchange/dead-letters");
        let found = asked(client, &region, platform.is_some(), &path).await?;
        if !found["error"].is_null() {
            let line = format!("{region}: {} {}", cell(&found, "error"), cell(&found, "detail"));
            out.say(&line, &line);
        }
        let with = |list: &Value| -> Vec<Value> {
            let rows = list.as_array().into_iter().flatten().cloned();
            rows.map(|mut row| {
                row["platform"] = json!(region);
                row
            })
            .collect()
        };
        items.extend(with(&found["items"]));
        alerts.extend(with(&found["alerts"]));
    }
    let document = json!({ "items": items, "alerts": alerts, "next_page_token": null });
    out.result(&document, || {
        let mut text = String::new();
        for d in &items {
            text.push_str(&format!(
                "{}  {} {} -> {}  {} {}  {}\n",
                ["msg_id", "kind", "doc_id"].map(|k| cell(d, k)).join("  "),
                cell(d, "platform"),
                cell(d, "recipient"),
                cell(d, "to"),
                cell(d, "reason"),
                cell(d, "detail"),
                cell(d, "owner")
            ));
        }
        for a in &alerts {
            let line = ["doc_id", "agency", "agency_receipt_no", "code", "note", "owner"].map(|k| cell(a, k));
            text.push_str(&format!("{}\n", line.join("  ")));
        }
        if text.is_empty() { format!("{}\n", out.lang.pick(("(none)", "（无）"))) } else { text }
    });
    Ok(())
}

async fn resend(client: &Client, id: &str, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    out.confirm((&format!("send {id} again?"), &format!("重新发送 {id}？")))?;
    for region in regions(client, platform).await? {
        let path = format!("/v1/platforms/{region}/exchange/dead-letters/{}/resend", path_segment(id));
        match client.post::<Value>(&path, &json!({}), Repeat::UnlessSent).await {
            Ok(answer) => {
                out.result(&answer, || format!("{} {}\n", cell(&answer, "msg_id"), cell(&answer, "to")));
                return Ok(());
            }
            Err(e) if e.exit() == exit::NOT_FOUND => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Error::coded(NOT_FOUND, format!("dead letter {id}")))
}

/// The trace of a document, from the platform that owns it.
async fn traced(client: &Client, id: &str, platform: Option<RegionCode>) -> Result<Value, Error> {
    for region in regions(client, platform).await? {
        let path = format!("/v1/platforms/{region}/documents/{}/trace", path_segment(id));
        match client.get::<Value>(&path, &[]).await {
            Ok(mut trace) => {
                trace["platform"] = json!(region);
                return Ok(trace);
            }
            Err(e) if e.exit() == exit::NOT_FOUND => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Error::coded(NOT_FOUND, format!("document {id}")))
}

/// `eport doc trace`
pub async fn trace(client: &Client, id: &str, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let trace = traced(client, id, platform).await?;
    out.result(&trace, || {
        let head = ["doc_id", "doc_version", "doc_type", "state", "stage"].map(|k| cell(&trace, k));
        let mut text =
            format!("{}  {}  record {}\n", cell(&trace, "platform"), head.join("  "), cell(&trace, "record"));
        for a in trace["agencies"].as_array().into_iter().flatten() {
            let line = ["agency", "role", "state", "passage", "at", "msg_id"].map(|k| cell(a, k));
            text.push_str(&format!("  {}\n", line.join("  ")));
        }
        for r in trace["receipts"].as_array().into_iter().flatten() {
            let line = ["event_time", "agency", "kind", "code", "note", "text"].map(|k| cell(r, k));
            text.push_str(&format!("  {}\n", line.join("  ")));
        }
        text
    });
    Ok(())
}

/// `eport doc why`
pub async fn why(client: &Client, id: &str, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let trace = traced(client, id, platform).await?;
    let document = json!({ "doc_id": trace["doc_id"], "doc_version": trace["doc_version"],
        "platform": trace["platform"], "state": trace["state"], "items": trace["why"], "next_page_token": null });
    out.result(&document, || {
        let (place, waits, for_, who) = match out.lang {
            Lang::Zh => ("place_zh", "waits_zh", "事项", "须行动者"),
            Lang::En => ("place_en", "waits_en", "waits for", "must act"),
        };
        let mut text = format!("{}  {}\n", cell(&trace, "doc_id"), cell(&trace, "state"));
        for w in trace["why"].as_array().into_iter().flatten() {
            text.push_str(&format!(
                "- {}; {for_}: {}; {who}: {}; record {}\n",
                cell(w, place),
                cell(w, waits),
                cell(w, "actor"),
                cell(w, "record")
            ));
        }
        text
    });
    Ok(())
}

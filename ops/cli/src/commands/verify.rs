//! `eport platform verify`: rows of all holders compared at one record, and what the looks through their copies have shown.

use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_client::{Client, Repeat};
use eport_model::RegionCode;
use serde_json::{Value, json};
use std::time::Duration;

/// How often it is asked how far the looks are.
const POLL: Duration = Duration::from_millis(500);

/// Runs the command.
pub async fn run(client: &Client, region: RegionCode, scrub: bool, out: Out) -> Result<(), Error> {
    let before = copies(client, region).await?;
    let path = format!("/v1/platforms/{region}/verify?scrub={scrub}");
    let mut answer: Value = client.post(&path, &json!({}), Repeat::Safe).await?;
    let asked: Vec<String> = names(&answer["scrubbing"]);
    if scrub {
        answer["copies"] = wait(client, region, &asked, &before, out).await?.into();
    }
    let list = answer["copies"].as_array().cloned().unwrap_or_default();
    let sound = |c: &Value| c["equal"] != false && c["scrub"]["open"].as_str().is_none();
    let ok = answer["ok"] == true && list.iter().all(sound);
    answer["ok"] = ok.into();
    out.result(&answer, || text(region, &answer, &list));
    if ok { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

async fn copies(client: &Client, region: RegionCode) -> Result<Vec<Value>, Error> {
    let platform: Value = client.get(&format!("/v1/platforms/{region}"), &[]).await?;
    Ok(platform["copies"].as_array().cloned().unwrap_or_default())
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|n| n.as_str().map(str::to_owned)).collect()
}

fn of<'a>(copies: &'a [Value], node: &str) -> Option<&'a Value> {
    copies.iter().find(|c| c["node"] == *node)
}

/// Waits until every holder that was asked has ended a look which began after the question, or has damage that it cannot mend.
async fn wait(
    client: &Client,
    region: RegionCode,
    asked: &[String],
    before: &[Value],
    out: Out,
) -> Result<Vec<Value>, Error> {
    let mut told = 0;
    loop {
        let now = copies(client, region).await?;
        let ended = |node: &&String| {
            let scrub = of(&now, node).map_or(&Value::Null, |c| &c["scrub"]);
            let former = of(before, node).map_or(&Value::Null, |c| &c["scrub"]["finished"]);
            let whole = scrub["finished"].is_string() && scrub["finished"] != *former;
            scrub["running"] == false && (whole || scrub["open"].is_string())
        };
        let done = asked.iter().filter(ended).count();
        if done == asked.len() {
            return Ok(now);
        }
        if done != told {
            told = done;
            out.progress(format!("{region}: {done} / {}", asked.len()));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn text(region: RegionCode, answer: &Value, copies: &[Value]) -> String {
    let mut rows = Table::new(["node", "equal", "digest"]);
    for r in answer["replicas"].as_array().into_iter().flatten() {
        rows.row(["node", "equal", "digest"].map(|k| cell(r, k)));
    }
    let mut looks =
        Table::new(["node", ">mark", "looked through", ">records", ">rows", ">found", ">mended", "open"]);
    for c in copies {
        let s = &c["scrub"];
        let scrub = |k: &str| cell(s, k);
        looks.row([
            cell(c, "node"),
            cell(c, "mark"),
            scrub("finished"),
            scrub("records"),
            scrub("rows"),
            scrub("found"),
            scrub("mended"),
            scrub("open"),
        ]);
    }
    format!("{region} at record {}\n{}\n{}", cell(answer, "index"), rows.render(), looks.render())
}

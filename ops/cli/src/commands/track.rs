//! `eport doc status` and `eport doc compare`: where whatever a number names stands, and how a document compares with others.

use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_client::{Client, path_segment};
use eport_model::RegionCode;
use eport_model::codes::NOT_FOUND;
use serde_json::{Value, json};

/// Shows what is known of a number: on one platform, or on all.
pub async fn status(
    client: &Client,
    number: &str,
    platform: Option<RegionCode>,
    out: Out,
) -> Result<(), Error> {
    let segment = path_segment(number);
    let answer: Value = match platform {
        Some(region) => {
            let one: Value =
                client.get(&format!("/v1/platforms/{region}/consignments/{segment}"), &[]).await?;
            if one["documents"].as_array().is_none_or(Vec::is_empty) {
                return Err(Error::coded(NOT_FOUND, format!("nothing is known by {number} on {region}")));
            }
            json!({ "number": number, "platforms": [one], "unanswered": [] })
        }
        None => client.get(&format!("/v1/consignments/{segment}"), &[]).await?,
    };
    out.result(&answer, || text(&answer, out));
    match answer["unanswered"].as_array().is_none_or(Vec::is_empty) {
        true => Ok(()),
        // What is shown may not be all.
        false => Err(Error::Exit(exit::UNAVAILABLE)),
    }
}

fn text(answer: &Value, out: Out) -> String {
    let title = out.lang.pick(("title_en", "title_zh"));
    let mut documents =
        Table::new(["platform", "doc_id", "document", "by", "state", "stage", "agencies", "received"]);
    let mut milestones = Table::new(["milestone", "at", "source", "doc_id"]);
    for platform in answer["platforms"].as_array().into_iter().flatten() {
        for d in platform["documents"].as_array().into_iter().flatten() {
            let agency = |a: &Value| format!("{} {}", cell(a, "agency"), cell(a, "state"));
            let agencies: Vec<String> = d["agencies"].as_array().into_iter().flatten().map(agency).collect();
            documents.row([
                cell(platform, "platform"),
                cell(d, "doc_id"),
                cell(d, title),
                cell(d, "known_by"),
                cell(d, "state"),
                cell(d, "stage"),
                agencies.join(", "),
                cell(d, "received_at"),
            ]);
        }
        for m in platform["milestones"].as_array().into_iter().flatten() {
            milestones.row(["code", "at", "source", "doc_id"].map(|k| cell(m, k)));
        }
    }
    let mut text = documents.render();
    if !milestones.is_empty() {
        text.push_str(&format!("\n{}", milestones.render()));
    }
    for u in answer["unanswered"].as_array().into_iter().flatten() {
        let (platform, detail) = (cell(u, "platform"), cell(u, "detail"));
        text.push_str(&out.lang.pick((
            format!("no answer of {platform}: {detail}\n"),
            format!("平台 {platform} 未答复：{detail}\n"),
        )));
    }
    text
}

/// Shows every comparison of a document, carried out now.
pub async fn compare(client: &Client, id: &str, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let regions: Vec<String> = match platform {
        Some(region) => vec![region.to_string()],
        None => client.list("/v1/platforms", &[]).await?.iter().map(|p| cell(p, "region")).collect(),
    };
    for region in &regions {
        let path = format!("/v1/platforms/{region}/documents/{}/comparisons", path_segment(id));
        let found: Value = match client.get(&path, &[]).await {
            Ok(found) => found,
            Err(e) if e.exit() == exit::NOT_FOUND => continue,
            Err(e) => return Err(e.into()),
        };
        out.result(&found, || {
            let mut table = Table::new(["rule", "outcome", "waits until", "records", "failures"]);
            for c in found["items"].as_array().into_iter().flatten() {
                let texts = |of: &Value| -> Vec<String> {
                    of.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
                };
                let failure = |f: &Value| format!("{} {}", cell(f, "code"), cell(f, "path"));
                let failures: Vec<String> =
                    c["failures"].as_array().into_iter().flatten().map(failure).collect();
                table.row([
                    cell(c, "rule"),
                    cell(c, "outcome"),
                    cell(c, "waits_until"),
                    texts(&c["records"]).join(", "),
                    failures.join(", "),
                ]);
            }
            table.render()
        });
        return Ok(());
    }
    Err(Error::coded(NOT_FOUND, format!("no document {id} on {}", regions.join(", "))))
}

//! `eport cert revoke` by a rule: by key, or by the epoch in which a CA issued.

use crate::error::Error;
use crate::output::{Out, cell};
use eport_api_types::{DistrustRequest, from_rfc3339};
use eport_client::{Client, Method};
use eport_model::{Digest, Distrust, Epoch, codes};
use eport_registry::statement;
use serde_json::{Value, json};

/// A certificate begins so many seconds before it is issued.
const BACKDATED_S: i64 = 600;

/// Puts a rule.
pub(crate) async fn by_rule(client: &Client, rule: Distrust, reason: &str, out: Out) -> Result<(), Error> {
    let text = rule.to_string();
    out.confirm((
        &format!("distrust {text} for ever, on every node?"),
        &format!("在所有节点上永久不再信任 {text}？"),
    ))?;
    let request = DistrustRequest { rule: text.clone(), reason: reason.to_owned() };
    let statement = statement::revoke(&text, reason);
    let item: Value = client.give(Method::POST, "/v1/certificates:distrust", &request, &statement).await?;
    let document = json!({ "items": [item], "next_page_token": null });
    out.result(&document, || {
        format!("{}: {}\n", cell(&document["items"][0], "rule"), cell(&document["items"][0], "state"))
    });
    Ok(())
}

/// The rule of an epoch; after a record of the CA's platform, or whole.
pub(crate) async fn by_epoch(
    client: &Client,
    (issuer, epoch, after): (Digest, u64, Option<u64>),
    reason: &str,
    out: Out,
) -> Result<(), Error> {
    let begins = match after {
        None => Distrust::WHOLE,
        Some(index) => begins_after(client, &issuer, index).await?,
    };
    by_rule(client, Distrust::Epoch { issuer, epoch: Epoch::from_u64(epoch), begins }, reason, out).await
}

/// The second at which the validity of a certificate begins that is issued right after a record: record times never fall.
async fn begins_after(client: &Client, issuer: &Digest, index: u64) -> Result<i64, Error> {
    let region = super::custody::region_of(client, issuer).await?;
    let before = index.saturating_sub(1).to_string();
    let path = format!("/v1/platforms/{region}/events");
    let page: Value = client.get(&path, &[("after", before), ("limit", "1".to_owned())]).await?;
    let event = &page["items"][0];
    let time = event["time"].as_str().filter(|_| event["index"] == index);
    let time = time.and_then(from_rfc3339);
    let unknown = || Error::coded(codes::NOT_FOUND, format!("the journal of {region} has no record {index}"));
    Ok(time.ok_or_else(unknown)?.as_millis().div_euclid(1_000) - BACKDATED_S)
}

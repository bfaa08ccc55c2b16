//! `eport cert forecast`: what ends soon, CAs included, and what has a successor already.

use super::cert::{list, refused};
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_api_types::{from_rfc3339, rfc3339};
use eport_client::Client;
use eport_enrolment::{Ends, soon};
use eport_model::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;

const DAY_MS: i64 = 86_400_000;

/// Shows what ends within so many days, the nearest first.
pub(crate) async fn show(client: &Client, days: i64, out: Out) -> Result<(), Error> {
    if !(1..=36_500).contains(&days) {
        return Err(Error::usage("--days: 1 to 36500 are allowed"));
    }
    let now = OffsetDateTime::now_utc().unix_timestamp().saturating_mul(1_000);
    let bundle = client.download("/v1/trust-bundle").await?;
    let cas = eport_authority::certificates_of_pem(&bundle).map_err(refused)?;
    let leaves = list(client, None, None).await?;
    let status = client.status().await?;
    let items = forecast(&cas, &leaves, &status, now, days);
    out.items(&items, || {
        let columns = ["not_after", "days_left", "kind", "name", "platform", "serial", "state"];
        let mut table = Table::new(columns);
        for item in &items {
            table.row(columns.map(|k| cell(item, k)));
        }
        table
    });
    Ok(())
}

fn ms(item: &Value, field: &str) -> i64 {
    let text = item[field].as_str().unwrap_or_default();
    from_rfc3339(text).map_or(0, |t: Timestamp| t.as_millis())
}

/// The items. A certificate whose subject has a later one is left out: it may end. A node says itself when the one in use ends.
fn forecast(cas: &[Vec<u8>], leaves: &[Value], status: &Value, now: i64, days: i64) -> Vec<Value> {
    let until = now.saturating_add(days.saturating_mul(DAY_MS));
    let mut found: Vec<(i64, Value)> = Vec::new();
    let mut add = |kind: &str, name: &str, platform: &Value, serial: &str, from: i64, to: i64| {
        if to > until {
            return;
        }
        let state = match soon(now, from, to, kind == "ca") {
            Ends::Over => "over",
            Ends::Soon => "act now",
            Ends::Far if kind == "node" => "renews itself",
            Ends::Far => "later",
        };
        let left = to.saturating_sub(now).div_euclid(DAY_MS);
        let at = rfc3339(Timestamp::from_millis(to));
        found.push((
            to,
            json!({ "kind": kind, "name": name, "platform": platform, "serial": serial,
            "not_after": at, "days_left": left, "state": state }),
        ));
    };
    for der in cas {
        let Ok(facts) = eport_authority::facts_of(der) else { continue };
        let issuer = eport_signature::issuer_facts(der).ok();
        let region = issuer.as_ref().and_then(|i| i.region).map(|r| r.to_string());
        let name = issuer.map(|i| i.name).unwrap_or_default();
        let [from, to] = [facts.validity.not_before, facts.validity.not_after]
            .map(|t| t.unix_timestamp().saturating_mul(1_000));
        add("ca", &name, &json!(region), &facts.serial, from, to);
    }
    let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
    let lives = |i: &&Value| matches!(i["state"].as_str(), Some("valid" | "expired"));
    // Delegates that answer OCSP are replaced by the CA itself and end with their process.
    for item in leaves.iter().filter(lives).filter(|i| i["profile"] != "ocsp-delegate") {
        let subject = item["subject"].as_str().unwrap_or_default();
        let later = newest.get(subject).is_none_or(|known| ms(known, "not_after") < ms(item, "not_after"));
        if later {
            newest.insert(subject, item);
        }
    }
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let said: BTreeMap<&str, i64> = nodes
        .iter()
        .filter(|n| n["certificate_ends"].is_string())
        .filter_map(|n| Some((n["node"].as_str()?, ms(n, "certificate_ends"))))
        .collect();
    let mut listed = Vec::new();
    for item in newest.values() {
        let (from, to) = (ms(item, "not_before"), ms(item, "not_after"));
        let serial = item["serial"].as_str().unwrap_or_default();
        match item["node"].as_str() {
            Some(node) => {
                listed.push(node);
                add("node", node, &item["platform"], serial, from, said.get(node).copied().unwrap_or(to));
            }
            None => {
                add(
                    "person",
                    item["subject"].as_str().unwrap_or_default(),
                    &item["platform"],
                    serial,
                    from,
                    to,
                );
            }
        }
    }
    for (node, end) in said.iter().filter(|(node, _)| !listed.contains(node)) {
        // Not in a ledger: issued before it began. Of its life only the end is known; a node's is thirty days.
        add("node", node, &Value::Null, "", end - 30 * DAY_MS, *end);
    }
    found.sort_by_key(|(to, _)| *to);
    found.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(subject: &str, node: Option<&str>, serial: &str, from: i64, to: i64, state: &str) -> Value {
        let at = |day: i64| rfc3339(Timestamp::from_millis(day * DAY_MS));
        json!({ "subject": subject, "node": node, "serial": serial, "platform": "440000",
            "not_before": at(from), "not_after": at(to), "state": state })
    }

    #[test]
    fn what_has_a_successor_or_is_revoked_is_no_worry_and_the_rest_comes_in_order() {
        let leaves = [
            leaf("operator/li", None, "01", 0, 100, "valid"),
            leaf("operator/li", None, "02", 50, 400, "valid"),
            leaf("operator/wang", None, "03", 0, 120, "valid"),
            leaf("operator/zhao", None, "04", 0, 101, "revoked"),
            leaf("platform/440000/node/gz-a-1", Some("gz-a-1"), "05", 90, 120, "valid"),
            leaf("operator/old", None, "06", 0, 90, "expired"),
        ];
        let status = json!({ "nodes": [{ "node": "gz-a-1", "certificate_ends": rfc3339(Timestamp::from_millis(118 * DAY_MS)) }] });
        let items = forecast(&[], &leaves, &status, 100 * DAY_MS, 30);
        let seen: Vec<_> =
            items.iter().map(|i| (i["name"].as_str().unwrap(), i["state"].as_str().unwrap())).collect();
        assert_eq!(
            seen,
            [("operator/old", "over"), ("gz-a-1", "renews itself"), ("operator/wang", "act now")]
        );
        assert_eq!(items[1]["days_left"], 18);
    }
}

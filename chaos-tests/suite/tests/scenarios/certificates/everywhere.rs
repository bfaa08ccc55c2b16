//! Certificates of all platforms, asked at any node.

use super::{issue, list};
use anyhow::{Context, Result, ensure};
use eport_cluster::Federation;
use serde_json::Value;

/// Page by page over all platforms, at a node that is primary of a city only; and one by its serial.
fn every_platform_is_in_the_list_of_all(fed: &Federation) -> Result<()> {
    let (http, api) = (fed.http()?, fed.api("sz-a-1")?);
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("{api}/v1/certificates?limit=3&page_token={token}"))?.json()?;
        all.extend(page["items"].as_array().with_context(|| format!("{page}"))?.clone());
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = next.to_owned();
    }
    let of_province = list(fed, &["--platform", "440000"])?;
    let serials = |items: &[Value]| items.iter().map(|i| i["serial"].to_string()).collect::<Vec<_>>();
    let (all, of_province) = (serials(&all), serials(&of_province));
    ensure!(all.len() >= 3 && all == of_province, "{all:?} {of_province:?}");
    let one = all[0].trim_matches('"');
    let shown = http.get(&format!("{api}/v1/certificates/{one}"))?.json()?;
    ensure!(shown["serial"] == one, "{shown}");
    ensure!(http.get(&format!("{api}/v1/certificates/00ff"))?.status == 404);
    ensure!(http.get(&format!("{api}/v1/certificates?page_token=later"))?.status == 400);
    Ok(())
}

pub(super) fn the_list_of_a_subject_shows_its_many_certificates(fed: &Federation) -> Result<()> {
    every_platform_is_in_the_list_of_all(fed)?;
    issue(fed, "li-2")?;
    issue(fed, "li-3")?;
    let items = list(fed, &["--subject", "operator/li"])?;
    ensure!(items.len() == 3 && items.iter().all(|i| i["state"] == "valid"), "{items:?}");
    Ok(())
}

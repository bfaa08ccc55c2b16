//! `eport site`: sites, what they share and the room they have. The placement planner goes by it.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::SiteRequest;
use eport_client::Method;
use eport_model::{RegionCode, SiteId};
use eport_registry::{Site, statement};
use serde_json::Value;

/// Arguments of `eport site`.
#[derive(Args, Debug)]
pub struct SiteArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SiteCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum SiteCommand {
    /// List the sites
    List,
    /// Change what is known of a site, or add one
    Set(SetArgs),
}

/// Arguments of `eport site set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The site
    pub site: SiteId,
    /// Region of a new site
    #[arg(long, value_name = "REGION")]
    pub region: Option<RegionCode>,
    /// Name for people
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// What it shares with other sites, for example power=grid-3; an empty value takes a label away
    #[arg(long = "label", value_name = "LABEL=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Copies of platforms, primaries included, that it has room for; 0 is no limit
    #[arg(long, value_name = "N")]
    pub copies: Option<u32>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (label, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not LABEL=VALUE"))?;
    Ok((label.to_owned(), value.to_owned()))
}

/// Runs the group.
pub async fn run(args: SiteArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        SiteCommand::List => {
            let items = client.list("/v1/sites", &[]).await?;
            out.items(&items, || table(&items));
        }
        SiteCommand::Set(set) => {
            let known = client.list("/v1/sites", &[]).await?;
            let wanted = wanted(&set, known.iter().find(|s| cell(s, "site") == set.site.to_string()))?;
            let request = SiteRequest {
                region: Some(wanted.region),
                name: Some(wanted.name.clone()),
                labels: set.labels.into_iter().collect(),
                copies_max: Some(wanted.copies_max.unwrap_or(0)),
            };
            let path = format!("/v1/sites/{}", set.site);
            let site: Value =
                client.give(Method::PUT, &path, &request, &statement::put_site(&wanted)).await?;
            out.result(&site, || table(std::slice::from_ref(&site)).render());
        }
    }
    Ok(())
}

/// The site as it will be: what is signed names every part, so that nobody on the way can add to the change.
fn wanted(set: &SetArgs, known: Option<&Value>) -> Result<Site, Error> {
    let known_region = known.and_then(|s| cell(s, "region").parse().ok());
    let Some(region) = set.region.or(known_region) else {
        return Err(Error::usage(format!("site {} is not known; a new one needs --region", set.site)));
    };
    let mut site = Site::new(set.site, region, set.site.to_string());
    if let Some(known) = known {
        site.name = cell(known, "name");
        let labels = known["labels"].as_object().into_iter().flatten();
        site.labels = labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
        site.copies_max = known["copies_max"].as_u64().and_then(|n| u32::try_from(n).ok());
    }
    if let Some(name) = &set.name {
        site.name.clone_from(name);
    }
    for (label, value) in &set.labels {
        match value.is_empty() {
            true => drop(site.labels.remove(label)),
            false => drop(site.labels.insert(label.clone(), value.clone())),
        }
    }
    if let Some(room) = set.copies {
        site.copies_max = (room > 0).then_some(room);
    }
    Ok(site)
}

fn table(sites: &[Value]) -> Table {
    let mut table = Table::new(["site", "region", "name", "labels", ">copies", ">room", "nodes"]);
    for s in sites {
        let labels = s["labels"].as_object().into_iter().flatten();
        let labels: Vec<String> = labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
        table.row([
            cell(s, "site"),
            cell(s, "region"),
            cell(s, "name"),
            labels.join(" "),
            cell(s, "copies"),
            cell(s, "copies_max"),
            cell(s, "nodes"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_name_and_a_value_that_may_be_empty() {
        assert_eq!(label("power=grid-3").unwrap(), ("power".into(), "grid-3".into()));
        assert_eq!(label("power=").unwrap().1, "");
        assert!(label("power").is_err());
    }
}

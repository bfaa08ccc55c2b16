//! `eport site`: sites, what they share and the room they have. The placement planner goes by it.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::SiteRequest;
use eport_client::Repeat;
use eport_model::{RegionCode, SiteId};
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
            let request = SiteRequest {
                region: set.region,
                name: set.name,
                labels: set.labels.into_iter().collect(),
                copies_max: set.copies,
            };
            let body = serde_json::to_value(&request).unwrap_or(Value::Null);
            // The same request twice leaves the same site.
            let site: Value = client.put(&format!("/v1/sites/{}", set.site), &body, Repeat::Safe).await?;
            out.result(&site, || table(std::slice::from_ref(&site)).render());
        }
    }
    Ok(())
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

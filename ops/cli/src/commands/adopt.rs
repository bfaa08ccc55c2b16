//! `eport platform adopt`: a surviving journal becomes the platform's.

use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use eport_api_types::{AdoptPlan, AdoptRequest};
use eport_client::{Client, Method, Repeat};
use eport_model::{NodeId, RegionCode, codes};
use eport_registry::statement;
use serde_json::{Value, json};

/// Arguments of `eport platform adopt`.
#[derive(Args, Debug)]
pub struct AdoptArgs {
    /// Region code
    pub region: RegionCode,
    /// The node that keeps the journal; it becomes primary
    #[arg(long, value_name = "NODE")]
    pub node: NodeId,
    /// Show what would be done and what may be lost, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command: what is signed is the fork point and the version that were shown.
pub(crate) async fn adopt(args: &AdoptArgs, client: &Client, out: Out) -> Result<(), Error> {
    let (region, node) = (args.region, args.node);
    let path = format!("/v1/platforms/{region}/adopt");
    let ask = AdoptRequest { node, expected_version: None, start: None, dry_run: true };
    let shown: Value = client.post(&path, &ask, Repeat::Safe).await?;
    let plan: AdoptPlan = serde_json::from_value(shown.clone())
        .map_err(|e| Error::coded(codes::BAD_REQUEST, format!("the plan cannot be read: {e}")))?;
    if plan.region != region || plan.node != node {
        return Err(Error::coded(codes::BAD_REQUEST, "the plan is of another platform or node"));
    }
    if args.dry_run {
        out.result(&shown, || text(&shown));
        return Ok(());
    }
    if !out.json {
        out.progress(text(&shown));
    }
    out.confirm((
        &format!("make {node} primary of {region} from record {} on?", plan.start.index),
        &format!("自记录 {} 起由 {node} 担任 {region} 的主节点？", plan.start.index),
    ))?;
    let order =
        AdoptRequest { node, expected_version: Some(plan.version), start: Some(plan.start), dry_run: false };
    let statement = statement::adopt(region, plan.version, node, plan.start);
    let answer: Value = client.give(Method::POST, &path, &order, &statement).await?;
    let document = json!({ "region": region, "node": node, "fork": plan.start, "epoch": answer["epoch"],
        "version": answer["version"], "records_elsewhere": plan.records_elsewhere,
        "records_published": plan.records_published, "state": "done" });
    out.result(&document, || format!("{region}: {node} is primary in epoch {}\n", cell(&document, "epoch")));
    Ok(())
}

fn text(plan: &Value) -> String {
    let mut head = Table::new(["", ""]);
    for name in
        ["region", "node", "version", "old_primary", "epoch_before", "records_elsewhere", "records_published"]
    {
        head.row([name.to_owned(), cell(plan, name)]);
    }
    let mut copies = Table::new(["copy on", "role", ">epoch", ">last record"]);
    for c in plan["copies"].as_array().into_iter().flatten() {
        let last = &c["last"];
        copies.row([cell(c, "node"), cell(c, "role"), cell(last, "epoch"), cell(last, "index")]);
    }
    format!("{}\n{}", head.render(), copies.render())
}

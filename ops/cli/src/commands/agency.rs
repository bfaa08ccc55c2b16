//! `eport agency`: agencies, how one is attached, and a virtual one that answers by rules.

use super::{cert, simulate, user};
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_model::{RegionCode, Subject};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `eport agency`.
#[derive(Args, Debug)]
pub struct AgencyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AgencyCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum AgencyCommand {
    /// List agencies with the platforms they are attached to
    List,
    /// Attach a gateway of an agency to platforms, and issue its certificate when files for it are named
    Register(RegisterArgs),
    /// Be a virtual agency: fetch, acknowledge and answer by the rules of a script, over the public API only
    Simulate(simulate::SimulateArgs),
}

/// Arguments of `eport agency register`.
#[derive(Args, Debug)]
pub struct RegisterArgs {
    /// The agency's code, for example CUS
    pub agency: String,
    /// A platform that it is attached to; give all of them
    #[arg(long = "platform", short = 'p', value_name = "REGION", required = true)]
    pub platforms: Vec<RegionCode>,
    /// Which of its gateways
    #[arg(long, default_value = "1", value_name = "N")]
    pub gateway: String,
    /// Name for people
    #[arg(long, default_value = "")]
    pub name: String,
    /// File for a new certificate of the gateway
    #[arg(long, value_name = "FILE", requires = "key_out")]
    pub out: Option<PathBuf>,
    /// File for its key, made here, mode 0600
    #[arg(long, value_name = "FILE", requires = "out")]
    pub key_out: Option<PathBuf>,
}

/// Runs the group.
pub async fn run(args: AgencyArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        AgencyCommand::List => list(global, out).await,
        AgencyCommand::Register(args) => register(&args, global, out).await,
        AgencyCommand::Simulate(args) => simulate::run(&args, global, out).await,
    }
}

async fn list(global: &Global, out: Out) -> Result<(), Error> {
    let items = connect::client(global)?.list("/v1/agencies", &[]).await?;
    out.items(&items, || {
        let mut table = Table::new(["agency", "name", "gateways", "platforms", "suspended"]);
        for a in &items {
            table.row(["agency", "name", "gateways", "platforms", "suspended"].map(|k| cell(a, k)));
        }
        table
    });
    Ok(())
}

async fn register(args: &RegisterArgs, global: &Global, out: Out) -> Result<(), Error> {
    let id = format!("agency/{}/gw/{}", args.agency, args.gateway);
    let subject: Subject = id.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
    out.confirm((
        &format!("attach {id} to {}?", words(&args.platforms)),
        &format!("将 {id} 接入 {}？", words(&args.platforms)),
    ))?;
    let listed = user::list_other(&subject, &args.name, &args.platforms, false, global).await?;
    let mut document = json!({ "agency": args.agency, "gateway": id, "platforms": listed["platforms"] });
    if let (Some(cert), Some(key)) = (&args.out, &args.key_out) {
        let wanted = cert::IssueArgs::for_subject(&id, cert.clone(), key.clone());
        let issued = cert::issued(&connect::client(global)?, &wanted).await?;
        document["serial"] = issued["serial"].clone();
        document["cert"] = json!(cert);
        document["key"] = json!(key);
    }
    out.result(&document, || format!("{id} {}\n", words(&args.platforms)));
    Ok(())
}

fn words(platforms: &[RegionCode]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

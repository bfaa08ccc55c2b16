//! `eport platform`: what serves where, and the moves.

use crate::args::Global;
use crate::commands::moves::{self, MoveArgs, OldPrimary};
use crate::commands::promote::{self, Way};
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use eport_api_types::{PlatformCreate, PolicyBackup};
use eport_client::{Client, Method};
use eport_model::{NodeId, RegionCode};
use eport_registry::{DurabilityMode, FailoverMode, Policy, statement};
use serde_json::Value;

/// Arguments of `eport platform`.
#[derive(Args, Debug)]
pub struct PlatformArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PlatformCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum PlatformCommand {
    /// List the platforms
    List,
    /// Show one platform
    Show {
        /// Region code
        region: RegionCode,
    },
    /// Create a platform
    Create(CreateArgs),
    /// Change rules and backups of a platform
    Policy(PolicyArgs),
    /// Hand a platform over to another node; nothing is lost
    Switchover {
        /// Region code
        region: RegionCode,
        /// The new primary
        #[arg(long, value_name = "NODE")]
        to: NodeId,
        /// Common flags of moves.
        #[command(flatten)]
        flags: MoveArgs,
    },
    /// Take a platform over from a primary that is gone
    Failover {
        /// Region code
        region: RegionCode,
        /// The new primary; default the best candidate
        #[arg(long, value_name = "NODE")]
        to: Option<NodeId>,
        /// What is known of the old primary; asked when absent
        #[arg(long, value_enum)]
        old_primary: Option<OldPrimary>,
        /// Accept the loss that the plan states
        #[arg(long)]
        accept_data_loss: bool,
        /// Common flags of moves.
        #[command(flatten)]
        flags: MoveArgs,
    },
    /// Hand a platform back to a node of its home
    Failback {
        /// Region code
        region: RegionCode,
        /// The home node; default the first that is in sync
        #[arg(long, value_name = "NODE")]
        to: Option<NodeId>,
        /// Common flags of moves.
        #[command(flatten)]
        flags: MoveArgs,
    },
    /// Move a hosted platform to a node of its own region: the node takes the whole journal first
    Promote {
        /// Region code
        region: RegionCode,
        /// The node of that region
        #[arg(long, value_name = "NODE")]
        to: NodeId,
        /// Common flags of moves.
        #[command(flatten)]
        flags: MoveArgs,
    },
    /// Move a platform to a host of another region; its own nodes stay backups
    Demote {
        /// Region code
        region: RegionCode,
        /// The host
        #[arg(long, value_name = "NODE")]
        to: NodeId,
        /// Common flags of moves.
        #[command(flatten)]
        flags: MoveArgs,
    },
    /// Make a surviving journal the platform's, after the loss of its primary together with the quorum
    Adopt(super::adopt::AdoptArgs),
    /// Show or set what a platform may take of the nodes that serve it
    Quota(super::quota::QuotaArgs),
    /// Show what platforms used in a month: requests, documents, bytes
    Usage(super::quota::UsageArgs),
    /// List the moves of a platform
    History {
        /// Region code
        region: RegionCode,
    },
    /// Show who can open the platform's data keys, or make the next key
    Keys {
        /// Region code
        region: RegionCode,
        /// Ask for the next key; older ones stay for reading
        #[arg(long)]
        rotate: bool,
    },
    /// Compare the state of primary and backups at one applied record
    Verify {
        /// Region code
        region: RegionCode,
        /// Also have every holder look through its copy now, every record and every row, and wait for the end
        #[arg(long)]
        scrub: bool,
    },
}

/// Arguments of `eport platform create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Region code
    pub region: RegionCode,
    /// Chinese name; default from GB/T 2260 where known
    #[arg(long, value_name = "NAME")]
    pub name_zh: Option<String>,
    /// English name; default from GB/T 2260 where known
    #[arg(long, value_name = "NAME")]
    pub name_en: Option<String>,
    /// Create a virtual platform, hosted by another region's node
    #[arg(long = "virtual", requires = "host")]
    pub hosted: bool,
    /// Node that hosts the virtual platform
    #[arg(long, value_name = "NODE", requires = "hosted", conflicts_with = "primary")]
    pub host: Option<NodeId>,
    /// First primary of a physical platform
    #[arg(long, value_name = "NODE", required_unless_present = "host")]
    pub primary: Option<NodeId>,
}

/// Arguments of `eport platform policy`.
#[derive(Args, Debug)]
pub struct PolicyArgs {
    /// Region code
    pub region: RegionCode,
    /// When an answer is given
    #[arg(long, value_enum)]
    pub durability: Option<Durability>,
    /// Acknowledgements an answer needs
    #[arg(long, value_name = "N")]
    pub k: Option<u32>,
    /// What auto_sync does without the registry
    #[arg(long, value_enum)]
    pub isolation: Option<Isolation>,
    /// Who may start a failover
    #[arg(long, value_enum)]
    pub failover: Option<Failover>,
    /// A backup; give all of them, the others leave
    #[arg(long = "backup", value_name = "NODE[:sync|:async]", value_parser = parse_backup)]
    pub backups: Vec<PolicyBackup>,
    /// Count backups on the primary's own site too; answers are then local
    #[arg(long)]
    pub same_site: bool,
    /// The least that an answer promises; what can only be kept local is stored but not answered before it is replicated
    #[arg(long, value_enum)]
    pub min_durability: Option<MinDurability>,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// `--durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Durability {
    /// After k acknowledgements of other sites; blocks while they are away
    Sync,
    /// As sync, but a silent backup is dropped after a wait
    AutoSync,
    /// After the primary's own fsync
    Async,
}

/// `--min-durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum MinDurability {
    /// The primary's own fsync
    Local,
    /// Backups on other sites
    Replicated,
}

/// `--isolation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Isolation {
    /// Writes wait
    Block,
    /// The primary records the shrink in its own journal and answers local
    Degrade,
}

/// `--failover`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Failover {
    /// Nodes, by lease
    Auto,
    /// Operators only
    Manual,
}

fn parse_backup(text: &str) -> Result<PolicyBackup, String> {
    let (node, role) = text.split_once(':').unwrap_or((text, "sync"));
    let sync = match role {
        "sync" => true,
        "async" => false,
        other => return Err(format!("{other:?} is neither sync nor async")),
    };
    Ok(PolicyBackup { node: node.parse().map_err(|e: eport_model::ParseError| e.to_string())?, sync })
}

/// Runs the group.
pub async fn run(mut args: PlatformArgs, global: &Global, out: Out) -> Result<(), Error> {
    if let PlatformCommand::Failover { region, old_primary, .. } = &mut args.command {
        // Asked before anything is called: a script that forgot the flag learns it at once.
        *old_primary = Some(moves::old_primary(*old_primary, *region, out)?);
    }
    let client = connect::client(global)?;
    let limit = global.limit();
    match args.command {
        PlatformCommand::Adopt(args) => super::adopt::adopt(&args, &client, out).await,
        PlatformCommand::List => {
            let items = client.list("/v1/platforms", &[]).await?;
            out.items(&items, || super::status::platforms(&items, out.lang));
            Ok(())
        }
        PlatformCommand::Show { region } => {
            let item: Value = client.get(&format!("/v1/platforms/{region}"), &[]).await?;
            out.result(&item, || {
                let text = super::status::platforms(std::slice::from_ref(&item), out.lang).render();
                text + &super::quota::bounds(&item)
            });
            Ok(())
        }
        PlatformCommand::Create(args) => create(&client, &args, out).await,
        PlatformCommand::Policy(args) => super::policy::set(&client, &args, out).await,
        PlatformCommand::Switchover { region, to, flags } => {
            let request = moves::request("switchover", Some(to));
            moves::run(&client, region, request, &flags, limit, out).await
        }
        PlatformCommand::Failback { region, to, flags } => {
            moves::run(&client, region, moves::request("failback", to), &flags, limit, out).await
        }
        PlatformCommand::Failover { region, to, old_primary, accept_data_loss, flags } => {
            let mut request = moves::request("failover", to);
            request.old_primary = old_primary.map(|o| o.word().to_owned());
            request.accept_data_loss = accept_data_loss;
            moves::run(&client, region, request, &flags, limit, out).await
        }
        PlatformCommand::Promote { region, to, flags } => {
            promote::run(&client, region, to, Way::Promote, &flags, limit, out).await
        }
        PlatformCommand::Demote { region, to, flags } => {
            promote::run(&client, region, to, Way::Demote, &flags, limit, out).await
        }
        PlatformCommand::Quota(args) => super::quota::quota(&client, &args, out).await,
        PlatformCommand::Usage(args) => super::quota::usage(&client, &args, out).await,
        PlatformCommand::History { region } => history(&client, region, out).await,
        PlatformCommand::Keys { region, rotate } => super::keys::run(&client, region, rotate, out).await,
        PlatformCommand::Verify { region, scrub } => super::verify::run(&client, region, scrub, out).await,
    }
}

async fn create(client: &Client, args: &CreateArgs, out: Out) -> Result<(), Error> {
    let (zh, en) = crate::regions::names(args.region);
    let Some(primary) = args.host.or(args.primary) else {
        return Err(Error::usage("give --primary NODE, or --virtual with --host NODE"));
    };
    let request = PlatformCreate {
        region: args.region,
        name_zh: args.name_zh.clone().unwrap_or(zh),
        name_en: args.name_en.clone().unwrap_or(en),
        primary,
        r#virtual: args.hosted,
    };
    out.confirm((
        &format!("create platform {} ({}) on {primary}?", args.region, request.name_en),
        &format!("在 {primary} 上创建平台 {}（{}）？", args.region, request.name_zh),
    ))?;
    // A new platform starts without backups (design §5, defaults).
    let rules = Policy {
        durability: DurabilityMode::Async,
        k: 0,
        isolation: eport_registry::Isolation::Block,
        failover: FailoverMode::Manual,
        same_site: false,
        min_durability: eport_model::Durability::Local,
    };
    let names = (request.name_zh.as_str(), request.name_en.as_str());
    let statement = statement::create_platform(args.region, names, primary, &[], &rules);
    let answer: Value = client.give(Method::POST, "/v1/platforms", &request, &statement).await?;
    out.result(&answer, || super::status::platforms(std::slice::from_ref(&answer), out.lang).render());
    Ok(())
}

async fn history(client: &Client, region: RegionCode, out: Out) -> Result<(), Error> {
    let items = client.list(&format!("/v1/platforms/{region}/moves"), &[]).await?;
    out.items(&items, || {
        let mut table =
            Table::new(["move", "kind", "from", "to", ">epoch", ">then", "state", ">lost", "reason"]);
        for m in &items {
            table.row(
                [
                    "move_id",
                    "kind",
                    "from",
                    "to",
                    "epoch_before",
                    "epoch_after",
                    "state",
                    "lost_records",
                    "reason",
                ]
                .map(|k| cell(m, k)),
            );
        }
        table
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_sync_unless_it_says_async() {
        assert!(parse_backup("sz-a-1").unwrap().sync);
        assert!(!parse_backup("sz-a-1:async").unwrap().sync);
        assert!(parse_backup("sz-a-1:maybe").is_err() && parse_backup("SZ").is_err());
    }
}

//! `eport platform`: what serves where, and the moves.

use crate::args::Global;
use crate::commands::moves::{self, MoveArgs, OldPrimary};
use crate::commands::promote::{self, Way};
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use eport_api_types::{PlatformCreate, PolicyBackup, PolicyRequest};
use eport_client::{Client, Method, Repeat, Statement};
use eport_model::{NodeId, RegionCode};
use eport_registry::{DurabilityMode, FailoverMode, Policy, Role, statement};
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

/// The word of an enumeration as the API writes it.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
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
        PlatformCommand::Policy(args) => policy(&client, &args, out).await,
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

/// A policy change as the node would make it.
pub struct Planned {
    /// The platform as it is.
    pub platform: Value,
    /// What is asked for, under the version of the platform as it is.
    pub request: PolicyRequest,
    /// The node's answer: the whole policy and its version.
    pub planned: Value,
}

/// Looks at the platform and lets the node plan the change. A placement that changes between the two, as it does when a
/// backup falls out of sync, is looked at again: nothing has been shown or asked yet.
pub async fn planned(client: &Client, region: RegionCode, asked: &PolicyRequest) -> Result<Planned, Error> {
    let path = format!("/v1/platforms/{region}");
    let mut rounds = 5;
    loop {
        rounds -= 1;
        let platform: Value = client.get(&path, &[]).await?;
        let expected_version = platform.get("version").and_then(Value::as_u64);
        let request = PolicyRequest { expected_version, ..asked.clone() };
        let dry = PolicyRequest { dry_run: true, ..request.clone() };
        let planned: Value = client.put(&format!("{path}/policy"), &dry, Repeat::Safe).await?;
        if rounds == 0 || planned["version"].as_u64() == expected_version {
            return Ok(Planned { platform, request, planned });
        }
    }
}

/// Shows old and new rules, asks, and changes them under the placement version that was shown.
async fn policy(client: &Client, args: &PolicyArgs, out: Out) -> Result<(), Error> {
    let asked = PolicyRequest {
        durability: args.durability.map(word),
        k: args.k,
        isolation: args.isolation.map(word),
        failover: args.failover.map(word),
        backups: (!args.backups.is_empty()).then(|| args.backups.clone()),
        same_site: args.same_site.then_some(true),
        min_durability: args.min_durability.map(word),
        expected_version: None,
        dry_run: args.dry_run,
    };
    let Planned { platform, request, planned } = planned(client, args.region, &asked).await?;
    if !out.json {
        out.progress(policy_plan(&platform, &request));
    }
    if args.dry_run {
        out.result(&planned, || whole_policy(&planned));
        return Ok(());
    }
    let (full, statement) = order(args.region, &request, &planned)?;
    if !out.json {
        out.progress(whole_policy(&planned).trim_end());
    }
    out.confirm(("change the policy?", "更改策略？"))?;
    let path = format!("/v1/platforms/{}/policy", args.region);
    let answer: Value = client.give(Method::PUT, &path, &full, &statement).await?;
    out.result(&answer, || super::status::platforms(std::slice::from_ref(&answer), out.lang).render());
    Ok(())
}

/// The whole policy as it will be, in the words of the API.
fn whole_policy(planned: &Value) -> String {
    let policy = &planned["policy"];
    let mut table = Table::new(["", ""]);
    for name in ["durability", "k", "isolation", "failover", "same_site", "min_durability"] {
        table.row([name.to_owned(), cell(policy, name)]);
    }
    let role =
        |b: &Value| format!("{}:{}", cell(b, "node"), if b["sync"] == true { "sync" } else { "async" });
    let backups: Vec<String> = policy["backups"].as_array().into_iter().flatten().map(role).collect();
    table.row(["backups".to_owned(), backups.join(" ")]);
    table.render()
}

/// The request in full, and what is signed for it: the whole policy that was shown. What was asked for must be in it.
pub fn order(
    region: RegionCode,
    asked: &PolicyRequest,
    planned: &Value,
) -> Result<(PolicyRequest, Statement), Error> {
    let bad = |what: &str| {
        Error::coded(eport_model::codes::MOVE_UNSAFE, format!("the node planned another {what}"))
    };
    let full: PolicyRequest = serde_json::from_value(planned["policy"].clone()).map_err(|_| bad("policy"))?;
    let version = planned["version"].as_u64().ok_or_else(|| bad("version"))?;
    let full = PolicyRequest { expected_version: Some(version), dry_run: false, ..full };
    let kept = [
        ("durability", asked.durability.is_none() || asked.durability == full.durability),
        ("k", asked.k.is_none() || asked.k == full.k || full.durability.as_deref() == Some("async")),
        ("isolation", asked.isolation.is_none() || asked.isolation == full.isolation),
        ("failover", asked.failover.is_none() || asked.failover == full.failover),
        ("same_site", asked.same_site.is_none() || asked.same_site == full.same_site),
        ("min_durability", asked.min_durability.is_none() || asked.min_durability == full.min_durability),
        ("backups", asked.backups.is_none() || asked.backups == full.backups),
        ("version", asked.expected_version.is_none() || asked.expected_version == full.expected_version),
    ];
    if let Some((what, _)) = kept.iter().find(|(_, same)| !same) {
        return Err(bad(what));
    }
    let durability = match full.durability.as_deref() {
        Some("sync") => DurabilityMode::Sync,
        Some("auto_sync") => DurabilityMode::AutoSync,
        Some("async") => DurabilityMode::Async,
        _ => return Err(bad("durability")),
    };
    let isolation = match full.isolation.as_deref() {
        Some("block") => eport_registry::Isolation::Block,
        Some("degrade") => eport_registry::Isolation::Degrade,
        _ => return Err(bad("isolation")),
    };
    let failover = match full.failover.as_deref() {
        Some("auto") => FailoverMode::Auto,
        Some("manual") => FailoverMode::Manual,
        _ => return Err(bad("failover")),
    };
    let (k, same_site) = (full.k.unwrap_or(0) as usize, full.same_site.unwrap_or(false));
    let min_durability = match full.min_durability.as_deref() {
        Some("replicated") => eport_model::Durability::Replicated,
        Some("local") => eport_model::Durability::Local,
        _ => return Err(bad("min_durability")),
    };
    let rules = Policy { durability, k, isolation, failover, same_site, min_durability };
    let role = |sync: bool| if sync { Role::Sync } else { Role::Async };
    let backups: Vec<eport_registry::PolicyBackup> = full
        .backups
        .iter()
        .flatten()
        .map(|b| eport_registry::PolicyBackup { node: b.node, role: role(b.sync) })
        .collect();
    Ok((full, statement::policy(region, version, &rules, &backups)))
}

/// Old and new value of everything that the request changes.
fn policy_plan(before: &Value, request: &PolicyRequest) -> String {
    let mut table = Table::new(["", "now", "then"]);
    let mut line = |name: &str, then: Option<String>| {
        if let Some(then) = then {
            table.row([name.to_owned(), cell(before, name), then]);
        }
    };
    line("durability", request.durability.clone());
    line("k", request.k.map(|k| k.to_string()));
    line("isolation", request.isolation.clone());
    line("failover", request.failover.clone());
    line("min_durability", request.min_durability.clone());
    line("same_site", request.same_site.map(|s| if s { "yes" } else { "no" }.to_owned()));
    if let Some(backups) = &request.backups {
        let now: Vec<String> =
            before["backups"].as_array().into_iter().flatten().map(|b| cell(b, "node")).collect();
        let role = |b: &PolicyBackup| format!("{}:{}", b.node, if b.sync { "sync" } else { "async" });
        table.row(["backups".into(), now.join(" "), backups.iter().map(role).collect::<Vec<_>>().join(" ")]);
    }
    table.render()
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

/// Prints the digests; a difference is exit 11, a holder that could not be asked too: equality is then not shown.
#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_backup_is_sync_unless_it_says_async() {
        assert!(parse_backup("sz-a-1").unwrap().sync);
        assert!(!parse_backup("sz-a-1:async").unwrap().sync);
        assert!(parse_backup("sz-a-1:maybe").is_err() && parse_backup("SZ").is_err());
    }

    #[test]
    fn the_whole_policy_that_was_shown_is_signed_and_what_was_asked_is_in_it() {
        let region = "440300".parse().unwrap();
        let planned = json!({"version": 7, "policy": {"durability": "sync", "k": 1, "isolation": "block",
            "failover": "manual", "same_site": false, "min_durability": "local",
            "backups": [{"node": "gz-a-1", "sync": true}]}});
        let asked = PolicyRequest {
            durability: Some("sync".into()),
            expected_version: Some(7),
            ..PolicyRequest::default()
        };
        let (full, signed) = order(region, &asked, &planned).unwrap();
        assert_eq!((full.k, full.same_site, full.dry_run), (Some(1), Some(false), false));
        let op = eport_registry::Op::SetPolicy {
            region,
            version: 7,
            policy: Policy {
                durability: DurabilityMode::Sync,
                k: 1,
                isolation: eport_registry::Isolation::Block,
                failover: FailoverMode::Manual,
                same_site: false,
                min_durability: eport_model::Durability::Local,
            },
            backups: vec![eport_registry::PolicyBackup { node: "gz-a-1".parse().unwrap(), role: Role::Sync }],
        };
        assert_eq!(signed, op.statement(), "what the registry will apply");
        for (name, value) in
            [("durability", json!("async")), ("k", json!(0)), ("min_durability", json!("replicated"))]
        {
            let mut other = planned.clone();
            other["policy"][name] = value;
            let asked = PolicyRequest { k: Some(1), min_durability: Some("local".into()), ..asked.clone() };
            assert!(order(region, &asked, &other).is_err(), "another {name} than asked for");
        }
    }

    #[test]
    fn the_policy_plan_shows_only_what_changes() {
        let before = json!({"durability": "sync", "failover": "manual", "backups": [{"node": "gz-a-1"}]});
        let request = PolicyRequest {
            durability: Some("async".into()),
            backups: Some(vec![parse_backup("gz-c-1").unwrap()]),
            ..PolicyRequest::default()
        };
        let text = policy_plan(&before, &request);
        assert!(
            text.contains("durability  sync") && text.contains("gz-c-1:sync") && !text.contains("manual"),
            "{text}"
        );
    }
}

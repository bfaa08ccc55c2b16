//! `eport delegation`: what enterprises delegate to agents.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use eport_api_types::{DelegationEnd, DelegationRequest, from_rfc3339, rfc3339};
use eport_client::Method;
use eport_model::{RegionCode, Timestamp};
use eport_registry::{CommandId, DelegatedRight, Mandate, statement};
use serde_json::Value;
use time::OffsetDateTime;

/// Arguments of `eport delegation`.
#[derive(Args, Debug)]
pub struct DelegationArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DelegationCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum DelegationCommand {
    /// List the delegations; with an enterprise's certificate its own
    List,
    /// Let an agent act for an enterprise
    Add {
        /// The enterprise: its social credit code
        enterprise: String,
        /// The agent, an enterprise too: its social credit code
        agent: String,
        /// What it may do; default both
        #[arg(long = "right", value_enum)]
        rights: Vec<RightWord>,
        /// Only there; default everywhere
        #[arg(long = "platform", value_name = "REGION")]
        platforms: Vec<RegionCode>,
        /// From, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until, RFC 3339; default a year later
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
    /// End a delegation before its time
    Remove {
        /// Delegation
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// `--right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RightWord {
    /// Hand in documents
    Lodge,
    /// Read what was lodged in the enterprise's name
    Read,
}

impl RightWord {
    fn right(self) -> DelegatedRight {
        match self {
            RightWord::Lodge => DelegatedRight::Lodge,
            RightWord::Read => DelegatedRight::Read,
        }
    }
}

const YEAR_MS: i64 = 365 * 86_400_000;

fn instant(text: &str) -> Result<Timestamp, Error> {
    from_rfc3339(text).ok_or_else(|| Error::usage(format!("{text:?} is no RFC 3339 instant")))
}

/// Runs the group.
pub async fn run(args: DelegationArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        DelegationCommand::List => {
            let items = client.list("/v1/delegations", &[]).await?;
            out.items(&items, || {
                let columns = ["id", "enterprise", "agent", "rights", "platforms", "from", "to", "state"];
                let mut table = Table::new(columns);
                for d in &items {
                    table.row(columns.map(|k| cell(d, k)));
                }
                table
            });
        }
        DelegationCommand::Add { enterprise, agent, rights, platforms, from, to } => {
            let now = OffsetDateTime::now_utc().unix_timestamp().saturating_mul(1_000);
            let from = from.as_deref().map_or_else(|| Ok(Timestamp::from_millis(now)), instant)?;
            let to = to.as_deref().map_or_else(|| Ok(from.plus_millis(YEAR_MS)), instant)?;
            let both = vec![RightWord::Lodge, RightWord::Read];
            let rights = if rights.is_empty() { both } else { rights };
            let agent = if agent.contains('/') { agent } else { format!("enterprise/{agent}") };
            let mandate = Mandate {
                enterprise,
                agent: agent.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?,
                rights: rights.into_iter().map(RightWord::right).collect(),
                platforms: platforms.into_iter().collect(),
                from,
                to,
            };
            out.confirm((
                &format!("let {agent} act for {}?", mandate.enterprise),
                &format!("允许 {agent} 代表 {}？", mandate.enterprise),
            ))?;
            let request = DelegationRequest {
                enterprise: mandate.enterprise.clone(),
                agent,
                rights: mandate.rights.iter().map(|r| r.word().to_owned()).collect(),
                platforms: mandate.platforms.iter().map(ToString::to_string).collect(),
                from: rfc3339(from),
                to: rfc3339(to),
            };
            let signed = statement::add_delegation(&mandate);
            let answer: Value = client.give(Method::POST, "/v1/delegations", &request, &signed).await?;
            out.result(&answer, || format!("{} {}\n", cell(&answer, "id"), cell(&answer, "state")));
        }
        DelegationCommand::Remove { id, reason } => {
            let id: CommandId =
                id.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
            out.confirm((&format!("end delegation {id}?"), &format!("终止委托 {id}？")))?;
            let signed = statement::end_delegation(id, &reason);
            let path = format!("/v1/delegations/{id}");
            let answer: Value = client.give(Method::DELETE, &path, &DelegationEnd { reason }, &signed).await?;
            out.result(&answer, || format!("{} {}\n", cell(&answer, "id"), cell(&answer, "state")));
        }
    }
    Ok(())
}

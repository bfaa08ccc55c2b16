//! `eport consent`: what a party lets other enterprises see of its documents.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{ConsentRequest, from_rfc3339};
use eport_client::{Repeat, path_segment};
use eport_model::RegionCode;
use serde_json::{Value, json};

/// Arguments of `eport consent`.
#[derive(Args, Debug)]
pub struct ConsentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConsentCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ConsentCommand {
    /// Let an enterprise see business or commercial fields of own documents, at most for twelve months
    Grant {
        /// Who may see: its social credit code
        grantee: String,
        /// The platform whose documents it is about
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: RegionCode,
        /// Classes of fields: B, C or BC
        #[arg(long, default_value = "B")]
        classes: String,
        /// What for; the grantee states the same, as --purpose
        #[arg(long = "for", value_name = "PURPOSE", value_parser = crate::args::parse_purpose)]
        reason: eport_sharing::Purpose,
        /// Only documents of this type
        #[arg(long, value_name = "TYPE")]
        doc_type: Option<String>,
        /// From, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until, RFC 3339
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Withdraw a consent; what was seen before stays in the access log
    Withdraw {
        /// The consent
        id: String,
        /// The platform
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: RegionCode,
    },
    /// List the consents that the party gave
    List {
        /// The platform; all are asked when absent
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
        /// Those that others gave to it
        #[arg(long)]
        received: bool,
    },
}

/// Runs the group.
pub async fn run(args: ConsentArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        ConsentCommand::Grant { grantee, platform, classes, reason, doc_type, from, until } => {
            for text in from.iter().chain([&until]) {
                let read = from_rfc3339(text);
                read.ok_or_else(|| Error::usage(format!("{text:?} is no RFC 3339 instant")))?;
            }
            out.confirm((
                &format!("let {grantee} see fields of class {classes} for {reason} until {until}?"),
                &format!("允许 {grantee} 为 {reason} 查看 {classes} 类字段，至 {until}？"),
            ))?;
            let purpose = reason.word().to_owned();
            let request = ConsentRequest { grantee, classes, purpose, doc_type, from, until };
            // Given twice, it is the same consent.
            let path = format!("/v1/platforms/{platform}/consents");
            let answer: Value = client.post(&path, &request, Repeat::Safe).await?;
            out.result(&answer, || format!("{} {}\n", cell(&answer, "id"), cell(&answer, "state")));
        }
        ConsentCommand::Withdraw { id, platform } => {
            out.confirm((&format!("withdraw consent {id}?"), &format!("撤回授权 {id}？")))?;
            let path = format!("/v1/platforms/{platform}/consents/{}/withdrawal", path_segment(&id));
            let answer: Value = client.post(&path, &json!({}), Repeat::Safe).await?;
            out.result(&answer, || format!("{} {}\n", cell(&answer, "id"), cell(&answer, "state")));
        }
        ConsentCommand::List { platform, received } => {
            let regions: Vec<String> = match platform {
                Some(region) => vec![region.to_string()],
                None => client.list("/v1/platforms", &[]).await?.iter().map(|p| cell(p, "region")).collect(),
            };
            let mut items = Vec::new();
            for region in regions {
                let path = format!("/v1/platforms/{region}/consents");
                items.extend(client.list(&path, &[("received", received.to_string())]).await?);
            }
            out.items(&items, || {
                let columns = [
                    "id", "platform", "grantor", "grantee", "classes", "purpose", "doc_type", "from",
                    "until", "state",
                ];
                let mut table = Table::new(columns);
                for c in &items {
                    table.row(columns.map(|k| cell(c, k)));
                }
                table
            });
        }
    }
    Ok(())
}

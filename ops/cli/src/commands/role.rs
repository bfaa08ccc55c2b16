//! `eport role`: roles with their permissions, who has them, giving and taking them.

use crate::args::Global;
use crate::commands::user::RoleWord;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::BindRequest;
use eport_client::{Method, path_segment};
use eport_model::RegionCode;
use eport_registry::statement;
use serde_json::Value;

/// Arguments of `eport role`.
#[derive(Args, Debug)]
pub struct RoleArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RoleCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum RoleCommand {
    /// List the roles with what they permit and who has them
    List,
    /// Give an operator a role, for the whole federation or on one platform
    Add {
        /// Id of the operator
        id: String,
        /// The role
        #[arg(value_enum)]
        role: RoleWord,
        /// Only there; for publisher, platform_operator and lodger
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Take a role away
    Remove {
        /// Id of the operator
        id: String,
        /// The role
        #[arg(value_enum)]
        role: RoleWord,
        /// The platform it was given on
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
    },
}

/// Runs the group.
pub async fn run(args: RoleArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        RoleCommand::List => {
            let items = connect::client(global)?.list("/v1/roles", &[]).await?;
            out.items(&items, || {
                let mut table = Table::new(["role", "kind", "separated", "holders", "permissions"]);
                for r in &items {
                    table.row(["role", "kind", "separated", "holders", "permissions"].map(|k| cell(r, k)));
                }
                table
            });
            Ok(())
        }
        RoleCommand::Add { id, role, platform } => change(&id, role, platform, true, global, out).await,
        RoleCommand::Remove { id, role, platform } => change(&id, role, platform, false, global, out).await,
    }
}

async fn change(
    id: &str,
    role: RoleWord,
    platform: Option<RegionCode>,
    give: bool,
    global: &Global,
    out: Out,
) -> Result<(), Error> {
    let word = statement::word_of_role(role.role());
    let place = platform.map_or_else(String::new, |p| format!(" ({p})"));
    let question = match give {
        true => (format!("give {id} the role {word}{place}?"), format!("授予 {id} 角色 {word}{place}？")),
        false => (format!("take the role {word}{place} from {id}?"), format!("收回 {id} 的角色 {word}{place}？")),
    };
    out.confirm((&question.0, &question.1))?;
    let client = connect::client(global)?;
    let statement = statement::bind_role(id, role.role(), platform, give);
    let path = format!("/v1/users/{}/roles/{word}", path_segment(id));
    let request = BindRequest { platform: platform.map(|p| p.to_string()) };
    let method = if give { Method::PUT } else { Method::DELETE };
    let answer: Value = client.give(method, &path, &request, &statement).await?;
    out.result(&answer, || {
        format!("{}: {} {}\n", cell(&answer, "id"), cell(&answer, "roles"), cell(&answer, "platform_roles"))
    });
    Ok(())
}

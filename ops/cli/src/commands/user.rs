//! `eport user` and `eport setting`: operators with their roles, and the settings of the federation.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use eport_api_types::{SettingRequest, UserRequest};
use eport_authority::{CaPurpose, Key, LifeDays, Validity};
use eport_client::{Method, path_segment};
use eport_model::{Epoch, RegionCode};
use eport_registry::{OperatorRole, statement};
use serde_json::{Value, json};
use std::path::PathBuf;
use time::OffsetDateTime;

/// Arguments of `eport user`.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// List the operators and their roles
    List,
    /// List an operator in the registry, or change name and roles
    Add {
        /// Id, as in the certificate
        id: String,
        /// A role; give all of them
        #[arg(long = "role", value_enum, required = true)]
        roles: Vec<RoleWord>,
        /// Name for people
        #[arg(long, default_value = "")]
        name: String,
    },
    /// Suspend an operator: nothing is accepted from this operator any more
    Remove {
        /// Id
        id: String,
    },
    /// Issue an operator's certificate with the CA of a folder of init or dev up; nothing is sent
    Issue {
        /// Id of the operator
        id: String,
        /// Folder that holds ca/REGION.crt and ca/REGION.key
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The CA's platform
        #[arg(long, value_name = "REGION")]
        region: RegionCode,
        /// Days of validity
        #[arg(long, value_name = "DAYS", default_value_t = LifeDays::OPERATOR)]
        days: i64,
    },
}

/// `--role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Every command, also as second person
    Administrator,
    /// Approve or reject what others asked for
    Approver,
    /// Publish tables
    Publisher,
}

impl RoleWord {
    fn role(self) -> OperatorRole {
        match self {
            RoleWord::Administrator => OperatorRole::Administrator,
            RoleWord::Approver => OperatorRole::Approver,
            RoleWord::Publisher => OperatorRole::Publisher,
        }
    }
}

/// Arguments of `eport setting`.
#[derive(Args, Debug)]
pub struct SettingArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SettingCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum SettingCommand {
    /// List the settings of the federation
    List,
    /// Set a setting
    Set {
        /// Its name, for example operator_signatures or two_persons
        name: String,
        /// Its value
        value: String,
    },
}

/// Runs the group.
pub async fn run(args: UserArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        UserCommand::Issue { id, dir, region, days } => issue(&id, &dir, region, days, out),
        UserCommand::List => {
            let items = connect::client(global)?.list("/v1/users", &[]).await?;
            out.items(&items, || {
                let mut table = Table::new(["operator", "name", "roles", "suspended", "since"]);
                for u in &items {
                    table.row(["id", "name", "roles", "suspended", "since"].map(|k| cell(u, k)));
                }
                table
            });
            Ok(())
        }
        UserCommand::Add { id, roles, name } => {
            out.confirm((&format!("list operator {id}?"), &format!("登记操作员 {id}？")))?;
            put(&id, &name, &roles.iter().map(|r| r.role()).collect::<Vec<_>>(), false, global, out).await
        }
        UserCommand::Remove { id } => {
            out.confirm((&format!("suspend operator {id}?"), &format!("停用操作员 {id}？")))?;
            put(&id, "", &[], true, global, out).await
        }
    }
}

async fn put(
    id: &str,
    name: &str,
    roles: &[OperatorRole],
    suspended: bool,
    global: &Global,
    out: Out,
) -> Result<(), Error> {
    let client = connect::client(global)?;
    let words = roles.iter().map(|r| statement::word_of_role(*r).to_owned()).collect();
    let request = UserRequest { name: name.to_owned(), roles: words, suspended };
    let statement = statement::operator(
        id,
        name,
        roles.iter().copied().collect::<std::collections::BTreeSet<_>>(),
        suspended,
    );
    let path = format!("/v1/users/{}", path_segment(id));
    let answer: Value = client.give(Method::PUT, &path, &request, &statement).await?;
    out.result(&answer, || format!("{}: {}\n", cell(&answer, "id"), cell(&answer, "roles")));
    Ok(())
}

/// Certificate and key into `DIR/operator`.
fn issue(id: &str, dir: &std::path::Path, region: RegionCode, days: i64, out: Out) -> Result<(), Error> {
    let refused = |e: eport_authority::Error| Error::coded(eport_model::Code(e.code()), e.to_string());
    // With a ceremony persons have a CA of their own.
    let stems = [CaPurpose::Subject, CaPurpose::Any].map(|p| crate::dev::certs::stem(region, p));
    let of_persons = stems.iter().find(|s| dir.join(format!("ca/{s}.crt")).exists()).unwrap_or(&stems[1]);
    let authority = super::custody::load(&dir.join("ca"), of_persons, None)?;
    let home = dir.join("operator");
    let (cert, key) = (home.join(format!("{id}.crt")), home.join(format!("{id}.key")));
    if cert.exists() || key.exists() {
        let detail = format!("{} exists already", cert.display());
        return Err(Error::coded(eport_model::codes::FILE_UNUSABLE, detail));
    }
    let validity = Validity::days(OffsetDateTime::now_utc(), days);
    let issued =
        authority.issue_operator(id, Key::Generate, Epoch::from_u64(1), validity).map_err(refused)?;
    issued.save(&home, id).map_err(refused)?;
    let document = json!({ "id": id, "serial": issued.serial, "cert": cert, "key": key,
        "ca": dir.join("ca/bundle.pem") });
    out.result(&document, || format!("{}\n{}\n", cell(&document, "cert"), cell(&document, "key")));
    Ok(())
}

/// Runs `eport setting`.
pub async fn setting(args: SettingArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        SettingCommand::List => {
            let items = client.list("/v1/settings", &[]).await?;
            out.items(&items, || {
                let mut table = Table::new(["setting", "value"]);
                for s in &items {
                    table.row(["name", "value"].map(|k| cell(s, k)));
                }
                table
            });
        }
        SettingCommand::Set { name, value } => {
            out.confirm((&format!("set {name} to {value:?}?"), &format!("将 {name} 设为 {value:?}？")))?;
            let statement = match (name.as_str(), value.as_str()) {
                ("two_person", on) => statement::two_person(on == "on"),
                _ => statement::setting(&name, &value),
            };
            let path = format!("/v1/settings/{}", path_segment(&name));
            let request = SettingRequest { value };
            let answer: Value = client.give(Method::PUT, &path, &request, &statement).await?;
            out.result(&answer, || format!("{} = {}\n", cell(&answer, "name"), cell(&answer, "value")));
        }
    }
    Ok(())
}

//! `eport user` and `eport setting`: users, operators with their roles, and the settings of the federation.

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
    /// List the operators with their roles, and the agencies and enterprises that are listed
    List,
    /// List an operator, or enterprise/ID or agency/CODE/gw/N, in the registry, or change it
    Add {
        /// Id, as in the certificate
        id: String,
        /// A role of an operator; give all of them
        #[arg(long = "role", value_enum)]
        roles: Vec<RoleWord>,
        /// A platform that an agency reads on; default all
        #[arg(long = "platform", value_name = "REGION")]
        platforms: Vec<RegionCode>,
        /// Name for people
        #[arg(long, default_value = "")]
        name: String,
    },
    /// Suspend a user: nothing is accepted from it any more
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
    /// Run nodes and platforms
    #[value(name = "system_administrator", alias = "system-administrator")]
    SystemAdministrator,
    /// Give rights and certificates
    #[value(name = "security_administrator", alias = "security-administrator")]
    SecurityAdministrator,
    /// Read who did what
    Auditor,
    /// Move platforms and look after their journals
    #[value(name = "platform_operator", alias = "platform-operator")]
    PlatformOperator,
    /// Hand in documents
    Lodger,
}

impl RoleWord {
    pub(crate) fn role(self) -> OperatorRole {
        match self {
            RoleWord::Administrator => OperatorRole::Administrator,
            RoleWord::Approver => OperatorRole::Approver,
            RoleWord::Publisher => OperatorRole::Publisher,
            RoleWord::SystemAdministrator => OperatorRole::SystemAdministrator,
            RoleWord::SecurityAdministrator => OperatorRole::SecurityAdministrator,
            RoleWord::Auditor => OperatorRole::Auditor,
            RoleWord::PlatformOperator => OperatorRole::PlatformOperator,
            RoleWord::Lodger => OperatorRole::Lodger,
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
                let mut table =
                    Table::new(["user", "name", "roles", "on platforms", "reads on", "suspended", "since"]);
                for u in &items {
                    let columns =
                        ["id", "name", "roles", "platform_roles", "platforms", "suspended", "since"];
                    table.row(columns.map(|k| cell(u, k)));
                }
                table
            });
            Ok(())
        }
        UserCommand::Add { id, roles, platforms, name } => {
            out.confirm((&format!("list user {id}?"), &format!("登记用户 {id}？")))?;
            let id = id.strip_prefix("operator/").unwrap_or(&id);
            if id.contains('/') {
                if !roles.is_empty() {
                    return Err(Error::usage("only operators have roles"));
                }
                return put_other(id, &name, &platforms, false, global, out).await;
            }
            if !platforms.is_empty() {
                return Err(Error::usage("give an operator a role on a platform with role add --platform"));
            }
            if roles.is_empty() {
                return Err(Error::usage("an operator needs at least one --role"));
            }
            put(id, &name, &roles.iter().map(|r| r.role()).collect::<Vec<_>>(), false, global, out).await
        }
        UserCommand::Remove { id } => {
            out.confirm((&format!("suspend user {id}?"), &format!("停用用户 {id}？")))?;
            let id = id.strip_prefix("operator/").unwrap_or(&id);
            match id.contains('/') {
                true => put_other(id, "", &[], true, global, out).await,
                false => put(id, "", &[], true, global, out).await,
            }
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
    let request = UserRequest { name: name.to_owned(), roles: words, suspended, ..UserRequest::default() };
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

/// An enterprise or an agency.
async fn put_other(
    id: &str,
    name: &str,
    platforms: &[RegionCode],
    suspended: bool,
    global: &Global,
    out: Out,
) -> Result<(), Error> {
    let subject = id.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
    let answer = list_other(&subject, name, platforms, suspended, global).await?;
    out.result(&answer, || format!("{} {}\n", cell(&answer, "id"), cell(&answer, "platforms")));
    Ok(())
}

/// Lists an enterprise or an agency in the registry; what it says of it then.
pub(crate) async fn list_other(
    subject: &eport_model::Subject,
    name: &str,
    platforms: &[RegionCode],
    suspended: bool,
    global: &Global,
) -> Result<Value, Error> {
    let statement = statement::put_user(subject, name, &platforms.iter().copied().collect(), suspended);
    let request = UserRequest {
        name: name.to_owned(),
        platforms: platforms.iter().map(ToString::to_string).collect(),
        suspended,
        ..UserRequest::default()
    };
    let path = format!("/v1/users/{}", path_segment(&subject.to_string()));
    Ok(connect::client(global)?.give(Method::PUT, &path, &request, &statement).await?)
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

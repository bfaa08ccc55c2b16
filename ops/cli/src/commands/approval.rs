//! `eport approval`, `eport approve` and `eport audit`: the second person, and who did what with whose consent.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::lang::Lang;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::ApprovalDecision;
use eport_client::{Client, Method};
use eport_model::Digest;
use eport_registry::{CommandId, statement};
use serde_json::Value;

/// Arguments of `eport approval`.
#[derive(Args, Debug)]
pub struct ApprovalArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ApprovalCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ApprovalCommand {
    /// List the commands that wait, or waited, for a second person
    List,
    /// Show one of them, field by field
    Show {
        /// Approval
        id: String,
    },
    /// Approve it as the second person: it is carried out
    Approve {
        /// Approval
        id: String,
    },
    /// Reject it, or withdraw one's own
    Reject {
        /// Approval
        id: String,
    },
}

/// Arguments of `eport approve`.
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// Approval
    pub id: String,
}

/// Runs the group.
pub async fn run(args: ApprovalArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        ApprovalCommand::List => {
            let items = client.list("/v1/approvals", &[]).await?;
            out.items(&items, || {
                let mut table = Table::new(["approval", "state", "kind", "what", "by", "second", "expires"]);
                for a in &items {
                    table.row([
                        cell(a, "id"),
                        cell(a, "state"),
                        cell(a, "kind"),
                        what(a),
                        cell(&a["first"], "by"),
                        cell(&a["second"], "by"),
                        cell(a, "expires"),
                    ]);
                }
                table
            });
            Ok(())
        }
        ApprovalCommand::Show { id } => {
            let item: Value = client.get(&path(&id)?, &[]).await?;
            out.result(&item, || text(&item));
            Ok(())
        }
        ApprovalCommand::Approve { id } => decide(&client, &id, true, out).await,
        ApprovalCommand::Reject { id } => decide(&client, &id, false, out).await,
    }
}

/// `eport approve ID`.
pub async fn approve(args: ApproveArgs, global: &Global, out: Out) -> Result<(), Error> {
    decide(&connect::client(global)?, &args.id, true, out).await
}

fn path(id: &str) -> Result<String, Error> {
    let id: CommandId = id.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
    Ok(format!("/v1/approvals/{id}"))
}

/// Shows what waits, asks, and decides exactly that: the digest is made here from the fields that were shown.
async fn decide(client: &Client, id: &str, approve: bool, out: Out) -> Result<(), Error> {
    let path = path(id)?;
    let id: CommandId = id.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
    let item: Value = client.get(&path, &[]).await?;
    if !out.json {
        out.progress(text(&item).trim_end());
    }
    let question = match approve {
        true => ("approve this command?", "批准该命令？"),
        false => ("reject this command?", "拒绝该命令？"),
    };
    out.confirm(question)?;
    let digest = digest_of(&item)?;
    let decision = ApprovalDecision { approve, digest };
    let statement = statement::decide_approval(id, digest, approve);
    let answer: Value = client.give(Method::POST, &path, &decision, &statement).await?;
    out.result(&answer, || text(&answer));
    Ok(())
}

/// The digest of what was shown. A node that shows one command and names the digest of another is caught here.
fn digest_of(item: &Value) -> Result<Digest, Error> {
    let fields = item["fields"].as_object().into_iter().flatten();
    let fields: std::collections::BTreeMap<&str, &str> =
        fields.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect();
    let kind = item["kind"].as_str().unwrap_or_default();
    let digest = eport_client::statement_digest(kind, item["version"].as_u64(), fields);
    if item["digest"] == digest.to_string() {
        return Ok(digest);
    }
    let detail = "the digest of the approval is not that of the fields shown";
    Err(Error::coded(eport_model::codes::APPROVAL_CHANGED, detail))
}

fn what(item: &Value) -> String {
    let fields = item["fields"].as_object().into_iter().flatten();
    fields
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn text(item: &Value) -> String {
    let mut table = Table::new(["", ""]);
    for name in ["id", "state", "kind", "version"] {
        table.row([name.to_owned(), cell(item, name)]);
    }
    for (name, value) in item["fields"].as_object().into_iter().flatten() {
        table.row([format!("  {name}"), value.as_str().unwrap_or_default().to_owned()]);
    }
    for name in ["reason", "expires"] {
        table.row([name.to_owned(), cell(item, name)]);
    }
    for name in ["first", "second"] {
        let who = &item[name];
        if who.is_object() {
            table.row([name.to_owned(), format!("{} {}", cell(who, "by"), cell(who, "at"))]);
        }
    }
    table.render()
}

/// `eport audit`.
pub async fn audit(limit: usize, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    let page: Value = client.get("/v1/audit", &[("limit", limit.max(1).to_string())]).await?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let columns = match out.lang {
        Lang::Zh => ["时间", "事件", "命令", "内容", "操作员", "第二人"],
        Lang::En => ["at", "event", "kind", "what", "by", "second"],
    };
    out.items(&items, || {
        let mut table = Table::new(columns);
        for a in &items {
            let (first, second) = (cell(&a["first"], "by"), cell(&a["second"], "by"));
            table.row([cell(a, "at"), cell(a, "event"), cell(a, "kind"), cell(a, "what"), first, second]);
        }
        table
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_that_shows_other_fields_than_the_digest_covers_is_caught() {
        let statement = statement::stopped("440300".parse().unwrap(), 7, true);
        let mut item = json!({"kind": "platform.stop", "version": 7, "fields": {"region": "440300"},
            "digest": statement.digest().to_string()});
        assert_eq!(digest_of(&item).unwrap(), statement.digest());
        item["fields"]["region"] = "440100".into();
        assert!(digest_of(&item).is_err());
    }
}

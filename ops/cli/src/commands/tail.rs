//! `eport tail`: records that a failover left behind and that wait for a decision.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::lang::Lang;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{CertificateImport, RevocationRequest, TailDiscard, TailResubmit};
use eport_client::{Client, Method, Repeat, path_segment};
use eport_model::{JournalIndex, RegionCode, codes};
use eport_registry::statement;
use serde_json::Value;

/// Arguments of `eport tail`.
#[derive(Args, Debug)]
pub struct TailArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TailCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum TailCommand {
    /// List diverged tails with what became of their documents
    List,
    /// Show a tail and each of its records: present, clean or in conflict
    Show {
        /// Tail
        id: String,
    },
    /// Submit the clean documents of a tail again; what is in conflict is listed and stays
    Resubmit {
        /// Tail
        id: String,
        /// Only this record; may be repeated
        #[arg(long = "record", value_name = "INDEX")]
        records: Vec<u64>,
    },
    /// List certificates that were given away in a tail and are in no ledger; adopt them, or revoke them
    Certificates {
        /// Tail
        id: String,
        /// Enter them into the ledger of their CA; each is verified again
        #[arg(long, conflicts_with = "revoke")]
        adopt: bool,
        /// Revoke them for ever
        #[arg(long, requires = "reason")]
        revoke: bool,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Export the tail of a stopped node that is removed or cut off for good, from its data
    Export(super::tail_offline::ExportArgs),
    /// Bring an exported tail to the platform's primary, which verifies it; goes on where an earlier attempt ended
    Import {
        /// The manifest that tail export wrote
        #[arg(value_name = "FILE")]
        file: std::path::PathBuf,
    },
    /// Discard what is left of a tail, with a reason for the audit
    Discard {
        /// Tail
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Only this record; may be repeated
        #[arg(long = "record", value_name = "INDEX")]
        records: Vec<u64>,
    },
}

/// Runs the group.
pub async fn run(args: TailArgs, global: &Global, out: Out) -> Result<(), Error> {
    let command = match args.command {
        TailCommand::Export(args) => return super::tail_offline::export(args, global, out).await,
        command => command,
    };
    let client = connect::client(global)?;
    match command {
        TailCommand::Export(_) => unreachable!("an export asks no node before it has to"),
        TailCommand::Import { file } => super::tail_offline::import(&client, &file, out).await,
        TailCommand::List => {
            let items = client.list("/v1/tails", &[]).await?;
            out.items(&items, || list(&items, out.lang));
            Ok(())
        }
        TailCommand::Show { id } => {
            let shown = detail(&client, &id).await?;
            out.result(&shown, || screen(&shown, out.lang));
            Ok(())
        }
        TailCommand::Resubmit { id, records } => resubmit(&client, &id, records, out).await,
        TailCommand::Certificates { id, adopt, revoke, reason } => {
            let decision = match (adopt, revoke) {
                (true, _) => Decision::Adopt,
                (_, true) => Decision::Revoke(reason.unwrap_or_default()),
                _ => Decision::Look,
            };
            certificates(&client, &id, decision, out).await
        }
        TailCommand::Discard { id, reason, records } => discard(&client, &id, reason, records, out).await,
    }
}

/// What becomes of a tail's certificates.
enum Decision {
    Look,
    Adopt,
    Revoke(String),
}

async fn certificates(client: &Client, id: &str, decision: Decision, out: Out) -> Result<(), Error> {
    let region = region_of(id)?;
    let primary = super::cert::at_primary(client, region).await?;
    let items = primary.list(&format!("{}/certificates", path(id)?), &[]).await?;
    for item in &items {
        let serial = item["serial"].as_str().unwrap_or_default();
        match &decision {
            Decision::Look => {}
            Decision::Adopt => {
                let request = CertificateImport {
                    platform: region.to_string(),
                    certificate: item["chain"].as_str().unwrap_or_default().to_owned(),
                };
                // An import of what stands there already changes nothing.
                let _: Value = primary.post("/v1/certificates:import", &request, Repeat::Safe).await?;
            }
            Decision::Revoke(reason) => {
                let request = RevocationRequest { reason: reason.clone(), unknown: true };
                let path = format!("/v1/certificates/{}/revocation", path_segment(serial));
                let statement = statement::revoke(serial, reason);
                let _: Value = primary.give(Method::POST, &path, &request, &statement).await?;
            }
        }
    }
    out.items(&items, || {
        let columns = ["serial", "subject", "not_after", "state"];
        let mut table = Table::new(columns);
        for item in &items {
            table.row(columns.map(|k| cell(item, k)));
        }
        table
    });
    Ok(())
}

fn region_of(id: &str) -> Result<RegionCode, Error> {
    let region = id.strip_prefix("tail-").and_then(|rest| rest.split('-').next());
    let region: Option<RegionCode> = region.and_then(|r| r.parse().ok());
    region.ok_or_else(|| Error::usage(format!("{id:?} is no id of a tail: see tail list")))
}

/// The address of a tail: its id names its platform.
fn path(id: &str) -> Result<String, Error> {
    let region = region_of(id)?;
    Ok(format!("/v1/platforms/{region}/tails/{}", path_segment(id)))
}

/// The tail with all of its records.
async fn detail(client: &Client, id: &str) -> Result<Value, Error> {
    let path = path(id)?;
    let mut shown: Value = client.get(&path, &[("limit", "1".to_owned())]).await?;
    let items = client.list(&path, &[("limit", "1000".to_owned())]).await?;
    shown["items"] = items.into();
    shown["next_page_token"] = Value::Null;
    Ok(shown)
}

async fn resubmit(client: &Client, id: &str, records: Vec<u64>, out: Out) -> Result<(), Error> {
    let path = format!("{}/resubmit", path(id)?);
    let body = TailResubmit { records };
    // What is decided is passed over, and the business key lets nothing in twice.
    let answer: Value = client.post(&path, &body, Repeat::Safe).await?;
    out.result(&answer, || {
        let head = out.lang.pick((
            format!(
                "{} submitted again, {} present, {} in conflict\n",
                answer["resubmitted_now"], answer["present_now"], answer["documents"]["conflicts"]
            ),
            format!(
                "重新提交 {} 份，已存在 {} 份，冲突 {} 份\n",
                answer["resubmitted_now"], answer["present_now"], answer["documents"]["conflicts"]
            ),
        ));
        let conflicts = answer["conflicts"].as_array().cloned().unwrap_or_default();
        if conflicts.is_empty() {
            head
        } else {
            format!("{head}{}", records_table(&conflicts, out.lang).render())
        }
    });
    Ok(())
}

async fn discard(
    client: &Client,
    id: &str,
    reason: String,
    records: Vec<u64>,
    out: Out,
) -> Result<(), Error> {
    if reason.trim().is_empty() {
        return Err(Error::usage("--reason: say why"));
    }
    let path = path(id)?;
    let shown = detail(client, id).await?;
    let left = waiting(&shown, &records);
    if left.is_empty() {
        return Err(Error::coded(codes::TAIL_CLOSED, "no document of these records waits for a decision"));
    }
    if !out.json {
        out.progress(records_table(&left, out.lang).render().trim_end());
    }
    let count = left.len();
    let en = format!("discard these {count} documents? their traders were told that they are accepted");
    let zh = format!("弃置以上 {count} 份单证？企业曾被告知单证已受理");
    out.confirm((&en, &zh))?;
    let named: Vec<JournalIndex> = records.iter().map(|n| JournalIndex::from_u64(*n)).collect();
    let statement = statement::discard_tail(id, &named, &reason);
    let body = TailDiscard { reason, records };
    let answer: Value = client.give(Method::POST, &format!("{path}/discard"), &body, &statement).await?;
    out.result(&answer, || {
        let (id, state) = (cell(&answer, "id"), cell(&answer, "state"));
        out.lang.pick((
            format!("{count} discarded; {id} is {state}\n"),
            format!("已弃置 {count} 份；{id} 状态 {state}\n"),
        ))
    });
    Ok(())
}

/// Records of a tail that are not decided; of those named, where some are.
fn waiting(shown: &Value, named: &[u64]) -> Vec<Value> {
    let items = shown["items"].as_array().cloned().unwrap_or_default();
    let open = |r: &Value| matches!(r["outcome"].as_str(), Some("pending" | "conflict"));
    let wanted = |r: &Value| named.is_empty() || r["index"].as_u64().is_some_and(|n| named.contains(&n));
    items.into_iter().filter(|r| open(r) && wanted(r)).collect()
}

fn list(items: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        [
            "tail",
            "state",
            "documents",
            "present",
            "resubmitted",
            "conflicts",
            "discarded",
            "pending",
            "recorded",
        ],
        ["尾部", "状态", "单证", "已存在", "已重新提交", "冲突", "已弃置", "待处理", "记录时间"],
    )));
    for t in items {
        let d = &t["documents"];
        table.row([
            cell(t, "id"),
            cell(t, "state"),
            cell(d, "total"),
            cell(d, "present"),
            cell(d, "resubmitted"),
            cell(d, "conflicts"),
            cell(d, "discarded"),
            cell(d, "pending"),
            cell(t, "at"),
        ]);
    }
    table
}

fn screen(shown: &Value, lang: Lang) -> String {
    let head = list(std::slice::from_ref(shown), lang).render();
    let items = shown["items"].as_array().cloned().unwrap_or_default();
    let documents: Vec<Value> = items.into_iter().filter(|r| r["class"] != "none").collect();
    format!("{head}\n{}", records_table(&documents, lang).render())
}

fn records_table(records: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        ["record", "class", "outcome", "reference", "version", "number then", "number now", "why"],
        ["记录", "分类", "结果", "客户参考号", "版本", "原编号", "现编号", "原因"],
    )));
    for r in records {
        let why = [cell(r, "code"), cell(r, "detail")].join(" ");
        table.row([
            cell(r, "index"),
            cell(r, "class"),
            cell(r, "outcome"),
            cell(r, "client_ref"),
            cell(r, "doc_version"),
            cell(r, "doc_id"),
            cell(r, "stored_as"),
            if why == "- -" { "-".to_owned() } else { why },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_id_of_a_tail_names_its_platform() {
        assert_eq!(
            path("tail-440300-1-9-12-sz-a-1").unwrap(),
            "/v1/platforms/440300/tails/tail%2D440300%2D1%2D9%2D12%2Dsz%2Da%2D1"
        );
        assert!(path("440300").is_err() && path("tail-x-1").is_err());
    }

    #[test]
    fn only_what_is_not_decided_is_offered_for_discarding() {
        let record = |n: u64, outcome: &str| json!({"index": n, "outcome": outcome});
        let shown = json!({"items": [record(1, "none"), record(2, "pending"), record(3, "conflict"), record(4, "present")]});
        let indexes = |named: &[u64]| {
            waiting(&shown, named).iter().filter_map(|r| r["index"].as_u64()).collect::<Vec<_>>()
        };
        assert_eq!((indexes(&[]), indexes(&[3, 4])), (vec![2, 3], vec![3]));
    }
}

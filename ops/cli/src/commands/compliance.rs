//! `eport compliance`: asks the federation for what the controls name, and reports.

use crate::args::Global;
use crate::compliance::{Evidence, Live, Records, Standard, Verdict, controls, document, judge, markdown};
use crate::connect;
use crate::error::Error;
use crate::output::Out;
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use eport_api_types::rfc3339;
use eport_client::Client;
use eport_model::{Timestamp, codes};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Arguments of `eport compliance`.
#[derive(Args, Debug)]
pub struct ComplianceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ComplianceCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ComplianceCommand {
    /// List each control, how it is met, its evidence as it is now, and what remains with the site
    Report(ReportArgs),
}

/// Arguments of `eport compliance report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// One of the two lists; default both
    #[arg(long, value_enum)]
    pub standard: Option<Standard>,
    /// Form for people; --json prints the same as data
    #[arg(long, value_enum, default_value = "text")]
    pub format: Form,
    /// Configuration of a node, whose keys are shown with their values
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look nothing up: only what stands in the list
    #[arg(long)]
    pub offline: bool,
    /// Exit 11 when a control deviates
    #[arg(long)]
    pub strict: bool,
}

/// Form of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Form {
    /// A table.
    Text,
    /// A document.
    Markdown,
}

/// Runs the group.
pub async fn run(args: ComplianceArgs, global: &Global, out: Out) -> Result<(), Error> {
    let ComplianceCommand::Report(args) = args.command;
    report(&args, global, out).await
}

async fn report(args: &ReportArgs, global: &Global, out: Out) -> Result<(), Error> {
    let list = controls().map_err(|e| Error::coded(codes::INTERNAL, format!("controls: {e}")))?;
    let mut live = match args.offline {
        true => Live::default(),
        false => {
            asked(&connect::client(global)?, &list.iter().flat_map(|c| &c.evidence).collect::<Vec<_>>())
                .await?
        }
    };
    live.config = args.config.as_deref().map(file).transpose()?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp().saturating_mul(1_000);
    let at = rfc3339(Timestamp::from_millis(now));
    let federation = live.status.as_ref().map_or(Value::Null, |s| s["federation"].clone());
    let judged = judge(list, args.standard, &live);
    let answer = document(&judged, &federation, &at, out.lang);
    out.result(&answer, || match args.format {
        Form::Markdown => markdown(&judged, federation.as_str().unwrap_or("-"), &at, out.lang),
        Form::Text => table(&answer, out),
    });
    let deviates = judged.iter().any(|j| j.verdict == Verdict::Deviates);
    if args.strict && deviates { Err(Error::Exit(crate::exit::DIFFERENCE)) } else { Ok(()) }
}

/// Asks for everything that the evidence names. What the caller may not read is said with the evidence and stops nothing.
async fn asked(client: &Client, evidence: &[&Evidence]) -> Result<Live, Error> {
    let status = client.status().await?;
    let settings = client.list("/v1/settings", &[]).await.ok();
    let mut records = BTreeMap::new();
    for evidence in evidence {
        if let Evidence::Route { route, records: true } = evidence
            && !records.contains_key(route)
        {
            // The first page tells enough, and lists of years are long.
            let page = client.get::<Value>(route, &[]).await;
            let seen = page.map(|p| Records::of(&p)).map_err(|e| e.to_string());
            records.insert(route.clone(), seen);
        }
    }
    Ok(Live { status: Some(status), settings, records, config: None })
}

fn file(path: &Path) -> Result<toml::Table, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    let read = |e: toml::de::Error| Error::coded(codes::CONFIG_INVALID, format!("{}: {e}", path.display()));
    toml::from_str(&text).map_err(read)
}

fn table(answer: &Value, out: Out) -> String {
    let head =
        (["clause", "control", "verdict", "not as it should be"], ["条款", "控制项", "结论", "不符之处"]);
    let mut table = Table::new(out.lang.pick(head));
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    for c in answer["controls"].as_array().into_iter().flatten() {
        let off = c["evidence"].as_array().into_iter().flatten().filter(|e| e["holds"] == false);
        let off: Vec<String> = off.map(|e| format!("{}={}", text(&e["name"]), text(&e["found"]))).collect();
        table.row([text(&c["clause"]), text(&c["title"]), text(&c["verdict"]), off.join("; ")]);
    }
    table.render()
}

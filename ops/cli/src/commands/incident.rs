//! `eport incident`: what happened in a span of time, from every node.

use crate::args::Global;
use crate::commands::gather::{ask_all, members, wall_ms};
use crate::connect;
use crate::error::Error;
use crate::files::write_new;
use crate::lang::Lang;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{FederationStatus, IncidentEvents, from_rfc3339, rfc3339};
use eport_doctor::{Timeline, merge};
use eport_model::{Coded, Timestamp};
use std::path::PathBuf;

/// Arguments of `eport incident`.
#[derive(Args, Debug)]
pub struct IncidentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: IncidentCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum IncidentCommand {
    /// Show moves, drills, approvals, audit and changes of state of every node in order of time
    Show(ShowArgs),
}

/// Arguments of `eport incident show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Begin, an instant in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// End, an instant in RFC 3339; default now
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only this platform, and what is about none
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: Option<String>,
    /// Write a report in Markdown to a new file too
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// Runs the group.
pub async fn run(args: IncidentArgs, global: &Global, out: Out) -> Result<(), Error> {
    let IncidentCommand::Show(args) = args.command;
    let instant = |name: &str, text: &str| {
        from_rfc3339(text)
            .ok_or_else(|| Error::usage(format!("--{name} {text}: an instant in RFC 3339 is needed")))
    };
    let from = instant("from", &args.from)?;
    let to = match &args.to {
        Some(text) => instant("to", text)?,
        None => Timestamp::from_millis(wall_ms()),
    };
    if to < from {
        return Err(Error::usage("--to lies before --from"));
    }
    let client = connect::client(global)?;
    let status: FederationStatus = client.get("/v1/federation", &[]).await?;
    let nodes: Vec<_> = members(&status).iter().filter_map(|n| Some((n.node, n.api.clone()?))).collect();
    let (first, last) = (rfc3339(from), rfc3339(to));
    let mut query = vec![("from", first.clone()), ("to", last.clone())];
    query.extend(args.platform.clone().map(|p| ("platform", p)));
    let answered = ask_all::<IncidentEvents>(&client, &nodes, "/v1/incident", &query).await;
    let (mut answers, mut silent, mut last_error) = (Vec::new(), Vec::new(), None);
    for ((node, _), answered) in nodes.iter().zip(answered) {
        match answered.answer {
            Ok(events) => answers.push(events),
            Err(e) => {
                silent.push((node.to_string(), format!("{} {e}", e.code())));
                last_error = Some(e);
            }
        }
    }
    // No answer at all is no empty timeline.
    if let (true, Some(error)) = (answers.is_empty(), last_error) {
        return Err(error);
    }
    let timeline = merge(answers, silent);
    if let Some(path) = &args.markdown {
        write_new(path, timeline.markdown(&first, &last, out.lang == Lang::Zh).as_bytes(), false)?;
    }
    out.result(&timeline.document(), || screen(&timeline, out.lang));
    Ok(())
}

fn screen(timeline: &Timeline, lang: Lang) -> String {
    let mut table = Table::new(lang.pick((
        ["time (UTC)", "node", "platform", "event", "by", "what"],
        ["时间 (UTC)", "节点", "平台", "事件", "操作人", "说明"],
    )));
    for e in &timeline.events {
        let value = serde_json::to_value(e).unwrap_or_default();
        table.row(["at", "node", "region", "event", "by", "text"].map(|k| cell(&value, k)));
    }
    let mut text = table.render();
    for gap in timeline.gaps(lang == Lang::Zh) {
        text.push_str(&format!("! {gap}\n"));
    }
    text
}

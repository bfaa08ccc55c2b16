//! `eport doctor`: asks all nodes and says what is wrong, why, who must act and how to begin.

use crate::args::Global;
use crate::commands::gather::{gather, wall_ms};
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::files::write_new;
use crate::lang::Lang;
use crate::output::Out;
use clap::Args;
use eport_api_types::rfc3339;
use eport_client::Client;
use eport_doctor::{BundleInput, Finding, Gathered, Severity, archive, examine, members};
use eport_model::{Timestamp, codes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Lines of each node's log in a bundle.
const LOG_LINES: usize = 1_000;
/// Longest wait for one page of metrics.
const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `eport doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Write facts, findings, status, configurations, logs and metrics without secrets to a new ZIP file
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// Runs the command. Exit 11 when something is wrong that is more than good to know.
pub async fn run(args: DoctorArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    let lines = if args.bundle.is_some() { LOG_LINES } else { 0 };
    let gathered = gather(&client, lines).await?;
    let now = Timestamp::from_millis(wall_ms());
    let findings = examine(&gathered, now);
    let bytes = match &args.bundle {
        Some(path) => Some(bundle(path, &client, &gathered, &findings, now).await?),
        None => None,
    };
    let chinese = out.lang == Lang::Zh;
    let items: Vec<Value> = findings.iter().map(|f| f.document(chinese)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for f in &findings {
        *counts.entry(f.severity.word()).or_default() += 1;
    }
    let answered = gathered.facts().count();
    let document = json!({
        "at": rfc3339(now), "nodes": gathered.asked.len(), "answered": answered, "counts": counts,
        "items": items, "next_page_token": null,
        "bundle": args.bundle.as_ref().map(|p| json!({ "file": p, "bytes": bytes })),
    });
    out.result(&document, || screen(&findings, answered, gathered.asked.len(), out.lang));
    if let Some(path) = &args.bundle {
        out.say(format!("bundle: {}", path.display()), format!("诊断包：{}", path.display()));
    }
    let wrong = findings.iter().any(|f| f.severity < Severity::Info);
    if wrong { Err(Error::Exit(exit::DIFFERENCE)) } else { Ok(()) }
}

async fn bundle(
    path: &Path,
    client: &Client,
    gathered: &Gathered,
    findings: &[Finding],
    now: Timestamp,
) -> Result<usize, Error> {
    let mut metrics = Vec::new();
    for asked in gathered.asked.iter().filter(|a| a.facts.is_some()) {
        // A page that does not come is missing in the bundle; the facts say how the node is.
        if let Ok((200, page)) = client.peek(&asked.api, "/metrics", PATIENCE).await {
            metrics.push((asked.node.to_string(), String::from_utf8_lossy(&page).into_owned()));
        }
    }
    let made = rfc3339(now);
    let version = env!("CARGO_PKG_VERSION");
    let input = BundleInput { made: &made, version, gathered, findings, metrics: &metrics };
    let bytes =
        archive(&members(&input)).map_err(|e| Error::coded(codes::INTERNAL, format!("bundle: {e}")))?;
    write_new(path, &bytes, false)?;
    Ok(bytes.len())
}

/// The findings for people.
fn screen(findings: &[Finding], answered: usize, nodes: usize, lang: Lang) -> String {
    let mut text = lang.pick((
        format!("{answered} of {nodes} nodes answered\n"),
        format!("{nodes} 个节点中 {answered} 个应答\n"),
    ));
    if findings.is_empty() {
        text.push_str(lang.pick(("nothing is wrong\n", "未发现问题\n")));
    }
    let chinese = lang == Lang::Zh;
    let (who, next) = lang.pick((("who", "next"), ("责任人", "下一步")));
    for f in findings {
        text.push_str(&format!(
            "\n{} {}  {}  ({})\n  {}\n  {who}: {}\n  {next}: {}\n",
            lang.pick(f.severity.name()),
            f.id,
            f.title.pick(chinese),
            f.subject,
            f.cause.pick(chinese),
            lang.pick(f.owner.name()),
            f.next,
        ));
    }
    if findings.iter().any(|f| f.runbook) {
        text.push_str(lang.pick((
            "\neport explain ID prints the runbook of a finding\n",
            "\neport explain ID 可打印相应的处置手册\n",
        )));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;
    use eport_doctor::{KINDS, Unread};

    #[test]
    fn the_screen_says_what_who_and_how_in_both_languages() {
        let unread = Unread { what: "tails".into(), code: "EP6002".into(), text: "not allowed".into() };
        let gathered = Gathered { unread: vec![unread], ..Gathered::default() };
        let findings = examine(&gathered, Timestamp::from_millis(0));
        let en = screen(&findings, 1, 2, Lang::En);
        assert!(
            en.contains("1 of 2 nodes answered") && en.contains("INFO unread") && en.contains("next: eport ")
        );
        let zh = screen(&findings, 1, 2, Lang::Zh);
        assert!(zh.contains("提示 unread") && zh.contains("责任人: 系统管理员"));
        assert!(screen(&[], 2, 2, Lang::Zh).contains("未发现问题"));
    }

    #[test]
    fn every_command_of_a_runbook_is_one_that_there_is() {
        let page = crate::commands::explain::RUNBOOKS;
        let commands = page.split('`').skip(1).step_by(2).filter(|c| c.starts_with("eport "));
        for command in commands {
            let words: Vec<&str> = command.split(' ').map(placeholder).collect();
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{command}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
        }
        assert!(KINDS.iter().all(|k| !k.id.is_empty()));
    }

    /// What a person fills in, as something that fits.
    fn placeholder(word: &str) -> &str {
        match word {
            "REGION" | "OTHER" => "440300",
            "NODE" => "gz-a-1",
            "SITE" => "gz-a",
            "TIME" => "2018-01-10T00:00:00Z",
            "N" => "3",
            "SIZE" => "10GiB",
            "CODE" => "EP1001",
            "ID" => "0123456789abcdef0123456789abcdef",
            other => other,
        }
    }
}

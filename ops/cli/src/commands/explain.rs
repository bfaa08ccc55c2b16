//! `eport explain`: codes, findings and metrics, in both languages, without any node.

use crate::error::Error;
use crate::output::Out;
use clap::Args;
use eport_doctor::{KINDS, Kind, finding_of, kind};
use eport_model::codes::NOT_FOUND;
use eport_model::{Code, CodeInfo};
use eport_watch::{METRICS, Metric};
use serde_json::{Value, json};

/// The runbooks, one section for each finding that needs a person.
pub(crate) const RUNBOOKS: &str = include_str!("../../../../docs/runbooks/README.md");

/// Arguments of `eport explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Code as printed with an error (EPnnnn), id of a finding of eport doctor, or name of a metric; all codes when absent
    pub code: Option<String>,
    /// List findings instead of codes
    #[arg(long, conflicts_with_all = ["code", "metrics"])]
    pub findings: bool,
    /// List metrics instead of codes
    #[arg(long, conflicts_with = "code")]
    pub metrics: bool,
}

/// Prints what a code, a finding or a metric means, in both languages.
pub fn run(args: &ExplainArgs, out: Out) -> Result<(), Error> {
    let Some(text) = &args.code else {
        list(args, out);
        return Ok(());
    };
    if let Some(k) = kind(text) {
        out.result(&kind_document(k), || kind_page(k));
        return Ok(());
    }
    if let Some(m) = metric(text) {
        out.result(&metric_document(m), || metric_page(m));
        return Ok(());
    }
    let unknown = || Error::coded(NOT_FOUND, format!("{text} is no code, finding or metric of this version"));
    let looks_like_code = text
        .trim()
        .to_ascii_uppercase()
        .strip_prefix("EP")
        .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
        || text.trim().bytes().all(|b| b.is_ascii_digit());
    if !looks_like_code {
        return Err(unknown());
    }
    let code: Code = text.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
    let info = code.info().ok_or_else(unknown)?;
    out.result(&code_document(info), || code_page(info));
    Ok(())
}

fn list(args: &ExplainArgs, out: Out) {
    let mut table;
    let items: Vec<Value>;
    if args.findings {
        table = crate::table::Table::new(["finding", "severity", "title", "标题"]);
        items = KINDS.iter().map(|k| kind_document(k)).collect();
        for k in KINDS {
            table.row([k.id.into(), k.severity.word().into(), k.title.0.into(), String::from(k.title.1)]);
        }
    } else if args.metrics {
        table = crate::table::Table::new(["metric", "finding", "what it tells", "含义"]);
        items = METRICS.iter().map(|(_, m)| metric_document(m)).collect();
        for (_, m) in METRICS {
            let finding = finding_of(m.name).unwrap_or_default();
            table.row([m.name.into(), finding.into(), m.en.into(), String::from(m.zh)]);
        }
    } else {
        table = crate::table::Table::new(["code", ">exit", "title", "标题"]);
        items = eport_model::codes::all().map(code_document).collect();
        for i in eport_model::codes::all() {
            table.row([i.code.to_string(), i.exit.to_string(), i.title.0.into(), i.title.1.into()]);
        }
    }
    out.items(&items, || table);
}

fn code_document(i: &CodeInfo) -> Value {
    json!({
        "code": i.code.to_string(), "http": i.http, "exit": i.exit, "retryable": i.retryable,
        "title": {"en": i.title.0, "zh": i.title.1}, "cause": {"en": i.cause.0, "zh": i.cause.1},
        "remedy": {"en": i.remedy.0, "zh": i.remedy.1},
    })
}

fn code_page(i: &CodeInfo) -> String {
    let retry = if i.retryable { ("yes", "是") } else { ("no", "否") };
    format!(
        "{code}  {}\n  What happened: {}\n  What to do:    {}\n  Retry as it is: {}\n\n\
         {code}  {}\n  原因：{}\n  处理：{}\n  可直接重试：{}\n\nHTTP {} · exit {}\n",
        i.title.0,
        i.cause.0,
        i.remedy.0,
        retry.0,
        i.title.1,
        i.cause.1,
        i.remedy.1,
        retry.1,
        i.http,
        i.exit,
        code = i.code,
    )
}

/// The section of a finding in the runbooks, without its heading.
fn runbook(id: &str) -> Option<&'static str> {
    let (_, from) = RUNBOOKS.split_once(&format!("\n## {id}\n"))?;
    Some(from.split("\n## ").next().unwrap_or_default().trim())
}

fn kind_document(k: &Kind) -> Value {
    json!({
        "finding": k.id, "severity": k.severity.word(), "owner": k.owner.word(),
        "title": {"en": k.title.0, "zh": k.title.1}, "cause": {"en": k.means.0, "zh": k.means.1},
        "remedy": {"en": k.remedy.0, "zh": k.remedy.1}, "runbook": runbook(k.id),
    })
}

fn kind_page(k: &Kind) -> String {
    let mut text = format!(
        "{id}  {} ({})\n  What it means: {}\n  What to do:    {}\n  Who:           {}\n\n\
         {id}  {}（{}）\n  含义：{}\n  处理：{}\n  责任人：{}\n",
        k.title.0,
        k.severity.word(),
        k.means.0,
        k.remedy.0,
        k.owner.name().0,
        k.title.1,
        k.severity.name().1,
        k.means.1,
        k.remedy.1,
        k.owner.name().1,
        id = k.id,
    );
    if let Some(section) = runbook(k.id) {
        text.push_str(&format!("\n{section}\n"));
    }
    text
}

/// The metric of a name, with the prefix or without, also as a page heads it (counters then lack their ending).
fn metric(name: &str) -> Option<&'static Metric> {
    let is = |known: &str| known == name || known.strip_prefix("eport_") == Some(name);
    let same = |m: &Metric| is(m.name) || is(m.family());
    METRICS.iter().map(|(_, m)| m).find(|m| same(m))
}

fn metric_document(m: &Metric) -> Value {
    json!({ "metric": m.name, "help": {"en": m.en, "zh": m.zh}, "finding": finding_of(m.name) })
}

fn metric_page(m: &Metric) -> String {
    let mut text = format!("{}\n  {}\n  {}\n", m.name, m.en, m.zh);
    if let Some(k) = finding_of(m.name).and_then(kind) {
        text.push_str(&format!("\n{}", kind_page(k)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_doctor::Severity;

    #[test]
    fn a_page_says_the_same_in_both_languages() {
        let text = code_page(eport_model::codes::MOVE_UNSAFE.info().unwrap());
        assert!(text.starts_with("EP2101  A safety check refused the move\n"));
        assert!(text.contains("安全检查拒绝了迁移") && text.ends_with("HTTP 409 · exit 7\n"));
    }

    #[test]
    fn a_finding_has_its_runbook_and_a_metric_its_finding() {
        for k in KINDS {
            assert_eq!(runbook(k.id).is_some(), k.severity != Severity::Info, "{}", k.id);
        }
        for (name, _) in eport_doctor::FINDINGS {
            assert!(metric(name).is_some(), "{name} is no metric");
        }
        let page = metric_page(metric("eport_slot_lost").unwrap());
        assert!(
            page.contains("slot-lost") && page.contains("**Never:**") && page.contains("责任人"),
            "{page}"
        );
    }
}

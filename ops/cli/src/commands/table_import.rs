//! `eport table import`: a file, or the starter set, becomes the next version of a table.

use crate::args::parse_duration;
use crate::commands::{publish, table::diff_text, table_read};
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::starter;
use crate::table::Table;
use clap::Args;
use eport_client::{Client, FileContent, TableFile};
use eport_codetables::mapping::MAPPING_LEN_MAX;
use eport_codetables::{Limits, Request};
use eport_model::RegionCode;
use eport_model::codes::{TABLE_IMPORT_REFUSED, TABLE_MAPPING};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reading and answering beside the time that nodes are waited for.
const BESIDE_WAIT: Duration = Duration::from_secs(30);
/// How long a node waits for others when nobody says.
const NODES_WAIT: Duration = Duration::from_secs(20);
/// Bytes of a large file that are sent, read and stored in a second at least, on a slow line and a busy node.
const BYTES_A_SECOND: u64 = 1 << 20;

/// Arguments of `eport table import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// File to import: CSV, TSV, XLSX or JSON lines
    #[arg(required_unless_present = "starter", conflicts_with = "starter")]
    pub file: Option<PathBuf>,
    /// Import the tables that come with this program
    #[arg(long)]
    pub starter: bool,
    /// Name of the table; default the file's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Owner of the table; default the province
    #[arg(long, value_name = "REGION")]
    pub owner: Option<RegionCode>,
    /// Columns that make the key; default those of the mapping or of the version before
    #[arg(long, value_name = "COL[,COL]", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Encoding of the file: utf-8, gb18030 or windows-1252; default utf-8
    #[arg(long, value_name = "ENCODING")]
    pub encoding: Option<String>,
    /// Form of the file: csv, tsv, xlsx or jsonl; default by its name
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Sheet of a workbook; default the first
    #[arg(long, value_name = "NAME")]
    pub sheet: Option<String>,
    /// Mapping file: which column is which, and the rules of the table
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Rows that repeat a key with other values: refuse, first or last
    #[arg(long, value_name = "RULE")]
    pub repeats: Option<String>,
    /// When the version takes effect, RFC 3339; default at once plus the federation's lead
    #[arg(long, value_name = "TIME")]
    pub effective: Option<String>,
    /// Publish although the version drops or changes many rows
    #[arg(long)]
    pub force: bool,
    /// How long nodes that lack the version are waited for before it is published; default 20s, 2s with --force
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// Read, check and compare only
    #[arg(long)]
    pub dry_run: bool,
}

/// The client, with the time that the node was asked to wait for others on top.
fn patient(client: &Client, args: &ImportArgs, len: u64) -> Client {
    let reading = Duration::from_secs(len / BYTES_A_SECOND);
    match args.wait {
        Some(wait) => client.with_timeout(wait + BESIDE_WAIT + reading),
        None if reading.is_zero() => client.clone(),
        None => client.with_timeout(BESIDE_WAIT + NODES_WAIT + reading),
    }
}

/// `eport table import FILE`
pub async fn import_file(client: &Client, args: &ImportArgs, out: Out) -> Result<(), Error> {
    let Some(file) = &args.file else { return Err(Error::usage("a file is needed")) };
    let len = judged_len(file, Limits::default().bytes)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(stem);
    let table = args.owner.map_or_else(|| name.clone(), |owner| format!("{owner}/{name}"));
    let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let options = options(args, &file_name)?;
    let upload = TableFile { file_name, content: FileContent::OnDisk(file.clone()), options };
    let answer = publish::import(&patient(client, args, len), &table, upload).await?;
    out.result(&answer, || import_text(&answer, out));
    refused(&answer)
}

/// The length of a file that may have so many bytes; a larger one is refused.
fn judged_len(file: &Path, max: u64) -> Result<u64, Error> {
    let len = std::fs::metadata(file).map_err(Error::file(file))?.len();
    if len > max {
        let detail = format!("{} has {len} bytes; {max} are allowed", file.display());
        return Err(Error::coded(TABLE_IMPORT_REFUSED, detail));
    }
    Ok(len)
}

/// Reads a file that may have so many bytes; a larger one is refused before it takes memory.
fn bounded(file: &Path, max: u64) -> Result<Vec<u8>, Error> {
    judged_len(file, max)?;
    std::fs::read(file).map_err(Error::file(file))
}

fn options(args: &ImportArgs, file_name: &str) -> Result<Value, Error> {
    let bad = |detail: String| Error::usage(detail);
    let repeats = args.repeats.as_ref().map(|r| serde_json::from_value(json!(r))).transpose();
    let mapping = match &args.mapping {
        Some(file) => {
            let bytes = bounded(file, MAPPING_LEN_MAX as u64)?;
            Some(String::from_utf8(bytes).map_err(|e| bad(format!("{}: {e}", file.display())))?)
        }
        None => None,
    };
    let mut request = Request {
        key: args.key.clone(),
        encoding: args.encoding.clone(),
        format: args.format.clone(),
        sheet: args.sheet.clone(),
        repeats: repeats.map_err(|_| bad("--repeats: refuse, first or last".to_owned()))?,
        mapping,
        ..Request::default()
    };
    request.name_format(file_name);
    // What is wrong with it is said before anything is sent.
    request.options(None).map_err(|e| Error::coded(TABLE_MAPPING, e.to_string()))?;
    let mut options = serde_json::to_value(request).map_err(|e| bad(e.to_string()))?;
    (options["force"], options["dry_run"]) = (args.force.into(), args.dry_run.into());
    if let Some(wait) = args.wait {
        options["wait_s"] = wait.as_secs().max(1).into();
    }
    if let Some(effective) = &args.effective {
        options["effective"] = effective.clone().into();
    }
    Ok(options)
}

/// The error of a refused import: its result is printed already, the exit code follows the refusal.
fn refused(answer: &Value) -> Result<(), Error> {
    let Some(code) = answer.get("error").and_then(Value::as_str) else { return Ok(()) };
    let known = code.parse::<eport_model::Code>().ok().and_then(|c| c.info());
    Err(Error::Exit(known.map_or(exit::FAILED, |i| i.exit)))
}

/// `eport table import --starter`
pub async fn import_starter(client: &Client, args: &ImportArgs, out: Out) -> Result<(), Error> {
    let (mut items, mut before) = (Vec::new(), starter::Before::default());
    for t in starter::tables()? {
        out.say(format!("importing {}", t.name), format!("导入 {}", t.name));
        let mut upload = t.upload(args.dry_run, args.force);
        if args.dry_run {
            // Nothing is published, so the node cannot look into the tables that come before this one: that is done here.
            before.check(&t)?;
            upload.options["pending"] = before.names().into();
        }
        items.push(publish::import(client, &t.table(), upload).await?);
    }
    out.items(&items, || {
        let mut table = Table::new([
            "table",
            ">version",
            ">rows",
            ">added",
            ">changed",
            ">removed",
            "published",
            "effective",
        ]);
        for a in &items {
            table.row(
                ["name", "version", "rows", "added", "changed", "removed", "published", "effective"]
                    .map(|k| cell(a, k)),
            );
        }
        table
    });
    items.iter().try_for_each(refused)
}

/// What an import did, with every problem by line and column.
fn import_text(a: &Value, out: Out) -> String {
    let head = out.lang.pick((
        format!(
            "{} version {}: {} rows, {} added, {} changed, {} removed, {} unchanged, {} duplicates ignored\n",
            cell(a, "name"),
            cell(a, "version"),
            cell(a, "rows"),
            cell(a, "added"),
            cell(a, "changed"),
            cell(a, "removed"),
            cell(a, "unchanged"),
            cell(a, "duplicates_ignored")
        ),
        format!(
            "{} 版本 {}：{} 行，新增 {}，修改 {}，删除 {}，不变 {}，忽略重复 {}\n",
            cell(a, "name"),
            cell(a, "version"),
            cell(a, "rows"),
            cell(a, "added"),
            cell(a, "changed"),
            cell(a, "removed"),
            cell(a, "unchanged"),
            cell(a, "duplicates_ignored")
        ),
    ));
    let mut table = Table::new([">line", ">column", "kind", "detail"]);
    for p in a.get("problems").and_then(Value::as_array).into_iter().flatten() {
        table.row(["line", "column", "kind", "detail"].map(|k| cell(p, k)));
    }
    let mut problems = if table.is_empty() { String::new() } else { table.render() };
    let mut notes = Table::new(["note", ">count", ">line", ">column"]);
    for n in a.get("notes").and_then(Value::as_array).into_iter().flatten() {
        notes.row(["kind", "count", "line", "column"].map(|k| cell(n, k)));
    }
    if !notes.is_empty() {
        problems.push_str(&notes.render());
    }
    if a["dry_run"] == true || a["published"] == false {
        problems.push_str(&diff_text(&a["difference"]));
    }
    problems.push_str(&table_read::uses_text(&a["impact"], out));
    let end = match (a.get("published"), a.get("error").and_then(Value::as_str)) {
        (Some(Value::Bool(true)), _) => {
            let at = cell(a, "effective");
            out.lang.pick((format!("published, in force from {at}\n"), format!("已发布，自 {at} 起生效\n")))
        }
        (_, Some(code)) => {
            out.lang.pick((format!("not published ({code})\n"), format!("未发布（{code}）\n")))
        }
        _ => out.lang.pick(("not published (dry run)\n", "未发布（试运行）\n")).to_owned(),
    };
    head + &problems + &end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Lang;

    #[test]
    fn a_refused_import_lists_every_problem_by_line_and_column_and_exits_1() {
        let answer = json!({"name": "440000/ports", "version": 3, "rows": 0, "added": 0, "removed": 0, "changed": 0,
            "unchanged": 0, "duplicates_ignored": 0, "published": false, "error": "EP4001",
            "problems": [{"line": 7, "column": 2, "kind": "key_empty", "detail": "the key is empty"}]});
        let text = import_text(&answer, Out { json: false, lang: Lang::En, yes: false });
        assert!(
            text.contains("   7       2  key_empty  the key is empty\n")
                && text.contains("not published (EP4001)"),
            "{text}"
        );
        assert_eq!(refused(&answer).unwrap_err().exit(), 1);
        assert_eq!(refused(&json!({"error": "EP4003"})).unwrap_err().exit(), 7);
        assert!(refused(&json!({"published": true})).is_ok());
    }
}

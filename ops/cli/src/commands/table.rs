//! `eport table`: import and read code tables.

use crate::args::Global;
use crate::commands::{publish, table_read};
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::starter;
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, TableFile, path_segment};
use eport_codetables::mapping::MAPPING_LEN_MAX;
use eport_codetables::{Limits, Request};
use eport_model::RegionCode;
use eport_model::codes::{TABLE_IMPORT_REFUSED, TABLE_MAPPING};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `eport table`.
#[derive(Args, Debug)]
pub struct TableArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TableCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum TableCommand {
    /// Import a file as a new version of a table, or the starter tables
    Import(ImportArgs),
    /// List the tables with their versions in force
    List,
    /// Show a table
    Show {
        /// Table, OWNER/NAME or a bare name of the province
        name: String,
        /// Instant to look at, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
        /// Rows to print
        #[arg(long, default_value_t = 20)]
        rows: u32,
    },
    /// Print one row
    Get {
        /// Table
        name: String,
        /// Key; parts joined by commas
        key: String,
        /// Instant to look at, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Find rows in which every word of a text stands
    Find {
        /// Table
        name: String,
        /// Words, in either case; a row needs all of them, each in any field
        text: String,
        /// Instant to look at, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
        /// Rows to print at most
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Take the text as the beginning of a key
        #[arg(long)]
        prefix: bool,
    },
    /// Print the rows above a row, nearest first
    Parents {
        /// Table
        name: String,
        /// Key
        key: String,
        /// Instant to look at, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Print the rows right below a row, or those on top
    Children {
        /// Table
        name: String,
        /// Key; none for the rows on top
        key: Option<String>,
        /// Instant to look at, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Write all rows to a CSV file
    Export {
        /// Table
        name: String,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Instant to look at, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Print what a copy of the table has to take over, and the token to go on with
    Changes {
        /// Table
        name: String,
        /// Token of the part before; none for everything
        #[arg(long, value_name = "TOKEN")]
        after: Option<String>,
        /// Changes of one answer
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
    },
    /// Show what uses codes that a version drops
    Impact {
        /// Table
        name: String,
        /// Version
        version: u64,
    },
    /// List documents that were judged by a version which another had superseded by then
    Late {
        /// Table
        name: String,
    },
    /// Show which node holds which version
    Status {
        /// Table
        name: String,
    },
    /// Show the difference of two versions
    Diff {
        /// Table
        name: String,
        /// Old version
        from: u64,
        /// New version
        to: u64,
    },
    /// List the versions of a table
    Versions {
        /// Table
        name: String,
    },
    /// What becomes of versions after their publication
    #[command(flatten)]
    Life(super::table_life::LifeCommand),
}

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
    /// Read, check and compare only
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the group.
pub async fn run(args: TableArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        TableCommand::Import(args) if args.starter => import_starter(&client, &args, out).await,
        TableCommand::Import(args) => import_file(&client, &args, out).await,
        TableCommand::List => {
            let items = client.list("/v1/tables", &[]).await?;
            out.items(&items, || super::status::tables_table(&items, out.lang));
            Ok(())
        }
        TableCommand::Show { name, as_of, rows } => show(&client, &name, as_of, rows, out).await,
        TableCommand::Get { name, key, as_of } => get(&client, &name, &key, as_of, out).await,
        TableCommand::Find { name, text, as_of, limit, prefix } => {
            table_read::find(&client, &name, &text, as_of, limit, prefix, out).await
        }
        TableCommand::Parents { name, key, as_of } => {
            table_read::parents(&client, &name, &key, as_of, out).await
        }
        TableCommand::Children { name, key, as_of } => {
            table_read::children(&client, &name, key.as_deref(), as_of, out).await
        }
        TableCommand::Export { name, out: file, as_of } => {
            table_read::export(&client, &name, &file, as_of, out).await
        }
        TableCommand::Changes { name, after, limit } => {
            table_read::changes(&client, &name, after, limit, out).await
        }
        TableCommand::Impact { name, version } => table_read::impact(&client, &name, version, out).await,
        TableCommand::Late { name } => table_read::late(&client, &name, out).await,
        TableCommand::Status { name } => table_read::status(&client, &name, out).await,
        TableCommand::Diff { name, from, to } => diff(&client, &name, from, to, out).await,
        TableCommand::Versions { name } => table_read::versions(&client, &name, out).await,
        TableCommand::Life(command) => super::table_life::run(command, &client, out).await,
    }
}

pub(super) fn path(name: &str) -> String {
    format!("/v1/tables/{}", path_segment(name))
}

pub(super) fn as_of_query(as_of: Option<String>) -> Vec<(&'static str, String)> {
    as_of.map(|t| ("as_of", t)).into_iter().collect()
}

async fn import_file(client: &Client, args: &ImportArgs, out: Out) -> Result<(), Error> {
    let Some(file) = &args.file else { return Err(Error::usage("a file is needed")) };
    let content = bounded(file, Limits::default().bytes)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(stem);
    let table = args.owner.map_or_else(|| name.clone(), |owner| format!("{owner}/{name}"));
    let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let options = options(args, &file_name)?;
    let upload = TableFile { file_name, content: content.into(), options };
    let answer = publish::import(client, &table, upload).await?;
    out.result(&answer, || import_text(&answer, out));
    refused(&answer)
}

/// Reads a file that may have so many bytes; a larger one is refused before it takes memory.
fn bounded(file: &Path, max: u64) -> Result<Vec<u8>, Error> {
    let len = std::fs::metadata(file).map_err(Error::file(file))?.len();
    if len > max {
        let detail = format!("{} has {len} bytes; {max} are allowed", file.display());
        return Err(Error::coded(TABLE_IMPORT_REFUSED, detail));
    }
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

async fn import_starter(client: &Client, args: &ImportArgs, out: Out) -> Result<(), Error> {
    let mut items = Vec::new();
    for t in starter::tables()? {
        out.say(format!("importing {}", t.name), format!("导入 {}", t.name));
        items.push(publish::import(client, &t.table(), t.upload(args.dry_run, args.force)).await?);
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

async fn show(client: &Client, name: &str, as_of: Option<String>, rows: u32, out: Out) -> Result<(), Error> {
    let query = as_of_query(as_of);
    let mut document: Value = client.get(&path(name), &query).await?;
    let mut row_query = query.clone();
    row_query.push(("limit", rows.clamp(1, 1_000).to_string()));
    let page: Value = client.get(&format!("{}/rows", path(name)), &row_query).await?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    document["sample"] = items.clone().into();
    out.result(&document, || {
        let head = format!(
            "{} version {}  rows {}  effective {}  root {}\n",
            cell(&document, "name"),
            cell(&document, "version"),
            cell(&document, "rows"),
            cell(&document, "effective"),
            cell(&document, "root").chars().take(12).collect::<String>()
        );
        head + &rows_table(&document, &items).render()
    });
    Ok(())
}

/// Rows under the columns of the table, in its order.
pub(super) fn rows_table(document: &Value, items: &[Value]) -> Table {
    let columns: Vec<&str> =
        document["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut table = Table::new(&columns);
    for row in items {
        table.row(columns.iter().map(|c| cell(&row["fields"], c)));
    }
    table
}

async fn get(client: &Client, name: &str, key: &str, as_of: Option<String>, out: Out) -> Result<(), Error> {
    let row: Value =
        client.get(&format!("{}/rows/{}", path(name), path_segment(key)), &as_of_query(as_of)).await?;
    out.result(&row, || {
        let mut table = Table::new(["", ""]);
        for (field, value) in row["fields"].as_object().into_iter().flatten() {
            table.row([field.clone(), value.as_str().unwrap_or_default().to_owned()]);
        }
        format!("{key} (version {})\n{}", cell(&row, "version"), table.render())
    });
    Ok(())
}

async fn diff(client: &Client, name: &str, from: u64, to: u64, out: Out) -> Result<(), Error> {
    let mut query = vec![("from", from.to_string()), ("to", to.to_string())];
    let mut answer = json!({ "added": [], "removed": [], "changed": [] });
    loop {
        let mut part: Value = client.get(&format!("{}/diff", path(name)), &query).await?;
        for member in ["added", "removed", "changed"] {
            if let (Some(all), Value::Array(more)) = (answer[member].as_array_mut(), part[member].take()) {
                all.extend(more);
            }
        }
        let Some(next) = part["next_page_token"].as_str() else { break };
        query.truncate(2);
        query.push(("page_token", next.to_owned()));
    }
    out.result(&answer, || diff_text(&answer));
    Ok(())
}

/// A difference in the usual marks: `+` added, `-` removed, `~` changed.
fn diff_text(answer: &Value) -> String {
    let mut text = String::new();
    for (name, mark) in [("added", '+'), ("removed", '-')] {
        for key in answer[name].as_array().into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!("{mark} {key}\n"));
        }
    }
    for row in answer["changed"].as_array().into_iter().flatten() {
        text.push_str(&format!("~ {}\n", cell(row, "key")));
        for (field, change) in row["fields"].as_object().into_iter().flatten() {
            text.push_str(&format!("    {field}: {} -> {}\n", change[0], change[1]));
        }
    }
    text
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

    #[test]
    fn a_difference_shows_old_and_new_value_of_every_changed_field() {
        let answer = json!({"added": ["CNAAA"], "removed": ["CNBBB"],
            "changed": [{"key": "CNCAN", "fields": {"name": ["Canton", "Guangzhou"]}}]});
        assert_eq!(diff_text(&answer), "+ CNAAA\n- CNBBB\n~ CNCAN\n    name: \"Canton\" -> \"Guangzhou\"\n");
    }
}

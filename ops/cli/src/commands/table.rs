//! `eport table`: import and read code tables.

use crate::args::Global;
use crate::commands::publish;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::starter;
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, TableFile, path_segment};
use eport_model::RegionCode;
use serde_json::{Value, json};
use std::path::PathBuf;

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
    /// File to import, CSV
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
    /// Columns that make the key
    #[arg(long, value_name = "COL[,COL]", value_delimiter = ',', required_unless_present = "starter")]
    pub key: Vec<String>,
    /// Encoding of the file
    #[arg(long, value_name = "ENCODING", default_value = "utf-8")]
    pub encoding: String,
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
        TableCommand::Status { name } => status(&client, &name, out).await,
        TableCommand::Diff { name, from, to } => diff(&client, &name, from, to, out).await,
        TableCommand::Versions { name } => versions(&client, &name, out).await,
        TableCommand::Life(command) => super::table_life::run(command, &client, out).await,
    }
}

pub(super) fn path(name: &str) -> String {
    format!("/v1/tables/{}", path_segment(name))
}

fn as_of_query(as_of: Option<String>) -> Vec<(&'static str, String)> {
    as_of.map(|t| ("as_of", t)).into_iter().collect()
}

async fn import_file(client: &Client, args: &ImportArgs, out: Out) -> Result<(), Error> {
    let Some(file) = &args.file else { return Err(Error::usage("a file is needed")) };
    let content = std::fs::read(file).map_err(Error::file(file))?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(stem);
    let table = args.owner.map_or_else(|| name.clone(), |owner| format!("{owner}/{name}"));
    let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let upload =
        TableFile { file_name, content: content.into(), options: options(args, &args.key, &args.encoding) };
    let answer = publish::import(client, &table, upload).await?;
    out.result(&answer, || import_text(&answer, out));
    refused(&answer)
}

fn options(args: &ImportArgs, key: &[String], encoding: &str) -> Value {
    let mut options =
        json!({ "key": key, "encoding": encoding, "force": args.force, "dry_run": args.dry_run });
    if let Some(effective) = &args.effective {
        options["effective"] = effective.clone().into();
    }
    options
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
    let problems = if table.is_empty() { String::new() } else { table.render() };
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
fn rows_table(document: &Value, items: &[Value]) -> Table {
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

async fn status(client: &Client, name: &str, out: Out) -> Result<(), Error> {
    let answer: Value = client.get(&format!("{}/status", path(name)), &[]).await?;
    out.result(&answer, || {
        let mut table = Table::new(["node", ">version", "root", ">bytes", ">seconds"]);
        for n in answer["nodes"].as_array().into_iter().flatten() {
            let root: String = cell(n, "root").chars().take(12).collect();
            table.row([
                cell(n, "node"),
                cell(n, "version"),
                root,
                cell(n, "bytes_fetched"),
                cell(n, "seconds"),
            ]);
        }
        format!("{} version {}\n{}", cell(&answer, "name"), cell(&answer, "version"), table.render())
    });
    Ok(())
}

async fn diff(client: &Client, name: &str, from: u64, to: u64, out: Out) -> Result<(), Error> {
    let query = [("from", from.to_string()), ("to", to.to_string())];
    let answer: Value = client.get(&format!("{}/diff", path(name)), &query).await?;
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

async fn versions(client: &Client, name: &str, out: Out) -> Result<(), Error> {
    let items = client.list(&format!("{}/versions", path(name)), &[]).await?;
    out.items(&items, || {
        let mut table = Table::new([">version", ">rows", "effective", "published", "by", "root"]);
        for v in &items {
            let root: String = cell(v, "root").chars().take(12).collect();
            table.row([
                cell(v, "version"),
                cell(v, "rows"),
                cell(v, "effective"),
                cell(v, "published_at"),
                cell(v, "published_by"),
                root,
            ]);
        }
        table
    });
    Ok(())
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

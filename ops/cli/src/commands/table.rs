//! `eport table`: import and read code tables.

use crate::args::Global;
use crate::commands::table_import::{ImportArgs, import_file, import_starter};
use crate::commands::table_read;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, path_segment};
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
pub(super) fn diff_text(answer: &Value) -> String {
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

    #[test]
    fn a_difference_shows_old_and_new_value_of_every_changed_field() {
        let answer = json!({"added": ["CNAAA"], "removed": ["CNBBB"],
            "changed": [{"key": "CNCAN", "fields": {"name": ["Canton", "Guangzhou"]}}]});
        assert_eq!(diff_text(&answer), "+ CNAAA\n- CNBBB\n~ CNCAN\n    name: \"Canton\" -> \"Guangzhou\"\n");
    }
}

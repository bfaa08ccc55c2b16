//! `eport table verify|rollback|retire|bundle`: what becomes of versions after their publication.

use crate::commands::table::path;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Subcommand;
use eport_client::{Client, Method, Repeat, path_segment};
use eport_model::codes::BAD_REQUEST;
use eport_registry::{TableId, statement};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum LifeCommand {
    /// Read every catalog object of a node and mend what is damaged
    Verify {
        /// Table
        name: String,
    },
    /// Publish the content of an older version again
    Rollback {
        /// Table
        name: String,
        /// Version whose content is published again
        version: u64,
    },
    /// Take back a version that is not in force yet, or give up the content of one that was
    Retire {
        /// Table
        name: String,
        /// Version
        version: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Carry versions to a site that no line reaches
    #[command(subcommand)]
    Bundle(BundleCommand),
}

/// The commands about bundles.
#[derive(Subcommand, Debug)]
pub enum BundleCommand {
    /// Write versions with their content and signatures to a file
    Export {
        /// Table
        name: String,
        /// Only versions behind this one, which the receiver has
        #[arg(long, value_name = "VERSION")]
        since: Option<u64>,
        /// File to write; default NAME.eptu
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give such a file to a node
    Import {
        /// File
        file: PathBuf,
    },
}

/// Runs one of them.
pub async fn run(command: LifeCommand, client: &Client, out: Out) -> Result<(), Error> {
    match command {
        LifeCommand::Verify { name } => verify(client, &name, out).await,
        LifeCommand::Rollback { name, version } => rollback(client, &name, version, out).await,
        LifeCommand::Retire { name, version, reason } => retire(client, &name, version, &reason, out).await,
        LifeCommand::Bundle(BundleCommand::Export { name, since, out: file }) => {
            export(client, &name, since, file, out).await
        }
        LifeCommand::Bundle(BundleCommand::Import { file }) => import(client, &file, out).await,
    }
}

async fn verify(client: &Client, name: &str, out: Out) -> Result<(), Error> {
    let seen: Value = client.post(&format!("{}/verify", path(name)), &json!({}), Repeat::Safe).await?;
    let damaged = seen["damaged"].as_array().map_or(0, Vec::len);
    out.result(&seen, || {
        let (node, objects, bytes) = (cell(&seen, "node"), cell(&seen, "objects"), cell(&seen, "bytes"));
        let whole = seen["whole"] == true;
        out.lang.pick((
            format!(
                "{node}: {objects} objects, {bytes} bytes, {damaged} damaged; the table is {}\n",
                if whole { "whole" } else { "not whole" }
            ),
            format!(
                "{node}：{objects} 个对象，{bytes} 字节，{damaged} 个损坏；码表{}\n",
                if whole { "完整" } else { "不完整" }
            ),
        ))
    });
    if seen["whole"] == true { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

/// The id of a table as a node has resolved it.
fn table_id(resolved: &Value) -> Result<TableId, Error> {
    let name = resolved["name"].as_str().unwrap_or_default();
    name.parse().map_err(|e: eport_model::ParseError| Error::coded(BAD_REQUEST, e.to_string()))
}

async fn rollback(client: &Client, name: &str, version: u64, out: Out) -> Result<(), Error> {
    let url = format!("{}/rollback", path(name));
    let ask = json!({ "to": version, "dry_run": true });
    let planned: Value = client.post(&url, &ask, Repeat::Safe).await?;
    let (table, next) = (table_id(&planned)?, planned["version"].as_u64().unwrap_or_default());
    let bad = |e: eport_model::ParseError| Error::coded(BAD_REQUEST, e.to_string());
    let root = planned["root"].as_str().unwrap_or_default().parse().map_err(bad)?;
    let (rows, schema) = (planned["rows"].as_u64().unwrap_or_default(), planned["schema"].as_str());
    let statement = statement::publish_table(&table, next, root, rows, None, schema.unwrap_or_default());
    let body = json!({ "to": version, "version": next });
    let done: Value = client.give(Method::POST, &url, &body, &statement).await?;
    out.result(&done, || {
        let (new, at) = (cell(&done, "version"), cell(&done, "effective"));
        out.lang.pick((
            format!("{table} version {new} has the content of {version}, in force from {at}\n"),
            format!("{table} 版本 {new} 的内容同版本 {version}，自 {at} 起生效\n"),
        ))
    });
    Ok(())
}

async fn retire(client: &Client, name: &str, version: u64, reason: &str, out: Out) -> Result<(), Error> {
    out.confirm((
        &format!("give up version {version} of {name}?"),
        &format!("停用 {name} 的版本 {version}？"),
    ))?;
    let known: Value = client.get(&format!("{}/status", path(name)), &[]).await?;
    let statement = statement::retire_table(&table_id(&known)?, version, reason);
    let url = format!("{}/versions/{version}/retirement", path(name));
    let done: Value = client.give(Method::POST, &url, &json!({ "reason": reason }), &statement).await?;
    out.result(&done, || {
        format!("{} {}: {}\n", cell(&done, "name"), cell(&done, "version"), cell(&done, "state"))
    });
    Ok(())
}

async fn export(
    client: &Client,
    name: &str,
    since: Option<u64>,
    file: Option<PathBuf>,
    out: Out,
) -> Result<(), Error> {
    let query = since.map_or_else(String::new, |n| format!("?since={n}"));
    let bytes = client.download(&format!("{}/bundle{query}", path(name))).await?;
    let file = file.unwrap_or_else(|| format!("{}.eptu", path_segment(name)).into());
    std::fs::write(&file, &bytes).map_err(Error::file(&file))?;
    let document = json!({ "name": name, "since": since, "file": file, "bytes": bytes.len() });
    out.result(&document, || format!("{}: {} bytes\n", file.display(), bytes.len()));
    Ok(())
}

async fn import(client: &Client, file: &std::path::Path, out: Out) -> Result<(), Error> {
    let bytes = std::fs::read(file).map_err(Error::file(file))?;
    let taken: Value = client.put_bytes("/v1/bundles", &[], bytes.into()).await?;
    out.result(&taken, || {
        let mut table = Table::new(["table", ">version", "effective", "root", "known"]);
        for item in taken["items"].as_array().into_iter().flatten() {
            let root: String = cell(item, "root").chars().take(12).collect();
            table.row([
                cell(item, "name"),
                cell(item, "version"),
                cell(item, "effective"),
                root,
                cell(item, "known"),
            ]);
        }
        table.render()
    });
    Ok(())
}

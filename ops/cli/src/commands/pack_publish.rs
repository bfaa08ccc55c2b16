//! Publishing and retiring packs: a new version of their catalogue, signed by the operator as every table is.

use crate::commands::publish;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use clap::Args;
use eport_client::{Client, TableFile};
use eport_documents::Pack;
use eport_documents::pack::{CATALOGUE, Published};
use eport_model::codes::PACK_REFUSED;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// When and how packs are published.
#[derive(Args, Debug)]
pub struct PublishOptions {
    /// When they take effect, RFC 3339; default at once plus the federation's lead
    #[arg(long, value_name = "TIME")]
    pub effective: Option<String>,
    /// Publish although a version's number does not say that it may refuse documents that were right, or a node lacks it
    #[arg(long)]
    pub force: bool,
    /// Check and compare only
    #[arg(long)]
    pub dry_run: bool,
}

/// The rows of the newest version of the catalogue, by name: version and text.
async fn current(client: &Client) -> Result<BTreeMap<String, (String, String)>, Error> {
    let versions = match client.list(&format!("/v1/tables/{CATALOGUE}/versions"), &[]).await {
        Err(e) if e.problem().is_some_and(|p| p.status == 404) => return Ok(BTreeMap::new()),
        other => other?,
    };
    // The newest by the instant it takes effect, which may lie ahead: what is added now is added to that.
    let newest = versions.iter().filter_map(|v| v["effective"].as_str()).max().unwrap_or_default();
    let query = [("as_of", newest.to_owned()), ("limit", "100".to_owned())];
    let rows = client.list(&format!("/v1/tables/{CATALOGUE}/rows"), &query).await?;
    let text = |row: &Value, name: &str| row["fields"][name].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| (text(row, "name"), (text(row, "version"), text(row, "text")));
    Ok(rows.iter().map(row).collect())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Publishes packs, or retires them, as one version of the catalogue.
pub async fn publish(
    client: &Client,
    packs: Vec<(String, String)>,
    retire: &[String],
    options: &PublishOptions,
    out: Out,
) -> Result<(), Error> {
    let mut rows = current(client).await?;
    for (file, text) in packs {
        let pack = Pack::parse_file(&file, &text).map_err(|e| {
            let lines: Vec<String> = e.problems.iter().map(ToString::to_string).collect();
            Error::coded(PACK_REFUSED, lines.join("\n"))
        })?;
        // A catalogue is a table, and tables hold no tabs; TOML means the same by a blank.
        let text = text.replace('\t', " ");
        rows.insert(pack.head.name.to_string(), (pack.head.version.to_string(), text));
    }
    for name in retire {
        rows.insert(name.clone(), ("retired".into(), String::new()));
    }
    let published: Vec<Published> = rows
        .iter()
        .map(|(name, (_, text))| Published {
            name: name.clone(),
            text: (!text.is_empty()).then(|| text.clone()),
        })
        .collect();
    eport_documents::pack::overlay(&published)
        .and_then(eport_documents::Packs::new)
        .map_err(|e| Error::coded(PACK_REFUSED, e.to_string()))?;
    let mut csv = String::from("name,version,text\n");
    for (name, (version, text)) in &rows {
        let _ = writeln!(csv, "{},{},{}", quoted(name), quoted(version), quoted(text));
    }
    let mut settings =
        json!({ "key": ["name"], "encoding": "utf-8", "force": options.force, "dry_run": options.dry_run });
    if let Some(effective) = &options.effective {
        settings["effective"] = effective.clone().into();
    }
    let file = TableFile {
        file_name: format!("{CATALOGUE}.csv"),
        content: csv.into_bytes().into(),
        options: settings,
    };
    let answer = publish::import(client, CATALOGUE, file).await?;
    out.result(&answer, || match answer["published"].as_bool() {
        Some(true) => {
            let (version, at) = (cell(&answer, "version"), cell(&answer, "effective"));
            out.lang.pick((
                format!("version {version} of the packs is published, in force from {at}\n"),
                format!("标准包目录版本 {version} 已发布，自 {at} 起生效\n"),
            ))
        }
        _ => out.lang.pick(("not published (dry run)\n", "未发布（试运行）\n")).to_owned(),
    });
    match answer.get("error").and_then(Value::as_str) {
        None => Ok(()),
        Some(_) => Err(Error::Exit(exit::FAILED)),
    }
}

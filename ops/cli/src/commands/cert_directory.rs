//! The directory of a platform's certificates: what its CAs have issued, published as a version of the platform's own table.
//!
//! It travels as every table does: signed, by difference, on every node, also in a bundle to a site without a line, and as of any
//! date. Always: it holds what the ledger says of certificates that were signed; that one has expired is left to its last day, so
//! that only new, renewed and revoked ones change the table. Revocation itself is the registry's and waits for no directory.

use crate::commands::publish;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use clap::Args;
use eport_client::{Client, TableFile};
use eport_model::RegionCode;
use eport_model::codes::NOT_FOUND;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Name of the table in its platform's name space.
pub const TABLE: &str = "certificates";
/// Its columns; the first is the key.
const COLUMNS: [&str; 8] =
    ["serial", "subject", "profile", "node", "not_before", "not_after", "state", "issuer"];

/// When and how a directory is published.
#[derive(Args, Debug)]
pub struct DirectoryOptions {
    /// When it takes effect, RFC 3339; default at once plus the federation's lead
    #[arg(long, value_name = "TIME")]
    pub effective: Option<String>,
    /// Publish although many rows change or a node lacks it
    #[arg(long)]
    pub force: bool,
    /// Check and compare only
    #[arg(long)]
    pub dry_run: bool,
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The directory as a file; none when nothing was signed yet.
fn file(items: &[Value]) -> Option<String> {
    let mut csv = COLUMNS.join(",") + "\n";
    let mut rows = 0;
    for item in items.iter().filter(|i| i["state"] != "intent") {
        let text = |name: &str| match (name, item[name].as_str().unwrap_or_default()) {
            ("state", "expired") => quoted("valid"),
            (_, text) => quoted(text),
        };
        let _ = writeln!(csv, "{}", COLUMNS.map(text).join(","));
        rows += 1;
    }
    (rows > 0).then_some(csv)
}

/// `eport cert publish`
pub async fn publish(
    client: &Client,
    platform: RegionCode,
    options: &DirectoryOptions,
    out: Out,
) -> Result<(), Error> {
    let items = super::cert::list(client, Some(platform), None).await?;
    let Some(csv) = file(&items) else {
        return Err(Error::coded(NOT_FOUND, format!("{platform} has issued no certificate")));
    };
    let mut settings = json!({ "key": [COLUMNS[0]], "encoding": "utf-8", "force": options.force, "dry_run": options.dry_run });
    if let Some(effective) = &options.effective {
        settings["effective"] = effective.clone().into();
    }
    let file =
        TableFile { file_name: format!("{TABLE}.csv"), content: csv.into_bytes().into(), options: settings };
    let answer = publish::import(client, &format!("{platform}/{TABLE}"), file).await?;
    out.result(&answer, || match answer["published"].as_bool() {
        Some(true) => {
            let (rows, version, at) =
                (cell(&answer, "rows"), cell(&answer, "version"), cell(&answer, "effective"));
            out.lang.pick((
                format!("{platform}/{TABLE} version {version}: {rows} certificates, in force from {at}\n"),
                format!("{platform}/{TABLE} 版本 {version}：{rows} 张证书，自 {at} 起生效\n"),
            ))
        }
        _ => {
            let (added, changed) = (cell(&answer, "added"), cell(&answer, "changed"));
            out.lang.pick((
                format!("not published: {added} added, {changed} changed {}\n", cell(&answer, "error")),
                format!("未发布：新增 {added}，修改 {changed} {}\n", cell(&answer, "error")),
            ))
        }
    });
    let Some(code) = answer.get("error").and_then(Value::as_str) else { return Ok(()) };
    let known = code.parse::<eport_model::Code>().ok().and_then(|c| c.info());
    Err(Error::Exit(known.map_or(exit::FAILED, |i| i.exit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_holds_what_was_signed_and_changes_by_no_passing_day() {
        let item = |serial: &str, state: &str| {
            json!({"serial": serial, "subject": "operator/li", "profile": "operator", "node": null, "state": state,
                "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-04-01T00:00:00Z", "issuer": "aa", "chain": "x"})
        };
        let items = [item("01ab", "valid"), item("02", "intent"), item("03", "revoked")];
        let text = file(&items).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("\"01ab\",\"operator/li\",\"operator\",\"\",") && text.contains("\"revoked\""));
        assert_eq!(file(&[item("01ab", "valid")]), file(&[item("01ab", "expired")]));
        assert_eq!(file(&items[1..2]), None);
    }
}

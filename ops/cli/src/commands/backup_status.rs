//! `eport backup status`: the backups that nodes make by schedule, as each node tells of its own.

use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_client::Client;
use serde_json::{Value, json};

/// Runs the command.
pub async fn run(client: &Client, out: Out) -> Result<(), Error> {
    let items = client.list("/v1/backups", &[]).await?;
    let document = json!({ "items": items, "next_page_token": null });
    out.result(&document, || {
        if items.is_empty() {
            let none = ("no node makes backups by schedule", "没有节点进行定期备份");
            return format!("{}\n", out.lang.pick(none));
        }
        text(&items)
    });
    Ok(())
}

fn text(items: &[Value]) -> String {
    let mut table =
        Table::new(["node", "state", "newest", "created", ">kept", "due", ">failures", "restore test"]);
    let mut notes = String::new();
    for item in items {
        let test = &item["restore_test"];
        let test = match test["passed"].as_bool() {
            None => "-".to_owned(),
            Some(true) => format!("{} passed {}", cell(test, "backup"), cell(test, "at")),
            Some(false) => format!("{} FAILED {}", cell(test, "backup"), cell(test, "at")),
        };
        let [node, state, kept, due, failures] =
            ["node", "state", "kept", "due", "failures"].map(|k| cell(item, k));
        let newest = &item["newest"];
        for trouble in item["troubles"].as_array().into_iter().flatten() {
            notes.push_str(&format!("{} {node}: {}\n", cell(trouble, "code"), cell(trouble, "text")));
        }
        table.row([node, state, cell(newest, "backup"), cell(newest, "created"), kept, due, failures, test]);
    }
    format!("{}{notes}", table.render())
}

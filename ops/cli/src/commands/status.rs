//! `eport status`: the federation on one screen.

use crate::args::{Global, parse_duration};
use crate::commands::status_watch;
use crate::connect;
use crate::error::Error;
use crate::lang::Lang;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

/// Arguments of `eport status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Refresh until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Time between two refreshes
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1s")]
    pub every: Duration,
    /// Print so many frames one below the other and end, also without a terminal
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
}

/// Runs the command.
pub async fn run(args: StatusArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    if !args.watch {
        let status = client.status().await?;
        out.result(&status, || screen(&status, out.lang));
        return Ok(());
    }
    if out.json {
        return Err(Error::usage("--watch refreshes a screen; --json prints one document: use one of them"));
    }
    status_watch::run(args.every, args.frames, global, out).await
}

/// The screen as text.
pub fn screen(status: &Value, lang: Lang) -> String {
    let leader = cell(status, "leader");
    let head = lang.pick((
        format!(
            "federation {}  mode {}  registry leader {leader} (term {})\n\n",
            cell(status, "federation"),
            cell(status, "mode"),
            cell(status, "term")
        ),
        format!(
            "联邦 {}  模式 {}  注册中心主导 {leader}（任期 {}）\n\n",
            cell(status, "federation"),
            cell(status, "mode"),
            cell(status, "term")
        ),
    ));
    let mut parts = vec![
        nodes(&list(status, "nodes"), lang).render(),
        platforms(&list(status, "platforms"), lang).render(),
    ];
    let tables = list(status, "tables");
    if !tables.is_empty() {
        parts.push(tables_table(&tables, lang).render());
    }
    let warnings: String = list(status, "warnings")
        .iter()
        .map(|w| format!("! {}  {}\n", cell(w, "code"), cell(w, "text")))
        .collect();
    if !warnings.is_empty() {
        parts.push(warnings);
    }
    head + &parts.join("\n")
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Nodes as a table.
pub fn nodes(nodes: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        ["node", "site", "state", ">seen (s)", "voter", "version", "build"],
        ["节点", "站点", "状态", ">最近（秒）", "投票", "版本", "程序"],
    )));
    for n in nodes {
        let [node, site, state, seen, voter, version] =
            ["node", "site", "state", "last_seen_s", "voter", "version"].map(|k| cell(n, k));
        // Twelve digits tell programs apart; the whole digest is in the JSON.
        let build = cell(n, "build").chars().take(12).collect();
        table.row([node, site, state, seen, voter, version, build]);
    }
    table
}

/// Platforms as a table.
pub fn platforms(platforms: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        ["region", "name", "kind", "primary", ">epoch", "state", "durability", "backups", ">records", "head"],
        ["区划", "名称", "类型", "主节点", ">纪元", "状态", "持久性", "备份", ">记录", "链头"],
    )));
    for p in platforms {
        let name = cell(p, lang.pick(("name_en", "name_zh")));
        let durability = format!("{} ({})", cell(p, "durability"), cell(p, "durability_now"));
        let head = cell(p, "head_digest").chars().take(12).collect::<String>();
        let state = if p.get("away") == Some(&Value::Bool(true)) {
            format!("{} away", cell(p, "state"))
        } else {
            cell(p, "state")
        };
        table.row([
            cell(p, "region"),
            name,
            cell(p, "kind"),
            cell(p, "primary"),
            cell(p, "epoch"),
            state,
            durability,
            backups(&list(p, "backups")),
            cell(p, "records"),
            head,
        ]);
    }
    table
}

/// Backups on one line: `*` in sync, else the lag.
fn backups(backups: &[Value]) -> String {
    let one = |b: &Value| match b.get("in_sync") {
        Some(Value::Bool(true)) => format!("{}*", cell(b, "node")),
        _ if b.get("bootstrap").is_some() => {
            let taken = &b["bootstrap"];
            let rate = taken["rate"].as_u64().unwrap_or(0) as f64 / f64::from(1 << 20);
            let (node, state, percent) = (cell(b, "node"), cell(taken, "state"), cell(taken, "percent"));
            format!("{node} {state} {percent}% {rate:.1} MiB/s")
        }
        _ if b["slot"]["state"] == "lost" => {
            format!("{} slot lost -{}", cell(b, "node"), cell(b, "lag_records"))
        }
        _ => format!("{} -{}", cell(b, "node"), cell(b, "lag_records")),
    };
    let all: Vec<String> = backups.iter().map(one).collect();
    if all.is_empty() { "-".into() } else { all.join(" ") }
}

/// Code tables as a table.
pub fn tables_table(tables: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        ["table", ">version", ">rows", "effective", ">nodes"],
        ["码表", ">版本", ">行数", "生效", ">节点数"],
    )));
    for t in tables {
        table.row(["name", "version", "rows", "effective", "installed_nodes"].map(|k| cell(t, k)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_screen_shows_who_serves_what_and_what_to_worry_about() {
        let status = json!({
            "federation": "gd", "lineage": "00", "leader": "gz-a-1", "term": 3, "mode": "dev", "two_person": false,
            "nodes": [{"node": "gz-a-1", "site": "gz-a", "state": "up", "last_seen_s": 0.25, "voter": true, "version": "0.1.0",
                "build": "ba7816bf8f01cfea414140de5dae2223"}],
            "platforms": [{"region": "440300", "name_zh": "深圳市", "name_en": "Shenzhen", "kind": "physical",
                "primary": "sz-a-1", "epoch": 2, "durability": "sync", "durability_now": "replicated", "state": "active",
                "backups": [{"node": "gz-a-1", "in_sync": true, "lag_records": 0}, {"node": "gz-c-1", "in_sync": false, "lag_records": 7}],
                "records": 12, "head_digest": "ba7816bf8f01cfea", "away": false}],
            "tables": [], "warnings": [{"code": "EP2002", "text": "one voter is down"}],
        });
        let zh = screen(&status, Lang::Zh);
        assert!(
            zh.contains("深圳市")
                && zh.contains("gz-a-1* gz-c-1 -7")
                && zh.contains("! EP2002  one voter is down")
        );
        let en = screen(&status, Lang::En);
        assert!(
            en.contains("registry leader gz-a-1 (term 3)")
                && en.contains("sync (replicated)")
                && en.contains("ba7816bf8f01")
        );
    }
}

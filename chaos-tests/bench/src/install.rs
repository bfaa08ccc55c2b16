//! A version of a table on many nodes, each on a site of its own: how soon after its commit it is there, and how soon it answers.
//!
//! `BENCH_NODES` says how many nodes; 22 without it, a province and its cities. They share this machine, so its processors are most of
//! what is measured: the figure is an upper bound.

use crate::federation::Federation;
use crate::hosted::CITIES;
use crate::report::Row;
use crate::suite::push;
use crate::{Plan, acceptance::percentile};
use anyhow::{Context, Result, ensure};
use eport_client::Client;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Rows of the table, as the list of the world's places has.
const ROWS: u32 = 117_000;
/// Nodes when nobody says how many.
const NODES: usize = 22;
/// Pause between two looks at a node.
const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(120);

fn content(version: u32) -> String {
    let mut text = String::from("code,name,mark\n");
    for n in 0..ROWS {
        let salt = if n % 100 == 37 { version } else { 0 };
        let mark = n.wrapping_mul(2_654_435_761) ^ salt;
        let _ = writeln!(text, "Q{n:06},place number {n} of the world,{mark:08x}");
    }
    text
}

/// Starts the nodes and publishes a table twice: whole, and with one row in a hundred changed.
pub async fn measure(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let wanted = std::env::var("BENCH_NODES").ok().map(|n| n.parse::<usize>()).transpose()?;
    let count = wanted.unwrap_or(NODES).clamp(1, CITIES.len() + 1);
    let regions = std::iter::once("440000").chain(CITIES);
    let sites: Vec<String> = regions.take(count).enumerate().map(|(n, r)| format!("s{n}-a={r}:1")).collect();
    let args: Vec<&str> = sites.iter().flat_map(|s| ["--site", s.as_str()]).collect();
    let federation = Federation::up(&plan.bin, &plan.dir, &args)?;
    let apis = federation.apis()?;
    let clients = apis.iter().map(|api| federation.client(api)).collect::<Result<Vec<_>>>()?;
    for version in 1..=2u32 {
        let path = federation.scratch().join("quays.csv");
        std::fs::write(&path, content(version))?;
        let path = path.display().to_string();
        let args = ["table", "import", &path, "--name", "quays", "--key", "code", "--wait", "120s"];
        let answer = federation.eport(&args)?;
        ensure!(answer["published"] == true && answer["version"] == version, "{answer}");
        let begin = Instant::now();
        answers(&clients, u64::from(version)).await?;
        let answered = begin.elapsed();
        let status = installed(&federation, count).await?;
        let of = |name: &str| -> Vec<f64> {
            status["nodes"].as_array().into_iter().flatten().filter_map(|n| n[name].as_f64()).collect()
        };
        // The node where it came in has nothing to fetch.
        let mut times: Vec<f64> = of("seconds").into_iter().filter(|s| *s > 0.0).map(|s| s * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let bytes: f64 = of("bytes_fetched").into_iter().sum();
        let slowest = times.last().copied().unwrap_or(0.0);
        let what = if version == 1 { "whole" } else { "1 % changed" };
        push(
            rows,
            Row {
                what: format!(
                    "Catalog: {ROWS} rows, {what}, on {count} nodes of as many sites on this machine"
                ),
                figure: format!(
                    "here and proven {:.0} ms (p50) and {slowest:.0} ms (slowest) after the commit of the draft; every node answers \
                     from it {:.0} ms after the publication; {bytes:.0} bytes fetched by all",
                    percentile(&times, 50.0),
                    answered.as_secs_f64() * 1e3
                ),
                yardstick: None,
                ratio: None,
                goal: "≤ 1 000 ms on every node".into(),
                met: Some(slowest <= 1_000.0 && answered <= Duration::from_secs(1)),
            },
        );
    }
    Ok(())
}

/// Waits until every node answers from a version.
async fn answers(clients: &[Client], version: u64) -> Result<()> {
    let one = |client: &Client| {
        let client = client.clone();
        async move {
            let end = Instant::now() + PATIENCE;
            loop {
                let shown = client.get::<Value>("/v1/tables/quays", &[]).await;
                if shown.is_ok_and(|s| s["version"].as_u64() == Some(version)) {
                    return Ok(());
                }
                ensure!(Instant::now() < end, "a node does not answer from version {version}");
                tokio::time::sleep(LOOK).await;
            }
        }
    };
    let mut all = tokio::task::JoinSet::new();
    for client in clients {
        all.spawn(one(client));
    }
    while let Some(done) = all.join_next().await {
        done.context("a look at a node")??;
    }
    Ok(())
}

/// What every node says of its copy, once all have one.
async fn installed(federation: &Federation, count: usize) -> Result<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = federation.eport(&["table", "status", "quays"])?;
        let nodes = status["nodes"].as_array().context("nodes")?;
        if nodes.len() == count && nodes.iter().all(|n| n["root"] == status["root"]) {
            return Ok(status);
        }
        ensure!(Instant::now() < end, "not on every node: {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

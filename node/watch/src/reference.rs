//! The reference page of the metrics, made from the catalogue. A test fails when the checked file is stale.

use crate::catalogue::METRICS;
use crate::unit::{Kind, Metric};

/// The page as Markdown.
pub fn page() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         Made from the program; `UPDATE=1 cargo test -p eport-watch --test reference` writes it again.\n\n\
         Every node serves them at `/metrics`: on its loopback listener without a certificate, on the API with one. A metric without \
         anything to say is left out: a node that makes no backups says nothing of backups. Counters begin again with the process. \
         Labels have few values; none carries a document, a person or an enterprise.\n\n\
         Alerts on them: [ops/alerts](../../ops/alerts/README.md).\n",
    );
    let mut group = "";
    for (_, metric) in METRICS {
        if metric.group != group {
            group = metric.group;
            out.push_str(&format!(
                "\n## {group}\n\n| metric | type | unit | labels | meaning | 含义 |\n|---|---|---|---|---|---|\n"
            ));
        }
        out.push_str(&row(metric));
    }
    out
}

fn row(metric: &Metric) -> String {
    let kind = match metric.unit.kind() {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
    };
    let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
    let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
    let (name, unit) = (metric.name, metric.unit.word());
    format!("| `{name}` | {kind} | {unit} | {labels} | {} | {} |\n", metric.en, metric.zh)
}

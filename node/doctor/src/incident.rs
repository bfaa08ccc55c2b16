//! The timeline of an incident: what every node knows of a span of time, merged, each event once.

use eport_api_types::{IncidentEvent, IncidentEvents};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Most events of one timeline; beyond it the newest are left out and that is said.
const EVENTS_MAX: usize = 20_000;

/// A merged timeline.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timeline {
    /// Oldest first.
    pub events: Vec<IncidentEvent>,
    /// More happened than is shown.
    pub truncated: bool,
    /// Sources that the caller may not read, at every node.
    pub withheld: BTreeSet<String>,
    /// Nodes that gave nothing, with the reason.
    pub silent: Vec<(String, String)>,
}

/// Merges what nodes answered: in order of time, what the registry keeps once although every node tells it.
pub fn merge(answers: Vec<IncidentEvents>, silent: Vec<(String, String)>) -> Timeline {
    let truncated = answers.iter().any(|a| a.truncated);
    let withheld = answers.iter().flat_map(|a| a.withheld.iter().cloned()).collect();
    let mut events: Vec<IncidentEvent> = answers.into_iter().flat_map(|a| a.items).collect();
    // Times are UTC with milliseconds: their text sorts as they do.
    events.sort();
    events.dedup();
    let over = events.len() > EVENTS_MAX;
    events.truncate(EVENTS_MAX);
    Timeline { events, truncated: truncated || over, withheld, silent }
}

impl Timeline {
    /// As `--json` prints it.
    pub fn document(&self) -> Value {
        let silent: Vec<Value> =
            self.silent.iter().map(|(node, why)| json!({ "node": node, "reason": why })).collect();
        json!({
            "items": self.events, "next_page_token": null, "truncated": self.truncated,
            "withheld": self.withheld, "silent": silent,
        })
    }

    /// What is missing from it, in words.
    pub fn gaps(&self, chinese: bool) -> Vec<String> {
        let pick = |en: String, zh: String| if chinese { zh } else { en };
        let mut out: Vec<String> = self
            .silent
            .iter()
            .map(|(n, why)| pick(format!("{n} gave nothing: {why}"), format!("{n} 未提供：{why}")))
            .collect();
        out.extend(self.withheld.iter().map(|s| {
            pick(
                format!("{s} is not shown: your role may not read it"),
                format!("{s} 未显示：当前角色无权读取"),
            )
        }));
        if self.truncated {
            out.push(pick(
                "the span holds more events: ask for a shorter one".into(),
                "该时段事件过多：请缩短时段".into(),
            ));
        }
        out
    }

    /// A report in Markdown.
    pub fn markdown(&self, from: &str, to: &str, chinese: bool) -> String {
        let (title, head) = match chinese {
            true => ("事件时间线", "| 时间 (UTC) | 来源 | 节点 | 平台 | 事件 | 操作人 | 说明 |"),
            false => ("Incident timeline", "| Time (UTC) | Source | Node | Platform | Event | By | What |"),
        };
        let mut out = format!("# {title}\n\n{from} – {to}\n\n");
        for gap in self.gaps(chinese) {
            let _ = writeln!(out, "- {}", cell(&gap));
        }
        let _ = writeln!(out, "\n{head}\n| --- | --- | --- | --- | --- | --- | --- |");
        for e in &self.events {
            let node = e.node.map(|n| n.to_string()).unwrap_or_default();
            let region = e.region.map(|r| r.to_string()).unwrap_or_default();
            let cells = [&e.at, &e.source, &node, &region, &e.event, &e.by, &e.text].map(|t| cell(t));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out
    }
}

/// One cell: no line end and no bar of its own.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

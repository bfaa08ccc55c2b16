//! The report: one table for people, one JSON document for programs, and the machine they belong to.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// One measured figure.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure, with its unit.
    pub figure: String,
    /// The yardstick of the same run, with its unit.
    pub yardstick: Option<String>,
    /// Figure through yardstick.
    pub ratio: Option<f64>,
    /// What is wanted.
    pub goal: String,
    /// Whether it is reached; `None`: recorded only.
    pub met: Option<bool>,
}

impl Row {
    fn cells(&self) -> [String; 6] {
        [
            self.what.clone(),
            self.figure.clone(),
            self.yardstick.clone().unwrap_or_else(|| "–".into()),
            self.ratio.map_or_else(|| "–".into(), |r| format!("{:.0} %", r * 100.0)),
            self.goal.clone(),
            match self.met {
                Some(true) => "met".into(),
                Some(false) => "**not met**".into(),
                None => "recorded".into(),
            },
        ]
    }

    fn json(&self) -> Value {
        json!({"what": self.what, "figure": self.figure, "yardstick": self.yardstick, "ratio": self.ratio, "goal": self.goal, "met": self.met})
    }
}

/// The report as Markdown.
pub fn markdown(rows: &[Row], machine: &[(&str, String)], notes: &[String]) -> String {
    let mut out = String::from(
        "# Benchmarks\n\n<!-- Written by `make bench`; do not edit. -->\n\n\
         Every figure stands beside a yardstick measured in the same run, in the same folder, on the same machine; \
         client, nodes and yardstick share its processors. Ratios travel between machines, figures do not.\n\n\
         | Measure | Figure | Yardstick | Ratio | Goal | |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        out.push_str(&format!("| {} |\n", row.cells().join(" | ")));
    }
    out.push_str("\n## How it is measured\n\n");
    for note in notes {
        out.push_str(&format!("- {note}\n"));
    }
    out.push_str("\n## Machine and run\n\n| | |\n|---|---|\n");
    for (name, value) in machine {
        out.push_str(&format!("| {name} | {value} |\n"));
    }
    out
}

/// The report as JSON.
pub fn document(rows: &[Row], machine: &[(&str, String)]) -> Value {
    let machine: serde_json::Map<String, Value> =
        machine.iter().map(|(k, v)| ((*k).to_owned(), Value::from(v.clone()))).collect();
    json!({"machine": machine, "rows": rows.iter().map(Row::json).collect::<Vec<_>>()})
}

/// Facts of the machine that the figures depend on.
pub fn machine(dir: &Path) -> Result<Vec<(&'static str, String)>> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().context("processors")?;
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
    let memory = read("/proc/meminfo");
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(vec![
        ("date", output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
        ("commit", commit()),
        ("processors", format!("{cores} × {}", model.trim_start_matches([' ', '\t', ':']).trim())),
        ("memory", format!("{:.1} GiB", kib as f64 / f64::from(1 << 20))),
        ("disk", disk(dir)),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load average at start", read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ("profile", "the workspace's one profile (`dev`), see Cargo.toml".to_owned()),
    ])
}

/// File system and device of a folder, and whether the device turns.
fn disk(dir: &Path) -> String {
    let dir = dir.display().to_string();
    let line = output("df", &["--output=fstype,source", &dir]);
    let mut words = line.lines().last().unwrap_or_default().split_whitespace();
    let (fs, source) = (words.next().unwrap_or("?"), words.next().unwrap_or("?"));
    let device = source.rsplit('/').next().unwrap_or_default();
    let queue = std::fs::read_to_string(format!("/sys/block/{device}/queue/rotational"));
    let kind = match queue.as_deref().map(str::trim) {
        Ok("0") => "not rotating",
        Ok("1") => "reported as rotating",
        _ => "kind unknown",
    };
    format!("{fs} on {source}, {kind}")
}

fn commit() -> String {
    let dirty = if output("git", &["status", "--porcelain"]).is_empty() { "" } else { " with local changes" };
    format!("{}{dirty}", output("git", &["rev-parse", "--short=12", "HEAD"]))
}

/// What a program prints; empty when it cannot run.
fn output(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_said_plainly() {
        let row = Row {
            what: "acceptance".into(),
            figure: "10/s".into(),
            yardstick: Some("100/s".into()),
            ratio: Some(0.1),
            goal: "≥ 50 %".into(),
            met: Some(false),
        };
        let text = markdown(&[row], &[("kernel", "6".into())], &[]);
        assert!(text.contains("| acceptance | 10/s | 100/s | 10 % | ≥ 50 % | **not met** |"), "{text}");
    }
}

//! A concurrent client process (`eport load`) and its log.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, wait_for};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

/// One attempt of the client as it logged it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The document.
    pub reference: String,
    /// HTTP status, if there was an answer.
    pub status: Option<u64>,
    /// Number the platform gave.
    pub doc_id: Option<String>,
    /// Epoch of the record.
    pub epoch: Option<u64>,
    /// When it was sent and answered, milliseconds.
    pub sent_ms: f64,
    /// When the answer came.
    pub done_ms: f64,
    /// The whole line.
    pub line: Value,
}

impl Attempt {
    /// Accepted now or earlier.
    pub fn accepted(&self) -> bool {
        matches!(self.status, Some(200 | 201))
    }
}

/// A client that lodges documents until it is told to stop.
#[derive(Debug)]
pub struct Load {
    child: Option<Child>,
    log: PathBuf,
    stop: PathBuf,
}

impl Load {
    /// Starts it; references begin with `prefix`.
    pub fn start(fed: &Federation, region: &str, prefix: &str, rate: u32) -> Result<Self> {
        let (log, stop) =
            (fed.scratch().join(format!("{prefix}.log")), fed.scratch().join(format!("{prefix}.stop")));
        let rate = rate.to_string();
        let (log_text, stop_text) = (log.to_string_lossy().into_owned(), stop.to_string_lossy().into_owned());
        let child = fed.spawn(&[
            "load",
            "--platform",
            region,
            "--rate",
            &rate,
            "--prefix",
            prefix,
            "--log",
            &log_text,
            "--stop-file",
            &stop_text,
        ])?;
        Ok(Self { child: Some(child), log, stop })
    }

    /// The attempts logged so far. A last line that is still being written is left out.
    pub fn attempts(&self) -> Result<Vec<Attempt>> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut out = Vec::new();
        for line in whole.lines() {
            let v: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if v["line"] == "attempt" {
                out.push(Attempt {
                    reference: v["client_ref"].as_str().unwrap_or_default().to_owned(),
                    status: v["status"].as_u64(),
                    doc_id: v["doc_id"].as_str().map(str::to_owned),
                    epoch: v["epoch"].as_u64(),
                    sent_ms: v["sent_ms"].as_f64().unwrap_or_default(),
                    done_ms: v["done_ms"].as_f64().unwrap_or_default(),
                    line: v,
                });
            }
        }
        Ok(out)
    }

    /// Waits until `more` documents beyond those acknowledged now have been acknowledged.
    pub fn wait_more(&self, more: usize) -> Result<()> {
        let accepted = || self.attempts().map(|a| a.iter().filter(|a| a.accepted()).count());
        let wanted = accepted()? + more;
        wait_for("acknowledgements of the load", Duration::from_secs(60), || match accepted() {
            Ok(n) if n >= wanted => Ok(()),
            other => Err(format!("{other:?} of {wanted}")),
        })
    }

    /// Lets it end and returns everything it saw.
    pub fn finish(mut self) -> Result<Vec<Attempt>> {
        std::fs::write(&self.stop, "")?;
        let child = self.child.take().context("the load was finished already")?;
        let ran = Ran::from(child.wait_with_output()?);
        ensure!(ran.code == 0, "the load ended with {ran:?}");
        let unanswered = ran.json()?["unanswered"].as_u64();
        ensure!(unanswered == Some(0), "the load left documents without an answer: {}", ran.stdout);
        self.attempts()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

//! A runner without coverage: mutations from a corpus, and what shows a way that no input took before joins the corpus of the run.
//!
//! Always: bounded by time or count and by the inputs it keeps; the same seed and corpus make the same inputs; a broken promise, a
//! panic or an input that takes longer than [`SLOW`] ends the run with the input in hand.

use crate::{Mutator, Target};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Inputs a run keeps beside the corpus.
const KEPT_MAX: usize = 1_024;
/// Marks a run remembers.
const MARKS_MAX: usize = 1 << 16;
/// No input may take longer.
const SLOW: Duration = Duration::from_secs(5);
/// How often the clock is looked at.
const LOOK_EVERY: u64 = 64;

/// When a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so long.
    Time(Duration),
    /// After so many inputs.
    Count(u64),
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// Inputs given.
    pub executions: u64,
    /// Ways seen.
    pub ways: usize,
    /// Inputs that the run keeps: the corpus and what showed a new way.
    pub kept: usize,
    /// What was found, if anything.
    pub finding: Option<Finding>,
}

/// An input that breaks a promise.
#[derive(Debug)]
pub struct Finding {
    /// What happened.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

/// The files of a corpus in the order of their names.
pub fn corpus(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    paths.iter().map(|p| std::fs::read(p).with_context(|| p.display().to_string())).collect()
}

/// Gives one input to a target.
#[allow(clippy::disallowed_methods)] // A run is measured by the real clock.
pub fn once(target: &Target, input: &[u8]) -> Result<u64, Finding> {
    let begun = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| (target.body)(input)));
    let found = |what: String| Finding { what, input: input.to_vec() };
    let mark = done.map_err(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        found(format!("panicked: {}", text.unwrap_or_else(|| "without a text".into())))
    })?;
    match begun.elapsed() {
        took if took > SLOW => Err(found(format!("took {took:?}"))),
        _ => Ok(mark),
    }
}

/// Runs a target over its corpus and then over mutations of it.
#[allow(clippy::disallowed_methods)] // A run is measured by the real clock.
pub fn run(target: &Target, corpus: &[Vec<u8>], seed: u64, until: Until) -> Report {
    let begun = Instant::now();
    let mut kept = corpus.to_vec();
    let (mut marks, mut executions) = (BTreeSet::new(), 0);
    let mut mutator = Mutator::new(target.shape, target.words, seed);
    let first = kept.len();
    loop {
        let input = match kept.get(executions as usize).filter(|_| (executions as usize) < first) {
            Some(input) => input.clone(),
            None => mutator.input(&kept),
        };
        match once(target, &input) {
            Ok(mark) => {
                let new = marks.len() < MARKS_MAX && marks.insert(mark);
                if new && executions as usize >= first && kept.len() < first + KEPT_MAX {
                    kept.push(input);
                }
            }
            Err(finding) => {
                return Report { executions, ways: marks.len(), kept: kept.len(), finding: Some(finding) };
            }
        }
        executions += 1;
        let over = match until {
            Until::Count(count) => executions >= count.max(first as u64),
            Until::Time(time) => executions % LOOK_EVERY == 0 && begun.elapsed() >= time,
        };
        if over {
            return Report { executions, ways: marks.len(), kept: kept.len(), finding: None };
        }
    }
}

//! The table of a run, as `docs/reference/fault-matrix.md`.

use super::cell::Outcome;
use super::drills::{DrillCell, DrillOutcome};
use super::fault::{FAULTS, Fault};
use super::plan::{Cell, Victim, possible};
use super::steps::{self, KINDS, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A cell with what came of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The cell.
    pub cell: Cell,
    /// Its outcome, or the promise that was broken.
    pub result: Result<Outcome, String>,
}

/// Which pairs of (place, fault) the simulator has gone through; empty when it was not asked.
pub type Simulated = BTreeSet<(String, String)>;

/// What the simulator calls a fault of the matrix; none where it has no such fault.
pub fn simulated_as(fault: Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::Kill | Fault::KillTwice => "crash",
        Fault::TornEnd => "power_loss",
        Fault::Pause | Fault::Stall | Fault::Starved => "pause",
        Fault::Cut | Fault::Flap => "isolate",
        Fault::CutOut | Fault::CutIn => "asymmetric",
        Fault::Noise => "noise",
        Fault::JournalSync => "storage",
        Fault::SlowDisk => "slow_disk",
        Fault::RegistrySync => "registry_outage",
        Fault::FewFiles | Fault::NewPath | Fault::FullDisk | Fault::ClockAhead | Fault::ClockBehind => {
            return None;
        }
    })
}

/// A cell of a drill with what came of it.
#[derive(Clone, Debug)]
pub struct DrillRow {
    /// The cell.
    pub cell: DrillCell,
    /// Its outcome, or the promise that was broken.
    pub result: Result<DrillOutcome, String>,
}

/// The document.
pub fn markdown(
    rows: &[Row],
    drills: &[DrillRow],
    planned: (usize, usize),
    simulated: &Simulated,
    facts: &[String],
) -> String {
    let (planned, planned_drills) = planned;
    let mut text = String::from(
        "# Steps × faults\n\nWritten by `make matrix` from its own run. A letter says who went through a cell: `p` a real process, \
         `s` the simulator, `b` both, `F` a process that broke a promise, `·` nobody. After every process cell: each acknowledged document is \
         there once under its number, one primary an epoch, the copies of all holders are equal, the platform serves and all its backups \
         are in sync again by themselves or after the start of a process.\n\n",
    );
    let broken = rows.iter().filter(|r| r.result.is_err()).count();
    let missed = rows.iter().filter(|r| r.result.as_ref().is_ok_and(|o| !o.reached)).count();
    let toothless = rows.iter().filter(|r| r.result.as_ref().is_ok_and(|o| !o.bit)).count();
    let _ = writeln!(
        text,
        "{} of {planned} planned cells were run (of {} that can be; every pair of move, moment, fault and victim is planned, and `kill -9` at every step); {broken} broke a \
         promise; in {missed} nobody came to the step; in {toothless} the fault found nothing to break.\n",
        rows.len(),
        possible().len()
    );
    for fact in facts {
        let _ = writeln!(text, "- {fact}");
    }
    legend(&mut text);
    for kind in KINDS {
        let _ = writeln!(text, "\n## {kind}\n");
        grid(
            &mut text,
            rows,
            simulated,
            &steps::all().into_iter().filter(|s| s.kind == kind).collect::<Vec<_>>(),
        );
        cells(&mut text, &rows.iter().filter(|r| r.cell.step.kind == kind).collect::<Vec<_>>());
    }
    drill_table(&mut text, drills, planned_drills);
    text.push_str(NOT_HERE);
    text
}

fn drill_table(text: &mut String, drills: &[DrillRow], planned: usize) {
    let broken = drills.iter().filter(|r| r.result.is_err()).count();
    let _ = writeln!(
        text,
        "\n## Drills with a fault before each step\n\n{} of {planned} cells were run, {broken} broke a promise. Whatever the verdict: the start \
         state is back, nothing is owed, every promise of a client beside the drill is kept, the copies are equal, no process is left.\n\n\
         | Drill | Before step | Fault | Verdict | Said by the registry |\n| --- | --- | --- | --- | --- |",
        drills.len()
    );
    for row in drills {
        let c = &row.cell;
        let _ = match &row.result {
            Ok(o) => {
                let verdict = match (o.reached, o.verdict.as_str()) {
                    (false, v) => format!("{v} (the step was not come to)"),
                    (_, "") => "not begun".to_owned(),
                    (_, v) => v.to_owned(),
                };
                writeln!(
                    text,
                    "| {} | {} | {} | {verdict} | {} |",
                    c.drill,
                    c.step,
                    c.blow,
                    first_line(&o.note)
                )
            }
            Err(why) => {
                writeln!(text, "| {} | {} | {} | **broken** | {} |", c.drill, c.step, c.blow, first_line(why))
            }
        };
    }
}

const NOT_HERE: &str = "\n## Not in this matrix\n\n\
    - Bit flips, deleted files, an old copy or an emptied disk: scenarios of their own (`faults`, `quorum`, `tails`), not at every step.\n\
    - Read-only remount: Linux refuses it while files are open for writing; a start on a read-only folder is a scenario of `faults`.\n\
    - A lease's clock: the monotonic clock of a running process cannot be moved without a time namespace; the simulator drifts it.\n\
    - Out of memory: the kernel kills with SIGKILL, which is `kill -9` here.\n\
    - Certificates that end or are revoked during a move: the scenarios of the certificate authority.\n\
    - `adopt` and `recover apply` need a federation whose quorum is gone: a scenario of `quorum` kills them at each of their steps, and the drill `quorum-loss` runs them.\n\
    - Two faults at once: pairs of this matrix are (step, fault); second concurrent faults are drawn by the simulator.\n";

fn legend(text: &mut String) {
    text.push_str("\nColumns: ");
    let names: Vec<String> = FAULTS.iter().enumerate().map(|(n, f)| format!("{} {f}", n + 1)).collect();
    let _ = writeln!(text, "{}.", names.join(", "));
}

fn grid(text: &mut String, rows: &[Row], simulated: &Simulated, steps: &[Step]) {
    text.push_str("| Step |");
    (1..=FAULTS.len()).for_each(|n| {
        let _ = write!(text, " {n} |");
    });
    text.push_str("\n| --- |");
    FAULTS.iter().for_each(|_| text.push_str(" - |"));
    text.push('\n');
    for step in steps {
        let _ = write!(text, "| {}: `{}`{} |", step.who.word(), step.place, nth(step));
        for fault in FAULTS {
            let here = |r: &&Row| r.cell.step == *step && r.cell.fault == fault;
            let by_process: Vec<&Row> = rows.iter().filter(here).collect();
            let broken = by_process.iter().any(|r| r.result.is_err());
            let real = by_process.iter().any(|r| r.result.as_ref().is_ok_and(|o| o.reached && o.bit));
            let sim = simulated_as(fault)
                .is_some_and(|name| simulated.contains(&(step.place.to_owned(), name.to_owned())));
            let mark = match (broken, real, sim) {
                (true, ..) => "F",
                (_, true, true) => "b",
                (_, true, false) => "p",
                (_, false, true) => "s",
                _ => "·",
            };
            let _ = write!(text, " {mark} |");
        }
        text.push('\n');
    }
}

fn nth(step: &Step) -> String {
    if step.skip == 0 { String::new() } else { format!(" ({}.)", step.skip + 1) }
}

fn cells(text: &mut String, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str("\n| Step | Fault | Hits | Outcome | Command's exit | Longest write pause |\n| --- | --- | --- | --- | --- | --- |\n");
    for row in rows {
        let c = &row.cell;
        let hits = match c.victim {
            Victim::Here => "who stands there".to_owned(),
            Victim::Other(who) => who.word().to_owned(),
        };
        let head =
            format!("| {}: `{}`{} | {} | {hits} |", c.step.who.word(), c.step.place, nth(&c.step), c.fault);
        let _ = match &row.result {
            Ok(o) => {
                let mut what = o.ended.clone();
                if !o.reached {
                    what.push_str(", nobody came to the step");
                }
                if !o.bit {
                    what.push_str(", nothing to break");
                }
                let exit = o.exit.map_or_else(|| "–".to_owned(), |e| e.to_string());
                writeln!(text, "{head} {what} | {exit} | {} ms |", o.pause_ms)
            }
            Err(why) => writeln!(text, "{head} **broken**: {} | – | – |", first_line(why)),
        };
    }
}

fn first_line(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    line.replace('|', "/")
}

/// Outcomes by how often they came.
pub fn summary(rows: &[Row]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let key = match &row.result {
            Ok(o) => o.ended.clone(),
            Err(_) => "broken".to_owned(),
        };
        *counts.entry(key).or_default() += 1;
    }
    counts
}

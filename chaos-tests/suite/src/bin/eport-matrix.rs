//! `make matrix`: runs the cells of the matrix on a real federation and writes the table.
#![forbid(unsafe_code)]
// A shell for tests: it measures its own time.
#![allow(clippy::disallowed_methods)]

use anyhow::{Context, Result};
use eport_suite::matrix::drills::{self, DrillCell};
use eport_suite::matrix::report::{DrillRow, Row, Simulated, markdown, summary};
use eport_suite::matrix::{Cell, Ground, cover, kills, run};
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Args {
    out: Option<PathBuf>,
    simulated: Option<PathBuf>,
    limit: Duration,
    only: Option<String>,
    list: bool,
}

fn args() -> Result<Args> {
    let mut args =
        Args { out: None, simulated: None, limit: Duration::from_secs(20 * 60), only: None, list: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--out" => args.out = Some(value()?.into()),
            "--simulated" => args.simulated = Some(value()?.into()),
            "--minutes" => {
                args.limit = Duration::from_secs(60 * value()?.parse::<u64>().context("--minutes")?)
            }
            "--only" => args.only = Some(value()?),
            "--list" => args.list = true,
            other => anyhow::bail!(
                "unknown word {other}: --out FILE, --simulated FILE, --minutes N, --only TEXT, --list"
            ),
        }
    }
    Ok(args)
}

fn main() -> Result<()> {
    let args = args()?;
    let mut cells = cover();
    let mut more = kills(&cells);
    let planned = cells.len() + more.len();
    let wanted = |c: &Cell| args.only.as_ref().is_none_or(|text| name(c).contains(text));
    cells.retain(wanted);
    more.retain(wanted);
    if args.list {
        cells.iter().chain(&more).for_each(|c| println!("{}", name(c)));
        return Ok(());
    }
    let simulated = args.simulated.as_deref().map(read_simulated).transpose()?.unwrap_or_default();
    let begun = Instant::now();
    let mut ground = Ground::new()?;
    // The pairs first, then the drills: what the time does not suffice for is a repetition of the simplest fault.
    let (mut rows, mut facts) = go_through(&mut ground, &cells, args.limit, 0)?;
    let wanted = |c: &DrillCell| args.only.as_ref().is_none_or(|text| drill_name(c).contains(text));
    let mut drill_cells = drills::cells(&drills::drills(&ground, &DRILLS)?);
    let planned_drills = drill_cells.len();
    drill_cells.retain(wanted);
    let left = args.limit.saturating_sub(begun.elapsed());
    let rehearsed = rehearse(&mut ground, &drill_cells, left, &mut facts)?;
    let left = args.limit.saturating_sub(begun.elapsed());
    let (last, later) = go_through(&mut ground, &more, left, cells.len())?;
    rows.extend(last);
    rows.sort_by_key(|r| r.cell);
    facts.extend(later.into_iter().filter(|f| f.starts_with("The time")));
    facts.push(format!("The run took {:.0} s.", begun.elapsed().as_secs_f64()));
    let text = markdown(&rows, &rehearsed, (planned, planned_drills), &simulated, &facts);
    if let Some(out) = &args.out {
        std::fs::write(out, text).with_context(|| out.display().to_string())?;
    }
    let broken = rows.iter().filter(|r| r.result.is_err()).count()
        + rehearsed.iter().filter(|r| r.result.is_err()).count();
    eprintln!("{} cells in {:.0} s: {:?}", rows.len(), begun.elapsed().as_secs_f64(), summary(&rows));
    anyhow::ensure!(broken == 0, "{broken} cells broke a promise");
    Ok(())
}

/// The drills whose steps are gone through; those of a whole site and of the province have the steps of `primary-kill`.
const DRILLS: [&str; 5] = ["switchover", "primary-kill", "link-cut", "standby-read-check", "restore-test"];

fn drill_name(c: &DrillCell) -> String {
    format!("drill {} / {} / {}", c.drill, c.step, c.blow)
}

fn rehearse(
    ground: &mut Ground,
    cells: &[DrillCell],
    limit: Duration,
    facts: &mut Vec<String>,
) -> Result<Vec<DrillRow>> {
    let begun = Instant::now();
    let mut rows = Vec::new();
    for (n, cell) in cells.iter().enumerate() {
        if begun.elapsed() >= limit {
            facts.push(format!(
                "The time was over: {} planned cells of drills were not run.",
                cells.len() - n
            ));
            break;
        }
        let result = drills::run(ground, cell, n);
        match &result {
            Ok(o) => eprintln!("{:3} {:5.1} s {} -> {o:?}", n + 1, o.seconds, drill_name(cell)),
            Err(e) => eprintln!("{:3} BROKEN {}: {e:#}\n{}", n + 1, drill_name(cell), ground.fed.logs()),
        }
        if result.is_err() {
            *ground = Ground::new()?;
        }
        rows.push(DrillRow { cell: cell.clone(), result: result.map_err(|e| format!("{e:#}")) });
    }
    Ok(rows)
}

fn name(c: &Cell) -> String {
    let (who, place, skip) = (c.step.who.word(), c.step.place, c.step.skip);
    format!("{} / {who}: {place} {skip} / {} / {:?}", c.step.kind, c.fault, c.victim)
}

fn read_simulated(path: &std::path::Path) -> Result<Simulated> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let pair = |line: &str| line.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned()));
    text.lines().map(|l| pair(l).with_context(|| l.to_owned())).collect()
}

fn go_through(
    ground: &mut Ground,
    cells: &[Cell],
    limit: Duration,
    first: usize,
) -> Result<(Vec<Row>, Vec<String>)> {
    let begun = Instant::now();
    let mut facts = Vec::new();
    if !ground.mounted {
        facts.push("This process may not mount: no disk could be filled, so the cells of the full disk were not run.".to_owned());
    }
    let mut rows = Vec::new();
    for (n, cell) in cells.iter().enumerate() {
        if begun.elapsed() >= limit {
            facts.push(format!("The time was over: {} planned cells were not run.", cells.len() - n));
            break;
        }
        if cell.fault == eport_suite::matrix::fault::Fault::FullDisk && !ground.mounted {
            continue;
        }
        // A client of its own for each cell, also across the two passes.
        let result = run(ground, cell, first + n);
        match &result {
            Ok(o) => eprintln!("{:3} {:5.1} s {} -> {o:?}", n + 1, o.seconds, name(cell)),
            Err(e) => eprintln!("{:3} BROKEN {}: {e:#}\n{}", n + 1, name(cell), ground.fed.logs()),
        }
        if result.is_err() {
            // What the broken cell left must not spoil the next.
            *ground = Ground::new()?;
        }
        rows.push(Row { cell: *cell, result: result.map_err(|e| format!("{e:#}")) });
    }
    Ok((rows, facts))
}

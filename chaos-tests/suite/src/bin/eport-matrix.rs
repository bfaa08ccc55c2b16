//! `make matrix`: runs the cells of the matrix on a real federation and writes the table.
#![forbid(unsafe_code)]
// A shell for tests: it measures its own time.
#![allow(clippy::disallowed_methods)]

use anyhow::{Context, Result};
use eport_suite::matrix::report::{Row, Simulated, markdown, summary};
use eport_suite::matrix::{Cell, Ground, cover, run};
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
    let mut args = Args { out: None, simulated: None, limit: Duration::from_secs(20 * 60), only: None, list: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--out" => args.out = Some(value()?.into()),
            "--simulated" => args.simulated = Some(value()?.into()),
            "--minutes" => args.limit = Duration::from_secs(60 * value()?.parse::<u64>().context("--minutes")?),
            "--only" => args.only = Some(value()?),
            "--list" => args.list = true,
            other => anyhow::bail!("unknown word {other}: --out FILE, --simulated FILE, --minutes N, --only TEXT, --list"),
        }
    }
    Ok(args)
}

fn main() -> Result<()> {
    let args = args()?;
    let mut cells = cover();
    let planned = cells.len();
    let wanted = |c: &Cell| args.only.as_ref().is_none_or(|text| name(c).contains(text));
    cells.retain(wanted);
    if args.list {
        cells.iter().for_each(|c| println!("{}", name(c)));
        return Ok(());
    }
    let simulated = args.simulated.as_deref().map(read_simulated).transpose()?.unwrap_or_default();
    let begun = Instant::now();
    let (rows, facts) = go_through(&cells, args.limit)?;
    let text = markdown(&rows, planned, &simulated, &facts);
    if let Some(out) = &args.out {
        std::fs::write(out, text).with_context(|| out.display().to_string())?;
    }
    let broken = rows.iter().filter(|r| r.result.is_err()).count();
    eprintln!("{} cells in {:.0} s: {:?}", rows.len(), begun.elapsed().as_secs_f64(), summary(&rows));
    anyhow::ensure!(broken == 0, "{broken} cells broke a promise");
    Ok(())
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

fn go_through(cells: &[Cell], limit: Duration) -> Result<(Vec<Row>, Vec<String>)> {
    let begun = Instant::now();
    let mut ground = Ground::new()?;
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
        let result = run(&mut ground, cell, n);
        match &result {
            Ok(o) => eprintln!("{:3} {:5.1} s {} -> {o:?}", n + 1, o.seconds, name(cell)),
            Err(e) => eprintln!("{:3} BROKEN {}: {e:#}\n{}", n + 1, name(cell), ground.fed.logs()),
        }
        if result.is_err() {
            // What the broken cell left must not spoil the next.
            ground = Ground::new()?;
        }
        rows.push(Row { cell: *cell, result: result.map_err(|e| format!("{e:#}")) });
    }
    Ok((rows, facts))
}

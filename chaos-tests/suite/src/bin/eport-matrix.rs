//! `make matrix`: runs the cells of the matrix on a real federation and writes the table.
#![forbid(unsafe_code)]
// A shell for tests: it measures its own time.
#![allow(clippy::disallowed_methods)]

use anyhow::{Context, Result};
use eport_suite::matrix::drills::{self, DrillCell};
use eport_suite::matrix::fault::Fault;
use eport_suite::matrix::report::{DrillRow, Row, Simulated, markdown, summary};
use eport_suite::matrix::{Cell, Ground, cover, kills, run};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

struct Args {
    out: Option<PathBuf>,
    simulated: Option<PathBuf>,
    limit: Duration,
    only: Option<String>,
    list: bool,
    grounds: usize,
}

fn args() -> Result<Args> {
    let mut args = Args {
        out: None,
        simulated: None,
        limit: Duration::from_secs(20 * 60),
        only: None,
        list: false,
        grounds: 3,
    };
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
            "--grounds" => args.grounds = value()?.parse().context("--grounds")?,
            "--list" => args.list = true,
            other => anyhow::bail!(
                "unknown word {other}: --out FILE, --simulated FILE, --minutes N, --only TEXT, --grounds N, --list"
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
    let first = Ground::new()?;
    let mut rehearsals = drills::cells(&drills::drills(&first, &DRILLS)?);
    let planned_drills = rehearsals.len();
    rehearsals.retain(|c| args.only.as_ref().is_none_or(|text| drill_name(c).contains(text)));
    // The pairs first, then the drills: what the time does not suffice for is a repetition of the simplest fault.
    let tasks = cells.into_iter().map(Task::Move);
    let tasks = tasks.chain(rehearsals.into_iter().map(Task::Drill)).chain(more.into_iter().map(Task::Move));
    let mut facts = vec![format!("{} federations side by side.", args.grounds)];
    let done = Work::new(tasks.collect(), begun + args.limit).run(first, args.grounds, &mut facts)?;
    facts.push(format!("The run took {:.0} s.", begun.elapsed().as_secs_f64()));
    let (mut rows, mut rehearsed) = (Vec::new(), Vec::new());
    for (_, done) in done {
        match done {
            Done::Move(row) => rows.push(row),
            Done::Drill(row) => rehearsed.push(row),
        }
    }
    rows.sort_by_key(|r| r.cell);
    let text = markdown(&rows, &rehearsed, (planned, planned_drills), &simulated, &facts);
    if let Some(out) = &args.out {
        std::fs::write(out, text).with_context(|| out.display().to_string())?;
    }
    let broken = rows.iter().filter(|r| r.result.is_err()).count()
        + rehearsed.iter().filter(|r| r.result.is_err()).count();
    let all = rows.len() + rehearsed.len();
    eprintln!("{all} cells in {:.0} s: {:?}", begun.elapsed().as_secs_f64(), summary(&rows));
    anyhow::ensure!(broken == 0, "{broken} cells broke a promise");
    Ok(())
}

/// One cell to be run.
#[derive(Clone)]
enum Task {
    Move(Cell),
    Drill(DrillCell),
}

/// One cell that was run.
enum Done {
    Move(Row),
    Drill(DrillRow),
}

/// What is still to be done and what is done, shared by the federations that work side by side: nearly all of a cell's time is waiting.
struct Work {
    tasks: Vec<Task>,
    next: AtomicUsize,
    until: Instant,
    done: Mutex<Vec<(usize, Done)>>,
}

impl Work {
    fn new(tasks: Vec<Task>, until: Instant) -> Self {
        Self { tasks, next: AtomicUsize::new(0), until, done: Mutex::new(Vec::new()) }
    }

    /// Runs everything that the time suffices for; answers it in the order of the plan.
    fn run(self, first: Ground, grounds: usize, facts: &mut Vec<String>) -> Result<Vec<(usize, Done)>> {
        if !first.mounted {
            facts.push("This process may not mount: no disk could be filled, so the cells of the full disk were not run.".to_owned());
        }
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..grounds).map(|_| scope.spawn(|| self.work(Ground::new()?))).collect();
            let mut ended = vec![self.work(first)];
            ended.extend(others.into_iter().map(|o| o.join().map_err(|_| anyhow::anyhow!("a worker died"))?));
            ended.into_iter().collect::<Result<Vec<()>>>()
        })?;
        let mut done = self.done.into_inner().map_err(|_| anyhow::anyhow!("a worker died"))?;
        done.sort_by_key(|(n, _)| *n);
        let begun = self.next.load(Ordering::SeqCst).min(self.tasks.len());
        for (what, moves) in [("cells", true), ("cells of drills", false)] {
            let left = self.tasks[begun..].iter().filter(|t| matches!(t, Task::Move(_)) == moves).count();
            if left > 0 {
                facts.push(format!("The time was over: {left} planned {what} were not run."));
            }
        }
        Ok(done)
    }

    fn work(&self, mut ground: Ground) -> Result<()> {
        while Instant::now() < self.until {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(task) = self.tasks.get(number) else { break };
            // Clients are told apart by the number of the cell.
            let (name, said, done) = match task {
                Task::Move(cell) if cell.fault == Fault::FullDisk && !ground.mounted => continue,
                Task::Move(cell) => {
                    let result = run(&mut ground, cell, number);
                    let said =
                        result.as_ref().map(|o| (o.seconds, format!("{o:?}"))).map_err(|e| format!("{e:#}"));
                    let row = Row { cell: *cell, result: result.map_err(|e| format!("{e:#}")) };
                    (name(cell), said, Done::Move(row))
                }
                Task::Drill(cell) => {
                    let result = drills::run(&mut ground, cell, number);
                    let said =
                        result.as_ref().map(|o| (o.seconds, format!("{o:?}"))).map_err(|e| format!("{e:#}"));
                    let row = DrillRow { cell: cell.clone(), result: result.map_err(|e| format!("{e:#}")) };
                    (drill_name(cell), said, Done::Drill(row))
                }
            };
            let broken = said.is_err();
            match said {
                Ok((seconds, outcome)) => eprintln!("{:3} {seconds:5.1} s {name} -> {outcome}", number + 1),
                Err(why) => eprintln!("{:3} BROKEN {name}: {why}\n{}", number + 1, ground.fed.logs()),
            }
            if let Ok(mut all) = self.done.lock() {
                all.push((number, done));
            }
            if broken {
                // What the broken cell left must not spoil the next.
                ground = Ground::new()?;
            }
        }
        Ok(())
    }
}

/// The drills whose steps are gone through; those of a whole site and of the province have the steps of `primary-kill`.
const DRILLS: [&str; 5] = ["switchover", "primary-kill", "link-cut", "standby-read-check", "restore-test"];

fn drill_name(c: &DrillCell) -> String {
    format!("drill {} / {} / {}", c.drill, c.step, c.blow)
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

//! Runs seeds of the simulator: `eport-sim --seed N` one, `eport-sim --seeds N [--seed FIRST]` many.
//!
//! With `--catalogs` the fetch of catalog content is tried instead of the journals; with `--calm SITESxNODES` nothing breaks in it and the
//! copies over the first uplink are told.
//! Prints what was reached. Exits 1 when an invariant did not hold (with the seed and the command that repeats it) or when
//! a run of many seeds left a required fault or transition at zero.
#![forbid(unsafe_code)]

use eport_sim::{CATALOG_REQUIRED, CatalogOptions, Coverage, Failure, Options, run, run_catalogs};
use std::process::ExitCode;

/// A run of fewer seeds need not reach every rare transition.
const COVERAGE_SEEDS: u64 = 1_000;

struct Args {
    first: u64,
    seeds: u64,
    options: Options,
    pairs: Option<std::path::PathBuf>,
    /// The fetch of catalogs instead of the journals.
    catalogs: bool,
    /// So many sites of so many nodes, without faults and lies.
    calm: Option<(usize, usize)>,
}

fn parse() -> Result<Args, String> {
    let mut args =
        Args { first: 1, seeds: 1, options: Options::default(), pairs: None, catalogs: false, calm: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--seed" => args.first = number(value()?)?,
            "--seeds" => args.seeds = number(value()?)?,
            "--bug" => args.options.bug = Some(value()?),
            "--indirect" => args.options.indirect = true,
            "--pairs" => args.pairs = Some(value()?.into()),
            "--trace" => args.options.trace = true,
            "--catalogs" => args.catalogs = true,
            "--calm" => {
                let text = value()?;
                let (sites, nodes) = text.split_once('x').ok_or("--calm SITESxNODES")?;
                args.calm = Some((number(sites.to_owned())? as usize, number(nodes.to_owned())? as usize));
            }
            _ => {
                return Err(format!(
                    "{word} is not known; --seed N, --seeds N, --bug NAME, --indirect, --pairs FILE, --trace, --catalogs, --calm SITESxNODES"
                ));
            }
        }
    }
    if args.options.bug.is_some() && !cfg!(feature = "planted-bugs") {
        return Err("--bug needs a build with --features planted-bugs".into());
    }
    Ok(args)
}

fn report(failure: &Failure, options: &Options, catalogs: bool) {
    println!("FAILED seed {} at {} ms: {}", failure.seed, failure.at_ms, failure.invariant);
    println!("  {}", failure.detail);
    for line in &failure.trace {
        println!("  {line}");
    }
    let (feature, bug) = match &options.bug {
        Some(bug) => (" --features planted-bugs", format!(" --bug {bug}")),
        None => ("", String::new()),
    };
    let bug = if options.indirect { bug + " --indirect" } else { bug };
    let bug = if catalogs { bug + " --catalogs" } else { bug };
    println!(
        "REPRODUCE WITH: cargo run -p eport-sim{feature} --bin eport-sim -- --seed {}{bug} --trace",
        failure.seed
    );
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let (mut total, mut copies, mut slowest) = (Coverage::default(), 0.0f64, 0u64);
    for seed in args.first..args.first.saturating_add(args.seeds) {
        let (coverage, failure) = match args.catalogs {
            false => run(seed, &args.options),
            true => {
                let Options { bug, trace, .. } = args.options.clone();
                let done = run_catalogs(seed, &CatalogOptions { bug, trace, calm: args.calm });
                copies = copies.max(done.uplink_copies);
                slowest = slowest.max(done.slowest_ms);
                (done.coverage, done.failure)
            }
        };
        total.add(&coverage);
        if let Some(failure) = failure {
            report(&failure, &args.options, args.catalogs);
            return ExitCode::FAILURE;
        }
    }
    for (name, count) in total.counts() {
        println!("{count:>10}  {name}");
    }
    if let Some(file) = &args.pairs {
        let lines: String = total.pairs().map(|(step, fault)| format!("{step}\t{fault}\n")).collect();
        if let Err(problem) = std::fs::write(file, lines) {
            eprintln!("{}: {problem}", file.display());
            return ExitCode::FAILURE;
        }
    }
    let missing: Vec<&str> = match args.catalogs {
        false => total.missing(),
        true => CATALOG_REQUIRED.iter().copied().filter(|n| total.count(n) == 0).collect(),
    };
    println!("{} seeds from {}: no invariant was broken", args.seeds, args.first);
    if args.calm.is_some() {
        println!(
            "{copies:.2} copies left the first site at most; the last node had a version {slowest} ms after its commit"
        );
        return ExitCode::SUCCESS;
    }
    if !missing.is_empty() && args.seeds >= COVERAGE_SEEDS {
        println!("NOT REACHED: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

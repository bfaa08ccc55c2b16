//! `eport-fuzz`: runs targets by seeded mutations of their corpora, on the stable compiler and without coverage.
//!
//! `eport-fuzz run [--only NAMES] [--minutes N] [--seed S] --corpora DIR [--artifacts DIR]`; `eport-fuzz seeds --corpora DIR` writes
//! fresh good inputs; `eport-fuzz list`. Exit 0: nothing found; 1: an input breaks a promise and lies in the folder of artifacts.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use eport_fuzz_bodies::{Target, Until, corpus, run, targets};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

struct Plan {
    only: Vec<String>,
    minutes: f64,
    seed: u64,
    corpora: PathBuf,
    artifacts: PathBuf,
}

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<bool> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let plan = Plan::from_args(args)?;
    match what.as_str() {
        "list" => {
            targets().iter().for_each(|t| println!("{}{}", t.name, if t.of_ca { " ca" } else { "" }));
            Ok(true)
        }
        "seeds" => seeds(&plan).map(|()| true),
        "run" => all(&plan),
        _ => bail!("run, seeds or list is needed"),
    }
}

impl Plan {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let corpora = PathBuf::from("chaos-tests/fuzz/corpus");
        let artifacts = PathBuf::from("target/fuzz-artifacts");
        let mut plan = Self { only: Vec::new(), minutes: 1.0, seed: 1, corpora, artifacts };
        while let Some(arg) = args.next() {
            let value = args.next().with_context(|| format!("{arg} needs a value"))?;
            match arg.as_str() {
                "--only" => plan.only = value.split(',').map(str::to_owned).collect(),
                "--minutes" => plan.minutes = value.parse().with_context(|| value.clone())?,
                "--seed" => plan.seed = value.parse().with_context(|| value.clone())?,
                "--corpora" => plan.corpora = value.into(),
                "--artifacts" => plan.artifacts = value.into(),
                _ => bail!("{arg} is not known"),
            }
        }
        ensure!(plan.minutes.is_finite() && plan.minutes > 0.0, "--minutes is above 0");
        for name in &plan.only {
            let known = name == "ca" || targets().iter().any(|t| t.name == name);
            ensure!(known, "no target is called {name:?}");
        }
        Ok(plan)
    }

    fn wants(&self, target: &Target) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == target.name || (o == "ca" && target.of_ca))
    }
}

fn seeds(plan: &Plan) -> Result<()> {
    for target in targets().iter().filter(|t| plan.wants(t)) {
        let dir = plan.corpora.join(target.name);
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        for (name, bytes) in (target.seeds)() {
            std::fs::write(dir.join(&name), bytes)?;
        }
    }
    Ok(())
}

fn all(plan: &Plan) -> Result<bool> {
    // A finding is told once, at the end of its target.
    std::panic::set_hook(Box::new(|_| {}));
    eprintln!(
        "seeded mutations without coverage; `cargo fuzz` looks deeper where it is installed (make fuzz)"
    );
    let mut clean = true;
    for target in targets().iter().filter(|t| plan.wants(t)) {
        let corpus = corpus(&plan.corpora.join(target.name))?;
        let time = Duration::from_secs_f64(plan.minutes * 60.0);
        let report = run(target, &corpus, plan.seed, Until::Time(time));
        let (n, ways, kept) = (report.executions, report.ways, report.kept);
        println!(
            "{:<14} {n:>10} inputs in {time:?}, {ways} ways, {kept} kept, seed {}",
            target.name, plan.seed
        );
        if let Some(finding) = report.finding {
            clean = false;
            let path = write(&plan.artifacts, target.name, &finding.input)?;
            println!("{:<14} FOUND: {}; input: {}", target.name, finding.what, path.display());
        }
    }
    Ok(clean)
}

fn write(dir: &Path, name: &str, input: &[u8]) -> Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let digest = short_digest(input);
    let path = dir.join(format!("{name}-{digest}"));
    std::fs::write(&path, input)?;
    Ok(path)
}

fn short_digest(input: &[u8]) -> String {
    eport_model::Digest::of(input).to_string().chars().take(16).collect()
}

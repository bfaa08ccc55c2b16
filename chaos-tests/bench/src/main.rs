//! `eport-bench`: real nodes against yardsticks of the same run.
//!
//! Always holds: data lies on a disk, never in memory; a figure and its yardstick use the same bytes and the same folder and
//! are taken in turns; pauses and losses come from the log of a client process of its own; a missed goal is written down
//! and is no failure of the run.
#![forbid(unsafe_code)]
// A measurement reads the clocks.
#![allow(clippy::disallowed_methods)]

mod acceptance;
mod authority;
mod catalog;
mod documents;
mod fairness;
mod federation;
mod footprint;
mod hosted;
mod install;
mod keepalive;
mod moves;
mod rejoin;
mod report;
mod shipping;
mod suite;
mod tables;

use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;

/// What `--only` may name, in the order of a run.
const MEASURES: [&str; 15] = [
    "tables",
    "acceptance",
    "replicated",
    "shipping",
    "hosting",
    "fairness",
    "idle",
    "moves",
    "automatic",
    "far",
    "rejoin",
    "ca",
    "catalog",
    "install",
    "start",
];

/// What the command line says.
pub struct Plan {
    /// Folder of `eport` and `eportd`.
    bin: PathBuf,
    /// Folder for data.
    dir: PathBuf,
    /// Where the Markdown goes.
    out: Option<PathBuf>,
    /// Where the JSON goes.
    json: Option<PathBuf>,
    /// Only these measures; empty: all.
    only: Vec<String>,
    /// Seconds of one round.
    seconds: f64,
    /// A further size of data for the return of an old primary, in 10⁹ bytes.
    rejoin_gb: Option<u64>,
    /// Rows of the large file whose import is measured; none: 10⁶, and 10⁷ with `BENCH_FULL`.
    import_rows: Option<usize>,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|a| a == "flood").is_some() {
        return fairness::flood(args);
    }
    if args.next_if(|a| a == "table-memory").is_some() {
        return catalog::table_memory(args.next());
    }
    if args.next_if(|a| a == "import-memory").is_some() {
        return tables::import_memory(args.next());
    }
    let plan = Plan::from_args(args)?;
    std::fs::create_dir_all(&plan.dir).with_context(|| plan.dir.display().to_string())?;
    if eport_store::yardstick::in_memory(&plan.dir)? {
        bail!("{} is in memory, where an fsync costs nothing; choose --dir", plan.dir.display());
    }
    let machine = report::machine(&plan.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rows = runtime.block_on(suite::run(&plan))?;
    let markdown = report::markdown(&rows, &machine, &suite::notes());
    if let Some(out) = &plan.out {
        std::fs::write(out, &markdown).with_context(|| out.display().to_string())?;
    }
    if let Some(json) = &plan.json {
        std::fs::write(json, format!("{:#}\n", report::document(&rows, &machine)))
            .with_context(|| json.display().to_string())?;
    }
    print!("{markdown}");
    Ok(())
}

impl Plan {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Plan {
            bin: PathBuf::new(),
            dir: PathBuf::new(),
            out: None,
            json: None,
            only: Vec::new(),
            seconds: 4.0,
            rejoin_gb: None,
            import_rows: None,
        };
        while let Some(arg) = args.next() {
            let value = args.next().with_context(|| format!("{arg} needs a value"))?;
            match arg.as_str() {
                "--bin" => plan.bin = value.into(),
                "--dir" => plan.dir = std::path::absolute(value)?,
                "--out" => plan.out = Some(value.into()),
                "--json" => plan.json = Some(value.into()),
                "--only" => plan.only = value.split(',').map(str::to_owned).collect(),
                "--seconds" => plan.seconds = value.parse().with_context(|| value.clone())?,
                "--rejoin-gb" => plan.rejoin_gb = Some(value.parse().with_context(|| value.clone())?),
                "--import-rows" => plan.import_rows = Some(tables::import_rows(&value)?),
                _ => bail!("{arg} is not known; see .ci/bench"),
            }
        }
        if let Some(unknown) = plan.only.iter().find(|o| !MEASURES.contains(&o.as_str())) {
            bail!("--only {unknown}: there are {}", MEASURES.join(", "));
        }
        ensure!(!plan.dir.as_os_str().is_empty(), "--dir names the folder for data, on a real disk");
        ensure!(plan.bin.join("eportd").exists(), "--bin names the folder of eport and eportd");
        Ok(plan)
    }

    fn wants(&self, measure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_of_the_suite_can_be_named_and_nothing_else() {
        let suite = include_str!("suite.rs");
        let asked: Vec<&str> =
            suite.split("plan.wants(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(asked.len() >= MEASURES.len() && asked.iter().all(|a| MEASURES.contains(a)), "{asked:?}");
        assert!(MEASURES.iter().all(|m| asked.contains(m)), "{asked:?}");
        let plan = |only: &str| Plan::from_args(["--only".to_owned(), only.to_owned()].into_iter());
        let refused = plan("ca,authority").err().unwrap().to_string();
        assert!(refused.starts_with("--only authority: there are tables, "), "{refused}");
        assert!(plan("ca").err().unwrap().to_string().starts_with("--dir"), "a known one is not the fault");
    }

    #[test]
    fn the_rows_of_an_import_are_a_number_that_an_import_may_have() {
        for refused in ["0", "20000001", "many"] {
            let plan = Plan::from_args(["--import-rows".to_owned(), refused.to_owned()].into_iter());
            assert!(plan.err().unwrap().to_string().starts_with("--import-rows"), "{refused}");
        }
        assert_eq!(tables::import_rows("10000000").unwrap(), 10_000_000);
    }
}

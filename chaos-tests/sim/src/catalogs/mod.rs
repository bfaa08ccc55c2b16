//! The fetch of catalog content (`eport_catalog::sync`) in a world of holders that lie, lines that are cut and disks that are full.
//!
//! One province publishes versions of a table; the nodes of all sites fetch them from each other. Holders send altered, foreign or no
//! objects, deltas of another version, crumbs, promises; nodes crash in the middle of an install, run out of disk, lose objects, leave
//! and come back. Only the node where the versions come in is honest for certain. After the faults it stays reachable, and liars go on
//! lying: then everything must arrive. Invariants are the names in [`PROMISES`]; equal seeds give equal runs.

mod checks;
mod holder;
mod place;
mod world;

use crate::{Coverage, Failure};

/// What must hold in every run.
pub const PROMISES: [&str; 7] = [
    "only proven bytes are listed",
    "a listed content is whole",
    "nothing counts before its instant",
    "an honest holder is never named",
    "everything arrives while one honest holder is reachable",
    "the first uplink carries about one copy",
    "a holder with wrong bytes is named",
];

/// Reached by a few hundred seeds; a name at zero means that a run proved nothing about it.
pub const CATALOG_REQUIRED: &[&str] = &[
    "catalog.by_delta",
    "catalog.by_objects",
    "catalog.crash_in_install",
    "catalog.crash_in_fetch",
    "catalog.disk_full",
    "catalog.here",
    "catalog.link_cut",
    "catalog.lost_object",
    "catalog.named",
    "catalog.not_here_answered",
    "catalog.over_quarantine",
    "catalog.silent",
    "catalog.waited",
    "catalog.lie.altered",
    "catalog.lie.crumbs",
    "catalog.lie.foreign",
    "catalog.lie.garbled",
    "catalog.lie.other_delta",
    "catalog.lie.promises",
    "catalog.lie.withheld",
];

/// What a run is asked to do besides its seed.
#[derive(Clone, Debug, Default)]
pub struct CatalogOptions {
    /// Name of a bug to plant (needs the feature `planted-bugs` for those of the fetch itself).
    pub bug: Option<String>,
    /// No faults and no liars: so many sites of so many nodes each.
    pub calm: Option<(usize, usize)>,
    /// Keep a trace of the last events.
    pub trace: bool,
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct CatalogRun {
    /// What it reached.
    pub coverage: Coverage,
    /// What did not hold.
    pub failure: Option<Failure>,
    /// Copies of a whole content that left the site where it came in, the most of any version.
    pub uplink_copies: f64,
    /// Simulated milliseconds from the commit of a version until every node had it, the longest; 0 unless the run is calm.
    pub slowest_ms: u64,
}

/// The bug of the fetch itself that has this name.
#[cfg(feature = "planted-bugs")]
fn planted(name: Option<&str>) -> Option<eport_catalog::sync::Bug> {
    use eport_catalog::sync::Bug;
    match name? {
        "wrong_ends_all" => Some(Bug::WrongEndsAll),
        "wrong_unnamed" => Some(Bug::WrongUnnamed),
        "missing_asked_again" => Some(Bug::MissingAskedAgain),
        "listed_early" => Some(Bug::ListedEarly),
        "impatient" => Some(Bug::Impatient),
        _ => None,
    }
}

/// Runs one seed.
pub fn run_catalogs(seed: u64, options: &CatalogOptions) -> CatalogRun {
    world::World::new(seed, options).run()
}

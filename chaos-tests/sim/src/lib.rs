//! Seeded world over the real cores: disks that lose, links that drop, processes that die.
//!
//! The types under test are the ones that `eportd` links: `eport_journal::Replica`, `eport_registry::State` and
//! `eport_moves::next_step`. Everything around them is replaced: disk, network, registry log, clock, clients, operators.
//! Beside it `catalogs` tries the fetch of catalog content (`eport_catalog::sync`).
//! A run derives from one seed; equal seeds give equal runs. It has two phases: faults, then everything healed, after which
//! the platform must serve again and every copy must be the same. Invariants are checked at every step, one file each.
#![forbid(unsafe_code)]

mod auto;
mod bootstrap;
mod catalogs;
mod checks;
mod client;
mod convert;
mod coordinator;
mod cover;
mod disk;
mod faults;
mod heal;
mod host;
mod invariants;
mod net;
mod operator;
mod oracle;
mod pairs;
mod plan;
mod registry;
mod rewind;
mod world;

pub use catalogs::{CATALOG_REQUIRED, CatalogOptions, CatalogRun, PROMISES, run_catalogs};
pub use cover::{Coverage, REQUIRED};
pub use plan::Profile;
pub use world::{Failure, Options, run};

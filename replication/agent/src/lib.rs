//! Tasks of one node that drive journals, moves and catalog fetch.
//!
//! One task a platform owns that platform's [`eport_journal::Replica`] and performs its outputs in order; one task coordinates
//! failovers while this node leads the registry; one fetches catalog objects; one tells peers how far this node is.
//! Always holds: a platform's state changes only through its task; what arrives from the network is decoded and bounded
//! before it reaches a task; a full queue drops messages that the protocol repeats, never answers.
#![forbid(unsafe_code)]
// A shell: it reads the clocks for the cores it drives.
#![allow(clippy::disallowed_methods)]

mod catalog;
mod checkpoints;
mod clock;
mod coordinator;
mod dispatch;
mod drills;
mod erasures;
mod error;
mod handle;
mod lease;
mod node;
mod observe;
mod platform;
mod soft;
mod steps;
mod tails;
mod verification;
mod view;

pub use catalog::{BUNDLE_LEN_MAX, BundleError, Carried, CatalogSoft};
pub use checkpoints::Bootstrap;
pub use clock::Clock;
pub use dispatch::{Dispatcher, ExchangeHandler, ForwardHandler};
pub use error::Error;
pub use handle::{Pending, PlatformHandle, PlatformStatus, QueueFull, StateDigest};
pub use node::{Agent, CatalogSettings, Config};
pub use platform::BootstrapSoft;
pub use soft::{
    ArchiveSoft, BackupSetSoft, BackupSoft, KEPT, PlatformSoft, SlotSoft, SoftBoard, SoftState, TableSoft,
};
pub use verification::{Compared, MarkSoft, ScrubSoft, Verification};
pub use view::placement_view;

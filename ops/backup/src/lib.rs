//! Backups in a folder.
//!
//! ```text
//! DIR/000001/manifest.json                  what the backup holds, written last: a backup without it does not exist
//! DIR/000001/registry.epb                   the registry's rows
//! DIR/000001/440300-FIRST.epb               records of a platform from FIRST on, one file a segment
//! ```
//!
//! A backup is *full* or follows the one before it: its segments begin where the former ended. Every file is encrypted under a
//! key drawn for this backup and wrapped to the federation's recovery key, whose private half is needed for restoring only.
//! Each manifest names the digest of every file and of the manifest before it.
//!
//! What always holds: the registry is read *after* the journals, so that every epoch and every data key a record needs is in
//! it; a platform whose journal no longer continues the former backup (a tail was lost in a failover) is taken whole again;
//! nothing is removed that a kept backup needs; a restore writes into an empty folder and touches no node.
#![forbid(unsafe_code)]

mod error;
mod folder;
mod manifest;
mod restore;
mod writer;

pub use error::Error;
pub use folder::{Folder, Problem};
pub use manifest::{FileEntry, Manifest, PlatformPart, SegmentPart};
pub use restore::{Restoration, RestoredPlatform, RestoredRegistry, restore};
pub use writer::Writer;

/// Newest format of a backup known here.
pub const FORMAT: u32 = 1;

/// What a backup key is wrapped for, besides its holder.
pub(crate) fn key_context(lineage: eport_model::Lineage, seq: u64) -> String {
    format!("backup/{lineage}/{seq}")
}

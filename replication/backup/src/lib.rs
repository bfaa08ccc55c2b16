//! Backups in a folder.
//!
//! ```text
//! DIR/000001/manifest.json                  what the backup holds, written last: a backup without it does not exist
//! DIR/000001/registry.epb                   the registry's rows
//! DIR/000001/440300-FIRST.epb               records of a platform from FIRST on, one file a segment
//! DIR/000002/pruned.json                    the manifest of a backup that retention removed: the chain stays proven
//! ```
//!
//! `DIR` is a folder, or with the feature `s3` a prefix in a bucket; the format is the same.
//! A backup is *full* or follows the one before it: its segments begin where the former ended. Every file is encrypted under a
//! key drawn for this backup and wrapped to the federation's recovery key, whose private half is needed for restoring only; a backup that a node makes by itself
//! is wrapped to that node's key too, so that it can test what it made.
//! Each manifest names the digest of every file and of the manifest before it.
//!
//! What always holds: the registry is read *after* the journals, so that every epoch and every data key a record needs is in
//! it; a platform whose journal no longer continues the former backup (a tail was lost in a failover) is taken whole again;
//! nothing is removed that a kept backup needs; a restore writes into an empty folder and touches no node.
#![forbid(unsafe_code)]

mod error;
mod folder;
mod manifest;
mod place;
mod restore;
#[cfg(feature = "s3")]
mod s3;
mod target;
mod writer;

pub use error::Error;
pub use folder::{Folder, Problem};
pub use manifest::{FileEntry, MakerWrap, Manifest, PlatformPart, SegmentPart};
pub use place::{S3Options, bucket, open_target};
pub use restore::{Bounds, Restoration, RestoredPlatform, RestoredRegistry, restore, restore_within};
#[cfg(feature = "s3")]
pub use s3::S3Target;
pub use target::{DirTarget, Target};
pub use writer::{Heading, Writer};

/// Newest format of a backup known here.
pub const FORMAT: u32 = eport_model::formats::BACKUP;

/// What a backup key is wrapped for, besides its holder.
pub(crate) fn key_context(lineage: eport_model::Lineage, seq: u64) -> String {
    format!("backup/{lineage}/{seq}")
}

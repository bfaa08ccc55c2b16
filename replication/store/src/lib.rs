//! Storage of journals (files), platform state and registry (RocksDB), and catalog objects.
//!
//! [`PlatformStore`] is one store a platform: its journal, the rows its effects write, and node-local rows.
//! [`JournalWriter`] puts threads in front of it, so that many appends share one fsync and applying delays none.
//! [`RegistryStore`] is the registry's database; [`ObjectStore`] keeps digest-addressed objects; [`DataDir`] guards the
//! node's folder.
//!
//! Always holds: a write that was answered is fsynced (state rows excepted: the journal replays them); damaged bytes are
//! reported, never served; after a failed write nothing more is written until the database is opened again.
#![forbid(unsafe_code)]

mod checkpoint;
mod datadir;
mod durable;
mod error;
mod export;
mod layout;
mod log;
mod objects;
mod platform;
pub mod registry;
mod shared;
mod writer;
pub mod yardstick;

pub use checkpoint::{Checkpoint, CheckpointFile, CheckpointInbox, MANIFEST_LEN_MAX, Missing, PIECE, Part};
pub use datadir::{DataDir, NodeFile};
pub use error::{Cause, Error};
pub use export::{
    EpochSpan, ExportManifest, HeadJudge, Problem, Received, Restored, SegmentEntry, SignedHead, SignedHeads,
    TailDocument, TailHead, TailInbox, TailManifest, Until, VerifyReport, read_tail, tail_documents,
    tail_file_name, verify_export,
};
pub use log::{ClosedJournal, FileReport, Gap};
pub use objects::{
    Batch, Collected, OBJECT_LEN_MAX, ObjectFigures, ObjectStore, Scrubbed, pack_delta, unpack_delta,
};
pub use platform::{Archived, PlatformStore, Recovered, RewindMark, StateDigest, StateSnapshot};
pub use platform::{RowsLook, ScrubPlace};
pub use registry::RegistryStore;
pub use shared::{Budget, MemoryUse, Shared};
pub use writer::{Done, JournalWriter, Mark, Marks, Op, WriterLimits, WriterStats};

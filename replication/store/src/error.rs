//! What can go wrong in storage, each with a stable code.
//!
//! Errors are cheap to clone: one failed fsync answers every request that waited for it.

use eport_model::{Code, Coded, JournalIndex, Position, RecordDefect, codes};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The cause below a storage error, shared between everyone who is told of it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// A storage error. Names the operation, the object and, where one was crossed, the limit.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process holds the directory.
    #[error("data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was written for somebody else.
    #[error("{} belongs to {found}, not to {expected}", path.display())]
    OtherOwner {
        /// The file or directory.
        path: PathBuf,
        /// Whom it names.
        found: String,
        /// Whom the caller named.
        expected: String,
    },
    /// The directory was written by newer software.
    #[error("{} has format {found}; this version knows formats up to {known}", path.display())]
    NewerFormat {
        /// The file or directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The directory was written by older software, whose format this version cannot read.
    #[error("{} has format {found}; this version reads format {known}", path.display())]
    OlderFormat {
        /// The file or directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format read here.
        known: u32,
    },
    /// The file system refuses writes.
    #[error("{} cannot be written", path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: Cause,
    },
    /// No space was left for a write.
    #[error("no space is left at {} for: {operation}", path.display())]
    DiskFull {
        /// What was attempted.
        operation: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Less space is free than a node needs to start.
    #[error("{free} bytes are free at {}; at least {needed} are needed", path.display())]
    LowSpace {
        /// Where.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The file system or RocksDB reported an error.
    #[error("{operation} failed at {}", path.display())]
    Failed {
        /// What was attempted.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: Cause,
    },
    /// Stored data does not match its checksum, digest or place.
    #[error("stored data is damaged at {}: {detail}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// The record, where it is one.
        index: Option<JournalIndex>,
        /// What does not match.
        detail: String,
    },
    /// The record lies in an archive that is not there.
    #[error("{} lies in the archive, which is away", path.display())]
    ArchiveAway {
        /// The file's name in the journal.
        path: PathBuf,
    },
    /// Records that do not follow the last stored one.
    #[error("the record does not follow {last}")]
    OutOfOrder {
        /// The last stored, or last applied, record.
        last: Position,
        /// What does not match.
        #[source]
        source: RecordDefect,
    },
    /// A truncation would undo what the state rows already hold.
    #[error("records after {after} cannot be cut off: effects up to {applied} are applied")]
    BelowApplied {
        /// Last record that would have stayed.
        after: JournalIndex,
        /// Last applied record.
        applied: JournalIndex,
    },
    /// A record that is not here.
    #[error("record {index} is not stored")]
    NoRecord {
        /// The record.
        index: JournalIndex,
    },
    /// An object that is not here.
    #[error("object {digest} is not stored")]
    NoObject {
        /// The object.
        digest: eport_model::Digest,
    },
    /// A record or object beyond its limit.
    #[error("{what} has {len} bytes; {limit} are allowed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// An earlier write failed; nothing more is written until the platform is opened again.
    #[error("{} takes no writes since an earlier one failed: {first}", path.display())]
    Poisoned {
        /// The directory.
        path: PathBuf,
        /// Code of the first failure.
        code: Code,
        /// The first failure.
        first: String,
    },
    /// The writer of this platform has stopped.
    #[error("the journal writer has stopped")]
    Stopped,
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::InUse { .. } => codes::DIR_IN_USE,
            Error::OtherOwner { .. } => codes::DIR_OF_ANOTHER_NODE,
            Error::NewerFormat { .. } => codes::DIR_NEWER_FORMAT,
            Error::OlderFormat { .. } => codes::DIR_OLDER_FORMAT,
            Error::ReadOnly { .. } => codes::DIR_READ_ONLY,
            Error::DiskFull { .. } | Error::LowSpace { .. } => codes::DISK_FULL,
            Error::Failed { .. } | Error::Stopped => codes::STORAGE_FAILED,
            Error::Damaged { .. } => codes::RECORD_DAMAGED,
            Error::ArchiveAway { .. } => codes::ARCHIVE_AWAY,
            Error::OutOfOrder { .. } => codes::APPEND_REFUSED,
            Error::BelowApplied { .. } => codes::BELOW_APPLIED,
            Error::NoRecord { .. } | Error::NoObject { .. } => codes::NOT_STORED,
            Error::TooLarge { .. } => codes::OBJECT_TOO_LARGE,
            Error::Poisoned { code, .. } => *code,
        }
    }
}

impl Error {
    /// Sorts an I/O error: no space, not writable, or failed.
    pub(crate) fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let path = path.to_owned();
        match source.kind() {
            K::StorageFull | K::QuotaExceeded => Error::DiskFull { operation, path },
            K::ReadOnlyFilesystem | K::PermissionDenied => Error::ReadOnly { path, source: Arc::new(source) },
            _ => Error::Failed { operation, path, source: Arc::new(source) },
        }
    }

    /// Sorts a RocksDB error. RocksDB gives the system's message as text only.
    pub(crate) fn rocks(operation: &'static str, path: &Path, source: rocksdb::Error) -> Self {
        let (text, path) = (source.as_ref().to_owned(), path.to_owned());
        let says = |needle: &str| text.contains(needle);
        if says("No space left on device") || says("Disk quota exceeded") || says("Space limit") {
            Error::DiskFull { operation, path }
        } else if source.kind() == rocksdb::ErrorKind::Corruption {
            Error::Damaged { path, index: None, detail: format!("{operation}: {text}") }
        } else if says("Read-only file system") || says("Permission denied") {
            Error::ReadOnly { path, source: Arc::new(source) }
        } else if says("lock hold by current process") || says("While lock file") {
            Error::InUse { path }
        } else if says("No such file or directory") {
            // A table, blob or log file that the manifest names is gone.
            Error::Damaged { path, index: None, detail: format!("{operation}: {text}") }
        } else {
            Error::Failed { operation, path, source: Arc::new(source) }
        }
    }

    pub(crate) fn damaged(path: &Path, index: Option<JournalIndex>, detail: impl Into<String>) -> Self {
        Error::Damaged { path: path.to_owned(), index, detail: detail.into() }
    }
}

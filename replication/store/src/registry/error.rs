//! What can go wrong in the registry's storage, each with its stable code.

use eport_model::{Code, Coded, codes};
use std::io;
use std::path::{Path, PathBuf};

/// A failure of the registry's storage. Clonable, because one failed fsync answers everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// RocksDB or the file system failed.
    #[error("{operation} in {path}: {detail}")]
    Failed {
        /// What was attempted.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the library reported.
        detail: String,
    },
    /// No space is left.
    #[error("{operation} in {path}: no space left")]
    Full {
        /// What was attempted.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error("{operation} in {path}: not writable: {detail}")]
    ReadOnly {
        /// What was attempted.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the library reported.
        detail: String,
    },
    /// Another process, or another part of this one, has the folder open.
    #[error("{path} is open elsewhere")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was written by an earlier version.
    #[error("{dir} has format {found}; this version reads {known}")]
    OlderFormat {
        /// The folder.
        dir: PathBuf,
        /// Format found.
        found: u8,
        /// Format read here.
        known: u8,
    },
    /// The folder was written by a later version.
    #[error("{dir} has format {found}; this version knows {known}")]
    NewerFormat {
        /// The folder.
        dir: PathBuf,
        /// Format found.
        found: u8,
        /// Format known here.
        known: u8,
    },
    /// Stored or received bytes do not match their checksum or shape.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What does not match.
        detail: String,
    },
    /// An earlier sync failed or the sync thread ended; nothing is written any more.
    #[error("{path} is stopped after a failed sync; restart the node")]
    Stopped {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    pub(super) fn rocks(operation: &'static str, path: &Path, e: &rocksdb::Error) -> Self {
        let detail = e.to_string();
        let path = path.to_owned();
        let has = |needle: &str| detail.contains(needle);
        if has("No space left") {
            Self::Full { operation, path }
        } else if has("lock hold by current process") || (has("LOCK") && has("temporarily unavailable")) {
            Self::InUse { path }
        } else if has("Read-only file system") || has("Permission denied") {
            Self::ReadOnly { operation, path, detail }
        } else if e.kind() == rocksdb::ErrorKind::Corruption {
            Self::Damaged { path, detail }
        } else {
            Self::Failed { operation, path, detail }
        }
    }

    pub(super) fn io(operation: &'static str, path: &Path, e: &io::Error) -> Self {
        let path = path.to_owned();
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { operation, path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { operation, path, detail: e.to_string() }
            }
            _ => Self::Failed { operation, path, detail: e.to_string() },
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Failed { .. } | Self::Stopped { .. } => codes::STORAGE_FAILED,
            Self::Full { .. } => codes::DISK_FULL,
            Self::ReadOnly { .. } => codes::DIR_READ_ONLY,
            Self::InUse { .. } => codes::DIR_IN_USE,
            Self::NewerFormat { .. } => codes::DIR_NEWER_FORMAT,
            Self::OlderFormat { .. } => codes::DIR_OLDER_FORMAT,
            Self::Damaged { .. } => codes::RECORD_DAMAGED,
        }
    }
}

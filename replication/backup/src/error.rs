//! What can go wrong with a backup.

use eport_model::{Code, Coded, codes};
use std::path::{Path, PathBuf};

/// Why a backup could not be made, verified or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The place of the backups cannot be read or written.
    #[error("{path}")]
    Target {
        /// What was read or written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else writes backups there.
    #[error("{0}: another backup is being written")]
    Busy(PathBuf),
    /// Too little space for a restore.
    #[error("{path}: {free} bytes are free, the restore needs {needed}")]
    Space {
        /// Where it would be written.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The caller stopped it.
    #[error("stopped")]
    Stopped,
    /// A file is missing, altered, or does not fit.
    #[error("{path}: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The recovery key does not open it.
    #[error("{0}")]
    Key(String),
    /// There is no such backup.
    #[error("{0}")]
    NotFound(String),
    /// The point asked for is not in it.
    #[error("{0}")]
    Point(String),
    /// The folder belongs to another federation.
    #[error("{path} holds backups of lineage {found}, not {expected}")]
    Another {
        /// The folder.
        path: PathBuf,
        /// Lineage found.
        found: eport_model::Lineage,
        /// Lineage asked for.
        expected: eport_model::Lineage,
    },
    /// The database of a restore cannot be written.
    #[error(transparent)]
    Store(#[from] eport_store::Error),
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Damaged { path, detail: "the file is missing".into() },
            _ => Error::File { path, source },
        }
    }

    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Error::Damaged { path: path.to_owned(), detail: detail.into() }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::File { .. } => codes::FILE_UNUSABLE,
            Error::Target { .. } => codes::BACKUP_TARGET,
            Error::Busy(_) => codes::BACKUP_BUSY,
            Error::Space { .. } => codes::RESTORE_SPACE,
            Error::Stopped => codes::DRAINING,
            Error::Damaged { .. } => codes::BACKUP_DAMAGED,
            Error::Key(_) => codes::BACKUP_KEY,
            Error::NotFound(_) => codes::BACKUP_NOT_FOUND,
            Error::Point(_) => codes::BACKUP_POINT,
            Error::Another { .. } => codes::BACKUP_OF_ANOTHER,
            Error::Store(e) => e.code(),
        }
    }
}

//! Old parts of the journal on another file system, so that the one which the node needs to run does not fill up over the years.

use super::open::VERIFIED_AT_OPEN;
use super::{PlatformStore, hold};
use crate::Error;
use eport_model::{JournalIndex, Timestamp};
use std::path::{Path, PathBuf};

/// What of a journal is archived.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Archived {
    /// Files in the archive.
    pub files: u64,
    /// The name of one whose archive is away.
    pub away: Option<PathBuf>,
}

impl PlatformStore {
    /// Full journal files that lie here, whose last record is applied and older than `before`, in order.
    pub fn archivable(&self, before: Timestamp) -> Result<Vec<JournalIndex>, Error> {
        let mut due = Vec::new();
        // The end, and how it joins what is before, is verified whenever the platform opens, also while the archive is away.
        let end = self.last().index.as_u64().saturating_sub(VERIFIED_AT_OPEN + 1);
        let end = self.applied().index.min(JournalIndex::from_u64(end));
        for (first, last) in self.0.log.archivable(end) {
            let Some((header, _)) = self.header(last)? else { break };
            if header.time >= before {
                break;
            }
            due.push(first);
        }
        if !due.is_empty() {
            // Rows that are in memory alone are made again from the journal after a crash: never from what is moved away.
            self.flush()?;
        }
        Ok(due)
    }

    /// Moves one of these files into `to`; the bytes moved. `pay` is told of the bytes and may end it. No body is erased and no
    /// file mended meanwhile; everything else goes on.
    pub fn archive_file(
        &self,
        first: JournalIndex,
        to: &Path,
        pay: &mut dyn FnMut(u64) -> bool,
    ) -> Result<u64, Error> {
        let _mending = hold(&self.0.mending);
        self.writable()?;
        self.0.log.archive(first.as_u64(), to, pay)
    }

    /// What is archived.
    pub fn archived(&self) -> Archived {
        let (files, away) = self.0.log.archived();
        Archived { files, away }
    }
}

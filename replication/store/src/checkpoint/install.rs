//! Installing a checkpoint that is here whole and verified.
//!
//! One durable note in the database is the decision. Before it everything is as it was; after it every step below can be done
//! again, and opening the platform does them again until the note is gone. The note goes in the same write that names history
//! and applied position, so nobody can find rows or records of one with the positions of the other.

use super::CheckpointInbox;
use super::make::remove;
use crate::platform::{PlatformStore, Recovered};
use crate::{Error, durable};
use eport_model::JournalIndex;
use std::path::PathBuf;

/// Steps of an installation, for tests that stop at each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The note is written.
    Noted,
    /// The journal's files are in place.
    Journal,
    /// The rows are in place.
    Rows,
    /// The positions are written and the note is gone.
    Positions,
}

/// Steps in their order.
#[cfg(test)]
pub(crate) const STEPS: [Step; 4] = [Step::Noted, Step::Journal, Step::Rows, Step::Positions];

impl PlatformStore {
    /// Installs the checkpoint that lies here, verified. Nothing else is written meanwhile; readers of this node are kept away by
    /// the caller.
    pub fn install_checkpoint(&self) -> Result<Recovered, Error> {
        self.install_to(|_| Ok(()))
    }

    pub(crate) fn install_to(
        &self,
        reached: impl FnMut(Step) -> Result<(), Error>,
    ) -> Result<Recovered, Error> {
        let inbox = CheckpointInbox::resume(self)?;
        let inbox =
            inbox.filter(CheckpointInbox::still_fits).ok_or(Error::NoRecord { index: self.last().index })?;
        if inbox.missing()?.is_some() || inbox.journal_to_install().iter().any(|(_, path)| !path.exists()) {
            return Err(Error::NoRecord { index: inbox.manifest().last.index });
        }
        self.note_install(inbox.manifest().id())?;
        self.go_on_installing(&inbox, reached)
    }

    /// Does what is left of an installation that was decided: after a crash, when the platform opens.
    pub(crate) fn finish_install(&self) -> Result<(), Error> {
        let Some(wanted) = self.noted_install()? else { return Ok(()) };
        let inbox = CheckpointInbox::resume(self)?.filter(|i| i.manifest().id() == wanted);
        let inbox = inbox.ok_or_else(|| {
            Error::damaged(self.path(), None, "the checkpoint that was being installed is gone")
        })?;
        tracing::warn!(region = %self.region(), last = %inbox.manifest().last, "an interrupted installation of a checkpoint goes on");
        self.go_on_installing(&inbox, |_| Ok(())).map(|_| ())
    }

    fn go_on_installing(
        &self,
        inbox: &CheckpointInbox,
        mut reached: impl FnMut(Step) -> Result<(), Error>,
    ) -> Result<Recovered, Error> {
        reached(Step::Noted)?;
        let files: Vec<(JournalIndex, PathBuf)> = inbox.journal_to_install();
        self.adopt_journal(&files, inbox.manifest().last.index)?;
        reached(Step::Journal)?;
        self.replace_rows(|write| inbox.for_each_row(write))?;
        reached(Step::Rows)?;
        let recovered = self.take_positions(inbox.manifest())?;
        reached(Step::Positions)?;
        remove(&self.path().join("checkpoint"))?;
        durable::sync_dir(self.path())?;
        Ok(recovered)
    }
}

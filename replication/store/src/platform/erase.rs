//! Bodies that must go by law.

use super::{PlatformStore, hold};
use crate::Error;
use eport_model::{Digest, JournalIndex};

impl PlatformStore {
    /// Overwrites one body of a stored record; the rest of the record, its digest and the chain stay as they are. Does nothing
    /// where it is erased already, and never touches a body of another digest. Durable when it returns.
    pub fn erase_body(&self, index: JournalIndex, n: u16, digest: &Digest) -> Result<(), Error> {
        let _mending = hold(&self.0.mending);
        let Some((header, _)) = self.header(index)? else {
            // A journal that begins behind it holds nothing to erase.
            tracing::warn!(region = %self.0.region, %index, "a body to be erased is not stored here");
            return Ok(());
        };
        if header.bodies.get(usize::from(n)).is_none_or(|b| b.digest != *digest) {
            tracing::error!(region = %self.0.region, %index, body = n, "another body than the one to be erased stands there");
            return Ok(());
        }
        if self.0.log.is_gone(index, n)? {
            return Ok(());
        }
        self.0.log.erase(index, n).map_err(|e| self.poisoned(e))?;
        tracing::info!(region = %self.0.region, %index, body = n, "body erased");
        Ok(())
    }

    /// True when a stored record has this body, and it is erased.
    pub fn is_erased(&self, index: JournalIndex, n: u16) -> Result<bool, Error> {
        let Some((header, _)) = self.header(index)? else { return Ok(false) };
        let named = header.bodies.get(usize::from(n)).is_some_and(|b| b.len > 0);
        Ok(named && self.body(index, n)?.is_some_and(|b| b.is_empty()))
    }
}

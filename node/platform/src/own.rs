//! Records that the platform writes about itself, beside those that callers lodge: outcomes of tails, certificates.
//!
//! Always holds: `Ok` means that the record is as durable as the policy promises; an error says whether it may still become so.

use crate::platform::Platform;
use eport_journal::{Outcome, Role};
use eport_model::{Code, Draft, Epoch, codes};
use tokio::time::timeout;

impl Platform {
    /// The generation under which this node may write now: that of the open primary, in an epoch that `fits`.
    pub(crate) fn writing(&self, fits: impl FnOnce(Epoch) -> bool) -> Option<u64> {
        let status = self.status();
        let status = status.borrow();
        matches!(status.role, Role::Primary { epoch } if fits(epoch)).then_some(status.generation)
    }

    /// Stores one record decided under a generation and waits for what the policy promises. `unconfirmed` says what is open when
    /// the backups do not answer in time.
    pub(crate) async fn write_own(
        &self,
        draft: Draft,
        generation: u64,
        unconfirmed: &str,
    ) -> Result<(), (Code, String)> {
        self.write_all_own(vec![draft], generation, unconfirmed).await
    }

    /// The same for several records, in their order, made durable together.
    pub(crate) async fn write_all_own(
        &self,
        drafts: Vec<Draft>,
        generation: u64,
        unconfirmed: &str,
    ) -> Result<(), (Code, String)> {
        let pending = self.inner.log.propose(drafts, generation);
        for p in pending.map_err(|full| (codes::OVERLOADED, full.to_string()))? {
            match timeout(self.inner.config.write_timeout, p.outcome).await {
                Ok(Ok(Outcome::Done { .. })) => {}
                Ok(Ok(Outcome::Held | Outcome::NotPrimary { .. })) => {
                    return Err((codes::FENCED, "the platform is changing its primary".to_owned()));
                }
                _ => return Err((codes::WRITE_BLOCKED, unconfirmed.to_owned())),
            }
        }
        Ok(())
    }
}

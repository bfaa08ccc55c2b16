//! Leases of platforms with automatic failover: how long a primary may answer without news.
//!
//! A lease counts from the instant its renewal was *sent* and is checked when an answer leaves, after every fsync and wait, so a
//! pause at any place cannot stretch it. The registry's leader grants it; while the registry is away *all* replicas of the
//! placement together may keep the primary going, and each of them then promises no other primary for one grace. A lease
//! protects what the primary answers from its own state; that no acknowledged record is lost rests on seals and epochs alone.

use crate::replica::Replica;
use crate::{Bug, Output};
use eport_model::{Epoch, NodeId};

/// Renewals a lease lasts for.
const RENEWALS: u64 = 5;

/// A primary's lease.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// Answers are given before this instant.
    until: u64,
    renew_at: u64,
}

impl Replica {
    /// True when this primary may answer now.
    pub(crate) fn holds_lease(&self) -> bool {
        let Some(primary) = &self.primary else { return false };
        !self.needs_lease() || self.now.mono_ms < primary.lease.until
    }

    /// The check of an answer that leaves now.
    pub(crate) fn may_answer(&self) -> bool {
        self.has(Bug::LeaseCheckedBeforePause) || self.holds_lease()
    }

    fn needs_lease(&self) -> bool {
        self.view.as_ref().is_some_and(|v| v.lease)
    }

    /// Until when a primary of a platform with automatic failover may answer, in monotonic milliseconds; `None` when no lease
    /// binds it.
    pub fn lease_until(&self) -> Option<u64> {
        let primary = self.primary.as_ref().filter(|_| self.needs_lease())?;
        Some(primary.lease.until)
    }

    pub(crate) fn on_leased(&mut self, epoch: Epoch, sent_ms: u64) {
        // A grant never reaches beyond one lease from now, whatever the shell says was sent when.
        let sent =
            if self.has(Bug::LeaseFromReceipt) { self.now.mono_ms } else { sent_ms.min(self.now.mono_ms) };
        let until = sent + self.limits.lease_ms;
        if let Some(primary) = self.primary.as_mut().filter(|p| p.epoch == epoch) {
            primary.lease.until = primary.lease.until.max(until);
        }
    }

    /// Asks for a renewal when it is due.
    pub(crate) fn lease_work(&mut self) {
        if !self.needs_lease() {
            return;
        }
        let (now, every) = (self.now.mono_ms, self.limits.lease_ms / RENEWALS);
        let Some(primary) = &mut self.primary else { return };
        if now >= primary.lease.renew_at {
            primary.lease.renew_at = now + every;
            self.out.push(Output::RenewLease { epoch: primary.epoch, sent_ms: now });
        }
    }

    pub(crate) fn lease_deadline(&self) -> Option<u64> {
        let primary = self.primary.as_ref().filter(|_| self.needs_lease())?;
        let ends = (primary.lease.until > self.now.mono_ms).then_some(primary.lease.until);
        [Some(primary.lease.renew_at), ends].into_iter().flatten().min()
    }

    /// What beats ask of the replicas: to keep this primary going, once half of its lease is over without a grant.
    pub(crate) fn keep_wanted(&self) -> u64 {
        let Some(primary) = self.primary.as_ref().filter(|_| self.needs_lease()) else { return 0 };
        let half = self.now.mono_ms + self.limits.lease_ms / 2;
        if half >= primary.lease.until { self.stamp() } else { 0 }
    }

    /// A replica agreed to keep this primary going.
    pub(crate) fn note_kept(&mut self) {
        let (Some(view), Some(ship)) = (&self.view, &self.ship) else { return };
        // All of them, not a quorum: whoever is missing could be promoted by those who can reach the registry.
        let agreed = view.backups.iter().map(|b| ship.kept_by(b.node)).min().unwrap_or(0);
        if let (Some(sent), true) = (self.mono_of(agreed), self.needs_lease()) {
            let until = sent + self.limits.lease_ms;
            if let Some(primary) = &mut self.primary {
                primary.lease.until = primary.lease.until.max(until);
            }
        }
    }

    /// A follower is asked to keep its primary going: it then promises no other one for one grace.
    pub(crate) fn agree_to_keep(&mut self, source: NodeId, keep: u64) {
        let now = self.now.mono_ms;
        let agrees = self.needs_lease();
        if let Some(follower) = self.follower.as_mut().filter(|f| f.source == source && agrees && keep > 0) {
            follower.kept = follower.kept.max(keep);
            self.promised_until = now + self.limits.grace_ms;
        }
    }

    /// True while this replica has promised to keep an older primary going. After a restart it cannot know, so it assumes so.
    pub(crate) fn keeps_another(&self) -> bool {
        self.needs_lease() && self.now.mono_ms < self.promised_until && !self.has(Bug::SealWhileKeeping)
    }
}

/// Stamps: the monotonic clock of this life of the process, moved so that lives do not overlap.
impl Replica {
    pub(crate) fn stamp(&self) -> u64 {
        self.life.0 + self.now.mono_ms.saturating_sub(self.life.1)
    }

    /// When this life made that stamp; `None` when it never did.
    pub(crate) fn mono_of(&self, stamp: u64) -> Option<u64> {
        (self.life.0 > 0 && stamp >= self.life.0 && stamp <= self.stamp())
            .then(|| stamp - self.life.0 + self.life.1)
    }
}

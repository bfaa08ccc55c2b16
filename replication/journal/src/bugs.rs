//! Bugs put in on purpose (feature `planted-bugs`), so that the simulator can show that it finds them.
//!
//! Without the feature every question is answered "no" at compile time.

/// A bug to plant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A backup acknowledges what it has received, not what it has fsynced.
    AckBeforeFsync,
    /// Source and follower agree by index alone, without history and digest.
    HelloByIndexOnly,
    /// A candidate reports without promising anything, and goes on following until the failover is committed.
    NoSeal,
    /// A primary counts acknowledgements of backups that the registry has not recorded as in sync.
    CommitCountsUnrecorded,
    /// A follower removes or rewinds a diverged tail before it is exported.
    TruncateBeforeExport,
    /// A follower removes or rewinds a diverged tail that it alone has exported: its source does not hold it yet.
    TruncateBeforeUpload,
    /// A follower whose rows are not put back yet calls itself whole.
    WholeBeforeRewound,
    /// Under `degrade` the primary goes on alone without a record that says so.
    SilentDegrade,
    /// Under `degrade` the primary goes on alone before its wait is over.
    DegradeTooEarly,
    /// The lease is checked when a request arrives, not when its answer leaves.
    LeaseCheckedBeforePause,
    /// A lease counts from the receipt of its grant, not from the sending of its renewal.
    LeaseFromReceipt,
    /// A backup that keeps a primary going without the registry promises another one all the same.
    SealWhileKeeping,
    /// A journal that ends in an unresolved switchover opens on a local placement.
    OpensUnresolved,
    /// Records of earlier epochs commit when enough copies of them are counted, without this epoch's EpochStart.
    InheritedByCount,
    /// After a proposal was sent a local placement is enough to write again.
    ResumeOnLocalView,
    /// Messages of lower epochs are taken.
    AcceptsLowerEpochs,
    /// A StepDown is not heard.
    StepDownIgnored,
    /// A node that lost what it had acknowledged answers a failover all the same.
    LostStaysCandidate,
    /// A backup that is told to take a checkpoint counts as holding it already.
    CountsWhileBootstrapping,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// Every bug with its name.
    pub const ALL: [(&'static str, Bug); 19] = [
        ("ack_before_fsync", Bug::AckBeforeFsync),
        ("hello_by_index_only", Bug::HelloByIndexOnly),
        ("no_seal", Bug::NoSeal),
        ("commit_counts_unrecorded", Bug::CommitCountsUnrecorded),
        ("truncate_before_export", Bug::TruncateBeforeExport),
        ("truncate_before_upload", Bug::TruncateBeforeUpload),
        ("whole_before_rewound", Bug::WholeBeforeRewound),
        ("silent_degrade", Bug::SilentDegrade),
        ("degrade_too_early", Bug::DegradeTooEarly),
        ("lease_checked_before_pause", Bug::LeaseCheckedBeforePause),
        ("lease_from_receipt", Bug::LeaseFromReceipt),
        ("seal_while_keeping", Bug::SealWhileKeeping),
        ("opens_unresolved", Bug::OpensUnresolved),
        ("inherited_by_count", Bug::InheritedByCount),
        ("resume_on_local_view", Bug::ResumeOnLocalView),
        ("accepts_lower_epochs", Bug::AcceptsLowerEpochs),
        ("step_down_ignored", Bug::StepDownIgnored),
        ("lost_stays_candidate", Bug::LostStaysCandidate),
        ("counts_while_bootstrapping", Bug::CountsWhileBootstrapping),
    ];

    /// The bug of that name.
    pub fn named(name: &str) -> Option<Bug> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, b)| *b)
    }
}

impl crate::Replica {
    /// True when the bug is planted here; always false without the feature.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.bug == Some(bug);
        #[cfg(not(feature = "planted-bugs"))]
        {
            let _ = bug;
            false
        }
    }
}

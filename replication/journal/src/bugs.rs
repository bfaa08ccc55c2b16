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
    /// A follower removes a diverged tail before it is exported.
    TruncateBeforeExport,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// Every bug with its name.
    pub const ALL: [(&'static str, Bug); 5] = [
        ("ack_before_fsync", Bug::AckBeforeFsync),
        ("hello_by_index_only", Bug::HelloByIndexOnly),
        ("no_seal", Bug::NoSeal),
        ("commit_counts_unrecorded", Bug::CommitCountsUnrecorded),
        ("truncate_before_export", Bug::TruncateBeforeExport),
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

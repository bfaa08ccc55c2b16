//! Settings of a node's part in the Raft group.

use crate::StepSigner;
use eport_identity::NodeId;
use std::sync::Arc;
use std::time::Duration;

/// How a node takes part. All nodes of a federation should name the same profile.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Timing for the lines between the voters.
    pub profile: Profile,
    /// Voters wanted once there are enough nodes: 3 or 5. Default 3.
    pub voters: usize,
    /// A snapshot is made after so many log entries. Default 5 000.
    pub snapshot_entries: u64,
    /// Log entries kept behind a snapshot, so that a short absence needs no snapshot. Default 5 000.
    pub keep_entries: u64,
    /// A voter that was not connected for so long is replaced by a healthy learner. Default 20 longest election timeouts.
    pub dead_after: Duration,
    /// Signs the steps of this node; without it they are taken only while signatures are optional.
    pub signer: Option<StepSigner>,
}

impl Config {
    /// The defaults for a node and a profile.
    pub fn new(me: NodeId, profile: Profile) -> Self {
        let dead_after = profile.election_max() * 20;
        Self {
            me,
            profile,
            voters: 3,
            snapshot_entries: 5_000,
            keep_entries: 5_000,
            dead_after,
            signer: None,
        }
    }

    pub(crate) fn raft(&self) -> Result<Arc<openraft::Config>, openraft::ConfigError> {
        let config = openraft::Config {
            cluster_name: "eport-registry".into(),
            heartbeat_interval: millis(self.profile.heartbeat()),
            election_timeout_min: millis(self.profile.election_min()),
            election_timeout_max: millis(self.profile.election_max()),
            max_payload_entries: 64,
            // Switched on while the other voters consent (`stand.rs`).
            enable_elect: false,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            // Must exceed the snapshot distance, or a snapshot would not end the lag.
            replication_lag_threshold: self.snapshot_entries.saturating_mul(2),
            max_in_snapshot_log_to_keep: self.keep_entries,
            ..Default::default()
        };
        config.validate().map(Arc::new)
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// Timing for a kind of line. The heartbeat must exceed the round trip plus a follower's fsync, because it is also the
/// deadline of every append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// One building: heartbeat 100 ms, election 300–600 ms.
    Lan,
    /// Good dedicated lines: 500 ms, 1.5–3 s.
    #[default]
    Default,
    /// Slow lines: 1 s, 3–6 s.
    Wan,
}

impl Profile {
    /// How often a leader shows that it lives.
    pub fn heartbeat(self) -> Duration {
        Duration::from_millis(match self {
            Self::Lan => 100,
            Self::Default => 500,
            Self::Wan => 1_000,
        })
    }

    /// Shortest silence after which a voter stands for election.
    pub fn election_min(self) -> Duration {
        self.heartbeat() * 3
    }

    /// Longest silence after which a voter stands for election; a leader without a majority for so long refuses.
    pub fn election_max(self) -> Duration {
        self.heartbeat() * 6
    }

    /// How long a primary with automatic failover may answer without a renewal: several changes of leader fit.
    pub fn lease(self) -> Duration {
        Duration::from_millis(match self {
            Self::Lan => 3_000,
            Self::Default => 15_000,
            Self::Wan => 33_000,
        })
    }

    /// How long a primary must not have renewed before it is replaced: a lease, and room for clocks and scheduling.
    pub fn grace(self) -> Duration {
        Duration::from_millis(match self {
            Self::Lan => 4_000,
            Self::Default => 18_000,
            Self::Wan => 38_000,
        })
    }

    /// True when a majority answered the leader within the longest election timeout. The metric may be one tick old, so a tick
    /// is added.
    pub(crate) fn is_quorum_fresh(self, millis: u64) -> bool {
        Duration::from_millis(millis) + self.tick() <= self.election_max()
    }

    /// openraft's real heartbeat period, and the age that its metrics may have.
    pub(crate) fn tick(self) -> Duration {
        self.heartbeat() * 3 / 2
    }
}

impl std::str::FromStr for Profile {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "lan" => Ok(Self::Lan),
            "default" => Ok(Self::Default),
            "wan" => Ok(Self::Wan),
            other => Err(format!("{other:?} is not a profile: lan, default, wan")),
        }
    }
}

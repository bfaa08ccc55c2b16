//! The steps of every move, as places in our programs at which a process is stopped.

use std::fmt;

/// A move that the matrix goes through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A planned move.
    Switchover,
    /// The primary is dead.
    Failover,
    /// To a node of the platform's own region, which first takes the journal.
    Promote,
    /// To a host of another region, which first takes the journal.
    Demote,
    /// An old primary with a diverged tail comes back.
    Return,
}

/// Every move.
pub const KINDS: [Kind; 5] = [Kind::Switchover, Kind::Failover, Kind::Promote, Kind::Demote, Kind::Return];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Switchover => "switchover",
            Kind::Failover => "failover",
            Kind::Promote => "promote",
            Kind::Demote => "demote",
            Kind::Return => "return",
        })
    }
}

/// Who comes to a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// The operator's command.
    Cli,
    /// The node that the command speaks with.
    Entry,
    /// The leader of the registry: it coordinates.
    Leader,
    /// The primary before the move.
    Old,
    /// The primary after it.
    Target,
}

impl Who {
    /// How the table names it.
    pub fn word(self) -> &'static str {
        match self {
            Who::Cli => "command",
            Who::Entry => "entry node",
            Who::Leader => "registry leader",
            Who::Old => "old primary",
            Who::Target => "new primary",
        }
    }
}

/// What a place is before or after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moment {
    /// Before a registry commit.
    BeforeCommit,
    /// After it.
    AfterCommit,
    /// Before something is fsynced.
    BeforeSync,
    /// After it.
    AfterSync,
    /// Before or after an answer, a message, a change of role.
    Answer,
}

/// One step: who comes to which place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Step {
    /// Of which move.
    pub kind: Kind,
    /// Who.
    pub who: Who,
    /// The place, as the program names it.
    pub place: &'static str,
    /// How often it is passed before it counts.
    pub skip: u64,
    /// What it is about.
    pub moment: Moment,
}

const fn step(kind: Kind, who: Who, place: &'static str, moment: Moment) -> Step {
    Step { kind, who, place, skip: 0, moment }
}

use Moment::{AfterCommit, AfterSync, Answer, BeforeCommit, BeforeSync};

/// The places of a planned move from its request on.
fn planned(kind: Kind, requests_before: u64) -> Vec<Step> {
    let cli = |place, moment| Step { skip: requests_before, ..step(kind, Who::Cli, place, moment) };
    vec![
        cli("call.before", Answer),
        cli("call.after", Answer),
        step(kind, Who::Entry, "api.move.before", BeforeCommit),
        step(kind, Who::Entry, "api.move.after", AfterCommit),
        step(kind, Who::Leader, "raft.OpenSwitchover.before", BeforeCommit),
        step(kind, Who::Leader, "raft.OpenSwitchover.after", AfterCommit),
        step(kind, Who::Old, "append.barrier.before", BeforeSync),
        step(kind, Who::Old, "append.barrier.after", AfterSync),
        step(kind, Who::Old, "append.switch_proposed.before", BeforeSync),
        step(kind, Who::Old, "append.switch_proposed.after", AfterSync),
        step(kind, Who::Target, "append.switch_proposed.before", BeforeSync),
        step(kind, Who::Target, "append.switch_proposed.after", AfterSync),
        step(kind, Who::Old, "node.CommitSwitch.before", BeforeCommit),
        step(kind, Who::Leader, "raft.CommitSwitch.before", BeforeCommit),
        step(kind, Who::Leader, "raft.CommitSwitch.after", AfterCommit),
        step(kind, Who::Old, "node.CommitSwitch.after", AfterCommit),
        step(kind, Who::Target, "role.opening", Answer),
        step(kind, Who::Target, "append.epoch_start.before", BeforeSync),
        step(kind, Who::Target, "epoch.history.after", AfterSync),
        step(kind, Who::Target, "append.epoch_start.after", AfterSync),
        step(kind, Who::Target, "role.primary", Answer),
        step(kind, Who::Target, "answer.before", Answer),
        step(kind, Who::Old, "role.backup", Answer),
    ]
}

/// The places of a promotion or the way back: the target takes the journal first.
fn joining(kind: Kind) -> Vec<Step> {
    let mut all = vec![
        step(kind, Who::Cli, "call.before", Answer),
        step(kind, Who::Cli, "call.after", Answer),
        step(kind, Who::Leader, "raft.SetPolicy.before", BeforeCommit),
        step(kind, Who::Leader, "raft.SetPolicy.after", AfterCommit),
        step(kind, Who::Target, "send.hello", Answer),
        step(kind, Who::Old, "send.hello_answer", Answer),
        step(kind, Who::Old, "node.InSyncAdd.before", BeforeCommit),
        step(kind, Who::Leader, "raft.InSyncAdd.after", AfterCommit),
        step(kind, Who::Old, "node.InSyncAdd.after", AfterCommit),
    ];
    // Of the move that follows, those places that tell it from a switchover, and one of each moment.
    let kept = ["call.before", "call.after", "raft.CommitSwitch.before", "append.epoch_start.after"];
    all.extend(planned(kind, 1).into_iter().filter(|s| kept.contains(&s.place)));
    all
}

fn failover() -> Vec<Step> {
    let k = Kind::Failover;
    vec![
        step(k, Who::Cli, "call.before", Answer),
        step(k, Who::Cli, "call.after", Answer),
        step(k, Who::Entry, "api.move.before", BeforeCommit),
        step(k, Who::Entry, "api.move.after", AfterCommit),
        step(k, Who::Leader, "raft.ReserveFailover.before", BeforeCommit),
        step(k, Who::Leader, "raft.ReserveFailover.after", AfterCommit),
        step(k, Who::Leader, "coordinator.seal.before", Answer),
        step(k, Who::Target, "seal.before", BeforeSync),
        step(k, Who::Target, "seal.after", AfterSync),
        step(k, Who::Target, "role.sealed", Answer),
        step(k, Who::Target, "send.sealed", Answer),
        step(k, Who::Leader, "coordinator.commit.before", BeforeCommit),
        step(k, Who::Leader, "raft.CommitFailover.before", BeforeCommit),
        step(k, Who::Leader, "raft.CommitFailover.after", AfterCommit),
        step(k, Who::Leader, "coordinator.commit.after", AfterCommit),
        step(k, Who::Target, "role.opening", Answer),
        step(k, Who::Target, "append.epoch_start.before", BeforeSync),
        step(k, Who::Target, "epoch.history.after", AfterSync),
        step(k, Who::Target, "append.epoch_start.after", AfterSync),
        step(k, Who::Target, "role.primary", Answer),
        step(k, Who::Target, "answer.before", Answer),
    ]
}

fn coming_back() -> Vec<Step> {
    let k = Kind::Return;
    vec![
        step(k, Who::Old, "tail.export.before", BeforeSync),
        step(k, Who::Old, "tail.export.after", AfterSync),
        step(k, Who::Old, "node.RecordTail.before", BeforeCommit),
        step(k, Who::Leader, "raft.RecordTail.after", AfterCommit),
        step(k, Who::Old, "node.RecordTail.after", AfterCommit),
        step(k, Who::Old, "tail.upload.before", Answer),
        step(k, Who::Old, "tail.upload.after", Answer),
        step(k, Who::Old, "rewind.begin.before", BeforeSync),
        step(k, Who::Old, "rewind.begin.after", AfterSync),
        step(k, Who::Old, "rewind.rows.before", BeforeSync),
        step(k, Who::Old, "rewind.taken.before", BeforeSync),
        step(k, Who::Old, "rewind.taken.after", AfterSync),
        step(k, Who::Old, "journal.cut.before", BeforeSync),
        step(k, Who::Old, "journal.cut.between", BeforeSync),
        step(k, Who::Old, "journal.cut.after", AfterSync),
        step(k, Who::Old, "rewind.end.before", BeforeSync),
        step(k, Who::Old, "rewind.end.after", AfterSync),
    ]
}

/// Every step of every move.
pub fn all() -> Vec<Step> {
    let mut steps = planned(Kind::Switchover, 0);
    steps.extend(failover());
    steps.extend(joining(Kind::Promote));
    steps.extend(joining(Kind::Demote));
    steps.extend(coming_back());
    steps
}

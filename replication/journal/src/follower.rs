//! A follower: hello, diverged tail, batches, acknowledgements.
//!
//! Invariants: nothing is received unless the journal is proven to be a prefix of the source's; nothing is acknowledged
//! before it is fsynced; a diverged tail is exported, and held by the source, before it is rewound or truncated (I10); what is
//! applied is rewound before it is truncated;
//! a hello's answer counts only for the journal it was asked for (`of`), because a late one would cut off good records.

use crate::opening::Fence;
use crate::replica::{Replica, Wanted};
use crate::shipping::MAX_PATIENCE;
use crate::{Ack, Alarm, Bug, Hello, HelloAnswer, Limits, Message, Output};
use eport_model::{Epoch, JournalIndex, MoveId, NodeId, Position, Record, RecordKind, Timestamp};
use std::sync::Arc;

/// A backup of a primary, or a laggard that copies during a failover.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) epoch: Epoch,
    pub(crate) source: NodeId,
    until: Option<Until>,
    pub(crate) phase: Phase,
    hello_ms: u64,
    /// How long the last hello is waited for; doubles with each repetition.
    hello_wait: u64,
    heard_ms: u64,
    /// When a record was last taken, or nothing was missing; and how long a gap is borne.
    progress_ms: u64,
    patience_ms: u64,
    /// Last committed record at the source; believed only while streaming.
    source_committed: JournalIndex,
    /// The newest request of its primary to keep it going that this follower agreed to.
    pub(crate) kept: u64,
}

/// Where a failover's copy ends, and who wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Until {
    pub(crate) to: Position,
    pub(crate) coordinator: NodeId,
    pub(crate) move_id: MoveId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Waits for storage before it introduces itself: a hello speaks of fsynced records only.
    Settling,
    /// Hello sent.
    Greeting,
    /// Looks up its own record at the common point.
    Comparing { after: Position },
    /// Exports what lies beyond the common point.
    Exporting { after: Position },
    /// Hands it to the source.
    Uploading { after: Position },
    /// Waits until storage applies nothing more.
    Quiescing { after: Position },
    /// Puts back the rows that it has written.
    Rewinding,
    /// Removes it.
    Truncating,
    /// Takes a checkpoint of its source.
    Bootstrapping,
    /// The checkpoint is here: waits until storage is at rest, then installs it.
    Installing { last: Position },
    /// Holds a prefix of the source's journal and takes batches.
    Streaming,
}

impl Follower {
    /// It copies for a failover.
    pub(crate) fn copies(&self) -> bool {
        self.until.is_some()
    }

    pub(crate) fn deadline(&self, limits: &Limits) -> Option<u64> {
        match self.phase {
            Phase::Greeting => Some(self.hello_ms + self.hello_wait),
            Phase::Comparing { .. } => Some(self.hello_ms + limits.silence_ms),
            Phase::Streaming => Some(self.heard_ms + limits.silence_ms),
            _ => None,
        }
    }
}

impl Replica {
    /// Follows `source` in `epoch`; goes on as before when it already does.
    pub(crate) fn follow(&mut self, epoch: Epoch, source: NodeId, until: Option<Until>) {
        let stale = self.rewind_stale(epoch);
        if let Some(follower) = &mut self.follower
            && follower.epoch == epoch
            && follower.source == source
        {
            follower.until = until;
            // Who was copied from, also when that is over already, is primary now and can put back rows.
            if stale && until.is_none() {
                self.settle_again();
            }
            return;
        }
        self.ship = None;
        self.log.drop_cache();
        self.follower = Some(Follower {
            epoch,
            source,
            until,
            phase: Phase::Settling,
            hello_ms: 0,
            hello_wait: 0,
            heard_ms: self.now.mono_ms,
            progress_ms: self.now.mono_ms,
            patience_ms: self.limits.silence_ms,
            source_committed: JournalIndex::ZERO,
            kept: 0,
        });
    }

    /// The follower in `epoch` of `source`, if that is what this replica is.
    fn following(&mut self, epoch: Epoch, source: NodeId) -> Option<&mut Follower> {
        self.follower.as_mut().filter(|f| f.epoch == epoch && f.source == source)
    }

    /// Everything that time or storage may have made due for a follower.
    pub(crate) fn follower_work(&mut self) {
        let now = self.now.mono_ms;
        let ready = self.log.settled() && !self.truncating;
        let Some(follower) = &mut self.follower else { return };
        let waited = now.saturating_sub(follower.hello_ms);
        let silent = now.saturating_sub(follower.heard_ms) >= self.limits.silence_ms;
        match follower.phase {
            Phase::Streaming if silent => follower.phase = Phase::Settling,
            Phase::Greeting if waited >= follower.hello_wait => follower.phase = Phase::Settling,
            Phase::Comparing { .. } if waited >= self.limits.silence_ms => follower.phase = Phase::Settling,
            _ => {}
        }
        match follower.phase {
            Phase::Settling if ready => self.say_hello(),
            Phase::Quiescing { after } if ready && self.log.applying == self.log.applied_index => {
                self.remove_tail(after);
            }
            Phase::Installing { last } if ready && self.log.applying == self.log.applied_index => {
                self.install_checkpoint(last);
            }
            _ => {}
        }
        if let Some(follower) = &self.follower
            && follower.phase == Phase::Streaming
        {
            let reached = follower.source_committed.min(self.log.durable.index);
            self.log.committed = self.log.committed.max(reached);
        }
    }

    fn say_hello(&mut self) {
        let now = self.now.mono_ms;
        let Some(follower) = &mut self.follower else { return };
        follower.phase = Phase::Greeting;
        follower.hello_ms = now;
        follower.hello_wait = (follower.hello_wait * 2).clamp(self.limits.hello_ms, self.limits.silence_ms);
        // A source that stays silent is asked again after the retry interval, not after the silence of a stream.
        follower.heard_ms = now;
        let (to, epoch) = (follower.source, follower.epoch);
        let history = self.log.durable_history();
        let hello = Hello { epoch, history, last: self.log.durable, applied: self.log.applied_index };
        self.send(to, Message::Hello(hello));
    }

    pub(crate) fn on_hello_answer(&mut self, from: NodeId, epoch: Epoch, answer: HelloAnswer) {
        let (now, beat) = (self.now.mono_ms, self.limits.beat_ms);
        let durable = self.log.durable;
        let settled = self.log.settled();
        let Some(follower) = self.following(epoch, from) else { return };
        match answer {
            HelloAnswer::Reject(_) => {
                let recent = now.saturating_sub(follower.hello_ms) < beat;
                if follower.phase == Phase::Streaming && !recent {
                    follower.phase = Phase::Settling;
                }
            }
            HelloAnswer::Bootstrap { of, acked, .. } => {
                if follower.phase == Phase::Greeting && of == durable && settled {
                    self.begin_bootstrap(acked);
                }
            }
            HelloAnswer::RolledBack { of, acked } => {
                if follower.phase == Phase::Greeting && of == durable && settled {
                    self.rolled_back(from, acked);
                }
            }
            HelloAnswer::Stream { after, of, acked } => {
                if follower.phase != Phase::Greeting
                    || of != durable
                    || !settled
                    || after.index > durable.index
                {
                    return;
                }
                follower.heard_ms = now;
                self.owed = acked;
                match self.log.position_at(after.index) {
                    Some(own) => self.agree(after, own),
                    None => {
                        if let Some(follower) = &mut self.follower {
                            follower.phase = Phase::Comparing { after };
                        }
                        self.look_up(after.index, Wanted::Compare);
                    }
                }
            }
        }
    }

    /// The own position at the common point was looked up.
    pub(crate) fn compare(&mut self, index: JournalIndex, position: Option<Position>) {
        let Some(Phase::Comparing { after }) = self.follower.as_ref().map(|f| f.phase) else { return };
        if after.index == index {
            self.agree(after, position.unwrap_or(Position::ZERO));
        }
    }

    /// Own and source's record at the common point are known: stream, or deal with the tail beyond it.
    fn agree(&mut self, after: Position, own: Position) {
        let Some(peer) = self.follower.as_ref().map(|f| f.source) else { return };
        if own != after && !self.has(Bug::HelloByIndexOnly) {
            let (index, ours, theirs) = (after.index, own.digest, after.digest);
            self.out.push(Output::Alarm(Alarm::Corruption { index, ours, theirs, peer }));
            self.fence = Some(Fence { epoch: self.floor(), permanent: true });
            self.follower = None;
            return;
        }
        let (applied, level) = (self.log.applying, self.log.durable.index == after.index);
        if !level && self.source_forgot() {
            // Only the primary of an epoch writes in it: it has lost what it shipped. Nothing is removed for its sake.
            self.follower = None;
            return;
        }
        let Some((epoch, copies)) = self.follower.as_ref().map(|f| (f.epoch, f.until.is_some())) else {
            return;
        };
        if copies && applied > after.index {
            // A copy comes from a candidate, which can put back no rows: this node waits for the new primary.
            self.follower = None;
        } else if !level && self.has(Bug::TruncateBeforeExport) {
            self.enter(Phase::Quiescing { after });
        } else if !level {
            self.enter(Phase::Exporting { after });
            self.out.push(Output::ExportTail { after: after.index });
        } else if !copies && self.rewind_due(after.index, epoch) {
            self.enter(Phase::Quiescing { after });
        } else if let Some(follower) = &mut self.follower {
            follower.phase = Phase::Streaming;
            follower.hello_wait = 0;
            follower.progress_ms = self.now.mono_ms;
            self.ack_due = true;
        }
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(follower) = &mut self.follower {
            follower.phase = phase;
        }
    }

    pub(crate) fn on_tail_exported(&mut self, exported: JournalIndex) {
        if self.trim_exported(exported) {
            return;
        }
        let Some(follower) = &mut self.follower else { return };
        let Phase::Exporting { after } = follower.phase else { return };
        if after.index != exported {
            return;
        }
        let to = follower.source;
        follower.phase = Phase::Uploading { after };
        if self.has(Bug::TruncateBeforeUpload) {
            return self.on_tail_uploaded(exported, to);
        }
        self.out.push(Output::UploadTail { after: exported, to });
    }

    pub(crate) fn on_tail_uploaded(&mut self, uploaded: JournalIndex, to: NodeId) {
        let Some(follower) = &mut self.follower else { return };
        let Phase::Uploading { after } = follower.phase else { return };
        if after.index == uploaded && follower.source == to {
            follower.phase = Phase::Quiescing { after };
        }
    }

    /// The tail is held elsewhere and storage is at rest: put back the rows it has written, or remove it at once.
    fn remove_tail(&mut self, after: Position) {
        let Some((source, epoch)) = self.follower.as_ref().map(|f| (f.source, f.epoch)) else { return };
        if self.rewind_due(after.index, epoch) {
            self.enter(Phase::Rewinding);
            self.begin_rewind(after, source, epoch);
        } else {
            self.truncate_tail(after);
        }
    }

    fn truncate_tail(&mut self, after: Position) {
        self.enter(Phase::Truncating);
        self.truncating = true;
        self.out.push(Output::Truncate { after: after.index });
    }

    /// Rows were put back (`complete`: all of them, as of the epoch followed now), or that was given up.
    pub(crate) fn rewind_ended(&mut self, after: Position, at: Option<Position>) {
        let Some(follower) = self.follower.as_mut().filter(|f| f.phase == Phase::Rewinding) else { return };
        let complete = at.is_some_and(|at| at.epoch == follower.epoch);
        if complete && self.log.durable.index > after.index {
            self.truncate_tail(after);
        } else {
            follower.phase = Phase::Settling;
        }
    }

    /// What was streamed leads elsewhere than the rows that were taken: they are taken again.
    pub(crate) fn settle_again(&mut self) {
        if let Some(follower) = self.follower.as_mut().filter(|f| f.phase == Phase::Streaming) {
            follower.phase = Phase::Settling;
        }
    }

    pub(crate) fn on_truncated(&mut self, last: Position, last_time: Timestamp) {
        self.truncating = false;
        self.log.truncate(last, last_time);
        self.unresolved = None;
        if let Some(follower) = &mut self.follower
            && follower.phase == Phase::Truncating
        {
            follower.phase = Phase::Settling;
        }
        self.copy_reached();
        self.flush_reports();
        self.reconsider(false);
    }

    pub(crate) fn on_beat(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        (committed, last): (JournalIndex, JournalIndex),
        (heard, keep): (u64, u64),
    ) {
        let confirmed = self.mono_of(heard);
        if self.following(epoch, from).is_some_and(|f| f.phase == Phase::Streaming) {
            if let Some(sent) = confirmed {
                self.confirmed = Some((epoch, sent));
            }
            self.agree_to_keep(from, keep);
        }
        let (now, silence) = (self.now.mono_ms, self.limits.silence_ms);
        let held = self.log.last.index;
        let Some(follower) = self.following(epoch, from) else { return };
        follower.source_committed = follower.source_committed.max(committed);
        if follower.phase != Phase::Streaming {
            return;
        }
        follower.heard_ms = now;
        if last <= held {
            follower.progress_ms = now;
            follower.patience_ms = silence;
        } else if now.saturating_sub(follower.progress_ms) >= follower.patience_ms {
            // Beats come and records do not: the source believes that they are here.
            follower.patience_ms = (follower.patience_ms * 2).min(silence * MAX_PATIENCE);
            follower.phase = Phase::Settling;
        }
        self.ack_due = true;
    }

    pub(crate) fn on_batch(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        records: Vec<Arc<Record>>,
        committed: JournalIndex,
    ) {
        let now = self.now.mono_ms;
        let Some(follower) = self.following(epoch, from) else { return };
        if follower.phase != Phase::Streaming {
            return;
        }
        follower.heard_ms = now;
        follower.source_committed = follower.source_committed.max(committed);
        self.ack_due = true;
        if self.truncating {
            return;
        }
        match self.fresh(epoch, &records) {
            Ok(fresh) if fresh.is_empty() => {}
            Ok(fresh) => self.take(fresh),
            Err(Refused::Gap) => self.say_hello_again(),
            Err(Refused::Bad(index)) => {
                self.out.push(Output::Alarm(Alarm::BadRecord { index, peer: from }));
                self.say_hello_again();
            }
            Err(Refused::Other { ours, theirs }) => {
                let (index, ours, theirs) = (ours.index, ours.digest, theirs.digest);
                self.out.push(Output::Alarm(Alarm::Corruption { index, ours, theirs, peer: from }));
                self.fence = Some(Fence { epoch: self.floor(), permanent: true });
                self.follower = None;
            }
        }
    }

    /// The part of a batch that is not here yet, checked record by record.
    fn fresh(&self, epoch: Epoch, records: &[Arc<Record>]) -> Result<Vec<Arc<Record>>, Refused> {
        let mut previous = self.log.last;
        let mut time = self.log.last_time;
        let mut fresh = Vec::with_capacity(records.len());
        for record in records {
            let index = record.index();
            if fresh.is_empty() && index <= previous.index {
                match self.log.position_at(index) {
                    Some(ours) if ours.digest != record.digest => {
                        return Err(Refused::Other { ours, theirs: record.position() });
                    }
                    _ => continue,
                }
            }
            if fresh.is_empty() && index > previous.index.next() {
                return Err(Refused::Gap);
            }
            if !self.acceptable(record, &previous, time, epoch) {
                return Err(Refused::Bad(index));
            }
            previous = record.position();
            time = record.header.time;
            fresh.push(Arc::clone(record));
        }
        Ok(fresh)
    }

    fn acceptable(&self, record: &Record, previous: &Position, time: Timestamp, epoch: Epoch) -> bool {
        let header = &record.header;
        // An epoch begins with its EpochStart and with nothing else.
        let starts = matches!(header.kind, RecordKind::EpochStart { .. });
        let epoch_fits = header.epoch <= epoch && (header.epoch > previous.epoch) == starts;
        let chained = record.follows(previous).is_ok();
        let placed = header.platform == self.platform && header.time >= time;
        let index_only = self.has(Bug::HelloByIndexOnly) && header.index == previous.index.next();
        record.verify().is_ok() && (index_only || (chained && epoch_fits && placed))
    }

    fn take(&mut self, fresh: Vec<Arc<Record>>) {
        let (now, silence) = (self.now.mono_ms, self.limits.silence_ms);
        if let Some(follower) = &mut self.follower {
            follower.progress_ms = now;
            follower.patience_ms = silence;
        }
        for record in &fresh {
            self.log.append(record, false);
            self.unresolved = match record.header.kind {
                RecordKind::Barrier { move_id } | RecordKind::SwitchProposed { move_id, .. } => Some(move_id),
                _ => None,
            };
        }
        self.out.push(Output::Append(fresh));
    }

    /// Something was lost on the way: introduce yourself again, but not at every batch of a broken run.
    fn say_hello_again(&mut self) {
        let (now, beat) = (self.now.mono_ms, self.limits.beat_ms);
        if let Some(follower) = &mut self.follower
            && now.saturating_sub(follower.hello_ms) >= beat
        {
            follower.phase = Phase::Settling;
        }
    }

    /// One cumulative acknowledgement.
    pub(crate) fn send_ack(&mut self) {
        let Some(follower) = &self.follower else { return };
        if follower.phase != Phase::Streaming {
            return;
        }
        let (to, epoch) = (follower.source, follower.epoch);
        let durable = if self.has(Bug::AckBeforeFsync) { self.log.last } else { self.log.durable };
        let kept = follower.kept;
        let (stamp, whole) = (self.stamp(), self.rows_whole());
        let (received, applied) = (self.log.last.index, self.log.applied);
        let ack = Ack { epoch, received, durable, applied, stamp, kept, whole };
        self.send(to, Message::Ack(ack));
    }

    /// A failover's copy is complete when the journal ends, fsynced, at the position asked for.
    pub(crate) fn copy_reached(&mut self) {
        let durable = self.log.durable;
        let Some(follower) = &mut self.follower else { return };
        if let Some(until) = follower.until
            && until.to == durable
        {
            follower.until = None;
            let epoch = follower.epoch;
            self.owe_report(until.coordinator, epoch, until.move_id);
        }
    }
}

/// Why a batch was not taken.
enum Refused {
    Gap,
    Bad(JournalIndex),
    Other { ours: Position, theirs: Position },
}

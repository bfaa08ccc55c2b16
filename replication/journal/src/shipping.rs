//! Shipping records to those who copy from here: a primary's backups, or laggards of a failover.
//!
//! Invariants: only fsynced records are shipped; unacknowledged bytes per peer stay within the window, which follows the
//! line (`pace`; one record may exceed it alone); a position is believed only when its digest is the one of the own record at that index; what a peer has
//! acknowledged in this epoch never falls, because a follower truncates within an epoch only what its source does not have.

use crate::pace::Pace;
use crate::replica::{Replica, Wanted};
use crate::{Ack, Alarm, Bug, Hello, HelloAnswer, Message, Output, RejectReason};
use eport_model::{Epoch, JournalIndex, NodeId, Position, Record};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Silences a primary waits at most for progress on a stream before it ships again what was not acknowledged.
pub(crate) const MAX_PATIENCE: u64 = 32;
/// Batches of a stream whose ends are remembered until they are fsynced.
const ENDS_MAX: usize = 1_024;

/// Everybody who copies from here under one epoch.
#[derive(Debug)]
pub(crate) struct Shipping {
    pub(crate) epoch: Epoch,
    pub(crate) next_beat: u64,
    /// When it was last noted what peers have acknowledged.
    pub(crate) noted_ms: u64,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    /// When the newest acknowledgement was received that each peer was told of; kept for those that have left, too.
    vouched: BTreeMap<NodeId, u64>,
}

/// One peer: what it has proven, and its stream if it has said hello.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) received: JournalIndex,
    pub(crate) durable: Position,
    pub(crate) applied: Position,
    pub(crate) heard_ms: u64,
    pub(crate) slot: crate::slots::PeerSlot,
    /// Stamp of its newest acknowledgement and when that was received.
    stamp: (u64, u64),
    /// The newest request to keep this primary going that it has agreed to.
    kept: u64,
    /// Beats in a row at which it held everything committed one beat before.
    caught_up: u8,
    /// Its newest acknowledgement says that its rows are whole.
    whole: bool,
    pub(crate) stream: Option<Stream>,
    alarmed: bool,
}

impl Peer {
    /// It starts anew from `after`: what it had, and how level it was with it, does not count any more until it is there again.
    pub(crate) fn set_back(&mut self, after: Position) {
        (self.durable, self.received, self.applied) = (after, after.index, Position::ZERO);
        (self.caught_up, self.whole) = (0, false);
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    next: JournalIndex,
    /// Shipped but not acknowledged as received: position, bytes, when.
    sent: VecDeque<(Position, usize, u64)>,
    sent_bytes: usize,
    /// Last records of shipped batches that are not known to be fsynced there: what a peer far behind acknowledges lies
    /// before everything that is kept in memory otherwise. The newest [`ENDS_MAX`].
    ends: VecDeque<Position>,
    pace: Pace,
    /// A read from disk is under way from this index.
    reading: Option<JournalIndex>,
    progress_ms: u64,
    /// How long progress is waited for before everything is shipped again; doubles each time, so that a slow link is not
    /// filled with repetitions.
    patience_ms: u64,
    /// Last record of the hello that began it, and when: a repeated hello finds its stream and does not start it again.
    of: Position,
    greeted_ms: u64,
    /// The peer has answered on this stream. A hello after that is no repetition: the peer has lost the stream.
    answered: bool,
}

impl Stream {
    fn new(next: JournalIndex, of: Position, now: u64, patience_ms: u64, pace: Pace) -> Self {
        Self {
            next,
            sent: VecDeque::new(),
            sent_bytes: 0,
            ends: VecDeque::new(),
            pace,
            reading: None,
            progress_ms: now,
            patience_ms,
            of,
            greeted_ms: now,
            answered: false,
        }
    }

    /// Position of a shipped record that is not acknowledged yet.
    fn position_at(&self, index: JournalIndex) -> Option<Position> {
        let first = self.sent.front().map(|(p, ..)| p.index).filter(|first| index >= *first);
        let sent = first.and_then(|first| self.sent.get(index.since(first) as usize).map(|(p, ..)| *p));
        sent.or_else(|| self.ends.iter().find(|p| p.index == index).copied())
    }

    fn note_durable(&mut self, durable: JournalIndex) {
        while self.ends.front().is_some_and(|p| p.index <= durable) {
            self.ends.pop_front();
        }
    }

    fn note_received(&mut self, received: JournalIndex, now: u64, patience_ms: u64) {
        self.answered = true;
        let limited = self.sent_bytes * 2 >= self.pace.window();
        while self.sent.front().is_some_and(|(p, ..)| p.index <= received) {
            if let Some((_, weight, shipped_ms)) = self.sent.pop_front() {
                self.sent_bytes -= weight;
                // The patience of a stream without trouble is the silence.
                self.pace.acknowledged(weight, shipped_ms, now, patience_ms, limited);
            }
            self.progress_ms = now;
            self.patience_ms = patience_ms;
        }
    }

    fn rewind(&mut self, next: JournalIndex, now: u64) {
        let (of, greeted_ms, answered) = (self.of, self.greeted_ms, self.answered);
        let mut ends = std::mem::take(&mut self.ends);
        ends.retain(|p| p.index < next);
        *self =
            Self { greeted_ms, answered, ends, ..Stream::new(next, of, now, self.patience_ms, self.pace) };
    }
}

impl Shipping {
    pub(crate) fn new(epoch: Epoch, now: u64) -> Self {
        Self { epoch, next_beat: now, noted_ms: now, peers: BTreeMap::new(), vouched: BTreeMap::new() }
    }

    pub(crate) fn durable_of(&self, node: NodeId) -> JournalIndex {
        self.peers.get(&node).map_or(JournalIndex::ZERO, |p| p.durable.index)
    }

    pub(crate) fn durable_at(&self, node: NodeId, position: Position) -> bool {
        self.peers.get(&node).is_some_and(|p| p.durable.index >= position.index)
    }

    pub(crate) fn applied_at(&self, node: NodeId, position: Position) -> bool {
        self.peers.get(&node).is_some_and(|p| p.applied == position)
    }

    pub(crate) fn heard_of(&self, node: NodeId) -> u64 {
        self.peers.get(&node).map_or(0, |p| p.heard_ms)
    }

    /// When the newest acknowledgement of each peer was received that was confirmed to it.
    pub(crate) fn vouched(&self) -> impl Iterator<Item = u64> {
        self.vouched.values().copied()
    }

    pub(crate) fn kept_by(&self, node: NodeId) -> u64 {
        self.peers.get(&node).map_or(0, |p| p.kept)
    }

    /// The stamp to confirm to a peer, which is remembered as told.
    fn vouch(&mut self, node: NodeId) -> u64 {
        let Some(peer) = self.peers.get_mut(&node) else { return 0 };
        let (stamp, received_ms) = peer.stamp;
        let told = self.vouched.entry(node).or_default();
        *told = received_ms.max(*told);
        stamp
    }

    pub(crate) fn is_streaming(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|p| p.stream.is_some())
    }

    pub(crate) fn caught_up(&self, node: NodeId) -> u8 {
        self.peers.get(&node).map_or(0, |p| p.caught_up)
    }

    pub(crate) fn is_whole(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|p| p.whole)
    }

    pub(crate) fn keep(&mut self, member: impl Fn(&NodeId) -> bool) {
        self.peers.retain(|node, _| member(node));
    }

    pub(crate) fn count_beat(&mut self, mark: JournalIndex, now: u64, silence: u64) {
        for peer in self.peers.values_mut() {
            let alive = peer.stream.is_some() && now.saturating_sub(peer.heard_ms) <= silence;
            peer.caught_up =
                if alive && peer.durable.index >= mark { peer.caught_up.saturating_add(1) } else { 0 };
        }
    }
}

impl Replica {
    /// May this node copy from here in `epoch`? A primary serves its backups; a sealed candidate serves whoever the last
    /// placement names, in the epoch it has promised.
    fn serves(&mut self, peer: NodeId, epoch: Epoch) -> Result<(), RejectReason> {
        let view = self.view.as_ref();
        let named = view.is_some_and(|v| v.primary == peer || v.backups.iter().any(|b| b.node == peer));
        let primary = self.primary.as_ref().is_some_and(|p| p.epoch == epoch);
        let above = view.is_none_or(|v| v.epoch < epoch);
        let candidate =
            self.sealed == epoch && above && self.fence.is_none() && self.log.settled() && !self.truncating;
        let copying = self.follower.is_some();
        match (primary, candidate && !copying) {
            (false, false) => Err(RejectReason::NotSource),
            _ if !named => Err(RejectReason::NotMember),
            (true, _) => Ok(()),
            (false, true) => {
                if self.ship.as_ref().is_none_or(|s| s.epoch != epoch) {
                    self.ship = Some(Shipping::new(epoch, self.now.mono_ms));
                }
                Ok(())
            }
        }
    }

    pub(crate) fn on_hello(&mut self, from: NodeId, hello: Hello) {
        if let Err(reason) = self.serves(from, hello.epoch) {
            self.send(from, Message::HelloAnswer { epoch: hello.epoch, answer: HelloAnswer::Reject(reason) });
            return;
        }
        let own = self.log.durable.index;
        if self.knows_more(from, &hello.last) {
            return;
        }
        let at = if self.has(Bug::HelloByIndexOnly) {
            own.min(hello.last.index)
        } else {
            self.log.durable_history().common_point(own, &hello.history, hello.last.index)
        };
        match self.log.position_at(at) {
            Some(position) => self.greet(from, hello, Some(position)),
            None => self.look_up(at, Wanted::Greeting { peer: from, hello }),
        }
    }

    /// Answers a hello once the position at the common point is known.
    pub(crate) fn greet(&mut self, peer: NodeId, hello: Hello, position: Option<Position>) {
        if self.serves(peer, hello.epoch).is_err() {
            return;
        }
        let (epoch, now) = (hello.epoch, self.now.mono_ms);
        let Some(after) = position else {
            self.send(
                peer,
                Message::HelloAnswer { epoch, answer: HelloAnswer::Reject(RejectReason::TooOld) },
            );
            return;
        };
        if after.index == hello.last.index && after != hello.last && !self.has(Bug::HelloByIndexOnly) {
            self.alarm_corruption(peer, after, hello.last);
        }
        let Some(acked) = self.admit(peer, after, hello.last) else { return };
        let Some(ship) = &mut self.ship else { return };
        let state = ship.peers.entry(peer).or_default();
        state.heard_ms = now;
        // Another life of its process may speak now.
        state.stamp.0 = 0;
        // A peer with a diverged tail says hello again when it is gone; shipping to it before would be refused.
        let clean = after.index == hello.last.index;
        // Hellos are repeated while their answer is on its way. Each new stream ships a whole window, so starting one for every
        // repetition would delay the answers further, until nothing else happens.
        let silence = self.limits.silence_ms;
        let repeated =
            |s: &Stream| s.of == hello.last && !s.answered && now.saturating_sub(s.greeted_ms) < silence;
        if !state.stream.as_ref().is_some_and(repeated) {
            let max = self.limits.window_bytes;
            let pace = state.stream.as_ref().map_or(Pace::new(max), |s| s.pace.renewed(s.answered, now));
            state.stream = clean.then(|| Stream::new(after.index.next(), hello.last, now, silence, pace));
        }
        if after == hello.last {
            state.received = state.received.max(after.index);
            if after.index > state.durable.index {
                state.durable = after;
            }
            state.slot.note_durable(after);
        }
        self.send(
            peer,
            Message::HelloAnswer { epoch, answer: HelloAnswer::Stream { after, of: hello.last, acked } },
        );
    }

    pub(crate) fn on_ack(&mut self, from: NodeId, ack: Ack) {
        let now = self.now.mono_ms;
        let head = self.log.durable.index;
        let Some(ship) = self.ship.as_mut().filter(|s| s.epoch == ack.epoch) else { return };
        let Some(peer) = ship.peers.get_mut(&from).filter(|p| p.stream.is_some()) else {
            // It follows a stream that a restart of this node has forgotten.
            let reject = HelloAnswer::Reject(RejectReason::NotMember);
            self.send(from, Message::HelloAnswer { epoch: ack.epoch, answer: reject });
            return;
        };
        peer.heard_ms = now;
        if ack.stamp > peer.stamp.0 {
            peer.stamp = (ack.stamp, now);
        }
        peer.kept = peer.kept.max(ack.kept);
        peer.whole = ack.whole;
        let known = |p: Position, stream: &Option<Stream>| {
            self.log.position_at(p.index).or_else(|| stream.as_ref().and_then(|s| s.position_at(p.index)))
        };
        let durable_here = known(ack.durable, &peer.stream);
        let applied_here = known(ack.applied, &peer.stream);
        if let Some(stream) = &mut peer.stream {
            stream.note_received(ack.received, now, self.limits.silence_ms);
            if ack.received >= stream.next && ack.received <= head {
                stream.rewind(ack.received.next(), now);
            }
        }
        peer.received = peer.received.max(ack.received);
        match durable_here {
            Some(ours) if ours == ack.durable => {
                let newer = ours.index > peer.durable.index;
                peer.durable = if newer { ours } else { peer.durable };
                peer.slot.note_durable(peer.durable);
                if let Some(stream) = &mut peer.stream {
                    stream.note_durable(ours.index);
                }
            }
            Some(ours) => {
                self.alarm_corruption(from, ours, ack.durable);
                return;
            }
            None => {} // Too old to be checked: proven again by what follows.
        }
        if applied_here == Some(ack.applied) && ack.applied.index > peer.applied.index {
            peer.applied = ack.applied;
        }
        self.note_kept();
    }

    /// Records read from disk for a peer.
    pub(crate) fn on_records(&mut self, peer: NodeId, from: JournalIndex, records: Vec<Arc<Record>>) {
        let (now, durable) = (self.now.mono_ms, self.log.durable.index);
        let Some(ship) = &mut self.ship else { return };
        let Some(stream) = ship.peers.get_mut(&peer).and_then(|p| p.stream.as_mut()) else { return };
        if stream.reading != Some(from) {
            return;
        }
        stream.reading = None;
        if stream.next != from {
            return;
        }
        let epoch = ship.epoch;
        let records: Vec<_> = records.into_iter().take_while(|r| r.index() <= durable).collect();
        if records.first().is_none_or(|r| r.index() != from) {
            if let Some(peer) = ship.peers.get_mut(&peer) {
                peer.stream = None;
                peer.slot.gone = true;
            }
            self.send(
                peer,
                Message::HelloAnswer { epoch, answer: HelloAnswer::Reject(RejectReason::TooOld) },
            );
            return;
        }
        self.ship_batch(peer, records, now);
    }

    fn ship_batch(&mut self, to: NodeId, records: Vec<Arc<Record>>, now: u64) {
        let committed = self.log.committed;
        let Some(ship) = &mut self.ship else { return };
        let Some(stream) = ship.peers.get_mut(&to).and_then(|p| p.stream.as_mut()) else { return };
        let Some(end) = records.last().map(|r| r.position()) else { return };
        if stream.sent.is_empty() {
            stream.progress_ms = now;
        }
        for record in &records {
            stream.sent.push_back((record.position(), record.weight(), now));
            stream.sent_bytes += record.weight();
        }
        stream.next = end.index.next();
        if stream.ends.len() == ENDS_MAX {
            stream.ends.pop_front();
        }
        stream.ends.push_back(end);
        let message = Message::Batch { epoch: ship.epoch, records, committed };
        self.send(to, message);
    }

    /// Fills every window, re-sends after silence, beats.
    pub(crate) fn shipping_work(&mut self) {
        let Some(ship) = &self.ship else { return };
        let now = self.now.mono_ms;
        if now >= ship.next_beat {
            self.beat();
        }
        let peers: Vec<NodeId> = self.ship.iter().flat_map(|s| s.peers.keys().copied()).collect();
        for peer in peers {
            self.fill_window(peer, now);
        }
    }

    fn fill_window(&mut self, to: NodeId, now: u64) {
        loop {
            let (limit, silence) = (self.limits.batch_bytes, self.limits.silence_ms);
            let durable = self.log.durable.index;
            let Some(ship) = &mut self.ship else { return };
            let Some(peer) = ship.peers.get_mut(&to) else { return };
            let received = peer.received;
            let Some(stream) = &mut peer.stream else { return };
            if !stream.sent.is_empty() && now.saturating_sub(stream.progress_ms) >= stream.patience_ms {
                // The oldest unacknowledged record may be lost: everything from there goes out again.
                let from = stream.sent.front().map_or(received.next(), |(p, ..)| p.index);
                stream.patience_ms = (stream.patience_ms * 2).min(silence * MAX_PATIENCE);
                stream.pace.halve(now);
                stream.rewind(from, now);
            }
            let (window, batch) = (stream.pace.window(), stream.pace.batch(limit));
            if stream.reading.is_some() || stream.next > durable || stream.sent_bytes >= window {
                return;
            }
            let from = stream.next;
            let room = batch.min(window - stream.sent_bytes);
            let records = self.log.cached(from, durable, room);
            if records.is_empty() {
                stream.reading = Some(from);
                self.out.push(Output::Read { peer: to, from, max_bytes: room });
                return;
            }
            self.ship_batch(to, records, now);
        }
    }

    fn beat(&mut self) {
        self.mark_beat();
        self.watch_slots();
        let now = self.now.mono_ms;
        if let Some(ship) = &mut self.ship {
            ship.next_beat = now + self.limits.beat_ms;
        }
        let Some(ship) = &self.ship else { return };
        // A primary beats to all its backups, so that one that follows a forgotten stream says hello again.
        let mut to: Vec<NodeId> =
            ship.peers.iter().filter(|(_, p)| p.stream.is_some()).map(|(n, _)| *n).collect();
        if let (Some(view), true) = (&self.view, self.primary.is_some()) {
            to = view.backups.iter().map(|b| b.node).collect();
        }
        self.send_beats(to);
    }

    pub(crate) fn send_beats(&mut self, to: Vec<NodeId>) {
        let Some(epoch) = self.ship.as_ref().map(|s| s.epoch) else { return };
        let (last, keep) = (self.log.durable.index, self.keep_wanted());
        for node in to {
            // An index means something only to whoever has greeted this primary as it is: another one may hold another record there.
            let greeted = self.ship.as_ref().is_some_and(|s| s.is_streaming(node));
            let committed = if greeted { self.log.committed } else { JournalIndex::ZERO };
            let vouches = self.may_vouch(node);
            let heard = self.ship.as_mut().filter(|_| vouches).map_or(0, |s| s.vouch(node));
            self.send(node, Message::Beat { epoch, committed, last, heard, keep });
        }
    }

    fn alarm_corruption(&mut self, peer: NodeId, ours: Position, theirs: Position) {
        let state = self.ship.as_mut().and_then(|s| s.peers.get_mut(&peer));
        if let Some(state) = state
            && std::mem::replace(&mut state.alarmed, true)
        {
            return;
        }
        let (index, ours, theirs) = (ours.index, ours.digest, theirs.digest);
        self.out.push(Output::Alarm(Alarm::Corruption { index, ours, theirs, peer }));
    }
}

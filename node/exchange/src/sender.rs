//! The sending side of one channel: what is offered next, what may leave the outbox.
//!
//! Always: one offer is under way at a time, its messages in the order of each lane; lanes take turns, so a busy one delays no other
//! by more than its share; what was acknowledged stays until the receiver holds it, and is offered again when the receiver's epoch
//! changes; an offer fits the line, so that its answer comes in time, and a slow line is left to others most of the time. State is
//! memory alone: a new primary begins with nothing and offers everything that its outbox holds.

use crate::{Answer, OFFER_LEN_MAX, OFFER_MESSAGES_MAX, Refused, Taken};
use eport_identity::Epoch;
use eport_model::JournalIndex;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of one lane that may be under way, acknowledged ones that are not held yet included.
pub const LANE_WINDOW: usize = 512;
/// Shortest pause after an answer that took nothing, milliseconds.
const PAUSE_MIN_MS: u64 = 100;
/// An offer begins with so many bytes: what a line of a megabit a second carries well within the time for an answer.
const BUDGET_FIRST: usize = 64 << 10;
/// Offers never shrink below so many bytes.
const BUDGET_MIN: usize = 4 << 10;
/// An answer that took longer, milliseconds, makes the next offer smaller: it has to come well before its caller gives up.
const LATE_MS: u64 = 2_000;
/// An answer that took longer, milliseconds, came over a line that others need too: the next offer waits and does not grow.
const SLOW_MS: u64 = 500;
/// After a slow answer the line is left to others for so many times as long as it took.
const SLOW_PAUSES: u64 = 3;
/// Longest pause after failures in a row, milliseconds. A receiver that was away for days is found again within it.
const PAUSE_MAX_MS: u64 = 15_000;

/// What an answer lets happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done<K> {
    /// Rows whose effect the receiver holds: they leave the outbox.
    pub held: Vec<K>,
    /// Rows that never take effect, with reason code and detail: they become dead letters.
    pub dead: Vec<(K, String, String)>,
}

impl<K> Default for Done<K> {
    fn default() -> Self {
        Self { held: Vec::new(), dead: Vec::new() }
    }
}

/// The sending side of one channel. `K` orders the rows of a lane.
#[derive(Debug)]
pub struct Sender<K> {
    /// Epoch of the receiver that answered last.
    receiver: Option<Epoch>,
    /// Acknowledged, not held yet: where the effect stands.
    acked: BTreeMap<K, JournalIndex>,
    /// What the offer under way carries, in order.
    offered: Vec<K>,
    /// When it was picked, milliseconds of the caller's clock.
    picked_ms: u64,
    /// Bytes that an offer may carry now; one message goes whatever its length.
    budget: usize,
    /// The lane whose turn is next.
    turn: Option<String>,
    failures: u32,
    /// Nothing is offered before, milliseconds of the caller's clock.
    not_before: u64,
    /// What the last failure said.
    trouble: Option<String>,
}

impl<K> Default for Sender<K> {
    fn default() -> Self {
        Self {
            receiver: None,
            acked: BTreeMap::new(),
            offered: Vec::new(),
            picked_ms: 0,
            budget: BUDGET_FIRST,
            turn: None,
            failures: 0,
            not_before: 0,
            trouble: None,
        }
    }
}

impl<K: Ord + Clone> Sender<K> {
    /// Picks what is offered next from the heads of the lanes: rows in order with the bytes of their bodies, at most
    /// [`LANE_WINDOW`] a lane. `None`: nothing is due. An empty pick asks how far the receiver is.
    pub fn pick(&mut self, heads: &BTreeMap<String, Vec<(K, usize)>>, now_ms: u64) -> Option<Vec<K>> {
        if now_ms < self.not_before {
            return None;
        }
        // What is no longer in the outbox was removed by a record of before.
        let rows: BTreeSet<&K> = heads.values().flatten().map(|(k, _)| k).collect();
        self.acked.retain(|k, _| rows.contains(k));
        let mut lanes: Vec<(&String, std::collections::VecDeque<&(K, usize)>)> = heads
            .iter()
            .map(|(lane, rows)| {
                let open = rows.iter().take(LANE_WINDOW).filter(|(k, _)| !self.acked.contains_key(k));
                (lane, open.collect())
            })
            .filter(|(_, rows): &(_, std::collections::VecDeque<_>)| !rows.is_empty())
            .collect();
        if let Some(turn) = &self.turn {
            let first = lanes.iter().position(|(lane, _)| *lane >= turn).unwrap_or(0);
            lanes.rotate_left(first);
        }
        let (mut picked, mut bytes) = (Vec::new(), 0);
        'full: while lanes.iter().any(|(_, rows)| !rows.is_empty()) {
            for (lane, rows) in &mut lanes {
                let Some((key, len)) = rows.front() else { continue };
                if picked.len() >= OFFER_MESSAGES_MAX || (bytes + len > self.budget && !picked.is_empty()) {
                    self.turn = Some((*lane).clone());
                    break 'full;
                }
                bytes += len;
                picked.push(key.clone());
                rows.pop_front();
            }
        }
        if picked.is_empty() && self.acked.is_empty() {
            return None;
        }
        // First contact: nothing is sent before it is known what the receiver has.
        if self.receiver.is_none() {
            picked.clear();
        }
        self.offered.clone_from(&picked);
        self.picked_ms = now_ms;
        Some(picked)
    }

    /// Only these of the rows picked last are offered, in the order in which they were picked.
    pub fn offers(&mut self, made: &[K]) {
        self.offered = made.to_vec();
    }

    /// Takes the answer to the offer that was picked last.
    pub fn answered(&mut self, answer: Answer, now_ms: u64) -> Done<K> {
        let mut done = Done::default();
        let offered = std::mem::take(&mut self.offered);
        let results = match answer.results {
            Ok(results) if results.len() == offered.len() => results,
            Ok(_) => {
                self.failed("the answer does not fit the offer".into(), now_ms);
                return done;
            }
            Err(Refused::Moved) => {
                (self.receiver, self.failures, self.not_before) = (Some(answer.epoch), 0, 0);
                self.acked.clear();
                return done;
            }
            Err(refused) => {
                self.failed(describe(&refused), now_ms);
                return done;
            }
        };
        (self.failures, self.not_before, self.trouble) = (0, 0, None);
        self.adapt(now_ms);
        if self.receiver.is_some_and(|known| known != answer.epoch) {
            // Behind the fork its former acknowledgements count no more; which they are only it knows, and an id offered twice does nothing.
            self.acked.clear();
        }
        self.receiver = Some(answer.epoch);
        for (key, taken) in offered.into_iter().zip(results) {
            match taken {
                Taken::At(index) => drop(self.acked.insert(key, index)),
                Taken::Dead(reason, detail) => done.dead.push((key, reason, detail)),
            }
        }
        let held = self.acked.iter().filter(|(_, index)| **index <= answer.held);
        done.held = held.map(|(key, _)| key.clone()).collect();
        // Rows stay known as acknowledged until the record that removes them is there: `pick` forgets them then.
        if done.held.is_empty() && done.dead.is_empty() && !self.acked.is_empty() {
            self.not_before = self.not_before.max(now_ms + PAUSE_MIN_MS);
        }
        done
    }

    /// Offers grow while answers come fast. On a slow line they shrink and leave it to the shipping of journals: what is offered
    /// can wait, what a backup lacks may be lost.
    fn adapt(&mut self, now_ms: u64) {
        let took = now_ms.saturating_sub(self.picked_ms);
        if took <= SLOW_MS {
            self.budget = (self.budget * 2).min(OFFER_LEN_MAX);
            return;
        }
        if took > LATE_MS {
            self.budget = (self.budget / 2).max(BUDGET_MIN);
        }
        self.not_before = now_ms + (took * SLOW_PAUSES).min(PAUSE_MAX_MS);
    }

    /// The offer brought no answer: it may have taken effect.
    pub fn failed(&mut self, trouble: String, now_ms: u64) {
        self.offered.clear();
        self.failures = self.failures.saturating_add(1);
        // The same again would take as long again: on a line that is too slow for it nothing would ever arrive.
        self.budget = (self.budget / 2).max(BUDGET_MIN);
        let pause = PAUSE_MIN_MS << self.failures.min(8);
        self.not_before = now_ms + pause.min(PAUSE_MAX_MS);
        self.trouble = Some(trouble);
    }

    /// The way to the receiver has changed: the pause ends.
    pub fn try_now(&mut self) {
        self.not_before = 0;
    }

    /// Rows that were acknowledged and are not held yet.
    pub fn waiting(&self) -> usize {
        self.acked.len()
    }

    /// The rows that were acknowledged and are not held yet; at most [`LANE_WINDOW`] a lane.
    pub fn acknowledged(&self) -> impl Iterator<Item = &K> {
        self.acked.keys()
    }

    /// Whether a row was acknowledged.
    pub fn is_acknowledged(&self, key: &K) -> bool {
        self.acked.contains_key(key)
    }

    /// When the next offer may go, milliseconds of the caller's clock; 0: at once.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Epoch of the receiver that answered last.
    pub fn receiver(&self) -> Option<Epoch> {
        self.receiver
    }

    /// Why the last offer took nothing; `None` after one that did.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

fn describe(refused: &Refused) -> String {
    match refused {
        Refused::NotPrimary => "the node asked is not its primary".into(),
        Refused::Moved => "the receiver has another epoch".into(),
        Refused::Stale { known } => format!("the receiver knows epoch {known} of this platform"),
        Refused::Busy(detail) => detail.clone(),
        Refused::Malformed(detail) => format!("the receiver cannot read the offer: {detail}"),
    }
}

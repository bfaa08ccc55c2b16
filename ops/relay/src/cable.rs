//! One direction of a link between two sites: its rule, what is under way, and what it did.
//!
//! Always: what is under way is bounded in bytes and in number, and what does not fit is lost and counted; a datagram that
//! is under way when the link is cut is lost. All paths between the two sites share the rule, the rate and the bounds.

use crate::rule::Rule;
use crate::shaper::{Fate, Lost, Shaper};
use crate::socket::Outlet;
use bytes::{Bytes, BytesMut};
use eport_identity::SiteId;
use quinn_udp::EcnCodepoint;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Bytes under way on one direction of a link: 30 ms at 1 Gbit/s are 3.75 MB.
pub const HELD_BYTES_MAX: usize = 8 << 20;
/// Datagrams under way on one direction of a link.
pub const HELD_COUNT_MAX: usize = 16_384;

/// What one direction of a link did since the relay started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Datagrams delivered, second copies included.
    pub passed: u64,
    /// Their bytes.
    pub passed_bytes: u64,
    /// Bytes of streams delivered.
    pub stream_bytes: u64,
    /// Datagrams lost because the link was cut.
    pub lost_cut: u64,
    /// Datagrams lost by the rule's share.
    pub lost_drawn: u64,
    /// Datagrams lost because a queue was full.
    pub lost_full: u64,
    /// Datagrams delivered twice.
    pub duplicated: u64,
    /// Datagrams that later ones could overtake.
    pub reordered: u64,
    /// Datagrams with a bit changed.
    pub corrupted: u64,
    /// Datagrams from an address that belongs to no node of the path.
    pub stray: u64,
    /// Datagrams that the system did not take.
    pub refused: u64,
    /// Bytes under way now.
    pub held_bytes: u64,
    /// Most bytes that were under way at once.
    pub held_bytes_max: u64,
}

struct Held {
    at: Instant,
    /// Keeps the order of equal times.
    number: u64,
    outlet: Arc<Outlet>,
    bytes: Bytes,
    ecn: Option<EcnCodepoint>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct State {
    shaper: Shaper,
    held: BinaryHeap<Reverse<Held>>,
    number: u64,
    counts: Counts,
}

/// One direction of a link.
pub(crate) struct Cable {
    pub from: SiteId,
    pub to: SiteId,
    /// Times of the shaper count from here.
    start: Instant,
    state: Mutex<State>,
    rule: watch::Sender<Rule>,
    /// Something earlier than what was waited for is under way, or the rule changed.
    news: Notify,
}

/// What to do with datagrams that arrived.
pub(crate) enum Verdict {
    /// Send them on as they are; they are counted when that is done.
    Now,
    /// They were lost or are under way.
    Taken,
}

impl Cable {
    pub fn new(from: SiteId, to: SiteId, seed: u64) -> Arc<Self> {
        let state = State {
            shaper: Shaper::new(seed),
            held: BinaryHeap::new(),
            number: 0,
            counts: Counts::default(),
        };
        Arc::new(Self {
            from,
            to,
            start: Instant::now(),
            state: Mutex::new(state),
            rule: watch::Sender::new(Rule::default()),
            news: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock leaves the state usable at each point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn rule(&self) -> Rule {
        *self.rule.borrow()
    }

    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Puts a rule in force. A cut loses what is under way.
    pub fn set(&self, rule: Rule, seed: Option<u64>) {
        let mut state = self.state();
        state.shaper.set(rule, seed);
        if rule.cut {
            state.counts.lost_cut += state.held.len() as u64;
            state.counts.held_bytes = 0;
            state.held.clear();
        }
        drop(state);
        self.rule.send_replace(rule);
        self.news.notify_one();
    }

    /// Mends a cut after a time, unless another rule was put in force meanwhile.
    pub fn mend_after(self: &Arc<Self>, time: std::time::Duration) {
        let (cable, mut rules) = (self.clone(), self.rule.subscribe());
        tokio::spawn(async move {
            if tokio::time::timeout(time, rules.changed()).await.is_err() {
                tracing::info!(from = %cable.from, to = %cable.to, "nobody mended the link: its time is over");
                cable.set(Rule { cut: false, ..cable.rule() }, None);
            }
        });
    }

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    /// Judges datagrams that arrived together, `stride` bytes each and a shorter last one.
    pub fn take(
        &self,
        outlet: &Arc<Outlet>,
        bytes: &[u8],
        stride: usize,
        ecn: Option<EcnCodepoint>,
    ) -> Verdict {
        let mut state = self.state();
        if state.shaper.rule().is_clear() && state.held.is_empty() {
            return Verdict::Now;
        }
        let now = self.start.elapsed();
        for datagram in bytes.chunks(stride.max(1)) {
            self.hold(&mut state, now, outlet, datagram, ecn);
        }
        drop(state);
        self.news.notify_one();
        Verdict::Taken
    }

    fn hold(
        &self,
        state: &mut State,
        now: Duration,
        outlet: &Arc<Outlet>,
        datagram: &[u8],
        ecn: Option<EcnCodepoint>,
    ) {
        // Room is asked for before the draw, so that a full relay does not use the rate.
        let full = state.held.len() >= HELD_COUNT_MAX
            || state.counts.held_bytes as usize + datagram.len() > HELD_BYTES_MAX;
        let fate = match state.shaper.offer(now, datagram.len()) {
            Fate::Passed(_) if full => Fate::Lost(Lost::Full),
            fate => fate,
        };
        let delivery = match fate {
            Fate::Passed(delivery) => delivery,
            Fate::Lost(why) => {
                let counts = &mut state.counts;
                *match why {
                    Lost::Cut => &mut counts.lost_cut,
                    Lost::Drawn => &mut counts.lost_drawn,
                    Lost::Full => &mut counts.lost_full,
                } += 1;
                return;
            }
        };
        let mut copy = BytesMut::from(datagram);
        if let Some(bit) = delivery.flipped_bit {
            if let Some(byte) = copy.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            state.counts.corrupted += 1;
        }
        let copy = copy.freeze();
        state.counts.reordered += u64::from(delivery.overtaken);
        state.counts.duplicated += u64::from(delivery.again.is_some());
        for at in [Some(delivery.at), delivery.again].into_iter().flatten() {
            state.number += 1;
            state.counts.held_bytes += copy.len() as u64;
            state.counts.held_bytes_max = state.counts.held_bytes_max.max(state.counts.held_bytes);
            let held = Held {
                at: self.start + at,
                number: state.number,
                outlet: outlet.clone(),
                bytes: copy.clone(),
                ecn,
            };
            state.held.push(Reverse(held));
        }
    }

    /// Delivers what is under way, for ever.
    pub async fn deliver(self: Arc<Self>) {
        loop {
            let (due, next) = self.due();
            for held in due {
                // The link may have been cut since.
                if self.rule().cut {
                    self.count(|c| c.lost_cut += 1);
                    continue;
                }
                self.send(&held.outlet, &held.bytes, None, held.ecn).await;
            }
            let earlier = self.news.notified();
            match next {
                Some(at) => {
                    tokio::select! { () = tokio::time::sleep_until(at) => {}, () = earlier => {} }
                }
                None => earlier.await,
            }
        }
    }

    /// Takes what is due; and says when the next is.
    fn due(&self) -> (Vec<Held>, Option<Instant>) {
        let now = Instant::now();
        let mut state = self.state();
        let mut due = Vec::new();
        while state.held.peek().is_some_and(|Reverse(h)| h.at <= now) {
            let Some(Reverse(held)) = state.held.pop() else { break };
            state.counts.held_bytes = state.counts.held_bytes.saturating_sub(held.bytes.len() as u64);
            due.push(held);
        }
        let next = state.held.peek().map(|Reverse(h)| h.at);
        (due, next)
    }

    /// Sends datagrams on and counts them.
    pub async fn send(
        &self,
        outlet: &Outlet,
        bytes: &[u8],
        stride: Option<usize>,
        ecn: Option<EcnCodepoint>,
    ) {
        let datagrams = stride.map_or(1, |s| bytes.len().div_ceil(s.max(1))) as u64;
        let sent = outlet.send(bytes, stride, ecn).await.is_ok();
        self.count(|c| {
            if sent {
                c.passed += datagrams;
                c.passed_bytes += bytes.len() as u64;
            } else {
                c.refused += datagrams;
            }
        });
    }

    /// When `len` bytes of a stream that arrive now are to be written; waits while the link is cut.
    pub async fn pace(&self, len: usize) -> Instant {
        loop {
            let mut rules = self.rule.subscribe();
            let at = self.state().shaper.pace(self.start.elapsed(), len);
            match at {
                Some(at) => return self.start + at,
                // The sender lives as long as this cable.
                None => drop(rules.wait_for(|r| !r.cut).await),
            }
        }
    }

    /// Waits while the link is cut.
    pub async fn whole(&self) {
        // The sender lives as long as this cable.
        drop(self.rule.subscribe().wait_for(|r| !r.cut).await);
    }
}

//! A link that carries a megabit a second, as a city's line on a bad day: shipping must fit itself to it.
// Tests: an unwrap is an assertion.

use crate::support;
use bytes::Bytes;
use eport_journal::*;
use eport_model::*;
use std::collections::{BTreeMap, VecDeque};
use support::*;

/// Bytes a sender may have waiting for one peer; more is lost, as in `transport`.
const QUEUE: u64 = 32 << 20;

/// A line with a rate and a bounded queue in front of it, each direction of its own.
struct Line {
    bytes_per_ms: u64,
    free: BTreeMap<(NodeId, NodeId), u64>,
    under_way: BTreeMap<(NodeId, NodeId), VecDeque<(u64, Message)>>,
    carried: u64,
}

impl Line {
    fn new(bytes_per_ms: u64) -> Self {
        Self { bytes_per_ms, free: BTreeMap::new(), under_way: BTreeMap::new(), carried: 0 }
    }

    fn load(&mut self, net: &mut Net) {
        for (from, to, message) in std::mem::take(&mut net.wire) {
            let bytes = match &message {
                Message::Batch { records, .. } => {
                    records.iter().map(|r| r.weight() as u64).sum::<u64>() + 100
                }
                _ => 200,
            };
            let free = self.free.entry((from, to)).or_default();
            let start = (*free).max(net.now);
            if (start - net.now) * self.bytes_per_ms > QUEUE {
                continue;
            }
            *free = start + bytes / self.bytes_per_ms;
            self.carried += bytes;
            self.under_way.entry((from, to)).or_default().push_back((*free, message));
        }
    }

    /// Time passes in steps of 5 ms.
    fn pass(&mut self, net: &mut Net, ms: u64) {
        for _ in 0..ms / 5 {
            net.now += 5;
            for me in net.hosts.keys().copied().collect::<Vec<_>>() {
                net.input(me, Input::Tick);
            }
            self.load(net);
            let mut due = Vec::new();
            for ((from, to), queue) in &mut self.under_way {
                while queue.front().is_some_and(|(at, _)| *at <= net.now) {
                    due.push((*from, *to, queue.pop_front().unwrap().1));
                }
            }
            for (from, to, message) in due {
                net.input(to, Input::Message { from, message });
            }
            self.load(net);
        }
    }
}

/// `count` records of about 2 KiB at the primary `a` that its backup `b` has not seen.
fn behind(count: usize) -> Net {
    // Streaming is what is tried here.
    let limits = Limits { bootstrap_records: u64::MAX, ..Limits::default() };
    let mut net = Net::with_limits(&["a", "b"], limits);
    let view = PlacementView { k: 0, proven_k: 0, start_k: 0, ..placement(1, "a", &["b"], 0) };
    net.place("a", &view, true);
    net.place("b", &view, true);
    net.pass(1_000);
    net.isolate("b");
    for n in 0..count {
        net.ticket += 1;
        let value = Bytes::from(vec![b'x'; 2_000]);
        let key = Bytes::from(format!("key-{n}"));
        let draft = Draft { effects: vec![Effect::Put { key, value }], ..entry("") };
        let ticket = net.ticket;
        net.input(node("a"), Input::Propose { drafts: vec![(ticket, draft)] });
        net.wire.clear();
    }
    net.pass(3_000);
    net.heal();
    assert!(net.host("a").disk.len() > net.host("b").disk.len() + count - 1);
    net
}

fn bytes_of(net: &Net) -> u64 {
    net.host("a").disk.iter().map(|r| r.weight() as u64).sum()
}

#[test]
fn a_backup_behind_a_slow_line_catches_up_at_the_speed_of_the_line() {
    let mut net = behind(3_000);
    let mut line = Line::new(125);
    let ideal = bytes_of(&net) / 125;
    let (started, total) = (net.now, net.host("a").disk.len());
    while net.host("b").disk.len() < total && net.now - started < 20 * ideal {
        line.pass(&mut net, 500);
    }
    let took = net.now - started;
    assert_eq!(net.host("b").disk.len(), total, "after {took} ms; the line alone needs {ideal} ms");
    assert!(took < ideal * 2 + 10_000, "{took} ms; the line alone needs {ideal} ms");
    assert!(line.carried < bytes_of(&net) * 3 / 2, "{} bytes carried for {}", line.carried, bytes_of(&net));
}

#[test]
fn writes_that_go_on_reach_a_backup_behind_a_slow_line_soon() {
    let mut net = behind(200);
    let mut line = Line::new(125);
    // 20 records of 2 KiB a second are a third of what the line carries.
    for n in 0..600 {
        net.ticket += 1;
        let ticket = net.ticket;
        let value = Bytes::from(vec![b'x'; 2_000]);
        let draft =
            Draft { effects: vec![Effect::Put { key: format!("more-{n}").into(), value }], ..entry("") };
        net.input(node("a"), Input::Propose { drafts: vec![(ticket, draft)] });
        line.pass(&mut net, 50);
    }
    let lag = net.host("a").disk.len() - net.host("b").disk.len();
    assert!(lag < 60, "{lag} records behind after 30 s");
}

#[test]
fn a_fast_line_with_a_long_way_is_filled() {
    let mut net = behind(4_000);
    // 100 Mbit/s: 9 MB need 0.7 s; a small window would need hundreds of round trips.
    let mut line = Line::new(12_500);
    let total = net.host("a").disk.len();
    let started = net.now;
    while net.host("b").disk.len() < total && net.now - started < 60_000 {
        line.pass(&mut net, 50);
    }
    assert!(net.now - started < 5_000, "{} ms", net.now - started);
}

#[test]
fn a_line_that_becomes_slow_under_full_load_is_not_buried_for_ever() {
    let mut net = behind(12_000);
    let total = net.host("a").disk.len();
    let mut line = Line::new(12_500);
    line.pass(&mut net, 600);
    let held = net.host("b").disk.len();
    assert!(held > 1_000 && held < total, "{held} of {total}: it is in the middle of catching up");
    line.bytes_per_ms = 1_250;
    let left: u64 = net.host("a").disk.iter().skip(held).map(|r| r.weight() as u64).sum();
    let ideal = left / 1_250;
    let started = net.now;
    while net.host("b").disk.len() < total && net.now - started < 20 * ideal {
        line.pass(&mut net, 100);
    }
    let took = net.now - started;
    // What was under way at the change has to go first, perhaps twice.
    assert!(took < ideal * 2 + 20_000, "{took} ms; the line alone needs {ideal} ms");
}

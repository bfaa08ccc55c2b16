//! Random federations against a model of journals: whatever commands arrive in whatever order, a failover that the registry
//! accepts without `accept_data_loss` finds every record that was answered `replicated`.
//!
//! The model keeps per node how long its journal is. Its primary acknowledges by a view of the placement that may be old,
//! and tells the registry only what is true of the journals (as the journal protocol promises). Everything else is random.

use crate::common;
use common::*;
use eport_model::{Epoch, MoveId, NodeId};
use eport_registry::*;
use std::collections::{BTreeMap, BTreeSet};

/// SplitMix64: a generator whose stream never changes, so that a seed stays a reproduction.
struct Dice(u64);

impl Dice {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().copied().filter(|_| self.chance(60)).collect()
    }
}

const NODES: [(&str, &str, &str); 5] = [
    ("sz-a-1", "sz-a", "440300"),
    ("sz-a-2", "sz-a", "440300"),
    ("gz-a-1", "gz-a", "440000"),
    ("gz-a-2", "gz-a", "440000"),
    ("gz-c-1", "gz-c", "440100"),
];

#[derive(Default)]
struct Reached {
    failovers: usize,
    refused_quorums: usize,
    losses: usize,
    switchovers: usize,
    removals: usize,
    proofs: usize,
    replicated: usize,
    confirmed: usize,
}

struct Journals {
    world: World,
    dice: Dice,
    /// Length of each node's journal; the primary's is the longest of its epoch.
    len: BTreeMap<NodeId, u64>,
    /// Epoch and first index of each part of the current chain.
    chain: Vec<(u64, u64)>,
    /// Last record answered `replicated`, or inherited and committed by an EpochStart.
    promised: u64,
    /// The primary's EpochStart is committed.
    open: bool,
    /// The placement as the primary last saw it.
    view: Placement,
    reached: Reached,
}

impl Journals {
    fn new(seed: u64) -> Journals {
        let mut world = World::founded(Mode::Dev);
        world.operator(Op::AddNode(new_node("sz-a-2", "sz-a", "440300"))).unwrap();
        let mut dice = Dice(seed);
        let mode = [DurabilityMode::Sync, DurabilityMode::AutoSync, DurabilityMode::Async][dice.below(3)];
        let k = if mode == DurabilityMode::Async { 0 } else { 1 + dice.below(2) };
        world.create(policy(mode, k), &["gz-a-1", "gz-a-2", "gz-c-1"]).unwrap();
        let len = NODES.iter().map(|(id, ..)| (node(id), 0)).collect();
        let view = world.placement().clone();
        let mut journals = Journals {
            world,
            dice,
            len,
            chain: vec![],
            promised: 0,
            open: false,
            view,
            reached: Reached::default(),
        };
        journals.begin_epoch();
        journals
    }

    fn primary(&self) -> NodeId {
        self.world.placement().primary
    }

    fn position(&self, index: u64) -> eport_model::Position {
        at(self.chain.iter().rev().find(|(_, first)| *first <= index).map_or(0, |(epoch, _)| *epoch), index)
    }

    /// Everybody cuts what lies beyond the fork, then the primary writes its EpochStart.
    fn begin_epoch(&mut self) {
        let placement = self.world.placement().clone();
        let start = placement.start.index.as_u64();
        self.chain.retain(|(_, first)| *first <= start);
        self.len.values_mut().for_each(|l| *l = (*l).min(start));
        self.chain.push((placement.epoch.as_u64(), start + 1));
        self.len.insert(placement.primary, start + 1);
        self.promised = self.promised.min(start);
        (self.open, self.view) = (false, placement);
    }

    /// How far counted in-sync backups of a view hold the journal: the k-th longest.
    fn held_by(&self, view: &Placement, k: usize) -> u64 {
        let counted = self.world.state.in_sync_counted(view);
        let mut lens: Vec<u64> = counted.map(|b| self.len[&b.node]).collect();
        lens.sort_unstable_by(|a, b| b.cmp(a));
        match k {
            0 => u64::MAX,
            k => lens.get(k - 1).copied().unwrap_or(0),
        }
    }

    fn acknowledge(&mut self) {
        let start = self.chain.last().unwrap().1;
        if !self.open {
            self.open = self.held_by(&self.view, self.view.start_k) >= start;
            if self.open && start > 1 {
                self.promised = self.promised.max(start);
            }
        }
        let k = self.world.state.effective_k(&self.view);
        if self.open && k > 0 {
            let held = self.held_by(&self.view, k).min(self.len[&self.primary()]);
            if held > self.promised.max(start) {
                self.reached.replicated += 1;
                self.promised = held;
            }
        }
    }

    fn serving(&self) -> bool {
        !matches!(self.world.placement().state, PlacementState::Recovering { .. })
    }

    fn journal_step(&mut self) {
        if !self.serving() {
            return;
        }
        let primary = self.primary();
        let head = self.len[&primary];
        match self.dice.below(4) {
            0 => *self.len.get_mut(&primary).unwrap() += 1 + self.dice.below(3) as u64,
            1 => self.view = self.world.placement().clone(),
            2 => self.acknowledge(),
            _ => {
                let backups: Vec<NodeId> = self.world.placement().backups.iter().map(|b| b.node).collect();
                if let Some(b) = backups.get(self.dice.below(backups.len())) {
                    let behind = head - self.len[b];
                    let copied = if self.dice.chance(50) {
                        behind
                    } else {
                        self.dice.below(behind as usize + 1) as u64
                    };
                    *self.len.get_mut(b).unwrap() += copied;
                }
            }
        }
    }

    /// What a primary may say of its in-sync set, by what its journal protocol knows.
    fn primary_step(&mut self) {
        if !self.serving() || !self.open {
            return;
        }
        self.view = self.world.placement().clone();
        let region = region("440300");
        let (primary, version) = (self.view.primary, self.view.version);
        let backups = self.view.backups.clone();
        let Some(b) = backups.get(self.dice.below(backups.len())).copied() else { return };
        match self.dice.below(3) {
            0 if self.len[&b.node] >= self.promised => {
                let _ = self.world.by_node(primary, Op::InSyncAdd { region, version, node: b.node });
            }
            1 => {
                let mut rest = self.view.clone();
                rest.backups.retain(|o| o.node != b.node);
                let needs = match rest.policy.durability {
                    DurabilityMode::Sync => rest.policy.k,
                    _ => self.world.state.effective_k(&rest),
                };
                if self.held_by(&rest, needs) >= self.promised
                    && self.world.by_node(primary, Op::InSyncRemove { region, version, node: b.node }).is_ok()
                {
                    self.reached.removals += 1;
                }
            }
            _ => {
                let k = self.world.state.effective_k(&self.view);
                if k > 0 && self.held_by(&self.view, k) >= self.promised {
                    let before = self.view.proven_k;
                    let _ = self.world.by_node(primary, Op::Proven { region, version, k });
                    self.reached.proofs += usize::from(self.world.placement().proven_k > before);
                }
            }
        }
        // A primary learns what it changed before it acknowledges anything else.
        self.view = self.world.placement().clone();
    }

    fn operator_step(&mut self) {
        let mode =
            [DurabilityMode::Sync, DurabilityMode::Sync, DurabilityMode::AutoSync, DurabilityMode::Async];
        let durability = mode[self.dice.below(4)];
        let wanted =
            Policy { k: 1 + self.dice.below(2), same_site: self.dice.chance(30), ..policy(durability, 1) };
        let others: Vec<NodeId> = NODES.iter().map(|n| node(n.0)).filter(|n| *n != self.primary()).collect();
        let named = self.dice.some(&others);
        let role = |d: &mut Dice| if d.chance(80) { Role::Sync } else { Role::Async };
        let backups =
            named.into_iter().map(|node| PolicyBackup { node, role: role(&mut self.dice) }).collect();
        let _ = self.world.set_policy(wanted, backups);
    }

    fn switchover(&mut self) {
        let in_sync: Vec<NodeId> = self
            .world
            .placement()
            .backups
            .iter()
            .filter(|b| b.in_sync && !b.leaving)
            .map(|b| b.node)
            .collect();
        let Some(to) = in_sync.get(self.dice.below(in_sync.len())).copied() else { return };
        if !self.open || self.world.open(to.as_str()).is_err() {
            return;
        }
        let placement = self.world.placement().clone();
        let move_id = placement.state.move_id().unwrap();
        let (version, region, primary) = (placement.version, region("440300"), placement.primary);
        if self.dice.chance(30) {
            let reason = "drawn".to_owned();
            self.world.by_node(primary, Op::AbortMove { region, version, move_id, reason }).unwrap();
            return;
        }
        let head = self.len[&primary];
        self.len.insert(to, head);
        let holders =
            placement.backups.iter().map(|b| b.node).filter(|n| self.len[n] == head && *n != to).collect();
        let start = self.position(head);
        self.world
            .by_node(primary, Op::CommitSwitch { region, version, move_id, start, in_sync: holders })
            .unwrap();
        self.reached.switchovers += 1;
        self.begin_epoch();
    }

    fn failover(&mut self) {
        let loss = self.dice.chance(15);
        let version = self.world.version();
        let Ok(outcome) = self.world.reserve(version, None, loss) else { return };
        let move_id = move_id(&outcome);
        let placement = self.world.placement().clone();
        let mut sealed = self.dice.some(&placement.backups.iter().map(|b| b.node).collect::<Vec<_>>());
        if self.dice.chance(20) {
            sealed.push(placement.primary);
        }
        let Some(best) = sealed.iter().map(|n| self.len[n]).max() else { return };
        let source_len = best;
        let candidates: Vec<NodeId> = sealed.iter().copied().filter(|n| *n != placement.primary).collect();
        let Some(new) = candidates.get(self.dice.below(candidates.len())).copied() else {
            return self.confirm(move_id, &placement, best);
        };
        let accepted = self.world.state.movement(move_id).unwrap().accept_data_loss;
        let copied = self.dice.some(&candidates);
        let in_sync: Vec<NodeId> = candidates
            .iter()
            .copied()
            .filter(|n| *n != new && (copied.contains(n) || self.len[n] == best))
            .collect();
        let op = Op::CommitFailover {
            region: region("440300"),
            version: placement.version,
            move_id,
            primary: new,
            start: self.position(best),
            in_sync: in_sync.clone(),
            sealed: sealed.clone(),
            fresh: Vec::new(),
        };
        match self.world.by_node(node("gz-a-2"), op) {
            Ok(_) => {
                if accepted {
                    self.reached.losses += usize::from(best < self.promised);
                } else {
                    assert!(
                        best >= self.promised,
                        "record {} lost: sealed {sealed:?} of {placement:#?}",
                        self.promised
                    );
                }
                in_sync.iter().chain([&new]).for_each(|n| {
                    self.len.insert(*n, source_len);
                });
                self.reached.failovers += 1;
                self.begin_epoch();
            }
            Err(Refusal::SealQuorum { .. }) => self.reached.refused_quorums += 1,
            Err(Refusal::Invalid { field, .. }) if field == "start" => assert!(!accepted),
            Err(other) => panic!("{other}"),
        }
    }

    fn confirm(&mut self, move_id: MoveId, placement: &Placement, best: u64) {
        let holders = placement.backups.iter().map(|b| b.node).filter(|n| self.len[n] == best).collect();
        let start = self.position(best);
        let op = Op::ConfirmOldPrimary {
            region: region("440300"),
            version: placement.version,
            move_id,
            start,
            in_sync: holders,
        };
        self.world.by_node(node("gz-a-2"), op).unwrap();
        self.reached.confirmed += 1;
        self.begin_epoch();
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..60 => self.journal_step(),
            60..86 => self.primary_step(),
            86..92 => self.operator_step(),
            92..95 => self.switchover(),
            _ => self.failover(),
        }
    }
}

/// What always holds between two states of one placement.
fn check_order(before: &Placement, after: &Placement) {
    assert!(
        after.version >= before.version
            && after.epoch >= before.epoch
            && after.last_epoch >= before.last_epoch
    );
    if before != after {
        assert!(after.version > before.version, "a change without a new version");
    }
    if after.primary != before.primary || after.start != before.start {
        assert!(after.epoch > before.epoch, "another primary in the same epoch");
    }
    assert!(after.proven_k <= after.policy.k);
    assert!(after.backups.iter().all(|b| b.node != after.primary));
    let epochs: Vec<Epoch> = after.history.iter().map(|h| h.epoch).collect();
    assert!(epochs.windows(2).all(|w| w[0] < w[1]), "one primary an epoch");
    assert_eq!(epochs.last(), Some(&after.epoch));
    let nodes: BTreeSet<NodeId> = after.backups.iter().map(|b| b.node).collect();
    assert_eq!(nodes.len(), after.backups.len());
}

#[test]
fn a_failover_the_registry_accepts_finds_every_replicated_record() {
    let mut total = Reached::default();
    for seed in 0..1_500 {
        let mut journals = Journals::new(seed);
        for _ in 0..150 {
            let before = journals.world.placement().clone();
            journals.step();
            check_order(&before, journals.world.placement());
        }
        let rebuilt = State::from_rows(journals.world.stored.iter()).unwrap();
        assert_eq!(rebuilt, journals.world.state, "seed {seed}: the rows are not the state");
        assert_eq!(rebuilt.digest(), journals.world.state.digest());
        let r = journals.reached;
        total.failovers += r.failovers;
        total.refused_quorums += r.refused_quorums;
        total.losses += r.losses;
        total.switchovers += r.switchovers;
        total.removals += r.removals;
        total.proofs += r.proofs;
        total.replicated += r.replicated;
        total.confirmed += r.confirmed;
    }
    // A run that never got there proves nothing.
    let counts = [
        total.failovers,
        total.refused_quorums,
        total.losses,
        total.switchovers,
        total.removals,
        total.proofs,
        total.replicated,
        total.confirmed,
    ];
    assert!(counts.iter().all(|n| *n > 50), "{counts:?}");
}

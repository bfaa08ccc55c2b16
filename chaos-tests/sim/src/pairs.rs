//! Which faults have hit which steps: the simulator's half of the matrix of steps and faults.
//!
//! A pair counts when a fault begins on a node at most [`NEAR_MS`] after that node has come to the step: before what the step asked
//! for was done, or just after it. Names of steps are those at which real processes are stopped.

use crate::disk::Op;
use crate::world::World;
use eport_journal::{Output, append_kind};
use std::collections::VecDeque;

/// A disk of the simulator answers within this time, a registry within twice of it.
const NEAR_MS: u64 = 30;
/// Steps that are remembered: more are not taken within that time.
const KEPT: usize = 64;

/// The steps that a node has come to lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lately(VecDeque<(u64, String)>);

impl Lately {
    fn note(&mut self, now: u64, place: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, place));
    }
}

/// The places before and after an operation on disk.
fn disk_places(op: &Op) -> Option<(String, String)> {
    let both = |name: &str| Some((format!("{name}.before"), format!("{name}.after")));
    match op {
        Op::Append(records) => both(&format!("append.{}", append_kind(records))),
        Op::Seal(_) => both("seal"),
        Op::Export(_) => both("tail.export"),
        Op::Truncate(_) => both("journal.cut"),
        Op::BeginRewind(..) => both("rewind.begin"),
        Op::Rewind(..) => both("rewind.taken"),
        Op::EndRewind(_) => both("rewind.end"),
        Op::Install => both("checkpoint.install"),
        Op::Apply(_) => None,
    }
}

impl World {
    /// A node performs an output.
    pub(crate) fn came_to(&mut self, node: usize, output: &Output) {
        let now = self.now;
        let lately = &mut self.hosts[node].lately;
        match output {
            // Told by its disk, which also tells the end.
            Output::Append(_) => {}
            Output::Registry(step) => lately.note(now, format!("node.{}.before", step.name())),
            Output::UploadTail { .. } => lately.note(now, "tail.upload.before".to_owned()),
            other => {
                if let Some(place) = other.place() {
                    lately.note(now, place);
                }
            }
        }
    }

    /// A node gives an operation to its disk.
    pub(crate) fn disk_begins(&mut self, node: usize, op: &Op) {
        let now = self.now;
        if let Some((before, _)) = disk_places(op) {
            self.hosts[node].lately.note(now, before);
        }
    }

    /// A node's disk has done an operation; its replica does not know yet.
    pub(crate) fn disk_ends(&mut self, node: usize, op: &Op) {
        let now = self.now;
        if let Some((_, after)) = disk_places(op) {
            self.hosts[node].lately.note(now, after);
        }
    }

    /// The registry has answered a node.
    pub(crate) fn registry_answers(&mut self, node: usize, name: &str) {
        let now = self.now;
        self.hosts[node].lately.note(now, format!("node.{name}.after"));
    }

    /// A fault begins on a node.
    pub(crate) fn struck(&mut self, node: usize, fault: &'static str) {
        let near = self.now.saturating_sub(NEAR_MS);
        let hit: Vec<String> =
            self.hosts[node].lately.0.iter().filter(|(at, _)| *at >= near).map(|(_, p)| p.clone()).collect();
        for place in hit {
            self.cover.pair(place, fault);
        }
    }

    /// A fault begins everywhere.
    pub(crate) fn all_struck(&mut self, fault: &'static str) {
        (0..self.hosts.len()).for_each(|node| self.struck(node, fault));
    }
}

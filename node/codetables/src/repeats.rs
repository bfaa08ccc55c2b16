//! Keys that stand more than once: how often, and the first places. Memory: as many places as problems are listed.

use crate::import::Repeats;
use crate::problem::{Findings, Kind, NoteKind, Place, shown};
use std::collections::BinaryHeap;

/// Rows with one key, some counted and the first ones of the file listed.
pub(crate) struct Again {
    most: usize,
    /// How many, and the mark of the first in the file.
    equal: (u64, u64),
    differ: (u64, u64),
    /// The first ones that differ: mark of the row, of the one before with its key, the key as it is told. The last of them on top.
    first: BinaryHeap<(u64, u64, String)>,
}

impl Again {
    /// Lists `most` of those that differ.
    pub(crate) fn new(most: usize) -> Self {
        Again { most, equal: (0, u64::MAX), differ: (0, u64::MAX), first: BinaryHeap::new() }
    }

    /// Sees a row whose key was there already. They come in key order.
    pub(crate) fn see(&mut self, row: &eport_catalog::Again<'_>) {
        let seen = if row.equal { &mut self.equal } else { &mut self.differ };
        *seen = (seen.0 + 1, seen.1.min(row.second));
        if row.equal || self.most == 0 {
            return;
        }
        let full = self.first.len() >= self.most;
        if full && self.first.peek().is_some_and(|(last, ..)| *last <= row.second) {
            return;
        }
        self.first.push((row.second, row.first, shown(row.key)));
        if full {
            self.first.pop();
        }
    }

    /// Reports what was seen; answers how many rows equal an earlier one.
    pub(crate) fn report(self, field: Option<&str>, rule: Repeats, findings: &mut Findings) -> u64 {
        let mut note = |kind: NoteKind, (count, first): (u64, u64)| {
            for _ in 0..count.min(1) {
                findings.note(kind, || Place::of_mark(first));
            }
            if let Some(note) = findings.notes.iter_mut().find(|n| n.kind == kind) {
                note.count += count.saturating_sub(1);
            }
        };
        note(NoteKind::DuplicateRow, self.equal);
        if rule != Repeats::Refuse {
            note(NoteKind::RepeatedKey, self.differ);
            return self.equal.0;
        }
        let listed = self.first.len() as u64;
        for (second, first, key) in self.first.into_sorted_vec() {
            let line = Place::of_mark(first).line;
            let detail = format!("the key {key} stands in line {line} with other values");
            findings.problem(Place::of_mark(second), Kind::RepeatedKey, field, detail);
        }
        findings.found += self.differ.0 - listed;
        self.equal.0
    }
}

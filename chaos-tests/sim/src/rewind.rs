//! Return of an old primary: its tail is handed to another node, rows are taken from the new primary.
//!
//! Answers come in parts, each as of what the primary has applied just then; both sides, the link and the registry's view may
//! change between two of them.

use crate::disk::{Op, Rows};
use crate::world::{Event, World};
use bytes::Bytes;
use eport_journal::{Input, Role, ViewState};
use eport_model::{Digest, Epoch, JournalIndex, NodeId, Position};
use rand::Rng;
use std::collections::BTreeSet;

/// A tail on its way.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    number: u64,
    after: JournalIndex,
    to: NodeId,
    digests: Vec<Digest>,
}

/// Rows on their way.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    source: NodeId,
    epoch: Epoch,
    left: BTreeSet<Bytes>,
    rows: Rows,
    at: Option<Position>,
}

impl World {
    pub(crate) fn begin_upload(&mut self, node: usize, after: JournalIndex, to: NodeId) {
        let number = self.number();
        let digests = self.hosts[node].disk.after(after).iter().map(|r| r.digest).collect();
        self.hosts[node].upload = Some(Upload { number, after, to, digests });
        let incarnation = self.hosts[node].incarnation;
        let ms = self.rng.random_range(2..80);
        self.after(ms, Event::Upload { node, incarnation, upload: number });
    }

    /// One attempt; the answer of one that succeeded may be lost.
    pub(crate) fn upload(&mut self, node: usize, incarnation: u64, number: u64) {
        let host = &self.hosts[node];
        let Some(upload) = host.upload.clone() else { return };
        if host.incarnation != incarnation || upload.number != number {
            return;
        }
        let again = Event::Upload { node, incarnation, upload: number };
        let arrives = !host.paused && self.answers(node, upload.to);
        let lost = self.net.is_lost(&mut self.rng);
        if arrives {
            self.cover.hit("tail.uploaded");
            self.oracle.uploaded.extend(&upload.digests);
        }
        let ms = self.rng.random_range(1..60);
        if arrives && !lost {
            let input = Box::new(Input::TailUploaded { after: upload.after, to: upload.to });
            self.after(ms, Event::Input { node, incarnation, input });
        } else {
            self.after(50 + ms, again);
        }
    }

    /// The process of `to` runs and both directions work.
    fn answers(&self, from: usize, to: NodeId) -> bool {
        self.index_of(to).is_some_and(|to| self.hosts[to].is_up() && self.net.connected(from, to))
    }

    pub(crate) fn begin_rewind(&mut self, node: usize, after: JournalIndex, source: NodeId, epoch: Epoch) {
        let disk = &self.hosts[node].disk;
        let tail = disk.after(after).iter().flat_map(|r| &r.effects).map(|e| e.key().clone());
        let known = disk.marker.iter().flat_map(|m| m.keys.iter().cloned());
        let keys: BTreeSet<Bytes> = tail.chain(known).collect();
        self.hosts[node].fetching =
            Some(Fetching { source, epoch, left: keys.clone(), rows: Rows::new(), at: None });
        self.disk_op(node, Op::BeginRewind(after, keys));
    }

    pub(crate) fn begin_fetch(&mut self, node: usize) {
        let incarnation = self.hosts[node].incarnation;
        self.after(1, Event::Fetch { node, incarnation });
    }

    /// One question and its answer.
    pub(crate) fn fetch(&mut self, node: usize, incarnation: u64) {
        let host = &self.hosts[node];
        let Some(mut fetching) = host.fetching.clone() else { return };
        if host.incarnation != incarnation {
            return;
        }
        let ms = self.rng.random_range(2..50);
        if host.paused {
            return self.after(ms, Event::Fetch { node, incarnation });
        }
        let over = host
            .known
            .as_ref()
            .is_none_or(|v| v.epoch != fetching.epoch || matches!(v.state, ViewState::Recovering { .. }));
        if over {
            self.cover.hit("rewind.given_up");
            self.hosts[node].fetching = None;
            return self.input(node, Input::Rewound { at: None });
        }
        if let Some((rows, at)) = self.answer_rows(node, &fetching) {
            self.cover.hit("rewind.rows");
            for (key, value) in rows {
                fetching.left.remove(&key);
                fetching.rows.insert(key, value);
            }
            if fetching.at.is_none_or(|newest| at.index > newest.index) {
                fetching.at = Some(at);
            }
        }
        match fetching.at {
            Some(at) if fetching.left.is_empty() => {
                self.hosts[node].fetching = None;
                self.disk_op(node, Op::Rewind(fetching.rows, at));
            }
            _ => {
                self.hosts[node].fetching = Some(fetching);
                self.after(ms, Event::Fetch { node, incarnation });
            }
        }
    }

    /// What an open primary answers of its rows: some of those asked for, and what it had applied.
    fn answer_rows(&mut self, node: usize, fetching: &Fetching) -> Option<(Rows, Position)> {
        if !self.answers(node, fetching.source) || self.net.is_lost(&mut self.rng) {
            return None;
        }
        let part = self.rng.random_range(1..=4usize);
        let source = &self.hosts[self.index_of(fetching.source)?];
        let open = matches!(source.role(), Some(Role::Primary { epoch }) if *epoch == fetching.epoch);
        let at = source.disk.position(source.disk.applied)?;
        if !open || at.epoch != fetching.epoch || at.index < self.hosts[node].disk.applied {
            return None;
        }
        let rows = source.disk.rows();
        let asked = fetching.left.iter().take(part);
        Some((asked.map(|key| (key.clone(), rows.get(key).cloned())).collect(), at))
    }
}

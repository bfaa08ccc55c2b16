//! Which objects may go: the state machine of garbage collection.
//!
//! Objects are shared between versions, come while versions are being made or fetched, and are found "already here" by those who
//! make them. Always: an object that a root of the round needs, or that anybody has taken up for a content under way since
//! before the sweep, is not swept. A content under way is a *staging*; its objects are safe from the moment they are taken up until
//! the staging has ended, and until the end of a round that was open then: the root may have come to live after that round asked
//! which roots do. Whoever ends a staging does so when its root lives (or will never).
//!
//! The caller owns the objects and one lock: `touch` together with the look whether an object is here, and `sweep` together with
//! the removal from what is looked at, must each happen under it.

use eport_identity::Digest;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Name of a staging.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Staging(u64);

/// What is safe, and the round under way.
#[derive(Default, Debug)]
pub struct Keeper {
    next: u64,
    stagings: BTreeMap<Staging, BTreeSet<Digest>>,
    round: Option<Round>,
}

#[derive(Default, Debug)]
struct Round {
    reached: HashSet<Digest>,
    ended: HashSet<Digest>,
}

impl Keeper {
    /// Begins a staging.
    pub fn begin(&mut self) -> Staging {
        self.next += 1;
        self.stagings.insert(Staging(self.next), BTreeSet::new());
        Staging(self.next)
    }

    /// An object belongs to a content under way, whether it is here already or comes now.
    pub fn touch(&mut self, staging: Staging, object: Digest) {
        if let Some(objects) = self.stagings.get_mut(&staging) {
            objects.insert(object);
        }
    }

    /// The content is named by somebody now, or given up.
    pub fn end(&mut self, staging: Staging) {
        if let (Some(objects), Some(round)) = (self.stagings.remove(&staging), &mut self.round) {
            round.ended.extend(objects);
        }
    }

    /// Begins a round. Only after this the caller asks which roots live. False: one is under way.
    pub fn open_round(&mut self) -> bool {
        let fresh = self.round.is_none();
        self.round.get_or_insert_default();
        fresh
    }

    /// An object is needed by a live root. False: that was known, and what is below it too.
    pub fn reach(&mut self, object: Digest) -> bool {
        self.round.as_mut().is_some_and(|r| r.reached.insert(object))
    }

    /// Gives the round up.
    pub fn abandon_round(&mut self) {
        self.round = None;
    }

    /// Ends the round: which of these objects may go. Without a round: none.
    pub fn sweep(&mut self, objects: impl Iterator<Item = Digest>) -> Vec<Digest> {
        let Some(round) = self.round.take() else { return Vec::new() };
        let staged: HashSet<&Digest> = self.stagings.values().flatten().collect();
        let free = |o: &Digest| !round.reached.contains(o) && !round.ended.contains(o) && !staged.contains(o);
        objects.filter(free).collect()
    }
}

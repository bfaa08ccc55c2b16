//! What a holder answers: the truth, or one of the lies.

use super::place::Disk;
use bytes::Bytes;
use eport_catalog::sync::{Answer, Ask, Event, PART_LEN};
use eport_catalog::{make_delta, walk};
use eport_identity::Digest;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// How a holder behaves for the whole run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Honest,
    /// A bit of what it sends is another one.
    Altered,
    /// It sends an object that was not asked for.
    Foreign,
    /// It sends what is no answer.
    Garbled,
    /// It sends the delta of another version under the name of the wanted one.
    OtherDelta,
    /// It sends a delta byte by byte.
    Crumbs,
    /// It has everything, it says, and gives nothing.
    Withheld,
    /// It is on its way, it says, for ever.
    Promises,
    /// It does not answer.
    Silent,
}

impl Manner {
    pub(super) const LIES: [Manner; 8] = [
        Manner::Altered,
        Manner::Foreign,
        Manner::Garbled,
        Manner::OtherDelta,
        Manner::Crumbs,
        Manner::Withheld,
        Manner::Promises,
        Manner::Silent,
    ];

    /// Whether what it sends is wrong, and not only too little.
    pub(super) fn sends_wrong_bytes(self) -> bool {
        use Manner::{Altered, Crumbs, Foreign, Garbled, OtherDelta};
        matches!(self, Altered | Foreign | Garbled | OtherDelta | Crumbs)
    }

    /// Whether an answer of it cannot be taken for the truth, whatever the asker has.
    pub(super) fn gives_itself_away(self, event: &Event) -> bool {
        match (self, event) {
            (Manner::Garbled, Event::Garbled(_)) | (Manner::Crumbs, Event::Answer(Answer::Part { .. })) => {
                true
            }
            (Manner::Altered, Event::Answer(Answer::Objects(given))) => !given.is_empty(),
            _ => false,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Manner::Honest => "catalog.honest",
            Manner::Altered => "catalog.lie.altered",
            Manner::Foreign => "catalog.lie.foreign",
            Manner::Garbled => "catalog.lie.garbled",
            Manner::OtherDelta => "catalog.lie.other_delta",
            Manner::Crumbs => "catalog.lie.crumbs",
            Manner::Withheld => "catalog.lie.withheld",
            Manner::Promises => "catalog.lie.promises",
            Manner::Silent => "catalog.silent",
        }
    }
}

/// What it costs to come from one content to another. The same on every disk, so it is reckoned once, as a node does for all who ask.
#[derive(Default)]
pub(super) struct Costs(RefCell<BTreeMap<Pair, (Option<Bytes>, u64)>>);

type Pair = (Option<Digest>, Digest);

impl Costs {
    /// The delta, and the bytes of the objects that the base does not have.
    pub(super) fn of(&self, truth: &Disk, base: Option<Digest>, root: Digest) -> (Option<Bytes>, u64) {
        let known = self.0.borrow().get(&(base, root)).cloned();
        known.unwrap_or_else(|| {
            let delta = base.and_then(|b| make_delta(truth, &b, &root).ok()).map(Bytes::from);
            let cost = (delta, objects_len(truth, base, root));
            self.0.borrow_mut().insert((base, root), cost.clone());
            cost
        })
    }
}

/// A holder and what it knows at the moment of an answer.
pub(super) struct Holder<'w> {
    pub disk: &'w Disk,
    pub manner: Manner,
    /// Contents that it is fetching itself.
    pub coming: BTreeSet<Digest>,
    /// Every content of the table, for lies that need another one.
    pub all: &'w [Digest],
    /// Every object that anybody made.
    pub truth: &'w Disk,
    pub costs: &'w Costs,
}

impl Holder<'_> {
    /// The answer to a question; nothing: it is never given. `lied` when it is not the truth.
    pub(super) fn answer(&self, ask: &Ask, rng: &mut ChaCha8Rng) -> (Option<Event>, bool) {
        let truth = self.honest(ask);
        let lie = match (self.manner, ask) {
            (Manner::Honest, _) => None,
            (Manner::Silent, _) => return (None, true),
            (Manner::Garbled, _) => Some(Event::Garbled("no answer at all".to_owned())),
            (Manner::Promises, Ask::Offer { .. }) => Some(Event::Answer(Answer::Coming)),
            (Manner::Withheld, Ask::Offer { .. }) => {
                Some(Event::Answer(Answer::Offer { delta: None, objects: 1 }))
            }
            (Manner::Withheld, Ask::Objects(_)) => Some(Event::Answer(Answer::Objects(Vec::new()))),
            (Manner::Altered, _) => altered(&truth, rng),
            (Manner::Foreign, Ask::Objects(_)) => foreign(&truth, self.truth, rng),
            (Manner::OtherDelta, Ask::Offer { base: Some(_), .. })
            | (Manner::Crumbs, Ask::Offer { base: Some(_), .. }) => {
                Some(Event::Answer(Answer::Offer { delta: Some(200_000), objects: 200_000 }))
            }
            (Manner::OtherDelta, Ask::Delta { base, root, .. }) => self.other_delta(base, root, rng),
            (Manner::Crumbs, Ask::Delta { .. }) => {
                Some(Event::Answer(Answer::Part { total: 200_000, bytes: Bytes::from_static(b"E") }))
            }
            _ => None,
        };
        match lie {
            Some(event) => (Some(event), true),
            None => (Some(Event::Answer(truth)), false),
        }
    }

    /// What turns the base into another version, with the name of the wanted one in it.
    fn other_delta(&self, base: &Digest, root: &Digest, rng: &mut ChaCha8Rng) -> Option<Event> {
        let others: Vec<&Digest> = self.all.iter().filter(|r| *r != root && *r != base).collect();
        let other = others.get(rng.random_range(0..others.len().max(1)))?;
        let mut delta = make_delta(self.truth, base, other).ok()?;
        // Behind the mark and the base stands the root.
        let name = delta.get_mut(37..69)?;
        name.copy_from_slice(root.as_bytes());
        let total = delta.len() as u64;
        Some(Event::Answer(Answer::Part { total, bytes: delta.into() }))
    }
}

fn altered(truth: &Answer, rng: &mut ChaCha8Rng) -> Option<Event> {
    let mut bend = |bytes: &Bytes| {
        let mut bad = bytes.to_vec();
        let at = rng.random_range(0..bad.len().max(1));
        if let Some(byte) = bad.get_mut(at) {
            *byte ^= 1 << rng.random_range(0..8);
        }
        Bytes::from(bad)
    };
    Some(Event::Answer(match truth {
        Answer::Part { total, bytes } => Answer::Part { total: *total, bytes: bend(bytes) },
        Answer::Objects(given) if !given.is_empty() => {
            let mut given = given.clone();
            if let Some((_, bytes)) = given.last_mut() {
                *bytes = bend(bytes);
            }
            Answer::Objects(given)
        }
        _ => return None,
    }))
}

fn foreign(truth: &Answer, all: &Disk, rng: &mut ChaCha8Rng) -> Option<Event> {
    let Answer::Objects(given) = truth else { return None };
    let mut given = given.clone();
    let place = rng.random_range(0..all.objects.len().max(1));
    let (digest, bytes) = all.objects.iter().nth(place)?;
    // One that was asked for as well would be no lie.
    if given.iter().any(|(d, _)| d == digest) {
        return None;
    }
    given.push((*digest, bytes.clone()));
    Some(Event::Answer(Answer::Objects(given)))
}

impl Holder<'_> {
    /// What a node answers.
    fn honest(&self, ask: &Ask) -> Answer {
        let disk = self.disk;
        match ask {
            Ask::Offer { root, base } => {
                if !disk.roots.contains(root) {
                    return if self.coming.contains(root) { Answer::Coming } else { Answer::Missing };
                }
                let base = base.filter(|b| disk.roots.contains(b));
                let (delta, objects) = self.costs.of(self.truth, base, *root);
                let delta = delta.map(|d| d.len() as u64).filter(|d| *d <= objects);
                Answer::Offer { delta, objects }
            }
            Ask::Delta { base, root, offset } => {
                let made = match disk.roots.contains(root) && disk.roots.contains(base) {
                    true => self.costs.of(self.truth, Some(*base), *root).0,
                    false => None,
                };
                let Some(delta) = made else { return Answer::Missing };
                let total = delta.len() as u64;
                let from = (*offset).min(total);
                let to = from.saturating_add(PART_LEN).min(total);
                Answer::Part { total, bytes: delta.slice(from as usize..to as usize) }
            }
            Ask::Objects(wanted) => {
                let (mut out, mut len) = (Vec::new(), 0);
                for (digest, bytes) in wanted.iter().filter_map(|d| Some((*d, disk.objects.get(d)?.clone())))
                {
                    len += bytes.len() as u64;
                    if len > PART_LEN && !out.is_empty() {
                        break;
                    }
                    out.push((digest, bytes));
                }
                Answer::Objects(out)
            }
        }
    }
}

/// Bytes of the objects of a content that another one does not have.
fn objects_len(disk: &Disk, base: Option<Digest>, root: Digest) -> u64 {
    let mut have: BTreeSet<Digest> = base.into_iter().collect();
    if let Some(base) = base {
        let _ = walk(disk, &base, &mut |_, child| have.insert(child.digest));
    }
    let len_of = |d: &Digest| disk.objects.get(d).map_or(0, |b| b.len() as u64);
    let mut len = if have.contains(&root) { 0 } else { len_of(&root) };
    let _ = walk(disk, &root, &mut |_, child| {
        let fresh = have.insert(child.digest);
        len += if fresh { len_of(&child.digest) } else { 0 };
        fresh
    });
    len
}

/// Bytes that an answer takes on the line.
pub(super) fn wire_len(event: &Event) -> u64 {
    match event {
        Event::Answer(Answer::Part { bytes, .. }) => 16 + bytes.len() as u64,
        Event::Answer(Answer::Objects(given)) => {
            16 + given.iter().map(|(_, b)| 33 + b.len() as u64).sum::<u64>()
        }
        _ => 16,
    }
}

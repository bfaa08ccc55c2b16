//! Tending a store: what no live content needs goes, and what lies here is read again before it is needed.

use super::segment::{SEGMENT_LEN, Writer};
use super::{ObjectStore, Place};
use crate::Error;
use eport_catalog::{Node, ObjectSource};
use eport_model::Digest;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use tracing::debug;

/// Segments smaller than this are joined when there are `SMALL_MAX` of them.
const SMALL: u64 = 1 << 20;
const SMALL_MAX: usize = 64;

/// What a collection did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Collected {
    /// Objects that went.
    pub objects: u64,
    /// Bytes on disk before and after.
    pub bytes: (u64, u64),
}

/// What a look through the objects has shown.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Scrubbed {
    /// Objects read.
    pub objects: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Those that were damaged and given up.
    pub damaged: Vec<Digest>,
}

impl ObjectStore {
    /// Removes what no live root needs. `live` is asked after the round has begun; `None` from it gives the round up. Objects of
    /// batches stay. `None`: another round is under way, or nothing could be decided.
    pub fn collect(
        &self,
        live: impl FnOnce() -> Option<BTreeSet<Digest>>,
    ) -> Result<Option<Collected>, Error> {
        {
            let mut state = self.lock();
            if !state.keeper.open_round() {
                return Ok(None);
            }
            state.late.clear();
        }
        let decided = live().map(|live| self.reached(&live).map(|reached| (live, reached)));
        let (live, reached) = match decided {
            Some(Ok(both)) => both,
            other => {
                // What lies below an unreadable node is not known: nothing goes.
                self.lock().keeper.abandon_round();
                return other.map_or(Ok(None), |r| r.map(|_| None));
            }
        };
        let mut done = Collected { bytes: (self.figures().bytes, 0), ..Collected::default() };
        let unlisted = {
            let mut state = self.lock();
            for digest in reached {
                state.keeper.reach(digest);
            }
            let objects: Vec<Digest> = state.objects.keys().copied().collect();
            let dead = state.keeper.sweep(objects.into_iter());
            for digest in &dead {
                state.objects.remove(digest);
            }
            done.objects = dead.len() as u64;
            let state = &mut *state;
            let before = state.roots.len();
            let (pinned, late) = (&state.pinned, &state.late);
            state.roots.retain(|r| live.contains(r) || pinned.contains_key(r) || late.contains(r));
            before != state.roots.len()
        };
        if unlisted {
            self.write_roots()?;
        }
        self.compact()?;
        done.bytes.1 = self.figures().bytes;
        Ok(Some(done))
    }

    /// Every object below these roots that is here. A content that is partly here keeps what it has.
    fn reached(&self, live: &BTreeSet<Digest>) -> Result<HashSet<Digest>, Error> {
        let mut reached = HashSet::new();
        let mut nodes: Vec<Digest> = live.iter().copied().filter(|r| reached.insert(*r)).collect();
        while let Some(digest) = nodes.pop() {
            let Some(node) = self.get(&digest)?.and_then(|bytes| Node::decode(&bytes)) else { continue };
            for child in &node.children {
                if reached.insert(child.digest) && node.level > 0 {
                    nodes.push(child.digest);
                }
            }
        }
        Ok(reached)
    }

    /// Rewrites segments that are mostly dead, joins small ones, removes empty ones.
    fn compact(&self) -> Result<(), Error> {
        let (segments, mut living) = {
            let state = self.lock();
            let mut living: BTreeMap<u64, Vec<(Digest, Place)>> = BTreeMap::new();
            for (digest, place) in &state.objects {
                living.entry(place.segment).or_default().push((*digest, *place));
            }
            (state.segments.clone(), living)
        };
        let alive = |l: &[(Digest, Place)]| l.iter().map(|(_, p)| u64::from(p.len)).sum::<u64>();
        let small: Vec<u64> = segments.iter().filter(|(_, len)| **len < SMALL).map(|(n, _)| *n).collect();
        let join = small.len() > SMALL_MAX;
        let (mut moved, mut gone) = (Vec::new(), Vec::new());
        for (number, len) in &segments {
            let objects = living.remove(number).unwrap_or_default();
            let sparse = alive(&objects) < len / 2 && *len > 4 << 10;
            if objects.is_empty() {
                gone.push(*number);
            } else if sparse || (join && *len < SMALL) {
                moved.extend(objects);
                gone.push(*number);
            }
        }
        moved.sort_by_key(|(_, p)| (p.segment, p.offset));
        self.move_objects(&moved)?;
        for number in gone {
            let path = self.segment_path(number);
            {
                // What could not be moved keeps its segment.
                let mut state = self.lock();
                if state.objects.values().any(|p| p.segment == number) {
                    continue;
                }
                state.segments.remove(&number);
            }
            debug!(segment = number, "a segment of catalog objects goes");
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove segment", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes objects anew and then points to the new place, unless somebody else has placed them meanwhile.
    fn move_objects(&self, moved: &[(Digest, Place)]) -> Result<(), Error> {
        let mut rest = moved;
        while !rest.is_empty() {
            let number = {
                let mut state = self.lock();
                state.next += 1;
                state.next - 1
            };
            let path = self.segment_path(number);
            let mut writer = Writer::create(&path)?;
            let mut from = BTreeMap::new();
            while let Some(((digest, place), tail)) = rest.split_first() {
                rest = tail;
                // Verified on the way; what is damaged is given up here and not carried on.
                if let Ok(Some((packed, _))) = self.fetch(digest) {
                    writer.append(*digest, &packed)?;
                    from.insert(*digest, *place);
                }
                if writer.len() >= SEGMENT_LEN {
                    break;
                }
            }
            let len = writer.len();
            let entries = writer.publish(&path)?;
            let mut state = self.lock();
            state.segments.insert(number, len);
            for e in entries {
                if state.objects.get(&e.digest) == from.get(&e.digest) {
                    let place = Place { segment: number, offset: e.offset, len: e.len };
                    state.objects.insert(e.digest, place);
                }
            }
        }
        Ok(())
    }

    /// Reads every object and holds it against its name; `pace` is told the bytes read and may wait. What is damaged is given up,
    /// with the contents that need it.
    pub fn scrub(&self, mut pace: impl FnMut(u64)) -> Result<Scrubbed, Error> {
        let mut objects: Vec<(Place, Digest)> = self.lock().objects.iter().map(|(d, p)| (*p, *d)).collect();
        objects.sort_by_key(|(p, _)| (p.segment, p.offset));
        let mut out = Scrubbed::default();
        for (place, digest) in objects {
            match self.fetch(&digest) {
                Ok(_) => {}
                Err(Error::Damaged { .. } | Error::TooLarge { .. }) => out.damaged.push(digest),
                Err(Error::NoObject { .. }) => {}
                Err(error) => return Err(error),
            }
            out.objects += 1;
            out.bytes += u64::from(place.len);
            pace(u64::from(place.len));
        }
        Ok(out)
    }

    /// True when a content is listed that is neither live nor held by somebody: a collection would free something.
    pub fn unnamed(&self, live: &BTreeSet<Digest>) -> bool {
        let state = self.lock();
        state.roots.iter().any(|r| !live.contains(r) && !state.pinned.contains_key(r))
    }

    /// The segment that an object lies in, for those who try what damage does.
    pub fn place_of(&self, digest: &Digest) -> Option<(std::path::PathBuf, u64, u64)> {
        let place = self.lock().objects.get(digest).copied()?;
        Some((self.segment_path(place.segment), place.offset, u64::from(place.len)))
    }
}

//! Consignments of one platform in columns: made from facts in any order, rebuilt from nothing but them.
//!
//! What always holds: a row is a pure function of the facts about the keys it joins, whatever order they came in; a row that is not
//! released, or was deleted, counts in no figure. Times are whole seconds since 1970-01-01T00:00:00Z in 32 bits, 0: unknown.

use crate::duration::{DURATIONS, Direction, Flag, measure};
use crate::gather::{Event, gather};
use crate::quality::{inconsistent, mandatory};
use std::collections::{BTreeMap, BTreeSet};

/// Names of the dimensions of a consignment, in the order of their columns.
pub const DIMENSIONS: [&str; 10] = [
    "mode",
    "port",
    "place",
    "district",
    "office",
    "trader",
    "declarant",
    "chapter",
    "trade_mode",
    "declare_mode",
];
/// A duration that does not count.
pub const NONE: u32 = u32::MAX;
/// Keys of one consignment at most.
const KEYS_MAX: usize = 1_024;
/// Events about one key at most. A key with more is overfull: it tells nothing, all its events go, whatever order they came in,
/// and every consignment that joins it is counted as such.
pub const EVENTS_OF_KEY_MAX: usize = 10_000;

/// What is known of a consignment before anything happened to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consignment {
    /// Its document's number.
    pub document: String,
    /// Which way it goes.
    pub direction: Direction,
    /// `kind:value` of everything whose milestones are its own; beside these its document's.
    pub keys: Vec<String>,
    /// A value for each dimension; empty: none.
    pub dimensions: [String; DIMENSIONS.len()],
}

/// What a document's states say of its consignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Duties are to be paid.
    Dutiable,
    /// Withdrawn or deleted: no sample.
    Void,
}

/// Something that happened to what a key names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// `kind:value`.
    pub subject: String,
    /// What happened.
    pub event: Event,
    /// How good its source is for this milestone; the smallest counts.
    pub rank: u8,
    /// The place that it tells of; empty: none.
    pub place: String,
}

/// The key of a document itself.
pub fn document_key(document: &str) -> String {
    format!("document:{document}")
}

pub(crate) const VOID: u16 = 1;
pub(crate) const EXPORT: u16 = 2;
pub(crate) const INSPECTED: u16 = 4;
pub(crate) const DUTIABLE: u16 = 8;
pub(crate) const INCONSISTENT: u16 = 16;
pub(crate) const ADVANCE: u16 = 32;
pub(crate) const SKEW: u16 = 64;
pub(crate) const NEGATIVE: u16 = 128;
pub(crate) const CONFLICT: u16 = 256;
/// T-ALL above 90 days: counted, and listed for checking.
pub(crate) const LONG: u16 = 512;
/// One of its keys is overfull: milestones may be missing.
pub(crate) const OVERFULL: u16 = 1_024;
const LONG_S: u32 = 90 * 86_400;
/// Recorded so soon after it happened, an event is in time (timeliness.md §7).
const IN_TIME_S: i64 = 900;
/// Marks that recomputation keeps.
const KEPT: u16 = VOID | EXPORT | DUTIABLE;

/// Values of a dimension by number; 0 is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dictionary {
    numbers: BTreeMap<String, u32>,
    names: Vec<String>,
}

impl Dictionary {
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(n) = self.numbers.get(name) {
            return *n;
        }
        self.names.push(name.to_owned());
        let n = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), n);
        n
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        if name.is_empty() { Some(0) } else { self.numbers.get(name).copied() }
    }

    pub(crate) fn name(&self, n: u32) -> &str {
        n.checked_sub(1).and_then(|n| self.names.get(n as usize)).map_or("", String::as_str)
    }

    /// How many numbers are in use, 0 among them.
    pub(crate) fn len(&self) -> usize {
        self.names.len() + 1
    }
}

/// Columns, one value a consignment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) durations: [Vec<u32>; DURATIONS.len()],
    /// I14 or E09.
    pub(crate) released: Vec<u32>,
    /// I16 or E11.
    pub(crate) removed: Vec<u32>,
    pub(crate) flags: Vec<u16>,
    /// Mandatory milestones: expected in the upper four bits, present in the lower.
    pub(crate) mandatory: Vec<u8>,
    pub(crate) dimensions: [Vec<u32>; DIMENSIONS.len()],
    /// The place that the document tells of; the column of places holds where events saw it.
    declared: Vec<u32>,
}

/// The column of places.
const PLACE: usize = 2;

/// What is counted of a source's events in a month.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SourceCounts {
    /// Events, each once.
    pub events: u64,
    /// Repeats of an event.
    pub duplicates: u64,
    /// Of these, recorded within 15 minutes.
    pub in_time: u64,
}

/// An event as it is kept.
#[derive(Clone, Debug)]
struct Kept {
    id: Box<str>,
    source: u32,
    milestone: u16,
    rank: u8,
    place: u32,
    at: i64,
    recorded: i64,
    corrects: Option<Box<str>>,
    retracts: Option<Box<str>>,
}

/// Consignments and what happened to them.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub(crate) columns: Columns,
    pub(crate) dictionaries: [Dictionary; DIMENSIONS.len()],
    pub(crate) sources: Dictionary,
    milestones: Dictionary,
    places: Dictionary,
    documents: Vec<Box<str>>,
    rows: BTreeMap<Box<str>, u32>,
    keys_of: Vec<Box<[u64]>>,
    by_key: BTreeSet<(u64, u32)>,
    events: BTreeMap<u64, Vec<Kept>>,
    events_total: u64,
    /// Keys with too many events, and how many events they had.
    overfull: BTreeMap<u64, u64>,
    /// Rows that something happened to since they were last made.
    dirty: BTreeSet<u32>,
    /// By source and month (months since 1970-01, local).
    pub(crate) counts: BTreeMap<(u32, i32), SourceCounts>,
}

/// A consignment with everything known of it: for lists and exports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its document.
    pub document: String,
    /// Which way.
    pub direction: Direction,
    /// A value for each dimension.
    pub dimensions: [String; DIMENSIONS.len()],
    /// Time of each milestone.
    pub times: BTreeMap<String, i64>,
    /// Seconds of each duration that counts, in the order of [`DURATIONS`].
    pub durations: [Option<u32>; DURATIONS.len()],
    /// What was found.
    pub flags: BTreeSet<String>,
}

fn hash(key: &str) -> u64 {
    let digest = eport_model::Digest::of(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

impl Store {
    /// Consignments, released or not.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Events that are kept.
    pub fn events(&self) -> u64 {
        self.events_total
    }

    /// Keys that tell nothing because more than [`EVENTS_OF_KEY_MAX`] events are about them.
    pub fn overfull(&self) -> usize {
        self.overfull.len()
    }

    /// Events about such keys: none of them counts.
    pub fn events_not_used(&self) -> u64 {
        self.overfull.values().sum()
    }

    /// Bytes that it takes, about: columns exactly, the rest by the size of what is kept.
    pub fn bytes(&self) -> u64 {
        let row = DURATIONS.len() * 4 + DIMENSIONS.len() * 4 + 4 + 4 + 4 + 2 + 1 + 2 * 56;
        let keys: usize = self.by_key.len() * 36;
        (self.len() * row + keys) as u64 + self.events_total * 120
    }

    /// A consignment, or a later version of it.
    pub fn consign(&mut self, c: &Consignment) {
        let row = match self.rows.get(c.document.as_str()) {
            Some(row) => *row,
            None => self.add_row(&c.document),
        };
        let n = row as usize;
        for key in std::mem::take(&mut self.keys_of[n]) {
            self.by_key.remove(&(key, row));
        }
        let own = document_key(&c.document);
        let keys: Box<[u64]> = [&own].into_iter().chain(&c.keys).take(KEYS_MAX).map(|k| hash(k)).collect();
        self.by_key.extend(keys.iter().map(|k| (*k, row)));
        self.keys_of[n] = keys;
        for (d, value) in c.dimensions.iter().enumerate() {
            self.columns.dimensions[d][n] = self.dictionaries[d].number(value);
        }
        self.columns.declared[n] = self.columns.dimensions[PLACE][n];
        let export = if c.direction == Direction::Export { EXPORT } else { 0 };
        self.columns.flags[n] = self.columns.flags[n] & !EXPORT | export;
        self.dirty.insert(row);
    }

    fn add_row(&mut self, document: &str) -> u32 {
        let row = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        self.documents.push(document.into());
        self.rows.insert(document.into(), row);
        self.keys_of.push(Box::default());
        let c = &mut self.columns;
        c.durations.iter_mut().for_each(|d| d.push(NONE));
        c.dimensions.iter_mut().for_each(|d| d.push(0));
        c.released.push(0);
        c.removed.push(0);
        c.flags.push(0);
        c.mandatory.push(0);
        c.declared.push(0);
        row
    }

    /// What a document's state says of its consignment; nothing when it has none.
    pub fn mark(&mut self, document: &str, mark: Mark) {
        let Some(row) = self.rows.get(document).copied() else { return };
        self.columns.flags[row as usize] |= match mark {
            Mark::Dutiable => DUTIABLE,
            Mark::Void => VOID,
        };
        self.dirty.insert(row);
    }

    /// Something that happened. `offset_minutes`: local time, for the month it counts in.
    pub fn happened(&mut self, fact: &Fact, offset_minutes: i32) {
        let subject = hash(&fact.subject);
        let kept = Kept {
            id: fact.event.id.as_str().into(),
            source: self.sources.number(&fact.event.source),
            milestone: u16::try_from(self.milestones.number(&fact.event.milestone)).unwrap_or(u16::MAX),
            rank: fact.rank,
            place: self.places.number(&fact.place),
            at: fact.event.at,
            recorded: fact.event.recorded,
            corrects: fact.event.corrects.as_deref().map(Into::into),
            retracts: fact.event.retracts.as_deref().map(Into::into),
        };
        self.count(subject, &kept, offset_minutes);
        let known = self.events.get(&subject).map_or(0, Vec::len);
        if let Some(n) = self.overfull.get_mut(&subject) {
            *n += 1;
        } else if known < EVENTS_OF_KEY_MAX {
            self.events.entry(subject).or_default().push(kept);
            self.events_total += 1;
        } else {
            self.events.remove(&subject);
            self.events_total -= known as u64;
            self.overfull.insert(subject, known as u64 + 1);
        }
        let joined = self.by_key.range((subject, 0)..=(subject, u32::MAX)).map(|(_, row)| *row);
        self.dirty.extend(joined);
    }

    fn count(&mut self, subject: u64, kept: &Kept, offset_minutes: i32) {
        let again = |e: &Kept| e.source == kept.source && e.id == kept.id;
        let repeated = self.events.get(&subject).is_some_and(|of| of.iter().any(again));
        let counts = self.counts.entry((kept.source, month(kept.at, offset_minutes))).or_default();
        if repeated {
            counts.duplicates += 1;
        } else {
            counts.events += 1;
            counts.in_time += u64::from(kept.recorded.saturating_sub(kept.at) <= IN_TIME_S);
        }
    }

    /// Makes the rows anew that something happened to; every question does so first.
    pub fn settle(&mut self) {
        for row in std::mem::take(&mut self.dirty) {
            self.recompute(row);
        }
    }

    /// A row's milestones, and where the last event that still stands saw it.
    fn sample(&self, row: u32) -> (crate::Sample, u32) {
        let of = self.keys_of[row as usize].iter().filter_map(|k| self.events.get(k)).flatten();
        let mut kept: Vec<&Kept> = of.collect();
        // The order in which they came decides nothing.
        let source = |k: &Kept| self.sources.name(k.source);
        kept.sort_by(|a, b| (a.recorded, source(a), &a.id).cmp(&(b.recorded, source(b), &b.id)));
        let mut ranks: BTreeMap<(u16, u32), u8> = BTreeMap::new();
        let mut ended: BTreeSet<(u32, &str)> = BTreeSet::new();
        for k in &kept {
            let rank = ranks.entry((k.milestone, k.source)).or_insert(k.rank);
            *rank = k.rank.min(*rank);
            ended.extend(k.corrects.iter().chain(&k.retracts).map(|target| (k.source, &**target)));
        }
        let told = kept.iter().rev().find(|k| {
            let tells = matches!(self.milestones.name(k.milestone.into()), "I06" | "E02" | "E03" | "I16");
            tells && k.place != 0 && k.retracts.is_none() && !ended.contains(&(k.source, &*k.id))
        });
        let events: Vec<Event> = kept.iter().map(|k| self.event(k)).collect();
        let rank: BTreeMap<(&str, &str), u8> = ranks
            .iter()
            .map(|((m, s), rank)| ((self.milestones.name((*m).into()), self.sources.name(*s)), *rank))
            .collect();
        let sample = gather(&events, |m, s| u32::from(*rank.get(&(m, s)).unwrap_or(&u8::MAX)));
        (sample, told.map_or(0, |k| k.place))
    }

    fn event(&self, kept: &Kept) -> Event {
        Event {
            id: kept.id.to_string(),
            source: self.sources.name(kept.source).to_owned(),
            milestone: self.milestones.name(kept.milestone.into()).to_owned(),
            at: kept.at,
            recorded: kept.recorded,
            corrects: kept.corrects.as_deref().map(str::to_owned),
            retracts: kept.retracts.as_deref().map(str::to_owned),
        }
    }

    fn recompute(&mut self, row: u32) {
        let n = row as usize;
        let (sample, place) = self.sample(row);
        let mut flags = self.columns.flags[n] & KEPT;
        let direction = if flags & EXPORT != 0 { Direction::Export } else { Direction::Import };
        let time = |code: &str| sample.times.get(code).and_then(|t| u32::try_from(*t).ok()).unwrap_or(0);
        let (released, removed, inspected) = match direction {
            Direction::Import => (time("I14"), time("I16"), time("I11")),
            Direction::Export => (time("E09"), time("E11"), time("E07")),
        };
        flags |= if inspected != 0 { INSPECTED } else { 0 };
        let overfull = self.keys_of[n].iter().any(|k| self.overfull.contains_key(k));
        flags |= if overfull { OVERFULL } else { 0 };
        for (d, definition) in DURATIONS.iter().enumerate() {
            let measured = measure(&sample, direction, definition);
            self.columns.durations[d][n] = measured.seconds().unwrap_or(NONE);
            for flag in &measured.flags {
                flags |= match flag {
                    Flag::Skew => SKEW,
                    Flag::Negative => NEGATIVE,
                    Flag::Advance | Flag::Advance0 => ADVANCE,
                };
            }
        }
        let whole = self.columns.durations[0][n];
        flags |= if whole != NONE && whole > LONG_S { LONG } else { 0 };
        flags |= if sample.flags.iter().any(|f| f.starts_with("CONFLICT")) { CONFLICT } else { 0 };
        if flags & (NEGATIVE | CONFLICT) != 0 || inconsistent(&sample, direction) {
            flags |= INCONSISTENT;
        }
        let needed = mandatory(direction, flags & INSPECTED != 0, flags & DUTIABLE != 0);
        let present = needed.iter().filter(|c| sample.times.contains_key(**c)).count();
        let c = &mut self.columns;
        c.mandatory[n] = u8::try_from(needed.len() << 4 | present).unwrap_or(0);
        (c.flags[n], c.released[n], c.removed[n]) = (flags, released, removed);
        let declared = c.declared[n];
        c.dimensions[PLACE][n] = match self.places.name(place) {
            "" => declared,
            seen => self.dictionaries[PLACE].number(seen),
        };
    }

    /// One consignment.
    pub fn row(&mut self, n: usize) -> Option<Row> {
        self.settle();
        let document = self.documents.get(n)?.to_string();
        let flags = self.columns.flags[n];
        let direction = if flags & EXPORT != 0 { Direction::Export } else { Direction::Import };
        let (sample, _) = self.sample(u32::try_from(n).ok()?);
        let mut told = sample.flags;
        for (bit, word) in [
            (VOID, "VOID"),
            (SKEW, "SKEW"),
            (NEGATIVE, "NEG"),
            (ADVANCE, "ADVANCE"),
            (INCONSISTENT, "INCONSISTENT"),
            (LONG, "LONG"),
            (OVERFULL, "OVERFULL"),
        ] {
            if flags & bit != 0 {
                told.insert(word.to_owned());
            }
        }
        for code in mandatory(direction, flags & INSPECTED != 0, flags & DUTIABLE != 0) {
            if !sample.times.contains_key(code) {
                told.insert(format!("MISS-{code}"));
            }
        }
        let value = |d: usize| self.dictionaries[d].name(self.columns.dimensions[d][n]).to_owned();
        Some(Row {
            document,
            direction,
            dimensions: std::array::from_fn(value),
            times: sample.times,
            durations: std::array::from_fn(|d| {
                Some(self.columns.durations[d][n]).filter(|seconds| *seconds != NONE)
            }),
            flags: told,
        })
    }

    /// Columns without events, for measurements: each row as `(durations, released, dimensions)`.
    pub fn push_measured(
        &mut self,
        durations: [u32; DURATIONS.len()],
        released: u32,
        dimensions: [&str; DIMENSIONS.len()],
    ) {
        let c = &mut self.columns;
        c.durations.iter_mut().zip(durations).for_each(|(column, value)| column.push(value));
        for (d, value) in dimensions.into_iter().enumerate() {
            c.dimensions[d].push(self.dictionaries[d].number(value));
        }
        c.released.push(released);
        c.removed.push(released);
        c.flags.push(0);
        c.mandatory.push(0x77);
        c.declared.push(0);
    }
}

/// Months since January 1970, in local time.
pub fn month(at: i64, offset_minutes: i32) -> i32 {
    let days = (at + i64::from(offset_minutes) * 60).div_euclid(86_400);
    let julian = i32::try_from(days + 2_440_588).ok();
    let date = julian.and_then(|j| time::Date::from_julian_day(j).ok());
    date.map_or(i32::MIN, |d| (d.year() - 1970) * 12 + i32::from(u8::from(d.month())) - 1)
}

//! Questions to the columns: one duration of the consignments of a period, filtered and put into cells.
//!
//! What always holds: only released consignments that were not withdrawn count, each once; cells and dimensions are bounded before any is made.

use crate::store::{DIMENSIONS, DUTIABLE, EXPORT, INCONSISTENT, INSPECTED, NONE, OVERFULL, Store, VOID};
use crate::{Counts, DURATIONS, Direction, Durations};
use std::collections::BTreeMap;
use thiserror::Error;

/// Cells of one answer at most.
const CELLS_MAX: usize = 1 << 20;
/// Dimensions of a cell at most.
const BY_MAX: usize = 3;

/// A dimension of a cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum By {
    /// A column: its place in [`DIMENSIONS`].
    Column(usize),
    /// Inspected or not.
    Inspected,
    /// Dutiable or not.
    Dutiable,
}

impl By {
    /// A dimension by its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "inspected" => Some(By::Inspected),
            "dutiable" => Some(By::Dutiable),
            _ => DIMENSIONS.iter().position(|d| *d == name).map(By::Column),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            By::Column(n) => DIMENSIONS[n],
            By::Inspected => "inspected",
            By::Dutiable => "dutiable",
        }
    }
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Which way; each has its own definitions.
    pub direction: Direction,
    /// The duration: its place in [`DURATIONS`].
    pub duration: usize,
    /// First second of the period.
    pub from: u32,
    /// First second behind it.
    pub to: u32,
    /// Only where a dimension has one of these values.
    pub only: Vec<(By, Vec<String>)>,
    /// Dimensions of the cells; empty: one cell.
    pub by: Vec<By>,
    /// Only what this enterprise trades or declares.
    pub own: Option<String>,
}

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum QueryError {
    /// Too many dimensions, or too many values in them.
    #[error("the answer would have {0} cells; at most {CELLS_MAX} and {BY_MAX} dimensions are allowed")]
    Cells(usize),
}

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// Its durations.
    pub durations: Durations,
    /// Consignments by trader; for the suppression of cells that would tell of one enterprise.
    pub traders: BTreeMap<String, u64>,
    /// What is counted of its consignments.
    pub counts: Counts,
    /// Consignments with a key of which there were too many events: milestones of theirs may be missing.
    pub overfull: u64,
}

/// Cells by the values of their dimensions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cells(pub BTreeMap<Vec<String>, Cell>);

impl Cells {
    /// Another platform's cells beside these: durations are put together, never figures.
    pub fn add(&mut self, others: Cells) {
        for (key, other) in others.0 {
            let cell = self.0.entry(key).or_default();
            cell.durations.merge(&other.durations);
            for (trader, count) in other.traders {
                *cell.traders.entry(trader).or_default() += count;
            }
            cell.counts.add(&other.counts);
            cell.overfull = cell.overfull.saturating_add(other.overfull);
        }
    }
}

impl Store {
    fn values(&self, by: By) -> usize {
        match by {
            By::Column(n) => self.dictionaries[n].len(),
            By::Inspected | By::Dutiable => 2,
        }
    }

    fn number(&self, by: By, row: usize) -> u32 {
        let flags = self.columns.flags[row];
        match by {
            By::Column(n) => self.columns.dimensions[n][row],
            By::Inspected => u32::from(flags & INSPECTED != 0),
            By::Dutiable => u32::from(flags & DUTIABLE != 0),
        }
    }

    fn value(&self, by: By, number: u32) -> String {
        match by {
            By::Column(n) => self.dictionaries[n].name(number).to_owned(),
            By::Inspected | By::Dutiable => if number == 1 { "y" } else { "n" }.to_owned(),
        }
    }

    /// Rows of the period that pass, in the order of their numbers, after `after`.
    pub fn rows_of(&mut self, query: &Query, after: Option<usize>, limit: usize) -> Vec<usize> {
        self.settle();
        let filter = Filter::new(self, query);
        let from = after.map_or(0, |n| n.saturating_add(1));
        (from..self.columns.flags.len()).filter(|row| filter.passes(self, *row)).take(limit).collect()
    }

    /// The cells of a question. With `traders` each cell counts its consignments by trader.
    pub fn cells(&mut self, query: &Query, traders: bool) -> Result<Cells, QueryError> {
        self.settle();
        let sizes: Vec<usize> = query.by.iter().map(|by| self.values(*by)).collect();
        let wanted = sizes.iter().try_fold(1usize, |all, n| all.checked_mul(*n)).unwrap_or(usize::MAX);
        if wanted > CELLS_MAX || query.by.len() > BY_MAX {
            return Err(QueryError::Cells(wanted));
        }
        let filter = Filter::new(self, query);
        let column = &self.columns.durations[query.duration];
        let mut dense: Vec<Option<Box<Dense>>> = (0..wanted).map(|_| None).collect();
        for (row, seconds) in column.iter().enumerate() {
            if !filter.passes(self, row) {
                continue;
            }
            let place = query
                .by
                .iter()
                .zip(&sizes)
                .fold(0, |at, (by, size)| at * size + self.number(*by, row) as usize);
            let Some(cell) = dense.get_mut(place) else { continue };
            let cell = cell.get_or_insert_default();
            cell.count(self.columns.mandatory[row], self.columns.flags[row], self.columns.durations[0][row]);
            if *seconds != NONE {
                cell.seconds.push(*seconds);
            }
            if traders {
                *cell.traders.entry(self.columns.dimensions[5][row]).or_default() += 1;
            }
        }
        let mut out = BTreeMap::new();
        for (mut place, cell) in dense.into_iter().enumerate() {
            let Some(cell) = cell else { continue };
            let mut key = Vec::with_capacity(sizes.len());
            for (by, size) in query.by.iter().zip(&sizes).rev() {
                key.push(self.value(*by, u32::try_from(place % size).unwrap_or(0)));
                place /= size;
            }
            key.reverse();
            out.insert(key, cell.finished(self));
        }
        Ok(Cells(out))
    }
}

#[derive(Default)]
struct Dense {
    seconds: Vec<u32>,
    traders: BTreeMap<u32, u64>,
    counts: Counts,
    overfull: u64,
}

impl Dense {
    fn count(&mut self, mandatory: u8, flags: u16, whole: u32) {
        let c = &mut self.counts;
        c.released += 1;
        c.samples += 1;
        c.covered += u64::from(whole != NONE);
        c.expected += u64::from(mandatory >> 4);
        c.present += u64::from(mandatory & 15);
        c.inconsistent += u64::from(flags & INCONSISTENT != 0);
        self.overfull += u64::from(flags & OVERFULL != 0);
    }

    fn finished(self, store: &Store) -> Cell {
        let name = |(n, count): (u32, u64)| (store.dictionaries[5].name(n).to_owned(), count);
        Cell {
            durations: Durations::new(self.seconds),
            traders: self.traders.into_iter().map(name).collect(),
            counts: self.counts,
            overfull: self.overfull,
        }
    }
}

/// A question with its words looked up.
struct Filter {
    export: u16,
    by_removal: bool,
    from: u32,
    to: u32,
    /// Columns and the numbers that pass, sorted.
    only: Vec<(By, Vec<u32>)>,
    own: Option<(Option<u32>, Option<u32>)>,
}

impl Filter {
    fn new(store: &Store, query: &Query) -> Self {
        let numbers = |(by, words): &(By, Vec<String>)| {
            let number = |word: &String| match by {
                By::Column(n) => store.dictionaries[*n].find(word),
                By::Inspected | By::Dutiable => Some(u32::from(word == "y")),
            };
            let mut found: Vec<u32> = words.iter().filter_map(number).collect();
            found.sort_unstable();
            (*by, found)
        };
        let own = |name: &String| (store.dictionaries[5].find(name), store.dictionaries[6].find(name));
        Self {
            export: if query.direction == Direction::Export { EXPORT } else { 0 },
            by_removal: DURATIONS[query.duration].code == "T-DWELL",
            from: query.from.max(1),
            to: query.to,
            only: query.only.iter().map(numbers).collect(),
            own: query.own.as_ref().map(own),
        }
    }

    fn passes(&self, store: &Store, row: usize) -> bool {
        let c = &store.columns;
        let (flags, released) = (c.flags[row], c.released[row]);
        // A sample is released; dwell counts in the month of its end.
        let end = if self.by_removal { c.removed[row] } else { released };
        let mine = |own: &(Option<u32>, Option<u32>)| {
            own.0 == Some(c.dimensions[5][row]) || own.1 == Some(c.dimensions[6][row])
        };
        released != 0
            && end >= self.from
            && end < self.to
            && flags & (VOID | EXPORT) == self.export
            && self.own.as_ref().is_none_or(mine)
            && self.only.iter().all(|(by, numbers)| numbers.binary_search(&store.number(*by, row)).is_ok())
    }
}

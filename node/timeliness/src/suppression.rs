//! Which cells are not shown to the public (sharing.md §5): those that would tell of one enterprise, and further ones from which
//! these could be found by subtraction.
//!
//! What always holds: of no line exactly one cell is hidden, unless it is the only one.

use crate::{Cell, Cells};
use std::collections::{BTreeMap, BTreeSet};

/// Enterprises that a shown cell has at least.
const TRADERS_MIN: usize = 3;
/// Percent of a cell that one enterprise may have at most.
const SHARE_MAX: u64 = 85;

/// Keys of cells that are not shown. Cells whose traders were not counted are hidden: nobody knows whom they tell of.
pub fn hidden(cells: &Cells) -> BTreeSet<Vec<String>> {
    let mut hidden: BTreeSet<Vec<String>> =
        cells.0.iter().filter(|(_, cell)| tells_of_one(cell)).map(|(key, _)| key.clone()).collect();
    // Each round hides at least one more, or is the last.
    while let Some(also) = findable(cells, &hidden) {
        hidden.insert(also);
    }
    hidden
}

fn tells_of_one(cell: &Cell) -> bool {
    let all: u64 = cell.traders.values().sum();
    let named = cell.traders.keys().filter(|t| !t.is_empty()).count();
    let most = cell.traders.values().max().copied().unwrap_or(0);
    named < TRADERS_MIN || u128::from(most) * 100 > u128::from(all) * u128::from(SHARE_MAX)
}

/// The smallest shown cell of a line in which one cell alone is hidden: a total of the line would give that one away.
fn findable(cells: &Cells, hidden: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let dimensions = cells.0.keys().next().map_or(0, Vec::len);
    for along in 0..dimensions {
        let mut lines: BTreeMap<Vec<&str>, Vec<&Vec<String>>> = BTreeMap::new();
        for key in cells.0.keys() {
            let rest = key.iter().enumerate().filter(|(n, _)| *n != along).map(|(_, v)| v.as_str());
            lines.entry(rest.collect()).or_default().push(key);
        }
        for line in lines.values() {
            if line.iter().filter(|key| hidden.contains(**key)).count() != 1 {
                continue;
            }
            let shown = line.iter().filter(|key| !hidden.contains(**key));
            let smallest = shown.min_by_key(|key| (cells.0[**key].counts.samples, **key));
            if let Some(key) = smallest {
                return Some((*key).clone());
            }
        }
    }
    None
}

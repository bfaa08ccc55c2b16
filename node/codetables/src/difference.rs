//! The difference of two opened versions, part by part: no answer is larger than its limit.

use crate::table::Table;
use eport_catalog::{Changed, DiffError, Difference, Key, RowRef};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A step from one version to another.
pub enum Step<'a> {
    /// Only the newer version has the row.
    Added(RowRef<'a>),
    /// Only the older version has it.
    Removed(RowRef<'a>),
    /// Both have the key; some field differs.
    Changed(RowRef<'a>, RowRef<'a>),
}

impl<'a> Step<'a> {
    /// The key.
    pub fn key(&self) -> Key {
        match self {
            Step::Added(row) | Step::Removed(row) | Step::Changed(_, row) => row.key(),
        }
    }
}

/// Walks both versions in key order, from behind a key on, and hands over what differs until `see` answers false.
pub fn steps(
    old: &Table,
    new: &Table,
    after: Option<&Key>,
    mut see: impl FnMut(Step<'_>) -> bool,
) -> Result<(), DiffError> {
    let (old_key, new_key) = (&old.schema().key, &new.schema().key);
    if old_key != new_key {
        return Err(DiffError::KeyDiffers { before: old_key.clone(), after: new_key.clone() });
    }
    if old.root() == new.root() {
        return Ok(());
    }
    let (mut a, mut b) = (old.behind(after), new.behind(after));
    loop {
        let (x, y) = (old.row(a), new.row(b));
        let order = match (&x, &y) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) => x.key_cmp(y),
        };
        a += usize::from(order != Ordering::Greater);
        b += usize::from(order != Ordering::Less);
        let go_on = match (order, x, y) {
            (Ordering::Less, Some(x), _) => see(Step::Removed(x)),
            (Ordering::Greater, _, Some(y)) => see(Step::Added(y)),
            (_, Some(x), Some(y)) if differ(old, new, &x, &y) => see(Step::Changed(x, y)),
            _ => true,
        };
        if !go_on {
            return Ok(());
        }
    }
}

fn differ(old: &Table, new: &Table, x: &RowRef<'_>, y: &RowRef<'_>) -> bool {
    match old.schema() == new.schema() {
        true => x.fields().ne(y.fields()),
        false => !changed_fields(x, y).is_empty(),
    }
}

/// Columns that differ between two rows, with the value before and after; no value where the column does not exist.
pub fn changed_fields(x: &RowRef<'_>, y: &RowRef<'_>) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let (old, mut new) = (x.to_map(), y.to_map());
    let mut out = BTreeMap::new();
    for (name, before) in old {
        let after = new.remove(&name);
        if after.as_deref() != Some(before.as_str()) {
            out.insert(name, (Some(before), after));
        }
    }
    out.extend(new.into_iter().map(|(name, after)| (name, (None, Some(after)))));
    out
}

/// Part of a difference, and the key to go on behind.
#[derive(Debug)]
pub struct DifferencePage {
    /// The part.
    pub difference: Difference,
    /// None at the end.
    pub next: Option<Key>,
}

/// The difference from behind a key on, of at most so many rows.
pub fn difference(
    old: &Table,
    new: &Table,
    after: Option<&Key>,
    limit: usize,
) -> Result<DifferencePage, DiffError> {
    let (mut out, mut seen, mut last, mut more) = (Difference::default(), 0, None, false);
    steps(old, new, after, |step| {
        if seen == limit {
            more = true;
            return false;
        }
        seen += 1;
        let key = step.key();
        match step {
            Step::Added(_) => out.added.push(key.to_string()),
            Step::Removed(_) => out.removed.push(key.to_string()),
            Step::Changed(x, y) => {
                out.changed.push(Changed { key: key.to_string(), fields: changed_fields(&x, &y) });
            }
        }
        last = Some(key);
        true
    })?;
    Ok(DifferencePage { difference: out, next: last.filter(|_| more) })
}

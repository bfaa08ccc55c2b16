//! The report of an import, in the JSON that `table import --json` prints.

use crate::difference::changed_fields;
use crate::impact::Impact;
use crate::import::{Parsed, Refusal};
use crate::problem::{Note, Problem};
use eport_catalog::{Change, Changed, Counts, DiffError, Difference, TableName, compare_rows};
use eport_identity::Digest;
use eport_model::Coded;
use serde::{Deserialize, Serialize};
use std::io::Read;

/// An error as it stands in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// `EPnnnn`.
    pub code: String,
    /// One line.
    pub title: String,
    /// What happened in this case.
    pub detail: String,
    /// What to do.
    pub hint: String,
    /// True when the same request may succeed later.
    pub retryable: bool,
}

impl ErrorBody {
    /// The body of a coded error, in English.
    pub fn of(error: &(impl Coded + std::fmt::Display)) -> Self {
        let info = error.code().info();
        ErrorBody {
            code: error.code().to_string(),
            title: info.map_or("", |i| i.title.0).to_owned(),
            detail: error.to_string(),
            hint: info.map_or("", |i| i.remedy.0).to_owned(),
            retryable: info.is_some_and(|i| i.retryable),
        }
    }
}

/// Changed rows that a report shows; the counts tell of all.
const SHOWN_MAX: usize = 1_000;
/// Keys that go, looked up in what uses the table. A version that drops more is a matter of the guard.
const GOING_MAX: usize = 1_000_000;
/// Bytes of these keys.
const GOING_LEN_MAX: usize = 256 << 20;
/// Bytes of keys and values that a report shows.
const SHOWN_LEN_MAX: usize = 4 << 20;
/// Bytes of a value in a report.
const VALUE_SHOWN_MAX: usize = 256;

/// What an import did or would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportReport {
    /// Name of the table without its owner.
    pub name: String,
    /// The owner's region.
    pub owner: String,
    /// Number of the version, once it has one.
    pub version: Option<u64>,
    /// Root of the content; none when the file was refused.
    pub root: Option<Digest>,
    /// Rows of the content.
    pub rows: u64,
    /// Rows that the version before does not have.
    pub added: u64,
    /// Rows that only the version before has.
    pub removed: u64,
    /// Rows with other fields than before.
    pub changed: u64,
    /// Rows equal to those before.
    pub unchanged: u64,
    /// Rows that repeated an earlier one in every field.
    pub duplicates_ignored: u64,
    /// What is wrong, in file order.
    pub problems: Vec<Problem>,
    /// How many problems were found; reading ends where the list is full.
    pub problems_found: u64,
    /// What was tolerated.
    pub notes: Vec<Note>,
    /// Rows that differ from the version before, in key order, the first thousand.
    #[serde(default)]
    pub difference: Difference,
    /// What uses codes that go.
    #[serde(default)]
    pub impact: Impact,
    /// Effective instant, RFC 3339, once it is known.
    pub effective: Option<String>,
    /// True once the version is committed.
    pub published: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// Cuts long values: a report is for people, `table diff` shows values whole. Answers the bytes that are left.
fn shorten(changed: &mut Changed) -> usize {
    let mut len = changed.key.len();
    for (name, (old, new)) in &mut changed.fields {
        for value in [old, new].into_iter().flatten() {
            if value.len() > VALUE_SHOWN_MAX {
                let cut = (0..=VALUE_SHOWN_MAX).rev().find(|n| value.is_char_boundary(*n)).unwrap_or(0);
                value.truncate(cut);
                value.push('…');
            }
            len += value.len();
        }
        len += name.len();
    }
    len
}

impl ImportReport {
    /// An empty report for a table.
    pub(crate) fn new(table: &TableName) -> Self {
        ImportReport {
            name: table.name().to_owned(),
            owner: table.owner().to_string(),
            version: None,
            root: None,
            rows: 0,
            added: 0,
            removed: 0,
            changed: 0,
            unchanged: 0,
            duplicates_ignored: 0,
            problems: Vec::new(),
            problems_found: 0,
            notes: Vec::new(),
            difference: Difference::default(),
            impact: Impact::default(),
            effective: None,
            published: false,
            error: None,
        }
    }

    pub(crate) fn describe(&mut self, parsed: &Parsed) {
        self.root = Some(parsed.content.root);
        self.rows = parsed.content.rows;
        self.duplicates_ignored = parsed.duplicates_ignored;
        self.notes.clone_from(&parsed.notes);
    }

    /// Compares with the version before; keeps what is shown, and hands out the keys that go.
    pub(crate) fn compare(
        &mut self,
        before: impl Read,
        after: impl Read,
        going: &mut Vec<String>,
    ) -> Result<Counts, DiffError> {
        let (shown, mut seen, mut room) = (&mut self.difference, 0, SHOWN_LEN_MAX);
        let mut going_room = GOING_LEN_MAX;
        compare_rows(before, after, |change| {
            seen += 1;
            let show = seen <= SHOWN_MAX && room > 0;
            match change {
                Change::Added(row) if show => {
                    let key = row.key().to_string();
                    room = room.saturating_sub(key.len());
                    shown.added.push(key);
                }
                Change::Removed(row) => {
                    let key = row.key().to_string();
                    if show {
                        room = room.saturating_sub(key.len());
                        shown.removed.push(key.clone());
                    }
                    if going.len() < GOING_MAX && going_room > 0 {
                        going_room = going_room.saturating_sub(key.len());
                        going.push(key);
                    }
                }
                Change::Changed(x, y) if show => {
                    let mut changed = Changed { key: y.key().to_string(), fields: changed_fields(&x, &y) };
                    room = room.saturating_sub(shorten(&mut changed));
                    shown.changed.push(changed);
                }
                _ => {}
            }
        })
    }

    pub(crate) fn count(&mut self, counts: Counts) {
        self.added = counts.added;
        self.removed = counts.removed;
        self.changed = counts.changed;
        self.unchanged = counts.unchanged;
    }

    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        if let Refusal::Problems { problems, found, notes, .. } = refusal {
            self.problems.clone_from(problems);
            self.problems_found = *found;
            self.notes.clone_from(notes);
        }
        self.error = Some(ErrorBody::of(refusal));
    }

    /// Says that publishing failed after the file itself was good.
    pub fn fail(&mut self, error: &(impl Coded + std::fmt::Display)) {
        self.published = false;
        self.error = Some(ErrorBody::of(error));
    }
}

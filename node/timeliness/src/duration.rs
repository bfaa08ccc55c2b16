//! Durations between milestones (timeliness.md §2 and §3).

use crate::Sample;
use std::collections::BTreeSet;

/// A clock may be wrong by so much.
const SKEW_S: i64 = 300;

/// Which way goods go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Into the country.
    Import,
    /// Out of it.
    Export,
}

/// A duration: its code, and from which milestones to which. Of several begins and ends the last counts that is there; the first
/// named must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Definition {
    /// Its code.
    pub code: &'static str,
    /// Import: begins, ends.
    pub import: (&'static [&'static str], &'static [&'static str]),
    /// Export: begins, ends; empty where there is none.
    pub export: (&'static [&'static str], &'static [&'static str]),
}

const NONE: &[&str] = &[];

/// Every duration.
pub const DURATIONS: &[Definition] = &[
    Definition { code: "T-ALL", import: (&["I01"], &["I14"]), export: (&["E03"], &["E09"]) },
    Definition { code: "T-DWELL", import: (&["I01"], &["I16"]), export: (&["E02"], &["E11"]) },
    Definition { code: "T-CUS", import: (&["I01", "I07"], &["I14"]), export: (&["E03", "E04"], &["E09"]) },
    Definition { code: "S1", import: (&["I01"], &["I06"]), export: (&["E02"], &["E03"]) },
    Definition { code: "S2", import: (&["I01"], &["I07"]), export: (&["E03"], &["E04"]) },
    Definition { code: "S3", import: (&["I07"], &["I08"]), export: (&["E04"], &["E05"]) },
    Definition { code: "S4", import: (&["I08"], &["I09"]), export: (&["E05"], &["E06"]) },
    Definition { code: "S5", import: (&["I09"], &["I10"]), export: (NONE, NONE) },
    Definition { code: "S6", import: (&["I11"], &["I13"]), export: (&["E07"], &["E08"]) },
    Definition { code: "S6-WAIT", import: (&["I11"], &["I12"]), export: (NONE, NONE) },
    Definition { code: "S6-WORK", import: (&["I12"], &["I13"]), export: (NONE, NONE) },
    Definition {
        code: "S7",
        import: (&["I09", "I10", "I13"], &["I14"]),
        export: (&["E06", "E08"], &["E09"]),
    },
    Definition { code: "S8", import: (&["I14"], &["I16"]), export: (&["E09"], &["E10"]) },
    Definition { code: "S9-DEPART", import: (NONE, NONE), export: (&["E10"], &["E11"]) },
    Definition { code: "S9-CLOSE", import: (NONE, NONE), export: (&["E11"], &["E13"]) },
];

/// What was found on the way to a duration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Flag {
    /// The end lies before the begin by at most five minutes: 0.
    Skew,
    /// By more: not counted.
    Negative,
    /// Declared before arrival: 0, counted.
    Advance,
    /// Released before arrival: 0, counted.
    Advance0,
}

/// A duration of a sample.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// Begin and end, where both are there and in order.
    pub interval: Option<(i64, i64)>,
    /// Milestones that are missing.
    pub missing: Vec<&'static str>,
    /// What was found.
    pub flags: BTreeSet<Flag>,
}

impl Measured {
    /// Whole seconds; `None` where it does not count.
    pub fn seconds(&self) -> Option<u32> {
        self.interval.and_then(|(from, to)| u32::try_from(to - from).ok())
    }
}

/// One duration of a sample.
pub fn measure(sample: &Sample, direction: Direction, definition: &Definition) -> Measured {
    let (begins, ends) = match direction {
        Direction::Import => definition.import,
        Direction::Export => definition.export,
    };
    let mut out = Measured::default();
    let (Some(first), Some(end)) = (begins.first(), ends.first()) else { return out };
    let at = |code: &&str| sample.times.get(*code).copied();
    // Both of `max(arrival, declaration)` must be known; what ends reviews may be any that took place.
    let needed: &[&'static str] = if definition.code == "S7" { &begins[..1] } else { begins };
    out.missing = needed.iter().chain(ends).filter(|c| at(c).is_none()).copied().collect();
    if !out.missing.is_empty() {
        return out;
    }
    let (Some(from), Some(to)) = (begins.iter().filter_map(at).max(), at(end)) else { return out };
    let advance = match definition.code {
        "S2" => Some(Flag::Advance),
        // Released before the goods came: from arrival on it took no time.
        "T-ALL" => Some(Flag::Advance0),
        "T-CUS" if at(first) > at(end) => Some(Flag::Advance0),
        _ => None,
    };
    out.interval = match (to - from, advance) {
        (0.., _) => Some((from, to)),
        (_, Some(flag)) => {
            out.flags.insert(flag);
            Some((from, from))
        }
        (late, None) if late >= -SKEW_S => {
            out.flags.insert(Flag::Skew);
            Some((from, from))
        }
        _ => {
            out.flags.insert(Flag::Negative);
            None
        }
    };
    out
}

//! Data-quality indicators (timeliness.md §7).

use crate::{Direction, Figure, Sample};

/// Limits of a terminal's acceptance, in hundredths of a percent: coverage, completeness, timeliness, consistency.
const PASSES: [i64; 4] = [9_500, 9_000, 9_000, 9_800];

/// What is counted of one source, place and month.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Released declarations of the period.
    pub released: u64,
    /// Samples with both ends of T-ALL.
    pub covered: u64,
    /// Mandatory milestones expected.
    pub expected: u64,
    /// Of these, present.
    pub present: u64,
    /// Events received.
    pub received: u64,
    /// Received twice.
    pub duplicates: u64,
    /// Events that pass the rules of format, code and time.
    pub valid: u64,
    /// Events recorded within 15 minutes.
    pub in_time: u64,
    /// Samples.
    pub samples: u64,
    /// Samples with a negative duration, a conflict or an impossible order.
    pub inconsistent: u64,
}

/// Indicators in percent; `None` where nothing is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quality {
    /// 覆盖率
    pub coverage: Option<Figure>,
    /// 完整率
    pub completeness: Option<Figure>,
    /// 及时率
    pub timeliness: Option<Figure>,
    /// 一致率
    pub consistency: Option<Figure>,
    /// Uniqueness.
    pub uniqueness: Option<Figure>,
    /// Validity.
    pub validity: Option<Figure>,
    /// A terminal with these figures in a full month is accepted (验证).
    pub passes: bool,
}

/// The indicators.
pub fn quality(c: &Counts) -> Quality {
    let part = |part: u64, whole: u64| Figure::percent(part.into(), whole.into());
    let rest = |part: u64, whole: u64| Figure::percent(i128::from(whole) - i128::from(part), whole.into());
    // Duplicates are no events of their own.
    let events = c.received.saturating_sub(c.duplicates);
    let judged = [
        part(c.covered, c.released),
        part(c.present, c.expected),
        part(c.in_time, events),
        rest(c.inconsistent, c.samples),
    ];
    let passes = judged.iter().zip(PASSES).all(|(figure, limit)| figure.is_some_and(|f| f.0 >= limit));
    let [coverage, completeness, timeliness, consistency] = judged;
    let (uniqueness, validity) = (rest(c.duplicates, c.received), part(c.valid, c.received));
    Quality { coverage, completeness, timeliness, consistency, uniqueness, validity, passes }
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.released, other.released),
            (&mut self.covered, other.covered),
            (&mut self.expected, other.expected),
            (&mut self.present, other.present),
            (&mut self.received, other.received),
            (&mut self.duplicates, other.duplicates),
            (&mut self.valid, other.valid),
            (&mut self.in_time, other.in_time),
            (&mut self.samples, other.samples),
            (&mut self.inconsistent, other.inconsistent),
        ] {
            *own = own.saturating_add(others);
        }
    }
}

/// Milestones that a consignment must have.
pub(crate) fn mandatory(direction: Direction, inspected: bool, dutiable: bool) -> Vec<&'static str> {
    let (always, when_inspected): (&[&str], &[&str]) = match direction {
        Direction::Import => (&["I01", "I04", "I06", "I07", "I08", "I14", "I16"], &["I11", "I12", "I13"]),
        Direction::Export => (&["E03", "E04", "E05", "E09"], &["E07", "E08"]),
    };
    let mut out = always.to_vec();
    if inspected {
        out.extend(when_inspected);
    }
    if dutiable && direction == Direction::Import {
        out.push("I10");
    }
    out
}

/// True when two milestones stand in an order that cannot be, by more than clocks may differ.
pub(crate) fn inconsistent(sample: &Sample, direction: Direction) -> bool {
    let pairs: &[(&str, &str)] = match direction {
        Direction::Import => {
            &[("I03", "I04"), ("I08", "I14"), ("I14", "I16"), ("I12", "I13"), ("I07", "I08")]
        }
        Direction::Export => &[("E05", "E09"), ("E09", "E10"), ("E10", "E11")],
    };
    let at = |code: &str| sample.times.get(code).copied();
    pairs.iter().any(|(first, then)| match (at(first), at(then)) {
        (Some(first), Some(then)) => then < first - 300,
        _ => false,
    })
}

//! From events to a sample (timeliness.md §3): duplicates, several sources, several containers, corrections.

use std::collections::{BTreeMap, BTreeSet};

/// Two sources that differ by at most this say the same.
const AGREE_S: i64 = 300;
/// An event may lie so far ahead of its record time.
const AHEAD_S: i64 = 300;
/// Older events are kept and not used: 400 days.
const STALE_S: i64 = 400 * 86_400;
/// Milestones of which the first event counts; of all others the last.
const FIRST: [&str; 7] = ["I03", "I11", "I12", "I14", "E02", "E07", "E09"];

/// One event of one subject, times in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Unique per source.
    pub id: String,
    /// Organisation and system.
    pub source: String,
    /// Milestone code.
    pub milestone: String,
    /// When it happened.
    pub at: i64,
    /// When it was recorded.
    pub recorded: i64,
    /// The event of the same source that this one corrects.
    pub corrects: Option<String>,
    /// The event of the same source that this one takes back.
    pub retracts: Option<String>,
}

/// A consignment's milestones.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// Time of each milestone.
    pub times: BTreeMap<String, i64>,
    /// What was found: `CONFLICT:I01`, `STALE:…`, `FUTURE:…`.
    pub flags: BTreeSet<String>,
    /// Events received twice.
    pub duplicates: u64,
}

/// Puts a sample together. `rank` says how good a source is for a milestone; the smallest counts.
pub fn gather(events: &[Event], rank: impl Fn(&str, &str) -> u32) -> Sample {
    let mut sample = Sample::default();
    let live = live(events, &mut sample);
    // Milestone → source → time.
    let mut found: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for event in live {
        let first = FIRST.contains(&event.milestone.as_str());
        let of = found.entry(&event.milestone).or_default();
        let time = of.entry(&event.source).or_insert(event.at);
        *time = if first { event.at.min(*time) } else { event.at.max(*time) };
    }
    for (milestone, sources) in found {
        let best = sources.iter().min_by_key(|(source, _)| (rank(milestone, source), **source));
        let Some((_, time)) = best else { continue };
        if sources.values().any(|other| (other - time).abs() > AGREE_S) {
            sample.flags.insert(format!("CONFLICT:{milestone}"));
        }
        sample.times.insert(milestone.to_owned(), *time);
    }
    sample
}

/// Events that count: each once, in their last correction, not taken back, neither too far ahead nor too old.
fn live<'e>(events: &'e [Event], sample: &mut Sample) -> Vec<&'e Event> {
    let mut known: BTreeMap<(&str, &str), &Event> = BTreeMap::new();
    for event in events {
        if known.contains_key(&(event.source.as_str(), event.id.as_str())) {
            sample.duplicates += 1;
            continue;
        }
        known.insert((&event.source, &event.id), event);
    }
    let mut replaced = BTreeSet::new();
    // Of several corrections of one event the last recorded counts, whenever its target came.
    let mut corrections: BTreeMap<(&str, &str), &Event> = BTreeMap::new();
    for event in known.values() {
        let source = event.source.as_str();
        if let Some(target) = &event.retracts {
            replaced.insert((source, target.as_str()));
            replaced.insert((source, event.id.as_str()));
        }
        if let Some(target) = &event.corrects {
            replaced.insert((source, target.as_str()));
            match corrections.get(&(source, target.as_str())) {
                Some(other) if (other.recorded, &other.id) > (event.recorded, &event.id) => {
                    replaced.insert((source, event.id.as_str()));
                }
                other => {
                    if let Some(other) = other {
                        replaced.insert((source, other.id.as_str()));
                    }
                    corrections.insert((source, target.as_str()), event);
                }
            }
        }
    }
    let mut out = Vec::with_capacity(known.len());
    for (key, event) in known {
        if replaced.contains(&key) {
            continue;
        }
        let word = match event.recorded - event.at {
            lag if lag < -AHEAD_S => "FUTURE",
            lag if lag > STALE_S => "STALE",
            _ => {
                out.push(event);
                continue;
            }
        };
        sample.flags.insert(format!("{word}:{}", event.milestone));
    }
    out
}

//! Compares what a client was promised with what a platform holds. Pure.

use crate::log::{Attempt, Line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A document as the platform lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lodger's reference.
    pub client_ref: String,
    /// The platform's number.
    pub doc_id: String,
}

/// The verdict of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Documents that were started.
    pub submitted: u64,
    /// Documents the client was promised.
    pub acknowledged: u64,
    /// Promised documents that the platform holds under the promised number.
    pub present: u64,
    /// Promised documents that are not there, or there under another number only.
    pub missing: u64,
    /// References that the platform holds more than once.
    pub duplicated: u64,
    /// Documents that are there although no answer said so: allowed, their outcome was unknown.
    pub unconfirmed: u64,
    /// Documents refused for good: the load sends valid ones only, so each is a fault.
    pub refused: u64,
    /// Documents whose last answer left the outcome open.
    pub unanswered: u64,
    /// The first references that are missing or duplicated.
    pub examples: Vec<String>,
}

/// Examples that a report names.
const EXAMPLES_MAX: usize = 10;

impl Reconciliation {
    /// Nothing lost, nothing twice, nothing refused, everything answered.
    pub fn is_clean(&self) -> bool {
        self.missing == 0
            && self.duplicated == 0
            && self.refused == 0
            && self.unanswered == 0
            && self.present == self.acknowledged
    }

    /// The sum of two platforms or phases.
    pub fn plus(mut self, other: &Self) -> Self {
        self.submitted += other.submitted;
        self.acknowledged += other.acknowledged;
        self.present += other.present;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.unconfirmed += other.unconfirmed;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.examples.extend(other.examples.iter().cloned());
        self.examples.truncate(EXAMPLES_MAX);
        self
    }
}

/// Judges a load's log against everything the platform holds under the load's prefix.
pub fn reconcile(lines: &[Line], held: &[Held]) -> Reconciliation {
    let mut by_ref: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for h in held {
        by_ref.entry(&h.client_ref).or_default().push(&h.doc_id);
    }
    let mut out = Reconciliation::default();
    let mut example = |reference: &str| {
        if out.examples.len() < EXAMPLES_MAX {
            out.examples.push(reference.to_owned());
        }
    };
    let tried = attempts_by_ref(lines);
    for (reference, attempts) in &tried {
        let promised = attempts.iter().find(|a| a.outcome.is_promise());
        let here = by_ref.get(reference).map_or(&[][..], Vec::as_slice);
        let found = promised.is_some_and(|p| here.iter().any(|id| Some(*id) == p.doc_id.as_deref()));
        out.submitted += 1;
        out.acknowledged += u64::from(promised.is_some());
        out.present += u64::from(found);
        if promised.is_some() && !found {
            out.missing += 1;
            example(reference);
        }
        if promised.is_none() {
            let refused = attempts.last().is_some_and(|a| a.outcome.is_final());
            out.refused += u64::from(refused);
            out.unanswered += u64::from(!refused);
            out.unconfirmed += u64::from(!here.is_empty());
        }
    }
    for (reference, ids) in &by_ref {
        if ids.len() > 1 {
            out.duplicated += 1;
            example(reference);
        }
    }
    out
}

fn attempts_by_ref(lines: &[Line]) -> BTreeMap<&str, Vec<&Attempt>> {
    let mut out: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for line in lines {
        if let Line::Attempt(a) = line {
            out.entry(&a.client_ref).or_default().push(a);
        }
    }
    for attempts in out.values_mut() {
        attempts.sort_by_key(|a| a.attempt);
    }
    out
}

/// How writes fared around a move, from a client's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pause {
    /// Longest time without any acknowledgement, of those that touch the window.
    pub write_pause_ms: f64,
    /// Longest time from a document's first attempt to its acknowledgement, of those that touch the window.
    pub slowest_ms: f64,
    /// Attempts in the window that were answered with an error or not at all.
    pub failed_attempts: u64,
    /// Documents acknowledged in the window.
    pub acknowledged: u64,
    /// First acknowledgement after the begin of the window, counted from it. `None`: there was none.
    pub first_after_ms: Option<f64>,
}

/// Measures a window (from, to) in the log's clock.
pub fn pause(lines: &[Line], from_ms: f64, to_ms: f64) -> Pause {
    let touches = |a: f64, b: f64| a <= to_ms && b >= from_ms;
    let mut out = Pause::default();
    let mut acks: Vec<f64> = Vec::new();
    let mut first_sent: BTreeMap<u64, f64> = BTreeMap::new();
    for line in lines {
        let Line::Attempt(a) = line else { continue };
        let sent = *first_sent.entry(a.number).and_modify(|s| *s = s.min(a.sent_ms)).or_insert(a.sent_ms);
        if a.outcome.is_promise() {
            acks.push(a.done_ms);
            if touches(sent, a.done_ms) {
                out.slowest_ms = out.slowest_ms.max(a.done_ms - sent);
            }
            out.acknowledged += u64::from(touches(a.done_ms, a.done_ms));
        } else if touches(a.sent_ms, a.done_ms) {
            out.failed_attempts += 1;
        }
    }
    acks.sort_by(f64::total_cmp);
    for pair in acks.windows(2) {
        if touches(pair[0], pair[1]) {
            out.write_pause_ms = out.write_pause_ms.max(pair[1] - pair[0]);
        }
    }
    out.first_after_ms = acks.iter().find(|t| **t >= from_ms).map(|t| t - from_ms);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Outcome;

    fn attempt(number: u64, attempt: u32, done_ms: f64, outcome: Outcome) -> Line {
        Line::Attempt(Box::new(Attempt {
            number,
            attempt,
            client_ref: format!("L-{number}"),
            api: "https://a".into(),
            sent_ms: done_ms - 5.0,
            done_ms,
            outcome,
            status: None,
            code: None,
            detail: None,
            doc_id: outcome.is_promise().then(|| format!("E{number}")),
            durability: None,
            epoch: None,
            index: None,
            digest: None,
        }))
    }

    fn held(n: u64, id: &str) -> Held {
        Held { client_ref: format!("L-{n}"), doc_id: id.to_owned() }
    }

    #[test]
    fn a_promise_that_is_kept_once_is_clean_even_after_an_unknown_outcome() {
        let log = [
            attempt(1, 1, 10.0, Outcome::Acknowledged),
            attempt(2, 1, 20.0, Outcome::Unknown),
            attempt(2, 2, 30.0, Outcome::Repeated),
        ];
        let r = reconcile(&log, &[held(1, "E1"), held(2, "E2")]);
        assert_eq!((r.submitted, r.acknowledged, r.present), (2, 2, 2));
        assert!(r.is_clean());
    }

    #[test]
    fn a_lost_document_another_number_and_a_double_are_each_found() {
        let log = [
            attempt(1, 1, 10.0, Outcome::Acknowledged),
            attempt(2, 1, 10.0, Outcome::Acknowledged),
            attempt(3, 1, 10.0, Outcome::Acknowledged),
        ];
        let r = reconcile(&log, &[held(2, "E99"), held(3, "E3"), held(3, "E4")]);
        assert_eq!((r.missing, r.duplicated, r.present), (2, 1, 1));
        assert_eq!(r.examples, ["L-1", "L-2", "L-3"]);
        assert!(!r.is_clean());
    }

    #[test]
    fn a_document_without_an_answer_may_be_there_but_is_never_counted_as_kept() {
        let log = [attempt(1, 1, 10.0, Outcome::Unknown), attempt(2, 1, 10.0, Outcome::Refused)];
        let r = reconcile(&log, &[held(1, "E1")]);
        assert_eq!((r.unconfirmed, r.unanswered, r.refused, r.acknowledged), (1, 1, 1, 0));
        assert!(!r.is_clean(), "the load must wait until everything is answered");
    }

    #[test]
    fn the_pause_is_the_longest_gap_between_acknowledgements_that_touches_the_window() {
        let mut log: Vec<Line> = [0.0, 500.0, 510.0, 640.0, 650.0, 2000.0]
            .iter()
            .enumerate()
            .map(|(n, t)| attempt(n as u64 + 1, 1, *t, Outcome::Acknowledged))
            .collect();
        log.push(attempt(9, 1, 600.0, Outcome::Unavailable));
        let p = pause(&log, 505.0, 660.0);
        assert_eq!(p.write_pause_ms, 1350.0, "650 to 2000 begins inside the window");
        let p = pause(&log, 505.0, 645.0);
        assert_eq!((p.write_pause_ms, p.failed_attempts, p.first_after_ms), (130.0, 1, Some(5.0)));
    }
}

//! What the client saw: pauses around disturbances, and what became of every document that was acknowledged.

use crate::log::{Attempt, Line};
use crate::reconcile::{Held, Reconciliation, reconcile};
use eport_model::RegionCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one client lodged at one platform, and what the platform holds of it afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Canary<'a> {
    /// The platform.
    pub region: RegionCode,
    /// The client's log.
    pub lines: &'a [Line],
    /// What is there under the client's business keys.
    pub held: &'a [Held],
}

/// A disturbance: from its beginning to the proof that writes go on, in the clock of the logs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// Just before the disturbance.
    pub from_ms: f64,
    /// When writes were seen to go on.
    pub to_ms: f64,
}

/// What was measured at one platform.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlatformMeasure {
    /// The platform.
    pub region: RegionCode,
    /// Documents lodged.
    pub submitted: u64,
    /// Documents acknowledged.
    pub acknowledged: u64,
    /// Acknowledged documents found again.
    pub present: u64,
    /// Acknowledged documents not found.
    pub missing: u64,
    /// Business keys found more than once.
    pub duplicated: u64,
    /// Longest pause, milliseconds.
    pub write_pause_ms: Option<f64>,
    /// From the disturbance to the first write after the longest pause, milliseconds.
    pub rto_ms: Option<f64>,
}

/// What was measured in all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Promises against holdings, over all platforms.
    pub documents: Reconciliation,
    /// Acknowledged records that are gone.
    pub rpo_records: u64,
    /// Over which time they were acknowledged, milliseconds.
    pub rpo_ms: f64,
    /// The longest pause, milliseconds; `None` when nothing was disturbed.
    pub write_pause_ms: Option<f64>,
    /// The longest way back to writing, milliseconds; `None` when nothing was disturbed or writing never came back.
    pub rto_ms: Option<f64>,
    /// A platform that was disturbed never wrote again.
    pub stopped: bool,
    /// Platform by platform.
    pub platforms: Vec<PlatformMeasure>,
}

/// Measures all clients over all disturbances.
pub fn measure(canaries: &[Canary<'_>], windows: &[Window]) -> Measured {
    let mut out = Measured::default();
    for canary in canaries {
        let documents = reconcile(canary.lines, canary.held);
        let acks = acknowledgements(canary.lines);
        let (mut pause, mut rto): (Option<f64>, Option<f64>) = (None, None);
        for w in windows {
            match gap(&acks, *w) {
                Some((from, to)) => {
                    pause = Some(pause.unwrap_or(0.0).max(to - from));
                    rto = Some(rto.unwrap_or(0.0).max(to - from.max(w.from_ms)));
                }
                None => out.stopped = true,
            }
        }
        let (lost, over) = lost(canary, windows);
        out.rpo_records += lost;
        out.rpo_ms = out.rpo_ms.max(over);
        out.write_pause_ms = larger(out.write_pause_ms, pause);
        out.rto_ms = larger(out.rto_ms, rto);
        out.platforms.push(PlatformMeasure {
            region: canary.region,
            submitted: documents.submitted,
            acknowledged: documents.acknowledged,
            present: documents.present,
            missing: documents.missing,
            duplicated: documents.duplicated,
            write_pause_ms: pause,
            rto_ms: rto,
        });
        out.documents = out.documents.plus(&documents);
    }
    if out.stopped {
        // A way back that was never found is longer than any that was measured.
        out.rto_ms = None;
    }
    out
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

fn attempts(lines: &[Line]) -> impl Iterator<Item = &Attempt> {
    lines.iter().filter_map(|l| if let Line::Attempt(a) = l { Some(a.as_ref()) } else { None })
}

fn acknowledgements(lines: &[Line]) -> Vec<f64> {
    let mut acks: Vec<f64> = attempts(lines).filter(|a| a.outcome.is_promise()).map(|a| a.done_ms).collect();
    acks.sort_by(f64::total_cmp);
    acks
}

/// The longest time without an acknowledgement that touches the window, from the last one before to the first one after.
/// `None` when nothing was acknowledged after the disturbance.
fn gap(acks: &[f64], w: Window) -> Option<(f64, f64)> {
    if acks.last().is_none_or(|last| *last < w.from_ms) {
        return None;
    }
    let pairs = acks.windows(2).map(|p| (p[0], p[1]));
    // The first acknowledgement of all may come after the disturbance: the pause then began with it.
    let first = acks.first().filter(|a| **a > w.from_ms).map(|a| (w.from_ms, *a));
    let touching = pairs.chain(first).filter(|(a, b)| *a <= w.to_ms && *b >= w.from_ms);
    touching.max_by(|x, y| (x.1 - x.0).total_cmp(&(y.1 - y.0))).or(Some((w.from_ms, w.from_ms)))
}

/// Promised documents that are not there, and from the oldest of them to what lost it.
fn lost(canary: &Canary<'_>, windows: &[Window]) -> (u64, f64) {
    let there: BTreeSet<(&str, &str)> =
        canary.held.iter().map(|h| (h.client_ref.as_str(), h.doc_id.as_str())).collect();
    let mut promised: BTreeSet<&str> = BTreeSet::new();
    let mut gone: Vec<f64> = Vec::new();
    for a in attempts(canary.lines).filter(|a| a.outcome.is_promise()) {
        let found = a.doc_id.as_deref().is_some_and(|id| there.contains(&(a.client_ref.as_str(), id)));
        if promised.insert(&a.client_ref) && !found {
            gone.push(a.done_ms);
        }
    }
    gone.sort_by(f64::total_cmp);
    let (Some(oldest), Some(newest)) = (gone.first(), gone.last()) else { return (0, 0.0) };
    let disturbed = windows.iter().map(|w| w.from_ms).find(|from| from >= oldest);
    (gone.len() as u64, (disturbed.unwrap_or(*newest) - oldest).max(newest - oldest))
}

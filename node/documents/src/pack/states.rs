//! Life cycles: what an agency's receipt does to a document's state. Domain rules: documents §2.2 and §2.3.
//!
//! Always: a state moves only forward along the pack's arrows; a receipt that is late is kept and changes nothing; a receipt with
//! an unknown code asks for a person. Two receipts in either order come to the same state whenever one state follows the other.

use super::problem::{ProblemCode, Problems};
use super::spec::StateSpec;
use super::{Role, Title};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Most states of a document type.
const STATES_MAX: usize = 60;

/// What an agency has done with a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgencyState {
    /// It waits to be sent.
    Queued,
    /// It was sent.
    Sent,
    /// It arrived.
    Delivered,
    /// The agency has stored it.
    Received,
    /// A person looks at it.
    ManualReview,
    /// Accepted.
    Accepted,
    /// Refused.
    Rejected,
    /// Over for that agency.
    Done,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateOf {
    /// Its name.
    pub name: String,
    /// Its name for people.
    pub title: Title,
    /// Its receipts are noted beside the state and never change it.
    pub note: bool,
    /// States that may follow.
    pub next: Vec<String>,
    /// What the state of the agency that sent the receipt becomes.
    pub agency: Option<AgencyState>,
    /// Every state that can still follow.
    pub(crate) after: BTreeSet<String>,
}

/// The states of a document type and the receipts that lead to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeCycle {
    /// The first state.
    pub start: String,
    /// States by name.
    pub states: BTreeMap<String, StateOf>,
    /// (agency, code) → state.
    pub receipts: BTreeMap<(String, String), String>,
}

/// What a receipt does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The document moves to this state.
    Moved(String),
    /// It is noted beside the state.
    Noted,
    /// The document is there, or further: kept with `applied = false`.
    Late,
    /// The code is not known: a person looks at it, and somebody is told.
    Unknown,
}

impl LifeCycle {
    /// What a receipt with this code of this agency does to a document in this state.
    pub fn step(&self, state: &str, agency: &str, code: &str) -> Step {
        let target = self.receipts.get(&(agency.to_owned(), code.to_owned()));
        let Some(target) = target.and_then(|name| self.states.get(name)) else { return Step::Unknown };
        if target.note {
            return Step::Noted;
        }
        let Some(now) = self.states.get(state) else { return Step::Unknown };
        // A state that was left out on the way does not hold the document back; one that lies behind does not take it back.
        let ahead = now.next.contains(&target.name) || now.after.contains(&target.name);
        if now.name != target.name
            && ahead
            && (!target.after.contains(&now.name) || now.next.contains(&target.name))
        {
            Step::Moved(target.name.clone())
        } else {
            Step::Late
        }
    }

    /// Whether a document in `state` is in `wanted` or has passed it.
    pub fn reached(&self, state: &str, wanted: &str) -> bool {
        state == wanted || self.states.get(wanted).is_some_and(|s| s.after.contains(state))
    }

    pub(super) fn build(
        specs: Vec<Spanned<StateSpec>>,
        agencies: &BTreeSet<String>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let first = specs.first()?.span();
        let mut cycle =
            LifeCycle { start: String::new(), states: BTreeMap::new(), receipts: BTreeMap::new() };
        if specs.len() > STATES_MAX {
            problems.add(&first, ProblemCode::Size, format!("more than {STATES_MAX} states"));
            return None;
        }
        let mut spans = BTreeMap::new();
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            spans.insert(spec.name.clone(), span.clone());
            cycle.state(spec, &span, agencies, problems);
        }
        if cycle.start.is_empty() {
            problems.add(&first, ProblemCode::State, "no state is the start");
            return None;
        }
        for state in cycle.states.values() {
            let span = spans.get(&state.name).unwrap_or(&first);
            for next in state.next.iter().filter(|n| cycle.states.get(*n).is_none_or(|s| s.note)) {
                problems.add(span, ProblemCode::Reference, format!("there is no state {next:?} to follow"));
            }
        }
        cycle.close();
        for state in cycle.states.values().filter(|s| !s.note) {
            let span = spans.get(&state.name).unwrap_or(&first);
            let reached = state.name == cycle.start
                || cycle.states.get(&cycle.start).is_some_and(|s| s.after.contains(&state.name));
            if !reached {
                problems.add(span, ProblemCode::State, format!("{} is never reached", state.name));
            }
            let ends = |name: &String| cycle.states.get(name).is_some_and(|s| s.next.is_empty());
            if !ends(&state.name) && !state.after.iter().any(ends) {
                let detail = format!("{} is in a circle that has no way out", state.name);
                problems.add(span, ProblemCode::State, detail);
            }
        }
        Some(cycle)
    }

    fn state(
        &mut self,
        spec: StateSpec,
        span: &std::ops::Range<usize>,
        agencies: &BTreeSet<String>,
        problems: &mut Problems<'_>,
    ) {
        let upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if spec.name.is_empty() || spec.name.len() > 40 || !spec.name.bytes().all(upper) {
            problems.add(span, ProblemCode::Name, "a state's name is 1 to 40 of A-Z, 0-9 and _");
        }
        if spec.start && !self.start.is_empty() {
            problems.add(span, ProblemCode::State, "two states are the start");
        }
        if spec.note && (spec.start || !spec.next.is_empty()) {
            problems.add(span, ProblemCode::State, "what is only noted is no start and leads nowhere");
        }
        if spec.start {
            self.start.clone_from(&spec.name);
        }
        for receipt in &spec.receipts {
            let Some((agency, code)) =
                receipt.split_once(':').filter(|(a, c)| !a.is_empty() && !c.is_empty())
            else {
                problems.add(span, ProblemCode::State, format!("{receipt:?}: AGENCY:CODE is needed"));
                continue;
            };
            if !agencies.contains(agency) {
                let detail = format!("{agency} gets no part of the document and sends no receipts");
                problems.add(span, ProblemCode::Reference, detail);
            }
            let key = (agency.to_owned(), code.to_owned());
            if self.receipts.insert(key, spec.name.clone()).is_some() {
                problems.add(span, ProblemCode::State, format!("receipt {receipt} has two meanings"));
            }
        }
        let state = StateOf {
            name: spec.name.clone(),
            title: Title { zh: spec.zh, en: spec.en },
            note: spec.note,
            next: spec.next,
            agency: spec.agency,
            after: BTreeSet::new(),
        };
        if self.states.insert(spec.name.clone(), state).is_some() {
            problems.add(span, ProblemCode::Twice, format!("state {} is declared twice", spec.name));
        }
    }

    /// Fills in what can follow each state.
    fn close(&mut self) {
        let names: Vec<String> = self.states.keys().cloned().collect();
        for name in names {
            let (mut after, mut open) = (BTreeSet::new(), vec![name.clone()]);
            while let Some(from) = open.pop() {
                for next in self.states.get(&from).map(|s| s.next.clone()).unwrap_or_default() {
                    if after.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            if let Some(state) = self.states.get_mut(&name) {
                state.after = after;
            }
        }
    }
}

/// The overall state from those of the agencies and their parts in it: a pure function, documents §2.2.
pub fn overall(agencies: &[(Role, AgencyState)]) -> crate::State {
    use AgencyState::{Accepted, Done, Rejected};
    let mandatory = |role: Role| matches!(role, Role::Lead | Role::Mandatory);
    if agencies.iter().any(|(role, state)| *role == Role::Lead && *state == Rejected) {
        return crate::State::Rejected;
    }
    let mut asked = agencies.iter().filter(|(role, _)| mandatory(*role)).peekable();
    if asked.clone().any(|(_, state)| *state == Rejected) {
        return crate::State::PartlyRejected;
    }
    if asked.peek().is_some() && asked.all(|(_, state)| matches!(state, Accepted | Done)) {
        return crate::State::Accepted;
    }
    match agencies.iter().any(|(_, state)| *state >= AgencyState::Received) {
        true => crate::State::InProcess,
        false => crate::State::Dispatched,
    }
}

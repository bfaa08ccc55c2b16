//! What a document says of a consignment's way, by the declarations of its pack: a pure function of the stored body.

use crate::json::{JsonError, Node};
use crate::pack::DocumentType;
use crate::relations::Asked;
use crate::tables::Tables;
use eport_expression::{Frame, Source, parse_instant};
use eport_model::Timestamp;
use eport_timeliness::{Consignment, DIMENSIONS, Direction};

/// Values of one key in one document at most.
const VALUES_MAX: usize = 1_024;

/// What makes a document tell of milestones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger<'t> {
    /// Its acceptance.
    Acceptance,
    /// It entered a state.
    State(&'t str),
}

/// A milestone that was passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Its code.
    pub code: String,
    /// `kind:value` of what passed it; `None`: the document's own consignment.
    pub subjects: Option<Vec<String>>,
    /// When, in seconds since 1970; `None`: at the time of its cause.
    pub at: Option<i64>,
    /// How good a source this is.
    pub rank: u8,
}

/// An event that somebody uploaded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uploaded {
    /// Milestone code.
    pub milestone: String,
    /// `kind:value`.
    pub subject: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// The system within the source's organisation.
    pub system: String,
    /// Its number there.
    pub event: String,
    /// Where; empty: not told.
    pub place: String,
    /// The event it corrects, and the one it takes back.
    pub corrects: Option<String>,
    /// See `corrects`.
    pub retracts: Option<String>,
    /// How good a source this is.
    pub rank: u8,
}

/// Everything a document says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Passage {
    /// Milestones of the trigger.
    pub passed: Vec<Passed>,
    /// The consignment that it is, with its document's number still empty.
    pub consignment: Option<Consignment>,
    /// The event that it is.
    pub uploaded: Option<Uploaded>,
}

impl DocumentType {
    /// True when documents of this type say anything of a consignment's way.
    pub fn tells(&self) -> bool {
        !self.milestones.is_empty() || self.consignment.is_some() || self.upload.is_some()
    }

    /// What a stored document says: `shown` is the whole document as readers are shown it.
    pub fn passage(
        &self,
        shown: &[u8],
        trigger: Trigger<'_>,
        tables: &dyn Tables,
        at: Timestamp,
    ) -> Result<Passage, JsonError> {
        let root = Node::parse(shown)?;
        let Some(body) = (&root).member("body") else { return Ok(Passage::default()) };
        let mut asked = Asked::new(self, tables, at);
        let frame = [Frame { value: body, index: 0 }];
        let (mut out, offset) = (Passage::default(), self.pack.utc_offset_minutes);
        let state = match trigger {
            Trigger::Acceptance => None,
            Trigger::State(state) => Some(state),
        };
        for m in self.milestones.iter().filter(|m| m.state.as_deref() == state) {
            if m.when.as_ref().is_some_and(|w| w.holds(&frame, &mut asked) != Ok(true)) {
                continue;
            }
            let subjects = m.subject.as_ref().map(|field| {
                let kind = m.of.as_deref().unwrap_or(field);
                keys(body, field).into_iter().map(|v| format!("{kind}:{v}")).collect()
            });
            let time = m.time.as_ref().map(|field| values(body, field));
            let at = time.as_ref().and_then(|t| t.first()).and_then(|t| seconds(t, offset));
            if m.time.is_none() || at.is_some() {
                out.passed.push(Passed { code: m.code.clone(), subjects, at, rank: m.rank });
            }
        }
        if let (Some(c), Trigger::Acceptance) = (&self.consignment, trigger) {
            let import = c.import.holds(&frame, &mut asked) == Ok(true);
            let keys = c
                .joins
                .iter()
                .flat_map(|(kind, field)| keys(body, field).into_iter().map(move |v| format!("{kind}:{v}")));
            let mut dimensions: [String; DIMENSIONS.len()] = Default::default();
            for (d, field, first) in &c.by {
                let value = values(body, field).into_iter().next().unwrap_or_default();
                dimensions[*d] = value.chars().take(*first).collect();
            }
            let direction = if import { Direction::Import } else { Direction::Export };
            out.consignment =
                Some(Consignment { document: String::new(), direction, keys: keys.collect(), dimensions });
        }
        if let (Some(u), Trigger::Acceptance) = (&self.upload, trigger) {
            let text = |field: &str| values(body, field).into_iter().next();
            let also = |field: &Option<String>| field.as_deref().and_then(text);
            let needed = (text(&u.milestone), text(&u.kind), text(&u.subject), text(&u.time));
            if let (Some(milestone), Some(kind), Some(subject), Some(time)) = needed {
                out.uploaded = seconds(&time, offset).map(|at| Uploaded {
                    milestone,
                    subject: format!("{kind}:{subject}"),
                    at,
                    system: text(&u.system).unwrap_or_default(),
                    event: text(&u.event).unwrap_or_default(),
                    place: also(&u.place).unwrap_or_default(),
                    corrects: also(&u.corrects),
                    retracts: also(&u.retracts),
                    rank: u.rank,
                });
            }
        }
        Ok(out)
    }
}

/// The keys at a path; `a+b` is one key of two fields.
pub(crate) fn keys(body: &Node<'_>, path: &str) -> Vec<String> {
    let mut parts = path.split('+');
    let Some((first, rest)) = parts.next().map(|first| (first, parts.collect::<Vec<_>>())) else {
        return Vec::new();
    };
    if rest.is_empty() {
        return values(body, first);
    }
    let one = |field: &str| values(body, field).into_iter().next();
    let whole: Option<Vec<String>> = [first].into_iter().chain(rest).map(one).collect();
    whole.map(|parts| parts.join("*")).into_iter().collect()
}

fn seconds(text: &str, offset_minutes: i32) -> Option<i64> {
    parse_instant(text, offset_minutes).map(|t: Timestamp| t.as_millis().div_euclid(1_000))
}

/// The texts at a path; lists are passed through to their items.
pub(crate) fn values(body: &Node<'_>, path: &str) -> Vec<String> {
    let mut found = vec![body];
    for name in path.split('.') {
        found = found.into_iter().flat_map(flat).filter_map(|n| n.member(name)).take(VALUES_MAX).collect();
    }
    let text = |n: &Node<'_>| n.text().map(str::to_owned).or_else(|| n.whole().map(|w| w.to_string()));
    found.into_iter().flat_map(flat).filter_map(text).take(VALUES_MAX).collect()
}

pub(crate) fn flat<'n, 'a>(node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    match node {
        Node::List(items) => items.iter().take(VALUES_MAX).collect(),
        other => vec![other],
    }
}

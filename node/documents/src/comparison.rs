//! Carries comparisons out: a document, the records it is compared with, and what its pack says must hold between them. A core:
//! whoever keeps the records hands them in.

use crate::json::Node;
use crate::pack::{CheckPoint, Comparison, CrossCheck, Test};
use crate::passage::{flat, keys, values};
use crate::relations::{Asked, Walk, walk};
use crate::{Failure, InForce, Packs, TableVersion, Tables};
use eport_expression::{Frame, Source};
use eport_model::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Numbers of one record that are looked up at most.
const LOOKED_UP_MAX: usize = 64;

/// A record that a document may be compared with: its newest version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Other {
    /// Its type.
    pub doc_type: String,
    /// Its number.
    pub doc_id: String,
    /// Its version.
    pub doc_version: u32,
    /// Who lodged it.
    pub lodged_by: String,
    /// Its state: of the type's own life cycle where it has one, else of documents in general.
    pub state: String,
    /// When this version was accepted, RFC 3339.
    pub received_at: String,
    /// The whole document as readers are shown it.
    pub shown: Vec<u8>,
}

/// Records could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("records to compare with cannot be read: {0}")]
pub struct Unread(pub String);

/// Records of others by number.
pub trait Records {
    /// Records of these types that are known by a number of this kind, the newest first; one more than `most` says that there
    /// are more. What was withdrawn or rejected is none.
    fn find(&self, types: &[String], kind: &str, number: &str, most: usize) -> Result<Vec<Other>, Unread>;
}

/// How a comparison ended: the worst of its tests, cross-checks §1.2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// Everything holds.
    Pass,
    /// It passes with a warning.
    Warn,
    /// The other record is not here yet.
    Wait,
    /// Something does not hold.
    Fail,
}

impl Outcome {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::Warn => "WARN",
            Outcome::Wait => "WAIT",
            Outcome::Fail => "FAIL",
        }
    }
}

/// What one comparison of one record of a document came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compared {
    /// Its number in the domain's list.
    pub rule: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What does not hold, with codes.
    pub failures: Vec<Failure>,
    /// The records looked at: number and version.
    pub records: Vec<(String, u32)>,
    /// How long it waits for a record that is not here.
    pub wait_hours: u32,
}

/// Everything a document is compared with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparisons {
    /// One entry a comparison and record, in the order of the pack.
    pub items: Vec<Compared>,
    /// Table versions that the tests asked.
    pub tables: Vec<TableVersion>,
}

impl Comparisons {
    /// What refuses the document, and what warns; sorted by place, then code.
    pub fn verdict(self) -> (Vec<Failure>, Vec<Failure>) {
        let mut all: Vec<Failure> = self.items.into_iter().flat_map(|c| c.failures).collect();
        all.sort_by(|a, b| (&a.path, &a.code).cmp(&(&b.path, &b.code)));
        all.dedup();
        all.into_iter().partition(|f| !f.code.starts_with("W-"))
    }
}

impl Packs {
    /// True when documents of this type are compared with anything at this point.
    pub fn compares(&self, doc_type: &str, point: CheckPoint) -> bool {
        let Some(kind) = self.get(doc_type) else { return false };
        let at = |c: &Comparison| kind.cross_checks.get(c.check).is_some_and(|k| k.points.contains(&point));
        self.comparisons(doc_type).iter().any(at)
    }

    /// Compares a document with the records it names; `shown` is the whole document as readers are shown it. `None` as point
    /// carries every comparison out.
    pub fn compare(
        &self,
        doc_type: &str,
        shown: &[u8],
        point: Option<CheckPoint>,
        records: &dyn Records,
        tables: &dyn Tables,
        at: Timestamp,
    ) -> Result<Comparisons, Unread> {
        let mut out = Comparisons::default();
        let Some(kind) = self.get(doc_type) else { return Ok(out) };
        let root = Node::parse(shown).map_err(|e| Unread(e.to_string()))?;
        let Some(body) = (&root).member("body") else { return Ok(out) };
        let mut asked = Asked::new(kind, tables, at);
        for comparison in self.comparisons(doc_type) {
            let Some(check) = kind.cross_checks.get(comparison.check) else { continue };
            if point.is_some_and(|p| !check.points.contains(&p)) {
                continue;
            }
            let (mut items, mut unread, mut unused) = (Vec::new(), None, Vec::new());
            walk(body, &check.scope, &mut asked, &mut unused, &mut |w| {
                if unread.is_some() || check.when.as_ref().is_some_and(|when| w.holds(when) != Some(true)) {
                    return;
                }
                match one(w, check, comparison, records) {
                    Ok(found) => items.extend(found),
                    Err(e) => unread = Some(e),
                }
            });
            match unread {
                Some(e) => return Err(e),
                None => out.items.extend(items),
            }
        }
        let tables = asked.seen.into_iter().filter_map(|(_, state)| match state {
            InForce::Version(version) => Some(version),
            InForce::NotPublished | InForce::NotHere => None,
        });
        out.tables = tables.collect();
        Ok(out)
    }
}

/// Compares one record of the scope; `None` where it names nothing to compare with.
fn one(
    w: &mut Walk<'_, '_, '_>,
    check: &CrossCheck,
    comparison: &Comparison,
    records: &dyn Records,
) -> Result<Option<Compared>, Unread> {
    let own: BTreeMap<&str, BTreeSet<String>> =
        check.keys.keys().map(|field| (field.as_str(), named(w, field))).collect();
    if own.values().any(BTreeSet::is_empty) {
        return Ok(None);
    }
    let (field, kind, _) = &comparison.found_by;
    let mut found: BTreeMap<String, Other> = BTreeMap::new();
    let mut more = false;
    let numbers = own.get(field.as_str()).into_iter().flatten().filter_map(|n| crate::pack::number(n));
    for number in numbers.take(LOOKED_UP_MAX) {
        let some = records.find(&check.with, kind, &number, check.most)?;
        more |= some.len() > check.most;
        found.extend(some.into_iter().map(|o| (o.doc_id.clone(), o)));
    }
    let parsed: Vec<(&Other, Node<'_>)> = found
        .values()
        .map(|o| Node::parse(&o.shown).map(|n| (o, n)).map_err(|e| Unread(format!("{}: {e}", o.doc_id))))
        .collect::<Result<_, _>>()?;
    let (mut seen, mut looked_at) = (Vec::new(), Vec::new());
    for (other, root) in &parsed {
        let Some(body) = root.member("body") else { continue };
        let parts = matching(body, check, &own);
        if !parts.is_empty() {
            looked_at.push((other.doc_id.clone(), other.doc_version));
        }
        seen.extend(parts.into_iter().map(|part| record(other, body, part)));
    }
    let mut out = Compared {
        rule: check.rule.clone(),
        outcome: Outcome::Pass,
        failures: Vec::new(),
        records: looked_at,
        wait_hours: check.wait_hours,
    };
    let before = w.failed();
    if seen.is_empty()
        && let Some(code) = &check.missing
    {
        w.fail(&[], code, format!("{}: no record to compare with: {}", check.rule, check.with.join(", ")));
        out.outcome = if check.wait_hours > 0 { Outcome::Wait } else { Outcome::Pass };
    } else if more || seen.len() > check.most {
        let code = check.missing.iter().chain(comparison.tests.iter().map(|t| &t.code)).next();
        let detail = format!("{}: more than {} records match", check.rule, check.most);
        w.fail(&[], code.map_or("E-XC-STATE", String::as_str), detail);
    } else {
        tested(w, check, &comparison.tests, seen);
    }
    out.failures = w.failures_since(before);
    let worst =
        out.failures.iter().map(|f| if f.code.starts_with("W-") { Outcome::Warn } else { Outcome::Fail });
    out.outcome = worst.max().unwrap_or(Outcome::Pass).max(out.outcome);
    Ok(Some(out))
}

/// Asks the tests.
fn tested(w: &mut Walk<'_, '_, '_>, check: &CrossCheck, tests: &[Test], seen: Vec<Node<'_>>) {
    let compared = Node::Object(vec![(Cow::Borrowed("others"), Node::List(seen))]);
    let mut frames: Vec<Frame<&Node<'_>>> = Vec::with_capacity(w.frames.len() + 1);
    for (n, frame) in w.frames.iter().enumerate() {
        frames.push(Frame { value: frame.value, index: frame.index });
        if n == 0 {
            frames.push(Frame { value: &compared, index: 0 });
        }
    }
    let mut failed = Vec::new();
    for test in tests {
        let asked = test.when.as_ref().is_none_or(|when| when.holds(&frames, w.asked) == Ok(true));
        if asked && test.check.holds(&frames, w.asked) == Ok(false) {
            failed.push(test);
        }
    }
    for test in failed {
        w.fail(&test.at, &test.code, format!("{}: {}", check.rule, test.title.en));
    }
}

/// The texts of a field of the innermost record, else of the body.
fn named(w: &Walk<'_, '_, '_>, field: &str) -> BTreeSet<String> {
    let of = |frame: Option<&Frame<&Node<'_>>>| {
        let found = frame.map(|f| keys(f.value, field)).unwrap_or_default();
        found.into_iter().collect::<BTreeSet<String>>()
    };
    let inner = of(w.frames.last());
    if inner.is_empty() { of(w.frames.first()) } else { inner }
}

/// The items of the other that fit every key, or the whole of it once: `None` stands for the whole.
fn matching<'n>(
    body: &'n Node<'n>,
    check: &CrossCheck,
    own: &BTreeMap<&str, BTreeSet<String>>,
) -> Vec<Option<&'n Node<'n>>> {
    let mut whole = true;
    for (field, other) in &check.keys {
        if check.part.as_deref().is_some_and(|p| strip(other, p).is_some()) {
            continue;
        }
        let theirs = keys(body, other);
        whole &= own.get(field.as_str()).is_some_and(|ours| theirs.iter().any(|t| ours.contains(t)));
    }
    let Some(part) = check.part.as_deref().filter(|_| whole) else {
        return if whole { vec![None] } else { Vec::new() };
    };
    let mut items = vec![body];
    for name in part.split('.') {
        items = items.into_iter().flat_map(flat).filter_map(|n| n.member(name)).collect();
    }
    let fits = |item: &&Node<'_>| {
        check.keys.iter().all(|(field, other)| {
            let Some(inner) = strip(other, part) else { return true };
            let theirs = values(item, inner);
            own.get(field.as_str()).is_some_and(|ours| theirs.iter().any(|t| ours.contains(t)))
        })
    };
    let items = items.into_iter().flat_map(flat);
    items.filter(fits).map(Some).collect()
}

/// A path inside a list: `bills.master_bill` in `bills` is `master_bill`.
fn strip<'p>(path: &'p str, part: &str) -> Option<&'p str> {
    path.strip_prefix(part).and_then(|rest| rest.strip_prefix('.'))
}

/// What expressions see of a record.
fn record<'n>(other: &'n Other, body: &'n Node<'n>, part: Option<&'n Node<'n>>) -> Node<'n> {
    let word = |text: &'n str| Node::Text(Cow::Borrowed(text));
    let mut members = vec![
        (Cow::Borrowed("doc_type"), word(&other.doc_type)),
        (Cow::Borrowed("doc_id"), word(&other.doc_id)),
        (Cow::Borrowed("lodged_by"), word(&other.lodged_by)),
        (Cow::Borrowed("state"), word(&other.state)),
        (Cow::Borrowed("received_at"), word(&other.received_at)),
        (Cow::Borrowed("record"), body.clone()),
    ];
    members.extend(part.map(|p| (Cow::Borrowed("part"), p.clone())));
    Node::Object(members)
}

//! Comparisons with records of others (联网核查), as a pack declares them and as the packs in force together can carry them out:
//! the expressions of a comparison are compiled where the fields of both sides are known.

use super::problem::{Problem, ProblemCode};
use super::rules::{Compiler, Path, Scope, path};
use super::spec::{CrossCheckSpec, TestSpec};
use super::{COST_MAX, DocumentType, Title, is_name, shape};
use eport_expression::{Digits, Expression, Kind, Member, Shape};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

/// Most records that one comparison looks at.
const RECORDS_MAX: usize = 64;
/// Most tests of a comparison.
const TESTS_MAX: usize = 40;
/// Longest text about a record that is no field of it.
const WORD_MAX: u32 = 80;

/// When a comparison runs: cross-checks §1.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckPoint {
    /// On save or on request, without effect.
    Precheck,
    /// Before it is accepted.
    Submit,
    /// When it is accepted; reserves.
    Acceptance,
    /// When the goods are released; commits.
    Release,
    /// When it is amended or withdrawn.
    Amendment,
}

/// A comparison with a record of another agency.
#[derive(Debug)]
pub struct CrossCheck {
    /// Its number in the domain's list.
    pub rule: String,
    /// Document types it compares with.
    pub with: Vec<String>,
    /// The list whose items are compared, as the pack writes it.
    pub each: Option<String>,
    /// One comparison for each record here.
    pub(crate) scope: Scope,
    /// Own field → field of the other.
    pub keys: BTreeMap<String, String>,
    /// The list of the other whose matching items are looked at.
    pub part: Option<String>,
    /// Records that are looked at, at most.
    pub most: usize,
    /// When it runs.
    pub points: Vec<CheckPoint>,
    /// Failure codes it may give.
    pub codes: Vec<String>,
    /// Only where this holds.
    pub when: Option<Expression>,
    /// How long it waits for the other record before that is a failure.
    pub wait_hours: u32,
    /// What it says where there is no such record.
    pub missing: Option<String>,
    /// What must hold, as the pack writes it.
    pub(crate) tests: Vec<Written>,
    /// Shapes of the records of the scope, the innermost last.
    shapes: Vec<Shape>,
    /// How many records of the scope there are at most.
    times: u64,
    /// Line and column of its declaration.
    pub(crate) place: (usize, usize),
}

/// A test before the fields of the other side are known.
#[derive(Debug)]
pub(crate) struct Written {
    title: Title,
    when: Option<String>,
    check: String,
    code: String,
    at: Path,
    place: (usize, usize),
}

/// What must hold between a document and the records it is compared with.
#[derive(Debug)]
pub struct Test {
    /// What it says, for people.
    pub title: Title,
    /// It is asked only where this holds.
    pub when: Option<Expression>,
    /// What must hold.
    pub check: Expression,
    /// The failure's code; `W-` warns.
    pub code: String,
    /// The field that the failure names, from the record on.
    pub(crate) at: Path,
}

/// A comparison that the packs in force together can carry out.
#[derive(Debug)]
pub struct Comparison {
    /// Its place among the document type's comparisons.
    pub check: usize,
    /// How the others are found: the own field, the kind of number, and the other's field that holds it.
    pub found_by: (String, String, String),
    /// What must hold.
    pub tests: Vec<Test>,
}

impl CrossCheck {
    pub(super) fn described(&self) -> Value {
        let tests = self.tests.iter().map(|t| {
            json!({ "title": { "zh": t.title.zh, "en": t.title.en }, "when": t.when, "check": t.check,
                "code": t.code, "at": t.at.join(".") })
        });
        json!({
            "with": self.with, "each": self.each, "keys": self.keys, "part": self.part, "most": self.most,
            "points": self.points.iter().map(|p| format!("{p:?}").to_lowercase()).collect::<Vec<_>>(),
            "codes": self.codes, "when": self.when.as_ref().map(Expression::text),
            "wait_hours": self.wait_hours, "missing": self.missing, "tests": tests.collect::<Vec<_>>(),
        })
    }
}

fn is_code(code: &str) -> bool {
    (code.starts_with("E-") || code.starts_with("W-"))
        && code.len() <= 40
        && code.bytes().all(|b| b.is_ascii_graphic())
}

impl Compiler<'_, '_> {
    pub(super) fn cross_checks(&mut self, specs: Vec<Spanned<CrossCheckSpec>>) -> Vec<CrossCheck> {
        let mut out = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let Some(opened) = self.open(spec.each.as_ref()) else { continue };
            for own in spec.keys.keys() {
                self.field(own, &opened, &span);
            }
            if spec.with.is_empty() || spec.keys.is_empty() || spec.points.is_empty() {
                let detail = "a comparison names with what, by which keys and at which points";
                self.problems.add(&span, ProblemCode::Rule, detail);
            }
            self.bounds(&spec, &span);
            let when = spec.when.as_ref().and_then(|text| self.condition(text, &opened));
            let tests = spec.test.into_iter().map(|t| self.written(t, &opened.shapes)).collect();
            out.push(CrossCheck {
                rule: spec.rule,
                with: spec.with,
                each: spec.each.map(Spanned::into_inner),
                keys: spec.keys,
                part: spec.part,
                most: spec.most,
                points: spec.points,
                codes: spec.codes,
                when,
                wait_hours: spec.wait_hours,
                missing: spec.missing,
                tests,
                shapes: opened.shapes.iter().map(|s| (*s).clone()).collect(),
                times: opened.times,
                scope: opened.scope,
                place: self.problems.place(&span),
            });
        }
        out
    }

    fn bounds(&mut self, spec: &CrossCheckSpec, span: &Range<usize>) {
        if !(1..=RECORDS_MAX).contains(&spec.most) || spec.test.len() > TESTS_MAX {
            let detail =
                format!("a comparison looks at 1 to {RECORDS_MAX} records, with {TESTS_MAX} tests at most");
            self.problems.add(span, ProblemCode::Size, detail);
        }
        let mut wrong = |detail: String| self.problems.add(span, ProblemCode::Rule, detail);
        let given: Vec<&String> =
            spec.missing.iter().chain(spec.test.iter().map(|t| &t.get_ref().code)).collect();
        for code in given {
            if !is_code(code) {
                wrong(format!("{code:?} is no failure code: E-… refuses, W-… warns"));
            } else if !spec.codes.contains(code) {
                wrong(format!("{code} is none of the codes that the comparison names"));
            }
        }
        if spec.wait_hours > 0 && spec.missing.as_ref().is_some_and(|code| code.starts_with("E-")) {
            wrong("what is waited for warns: missing is W-… where wait_hours are given".into());
        }
    }

    fn written(&mut self, spec: Spanned<TestSpec>, shapes: &[&Shape]) -> Written {
        let (span, spec) = (spec.span(), spec.into_inner());
        let inner = shapes.last().copied().unwrap_or(self.body);
        if let Some(at) = spec.at.as_ref().filter(|at| shape::at(inner, at).is_none()) {
            self.problems.add(&span, ProblemCode::Reference, format!("there is no field {at:?}"));
        }
        Written {
            title: Title { zh: spec.zh, en: spec.en },
            when: spec.when.map(Spanned::into_inner),
            place: self.problems.place(&spec.check.span()),
            check: spec.check.into_inner(),
            code: spec.code,
            at: spec.at.as_deref().map(path).unwrap_or_default(),
        }
    }
}

/// What is compared: a problem's place, kind and words.
pub(super) type Wrong = ((usize, usize), ProblemCode, String);

/// The comparisons of a document type that can be carried out with these other types; those without tests cannot.
pub(super) fn comparisons(
    document: &DocumentType,
    types: &BTreeMap<Arc<str>, Arc<DocumentType>>,
    wrong: &mut Vec<Wrong>,
) -> Vec<Comparison> {
    let (mut out, mut cost) = (Vec::new(), 0u64);
    for (n, check) in document.cross_checks.iter().enumerate() {
        let others: Vec<&Arc<DocumentType>> =
            check.with.iter().filter_map(|t| types.get(t.as_str())).collect();
        let bodies: Vec<Shape> = others.iter().map(|o| shape::record(&o.fields)).collect();
        for (other, body) in others.iter().zip(&bodies) {
            for key in check.keys.values().filter(|k| shape::at(body, k).is_none()) {
                let detail = format!("{} has no field {key:?}", other.doc_type);
                wrong.push((check.place, ProblemCode::Reference, detail));
            }
        }
        // A pack that is not in force has nothing to compare with.
        if others.is_empty() || check.tests.is_empty() && check.missing.is_none() {
            continue;
        }
        let by = check.keys.iter().find_map(|(own, other)| {
            let kind =
                |o: &Arc<DocumentType>| o.known_by.iter().find(|(_, f)| f == other).map(|(k, _)| k.clone());
            let kinds: Option<Vec<String>> = others.iter().map(|o| kind(o)).collect();
            Some((own.clone(), kinds?.into_iter().next()?, other.clone()))
        });
        let Some(found_by) = by else {
            let detail = format!("none of the keys is a number by which {} is known", check.with.join(", "));
            wrong.push((check.place, ProblemCode::Reference, detail));
            continue;
        };
        let Some(record) = seen(check, &bodies) else {
            let detail = format!("part {:?} is no list of {}", check.part, check.with.join(", "));
            wrong.push((check.place, ProblemCode::Reference, detail));
            continue;
        };
        let Ok(most) = u64::try_from(check.most) else { continue };
        let list = Shape::List { max: most, item: Box::new(record) };
        let compared = Shape::Record(vec![member("others", true, list)]);
        let mut shapes: Vec<&Shape> = check.shapes.iter().collect();
        shapes.insert(1.min(shapes.len()), &compared);
        let mut tests = Vec::with_capacity(check.tests.len());
        for t in &check.tests {
            let mut read = |text: &str| match Expression::condition(text, &shapes, &document.pack.environment)
            {
                Ok(expression) => {
                    cost = cost.saturating_add(check.times.saturating_mul(expression.cost()));
                    Some(expression)
                }
                Err(e) => {
                    let detail = format!("character {} of {text:?}: {}", e.at + 1, e.detail);
                    wrong.push((t.place, ProblemCode::Expression(e.code), detail));
                    None
                }
            };
            let (when, check) = (t.when.as_deref().map(&mut read), read(&t.check));
            let (Some(check), None | Some(Some(_))) = (check, &when) else { continue };
            let (title, code) = (t.title.clone(), t.code.clone());
            tests.push(Test { title, when: when.flatten(), check, code, at: t.at.clone() });
        }
        if cost > COST_MAX {
            let detail = format!("the comparisons up to here may take {cost} steps, {COST_MAX} are allowed");
            wrong.push((check.place, ProblemCode::Size, detail));
            return out;
        }
        out.push(Comparison { check: n, found_by, tests });
    }
    out
}

fn member(name: &str, always: bool, shape: Shape) -> Member {
    Member { name: name.into(), always, shape }
}

/// What an expression sees of one record: what all types that are compared with have in common.
fn seen(check: &CrossCheck, bodies: &[Shape]) -> Option<Shape> {
    let (first, rest) = bodies.split_first()?;
    let body = rest.iter().try_fold(first.clone(), |a, b| common(&a, b))?;
    let word = || Shape::Value(Kind::Text { max: WORD_MAX });
    let mut members = vec![
        member("doc_type", true, word()),
        member("doc_id", true, word()),
        member("lodged_by", true, word()),
        member("state", true, word()),
        member("received_at", true, Shape::Value(Kind::Instant)),
    ];
    if let Some(part) = &check.part {
        let Some(Shape::List { item, .. }) = shape::at(&body, part) else { return None };
        members.push(member("part", true, (**item).clone()));
    }
    members.push(member("record", true, body));
    debug_assert!(members.iter().all(|m| is_name(&m.name)));
    Some(Shape::Record(members))
}

/// What two shapes have in common.
fn common(a: &Shape, b: &Shape) -> Option<Shape> {
    Some(match (a, b) {
        (Shape::Value(Kind::Text { max: a }), Shape::Value(Kind::Text { max: b })) => {
            Shape::Value(Kind::Text { max: *a.max(b) })
        }
        (Shape::Value(Kind::Number(a)), Shape::Value(Kind::Number(b))) => {
            let (whole, fraction) = (a.whole.max(b.whole), a.fraction.max(b.fraction));
            Shape::Value(Kind::Number(Digits { whole, fraction }))
        }
        (Shape::Value(a), Shape::Value(b)) if a == b => Shape::Value(*a),
        (Shape::List { max: a, item: x }, Shape::List { max: b, item: y }) => {
            Shape::List { max: *a.max(b), item: Box::new(common(x, y)?) }
        }
        (Shape::Record(a), Shape::Record(b)) => {
            let both = a.iter().filter_map(|m| {
                let other = b.iter().find(|o| o.name == m.name)?;
                Some(member(&m.name, m.always && other.always, common(&m.shape, &other.shape)?))
            });
            Shape::Record(both.collect())
        }
        _ => return None,
    })
}

pub(super) fn problem(document: &DocumentType, (place, code, detail): Wrong) -> Problem {
    let file = format!("{}/pack.toml", document.pack.name);
    Problem { file, line: place.0, column: place.1, code, detail }
}

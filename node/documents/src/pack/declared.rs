//! What a pack declares about a document beyond its fields: recipients, milestones, comparisons, accounts, figures.

use super::problem::ProblemCode;
use super::rules::{Compiler, Opened, Scope};
use super::spec::{
    BySpec, ConsignmentSpec, LedgerSpec, MilestoneSpec, RecipientSpec, StatisticSpec, UploadSpec,
};
use super::{LifeCycle, Title};
use eport_expression::{Expression, Kind, Shape};
use eport_timeliness::DIMENSIONS;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;

/// What an agency's answer counts for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its refusal refuses the document.
    Lead,
    /// It must accept.
    Mandatory,
    /// It may answer; nothing waits for it.
    Optional,
}

/// Who gets a document, and which part of it.
#[derive(Debug)]
pub struct Recipient {
    /// The agency, a key of the table of agencies.
    pub agency: String,
    /// What its answer counts for.
    pub role: Role,
    /// Groups whose fields it gets in full.
    pub full: BTreeSet<char>,
    /// Groups whose key fields it gets.
    pub key: BTreeSet<char>,
    /// It gets the document only where this holds.
    pub when: Option<Expression>,
    /// The state in which it gets it; `None` when it is accepted.
    pub after: Option<String>,
}

/// An event on a consignment's way.
#[derive(Debug)]
pub struct Milestone {
    /// Its code.
    pub code: String,
    /// The state whose entry it is; `None`: acceptance of the document.
    pub state: Option<String>,
    /// The field that holds its time; `None`: the time of its cause.
    pub time: Option<String>,
    /// The field that names what passed it; `None`: the document itself.
    pub subject: Option<String>,
    /// What kind of key the subject is; `None`: the field's own name.
    pub of: Option<String>,
    /// How good a source this is; the smallest counts.
    pub rank: u8,
    /// Only where this holds.
    pub when: Option<Expression>,
}

/// What of a document is a consignment whose times are measured (timeliness.md §2).
#[derive(Debug)]
pub struct Consignment {
    /// Holds for an import; else it is an export.
    pub import: Expression,
    /// Kind of key → field: milestones of these keys are the consignment's.
    pub joins: BTreeMap<String, String>,
    /// A dimension's place, the field of its value, and how many of its first characters.
    pub by: Vec<(usize, String, usize)>,
    /// The states in which duties are to be paid.
    pub dutiable_on: Vec<String>,
    /// The states in which it is no sample any more.
    pub void_on: Vec<String>,
}

/// The fields of a document that is an uploaded event (timeliness.md §1.1).
#[derive(Debug)]
pub struct Upload {
    /// Its milestone.
    pub milestone: String,
    /// What kind of key its subject is.
    pub kind: String,
    /// What passed it.
    pub subject: String,
    /// When.
    pub time: String,
    /// The system within the source's organisation.
    pub system: String,
    /// Its number there.
    pub event: String,
    /// Where.
    pub place: Option<String>,
    /// The event it corrects.
    pub corrects: Option<String>,
    /// The event it takes back.
    pub retracts: Option<String>,
    /// How good a source it is.
    pub rank: u8,
}

/// What a document writes into an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerEntry {
    /// It grants the quantity.
    Grant,
    /// It reserves the quantity.
    Reserve,
    /// It changes the quantity granted.
    Adjust,
}

/// Entries a document makes in accounts.
#[derive(Debug)]
pub struct Ledger {
    /// The account book.
    pub name: String,
    /// The entry.
    pub entry: LedgerEntry,
    /// One entry for each record here.
    pub scope: Scope,
    /// Fields that name the account.
    pub account: Vec<String>,
    /// How much.
    pub quantity: Expression,
    /// The field of its unit.
    pub unit: Option<String>,
    /// Only where this holds.
    pub when: Option<Expression>,
    /// Of a grant: by how much a last batch may exceed what is left, as a fraction.
    pub tolerance: Option<Expression>,
    /// Of a grant: how many documents may use it.
    pub uses: Option<Expression>,
    /// Of a grant: the field of the enterprise it is granted to.
    pub holder: Option<String>,
    /// Of a grant: fields of its first and its last day.
    pub valid: Option<[String; 2]>,
    /// The state that commits what was reserved.
    pub commit_on: Option<String>,
    /// The states that release it.
    pub release_on: Vec<String>,
}

/// A figure made of documents.
#[derive(Debug)]
pub struct Statistic {
    /// Its name.
    pub name: String,
    /// Its name for people.
    pub title: Title,
    /// What is summed up, per document.
    pub measure: Expression,
    /// Fields it is broken down by.
    pub by: Vec<String>,
    /// Only documents where this holds.
    pub when: Option<Expression>,
}

fn is_agency(text: &str) -> bool {
    (2..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

impl Compiler<'_, '_> {
    pub(super) fn body(&mut self) -> Opened<'static> {
        Opened { scope: Scope::default(), shapes: Vec::new(), times: 1 }
    }

    pub(super) fn when(&mut self, text: Option<&Spanned<String>>) -> Option<Expression> {
        let opened = self.open(None)?;
        text.and_then(|text| self.condition(text, &opened))
    }

    pub(super) fn state(&mut self, name: Option<&String>, cycle: Option<&LifeCycle>, span: &Range<usize>) {
        if let Some(name) = name
            && cycle.is_none_or(|c| c.states.get(name).is_none_or(|s| s.note))
        {
            self.problems.add(span, ProblemCode::Reference, format!("there is no state {name:?}"));
        }
    }

    pub(super) fn recipients(
        &mut self,
        specs: Vec<Spanned<RecipientSpec>>,
        groups: &BTreeMap<char, Title>,
    ) -> Vec<(Range<usize>, Recipient)> {
        let mut out: Vec<(Range<usize>, Recipient)> = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let (full, key): (BTreeSet<char>, BTreeSet<char>) =
                (spec.full.chars().collect(), spec.key.chars().collect());
            if !is_agency(&spec.agency) {
                self.problems.add(
                    &span,
                    ProblemCode::Recipient,
                    format!("{:?} is no agency code", spec.agency),
                );
            }
            if full.is_empty() && key.is_empty() {
                self.problems.add(&span, ProblemCode::Recipient, "it gets nothing: full or key is needed");
            }
            for unknown in full.union(&key).filter(|l| !groups.contains_key(l)) {
                self.problems.add(&span, ProblemCode::Reference, format!("there is no group {unknown:?}"));
            }
            if spec.role == Role::Lead && out.iter().any(|(_, r)| r.role == Role::Lead) {
                self.problems.add(&span, ProblemCode::Recipient, "two agencies lead");
            }
            if out.iter().any(|(_, r)| r.agency == spec.agency) {
                self.problems.add(&span, ProblemCode::Twice, format!("{} is named twice", spec.agency));
            }
            let when = self.when(spec.when.as_ref());
            let recipient =
                Recipient { agency: spec.agency, role: spec.role, full, key, when, after: spec.after };
            out.push((span, recipient));
        }
        out
    }

    pub(super) fn milestones(
        &mut self,
        specs: Vec<Spanned<MilestoneSpec>>,
        cycle: Option<&LifeCycle>,
    ) -> Vec<Milestone> {
        let mut out = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let opened = self.body();
            self.state(spec.state.as_ref(), cycle, &span);
            if let Some(subject) = &spec.subject {
                for field in subject.split('+') {
                    self.field(field, &opened, &span);
                }
            } else if spec.of.is_some() {
                self.problems.add(&span, ProblemCode::Reference, "of says what kind of key a subject is");
            }
            if let Some(time) = &spec.time
                && self.field(time, &opened, &span)
                && !matches!(
                    super::shape::at(self.body, time),
                    Some(Shape::Value(Kind::Instant | Kind::Date))
                )
            {
                self.problems.add(&span, ProblemCode::Reference, format!("{time:?} is no time"));
            }
            let when = self.when(spec.when.as_ref());
            out.push(Milestone {
                code: spec.code,
                state: spec.state,
                time: spec.time,
                subject: spec.subject,
                of: spec.of,
                rank: spec.rank,
                when,
            });
        }
        out
    }

    pub(super) fn consignment(
        &mut self,
        spec: Spanned<ConsignmentSpec>,
        cycle: Option<&LifeCycle>,
    ) -> Option<Consignment> {
        let (span, spec) = (spec.span(), spec.into_inner());
        let opened = self.body();
        for state in spec.dutiable_on.iter().chain(&spec.void_on) {
            self.state(Some(state), cycle, &span);
        }
        for field in spec.joins.values().flat_map(|f| f.split('+')) {
            self.field(field, &opened, &span);
        }
        let mut by = Vec::with_capacity(spec.by.len());
        for (name, value) in spec.by {
            let (field, first) = match value {
                BySpec::Field(field) => (field, usize::MAX),
                BySpec::First { field, first } => (field, first),
            };
            self.field(&field, &opened, &span);
            match DIMENSIONS.iter().position(|d| *d == name) {
                Some(d) => by.push((d, field, first)),
                None => {
                    let detail = format!("{name:?} is none of {}", DIMENSIONS.join(", "));
                    self.problems.add(&span, ProblemCode::Reference, detail);
                }
            }
        }
        let import = self.when(Some(&spec.import))?;
        let (dutiable_on, void_on) = (spec.dutiable_on, spec.void_on);
        Some(Consignment { import, joins: spec.joins, by, dutiable_on, void_on })
    }

    pub(super) fn upload(&mut self, spec: Spanned<UploadSpec>) -> Option<Upload> {
        let (span, u) = (spec.span(), spec.into_inner());
        let opened = self.body();
        let always = [&u.milestone, &u.kind, &u.subject, &u.time, &u.system, &u.event];
        for field in always.into_iter().chain(&u.place).chain(&u.corrects).chain(&u.retracts) {
            self.field(field, &opened, &span);
        }
        if !matches!(super::shape::at(self.body, &u.time), Some(Shape::Value(Kind::Instant))) {
            self.problems.add(&span, ProblemCode::Reference, format!("{:?} is no instant", u.time));
        }
        Some(Upload {
            milestone: u.milestone,
            kind: u.kind,
            subject: u.subject,
            time: u.time,
            system: u.system,
            event: u.event,
            place: u.place,
            corrects: u.corrects,
            retracts: u.retracts,
            rank: u.rank,
        })
    }

    pub(super) fn ledgers(
        &mut self,
        specs: Vec<Spanned<LedgerSpec>>,
        cycle: Option<&LifeCycle>,
    ) -> Vec<Ledger> {
        let mut out = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let Some(opened) = self.open(spec.each.as_ref()) else { continue };
            for field in spec.account.iter().chain(&spec.unit).chain(&spec.holder) {
                self.field(field, &opened, &span);
            }
            for state in spec.commit_on.iter().chain(&spec.release_on) {
                self.state(Some(state), cycle, &span);
            }
            if spec.account.is_empty() {
                self.problems.add(&span, ProblemCode::Rule, "an account is named by at least one field");
            }
            if spec.entry == LedgerEntry::Reserve && spec.commit_on.is_none() {
                self.problems.add(&span, ProblemCode::Rule, "what is reserved is committed on a state");
            }
            let when = spec.when.as_ref().and_then(|text| self.condition(text, &opened));
            let Some(quantity) = self.number(&spec.quantity, &opened, "a quantity is a number") else {
                continue;
            };
            let terms = spec.tolerance.is_some()
                || spec.uses.is_some()
                || spec.valid.is_some()
                || spec.holder.is_some();
            if terms && spec.entry == LedgerEntry::Reserve {
                self.problems.add(&span, ProblemCode::Rule, "only a grant has terms");
            }
            for field in spec.valid.iter().flatten() {
                let date = matches!(super::shape::at(self.body, field), Some(Shape::Value(Kind::Date)));
                if self.field(field, &opened, &span) && !date {
                    self.problems.add(
                        &span,
                        ProblemCode::Reference,
                        format!("{field:?} is no date of the body"),
                    );
                }
            }
            let mut term = |text: &Option<Spanned<String>>| {
                text.as_ref().and_then(|t| self.number(t, &opened, "a term is a number"))
            };
            let (tolerance, uses) = (term(&spec.tolerance), term(&spec.uses));
            out.push(Ledger {
                tolerance,
                uses,
                valid: spec.valid,
                holder: spec.holder,
                name: spec.name,
                entry: spec.entry,
                scope: opened.scope,
                account: spec.account,
                quantity,
                unit: spec.unit,
                when,
                commit_on: spec.commit_on,
                release_on: spec.release_on,
            });
        }
        out
    }

    fn number(&mut self, text: &Spanned<String>, opened: &Opened<'_>, needed: &str) -> Option<Expression> {
        let expression = self.expression(text, opened)?;
        if !matches!(expression.kind(), Kind::Number(_)) || expression.optional() {
            self.problems.add(&text.span(), ProblemCode::Rule, needed);
        }
        Some(expression)
    }

    pub(super) fn statistics(&mut self, specs: Vec<Spanned<StatisticSpec>>) -> Vec<Statistic> {
        let mut out = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let Some(opened) = self.open(None) else { continue };
            for field in &spec.by {
                self.field(field, &opened, &span);
            }
            let when = self.when(spec.when.as_ref());
            let Some(measure) = self.expression(&spec.measure, &opened) else { continue };
            if !matches!(measure.kind(), Kind::Number(_)) {
                self.problems.add(&spec.measure.span(), ProblemCode::Rule, "a measure is a number");
            }
            let title = Title { zh: spec.zh, en: spec.en };
            out.push(Statistic { name: spec.name, title, measure, by: spec.by, when });
        }
        out
    }
}

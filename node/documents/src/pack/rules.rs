//! Rules between fields, and fields that must be there under a condition.

use super::fields::Condition;
use super::problem::{ProblemCode, Problems};
use super::spec::RuleSpec;
use super::{COST_MAX, PackHead, Title, shape};
use eport_expression::{Expression, Shape};
use std::ops::Range;
use toml::Spanned;

/// Most rules of a document type.
const RULES_MAX: usize = 400;

/// Most lists in lists that a rule goes through.
const LISTS_MAX: usize = 3;

/// A path of members.
pub(crate) type Path = Box<[Box<str>]>;

/// The records that something is asked of: the body, or the items of a list, or of lists in its items.
#[derive(Debug, Default, Clone)]
pub struct Scope {
    /// Each list, from the record before it.
    pub(crate) lists: Vec<Path>,
    /// Most items of each.
    pub(crate) longest: Vec<usize>,
}

/// A field that must be there under a condition.
#[derive(Debug)]
pub struct Requirement {
    pub(crate) scope: Scope,
    /// Members from the record on.
    pub(crate) field: Path,
    /// The condition.
    pub when: Expression,
}

/// A rule between fields.
#[derive(Debug)]
pub struct RuleOf {
    /// Its name in the domain's list.
    pub id: String,
    /// What it says, for people.
    pub title: Title,
    pub(crate) scope: Scope,
    /// It is asked only where this holds.
    pub when: Option<Expression>,
    /// What must hold.
    pub check: Expression,
    /// The failure's code; `W-` warns.
    pub code: String,
    /// The field the failure names, from the record on.
    pub(crate) at: Path,
}

pub(super) fn path(text: &str) -> Path {
    text.split('.').map(Into::into).collect()
}

/// What compiling expressions of one document type needs, and what they cost together.
pub(super) struct Compiler<'p, 't> {
    pub(super) problems: &'p mut Problems<'t>,
    pub(super) body: &'p Shape,
    pub(super) head: &'p PackHead,
    pub(super) cost: u64,
}

/// A scope with the shapes of its records, outermost first, and how many of the innermost there are at most.
pub(super) struct Opened<'s> {
    pub(super) scope: Scope,
    pub(super) shapes: Vec<&'s Shape>,
    pub(super) times: u64,
}

impl<'p> Compiler<'p, '_> {
    /// Opens the lists of `each`.
    pub(super) fn open(&mut self, each: Option<&Spanned<String>>) -> Option<Opened<'p>> {
        let mut opened = Opened { scope: Scope::default(), shapes: vec![self.body], times: 1 };
        let Some(each) = each else { return Some(opened) };
        let mut shape = self.body;
        let mut walked: Vec<Box<str>> = Vec::new();
        for name in each.get_ref().split('.') {
            let member = match shape {
                Shape::Record(members) => members.iter().find(|m| m.name == name),
                _ => None,
            };
            let Some(member) = member else {
                let detail = format!("there is no field {name:?} here");
                self.problems.add(&each.span(), ProblemCode::Reference, detail);
                return None;
            };
            walked.push(name.into());
            shape = &member.shape;
            if let Shape::List { max, item } = shape {
                opened.scope.lists.push(std::mem::take(&mut walked).into());
                opened.scope.longest.push(usize::try_from(*max).unwrap_or(usize::MAX));
                opened.shapes.push(item);
                opened.times = opened.times.saturating_mul((*max).max(1));
                shape = item;
            }
        }
        if !walked.is_empty() || opened.scope.lists.len() > LISTS_MAX {
            let detail = format!("each names a list, at most {LISTS_MAX} in each other");
            self.problems.add(&each.span(), ProblemCode::Rule, detail);
            return None;
        }
        Some(opened)
    }

    /// A condition over a scope.
    pub(super) fn condition(&mut self, text: &Spanned<String>, opened: &Opened<'_>) -> Option<Expression> {
        let compiled = Expression::condition(text.get_ref(), &opened.shapes, &self.head.environment);
        self.kept(text, opened, compiled)
    }

    /// An expression of any type over a scope.
    pub(super) fn expression(&mut self, text: &Spanned<String>, opened: &Opened<'_>) -> Option<Expression> {
        let compiled = Expression::compile(text.get_ref(), &opened.shapes, &self.head.environment);
        self.kept(text, opened, compiled)
    }

    fn kept(
        &mut self,
        text: &Spanned<String>,
        opened: &Opened<'_>,
        compiled: Result<Expression, eport_expression::ExpressionError>,
    ) -> Option<Expression> {
        match compiled {
            Ok(expression) => {
                self.cost = self.cost.saturating_add(opened.times.saturating_mul(expression.cost()));
                if self.cost > COST_MAX {
                    let detail = format!(
                        "the expressions up to here may take {} steps, {COST_MAX} are allowed",
                        self.cost
                    );
                    self.problems.add(&text.span(), ProblemCode::Size, detail);
                    // One report is enough: what follows is counted anew.
                    self.cost = 0;
                }
                Some(expression)
            }
            Err(error) => {
                self.problems.expression(&text.span(), &error);
                None
            }
        }
    }

    /// A field by its path from the innermost record, or from the body.
    pub(super) fn field(&mut self, path: &str, opened: &Opened<'_>, span: &Range<usize>) -> bool {
        let inner = opened.shapes.last().is_some_and(|s| shape::at(s, path).is_some());
        let known = inner || shape::at(self.body, path).is_some();
        if !known {
            self.problems.add(span, ProblemCode::Reference, format!("there is no field {path:?}"));
        }
        known
    }

    pub(super) fn requirements(&mut self, conditions: Vec<Condition>) -> Vec<Requirement> {
        let mut out = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let each: Vec<String> = condition.lists.iter().map(|l| l.join(".")).collect();
            let each = (!each.is_empty()).then(|| Spanned::new(condition.text.span(), each.join(".")));
            let Some(opened) = self.open(each.as_ref()) else { continue };
            let Some(when) = self.condition(&condition.text, &opened) else { continue };
            let field = condition.path.iter().map(|n| n.as_str().into()).collect();
            out.push(Requirement { scope: opened.scope, field, when });
        }
        out
    }

    pub(super) fn rules(&mut self, specs: Vec<Spanned<RuleSpec>>) -> Vec<RuleOf> {
        let mut out: Vec<RuleOf> = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            if out.len() >= RULES_MAX {
                self.problems.add(&span, ProblemCode::Size, format!("more than {RULES_MAX} rules"));
                break;
            }
            let code = spec.code.starts_with("E-") || spec.code.starts_with("W-");
            if !code || spec.code.len() > 40 || !spec.code.bytes().all(|b| b.is_ascii_graphic()) {
                let detail = format!("{:?} is no failure code: E-… refuses, W-… warns", spec.code);
                self.problems.add(&span, ProblemCode::Rule, detail);
            }
            let Some(opened) = self.open(spec.each.as_ref()) else { continue };
            let when = spec.when.as_ref().map(|text| self.condition(text, &opened));
            let check = self.condition(&spec.check, &opened);
            let at = match &spec.at {
                Some(at) => {
                    let inner = opened.shapes.last().copied().unwrap_or(self.body);
                    if shape::at(inner, at.get_ref()).is_none() {
                        let detail = format!("there is no field {:?}", at.get_ref());
                        self.problems.add(&at.span(), ProblemCode::Reference, detail);
                    }
                    path(at.get_ref())
                }
                None => Path::default(),
            };
            let (Some(check), None | Some(Some(_))) = (check, &when) else { continue };
            let title = Title { zh: spec.zh, en: spec.en };
            out.push(RuleOf {
                id: spec.id,
                title,
                scope: opened.scope,
                when: when.flatten(),
                check,
                code: spec.code,
                at,
            });
        }
        out
    }
}

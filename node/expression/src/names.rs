//! Names: which record a path begins in, what stands there, and which fields an expression has made sure of.

use crate::ast::{Ast, AstKind, Binary};
use crate::steps::Place;
use crate::{ErrorCode, ExpressionError, Shape};
use std::collections::BTreeSet;

/// A record that names may begin in.
pub(crate) struct Scope<'e> {
    /// The name a fold gave its item.
    pub(crate) var: Option<String>,
    pub(crate) shape: &'e Shape,
}

/// The open records, outermost first.
pub(crate) struct Names<'e> {
    pub(crate) scopes: Vec<Scope<'e>>,
}

/// Fields that are there: the record and the path in it.
pub(crate) type Facts = BTreeSet<(usize, String)>;

/// A place, what stands there, and whether it may be absent for all that is known.
pub(crate) struct Found<'e> {
    pub(crate) place: Place,
    pub(crate) shape: &'e Shape,
    pub(crate) optional: bool,
}

impl<'e> Names<'e> {
    /// The innermost record that no fold opened.
    pub(crate) fn this(&self) -> usize {
        self.scopes.iter().rposition(|s| s.var.is_none()).unwrap_or(0)
    }

    /// The record in which a path begins, and how many of its names that took.
    fn begin(&self, path: &[String]) -> Option<(usize, usize)> {
        let first = path.first()?;
        if let Some(frame) = self.scopes.iter().rposition(|s| s.var.as_ref() == Some(first)) {
            return Some((frame, 1));
        }
        match first.as_str() {
            "this" => return Some((self.this(), 1)),
            "body" => return Some((0, 1)),
            _ => {}
        }
        let has = |s: &Scope<'_>| {
            s.var.is_none()
                && matches!(s.shape, Shape::Record(members) if members.iter().any(|m| m.name == *first))
        };
        self.scopes.iter().rposition(has).map(|frame| (frame, 0))
    }

    /// What a path names.
    pub(crate) fn find(
        &self,
        at: usize,
        path: &[String],
        facts: &Facts,
    ) -> Result<Found<'e>, ExpressionError> {
        let unknown = |name: &str| {
            ExpressionError::new(
                at,
                ErrorCode::Name,
                format!("no field, item or parameter is named {name:?}"),
            )
        };
        let Some((frame, skip)) = self.begin(path) else {
            return Err(unknown(path.first().map_or("", String::as_str)));
        };
        let mut shape = self.scopes[frame].shape;
        let (mut optional, mut always, mut walked) = (false, true, String::new());
        for name in &path[skip..] {
            let Shape::Record(members) = shape else {
                let detail = format!("{name:?} is asked of something that has no fields");
                return Err(ExpressionError::new(at, ErrorCode::Name, detail));
            };
            let member = members.iter().find(|m| m.name == *name).ok_or_else(|| unknown(name))?;
            if !walked.is_empty() {
                walked.push('.');
            }
            walked.push_str(name);
            always &= member.always;
            optional |= !member.always && !facts.contains(&(frame, walked.clone()));
            shape = &member.shape;
        }
        let path = path[skip..].iter().map(|n| n.as_str().into()).collect();
        Ok(Found { place: Place { frame, path, always }, shape, optional })
    }

    /// Adds what is certain when `ast` is true, or false, as `truth` says.
    pub(crate) fn learn(&self, ast: &Ast, truth: bool, facts: &mut Facts) {
        match &ast.kind {
            AstKind::Call(name, arguments) if name == "present" && truth => {
                if let [Ast { kind: AstKind::Path(path), at }] = arguments.as_slice()
                    && let Ok(found) = self.find(*at, path, &Facts::new())
                {
                    let mut walked = String::new();
                    for name in &found.place.path {
                        if !walked.is_empty() {
                            walked.push('.');
                        }
                        walked.push_str(name);
                        facts.insert((found.place.frame, walked.clone()));
                    }
                }
            }
            AstKind::Not(inner) => self.learn(inner, !truth, facts),
            AstKind::Binary(Binary::And, a, b) if truth => {
                self.learn(a, true, facts);
                self.learn(b, true, facts);
            }
            AstKind::Binary(Binary::Or, a, b) if !truth => {
                self.learn(a, false, facts);
                self.learn(b, false, facts);
            }
            AstKind::Binary(Binary::Implies, a, b) if !truth => {
                self.learn(a, true, facts);
                self.learn(b, false, facts);
            }
            _ => {}
        }
    }
}

//! Numbers by which a document is found: those in its body, and those that agencies give it.

use super::problem::ProblemCode;
use super::rules::Compiler;
use super::spec::AssignedSpec;
use super::{DocumentType, is_name};
use crate::checks::Rule;
use crate::json::{JsonError, Node};
use crate::passage::keys;
use eport_expression::Source;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Numbers of one document at most; a manifest of 500 bills with two containers each has 1 501.
pub const NUMBERS_MAX: usize = 2_048;

/// Longest number in characters.
const NUMBER_CHARS_MAX: usize = 80;

/// A number that an agency gives a document: the text of a receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assigned {
    /// Its kind.
    pub kind: String,
    /// Who gives it.
    pub agency: String,
    /// The code of the receipt that carries it.
    pub code: String,
    /// The check rule that it passes.
    pub rule: Rule,
}

/// A number as it is found by: half width, trimmed, in capitals. `None`: nothing can be found by it.
pub fn number(text: &str) -> Option<String> {
    let half = |c: char| match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(c),
        0x3000 => ' ',
        _ => c,
    };
    let folded: String = text.chars().take(NUMBER_CHARS_MAX + 1).map(half).collect();
    let folded = folded.trim().to_uppercase();
    let length = folded.chars().count();
    ((1..=NUMBER_CHARS_MAX).contains(&length) && !folded.chars().any(char::is_control)).then_some(folded)
}

impl DocumentType {
    /// The kinds and numbers by which a document is found; `shown` is the whole document as readers are shown it. Sorted, none twice.
    pub fn numbers(&self, shown: &[u8]) -> Result<Vec<(String, String)>, JsonError> {
        if self.known_by.is_empty() {
            return Ok(Vec::new());
        }
        let root = Node::parse(shown)?;
        let Some(body) = (&root).member("body") else { return Ok(Vec::new()) };
        let mut out = BTreeSet::new();
        for (kind, field) in &self.known_by {
            for text in keys(body, field) {
                out.extend(number(&text).map(|n| (kind.clone(), n)));
                if out.len() >= NUMBERS_MAX {
                    return Ok(out.into_iter().collect());
                }
            }
        }
        Ok(out.into_iter().collect())
    }

    /// The number that a receipt gives the document, with its kind.
    pub fn assigned_by(&self, agency: &str, code: &str, text: &str) -> Option<(&str, String)> {
        let found = self.assigned.iter().find(|a| a.agency == agency && a.code == code)?;
        let number = number(text)?;
        let wrong = found.rule.judge(&number, &self.pack.parameters);
        wrong.is_none_or(|f| f.is_warning()).then_some((found.kind.as_str(), number))
    }
}

impl Compiler<'_, '_> {
    pub(super) fn known_by(&mut self, spec: BTreeMap<String, Spanned<Vec<String>>>) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for (kind, fields) in spec {
            let span = fields.span();
            if !is_name(&kind) {
                self.problems.add(&span, ProblemCode::Name, format!("{kind:?} is no name"));
            }
            for path in fields.into_inner() {
                let opened = self.body();
                for field in path.split('+') {
                    self.field(field, &opened, &span);
                }
                out.push((kind.clone(), path));
            }
        }
        out
    }

    pub(super) fn assigned(
        &mut self,
        specs: Vec<Spanned<AssignedSpec>>,
        agencies: &BTreeSet<String>,
    ) -> Vec<Assigned> {
        let mut out: Vec<Assigned> = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let Some((agency, code)) = spec.receipt.split_once(':').filter(|(a, _)| agencies.contains(*a))
            else {
                let detail = format!("{:?} names no recipient and code", spec.receipt);
                self.problems.add(&span, ProblemCode::Reference, detail);
                continue;
            };
            if !is_name(&spec.kind) {
                self.problems.add(&span, ProblemCode::Name, format!("{:?} is no name", spec.kind));
            }
            if out.iter().any(|a| a.agency == agency && a.code == code) {
                let detail = format!("receipt {:?} gives two numbers", spec.receipt);
                self.problems.add(&span, ProblemCode::Twice, detail);
            }
            out.push(Assigned {
                kind: spec.kind,
                agency: agency.to_owned(),
                code: code.to_owned(),
                rule: spec.rule,
            });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_number_is_found_however_it_is_typed_and_nothing_is_found_by_none() {
        assert_eq!(number("  cosu6112233440 ").as_deref(), Some("COSU6112233440"));
        assert_eq!(number("ＣＯＳＵ６１").as_deref(), Some("COSU61"));
        for nothing in ["", "   ", "a\nb", &"9".repeat(81), "\u{3000}"] {
            assert_eq!(number(nothing), None, "{nothing:?}");
        }
    }
}

//! Which codes of a table a document type names itself: in its conditions and rules, in sets that these name, in lists of values.
//!
//! A field whose values are keys of the table says which table is meant: a text in an expression counts where the expression names
//! such a field, or asks the table. What is found is told with its place, so that whoever drops a code sees which rule is left
//! without it.

use super::DocumentType;
use crate::field::{Field, Kind};
use eport_expression::Expression;
use std::collections::BTreeSet;

/// A code that a document type names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NamedCode {
    /// The code.
    pub code: String,
    /// Where: `rule GD-R07`, `field trade_mode`.
    pub place: String,
}

impl DocumentType {
    /// The codes of a table that it names; `is` says whether a name means that table.
    pub fn codes_of(&self, is: &dyn Fn(&str) -> bool) -> Vec<NamedCode> {
        let mut out = BTreeSet::new();
        let mut bound = BTreeSet::new();
        for field in &self.fields {
            of_field(field, &field.name, is, &mut bound, &mut out);
        }
        for (place, expression) in self.expressions() {
            let mentions = expression.mentions();
            let asks = expression.tables().any(is);
            if !asks && mentions.names.is_disjoint(&bound) {
                continue;
            }
            let sets = mentions.parameters.iter().filter_map(|p| self.pack.environment.sets.get(p)).flatten();
            for code in mentions.texts.iter().chain(sets) {
                out.insert(NamedCode { code: code.clone(), place: place.clone() });
            }
        }
        out.into_iter().collect()
    }

    /// Every expression with what it belongs to.
    fn expressions(&self) -> Vec<(String, &Expression)> {
        let mut out: Vec<(String, &Expression)> = Vec::new();
        let requirements = self.requirements.iter();
        out.extend(requirements.map(|r| (format!("required_if {}", r.field.join(".")), &r.when)));
        for r in &self.rules {
            let place = format!("rule {}", r.id);
            out.extend(r.when.iter().chain([&r.check]).map(|e| (place.clone(), e)));
        }
        let recipients = self.recipients.iter();
        out.extend(recipients.filter_map(|r| Some((format!("recipient {}", r.agency), r.when.as_ref()?))));
        let milestones = self.milestones.iter();
        out.extend(milestones.filter_map(|m| Some((format!("milestone {}", m.code), m.when.as_ref()?))));
        out.extend(self.consignment.iter().map(|c| ("consignment".to_owned(), &c.import)));
        let checks = self.cross_checks.iter();
        out.extend(checks.filter_map(|c| Some((format!("cross_check {}", c.rule), c.when.as_ref()?))));
        for l in &self.ledgers {
            let place = format!("ledger {}", l.name);
            out.extend(l.when.iter().chain([&l.quantity]).map(|e| (place.clone(), e)));
        }
        for s in &self.statistics {
            let place = format!("statistic {}", s.name);
            out.extend(s.when.iter().chain([&s.measure]).map(|e| (place.clone(), e)));
        }
        out
    }
}

/// Names of fields that hold keys of the table, and the values that such a field may have by the pack alone.
fn of_field(
    field: &Field,
    name: &str,
    is: &dyn Fn(&str) -> bool,
    bound: &mut BTreeSet<String>,
    out: &mut BTreeSet<NamedCode>,
) {
    match &field.kind {
        Kind::Text(rules) if rules.table.as_ref().is_some_and(|t| is(&t.table)) => {
            bound.insert(name.to_owned());
            for code in rules.values.iter().flatten() {
                out.insert(NamedCode { code: code.clone(), place: format!("field {name}") });
            }
        }
        // Items of a list have the list's name.
        Kind::List { item, .. } => {
            let own = if item.name.is_empty() { name } else { &item.name };
            of_field(item, own, is, bound, out);
        }
        Kind::Object(fields) => {
            for inner in fields {
                of_field(inner, &inner.name, is, bound, out);
            }
        }
        _ => {}
    }
}

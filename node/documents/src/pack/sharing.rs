//! Rules of sharing as a pack declares them: who may do what with which classes of fields, for which purpose (sharing.md §1).

use super::LifeCycle;
use super::problem::ProblemCode;
use super::rules::Compiler;
use super::spec::SharingSpec;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// How a subject must stand to a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It lodged it.
    Lodger,
    /// It lodged it, or the field that the rule names holds its number.
    Party,
    /// It acts under a mandate that is in force.
    Mandate,
    /// It is a recipient.
    Recipient,
    /// The case is at its place or office.
    InCharge,
    /// Who lodged it has consented, and the consent is in force.
    Consent,
    /// None.
    Any,
}

/// What may be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingAction {
    /// Read one.
    Read,
    /// Search.
    Search,
    /// Get it pushed.
    ReceivePush,
    /// Count it in figures.
    Aggregate,
    /// Follow it with all others, as a set.
    Export,
}

/// How a field is made harmless: sharing §5.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// First character of each name.
    MaskName,
    /// First six and last four.
    MaskId,
    /// First two and last two.
    MaskPassport,
    /// First three and last four.
    MaskPhone,
    /// Last four.
    MaskAccount,
    /// First two and last one.
    MaskPlate,
    /// Chapter or heading only.
    CoarseHs,
    /// Hour or day only.
    CoarseTime,
    /// Not there at all.
    Suppress,
}

/// Who may see which classes of fields: sharing §1.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Its name.
    pub rule: String,
    /// An agency, or a role of the parties.
    pub subject: String,
    /// How the subject must stand to the document.
    pub relation: Relation,
    /// The field that makes whom it names a party; `None`: who lodged it is.
    pub named_in: Option<String>,
    /// Classes of fields.
    pub classes: BTreeSet<char>,
    /// What may be done.
    pub actions: Vec<SharingAction>,
    /// For which purposes.
    pub purposes: Vec<String>,
    /// Field → mask.
    pub masks: BTreeMap<String, Mask>,
    /// The state from which it holds.
    pub after: Option<String>,
    /// The rule of law or agreement it rests on.
    pub basis: String,
}

impl Compiler<'_, '_> {
    pub(super) fn sharing(
        &mut self,
        specs: Vec<Spanned<SharingSpec>>,
        cycle: Option<&LifeCycle>,
    ) -> Vec<Sharing> {
        let mut out = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            let opened = self.body();
            for field in spec.masks.keys() {
                self.field(field, &opened, &span);
            }
            if let Some(field) = &spec.named_in {
                self.field(field, &opened, &span);
                if spec.relation != Relation::Party {
                    let detail = "named_in says who is a party: the relation is party";
                    self.problems.add(&span, ProblemCode::Rule, detail);
                }
            }
            self.state(spec.after.as_ref(), cycle, &span);
            let classes: BTreeSet<char> = spec.classes.get_ref().chars().collect();
            if classes.is_empty() || classes.iter().any(|c| !"PBCIL".contains(*c)) {
                // Keys and signatures are never shared.
                self.problems.add(&spec.classes.span(), ProblemCode::Rule, "classes are of P, B, C, I, L");
            }
            if spec.actions.is_empty() || spec.purposes.is_empty() || spec.basis.is_empty() {
                let detail = "a rule of sharing names actions, purposes and its basis";
                self.problems.add(&span, ProblemCode::Rule, detail);
            }
            out.push(Sharing {
                rule: spec.rule,
                subject: spec.subject,
                relation: spec.relation,
                named_in: spec.named_in,
                classes,
                actions: spec.actions,
                purposes: spec.purposes,
                masks: spec.masks,
                after: spec.after,
                basis: spec.basis,
            });
        }
        out
    }
}

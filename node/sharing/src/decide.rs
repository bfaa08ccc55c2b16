//! The decision: may this reader do this with this document, and how much of it is it shown.

use crate::consent::{Consent, Opens};
use crate::rules::rules_of;
use crate::{Ask, SharingAction};
use eport_documents::DocumentType;
use eport_documents::pack::{Mask, Relation, Sharing};
use eport_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What kind of reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// A trader, an agent, a terminal, a bank.
    Enterprise,
    /// A border agency; the reader's name is its code.
    Agency,
    /// A person who looks after nodes or platforms.
    Operator,
}

/// Who asks, and what for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reader {
    /// What kind.
    pub who: Who,
    /// In whose name it asks: that of a lodger, or an agency's code.
    pub name: String,
    /// It acts for another enterprise, whose name is `name`, under a delegation that is in force.
    pub mandate: bool,
    /// The agency is attached to this platform by name: its places are here.
    pub in_charge: bool,
    /// What for.
    pub ask: Ask,
}

/// How far a document has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Its state, of those of its pack; `None`: it has none.
    At(Option<String>),
    /// Another platform sent it on, in the state in which the receiver gets it.
    SentOn,
}

/// What of a document the decision rests on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// In whose name it was lodged.
    pub lodged_by: String,
    /// The fields that hold the reader's name, of those that make a party.
    pub named: BTreeSet<String>,
    /// The agency was sent a part of it.
    pub received: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Now.
    pub at: Timestamp,
}

/// Why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// No rule lets the reader have it, whatever for. Whether it exists is not said either.
    #[error("no rule shares it with the reader")]
    NotShared,
    /// Some rule would, if a purpose were stated.
    #[error("a purpose must be stated: Eport-Purpose, or purpose= in the query")]
    PurposeNeeded,
    /// Some rule would, for another purpose.
    #[error("it is not shared with the reader for this purpose")]
    OtherPurpose,
}

/// How much is shown, and by which rules.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// Classes of fields.
    pub classes: BTreeSet<char>,
    /// Field → mask.
    pub masks: BTreeMap<String, Mask>,
    /// The rules that allow it, in their order; consents as `rule:consent`.
    pub rules: Vec<String>,
    /// The purposes of these rules that fit.
    pub purposes: BTreeSet<String>,
}

impl Decision {
    /// Allows everything: for what the platform does by itself, never for a reader.
    fn allow(&mut self, rule: &Sharing, classes: impl Iterator<Item = char>, name: String, purpose: String) {
        self.classes.extend(classes.filter(|c| *c != 'K'));
        for (field, mask) in &rule.masks {
            // Two different masks of one field: nothing of it is shown.
            let kept = self.masks.entry(field.clone()).or_insert(*mask);
            if kept != mask {
                *kept = Mask::Suppress;
            }
        }
        self.rules.push(name);
        self.purposes.insert(purpose);
    }

    /// The classes as one word, for logs.
    pub fn classes_word(&self) -> String {
        self.classes.iter().collect()
    }
}

fn is_subject(rule: &Sharing, reader: &Reader) -> bool {
    match (reader.who, rule.subject.as_str()) {
        (_, "anyone") => true,
        (Who::Operator, "operator") | (Who::Agency, "agency") => true,
        (Who::Agency, code) => code == reader.name,
        // What the domain calls its parties differs by document; how they stand to it is said by the relation.
        (Who::Enterprise, role) => {
            role.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                && !matches!(role, "operator" | "agency")
        }
        (Who::Operator, _) => false,
    }
}

fn stands(rule: &Sharing, reader: &Reader, facts: &Facts) -> bool {
    let own = facts.lodged_by == reader.name && reader.who != Who::Agency;
    let named = rule.named_in.as_ref().is_some_and(|field| facts.named.contains(field));
    match rule.relation {
        Relation::Lodger => own && !reader.mandate,
        Relation::Party => (own || named) && !reader.mandate,
        Relation::Mandate => reader.mandate && (own || !facts.named.is_empty()),
        Relation::Recipient => reader.who == Who::Agency && facts.received,
        Relation::InCharge => reader.who == Who::Agency && reader.in_charge,
        // Looked at one by one.
        Relation::Consent => reader.who == Who::Enterprise && !own && !reader.mandate,
        Relation::Any => true,
    }
}

fn reached(kind: &DocumentType, rule: &Sharing, facts: &Facts) -> bool {
    let Some(wanted) = &rule.after else { return true };
    match (&facts.stage, &kind.life_cycle) {
        (Stage::SentOn, _) => true,
        (Stage::At(Some(state)), Some(cycle)) => cycle.reached(state, wanted),
        _ => false,
    }
}

/// Decides. Rules add up: what any of them shows is shown, what any of them masks is masked.
pub fn decide(
    kind: &DocumentType,
    reader: &Reader,
    action: SharingAction,
    facts: &Facts,
    consents: &[Consent],
) -> Result<Decision, Denied> {
    let mut out = Decision::default();
    let mut elsewhere = false;
    for rule in rules_of(kind) {
        let rule = &*rule;
        let fits = is_subject(rule, reader)
            && rule.actions.contains(&action)
            && stands(rule, reader, facts)
            && reached(kind, rule, facts);
        if !fits {
            continue;
        }
        if rule.relation == Relation::Consent {
            let pair = (facts.lodged_by.as_str(), reader.name.as_str());
            for consent in consents {
                match consent.opens(pair, &kind.doc_type, reader.ask, facts.at) {
                    Opens::Nothing => {}
                    Opens::Classes(classes) if rule.purposes.contains(&consent.offer.purpose) => {
                        let classes = rule.classes.iter().copied().filter(|c| {
                            *c == 'P' || (classes.contains(*c) && crate::CONSENT_CLASSES.contains(*c))
                        });
                        let name = format!("{}:{}", rule.rule, consent.id);
                        out.allow(rule, classes, name, consent.offer.purpose.clone());
                    }
                    Opens::OtherPurpose | Opens::Classes(_) => elsewhere = true,
                }
            }
            continue;
        }
        match reader.ask.fits(&rule.purposes) {
            Some(purpose) => {
                out.allow(rule, rule.classes.iter().copied(), rule.rule.clone(), purpose.word().to_owned());
            }
            None => elsewhere = true,
        }
    }
    match (out.rules.is_empty(), elsewhere, reader.ask) {
        (false, _, _) => Ok(out),
        (true, false, _) => Err(Denied::NotShared),
        (true, true, Ask::Unstated(_)) => Err(Denied::PurposeNeeded),
        (true, true, _) => Err(Denied::OtherPurpose),
    }
}

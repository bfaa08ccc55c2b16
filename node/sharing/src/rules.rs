//! The rules that hold for a document type: those of all packs, those of its own pack, and what its recipients follow from.

use crate::SharingAction;
use eport_documents::DocumentType;
use eport_documents::pack::{Mask, Relation, Sharing};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The rules of all packs, as they are written.
pub const GENERAL_TEXT: &str = include_str!("../../packs/sharing.toml");

/// Classes that a recipient gets where no rule of the pack says which.
const RECIPIENT_CLASSES: &str = "PBC";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sharing: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    rule: String,
    subject: String,
    relation: Relation,
    classes: String,
    actions: Vec<SharingAction>,
    purposes: Vec<String>,
    basis: String,
}

fn read(text: &str) -> Result<Vec<Sharing>, toml::de::Error> {
    let file: File = toml::from_str(text)?;
    let rule = |r: Rule| Sharing {
        rule: r.rule,
        subject: r.subject,
        relation: r.relation,
        named_in: None,
        classes: r.classes.chars().collect(),
        actions: r.actions,
        purposes: r.purposes,
        masks: BTreeMap::new(),
        after: None,
        basis: r.basis,
    };
    Ok(file.sharing.into_iter().map(rule).collect())
}

/// The rules that hold for every document type. A text that cannot be read is no rule: then everything is denied.
pub fn general() -> &'static [Sharing] {
    static RULES: LazyLock<Vec<Sharing>> = LazyLock::new(|| read(GENERAL_TEXT).unwrap_or_default());
    &RULES
}

/// All rules of a type. A recipient that the pack declares without saying what it may do reads and is sent its part.
pub fn rules_of(kind: &DocumentType) -> Vec<Cow<'_, Sharing>> {
    let mut out: Vec<Cow<'_, Sharing>> = general().iter().chain(&kind.sharing).map(Cow::Borrowed).collect();
    for recipient in &kind.recipients {
        let own = || kind.sharing.iter().filter(|r| r.subject == recipient.agency);
        let lacking: Vec<SharingAction> =
            [SharingAction::Read, SharingAction::Search, SharingAction::ReceivePush]
                .into_iter()
                .filter(|action| !own().any(|r| r.actions.contains(action)))
                .collect();
        if lacking.is_empty() {
            continue;
        }
        let mut classes: BTreeSet<char> = own().flat_map(|r| r.classes.iter().copied()).collect();
        let masks: BTreeMap<String, Mask> =
            own().flat_map(|r| r.masks.iter().map(|(f, m)| (f.clone(), *m))).collect();
        if classes.is_empty() {
            classes.extend(RECIPIENT_CLASSES.chars());
        }
        out.push(Cow::Owned(Sharing {
            rule: format!("{}.distribution.{}", kind.doc_type, recipient.agency),
            subject: recipient.agency.clone(),
            relation: Relation::Recipient,
            named_in: None,
            classes,
            actions: lacking,
            purposes: vec![crate::Purpose::Clearance.word().to_owned()],
            masks,
            after: None,
            basis: "documents §3: DISTRIBUTION".to_owned(),
        }));
    }
    out
}

/// The fields that make whom they name a party.
pub fn named_fields(kind: &DocumentType) -> impl Iterator<Item = &str> {
    kind.sharing.iter().filter_map(|r| r.named_in.as_deref())
}

/// The states that rules wait for.
pub fn stages(kind: &DocumentType) -> impl Iterator<Item = &str> {
    kind.sharing.iter().filter_map(|r| r.after.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_all_packs_can_be_read_and_open_neither_enforcement_data_nor_keys() {
        let rules = read(GENERAL_TEXT).unwrap();
        assert!(rules.len() >= 5);
        for rule in rules {
            assert!(rule.classes.iter().all(|c| "PBCI".contains(*c)), "{}", rule.rule);
            assert!(rule.purposes.iter().all(|p| p.parse::<crate::Purpose>().is_ok()), "{}", rule.rule);
            assert!(!rule.basis.is_empty(), "{}", rule.rule);
        }
    }

    #[test]
    fn what_rules_of_packs_say_of_purposes_are_purposes() {
        for kind in eport_documents::Packs::builtin().unwrap().types() {
            for rule in rules_of(kind) {
                assert!(rule.purposes.iter().all(|p| p.parse::<crate::Purpose>().is_ok()), "{}", rule.rule);
            }
        }
    }
}

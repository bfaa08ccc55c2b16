//! The cross-read matrix: who × document × purpose → whole, some classes, or denied; computed by the decision itself.

use crate::rules::{named_fields, stages};
use crate::{Ask, Consent, Decision, Facts, Offer, Purpose, Reader, SharingAction, Stage, Who, decide};
use eport_documents::{DocumentType, Field, Kind, Packs};
use eport_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const LODGER: &str = "lodger";
const OTHER: &str = "other";

/// One cell.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cell {
    /// The document type.
    pub doc_type: String,
    /// Who, and how it stands to the document.
    pub who: String,
    /// What is done: `read`, `receive_push`, `export`.
    pub action: &'static str,
    /// The purpose; `unstated` where none is said.
    pub purpose: &'static str,
    /// `whole`, the classes that are shown with the masked fields, or `denied`.
    pub shown: String,
}

struct Standing {
    who: String,
    reader: Reader,
    facts: Facts,
    consents: Vec<Consent>,
}

/// Every cell of a document type.
pub fn cells(kind: &DocumentType) -> Vec<Cell> {
    let mut out = Vec::new();
    for standing in standings(kind) {
        let mut ask = |ask: Ask, action: SharingAction, word: &'static str, purpose: &'static str| {
            let reader = Reader { ask, ..standing.reader.clone() };
            let decision = decide(kind, &reader, action, &standing.facts, &standing.consents);
            out.push(Cell {
                doc_type: kind.doc_type.to_string(),
                who: standing.who.clone(),
                action: word,
                purpose,
                shown: decision.map_or_else(|_| "denied".to_owned(), |d| shown(kind, &d)),
            });
        };
        ask(Ask::Unstated(None), SharingAction::Read, "read", "unstated");
        for purpose in Purpose::ALL {
            ask(Ask::Stated(purpose), SharingAction::Read, "read", purpose.word());
        }
        ask(Ask::Delivery, SharingAction::ReceivePush, "receive_push", "delivery");
        ask(Ask::Stated(Purpose::Statistics), SharingAction::Export, "export", Purpose::Statistics.word());
    }
    out
}

fn standings(kind: &DocumentType) -> Vec<Standing> {
    let at = Timestamp::from_millis(1);
    let start = kind.life_cycle.as_ref().map(|c| c.start.clone());
    let facts = |stage: &Option<String>| Facts {
        lodged_by: LODGER.to_owned(),
        named: BTreeSet::new(),
        received: false,
        stage: Stage::At(stage.clone()),
        at,
    };
    let enterprise = |name: &str, mandate: bool| Reader {
        who: Who::Enterprise,
        name: name.to_owned(),
        mandate,
        in_charge: false,
        ask: Ask::Unstated(None),
    };
    let mut out = Vec::new();
    let mut add = |who: &str, reader: Reader, facts: Facts, consents: Vec<Consent>| {
        out.push(Standing { who: who.to_owned(), reader, facts, consents });
    };
    add("who lodged it", enterprise(LODGER, false), facts(&start), Vec::new());
    add("its agent by mandate", enterprise(LODGER, true), facts(&start), Vec::new());
    let named: BTreeSet<String> = named_fields(kind).map(str::to_owned).collect();
    if !named.is_empty() {
        let words: Vec<&str> = named.iter().map(String::as_str).collect();
        let who = format!("whom {} names", words.join(", "));
        add(&who, enterprise(OTHER, false), Facts { named: named.clone(), ..facts(&start) }, Vec::new());
    }
    let consent = |purpose: Purpose| Consent {
        id: "1".to_owned(),
        grantor: LODGER.to_owned(),
        offer: Offer {
            grantee: OTHER.to_owned(),
            classes: crate::CONSENT_CLASSES.to_owned(),
            purpose: purpose.word().to_owned(),
            doc_type: None,
            from: Timestamp::from_millis(0),
            until: Timestamp::from_millis(2),
        },
        granted_at: Timestamp::from_millis(0),
        withdrawn_at: None,
    };
    let consents = Purpose::ALL.into_iter().map(consent).collect();
    add("an enterprise with consent to B and C", enterprise(OTHER, false), facts(&start), consents);
    add("any other enterprise", enterprise(OTHER, false), facts(&start), Vec::new());
    let operator = Reader { who: Who::Operator, ..enterprise("operator", false) };
    add("an operator", operator, facts(&start), Vec::new());
    let mut agencies: BTreeSet<&str> = kind.recipients.iter().map(|r| r.agency.as_str()).collect();
    let is_code = |s: &&str| s.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    agencies.extend(kind.sharing.iter().map(|r| r.subject.as_str()).filter(is_code));
    let mut points: Vec<Option<String>> = vec![start];
    points.extend(stages(kind).map(|s| Some(s.to_owned())));
    points.dedup();
    for agency in agencies {
        let waits = kind.sharing.iter().any(|r| r.subject == agency && r.after.is_some());
        for stage in points.iter().take(if waits { points.len() } else { 1 }) {
            let when = match stage {
                Some(stage) if waits => format!(", in {stage}"),
                _ => String::new(),
            };
            for (how, received, in_charge) in
                [("sent a part", true, false), ("attached here", false, true), ("neither", false, false)]
            {
                let reader = Reader { who: Who::Agency, in_charge, ..enterprise(agency, false) };
                let facts = Facts { received, ..facts(stage) };
                add(&format!("{agency}, {how}{when}"), reader, facts, Vec::new());
            }
        }
    }
    out
}

fn classes_in(fields: &[Field], out: &mut BTreeSet<char>) {
    for field in fields {
        match &field.kind {
            Kind::Object(inner) => classes_in(inner, out),
            Kind::List { item, .. } => match &item.kind {
                Kind::Object(inner) => classes_in(inner, out),
                _ => drop(out.insert(field.class)),
            },
            _ => drop(out.insert(field.class)),
        }
    }
}

fn shown(kind: &DocumentType, decision: &Decision) -> String {
    let mut present = BTreeSet::new();
    classes_in(&kind.fields, &mut present);
    if decision.masks.is_empty() && present.is_subset(&decision.classes) {
        return "whole".to_owned();
    }
    let classes: Vec<String> = present.intersection(&decision.classes).map(char::to_string).collect();
    let masks: Vec<&str> = decision.masks.keys().map(String::as_str).collect();
    match masks.is_empty() {
        true => classes.join(" "),
        false => format!("{}; masked: {}", classes.join(" "), masks.join(", ")),
    }
}

/// The matrix as a page.
pub fn page(packs: &Packs) -> String {
    let mut out = String::from(
        "# Who reads what\n\n\
         Made from `node/packs/sharing.toml` and the packs by the decision that every read passes; \
         `UPDATE=1 cargo test -p eport-sharing` writes it again.\n\n\
         Classes: P public, B business, C commercial, I personal, L enforcement, K keys. *Whole*: every field. Letters: these classes; the \
         others are withheld and listed under `masked`. An agency that was sent a part is shown of its part only. \
         *Unstated*: no purpose is given. *Push*: what an inbox delivers. *Core data*: `GET /v1/core-data` for STATISTICS. A purpose that is not \
         listed is denied, and so is whoever is not listed.\n",
    );
    for kind in packs.types() {
        // Writing to memory cannot fail.
        let _ = writeln!(out, "\n## {} · {}\n", kind.title.en, kind.title.zh);
        let _ = writeln!(out, "`{}`\n", kind.doc_type);
        out.push_str("| who | unstated | stated purpose | push | core data |\n|---|---|---|---|---|\n");
        for (who, row) in rows(kind) {
            let stated: Vec<String> =
                row.stated.iter().map(|(shown, p)| format!("{}: {shown}", p.join(", "))).collect();
            let stated = if stated.is_empty() { "–".to_owned() } else { stated.join("<br>") };
            let _ = writeln!(out, "| {who} | {} | {stated} | {} | {} |", row.unstated, row.push, row.export);
        }
    }
    out
}

#[derive(Default)]
struct Row {
    unstated: String,
    stated: BTreeMap<String, Vec<&'static str>>,
    push: String,
    export: String,
}

fn rows(kind: &DocumentType) -> Vec<(String, Row)> {
    let mut out: Vec<(String, Row)> = Vec::new();
    let dash = |shown: &str| if shown == "denied" { "–".to_owned() } else { shown.to_owned() };
    for cell in cells(kind) {
        if out.last().is_none_or(|(who, _)| *who != cell.who) {
            out.push((cell.who.clone(), Row::default()));
        }
        let Some((_, row)) = out.last_mut() else { continue };
        match (cell.action, cell.purpose) {
            ("read", "unstated") => row.unstated = dash(&cell.shown),
            ("read", _) if cell.shown == "denied" => {}
            ("read", purpose) => row.stated.entry(cell.shown).or_default().push(purpose),
            ("export", _) => row.export = dash(&cell.shown),
            _ => row.push = dash(&cell.shown),
        }
    }
    out
}

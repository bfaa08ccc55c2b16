//! What rules of packs promise for judged documents: time, tables, overall states, what is published in place of what.
// Tests: an unwrap is an assertion.

use eport_documents::example::ExampleTables;
use eport_documents::pack::{AgencyState, Published, Role, Shelf, overall, overlay};
use eport_documents::{Document, InForce, Lookup, Pack, Packs, Refusal, State, TableRow, Tables};
use eport_model::Timestamp;
use std::sync::Arc;

const NOTE: &str = include_str!("../../../packs/clearance_note/pack.toml");
const GOODS: &str = include_str!("../../../packs/goods_declaration/pack.toml");
const EXAMPLE: &str = include_str!("../../../packs/clearance_note/examples/valid/import_note.json");
const IMPORT: &str =
    include_str!("../../../packs/goods_declaration/examples/valid/bulk_import_with_licence_and_note.json");

/// No table is published; or every table is, and is not here.
struct Bare(bool);

impl Tables for Bare {
    fn lookup(&self, _: &str, _: &str, _: Timestamp) -> Lookup {
        if self.0 { Lookup::NotHere } else { Lookup::NotPublished }
    }
    fn cell(&self, _: &str, _: &[&str], _: Option<&str>, _: Timestamp) -> TableRow {
        if self.0 { TableRow::NotHere } else { TableRow::NotPublished }
    }
    fn in_force(&self, _: &str, _: Timestamp) -> InForce {
        if self.0 { InForce::NotHere } else { InForce::NotPublished }
    }
}

fn packs(texts: &[&str]) -> Packs {
    Packs::new(texts.iter().map(|t| Pack::parse(t).unwrap())).unwrap()
}

/// 2018-12-31 of Shanghai, its last second.
const LAST: Timestamp = Timestamp::from_millis(1_546_271_999_000);

#[test]
fn a_judgement_by_the_date_holds_for_that_local_day_only() {
    let packs = packs(&[NOTE]);
    let document = Document::judge(EXAMPLE.as_bytes(), &packs, &Bare(false), LAST).unwrap();
    assert!(document.holds_at(&Bare(false), LAST.plus_millis(-3_600_000)));
    assert!(!document.holds_at(&Bare(false), LAST.plus_millis(1_000)), "midnight in Shanghai, not in UTC");
}

#[test]
fn a_table_that_a_rule_asks_is_part_of_what_the_judgement_rests_on() {
    let packs = packs(&[GOODS]);
    let example: serde_json::Value = serde_json::from_str(IMPORT).unwrap();
    let text = example["document"].to_string();
    let tables = include_str!("../../../packs/goods_declaration/examples/tables.toml");
    let tables = ExampleTables::parse(tables, &packs).unwrap();
    let document = Document::judge(text.as_bytes(), &packs, &tables, LAST).unwrap();
    let used: Vec<String> = document.versions().map(|v| v.table.to_string()).collect();
    assert!(
        used.contains(&"440000/hs_licences".to_owned()) && used.contains(&"440000/hs_codes".to_owned()),
        "{used:?}"
    );
    assert!(document.holds_at(&tables, LAST) && !document.holds_at(&Bare(false), LAST));
    // Without the optional tables the same document passes; with a version that is not here it is not judged by another.
    assert!(Document::judge(text.as_bytes(), &packs, &Bare(false), LAST).is_ok());
    let away = Document::judge(text.as_bytes(), &packs, &Bare(true), LAST).unwrap_err();
    assert!(matches!(away, Refusal::TableNotHere { .. }), "{away}");
}

#[test]
fn a_table_that_a_rule_cannot_do_without_is_told_once() {
    let needed = GOODS.replace(
        "columns = [\"kinds\", \"prohibited\"]\nif_published = true",
        "columns = [\"kinds\", \"prohibited\"]",
    );
    assert_ne!(needed, GOODS);
    let packs = packs(&[&needed]);
    let example: serde_json::Value = serde_json::from_str(IMPORT).unwrap();
    let error =
        Document::judge(example["document"].to_string().as_bytes(), &packs, &Bare(false), LAST).unwrap_err();
    let found: Vec<(String, String)> = error.failures().into_iter().map(|f| (f.code, f.detail)).collect();
    assert_eq!(found, [("E-TBL-KEY".to_owned(), "no version of table hs_licences is in force".to_owned())]);
}

#[test]
fn cut_or_changed_declarations_never_panic() {
    let packs = packs(&[GOODS]);
    let example: serde_json::Value = serde_json::from_str(IMPORT).unwrap();
    let text = example["document"].to_string();
    for at in (0..text.len()).filter(|n| n % 3 == 0) {
        let _ = Document::judge(&text.as_bytes()[..at], &packs, &Bare(false), LAST);
        for value in [0u8, b'"', b'[', b'9', 0xff] {
            let mut changed = text.clone().into_bytes();
            changed[at] = value;
            let _ = Document::judge(&changed, &packs, &Bare(false), LAST);
        }
    }
}

#[test]
fn the_first_letter_of_a_number_is_the_one_the_document_says() {
    let packs = packs(&[GOODS]);
    let example: serde_json::Value = serde_json::from_str(IMPORT).unwrap();
    let judge = |text: &str| Document::judge(text.as_bytes(), &packs, &Bare(false), LAST);
    assert_eq!(judge(&example["document"].to_string()).unwrap().number_letter, 'I');
    let lower = example["document"].to_string().replace("\"ie_flag\":\"I\"", "\"ie_flag\":\" i\"");
    assert_eq!(judge(&lower).unwrap().number_letter, 'I', "after normalisation");
}

#[test]
fn what_is_published_stands_in_the_place_of_what_the_program_carries() {
    let names = |packs: Vec<Pack>| -> Vec<String> {
        packs.iter().map(|p| format!("{} {}", p.head.name, p.head.version)).collect()
    };
    let base = names(overlay(&[]).unwrap());
    assert!(base.contains(&"clearance_note 1.0.0".to_owned()) && base.len() >= 6, "{base:?}");
    let changed = NOTE.replacen("version = \"1.0.0\"", "version = \"1.1.0\"", 1);
    let published = |text: Option<String>| Published { name: "clearance_note".into(), text };
    let now = names(overlay(&[published(Some(changed.clone()))]).unwrap());
    assert!(now.contains(&"clearance_note 1.1.0".to_owned()) && now.len() == base.len());
    let retired = names(overlay(&[published(None)]).unwrap());
    assert!(!retired.iter().any(|n| n.starts_with("clearance_note")) && retired.len() == base.len() - 1);
    let broken = changed.replacen("each = \"lines\"", "each = \"rows\"", 1);
    let error = overlay(&[published(Some(broken))]).unwrap_err();
    assert!(error.problems[0].file == "clearance_note.toml" && error.problems[0].line > 40, "{error}");
    let all = Arc::new(Packs::builtin().unwrap());
    assert_eq!(Shelf::types(&all).len(), Packs::types(&all).count());
}

#[test]
fn the_overall_state_is_that_of_the_agencies_in_their_parts() {
    use AgencyState::{Accepted, Delivered, Done, ManualReview, Queued, Received, Rejected};
    use Role::{Lead, Mandatory, Optional};
    for (agencies, expected) in [
        (vec![(Lead, Queued), (Mandatory, Delivered)], State::Dispatched),
        (vec![(Lead, Received), (Mandatory, Queued)], State::InProcess),
        (vec![(Lead, Queued), (Mandatory, ManualReview)], State::InProcess),
        (vec![(Lead, Accepted), (Mandatory, Received)], State::InProcess),
        (vec![(Lead, Accepted), (Mandatory, Done)], State::Accepted),
        (vec![(Lead, Accepted), (Optional, Queued)], State::Accepted),
        (vec![(Lead, Accepted), (Optional, Rejected)], State::Accepted),
        (vec![(Lead, Accepted), (Mandatory, Rejected)], State::PartlyRejected),
        (vec![(Lead, Rejected), (Mandatory, Rejected)], State::Rejected),
        (vec![(Optional, Accepted)], State::InProcess),
        (vec![], State::Dispatched),
    ] {
        assert_eq!(overall(&agencies), expected, "{agencies:?}");
    }
}

#[test]
fn receipts_in_any_order_come_to_the_furthest_state_they_name() {
    let packs = packs(&[GOODS]);
    let cycle = packs.get("goods_declaration").unwrap().life_cycle.as_ref().unwrap();
    let codes = ["L", "J", "P", "R"];
    // Every order of four receipts.
    let mut orders = vec![vec![]];
    for _ in 0..codes.len() {
        let longer = |o: &Vec<&'static str>| -> Vec<Vec<&'static str>> {
            let left = codes.iter().filter(|c| !o.contains(c));
            left.map(|c| [o.clone(), vec![*c]].concat()).collect()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    assert_eq!(orders.len(), 24);
    for order in orders {
        let mut state = cycle.start.clone();
        for code in &order {
            if let eport_documents::pack::ReceiptStep::Moved(to) = cycle.step(&state, "CUS", code) {
                state = to;
            }
        }
        assert_eq!(state, "CLOSED", "{order:?}");
    }
}

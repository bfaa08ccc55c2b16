//! Official data items and the packs' fields: how many of them a pack carries, and which are missing.

use eport_documents::{DocumentType, Field, Kind, Packs};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

const LIST: &str = include_str!("../../../packs/data_items.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    annex: Vec<Annex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annex {
    file_id: String,
    doc_type: String,
    title: String,
    /// Name of the item → field.
    items: BTreeMap<String, String>,
}

fn has(fields: &[Field], path: &str) -> bool {
    let (name, rest) = path.split_once('.').map_or((path, None), |(n, r)| (n, Some(r)));
    let Some(field) = fields.iter().find(|f| f.name == name) else { return false };
    let Some(rest) = rest else { return true };
    match &field.kind {
        Kind::Object(fields) => has(fields, rest),
        Kind::List { item, .. } => matches!(&item.kind, Kind::Object(fields) if has(fields, rest)),
        _ => false,
    }
}

fn of<'p>(packs: &'p Packs, annex: &Annex) -> &'p DocumentType {
    packs.get(&annex.doc_type).unwrap_or_else(|| panic!("no type {}", annex.doc_type))
}

#[test]
fn every_official_item_that_a_pack_claims_is_a_field_of_it() {
    let packs = Packs::builtin().unwrap();
    let list: List = toml::from_str(LIST).unwrap();
    for annex in &list.annex {
        let kind = of(&packs, annex);
        for (item, field) in &annex.items {
            assert!(
                has(&kind.fields, field),
                "{} {item}: {} has no field {field}",
                annex.file_id,
                annex.doc_type
            );
        }
    }
}

/// Rows of a CSV text: quoted cells may hold commas, quotes and line breaks.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
            ('"', _) => quoted = !quoted,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {}
            ('\n', false) => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (c, _) => cell.push(c),
        }
    }
    rows
}

#[test]
fn official_data_items_are_compared_with_the_fields_of_packs() {
    let Some(dir) = std::env::var_os("EPORT_DATA_DIR") else {
        eprintln!("skipped: EPORT_DATA_DIR names no folder with gac_data_items");
        return;
    };
    let path = std::path::Path::new(&dir).join("gac_data_items/data_items.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let mut official: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows(&text).into_iter().skip(1).filter(|r| r.len() > 2 && !r[2].is_empty()) {
        official.entry(row[0].clone()).or_default().insert(row[2].clone());
    }
    let list: List = toml::from_str(LIST).unwrap();
    let (mut carried, mut all) = (0, 0);
    for annex in &list.annex {
        let items = official.get(&annex.file_id).unwrap_or_else(|| panic!("no annex {}", annex.file_id));
        let unknown: Vec<&String> = annex.items.keys().filter(|i| !items.contains(*i)).collect();
        assert!(unknown.is_empty(), "{}: no such items: {unknown:?}", annex.title);
        let missing: Vec<&str> =
            items.iter().filter(|i| !annex.items.contains_key(*i)).map(String::as_str).collect();
        let found = items.len() - missing.len();
        println!(
            "{} {} ({}): {found} of {} items, {} %; missing: {}",
            annex.file_id,
            annex.title,
            annex.doc_type,
            items.len(),
            found * 100 / items.len(),
            missing.join("、")
        );
        (carried, all) = (carried + found, all + items.len());
    }
    println!("together {carried} of {all} items, {} %", carried * 100 / all);
    // What is carried is not lost again unseen.
    assert!(carried >= 83, "{carried} of {all}, and 83 of 164 when this was written");
}

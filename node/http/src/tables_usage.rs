//! What uses a code table: other tables whose columns refer to it, rules of packs that name its codes, and documents of the platforms
//! that this node keeps.
//!
//! What always holds: a look reads at most `DOCUMENTS_MAX` documents and says so when there are more; which
//! fields of which documents hold codes of a table is data of the packs, and nothing here knows a type or a table by name.

use crate::state::Api;
use eport_api_types::{self as t, DocumentDetail, DocumentQuery, LateDocument, PlatformLook, from_rfc3339};
use eport_codetables::{Reading, Rules, TableSchema, Tally, Use, UserKind, uses_in_table};
use eport_documents::pack::Shelf;
use eport_documents::{Field, Kind};
use eport_model::Timestamp;
use eport_platform::{Platform, Scope};
use eport_registry::TableId;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys that go, looked up in what uses the table.
pub(crate) const GOING_MAX: usize = 1_000_000;
/// Documents looked at in one platform, and in all together.
const DOCUMENTS_MAX: (u64, u64) = (20_000, 100_000);
/// Documents listed as late.
const LATE_MAX: usize = 1_000;
/// Documents of one round.
const ROUND: u32 = 500;
/// The state of a document that is not submitted yet.
const DRAFT: &str = "DRAFT";
/// States in which nothing more is done with a document.
const OVER: [&str; 3] = ["WITHDRAWN", "CLOSED", "REJECTED"];

/// The tables that rules refer to, as they read at an instant; those that cannot be read are left out.
pub(crate) fn references(api: &Api, rules: &Rules, at: Timestamp) -> BTreeMap<String, Reading> {
    let names = rules.references().map(|(_, table)| table);
    names.filter_map(|name| Some((name.to_owned(), api.tables.reading_at(name, at).ok()?))).collect()
}

/// Uses of keys of a table, in rising order: in tables and packs in force at an instant and in documents that are not over.
pub(crate) fn users(
    api: &Api,
    id: &TableId,
    keys: &[String],
    at: Timestamp,
) -> (Vec<Use>, Vec<PlatformLook>) {
    if keys.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut uses = in_tables(api, id, keys, at);
    uses.extend(in_packs(api, id, keys, at));
    let (mut open, mut drafts) = (Tally::new(keys, UserKind::Document), Tally::new(keys, UserKind::Draft));
    let looks = documents(api, id, |region, fields, detail| {
        if OVER.contains(&detail.item.state.as_str()) {
            return;
        }
        let user = format!("{region} {}", detail.item.doc_type);
        let tally = if detail.item.state == DRAFT { &mut drafts } else { &mut open };
        for path in fields {
            values(&detail.body, path, &mut |value| {
                tally.see(value, &user, &path.join("."), || detail.item.doc_id.clone());
            });
        }
    });
    uses.extend(open.uses());
    uses.extend(drafts.uses());
    (uses, looks)
}

/// Codes that packs name themselves, of the packs in force at an instant.
fn in_packs(api: &Api, id: &TableId, keys: &[String], at: Timestamp) -> Vec<Use> {
    let Ok(packs) = api.packs.at(at) else { return Vec::new() };
    let is = |name: &str| api.tables.resolve(name).is_ok_and(|named| named == *id);
    let mut tally = Tally::new(keys, UserKind::Pack);
    for doc_type in eport_documents::Packs::types(&packs) {
        let user = format!("{} {} {}", doc_type.pack.name, doc_type.pack.version, doc_type.doc_type);
        for named in doc_type.codes_of(&is) {
            tally.see(&named.code, &user, &named.place, || named.place.clone());
        }
    }
    tally.uses()
}

fn in_tables(api: &Api, id: &TableId, keys: &[String], at: Timestamp) -> Vec<Use> {
    let view = api.registry.state();
    let mut uses = Vec::new();
    for other in view.state.tables().filter(|other| *other != id) {
        let Some(version) = view.state.table_as_of(other, at) else { continue };
        let Ok(schema) = TableSchema::parse(&version.schema) else { continue };
        let refers = |name: &str| api.tables.resolve(name).is_ok_and(|named| named == *id);
        let columns: Vec<String> = schema
            .rules
            .references()
            .filter(|(_, table)| refers(table))
            .map(|(column, _)| column.to_owned())
            .collect();
        if !columns.is_empty()
            && let Ok(reading) = api.tables.reading(version, at)
        {
            uses.extend(uses_in_table(keys, &other.to_string(), &reading, &columns));
        }
    }
    uses
}

/// Paths of fields whose values are keys of the table.
fn bound(fields: &[Field], is: &dyn Fn(&str) -> bool, path: &[String], out: &mut Vec<Vec<String>>) {
    for field in fields {
        let mut here = path.to_vec();
        if !field.name.is_empty() {
            here.push(field.name.clone());
        }
        match &field.kind {
            Kind::Text(rules) if rules.table.as_ref().is_some_and(|t| is(&t.table)) => out.push(here),
            Kind::List { item, .. } => bound(std::slice::from_ref(item), is, &here, out),
            Kind::Object(fields) => bound(fields, is, &here, out),
            _ => {}
        }
    }
}

/// The texts at a path of a body; lists on the way are gone through.
fn values(body: &Value, path: &[String], see: &mut dyn FnMut(&str)) {
    match (body, path) {
        (Value::Array(items), _) => items.iter().for_each(|item| values(item, path, see)),
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(value) = members.get(name) {
                values(value, rest, see);
            }
        }
        (Value::String(text), []) => see(text),
        _ => {}
    }
}

/// Shows every document that has a field with keys of the table, of every platform kept here.
fn documents(
    api: &Api,
    id: &TableId,
    mut see: impl FnMut(&str, &[Vec<String>], &DocumentDetail),
) -> Vec<PlatformLook> {
    let (mut looks, mut left) = (Vec::new(), DOCUMENTS_MAX.1);
    for handle in api.agent.platforms() {
        let Some(platform) = api.platform(handle.region()) else { continue };
        let region = platform.region().to_string();
        let is = |name: &str| api.tables.resolve(name).is_ok_and(|named| named == *id);
        let mut look = PlatformLook { region: region.clone(), documents: 0, complete: true };
        // The packs of today say where documents keep codes; without them nothing can be looked at.
        let Ok(packs) = api.packs.at(api.now()) else {
            looks.push(PlatformLook { complete: false, ..look });
            continue;
        };
        for doc_type in eport_documents::Packs::types(&packs) {
            let mut fields = Vec::new();
            bound(&doc_type.fields, &is, &[], &mut fields);
            if !fields.is_empty() {
                let most = left.min(DOCUMENTS_MAX.0);
                of_type(&platform, &doc_type.doc_type, most, &mut look, |d| see(&region, &fields, d));
            }
        }
        left = left.saturating_sub(look.documents);
        looks.push(look);
    }
    looks
}

/// Documents of one type. What cannot be read, without the platform's keys for example, makes the look incomplete.
fn of_type(
    platform: &Platform,
    doc_type: &str,
    most: u64,
    look: &mut PlatformLook,
    mut see: impl FnMut(&DocumentDetail),
) {
    let mut query =
        DocumentQuery { doc_type: Some(doc_type.to_owned()), limit: Some(ROUND), ..DocumentQuery::default() };
    loop {
        let Ok(page) = platform.list(&query, &Scope::All) else {
            look.complete = false;
            return;
        };
        for item in page.items {
            if look.documents >= most {
                look.complete = false;
                return;
            }
            look.documents += 1;
            match platform.show(&item.doc_id, None) {
                Ok(Some(detail)) => see(&detail),
                Ok(None) => {}
                Err(_) => look.complete = false,
            }
        }
        query.page_token = page.next_page_token;
        if query.page_token.is_none() {
            return;
        }
    }
}

/// Documents that were judged by a version of the table that another had superseded at their record time.
pub(crate) fn late(api: &Api, id: &TableId) -> t::LateDocuments {
    let view = api.registry.state();
    let mut items = Vec::new();
    let platforms = documents(api, id, |region, _, detail| {
        let used = detail
            .code_table_set
            .iter()
            .filter(|used| api.tables.resolve(&used.table).is_ok_and(|named| named == *id));
        let Some(received) = from_rfc3339(&detail.item.received_at) else { return };
        for used in used {
            // `NUMBER:ROOT`
            let number = used.version.split(':').next().and_then(|n| n.parse::<u64>().ok());
            let in_force = view.state.table_as_of(id, received).map(|v| v.version);
            if let (Some(used), Some(in_force)) = (number, in_force)
                && used != in_force
                && items.len() < LATE_MAX
            {
                items.push(LateDocument {
                    code: "W-TABLE-LATE".to_owned(),
                    region: region.to_owned(),
                    doc_id: detail.item.doc_id.clone(),
                    doc_version: detail.item.doc_version,
                    received_at: detail.item.received_at.clone(),
                    used,
                    in_force,
                });
            }
        }
    });
    t::LateDocuments { items, platforms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn codes_are_found_where_the_pack_says_in_lists_and_objects_too() {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let body =
            json!({"port": "CNCAN", "legs": [{"to": "CNSHK"}, {"to": "HKHKG", "via": ["A", "B"]}], "n": 1});
        let found = |text: &str| {
            let mut out = Vec::new();
            values(&body, &path(text), &mut |v| out.push(v.to_owned()));
            out
        };
        assert_eq!(found("port"), ["CNCAN"]);
        assert_eq!(found("legs.to"), ["CNSHK", "HKHKG"]);
        assert_eq!(found("legs.via"), ["A", "B"]);
        assert_eq!((found("n"), found("legs"), found("port.x")), (vec![], vec![], vec![]));
    }
}

//! A body under a decision: fields of shared classes as they are, masked ones masked, others away; what was changed is listed.

use crate::{Decision, masked};
use eport_documents::pack::Mask;
use eport_documents::{Field, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Fields that are listed; the rest is counted in one line.
const LISTED_MAX: usize = 500;

/// A field that is not shown as it was lodged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Masked {
    /// The field, lists without their places: `bills.consignee`.
    pub path: String,
    /// Its class.
    pub class: String,
    /// `withheld`, or the function that made it harmless.
    pub how: String,
    /// Why, for people.
    pub reason: String,
}

/// What a reader is shown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Shown {
    /// The body.
    pub body: Value,
    /// What of it is not as lodged; empty: it is whole.
    pub masked: Vec<Masked>,
}

struct Walk<'d> {
    decision: &'d Decision,
    found: BTreeMap<String, Masked>,
}

/// Shows a body. `layers` are the fields of the type, the pack in force first, then the one that judged the document: a member that
/// neither knows is withheld.
pub fn show(layers: &[&[Field]], body: &Value, decision: &Decision) -> Shown {
    let mut walk = Walk { decision, found: BTreeMap::new() };
    let body = match body {
        Value::Object(members) => walk.members(layers, members, ""),
        // Erased, or nothing was sent.
        _ => Value::Null,
    };
    Shown { body, masked: walk.found.into_values().collect() }
}

impl Walk<'_> {
    fn note(&mut self, path: &str, class: char, how: &str, reason: String) {
        if self.found.len() < LISTED_MAX {
            let of =
                || Masked { path: path.to_owned(), class: class.to_string(), how: how.to_owned(), reason };
            self.found.entry(path.to_owned()).or_insert_with(of);
        }
    }

    fn members(&mut self, layers: &[&[Field]], members: &Map<String, Value>, around: &str) -> Value {
        let mut out = Map::new();
        for (name, value) in members {
            let path = if around.is_empty() { name.clone() } else { format!("{around}.{name}") };
            let fields: Vec<&Field> =
                layers.iter().filter_map(|fields| fields.iter().find(|f| f.name == *name)).collect();
            if let Some(value) = self.value(&fields, value, &path) {
                out.insert(name.clone(), value);
            }
        }
        Value::Object(out)
    }

    fn value(&mut self, fields: &[&Field], value: &Value, path: &str) -> Option<Value> {
        let Some(field) = fields.first() else {
            self.note(path, '?', "withheld", "the pack in force knows no such field".to_owned());
            return None;
        };
        if !self.decision.classes.contains(&field.class) && !self.has_shared(field) {
            let reason = format!("class {} is not shared with the reader for this purpose", field.class);
            self.note(path, field.class, "withheld", reason);
            return None;
        }
        if let Some(mask) = self.decision.masks.get(path).copied() {
            let how = name_of(mask);
            let reason = format!("a rule of sharing masks it: {}", self.decision.rules.join(", "));
            self.note(path, field.class, how, reason);
            return masked(mask, value);
        }
        let inner: Vec<&[Field]> = fields.iter().filter_map(|f| members_of(f)).collect();
        Some(match value {
            Value::Object(members) if !inner.is_empty() => self.members(&inner, members, path),
            Value::Array(items) if !inner.is_empty() => {
                let item = |i: &Value| match i {
                    Value::Object(members) => self.members(&inner, members, path),
                    other => other.clone(),
                };
                items.iter().map(item).collect()
            }
            other => other.clone(),
        })
    }

    /// A record of a class that is not shared may hold fields of one that is.
    fn has_shared(&self, field: &Field) -> bool {
        members_of(field).is_some_and(|fields| {
            fields.iter().any(|f| self.decision.classes.contains(&f.class) || self.has_shared(f))
        })
    }
}

fn members_of(field: &Field) -> Option<&[Field]> {
    match &field.kind {
        Kind::Object(fields) => Some(fields),
        Kind::List { item, .. } => match &item.kind {
            Kind::Object(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

fn name_of(mask: Mask) -> &'static str {
    match mask {
        Mask::MaskName => "mask_name",
        Mask::MaskId => "mask_id",
        Mask::MaskPassport => "mask_passport",
        Mask::MaskPhone => "mask_phone",
        Mask::MaskAccount => "mask_account",
        Mask::MaskPlate => "mask_plate",
        Mask::CoarseHs => "coarse_hs",
        Mask::CoarseTime => "coarse_time",
        Mask::Suppress => "suppress",
    }
}

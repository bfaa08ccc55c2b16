//! A pack as data for readers: what `pack show` prints and what two versions are compared by.
//!
//! Keys are stable names (paths of fields, ids of rules), so that two descriptions can be compared member by member.

use super::{DocumentType, Pack, RuleOf, Title};
use crate::field::{Characters, Field, Kind, Presence, TextRules};
use eport_timeliness::DIMENSIONS;
use serde_json::{Map, Value, json};

impl Pack {
    /// The whole pack.
    pub fn describe(&self) -> Value {
        let head = &self.head;
        let numbers: Map<String, Value> = head
            .environment
            .numbers
            .iter()
            .map(|(name, n)| (name.clone(), Value::from(eport_expression::plain(n))))
            .collect();
        let documents: Map<String, Value> =
            self.documents.iter().map(|d| (d.doc_type.to_string(), d.describe())).collect();
        json!({
            "name": &*head.name,
            "version": &*head.version,
            "title": title(&head.title),
            "systems": head.systems,
            "utc_offset_minutes": head.utc_offset_minutes,
            "numbers": numbers,
            "sets": head.environment.sets,
            "tables": head.table_keys,
            "documents": documents,
        })
    }
}

fn title(title: &Title) -> Value {
    json!({ "zh": title.zh, "en": title.en })
}

fn joined(path: &[Box<str>]) -> String {
    path.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(".")
}

impl DocumentType {
    /// The whole document type.
    pub fn describe(&self) -> Value {
        let mut fields = Map::new();
        for field in &self.fields {
            self.field(field, "", &mut fields);
        }
        let rules: Map<String, Value> =
            self.rules.iter().map(|r| (rule_key(r, &self.rules), rule(r))).collect();
        let groups: Map<String, Value> = self.groups.iter().map(|(g, t)| (g.to_string(), title(t))).collect();
        json!({
            "title": title(&self.title),
            "number_letter": self.number_letter,
            "number_letter_field": self.number_letter_field,
            "bytes_max": self.bytes_max,
            "version_max": self.version_max,
            "client_ref_length_max": self.client_ref_length_max,
            "function_codes": { "first": self.function_codes.first, "later": self.function_codes.later },
            "replicated": self.replicated,
            "steps_max": self.cost,
            "groups": groups,
            "fields": fields,
            "rules": rules,
            "recipients": self.described_recipients(),
            "states": self.described_states(),
            "milestones": self.milestones.iter().map(|m| (m.code.clone(), json!({
                "state": m.state, "time": m.time, "subject": m.subject, "of": m.of, "rank": m.rank,
                "when": text(m.when.as_ref()),
            }))).collect::<Map<_, _>>(),
            "consignment": self.consignment.as_ref().map(|c| json!({
                "import": c.import.text(), "joins": c.joins, "dutiable_on": c.dutiable_on, "void_on": c.void_on,
                "by": c.by.iter().map(|(d, field, first)| {
                    (DIMENSIONS[*d].to_owned(), json!({ "field": field, "first": first }))
                }).collect::<Map<_, _>>(),
            })),
            "upload": self.upload.as_ref().map(|u| json!({
                "milestone": u.milestone, "kind": u.kind, "subject": u.subject, "time": u.time, "system": u.system,
                "event": u.event, "place": u.place, "corrects": u.corrects, "retracts": u.retracts, "rank": u.rank,
            })),
            "known_by": self.known_by.iter().map(|(kind, field)| format!("{kind}: {field}")).collect::<Vec<_>>(),
            "assigned": self.assigned.iter().map(|a| (format!("{}:{}", a.agency, a.code), json!({
                "kind": a.kind, "rule": a.rule.name(),
            }))).collect::<Map<_, _>>(),
            "cross_checks": self.described_cross_checks(),
            "ledgers": self.ledgers.iter().map(|l| (format!("{}.{}", l.name, word(&l.entry)), json!({
                "each": l.scope.lists.iter().map(|p| joined(p)).collect::<Vec<_>>().join("."), "account": l.account,
                "quantity": l.quantity.text(), "unit": l.unit, "when": text(l.when.as_ref()),
                "commit_on": l.commit_on, "release_on": l.release_on, "tolerance": text(l.tolerance.as_ref()),
                "uses": text(l.uses.as_ref()), "valid": l.valid, "holder": l.holder,
            }))).collect::<Map<_, _>>(),
            "statistics": self.statistics.iter().map(|s| (s.name.clone(), json!({
                "title": title(&s.title), "measure": s.measure.text(), "by": s.by, "when": text(s.when.as_ref()),
            }))).collect::<Map<_, _>>(),
            "sharing": self.sharing.iter().map(|s| (s.rule.clone(), json!({
                "subject": s.subject, "relation": word(&s.relation), "named_in": s.named_in,
                "classes": s.classes.iter().collect::<String>(),
                "actions": word(&s.actions), "purposes": s.purposes,
                "masks": s.masks.iter().map(|(f, m)| (f.clone(), Value::from(word(m)))).collect::<Map<_, _>>(),
                "after": s.after, "basis": s.basis,
            }))).collect::<Map<_, _>>(),
        })
    }

    /// The second and later comparisons of one number are told apart by a point.
    fn described_cross_checks(&self) -> Map<String, Value> {
        let mut out = Map::new();
        for check in &self.cross_checks {
            let n = 1 + out.keys().filter(|k| k.split('.').next() == Some(check.rule.as_str())).count();
            let name = if n > 1 { format!("{}.{n}", check.rule) } else { check.rule.clone() };
            out.insert(name, check.described());
        }
        out
    }

    fn field(&self, field: &Field, around: &str, out: &mut Map<String, Value>) {
        let path = if around.is_empty() { field.name.clone() } else { format!("{around}.{}", field.name) };
        out.insert(path.clone(), self.described_field(field, &path));
        match &field.kind {
            Kind::Object(fields) => fields.iter().for_each(|f| self.field(f, &path, out)),
            Kind::List { item, .. } => match &item.kind {
                Kind::Object(fields) => fields.iter().for_each(|f| self.field(f, &path, out)),
                _ => drop(out.insert(format!("{path}[]"), self.described_field(item, &format!("{path}[]")))),
            },
            _ => {}
        }
    }

    fn described_field(&self, field: &Field, path: &str) -> Value {
        let required = match field.presence {
            Presence::Always => Value::from(true),
            Presence::Optional => Value::from(false),
            Presence::Conditional => {
                let full = |r: &&super::Requirement| {
                    let lists = r.scope.lists.iter().map(|p| joined(p));
                    lists.chain([joined(&r.field)]).collect::<Vec<_>>().join(".") == path
                };
                self.requirements.iter().find(full).map_or(Value::Null, |r| r.when.text().into())
            }
        };
        let mut out = json!({
            "type": notation(&field.kind),
            "required": required,
            "to": field.groups.iter().collect::<String>(),
            "key": field.key,
            "class": field.class,
        });
        if let Some(names) = &field.title {
            out["title"] = title(names);
        }
        match &field.kind {
            Kind::Text(rules) => limits(rules, &mut out),
            Kind::Integer { min, max } => out["range"] = json!([min, max]),
            Kind::Decimal { positive: true, .. } => out["positive"] = true.into(),
            Kind::List { min, max, .. } => out["length"] = json!([min, max]),
            _ => {}
        }
        out
    }

    fn described_recipients(&self) -> Map<String, Value> {
        let one = |r: &super::Recipient| {
            let value = json!({
                "role": word(&r.role), "full": r.full.iter().collect::<String>(), "key": r.key.iter().collect::<String>(),
                "when": text(r.when.as_ref()), "after": r.after,
            });
            (r.agency.clone(), value)
        };
        self.recipients.iter().map(one).collect()
    }

    fn described_states(&self) -> Map<String, Value> {
        let Some(cycle) = &self.life_cycle else { return Map::new() };
        let receipts = |name: &str| {
            let to = cycle.receipts.iter().filter(|(_, state)| *state == name);
            to.map(|((agency, code), _)| format!("{agency}:{code}")).collect::<Vec<_>>()
        };
        let one = |s: &super::StateOf| {
            let value = json!({
                "title": title(&s.title), "start": s.name == cycle.start, "note": s.note, "next": s.next,
                "receipts": receipts(&s.name), "agency": s.agency.as_ref().map(word),
            });
            (s.name.clone(), value)
        };
        cycle.states.values().map(one).collect()
    }
}

/// The id of a rule; where several have it, with their number among these.
fn rule_key(rule: &RuleOf, all: &[RuleOf]) -> String {
    let same: Vec<&RuleOf> = all.iter().filter(|r| r.id == rule.id).collect();
    match same.iter().position(|r| std::ptr::eq(*r, rule)) {
        Some(n) if same.len() > 1 => format!("{}.{}", rule.id, n + 1),
        _ => rule.id.clone(),
    }
}

fn rule(rule: &RuleOf) -> Value {
    json!({
        "title": title(&rule.title), "each": rule.scope.lists.iter().map(|p| joined(p)).collect::<Vec<_>>().join("."),
        "when": text(rule.when.as_ref()), "check": rule.check.text(), "code": rule.code, "at": joined(&rule.at),
    })
}

fn text(expression: Option<&eport_expression::Expression>) -> Value {
    expression.map_or(Value::Null, |e| e.text().into())
}

/// The word a pack file has for a value of a small enum.
fn word(value: &impl std::fmt::Debug) -> String {
    let mut out = String::new();
    for c in format!("{value:?}").chars() {
        if c.is_ascii_uppercase() && out.chars().last().is_some_and(|l| l.is_ascii_lowercase()) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A field's type as the domain writes it.
fn notation(kind: &Kind) -> String {
    match kind {
        Kind::Text(TextRules { max: usize::MAX, .. }) => "id".into(),
        Kind::Text(rules) => {
            let letters = match rules.characters {
                Characters::Printable => "an",
                Characters::Digits => "n",
                Characters::Letters => "a",
            };
            let dots = if rules.min == rules.max { "" } else { ".." };
            format!("{letters}{dots}{}", rules.max)
        }
        Kind::Integer { .. } => "int".into(),
        Kind::Decimal { whole, fraction, .. } => format!("dec({},{fraction})", whole + fraction),
        Kind::Date => "date".into(),
        Kind::Instant => "instant".into(),
        Kind::Flag => "flag".into(),
        Kind::List { .. } => "list".into(),
        Kind::Object(_) => "object".into(),
    }
}

fn limits(rules: &TextRules, out: &mut Value) {
    if let Some(rule) = rules.rule {
        out["rule"] = rule.name().into();
    }
    if let Some(values) = &rules.values {
        out["values"] = json!(values);
    }
    if let Some(table) = &rules.table {
        out["table"] = (&*table.table).into();
        out["table_if_published"] = table.if_published.into();
    }
}

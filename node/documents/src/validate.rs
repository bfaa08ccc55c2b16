//! From bytes to a judged document: strict parse, canonical form, every field of the pack, all failures at once.

use crate::accounts::{self, AccountCall};
use crate::classes::{self, CONTROL, NO_DIGIT, WIDE};
use crate::field::{Characters, Field, Kind, TextRules};
use crate::json::Node;
use crate::relations::{self, Asked};
use crate::{
    DOCUMENT_LEN_MAX, DocumentType, Failure, InForce, Lookup, Packs, Presence, Refusal, TableVersion, Tables,
};
use eport_expression::{Clock, Source, local_date, parse_date, parse_instant};
use eport_model::{Digest, Timestamp};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

type Members<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// A document that passed every rule of its pack at `judged_at`.
#[derive(Debug)]
pub struct Document {
    /// Its type.
    pub kind: Arc<DocumentType>,
    /// The version the lodger expects.
    pub doc_version: u32,
    /// The lodger's number.
    pub client_ref: String,
    /// Add, amend, …
    pub function_code: String,
    /// First letter of its number.
    pub number_letter: char,
    /// What was lodged, in the canonical form of RFC 8785.
    pub canonical: Vec<u8>,
    /// SHA-256 of `canonical`.
    pub digest: Digest,
    /// The canonical form after normalisation, where that changed anything.
    pub normalised: Option<Vec<u8>>,
    /// Table versions the judgement rests on, by the name the pack uses. While they stay in force it holds.
    pub tables: Vec<(Arc<str>, InForce)>,
    /// Warnings, which do not refuse.
    pub warnings: Vec<Failure>,
    /// What it asks of accounts.
    pub accounts: Vec<AccountCall>,
    /// When it was judged.
    pub judged_at: Timestamp,
}

impl Document {
    /// Judges what was lodged, by the tables in force at `at`.
    pub fn judge(raw: &[u8], packs: &Packs, tables: &dyn Tables, at: Timestamp) -> Result<Self, Refusal> {
        if raw.len() > DOCUMENT_LEN_MAX {
            return malformed(format!("{} bytes exceed the limit of {DOCUMENT_LEN_MAX}", raw.len()));
        }
        let mut root = match Node::parse(raw) {
            Ok(Node::Object(members)) => members,
            Ok(other) => return malformed(format!("an object is needed, {} was found", other.kind())),
            Err(e) => return malformed(e.to_string()),
        };
        let kind = find_type(&root, packs)?;
        if raw.len() > kind.bytes_max {
            return malformed(format!(
                "{} bytes exceed the limit of {} for this type",
                raw.len(),
                kind.bytes_max
            ));
        }
        let mut canonical = Vec::with_capacity(raw.len());
        root = write_members(root, &mut canonical);
        let mut judge =
            Judge { kind: &kind, asked: Asked::new(&kind, tables, at), failures: Vec::new(), changed: false };
        let envelope = judge.envelope(&mut root);
        let number_letter = number_letter(&root, &kind);
        let accounts = judge.accounts(&root);
        judge.outcome(envelope).map(|(envelope, tables, warnings, changed)| Document {
            accounts,
            doc_version: envelope.doc_version,
            client_ref: envelope.client_ref,
            function_code: envelope.function_code,
            number_letter,
            judged_at: at,
            digest: Digest::of(&canonical),
            normalised: changed.then(|| {
                let mut out = Vec::with_capacity(canonical.len());
                write_members(root, &mut out);
                out
            }),
            canonical,
            tables,
            warnings,
            kind,
        })
    }

    /// True while every table version the judgement rests on is in force at `at`, and no rule that looks at the clock could see
    /// another time there.
    pub fn holds_at(&self, tables: &dyn Tables, at: Timestamp) -> bool {
        let offset = self.kind.pack.utc_offset_minutes;
        let same_time = match self.kind.clock {
            Clock::Never => true,
            Clock::Day => local_date(self.judged_at, offset) == local_date(at, offset),
            Clock::Instant => self.judged_at == at,
        };
        same_time && self.tables.iter().all(|(table, then)| tables.in_force(table, at) == *then)
    }

    /// Table versions the judgement rests on.
    pub fn versions(&self) -> impl Iterator<Item = &TableVersion> {
        self.tables.iter().filter_map(|(_, state)| match state {
            InForce::Version(v) => Some(v),
            InForce::NotPublished | InForce::NotHere => None,
        })
    }
}

fn malformed<T>(detail: String) -> Result<T, Refusal> {
    Err(Refusal::Malformed { detail })
}

fn write_members<'a>(members: Members<'a>, out: &mut Vec<u8>) -> Members<'a> {
    let node = Node::Object(members);
    node.write_canonical(out);
    match node {
        Node::Object(members) => members,
        _ => unreachable!("built as an object two lines above"),
    }
}

fn find_type(root: &Members<'_>, packs: &Packs) -> Result<Arc<DocumentType>, Refusal> {
    match root.iter().find(|(k, _)| k == "doc_type") {
        Some((_, Node::Text(name))) => packs
            .get(name)
            .cloned()
            .ok_or_else(|| Refusal::UnknownType { doc_type: name.chars().take(64).collect() }),
        Some((_, other)) => malformed(format!("/doc_type: a string is needed, {} was found", other.kind())),
        None => malformed("/doc_type is missing".into()),
    }
}

/// The letter the type gives its numbers, or the one that the document itself says.
fn number_letter(root: &Members<'_>, kind: &DocumentType) -> char {
    let body = root.iter().find(|(k, _)| k == "body").map(|(_, body)| body);
    let said = kind.number_letter_field.as_ref().and_then(|name| body?.member(name)?.text());
    said.and_then(|text| text.chars().next()).filter(char::is_ascii_uppercase).unwrap_or(kind.number_letter)
}

/// Where a value stands; printed only when something is wrong with it.
enum Place<'p> {
    Root,
    Member(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Member(up, name) => {
                let cut: String = name.chars().take(64).collect();
                write!(f, "{up}/{}", cut.replace('~', "~0").replace('/', "~1"))
            }
            Place::Item(up, n) => write!(f, "{up}/{n}"),
        }
    }
}

#[derive(Default)]
struct Envelope {
    doc_version: u32,
    client_ref: String,
    function_code: String,
}

type Judgement = (Envelope, Vec<(Arc<str>, InForce)>, Vec<Failure>, bool);

struct Judge<'j> {
    kind: &'j DocumentType,
    asked: Asked<'j>,
    failures: Vec<Failure>,
    changed: bool,
}

impl Judge<'_> {
    fn fail(&mut self, place: &Place<'_>, code: &str, detail: impl Into<String>) {
        self.failures.push(Failure { path: place.to_string(), code: code.to_owned(), detail: detail.into() });
    }

    fn wrong_type(&mut self, place: &Place<'_>, needed: &str, found: &Node<'_>) {
        self.fail(
            place,
            &self.kind.pack.codes.r#type,
            format!("{needed} is needed, {} was found", found.kind()),
        );
    }

    fn outcome(self, envelope: Envelope) -> Result<Judgement, Refusal> {
        let (warnings, failures): (Vec<_>, Vec<_>) =
            self.failures.into_iter().partition(|f| f.code.starts_with("W-"));
        if !failures.is_empty() {
            return Err(Refusal::Rules { failures });
        }
        match self.asked.absent {
            Some(table) => Err(Refusal::TableNotHere { table: table.to_string() }),
            None => Ok((envelope, self.asked.seen, warnings, self.changed)),
        }
    }

    fn envelope(&mut self, root: &mut Members<'_>) -> Envelope {
        const MEMBERS: [&str; 5] = ["doc_type", "doc_version", "client_ref", "function_code", "body"];
        let mut envelope = Envelope::default();
        let codes = &self.kind.pack.codes;
        for name in MEMBERS {
            let place = &Place::Member(&Place::Root, name);
            let Some((_, node)) = root.iter_mut().find(|(k, _)| k == name) else {
                self.fail(place, &codes.required, "it is missing");
                continue;
            };
            match (name, node) {
                ("doc_version", node) => envelope.doc_version = self.doc_version(place, node),
                ("client_ref", Node::Text(text)) => envelope.client_ref = self.client_ref(place, text),
                ("function_code", Node::Text(text)) => envelope.function_code = text.to_string(),
                ("body", Node::Object(members)) => self.members(place, &self.kind.fields, members),
                ("body", other) => self.wrong_type(place, "an object", other),
                (_, Node::Text(_)) => {}
                (_, other) => self.wrong_type(place, "a string", other),
            }
        }
        if let Some((_, body @ Node::Object(_))) = root.iter().find(|(k, _)| k == "body") {
            relations::judge(body, &mut self.asked, &mut self.failures);
        }
        self.function_code(&envelope, root);
        for (name, _) in root.iter().filter(|(k, _)| !MEMBERS.contains(&k.as_ref())) {
            self.fail(&Place::Member(&Place::Root, name), &codes.unknown, "this field is not known");
        }
        envelope
    }

    /// What the document asks of accounts; nothing when it is refused anyway.
    fn accounts(&mut self, root: &Members<'_>) -> Vec<AccountCall> {
        let refused = self.failures.iter().any(|f| !f.code.starts_with("W-"));
        match root.iter().find(|(k, _)| k == "body") {
            Some((_, body)) if !refused && !self.kind.ledgers.is_empty() => {
                accounts::calls(body, &mut self.asked, &mut self.failures)
            }
            _ => Vec::new(),
        }
    }

    fn doc_version(&mut self, place: &Place<'_>, node: &Node<'_>) -> u32 {
        let Node::Integer(n) = node else {
            self.wrong_type(place, "a whole number", node);
            return 0;
        };
        match u32::try_from(*n) {
            Ok(n) if n >= 1 && n <= self.kind.version_max => n,
            _ => {
                self.fail(
                    place,
                    &self.kind.pack.codes.range,
                    format!("1 to {} is allowed", self.kind.version_max),
                );
                0
            }
        }
    }

    fn client_ref(&mut self, place: &Place<'_>, text: &str) -> String {
        let max = self.kind.client_ref_length_max;
        if text.is_empty() || text.chars().nth(max).is_some() {
            self.fail(place, &self.kind.pack.codes.length, format!("1 to {max} characters are allowed"));
        }
        if has_control(text, classes::of(text)) {
            self.fail(place, &self.kind.pack.codes.format, "control characters are not allowed");
        }
        text.to_owned()
    }

    /// Judged after the version, because the allowed codes differ between a first and a later version.
    fn function_code(&mut self, envelope: &Envelope, root: &Members<'_>) {
        if !root.iter().any(|(k, v)| k == "function_code" && matches!(v, Node::Text(_))) {
            return;
        }
        let allowed = match envelope.doc_version {
            0 => return,
            1 => &self.kind.function_codes.first,
            _ => &self.kind.function_codes.later,
        };
        if !allowed.contains(&envelope.function_code) {
            let detail = format!("version {} allows {}", envelope.doc_version, allowed.join(", "));
            self.fail(
                &Place::Member(&Place::Root, "function_code"),
                &self.kind.pack.codes.function_code,
                detail,
            );
        }
    }

    fn members(&mut self, place: &Place<'_>, fields: &[Field], members: &mut Members<'_>) {
        let mut known = 0;
        for field in fields {
            let here = &Place::Member(place, &field.name);
            match members.iter_mut().find(|(k, _)| *k == field.name) {
                Some((_, node)) => {
                    known += 1;
                    self.value(here, field, node);
                }
                None if field.presence == Presence::Always => {
                    self.fail(here, &self.kind.pack.codes.required, "it is missing")
                }
                None => {}
            }
        }
        // No member stands twice and no field has the name of another: the rest is unknown.
        if known < members.len() {
            for (name, _) in members.iter().filter(|(k, _)| !fields.iter().any(|f| f.name == *k)) {
                self.fail(
                    &Place::Member(place, name),
                    &self.kind.pack.codes.unknown,
                    "this field is not known",
                );
            }
        }
    }

    fn value(&mut self, place: &Place<'_>, field: &Field, node: &mut Node<'_>) {
        let codes = &self.kind.pack.codes;
        match (&field.kind, node) {
            (Kind::Text(rules), Node::Text(text)) => self.text(place, rules, text),
            (Kind::Integer { min, max }, Node::Integer(n)) => {
                if *n < *min || *n > *max {
                    self.fail(place, &codes.range, format!("{min} to {max} is allowed"));
                }
            }
            (Kind::Decimal { whole, fraction, positive }, Node::Text(text)) => {
                if let Some(detail) = decimal(text, *whole, *fraction, *positive) {
                    self.fail(place, &codes.decimal, detail);
                }
            }
            (Kind::Flag, Node::Bool(_)) => {}
            (Kind::Date, Node::Text(text)) => {
                if parse_date(text).is_none() {
                    self.fail(place, &codes.instant, "a date like 2018-01-10 is needed");
                }
            }
            (Kind::Instant, Node::Text(text)) => {
                if parse_instant(text, 0).is_none() {
                    self.fail(place, &codes.instant, "an instant like 2018-01-10T08:30:00+08:00 is needed");
                }
            }
            (Kind::List { min, max, item }, Node::List(items)) => {
                if items.len() < *min || items.len() > *max {
                    self.fail(
                        place,
                        &codes.length,
                        format!("{min} to {max} items are allowed, {} are here", items.len()),
                    );
                }
                // The excess is one failure by itself; judging it item by item would let a sender inflate the answer.
                for (n, node) in items.iter_mut().enumerate().take(*max) {
                    self.value(&Place::Item(place, n), item, node);
                }
            }
            (Kind::Object(fields), Node::Object(members)) => self.members(place, fields, members),
            (Kind::Flag, other) => self.wrong_type(place, "true or false", other),
            (Kind::Text(_) | Kind::Instant | Kind::Date, other) => self.wrong_type(place, "a string", other),
            (Kind::Decimal { .. }, other) => self.wrong_type(place, "a decimal in a string", other),
            (Kind::Integer { .. }, other) => self.wrong_type(place, "a whole number", other),
            (Kind::List { .. }, other) => self.wrong_type(place, "an array", other),
            (Kind::Object(_), other) => self.wrong_type(place, "an object", other),
        }
    }

    fn text(&mut self, place: &Place<'_>, rules: &TextRules, text: &mut Cow<'_, str>) {
        let mut classes = classes::of(text);
        if let Some(normal) = rules.normalise.apply(text, classes) {
            classes = classes::of(&normal);
            *text = Cow::Owned(normal);
            self.changed = true;
        }
        let codes = &self.kind.pack.codes;
        let length = if classes & WIDE == 0 { text.len() } else { text.chars().count() };
        if length < rules.min || length > rules.max {
            let detail = if rules.min == rules.max {
                format!("{} characters are needed, {length} are here", rules.min)
            } else {
                format!("{} to {} characters are allowed, {length} are here", rules.min, rules.max)
            };
            return self.fail(place, &codes.length, detail);
        }
        let allowed = match rules.characters {
            Characters::Digits => classes & NO_DIGIT == 0,
            Characters::Letters => text.bytes().all(|b| b.is_ascii_uppercase()),
            Characters::Printable => !has_control(text, classes),
        };
        if !allowed {
            let detail = match rules.characters {
                Characters::Digits => "only digits are allowed",
                Characters::Letters => "only capitals are allowed",
                Characters::Printable => "control characters are not allowed",
            };
            return self.fail(place, &codes.format, detail);
        }
        if let Some(finding) = rules.rule.and_then(|r| r.judge(text, &self.kind.pack.parameters)) {
            self.fail(place, finding.code, finding.detail);
            if !finding.is_warning() {
                return;
            }
        }
        if let Some(values) = rules.values.as_ref().filter(|v| !v.contains(&**text)) {
            // A long list would make the answer long; who reads it has the pack.
            let shown: Vec<&str> = values.iter().take(12).map(String::as_str).collect();
            let more = if values.len() > shown.len() { ", …" } else { "" };
            self.fail(place, &codes.table, format!("it is one of {}{more}", shown.join(", ")));
        }
        if let Some(rule) = &rules.table {
            self.table(place, &rule.table, rule.if_published, text);
        }
    }

    fn table(&mut self, place: &Place<'_>, table: &Arc<str>, if_published: bool, key: &str) {
        let found = self.asked.lookups.lookup(table, key, self.asked.at);
        let code = &self.kind.pack.codes.table;
        let state = match found {
            Lookup::Found(version) => InForce::Version(version),
            Lookup::Missing(version) => {
                self.fail(
                    place,
                    code,
                    format!("{key:?} is no key of {} version {}", version.table, version.version),
                );
                InForce::Version(version)
            }
            Lookup::NotPublished => {
                if !if_published {
                    self.fail(place, code, format!("no version of table {table} is in force"));
                }
                InForce::NotPublished
            }
            Lookup::NotHere => {
                self.asked.absent = Some(table.clone());
                InForce::NotHere
            }
        };
        self.asked.note(table, state);
    }
}

/// Whether a text of these classes has control characters, those beyond ASCII included.
fn has_control(text: &str, classes: u8) -> bool {
    classes & CONTROL != 0 || (classes & WIDE != 0 && text.chars().any(char::is_control))
}

/// What is wrong with a decimal, if anything: plain digits, one point, no sign, no superfluous zero in front.
fn decimal(text: &str, whole: usize, fraction: usize, positive: bool) -> Option<String> {
    let (before, behind) = text.split_once('.').map_or((text, None), |(a, b)| (a, Some(b)));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(before) || behind.is_some_and(|b| !digits(b)) || (before.len() > 1 && before.starts_with('0'))
    {
        return Some("plain digits with at most one point are needed, for example 18350.5".into());
    }
    if before.len() > whole || behind.is_some_and(|b| b.len() > fraction) {
        return Some(format!("at most {whole} digits before and {fraction} behind the point are allowed"));
    }
    let zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
    (positive && zero).then(|| "it must be greater than 0".into())
}

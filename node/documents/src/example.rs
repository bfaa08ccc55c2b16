//! A pack's own examples, which are its tests: documents that pass, documents that are refused with exactly these failures, and
//! receipts that move a document through its states.
//!
//! Next to `pack.toml` stands a folder `examples` with `tables.toml` (the tables the examples are judged by) and the folders of
//! `Folder`. A core: whoever reads the files hands in their names and texts.

use crate::json::Node;
use crate::pack::{LifeCycle, Packs, ReceiptStep};
use crate::tables::{InForce, Lookup, TableRow, TableVersion, Tables};
use crate::{Document, Failure, Refusal};
use eport_expression::parse_instant;
use eport_model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The instant examples are judged at when they say nothing: 2018-01-15T08:00:00+08:00.
const AT: Timestamp = Timestamp::from_millis(1_515_974_400_000);

/// What an example's folder says of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Folder {
    /// The document passes, with exactly the warnings it names.
    Valid,
    /// The document is refused with exactly the failures it names.
    Invalid,
    /// The receipts move a document as it says.
    Receipts,
    /// The document, compared with the records it names, fails and warns as it says.
    Compared,
}

impl Folder {
    /// Every folder and its name.
    pub const ALL: [(Folder, &'static str); 4] = [
        (Folder::Valid, "valid"),
        (Folder::Invalid, "invalid"),
        (Folder::Receipts, "receipts"),
        (Folder::Compared, "compared"),
    ];
}

/// A row of a table that examples are judged by: its columns, or its key alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Row {
    Key(String),
    Columns(BTreeMap<String, String>),
}

/// Tables that examples are judged by: from name to rows; a row of columns begins its key with the columns named `key`.
#[derive(Clone, Debug, Default)]
pub struct ExampleTables {
    rows: BTreeMap<String, Vec<Row>>,
    keys: BTreeMap<String, Vec<String>>,
}

impl ExampleTables {
    /// Reads `tables.toml`. Which columns are the key of a table comes from the packs' declarations, else it is `code`.
    pub fn parse(text: &str, packs: &Packs) -> Result<Self, String> {
        let rows = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut keys = BTreeMap::new();
        for kind in packs.types() {
            for (name, columns) in &kind.pack.table_keys {
                keys.insert(name.clone(), columns.clone());
            }
        }
        Ok(Self { rows, keys })
    }

    fn version(&self, table: &str) -> TableVersion {
        TableVersion { table: format!("440000/{table}").into(), version: "example".into() }
    }
}

impl Tables for ExampleTables {
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup {
        match self.cell(table, &[key], None, at) {
            TableRow::Found(version, _) => Lookup::Found(version),
            TableRow::Missing(version) | TableRow::Unlike(version) => Lookup::Missing(version),
            TableRow::NotPublished | TableRow::NotHere => Lookup::NotPublished,
        }
    }

    fn cell(&self, table: &str, key: &[&str], column: Option<&str>, _: Timestamp) -> TableRow {
        let Some(rows) = self.rows.get(table) else { return TableRow::NotPublished };
        let code = [String::from("code")];
        let names = self.keys.get(table).map_or(&code[..], Vec::as_slice);
        let version = self.version(table);
        if names.len() != key.len() {
            return TableRow::Unlike(version);
        }
        let same = |row: &&Row| match row {
            Row::Key(code) => key == [code.as_str()],
            Row::Columns(columns) => {
                names.iter().zip(key).all(|(name, part)| columns.get(name).is_some_and(|c| c == part))
            }
        };
        match (rows.iter().find(same), column) {
            (None, _) => TableRow::Missing(version),
            (Some(Row::Columns(columns)), Some(column)) => {
                TableRow::Found(version, columns.get(column).cloned())
            }
            (Some(Row::Key(_)), Some(_)) => TableRow::Unlike(version),
            (Some(_), None) => TableRow::Found(version, None),
        }
    }

    fn in_force(&self, table: &str, _: Timestamp) -> InForce {
        match self.rows.contains_key(table) {
            true => InForce::Version(self.version(table)),
            false => InForce::NotPublished,
        }
    }
}

/// A document with what is expected of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    document: Value,
    at: Option<String>,
    #[serde(default)]
    failures: Vec<(String, String)>,
    #[serde(default)]
    warnings: Vec<(String, String)>,
    /// Agency → the body it gets; `null`: it gets nothing.
    #[serde(default)]
    recipients: BTreeMap<String, Value>,
}

/// Receipts in the order in which they come, and what each does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    doc_type: String,
    /// `AGENCY:CODE` → the state it is then in, or `noted`, `late`, `unknown`.
    steps: Vec<(String, String)>,
}

/// Runs one example. The error says how it differs from what it expects.
pub fn run(folder: Folder, text: &[u8], packs: &Packs, tables: &dyn Tables) -> Result<(), String> {
    if folder == Folder::Receipts {
        return course(&serde_json::from_slice(text).map_err(|e| e.to_string())?, packs);
    }
    if folder == Folder::Compared {
        return crate::compared_example::run(text, packs, tables, AT);
    }
    let value: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let wrapped = value.get("document").is_some();
    let case: Case = if wrapped || folder == Folder::Invalid {
        serde_json::from_value(value).map_err(|e| e.to_string())?
    } else {
        let (failures, warnings) = (Vec::new(), Vec::new());
        Case { document: value, at: None, failures, warnings, recipients: BTreeMap::new() }
    };
    let at = match &case.at {
        Some(text) => parse_instant(text, 480).ok_or_else(|| format!("{text:?} is no instant"))?,
        None => AT,
    };
    let raw = if wrapped || folder == Folder::Invalid {
        serde_json::to_vec(&case.document).map_err(|e| e.to_string())?
    } else {
        text.to_vec()
    };
    match (folder, Document::judge(&raw, packs, tables, at)) {
        (Folder::Invalid, Err(Refusal::Rules { failures })) => same(&case.failures, &failures),
        (Folder::Invalid, Ok(_)) => Err("it passes".into()),
        (_, Ok(document)) => {
            same(&case.warnings, &document.warnings)?;
            parts(&case, &document, tables, at)
        }
        (_, Err(refusal)) => {
            let found: Vec<String> =
                refusal.failures().iter().map(|f| format!("{} {} {}", f.path, f.code, f.detail)).collect();
            Err(format!("it is refused: {refusal}: {}", found.join("; ")))
        }
    }
}

fn same(expected: &[(String, String)], found: &[Failure]) -> Result<(), String> {
    let found: Vec<(String, String)> = found.iter().map(|f| (f.path.clone(), f.code.clone())).collect();
    let listed =
        |of: &[(String, String)]| of.iter().map(|(p, c)| format!("{p} {c}")).collect::<Vec<_>>().join(", ");
    match found == expected {
        true => Ok(()),
        false => Err(format!("expected [{}], found [{}]", listed(expected), listed(&found))),
    }
}

fn parts(case: &Case, document: &Document, tables: &dyn Tables, at: Timestamp) -> Result<(), String> {
    if case.recipients.is_empty() {
        return Ok(());
    }
    let content = document.normalised.as_deref().unwrap_or(&document.canonical);
    let root = Node::parse(content).map_err(|e| e.to_string())?;
    let body = match &root {
        Node::Object(members) => members.iter().find(|(k, _)| k == "body").map(|(_, v)| v),
        _ => None,
    };
    let body = body.ok_or("it has no body")?;
    let parts = document.kind.projections(body, tables, at);
    for (agency, expected) in &case.recipients {
        let part = parts.iter().find(|p| p.agency == *agency);
        let found: Value = match part {
            Some(part) => serde_json::from_slice(&part.body).map_err(|e| e.to_string())?,
            None => Value::Null,
        };
        if found != *expected {
            return Err(format!("{agency} gets {found}, expected {expected}"));
        }
    }
    Ok(())
}

fn course(course: &Course, packs: &Packs) -> Result<(), String> {
    let kind = packs.get(&course.doc_type).ok_or_else(|| format!("no type {:?}", course.doc_type))?;
    let cycle: &LifeCycle = kind.life_cycle.as_ref().ok_or("the type has no states")?;
    let mut state = cycle.start.clone();
    for (n, (receipt, expected)) in course.steps.iter().enumerate() {
        let (agency, code) =
            receipt.split_once(':').ok_or_else(|| format!("{receipt:?} is no AGENCY:CODE"))?;
        let found = match cycle.step(&state, agency, code) {
            ReceiptStep::Moved(to) => {
                state.clone_from(&to);
                to
            }
            ReceiptStep::Noted => "noted".into(),
            ReceiptStep::Late => "late".into(),
            ReceiptStep::Unknown => "unknown".into(),
        };
        if found != *expected {
            return Err(format!("receipt {} ({receipt}): expected {expected}, found {found}", n + 1));
        }
    }
    Ok(())
}

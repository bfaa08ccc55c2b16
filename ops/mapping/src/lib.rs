//! Rows of a table become documents (`eport doc map`). The mapping is data: a TOML file that says for each field of a document's body
//! where its value comes from. It knows no document type, and the platform judges what comes of it like any other document.
//!
//! What always holds: a mapping that is accepted names only columns that the table has; a row becomes one document, or a list of
//! what is wrong with it; the same row becomes the same document for ever, so that a repeated run repeats nothing. A core: no I/O.
#![forbid(unsafe_code)]

mod rule;
mod stand_in;

use rule::{Rule, Wrong};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stand_in::Found;
use std::collections::BTreeMap;

/// Largest mapping file. 1 MiB.
pub const MAPPING_LEN_MAX: usize = 1 << 20;
/// Most fields of a mapping.
const FIELDS_MAX: usize = 1_000;
/// Deepest path of a field.
const DEPTH_MAX: usize = 12;
/// Most items of a list that a mapping makes.
const ITEMS_MAX: usize = 100;

/// Why a mapping is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MappingError {
    /// It is no TOML of the mapping's shape.
    #[error("{0}")]
    Shape(String),
    /// A field contradicts itself, or another one.
    #[error("field {field:?}: {detail}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong.
        detail: String,
    },
    /// The table has not the columns that the mapping needs.
    #[error("the table has no column {0}")]
    Columns(String),
}

/// What is wrong with a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowProblem {
    /// The field that gets no value.
    pub field: String,
    /// The column whose value cannot be used; empty: several, or none.
    pub column: String,
    /// What is wrong.
    pub detail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    doc_type: String,
    function_code: String,
    client_ref: Rule,
    #[serde(default)]
    maps: BTreeMap<String, BTreeMap<String, String>>,
    field: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    /// Path in the body: names and places in lists, from 0, joined by points.
    path: String,
    #[serde(flatten)]
    rule: Rule,
}

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Name(String),
    Item(usize),
}

/// A mapping that can be carried out.
#[derive(Debug)]
pub struct Mapping {
    doc_type: String,
    function_code: String,
    client_ref: Rule,
    maps: BTreeMap<String, BTreeMap<String, String>>,
    fields: Vec<(String, Vec<Step>, Rule)>,
}

/// A mapping bound to the columns of a table.
#[derive(Debug)]
pub struct Bound<'m> {
    mapping: &'m Mapping,
    columns: BTreeMap<String, usize>,
    found: Found,
}

impl Mapping {
    /// Reads a mapping file.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        if text.len() > MAPPING_LEN_MAX {
            return Err(MappingError::Shape(format!("it is larger than {MAPPING_LEN_MAX} bytes")));
        }
        let file: File = toml::from_str(text).map_err(|e| MappingError::Shape(e.to_string()))?;
        if file.field.is_empty() || file.field.len() > FIELDS_MAX {
            return Err(MappingError::Shape(format!("a mapping has 1 to {FIELDS_MAX} fields")));
        }
        let wrong = |field: &str, detail: String| MappingError::Field { field: field.to_owned(), detail };
        file.client_ref.check(&file.maps).map_err(|d| wrong("client_ref", d))?;
        let mut fields: Vec<(String, Vec<Step>, Rule)> = Vec::with_capacity(file.field.len());
        let mut body = Value::Object(Map::new());
        for Field { path, rule } in file.field {
            let steps = steps(&path).map_err(|d| wrong(&path, d))?;
            rule.check(&file.maps).map_err(|d| wrong(&path, d))?;
            // Paths that contradict each other show on a trial body.
            put(&mut body, &steps, Value::Bool(true)).map_err(|d| wrong(&path, d))?;
            fields.push((path, steps, rule));
        }
        Ok(Self {
            doc_type: file.doc_type,
            function_code: file.function_code,
            client_ref: file.client_ref,
            maps: file.maps,
            fields,
        })
    }

    /// Binds it to the columns of a table; a name that stands twice counts where it stands first.
    pub fn bind<'m>(&'m self, header: &[&str]) -> Result<Bound<'m>, MappingError> {
        let mut columns = BTreeMap::new();
        for (n, name) in header.iter().enumerate() {
            columns.entry(name.trim_start_matches('\u{feff}').trim().to_owned()).or_insert(n);
        }
        let rules = self.fields.iter().map(|(_, _, rule)| rule).chain([&self.client_ref]);
        let mut missing: Vec<String> =
            rules.flat_map(Rule::columns).filter(|c| !columns.contains_key(c)).collect();
        missing.sort();
        missing.dedup();
        match missing.is_empty() {
            true => Ok(Bound { mapping: self, columns, found: Found::default() }),
            false => Err(MappingError::Columns(missing.join(", "))),
        }
    }
}

impl Bound<'_> {
    /// The document of a row, or everything that is wrong with it.
    pub fn document(&self, row: &[&str]) -> Result<Value, Vec<RowProblem>> {
        let cell = |column: &str| self.columns.get(column).and_then(|n| row.get(*n)).map_or("", |c| c.trim());
        let mut problems = Vec::new();
        let mut take = |field: &str, rule: &Rule| match rule.value(&cell, &self.mapping.maps, &self.found) {
            Ok(value) => value,
            Err(Wrong { column, detail }) => {
                problems.push(RowProblem { field: field.to_owned(), column, detail });
                None
            }
        };
        let client_ref = take("client_ref", &self.mapping.client_ref);
        let mut body = Value::Object(Map::new());
        let mut contradicts = Vec::new();
        for (path, steps, rule) in &self.mapping.fields {
            if let Some(value) = take(path, rule)
                && let Err(detail) = put(&mut body, steps, value)
            {
                contradicts.push(RowProblem { field: path.clone(), column: String::new(), detail });
            }
        }
        problems.extend(contradicts);
        let Some(client_ref) = client_ref else {
            if problems.is_empty() {
                let detail = "it comes to nothing".to_owned();
                problems.push(RowProblem { field: "client_ref".into(), column: String::new(), detail });
            }
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(json!({
            "doc_type": self.mapping.doc_type, "doc_version": 1, "client_ref": client_ref,
            "function_code": self.mapping.function_code, "body": body,
        }))
    }
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut out = Vec::new();
    for part in path.split('.') {
        out.push(match part.parse::<usize>() {
            Ok(n) if n < ITEMS_MAX && !out.is_empty() => Step::Item(n),
            Ok(_) => return Err(format!("{part:?} is no place in a list of {ITEMS_MAX} items")),
            Err(_) if part.is_empty() => return Err("a part of the path is empty".into()),
            Err(_) => Step::Name(part.to_owned()),
        });
    }
    match out.len() <= DEPTH_MAX {
        true => Ok(out),
        false => Err(format!("it is deeper than {DEPTH_MAX}")),
    }
}

/// Puts a value at a path; lists are filled in order.
fn put(into: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((first, rest)) = steps.split_first() else {
        return match into.is_null() {
            true => {
                *into = value;
                Ok(())
            }
            false => Err("another field stands in its place".into()),
        };
    };
    match first {
        Step::Name(name) => {
            if into.is_null() {
                *into = Value::Object(Map::new());
            }
            let members = into.as_object_mut().ok_or("a value stands where names are needed")?;
            put(members.entry(name.clone()).or_insert(Value::Null), rest, value)
        }
        Step::Item(n) => {
            if into.is_null() {
                *into = Value::Array(Vec::new());
            }
            let items = into.as_array_mut().ok_or("a value stands where a list is needed")?;
            if *n > items.len() {
                return Err(format!("item {n} follows {} items", items.len()));
            }
            if *n == items.len() {
                items.push(Value::Null);
            }
            match items.get_mut(*n) {
                Some(item) => put(item, rest, value),
                None => Err("a list is too short".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = r#"
doc_type = "d"
function_code = "9"
client_ref = { text = "R-{No}" }
[maps.yes]
Y = "1"
N = "0"
[[field]]
path = "kind"
text = "plain"
[[field]]
path = "lines.0.weight"
column = "Weight"
decimals = 2
[[field]]
path = "lines.0.flag"
column = "Flag"
map = "yes"
otherwise = "9"
[[field]]
path = "lines.0.price"
divide = ["Value", "Weight"]
decimals = 4
otherwise = "0"
[[field]]
path = "count"
column = "Count"
whole = true
"#;

    fn one(row: &[&str]) -> Result<Value, Vec<RowProblem>> {
        let mapping = Mapping::parse(MAPPING).unwrap();
        mapping.bind(&["No", "Weight", "Flag", "Value", "Count"]).unwrap().document(row)
    }

    #[test]
    fn a_row_becomes_a_document_with_exact_decimals() {
        let found = one(&["7", "3.005", "Y", "10", "12"]).unwrap();
        let body = json!({"kind": "plain", "count": 12,
            "lines": [{"weight": "3.01", "flag": "1", "price": "3.3278"}]});
        assert_eq!(found["client_ref"], "R-7");
        assert_eq!(found["body"], body);
        let other = one(&["7", "0", "?", "10", ""]).unwrap();
        assert_eq!(other["body"]["lines"][0], json!({"weight": "0.00", "flag": "9", "price": "0"}));
        assert!(other["body"].get("count").is_none(), "an empty cell is no value");
    }

    #[test]
    fn everything_that_is_wrong_with_a_row_is_told_at_once() {
        let found = one(&["7", "heavy", "Y", "10", "1.5"]).unwrap_err();
        let told: Vec<(&str, &str)> = found.iter().map(|p| (p.field.as_str(), p.column.as_str())).collect();
        assert_eq!(told, [("lines.0.weight", "Weight"), ("lines.0.price", "Weight"), ("count", "Count")]);
        assert!(one(&["7"]).is_ok(), "a short row has empty cells");
    }

    #[test]
    fn a_mapping_that_contradicts_itself_or_the_table_is_refused() {
        for (from, to, what) in [
            ("path = \"kind\"", "path = \"lines\"", "stands"),
            ("path = \"lines.0.flag\"", "path = \"lines.2.flag\"", "follows"),
            ("path = \"lines.0.flag\"", "path = \"\"", "empty"),
            ("map = \"yes\"", "map = \"no\"", "no map"),
            ("decimals = 2", "decimals = 99", "decimals"),
            ("text = \"plain\"", "text = \"{open\"", "brace"),
            ("text = \"plain\"", "text = \"plain\"\ncolumn = \"No\"", "one of"),
            ("text = \"plain\"", "", "one of"),
        ] {
            let error = Mapping::parse(&MAPPING.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(what), "{from} -> {to}: {error}");
        }
        let mapping = Mapping::parse(MAPPING).unwrap();
        let error = mapping.bind(&["No", "Weight"]).unwrap_err();
        assert_eq!(error, MappingError::Columns("Count, Flag, Value".into()));
    }

    #[test]
    fn no_mapping_and_no_row_panics() {
        for at in 0..MAPPING.len() {
            let _ = Mapping::parse(&MAPPING[..at]);
        }
        for row in
            [&["", "", "", "", ""][..], &["\u{0}", "1e9999999", "集", "-0.0", "9223372036854775808"], &[]]
        {
            let _ = one(row);
        }
    }
}

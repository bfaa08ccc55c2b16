//! Mapping files: how the columns of a file become those of a table, and the rules that are kept with it.
//!
//! A mapping is TOML that an operator writes once for a source. Where a file's columns were renamed, `from` lists the names;
//! nothing is matched by likeness. A column that the mapping names and the file lacks is a problem, never an empty column,
//! unless it is `optional`.

use crate::encoding::Encoding;
use crate::format::Format;
use crate::import::{Options, Repeats};
use crate::rules::{ColumnRule, Hierarchy, Rules, Validity, ValueType};
use eport_catalog::COLUMNS_MAX;
use eport_model::codes::TABLE_MAPPING;
use eport_model::{Code, Coded};
use serde::Deserialize;

/// Largest mapping file in bytes.
pub const MAPPING_LEN_MAX: usize = 256 << 10;

/// A column of the table and the names it may have in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Name in the table.
    pub name: String,
    /// Names in files; never empty.
    pub from: Vec<String>,
    /// True when a file may lack it.
    pub optional: bool,
    /// What becomes of control characters in its values.
    pub control_characters: Controls,
}

/// What becomes of control characters in the values of a column. NULs and line breaks are no matter of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controls {
    /// The file is refused.
    #[default]
    Refuse,
    /// They are left out and counted.
    Drop,
}

/// What becomes of columns that the mapping does not name.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlisted {
    /// They follow the named ones.
    #[default]
    Keep,
    /// They are left out.
    Drop,
    /// The file is refused.
    Refuse,
}

/// How columns are taken from a file. Empty: as they are.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mapping {
    /// Columns in the order of the table.
    pub columns: Vec<Mapped>,
    /// The others.
    pub unlisted: Unlisted,
}

impl Mapping {
    /// Whether some column drops control characters. They are then judged value by value, not in the text as a whole.
    pub(crate) fn drops_controls(&self) -> bool {
        self.columns.iter().any(|c| c.control_characters == Controls::Drop)
    }
}

/// A mapping file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mapping file: {0}")]
pub struct MappingError(pub String);

impl Coded for MappingError {
    fn code(&self) -> Code {
        TABLE_MAPPING
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<String>,
    encoding: Option<String>,
    format: Option<String>,
    delimiter: Option<String>,
    sheet: Option<String>,
    repeats: Option<Repeats>,
    #[serde(default)]
    unlisted: Unlisted,
    #[serde(default)]
    column: Vec<ColumnEntry>,
    hierarchy: Option<Hierarchy>,
    validity: Option<Validity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnEntry {
    name: String,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(rename = "type", default)]
    kind: ValueType,
    #[serde(default)]
    widths: Vec<u16>,
    #[serde(default)]
    required: bool,
    references: Option<String>,
    #[serde(default)]
    control_characters: Controls,
}

/// A delimiter as people write it.
pub(crate) fn delimiter(text: &str) -> Result<u8, MappingError> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => Ok(*one),
        _ => Err(MappingError("delimiter: one character is needed".to_owned())),
    }
}

/// Reads a mapping file into the options of an import; what the file does not say stays as it is.
pub fn apply(text: &str, options: &mut Options) -> Result<(), MappingError> {
    let bad = |detail: String| MappingError(detail);
    if text.len() > MAPPING_LEN_MAX {
        return Err(bad(format!("{} bytes; {MAPPING_LEN_MAX} are allowed", text.len())));
    }
    let file: File = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
    if file.column.len() > COLUMNS_MAX {
        return Err(bad(format!("{} columns; {COLUMNS_MAX} are allowed", file.column.len())));
    }
    if !file.key.is_empty() {
        options.key = file.key;
    }
    if let Some(encoding) = &file.encoding {
        options.encoding = encoding.parse::<Encoding>().map_err(|e| bad(e.to_string()))?;
    }
    if let Some(format) = &file.format {
        options.set_format(format.parse::<Format>().map_err(|e| bad(e.to_string()))?);
    }
    if let Some(text) = &file.delimiter {
        options.delimiter = delimiter(text)?;
    }
    options.sheet = file.sheet.or_else(|| options.sheet.take());
    options.repeats = file.repeats.unwrap_or(options.repeats);
    let mut rules = Rules { hierarchy: file.hierarchy, validity: file.validity, ..Rules::default() };
    let mut columns: Vec<Mapped> = Vec::new();
    for entry in file.column {
        if columns.iter().any(|c| c.name == entry.name) {
            return Err(bad(format!("column {:?} is listed twice", entry.name)));
        }
        let rule = ColumnRule {
            kind: entry.kind,
            widths: entry.widths,
            required: entry.required,
            references: entry.references,
        };
        if rule != ColumnRule::default() {
            rules.columns.insert(entry.name.clone(), rule);
        }
        let from = if entry.from.is_empty() { vec![entry.name.clone()] } else { entry.from };
        let control_characters = entry.control_characters;
        columns.push(Mapped { name: entry.name, from, optional: entry.optional, control_characters });
    }
    options.mapping = Mapping { columns, unlisted: file.unlisted };
    options.rules = rules;
    Ok(())
}

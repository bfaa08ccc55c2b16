//! The forms a file may have, and what all their readers have in common.

use crate::problem::{Findings, Place};
use crate::scan::{Field, Start};
use eport_identity::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fields between delimiters, RFC 4180.
    #[default]
    Csv,
    /// The same with tabs.
    Tsv,
    /// A sheet of an Office Open XML workbook.
    Xlsx,
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// The form that a file's name says: its ending, else CSV.
    pub fn of_name(name: &str) -> Format {
        let ending = name.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
        match ending.as_str() {
            "tsv" | "tab" => Format::Tsv,
            "xlsx" => Format::Xlsx,
            "jsonl" | "ndjson" => Format::Jsonl,
            _ => Format::Csv,
        }
    }
}

impl FromStr for Format {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        match s.to_ascii_lowercase().as_str() {
            "csv" => Ok(Format::Csv),
            "tsv" => Ok(Format::Tsv),
            "xlsx" => Ok(Format::Xlsx),
            "jsonl" | "ndjson" => Ok(Format::Jsonl),
            _ => Err(ParseError {
                what: "format of a table file",
                input: s.chars().take(64).collect(),
                reason: "csv, tsv, xlsx or jsonl is needed",
            }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Xlsx => "xlsx",
            Format::Jsonl => "jsonl",
        })
    }
}

/// Where something stands in the file.
pub(crate) trait At {
    /// The place of a field's mark inside the record that begins at `start`.
    fn place(&self, start: Start, at: usize) -> Place;
}

/// What a reader came to.
pub(crate) enum Step {
    /// A whole record; its fields are handed out.
    Record(Start),
    /// A blank line, or a record with a fault, which is reported.
    Nothing,
    /// The text ends inside a record and goes on elsewhere: it is to be read again with more behind it.
    Short,
    /// The end.
    End,
}

/// Reads the records of a part of a text, one after the other.
pub(crate) trait Steps<'t>: At {
    /// The next record. What it reports counts unless it is short.
    fn step(&mut self, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> Step;

    /// Where it stands: offset in the part and line of the file.
    fn stand(&self) -> (usize, u64);
}

/// Takes the records of a file in order; the first one is the header.
pub(crate) type See<'s> =
    dyn for<'t> FnMut(&dyn At, Start, &mut Vec<Field<'t>>, &mut Findings) -> ControlFlow<()> + 's;

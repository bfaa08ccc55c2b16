//! The forms a file may have, and what all their readers have in common.

use crate::problem::{Findings, Place};
use crate::scan::{Field, Start};
use eport_identity::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
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

/// A reader of records. The first one is the header.
pub(crate) trait Records<'t> {
    /// Reads the next whole record; faulty ones are reported and skipped.
    fn record(&mut self, fields: &mut Vec<Field<'t>>, findings: &mut Findings) -> Option<Start>;

    /// The place of a field's mark inside the record that begins at `start`.
    fn place(&self, start: Start, at: usize) -> Place;

    /// Places of marks, which are in rising order.
    fn places(&self, marks: &[u64]) -> Vec<Place>;

    /// The value that stands at a mark, for messages.
    fn value_at(&self, mark: u64) -> String;
}

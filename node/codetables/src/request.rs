//! What a caller says about a file, and how a node and the operator's program come to the same reading of it.
//!
//! Both read the file: the node to judge it, the program to sign what it found itself. So there is one way from the words of
//! the request to the options, in this module.

use crate::encoding::Encoding;
use crate::format::Format;
use crate::import::{Options, Repeats};
use crate::mapping::{self, MappingError};
use crate::rules::Rules;
use serde::{Deserialize, Serialize};

/// The part of an import's options that says how the file is read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Key columns; those of the version before when none are given.
    pub key: Vec<String>,
    /// Encoding; UTF-8 when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Form of the file; CSV when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Delimiter of CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Sheet of a workbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// `refuse`, `first` or `last`: rows that repeat a key with other values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
    /// Text of a mapping file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// Rules; those of the version before when neither they nor a mapping are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
}

impl Request {
    /// Takes the form from the file's name where neither the caller nor a mapping says it.
    pub fn name_format(&mut self, file_name: &str) {
        let named = Format::of_name(file_name);
        if self.format.is_none() && (named != Format::Csv || self.mapping.is_none()) {
            self.format = Some(named.to_string());
        }
    }

    /// The options; `before` are key and rules of the version that the new one takes over from.
    pub fn options(&self, before: Option<(&[String], &Rules)>) -> Result<Options, MappingError> {
        let bad = |e: eport_identity::ParseError| MappingError(e.to_string());
        let mut options = Options::with_key(before.map_or(&[][..], |(key, _)| key).iter().cloned());
        if let (None, None, Some((_, rules))) = (&self.mapping, &self.rules, before) {
            options.rules = rules.clone();
        }
        if let Some(text) = &self.mapping {
            mapping::apply(text, &mut options)?;
        }
        if let Some(rules) = &self.rules {
            options.rules = rules.clone();
        }
        if !self.key.is_empty() {
            options.key.clone_from(&self.key);
        }
        if let Some(encoding) = &self.encoding {
            options.encoding = encoding.parse::<Encoding>().map_err(bad)?;
        }
        if let Some(format) = &self.format {
            let format = format.parse::<Format>().map_err(bad)?;
            if format != options.format {
                options.set_format(format);
            }
        }
        if let Some(delimiter) = &self.delimiter {
            options.delimiter = mapping::delimiter(delimiter)?;
        }
        if self.sheet.is_some() {
            options.sheet.clone_from(&self.sheet);
        }
        options.repeats = self.repeats.unwrap_or(options.repeats);
        Ok(options)
    }
}

//! Standards packs: what a document type looks like, as data.
//!
//! A pack is one TOML file. It is read once into `Pack`; every limit, code, table name and rule name of a document comes from
//! it, and the software holds no type per document. A pack that contradicts itself is refused with the place named.

use crate::checks::Parameters;
use crate::field::{Field, FieldSpec};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of the pack file's layout.
pub const FORMAT: u32 = 1;

/// Largest pack file. 1 MiB.
pub const PACK_LEN_MAX: usize = 1 << 20;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// Why a pack is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Not TOML of the pack's shape.
    #[error("not a pack: {0}")]
    Shape(String),
    /// Another layout.
    #[error("pack format {found} is not known here (known: {FORMAT})")]
    Format {
        /// The one found.
        found: u32,
    },
    /// It contradicts itself.
    #[error("{at}: {problem}")]
    Rule {
        /// Document and field.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// Two packs define one type.
    #[error("document type {doc_type:?} is defined twice")]
    Twice {
        /// The type.
        doc_type: String,
    },
}

/// A text in both languages.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// Failure code of each kind of failure that no check rule names.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureCodes {
    /// A required field is absent.
    pub required: String,
    /// A field is not known.
    pub unknown: String,
    /// The JSON type is another one.
    pub r#type: String,
    /// Too short or too long.
    pub length: String,
    /// Characters that are not allowed.
    pub format: String,
    /// A number outside its range.
    pub range: String,
    /// No decimal of the allowed digits.
    pub decimal: String,
    /// No instant.
    pub instant: String,
    /// No key of the table in force.
    pub table: String,
    /// A function code that is not allowed here.
    pub function_code: String,
    /// A version number that is not the next one.
    pub version: String,
}

/// Function codes a document may carry.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionCodes {
    /// On version 1.
    pub first: Vec<String>,
    /// On later versions.
    pub later: Vec<String>,
}

/// One document type of a pack.
#[derive(Debug)]
pub struct DocumentType {
    /// Its name on the wire.
    pub doc_type: Arc<str>,
    /// Its name for people.
    pub title: Title,
    /// First letter of its document numbers.
    pub number_letter: char,
    /// Largest document in bytes as lodged.
    pub bytes_max: usize,
    /// Highest version number.
    pub version_max: u32,
    /// Longest client reference in characters.
    pub client_ref_length_max: usize,
    /// Function codes it may carry.
    pub function_codes: FunctionCodes,
    /// True when an answer to such a document must promise `replicated`, whatever the platform's policy says: entries in
    /// accounts and whatever is consumed once.
    pub replicated: bool,
    /// Fields of its body, in order.
    pub fields: Vec<Field>,
    /// What its pack says for all its documents.
    pub pack: Arc<PackHead>,
}

/// What holds for all documents of a pack.
#[derive(Debug)]
pub struct PackHead {
    /// The pack's name.
    pub name: Arc<str>,
    /// The pack's version.
    pub version: Arc<str>,
    /// Offset of local time from UTC.
    pub utc_offset_minutes: i32,
    /// Failure codes.
    pub codes: FailureCodes,
    /// Parameters of check rules.
    pub parameters: Parameters,
}

/// A pack.
#[derive(Debug)]
pub struct Pack {
    /// What holds for all its documents.
    pub head: Arc<PackHead>,
    /// Its document types.
    pub documents: Vec<Arc<DocumentType>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackSpec {
    /// Checked before by `FormatSpec`; named so that it is no unknown key.
    #[serde(rename = "format")]
    _format: u32,
    name: String,
    version: String,
    utc_offset_minutes: i32,
    codes: FailureCodes,
    #[serde(default)]
    parameters: Parameters,
    document: Vec<DocumentSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentSpec {
    doc_type: String,
    title: Title,
    number_letter: char,
    bytes_max: usize,
    version_max: u32,
    client_ref_length_max: usize,
    function_codes: FunctionCodes,
    #[serde(default)]
    min_durability: MinDurability,
    field: Vec<FieldSpec>,
}

/// The least that an answer to a document of a type promises.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MinDurability {
    /// What the platform's policy promises.
    #[default]
    Local,
    /// The loss of any one site.
    Replicated,
}

/// Only the layout, read first so that a newer pack is named as such.
#[derive(Deserialize)]
struct FormatSpec {
    format: u32,
}

impl Pack {
    /// Reads a pack file.
    pub fn parse(text: &str) -> Result<Self, PackError> {
        if text.len() > PACK_LEN_MAX {
            return Err(PackError::Shape(format!("{} bytes exceed the limit of {PACK_LEN_MAX}", text.len())));
        }
        let shape = |e: toml::de::Error| PackError::Shape(e.to_string());
        let found = toml::from_str::<FormatSpec>(text).map_err(shape)?.format;
        if found != FORMAT {
            return Err(PackError::Format { found });
        }
        let spec: PackSpec = toml::from_str(text).map_err(shape)?;
        if spec.utc_offset_minutes.abs() > 14 * 60 {
            return Err(PackError::Rule {
                at: spec.name,
                problem: "utc_offset_minutes is beyond 14 hours".into(),
            });
        }
        let head = Arc::new(PackHead {
            name: spec.name.into(),
            version: spec.version.into(),
            utc_offset_minutes: spec.utc_offset_minutes,
            codes: spec.codes,
            parameters: spec.parameters,
        });
        let documents: Result<_, _> =
            spec.document.into_iter().map(|d| DocumentType::compile(d, &head).map(Arc::new)).collect();
        Ok(Self { head, documents: documents? })
    }
}

impl DocumentType {
    fn compile(spec: DocumentSpec, head: &Arc<PackHead>) -> Result<Self, PackError> {
        let at = spec.doc_type.clone();
        let fail = |problem: &str| Err(PackError::Rule { at: at.clone(), problem: problem.into() });
        let name = |s: &str| {
            !s.is_empty()
                && s.len() <= 64
                && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !name(&spec.doc_type) {
            return fail("a type's name is 1 to 64 of a-z, 0-9 and _");
        }
        if !spec.number_letter.is_ascii_uppercase() {
            return fail("number_letter is one capital letter");
        }
        if spec.function_codes.first.is_empty() || spec.version_max == 0 || spec.client_ref_length_max == 0 {
            return fail(
                "function_codes.first, version_max and client_ref_length_max allow no document at all",
            );
        }
        if spec.bytes_max > crate::DOCUMENT_LEN_MAX {
            return fail("bytes_max is above what any document may have");
        }
        Ok(Self {
            fields: Field::compile_all(spec.field, &spec.doc_type)?,
            doc_type: spec.doc_type.into(),
            title: spec.title,
            number_letter: spec.number_letter,
            bytes_max: spec.bytes_max,
            version_max: spec.version_max,
            client_ref_length_max: spec.client_ref_length_max,
            function_codes: spec.function_codes,
            replicated: spec.min_durability == MinDurability::Replicated,
            pack: head.clone(),
        })
    }
}

/// The packs in force: document types by name.
#[derive(Debug, Default)]
pub struct Packs {
    types: BTreeMap<Arc<str>, Arc<DocumentType>>,
}

impl Packs {
    /// Packs that do not contradict each other.
    pub fn new(packs: impl IntoIterator<Item = Pack>) -> Result<Self, PackError> {
        let mut types = BTreeMap::new();
        for document in packs.into_iter().flat_map(|p| p.documents) {
            if let Some(twice) = types.insert(document.doc_type.clone(), document) {
                return Err(PackError::Twice { doc_type: twice.doc_type.to_string() });
            }
        }
        Ok(Self { types })
    }

    /// The packs that were built into the program: every folder of `node/packs`.
    pub fn builtin() -> Result<Self, PackError> {
        let packs: Result<Vec<_>, _> = BUILTIN.iter().map(|(_, text)| Pack::parse(text)).collect();
        Self::new(packs?)
    }

    /// The type of that name.
    pub fn get(&self, doc_type: &str) -> Option<&Arc<DocumentType>> {
        self.types.get(doc_type)
    }

    /// All types, by name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<DocumentType>> {
        self.types.values()
    }
}

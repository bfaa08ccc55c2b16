//! The packs in force together: document types by name, and what packs say of each other's documents.

use super::problem::{PackError, Problem, ProblemCode};
use super::{DocumentType, Pack, shape};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The packs in force: document types by name.
#[derive(Debug, Default)]
pub struct Packs {
    types: BTreeMap<Arc<str>, Arc<DocumentType>>,
}

impl Packs {
    /// Packs that do not contradict each other.
    pub fn new(packs: impl IntoIterator<Item = Pack>) -> Result<Self, PackError> {
        Self::of(packs.into_iter().flat_map(|p| p.documents))
    }

    /// Document types that do not contradict each other.
    pub fn of(documents: impl IntoIterator<Item = Arc<DocumentType>>) -> Result<Self, PackError> {
        let mut types = BTreeMap::new();
        let mut problems = Vec::new();
        for document in documents {
            if let Some(twice) = types.insert(document.doc_type.clone(), document) {
                let detail = format!("document type {:?} is defined twice", twice.doc_type);
                problems.push(problem(&twice, (1, 1), ProblemCode::Twice, detail));
            }
        }
        let found = Self { types };
        problems.extend(found.types.values().flat_map(|d| found.unmatched(d)));
        if problems.is_empty() { Ok(found) } else { Err(PackError { problems }) }
    }

    /// Keys of comparisons that name no field of the other document, where that document is known.
    fn unmatched(&self, document: &DocumentType) -> Vec<Problem> {
        let mut out = Vec::new();
        for check in &document.cross_checks {
            for other in check.with.iter().filter_map(|t| self.types.get(t.as_str())) {
                let body = shape::record(&other.fields);
                for key in check.keys.values().filter(|k| shape::at(&body, k).is_none()) {
                    let detail = format!("{} has no field {key:?}", other.doc_type);
                    out.push(problem(document, check.place, ProblemCode::Reference, detail));
                }
            }
        }
        out
    }

    /// The packs that were built into the program: every folder of `node/packs`.
    pub fn builtin() -> Result<Self, PackError> {
        Self::new(super::overlay(&[])?)
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

fn problem(document: &DocumentType, place: (usize, usize), code: ProblemCode, detail: String) -> Problem {
    let file = format!("{}/pack.toml", document.pack.name);
    Problem { file, line: place.0, column: place.1, code, detail }
}

//! The packs in force together: document types by name, and what packs say of each other's documents.

use super::comparisons::{Comparison, comparisons, problem};
use super::problem::{PackError, ProblemCode};
use super::{DocumentType, Pack};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The packs in force: document types by name.
#[derive(Debug, Default)]
pub struct Packs {
    types: BTreeMap<Arc<str>, Arc<DocumentType>>,
    comparisons: BTreeMap<Arc<str>, Vec<Comparison>>,
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
                problems.push(problem(&twice, ((1, 1), ProblemCode::Twice, detail)));
            }
        }
        let mut compared = BTreeMap::new();
        for document in types.values() {
            let mut wrong = Vec::new();
            let found = comparisons(document, &types, &mut wrong);
            problems.extend(wrong.into_iter().map(|w| problem(document, w)));
            if !found.is_empty() {
                compared.insert(document.doc_type.clone(), found);
            }
        }
        match problems.is_empty() {
            true => Ok(Self { types, comparisons: compared }),
            false => Err(PackError { problems }),
        }
    }

    /// The comparisons of a type that can be carried out.
    pub fn comparisons(&self, doc_type: &str) -> &[Comparison] {
        self.comparisons.get(doc_type).map_or(&[], Vec::as_slice)
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

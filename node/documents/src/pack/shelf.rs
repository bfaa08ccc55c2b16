//! Packs by instant: a document is judged by the packs in force at its record's time, and by no others.

use super::{Pack, PackError, Packs};
use crate::Refusal;
use eport_model::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of the catalogue in which packs are published, as refusals show it.
pub const CATALOGUE: &str = "packs";

/// The packs that are known here.
pub trait Shelf: Send + Sync {
    /// The packs in force at an instant. A version that is in force and not here is never replaced by another.
    fn at(&self, at: Timestamp) -> Result<Arc<Packs>, Refusal>;

    /// Every document type that some version has defined: documents of a retired pack stay readable.
    fn types(&self) -> Vec<Arc<str>>;
}

/// The same packs at every instant.
impl Shelf for Arc<Packs> {
    fn at(&self, _: Timestamp) -> Result<Arc<Packs>, Refusal> {
        Ok(self.clone())
    }

    fn types(&self) -> Vec<Arc<str>> {
        Packs::types(self).map(|t| t.doc_type.clone()).collect()
    }
}

/// A published pack: its name, and its text or nothing when it is retired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// The pack.
    pub name: String,
    /// Its file; `None`: retired.
    pub text: Option<String>,
}

/// What the program carries, with what was published in its place: a published pack replaces the one of its name, a retired one
/// is gone.
pub fn overlay(published: &[Published]) -> Result<Vec<Pack>, PackError> {
    let mut packs: BTreeMap<String, Option<(String, String)>> = super::BUILTIN
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Some((format!("{name}/pack.toml"), (*text).to_owned()))))
        .collect();
    for one in published {
        let text = one.text.clone().map(|text| (format!("{}.toml", one.name), text));
        packs.insert(one.name.clone(), text);
    }
    packs.values().flatten().map(|(file, text)| Pack::parse_file(file, text)).collect()
}

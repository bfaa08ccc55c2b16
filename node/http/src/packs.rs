//! Packs by instant on this node: those the program carries, with what the province published in their place.
//!
//! A publication is a version of the catalogue `packs`, a table whose rows are packs: staged, signed, effective and distributed as
//! every table is. Always: at an instant every node judges by the same packs; a version that is in force and not here, or that this
//! program cannot read, is never replaced by another.

use crate::problem::ApiError;
use crate::tables::TableService;
use eport_codetables::Table;
use eport_documents::pack::{CATALOGUE, Difference, PackError, Published, Shelf, compare, numbered, overlay};
use eport_documents::{Pack, Packs, Refusal};
use eport_model::{Digest, Timestamp, codes};
use eport_registry::TableVersion;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use tracing::error;

/// Versions kept compiled; beyond it they are compiled again when needed.
const COMPILED_MAX: usize = 16;

/// Packs of this node.
pub struct PackService {
    tables: Arc<TableService>,
    builtin: Arc<Packs>,
    /// Compiled versions by the digest of their content; `None`: this program cannot read it.
    compiled: RwLock<BTreeMap<Digest, Option<Arc<Packs>>>>,
    /// Document types of every version that was ever compiled here; a few names a version.
    types: RwLock<BTreeMap<Digest, Vec<Arc<str>>>>,
}

/// The packs that a version of the catalogue publishes.
fn published(table: &Table) -> Vec<Published> {
    let row = |r: eport_catalog::RowRef<'_>| {
        let text = r.get("text").filter(|t| !t.is_empty()).map(str::to_owned);
        Published { name: r.get("name").unwrap_or_default().to_owned(), text }
    };
    table.iter().map(row).collect()
}

impl PackService {
    /// The packs of the program over these tables.
    pub fn new(tables: Arc<TableService>) -> Result<Arc<Self>, PackError> {
        let builtin = Arc::new(Packs::builtin()?);
        Ok(Arc::new(Self { tables, builtin, compiled: RwLock::default(), types: RwLock::default() }))
    }

    fn compiled(&self, root: &Digest) -> Option<Option<Arc<Packs>>> {
        self.compiled.read().unwrap_or_else(PoisonError::into_inner).get(root).cloned()
    }

    fn compile(&self, version: &TableVersion) -> Result<Arc<Packs>, Refusal> {
        let away = || Refusal::TableNotHere { table: CATALOGUE.into() };
        let table = self.tables.open(version).map_err(|_| away())?;
        let found = overlay(&published(&table)).and_then(Packs::new);
        if let Err(e) = &found {
            error!(version = version.version, error = %e, "published packs cannot be read by this program");
        }
        let found = found.ok().map(Arc::new);
        let names = found.iter().flat_map(|p| Packs::types(p)).map(|t| t.doc_type.clone()).collect();
        self.types.write().unwrap_or_else(PoisonError::into_inner).insert(version.root, names);
        let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= COMPILED_MAX {
            compiled.pop_first();
        }
        // Another thread may have compiled it meanwhile: documents compare packs by identity, so the first one stays.
        compiled.entry(version.root).or_insert(found).clone().ok_or_else(away)
    }

    /// Judges a version of the catalogue before it is published: every pack is good, they fit each other, and the numbers of
    /// versions say what changes. What follows from it is answered for the report.
    pub(crate) fn judge(
        &self,
        before: Option<&Table>,
        content: &Table,
        force: bool,
    ) -> Result<Vec<(String, Vec<Difference>)>, ApiError> {
        let refused = |e: PackError| {
            let lines: Vec<String> = e.problems.iter().map(ToString::to_string).collect();
            ApiError::new(codes::PACK_REFUSED, lines.join("\n"))
        };
        let known = |columns: &[&str]| {
            columns.iter().all(|c| content.schema().columns.iter().any(|own| own.name == *c))
        };
        if content.schema().key != ["name"] || !known(&["name", "text"]) {
            let detail = "the catalogue of packs has the columns name and text, and name is its key";
            return Err(ApiError::new(codes::PACK_REFUSED, detail));
        }
        let rows = published(content);
        let old = overlay(&before.map(published).unwrap_or_default()).map_err(refused)?;
        let new = overlay(&rows).map_err(refused)?;
        let mut out = Vec::new();
        for row in &rows {
            let named = |packs: &[Pack]| packs.iter().position(|p| *p.head.name == *row.name);
            let Some(now) = named(&new) else {
                if row.text.is_some() {
                    let detail = format!("row {:?} holds a pack of another name", row.name);
                    return Err(ApiError::new(codes::PACK_REFUSED, detail));
                }
                continue;
            };
            if let Some(was) = named(&old) {
                let wrong = numbered(&old[was], &new[now]).err().filter(|_| !force);
                if let Some(wrong) = wrong {
                    return Err(ApiError::new(codes::PACK_REFUSED, format!("{}: {wrong}", row.name)));
                }
                out.push((row.name.clone(), compare(&old[was], &new[now])));
            }
        }
        Packs::new(new).map_err(refused)?;
        Ok(out)
    }
}

impl Shelf for PackService {
    fn at(&self, at: Timestamp) -> Result<Arc<Packs>, Refusal> {
        let Some(root) = self.tables.digest_at(CATALOGUE, at) else { return Ok(self.builtin.clone()) };
        match self.compiled(&root) {
            Some(Some(packs)) => Ok(packs),
            Some(None) => Err(Refusal::TableNotHere { table: CATALOGUE.into() }),
            None => match self.tables.root_at(CATALOGUE, at) {
                Some(version) => self.compile(&version),
                None => Ok(self.builtin.clone()),
            },
        }
    }

    fn types(&self) -> Vec<Arc<str>> {
        let mut out: BTreeSet<Arc<str>> = Packs::types(&self.builtin).map(|t| t.doc_type.clone()).collect();
        for version in self.tables.all(CATALOGUE) {
            let known = |service: &Self| {
                service.types.read().unwrap_or_else(PoisonError::into_inner).get(&version.root).cloned()
            };
            if known(self).is_none() {
                // Content that is not here yet names its types once it was fetched.
                let _ = self.compile(&version);
            }
            out.extend(known(self).unwrap_or_default());
        }
        out.into_iter().collect()
    }
}

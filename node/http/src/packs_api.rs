//! Standards packs: which are in force, and what one of them says. Published as versions of their catalogue (`tables_api`).

use crate::Caller;
use crate::auth::need;
use crate::extract::Query;
use crate::problem::ApiError;
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, State};
use eport_access::Action;
use eport_api_types::Page;
use eport_catalog::parse_instant;
use eport_documents::pack::Shelf;
use eport_documents::{DocumentType, PackHead, Packs};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The instant at which packs are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AsOf {
    as_of: Option<String>,
}

fn in_force(api: &Api, q: &AsOf) -> Result<Arc<Packs>, ApiError> {
    let at = match q.as_of.as_deref() {
        Some(text) => parse_instant(text).map_err(|e| ApiError::bad(format!("as_of: {e}")))?,
        None => api.now(),
    };
    api.packs.at(at).map_err(|e| ApiError::of(&e))
}

/// A pack with its document types.
type HeadAndTypes = (Arc<PackHead>, Vec<Arc<DocumentType>>);

/// Packs by name, each with its document types.
fn by_name(packs: &Packs) -> BTreeMap<Arc<str>, HeadAndTypes> {
    let mut out = BTreeMap::new();
    for document in packs.types() {
        let head = document.pack.clone();
        out.entry(head.name.clone()).or_insert_with(|| (head, Vec::new())).1.push(document.clone());
    }
    out
}

/// `GET /v1/packs`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(q): Query<AsOf>,
) -> Result<Answer<Page<Value>>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let items = by_name(&*in_force(&api, &q)?).into_values().map(|(head, documents)| {
        let types: Vec<&str> = documents.iter().map(|d| &*d.doc_type).collect();
        json!({
            "name": &*head.name, "version": &*head.version, "systems": head.systems, "documents": types,
            "title": { "zh": head.title.zh, "en": head.title.en },
        })
    });
    Ok(Answer(Page::whole(items.collect())))
}

/// `GET /v1/packs/{name}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<AsOf>,
) -> Result<Answer<Value>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let mut packs = by_name(&*in_force(&api, &q)?);
    let found = packs.remove(name.as_str());
    let (head, documents) = found.ok_or_else(|| ApiError::not_found(format!("pack {name}")))?;
    Ok(Answer(eport_documents::Pack { head, documents }.describe()))
}

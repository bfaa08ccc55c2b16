//! The standards packs that come with the build: data files, compiled when the node starts.

use crate::Exit;
use eport_documents::Packs;
use std::sync::Arc;

include!(concat!(env!("OUT_DIR"), "/packs.rs"));

/// Every built-in pack. A pack that does not compile ends the start: nothing could be judged by it.
pub(crate) fn built_in() -> Result<Arc<Packs>, Exit> {
    let mut packs = Vec::new();
    for (name, text) in PACKS {
        packs.push(eport_documents::Pack::parse(text).map_err(|e| defect(format!("pack {name}: {e}")))?);
    }
    Ok(Arc::new(Packs::new(packs).map_err(|e| defect(e.to_string()))?))
}

/// A built-in pack that does not compile is our own mistake, shown at the start and not at the first document.
fn defect(detail: String) -> Exit {
    Exit { code: eport_model::codes::INTERNAL, detail }
}

//! The standards packs that come with the build: data files, compiled when the node starts.

use crate::Exit;
use eport_documents::Packs;
use std::sync::Arc;

include!(concat!(env!("OUT_DIR"), "/packs.rs"));

/// Every built-in pack. A pack that does not compile ends the start: nothing could be judged by it.
pub(crate) fn built_in() -> Result<Arc<Packs>, Exit> {
    let mut packs = Vec::new();
    for (name, text) in PACKS {
        let pack = eport_documents::Pack::parse(text).map_err(|e| {
            let exit = Exit::of(&e);
            Exit { detail: format!("pack {name}: {}", exit.detail), ..exit }
        })?;
        packs.push(pack);
    }
    Ok(Arc::new(Packs::new(packs)?))
}

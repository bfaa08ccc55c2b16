//! What a node remembers of its fetches: bytes and seconds, what is under way, who gave wrong bytes, what a person should see.
//!
//! Always holds: every list is bounded; a peer that gave wrong bytes for a catalog is not asked for it again before its quarantine
//! is over (`eport_catalog::sync`).

use eport_catalog::sync::Quarantine;
use eport_model::{Code, Digest, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Most troubles.
const TROUBLES_MAX: usize = 32;

/// What a node says of its catalogs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CatalogSoft {
    /// Contents of drafts that are here and proven.
    pub staged: Vec<Digest>,
    /// Objects and bytes on its disk.
    pub objects: u64,
    /// Bytes on its disk.
    pub bytes: u64,
    /// Objects found damaged since its start.
    pub damaged: u64,
    /// Objects that collections have removed since its start.
    pub collected: u64,
    /// Objects read by the last look through them.
    pub scrubbed: u64,
    /// Looks through all objects since its start.
    pub scrubs: u64,
    /// Peers that gave wrong bytes since its start.
    pub wrong: u64,
    /// Peers in quarantine, and for which catalog.
    pub quarantined: Vec<(NodeId, String)>,
    /// What a person should look at.
    pub troubles: Vec<(Code, String)>,
}

#[derive(Default)]
pub(crate) struct Book {
    pub(super) fetched: BTreeMap<Digest, (u64, f64)>,
    /// Bytes that came for contents that are not whole yet.
    pub(super) partial: BTreeMap<Digest, u64>,
    pub(super) under_way: BTreeSet<Digest>,
    quarantine: Quarantine,
    /// From when the times of the quarantine count.
    begin: Option<Instant>,
    troubles: BTreeMap<String, (Code, String)>,
    pub(super) wrong: u64,
    pub(super) collected: u64,
    pub(super) scrubbed: u64,
    pub(super) scrubs: u64,
}

impl Book {
    fn ms(&self, now: Instant) -> u64 {
        let since = self.begin.map_or_else(Default::default, |begin| now.saturating_duration_since(begin));
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// A peer gave wrong bytes for a catalog.
    pub(super) fn quarantine(&mut self, node: NodeId, catalog: &str, now: Instant) {
        self.wrong += 1;
        self.begin.get_or_insert(now);
        let now_ms = self.ms(now);
        self.quarantine.put(node, catalog, now_ms);
    }

    /// Whether a peer is not to be asked for a catalog.
    pub(super) fn is_quarantined(&self, node: NodeId, catalog: &str, now: Instant) -> bool {
        self.quarantine.holds(node, catalog, self.ms(now))
    }

    /// Who is in quarantine now.
    pub(super) fn in_quarantine(&self, now: Instant) -> Vec<(NodeId, String)> {
        self.quarantine.all(self.ms(now))
    }

    /// Something does not work for a catalog, or works again.
    pub(super) fn trouble(&mut self, about: &str, what: Option<(Code, String)>) {
        match what {
            Some(what) if self.troubles.len() < TROUBLES_MAX || self.troubles.contains_key(about) => {
                self.troubles.insert(about.to_owned(), what);
            }
            Some(_) => {}
            None => drop(self.troubles.remove(about)),
        }
    }

    /// What a person should look at.
    pub(super) fn troubles(&self) -> Vec<(Code, String)> {
        self.troubles.values().cloned().collect()
    }

    /// Forgets contents that nobody names any more.
    pub(super) fn retain(&mut self, live: &BTreeSet<Digest>) {
        self.fetched.retain(|root, _| live.contains(root));
        self.partial.retain(|root, _| live.contains(root));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_is_for_one_catalog_and_ends() {
        let (mut book, now) = (Book::default(), Instant::now());
        let node: NodeId = "gz-a-1".parse().unwrap();
        book.quarantine(node, "440000/ports", now);
        assert!(
            book.is_quarantined(node, "440000/ports", now) && !book.is_quarantined(node, "440000/hs", now)
        );
        let over = std::time::Duration::from_millis(eport_catalog::sync::QUARANTINE_MS);
        assert!(!book.is_quarantined(node, "440000/ports", now + over));
        for n in 0..1_000 {
            book.quarantine(node, &format!("440000/t{n}"), now);
            book.trouble(&format!("t{n}"), Some((eport_model::codes::DISK_FULL, String::new())));
        }
        assert!(book.in_quarantine(now).len() <= 256 && book.troubles().len() <= TROUBLES_MAX);
        book.trouble("t0", None);
        assert_eq!(book.troubles().len(), TROUBLES_MAX - 1);
    }
}

//! What a node remembers of its fetches: bytes and seconds, what is under way, who gave wrong bytes, what a person should see.
//!
//! Always holds: every list is bounded; a peer that gave wrong bytes for a catalog is not asked for it again before
//! [`QUARANTINE`] is over.

use eport_model::{Code, Digest, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a peer is not asked for a catalog of which it gave wrong bytes.
pub(super) const QUARANTINE: Duration = Duration::from_secs(600);
/// Most pairs of peer and catalog, and most troubles.
const ENTRIES_MAX: usize = 256;
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
    quarantined: BTreeMap<(NodeId, String), Instant>,
    troubles: BTreeMap<String, (Code, String)>,
    pub(super) wrong: u64,
    pub(super) collected: u64,
    pub(super) scrubbed: u64,
    pub(super) scrubs: u64,
}

impl Book {
    /// A peer gave wrong bytes for a catalog.
    pub(super) fn quarantine(&mut self, node: NodeId, catalog: &str, now: Instant) {
        self.wrong += 1;
        self.quarantined.retain(|_, since| now.duration_since(*since) < QUARANTINE);
        if self.quarantined.len() < ENTRIES_MAX {
            self.quarantined.insert((node, catalog.to_owned()), now);
        }
    }

    /// Whether a peer is not to be asked for a catalog.
    pub(super) fn is_quarantined(&self, node: NodeId, catalog: &str, now: Instant) -> bool {
        let since = self.quarantined.get(&(node, catalog.to_owned()));
        since.is_some_and(|since| now.duration_since(*since) < QUARANTINE)
    }

    /// Who is in quarantine now.
    pub(super) fn in_quarantine(&self, now: Instant) -> Vec<(NodeId, String)> {
        let fresh = self.quarantined.iter().filter(|(_, since)| now.duration_since(**since) < QUARANTINE);
        fresh.map(|(who, _)| who.clone()).collect()
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
        assert!(!book.is_quarantined(node, "440000/ports", now + QUARANTINE));
        for n in 0..1_000 {
            book.quarantine(node, &format!("440000/t{n}"), now);
            book.trouble(&format!("t{n}"), Some((eport_model::codes::DISK_FULL, String::new())));
        }
        assert!(book.in_quarantine(now).len() <= ENTRIES_MAX && book.troubles().len() <= TROUBLES_MAX);
        book.trouble("t0", None);
        assert_eq!(book.troubles().len(), TROUBLES_MAX - 1);
    }
}

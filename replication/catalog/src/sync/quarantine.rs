//! Peers that gave wrong bytes. One is not asked for that catalog again before [`QUARANTINE_MS`] is over; the list is bounded.

use eport_identity::NodeId;
use std::collections::BTreeMap;

/// How long a peer is not asked for a catalog of which it gave wrong bytes, in milliseconds: ten minutes.
pub const QUARANTINE_MS: u64 = 600_000;
/// Most pairs of peer and catalog. Beyond it the oldest goes: it ends first anyway.
const ENTRIES_MAX: usize = 256;

/// Who is in quarantine, for which catalog, since when. Times are milliseconds of one clock that never goes back.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Quarantine {
    since: BTreeMap<(NodeId, String), u64>,
}

impl Quarantine {
    /// A peer gave wrong bytes for a catalog.
    pub fn put(&mut self, node: NodeId, catalog: &str, now_ms: u64) {
        self.since.retain(|_, since| now_ms.saturating_sub(*since) < QUARANTINE_MS);
        if self.since.len() >= ENTRIES_MAX
            && let Some(oldest) =
                self.since.iter().min_by_key(|(_, since)| **since).map(|(who, _)| who.clone())
        {
            self.since.remove(&oldest);
        }
        self.since.insert((node, catalog.to_owned()), now_ms);
    }

    /// Whether a peer is not to be asked for a catalog.
    pub fn holds(&self, node: NodeId, catalog: &str, now_ms: u64) -> bool {
        let since = self.since.get(&(node, catalog.to_owned()));
        since.is_some_and(|since| now_ms.saturating_sub(*since) < QUARANTINE_MS)
    }

    /// Who is in quarantine now.
    pub fn all(&self, now_ms: u64) -> Vec<(NodeId, String)> {
        let fresh = self.since.iter().filter(|(_, since)| now_ms.saturating_sub(**since) < QUARANTINE_MS);
        fresh.map(|(who, _)| who.clone()).collect()
    }
}

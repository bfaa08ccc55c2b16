//! Journals that came from an earlier lineage.
//!
//! Always: a journal goes on in the lineage that its owner row names; records of that lineage's ancestors stay in it and count;
//! a record of any other lineage is refused. Taking a journal over into the lineage is one durable write of the owner row and
//! happens only where the registry of that lineage has named this node for the platform.

use super::{META, PlatformStore, Recovered, meta};
use crate::{Error, Shared, layout};
use eport_model::{Lineage, RegionCode};
use std::path::Path;

impl PlatformStore {
    /// Opens or creates the database of `region` for a lineage that descends from `ancestors`. One that belongs to an ancestor is
    /// taken over.
    pub fn open_descended(
        dir: &Path,
        lineage: Lineage,
        ancestors: &[Lineage],
        region: RegionCode,
        shared: &Shared,
    ) -> Result<(Self, Recovered), Error> {
        let (store, recovered) = Self::open_as_found(dir, lineage, ancestors, region, shared)?;
        let (store, recovered) = if store.lineage() == lineage {
            (store, recovered)
        } else {
            store.give_to(lineage)?;
            tracing::info!(%region, from = %store.lineage(), to = %lineage, "journal taken over into the new lineage");
            // Closed before it is opened again: a database has one opener.
            drop(store);
            Self::open(dir, lineage, region, shared)?
        };
        store.descend_from(ancestors);
        Ok((store, recovered))
    }

    /// Opens the database of `region` under whichever of these lineages it belongs to, without taking it over.
    pub fn open_as_found(
        dir: &Path,
        lineage: Lineage,
        ancestors: &[Lineage],
        region: RegionCode,
        shared: &Shared,
    ) -> Result<(Self, Recovered), Error> {
        let mut last = match Self::open(dir, lineage, region, shared) {
            Err(error @ Error::OtherOwner { .. }) => error,
            other => return other,
        };
        for (n, ancestor) in ancestors.iter().enumerate() {
            match Self::open(dir, *ancestor, region, shared) {
                Err(error @ Error::OtherOwner { .. }) => last = error,
                Err(error) => return Err(error),
                Ok((store, recovered)) => {
                    store.descend_from(&ancestors[n + 1..]);
                    return Ok((store, recovered));
                }
            }
        }
        Err(last)
    }

    /// Lineages whose records may stand in this journal besides its own. Set once, when it is opened.
    fn descend_from(&self, ancestors: &[Lineage]) {
        // A second setting is the same one.
        let _ = self.0.ancestors.set(ancestors.to_vec());
    }

    /// True for the journal's own lineage and its ancestors.
    pub(super) fn belongs(&self, lineage: Lineage) -> bool {
        lineage == self.0.lineage || self.0.ancestors.get().is_some_and(|a| a.contains(&lineage))
    }

    /// The lineages whose records may stand in this journal, its own first.
    pub fn lineages(&self) -> Vec<Lineage> {
        let ancestors = self.0.ancestors.get().into_iter().flatten();
        std::iter::once(self.0.lineage).chain(ancestors.copied()).collect()
    }

    /// Lineage of the last record: the journal's own, or the one it came from while nothing was written since.
    pub fn written_lineage(&self) -> Result<Lineage, Error> {
        let last = self.header(self.last().index)?;
        Ok(last.map_or(self.0.lineage, |(header, _)| header.lineage))
    }

    fn give_to(&self, lineage: Lineage) -> Result<(), Error> {
        self.writable()?;
        let mut batch = rocksdb::WriteBatch::default();
        let owner = layout::encode_meta(&(lineage, self.0.region));
        batch.put_cf(&self.family(META), meta::OWNER, owner);
        self.write("take over the journal", batch, true)
    }
}

//! Journals that lie in the data directory without a duty: from an earlier life of this node or of the federation.
//!
//! Always: such a journal is opened only to read where it ends, and is changed by nobody until a placement names this node for
//! its platform; what is reported is its last record.

use super::*;

impl Agent {
    /// The histories that this federation descends from: what the data directory knows and what the registry says.
    pub(super) fn ancestors(&self) -> Vec<Lineage> {
        let mut all = self.inner.config.ancestors.clone();
        for ancestor in self.inner.registry.state().state.parentage().ancestors {
            if !all.contains(&ancestor) {
                all.push(ancestor);
            }
        }
        all
    }

    pub(super) fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<RegionCode, Position>> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where the journals end that no placement gives this node. Done once, before anything is hosted: nobody else has
    /// them open. One that cannot be opened is left alone and said.
    pub(super) fn look_for_journals(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let view = inner.registry.state();
        let named = |r: &RegionCode| view.state.placement(*r).is_some_and(|p| p.names(self.me()));
        let ancestors = self.ancestors();
        for region in
            inner.data.kept_platforms().map_err(|source| Error::Store { region: self.home(), source })?
        {
            if named(&region) {
                continue;
            }
            let dir = inner.data.platform(region);
            let opened =
                PlatformStore::open_as_found(&dir, inner.config.lineage, &ancestors, region, &inner.shared);
            match opened {
                Ok((_, found)) => {
                    info!(%region, last = %found.last, "a journal without a duty lies here");
                    self.kept().insert(region, found.last);
                }
                Err(error) => warn!(%region, %error, "a journal without a duty cannot be opened"),
            }
        }
        Ok(())
    }
}

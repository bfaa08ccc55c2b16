//! What others ask a node for: who it is, its parts, the platforms it keeps, how fresh its news of the registry is; and what the shell
//! tells it of itself.
//!
//! Always holds: nothing here waits or does I/O; news of the registry never gets older by being heard again.

use super::*;

impl Agent {
    /// This node.
    pub fn me(&self) -> NodeId {
        self.inner.config.me
    }

    /// This node's home platform.
    pub fn home(&self) -> RegionCode {
        self.inner.config.home
    }

    /// The federation's history.
    pub fn lineage(&self) -> Lineage {
        self.inner.config.lineage
    }

    /// The node's clocks.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The connections to other nodes.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Catalog objects on this node.
    pub fn objects(&self) -> &ObjectStore {
        &self.inner.objects
    }

    /// What other nodes said of themselves.
    pub fn board(&self) -> &SoftBoard {
        &self.inner.board
    }

    /// The platform's replica on this node, if it keeps one.
    pub fn platform(&self, region: RegionCode) -> Option<PlatformHandle> {
        self.platforms_read().get(&region).map(|h| h.handle.clone())
    }

    /// Every platform kept here.
    pub fn platforms(&self) -> Vec<PlatformHandle> {
        self.platforms_read().values().map(|h| h.handle.clone()).collect()
    }

    /// Rises when the set of platforms kept here changes.
    pub fn hosted(&self) -> watch::Receiver<u64> {
        self.inner.hosted.subscribe()
    }

    /// Set when the agent can no longer keep its promises and the process must end.
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.inner.fatal.subscribe()
    }

    /// Says from when to when this node's certificate is valid, milliseconds since 1970; peers are told.
    pub fn set_certificate(&self, from: i64, to: i64) {
        *self.inner.certificate.lock().unwrap_or_else(PoisonError::into_inner) = (from, to);
    }

    /// How old this node's news of the registry is: the time since it left a leader that a majority followed, whatever way it
    /// took. `None` before the first.
    pub fn news_age(&self) -> Option<Duration> {
        self.inner.heard_registry.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Looks whose news is newer: the leader's own while a majority follows it, else what peers say of theirs, as far as this
    /// node has applied what they have.
    pub fn look_for_news(&self) {
        let registry = &self.inner.registry;
        let mut best: Option<Duration> = None;
        if registry.is_leader() {
            // Who votes alone needs nobody's answer.
            let alone = registry.voters() == [self.me()];
            let since = if alone { Some(0) } else { registry.millis_since_quorum() };
            best = since.map(Duration::from_millis);
        }
        let index = registry.state().index;
        for (node, (age, soft)) in self.inner.board.all() {
            let Some(theirs) = soft.news_ms.filter(|_| node != self.me() && soft.registry_index <= index)
            else {
                continue;
            };
            let total = age + Duration::from_millis(theirs);
            best = Some(best.map_or(total, |b| b.min(total)));
        }
        let Some(at) = best.and_then(|age| Instant::now().checked_sub(age)) else { return };
        let mut news = self.inner.heard_registry.lock().unwrap_or_else(PoisonError::into_inner);
        *news = Some(news.map_or(at, |known| known.max(at)));
    }

    /// Says which revocation lists this node has, by the CA's key; peers are told.
    pub fn set_lists(&self, lists: Vec<(Digest, u64)>) {
        *self.inner.lists.lock().unwrap_or_else(PoisonError::into_inner) = lists;
    }

    /// Says whether this node takes requests; peers are told.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.send_replace(ready);
    }
}

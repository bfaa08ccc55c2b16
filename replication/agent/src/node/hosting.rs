//! Opening the platforms that the registry names here, many of them at once.
//!
//! Always holds: a platform is opened by one thread and once; one that cannot be opened is noted and stops no other.

use super::*;
use std::sync::atomic::AtomicUsize;

/// Platforms that are opened at the same time.
const OPENERS: usize = 8;

impl Agent {
    /// Opens what the registry names here and is not open yet. One damaged platform must not take the registry voter and every
    /// other platform along: it is noted and the others go on. Opening waits for the disk most of the time, so several are
    /// opened at once: a node that hosts a province full of cities is back in a second.
    pub(super) fn host_named(&self, state: &State) {
        let me = self.me();
        let wanted: Vec<RegionCode> = {
            let here = self.platforms_read();
            let named = state.placements().filter(|p| p.names(me) && !here.contains_key(&p.region));
            named.map(|p| p.region).filter(|region| !self.is_broken(*region)).collect()
        };
        if wanted.is_empty() {
            return;
        }
        let (next, runtime) = (AtomicUsize::new(0), tokio::runtime::Handle::current());
        let open = || {
            // A platform's task is started from here.
            let _entered = runtime.enter();
            while let Some(region) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.host(*region) {
                    error!(%region, %error, "a platform cannot be opened; the others go on");
                    self.broken().insert(*region, error.to_string());
                    self.inner.news.notify_one();
                }
            }
        };
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                for _ in 1..wanted.len().min(OPENERS) {
                    scope.spawn(open);
                }
                open();
            });
        });
    }
}

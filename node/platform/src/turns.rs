//! Who decides about which rows now: the sequencer of documents, or the exchange that writes receipts, acknowledgements, messages.
//!
//! Always: a key is in one hand at a time, from before its rows are read until what was decided is committed or gone. The sequencer
//! never waits: it is told when a key that it wanted is given back. Held keys, and with them the channel that tells, are bounded by
//! what callers may have in flight.

use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

pub(crate) struct Turns {
    /// Keys in use; true: the sequencer wants it next.
    held: Mutex<HashMap<Bytes, bool>>,
    freed: Notify,
    returned: mpsc::UnboundedSender<Bytes>,
}

/// Keys in use by one caller of the exchange; given back when it is dropped.
pub(crate) struct Guard {
    turns: Arc<Turns>,
    keys: BTreeSet<Bytes>,
}

impl Turns {
    /// Nothing is in use. The receiver is the sequencer's.
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Bytes>) {
        let (returned, receiver) = mpsc::unbounded_channel();
        (Arc::new(Self { held: Mutex::default(), freed: Notify::new(), returned }), receiver)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Bytes, bool>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sequencer takes a key; false: another has it, and the key is sent to the sequencer once it is free.
    pub(crate) fn take(&self, key: &Bytes) -> bool {
        let mut held = self.held();
        match held.get_mut(key) {
            Some(wanted) => {
                *wanted = true;
                false
            }
            None => {
                held.insert(key.clone(), false);
                true
            }
        }
    }

    /// The sequencer gives a key back.
    pub(crate) fn give(&self, key: &Bytes) {
        self.held().remove(key);
        self.freed.notify_waiters();
    }

    /// Waits until all keys are free and takes them together.
    pub(crate) async fn enter(self: &Arc<Self>, keys: BTreeSet<Bytes>) -> Guard {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before the look, so that nothing is missed in between.
            freed.as_mut().enable();
            {
                let mut held = self.held();
                if keys.iter().all(|k| !held.contains_key(k)) {
                    held.extend(keys.iter().map(|k| (k.clone(), false)));
                    return Guard { turns: self.clone(), keys };
                }
            }
            freed.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut held = self.turns.held();
        for key in &self.keys {
            if held.remove(key) == Some(true) {
                // The sequencer has ended when nobody listens.
                let _ = self.turns.returned.send(key.clone());
            }
        }
        drop(held);
        self.turns.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static str) -> Bytes {
        Bytes::from_static(name.as_bytes())
    }

    #[tokio::test]
    async fn a_key_is_in_one_hand_and_the_sequencer_is_told_when_it_is_free() {
        let (turns, mut returned) = Turns::new();
        assert!(turns.take(&key("a")));
        let both = tokio::spawn({
            let turns = turns.clone();
            async move { turns.enter([key("a"), key("b")].into()).await }
        });
        tokio::task::yield_now().await;
        // The other waits for both together and holds neither meanwhile.
        assert!(!both.is_finished() && turns.take(&key("b")));
        turns.give(&key("b"));
        turns.give(&key("a"));
        let guard = both.await.unwrap();
        assert!(!turns.take(&key("b")), "in use");
        drop(guard);
        assert_eq!(returned.recv().await, Some(key("b")));
        assert!(returned.try_recv().is_err(), "nobody here waited for the other");
        assert!(turns.take(&key("b")) && turns.take(&key("a")));
    }
}

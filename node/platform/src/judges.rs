//! Threads that judge parts of batches, at a lower priority than everything else of the node: what answers, ships and fsyncs
//! never stands in a queue behind a flood's judging.
//!
//! Always: who hands work in holds a turn, so no more is handed in than there are threads; a part that panics costs its own answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// How much kinder than the rest of the process these threads are to others.
const NICE: i32 = 5;

type Work = Box<dyn FnOnce() + Send>;

/// The threads; they end with this value.
pub(crate) struct Judges(SyncSender<Work>);

impl Judges {
    /// One thread a processor.
    pub(crate) fn new(processors: usize) -> Self {
        let (to, from) = sync_channel::<Work>(processors);
        let from = Arc::new(Mutex::new(from));
        for n in 0..processors {
            let from = from.clone();
            let thread = std::thread::Builder::new().name(format!("judge-{n}"));
            if let Err(error) = thread.spawn(move || work(&from)) {
                tracing::warn!(%error, "a judging thread did not start; its work is done where it arises");
            }
        }
        Self(to)
    }

    /// Does it on one of the threads; here when none is free. `None` when it panicked.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let (to, done) = oneshot::channel();
        let work: Work = Box::new(move || drop(to.send(work())));
        if let Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) = self.0.try_send(work) {
            work();
        }
        done.await.ok()
    }
}

fn work(from: &Mutex<Receiver<Work>>) {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "a judging thread keeps the usual priority");
    }
    loop {
        let next = from.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // The panic hook has told what it was; whoever waits is told that there is no answer.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_a_panic_costs_nobody_else() {
        let judges = Judges::new(1);
        let here = std::thread::current().id();
        assert_ne!(judges.run(|| std::thread::current().id()).await, Some(here));
        assert_eq!(
            judges
                .run(|| if here == here {
                    panic!("planted")
                })
                .await,
            None::<()>
        );
        assert_eq!(judges.run(|| 7).await, Some(7), "the thread is still there");
    }
}

//! Collections and looks through the objects, in the background and when somebody asks.

use super::live_here;
use crate::node::Agent;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// A collection without a reason of its own: what was staged and given up.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
/// A content that nobody names any more is collected after this: whoever reads it now has time to end.
const COLLECT_SOON: Duration = Duration::from_secs(1);

/// Tends the objects until the node stops.
pub(crate) async fn tend(agent: Agent) {
    let mut collected = Instant::now();
    let mut scrubbed = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(COLLECT_SOON) => {}
            () = agent.scrub_asked().notified() => scrubbed = look(&agent).await,
        }
        if collected.elapsed() >= COLLECT_EVERY || has_unnamed(&agent) {
            collect(&agent).await;
            collected = Instant::now();
        }
        let every = agent.verification().scrub_every;
        if !every.is_zero() && scrubbed.elapsed() >= every {
            scrubbed = look(&agent).await;
        }
    }
}

fn has_unnamed(agent: &Agent) -> bool {
    let view = agent.registry().state();
    if view.state.federation().is_none() {
        return false;
    }
    agent.objects().unnamed(&live_here(agent))
}

async fn collect(agent: &Agent) {
    let (objects, asked) = (agent.objects().clone(), agent.clone());
    let run = move || {
        objects.collect(|| {
            // Asked after the round has begun. Before the registry is known here, nothing is known to be dead.
            asked.registry().state().state.federation().is_some().then(|| live_here(&asked))
        })
    };
    match tokio::task::spawn_blocking(run).await {
        Ok(Ok(Some(done))) => {
            if done.objects > 0 {
                info!(
                    objects = done.objects,
                    before = done.bytes.0,
                    after = done.bytes.1,
                    "catalog objects collected"
                );
            }
            let named = live_here(agent);
            let mut book = agent.book();
            book.collected += done.objects;
            book.retain(&named);
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => warn!(%error, "catalog objects were not collected"),
        Err(error) => warn!(%error, "the collection did not end"),
    }
}

/// Reads every object once, at the rate of verification. What is damaged is given up by the store and fetched again.
async fn look(agent: &Agent) -> Instant {
    let (objects, rate) = (agent.objects().clone(), agent.verification().scrub_bytes_s);
    let begin = Instant::now();
    let run = move || {
        let mut read = 0u64;
        objects.scrub(|bytes| {
            read += bytes;
            let due = Duration::from_secs_f64(read as f64 / rate.max(1) as f64);
            if let Some(early) = due.checked_sub(begin.elapsed())
                && rate > 0
            {
                std::thread::sleep(early);
            }
        })
    };
    match tokio::task::spawn_blocking(run).await {
        Ok(Ok(seen)) => {
            let damaged = seen.damaged.len();
            info!(objects = seen.objects, bytes = seen.bytes, damaged, "catalog objects looked through");
            let mut book = agent.book();
            book.scrubbed = seen.objects;
            book.scrubs += 1;
        }
        Ok(Err(error)) => warn!(%error, "catalog objects were not looked through"),
        Err(error) => warn!(%error, "the look through the objects did not end"),
    }
    agent.tell_soon();
    Instant::now()
}

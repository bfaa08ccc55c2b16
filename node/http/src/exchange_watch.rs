//! Messages that wait, for the metrics: counted at most every quarter of a minute, however often somebody scrapes.

use crate::sheet::Sheet;
use crate::state::Api;
use eport_api_types::ExchangeStatus;
use eport_watch::metric as m;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counting reads every row that waits: not oftener than this.
const COUNTED_EVERY: Duration = Duration::from_secs(15);

/// What was counted last, and when.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<(Instant, Vec<ExchangeStatus>)>>);

/// Gauges of the platforms whose open primary is here.
pub(crate) fn metrics(api: &Api, sheet: &mut Sheet) {
    // Scrapes that come together count once: the others wait for it.
    let mut kept = api.counters.exchange.0.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = kept.take().filter(|(at, _)| at.elapsed() < COUNTED_EVERY);
    let (at, all) = fresh.unwrap_or_else(|| (Instant::now(), count(api)));
    for status in &all {
        say(status, sheet);
    }
    *kept = Some((at, all));
}

fn count(api: &Api) -> Vec<ExchangeStatus> {
    let open = api.agent.platforms().into_iter().filter(|h| h.status().borrow().is_open());
    open.filter_map(|h| api.platform(h.region())?.exchange_status().ok()).collect()
}

fn say(status: &ExchangeStatus, sheet: &mut Sheet) {
    let region = || status.region.clone();
    for channel in &status.channels {
        // What the receiver has acknowledged is kept until it is replicated there; it does not wait.
        let waiting = channel.rows.saturating_sub(channel.acknowledged);
        sheet.put_for(&m::OUTBOX, [region(), channel.to.clone()], waiting);
    }
    for inbox in &status.inboxes {
        sheet.put_for(&m::INBOX, [region(), inbox.agency.clone()], inbox.waiting);
    }
    sheet.put_for(&m::UNROUTED, [region()], status.unrouted);
    sheet.put_for(&m::DEAD_LETTERS, [region()], status.dead_letters);
}

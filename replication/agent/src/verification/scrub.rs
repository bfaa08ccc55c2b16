//! The slow look through every copy on this node: journal files first, then rows; one platform at a time.

use super::ScrubSoft;
use super::mend::Mending;
use crate::PlatformHandle;
use crate::node::Agent;
use eport_model::{Coded, RegionCode, Timestamp, codec, codes};
use eport_store::{FileReport, PlatformStore, RowsLook};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Damage that could not be mended is tried again after this time.
const RETRY: Duration = Duration::from_secs(10);
/// A look that was asked for goes this much faster.
const ASKED_FACTOR: u64 = 16;
/// Longest sleep between two looks at whether the node stops.
const NAP: Duration = Duration::from_millis(200);
/// Node-local row with the result of the last pass.
const ROW: &[u8] = b"scrub";

/// What the looks through the copies on this node have shown.
#[derive(Debug, Default)]
pub(crate) struct Scrubs {
    copies: Mutex<BTreeMap<RegionCode, Copy>>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Copy {
    soft: ScrubSoft,
    asked: bool,
    /// What was noted on disk is in `soft`.
    recalled: bool,
    tried: Option<Instant>,
    /// Why nothing more is applied: damage that was met outside of a look.
    waits: Option<String>,
    /// Held during a look.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// The mark whose difference led to rows being made anew.
    rebuilt: Option<eport_model::JournalIndex>,
}

impl Scrubs {
    fn copies(&self) -> MutexGuard<'_, BTreeMap<RegionCode, Copy>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, region: RegionCode, change: impl FnOnce(&mut ScrubSoft)) -> ScrubSoft {
        let mut copies = self.copies();
        let soft = &mut copies.entry(region).or_default().soft;
        change(soft);
        soft.clone()
    }

    /// What the look through a copy has shown; `None` before the first.
    pub(crate) fn soft(&self, region: RegionCode) -> Option<ScrubSoft> {
        let copies = self.copies();
        let copy = copies.get(&region)?;
        let open = copy.soft.open.clone().or_else(|| copy.waits.clone());
        Some(ScrubSoft { open, ..copy.soft.clone() })
    }

    /// Nothing more is applied because of damage, for this reason; or it goes on.
    pub(crate) fn waits(&self, region: RegionCode, why: Option<String>) {
        match &why {
            Some(why) => {
                error!(%region, code = %codes::COPY_DAMAGED, why, "nothing is applied until this is mended")
            }
            None => info!(%region, "what waited for mending is applied"),
        }
        self.copies().entry(region).or_default().waits = why;
    }

    /// This copy is looked through as soon as possible.
    pub(crate) fn ask(&self, region: RegionCode) {
        self.copies().entry(region).or_default().asked = true;
        self.wake.notify_one();
    }

    /// True once for each time that a look was asked for.
    pub(crate) fn take_asked(&self, region: RegionCode) -> bool {
        std::mem::take(&mut self.copies().entry(region).or_default().asked)
    }

    fn is_waiting(&self, region: RegionCode) -> bool {
        self.copies().get(&region).is_some_and(|c| c.waits.is_some())
    }

    fn looking(&self, region: RegionCode) -> Arc<tokio::sync::Mutex<()>> {
        self.copies().entry(region).or_default().looking.clone()
    }
}

impl Agent {
    /// What the look through the copy of this platform has shown.
    pub fn scrub_state(&self, region: RegionCode) -> Option<ScrubSoft> {
        self.scrubs().soft(region)
    }

    /// Looks through the copy of this platform as soon as possible. False when none is here.
    pub fn scrub_now(&self, region: RegionCode) -> bool {
        if self.platform(region).is_none() {
            return false;
        }
        self.scrubs().ask(region);
        true
    }
}

/// Why a copy is looked through.
enum Due {
    Pass {
        asked: bool,
    },
    /// Its rows differ from the primary's: they are made anew from its own journal.
    Rows(eport_model::JournalIndex),
}

pub(super) async fn follow(agent: Agent) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = agent.scrubs().wake.notified() => {}
        }
        for handle in agent.platforms() {
            let looking = agent.scrubs().looking(handle.region());
            let Ok(_looking) = looking.try_lock() else { continue };
            match due(&agent, &handle) {
                Some(Due::Pass { asked }) => pass(&agent, &handle, Haste::of(asked)).await,
                Some(Due::Rows(mark)) => {
                    agent.scrubs().copies().entry(handle.region()).or_default().rebuilt = Some(mark);
                    let why = format!("rows differ from the primary's at mark {mark}");
                    found(&agent, handle.region(), &why);
                    make_rows_anew(&agent, &handle, &why).await;
                }
                None => {}
            }
        }
    }
}

/// How fast a look goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// At the configured pace.
    None,
    /// Somebody waits for its result.
    Asked,
    /// Nothing is applied before it has mended what it finds.
    Waiting,
}

impl Haste {
    fn of(asked: bool) -> Self {
        if asked { Haste::Asked } else { Haste::None }
    }
}

/// Mends what keeps platforms from applying; beside the looks, which may take hours and end for it.
pub(super) async fn follow_waiting(agent: Agent) {
    loop {
        tokio::time::sleep(TICK).await;
        for handle in agent.platforms() {
            let region = handle.region();
            let suspect = || handle.store().rows_suspect() && !handle.store().is_poisoned();
            if !agent.scrubs().is_waiting(region) && !suspect() {
                continue;
            }
            let looking = agent.scrubs().looking(region);
            let _looking = looking.lock().await;
            let before = agent.scrubs().soft(region).map(|s| s.found);
            pass(&agent, &handle, Haste::Waiting).await;
            if agent.scrubs().soft(region).map(|s| s.found) == before
                && (agent.scrubs().is_waiting(region) || suspect())
            {
                // Rows that can be read and say what they should not: their checksums do not show it, replaying does.
                let why = "rows are not what the journal says";
                found(&agent, region, why);
                make_rows_anew(&agent, &handle, why).await;
            }
        }
    }
}

/// Mends the journals of platforms that could not be opened; beside the looks, which may take hours.
pub(super) async fn follow_broken(agent: Agent) {
    let mut tried: BTreeMap<RegionCode, (Instant, u32)> = BTreeMap::new();
    let mut elsewhere: BTreeSet<RegionCode> = BTreeSet::new();
    loop {
        tokio::time::sleep(TICK).await;
        for region in agent.broken_platforms() {
            let (last, times) = tried.get(&region).copied().unwrap_or((Instant::now(), 0));
            // Each look reads the whole journal: 1 s, 4 s, then up to half a minute between two.
            let pause = Duration::from_secs(u64::from(times.min(6)).pow(2));
            if elsewhere.contains(&region) || last.elapsed() < pause {
                continue;
            }
            tried.insert(region, (Instant::now(), times + 1));
            match agent.mend_closed(region).await {
                Mending::Done => {
                    tried.remove(&region);
                    agent.scrubs().change(region, |s| (s.found, s.mended) = (s.found + 1, s.mended + 1));
                    agent.open_again(region);
                }
                Mending::Elsewhere => drop(elsewhere.insert(region)),
                Mending::Failed(error) => warn!(%region, %error, "the damaged journal is not mended yet"),
            }
        }
    }
}

fn due(agent: &Agent, handle: &PlatformHandle) -> Option<Due> {
    let now = agent.clock().wall();
    let every = i64::try_from(agent.verification().scrub_every.as_millis()).unwrap_or(i64::MAX);
    let compared = handle.status().borrow().marks.compared;
    let asked = agent.scrubs().take_asked(handle.region());
    let mut copies = agent.scrubs().copies();
    let copy = copies.entry(handle.region()).or_default();
    copy.recall(handle.store());
    if asked {
        return Some(Due::Pass { asked: true });
    }
    match compared {
        // Once a difference: when rows made anew differ again, the fault lies with the primary or the journal.
        Some(c) if !c.equal && copy.rebuilt.is_none() => return Some(Due::Rows(c.index)),
        Some(c) if c.equal => copy.rebuilt = None,
        _ => {}
    }
    let rested = |t: Timestamp| now.as_millis().saturating_sub(t.as_millis()) >= every;
    let retry = copy.soft.open.is_some() && copy.tried.is_none_or(|t| t.elapsed() >= RETRY);
    (retry || copy.soft.finished.is_none_or(rested)).then_some(Due::Pass { asked: false })
}

impl Copy {
    /// Goes on from the result of the last pass, as it was noted on disk. Before anything is noted in this process: it would be lost.
    fn recall(&mut self, store: &PlatformStore) {
        if std::mem::replace(&mut self.recalled, true) {
            return;
        }
        let row = store.local_get(ROW).ok().flatten();
        let former = row.and_then(|bytes| codec::decode::<ScrubSoft>(&bytes).ok()).unwrap_or_default();
        let (found, mended) = (self.soft.found + former.found, self.soft.mended + former.mended);
        self.soft = ScrubSoft { running: false, found, mended, ..former };
    }
}

fn found(agent: &Agent, region: RegionCode, what: &str) {
    error!(%region, code = %codes::COPY_DAMAGED, what, "damage found");
    agent.scrubs().change(region, |s| {
        s.found += 1;
        s.open = Some(what.to_owned());
    });
}

fn mended(agent: &Agent, region: RegionCode, what: &str) {
    info!(%region, what, "damage mended");
    agent.scrubs().change(region, |s| {
        s.mended += 1;
        s.open = None;
    });
}

/// Sleeps so that no more is read than the pace allows.
struct Pace {
    rate: u64,
    haste: Haste,
    started: Instant,
    bytes: u64,
    stop: CancellationToken,
    progress: Arc<Scrubs>,
    region: RegionCode,
}

impl Pace {
    fn new(agent: &Agent, region: RegionCode, haste: Haste) -> Self {
        let rate = agent.verification().scrub_bytes_s.max(1);
        let (stop, progress) = (agent.stopping(), agent.scrubs_shared());
        Self { rate, haste, started: Instant::now(), bytes: 0, stop, progress, region }
    }

    /// Notes bytes and waits; false when the node stops, or when this copy is to be mended first.
    fn pay(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        self.progress.change(self.region, |s| s.checked_bytes += bytes);
        // A person who waits for another copy waits for this one first.
        let hurry = self.haste != Haste::None || self.progress.copies().values().any(|c| c.asked);
        let rate = self.rate.saturating_mul(if hurry { ASKED_FACTOR } else { 1 });
        let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        while !self.stop.is_cancelled() {
            if self.haste != Haste::Waiting && self.progress.is_waiting(self.region) {
                return false;
            }
            let Some(left) = due.checked_sub(self.started.elapsed()).filter(|d| !d.is_zero()) else {
                return true;
            };
            std::thread::sleep(left.min(NAP));
        }
        false
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// One look through a copy. Damage that is mended on the way does not end it.
async fn pass(agent: &Agent, handle: &PlatformHandle, haste: Haste) {
    let (region, store, started) = (handle.region(), handle.store().clone(), Instant::now());
    {
        let mut copies = agent.scrubs().copies();
        let copy = copies.entry(region).or_default();
        copy.recall(&store);
        copy.tried = Some(started);
    }
    agent.scrubs().change(region, |s| (s.running, s.checked_bytes, s.open) = (true, 0, None));
    let whole = journal(agent, &store, haste).await;
    let rows = rows(agent, handle, haste, whole.is_some()).await;
    let soft = agent.scrubs().change(region, |s| {
        s.running = false;
        if let (Some(records), Some(rows)) = (whole, rows) {
            (s.records, s.rows, s.finished) = (records, rows, Some(agent.clock().wall()));
            s.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
    });
    // Losing the note costs a pass, never a record.
    if let Some(Err(error)) = blocking(move || store.local_put(ROW, &codec::encode(&soft))).await {
        warn!(%region, %error, "the result of a look through the copy was not noted");
    }
}

/// Looks at every file of the journal, and mends. The number of records when all of it is whole.
async fn journal(agent: &Agent, store: &PlatformStore, haste: Haste) -> Option<u64> {
    let region = store.region();
    let (mut records, mut whole) = (0, true);
    for place in store.journal_files() {
        let (looked, mut pace) = (store.clone(), Pace::new(agent, region, haste));
        let look = move || looked.examine_file(place.first, &mut |bytes| pace.pay(bytes));
        match blocking(look).await.flatten() {
            Some(report) if report.is_whole() => records += report.next - report.first,
            Some(report) => whole &= mend(agent, store, &report).await,
            // The node stops, or the journal was cut back: the next pass sees all of it.
            None => whole = false,
        }
    }
    whole.then_some(records)
}

async fn mend(agent: &Agent, store: &PlatformStore, report: &FileReport) -> bool {
    let region = store.region();
    let lost: u64 = report.gaps.iter().map(|g| g.to.since(g.from) + 1).sum();
    let what = format!("journal file of record {}: {lost} records cannot be read", report.first);
    found(agent, region, &what);
    let records = agent.fetch_records(region, Some(store), &report.gaps).await;
    let (store, first) = (store.clone(), eport_model::JournalIndex::from_u64(report.first));
    match blocking(move || store.mend_file(first, &records)).await {
        Some(Ok(true)) => {
            mended(agent, region, &what);
            true
        }
        Some(Ok(false)) | None => false,
        Some(Err(error)) => {
            error!(%region, code = %error.code(), %error, "damage is not mended");
            agent.scrubs().change(region, |s| s.open = Some(format!("{what}; {error}")));
            false
        }
    }
}

/// Reads every row; damaged ones are made anew where the journal is whole. The number of rows when they are sound.
async fn rows(agent: &Agent, handle: &PlatformHandle, haste: Haste, journal: bool) -> Option<u64> {
    let (store, region) = (handle.store().clone(), handle.region());
    let mut pace = Pace::new(agent, region, haste);
    let look = blocking(move || store.examine_rows(&mut |bytes| pace.pay(bytes))).await?;
    let (damage, by_journal) = match look {
        Ok(Some(RowsLook { damage: None, rows, .. })) => return Some(rows),
        Ok(Some(RowsLook { damage: Some(damage), of_this_node, .. })) => (damage, !of_this_node),
        Ok(None) => return None,
        Err(error) => (error.to_string(), true),
    };
    let what = format!("rows cannot be read: {damage}");
    found(agent, region, &what);
    if journal && by_journal {
        make_rows_anew(agent, handle, &what).await;
    }
    None
}

async fn make_rows_anew(agent: &Agent, handle: &PlatformHandle, what: &str) {
    let (store, region) = (handle.store().clone(), handle.region());
    // A copy whose rows are damaged serves nobody well: no pace.
    let (shared, stop) = (agent.shared().clone(), agent.stopping());
    let made = blocking(move || store.rebuild_rows(&shared, &mut |_| !stop.is_cancelled())).await;
    match made {
        Some(Ok(Some(at))) => mended(agent, region, &format!("{what}; made anew as of record {}", at.index)),
        Some(Ok(None)) | None => {}
        Some(Err(error)) => {
            error!(%region, code = %error.code(), %error, "rows are not made anew");
            agent.scrubs().change(region, |s| s.open = Some(format!("{what}; {error}")));
        }
    }
}

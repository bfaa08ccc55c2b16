//! How this node is shared among the platforms it hosts: quotas at admission, turns for the work, shares of memory.
//!
//! Always holds: a platform's quota is looked at before anything of a request is read or judged, so a refused request cost
//! little and stored nothing; documents are judged in turns of a bounded size, and a platform that floods waits for its own;
//! what is counted as served was served here. Everything is in memory: the quotas themselves stand in the registry, and what
//! must survive is written with the platform's records.

use crate::judges::Judges;
use eport_fairness::{Bucket, Entered, Fair, Limits, Places, Room, Shares};
use eport_model::RegionCode;
use eport_registry::{Quota, QuotaLimits};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Documents judged in one turn: about a millisecond of work.
pub(crate) const TURN: usize = 16;
/// Requests of one platform that wait for a turn; more are told to come back.
const WAITING_MAX: usize = 4_096;
/// Bytes of request bodies that may be in memory at once on this node.
const BODY_BUDGET: u64 = 256 << 20;
/// Requests with a body that the active platforms share, for each processor.
const PLACES: u64 = 8;
/// A platform counts as active for so long after its last request ended.
const ACTIVE: Duration = Duration::from_secs(10);
/// A body takes a place for each of so many bytes.
const PLACE_BYTES: u64 = 32 << 10;

/// How one node is shared. Clones share it.
#[derive(Clone)]
pub struct Hosting(Arc<Inner>);

struct Inner {
    turns: Mutex<Fair<RegionCode, oneshot::Sender<Turn>>>,
    judges: Judges,
    bodies: Mutex<Shares<Option<RegionCode>>>,
    places: Mutex<Places<RegionCode, oneshot::Sender<Under>>>,
    gates: RwLock<BTreeMap<RegionCode, Arc<Gate>>>,
    start: Instant,
}

/// Why a request is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The quota of requests is used up; worth asking again after so long.
    Rate(Duration),
    /// The quota of bytes under way is used up.
    Bytes,
    /// The node has no room for the body.
    Room,
}

/// What was counted of a platform since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Requests served, a batch once a document.
    pub served: u64,
    /// Requests refused for the quota of requests.
    pub refused_rate: u64,
    /// Requests refused for the quota of bytes.
    pub refused_bytes: u64,
    /// Documents refused for the quota of disk.
    pub refused_disk: u64,
    /// Turns taken.
    pub turns: u64,
    /// Milliseconds waited for them in all.
    pub waited_ms: u64,
}

/// The admission of one platform.
#[derive(Default)]
pub struct Gate {
    quota: Mutex<Applied>,
    disk_max: AtomicU64,
    bounded: AtomicBool,
    counted: Counts,
}

/// The quota as applied last, and its bucket.
#[derive(Default)]
struct Applied {
    version: u64,
    limits: QuotaLimits,
    bucket: Option<Bucket>,
}

#[derive(Default)]
struct Counts {
    served: AtomicU64,
    unwritten: AtomicU64,
    rate: AtomicU64,
    bytes: AtomicU64,
    disk: AtomicU64,
    turns: AtomicU64,
    waited_ms: AtomicU64,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hosting {
    /// A node that judges so many turns at once: one a processor.
    pub fn new(processors: usize) -> Self {
        // The largest turn costs what one round gives, so nobody needs two rounds for it.
        let limits = Limits { slots: processors, queue_max: WAITING_MAX, quantum: TURN as u64 };
        Self(Arc::new(Inner {
            turns: Mutex::new(Fair::new(limits)),
            judges: Judges::new(processors),
            bodies: Mutex::new(Shares::new(BODY_BUDGET)),
            places: Mutex::new(Places::new(Room {
                places: PLACES * processors.max(1) as u64,
                queue_max: WAITING_MAX,
                active_ms: ACTIVE.as_millis() as u64,
            })),
            gates: RwLock::default(),
            start: started(),
        }))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The gate of a platform; made when first asked for. There is one for each platform that the registry knows.
    pub fn gate(&self, region: RegionCode) -> Arc<Gate> {
        let known = self.0.gates.read().unwrap_or_else(PoisonError::into_inner).get(&region).cloned();
        known.unwrap_or_else(|| {
            let mut gates = self.0.gates.write().unwrap_or_else(PoisonError::into_inner);
            gates.entry(region).or_default().clone()
        })
    }

    /// Lets `cost` requests of a platform in under the quota that the registry names now, or says when to come back. A cost of
    /// nothing asks only whether the platform is in debt.
    pub fn admit(&self, region: RegionCode, quota: Option<&Quota>, cost: u32) -> Result<(), Refused> {
        let gate = self.gate(region);
        let now = self.now_ms();
        let mut applied = hold(&gate.quota);
        gate.renew(&mut applied, quota, now);
        let Some(bucket) = applied.bucket.as_mut() else { return Ok(()) };
        bucket.take(cost, now).map_err(|ms| {
            gate.counted.rate.fetch_add(u64::from(cost.max(1)), Ordering::Relaxed);
            Refused::Rate(Duration::from_millis(ms))
        })
    }

    /// Takes room for a request's body until the answer is given.
    pub fn body(
        &self,
        region: Option<RegionCode>,
        quota: Option<&Quota>,
        bytes: u64,
    ) -> Result<Body, Refused> {
        let bound = quota.and_then(|q| q.limits.bytes_in_flight);
        let mut bodies = hold(&self.0.bodies);
        if bodies.take(region, bytes, bound) {
            return Ok(Body { hosting: self.clone(), region, bytes });
        }
        let over = bound.is_some_and(|b| bodies.held(region).saturating_add(bytes) > b);
        drop(bodies);
        match region {
            Some(region) if over => {
                self.gate(region).counted.bytes.fetch_add(1, Ordering::Relaxed);
                Err(Refused::Bytes)
            }
            _ => Err(Refused::Room),
        }
    }

    /// Waits until a request with a body of so many bytes may be read and carried out here: at once where no other platform is
    /// active or this one holds less than its share. `None`: too many requests of the platform wait already.
    pub async fn under_way(&self, region: RegionCode, bytes: u64) -> Option<Under> {
        let cost = 1 + bytes / PLACE_BYTES;
        let (to, entered) = oneshot::channel();
        let here = hold(&self.0.places).enter(region, cost, to, self.now_ms()).ok()?;
        match here {
            Entered::Now(_) => Some(Under { hosting: Some(self.clone()), region, cost }),
            Entered::Waits => entered.await.ok(),
        }
    }

    /// Gives places back and hands them on.
    fn leave(&self, region: RegionCode, cost: u64) {
        let mut ended = vec![cost];
        while let Some(cost) = ended.pop() {
            let next = hold(&self.0.places).leave(region, cost, self.now_ms());
            for (cost, to) in next {
                let under = Under { hosting: Some(self.clone()), region, cost };
                // Whoever went away meanwhile leaves at once; here, not by its drop, or a thousand of them would nest.
                if let Err(mut unwanted) = to.send(under) {
                    unwanted.hosting = None;
                    ended.push(cost);
                }
            }
        }
    }

    /// The threads that judge parts of batches.
    pub(crate) fn judges(&self) -> &Judges {
        &self.0.judges
    }

    /// Waits for a turn to do work of `cost` documents. `None`: too many requests of the platform wait already.
    pub(crate) async fn turn(&self, region: RegionCode, cost: usize) -> Option<Turn> {
        let (to, turn) = oneshot::channel();
        let cost = cost.min(TURN) as u64;
        hold(&self.0.turns).push(region, cost, to, self.now_ms()).ok()?;
        self.dispatch();
        turn.await.ok()
    }

    /// Hands free slots to whoever is next.
    fn dispatch(&self) {
        loop {
            let mut turns = hold(&self.0.turns);
            let Some(taken) = turns.pop(self.now_ms()) else { return };
            drop(turns);
            let gate = self.gate(taken.key);
            gate.counted.turns.fetch_add(1, Ordering::Relaxed);
            gate.counted.waited_ms.fetch_add(taken.waited_ms, Ordering::Relaxed);
            // A caller that went away drops the turn at once, which gives the slot back; not from here, or two would dispatch
            // for each other without end.
            if let Err(mut unwanted) = taken.item.send(Turn { hosting: Some(self.clone()) }) {
                unwanted.hosting = None;
                hold(&self.0.turns).done();
            }
        }
    }
}

/// The right to work now; given back when dropped.
pub(crate) struct Turn {
    hosting: Option<Hosting>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(hosting) = self.hosting.take() {
            hold(&hosting.0.turns).done();
            hosting.dispatch();
        }
    }
}

/// The right of a request to be read and carried out; given back when dropped.
pub struct Under {
    hosting: Option<Hosting>,
    region: RegionCode,
    cost: u64,
}

impl Under {
    /// Does work under this right. After `limit` the right goes to the next one although the work goes on: whoever sends a body
    /// slowly, or never to its end, holds nobody up for longer.
    pub async fn carry_out<F: Future>(self, limit: Duration, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(limit, &mut work).await {
            return done;
        }
        drop(self);
        work.await
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        if let Some(hosting) = self.hosting.take() {
            hosting.leave(self.region, self.cost);
        }
    }
}

/// Room for a request's body; given back when dropped.
pub struct Body {
    hosting: Hosting,
    region: Option<RegionCode>,
    bytes: u64,
}

impl Drop for Body {
    fn drop(&mut self) {
        hold(&self.hosting.0.bodies).give_back(self.region, self.bytes);
    }
}

impl Gate {
    fn renew(&self, applied: &mut Applied, quota: Option<&Quota>, now_ms: u64) {
        let version = quota.map_or(0, |q| q.version);
        // A node that lags behind another may still show an older quota: whatever this node's registry says now holds.
        if applied.version == version {
            return;
        }
        let limits = quota.map(|q| q.limits).unwrap_or_default();
        applied.version = version;
        applied.limits = limits;
        let rate = limits.requests_per_s.zip(limits.burst());
        match (rate, applied.bucket.as_mut()) {
            (Some((rate, burst)), Some(bucket)) => bucket.set(rate, burst, now_ms),
            (Some((rate, burst)), None) => applied.bucket = Some(Bucket::new(rate, burst, now_ms)),
            (None, _) => applied.bucket = None,
        }
        self.disk_max.store(limits.disk_bytes.unwrap_or(0), Ordering::Relaxed);
        self.bounded.store(limits.disk_bytes.is_some(), Ordering::Relaxed);
    }

    /// True when the platform takes as much disk as it may.
    pub(crate) fn is_disk_full(&self, bytes: u64) -> bool {
        self.bounded.load(Ordering::Relaxed) && bytes >= self.disk_max.load(Ordering::Relaxed)
    }

    pub(crate) fn count_disk(&self) {
        self.counted.disk.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts requests that are served here.
    pub fn serve(&self, requests: u64) {
        self.counted.served.fetch_add(requests, Ordering::Relaxed);
        self.counted.unwritten.fetch_add(requests, Ordering::Relaxed);
    }

    /// Requests served since this was asked last: they are to be written with the platform's records.
    pub(crate) fn take_served(&self) -> u64 {
        self.counted.unwritten.swap(0, Ordering::Relaxed)
    }

    /// What was counted since the process started.
    pub fn counted(&self) -> Counted {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let c = &self.counted;
        Counted {
            served: read(&c.served),
            refused_rate: read(&c.rate),
            refused_bytes: read(&c.bytes),
            refused_disk: read(&c.disk),
            turns: read(&c.turns),
            waited_ms: read(&c.waited_ms),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the monotonic clock of admission is read here")]
fn started() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_model::Timestamp;

    fn region(code: &str) -> RegionCode {
        code.parse().unwrap()
    }

    fn quota(version: u64, limits: QuotaLimits) -> Quota {
        Quota { region: region("440500"), version, limits, by: String::new(), since: Timestamp::default() }
    }

    #[test]
    fn a_quota_holds_as_soon_as_the_registry_names_it_and_is_gone_as_soon_as_it_does_not() {
        let (hosting, r) = (Hosting::new(1), region("440500"));
        assert!((0..1_000).all(|_| hosting.admit(r, None, 1).is_ok()));
        let tight =
            quota(1, QuotaLimits { requests_per_s: Some(1), burst: Some(3), ..QuotaLimits::default() });
        let let_in = (0..50).filter(|_| hosting.admit(r, Some(&tight), 1).is_ok()).count();
        assert!((3..=4).contains(&let_in), "{let_in} of a burst of 3");
        assert!(
            matches!(hosting.admit(r, Some(&tight), 1), Err(Refused::Rate(wait)) if wait <= Duration::from_secs(1))
        );
        assert!(hosting.admit(region("440100"), None, 1).is_ok(), "another platform");
        assert!(hosting.admit(r, Some(&quota(2, QuotaLimits::default())), 1).is_ok());
        assert!(hosting.gate(r).counted().refused_rate >= 46);
    }

    #[test]
    fn a_body_beyond_the_bytes_under_way_is_refused_until_another_is_done() {
        let (hosting, r) = (Hosting::new(1), region("440500"));
        let q = quota(1, QuotaLimits { bytes_in_flight: Some(100_000), ..QuotaLimits::default() });
        let first = hosting.body(Some(r), Some(&q), 80_000).ok().unwrap();
        assert_eq!(hosting.body(Some(r), Some(&q), 30_000).err(), Some(Refused::Bytes));
        assert!(hosting.body(Some(region("440100")), None, 30_000).is_ok());
        drop(first);
        assert!(hosting.body(Some(r), Some(&q), 30_000).is_ok());
        assert_eq!(hosting.body(None, None, 1 << 40).err(), Some(Refused::Room));
    }

    #[tokio::test]
    async fn a_flood_waits_for_its_own_places_and_whoever_went_away_holds_none() {
        let (hosting, flood, quiet) = (Hosting::new(1), region("440500"), region("440100"));
        let mut held = Vec::new();
        held.push(hosting.under_way(quiet, 10).await.unwrap());
        for _ in 0..PLACES / 2 {
            held.push(hosting.under_way(flood, 10).await.unwrap());
        }
        let wait = || {
            let hosting = hosting.clone();
            tokio::spawn(async move { hosting.under_way(flood, 10).await })
        };
        let gone: Vec<_> = (0..3_000).map(|_| wait()).collect();
        while hold(&hosting.0.places).waiting(flood) < gone.len() {
            tokio::task::yield_now().await;
        }
        let stays = wait();
        while hold(&hosting.0.places).waiting(flood) <= gone.len() {
            tokio::task::yield_now().await;
        }
        for task in gone {
            task.abort();
            let _ = task.await;
        }
        drop(held.pop());
        let entered = stays.await.unwrap();
        assert!(entered.is_some(), "three thousand who went away stood before it");
        assert_eq!(hold(&hosting.0.places).held(flood), PLACES / 2);
        drop((entered, held));
        assert_eq!(hold(&hosting.0.places).held(flood), 0);
    }

    #[tokio::test]
    async fn work_that_does_not_end_holds_its_place_no_longer_than_it_may() {
        let (hosting, slow, other) = (Hosting::new(1), region("440500"), region("440100"));
        let _active = hosting.under_way(other, 10).await.unwrap();
        // A body without a length is charged as the largest.
        let under = hosting.under_way(slow, 64 << 20).await.unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let work = tokio::spawn(under.carry_out(Duration::from_millis(20), async { ended.await.is_ok() }));
        // Waits for ever if the place is not given back.
        assert!(hosting.under_way(slow, 10).await.is_some(), "the line behind a body that never ends");
        assert!(!work.is_finished());
        end.send(()).unwrap();
        assert!(work.await.unwrap(), "the work itself went on");
    }

    #[tokio::test]
    async fn turns_go_round_and_a_caller_that_goes_away_blocks_nobody() {
        let (hosting, flood, quiet) = (Hosting::new(1), region("440500"), region("440100"));
        let held = hosting.turn(flood, TURN).await.unwrap();
        let (order, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let wait = |r: RegionCode| {
            let (hosting, order) = (hosting.clone(), order.clone());
            tokio::spawn(async move {
                let turn = hosting.turn(r, TURN).await;
                let _ = order.send(r);
                drop(turn);
            })
        };
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(wait(flood));
        }
        tokio::task::yield_now().await;
        // One that gives up, and then the quiet one.
        let gone = wait(flood);
        tokio::task::yield_now().await;
        gone.abort();
        let _ = gone.await;
        let last = wait(quiet);
        tokio::task::yield_now().await;
        drop(held);
        last.await.unwrap();
        let mut before = 0;
        while seen.recv().await != Some(quiet) {
            before += 1;
        }
        assert!(before <= 2, "{before} turns of the flood came first");
        for task in waiting {
            task.await.unwrap();
        }
        assert!(hold(&hosting.0.turns).is_empty() && hold(&hosting.0.turns).running() == 0);
    }
}

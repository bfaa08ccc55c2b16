//! Carries messages between primaries: one task a platform that finds what waits, one a channel that offers it, the door through which
//! offers of others come in, and the routes of agencies as the registry knows them.
//!
//! Always: an offer comes from the node that the registry names as primary of its platform, in that epoch; a channel has one offer
//! under way; its task ends with the role under which it was started, and the next primary begins from the outbox.

use crate::state::Api;
use bytes::Bytes;
use eport_agent::{ExchangeHandler, PlatformHandle};
use eport_consensus::Registry;
use eport_exchange::{Answer, Offer, Refused, Sender};
use eport_model::{Epoch, JournalIndex, NodeId, RegionCode, Subject, codec};
use eport_platform::{ChannelView, Offered, Platform, Routes};
use eport_wire::Purpose;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

/// How long an offer waits for its answer.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often what waits is looked at without news.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often routes are looked for.
const ROUTE_EVERY: Duration = Duration::from_secs(1);
/// Largest answer: a result for each message of an offer.
const ANSWER_LEN_MAX: usize = 1 << 20;

/// Platforms that an agency is attached to; `None`: to all.
type Places = Option<BTreeSet<RegionCode>>;

/// Routes of agencies from the registry, read again when it changes.
pub struct RegistryRoutes {
    registry: Registry,
    known: Mutex<(u64, BTreeMap<String, Places>)>,
}

impl fmt::Debug for RegistryRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryRoutes")
    }
}

impl RegistryRoutes {
    /// The routes of this registry.
    pub fn new(registry: Registry) -> Arc<Self> {
        Arc::new(Self { registry, known: Mutex::new((u64::MAX, BTreeMap::new())) })
    }
}

impl Routes for RegistryRoutes {
    fn route(&self, agency: &str, owner: RegionCode) -> Option<RegionCode> {
        let view = self.registry.state();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != view.index {
            let mut places: BTreeMap<String, Places> = BTreeMap::new();
            for user in view.state.users().filter(|u| !u.suspended) {
                let Subject::Agency { code, .. } = &user.subject else { continue };
                let all = places.entry(code.clone()).or_insert_with(|| Some(BTreeSet::new()));
                match all {
                    Some(_) if user.platforms.is_empty() => *all = None,
                    Some(some) => some.extend(user.platforms.iter().copied()),
                    None => {}
                }
            }
            *known = (view.index, places);
        }
        nearest(known.1.get(agency)?, owner)
    }
}

/// The owner's own platform where the agency is attached there, else the province's, else the first.
fn nearest(places: &Places, owner: RegionCode) -> Option<RegionCode> {
    let Some(places) = places else { return Some(owner) };
    let near = [owner, owner.province()].into_iter().find(|r| places.contains(r));
    near.or_else(|| places.first().copied())
}

/// Where offers of other platforms come in.
pub struct Door {
    api: Api,
}

impl Door {
    /// The door of this node.
    pub fn new(api: Api) -> Arc<Self> {
        Arc::new(Self { api })
    }
}

impl ExchangeHandler for Door {
    fn exchange(&self, from: NodeId, payload: Bytes) -> BoxFuture<'static, Bytes> {
        let api = self.api.clone();
        Box::pin(async move {
            let answer = match codec::decode_with_limit(&payload, Purpose::Exchange.payload_len_max()) {
                Ok(offer) => take(&api, from, offer).await,
                Err(e) => refused(Epoch::NONE, Refused::Malformed(e.to_string())),
            };
            codec::encode(&answer).into()
        })
    }
}

fn refused(epoch: Epoch, why: Refused) -> Answer {
    Answer { epoch, held: JournalIndex::ZERO, last: None, results: Err(why) }
}

/// Takes an offer after a look at who makes it.
async fn take(api: &Api, from: NodeId, offer: Offer) -> Answer {
    let view = api.registry.state();
    let known = view.state.placement(offer.from);
    let Some(sender) = known.filter(|_| view.state.is_member(from)) else {
        return refused(Epoch::NONE, Refused::Malformed("no member speaks for that platform".into()));
    };
    if sender.epoch > offer.epoch {
        return refused(Epoch::NONE, Refused::Stale { known: sender.epoch });
    }
    if sender.epoch < offer.epoch || sender.primary != from {
        // The sender knows of a move first; a moment later this node does too.
        return refused(Epoch::NONE, Refused::Busy("the registry here does not name the sender yet".into()));
    }
    match api.platform(offer.to) {
        Some(platform) => platform.take_offer(offer).await,
        None => refused(Epoch::NONE, Refused::NotPrimary),
    }
}

/// Follows the platforms that this node is primary of until the node stops.
pub async fn follow(api: Api, mut stop: watch::Receiver<bool>) {
    let mut running: BTreeMap<RegionCode, JoinHandle<()>> = BTreeMap::new();
    let mut hosted = api.agent.hosted();
    while !*stop.borrow_and_update() {
        running.retain(|_, task| !task.is_finished());
        for handle in api.agent.platforms() {
            let region = handle.region();
            if let (Some(platform), false) = (api.platform(region), running.contains_key(&region)) {
                let task = one_platform(api.clone(), platform, handle, stop.clone());
                running.insert(region, tokio::spawn(task));
            }
        }
        hosted.borrow_and_update();
        tokio::select! {
            _ = stop.changed() => {}
            _ = hosted.changed() => {}
            () = tokio::time::sleep(ROUTE_EVERY) => {}
        }
    }
    for (_, task) in running {
        task.abort();
    }
}

/// While the platform is primary here: starts a task for each channel that has something, looks for routes.
async fn one_platform(api: Api, platform: Platform, handle: PlatformHandle, mut stop: watch::Receiver<bool>) {
    let mut channels: BTreeMap<RegionCode, (u64, JoinHandle<()>)> = BTreeMap::new();
    let mut status = platform.status();
    let mut routed: Option<Instant> = None;
    while !*stop.borrow_and_update() {
        let (open, generation) = {
            let now = status.borrow_and_update();
            (now.is_open(), now.generation)
        };
        channels.retain(|_, (under, task)| *under == generation && !task.is_finished());
        if open {
            if routed.is_none_or(|at| at.elapsed() >= ROUTE_EVERY) {
                match platform.route_waiting().await {
                    Ok(more) => routed = (!more).then(Instant::now),
                    Err(error) => {
                        debug!(region = %platform.region(), %error, "routes not looked for");
                        routed = Some(Instant::now());
                    }
                }
                crate::withdrawals::look(&api, &platform).await;
            }
            let found = {
                let platform = platform.clone();
                tokio::task::spawn_blocking(move || platform.channels()).await
            };
            match found {
                Ok(Ok(found)) => {
                    for to in found {
                        channels.entry(to).or_insert_with(|| {
                            let channel =
                                Channel::new(api.clone(), platform.clone(), handle.clone(), to, generation);
                            (generation, tokio::spawn(channel.run(stop.clone())))
                        });
                    }
                }
                Ok(Err(error)) => warn!(region = %platform.region(), %error, "the outbox cannot be read"),
                Err(error) => warn!(region = %platform.region(), %error, "the outbox was not read"),
            }
        }
        tokio::select! {
            _ = stop.changed() => {}
            changed = status.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        // Many records a second are one look.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One channel under one role.
struct Channel {
    api: Api,
    platform: Platform,
    handle: PlatformHandle,
    to: RegionCode,
    generation: u64,
    sender: Sender<Bytes>,
    started: Instant,
    view: ChannelView,
}

impl Channel {
    fn new(api: Api, platform: Platform, handle: PlatformHandle, to: RegionCode, generation: u64) -> Self {
        Self {
            api,
            platform,
            handle,
            to,
            generation,
            sender: Sender::default(),
            started: Instant::now(),
            view: ChannelView::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut status = self.platform.status();
        let mut registry = self.api.registry.changes();
        loop {
            {
                let now = status.borrow_and_update();
                if *stop.borrow_and_update() || now.generation != self.generation || !now.is_open() {
                    return;
                }
            }
            registry.borrow_and_update();
            let heads = {
                let (platform, to) = (self.platform.clone(), self.to);
                tokio::task::spawn_blocking(move || platform.lane_heads(to)).await
            };
            let heads = match heads {
                Ok(Ok(heads)) => heads,
                Ok(Err(error)) => {
                    warn!(to = %self.to, %error, "the outbox cannot be read");
                    BTreeMap::new()
                }
                Err(_) => return,
            };
            let now = self.now();
            match self.sender.pick(&heads, now) {
                Some(picked) => self.offer(picked).await,
                None => {
                    let pause = self.sender.not_before().saturating_sub(now);
                    let pause = if pause == 0 { LOOK_EVERY } else { Duration::from_millis(pause) };
                    tokio::select! {
                        _ = stop.changed() => {}
                        changed = status.changed() => if changed.is_err() { return },
                        // A move of the receiver, or of whatever stood in the way. The pause after a slow answer goes on.
                        Ok(()) = registry.changed() => if self.sender.trouble().is_some() {
                            self.sender.try_now();
                        },
                        () = tokio::time::sleep(pause) => {}
                    }
                    // Many records a second are one look.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            self.view.waiting = self.sender.acknowledged().cloned().collect();
            self.view.receiver = self.sender.receiver();
            self.view.trouble = self.sender.trouble().map(str::to_owned);
            self.platform.note_channel(self.to, self.view.clone());
        }
    }

    async fn offer(&mut self, picked: Vec<Bytes>) {
        let asked_for = picked.len();
        let made = {
            let (platform, to, expects) = (self.platform.clone(), self.to, self.sender.receiver());
            let history = self.handle.store().history();
            tokio::task::spawn_blocking(move || platform.offer(to, &picked, expects, history)).await
        };
        let Offered { offer, keys, unsendable } = match made {
            Ok(Ok(offered)) => offered,
            Ok(Err(error)) => return self.sender.failed(error.to_string(), self.now()),
            Err(error) => return self.sender.failed(error.to_string(), self.now()),
        };
        if !unsendable.is_empty() {
            for row in &unsendable {
                warn!(from = %self.platform.region(), to = %self.to, reason = row.reason, "dead letter");
            }
            if let Err(error) = self.platform.unsendable(self.to, unsendable).await {
                debug!(to = %self.to, %error, "the outbox was not shortened");
            }
        }
        if keys.is_empty() && asked_for > 0 {
            return self.sender.failed("no message can be made now".into(), self.now());
        }
        self.sender.offers(&keys);
        let answer = match self.ask(offer).await {
            Ok(answer) => answer,
            Err(trouble) => return self.sender.failed(trouble, self.now()),
        };
        if answer.results.is_ok() {
            self.view.answered = Some(self.api.now());
            let last = answer.last.map(|s| (s.epoch, s.index.as_u64()));
            self.view.last = last.or(self.view.last);
        }
        let done = self.sender.answered(answer, self.now());
        for (_, reason, detail) in &done.dead {
            warn!(from = %self.platform.region(), to = %self.to, %reason, %detail, "dead letter");
        }
        if let Err(error) = self.platform.sent(self.to, done).await {
            // The rows stay; the receiver is asked again and says the same.
            debug!(to = %self.to, %error, "the outbox was not shortened");
        }
    }

    async fn ask(&self, offer: Offer) -> Result<Answer, String> {
        let primary = self.api.registry.state().state.placement(self.to).map(|p| p.primary);
        let primary = primary.ok_or_else(|| format!("platform {} is not in the registry", self.to))?;
        if primary == self.api.agent.me() {
            return Ok(take(&self.api, primary, offer).await);
        }
        let payload = Bytes::from(codec::encode(&offer));
        let asked = self.api.transport.request(primary, Purpose::Exchange, payload, OFFER_TIMEOUT).await;
        let answer = asked.map_err(|e| e.to_string())?;
        codec::decode_with_limit(&answer, ANSWER_LEN_MAX).map_err(|e| format!("answer of {primary}: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agency_takes_documents_where_it_is_nearest() {
        let region = |code: &str| code.parse::<RegionCode>().unwrap();
        let at = |codes: &[&str]| Some(codes.iter().map(|c| region(c)).collect::<BTreeSet<_>>());
        let owner = region("440100");
        assert_eq!(nearest(&at(&["440000", "440100"]), owner), Some(owner));
        assert_eq!(nearest(&at(&["440000", "440300"]), owner), Some(region("440000")));
        assert_eq!(nearest(&at(&["440300", "440500"]), owner), Some(region("440300")));
        assert_eq!(nearest(&None, owner), Some(owner), "one that is attached to all is attached here");
    }
}

//! Works off what documents ask of accounts, for every platform that this node is primary of: at the account's home, here or
//! elsewhere, from a share first; and has a book that may have lost entries told what was confirmed.
//!
//! Always: a step is asked again until its home has answered; a home that cannot be reached holds up nothing but its own
//! accounts; an answer counts only when the journal has it.

use crate::Caller;
use crate::accounts_api::{AskBody, ConfirmedBody, ConfirmedPage, body_of, page};
use crate::forward::{Outline, forward};
use crate::problem::ApiError;
use crate::state::Api;
use axum::http::Method;
use eport_journal::Role;
use eport_ledger::{Closed, Order, Request, Verdict};
use eport_model::{Epoch, RegionCode, codes};
use eport_platform::{AccountAnswer, Duty, Move, Platform};
use eport_registry::MoveKind;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, warn};

/// How often the platforms of this node are looked up, and what could not be done is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Duties read at once.
const PAGE: usize = 256;
/// Duties of one platform that are worked off side by side.
const SIDE_BY_SIDE: usize = 16;

/// Follows the platforms of this node until it stops.
pub async fn follow(api: Api, mut stop: watch::Receiver<bool>) {
    let mut running: BTreeMap<RegionCode, tokio::task::JoinHandle<()>> = BTreeMap::new();
    while !*stop.borrow() {
        let regions: Vec<RegionCode> = {
            let view = api.registry.state();
            let mine = |p: &&eport_registry::Placement| p.primary == api.agent.me();
            view.state.placements().filter(mine).map(|p| p.region).collect()
        };
        running.retain(|_, task| !task.is_finished());
        for region in regions {
            running.entry(region).or_insert_with(|| tokio::spawn(keep(api.clone(), region)));
        }
        let _ = tokio::time::timeout(AGAIN, stop.changed()).await;
    }
    running.into_values().for_each(|task| task.abort());
}

/// The epoch in which the platform is open here.
fn epoch(platform: &Platform) -> Option<Epoch> {
    match platform.status().borrow().role {
        Role::Primary { epoch } => Some(epoch),
        _ => None,
    }
}

/// One platform, as long as it is open here.
async fn keep(api: Api, region: RegionCode) {
    let Some(platform) = api.platform(region) else { return };
    while let Some(epoch) = epoch(&platform) {
        let more = match begin(&api, &platform, epoch).await {
            Ok(()) => round(&api, &platform).await,
            Err(error) => {
                debug!(%region, error = %error.problem.detail.clone().unwrap_or_default(), "the book of accounts does not begin yet");
                false
            }
        };
        if !more {
            let _ = tokio::time::timeout(AGAIN, platform.duty_left()).await;
        }
    }
}

async fn book_of(platform: &Platform) -> Result<eport_ledger::Book, ApiError> {
    let unread = || ApiError::new(codes::STORAGE_FAILED, "the book of accounts cannot be read");
    look(platform, Platform::book).await.ok_or_else(unread)
}

/// Begins the book of this epoch, and has it told what was confirmed where entries may be missing.
async fn begin(api: &Api, platform: &Platform, epoch: Epoch) -> Result<(), ApiError> {
    let book = book_of(platform).await?;
    if book.epoch < epoch {
        let (lossless, planned) = moves_since(api, platform.region(), book.epoch, epoch);
        let owners: Vec<RegionCode> = {
            let view = api.registry.state();
            view.state.placements().map(|p| p.region).filter(|r| *r != platform.region()).collect()
        };
        platform.begin_book(lossless, planned, owners).await?;
    }
    let waiting = book_of(platform).await?.recovery.map(|r| r.waiting).unwrap_or_default();
    for owner in waiting {
        // One owner that is away does not keep the others from saying what they know.
        if let Err(error) = recover(api, platform, epoch, owner).await {
            debug!(region = %platform.region(), %owner, error = %error.problem.detail.clone().unwrap_or_default(), "an owner has not said what was confirmed");
        }
    }
    Ok(())
}

/// Whether every move since an epoch has kept every confirmed entry, and whether every one was planned. An epoch of which the
/// registry does not say so counts as lossy.
fn moves_since(api: &Api, region: RegionCode, from: Epoch, to: Epoch) -> (bool, bool) {
    let view = api.registry.state();
    let Some(placement) = view.state.placement(region) else { return (false, false) };
    let known = placement.history.iter().any(|r| r.epoch == to);
    let (mut lossless, mut planned) = (known, known);
    for (n, record) in placement.history.iter().enumerate().filter(|(_, r)| r.epoch > from && r.epoch <= to) {
        if n == 0 {
            continue;
        }
        let movement = view.state.movement(record.move_id);
        planned &= movement.is_some_and(|m| m.kind != MoveKind::Failover);
        lossless &= movement.is_some_and(|m| {
            let loss = &m.plan.expected_loss;
            m.kind != MoveKind::Failover || (!m.accept_data_loss && loss.records == 0 && loss.since.is_none())
        });
    }
    (lossless, planned)
}

async fn recover(api: &Api, platform: &Platform, epoch: Epoch, owner: RegionCode) -> Result<(), ApiError> {
    let (mut after, mut without) = (None, 0);
    loop {
        let body = ConfirmedBody { home: platform.region(), epoch, after: after.take() };
        let told: ConfirmedPage = match here(api, owner) {
            Some(other) => page(&other, &body).await?,
            None => elsewhere(api, owner, "accounts:confirmed", &body).await?,
        };
        // Nobody says that something was confirmed to somebody else; what does not fit keeps nothing else back.
        let (mut fitting, of) = (told.requests, platform.region());
        fitting.retain(|request| match request.fault_of(owner) {
            None => true,
            Some(fault) => {
                warn!(region = %of, %owner, fault, "a request that is said to be confirmed is passed over");
                false
            }
        });
        without += platform.replay_confirmed(fitting).await?.without_account;
        match told.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if without > 0 {
        let detail = format!(
            "{without} confirmed requests of {owner} name accounts that are not here: their grants are in a tail"
        );
        warn!(region = %platform.region(), %owner, without, "confirmed requests name accounts that are not here");
        return Err(ApiError::new(codes::TAIL_NOT_HERE, detail));
    }
    platform.owner_heard(owner).await?;
    Ok(())
}

/// A platform that is open on this node.
fn here(api: &Api, region: RegionCode) -> Option<Platform> {
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    if primary == Some(api.agent.me()) { api.platform(region) } else { None }
}

/// Asks the primary of another platform, in the name of this node.
async fn elsewhere<T: DeserializeOwned>(
    api: &Api,
    region: RegionCode,
    what: &str,
    body: &impl Serialize,
) -> Result<T, ApiError> {
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let outline = Outline {
        method: Method::POST,
        path_and_query: format!("/v1/platforms/{region}/{what}"),
        headers: vec![("content-type".into(), b"application/json".to_vec())],
    };
    let body = serde_json::to_vec(body).map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let me = Caller { identity: Some(Arc::new(api.tls.me())), ..Caller::default() };
    let answer = forward(api, primary, &me, outline, body.into()).await?;
    let value = body_of(answer).await?;
    serde_json::from_value(value).map_err(|e| ApiError::new(codes::PEER_UNREACHABLE, e.to_string()))
}

/// Platforms that could not be asked in this round.
type Away = Mutex<BTreeSet<RegionCode>>;

/// Reads rows off the async threads; `None` where they cannot be read now.
async fn look<T: Send + 'static>(
    platform: &Platform,
    read: impl FnOnce(&Platform) -> Result<T, eport_platform::Error> + Send + 'static,
) -> Option<T> {
    let reader = platform.clone();
    match tokio::task::spawn_blocking(move || read(&reader)).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            warn!(region = %platform.region(), %error, "rows of accounts cannot be read");
            None
        }
        Err(error) => {
            warn!(region = %platform.region(), %error, "rows of accounts were not read");
            None
        }
    }
}

/// Works off every duty as far as it goes. True when something was finished, so that another round may go further.
async fn round(api: &Api, platform: &Platform) -> bool {
    let (away, mut seen) = (Away::default(), BTreeSet::new());
    let (mut after, mut finished): (Option<Duty>, bool) = (None, false);
    loop {
        let from = after.take();
        let Some(duties) = look(platform, move |p| p.duties(from.as_ref(), PAGE)).await else { return false };
        after = duties.last().cloned();
        let last = duties.len() < PAGE;
        // What an earlier version of a document asked is answered first.
        let first: Vec<Duty> = duties.into_iter().filter(|d| seen.insert(d.document().to_owned())).collect();
        let mut waiting = first.into_iter();
        let mut driven = futures::stream::FuturesUnordered::new();
        loop {
            while driven.len() < SIDE_BY_SIDE
                && let Some(duty) = waiting.next()
            {
                driven.push(drive(api, platform, duty, &away));
            }
            match driven.next().await {
                Some(done) => finished |= done,
                None => break,
            }
        }
        if last {
            return finished;
        }
    }
}

/// Works one duty off; true when it is finished.
async fn drive(api: &Api, platform: &Platform, duty: Duty, away: &Away) -> bool {
    let duty = &duty;
    loop {
        let asked = duty.clone();
        match look(platform, move |p| p.next_move(&asked)).await {
            Some(Move::Finish) => return platform.finish(duty).await,
            Some(Move::Ask { n, request, first, undo }) => {
                if !step(api, platform, duty, (n, undo), &request, first, away).await {
                    return false;
                }
            }
            Some(Move::Wait) | None => return false,
        }
    }
}

/// Asks one account; true when it has answered and the answer is kept.
async fn step(
    api: &Api,
    platform: &Platform,
    duty: &Duty,
    (n, undo): (u16, bool),
    request: &Request,
    first: bool,
    away: &Away,
) -> bool {
    if first && !undo {
        match platform.draw(duty, n, request).await {
            Ok(true) => return true,
            Ok(false) => {}
            // It may have been drawn: asked of the home as well, the document would hold it twice.
            Err(error) => {
                debug!(region = %platform.region(), %error, "it is not known whether a share was drawn from");
                return false;
            }
        }
    }
    let me = platform.region();
    let account = request.account.clone();
    let Some(known) = look(platform, move |p| p.home_of(&account)).await else { return false };
    let own_only = matches!(request.order, Order::Grant { .. } | Order::Stand { .. });
    let mut all_said_no = known.is_none();
    for home in candidates(api, me, known, own_only) {
        let verdict = if home == me {
            platform.ask_own(duty, n, undo, request.clone()).await.map_err(|e| ApiError::of(&e))
        } else {
            ask(api, platform, duty, (n, undo), request, home, away).await
        };
        match verdict {
            Ok(Verdict::Decided(_)) => return true,
            Ok(Verdict::Closed(Closed::NoAccount)) => {}
            Ok(Verdict::Closed(_)) | Err(_) => all_said_no = false,
        }
    }
    all_said_no && matches!(platform.nobody_keeps(duty, n, undo, request).await, Ok(true))
}

/// Where an account may be: where it was found before, else here, at the province, and everywhere.
fn candidates(api: &Api, me: RegionCode, known: Option<RegionCode>, own_only: bool) -> Vec<RegionCode> {
    if let Some(known) = known {
        return vec![known];
    }
    if own_only {
        return vec![me];
    }
    let view = api.registry.state();
    let mut all: Vec<RegionCode> = view.state.placements().map(|p| p.region).collect();
    all.sort_by_key(|r| (*r != me, !r.is_province(), *r));
    all
}

async fn ask(
    api: &Api,
    platform: &Platform,
    duty: &Duty,
    (n, undo): (u16, bool),
    request: &Request,
    home: RegionCode,
    away: &Away,
) -> Result<Verdict, ApiError> {
    let is_away = |home| away.lock().unwrap_or_else(PoisonError::into_inner).contains(&home);
    if is_away(home) {
        return Err(ApiError::new(codes::PEER_UNREACHABLE, format!("platform {home} could not be asked")));
    }
    let asked = async {
        match here(api, home) {
            Some(other) => Ok::<AccountAnswer, ApiError>(other.ask_account(request.clone()).await?),
            None => {
                let body = AskBody { from: platform.region(), request: request.clone() };
                elsewhere(api, home, "accounts:ask", &body).await
            }
        }
    };
    let answer = match asked.await {
        Ok(answer) => answer,
        Err(error) => {
            if matches!(error.problem.status, 502..=504) {
                away.lock().unwrap_or_else(PoisonError::into_inner).insert(home);
            }
            return Err(error);
        }
    };
    if matches!(answer.verdict, Verdict::Decided(_))
        && !platform.answered(duty, n, undo, request, home, &answer).await?
    {
        return Err(ApiError::new(
            codes::FENCED,
            format!("platform {home} answered in an epoch that is over"),
        ));
    }
    Ok(answer.verdict)
}

//! Carries out what operators have ordered to be erased: the primary writes an Erase record for each body that is still here.
//!
//! Always holds: a body goes only when the registry has the order and the record has that very body, and only where every holder
//! reads Erase records; an order is looked at again in every epoch, because a failover may have left an Erase record behind. Whether
//! it was carried out says the row that the record writes, not the body here: that may have gone with a record that was left behind.

use crate::PlatformHandle;
use crate::node::Agent;
use eport_journal::Outcome;
use eport_model::{Draft, ERASE_SINCE, Epoch, RegionCode, erased_key};
use eport_registry::{EraseTarget, Erasure};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracing::{info, warn};

/// How often orders are looked at, besides when the registry changes.
const EVERY: Duration = Duration::from_secs(2);
/// How long an Erase record may take to be committed; the order is tried again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Orders that need nothing more in this epoch.
type Done = BTreeMap<RegionCode, (Epoch, BTreeSet<EraseTarget>)>;

pub(crate) async fn follow(agent: Agent) {
    let mut changes = agent.registry().changes();
    let mut done = Done::new();
    loop {
        for handle in agent.platforms() {
            let status = handle.status().borrow().clone();
            let Some((_, epoch)) = status.primary().filter(|_| status.is_open()) else { continue };
            let known = done.entry(handle.region()).or_default();
            if known.0 != epoch {
                *known = (epoch, BTreeSet::new());
            }
            let due: Vec<Erasure> = {
                let view = agent.registry().state();
                let placement = view.state.placement(handle.region());
                if placement.is_none_or(|p| view.state.read_by_all(p) < ERASE_SINCE) {
                    // An older version would not know what the record is; the order waits for it.
                    continue;
                }
                let orders = view.state.erasures(handle.region());
                orders.filter(|e| !known.1.contains(&e.target)).cloned().collect()
            };
            for order in due {
                if !carry_out(&agent, &handle, &order).await {
                    // The next would wait as long, and other platforms for all of them.
                    break;
                }
                known.1.insert(order.target);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// True when nothing more is to be done for this order in this epoch.
async fn carry_out(agent: &Agent, handle: &PlatformHandle, order: &Erasure) -> bool {
    let (store, target, region) = (handle.store().clone(), order.target, handle.region());
    let look = tokio::task::spawn_blocking(move || {
        let header = store.header(target.record)?;
        let named = header.is_some_and(|(h, _)| {
            h.bodies.get(usize::from(target.body)).is_some_and(|b| b.digest == target.digest && b.len > 0)
        });
        let row = store.get(&erased_key(target.record, target.body))?;
        Ok::<_, eport_store::Error>((named, row.is_some_and(|digest| *digest == *target.digest.as_bytes())))
    });
    match look.await {
        Ok(Ok((true, false))) => {}
        Ok(Ok((true, true))) => return true,
        Ok(Ok((false, _))) => {
            warn!(%region, record = %target.record, body = target.body, "no such body is here: nothing is erased");
            return true;
        }
        Ok(Err(error)) => {
            warn!(%region, record = %target.record, %error, "an order to erase waits");
            return false;
        }
        Err(_) => return false,
    }
    let (reason, authority) = (order.reason.clone(), order.authority.clone());
    let place = (target.record, target.body);
    let draft = Draft::erase(place, target.digest, reason, authority, agent.clock().wall());
    let Ok(pending) = handle.propose(vec![draft], None) else { return false };
    let Some(pending) = pending.into_iter().next() else { return false };
    match tokio::time::timeout(COMMIT_TIMEOUT, pending.outcome).await {
        Ok(Ok(Outcome::Done { position, .. })) => {
            info!(%region, record = %target.record, body = target.body, by = %order.by, at = %position.index, "erased by law");
            true
        }
        _ => false,
    }
}

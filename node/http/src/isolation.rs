//! What a site may do while the registry does not answer: revoke what its own CA issued, by the CA's next list.
//!
//! What always holds: the registry is asked first and for a moment only; what it does not take in time is in force here before the
//! answer, by a list that proves itself; only an operator whose own certificate is of a CA of this site may do so, and it
//! stands in the platform's journal as soon as that takes records.

use crate::Caller;
use crate::auth::issuer_here;
use crate::ca::close_former;
use crate::problem::ApiError;
use crate::signing::propose;
use crate::state::Api;
use crate::status_api::revoke_here;
use bytes::Bytes;
use eport_authority::Authority;
use eport_model::{Epoch, codes};
use eport_platform::Platform;
use eport_registry::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long the registry alone is waited for. Goal: in force on the site within a second.
const REGISTRY_ALONE: Duration = Duration::from_millis(600);

/// Revokes by the registry, or, when that does not answer, by the CA's own list. True when the registry has taken it.
pub(crate) async fn revoke(
    api: &Api,
    caller: &Caller,
    order: Command,
    serial: &str,
    reason: &str,
) -> Result<bool, ApiError> {
    let at = api.clone();
    let mut at_registry = tokio::spawn(async move { propose(&at, order).await.map(|_| ()) });
    let done = |r: Result<Result<(), ApiError>, tokio::task::JoinError>| match r {
        Ok(outcome) => outcome.map(|()| true),
        Err(e) => Err(ApiError::new(codes::INTERNAL, e.to_string())),
    };
    if let Ok(outcome) = tokio::time::timeout(REGISTRY_ALONE, &mut at_registry).await {
        return done(outcome);
    }
    // It may still be on its way there; both say the same.
    let Some((authority, platform, epoch)) = own_ca(api, serial)? else { return done(at_registry.await) };
    let Some(identity) = caller.identity.as_ref().filter(|_| caller.via.is_none()) else {
        return done(at_registry.await);
    };
    if !issuer_here(api, identity) {
        let detail = "the registry does not answer; here only an operator with a certificate of a CA of this site may revoke";
        return Err(ApiError::new(codes::REVOCATIONS_STALE, detail));
    }
    let (at, ca, of) = (api.clone(), authority.clone(), platform.clone());
    let (name, why) = (serial.to_owned(), reason.to_owned());
    let signed = tokio::task::spawn_blocking(move || revoke_here(&at, &ca, &of, epoch, &name, &why));
    signed.await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    api.agent.set_lists(api.lists.numbers());
    audit(platform, format!("ca/{}/revoked/{serial}", authority.spki()), caller);
    Ok(false)
}

/// The open CA of this node that issued a certificate, at the open primary of its platform.
fn own_ca(api: &Api, serial: &str) -> Result<Option<(Arc<Authority>, Platform, Epoch)>, ApiError> {
    close_former(api);
    for (authority, _) in api.cas.all() {
        let Some(platform) = authority.region().and_then(|r| api.platform(r)) else { continue };
        let Some(epoch) = platform.issuing_epoch() else { continue };
        let row = platform.certificate(serial).map_err(|e| ApiError::of(&e))?;
        if row.is_some_and(|r| r.issuer == authority.spki()) {
            return Ok(Some((authority, platform, epoch)));
        }
    }
    Ok(None)
}

/// The record of it; a journal that takes none now must not keep a revocation back.
fn audit(platform: Platform, id: String, caller: &Caller) {
    let by = caller.name();
    let signature = caller.signature.as_deref().map(|s| Bytes::copy_from_slice(&s.signature));
    tokio::spawn(async move {
        if let Err(error) = platform.record_ca_act(id, &by, signature).await {
            tracing::warn!(%error, %by, "a revocation by the CA's own list is not in the journal");
        }
    });
}

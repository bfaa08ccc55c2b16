//! From a caller to a decision of `access`, and from a refusal to an answer.

use crate::Caller;
use crate::problem::ApiError;
use crate::state::Api;
use eport_access::{Action, Permit, Staleness, context, decide};
use eport_model::{RegionCode, Timestamp, codes};
use eport_tls::PeerIdentity;
use std::time::Duration;

/// Oldest news of revocations for administration, milliseconds.
const NEWS_MS: u64 = 300_000;
/// The setting that says otherwise.
const NEWS_SETTING: &str = "revocation_news_max_ms";
/// A node that has just started has heard of nobody yet.
const STARTING: Duration = Duration::from_secs(10);

/// The caller may do this, and how far; or the error to answer with.
pub fn need(
    api: &Api,
    caller: &Caller,
    action: Action,
    platform: Option<RegionCode>,
) -> Result<Permit, ApiError> {
    judge(api, caller, action, platform)
}

/// The decision, from the registry as this node knows it now.
pub(crate) fn judge(
    api: &Api,
    caller: &Caller,
    action: Action,
    platform: Option<RegionCode>,
) -> Result<Permit, ApiError> {
    let Some(subject) = caller.subject() else {
        return Err(ApiError::new(
            codes::CERT_MISSING,
            "this address needs a client certificate of the federation",
        ));
    };
    let view = api.registry.state();
    // A clock that was set back revives no delegation.
    let now = Timestamp::from_millis(api.desk.now(api.now().as_millis()));
    let mut context = context(&view.state, subject, platform, caller.behalf.as_deref(), now);
    context.vouched_at = crate::outside_api::places(api, caller);
    let permit = decide(subject, action, &context)
        .map_err(|denied| ApiError::new(denied.code, format!("{subject}: {denied}")))?;
    living(api, caller, action)?;
    fresh(api, caller, action)?;
    Ok(permit)
}

/// A clock that was set back revives no certificate: what had ended by the time this node has seen already lodges, reads and administers
/// nothing here. Left out is what the federation publishes, and what members carry for others: a clock that once ran ahead must not
/// part the node from its peers until an operator accepts the earlier time.
fn living(api: &Api, caller: &Caller, action: Action) -> Result<(), ApiError> {
    let Some(identity) = &caller.identity else { return Ok(()) };
    let bears = matches!(action, Action::ReadFederation | Action::ReadTables | Action::Forward);
    let seen = api.desk.now(api.now().as_millis()).div_euclid(1_000);
    if bears || identity.not_after >= seen {
        return Ok(());
    }
    let detail = "the certificate ended before the time that this node has seen already";
    Err(ApiError::new(codes::CERT_EXPIRED, detail))
}

/// Whether news of revocations is fresh enough for an action. Counted per issuer: of a CA whose key or ledger is here, the news is
/// always fresh here, so a cut-off site goes on for its own.
fn fresh(api: &Api, caller: &Caller, action: Action) -> Result<(), ApiError> {
    let Some(identity) = &caller.identity else { return Ok(()) };
    let age = api.agent.news_age().or_else(|| (api.started.elapsed() < STARTING).then_some(Duration::ZERO));
    let view = api.registry.state();
    let admin = view.state.setting(NEWS_SETTING).and_then(|v| v.parse().ok()).unwrap_or(NEWS_MS);
    let limit = Duration::from_millis(Staleness::of(action).limit_ms(admin));
    if age.is_some_and(|age| age <= limit) || issuer_here(api, identity) {
        return Ok(());
    }
    let age = age.map_or_else(|| "none since the start".to_owned(), |a| format!("{} s old", a.as_secs()));
    let detail = format!("news of revocations is {age}; {} s are allowed here", limit.as_secs());
    Err(ApiError::new(codes::REVOCATIONS_STALE, detail))
}

/// Whether this node has the key or the ledger of the CA that issued a caller's certificate.
pub(crate) fn issuer_here(api: &Api, identity: &PeerIdentity) -> bool {
    if api.cas.of_key(&identity.issuer).is_some() {
        return true;
    }
    let (view, key) = (api.registry.state(), identity.issuer.to_string());
    let issuer = view.state.issuers().find(|i| i.key_id == key);
    issuer.and_then(|i| i.platform).is_some_and(|region| api.agent.platform(region).is_some())
}

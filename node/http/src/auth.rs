//! From a caller to a decision of `access`, and from a refusal to an answer.

use crate::Caller;
use crate::problem::ApiError;
use crate::state::Api;
use eport_access::{Action, Permit, context, decide};
use eport_model::{RegionCode, Timestamp, codes};

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
    let context = context(&view.state, subject, platform, caller.behalf.as_deref(), now);
    decide(subject, action, &context)
        .map_err(|denied| ApiError::new(denied.code, format!("{subject}: {denied}")))
}

//! From a caller to a decision of `access`, and from a refusal to an answer.

use crate::Caller;
use crate::problem::ApiError;
use crate::state::Api;
use eport_access::{Action, Context, Permit, decide};
use eport_model::{RegionCode, codes};

/// The caller may do this, and how far; or the error to answer with.
pub fn need(
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
    let context = Context {
        development: view.state.mode().relaxed(),
        member: subject.node().is_some_and(|n| view.state.is_member(n)),
        // Role bindings come with users and access; until then a subject's kind is its role.
        roles: Vec::new(),
        platform,
    };
    decide(subject, &action, &context).map_err(|denied| ApiError::forbidden(format!("{subject}: {denied}")))
}

//! From a request to a registry command in the caller's name, with the caller's signature.
//!
//! Always holds: the id and the time of a signed command are the signer's; the certificate is the one that TLS proved; the
//! signature is judged here once for an early answer and again by every node that applies the command.

use crate::Caller;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::state::Api;
use axum::http::HeaderMap;
use eport_api_types::rfc3339;
use eport_model::codes;
use eport_registry::{Command, CommandId, Op, Outcome, Proof};
use eport_signature::{HEADER, Header};
use futures::future::BoxFuture;
use rand::RngCore;

/// The signature of a request, if it has one.
pub(crate) fn header(headers: &HeaderMap) -> Result<Option<Header>, ApiError> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::bad("the signature header is not text"))?;
    text.parse().map(Some).map_err(|e: eport_signature::Refused| ApiError::bad(e.to_string()))
}

/// A command in the caller's name, with the caller's signature, which must hold.
pub(crate) fn command(api: &Api, caller: &Caller, reason: &str, op: Op) -> Result<Command, ApiError> {
    let mut id = [0u8; 16];
    rand::rng().fill_bytes(&mut id);
    let leaf = caller.identity.as_ref().and_then(|i| i.chain.first());
    let proof = caller.signature.as_deref().zip(leaf).map(|(signed, leaf)| {
        id = signed.id;
        Proof { certificate: leaf.to_vec(), at_ms: signed.at_ms, signature: signed.signature.clone() }
    });
    let command =
        Command { id: CommandId(id), by: caller.name(), at: api.now(), reason: reason.to_owned(), op, proof };
    api.registry.state().state.check_signature(&command)?;
    Ok(command)
}

/// Proposes a command and waits for its outcome. One that a second person must approve is an error of its own: nobody may
/// take it for done.
pub(crate) fn propose(api: &Api, command: Command) -> BoxFuture<'_, Result<Outcome, ApiError>> {
    Box::pin(async move {
        match api.registry.propose(command, COMMAND_TIMEOUT).await? {
            Outcome::AwaitsApproval { approval, expires, .. } => {
                let detail =
                    format!("approval {approval} waits for another operator until {}", rfc3339(expires));
                let mut error = ApiError::new(codes::APPROVAL_PENDING, detail);
                error.problem.approval = Some(approval.to_string());
                Err(error)
            }
            outcome => Ok(outcome),
        }
    })
}

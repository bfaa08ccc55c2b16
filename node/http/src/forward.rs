//! Forwarding a request to the node that can carry it out, over the node-to-node connection (decision 0007).
//!
//! Always holds: a forward carries the caller's certificate chain or token and is verified again where it arrives; only member nodes
//! may forward; a forward is never forwarded again.

use crate::Caller;
use crate::state::Api;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use eport_agent::ForwardHandler;
use eport_model::{Code, Coded, NodeId, codec, codes};
use eport_transport::RequestError;
use eport_wire::Purpose;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tower::ServiceExt;

/// Marks a request that arrived by forward.
pub(crate) const FORWARDED: HeaderName = HeaderName::from_static("eport-forwarded");
/// Headers that travel with a forward, both ways.
static CARRIED: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::RETRY_AFTER,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("x-request-id"),
    crate::gate::BEHALF,
];

#[derive(Serialize, Deserialize)]
struct Forward {
    method: String,
    path_and_query: String,
    headers: Vec<(String, Vec<u8>)>,
    chain: Vec<Bytes>,
    /// The session's token, where the caller has no certificate here.
    session: Option<String>,
    body: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

/// Why a forward brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The other node could not be asked; nothing was sent.
    #[error("node {node} cannot be reached: {detail}")]
    Unreachable {
        /// The node.
        node: NodeId,
        /// What happened.
        detail: String,
    },
    /// The request was sent and no usable answer came: it may or may not have taken effect.
    #[error("node {node} did not answer: {detail}")]
    Unknown {
        /// The node.
        node: NodeId,
        /// What happened.
        detail: String,
    },
}

impl Coded for ForwardError {
    fn code(&self) -> Code {
        match self {
            ForwardError::Unreachable { .. } => codes::PEER_UNREACHABLE,
            ForwardError::Unknown { .. } => codes::OUTCOME_UNKNOWN,
        }
    }
}

/// What of a request is needed to send it on.
#[derive(Debug, Clone)]
pub struct Outline {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path_and_query: String,
    /// The headers that travel.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Outline {
    /// The outline of a request.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path_and_query: request
                .uri()
                .path_and_query()
                .map_or_else(|| "/".into(), |p| p.as_str().to_owned()),
            headers: carried(request.headers()),
        }
    }
}

fn carried(headers: &axum::http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    CARRIED
        .iter()
        .filter_map(|name| headers.get(name).map(|v| (name.as_str().to_owned(), v.as_bytes().to_vec())))
        .collect()
}

/// Sends a request on to `node` and returns its answer.
pub fn forward<'a>(
    api: &'a Api,
    node: NodeId,
    caller: &'a Caller,
    outline: Outline,
    body: Bytes,
) -> BoxFuture<'a, Result<Response<Body>, ForwardError>> {
    Box::pin(async move {
        let chain = caller
            .identity
            .as_ref()
            .map(|i| i.chain.iter().map(|c| Bytes::copy_from_slice(c)).collect())
            .unwrap_or_default();
        let message = Forward {
            method: outline.method.as_str().to_owned(),
            path_and_query: outline.path_and_query,
            headers: outline.headers,
            chain,
            session: caller.session.as_ref().map(|s| s.token.to_string()),
            body,
        };
        let timeout = api.config.write_timeout + Duration::from_secs(5);
        let answer = api
            .transport
            .request(node, Purpose::Forward, Bytes::from(codec::encode(&message)), timeout)
            .await
            .map_err(|e| {
                let detail = e.to_string();
                match e {
                    RequestError::Lost { .. } | RequestError::Timeout { .. } => {
                        ForwardError::Unknown { node, detail }
                    }
                    _ => ForwardError::Unreachable { node, detail },
                }
            })?;
        let answer: Answer = codec::decode(&answer)
            .map_err(|e| ForwardError::Unknown { node, detail: format!("answer: {e}") })?;
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        put_headers(response.headers_mut(), &answer.headers);
        Ok(response)
    })
}

fn put_headers(into: &mut axum::http::HeaderMap, headers: &[(String, Vec<u8>)]) {
    for (name, value) in headers {
        let known = CARRIED.iter().find(|k| k.as_str() == name);
        if let (Some(name), Ok(value)) = (known, HeaderValue::from_bytes(value)) {
            into.insert(name.clone(), value);
        }
    }
}

/// What of one platform may arrive by forward, behind its code.
const PLATFORM_PATHS: [&str; 11] = [
    "documents",
    "milestones",
    "events",
    "exchange",
    "journal/",
    "verify",
    "tails",
    "usage",
    "certificates",
    "accounts",
    "statistics",
];

/// A forward carries a certificate without proof that its owner is there. So nothing that administers arrives this way: only
/// documents, events, agencies' inboxes and receipts, the exchange, the accounts, the statistics and the journal of one
/// platform, the list of its certificates, revocation lists, and its tails, of which none is discarded
/// this way.
fn may_arrive(path_and_query: &str) -> bool {
    let path = path_and_query.split('?').next().unwrap_or_default();
    if path.ends_with("/discard") || path.ends_with("/accounts:open") {
        return false;
    }
    // A revocation list proves itself and is open to anybody.
    if path.starts_with("/v1/crl/") {
        return true;
    }
    // What an agency fetches and answers belongs to the platform that it is attached to.
    if path.starts_with("/v1/agencies/") {
        return true;
    }
    let Some(rest) = path.strip_prefix("/v1/platforms/").and_then(|r| r.split_once('/')) else {
        return false;
    };
    PLATFORM_PATHS.iter().any(|allowed| rest.1.starts_with(allowed))
}

/// The receiving side: verifies the chain again and runs the same router.
pub struct Receiver {
    api: Api,
    router: OnceLock<Router>,
}

impl Receiver {
    /// A receiver; `serve` gives it the router once that exists.
    pub fn new(api: Api) -> Arc<Self> {
        Arc::new(Self { api, router: OnceLock::new() })
    }

    /// Sets the router that forwarded requests run through.
    pub fn serve(&self, router: Router) {
        // A second call would be our own mistake; the first router stays.
        let _ = self.router.set(router);
    }

    async fn run(api: Api, router: Option<Router>, from: NodeId, payload: Bytes) -> Answer {
        let refuse = |code: Code, detail: String| {
            let problem = eport_api_types::Problem::of(code, false, detail);
            Answer {
                status: problem.status,
                headers: vec![("content-type".into(), b"application/problem+json".to_vec())],
                body: serde_json::to_vec(&problem).unwrap_or_default().into(),
            }
        };
        let Some(router) = router else { return refuse(codes::DRAINING, "the API is not open yet".into()) };
        if !api.registry.state().state.nodes().any(|n| n.id == from && n.is_member()) {
            return refuse(codes::FORBIDDEN, format!("node {from} is not a member and may not forward"));
        }
        let message: Forward = match codec::decode(&payload) {
            Ok(m) => m,
            Err(e) => return refuse(codes::FRAME_MALFORMED, format!("forward: {e}")),
        };
        if !may_arrive(&message.path_and_query) {
            return refuse(
                codes::FORBIDDEN,
                "only requests that belong to a platform's primary are forwarded".into(),
            );
        }
        let identity = if message.chain.is_empty() {
            None
        } else {
            match api.chains.peer(&api.tls, &message.chain) {
                Ok(identity) => Some(identity),
                Err(e) => return refuse(Code(e.code()), e.to_string()),
            }
        };
        let session = match message.session.filter(|_| identity.is_none()) {
            None => None,
            Some(token) => match api.desk.session(&api, &token) {
                Ok(session) => Some((session, token).into()),
                Err(fault) => return refuse(eport_model::Coded::code(&fault), fault.to_string()),
            },
        };
        let Ok(method) = Method::from_bytes(message.method.as_bytes()) else {
            return refuse(codes::FRAME_MALFORMED, "method".into());
        };
        // The length is known here; without it the router would keep room for the largest body allowed.
        let length = HeaderValue::from(message.body.len());
        let mut request = Request::new(Body::from(message.body));
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
        *request.method_mut() = method;
        match message.path_and_query.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return refuse(codes::FRAME_MALFORMED, "path".into()),
        }
        put_headers(request.headers_mut(), &message.headers);
        request.headers_mut().insert(FORWARDED, HeaderValue::from_static("1"));
        request.extensions_mut().insert(Caller { identity, session, via: Some(from), ..Caller::default() });
        let response = match router.oneshot(request).await {
            Ok(r) => r,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Answer {
                status: parts.status.as_u16(),
                headers: carried(&parts.headers),
                body: body.to_bytes(),
            },
            Err(e) => refuse(codes::INTERNAL, e.to_string()),
        }
    }
}

impl ForwardHandler for Receiver {
    fn forward(&self, from: NodeId, payload: Bytes) -> BoxFuture<'static, Bytes> {
        let (api, router) = (self.api.clone(), self.router.get().cloned());
        Box::pin(async move { codec::encode(&Self::run(api, router, from, payload).await).into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_a_primary_arrives_by_forward() {
        for yes in [
            "/v1/platforms/440100/documents",
            "/v1/platforms/440100/documents:batch?x=1",
            "/v1/platforms/440100/verify",
            "/v1/agencies/CUS/inbox?platform=440100",
            "/v1/platforms/440100/exchange/dead-letters",
            "/v1/platforms/440100/usage?month=2018-01",
            "/v1/platforms/440100/tails/tail-1/resubmit",
        ] {
            assert!(may_arrive(yes), "{yes}");
        }
        for no in [
            "/v1/platforms/440100/moves",
            "/v1/platforms/440100/policy",
            "/v1/platforms/440100/quota",
            "/v1/platforms/440100/tails/tail-1/discard",
            "/v1/platforms/440100/accounts:open",
            "/v1/platforms/440100/shares",
            "/v1/nodes/a/drain",
            "/v1/platforms",
            "/metrics",
        ] {
            assert!(!may_arrive(no), "{no}");
        }
    }
}

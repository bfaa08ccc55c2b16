//! The gate before every route: who asks, by what, for whom; whether the route is theirs; and the line in the access log.
//!
//! Always: no handler of a route that is not open runs before the gate has let it through; what administers and changes
//! something runs only after its line is on disk; a denial costs a line at most and never waits for one.

use crate::Caller;
use crate::auth::judge;
use crate::catalogue::{Open, ROUTES};
use crate::demands::{Demand, Shown, demand};
use crate::desk::token;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use eport_access::{Action, Event, Line};
use eport_model::{RegionCode, codes};

/// Names the enterprise that the caller acts for.
pub(crate) const BEHALF: HeaderName = HeaderName::from_static("eport-for");
/// Carries the same session with a new idle time.
const RENEWED: HeaderName = HeaderName::from_static("eport-session");
const BEARER: &str = "Bearer ";
/// Longest id of an enterprise.
const BEHALF_LEN_MAX: usize = 64;

/// What the gate found out, for what is written after the answer.
pub(crate) struct Passed {
    line: Line,
    method: Method,
}

fn openness(method: &Method, route: &str) -> Option<Open> {
    let word = if method == Method::HEAD { "get" } else { method.as_str() };
    let named = |r: &&crate::Route| r.path == route && r.method.eq_ignore_ascii_case(word);
    let listed = ROUTES.iter().find(named).map(|r| r.open);
    // Whatever else the path may answer to is not open.
    listed.or_else(|| ROUTES.iter().any(|r| r.path == route).then_some(Open::Certificate))
}

/// The platform in a path.
fn platform_of(path: &str) -> Option<RegionCode> {
    let rest = path.strip_prefix("/v1/platforms/")?;
    rest.split('/').next()?.parse().ok()
}

/// Lets a request through, or says why not. The caller in the request's extensions is complete afterwards.
pub(crate) async fn enter(api: &Api, route: &str, request: &mut Request) -> Result<Passed, ApiError> {
    let method = request.method().clone();
    let open = openness(&method, route);
    let mut caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
    if open == Some(Open::Certificate) {
        known(api, request, &mut caller)?;
    }
    let line = line_of(request, &caller);
    request.extensions_mut().insert(caller.clone());
    let passed = Passed { line, method };
    if !matches!(open, Some(Open::Certificate)) {
        return Ok(passed);
    }
    let path = request.uri().path().to_owned();
    match permitted(api, route, &path, &caller, &passed).await {
        Ok(()) => Ok(passed),
        Err(refused) => {
            denied(api, &passed, &refused);
            Err(refused)
        }
    }
}

/// Takes a session for who has no certificate here, and whom the caller acts for.
fn known(api: &Api, request: &Request, caller: &mut Caller) -> Result<(), ApiError> {
    let headers = request.headers();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if let Some(text) = bearer.and_then(|v| v.strip_prefix(BEARER)).filter(|_| caller.subject().is_none()) {
        let line = line_of(request, caller);
        let refuse = |error: ApiError| {
            api.desk.log.deny(Line { code: error.problem.code.clone(), ..line.clone() });
            error
        };
        api.desk.source_admitted(caller.source).map_err(&refuse)?;
        match api.desk.session(api, text) {
            Ok(session) => caller.session = Some((session, text.to_owned()).into()),
            Err(fault) => {
                if fault.is_hostile() {
                    api.desk.source_failed(caller.source, api.registry.state().state.lockout(), &line);
                }
                return Err(refuse(ApiError::of(&fault)));
            }
        }
    }
    if let Some(value) = headers.get(&BEHALF) {
        let plain = |s: &&str| {
            !s.is_empty()
                && s.len() <= BEHALF_LEN_MAX
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let named = value.to_str().ok().filter(plain);
        let named = named.ok_or_else(|| ApiError::bad("eport-for: the id of an enterprise is needed"))?;
        // For oneself is for nobody else.
        let oneself = caller.subject().is_some_and(|s| s.lodger() == named);
        caller.behalf = (!oneself).then(|| named.to_owned());
    }
    Ok(())
}

async fn permitted(
    api: &Api,
    route: &str,
    path: &str,
    caller: &Caller,
    passed: &Passed,
) -> Result<(), ApiError> {
    let Some(subject) = caller.subject() else {
        return Err(ApiError::new(
            codes::CERT_MISSING,
            "this address needs a client certificate of the federation",
        ));
    };
    let Some(Demand { any, shown, .. }) = demand(passed.method.as_str(), route).copied() else {
        // A route without a demand is closed, whoever asks.
        return Err(ApiError::new(codes::ROUTE_UNKNOWN, "this path has no such method"));
    };
    if shown == Shown::Certificate && caller.identity.is_none() {
        let detail = "this address needs the client certificate itself; a session is not enough";
        return Err(ApiError::new(codes::CERT_MISSING, detail));
    }
    if any.is_empty() {
        return Ok(());
    }
    let guarded = |a: &&Action| a.administers() || **a == Action::Session;
    // Whoever is locked out may still log out.
    let out = route == "/v1/session" && passed.method == Method::DELETE;
    if any.iter().any(|a| guarded(&a)) && !out {
        api.desk.identity_admitted(subject)?;
    }
    let platform = platform_of(path);
    let mut refused = None;
    let granted = any.iter().find(|action| match judge(api, caller, **action, platform) {
        Ok(_) => true,
        Err(error) => {
            refused.get_or_insert(error);
            false
        }
    });
    let Some(granted) = granted else {
        let refused = refused.unwrap_or_else(|| ApiError::forbidden("no permission"));
        if any.iter().any(|a| guarded(&a)) && is_denial(&refused) {
            let limit = api.registry.state().state.lockout();
            api.desk.identity_failed(subject, limit, &passed.line);
        }
        return Err(refused);
    };
    if !granted.administers() {
        return Ok(());
    }
    if let Some(by) = api.desk.behind(api.now().as_millis()) {
        let detail =
            format!("this node has seen a time {} seconds later than its clock shows now", by / 1_000);
        return Err(ApiError::new(codes::CLOCK_BEHIND, detail));
    }
    let line = Line { event: Event::Allowed, permission: granted.word().into(), ..passed.line.clone() };
    if matches!(passed.method, Method::GET | Method::HEAD) {
        api.desk.log.write(line);
        return Ok(());
    }
    match api.desk.log.durable(line).await {
        true => Ok(()),
        false => Err(ApiError::new(codes::ACCESS_LOG_FAILED, "its line could not be written")),
    }
}

/// Whether a refusal says something of the caller. What a node cannot decide for want of news must lock nobody out, least of all
/// the operator of a site that is cut off.
fn is_denial(refused: &ApiError) -> bool {
    matches!(refused.problem.status, 401 | 403)
}

/// After the handler: denials that only it could decide, and the session with a new idle time.
pub(crate) fn leave(api: &Api, request_caller: &Caller, passed: &Passed, response: &mut Response) {
    let status = response.status().as_u16();
    if matches!(status, 401 | 403) {
        let code = response.extensions().get::<ApiError>().map(|e| e.problem.code.clone());
        let line = Line { code: code.unwrap_or_default(), ..passed.line.clone() };
        api.desk.log.deny(line);
    }
    let Some(session) = request_caller.session.as_ref().filter(|_| request_caller.via.is_none()) else {
        return;
    };
    if !response.status().is_success() || passed.method == Method::DELETE {
        return;
    }
    let now = api.desk.now(api.now().as_millis());
    let idle = api.registry.state().state.session_idle_ms();
    let renewed = session.session.claims.used(now, idle).and_then(|claims| token(&api.tls, claims).ok());
    if let Some(mut value) = renewed.and_then(|t| HeaderValue::from_str(&t.text()).ok()) {
        value.set_sensitive(true);
        response.headers_mut().insert(RENEWED, value);
    }
}

fn denied(api: &Api, passed: &Passed, refused: &ApiError) {
    api.desk.log.deny(Line { code: refused.problem.code.clone(), ..passed.line.clone() });
}

/// A line about a request: what came from outside is cut where it is written.
fn line_of(request: &Request, caller: &Caller) -> Line {
    let by = match (&caller.identity, &caller.session, caller.via) {
        (_, _, Some(_)) => "forward",
        (Some(_), _, _) => "certificate",
        (_, Some(_), _) => "session",
        _ => "nothing",
    };
    let request_id = request.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    Line {
        subject: caller.subject().map(ToString::to_string).unwrap_or_default(),
        serial: caller.serial().unwrap_or_default(),
        by: by.into(),
        source: match (caller.source, caller.via) {
            (Some(address), _) => address.to_string(),
            (None, Some(node)) => node.to_string(),
            (None, None) => String::new(),
        },
        behalf: caller.behalf.clone().unwrap_or_default(),
        request: format!("{} {}", request.method(), request.uri().path()),
        request_id: request_id.to_owned(),
        ..Line::of(Event::Denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_denial_counts_against_the_caller() {
        assert!(is_denial(&ApiError::forbidden("no")));
        assert!(is_denial(&ApiError::new(codes::CERT_MISSING, "no")));
        assert!(!is_denial(&ApiError::new(codes::REVOCATIONS_STALE, "no news")));
    }

    #[test]
    fn the_platform_is_that_of_the_path_and_nothing_else() {
        assert_eq!(platform_of("/v1/platforms/440300/documents"), "440300".parse().ok());
        assert_eq!(platform_of("/v1/platforms/440300"), "440300".parse().ok());
        for none in
            ["/v1/platforms", "/v1/platforms/x/documents", "/v1/tables/440300", "/v1/platforms//440300"]
        {
            assert_eq!(platform_of(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_open_is_open_and_a_path_without_the_method_is_no_way_around() {
        assert_eq!(openness(&Method::GET, "/healthz"), Some(Open::Anybody));
        assert_eq!(openness(&Method::HEAD, "/v1/nodes"), Some(Open::Certificate));
        assert_eq!(openness(&Method::DELETE, "/v1/nodes"), Some(Open::Certificate));
        assert_eq!(openness(&Method::POST, "/v1/certificates"), Some(Open::Proof));
        assert_eq!(openness(&Method::GET, "unknown"), None);
    }
}

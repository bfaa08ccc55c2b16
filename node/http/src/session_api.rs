//! Sessions: log in with a certificate, ask who one is, log out everywhere.
//!
//! Always: a token is given only over the connection whose certificate it is bound to, and shown once; it ends with that
//! certificate at the latest; a logout is the federation's before it is answered.

use crate::Caller;
use crate::auth::judge;
use crate::desk::{own_command, token};
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::{Action, Claims, Event, Line};
use eport_api_types::{SessionItem, rfc3339};
use eport_model::{Subject, Timestamp, codes};
use eport_registry::{Op, statement::word_of_role};

fn time(ms: i64) -> String {
    rfc3339(Timestamp::from_millis(ms))
}

/// `POST /v1/session`
pub async fn login(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let identity = caller.identity.as_ref().filter(|_| caller.via.is_none());
    let identity = identity.ok_or_else(|| {
        ApiError::new(codes::CERT_MISSING, "logging in takes the certificate on a connection of its own")
    })?;
    if matches!(identity.subject, Subject::Node { .. }) {
        return Err(ApiError::forbidden("nodes have no sessions"));
    }
    api.desk.login_admitted(&identity.subject)?;
    if let Some(by) = api.desk.behind(api.now().as_millis()) {
        let detail =
            format!("this node has seen a time {} seconds later than its clock shows now", by / 1_000);
        return Err(ApiError::new(codes::CLOCK_BEHIND, detail));
    }
    let view = api.registry.state();
    let federation = view.state.federation();
    let federation =
        federation.ok_or_else(|| ApiError::new(codes::FENCED, "the federation is not known here yet"))?;
    let span = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let now = api.desk.now(api.now().as_millis());
    let end_of_certificate = identity.not_after.saturating_mul(1_000);
    let ends = now.saturating_add(span(view.state.session_life_ms())).min(end_of_certificate);
    // Behind the last logout in any case, whatever the clocks of two nodes say.
    let ended = view.state.sessions_ended(&identity.serial.to_string()).map_or(0, |t| t.as_millis());
    let begun = now.max(ended.saturating_add(1));
    let claims = Claims {
        lineage: federation.lineage,
        subject: identity.subject.clone(),
        serial: identity.serial.to_string(),
        issuers: identity.issuer_serials.iter().map(ToString::to_string).collect(),
        key: identity.key,
        issuer: identity.issuer,
        not_before: identity.not_before,
        begun,
        idle_until: now.saturating_add(span(view.state.session_idle_ms())).min(ends),
        ends,
        nonce: rand::random(),
    };
    let text = token(&api.tls, claims.clone())?.text();
    let line = Line {
        subject: caller.name(),
        serial: claims.serial.clone(),
        by: "certificate".into(),
        source: caller.source.map(|s| s.to_string()).unwrap_or_default(),
        request: "POST /v1/session".into(),
        permission: Action::Session.word().into(),
        ..Line::of(Event::LoggedIn)
    };
    if !api.desk.log.durable(line).await {
        return Err(ApiError::new(codes::ACCESS_LOG_FAILED, "the login could not be written down"));
    }
    let item = SessionItem {
        token: Some(text),
        ends: Some(time(claims.ends)),
        idle_until: Some(time(claims.idle_until)),
        by: "session".into(),
        ..item(&api, &caller)?
    };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Answer(item)).into_response())
}

/// `GET /v1/session`
pub async fn whoami(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Answer<SessionItem>, ApiError> {
    Ok(Answer(item(&api, &caller)?))
}

fn item(api: &Api, caller: &Caller) -> Result<SessionItem, ApiError> {
    let subject = caller.subject().ok_or_else(|| ApiError::new(codes::CERT_MISSING, "nobody is known"))?;
    let view = api.registry.state();
    let (mut roles, mut platform_roles) = (Vec::new(), Vec::new());
    let mut places = vec![None];
    if let Subject::Operator(id) = subject {
        roles = view.state.roles_of(id, None).into_iter().map(|r| word_of_role(r).to_owned()).collect();
        let bound = view.state.bindings_of(id);
        platform_roles = bound.map(|b| format!("{}@{}", word_of_role(b.role), b.platform)).collect();
    }
    places.extend(view.state.placements().map(|p| Some(p.region)));
    let own = Caller { behalf: None, ..caller.clone() };
    let may = |a: &Action| places.iter().any(|p| judge(api, &own, *a, *p).is_ok());
    let now = Timestamp::from_millis(api.desk.now(api.now().as_millis()));
    let mut acts_for: Vec<String> = view
        .state
        .delegations()
        .filter(|d| d.mandate.agent == *subject && !d.is_over(now) && d.mandate.from <= now)
        .map(|d| d.mandate.enterprise.clone())
        .collect();
    acts_for.sort_unstable();
    acts_for.dedup();
    let session = caller.session.as_ref().map(|s| &s.session.claims);
    Ok(SessionItem {
        subject: subject.to_string(),
        serial: caller.serial().unwrap_or_default(),
        by: if session.is_some() { "session" } else { "certificate" }.into(),
        roles,
        platform_roles,
        permissions: Action::ALL.iter().filter(|a| may(a)).map(|a| a.word().to_owned()).collect(),
        acts_for,
        ends: session.map(|c| time(c.ends)),
        idle_until: session.map(|c| time(c.idle_until)),
        token: None,
    })
}

/// `DELETE /v1/session`: every session under the certificate, on every node.
pub async fn logout(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let serial = caller.serial().filter(|_| caller.via.is_none());
    let serial = serial.ok_or_else(|| ApiError::new(codes::CERT_MISSING, "nobody is logged in"))?;
    if let Some(subject) = caller.subject() {
        api.desk.login_admitted(subject)?;
    }
    let op = Op::EndSessions { serial: serial.clone() };
    api.registry.propose(own_command(&api, "logout", op), COMMAND_TIMEOUT).await?;
    api.desk.log.write(Line {
        subject: caller.name(),
        serial: serial.clone(),
        source: caller.source.map(|s| s.to_string()).unwrap_or_default(),
        request: "DELETE /v1/session".into(),
        permission: Action::Session.word().into(),
        ..Line::of(Event::LoggedOut)
    });
    // What was answered holds at this node at once.
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok(Answer(serde_json::json!({ "ended": true, "subject": caller.name(), "serial": serial }))
        .into_response())
}

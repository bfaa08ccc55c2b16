//! The router: every route of the catalogue with its handler, limits, request ids and the log of each request.

use crate::problem::ApiError;
use crate::state::Api;
use crate::{
    access_api, accounts_api, agencies_api, backup_api, backup_sets, catalogs_api, certificates_anywhere,
    certificates_api, consents_api, consignments_api, core_data_api, custody_api, diagnosis_api,
    documents_api, drills_api, enrol_api, erasures_api, est, events_api, examine_api, exchange_api, gate,
    hosting_api, incident_api, issue_batch, join_api, journal_api, openapi, operators_api, outside_api,
    packs_api, plan_api, platforms_api, proof_api, recovery_api, removal_api, revisions_api, session_api,
    signing, statistics_api, status_api, system, tables_api, tables_life, tables_reading, tables_where,
    tail_import_api, tails_api, trust_api, users_api,
};
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use eport_model::codes;
use futures::StreamExt;
use rand::RngCore;
use std::time::Instant;
use tracing::{Instrument, debug, info_span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The route of a path that does not exist.
const UNKNOWN: &str = "unknown";

/// The whole API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .route("/openapi.json", get(openapi::json_page))
        .route("/docs", get(openapi::html_page))
        .route("/v1/version", get(system::version))
        .route("/v1/trust-bundle", get(system::trust_bundle))
        .route("/v1/trust", get(trust_api::show))
        .route("/v1/trust/rotation", post(trust_api::rotate))
        .route("/v1/trust/issuers", post(trust_api::add_issuer))
        .route("/v1/trust/outside", post(outside_api::add))
        .route("/v1/trust/outside/{key}/removal", post(outside_api::remove))
        .route("/v1/trust/outside/{key}/revocations", put(outside_api::revocations))
        .route("/v1/federation", get(system::federation))
        .route("/v1/nodes", get(system::nodes).post(recovery_api::add_node))
        .route("/v1/nodes:join", post(join_api::join))
        .route("/v1/nodes/{node}/drain", post(system::drain))
        .route("/v1/nodes/{node}/removal", post(removal_api::remove))
        .route("/v1/sites", get(plan_api::sites))
        .route("/v1/sites/{site}", put(plan_api::put_site))
        .route("/v1/plan/backups", get(plan_api::backups))
        .route("/v1/diagnosis", get(diagnosis_api::facts))
        .route("/v1/incident", get(incident_api::events))
        .route("/v1/approvals", get(operators_api::approvals))
        .route("/v1/approvals/{id}", get(operators_api::approval).post(operators_api::decide))
        .route("/v1/audit", get(operators_api::audit))
        .route("/v1/access-log", get(access_api::lines))
        .route("/v1/access-log/segments", get(access_api::list))
        .route("/v1/access-log/segments/{name}", get(access_api::segment))
        .route("/v1/session", get(session_api::whoami).post(session_api::login).delete(session_api::logout))
        .route("/v1/users", get(users_api::list))
        .route("/v1/users/{id}", put(users_api::put))
        .route("/v1/users/{id}/roles/{role}", put(users_api::bind).delete(users_api::unbind))
        .route("/v1/roles", get(users_api::roles))
        .route("/v1/delegations", get(users_api::delegations).post(users_api::delegate))
        .route("/v1/delegations/{id}", axum::routing::delete(users_api::end_delegation))
        .route("/v1/settings", get(operators_api::settings))
        .route("/v1/settings/{name}", put(operators_api::put_setting))
        .route("/v1/drills", get(drills_api::list).post(drills_api::begin))
        .route("/v1/drills/{id}", get(drills_api::show))
        .route("/v1/drills/{id}/stop", post(drills_api::stop))
        .route("/v1/drills/{id}/end", post(drills_api::end))
        .route("/v1/drill-schedules", get(drills_api::schedules))
        .route(
            "/v1/drill-schedules/{region}/{name}",
            put(drills_api::put_schedule).delete(drills_api::remove_schedule),
        )
        .route("/v1/platforms", get(platforms_api::list).post(platforms_api::create))
        .route("/v1/platforms/{region}", get(platforms_api::show))
        .route("/v1/platforms/{region}/policy", put(platforms_api::policy))
        .route("/v1/platforms/{region}/quota", get(hosting_api::quota).put(hosting_api::set_quota))
        .route("/v1/platforms/{region}/usage", get(hosting_api::usage))
        .route("/v1/usage", get(hosting_api::report))
        .route("/v1/platforms/{region}/moves", get(platforms_api::history).post(platforms_api::start_move))
        .route("/v1/platforms/{region}/moves/{id}", get(platforms_api::show_move))
        .route("/v1/platforms/{region}/adopt", post(recovery_api::adopt))
        .route("/v1/platforms/{region}/verify", post(journal_api::verify))
        .route("/v1/platforms/{region}/documents", get(documents_api::list).post(documents_api::lodge))
        .route("/v1/platforms/{region}/documents:batch", post(documents_api::batch))
        .route("/v1/platforms/{region}/documents:check", post(documents_api::check))
        .route("/v1/platforms/{region}/documents:count", get(documents_api::count))
        .route("/v1/platforms/{region}/documents/{doc_id}", get(documents_api::show))
        .route("/v1/platforms/{region}/documents/{doc_id}/amendments", post(revisions_api::amend))
        .route("/v1/platforms/{region}/documents/{doc_id}/withdrawal", post(revisions_api::withdraw))
        .route("/v1/platforms/{region}/milestones", post(revisions_api::milestone))
        .route("/v1/platforms/{region}/documents/{doc_id}/versions", get(documents_api::versions))
        .route("/v1/platforms/{region}/documents/{doc_id}/receipts", get(documents_api::receipts))
        .route("/v1/platforms/{region}/documents/{doc_id}/accounts", get(accounts_api::of_document))
        .route("/v1/licences/{no}", get(accounts_api::licence))
        .route("/v1/licences/{no}/entries", get(accounts_api::licence_entries))
        .route("/v1/platforms/{region}/accounts", get(accounts_api::list))
        .route("/v1/platforms/{region}/accounts/entries", get(accounts_api::entries))
        .route("/v1/platforms/{region}/accounts:book", get(accounts_api::book))
        .route("/v1/platforms/{region}/accounts:open", post(accounts_api::open))
        .route("/v1/platforms/{region}/accounts:ask", post(accounts_api::ask))
        .route("/v1/platforms/{region}/accounts:confirmed", post(accounts_api::confirmed))
        .route("/v1/platforms/{region}/shares", post(accounts_api::ask_share))
        .route("/v1/platforms/{region}/shares:return", post(accounts_api::return_share))
        .route("/v1/platforms/{region}/documents/{doc_id}/comparisons", get(consignments_api::comparisons))
        .route("/v1/platforms/{region}/consignments/{number}", get(consignments_api::of_platform))
        .route("/v1/consignments/{number}", get(consignments_api::of_all))
        .route("/v1/platforms/{region}/documents/{doc_id}/trace", get(exchange_api::trace))
        .route("/v1/platforms/{region}/exchange", get(exchange_api::status))
        .route("/v1/platforms/{region}/exchange/dead-letters", get(exchange_api::dead_letters))
        .route("/v1/platforms/{region}/exchange/dead-letters/{msg_id}/resend", post(exchange_api::resend))
        .route("/v1/statistics/timeliness", get(statistics_api::timeliness))
        .route("/v1/platforms/{region}/statistics/durations", get(statistics_api::durations))
        .route("/v1/platforms/{region}/statistics/samples", get(statistics_api::samples))
        .route("/v1/agencies", get(agencies_api::list))
        .route("/v1/agencies/{agency}/inbox", get(agencies_api::inbox))
        .route("/v1/agencies/{agency}/inbox/{msg_id}/ack", post(agencies_api::acknowledge))
        .route("/v1/agencies/{agency}/receipts", post(agencies_api::receipt))
        .route("/v1/platforms/{region}/events", get(events_api::events))
        .route("/v1/platforms/{region}/consents", get(consents_api::list).post(consents_api::grant))
        .route("/v1/platforms/{region}/consents/{id}/withdrawal", post(consents_api::withdraw))
        .route("/v1/platforms/{region}/core-data", get(core_data_api::of_platform))
        .route("/v1/core-data", get(core_data_api::core_data))
        .route("/v1/platforms/{region}/journal/head", get(journal_api::head))
        .route("/v1/platforms/{region}/journal/proof", get(proof_api::proof))
        .route("/v1/platforms/{region}/journal/signatures", post(journal_api::sign))
        .route("/v1/platforms/{region}/journal/exports", post(journal_api::export))
        .route("/v1/platforms/{region}/journal/exports/{id}/{file}", get(journal_api::export_file))
        .route("/v1/platforms/{region}/documents/{doc_id}/bodies", get(documents_api::bodies))
        .route("/v1/platforms/{region}/erasures", get(erasures_api::list).post(erasures_api::order))
        .route("/v1/certificates", get(certificates_anywhere::certificates).post(certificates_api::issue))
        .route("/v1/certificates/{serial}", get(certificates_anywhere::certificate))
        .route("/v1/certificates:batch", post(issue_batch::batch))
        .route("/v1/certificates:verify", post(examine_api::verify))
        .route("/v1/certificates:import", post(certificates_api::import))
        .route("/v1/certificates:distrust", post(certificates_api::distrust))
        .route("/v1/certificates/{serial}/revocation", post(certificates_api::revoke))
        .route("/v1/platforms/{region}/certificates", get(certificates_api::list))
        .route("/v1/platforms/{region}/certificates/{serial}", get(certificates_api::show))
        .route("/v1/platforms/{region}/certificates:enrol", post(enrol_api::enrol))
        .route("/v1/platforms/{region}/enrolment-tokens", get(enrol_api::tokens).post(enrol_api::make_token))
        .route("/v1/platforms/{region}/enrolment-tokens/{id}/revocation", post(enrol_api::withdraw_token))
        .route("/v1/platforms/{region}/enrolment-requests", get(enrol_api::requests))
        .route("/v1/platforms/{region}/enrolment-requests/{id}", post(enrol_api::decide))
        .route("/v1/platforms/{region}/ca-keys", get(custody_api::list).post(custody_api::keep))
        .route("/v1/platforms/{region}/ca-keys/{ca}/custody", put(custody_api::put))
        .route("/v1/platforms/{region}/ca-keys:unlock", post(custody_api::unlock))
        .route("/.well-known/est/cacerts", get(est::cacerts))
        .route("/.well-known/est/simpleenroll", post(est::simpleenroll))
        .route("/.well-known/est/simplereenroll", post(est::simplereenroll))
        .route("/v1/crl/{name}", get(status_api::crl))
        .route("/ocsp", post(crate::ocsp::ocsp))
        .route("/v1/tails", get(tails_api::all))
        .route("/v1/platforms/{region}/tails", get(tails_api::list).post(tail_import_api::announce))
        .route("/v1/platforms/{region}/tails/{id}", get(tails_api::show))
        .route("/v1/platforms/{region}/tails/{id}/content", put(tail_import_api::content))
        .route("/v1/platforms/{region}/tails/{id}/certificates", get(tails_api::certificates))
        .route("/v1/platforms/{region}/tails/{id}/resubmit", post(tails_api::resubmit))
        .route("/v1/platforms/{region}/tails/{id}/discard", post(tails_api::discard))
        .route("/v1/platforms/{region}/data-keys", get(backup_api::data_keys).post(backup_api::rotate))
        .route("/v1/backups", get(backup_sets::list))
        .route("/v1/recovery-keys", get(backup_api::recovery_keys).post(backup_api::put_recovery_key))
        .route("/v1/registry/rows", get(backup_api::registry_rows))
        .route("/v1/packs", get(packs_api::list))
        .route("/v1/packs/{name}", get(packs_api::show))
        .route("/v1/tables", get(tables_where::list))
        .route("/v1/tables/{name}", get(tables_api::show))
        .route("/v1/tables/{name}/rows", get(tables_api::rows))
        .route("/v1/tables/{name}/rows/{key}", get(tables_api::get))
        .route("/v1/tables/{name}/versions", get(tables_api::versions).post(tables_api::publish))
        .route("/v1/tables/{name}/rows/{key}/parents", get(tables_reading::parents))
        .route("/v1/tables/{name}/rows/{key}/children", get(tables_reading::children))
        .route("/v1/tables/{name}/roots", get(tables_reading::roots))
        .route("/v1/tables/{name}/diff", get(tables_reading::diff))
        .route("/v1/tables/{name}/changes", get(tables_reading::changes))
        .route("/v1/tables/{name}/versions/{version}/impact", get(tables_reading::impact))
        .route("/v1/tables/{name}/late", get(tables_reading::late))
        .route("/v1/tables/{name}/status", get(tables_where::status))
        .route("/v1/tables/{name}/verify", post(tables_life::verify))
        .route("/v1/tables/{name}/bundle", get(tables_life::export))
        .route("/v1/bundles", put(tables_life::import))
        .route("/v1/catalogs/{name}", get(catalogs_api::content))
        .route("/v1/catalogs/{name}/versions", get(catalogs_api::versions).post(catalogs_api::publish))
        .route("/v1/tables/{name}/rollback", post(tables_life::rollback))
        .route("/v1/tables/{name}/versions/{version}/retirement", post(tables_life::retire))
        .fallback(|| async { ApiError::new(codes::ROUTE_UNKNOWN, "no such path") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(codes::ROUTE_UNKNOWN, "this path has no such method")
        })
        // Bodies are bounded by `guard`, route by route.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(api.clone(), guard))
        .layer(from_fn_with_state(api.clone(), observe))
        .with_state(api)
}

/// The loopback listener's router: metrics and nothing else.
pub fn metrics_router(api: Api) -> Router {
    Router::new()
        .route("/metrics", get(|State(api): State<Api>| async move { system::metrics_page(&api).await }))
        .with_state(api)
}

/// Bytes of a body on a route that takes no documents and no files.
const SMALL_BODY: usize = 64 << 10;
/// The body of a refused request is read to its end up to this size; beyond it the connection ends with the answer.
const DRAINED: usize = 2 << 20;
/// Where a file of a table comes in; options and what stands between the parts take up to 2 MiB more.
const TABLE_FILE: &str = "/v1/tables/{name}/versions";
/// Bytes of a single document's request.
const DOCUMENT_BODY: usize = 2 << 20;

/// Bytes that the body of a request may have.
fn body_limit(route: &str, body_max: usize, table_file_max: u64) -> usize {
    match route {
        // What is used as a whole: versions of catalogs, bundles of them, many documents.
        "/v1/platforms/{region}/documents:batch" | "/v1/bundles" | "/v1/catalogs/{name}/versions" => body_max,
        TABLE_FILE => usize::try_from(table_file_max).unwrap_or(usize::MAX - (2 << 20)) + (2 << 20),
        "/v1/platforms/{region}/documents"
        | "/v1/platforms/{region}/documents:check"
        | "/v1/platforms/{region}/documents/{doc_id}/amendments"
        | "/v1/platforms/{region}/documents/{doc_id}/withdrawal" => DOCUMENT_BODY,
        "/v1/platforms/{region}/tails/{id}/content" => crate::tail_import_api::PART_LEN_MAX,
        // Requests of a batch; every issuing CA of a province under a new root; what a document of many items asks of an account.
        "/v1/certificates:batch"
        | "/v1/certificates:import"
        | "/v1/trust/rotation"
        | "/v1/trust/outside/{key}/revocations"
        | "/v1/platforms/{region}/accounts:ask" => DOCUMENT_BODY,
        _ => SMALL_BODY,
    }
}

/// Before any body is read: the platform's quota, a bound on the body, and room for it. Who the caller is was looked at before
/// (`observe`).
async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned()).unwrap_or_default();
    let limit = body_limit(&route, api.config.body_len_max, api.config.table_file_len_max);
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    if announced.is_some_and(|n: usize| n > limit) {
        return ApiError::new(codes::BODY_TOO_LARGE, format!("this address takes at most {limit} bytes"))
            .into_response();
    }
    // A body without a length may become as large as allowed.
    let bytes = match limit {
        SMALL_BODY => 0,
        // On the disk as it comes: a piece of it is in memory.
        _ if route == TABLE_FILE => announced.unwrap_or(DOCUMENT_BODY).min(DOCUMENT_BODY),
        _ => announced.unwrap_or(limit),
    };
    let admitted = match hosting_api::admit(&api, &route, request.uri().path(), bytes as u64).await {
        Ok(admitted) => admitted,
        Err(refused) => {
            if bytes <= DRAINED {
                // Thrown away piece by piece, so that the connection stays: a new handshake would cost more than this.
                let body = http_body_util::Limited::new(request.into_body(), DRAINED);
                let mut body = axum::body::Body::new(body).into_data_stream();
                while body.next().await.is_some_and(|piece| piece.is_ok()) {}
            }
            return refused.into_response();
        }
    };
    let (parts, body) = request.into_parts();
    let body = axum::body::Body::new(http_body_util::Limited::new(body, limit));
    admitted.carry_out(&api, next.run(Request::from_parts(parts, body))).await
}

/// Gives each request an id, a span and a count; puts the id and the caller's language into problems.
async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| UNKNOWN.to_owned(), |m| m.as_str().to_owned());
    let caller = request.extensions().get::<crate::Caller>().map(crate::Caller::name).unwrap_or_default();
    let span = info_span!("request", %id, method = %request.method(), route = %route, caller = %caller);
    if request.extensions().get::<crate::Caller>().is_none() {
        request.extensions_mut().insert(crate::Caller::default());
    }
    let headers = request.headers().clone();
    let signature = signing::header(&headers);
    if let (Ok(Some(signed)), Some(caller)) =
        (&signature, request.extensions_mut().get_mut::<crate::Caller>().filter(|c| c.via.is_none()))
    {
        caller.signature = Some(std::sync::Arc::new(signed.clone()));
    }
    let started = Instant::now();
    // Before the body is read: who may not costs nothing and learns nothing.
    let passed = gate::enter(&api, &route, &mut request).await;
    let caller = request.extensions().get::<crate::Caller>().cloned().unwrap_or_default();
    let mut response = match (&passed, signature) {
        (Err(refused), _) => refused.clone().into_response(),
        (Ok(_), Err(unreadable)) => unreadable.into_response(),
        (Ok(_), Ok(_)) => next.run(request).instrument(span.clone()).await,
    };
    if let Ok(passed) = &passed {
        gate::leave(&api, &caller, passed, &mut response);
    }
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let mut error = error.in_language(&headers);
        error.problem.request_id = Some(id.clone());
        response = error.into_response();
    }
    api.counters.answered(response.status().as_u16());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| debug!(status = response.status().as_u16(), elapsed_ms, "request done"));
    response
}

/// The caller's own id when it is a plain one, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    match given {
        Some(id)
            if !id.is_empty()
                && id.len() <= 64
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            id.to_owned()
        }
        _ => {
            let mut bytes = [0u8; 8];
            rand::rng().fill_bytes(&mut bytes);
            bytes.iter().map(|b| format!("{b:02x}")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::ROUTES;

    #[test]
    fn what_may_be_large_is_let_in_and_each_such_route_exists() {
        let limit = |route: &str| body_limit(route, 64 << 20, 2 << 30);
        let large = [
            ("/v1/bundles", 64 << 20),
            ("/v1/catalogs/{name}/versions", 64 << 20),
            ("/v1/platforms/{region}/documents:batch", 64 << 20),
            (TABLE_FILE, (2 << 30) + (2 << 20)),
            ("/v1/platforms/{region}/documents", DOCUMENT_BODY),
            ("/v1/platforms/{region}/documents/{doc_id}/amendments", DOCUMENT_BODY),
            ("/v1/platforms/{region}/accounts:ask", DOCUMENT_BODY),
        ];
        for (route, expected) in large {
            assert_eq!(limit(route), expected, "{route}");
            assert!(ROUTES.iter().any(|r| r.path == route && r.method != "get"), "{route} is no route");
        }
        assert_eq!(limit("/v1/platforms/{region}/moves"), SMALL_BODY);
    }
}

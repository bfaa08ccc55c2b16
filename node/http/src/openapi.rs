//! `/openapi.json` and `/docs`, built from the one list of routes.

use crate::Caller;
use crate::auth::need;
use crate::catalogue::{Open, ROUTES, Route};
use crate::demands::{Shown, demand};
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::response::Html;
use axum::{Extension, Json as Answer};
use eport_access::Action;
use serde_json::{Value, json};

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('{').skip(1).filter_map(|p| p.split('}').next());
    let path = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let query = route.query.iter().map(|name| {
        let kind = if ["limit", "wait", "after", "from", "to"].contains(name) { "integer" } else { "string" };
        json!({ "name": name, "in": "query", "required": false, "schema": { "type": kind } })
    });
    path.chain(query).collect()
}

fn operation(route: &Route) -> Value {
    let mut op = json!({
        "summary": route.summary,
        "operationId": format!("{}{}", route.method, route.path.replace(['/', '{', '}', ':', '-', '.'], "_")),
        "parameters": parameters(route),
        "responses": {
            "2XX": { "description": "Done", "content": { route.answer: { "schema": {} } } },
            "default": {
                "description": "Refused or failed",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
            }
        }
    });
    if !route.body.is_empty() {
        op["requestBody"] = json!({ "required": true, "content": { route.body: { "schema": {} } } });
    }
    match route.open {
        Open::Anybody => op["security"] = json!([]),
        // With a certificate, or without one and with a proof in the request.
        Open::Proof => op["security"] = json!([{}, { "certificate": [] }]),
        Open::Certificate => {
            if let Some(demand) = demand(route.method, route.path) {
                let words: Vec<&str> = demand.any.iter().map(|a| a.word()).collect();
                op["x-permission"] = json!(words);
                op["security"] = match demand.shown {
                    Shown::Either => json!([{ "certificate": [] }, { "session": [] }]),
                    Shown::Certificate => json!([{ "certificate": [] }]),
                };
            }
        }
    }
    op
}

/// The OpenAPI 3.1 description.
pub fn description() -> Value {
    let mut paths = serde_json::Map::new();
    for route in ROUTES {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method] = operation(route);
    }
    let text = |what: &str| json!({ "type": "string", "description": what });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "eport", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "security": [{ "certificate": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "certificate": { "type": "mutualTLS", "description": "A certificate of the federation" },
                "session": { "type": "http", "scheme": "bearer", "description": "A token of POST /v1/session" }
            },
            "schemas": { "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "code"],
                "properties": {
                    "type": text("Page of the code"), "title": text("One line"), "detail": text("This case"),
                    "status": { "type": "integer" }, "code": text("Stable code EPnnnn"), "hint": text("What to do"),
                    "retryable": { "type": "boolean" }, "request_id": text("Finds the request in the log"),
                    "outcome": text("`unknown`: repeat with the same key"), "key": text("Business key to repeat"),
                    "failures": { "type": "array", "items": { "type": "object", "properties": {
                        "path": text("JSON pointer"), "code": text("Failure code"), "detail": text("What is wrong") } } }
                }
            } }
        }
    })
}

/// `GET /openapi.json`
pub async fn json_page(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Answer<Value>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    Ok(Answer(description()))
}

/// `GET /docs`: the same for people, without any script.
pub async fn html_page(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Html<String>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let mut rows = String::new();
    for r in ROUTES {
        let open = match r.open {
            Open::Anybody => "anybody",
            Open::Proof => "token, old key or certificate",
            Open::Certificate => "certificate",
        };
        let (method, path, query) = (r.method.to_uppercase(), r.path, r.query.join(", "));
        rows.push_str(&format!(
            "<tr><td>{method}</td><td><code>{path}</code></td><td>{}</td><td>{query}</td><td>{open}</td></tr>",
            r.summary
        ));
    }
    Ok(Html(format!(
        "<!doctype html><meta charset=utf-8><title>eport API</title><style>body{{font-family:sans-serif}}td{{padding:2px 12px}}</style>\
         <h1>eport API</h1><p><a href=/openapi.json>OpenAPI 3.1</a></p>\
         <table><tr><th>Method<th>Path<th>What it does<th>Query<th>Caller</tr>{rows}</table>"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_once_and_only_the_open_list_needs_no_certificate() {
        let d = description();
        let described: usize =
            d["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(described, ROUTES.len());
        let open: Vec<&str> = ROUTES.iter().filter(|r| r.open == Open::Anybody).map(|r| r.path).collect();
        // Lists of revocations and OCSP are signed and public: whoever checks a certificate has none yet.
        let public = [
            "/healthz",
            "/readyz",
            "/v1/version",
            "/v1/trust-bundle",
            "/v1/crl/{name}",
            "/ocsp",
            "/.well-known/est/cacerts",
        ];
        assert_eq!(open, public);
        // A one-time token, or the signature of an old key, which their handlers ask for.
        let proven: Vec<&str> = ROUTES.iter().filter(|r| r.open == Open::Proof).map(|r| r.path).collect();
        let enrol = [
            "/v1/certificates",
            "/v1/platforms/{region}/certificates:enrol",
            "/.well-known/est/simpleenroll",
            "/.well-known/est/simplereenroll",
        ];
        assert_eq!(proven, enrol);
    }
}

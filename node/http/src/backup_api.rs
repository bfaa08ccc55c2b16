//! What backups need of a node, and data keys: recovery keys, rotation, a consistent copy of the registry.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::platforms_api::{COMMAND_TIMEOUT, region};
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{Page, Warning, rfc3339};
use eport_model::{codec, codes};
use eport_registry::{Holder, HolderName, KEY_PUBLIC_LEN, Op, Setting, data_keys_setting};
use serde::Deserialize;
use serde_json::{Value, json};

/// Index of the last command in a copy of the registry.
const REGISTRY_INDEX: HeaderName = HeaderName::from_static("x-registry-index");

/// A recovery key to be put.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryKey {
    /// Its name: a-z, 0-9 and _.
    name: String,
    /// Its public half, 64 hex digits.
    public: String,
}

/// `GET /v1/registry/rows`: every row as of one command, read through the leader. An operator's: it holds wrapped keys.
pub async fn registry_rows(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let view = api
        .registry
        .linearizable(COMMAND_TIMEOUT)
        .await
        .map_err(|e| ApiError::new(codes::NO_LEADER, e.to_string()))?;
    let index = view.index.to_string();
    let rows = codec::encode(&view.state.rows());
    let headers = [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (REGISTRY_INDEX, index)];
    Ok((headers, rows).into_response())
}

/// `GET /v1/recovery-keys`
pub async fn recovery_keys(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let view = api.registry.state();
    let shown = |h: &Holder| match &h.name {
        HolderName::Recovery(name) => {
            Some(json!({ "name": name, "public": hex(&h.public), "at": rfc3339(h.at) }))
        }
        HolderName::Node(_) => None,
    };
    Ok(Answer(Page::<Value>::whole(view.state.holders().filter_map(shown).collect())).into_response())
}

/// `POST /v1/recovery-keys`: from now on every data key is wrapped for it too.
pub async fn put_recovery_key(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<RecoveryKey>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let public = unhex(&body.public).ok_or_else(|| ApiError::bad("public: 64 hex digits are needed"))?;
    let holder = Holder { name: HolderName::Recovery(body.name.clone()), public, at: api.now() };
    propose(&api, command(&api, &caller, "recovery key", Op::PutHolder(holder))?).await?;
    Ok((StatusCode::CREATED, Answer(json!({ "name": body.name, "public": body.public }))).into_response())
}

/// `GET /v1/platforms/{region}/data-keys`: numbers and holders; never a key.
pub async fn data_keys(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let region = region(&name)?;
    let view = api.registry.state();
    let placement =
        view.state.placement(region).ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let entitled = view.state.entitled_holders(placement);
    let shown = |key: &eport_registry::DataKey| {
        let names = |wrapped: bool| -> Vec<String> {
            let of = entitled.iter().filter(|h| view.state.is_wrapped(key, &h.name) == wrapped);
            of.map(|h| h.name.to_string()).collect()
        };
        json!({ "id": key.id, "check": key.check, "made": rfc3339(key.at), "by": key.by, "holders": names(true), "lacking": names(false) })
    };
    Ok(Answer(Page::<Value>::whole(view.state.data_keys(region).map(shown).collect())).into_response())
}

/// `POST /v1/platforms/{region}/data-keys`: asks for the next data key. The primary makes it; older ones stay for reading.
pub async fn rotate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let view = api.registry.state();
    let newest = view.state.data_keys(region).next_back().map(|k| k.id);
    let newest = newest.ok_or_else(|| ApiError::not_found(format!("data key of platform {region}")))?;
    let next = newest.saturating_add(1);
    let setting = Setting { name: data_keys_setting(region), value: next.to_string() };
    propose(&api, command(&api, &caller, "data key rotation", Op::SetSetting(setting))?).await?;
    Ok((StatusCode::ACCEPTED, Answer(json!({ "region": region, "key": next }))).into_response())
}

/// Holders that the placement names but that cannot open the platform: each would be useless as a primary.
pub(crate) fn key_warnings(api: &Api) -> Vec<Warning> {
    let view = api.registry.state();
    let mut warnings = Vec::new();
    for placement in view.state.placements() {
        let named = std::iter::once(placement.primary).chain(placement.backups.iter().map(|b| b.node));
        for node in named.filter(|n| view.state.is_member(*n)) {
            if !view.state.can_open(placement.region, node) {
                warnings.push(Warning {
                    code: codes::DATA_KEY_MISSING.to_string(),
                    text: format!("{node} cannot open the data keys of platform {} yet", placement.region),
                });
            }
        }
    }
    warnings
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; KEY_PUBLIC_LEN]> {
    // The same shape as a digest: 32 bytes in hex.
    text.parse::<eport_model::Digest>().ok().map(|d| *d.as_bytes())
}

//! Accounts (电子底账): balances and entries for who may read them; requests of other platforms; shares; opening a book that waits.
//!
//! Always: only the node that is primary of a platform asks in its name; what an account allows is decided by the primary of its
//! home; an operator's word changes no balance.

use crate::Caller;
use crate::auth::need;
use crate::documents_api::read;
use crate::extract::{Json, Query};
use crate::forward::{FORWARDED, Outline, forward};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::sharing::{shows, stated, visible};
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::rfc3339;
use eport_ledger::{Account, AccountKey, Amount, Entry, Request as Asked};
use eport_model::{Epoch, RegionCode, codes};
use eport_platform::{Platform, Scope};
use eport_sharing::{Purpose, Who};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::Date;

/// Entries of a page.
const PAGE_MAX: usize = 1_000;
/// The class of balances and of what a document takes from them.
const BALANCES: char = 'C';
/// Largest answer of another platform about accounts. 4 MiB.
const ANSWER_LEN_MAX: usize = 4 << 20;

/// What one platform asks another about an account.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskBody {
    pub(crate) from: RegionCode,
    pub(crate) request: Asked,
}

/// What a home asks an owner for after it may have lost entries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfirmedBody {
    pub(crate) home: RegionCode,
    pub(crate) epoch: Epoch,
    pub(crate) after: Option<String>,
}

/// A page of what was confirmed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfirmedPage {
    pub(crate) requests: Vec<Asked>,
    pub(crate) next: Option<String>,
}

/// Which accounts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AccountQuery {
    number: Option<String>,
    account: Option<String>,
    platform: Option<String>,
    after: u64,
    limit: Option<usize>,
    page_token: Option<String>,
    audit: bool,
}

impl AccountQuery {
    fn key(&self) -> Result<Option<AccountKey>, ApiError> {
        let parse =
            |text: &String| text.parse().map_err(|e: eport_ledger::KeyError| ApiError::bad(e.to_string()));
        self.account.as_ref().map(parse).transpose()
    }
}

/// An account is its holder's, and of whoever is shown the commercial fields of the document that granted it: balances are such
/// fields. A document of another platform is not here to be asked.
fn sees(p: &Platform, scope: &Scope, account: &Account) -> Result<bool, ApiError> {
    let reader = scope.viewer().map(eport_platform::Viewer::reader);
    let enterprise = reader.filter(|r| r.who == Who::Enterprise);
    if enterprise.is_some_and(|r| account.terms.holder.as_ref() == Some(&r.name)) {
        return Ok(true);
    }
    match account.grantor.as_ref().filter(|g| g.platform == p.region()) {
        Some(grantor) => Ok(p.classes_shown(scope, &grantor.document)?.is_ok_and(|c| c.contains(&BALANCES))),
        None => Ok(false),
    }
}

fn shown(region: RegionCode, key: &AccountKey, a: &Account) -> Value {
    json!({
        "account": key.to_string(), "platform": region, "standing": a.standing, "unit": a.terms.unit,
        "granted": a.granted, "reserved": a.reserved, "committed": a.committed, "escrowed": a.escrowed,
        "available": a.available(), "over": a.over(), "uses": a.uses, "uses_max": a.terms.uses_max,
        "tolerance": f64::from(a.terms.tolerance) / f64::from(eport_ledger::TERMS_SCALE),
        "valid_from": a.terms.valid_from.map(|d| d.to_string()), "valid_to": a.terms.valid_to.map(|d| d.to_string()),
        "granted_by": a.grantor.as_ref().map(ToString::to_string), "entries": a.entries, "last_digest": a.last,
    })
}

fn entry(e: &Entry) -> Value {
    json!({
        "entry_no": e.no, "kind": e.kind.as_str(), "quantity": e.quantity, "document": e.holder.to_string(),
        "doc_version": e.version, "item": e.item, "actor": e.actor, "day": e.day.to_string(), "at": rfc3339(e.at),
        "reason": e.reason, "cause": e.cause, "previous": e.previous, "digest": e.digest(),
    })
}

/// The accounts that a query names, here.
fn found(p: &Platform, query: &AccountQuery, scope: &Scope) -> Result<Vec<(AccountKey, Account)>, ApiError> {
    let all = match (query.key()?, &query.number) {
        (Some(key), _) => p.account(&key)?.map(|account| (key, account)).into_iter().collect(),
        (None, Some(number)) => p.accounts_of(number)?,
        (None, None) => return Err(ApiError::bad("number or account is needed")),
    };
    let mut out = Vec::new();
    for (key, account) in all {
        if sees(p, scope, &account)? {
            out.push((key, account));
        }
    }
    Ok(out)
}

/// `GET /v1/platforms/{region}/accounts`: by number, or one by its name; `audit=true` adds its entries up again.
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<AccountQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let mut items = Vec::new();
        for (key, account) in found(p, &query, &scope)? {
            let mut item = shown(p.region(), &key, &account);
            if query.audit {
                let sums = p.audit_account(&key)?.unwrap_or_default();
                item["problems"] = json!(sums.problems);
            }
            items.push(item);
        }
        Ok(Answer(json!({ "items": items })))
    })
    .await
}

/// `GET /v1/platforms/{region}/accounts/entries`: of the one account that the query names.
pub async fn entries(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<AccountQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let after = match &query.page_token {
            Some(token) => token.parse().map_err(|_| ApiError::bad("page_token: not one of ours"))?,
            None => query.after,
        };
        let accounts = found(p, &query, &scope)?;
        let [(key, _)] = &accounts[..] else {
            let names: Vec<String> = accounts.iter().map(|(k, _)| k.to_string()).collect();
            return Err(match names.is_empty() {
                true => ApiError::not_found("such account here"),
                false => ApiError::bad(format!("account is needed: one of {}", names.join(", "))),
            });
        };
        let page = p.account_entries(key, after, limit)?;
        let next = page.last().filter(|_| page.len() == limit).map(|e| e.no.to_string());
        let items: Vec<Value> = page.iter().map(entry).collect();
        Ok(Answer(json!({ "account": key.to_string(), "items": items, "next_page_token": next })))
    })
    .await
}

/// `GET /v1/licences/{no}` and `…/entries`: asked of every platform, in the order of their codes, until one keeps the number.
async fn anywhere(
    api: &Api,
    caller: &Caller,
    query: &AccountQuery,
    path: &str,
    (number, purpose): (&str, Option<Purpose>),
) -> Result<Response, ApiError> {
    let only = query.platform.as_deref().map(region).transpose()?;
    let regions: Vec<RegionCode> = api.registry.state().state.placements().map(|p| p.region).collect();
    let mut unreachable = None;
    for region in regions.into_iter().filter(|r| only.is_none_or(|o| o == *r)) {
        let mut pairs = vec![format!("number={}", encoded(number))];
        pairs.extend(query.account.iter().map(|a| format!("account={}", encoded(a))));
        pairs.extend(query.page_token.iter().map(|t| format!("page_token={}", encoded(t))));
        pairs.extend(query.limit.iter().map(|l| format!("limit={l}")));
        pairs.push(format!("audit={}", query.audit));
        pairs.extend(purpose.map(|p| format!("purpose={p}")));
        let path_and_query = format!("/v1/platforms/{region}{path}?{}", pairs.join("&"));
        match get_elsewhere(api, caller, region, path_and_query).await {
            Ok(value) if value["items"].as_array().is_some_and(|i| !i.is_empty()) => {
                return Ok(Answer(value).into_response());
            }
            Err(error) if error.problem.status == 400 => return Err(error),
            Err(error) if error.problem.status >= 500 => unreachable = Some(error),
            _ => {}
        }
    }
    Err(unreachable.unwrap_or_else(|| ApiError::not_found(format!("account with number {number}"))))
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Reads at a platform's primary as the caller, here or there.
async fn get_elsewhere(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    path_and_query: String,
) -> Result<Value, ApiError> {
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let response = if primary == api.agent.me() {
        let uri = path_and_query.parse::<axum::http::Uri>().map_err(|e| ApiError::bad(e.to_string()))?;
        let query: axum::extract::Query<AccountQuery> =
            axum::extract::Query::try_from_uri(&uri).map_err(|e| ApiError::bad(e.to_string()))?;
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = uri.clone();
        let args = (State(api.clone()), Extension(caller.clone()), Path(region.to_string()), Query(query.0));
        match uri.path().ends_with("/entries") {
            true => entries(args.0, args.1, args.2, args.3, request).await?,
            false => list(args.0, args.1, args.2, args.3, request).await?,
        }
    } else {
        let outline = Outline { method: Method::GET, path_and_query, headers: Vec::new() };
        forward(api, primary, caller, outline, Bytes::new()).await?
    };
    body_of(response).await
}

/// The JSON of an answer, or its problem as an error.
pub(crate) async fn body_of(response: Response) -> Result<Value, ApiError> {
    let status = response.status();
    let unusable = |detail: String| ApiError::new(codes::PEER_UNREACHABLE, detail);
    let body = axum::body::to_bytes(response.into_body(), ANSWER_LEN_MAX).await;
    let body = body.map_err(|e| unusable(e.to_string()))?;
    match status == StatusCode::OK {
        true => serde_json::from_slice(&body).map_err(|e| unusable(e.to_string())),
        false => Err(ApiError::passed_on(&body)),
    }
}

/// `GET /v1/licences/{no}`
pub async fn licence(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(number): Path<String>,
    Query(query): Query<AccountQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ListDocuments, None)?;
    let purpose = stated(request.headers(), request.uri())?;
    anywhere(&api, &caller, &query, "/accounts", (&number, purpose)).await
}

/// `GET /v1/licences/{no}/entries`
pub async fn licence_entries(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(number): Path<String>,
    Query(query): Query<AccountQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ListDocuments, None)?;
    let purpose = stated(request.headers(), request.uri())?;
    anywhere(&api, &caller, &query, "/accounts/entries", (&number, purpose)).await
}

/// `GET /v1/platforms/{region}/documents/{doc_id}/accounts`: what a document asks of accounts, and what became of it.
pub async fn of_document(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let doc_id = p.number(&doc_id)?;
        visible(p, &scope, &doc_id)?;
        shows(p, &scope, &doc_id, BALANCES)?;
        let accounts = p.document_accounts(&doc_id)?;
        Ok(Answer(json!({ "doc_id": doc_id, "accounts": accounts })))
    })
    .await
}

/// `GET /v1/platforms/{region}/accounts:book`: whether the book waits, and for whom; shares that the platform has.
pub async fn book(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::Inspect, move |p, _| {
        let (book, portions) = (p.book()?, p.portions()?);
        let waiting: Vec<RegionCode> = book.recovery.iter().flat_map(|r| r.waiting.iter().copied()).collect();
        let shares: Vec<Value> = portions
            .iter()
            .map(|s| {
                json!({
                    "account": s.account.to_string(), "home": s.home, "quantity": s.quantity, "rest": s.rest,
                    "epoch": s.epoch, "valid_to": s.valid_to.to_string(), "closed": s.closed,
                    "usable": !s.closed && s.epoch == book.epoch,
                })
            })
            .collect();
        let state = if waiting.is_empty() { "open" } else { "recovering" };
        Ok(Answer(json!({ "platform": p.region(), "epoch": book.epoch, "state": state, "waiting": waiting, "shares": shares })))
    })
    .await
}

/// The open platform for something that an operator changes: at its primary, never by forward.
fn in_person(api: &Api, region: RegionCode, headers: &HeaderMap) -> Result<Platform, ApiError> {
    let view = api.registry.state();
    let primary = view.state.placement(region).map(|p| p.primary);
    if headers.contains_key(FORWARDED) || primary != Some(api.agent.me()) {
        let named = primary.map(|p| p.to_string()).unwrap_or_default();
        let mut error = ApiError::new(codes::NOT_PRIMARY, format!("{named} is primary of platform {region}"));
        error.problem.primary = primary;
        error.problem.api = primary.and_then(|p| view.state.node(p)).map(|n| format!("https://{}", n.api));
        return Err(error);
    }
    api.platform(region).ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")))
}

/// A share that is asked for.
#[derive(Debug, Deserialize)]
pub struct ShareBody {
    name: String,
    account: String,
    quantity: Amount,
    valid_to: String,
}

/// The account of a share.
#[derive(Debug, Deserialize)]
pub struct AccountBody {
    account: String,
}

fn key(text: &str) -> Result<AccountKey, ApiError> {
    text.parse().map_err(|e: eport_ledger::KeyError| ApiError::bad(format!("account: {e}")))
}

/// `POST /v1/platforms/{region}/shares`: the platform asks the account's home for a share. 202: it is asked for.
pub async fn ask_share(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ShareBody>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let platform = in_person(&api, region, &headers)?;
    let account = key(&body.account)?;
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let valid_to = Date::parse(&body.valid_to, &format)
        .map_err(|_| ApiError::bad("valid_to: a date like 2018-01-10 is needed"))?;
    platform.ask_share(&body.name, account, body.quantity, valid_to, &caller.name()).await?;
    Ok((StatusCode::ACCEPTED, Answer(json!({ "name": body.name, "account": body.account }))).into_response())
}

/// `POST /v1/platforms/{region}/shares:return`: the platform gives the rest of its share back.
pub async fn return_share(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<AccountBody>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let platform = in_person(&api, region, &headers)?;
    platform.return_share(key(&body.account)?, &caller.name()).await?;
    Ok((StatusCode::ACCEPTED, Answer(json!({ "account": body.account }))).into_response())
}

/// Why a book is opened.
#[derive(Debug, Deserialize)]
pub struct ReasonBody {
    reason: String,
}

/// `POST /v1/platforms/{region}/accounts:open`: whoever the book still waits for has nothing to say.
pub async fn open(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ReasonBody>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    if body.reason.trim().is_empty() || body.reason.len() > 400 {
        return Err(ApiError::bad("reason: a text of 1 to 400 bytes is needed"));
    }
    in_person(&api, region, &headers)?.open_book(caller.name(), body.reason).await?;
    Ok(Answer(json!({ "platform": region, "state": "open" })).into_response())
}

/// The platform that another platform's primary asks; `from` must be served by the node that asks.
fn asked(api: &Api, caller: &Caller, name: &str, from: RegionCode) -> Result<Platform, ApiError> {
    let region = region(name)?;
    need(api, caller, Action::Forward, Some(region))?;
    let primary = api.registry.state().state.placement(from).map(|p| p.primary);
    if primary.is_none() || caller.via != primary {
        return Err(ApiError::forbidden(format!("only the primary of platform {from} asks in its name")));
    }
    let platform = api.platform(region);
    platform.ok_or_else(|| ApiError::new(codes::NOT_PRIMARY, format!("platform {region} is not open here")))
}

/// `POST /v1/platforms/{region}/accounts:ask`: a platform asks for its document.
pub async fn ask(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<AskBody>,
) -> Result<Response, ApiError> {
    let platform = asked(&api, &caller, &name, body.from)?;
    if let Some(fault) = body.request.fault_of(body.from) {
        return Err(ApiError::forbidden(fault));
    }
    Ok(Answer(platform.ask_account(body.request).await?).into_response())
}

/// `POST /v1/platforms/{region}/accounts:confirmed`: a home asks what it has confirmed.
pub async fn confirmed(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<ConfirmedBody>,
) -> Result<Response, ApiError> {
    let platform = asked(&api, &caller, &name, body.home)?;
    Ok(Answer(page(&platform, &body).await?).into_response())
}

/// A page of what a platform was confirmed.
pub(crate) async fn page(platform: &Platform, body: &ConfirmedBody) -> Result<ConfirmedPage, ApiError> {
    let after = body.after.as_deref().map(hex::decode).transpose();
    let after = after.map_err(|_| ApiError::bad("after: not one of ours"))?;
    let (requests, next) = platform.confirmed(body.home, body.epoch, after.as_deref()).await?;
    Ok(ConfirmedPage { requests, next: next.map(hex::encode) })
}

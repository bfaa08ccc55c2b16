//! Code tables, read along their hierarchy and along their versions: parents, children, differences, change feed, impact.
//!
//! What always holds: every answer is bounded, and a token goes on in the versions it was made for or is refused.

use crate::Caller;
use crate::auth::need;
use crate::extract::Query;
use crate::problem::ApiError;
use crate::state::Api;
use crate::tables_api::{AsOf, instant, open, read_at, row, shown, token_parse, uses};
use crate::tables_usage as usage;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, State};
use eport_access::Action;
use eport_api_types as t;
use eport_api_types::{Page, TableRow, rfc3339};
use eport_catalog::Key;
use eport_codetables::{Impact, Reading, Step, Table, difference, feed, steps};
use eport_model::{Timestamp, codes};
use eport_registry::{TableId, TableVersion};

/// Rows of a difference or of the feed when the caller does not say, and at most.
const CHANGES: (usize, usize) = (1_000, 10_000);

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?
}

async fn reading(api: &Api, name: &str, q: &AsOf) -> Result<(TableId, u64, Reading), ApiError> {
    let id = api.tables.resolve(name)?;
    let at = instant(api, q.as_of.as_deref())?;
    let version = api.tables.version_at(&id, at)?;
    let number = version.version;
    Ok((id, number, read_at(api, version, at).await?))
}

fn no_key(key: &str, number: u64, id: &TableId) -> ApiError {
    ApiError::not_found(format!("key {key} in version {number} of table {id}"))
}

/// `GET /v1/tables/{name}/rows/{key}/parents`
pub async fn parents(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, key)): Path<(String, String)>,
    Query(q): Query<AsOf>,
) -> Result<Answer<Page<TableRow>>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let (id, number, reading) = reading(&api, &name, &q).await?;
    let above = reading.parents(&key).ok_or_else(|| no_key(&key, number, &id))?;
    Ok(Answer(Page::whole(above.iter().map(|r| row(r, number)).collect())))
}

/// `GET /v1/tables/{name}/rows/{key}/children`
pub async fn children(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, key)): Path<(String, String)>,
    Query(q): Query<AsOf>,
) -> Result<Answer<Page<TableRow>>, ApiError> {
    below(&api, &caller, &name, &key, q).await
}

/// `GET /v1/tables/{name}/roots`
pub async fn roots(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<AsOf>,
) -> Result<Answer<Page<TableRow>>, ApiError> {
    below(&api, &caller, &name, "", q).await
}

async fn below(
    api: &Api,
    caller: &Caller,
    name: &str,
    key: &str,
    q: AsOf,
) -> Result<Answer<Page<TableRow>>, ApiError> {
    need(api, caller, Action::ReadTables, None)?;
    let (id, number, reading) = reading(api, name, &q).await?;
    if !key.is_empty() && !reading.contains(key) {
        return Err(no_key(key, number, &id));
    }
    let after = q.page_token.as_deref().map(|t| token_parse(t, number, reading.table())).transpose()?;
    let (limit, key) = (q.rows(), key.to_owned());
    // The first question of this kind sorts the rows by parent.
    let page = blocking(move || {
        let page = reading.children(&key, after.as_ref(), limit);
        let page = page.ok_or_else(|| ApiError::bad("the table has no hierarchy in its rules"))?;
        let next_page_token = page.next.map(|key| format!("{number}~{key}"));
        Ok(Page { items: page.rows.iter().map(|r| row(r, number)).collect(), next_page_token })
    });
    Ok(Answer(page.await?))
}

fn pick(versions: &[TableVersion], id: &TableId, number: u64) -> Result<TableVersion, ApiError> {
    let found = versions.iter().find(|v| v.version == number).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("version {number} of table {id}")))
}

fn key_of(text: &str, table: &Table) -> Result<Key, ApiError> {
    let bad = || ApiError::bad("the token names no key of this table; start again without it");
    Key::parse(text, table.schema().key.len()).ok_or_else(bad)
}

/// `GET /v1/tables/{name}/diff`
pub async fn diff(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<AsOf>,
) -> Result<Answer<t::TableDiff>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let versions = api.tables.versions(&id)?;
    let (Some(from), Some(to)) = (q.from, q.to) else {
        return Err(ApiError::bad("from and to: two version numbers are needed"));
    };
    let before = open(&api, pick(&versions, &id, from)?).await?;
    let after = open(&api, pick(&versions, &id, to)?).await?;
    let start = format!("{from}-{to}~");
    let behind = match q.page_token.as_deref() {
        Some(token) => {
            let wrong = || ApiError::bad("page_token: it is of other versions; start again without it");
            Some(key_of(token.strip_prefix(&start).ok_or_else(wrong)?, &after)?)
        }
        None => None,
    };
    let limit = q.limit.unwrap_or(CHANGES.1).clamp(1, CHANGES.1);
    let page = blocking(move || Ok(difference(&before, &after, behind.as_ref(), limit)?)).await?;
    let mut answer = shown(&page.difference);
    answer.next_page_token = page.next.map(|key| format!("{start}{key}"));
    Ok(Answer(answer))
}

/// `GET /v1/tables/{name}/changes`
pub async fn changes(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<AsOf>,
) -> Result<Answer<t::TableChanges>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let versions = api.tables.versions(&id)?;
    let order: Vec<(u64, Timestamp)> = versions.iter().map(|v| (v.version, v.effective)).collect();
    let token = q.after.as_deref().filter(|t| !t.is_empty()).map(str::parse::<feed::Token>).transpose()?;
    let Some(leg) = feed::next(&order, token.as_ref(), api.now())? else {
        let next = token.map(|t| t.to_string());
        return Ok(Answer(t::TableChanges { items: Vec::new(), next, more: false }));
    };
    let version = pick(&versions, &id, leg.to)?;
    let effective = rfc3339(version.effective);
    let from = match leg.from {
        Some(from) => Some(open(&api, pick(&versions, &id, from)?).await?),
        None => None,
    };
    let to = open(&api, version).await?;
    let after = leg.after.as_deref().map(|key| key_of(key, &to)).transpose()?;
    let limit = q.limit.unwrap_or(CHANGES.0).clamp(1, CHANGES.1);
    let now = api.now();
    let answer = blocking(move || {
        let (mut items, mut last, mut cut) = (Vec::new(), None, false);
        let mut take = |step: Step<'_>| {
            cut = items.len() == limit;
            if cut {
                return false;
            }
            let key = step.key();
            let (op, row) = match &step {
                Step::Added(row) => ("added", Some(row)),
                Step::Changed(_, row) => ("changed", Some(row)),
                Step::Removed(_) => ("removed", None),
            };
            items.push(t::TableChange {
                op: op.to_owned(),
                key: key.to_string(),
                fields: row.map(eport_catalog::RowRef::to_map).unwrap_or_default(),
                version: leg.to,
                effective: effective.clone(),
            });
            last = Some(key);
            true
        };
        match &from {
            Some(from) if from.schema().key == to.schema().key => {
                steps(from, &to, after.as_ref(), &mut take)?;
            }
            // Another key: the reader begins anew, with the whole version.
            Some(_) => {
                let token = leg.from.map(|v| feed::Token::At(v).to_string()).unwrap_or_default();
                return Err(feed::FeedError::new(&token, "the next version has another key").into());
            }
            None => {
                let page = to.page("", after.as_ref(), limit.saturating_add(1));
                for row in page.rows {
                    if !take(Step::Added(row)) {
                        break;
                    }
                }
            }
        }
        let next = leg.token(last.as_ref().filter(|_| cut));
        let more = cut || feed::next(&order, Some(&next), now)?.is_some();
        Ok(t::TableChanges { items, next: Some(next.to_string()), more })
    });
    Ok(Answer(answer.await?))
}

/// `GET /v1/tables/{name}/versions/{version}/impact`
pub async fn impact(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Answer<t::TableImpact>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let id = api.tables.resolve(&name)?;
    let versions = api.tables.versions(&id)?;
    let version = pick(&versions, &id, number)?;
    let (effective, order) = (version.effective, |v: &&TableVersion| (v.effective, v.version));
    let before = versions.iter().filter(|v| order(v) < (effective, number)).max_by_key(order).cloned();
    let mut answer = t::TableImpact {
        name: id.to_string(),
        version: number,
        before: before.as_ref().map(|v| v.version),
        ..t::TableImpact::default()
    };
    let Some(before) = before else { return Ok(Answer(answer)) };
    let (old, new) = (open(&api, before).await?, open(&api, version).await?);
    let inside = api.clone();
    let answer = blocking(move || {
        let mut going = Vec::new();
        steps(&old, &new, None, |step| {
            if let Step::Removed(row) = step {
                going.push(row.key().to_string());
            }
            going.len() < usage::GOING_MAX
        })?;
        going.sort_unstable();
        answer.removed = going.len() as u64;
        let (found, platforms) = usage::users(&inside, &id, &going, effective);
        let impact = Impact::of(found);
        (answer.items, answer.found, answer.platforms) = (uses(&impact), impact.found, platforms);
        Ok(answer)
    });
    Ok(Answer(answer.await?))
}

/// `GET /v1/tables/{name}/late`
pub async fn late(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Answer<t::LateDocuments>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let id = api.tables.resolve(&name)?;
    api.tables.versions(&id)?;
    let inside = api.clone();
    Ok(Answer(blocking(move || Ok(usage::late(&inside, &id))).await?))
}

//! Code tables: list, content, difference, who holds what, import and publication.

use crate::Caller;
use crate::auth::need;
use crate::extract::Query;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eport_access::Action;
use eport_agent::SoftState;
use eport_api_types as t;
use eport_api_types::{
    ImportAnswer, ImportProblem, Page, TableDoc, TableRow, TableStatus, TableSummary, TableVersionItem,
    rfc3339,
};
use eport_catalog::{Schema, TableName, parse_instant};
use eport_codetables::{ImportReport, Options, Refusal, Table, import};
use eport_documents::pack::CATALOGUE;
use eport_model::{Code, Coded, NodeId, Timestamp, codes};
use eport_registry::{Op, Outcome, TableId, TableVersion};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows of a page when the caller does not say, and at most.
const PAGE: (usize, usize) = (100, 1_000);

/// A date or instant at which a table is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AsOf {
    as_of: Option<String>,
    prefix: Option<String>,
    q: Option<String>,
    limit: Option<usize>,
    page_token: Option<String>,
    from: Option<u64>,
    to: Option<u64>,
}

fn instant(api: &Api, text: Option<&str>) -> Result<Timestamp, ApiError> {
    match text {
        Some(text) => parse_instant(text).map_err(|e| ApiError::bad(format!("as_of: {e}"))),
        None => Ok(api.now()),
    }
}

/// One line a table for `eport status`: the version in force now and how many nodes hold it.
pub(crate) fn summaries(api: &Api, heard: &BTreeMap<NodeId, (Duration, SoftState)>) -> Vec<TableSummary> {
    let view = api.registry.state();
    let now = api.now();
    let mut out = Vec::new();
    for id in view.state.tables() {
        let Some(v) = view.state.table_as_of(id, now).or_else(|| view.state.table_newest(id)) else {
            continue;
        };
        let name = id.to_string();
        let holds = |s: &SoftState| s.tables.iter().any(|t| t.name == name && t.root == v.root);
        out.push(TableSummary {
            name: name.clone(),
            owner: id.owner.to_string(),
            version: v.version,
            rows: v.rows,
            effective: rfc3339(v.effective),
            installed_nodes: heard.values().filter(|(_, s)| holds(s)).count() as u64,
        });
    }
    out
}

fn doc(v: &TableVersion) -> TableDoc {
    let schema: Option<Schema> = serde_json::from_str(&v.schema).ok();
    TableDoc {
        name: v.table.to_string(),
        owner: v.table.owner.to_string(),
        version: v.version,
        root: v.root,
        rows: v.rows,
        effective: rfc3339(v.effective),
        columns: schema.iter().flat_map(|s| s.columns.iter().map(|c| c.name.clone())).collect(),
        key: schema.map(|s| s.key).unwrap_or_default(),
    }
}

/// `GET /v1/tables`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let view = api.registry.state();
    let now = api.now();
    let in_force =
        |id: &TableId| view.state.table_as_of(id, now).or_else(|| view.state.table_newest(id)).map(doc);
    Ok(Answer(Page::whole(view.state.tables().filter_map(in_force).collect())).into_response())
}

/// `GET /v1/tables/{name}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<AsOf>,
) -> Result<Answer<TableDoc>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let version = api.tables.version_at(&id, instant(&api, q.as_of.as_deref())?)?;
    Ok(Answer(doc(&version)))
}

/// `GET /v1/tables/{name}/versions`
pub async fn versions(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let item = |v: TableVersion| TableVersionItem {
        version: v.version,
        root: v.root,
        rows: v.rows,
        effective: rfc3339(v.effective),
        published_at: rfc3339(v.published_at),
        state: crate::tables_life::state_word(&v).to_owned(),
        published_by: v.publisher,
    };
    Ok(Answer(Page::whole(api.tables.versions(&id)?.into_iter().map(item).collect())).into_response())
}

/// Opens a version off the async threads: content may have many megabytes.
async fn open(api: &Api, version: TableVersion) -> Result<Table, ApiError> {
    let tables = api.tables.clone();
    let opened = tokio::task::spawn_blocking(move || tables.open(&version)).await;
    Ok(opened.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??)
}

fn row(r: &eport_catalog::RowRef<'_>, version: u64) -> TableRow {
    TableRow { key: r.key().to_string(), fields: r.to_map(), version }
}

/// `GET /v1/tables/{name}/rows`
pub async fn rows(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<AsOf>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let version = api.tables.version_at(&id, instant(&api, q.as_of.as_deref())?)?;
    let (number, limit) = (version.version, q.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1));
    let table = open(&api, version).await?;
    // The token names the version too: a page never continues in another version.
    let after = match q.page_token.as_deref().map(|t| token_parse(t, number, &table)) {
        Some(key) => Some(key?),
        None => None,
    };
    let page = match &q.q {
        Some(text) => table.search(text, after.as_ref(), limit),
        None => table.page(q.prefix.as_deref().unwrap_or(""), after.as_ref(), limit),
    };
    let next = page.next.map(|key| format!("{number}~{key}"));
    Ok(Answer(Page { items: page.rows.iter().map(|r| row(r, number)).collect(), next_page_token: next })
        .into_response())
}

fn token_parse(token: &str, version: u64, table: &Table) -> Result<eport_catalog::Key, ApiError> {
    let bad = || ApiError::bad("page_token: it is not of this table and version; start again without it");
    let (number, key) = token.split_once('~').ok_or_else(bad)?;
    if number.parse() != Ok(version) {
        return Err(bad());
    }
    eport_catalog::Key::parse(key, table.schema().key.len()).ok_or_else(bad)
}

/// `GET /v1/tables/{name}/rows/{key}`
pub async fn get(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, key)): Path<(String, String)>,
    Query(q): Query<AsOf>,
) -> Result<Answer<TableRow>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let version = api.tables.version_at(&id, instant(&api, q.as_of.as_deref())?)?;
    let number = version.version;
    let table = open(&api, version).await?;
    let found = table.get_text(&key).map(|r| row(&r, number));
    found
        .map(Answer)
        .ok_or_else(|| ApiError::not_found(format!("key {key} in version {number} of table {id}")))
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
    let pick = |n: u64| {
        let found = versions.iter().find(|v| v.version == n).cloned();
        found.ok_or_else(|| ApiError::not_found(format!("version {n} of table {id}")))
    };
    let (before, after) = (open(&api, pick(from)?).await?, open(&api, pick(to)?).await?);
    let difference =
        tokio::task::spawn_blocking(move || eport_catalog::diff(before.content(), after.content())).await;
    let difference = difference.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    let changed = difference.changed.into_iter().map(|c| t::ChangedRow {
        key: c.key.to_string(),
        fields: c
            .fields
            .into_iter()
            .map(|(name, (old, new))| {
                (name, t::FieldChange(old.unwrap_or_default(), new.unwrap_or_default()))
            })
            .collect(),
    });
    Ok(Answer(t::TableDiff {
        changed: changed.collect(),
        added: difference.added.iter().map(ToString::to_string).collect(),
        removed: difference.removed.iter().map(ToString::to_string).collect(),
    }))
}

/// `GET /v1/tables/{name}/status`
pub async fn status(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Answer<TableStatus>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let versions = api.tables.versions(&id)?;
    let in_force = api.tables.version_at(&id, api.now()).ok();
    let version = in_force.or_else(|| versions.into_iter().max_by_key(|v| v.version));
    let version = version.ok_or_else(|| ApiError::not_found(format!("table {id}")))?;
    let heard = crate::federation::heard(&api);
    let view = api.registry.state();
    let name = id.to_string();
    let nodes = view.state.nodes().filter(|n| n.is_member()).map(|n| {
        let held = heard.get(&n.id).and_then(|(_, s)| s.tables.iter().find(|t| t.name == name));
        t::TableNode {
            node: n.id,
            version: held.map(|h| h.version),
            root: held.map(|h| h.root),
            bytes_fetched: held.map_or(0, |h| h.bytes_fetched),
            seconds: held.map_or(0.0, |h| h.seconds),
        }
    });
    Ok(Answer(TableStatus {
        name: name.clone(),
        version: version.version,
        root: version.root,
        nodes: nodes.collect(),
    }))
}

/// Options of an import.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ImportOptions {
    key: Vec<String>,
    encoding: Option<String>,
    delimiter: Option<String>,
    effective: Option<String>,
    force: bool,
    dry_run: bool,
    version: Option<u64>,
}

/// `POST /v1/tables/{name}/versions`
pub async fn publish(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let id = api.tables.resolve(&name)?;
    let (options, file) = parts(form.map_err(|e| ApiError::bad(e.body_text()))?).await?;
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let versions: Vec<TableVersion> = view.state.table_versions(&id).cloned().collect();
    let newest = versions.iter().map(|v| v.version).max().unwrap_or(0);
    let at = match options.effective.as_deref() {
        Some(text) => Some(parse_instant(text).map_err(|e| ApiError::bad(format!("effective: {e}")))?),
        None => None,
    };
    // Compared with the version it takes over from, which is not always the newest: history may be added later.
    let compared = at.unwrap_or(Timestamp::from_millis(i64::MAX));
    let before = versions
        .iter()
        .filter(|v| v.effective <= compared && v.keeps_content())
        .max_by_key(|v| (v.effective, v.version))
        .cloned();
    let before = match before {
        Some(v) => Some(open(&api, v).await?),
        None => None,
    };
    let import_options = import_options(&options, before.as_ref())?;
    let table = TableName::new(id.owner, &id.name).map_err(|e| ApiError::bad(e.to_string()))?;
    let (packs, earlier) = (is_packs(&api, &id).then(|| api.packs.clone()), before.clone());
    let import_options = Options {
        // Packs are few and large: what a change of one means is judged by its content, not by a share of rows.
        force: import_options.force || packs.is_some(),
        ..import_options
    };
    let judged = tokio::task::spawn_blocking(move || {
        import(&table, &file, &import_options, before.as_ref().map(|b| b.content().as_ref()))
    })
    .await
    .map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let mut answer = answer(&id, &judged.report, newest);
    let content = match judged.outcome {
        Ok(content) => content,
        Err(refusal) => return Ok(refused(answer, &refusal)),
    };
    if let Some(packs) = packs {
        let now = Table::open(content.bytes.clone().into(), content.root)?;
        packs.judge(earlier.as_ref(), &now, options.force)?;
    }
    if options.dry_run {
        answer.version = newest + 1;
        return Ok(Answer(answer).into_response());
    }
    let same = versions
        .iter()
        .filter(|v| v.keeps_content() && at.is_none_or(|at| v.effective == at))
        .max_by_key(|v| (v.effective, v.version));
    if let Some(v) = same.filter(|v| v.root == content.root) {
        // The same content again: nothing to publish, so a repeated command changes nothing.
        (answer.version, answer.effective, answer.published) = (v.version, rfc3339(v.effective), true);
        return Ok(Answer(answer).into_response());
    }
    if let Some(named) = options.version.filter(|v| *v != newest + 1) {
        let conflict = eport_registry::Refusal::VersionConflict {
            object: format!("table {id}"),
            named,
            current: newest,
        };
        return Err(ApiError::of(&conflict));
    }
    let staged = crate::staging::stage(&api, &id, newest + 1, content.bytes.into(), options.force).await?;
    answer.lacking = staged.lacking.clone();
    let op = Op::PublishTable {
        table: id.clone(),
        version: newest + 1,
        root: content.root,
        rows: content.rows,
        effective: at,
        schema: serde_json::to_string(&content.schema).unwrap_or_default(),
        report: serde_json::to_string(&answer).unwrap_or_default(),
    };
    match propose(&api, command(&api, &caller, "table import", op)?).await {
        Ok(Outcome::Published { version, effective }) => {
            (answer.version, answer.effective, answer.published) = (version, rfc3339(effective), true);
            Ok((StatusCode::CREATED, Answer(answer)).into_response())
        }
        Ok(other) => Err(ApiError::new(codes::INTERNAL, format!("the registry answered {other:?}"))),
        Err(error) => Err(error),
    }
}

/// Whether a table is the catalogue of packs, whose rows are judged before they are published.
fn is_packs(api: &Api, id: &TableId) -> bool {
    id.name == CATALOGUE && api.tables.resolve(CATALOGUE).is_ok_and(|own| own == *id)
}

/// A refused import: the same object with `published: false` and the code (interfaces §2).
fn refused(mut answer: ImportAnswer, refusal: &Refusal) -> Response {
    let code: Code = refusal.code();
    answer.error = Some(code.to_string());
    let status = code.info().map_or(422, |i| i.http);
    (StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), Answer(answer)).into_response()
}

fn answer(id: &TableId, report: &ImportReport, newest: u64) -> ImportAnswer {
    ImportAnswer {
        name: id.to_string(),
        version: newest,
        root: report.root.unwrap_or_default(),
        rows: report.rows,
        added: report.added,
        removed: report.removed,
        changed: report.changed,
        unchanged: report.unchanged,
        duplicates_ignored: report.duplicates_ignored,
        problems: report
            .problems
            .iter()
            .map(|p| ImportProblem {
                line: p.line,
                column: p.column,
                kind: p.kind.to_string(),
                detail: p.detail.clone(),
            })
            .collect(),
        effective: String::new(),
        published: false,
        lacking: Vec::new(),
        error: None,
    }
}

fn import_options(options: &ImportOptions, before: Option<&Table>) -> Result<Options, ApiError> {
    let key = match (&options.key[..], before) {
        ([], Some(table)) => table.schema().key.clone(),
        ([], None) => return Err(ApiError::bad("key: a new table needs its key columns")),
        (key, _) => key.to_vec(),
    };
    let mut out = Options::with_key(key);
    if let Some(encoding) = &options.encoding {
        out.encoding = encoding.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    }
    match options.delimiter.as_deref().map(str::as_bytes) {
        None => {}
        Some([one]) => out.delimiter = *one,
        Some(_) => return Err(ApiError::bad("delimiter: one character is needed")),
    }
    out.force = options.force;
    Ok(out)
}

async fn parts(mut form: Multipart) -> Result<(ImportOptions, bytes::Bytes), ApiError> {
    let (mut options, mut file) = (ImportOptions::default(), None);
    while let Some(field) = form.next_field().await.map_err(|e| ApiError::bad(e.body_text()))? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|e| match e.status().as_u16() {
            413 => ApiError::new(codes::BODY_TOO_LARGE, e.body_text()),
            _ => ApiError::bad(e.body_text()),
        })?;
        match name.as_str() {
            "options" => {
                options =
                    serde_json::from_slice(&bytes).map_err(|e| ApiError::bad(format!("options: {e}")))?;
            }
            "file" => file = Some(bytes),
            other => return Err(ApiError::bad(format!("part {other:?} is not known; options and file are"))),
        }
    }
    Ok((options, file.ok_or_else(|| ApiError::bad("the part `file` is missing"))?))
}

//! Code tables: one table and its rows, import and publication.

use crate::Caller;
use crate::auth::need;
use crate::extract::Query;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::staging::Patience;
use crate::state::Api;
use crate::tables_usage as usage;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eport_access::Action;
use eport_api_types as t;
use eport_api_types::{ImportAnswer, ImportProblem, Page, TableDoc, TableRow, TableVersionItem, rfc3339};
use eport_catalog::{TableName, parse_instant};
use eport_codetables::{
    Beside, Desk, Impact, ImportReport, Options, Query as Text, Reading, Refusal, Request, Table,
    TableSchema, Use, UserKind, import_from,
};
use eport_documents::pack::CATALOGUE;
use eport_model::{Code, Coded, Timestamp, codes};
use eport_registry::{Op, Outcome, TableId, TableVersion};
use serde::Deserialize;
use std::time::Duration;

/// Rows of a page when the caller does not say, and at most.
const PAGE: (usize, usize) = (100, 1_000);

/// A date or instant at which a table is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AsOf {
    pub(crate) as_of: Option<String>,
    prefix: Option<String>,
    q: Option<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) page_token: Option<String>,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) after: Option<String>,
}

impl AsOf {
    /// Rows of a page.
    pub(crate) fn rows(&self) -> usize {
        self.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1)
    }
}

pub(crate) fn instant(api: &Api, text: Option<&str>) -> Result<Timestamp, ApiError> {
    match text {
        Some(text) => parse_instant(text).map_err(|e| ApiError::bad(format!("as_of: {e}"))),
        None => Ok(crate::tables_watch::agreed_now(api)),
    }
}

pub(crate) fn doc(v: &TableVersion) -> TableDoc {
    let schema = TableSchema::parse(&v.schema).ok();
    let rules = schema.as_ref().map(|s| &s.rules).filter(|r| !r.is_empty());
    TableDoc {
        name: v.table.to_string(),
        owner: v.table.owner.to_string(),
        version: v.version,
        root: v.root,
        rows: v.rows,
        effective: rfc3339(v.effective),
        columns: schema.iter().flat_map(|s| s.schema.columns.iter().map(|c| c.name.clone())).collect(),
        rules: rules.and_then(|r| serde_json::to_value(r).ok()).unwrap_or_default(),
        key: schema.map(|s| s.schema.key).unwrap_or_default(),
    }
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
pub(crate) async fn open(api: &Api, version: TableVersion) -> Result<Table, ApiError> {
    let tables = api.tables.clone();
    let opened = tokio::task::spawn_blocking(move || tables.open(&version)).await;
    Ok(opened.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??)
}

/// A version as it reads at an instant, opened off the async threads.
pub(crate) async fn read_at(api: &Api, version: TableVersion, at: Timestamp) -> Result<Reading, ApiError> {
    let tables = api.tables.clone();
    let opened = tokio::task::spawn_blocking(move || tables.reading(&version, at)).await;
    Ok(opened.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??)
}

pub(crate) fn row(r: &eport_catalog::RowRef<'_>, version: u64) -> TableRow {
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
    let at = instant(&api, q.as_of.as_deref())?;
    let version = api.tables.version_at(&id, at)?;
    let (number, limit) = (version.version, q.rows());
    let text = q.q.as_deref().map(Text::parse).transpose().map_err(|e| ApiError::bad(format!("q: {e}")))?;
    let reading = read_at(&api, version, at).await?;
    // The token names the version too: a page never continues in another version.
    let after = match q.page_token.as_deref().map(|t| token_parse(t, number, reading.table())) {
        Some(key) => Some(key?),
        None => None,
    };
    // The first search of a table makes its index: not on an async thread.
    let found = tokio::task::spawn_blocking(move || {
        let page = match &text {
            Some(text) => reading.search(text, after.as_ref(), limit),
            None => reading.page(q.prefix.as_deref().unwrap_or(""), after.as_ref(), limit),
        };
        (page.rows.iter().map(|r| row(r, number)).collect(), page.next)
    });
    let (items, next) = found.await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let next_page_token = next.map(|key: eport_catalog::Key| format!("{number}~{key}"));
    Ok(Answer(Page { items, next_page_token }).into_response())
}

pub(crate) fn token_parse(token: &str, version: u64, table: &Table) -> Result<eport_catalog::Key, ApiError> {
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
    let at = instant(&api, q.as_of.as_deref())?;
    let version = api.tables.version_at(&id, at)?;
    let number = version.version;
    let reading = read_at(&api, version, at).await?;
    let found = reading.get_text(&key).map(|r| row(&r, number));
    found
        .map(Answer)
        .ok_or_else(|| ApiError::not_found(format!("key {key} in version {number} of table {id}")))
}

/// Options of an import.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ImportOptions {
    #[serde(flatten)]
    pub(crate) request: Request,
    effective: Option<String>,
    force: bool,
    dry_run: bool,
    version: Option<u64>,
    /// How many seconds nodes are waited for before the publication.
    wait_s: Option<u64>,
    /// With `dry_run`: tables that are to come before this one. Where one has no version yet, that is no problem.
    pending: Vec<String>,
}

/// `POST /v1/tables/{name}/versions`
pub async fn publish(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let id = api.tables.resolve(&name)?;
    let busy = || ApiError::new(codes::OVERLOADED, "other files are being read; ask again in a while");
    let place = api.tables.import_place().ok_or_else(busy)?;
    let (options, file) = crate::table_upload::receive(&api.config, request).await?;
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
    let schema_before = before.as_ref().and_then(|v| TableSchema::parse(&v.schema).ok());
    let packs = is_packs(&api, &id).then(|| api.packs.clone());
    let earlier = match &before {
        Some(v) if packs.is_some() => Some(open(&api, v.clone()).await?),
        _ => None,
    };
    let mut import_options = import_options(&options, schema_before.as_ref())?;
    import_options.limits.bytes = api.config.table_file_len_max;
    let table = TableName::new(id.owner, &id.name).map_err(|e| ApiError::bad(e.to_string()))?;
    // Reading takes a processor, and the disk two to three times the bytes of the file: one at a time.
    let turn = api.tables.import_turn().await.ok_or_else(busy)?;
    let (inside, of, in_force) = (api.clone(), id.clone(), at.unwrap_or(api.now()));
    let import_options = Options {
        // Packs are few and large: what a change of one means is judged by its content, not by a share of rows.
        force: import_options.force || packs.is_some(),
        ..import_options
    };
    // Turn and place go with the work: when the caller goes away it is read to its end, and nobody else begins meanwhile.
    let (judged, _place) = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let before = before.map(|v| inside.tables.source(&v)).transpose()?;
        let references = usage::references(&inside, &import_options.rules, in_force);
        let mut users = |going: &[String]| usage::users(&inside, &of, going, in_force).0;
        let beside = Beside { before, references: Some(references), users: Some(&mut users) };
        let spool = inside.config.spool.clone();
        Ok::<_, ApiError>((import_from(&table, &file, &import_options, beside, &Desk::with(&spool)), place))
    })
    .await
    .map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    let mut answer = answer(&id, &judged.report, newest);
    let content = match judged.outcome {
        Ok(content) => content,
        Err(Refusal::Storage { code, detail }) => return Err(ApiError::new(code, detail)),
        Err(refusal) => return Ok(refused(answer, &refusal)),
    };
    answer.schema = content.schema_text();
    if let Some(packs) = packs {
        let now = content.clone().open().map_err(|e| ApiError::of(&e))?;
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
    if let Some(v) = same.filter(|v| v.root == content.root && v.schema == answer.schema) {
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
    // The content goes to where journals lie too.
    let room = api.config.spool.has_room(content.body.len());
    room.map_err(|e| ApiError::new(codes::DISK_FULL, e.to_string()))?;
    let patience = Patience { force: options.force, wait: options.wait_s.map(Duration::from_secs) };
    let staged = crate::staging::stage(&api, &id, newest + 1, content.body.clone(), patience).await?;
    answer.lacking = staged.lacking.clone();
    if staged.root != content.root {
        let detail = format!("the rows were read as {} and stored as {}", content.root, staged.root);
        return Err(ApiError::new(codes::STORAGE_FAILED, detail));
    }
    let op = Op::PublishTable {
        table: id.clone(),
        version: newest + 1,
        root: content.root,
        rows: content.rows,
        effective: at,
        schema: answer.schema.clone(),
        report: kept_report(&answer),
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

/// What the registry keeps of a report: counts, not rows.
fn kept_report(answer: &ImportAnswer) -> String {
    let mut kept = answer.clone();
    (kept.difference, kept.impact, kept.schema) = Default::default();
    serde_json::to_string(&kept).unwrap_or_default()
}

/// Uses as the API shows them.
pub(crate) fn uses(impact: &Impact) -> Vec<t::TableUse> {
    let one = |u: &Use| t::TableUse {
        key: u.key.clone(),
        kind: match u.kind {
            UserKind::Table => "table",
            UserKind::Document => "document",
            UserKind::Draft => "draft",
            UserKind::Pack => "pack",
        }
        .to_owned(),
        user: u.user.clone(),
        field: u.field.clone(),
        count: u.count,
        places: u.places.clone(),
    };
    impact.uses.iter().map(one).collect()
}

/// A difference as the API shows it.
pub(crate) fn shown(difference: &eport_catalog::Difference) -> t::TableDiff {
    let field = |(name, (old, new)): (&String, &(Option<String>, Option<String>))| {
        (name.clone(), t::FieldChange(old.clone().unwrap_or_default(), new.clone().unwrap_or_default()))
    };
    let changed = difference.changed.iter();
    t::TableDiff {
        added: difference.added.clone(),
        removed: difference.removed.clone(),
        changed: changed
            .map(|c| t::ChangedRow { key: c.key.clone(), fields: c.fields.iter().map(field).collect() })
            .collect(),
        next_page_token: None,
    }
}

fn note(n: &eport_codetables::Note) -> t::ImportNote {
    t::ImportNote { line: n.line, column: n.column, kind: n.kind.to_string(), count: n.count }
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
        notes: report.notes.iter().map(note).collect(),
        difference: shown(&report.difference),
        impact: uses(&report.impact),
        impact_found: report.impact.found,
        schema: String::new(),
        effective: String::new(),
        published: false,
        lacking: Vec::new(),
        error: None,
    }
}

fn import_options(options: &ImportOptions, before: Option<&TableSchema>) -> Result<Options, ApiError> {
    let before = before.map(|s| (s.schema.key.as_slice(), &s.rules));
    let mut out = options.request.options(before)?;
    if out.key.is_empty() {
        return Err(ApiError::bad("key: a new table needs its key columns"));
    }
    out.force = options.force;
    if options.dry_run {
        out.pending.clone_from(&options.pending);
    }
    Ok(out)
}

//! Clearance timeliness (口岸通关时效): figures of one platform, or of all from their durations; what each platform tells for that;
//! consignments one by one.
//!
//! What always holds: figures of several platforms are made of their durations, never of their figures; a trader's figures are of
//! its own consignments; public figures hide what would tell of one enterprise; every answer names its definition, period,
//! population and the journal positions that it rests on.

use crate::Caller;
use crate::auth::need;
use crate::documents_api::read_for;
use crate::extract::Query;
use crate::forward::{Outline, forward};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use crate::statistics_query::{Asked, Period, StatisticsQuery, pairs};
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use eport_access::{Action, Permit};
use eport_api_types::rfc3339;
use eport_model::{RegionCode, Subject, Timestamp, codes};
use eport_platform::{Followed, Platform, Scope};
use eport_sharing::{Purpose, Who};
use eport_timeliness::{
    BasePolicy, Cell, Cells, DIMENSIONS, DURATIONS, Direction, Durations, Figure, change, hidden, quality,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Largest answer of another platform about durations. 64 MiB.
const ANSWER_LEN_MAX: usize = 64 << 20;
/// Durations that one answer rests on at most: 32 million.
const DURATIONS_MAX: usize = 32 << 20;
/// How long a question waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(5);
/// Consignments of a page.
const PAGE_MAX: usize = 1_000;
/// Public counts below this are said as "less than" it (sharing.md §5).
const COUNT_MIN: u64 = 10;

/// What a platform tells of one cell: every duration with how often it stands.
#[derive(Debug, Serialize, Deserialize)]
struct ToldCell {
    key: Vec<String>,
    runs: Vec<(u32, u32)>,
    traders: BTreeMap<String, u64>,
    counts: [u64; 5],
    overfull: u64,
}

/// What its figures rest on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Basis {
    platform: RegionCode,
    epoch: u64,
    index: u64,
    consignments: u64,
    unread: u64,
    overfull_keys: u64,
    events_not_used: u64,
}

/// What a platform tells.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    basis: Basis,
    cells: Vec<ToldCell>,
}

impl Told {
    fn cells(self) -> Result<Cells, ApiError> {
        let (mut cells, mut total) = (Cells::default(), 0);
        for told in self.cells {
            let mut durations = Durations::default();
            let room = DURATIONS_MAX.saturating_sub(total);
            durations.add_runs(&told.runs, room).ok_or_else(too_many)?;
            total += durations.len();
            let mut cell =
                Cell { durations, traders: told.traders, overfull: told.overfull, ..Cell::default() };
            let c = &mut cell.counts;
            [c.released, c.covered, c.expected, c.present, c.inconsistent] = told.counts;
            c.samples = c.released;
            cells.0.insert(told.key, cell);
        }
        Ok(cells)
    }
}

fn too_many() -> ApiError {
    let detail = format!("more than {DURATIONS_MAX} durations; ask for a shorter period or one platform");
    ApiError::new(codes::STATISTICS_TOO_LARGE, detail)
}

fn basis(p: &Platform, followed: &Followed) -> Basis {
    Basis {
        platform: p.region(),
        epoch: followed.at.map_or(0, |at| at.epoch.as_u64()),
        index: followed.at.map_or(0, |at| at.index.as_u64()),
        consignments: followed.store.len() as u64,
        unread: followed.unread,
        overfull_keys: followed.store.overfull() as u64,
        events_not_used: followed.store.events_not_used(),
    }
}

/// Whose consignments a caller sees: an agency those of all, a trader its own.
fn own_of(scope: &Scope) -> Option<String> {
    match scope.viewer().map(eport_platform::Viewer::reader) {
        Some(reader) if reader.who == Who::Enterprise => Some(reader.name.clone()),
        Some(_) => None,
        // Nobody asks without being a viewer; if somebody did, it would have nothing.
        None => Some(String::new()),
    }
}

/// What questions about clearance times are for, where they do not say.
const FOR: (Action, Option<Purpose>) = (Action::ListDocuments, Some(Purpose::Timeliness));

/// One question is answered at a time, and the others wait here: the store is read under one lock, and whoever waited for that on a
/// thread of readers would keep readers of documents away.
async fn turn(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
    let turn = tokio::time::timeout(TURN_WAIT, api.statistics.clone().acquire_owned()).await;
    let busy = || ApiError::new(codes::OVERLOADED, "other questions about statistics are being answered");
    turn.map_err(|_| busy())?.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))
}

/// `GET /v1/platforms/{region}/statistics/durations`: durations of the platform's consignments, to be put together with others'.
pub async fn durations(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<StatisticsQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&query)?;
    if asked.public || asked.months || asked.compare.is_some() {
        return Err(ApiError::bad("durations are of one period, in full: no view, compare or by=month"));
    }
    let turn = turn(&api).await?;
    read_for(api, caller, name, request, FOR, move |p, scope| {
        let _turn = turn;
        let question = asked.question(asked.period, own_of(&scope));
        let mut followed = p.consignments()?;
        let cells = followed.store.cells(&question, true).map_err(|e| ApiError::bad(e.to_string()))?;
        let basis = basis(p, &followed);
        drop(followed);
        let cells = cells.0.into_iter().map(|(key, mut cell)| {
            let (runs, c) = (cell.durations.runs(), cell.counts);
            let counts = [c.released, c.covered, c.expected, c.present, c.inconsistent];
            ToldCell { key, runs, traders: cell.traders, counts, overfull: cell.overfull }
        });
        Ok(Answer(Told { basis, cells: cells.collect() }))
    })
    .await
}

/// What one platform tells of one period.
async fn told(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    query: &StatisticsQuery,
    period: Period,
) -> Result<Told, ApiError> {
    let one = query.of_one_platform(period);
    let path_and_query = format!("/v1/platforms/{region}/statistics/durations?{}", pairs(&one));
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let response = if primary == api.agent.me() {
        let uri = path_and_query.parse::<Uri>().map_err(|e| ApiError::bad(e.to_string()))?;
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = uri;
        let (state, caller) = (State(api.clone()), Extension(caller.clone()));
        durations(state, caller, Path(region.to_string()), Query(one), request).await?
    } else {
        let outline = Outline { method: Method::GET, path_and_query, headers: Vec::new() };
        forward(api, primary, caller, outline, Bytes::new()).await?
    };
    let status = response.status();
    let unusable = |detail: String| ApiError::new(codes::PEER_UNREACHABLE, format!("{region}: {detail}"));
    let body = axum::body::to_bytes(response.into_body(), ANSWER_LEN_MAX).await;
    let body = body.map_err(|e| unusable(e.to_string()))?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|e| unusable(e.to_string()));
    }
    let mut refused = ApiError::passed_on(&body);
    refused.problem.detail = refused.problem.detail.map(|d| format!("{region}: {d}"));
    Err(refused)
}

/// Cells of a period, of every platform that was asked, and what they rest on.
async fn pooled(
    api: &Api,
    caller: &Caller,
    regions: &[RegionCode],
    query: &StatisticsQuery,
    period: Period,
) -> Result<(Cells, Vec<Basis>), ApiError> {
    let (mut cells, mut rests, mut total) = (Cells::default(), Vec::new(), 0usize);
    for region in regions {
        let told = told(api, caller, *region, query, period).await?;
        rests.push(told.basis.clone());
        let more = told.cells()?;
        total += len(&more);
        if total > DURATIONS_MAX {
            return Err(too_many());
        }
        cells.add(more);
    }
    Ok((cells, rests))
}

/// `GET /v1/statistics/timeliness`: of one platform, or of all. A platform that does not answer fails the whole question: a figure
/// of fewer platforms than it says would be wrong.
pub async fn timeliness(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<StatisticsQuery>,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&query)?;
    let only = query.platform.as_deref().map(region).transpose()?;
    let regions: Vec<RegionCode> = match only {
        Some(region) => vec![region],
        None => api.registry.state().state.placements().map(|p| p.region).collect(),
    };
    let permit = need(&api, &caller, Action::ListDocuments, only)?;
    let enterprise = matches!(caller.subject(), Some(Subject::Enterprise(_)));
    if asked.public && permit == Permit::OwnOnly && enterprise {
        return Err(ApiError::forbidden(
            "public figures are of all traders: who may read all documents asks for them",
        ));
    }
    let (mut cells, mut bases, mut rests) = (Cells::default(), Cells::default(), Vec::new());
    for part in asked.periods()? {
        let with_month = |cells: Cells| {
            let key = |k: Vec<String>| part.month.iter().cloned().chain(k).collect();
            Cells(cells.0.into_iter().map(|(k, cell)| (key(k), cell)).collect())
        };
        let (of_part, rest) = pooled(&api, &caller, &regions, &query, part.period).await?;
        rests = rest;
        cells.add(with_month(of_part));
        if let Some(base) = part.base {
            bases.add(with_month(pooled(&api, &caller, &regions, &query, base).await?.0));
        }
        if len(&cells) + len(&bases) > DURATIONS_MAX {
            return Err(too_many());
        }
    }
    if !asked.months && asked.by.is_empty() {
        // The whole is a cell of its own, also where nothing is in it.
        cells.0.entry(Vec::new()).or_default();
    }
    let (names, now) = (asked.names(), api.now());
    let answer = tokio::task::spawn_blocking(move || {
        let items = items(&asked, cells, bases);
        json!({
            "definition": definition(&asked), "direction": word(asked.direction),
            "duration": DURATIONS[asked.duration].code, "unit": "h", "clock": "calendar",
            "from": asked.period.from.to_string(), "to": asked.period.to.to_string(),
            "view": if asked.public { "public" } else { "full" },
            "data_status": asked.period.status(now),
            "by": names, "platforms": rests,
            "items": items.into_iter().map(|(key, item)| named(&names, key, item)).collect::<Vec<_>>(),
        })
    });
    let answer = answer.await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    Ok(axum::response::IntoResponse::into_response(Answer(answer)))
}

fn len(cells: &Cells) -> usize {
    cells.0.values().map(|cell| cell.durations.len()).sum()
}

/// The figures of each cell. What is compared with is published too: for the public it is hidden by the same rule.
fn items(asked: &Asked, cells: Cells, mut bases: Cells) -> Vec<(Vec<String>, Value)> {
    let hides = |cells: &Cells| if asked.public { hidden(cells) } else { BTreeSet::new() };
    let (hidden, hidden_bases) = (hides(&cells), hides(&bases));
    let item = |(key, mut cell): (Vec<String>, Cell)| {
        let item = match (hidden.contains(&key), hidden_bases.contains(&key)) {
            (true, _) => json!({ "suppressed": true }),
            (false, true) => {
                let mut item = figures(&mut cell, None, asked);
                item["base_n"] = Value::Null;
                item
            }
            (false, false) => figures(&mut cell, bases.0.get_mut(&key), asked),
        };
        (key, item)
    };
    cells.0.into_iter().map(item).collect()
}

fn named(names: &[&str], key: Vec<String>, figures: Value) -> Value {
    let mut item: Map<String, Value> =
        names.iter().zip(key).map(|(name, value)| ((*name).to_owned(), Value::String(value))).collect();
    if let Value::Object(figures) = figures {
        item.extend(figures);
    }
    Value::Object(item)
}

/// The name under which the headline durations are published (timeliness.md §2).
fn definition(asked: &Asked) -> &'static str {
    match DURATIONS[asked.duration].code {
        "T-ALL" => "OCT-REL",
        "T-DWELL" => "OCT-REM",
        other => other,
    }
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Import => "import",
        Direction::Export => "export",
    }
}

/// Hundredths as a number with two decimals.
fn number(figure: Option<Figure>) -> Option<f64> {
    figure.map(|f| f.0 as f64 / 100.0)
}

fn figures(cell: &mut Cell, base: Option<&mut Cell>, asked: &Asked) -> Value {
    let s = cell.durations.statistics();
    let q = quality(&cell.counts);
    let count = |n: u64| match asked.public && n > 0 && n < COUNT_MIN {
        true => json!(format!("<{COUNT_MIN}")),
        false => json!(n),
    };
    let mut out = json!({
        "n": count(s.n), "mean": number(s.mean), "p50": number(s.p50), "p80": number(s.p80),
        "p90": number(s.p90), "p95": number(s.p95), "geometric_mean": number(s.geometric), "clamped": s.clamped,
        "standard_deviation": number(s.deviation), "min": number(s.min), "max": number(s.max),
        "within_24h_percent": number(s.within_24h), "within_48h_percent": number(s.within_48h),
        "released": count(cell.counts.released), "enterprises": count(cell.traders.len() as u64),
        "coverage_percent": number(q.coverage), "completeness_percent": number(q.completeness),
        "consistency_percent": number(q.consistency), "overfull": cell.overfull,
    });
    if asked.public {
        // The extremes are single consignments.
        for name in ["min", "max", "clamped", "overfull"] {
            out.as_object_mut().map(|o| o.remove(name));
        }
    }
    if asked.compare.is_some() {
        let before = base.map(|c| c.durations.statistics()).unwrap_or_default();
        let changed = s.mean.and_then(|m| change(m.0, before.mean.map(|b| b.0), BasePolicy::Null));
        out["base_n"] = count(before.n);
        out["base_mean"] = json!(number(before.mean));
        out["mean_change_percent"] = json!(number(changed));
    }
    out
}

/// `GET /v1/platforms/{region}/statistics/samples`: consignments of the question, one by one, with milestones and flags.
pub async fn samples(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<StatisticsQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&query)?;
    if asked.public {
        return Err(ApiError::bad("consignments have no public view"));
    }
    let turn = turn(&api).await?;
    read_for(api, caller, name, request, FOR, move |p, scope| {
        let _turn = turn;
        let limit = query.limit.unwrap_or(100).clamp(1, PAGE_MAX);
        let after = query.page_token.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| ApiError::bad("page_token: not one of ours"))?;
        if scope.viewer().is_none_or(|v| v.reader().who == Who::Agency) {
            return Err(ApiError::forbidden("an agency is told figures, not consignments"));
        }
        let question = asked.question(asked.period, own_of(&scope));
        let mut followed = p.consignments()?;
        let rows = followed.store.rows_of(&question, after, limit);
        let next = (rows.len() == limit).then(|| rows.last().map(usize::to_string)).flatten();
        let rows: Vec<eport_timeliness::Row> = rows.iter().filter_map(|n| followed.store.row(*n)).collect();
        let basis = basis(p, &followed);
        drop(followed);
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            // Each is a document: it is shown where the rules show that.
            if p.admitted(&scope, &row.document)?.is_ok() {
                items.push(sample(row));
            }
        }
        Ok(Answer(json!({ "items": items, "next_page_token": next, "platforms": [basis] })))
    })
    .await
}

fn sample(row: eport_timeliness::Row) -> Value {
    let time = |seconds: &i64| rfc3339(Timestamp::from_millis(seconds.saturating_mul(1_000)));
    let times: BTreeMap<&str, String> =
        row.times.iter().map(|(code, at)| (code.as_str(), time(at))).collect();
    let seconds: BTreeMap<&str, u32> =
        DURATIONS.iter().zip(row.durations).filter_map(|(d, s)| s.map(|s| (d.code, s))).collect();
    let dimensions: BTreeMap<&str, &String> = DIMENSIONS.into_iter().zip(&row.dimensions).collect();
    json!({
        "doc_id": row.document, "direction": word(row.direction), "milestones": times, "durations_s": seconds,
        "dimensions": dimensions, "flags": row.flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_tells_is_put_together_as_it_was_and_bounded() {
        let told = |runs: Vec<(u32, u32)>| Told {
            basis: Basis {
                platform: "440100".parse().unwrap(),
                epoch: 1,
                index: 9,
                consignments: 3,
                unread: 0,
                overfull_keys: 0,
                events_not_used: 0,
            },
            cells: vec![ToldCell {
                key: vec!["5316".into()],
                runs,
                traders: BTreeMap::from([("A".to_owned(), 3)]),
                counts: [3, 3, 21, 20, 1],
                overfull: 0,
            }],
        };
        let cells = told(vec![(21_600, 2), (43_200, 1)]).cells().unwrap();
        let cell = &cells.0[&vec!["5316".to_owned()]];
        assert_eq!((cell.durations.len(), cell.durations.sum()), (3, 86_400));
        assert_eq!((cell.counts.samples, cell.counts.present), (3, 20));
        let refused = told(vec![(1, u32::MAX)]).cells().unwrap_err();
        assert!(serde_json::to_string(&refused.problem).unwrap().contains("durations"));
    }

    fn cell(traders: &[&str]) -> Cells {
        let mut cell = Cell { durations: Durations::new(vec![3_600; 12]), ..Cell::default() };
        cell.traders = traders.iter().map(|t| ((*t).to_owned(), 4)).collect();
        Cells(BTreeMap::from([(Vec::new(), cell)]))
    }

    #[test]
    fn the_public_is_not_told_of_one_enterprise_by_what_its_figures_are_compared_with() {
        let asked = |view: &str| {
            let uri = format!("/x?direction=import&month=2018-01&compare=yoy&view={view}");
            let query = axum::extract::Query::try_from_uri(&uri.parse::<Uri>().unwrap()).unwrap();
            Asked::of(&query.0).unwrap()
        };
        let compared = |view: &str, before: &[&str]| {
            let (_, item) = items(&asked(view), cell(&["A", "B", "C"]), cell(before)).remove(0);
            (item["base_n"].clone(), item["base_mean"].clone(), item["mean_change_percent"].clone())
        };
        assert_eq!(compared("public", &["A"]), (Value::Null, Value::Null, Value::Null));
        assert_eq!(compared("public", &["A", "B", "C"]), (json!(12), json!(1.0), json!(0.0)));
        assert_eq!(compared("full", &["A"]), (json!(12), json!(1.0), json!(0.0)));
    }
}

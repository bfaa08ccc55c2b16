//! What a person should see of catalogs: troubles of nodes, wrong bytes, withdrawn versions, clocks.

use crate::federation::Heard;
use crate::sheet::Sheet;
use crate::state::Api;
use eport_api_types::{Warning, rfc3339};
use eport_model::{Timestamp, codes};
use eport_registry::VersionState;
use eport_watch::metric;
use std::time::Duration;

/// A withdrawn version is told of for so long after it would have taken effect: a week.
const WITHDRAWN_TOLD_MS: i64 = 7 * 86_400_000;
/// A version that takes effect within this time makes a clock that is off worth an alarm: an hour.
const SOON_MS: i64 = 3_600_000;
/// Clocks that differ by more are off (`clock_skew_max`, design §3).
const SKEW_MAX_MS: i64 = 500;

/// Warnings of the whole federation.
pub(crate) fn warnings(api: &Api, heard: &Heard, chinese: bool) -> Vec<Warning> {
    let mut out = Vec::new();
    let mut say = |code: eport_model::Code, zh: String, en: String| {
        out.push(Warning { code: code.to_string(), text: if chinese { zh } else { en } });
    };
    for (node, (_, soft)) in heard {
        for (code, text) in &soft.catalog.troubles {
            say(*code, format!("{node}：{text}"), format!("{node}: {text}"));
        }
        for (peer, catalog) in &soft.catalog.quarantined {
            say(
                codes::CATALOG_WRONG_BYTES,
                format!("{node} 从 {peer} 收到错误的 {catalog} 数据，十分钟内不再向其请求"),
                format!(
                    "{node} got wrong bytes of {catalog} from {peer} and does not ask it again for ten minutes"
                ),
            );
        }
    }
    let (view, now) = (api.registry.state(), api.now());
    let mut soon: Option<(String, Timestamp)> = None;
    for id in view.state.catalogs() {
        for v in view.state.catalog_versions(id) {
            if let VersionState::Withdrawn { why, .. } = &v.state
                && now.as_millis() < v.effective.as_millis().saturating_add(WITHDRAWN_TOLD_MS)
            {
                say(
                    codes::TABLE_WITHDRAWN,
                    format!("{id} 版本 {} 已撤回：{why}", v.version),
                    format!("{id} version {} is withdrawn: {why}", v.version),
                );
            }
            let ahead = v.effective.as_millis() - now.as_millis();
            if v.keeps_content() && (-SKEW_MAX_MS..SOON_MS).contains(&ahead) {
                soon = Some((format!("{id} {}", v.version), v.effective));
            }
        }
    }
    if let Some((version, effective)) = soon {
        for (node, off_ms) in clocks_off(heard) {
            let at = rfc3339(effective);
            say(
                codes::TABLE_CLOCK,
                format!("{node} 的时钟偏差 {off_ms} 毫秒，而 {version} 将于 {at} 生效"),
                format!("the clock of {node} is {off_ms} ms off and {version} takes effect {at}"),
            );
        }
    }
    out
}

/// Nodes whose clock differs from the median of all by more than the limit, of at least three.
fn clocks_off(heard: &Heard) -> Vec<(eport_model::NodeId, i64)> {
    // What was said half a second ago is not known to the millisecond.
    offsets(heard).into_iter().filter(|(_, off)| off.abs() > SKEW_MAX_MS + 500).collect()
}

/// How far each clock is ahead of the median of all, in milliseconds; none where fewer than three are heard.
fn offsets(heard: &Heard) -> Vec<(eport_model::NodeId, i64)> {
    let clocks: Vec<_> = heard
        .iter()
        .filter(|(_, (age, _))| *age < Duration::from_secs(3))
        .map(|(n, (age, s))| (*n, s.wall.as_millis() + i64::try_from(age.as_millis()).unwrap_or(0)))
        .collect();
    let mut sorted: Vec<i64> = clocks.iter().map(|(_, at)| *at).collect();
    sorted.sort_unstable();
    let Some(median) = sorted.get(sorted.len() / 2).filter(|_| sorted.len() >= 3) else { return Vec::new() };
    clocks.iter().map(|(n, at)| (*n, at - median)).collect()
}

/// Now, as most nodes have it: a node whose clock is ahead answers nothing that is not in force yet.
pub(crate) fn agreed_now(api: &Api) -> Timestamp {
    let (own, me) = (api.now(), api.agent.me());
    let ahead = clocks_off(&crate::federation::heard(api)).into_iter().find(|(n, off)| *n == me && *off > 0);
    ahead.map_or(own, |(_, off)| own.plus_millis(-off))
}

/// Tables of which this node lacks the version in force.
fn late(api: &Api, held: &[eport_agent::TableSoft]) -> usize {
    let (view, now) = (api.registry.state(), api.now());
    let lacks = |id: &&eport_registry::TableId| {
        let name = id.to_string();
        let version = view.state.table_as_of(id, now);
        version.is_some_and(|v| !held.iter().any(|t| t.name == name && t.root == v.root))
    };
    view.state.tables().filter(lacks).count()
}

/// Gauges of this node.
pub(crate) fn metrics(api: &Api, sheet: &mut Sheet) {
    let own = api.agent.soft_state();
    sheet.put(&metric::TABLES_LATE, late(api, &own.tables));
    let soft = own.catalog;
    sheet.put(&metric::CATALOG_OBJECTS, soft.objects);
    sheet.put(&metric::CATALOG_BYTES, soft.bytes);
    sheet.put(&metric::CATALOG_DAMAGED, soft.damaged);
    sheet.put(&metric::CATALOG_COLLECTED, soft.collected);
    sheet.put(&metric::CATALOG_WRONG, soft.wrong);
    sheet.put(&metric::CATALOG_SCRUBBED, soft.scrubbed);
    // Fewer than three clocks have no median that could be told right from wrong.
    let me = api.agent.me();
    if let Some((_, off)) = offsets(&crate::federation::heard(api)).into_iter().find(|(n, _)| *n == me) {
        sheet.put(&metric::CLOCK_OFFSET, off as f64 / 1_000.0);
    }
}

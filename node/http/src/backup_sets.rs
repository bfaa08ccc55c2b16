//! The backups that nodes make by schedule, as each node tells of its own: shown for all of them at any node.

use crate::Caller;
use crate::auth::need;
use crate::federation::{Heard, heard};
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_agent::BackupSetSoft;
use eport_api_types::{Page, Warning, rfc3339};
use eport_model::NodeId;
use serde_json::{Value, json};

/// `GET /v1/backups`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let heard = heard(&api);
    let items = heard.iter().filter_map(|(node, (age, soft))| {
        soft.backup_set.as_ref().map(|set| item(*node, age.as_secs_f64(), set))
    });
    Ok(Answer(Page::<Value>::whole(items.collect())).into_response())
}

fn item(node: NodeId, age: f64, set: &BackupSetSoft) -> Value {
    let name = |seq: u64| format!("{seq:06}");
    let newest = set.newest.map(
        |m| json!({ "backup": name(m.seq), "created": rfc3339(m.at), "full": m.full, "bytes": m.bytes }),
    );
    let test = set.test.as_ref().map(|t| {
        json!({
            "backup": name(t.seq), "at": rfc3339(t.at), "passed": t.passed(), "records": t.records,
            "took_ms": t.took_ms, "fault": (!t.passed()).then_some(&t.fault),
        })
    });
    let troubles: Vec<Value> =
        set.troubles.iter().map(|(code, text)| json!({ "code": code.to_string(), "text": text })).collect();
    json!({
        "node": node, "told_s": age, "target": set.target, "schedule": set.schedule, "state": set.state,
        "newest": newest, "kept": set.kept, "due": rfc3339(set.due), "failures": set.failures,
        "restore_test": test, "passed_at": set.passed_at.map(rfc3339), "troubles": troubles,
    })
}

/// What is wrong with any node's backups.
pub(crate) fn warnings(heard: &Heard) -> Vec<Warning> {
    let of_node = |(node, (_, soft)): (&NodeId, &(_, eport_agent::SoftState))| {
        let troubles = soft.backup_set.iter().flat_map(|set| set.troubles.clone()).collect::<Vec<_>>();
        let node = *node;
        troubles
            .into_iter()
            .map(move |(code, text)| Warning { code: code.to_string(), text: format!("{node}: {text}") })
    };
    heard.iter().flat_map(of_node).collect()
}

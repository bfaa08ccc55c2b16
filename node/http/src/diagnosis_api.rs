//! `GET /v1/diagnosis`: this node's facts for `eport doctor`. It measures and judges nothing.

use crate::Caller;
use crate::auth::need;
use crate::extract::Query;
use crate::problem::ApiError;
use crate::state::Api;
use crate::system::version_info;
use axum::extract::State;
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{
    ClassFacts, CodedText, DiskFacts, NodeFacts, PeerFacts, RegistryFacts, ValidityFacts, rfc3339,
};
use eport_model::{Coded, NodeId, Timestamp};
use eport_wire::Purpose;
use futures::StreamExt;
use rustix::process::{Resource, getrlimit};
use serde::Deserialize;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for one empty question. A line that needs longer is cut for all that waits on it.
const REACH: Duration = Duration::from_secs(3);
/// Questions under way at once.
const ASKED_MAX: usize = 32;
/// Durable writes of one measurement; the shortest counts.
const WRITES: usize = 5;
/// Lines of the log in one answer.
const LOG_MAX: usize = 1_000;

/// What is wanted beside the facts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    log: usize,
}

/// `GET /v1/diagnosis`
pub async fn facts(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<NodeFacts>, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let (me, begun) = (api.agent.me(), Instant::now());
    let view = api.registry.state();
    let others: Vec<NodeId> =
        view.state.nodes().filter(|n| n.is_member() && n.id != me).map(|n| n.id).collect();
    // One measurement at a time: its writes must not wait for each other's.
    let measured = async {
        let _one = api.measuring.lock().await;
        let dir = api.config.data_dir.clone();
        tokio::task::spawn_blocking(move || disk(dir)).await
    };
    let reached =
        futures::stream::iter(others).map(|n| reach(&api, n)).buffered(ASKED_MAX).collect::<Vec<_>>();
    let (disk, peers) = tokio::join!(measured, reached);
    let soft = api.agent.soft_state();
    let (version, ready) = (version_info(api.agent.software(), api.now()), api.ready.borrow().clone());
    let limit = getrlimit(Resource::Nofile).current;
    let (from, to) = soft.certificate;
    let at = |ms: i64| rfc3339(Timestamp::from_millis(ms));
    let now = api.now();
    Ok(Answer(NodeFacts {
        node: me,
        site: view.state.node(me).map(|n| n.site),
        region: api.agent.home(),
        version: version.version,
        revision: version.revision,
        wire: version.wire,
        schema: version.schema,
        wall: rfc3339(now),
        busy_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        uptime_s: api.started.elapsed().as_secs_f64(),
        ready: ready.is_ok(),
        reasons: ready.err().into_iter().collect(),
        registry: RegistryFacts {
            index: view.index,
            term: api.registry.term(),
            leader: api.registry.leader(),
            voters: api.registry.voters(),
            news_s: api.agent.news_age().map(|a| a.as_secs_f64()),
        },
        peers,
        disk: disk.unwrap_or_else(|e| fault(e.to_string())),
        certificate: (to != 0).then(|| ValidityFacts { from: at(from), to: at(to) }),
        files_max: limit,
        clock_back_ms: api.desk.behind(now.as_millis()).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
        config: if wanted.log > 0 { eport_doctor::redact(&api.config.shown) } else { String::new() },
        log: api.config.log.tail(wanted.log.min(LOG_MAX)),
    }))
}

/// Asks a node for nothing over both classes of connections. Any answer will do, also of an older version.
async fn reach(api: &Api, node: NodeId) -> PeerFacts {
    let ask = |class: &'static str, purpose: Purpose| async move {
        let begun = Instant::now();
        let answer = api.transport.request(node, purpose, Bytes::new(), REACH).await;
        let took = begun.elapsed().as_secs_f64() * 1_000.0;
        let class = class.to_owned();
        match answer {
            Ok(_) => ClassFacts { class, took_ms: Some(took), fault: None },
            Err(e) => {
                let fault = CodedText { code: e.code().to_string(), text: e.to_string() };
                ClassFacts { class, took_ms: None, fault: Some(fault) }
            }
        }
    };
    let (control, bulk) = tokio::join!(ask("control", Purpose::Journal), ask("bulk", Purpose::Catalog));
    PeerFacts { node, classes: vec![control, bulk] }
}

fn fault(text: String) -> DiskFacts {
    DiskFacts { free_bytes: None, total_bytes: None, fsync_ms: None, fault: Some(text) }
}

fn disk(dir: PathBuf) -> DiskFacts {
    let stat = rustix::fs::statvfs(&dir).ok();
    let bytes = |blocks: u64, size: u64| blocks.saturating_mul(size);
    let free = stat.as_ref().map(|s| bytes(s.f_bavail, s.f_frsize));
    // A test lets a disk seem fuller than it is.
    let free = eport_failpoint::setting("disk.free").or(free);
    let total = stat.as_ref().map(|s| bytes(s.f_blocks, s.f_frsize));
    let path = dir.join("PROBE.diagnosis");
    let write = || -> std::io::Result<f64> {
        let mut file = std::fs::File::create(&path)?;
        let mut best = f64::INFINITY;
        for _ in 0..WRITES {
            let begun = Instant::now();
            file.write_all(&[0; 4_096])?;
            file.sync_data()?;
            best = best.min(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(best)
    };
    let wrote = write();
    let _ = std::fs::remove_file(&path);
    let (fsync_ms, fault) = match wrote {
        Ok(ms) => (Some(ms), None),
        Err(e) => (None, Some(e.to_string())),
    };
    DiskFacts { free_bytes: free, total_bytes: total, fsync_ms, fault }
}

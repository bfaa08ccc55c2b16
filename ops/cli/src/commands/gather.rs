//! Asks every node for its facts, and one for the federation: what `eport doctor` judges.

use crate::error::Error;
use eport_api_types::{BackupPlan, CodedText, FederationStatus, NodeFacts, NodeState, NodeStatus};
use eport_client::Client;
use eport_doctor::{Asked, Gathered, Unread};
use eport_model::Coded;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Longest wait for the facts of one node: it asks its peers for three seconds itself.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longest time for the exchanges of all platforms.
const EXCHANGES: Duration = Duration::from_secs(20);
/// Nodes asked at the same time.
const ASKED_MAX: usize = 32;

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(eport_failpoint::wall_offset_ms())
}

/// The members of the federation and where each answers.
pub(crate) fn members(status: &FederationStatus) -> Vec<&NodeStatus> {
    let gone = |n: &&NodeStatus| !matches!(n.state, NodeState::Removed | NodeState::Revoked);
    status.nodes.iter().filter(gone).collect()
}

/// What became of one question.
pub(crate) struct Answered<T> {
    /// When it left, by this machine's clock.
    pub sent_ms: i64,
    /// How long it took.
    pub took_ms: i64,
    /// The answer, or why there is none.
    pub answer: Result<T, Error>,
}

/// One question to each member, some at a time, answers in the order of the members: node, its answer or why there is none.
pub(crate) async fn ask_all<T: DeserializeOwned + Send + 'static>(
    client: &Client,
    nodes: &[(eport_model::NodeId, String)],
    path: &'static str,
    query: &[(&'static str, String)],
) -> Vec<Answered<T>> {
    let mut out: Vec<Option<Answered<T>>> = nodes.iter().map(|_| None).collect();
    let mut tasks = JoinSet::new();
    let mut waiting = nodes.iter().enumerate();
    loop {
        while tasks.len() < ASKED_MAX {
            let Some((at, (_, api))) = waiting.next() else { break };
            let (one, query) = (client.only(api).with_timeout(PATIENCE), query.to_vec());
            tasks.spawn(async move {
                let (sent_ms, begun) = (wall_ms(), Instant::now());
                let answer = one.get::<T>(path, &query).await.map_err(Error::from);
                let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
                (at, Answered { sent_ms, took_ms, answer })
            });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok((at, answer))) => {
                if let Some(place) = out.get_mut(at) {
                    *place = Some(answer);
                }
            }
            // A task that panicked is our own mistake; its node counts as silent.
            Some(Err(_)) => {}
        }
    }
    let lost = || {
        let answer = Err(Error::coded(eport_model::codes::INTERNAL, "the question was lost"));
        Answered { sent_ms: wall_ms(), took_ms: 0, answer }
    };
    out.into_iter().map(|o| o.unwrap_or_else(lost)).collect()
}

/// Everything that can be read. Fails only where no node says who the members are.
pub(crate) async fn gather(client: &Client, log_lines: usize) -> Result<Gathered, Error> {
    let status: FederationStatus = client.get("/v1/federation", &[]).await?;
    let nodes: Vec<_> = members(&status).iter().filter_map(|n| Some((n.node, n.api.clone()?))).collect();
    let answers =
        ask_all::<NodeFacts>(client, &nodes, "/v1/diagnosis", &[("log", log_lines.to_string())]).await;
    let mut g = Gathered::default();
    for ((node, api), Answered { sent_ms, took_ms, answer }) in nodes.into_iter().zip(answers) {
        let (facts, fault) = match answer {
            Ok(facts) => (Some(Box::new(facts)), None),
            Err(e) => (None, Some(CodedText { code: e.code().to_string(), text: e.to_string() })),
        };
        g.asked.push(Asked { node, api, sent_ms, took_ms, facts, fault });
    }
    match client.get::<BackupPlan>("/v1/plan/backups", &[]).await {
        Ok(plan) => g.promises = plan.warnings,
        Err(e) => unread(&mut g, "plan", &e.into()),
    }
    g.tails = list(client, &mut g, "/v1/tails", "tails").await.unwrap_or_default();
    g.approvals = list(client, &mut g, "/v1/approvals", "approvals").await.unwrap_or_default();
    g.backup_sets = list::<Value>(client, &mut g, "/v1/backups", "backups").await.map(|b| b.len());
    // Where the primary gave nothing there is a finding already; nobody waits for hundreds of them.
    let (patient, begun) = (client.with_timeout(PATIENCE), Instant::now());
    for p in &status.platforms {
        if begun.elapsed() > EXCHANGES || !g.facts().any(|f| f.node == p.primary) {
            let text = format!("the primary {} was not asked", p.primary);
            let code = eport_model::codes::PEER_UNREACHABLE.to_string();
            g.unread.push(Unread { what: format!("exchange of {}", p.region), code, text });
            continue;
        }
        match patient.get(&format!("/v1/platforms/{}/exchange", p.region), &[]).await {
            Ok(exchange) => g.exchange.push(exchange),
            Err(e) => unread(&mut g, &format!("exchange of {}", p.region), &e.into()),
        }
    }
    g.status = Some(status);
    Ok(g)
}

async fn list<T: DeserializeOwned>(
    client: &Client,
    g: &mut Gathered,
    path: &str,
    what: &str,
) -> Option<Vec<T>> {
    let items = match client.list(path, &[]).await {
        Ok(items) => items,
        Err(e) => {
            unread(g, what, &e.into());
            return None;
        }
    };
    match items.into_iter().map(serde_json::from_value).collect::<Result<Vec<T>, _>>() {
        Ok(items) => Some(items),
        Err(e) => {
            let code = eport_model::codes::API_UNREACHABLE.to_string();
            g.unread.push(Unread { what: what.to_owned(), code, text: e.to_string() });
            None
        }
    }
}

fn unread(g: &mut Gathered, what: &str, error: &Error) {
    let (code, text) = (error.code().to_string(), error.to_string());
    g.unread.push(Unread { what: what.to_owned(), code, text });
}

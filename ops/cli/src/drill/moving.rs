//! Moves of a drill: planned, carried out, followed, and tried again while the federation is not ready for them.

use crate::commands::moves;
use crate::drill::second;
use crate::error::Error;
use crate::output::Out;
use eport_api_types::{FederationStatus, MoveRequest, PlatformState, PlatformStatus};
use eport_client::Client;
use eport_model::codes::{
    DRILL_FAILED, MOVE_ABORTED, MOVE_RUNNING, MOVE_UNSAFE, PRIMARY_ANSWERS, VERSION_CONFLICT,
};
use eport_model::{Code, Coded, NodeId, RegionCode};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(100);
/// How often a move under way is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What only means "not yet": a check that will hold soon, a placement that has changed meanwhile, a move that gave up.
const NOT_YET: [Code; 5] = [MOVE_UNSAFE, PRIMARY_ANSWERS, VERSION_CONFLICT, MOVE_RUNNING, MOVE_ABORTED];

/// A planned move to a node.
pub fn planned(kind: &str, to: NodeId) -> MoveRequest {
    moves::request(kind, Some(to))
}

/// A failover from a primary that was stopped.
pub fn failover(to: Option<NodeId>) -> MoveRequest {
    MoveRequest { old_primary: Some("stopped".into()), ..moves::request("failover", to) }
}

/// The whole federation.
pub async fn status(client: &Client) -> Result<FederationStatus, Error> {
    Ok(client.get("/v1/federation", &[]).await?)
}

/// One platform of it.
pub async fn platform(client: &Client, region: RegionCode) -> Result<PlatformStatus, Error> {
    Ok(client.get(&format!("/v1/platforms/{region}"), &[]).await?)
}

/// Carries a move out, again and again until it is done or the time is over.
pub async fn carry_out(
    client: &Client,
    region: RegionCode,
    request: &MoveRequest,
    until: Instant,
    out: Out,
) -> Result<Value, Error> {
    loop {
        match once(client, region, request, until, out).await {
            Err(e) if worth_repeating(&e) && Instant::now() < until => tokio::time::sleep(AGAIN).await,
            result => return result,
        }
    }
}

fn worth_repeating(error: &Error) -> bool {
    NOT_YET.contains(&error.code()) || matches!(error, Error::Api(e) if e.may_retry())
}

async fn once(
    client: &Client,
    region: RegionCode,
    request: &MoveRequest,
    until: Instant,
    out: Out,
) -> Result<Value, Error> {
    let name = region.to_string();
    let document =
        |r: &MoveRequest| serde_json::to_value(r).map_err(|e| Error::coded(DRILL_FAILED, e.to_string()));
    let plan = client.plan_move(&name, &document(&MoveRequest { dry_run: true, ..request.clone() })?).await?;
    if let Some(reason) = plan["reason"].as_str() {
        // The reason of a plan begins with the code of the refusal.
        let (code, detail) = reason.split_once(": ").unwrap_or((reason, reason));
        return Err(Error::coded(code.parse().unwrap_or(MOVE_UNSAFE), detail));
    }
    let (request, statement) = moves::order(request.clone(), &plan, region)?;
    let id = match client.start_move(&name, &document(&request)?, &statement).await {
        Ok(begun) => begun["move_id"].as_str().unwrap_or_default().to_owned(),
        Err(error) => {
            second::person(client, error.into(), until, out).await?;
            begun_from(client, &name, &plan, until).await?
        }
    };
    let limit = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
    let last = client.follow_move(&name, &id, LOOK, limit, |_| {}).await?;
    match last["state"].as_str() {
        Some("done") => Ok(last),
        other => {
            let reason = last["reason"].as_str().unwrap_or_default();
            let detail = format!("the {} ended {}: {reason}", request.kind, other.unwrap_or("?"));
            Err(Error::coded(MOVE_ABORTED, detail))
        }
    }
}

/// The move that a plan became when its command was carried out for somebody else's word.
async fn begun_from(client: &Client, region: &str, plan: &Value, until: Instant) -> Result<String, Error> {
    let path = format!("/v1/platforms/{region}/moves");
    crate::drill::stop::wait_for(until, async || {
        let history: Value = client.get(&path, &[]).await.map_err(|e| e.to_string())?;
        let same = |m: &&Value| ["kind", "epoch_before", "from"].iter().all(|k| m[k] == plan[k]);
        let open = history["items"].as_array().into_iter().flatten().find(same);
        let id = open.and_then(|m| m["move_id"].as_str()).map(str::to_owned);
        id.ok_or_else(|| format!("no {} of platform {region} has begun", plan["kind"]))
    })
    .await
}

/// Waits for the automatic failover of a platform whose primary was killed.
pub async fn automatic(client: &Client, before: &PlatformStatus, until: Instant) -> Result<NodeId, Error> {
    crate::drill::stop::wait_for(until, async || {
        let now = platform(client, before.region).await.map_err(|e| e.to_string())?;
        if now.state == PlatformState::Active && now.epoch > before.epoch && now.primary != before.primary {
            return Ok(now.primary);
        }
        Err(format!("platform {} is {:?} at {} in epoch {}", now.region, now.state, now.primary, now.epoch))
    })
    .await
}

/// Moves a platform back to who served it before, unless it is there.
pub async fn back(
    client: &Client,
    region: RegionCode,
    home: NodeId,
    until: Instant,
    out: Out,
) -> Result<bool, Error> {
    let moved = crate::drill::stop::wait_for(until, async || {
        let now = platform(client, region).await.map_err(|e| e.to_string())?;
        match now.state {
            PlatformState::Active => Ok(now.primary != home),
            state => Err(format!("platform {region} is {state:?}")),
        }
    })
    .await?;
    if moved {
        carry_out(client, region, &planned("failback", home), until, out).await?;
    }
    Ok(moved)
}

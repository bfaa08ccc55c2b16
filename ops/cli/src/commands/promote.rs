//! `eport platform promote` and `demote`: a platform goes to nodes of its own, and back to a host.
//!
//! Two steps, each safe by itself: the target becomes a backup and takes the whole journal, then an ordinary planned move. A
//! terminal that dies between them leaves one backup more than before; the same command goes on from there.

use crate::commands::moves::{self, MoveArgs};
use crate::commands::policy;
use crate::error::Error;
use crate::output::{Out, cell};
use eport_api_types::{PolicyBackup, PolicyRequest};
use eport_client::Client;
use eport_model::codes::{MOVE_UNSAFE, NOT_FOUND, OVERLOADED, VERSION_CONFLICT};
use eport_model::{Coded, NodeId, RegionCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often the new backup is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often the move is planned again because the placement changed between plan and start.
const REPLANS: u32 = 5;

/// Where a platform goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To a node of its own region.
    Promote,
    /// To a node of another region, which hosts it.
    Demote,
}

impl Way {
    /// The kind of move that ends it: a node of another region is no promotion, but a switchover like any other.
    fn kind(self) -> &'static str {
        match self {
            Way::Promote => "promote",
            Way::Demote => "switchover",
        }
    }

    fn check(self, region: RegionCode, to: NodeId, home: &str) -> Result<(), Error> {
        let own = home == region.to_string();
        match (self, own) {
            (Way::Promote, true) | (Way::Demote, false) => Ok(()),
            (Way::Promote, false) => Err(Error::coded(
                MOVE_UNSAFE,
                format!(
                    "node {to} has its home at {home}: a platform becomes physical on a node of its own region"
                ),
            )),
            (Way::Demote, true) => Err(Error::coded(
                MOVE_UNSAFE,
                format!("node {to} is a home node of {region}: a host is a node of another region"),
            )),
        }
    }
}

/// Makes the target a backup where it is none, waits until it is in sync, and moves the platform there.
pub async fn run(
    client: &Client,
    region: RegionCode,
    to: NodeId,
    way: Way,
    flags: &MoveArgs,
    limit: Duration,
    out: Out,
) -> Result<(), Error> {
    let nodes = client.list("/v1/nodes", &[]).await?;
    let node = nodes.iter().find(|n| cell(n, "node") == to.to_string());
    let node = node.ok_or_else(|| Error::coded(NOT_FOUND, format!("there is no node {to}")))?;
    way.check(region, to, &cell(node, "region"))?;
    let before = policy::planned(client, region, &PolicyRequest::default()).await?;
    let backups: Vec<PolicyBackup> =
        serde_json::from_value(before.planned["policy"]["backups"].clone()).unwrap_or_default();
    let primary = cell(&before.platform, "primary");
    if primary != to.to_string() && !backups.iter().any(|b| b.node == to) {
        let bootstrap = steps(&before.platform, region, to, way);
        if flags.dry_run {
            out.result(&bootstrap, || text(&bootstrap, out));
            return Ok(());
        }
        if !out.json {
            out.progress(text(&bootstrap, out).trim_end());
        }
        out.confirm(("add the backup and move the platform to it?", "添加备份并将平台移至该节点？"))?;
        let mut all = backups;
        all.push(PolicyBackup { node: to, sync: true });
        let asked = PolicyRequest { backups: Some(all), ..PolicyRequest::default() };
        let plan = policy::planned(client, region, &asked).await?;
        policy::give(client, region, plan).await?;
    }
    if !flags.dry_run {
        caught_up(client, region, to, limit, out).await?;
    }
    // Other backups come into sync meanwhile, which changes the placement: the move is planned, shown and asked for again.
    let mut again = REPLANS;
    loop {
        let done = moves::run(client, region, moves::request(way.kind(), Some(to)), flags, limit, out).await;
        let Err(error) = done else { return Ok(()) };
        if ![VERSION_CONFLICT, MOVE_UNSAFE].contains(&error.code()) {
            return Err(error);
        }
        let now: Value = client.get(&format!("/v1/platforms/{region}"), &[]).await?;
        overtaken(region, &before.platform, &now)?;
        if again == 0 || error.code() == MOVE_UNSAFE {
            return Err(error);
        }
        again -= 1;
    }
}

/// What this command looked at first no longer holds when the platform has moved since: who moved it was someone else. That
/// the target cannot be moved to would be true then, and would say nothing of why.
fn overtaken(region: RegionCode, before: &Value, now: &Value) -> Result<(), Error> {
    let (was, is) = (cell(before, "epoch"), cell(now, "epoch"));
    if was == is {
        return Ok(());
    }
    let primary = cell(now, "primary");
    let detail = format!(
        "{region} has moved meanwhile, from epoch {was} to {is}, and its primary is {primary}: another operator or a failover was faster"
    );
    Err(Error::coded(VERSION_CONFLICT, detail))
}

/// What a promotion does before its move can be planned.
fn steps(platform: &Value, region: RegionCode, to: NodeId, way: Way) -> Value {
    let (from, records) = (cell(platform, "primary"), platform["records"].as_u64().unwrap_or(0));
    json!({
        "region": region, "kind": way.kind(), "from": from, "to": to,
        "epoch_before": platform["epoch"], "version": platform["version"], "state": "planned",
        "expected_loss": { "records": 0, "since": null },
        "plan": [
            format!("{to} becomes a backup of {region}"),
            format!("{to} takes the journal of {records} records and is in sync"),
            format!("planned move from {from} to {to}: its own plan is shown then"),
            format!("{from} follows as a backup"),
        ],
    })
}

fn text(plan: &Value, out: Out) -> String {
    let mut text = out.lang.pick((
        format!(
            "{} of {}: {} -> {}\n",
            cell(plan, "kind"),
            cell(plan, "region"),
            cell(plan, "from"),
            cell(plan, "to")
        ),
        format!(
            "{} {}：{} → {}\n",
            cell(plan, "region"),
            cell(plan, "kind"),
            cell(plan, "from"),
            cell(plan, "to")
        ),
    ));
    for (n, step) in plan["plan"].as_array().into_iter().flatten().enumerate() {
        text.push_str(&format!("  {}. {}\n", n + 1, step.as_str().unwrap_or("")));
    }
    text.push_str(out.lang.pick(("  expected loss: none\n", "  预计丢失：无\n")));
    text
}

/// Waits until the node follows closely enough to take the platform over. Gives up when nothing was gained for `limit`;
/// what was copied stays, and the node goes on by itself.
async fn caught_up(
    client: &Client,
    region: RegionCode,
    to: NodeId,
    limit: Duration,
    out: Out,
) -> Result<(), Error> {
    let (mut best, mut gained) = (u64::MAX, Instant::now());
    loop {
        let platform: Value = client.get(&format!("/v1/platforms/{region}"), &[]).await?;
        if cell(&platform, "primary") == to.to_string() {
            return Ok(());
        }
        let backup =
            platform["backups"].as_array().into_iter().flatten().find(|b| cell(b, "node") == to.to_string());
        let lag = backup.and_then(|b| b["lag_records"].as_u64());
        let waits_for_sync = cell(&platform, "durability") != "async";
        let in_sync = backup.is_some_and(|b| b["in_sync"] == true);
        if lag == Some(0) && (in_sync || !waits_for_sync) {
            return Ok(());
        }
        if let Some(lag) = lag.filter(|lag| *lag < best) {
            (best, gained) = (lag, Instant::now());
            out.say(format!("  {to} is {lag} records behind"), format!("  {to} 落后 {lag} 条"));
        }
        if gained.elapsed() > limit {
            let detail = format!(
                "{to} is not in sync with {region} and gained nothing for {} s; it goes on by itself, repeat the command later",
                limit.as_secs()
            );
            return Err(Error::coded(OVERLOADED, detail));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_becomes_physical_only_at_home_and_is_hosted_only_elsewhere() {
        let (region, to) = ("440500".parse().unwrap(), "st-a-1".parse().unwrap());
        assert!(Way::Promote.check(region, to, "440500").is_ok());
        assert!(Way::Promote.check(region, to, "440000").is_err());
        assert!(Way::Demote.check(region, to, "440000").is_ok());
        assert!(Way::Demote.check(region, to, "440500").is_err());
    }

    #[test]
    fn the_plan_names_what_is_copied_and_that_nothing_is_lost() {
        let platform = json!({ "primary": "gz-a-1", "records": 517, "epoch": 3, "version": 9 });
        let plan = steps(&platform, "440500".parse().unwrap(), "st-a-1".parse().unwrap(), Way::Promote);
        assert!(plan["plan"][1].as_str().unwrap().contains("517 records"));
        assert_eq!((&plan["expected_loss"]["records"], &plan["from"]), (&json!(0), &json!("gz-a-1")));
    }

    #[test]
    fn whoever_was_overtaken_by_another_move_is_told_of_a_conflict_and_who_was_not_is_not() {
        let region = "440500".parse().unwrap();
        let at = |epoch: u64, primary: &str| json!({ "epoch": epoch, "primary": primary });
        assert!(overtaken(region, &at(3, "st-a-1"), &at(3, "st-a-1")).is_ok());
        let told = overtaken(region, &at(3, "st-a-1"), &at(4, "gz-a-1")).unwrap_err();
        assert_eq!((told.code(), told.exit()), (VERSION_CONFLICT, 4));
        assert!(told.to_string().contains("its primary is gz-a-1"), "{told}");
    }
}

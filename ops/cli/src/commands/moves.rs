//! Moves of a platform: plan, checks and expected loss first, then the question, then every step until the end.

use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, ValueEnum};
use eport_api_types::MoveRequest;
use eport_client::{Client, Statement};
use eport_model::codes::MOVE_UNSAFE;
use eport_model::{NodeId, RegionCode};
use eport_registry::{MoveKind, statement};
use serde_json::Value;
use std::time::Duration;

/// How often a running move is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Flags of every move.
#[derive(Args, Debug, Clone, Copy)]
pub struct MoveArgs {
    /// Only show the plan
    #[arg(long)]
    pub dry_run: bool,
    /// Return when the move has begun; platform history shows its end
    #[arg(long, conflicts_with = "dry_run")]
    pub no_wait: bool,
}

/// `--old-primary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OldPrimary {
    /// It was stopped and stays so
    Stopped,
    /// It cannot be reached and may still run
    Unreachable,
}

impl OldPrimary {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            OldPrimary::Stopped => "stopped",
            OldPrimary::Unreachable => "unreachable",
        }
    }
}

/// A request of this kind.
pub fn request(kind: &str, to: Option<NodeId>) -> MoveRequest {
    MoveRequest {
        kind: kind.to_owned(),
        to,
        dry_run: false,
        expected_version: None,
        old_primary: None,
        accept_data_loss: false,
    }
}

/// What is known of the old primary: the flag, else the answer to the question. Nothing is guessed.
pub fn old_primary(given: Option<OldPrimary>, region: RegionCode, out: Out) -> Result<OldPrimary, Error> {
    if let Some(given) = given {
        return Ok(given);
    }
    let question = (
        format!("is the old primary of {region} stopped, or only unreachable (it may still run)?"),
        format!("{region} 的原主节点已停止，还是仅不可达（可能仍在运行）？"),
    );
    let missing =
        "give --old-primary stopped|unreachable: a failover must know whether the old primary may still run";
    let word = out.choose((&question.0, &question.1), &["stopped", "unreachable"], missing)?;
    Ok(if word == "stopped" { OldPrimary::Stopped } else { OldPrimary::Unreachable })
}

/// Plans, shows, asks, runs and follows a move.
pub async fn run(
    client: &Client,
    region: RegionCode,
    request: MoveRequest,
    flags: &MoveArgs,
    limit: Duration,
    out: Out,
) -> Result<(), Error> {
    let name = region.to_string();
    let dry = MoveRequest { dry_run: true, ..request.clone() };
    let plan = client.plan_move(&name, &document(&dry)?).await?;
    if flags.dry_run {
        out.result(&plan, || plan_text(&plan, out));
        return refuse_unsafe(&plan, true);
    }
    if !out.json {
        out.progress(plan_text(&plan, out).trim_end());
    }
    refuse_unsafe(&plan, false)?;
    out.confirm(("carry out this plan?", "执行该计划？"))?;
    let (run, statement) = order(request, &plan, region)?;
    let begun = client.start_move(&name, &document(&run)?, &statement).await?;
    let last = if flags.no_wait { begun } else { follow(client, &name, begun, limit, out).await? };
    out.result(&last, || summary(&last, out));
    match last.get("state").and_then(Value::as_str) {
        Some("aborted" | "failed") => Err(Error::Exit(exit::FAILED)),
        _ => Ok(()),
    }
}

/// The request that carries out a plan, and what is signed for it: the version and the target that were shown.
pub fn order(
    request: MoveRequest,
    plan: &Value,
    region: RegionCode,
) -> Result<(MoveRequest, Statement), Error> {
    let version = plan.get("version").and_then(Value::as_u64);
    let version = version.ok_or_else(|| Error::coded(MOVE_UNSAFE, "the plan names no placement version"))?;
    let mut run = MoveRequest { expected_version: Some(version), ..request };
    if run.kind == "failover" {
        let old = match run.old_primary.as_deref() {
            Some("stopped") => eport_registry::OldPrimary::Stopped,
            _ => eport_registry::OldPrimary::Unreachable,
        };
        let statement = statement::failover(region, version, run.to, old, run.accept_data_loss);
        return Ok((run, statement));
    }
    let to = plan.get("to").and_then(Value::as_str).and_then(|to| to.parse().ok()).or(run.to);
    let to = to.ok_or_else(|| Error::coded(MOVE_UNSAFE, "the plan names no target"))?;
    if run.to.is_some_and(|asked| asked != to) {
        return Err(Error::coded(
            MOVE_UNSAFE,
            format!("the plan goes to {to}, not where it was asked to go"),
        ));
    }
    run.to = Some(to);
    let kind = match run.kind.as_str() {
        "failback" => MoveKind::Failback,
        "promote" => MoveKind::Promote,
        _ => MoveKind::Switchover,
    };
    Ok((run, statement::switchover(region, version, kind, to)))
}

fn document(request: &MoveRequest) -> Result<Value, Error> {
    serde_json::to_value(request).map_err(|e| Error::usage(e.to_string()))
}

async fn follow(
    client: &Client,
    region: &str,
    begun: Value,
    limit: Duration,
    out: Out,
) -> Result<Value, Error> {
    let Some(id) = begun.get("move_id").and_then(Value::as_str).map(str::to_owned) else { return Ok(begun) };
    if matches!(begun.get("state").and_then(Value::as_str), Some("done" | "aborted" | "failed")) {
        return Ok(begun);
    }
    let mut said = String::new();
    let seen = |m: &Value| {
        let now = match m.get("reason").and_then(Value::as_str) {
            Some(reason) => format!("{}: {reason}", cell(m, "state")),
            None => cell(m, "state"),
        };
        if now != said {
            out.progress(format!("  {now}"));
            said = now;
        }
    };
    Ok(client.follow_move(region, &id, LOOK_EVERY, limit, seen).await?)
}

/// A plan that is refused ends before anything is asked. The node that planned has judged its checks: one that does not
/// hold may be information, or a loss that was accepted. When the plan is printed already, only the exit code is left to say.
fn refuse_unsafe(plan: &Value, printed: bool) -> Result<(), Error> {
    let Some(reason) = plan.get("reason").and_then(Value::as_str) else { return Ok(()) };
    // The reason of a plan begins with the code of the refusal.
    let (code, detail) = reason.split_once(": ").unwrap_or((reason, reason));
    let error = Error::coded(code.parse().unwrap_or(MOVE_UNSAFE), detail);
    Err(if printed { Error::Exit(error.exit()) } else { error })
}

fn checks(plan: &Value) -> Vec<Value> {
    plan.get("checks").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Topology, steps, checks and expected loss of a plan.
pub fn plan_text(plan: &Value, out: Out) -> String {
    let lang = out.lang;
    let mut text = lang.pick((
        format!(
            "{} of {}: {} -> {}, epoch {} -> {} (placement version {})\n",
            cell(plan, "kind"),
            cell(plan, "region"),
            cell(plan, "from"),
            cell(plan, "to"),
            cell(plan, "epoch_before"),
            cell(plan, "epoch_after"),
            cell(plan, "version")
        ),
        format!(
            "{} {}：{} → {}，纪元 {} → {}（放置版本 {}）\n",
            cell(plan, "region"),
            cell(plan, "kind"),
            cell(plan, "from"),
            cell(plan, "to"),
            cell(plan, "epoch_before"),
            cell(plan, "epoch_after"),
            cell(plan, "version")
        ),
    ));
    for (n, step) in plan.get("plan").and_then(Value::as_array).into_iter().flatten().enumerate() {
        text.push_str(&format!("  {}. {}\n", n + 1, step.as_str().unwrap_or("")));
    }
    let mut table = Table::new(["", "", ""]);
    for c in checks(plan) {
        let mark = if c["ok"] == true { "ok" } else { "FAILS" };
        table.row([format!("  {mark}"), cell(&c, "name"), cell(&c, "detail")]);
    }
    text.push_str(&table.render());
    text.push_str(&loss_text(plan.get("expected_loss"), lang.pick((false, true))));
    text
}

fn loss_text(loss: Option<&Value>, chinese: bool) -> String {
    let loss = loss.cloned().unwrap_or(Value::Null);
    let records = loss.get("records").and_then(Value::as_u64);
    let since = loss.get("since").and_then(Value::as_str);
    match (records, since, chinese) {
        (Some(0), _, false) => "  expected loss: none\n".into(),
        (Some(0), _, true) => "  预计丢失：无\n".into(),
        (Some(n), since, false) => format!(
            "  expected loss: {n} acknowledged records{}\n",
            since.map(|s| format!(" since {s}")).unwrap_or_default()
        ),
        (Some(n), since, true) => format!(
            "  预计丢失：{n} 条已确认记录{}\n",
            since.map(|s| format!("（自 {s}）")).unwrap_or_default()
        ),
        (None, since, false) => format!("  expected loss: unknown since {}\n", since.unwrap_or("-")),
        (None, since, true) => format!("  预计丢失：自 {} 起未知\n", since.unwrap_or("-")),
    }
}

fn summary(last: &Value, out: Out) -> String {
    let head = out.lang.pick((
        format!(
            "{} {}: primary {}, epoch {}",
            cell(last, "kind"),
            cell(last, "state"),
            cell(last, "to"),
            cell(last, "epoch_after")
        ),
        format!(
            "{} {}：主节点 {}，纪元 {}",
            cell(last, "kind"),
            cell(last, "state"),
            cell(last, "to"),
            cell(last, "epoch_after")
        ),
    ));
    let reason = last.get("reason").and_then(Value::as_str).map(|r| format!("\n  {r}")).unwrap_or_default();
    format!("{head}{reason}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Lang;
    use serde_json::json;

    fn plan(ok: bool) -> Value {
        json!({"kind": "failover", "region": "440300", "from": "sz-a-1", "to": "gz-a-1", "epoch_before": 1, "epoch_after": 2,
               "version": 7, "plan": ["reserve", "seal"], "expected_loss": {"records": 0, "since": null},
               "checks": [{"name": "quorum", "ok": ok, "detail": "2 of 2 in-sync backups answer"}]})
    }

    #[test]
    fn a_plan_shows_topology_steps_checks_and_loss() {
        let out = Out { json: false, lang: Lang::En, yes: true };
        let text = plan_text(&plan(true), out);
        assert!(
            text.starts_with("failover of 440300: sz-a-1 -> gz-a-1, epoch 1 -> 2 (placement version 7)\n")
        );
        assert!(
            text.contains("  2. seal\n")
                && text.contains("quorum")
                && text.ends_with("expected loss: none\n"),
            "{text}"
        );
        let unknown = loss_text(Some(&json!({"records": null, "since": "2018-01-10T00:00:00Z"})), false);
        assert_eq!(unknown, "  expected loss: unknown since 2018-01-10T00:00:00Z\n");
    }

    #[test]
    fn what_is_signed_is_the_version_and_target_that_were_shown() {
        let region = "440300".parse().unwrap();
        let shown = json!({"version": 7, "to": "gz-a-1", "kind": "failback"});
        let (run, signed) = order(request("failback", None), &shown, region).unwrap();
        assert_eq!(
            (run.to, run.expected_version),
            ("gz-a-1".parse().ok(), Some(7)),
            "the node may choose no other"
        );
        let op = |kind| eport_registry::Op::OpenSwitchover {
            region,
            move_id: eport_model::MoveId([1; 16]),
            kind,
            to: "gz-a-1".parse().unwrap(),
            within_ms: 9,
            expected_version: 7,
            plan: eport_registry::Plan {
                region,
                kind,
                from: "sz-a-1".parse().unwrap(),
                to: None,
                version: 7,
                steps: vec![],
                checks: vec![],
                expected_loss: eport_registry::ExpectedLoss::default(),
                refused: None,
            },
        };
        assert_eq!(signed, op(MoveKind::Failback).statement(), "what the registry will apply");
        assert_ne!(signed, op(MoveKind::Promote).statement());
        let elsewhere = order(request("switchover", "gz-c-1".parse().ok()), &shown, region);
        assert!(elsewhere.is_err(), "a plan to another node is not carried out");
    }

    #[test]
    fn a_refused_plan_ends_with_the_exit_of_its_reason_and_a_check_that_only_informs_does_not() {
        assert!(refuse_unsafe(&plan(true), false).is_ok());
        assert!(
            refuse_unsafe(&plan(false), false).is_ok(),
            "the node accepted this plan, for example with --accept-data-loss"
        );
        let mut lossy = plan(false);
        lossy["reason"] = "EP2103: about 3 acknowledged records may be lost".into();
        assert_eq!(refuse_unsafe(&lossy, true).unwrap_err().exit(), 7);
        let mut refused = plan(true);
        refused["reason"] = "EP2004: node xx is not known".into();
        let error = refuse_unsafe(&refused, false).unwrap_err();
        assert_eq!((error.exit(), error.to_string().as_str()), (3, "node xx is not known"));
    }
}

//! Coordinating failovers: while this node leads the registry it carries out what `moves::next_step` says.
//!
//! It keeps nothing that another node would need: seals and copies may be asked for again, and every commit is
//! compare-and-set on the placement version. So a leader that dies at any step is followed by one that starts over.

use crate::node::Agent;
use eport_journal::{Message, SealReport};
use eport_model::{MoveId, NodeId, RegionCode};
use eport_moves::{FailoverLimits, Observed, SealedFact, Step, next_step};
use eport_registry::{OldPrimary, Op, PlacementState, State};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::{error, info, warn};

/// A step is looked at again after this time, or when a report or a registry change arrives.
const TICK: Duration = Duration::from_millis(100);
/// How long a failover waits for reachable candidates beyond those it needs.
const SEAL_PATIENCE_MS: i64 = 700;
/// How long it waits for laggards to copy, so that they are named in sync.
const COPY_PATIENCE_MS: i64 = 5_000;
/// A copy order is repeated only after this time: each one starts the laggard's follow again.
const COPY_REPEAT: Duration = Duration::from_millis(1_000);
/// How long one registry command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// Seal reports that arrived, by platform and node.
#[derive(Default)]
pub(crate) struct SealReports {
    reports: Mutex<BTreeMap<(RegionCode, NodeId), SealReport>>,
    news: Notify,
}

impl SealReports {
    pub(crate) fn put(&self, region: RegionCode, from: NodeId, report: SealReport) {
        self.lock().insert((region, from), report);
        self.news.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(RegionCode, NodeId), SealReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, region: RegionCode) -> BTreeMap<NodeId, SealedFact> {
        let reports = self.lock();
        let mine = reports.iter().filter(|((r, _), _)| *r == region);
        mine.map(|((_, node), r)| {
            (
                *node,
                SealedFact {
                    epoch: r.epoch,
                    move_id: r.move_id,
                    last: r.last,
                    applied: r.applied,
                    heard: r.heard,
                    whole: r.whole,
                },
            )
        })
        .collect()
    }

    fn forget(&self, region: RegionCode, node: Option<NodeId>) {
        self.lock().retain(|(r, n), _| *r != region || node.is_some_and(|node| node != *n));
    }
}

/// One failover as this coordinator has worked on it.
struct Case {
    since: Instant,
    noted: &'static str,
    copying: BTreeMap<NodeId, Instant>,
}

/// Runs until the node stops.
pub(crate) async fn follow(agent: Agent) {
    let mut changes = agent.registry().changes();
    let mut cases: BTreeMap<MoveId, Case> = BTreeMap::new();
    loop {
        let running = recovering(&agent.registry().state().state);
        if running.is_empty() || !agent.registry().is_leader() {
            cases.clear();
            // Leadership changes without a registry change: look again after a tick while something is recovering.
            let idle = async {
                match running.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(TICK).await,
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = idle => {}
            }
            continue;
        }
        for (region, move_id) in running {
            let case = cases.entry(move_id).or_insert_with(|| {
                agent.reports().forget(region, None);
                Case { since: Instant::now(), noted: "", copying: BTreeMap::new() }
            });
            work(&agent, region, move_id, case).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = agent.reports().news.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

fn recovering(state: &State) -> Vec<(RegionCode, MoveId)> {
    state
        .placements()
        .filter_map(|p| match p.state {
            PlacementState::Recovering { move_id, .. } => Some((p.region, move_id)),
            _ => None,
        })
        .collect()
}

async fn work(agent: &Agent, region: RegionCode, move_id: MoveId, case: &mut Case) {
    let view = agent.registry().state();
    let now = agent.clock().wall();
    let mut observed = Observed::new(&view.state, now);
    observed.reachable = agent.transport().connected().borrow().clone();
    observed.reachable.insert(agent.me());
    // A killed process keeps its connection until the idle timeout; the operator knows better and said so.
    let movement = view.state.movement(move_id);
    if let Some(m) = movement.filter(|m| m.old_primary == Some(OldPrimary::Stopped)) {
        observed.reachable.remove(&m.from);
    }
    observed.sealed = agent.reports().of(region);
    drop_forgetful(agent, region, &mut observed);
    // Patience runs on the monotonic clock; the core compares instants of whatever clock it is given.
    let worked = i64::try_from(case.since.elapsed().as_millis()).unwrap_or(i64::MAX);
    let limits = FailoverLimits {
        seal_until: now.plus_millis(SEAL_PATIENCE_MS - worked),
        copy_until: now.plus_millis(COPY_PATIENCE_MS - worked),
    };
    let step = next_step(&observed, move_id, limits);
    let version = view.state.placement(region).map_or(0, |p| p.version);
    note(agent, move_id, &step, case).await;
    ask_copiers_again(agent, region, move_id, version, case);
    match &step {
        Step::SealCandidates { epoch, nodes } => {
            eport_failpoint::point!("coordinator.seal.before", region);
            for node in nodes {
                agent.send_move(*node, region, version, Message::Seal { epoch: *epoch, move_id });
            }
        }
        Step::Copy { epoch, orders } => {
            eport_failpoint::point!("coordinator.copy.before", region);
            for order in orders {
                if case.copying.get(&order.laggard).is_some_and(|at| at.elapsed() < COPY_REPEAT) {
                    continue;
                }
                case.copying.insert(order.laggard, Instant::now());
                let message = Message::Copy { epoch: *epoch, move_id, source: order.source, to: order.to };
                agent.send_move(order.laggard, region, version, message);
                // The laggard reports by itself when it is there; until then it is asked like everybody who has not reported.
                agent.reports().forget(region, Some(order.laggard));
            }
        }
        Step::Alarm { one, other } => {
            error!(%region, %move_id, one = ?one, other = ?other, "two candidates disagree at the same place");
        }
        Step::WaitSeals { .. } | Step::Finished { .. } => {}
        Step::Commit { .. } | Step::ConfirmOldPrimary { .. } | Step::Fail { .. } => {
            let Some(op) = step.command(region, move_id) else { return };
            let command = agent.command(step.name(), op);
            eport_failpoint::point!(format!("coordinator.{}.before", step.name()), region);
            let answered = agent.registry().propose(command, COMMAND_TIMEOUT).await;
            eport_failpoint::point!(format!("coordinator.{}.after", step.name()), region);
            match answered {
                Ok(outcome) => info!(%region, %move_id, ?outcome, step = step.name(), "failover step done"),
                Err(error) => warn!(%region, %move_id, %error, step = step.name(), "failover step not done"),
            }
        }
    }
}

/// An answer of a node that has less than its old primary knew it to have acknowledged proves nothing: an old copy of its data
/// was put back there, or it lost its disk. It counts like no answer.
fn drop_forgetful(agent: &Agent, region: RegionCode, observed: &mut Observed<'_>) {
    let Some((epoch, start)) = observed.state.placement(region).map(|p| (p.epoch, p.start)) else { return };
    let mut known: BTreeMap<NodeId, eport_model::JournalIndex> = BTreeMap::new();
    for (_, (_, soft)) in agent.board().all() {
        let told = soft.platforms.into_iter().filter(|p| p.region == region && p.epoch == epoch);
        for backup in told.flat_map(|p| p.backups) {
            let acked = known.entry(backup.node).or_default();
            *acked = (*acked).max(backup.slot.acked);
        }
    }
    observed.sealed.retain(|node, fact| {
        let acked = known.get(node).copied().unwrap_or_default();
        // It acknowledged records of this epoch: a journal that ends in an earlier one lacks them, however long it is.
        let older = fact.last.epoch < epoch && acked > start.index;
        let holds = fact.last.index >= acked && !older;
        if !holds {
            warn!(%region, %node, last = %fact.last, %acked, code = %eport_model::codes::ROLLED_BACK, "answer of a node that has lost records");
        }
        holds
    });
}

/// A laggard that was sent copying reports by itself when it is there. One that was lost meanwhile, or whose report was, is
/// asked again, or the failover would wait for a report that nobody sends.
fn ask_copiers_again(agent: &Agent, region: RegionCode, move_id: MoveId, version: u64, case: &Case) {
    let view = agent.registry().state();
    let Some(PlacementState::Recovering { epoch, .. }) = view.state.placement(region).map(|p| p.state) else {
        return;
    };
    let reported = agent.reports().of(region);
    for (node, since) in &case.copying {
        if since.elapsed() >= COPY_REPEAT && !reported.contains_key(node) {
            agent.send_move(*node, region, version, Message::Seal { epoch, move_id });
        }
    }
}

/// Writes each new step into the move's record once, for `platform history`.
async fn note(agent: &Agent, move_id: MoveId, step: &Step, case: &mut Case) {
    if case.noted == step.name() {
        return;
    }
    case.noted = step.name();
    let detail = match step {
        Step::SealCandidates { nodes, .. } => format!("asked {}", join(nodes)),
        Step::WaitSeals { have, need, missing } => {
            format!("{have} of {need} answers; missing {}", join(missing))
        }
        Step::Copy { orders, .. } => orders
            .iter()
            .map(|o| format!("{} from {} to {}", o.laggard, o.source, o.to))
            .collect::<Vec<_>>()
            .join("; "),
        Step::Commit { primary, start, in_sync, .. } => {
            format!("{primary} at {start}, in sync: {}", join(in_sync))
        }
        Step::ConfirmOldPrimary { start, .. } => format!("old primary at {start}"),
        Step::Fail { missing, .. } => format!("missing {}", join(missing)),
        Step::Alarm { one, other } => format!("{} {} against {} {}", one.0, one.1, other.0, other.1),
        Step::Finished { .. } => return,
    };
    info!(%move_id, step = step.name(), %detail, "failover");
    let command = agent
        .command("step of a failover", Op::NoteMoveStep { move_id, name: step.name().to_owned(), detail });
    let registry = agent.registry().clone();
    // The log of steps is for people; the move itself never waits for it.
    tokio::spawn(async move {
        if let Err(error) = registry.propose(command, COMMAND_TIMEOUT).await {
            warn!(%move_id, %error, "step of a failover not noted");
        }
    });
}

fn join(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

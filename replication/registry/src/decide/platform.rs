//! Rules about platforms and their policies.

use super::check::{self, invalid};
use super::sync::{degrade_k, staying};
use super::{Decision, epoch};
use crate::rows::Row;
use crate::{
    Backup, Command, DurabilityMode, EpochRecord, FailoverMode, Isolation, Op, Outcome, Placement,
    PlacementState, Policy, PolicyBackup, Refusal, Role, State,
};
use eport_model::{Durability, Epoch, MoveId, NodeId, Position, RegionCode};

/// Most backups of one platform.
const BACKUPS_MAX: usize = 16;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    check::operator(c)?;
    match &c.op {
        Op::CreatePlatform { region, name_zh, name_en, primary, backups, policy } => {
            check::bounded("name_zh", name_zh)?;
            check::bounded("name_en", name_en)?;
            let placement = create(state, c, *region, *primary, *policy, backups)?;
            finish_create(
                state,
                Placement { name_zh: name_zh.clone(), name_en: name_en.clone(), ..placement },
            )
        }
        Op::SetPolicy { region, version, policy, backups } => {
            set_policy(state, *region, *version, *policy, backups)
        }
        Op::SetStopped { region, version, stopped } => set_stopped(state, *region, *version, *stopped),
        _ => Err(Refusal::Rule("not a command about a platform".to_owned())),
    }
}

/// The answer and row of a changed placement.
pub(super) fn placed(mut placement: Placement) -> Decision {
    placement.version = placement.version.saturating_add(1);
    let outcome = Outcome::Placed { version: placement.version, epoch: placement.epoch };
    Ok((outcome, vec![Row::Placement(placement)]))
}

fn create(
    state: &State,
    c: &Command,
    region: RegionCode,
    primary: NodeId,
    policy: Policy,
    named: &[PolicyBackup],
) -> Result<Placement, Refusal> {
    check::fit(state, primary)?;
    let policy = checked(state, primary, policy, named, &[])?;
    let mut backups: Vec<Backup> = named.iter().map(fresh).collect();
    backups.sort_by_key(|b| b.node);
    // Nothing is proven until the primary says so: before that its EpochStart, and what it answered from it, is nowhere else,
    // and a failover without the primary would begin a second history beside it.
    let founding = EpochRecord {
        epoch: Epoch::INITIAL,
        primary,
        start: Position::ZERO,
        reason: c.reason.clone(),
        move_id: MoveId::default(),
        at: c.at,
    };
    Ok(Placement {
        region,
        name_zh: String::new(),
        name_en: String::new(),
        version: 1,
        epoch: Epoch::INITIAL,
        last_epoch: Epoch::INITIAL,
        primary,
        start: Position::ZERO,
        backups,
        policy,
        proven_k: 0,
        start_k: 0,
        seen: true,
        degrade_k: 0,
        state: PlacementState::Active,
        history: vec![founding],
    })
}

/// Stores a new platform with its first block of numbers; an identical one that nothing has changed yet is done already.
fn finish_create(state: &State, placement: Placement) -> Decision {
    let outcome = Outcome::Placed { version: placement.version, epoch: placement.epoch };
    if let Some(known) = state.placement(placement.region) {
        // The founding instant is that of the first command; a repeated one may carry another.
        let mut same = placement;
        same.history.iter_mut().zip(&known.history).for_each(|(mine, theirs)| mine.at = theirs.at);
        return if *known == same {
            Ok((outcome, vec![]))
        } else {
            Err(Refusal::AlreadyExists { what: "platform".into(), name: known.region.to_string() })
        };
    }
    let block = epoch::next_block(state, placement.region, placement.epoch);
    Ok((outcome, vec![Row::Placement(placement), Row::Numbers(block)]))
}

fn fresh(named: &PolicyBackup) -> Backup {
    Backup { node: named.node, role: named.role, in_sync: false, level: false, leaving: false }
}

/// A policy that the federation can keep, with `k` set to 0 under `async`.
fn checked(
    state: &State,
    primary: NodeId,
    mut policy: Policy,
    named: &[PolicyBackup],
    known: &[Backup],
) -> Result<Policy, Refusal> {
    if named.len() > BACKUPS_MAX {
        return Err(invalid("backups", format!("at most {BACKUPS_MAX} are allowed")));
    }
    for (i, b) in named.iter().enumerate() {
        if b.node == primary {
            return Err(invalid("backups", format!("{} is the primary", b.node)));
        }
        if named[..i].iter().any(|other| other.node == b.node) {
            return Err(invalid("backups", format!("{} is named twice", b.node)));
        }
        // A backup that is away keeps its place; a new one must be fit.
        if known.iter().all(|k| k.node != b.node) {
            check::fit(state, b.node)?;
        }
    }
    if policy.durability == DurabilityMode::Async {
        policy.k = 0;
        if policy.failover == FailoverMode::Auto {
            return Err(invalid("failover", "auto is refused with async: nothing could be proven"));
        }
    } else if policy.k == 0 {
        return Err(invalid("k", "at least 1 is needed unless the durability is async"));
    }
    if policy.failover == FailoverMode::Auto && policy.isolation == Isolation::Degrade {
        return Err(invalid("isolation", "degrade is allowed only with manual failover"));
    }
    if policy.isolation == Isolation::Degrade && policy.durability != DurabilityMode::AutoSync {
        return Err(invalid("isolation", "degrade belongs to auto_sync; sync waits and async never does"));
    }
    if policy.min_durability == Durability::Replicated {
        // What could never be kept is refused here, not write by write.
        if policy.durability == DurabilityMode::Async {
            return Err(invalid("min_durability", "async never answers replicated"));
        }
        if policy.same_site {
            return Err(invalid("min_durability", "with same_site every answer is local"));
        }
        if policy.isolation == Isolation::Degrade {
            return Err(invalid("min_durability", "degrade is there to answer local; use block"));
        }
    }
    let countable = named
        .iter()
        .filter(|b| b.role == Role::Sync && state.counts_under(policy.same_site, primary, b.node))
        .count();
    if countable < policy.k {
        let reason =
            format!("{} sync backups on other sites are named, k = {} needs as many", countable, policy.k);
        return Err(invalid("backups", reason));
    }
    Ok(policy)
}

fn set_policy(
    state: &State,
    region: RegionCode,
    version: u64,
    policy: Policy,
    named: &[PolicyBackup],
) -> Decision {
    let old = check::at_version(state, region, version)?;
    check::no_move(&old)?;
    let policy = checked(state, old.primary, policy, named, &old.backups)?;
    reads_enough(state, &old, named)?;
    let mut new = Placement { policy, backups: merged(&old.backups, named), ..old.clone() };
    new.proven_k = proven_after(state, &old, &new);
    new.seen = false;
    new.degrade_k = old.degrade_k.max(degrade_k(state, &new));
    placed(new)
}

/// Whoever newly keeps a journal reads what its holders may have written into it.
fn reads_enough(state: &State, old: &Placement, named: &[PolicyBackup]) -> Result<(), Refusal> {
    let needed = state.read_by_all(old);
    let knows = |n: NodeId| old.names(n) || state.node(n).is_some_and(|n| n.reads >= needed);
    match named.iter().find(|n| !knows(n.node)) {
        Some(n) if state.node(n.node).is_some_and(|n| n.incarnation == 0) => Err(Refusal::Rule(format!(
            "{} has not told the registry yet what it reads, which it does when it starts: repeat the command then",
            n.node
        ))),
        Some(n) => Err(Refusal::Rule(format!(
            "{} reads record formats older than {needed}, in which this journal may be written; upgrade it first",
            n.node
        ))),
        None => Ok(()),
    }
}

/// In-sync backups that the policy drops or turns into followers stay in the set, marked, until the primary has proven that
/// the others suffice: a seal computed meanwhile still counts them.
fn merged(old: &[Backup], named: &[PolicyBackup]) -> Vec<Backup> {
    let entry = |n: &PolicyBackup| match old.iter().find(|b| b.node == n.node) {
        Some(b) if b.in_sync => Backup { role: n.role, leaving: n.role == Role::Async, ..*b },
        _ => fresh(n),
    };
    let mut out: Vec<Backup> = named.iter().map(entry).collect();
    let dropped = old.iter().filter(|b| b.in_sync && named.iter().all(|n| n.node != b.node));
    out.extend(dropped.map(|b| Backup { role: Role::Sync, leaving: true, ..*b }));
    out.sort_by_key(|b| b.node);
    out
}

/// What is still proven under a new policy. It never rises here: a higher k is proven by the primary later.
fn proven_after(state: &State, old: &Placement, new: &Placement) -> usize {
    if new.policy.durability == DurabilityMode::Async {
        return 0;
    }
    let mut proven = old.proven_k;
    if old.policy.same_site && !new.policy.same_site {
        // Of the holders, those on the primary's own site no longer count.
        let lost = old.backups.iter().filter(|b| b.in_sync && !state.other_site(old.primary, b.node)).count();
        proven = proven.saturating_sub(lost);
    }
    proven = proven.min(new.policy.k);
    if new.policy.durability == DurabilityMode::AutoSync {
        // From now on an answer may need as few as the backups that stay.
        proven = proven.min(staying(state, new));
    }
    proven
}

fn set_stopped(state: &State, region: RegionCode, version: u64, stopped: bool) -> Decision {
    let mut placement = check::at_version(state, region, version)?;
    check::no_move(&placement)?;
    placement.state = if stopped { PlacementState::Stopped } else { PlacementState::Active };
    placed(placement)
}

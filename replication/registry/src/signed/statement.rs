//! The statement of each kind of command: what of it is signed. The command line builds statements with these functions from
//! what the operator asked for, the registry from the operation it is about to apply; the signature holds only when both say
//! the same. What a node adds on the way (plan, move id, deadline, import report) is not signed and decides nothing.
//!
//! Always: equal commands give equal statements, different ones different ones; `commands` matches every operation to one of these.

use crate::{
    Backup, CaCustody, CommandId, DrillFigures, DrillPlatform, DrillSchedule, DrillVerdict, DurabilityMode,
    EraseTarget, FailoverMode, HolderName, Isolation, Issuer, IssuerState, Mandate, MoveKind, Node,
    NodeChange, NodeState, OldPrimary, OperatorRole, Policy, PolicyBackup, QuotaLimits, Role, RotationStep,
    Site, TableId, Tail, TailState,
};
use eport_model::{Digest, Epoch, JournalIndex, MoveId, NodeId, Position, RegionCode, Subject, Timestamp};
pub use eport_signature::Statement;
use std::collections::BTreeSet;

/// Loss of acknowledged records was accepted: its own kind, so that two persons can be asked for it alone.
pub const FAILOVER_WITH_LOSS: &str = "platform.failover.accept-data-loss";
/// A setting that guards the others.
pub const SETTING_GUARD: &str = "setting.guard";
/// An operator is added, changed or suspended.
pub const OPERATOR_PUT: &str = "operator.put";
/// An operator is given a role.
pub const ROLE_BIND: &str = "role.bind";
/// An issuer is added or changed.
pub const ISSUER_PUT: &str = "issuer.put";
/// A surviving journal is adopted.
pub const PLATFORM_ADOPT: &str = "platform.adopt";

/// Who holds shares of an issuing CA's key is said.
pub const CA_CUSTODY: &str = "ca.custody";

/// Bodies are erased by law.
pub const BODY_ERASE: &str = "body.erase";

/// A step of the rotation of a root or an issuing CA.
pub const CA_ROTATE: &str = "ca.rotate";
/// An issuing CA is added.
pub const CA_ADD: &str = "ca.add";
/// A CA outside the federation is registered.
pub const CA_OUTSIDE: &str = "ca.outside";
/// A CA outside is removed: its own kind, because stopping must be quick.
const CA_OUTSIDE_REMOVE: &str = "ca.outside-remove";
/// A rotation is undone: its own kind, because stopping must be quick.
const CA_ROTATE_ABORT: &str = "ca.rotate-abort";

/// Every kind of command that an operator gives.
pub const KINDS: &[&str] = &[
    "setting.set",
    SETTING_GUARD,
    "site.put",
    "node.add",
    "node.update",
    "node.state",
    "platform.create",
    "platform.policy",
    "platform.stop",
    "platform.start",
    "platform.switchover",
    "platform.failover",
    FAILOVER_WITH_LOSS,
    "platform.move-abort",
    "platform.move-fail",
    PLATFORM_ADOPT,
    "tail.record",
    "tail.state",
    "tail.discard",
    "table.publish",
    "table.retire",
    ISSUER_PUT,
    "certificate.revoke",
    OPERATOR_PUT,
    ROLE_BIND,
    "role.unbind",
    "user.put",
    "delegation.add",
    "delegation.end",
    "holder.put",
    "approval.approve",
    "approval.reject",
    "drill.begin",
    "drill.stop",
    "drill.end",
    "drill.schedule",
    "drill.unschedule",
    BODY_ERASE,
    "platform.quota",
    CA_ROTATE,
    CA_ROTATE_ABORT,
    CA_ADD,
    CA_CUSTODY,
    CA_OUTSIDE,
    CA_OUTSIDE_REMOVE,
];

/// Erase bodies by law.
pub fn erase(region: RegionCode, targets: &[EraseTarget], reason: &str, authority: &str) -> Statement {
    let named = targets.iter().map(|t| format!("{}/{}:{}", t.record, t.body, t.digest));
    let statement = Statement::new(BODY_ERASE).with("region", region);
    let statement = statement.with("targets", named.collect::<Vec<_>>().join(","));
    statement.with("reason", reason).with("authority", authority)
}

/// Create a platform.
pub fn create_platform(
    region: RegionCode,
    names: (&str, &str),
    primary: NodeId,
    backups: &[PolicyBackup],
    policy: &Policy,
) -> Statement {
    let statement = Statement::new("platform.create").with("region", region).with("primary", primary);
    with_policy(statement.with("name_zh", names.0).with("name_en", names.1), policy, backups)
}

/// Change rules and backups of a platform.
pub fn policy(region: RegionCode, version: u64, policy: &Policy, backups: &[PolicyBackup]) -> Statement {
    with_policy(Statement::new("platform.policy").with("region", region).on_version(version), policy, backups)
}

/// Stop a platform or let it serve again.
pub fn stopped(region: RegionCode, version: u64, stopped: bool) -> Statement {
    let kind = if stopped { "platform.stop" } else { "platform.start" };
    Statement::new(kind).with("region", region).on_version(version)
}

/// Open a planned move.
pub fn switchover(region: RegionCode, version: u64, kind: MoveKind, to: NodeId) -> Statement {
    let statement =
        Statement::new("platform.switchover").with("region", region).with("move", word_of_move(kind));
    statement.with("to", to).on_version(version)
}

/// Reserve the next epoch for a failover.
pub fn failover(
    region: RegionCode,
    version: u64,
    to: Option<NodeId>,
    old_primary: OldPrimary,
    accept_data_loss: bool,
) -> Statement {
    let kind = if accept_data_loss { FAILOVER_WITH_LOSS } else { "platform.failover" };
    let word = match old_primary {
        OldPrimary::Stopped => "stopped",
        OldPrimary::Unreachable => "unreachable",
    };
    let statement =
        Statement::new(kind).with("region", region).with("old_primary", word).with("to", or_dash(to));
    statement.on_version(version)
}

/// Take a surviving journal as the platform's.
pub fn adopt(region: RegionCode, version: u64, node: NodeId, start: Position) -> Statement {
    Statement::new(PLATFORM_ADOPT)
        .with("region", region)
        .with("node", node)
        .with("epoch", start.epoch)
        .with("index", start.index)
        .with("digest", start.digest)
        .on_version(version)
}

/// Change the hard state of a node.
pub fn node_state(node: NodeId, state: NodeState) -> Statement {
    let word = match state {
        NodeState::Up => "up",
        NodeState::Draining => "draining",
        NodeState::Removed => "removed",
        NodeState::Revoked => "revoked",
    };
    Statement::new("node.state").with("node", node).with("state", word)
}

/// Publish a version of a table. The root commits to every row, so nobody on the way can change one.
pub fn publish_table(
    table: &TableId,
    version: u64,
    root: Digest,
    rows: u64,
    effective: Option<Timestamp>,
    schema: &str,
) -> Statement {
    Statement::new("table.publish")
        .with("table", table)
        .with("root", root)
        .with("rows", rows)
        .with("effective_ms", or_dash(effective.map(Timestamp::as_millis)))
        .with("schema", Digest::of(schema.as_bytes()))
        .on_version(version)
}

/// Give up the content of a version, or take back one that is not in force yet.
pub fn retire_table(table: &TableId, version: u64, reason: &str) -> Statement {
    Statement::new("table.retire").with("table", table).with("reason", reason).on_version(version)
}

/// Set a setting.
pub fn setting(name: &str, value: &str) -> Statement {
    let kind = if super::two::guards(name) { SETTING_GUARD } else { "setting.set" };
    Statement::new(kind).with("name", name).with("value", value)
}

/// Switch the approval by two persons on or off.
pub fn two_person(on: bool) -> Statement {
    Statement::new(SETTING_GUARD).with("name", "two_person").with("value", if on { "on" } else { "off" })
}

/// Add or change an operator.
pub fn operator(
    id: &str,
    name: &str,
    roles: impl IntoIterator<Item = OperatorRole>,
    suspended: bool,
) -> Statement {
    let mut words: Vec<&str> = roles.into_iter().map(word_of_role).collect();
    words.sort_unstable();
    let statement = Statement::new(OPERATOR_PUT).with("id", id).with("name", name);
    statement.with("roles", words.join(",")).with("suspended", suspended)
}

/// Give an operator a role, or take it away.
pub fn bind_role(operator: &str, role: OperatorRole, platform: Option<RegionCode>, bound: bool) -> Statement {
    let kind = if bound { ROLE_BIND } else { "role.unbind" };
    let statement = Statement::new(kind).with("operator", operator).with("role", word_of_role(role));
    statement.with("platform", or_dash(platform))
}

/// Add, change or suspend a user who is no operator.
pub fn put_user(
    subject: &Subject,
    name: &str,
    platforms: &BTreeSet<RegionCode>,
    suspended: bool,
) -> Statement {
    let statement = Statement::new("user.put").with("subject", subject).with("name", name);
    statement.with("platforms", joined(platforms)).with("suspended", suspended)
}

/// Delegate to an agent.
pub fn add_delegation(mandate: &Mandate) -> Statement {
    let Mandate { enterprise, agent, rights, platforms, from, to } = mandate;
    Statement::new("delegation.add")
        .with("enterprise", enterprise)
        .with("agent", agent)
        .with("rights", rights.iter().map(|r| r.word()).collect::<Vec<_>>().join(","))
        .with("platforms", joined(platforms))
        .with("from_ms", from.as_millis())
        .with("to_ms", to.as_millis())
}

/// End a delegation before its time.
pub fn end_delegation(delegation: CommandId, reason: &str) -> Statement {
    Statement::new("delegation.end").with("delegation", delegation).with("reason", reason)
}

fn joined(platforms: &BTreeSet<RegionCode>) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Approve or reject what another operator asked for; `digest` is that of the statement seen.
pub fn decide_approval(approval: CommandId, digest: Digest, approve: bool) -> Statement {
    let kind = if approve { "approval.approve" } else { "approval.reject" };
    Statement::new(kind).with("approval", approval).with("digest", digest)
}

/// Revoke a certificate.
pub fn revoke(serial: &str, reason: &str) -> Statement {
    Statement::new("certificate.revoke").with("serial", serial).with("reason", reason)
}

/// End a move before its commit.
pub fn abort_move(region: RegionCode, version: u64, move_id: MoveId) -> Statement {
    Statement::new("platform.move-abort").with("region", region).with("move", move_id).on_version(version)
}

/// Make a tail known. What becomes of it is decided later and is no part of this.
pub fn record_tail(tail: &Tail) -> Statement {
    let statement = Statement::new("tail.record").with("tail", tail.id()).with("platform", tail.region);
    let statement = statement.with("node", tail.node).with("fork", tail.fork).with("last", tail.last);
    statement.with("digest", tail.digest).with("waits", tail.state == TailState::Exported)
}

/// Record what became of a tail.
pub fn tail_state(tail: &str, state: TailState) -> Statement {
    let word = match state {
        TailState::Exported => "exported",
        TailState::Resolved => "resolved",
        TailState::Discarded => "discarded",
    };
    Statement::new("tail.state").with("tail", tail).with("state", word)
}

/// Discard records of a tail; without any, all that are left.
pub fn discard_tail(tail: &str, records: &[JournalIndex], reason: &str) -> Statement {
    let named: Vec<String> = records.iter().map(ToString::to_string).collect();
    let which = if named.is_empty() { "all".to_owned() } else { named.join(",") };
    Statement::new("tail.discard").with("tail", tail).with("records", which).with("reason", reason)
}

/// Add or change a site.
pub fn put_site(site: &Site) -> Statement {
    let Site { id, region, name, labels, copies_max } = site;
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let statement = Statement::new("site.put").with("site", id).with("region", region).with("name", name);
    statement.with("labels", labels.join(",")).with("copies_max", or_dash(*copies_max))
}

/// Put a holder of data keys: a node's own key, or a recovery key of operators.
pub fn put_holder(name: &HolderName, public: &[u8]) -> Statement {
    Statement::new("holder.put").with("holder", name).with("public", Digest::of(public))
}

/// Begin a drill.
pub fn begin_drill(
    name: &str,
    region: RegionCode,
    script: Digest,
    platforms: &[DrillPlatform],
    disturbs: &[String],
    limit_ms: u64,
) -> Statement {
    let platforms: Vec<String> = platforms.iter().map(|p| format!("{}@{}", p.region, p.version)).collect();
    Statement::new("drill.begin")
        .with("name", name)
        .with("region", region)
        .with("script", script)
        .with("platforms", platforms.join(","))
        .with("disturbs", disturbs.join(","))
        .with("limit_ms", limit_ms)
}

/// Ask a drill to stop.
pub fn stop_drill(drill: CommandId, reason: &str) -> Statement {
    Statement::new("drill.stop").with("drill", drill).with("reason", reason)
}

/// End a drill with what it showed; the digest commits to the whole report.
pub fn end_drill(
    drill: CommandId,
    verdict: DrillVerdict,
    figures: &DrillFigures,
    report: Option<Digest>,
    note: &str,
    keep: bool,
) -> Statement {
    let DrillFigures {
        rpo_records,
        rpo_ms,
        rto_ms,
        write_pause_ms,
        submitted,
        acknowledged,
        present,
        missing,
        duplicated,
    } = figures;
    Statement::new("drill.end")
        .with("drill", drill)
        .with("verdict", verdict.word())
        .with("rpo", format!("{rpo_records} records, {rpo_ms} ms"))
        .with("rto_ms", or_dash(*rto_ms))
        .with("write_pause_ms", or_dash(*write_pause_ms))
        .with("documents", format!("{submitted}/{acknowledged}/{present}/{missing}/{duplicated}"))
        .with("report", or_dash(report))
        .with("note", note)
        .with("keep", keep)
}

/// Put a schedule of drills.
pub fn drill_schedule(schedule: &DrillSchedule) -> Statement {
    let DrillSchedule { name, region, every_days, first, owner, since: _ } = schedule;
    Statement::new("drill.schedule")
        .with("name", name)
        .with("region", region)
        .with("every_days", every_days)
        .with("first_ms", first.as_millis())
        .with("owner", owner)
}

/// Forget a schedule of drills.
pub fn drill_unschedule(region: RegionCode, name: &str) -> Statement {
    Statement::new("drill.unschedule").with("region", region).with("name", name)
}

/// Say who holds shares of an issuing CA's key, and which wrapped key they open.
pub fn custody(custody: &CaCustody) -> Statement {
    let CaCustody { ca, region, kek, wrapped, threshold, holders, by: _, at: _ } = custody;
    Statement::new(CA_CUSTODY)
        .with("ca", ca)
        .with("region", region)
        .with("kek", kek)
        .with("wrapped", wrapped)
        .with("threshold", threshold)
        .with("holders", holders.join(","))
}

/// Set what a platform may take.
pub fn quota(region: RegionCode, version: u64, limits: &QuotaLimits) -> Statement {
    let QuotaLimits { requests_per_s, burst, bytes_in_flight, disk_bytes } = limits;
    Statement::new("platform.quota")
        .with("region", region)
        .with("requests_per_s", or_dash(*requests_per_s))
        .with("burst", or_dash(*burst))
        .with("bytes_in_flight", or_dash(*bytes_in_flight))
        .with("disk_bytes", or_dash(*disk_bytes))
        .on_version(version)
}

/// A step of a rotation. The digest commits to every certificate and list that it brings in.
pub fn rotate(version: u64, step: &RotationStep) -> Statement {
    let kind = if *step == RotationStep::Abort { CA_ROTATE_ABORT } else { CA_ROTATE };
    let statement = Statement::new(kind).with("step", step.word()).on_version(version);
    match step {
        RotationStep::Prepare(material) => {
            statement.with("material", Digest::of(&eport_model::codec::encode(material)))
        }
        RotationStep::Activate { without } => {
            let mut names: Vec<String> = without.iter().map(ToString::to_string).collect();
            names.sort();
            statement.with("without", names.join(","))
        }
        RotationStep::Retire { force } => statement.with("force", or_dash(force.as_deref())),
        RotationStep::Publish | RotationStep::Cross | RotationStep::Abort => statement,
    }
}

/// Add the issuing CA of a platform.
pub fn add_issuer(version: u64, certificate: &[u8], since_epoch: Epoch) -> Statement {
    let statement = Statement::new(CA_ADD).with("certificate", Digest::of(certificate));
    statement.with("since_epoch", since_epoch).on_version(version)
}

/// Register a CA outside. The challenge is short enough to be read by the second person, and says whom the CA speaks for.
pub fn add_outside(version: u64, certificate: &[u8], challenge: &str, signature: &[u8]) -> Statement {
    let statement = Statement::new(CA_OUTSIDE).with("certificate", Digest::of(certificate));
    let statement = statement.with("challenge", Digest::of(challenge.as_bytes()));
    let statement = statement.with("proof", Digest::of(signature)).on_version(version);
    // What people are asked to approve stands in the statement itself.
    let all = |name: &str| {
        let lines = challenge.lines().filter_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        lines.collect::<Vec<_>>().join(",")
    };
    statement.with("subjects", all("subject")).with("platforms", all("platform"))
}

/// Remove a CA outside.
pub fn remove_outside(version: u64, key: Digest, reason: &str) -> Statement {
    Statement::new(CA_OUTSIDE_REMOVE).with("key", key).with("reason", reason).on_version(version)
}

/// Add a node.
pub fn add_node(node: &Node) -> Statement {
    let Node {
        id,
        site,
        region,
        quic,
        api,
        cert_serial,
        state: _,
        software: _,
        incarnation: _,
        reads: _,
        joined: _,
    } = node;
    let statement = Statement::new("node.add").with("node", id).with("site", site).with("region", region);
    statement.with("quic", quic).with("api", api).with("cert_serial", cert_serial)
}

pub(super) fn update_node(node: NodeId, change: &NodeChange) -> Statement {
    let NodeChange { quic, api, cert_serial, software, incarnation, reads } = change;
    Statement::new("node.update")
        .with("node", node)
        .with("quic", or_dash(quic.as_deref()))
        .with("api", or_dash(api.as_deref()))
        .with("cert_serial", or_dash(cert_serial.as_deref()))
        .with("software", or_dash(software.as_deref()))
        .with("incarnation", or_dash(*incarnation))
        .with("reads", or_dash(*reads))
}

pub(super) fn put_issuer(issuer: &Issuer) -> Statement {
    let Issuer { key_id, name, platform, certificate, state, since_epoch } = issuer;
    let word = match state {
        IssuerState::Active => "active",
        IssuerState::Retired => "retired",
        IssuerState::Staged => "staged",
    };
    Statement::new(ISSUER_PUT)
        .with("key_id", key_id)
        .with("name", name)
        .with("platform", or_dash(*platform))
        .with("certificate", Digest::of(certificate))
        .with("state", word)
        .with("since_epoch", since_epoch)
}

fn with_policy(statement: Statement, policy: &Policy, backups: &[PolicyBackup]) -> Statement {
    let Policy { durability, k, isolation, failover, same_site, min_durability } = policy;
    let durability = match durability {
        DurabilityMode::Sync => "sync",
        DurabilityMode::AutoSync => "auto_sync",
        DurabilityMode::Async => "async",
    };
    let isolation = match isolation {
        Isolation::Block => "block",
        Isolation::Degrade => "degrade",
    };
    let failover = match failover {
        FailoverMode::Auto => "auto",
        FailoverMode::Manual => "manual",
    };
    let mut named: Vec<String> = backups
        .iter()
        .map(|b| format!("{}:{}", b.node, if b.role == Role::Sync { "sync" } else { "async" }))
        .collect();
    named.sort();
    statement
        .with("durability", durability)
        .with("k", k)
        .with("isolation", isolation)
        .with("failover", failover)
        .with("same_site", same_site)
        .with("min_durability", min_durability)
        .with("backups", named.join(","))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// The role of a word.
pub fn role_of_word(word: &str) -> Option<OperatorRole> {
    OperatorRole::ALL.into_iter().find(|r| word_of_role(*r) == word)
}

/// The word of a role.
pub fn word_of_role(role: OperatorRole) -> &'static str {
    match role {
        OperatorRole::Administrator => "administrator",
        OperatorRole::Approver => "approver",
        OperatorRole::Publisher => "publisher",
        OperatorRole::SystemAdministrator => "system_administrator",
        OperatorRole::SecurityAdministrator => "security_administrator",
        OperatorRole::Auditor => "auditor",
        OperatorRole::PlatformOperator => "platform_operator",
        OperatorRole::Lodger => "lodger",
    }
}

fn word_of_move(kind: MoveKind) -> &'static str {
    match kind {
        MoveKind::Switchover => "switchover",
        MoveKind::Failover => "failover",
        MoveKind::Failback => "failback",
        MoveKind::Promote => "promote",
    }
}

/// The backups that a placement names, as a policy names them: what stays when a request names none.
pub fn named_backups(backups: &[Backup]) -> Vec<PolicyBackup> {
    backups.iter().filter(|b| !b.leaving).map(|b| PolicyBackup { node: b.node, role: b.role }).collect()
}

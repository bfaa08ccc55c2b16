//! What a command does: every change that the registry knows.

use crate::{
    CommandId, DrillFigures, DrillPlatform, DrillSchedule, DrillVerdict, Federation, Issuer, Mandate,
    MoveKind, Node, NodeState, OldPrimary, Operator, OperatorRole, Plan, Policy, QuotaLimits, Role,
    RotationStep, Setting, Site, TableId, Tail, TailState, User,
};
use eport_model::{Digest, Epoch, JournalIndex, MoveId, NodeId, Position, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// A backup as a policy names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyBackup {
    /// The node.
    pub node: NodeId,
    /// What it is for.
    pub role: Role,
}

/// Facts of a node that change in its life; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeChange {
    /// `host:port` of its QUIC listener.
    pub quic: Option<String>,
    /// `host:port` of its HTTPS listener.
    pub api: Option<String>,
    /// Serial of its new certificate; only an operator may change it.
    pub cert_serial: Option<String>,
    /// Software version.
    pub software: Option<String>,
    /// Start count; never falls.
    pub incarnation: Option<u64>,
    /// The newest record format that it reads; never falls: records that only this version reads may lie on it.
    pub reads: Option<u16>,
}

/// A journal head in a [`Op::PublishHeads`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeadReport {
    /// The platform.
    pub region: RegionCode,
    /// Last committed record.
    pub position: Position,
}

/// What a command does. `version` is always the placement version that the proposer saw.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Found the federation; first of all commands.
    Found(Federation),
    /// Switch the approval of dangerous commands by two persons on or off.
    SetTwoPerson(bool),
    /// Set a setting.
    SetSetting(Setting),
    /// Add a site or change its name.
    PutSite(Site),
    /// Add a node; its site must exist, its id must never have been used.
    AddNode(Node),
    /// Change facts of a node; by itself or by an operator.
    UpdateNode {
        /// The node.
        node: NodeId,
        /// What changes.
        change: NodeChange,
    },
    /// Change the hard state of a node; `Removed` is final and refused while a placement names it.
    SetNodeState {
        /// The node.
        node: NodeId,
        /// The state.
        state: NodeState,
    },
    /// Create a platform in epoch 1.
    CreatePlatform {
        /// The platform.
        region: RegionCode,
        /// Chinese name.
        name_zh: String,
        /// English name.
        name_en: String,
        /// Its first primary.
        primary: NodeId,
        /// Its backups.
        backups: Vec<PolicyBackup>,
        /// Its rules.
        policy: Policy,
    },
    /// Change rules and backups of a platform.
    SetPolicy {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The rules.
        policy: Policy,
        /// Its backups; those in sync but not named are marked `leaving`.
        backups: Vec<PolicyBackup>,
    },
    /// Stop a platform (`true`) or let it serve again (`false`).
    SetStopped {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// Stop or serve.
        stopped: bool,
    },
    /// The primary records a caught-up backup as in sync; it counts from now on.
    InSyncAdd {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The backup.
        node: NodeId,
    },
    /// The primary records that the remaining in-sync backups hold every acknowledged record.
    InSyncRemove {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The backup.
        node: NodeId,
    },
    /// The primary records that it no longer waits for these backups (`auto_sync`): the remaining ones hold every record
    /// answered `replicated`. With no node it only raises the version: the primary shows that it has seen the policy, and
    /// makes sure that no step of an earlier life of its process arrives later.
    Shrink {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The backups.
        nodes: Vec<NodeId>,
        /// Whatever the primary answered alone is held by enough of the backups by now.
        whole: bool,
    },
    /// The primary records that every acknowledged record is held by `k` counted in-sync backups.
    Proven {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The proven number.
        k: usize,
    },
    /// Open a planned move.
    OpenSwitchover {
        /// The platform.
        region: RegionCode,
        /// Id of the new move.
        move_id: MoveId,
        /// Switchover, failback or promote.
        kind: MoveKind,
        /// The target.
        to: NodeId,
        /// After how many milliseconds the old primary gives up. A span, not an instant: each node measures it on a clock that never
        /// jumps, so that a wrong wall clock neither ends a move at once nor holds requests for hours.
        within_ms: u32,
        /// Placement version of the plan.
        expected_version: u64,
        /// The plan, kept for the history.
        plan: Plan,
    },
    /// Commit a planned move. Only the old primary may.
    CommitSwitch {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// Last record of the old epoch.
        start: Position,
        /// Backups that hold `start`, with or without the old primary (which always does).
        in_sync: Vec<NodeId>,
    },
    /// End a planned move before its commit; the primary stays.
    AbortMove {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// Why.
        reason: String,
    },
    /// Reserve the next epoch for a failover, or join the one that was reserved since `expected_version`.
    ReserveFailover {
        /// The platform.
        region: RegionCode,
        /// Id of the new move; ignored when one is joined.
        move_id: MoveId,
        /// The wanted primary.
        to: Option<NodeId>,
        /// Placement version of the plan.
        expected_version: u64,
        /// Acknowledged records may be lost. Joining with `true` adds the permission to the move under way.
        accept_data_loss: bool,
        /// What is known of the old primary.
        old_primary: OldPrimary,
        /// When to give up waiting for answers; `None` waits as long as it takes.
        deadline: Option<Timestamp>,
        /// The plan, kept for the history.
        plan: Plan,
    },
    /// Commit a failover.
    CommitFailover {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// The new primary, which holds `start`.
        primary: NodeId,
        /// The best position found.
        start: Position,
        /// Other candidates that sealed and hold `start`.
        in_sync: Vec<NodeId>,
        /// Everybody who sealed, the old primary included: the registry checks the quorum once more.
        sealed: Vec<NodeId>,
        /// Those of them that show that the old primary cannot have answered `local` on its own before they sealed.
        fresh: Vec<NodeId>,
    },
    /// End a failover by confirming the old primary in the reserved epoch: it sealed and answers.
    ConfirmOldPrimary {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// Its last record.
        start: Position,
        /// Backups that sealed and hold `start`.
        in_sync: Vec<NodeId>,
    },
    /// A failover could not finish: the platform stays recovering, the missing answers are named.
    FailMove {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// Why.
        reason: String,
        /// Who did not answer.
        missing: Vec<NodeId>,
    },
    /// Log a step of a move.
    NoteMoveStep {
        /// The move.
        move_id: MoveId,
        /// Stable name of the step.
        name: String,
        /// What was found or done.
        detail: String,
    },
    /// Take a surviving journal as the platform's: its last record is the fork point, its node the new primary.
    AdoptJournal {
        /// The platform.
        region: RegionCode,
        /// Placement version.
        version: u64,
        /// The node that keeps it.
        node: NodeId,
        /// Its last record.
        start: Position,
    },
    /// A node publishes the heads of its journals.
    PublishHeads(Vec<HeadReport>),
    /// A node records a tail it exported.
    RecordTail(Tail),
    /// Record what became of a tail.
    SetTailState {
        /// Its id.
        tail: String,
        /// The state.
        state: TailState,
    },
    /// An operator discards records of a tail, or whatever of it is not decided yet. Nothing is removed: the audit keeps who
    /// and why, the export stays where it is.
    DiscardTail {
        /// Its id.
        tail: String,
        /// The records; empty for all that are left.
        records: Vec<JournalIndex>,
        /// Why.
        reason: String,
    },
    /// The primary asks for another block of outside numbers.
    ReserveNumbers {
        /// The platform.
        region: RegionCode,
        /// Epoch of the primary.
        epoch: Epoch,
        /// Blocks of this epoch that the primary knows of; a stale count is refused.
        have: usize,
    },
    /// A node brings a content to the others before it is published.
    StageTable {
        /// The catalog.
        table: TableId,
        /// The version it is meant to become.
        version: u64,
        /// Digest of its content.
        root: Digest,
    },
    /// Give up the content of a version that is not in force any more, or take back one that is not in force yet.
    RetireTable {
        /// The catalog.
        table: TableId,
        /// The version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// Publish a version of a table.
    PublishTable {
        /// The table.
        table: TableId,
        /// The new version: the newest known plus one.
        version: u64,
        /// Digest of its content.
        root: Digest,
        /// Rows.
        rows: u64,
        /// In force from; `None` is the commit plus the federation's publish lead.
        effective: Option<Timestamp>,
        /// Columns, key and encoding as JSON text.
        schema: String,
        /// Import report as JSON text.
        report: String,
    },
    /// Add or change an issuer.
    PutIssuer(Issuer),
    /// Revoke a certificate, or take the trust from many by a rule.
    Revoke {
        /// Serial, lower-case hex; or the text of a rule.
        serial: String,
        /// Why.
        reason: String,
    },
    /// Put a holder of data keys: a node its own, an operator a recovery key.
    PutHolder(crate::Holder),
    /// The primary adds a data key of its platform: the newest known number plus one, wrapped for every holder that the
    /// placement names and whose key is known.
    PutDataKey {
        /// The platform.
        region: RegionCode,
        /// Its number.
        id: u32,
        /// What tells it from another key.
        check: Digest,
        /// Copies for its holders.
        wraps: Vec<crate::Wrap>,
    },
    /// A holder wraps a data key for further holders, or afresh for one whose key changed.
    AddWraps {
        /// The platform.
        region: RegionCode,
        /// Its number.
        id: u32,
        /// What tells it from another key.
        check: Digest,
        /// Copies for its holders.
        wraps: Vec<crate::Wrap>,
    },
    /// Add or change an operator.
    PutOperator(Operator),
    /// Give an operator a role, or take it away: for the whole federation, or on one platform.
    BindRole {
        /// Id of the operator.
        operator: String,
        /// The role.
        role: OperatorRole,
        /// Only there; `None` is everywhere.
        platform: Option<RegionCode>,
        /// Give or take.
        bound: bool,
    },
    /// Add, change or suspend a user who is no operator.
    PutUser(User),
    /// An enterprise, or an operator for it, delegates to an agent.
    AddDelegation(Mandate),
    /// End a delegation before its time.
    EndDelegation {
        /// The delegation.
        delegation: CommandId,
        /// Why.
        reason: String,
    },
    /// A node passes on that every session under a certificate is over.
    EndSessions {
        /// Serial of the certificate.
        serial: String,
    },
    /// A node publishes the head of its access log.
    AnchorAccessLog {
        /// Number of its last line.
        seq: u64,
        /// Digest of that line.
        digest: Digest,
    },
    /// Approve or reject, as second person, what another operator asked for.
    DecideApproval {
        /// Id of the first person's command.
        approval: CommandId,
        /// Digest of the statement that the second person saw.
        digest: Digest,
        /// Approve or reject.
        approve: bool,
    },
    /// Begin a drill. The command's id is the drill's; the primaries of its platforms now are the start state.
    BeginDrill {
        /// Name of the script.
        name: String,
        /// The platform it is about.
        region: RegionCode,
        /// Digest of the script.
        script: Digest,
        /// Platforms it may move, at the versions its plan was made on.
        platforms: Vec<DrillPlatform>,
        /// Processes and links it disturbs, for people.
        disturbs: Vec<String>,
        /// After so many milliseconds anybody may put the start state back.
        limit_ms: u64,
    },
    /// Ask a running drill to stop: its deadline is now.
    StopDrill {
        /// The drill.
        drill: CommandId,
        /// Why.
        reason: String,
    },
    /// End a drill: by an operator, or as aborted by a node after the deadline.
    EndDrill {
        /// The drill.
        drill: CommandId,
        /// What it showed.
        verdict: DrillVerdict,
        /// What was measured.
        figures: DrillFigures,
        /// SHA-256 of the report.
        report: Option<Digest>,
        /// What is to be said of its end.
        note: String,
        /// End it although a platform is not back at its start primary.
        keep: bool,
    },
    /// Put a schedule.
    PutDrillSchedule(DrillSchedule),
    /// Forget a schedule.
    RemoveDrillSchedule {
        /// The platform.
        region: RegionCode,
        /// Name of the script.
        name: String,
    },
    /// By law these bodies go: the primary writes an Erase record for each, and every copy overwrites them.
    Erase {
        /// The platform.
        region: RegionCode,
        /// The bodies.
        targets: Vec<crate::EraseTarget>,
        /// Why.
        reason: String,
        /// By what authority.
        authority: String,
    },
    /// Say who holds shares of an issuing CA's key, and which wrapped key they open.
    PutCustody(crate::CaCustody),
    /// A member brings a revocation list that an issuing CA signed while it was cut off.
    TakeList {
        /// SHA-256 of the CA's public key (SPKI).
        issuer: Digest,
        /// The list, DER.
        list: Vec<u8>,
    },
    /// Set what a platform may take of the nodes that serve it.
    SetQuota {
        /// The platform.
        region: RegionCode,
        /// Version of the quota that the proposer saw; 0 when there was none.
        version: u64,
        /// The whole quota.
        limits: QuotaLimits,
    },
    /// A step of the rotation of a root or an issuing CA. `version` is that of the trust record, which the proposer saw.
    Rotate {
        /// Version of the trust record.
        version: u64,
        /// The step.
        step: RotationStep,
    },
    /// A node verifies by this version of the trust bundle from now on.
    AckTrust {
        /// Version of the bundle.
        version: u64,
    },
    /// Add the issuing CA of a platform that has none of its purpose.
    AddIssuer {
        /// Version of the trust record.
        version: u64,
        /// The CA's certificate, DER.
        certificate: Vec<u8>,
        /// It issues from this epoch of its platform on.
        since_epoch: Epoch,
    },
    /// Register a CA outside the federation. Its scope stands in the challenge that its key has signed.
    AddOutside {
        /// Version of the trust record.
        version: u64,
        /// The CA's certificate, DER.
        certificate: Vec<u8>,
        /// The text that was signed.
        challenge: String,
        /// The signature, DER.
        signature: Vec<u8>,
    },
    /// Remove an outside CA and distrust its key.
    RemoveOutside {
        /// Version of the trust record.
        version: u64,
        /// SHA-256 of its public key (SPKI).
        key: Digest,
        /// Why.
        reason: String,
    },
}

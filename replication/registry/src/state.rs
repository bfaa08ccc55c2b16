//! The state and how a command changes it.

use crate::rows::{Kept, Row};
use crate::signed;
use crate::{
    AccessHead, Approval, Audit, CaCustody, Command, CommandId, DELEGATIONS_MAX, DRILLS_KEPT, DataKey,
    Delegation, Drill, DrillSchedule, EraseTarget, Erasure, Federation, Head, Holder, HolderName, Issuer,
    LineageRecord, MoveRecord, Node, NumberBlock, Op, Operator, OperatorRole, Outcome, Placement, Quota,
    Refusal, Revocation, RoleBinding, RowChange, RowError, SessionEnd, Site, TableId, TableVersion, Tail,
    Trust, TrustAck, User, decide,
};
use eport_model::{Digest, DigestHasher, MoveId, NodeId, RegionCode, SiteId, Subject, codec};
use std::collections::{BTreeMap, BTreeSet};

/// Outcomes of so many commands are remembered, so that a repeated command is answered and not applied again.
pub const OUTCOMES_KEPT: usize = 10_000;
/// Commands of operators are remembered in the audit, the oldest forgotten beyond this bound. An id that stands here is not
/// used again: far more operators' commands than fit into the window of a signature.
pub const AUDIT_KEPT: usize = 4_096;
/// Approvals that are kept, decided and expired ones included.
pub const APPROVALS_KEPT: usize = 256;

/// What the federation has agreed on. Built only by [`State::apply`] and [`State::from_rows`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    pub(crate) federation: Option<Federation>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) sites: BTreeMap<SiteId, Site>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) placements: BTreeMap<RegionCode, Placement>,
    pub(crate) moves: BTreeMap<MoveId, MoveRecord>,
    pub(crate) heads: BTreeMap<(RegionCode, NodeId), Head>,
    pub(crate) tails: BTreeMap<String, Tail>,
    pub(crate) numbers: BTreeMap<RegionCode, BTreeMap<u64, NumberBlock>>,
    pub(crate) tables: BTreeMap<TableId, BTreeMap<u64, TableVersion>>,
    pub(crate) drafts: BTreeMap<(TableId, Digest), crate::Draft>,
    pub(crate) issuers: BTreeMap<String, Issuer>,
    pub(crate) revocations: BTreeMap<String, Revocation>,
    pub(crate) holders: BTreeMap<HolderName, Holder>,
    pub(crate) data_keys: BTreeMap<(RegionCode, u32), DataKey>,
    pub(crate) operators: BTreeMap<String, Operator>,
    pub(crate) approvals: BTreeMap<CommandId, Approval>,
    pub(crate) audit: BTreeMap<u64, Audit>,
    pub(crate) lineages: BTreeMap<u64, LineageRecord>,
    pub(crate) drills: BTreeMap<CommandId, Drill>,
    pub(crate) drill_schedules: BTreeMap<(RegionCode, String), DrillSchedule>,
    pub(crate) erasures: BTreeMap<(RegionCode, EraseTarget), Erasure>,
    pub(crate) quotas: BTreeMap<RegionCode, Quota>,
    pub(crate) trust: Option<Trust>,
    pub(crate) trust_acks: BTreeMap<NodeId, TrustAck>,
    pub(crate) bindings: BTreeMap<(String, OperatorRole, RegionCode), RoleBinding>,
    pub(crate) users: BTreeMap<Subject, User>,
    pub(crate) delegations: BTreeMap<CommandId, Delegation>,
    /// The delegations of each enterprise, by its id.
    pub(crate) delegations_by: BTreeMap<String, BTreeSet<CommandId>>,
    pub(crate) session_ends: BTreeMap<String, SessionEnd>,
    pub(crate) access_heads: BTreeMap<NodeId, AccessHead>,
    pub(crate) custodies: BTreeMap<Digest, CaCustody>,
    pub(crate) outside: BTreeMap<Digest, crate::OutsideCa>,
    audit_ids: BTreeMap<CommandId, u64>,
    kept: BTreeMap<u64, Kept>,
    kept_ids: BTreeMap<CommandId, u64>,
}

/// Result of one command: what became of it and which rows to store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The answer.
    pub outcome: Result<Outcome, Refusal>,
    /// Rows to put or delete, atomically.
    pub rows: Vec<RowChange>,
}

impl State {
    /// Applies a command. A refused command changes nothing but the memory of its outcome; a command whose id is
    /// remembered is answered from memory and changes nothing at all. A command that is not its author's is not even
    /// remembered, so that nobody can use up an id before the author's own command arrives.
    pub fn apply(&mut self, command: &Command) -> Applied {
        let content = content(command);
        if let Some(kept) = self.kept_ids.get(&command.id).and_then(|seq| self.kept.get(seq)) {
            let outcome = if kept.content == content {
                kept.result.clone()
            } else {
                Err(Refusal::IdReused(command.id.to_string()))
            };
            return Applied { outcome, rows: Vec::new() };
        }
        if self.audit_ids.contains_key(&command.id) {
            return Applied { outcome: Err(Refusal::IdReused(command.id.to_string())), rows: Vec::new() };
        }
        let who = match signed::authenticate(self, command) {
            Ok(who) => who,
            Err(refusal) => return Applied { outcome: Err(refusal), rows: Vec::new() },
        };
        let founded = self.federation.is_some();
        let decision = match command.subject() {
            Some(Subject::Operator(_)) if founded => {
                decide::approvals::by_operator(self, command, who.as_ref())
            }
            _ => decide::decide(self, command),
        };
        let (outcome, changed) = match decision {
            Ok((outcome, rows)) => (Ok(outcome), rows),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        let mut rows: Vec<RowChange> = changed.iter().map(Row::put).collect();
        changed.into_iter().for_each(|row| self.insert(row));
        rows.extend(self.prune());
        rows.extend(self.prune_access(command));
        rows.extend(self.keep(command.id, content, outcome.clone()));
        Applied { outcome, rows }
    }

    /// Remembers an outcome and forgets the oldest beyond the bound.
    fn keep(&mut self, id: CommandId, content: Digest, result: Result<Outcome, Refusal>) -> Vec<RowChange> {
        let seq = self.kept.last_key_value().map_or(1, |(seq, _)| seq.saturating_add(1));
        let row = Row::Kept(Kept { seq, id, content, result });
        let mut rows = vec![row.put()];
        self.insert(row);
        while self.kept.len() > OUTCOMES_KEPT {
            let Some((_, oldest)) = self.kept.pop_first() else { break };
            self.kept_ids.remove(&oldest.id);
            rows.push(RowChange { key: Row::Kept(oldest).key(), value: None });
        }
        rows
    }

    /// Forgets the oldest audit rows, decided approvals and finished drills beyond their bounds, and schedules without interval.
    fn prune(&mut self) -> Vec<RowChange> {
        let mut rows = Vec::new();
        while self.audit.len() > AUDIT_KEPT {
            let Some((_, oldest)) = self.audit.pop_first() else { break };
            self.audit_ids.remove(&oldest.decided_by_command);
            rows.push(RowChange { key: Row::Audit(oldest).key(), value: None });
        }
        while self.approvals.len() > APPROVALS_KEPT {
            let oldest = self.approvals.values().min_by_key(|a| (a.expires, a.id)).map(|a| a.id);
            let Some(gone) = oldest.and_then(|id| self.approvals.remove(&id)) else { break };
            rows.push(RowChange { key: Row::Approval(gone).key(), value: None });
        }
        while self.drills.len() > DRILLS_KEPT {
            let over = self.drills.values().filter(|d| !d.is_running());
            let oldest = over.min_by_key(|d| (d.begun, d.id)).map(|d| d.id);
            let Some(gone) = oldest.and_then(|id| self.drills.remove(&id)) else { break };
            rows.push(RowChange { key: Row::Drill(gone).key(), value: None });
        }
        let stopped: Vec<_> =
            self.drill_schedules.iter().filter(|(_, s)| s.every_days == 0).map(|(k, _)| k.clone()).collect();
        for key in stopped {
            let Some(gone) = self.drill_schedules.remove(&key) else { continue };
            rows.push(RowChange { key: Row::DrillSchedule(gone).key(), value: None });
        }
        rows
    }

    /// Forgets roles that were taken away, ended sessions that no token could outlive, and the oldest ended delegations of the
    /// enterprise that gives one.
    fn prune_access(&mut self, command: &Command) -> Vec<RowChange> {
        let mut gone = Vec::new();
        match &command.op {
            Op::BindRole { .. } => {
                let taken: Vec<_> =
                    self.bindings.iter().filter(|(_, b)| !b.bound).map(|(k, _)| k.clone()).collect();
                gone.extend(taken.iter().filter_map(|key| self.bindings.remove(key)).map(Row::Binding));
            }
            Op::EndSessions { .. } => {
                let old = self.session_ends.iter().filter(|(_, e)| e.forget <= command.at);
                let old: Vec<_> = old.map(|(serial, _)| serial.clone()).collect();
                gone.extend(old.iter().filter_map(|s| self.session_ends.remove(s)).map(Row::SessionEnd));
            }
            Op::StageTable { .. } | Op::PublishTable { .. } => {
                let over = |d: &&crate::Draft| {
                    let published = self
                        .tables
                        .get(&d.catalog)
                        .is_some_and(|v| v.values().any(|v| v.keeps_content() && v.root == d.root));
                    published || command.at.as_millis() - d.at.as_millis() > crate::DRAFT_LIFE_MS
                };
                let old: Vec<_> =
                    self.drafts.values().filter(over).map(|d| (d.catalog.clone(), d.root)).collect();
                gone.extend(old.iter().filter_map(|key| self.drafts.remove(key)).map(Row::Draft));
            }
            Op::AddDelegation(mandate) => {
                let Some(given) = self.delegations_by.get_mut(&mandate.enterprise) else { return Vec::new() };
                while given.len() > DELEGATIONS_MAX {
                    let all = given.iter().filter_map(|id| self.delegations.get(id));
                    let over = all.filter(|d| d.is_over(command.at)).min_by_key(|d| (d.since, d.id));
                    let Some(oldest) = over.map(|d| d.id) else { break };
                    given.remove(&oldest);
                    gone.extend(self.delegations.remove(&oldest).map(Row::Delegation));
                }
            }
            _ => {}
        }
        gone.into_iter().map(|row| RowChange { key: row.key(), value: None }).collect()
    }

    /// The remembered outcome of a command.
    pub fn outcome(&self, id: CommandId) -> Option<&Result<Outcome, Refusal>> {
        self.kept.get(self.kept_ids.get(&id)?).map(|k| &k.result)
    }

    /// Rebuilds a state from stored rows, in any order.
    pub fn from_rows<K, V>(rows: impl IntoIterator<Item = (K, V)>) -> Result<Self, RowError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut state = Self::default();
        for (key, value) in rows {
            state.insert(Row::decode(key.as_ref(), value.as_ref())?);
        }
        Ok(state)
    }

    /// Every row in key order: the content of a snapshot.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut out: Vec<_> = self.objects().map(|row| (row.key(), row.encode())).collect();
        out.sort();
        out
    }

    /// Digest over all rows: equal on all nodes that applied the same commands.
    pub fn digest(&self) -> Digest {
        let mut hasher = DigestHasher::new();
        for (key, value) in self.rows() {
            // Lengths frame the parts, so that no two different row sets hash the same.
            hasher.update(&(key.len() as u64).to_be_bytes());
            hasher.update(&key);
            hasher.update(&(value.len() as u64).to_be_bytes());
            hasher.update(&value);
        }
        hasher.finish()
    }

    fn objects(&self) -> impl Iterator<Item = Row> + '_ {
        let settings = self.settings.iter();
        let settings = settings
            .map(|(name, value)| Row::Setting(crate::Setting { name: name.clone(), value: value.clone() }));
        let first = self.federation.iter().cloned().map(Row::Federation).chain(settings);
        let members =
            self.sites.values().cloned().map(Row::Site).chain(self.nodes.values().cloned().map(Row::Node));
        let placed = self.placements.values().cloned().map(Row::Placement);
        let moved = self.moves.values().cloned().map(Row::Move);
        let heads =
            self.heads.values().cloned().map(Row::Head).chain(self.tails.values().cloned().map(Row::Tail));
        let numbers = self.numbers.values().flat_map(BTreeMap::values).copied().map(Row::Numbers);
        let tables = self.tables.values().flat_map(BTreeMap::values).cloned().map(Row::Table);
        let issuers = self.issuers.values().cloned().map(Row::Issuer);
        let revoked = self.revocations.values().cloned().map(Row::Revocation);
        let kept = self.kept.values().cloned().map(Row::Kept);
        let holders = self.holders.values().cloned().map(Row::Holder);
        let data_keys = self.data_keys.values().cloned().map(Row::DataKey);
        let trust = issuers.chain(revoked).chain(kept).chain(holders).chain(data_keys);
        let persons = self.operators.values().cloned().map(Row::Operator);
        let persons = persons.chain(self.approvals.values().cloned().map(Row::Approval));
        let trust = trust.chain(persons).chain(self.audit.values().cloned().map(Row::Audit));
        let trust = trust.chain(self.lineages.values().cloned().map(Row::Lineage));
        let drills = self.drills.values().cloned().map(Row::Drill);
        let drills = drills.chain(self.drill_schedules.values().cloned().map(Row::DrillSchedule));
        let trust = trust.chain(drills).chain(self.erasures.values().cloned().map(Row::Erasure));
        let trust = trust.chain(self.quotas.values().cloned().map(Row::Quota));
        let trust = trust.chain(self.trust.iter().cloned().map(Row::Trust));
        let trust = trust.chain(self.trust_acks.values().cloned().map(Row::TrustAck));
        let trust = trust.chain(self.bindings.values().cloned().map(Row::Binding));
        let trust = trust.chain(self.users.values().cloned().map(Row::User));
        let trust = trust.chain(self.delegations.values().cloned().map(Row::Delegation));
        let trust = trust.chain(self.session_ends.values().cloned().map(Row::SessionEnd));
        let trust = trust.chain(self.access_heads.values().copied().map(Row::AccessHead));
        let trust = trust.chain(self.custodies.values().cloned().map(Row::Custody));
        let trust = trust.chain(self.outside.values().cloned().map(Row::Outside));
        let trust = trust.chain(self.drafts.values().cloned().map(Row::Draft));
        first.chain(members).chain(placed).chain(moved).chain(heads).chain(numbers).chain(tables).chain(trust)
    }

    pub(crate) fn insert(&mut self, row: Row) {
        match row {
            Row::Federation(v) => self.federation = Some(v),
            Row::Setting(v) => drop(self.settings.insert(v.name, v.value)),
            Row::Site(v) => drop(self.sites.insert(v.id, v)),
            Row::Node(v) => drop(self.nodes.insert(v.id, v)),
            Row::Placement(v) => drop(self.placements.insert(v.region, v)),
            Row::Move(v) => drop(self.moves.insert(v.id, v)),
            Row::Head(v) => drop(self.heads.insert((v.region, v.node), v)),
            Row::Tail(v) => drop(self.tails.insert(v.id(), v)),
            Row::Numbers(v) => drop(self.numbers.entry(v.region).or_default().insert(v.start, v)),
            Row::Table(v) => drop(self.tables.entry(v.table.clone()).or_default().insert(v.version, v)),
            Row::Draft(v) => drop(self.drafts.insert((v.catalog.clone(), v.root), v)),
            Row::Issuer(v) => drop(self.issuers.insert(v.key_id.clone(), v)),
            Row::Revocation(v) => drop(self.revocations.insert(v.serial.clone(), v)),
            Row::Holder(v) => drop(self.holders.insert(v.name.clone(), v)),
            Row::DataKey(v) => drop(self.data_keys.insert((v.region, v.id), v)),
            Row::Operator(v) => drop(self.operators.insert(v.id.clone(), v)),
            Row::Drill(v) => drop(self.drills.insert(v.id, v)),
            Row::Quota(v) => drop(self.quotas.insert(v.region, v)),
            Row::Trust(v) => self.trust = Some(v),
            Row::TrustAck(v) => drop(self.trust_acks.insert(v.node, v)),
            Row::Binding(v) => drop(self.bindings.insert((v.operator.clone(), v.role, v.platform), v)),
            Row::User(v) => drop(self.users.insert(v.subject.clone(), v)),
            Row::Delegation(v) => {
                self.delegations_by.entry(v.mandate.enterprise.clone()).or_default().insert(v.id);
                self.delegations.insert(v.id, v);
            }
            Row::SessionEnd(v) => drop(self.session_ends.insert(v.serial.clone(), v)),
            Row::AccessHead(v) => drop(self.access_heads.insert(v.node, v)),
            Row::Custody(v) => drop(self.custodies.insert(v.ca, v)),
            Row::Outside(v) => drop(self.outside.insert(v.key, v)),
            Row::DrillSchedule(v) => drop(self.drill_schedules.insert((v.region, v.name.clone()), v)),
            Row::Erasure(v) => drop(self.erasures.insert((v.region, v.target), v)),
            Row::Approval(v) => drop(self.approvals.insert(v.id, v)),
            Row::Audit(v) => {
                self.audit_ids.insert(v.decided_by_command, v.seq);
                self.audit.insert(v.seq, v);
            }
            Row::Lineage(v) => drop(self.lineages.insert(v.generation, v)),
            Row::Kept(v) => {
                self.kept_ids.insert(v.id, v.seq);
                self.kept.insert(v.seq, v);
            }
        }
    }
}

/// What makes a repeated command the same: of a signed one what was signed, else every bit. A node adds plan and move id anew
/// when an operator repeats a command after a timeout; that is still the same command.
fn content(command: &Command) -> Digest {
    match command.proof {
        Some(_) => Digest::of(&codec::encode(&(&command.by, command.op.statement().digest()))),
        None => Digest::of(&codec::encode(&(&command.by, &command.op))),
    }
}

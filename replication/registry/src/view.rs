//! Questions that can be answered from the state alone.

use crate::{
    Approval, Audit, Backup, CaCustody, CommandId, Drill, DrillSchedule, DrillStart, DurabilityMode,
    Federation, Head, Isolation, Issuer, Mode, MoveKind, MoveRecord, Node, NodeState, NumberBlock, Operator,
    Placement, Quota, QuotaLimits, Revocation, Site, State, TableId, TableVersion, Tail,
};
use eport_model::{
    CertificateMark, Digest, Distrust, Epoch, MoveId, NodeId, Position, RegionCode, SiteId, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Whether a platform stands on nodes of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// At least one home node, not removed, is or was its primary.
    Physical,
    /// Hosted by others.
    Virtual,
}

/// Time between the commit of a table version and its effect, in production, unless the setting says otherwise.
const PUBLISH_LEAD_MS: i64 = 600_000;

/// Wait before a primary degrades, in production and in `dev` and `demo` (design §5).
const DEGRADE_WAIT_MS: u64 = 60_000;
const DEGRADE_WAIT_RELAXED_MS: u64 = 3_000;

/// Wait before a silent backup is dropped: well before the primary would degrade, and well after a restart of the backup.
const SHRINK_WAIT_MS: u64 = 20_000;
const SHRINK_WAIT_RELAXED_MS: u64 = 1_500;

impl State {
    /// The federation, once founded.
    pub fn federation(&self) -> Option<&Federation> {
        self.federation.as_ref()
    }

    /// How strict the federation is; strict before it is founded.
    pub fn mode(&self) -> Mode {
        self.federation.as_ref().map_or(Mode::Production, |f| f.mode)
    }

    /// A setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Time between the commit of a table version and its effect: the setting `publish_lead_ms`, else 10 minutes in
    /// production and 0 in `dev` and `demo`.
    pub fn publish_lead_ms(&self) -> i64 {
        let default = if self.mode().relaxed() { 0 } else { PUBLISH_LEAD_MS };
        self.setting("publish_lead_ms").and_then(|v| v.parse().ok()).filter(|ms| *ms >= 0).unwrap_or(default)
    }

    /// All sites by id.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// A site.
    pub fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.get(&id)
    }

    /// All nodes by id, removed ones included.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// True when the node is a member: up or draining.
    pub fn is_member(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(Node::is_member)
    }

    /// Nodes whose home is the platform, removed ones left out.
    pub fn home_nodes(&self, region: RegionCode) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(move |n| n.region == region && n.state != NodeState::Removed)
    }

    /// All placements by region.
    pub fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.placements.values()
    }

    /// A placement.
    pub fn placement(&self, region: RegionCode) -> Option<&Placement> {
        self.placements.get(&region)
    }

    /// Whether the platform stands on nodes of its own (design §6).
    pub fn kind(&self, region: RegionCode) -> Kind {
        let served = |node: NodeId| {
            self.placement(region)
                .is_some_and(|p| p.primary == node || p.history.iter().any(|h| h.primary == node))
        };
        if self.home_nodes(region).any(|n| served(n.id)) { Kind::Physical } else { Kind::Virtual }
    }

    /// True when a physical platform is served by a node whose home is elsewhere.
    pub fn is_away(&self, placement: &Placement) -> bool {
        self.kind(placement.region) == Kind::Physical
            && self.node(placement.primary).is_none_or(|n| n.region != placement.region)
    }

    /// True when acknowledgements of `backup` count under `primary`: another site, or the policy says same site.
    pub fn counts_under(&self, same_site: bool, primary: NodeId, backup: NodeId) -> bool {
        same_site || self.other_site(primary, backup)
    }

    /// True when the two nodes stand on different sites; an unknown node never does.
    pub fn other_site(&self, a: NodeId, b: NodeId) -> bool {
        matches!((self.node(a), self.node(b)), (Some(a), Some(b)) if a.site != b.site)
    }

    /// True when acknowledgements of this backup count in its placement.
    pub fn counted(&self, placement: &Placement, backup: NodeId) -> bool {
        self.counts_under(placement.policy.same_site, placement.primary, backup)
    }

    /// Counted in-sync backups, leaving ones included: the n of the seal quorum.
    pub fn in_sync_counted<'a>(&'a self, placement: &'a Placement) -> impl Iterator<Item = &'a Backup> {
        placement.backups.iter().filter(|b| b.in_sync && self.counted(placement, b.node))
    }

    /// Sealed answers of counted in-sync backups that a failover needs: n − proven_k + 1. It exceeds n when nothing is
    /// proven, so that no number of answers suffices; it is 0 when nothing was ever acknowledged as replicated.
    pub fn seal_quorum(&self, placement: &Placement) -> usize {
        (self.in_sync_counted(placement).count() + 1).saturating_sub(placement.proven_k)
    }

    /// Acknowledgements an answer needs now: k, under `auto_sync` at most the counted in-sync backups, 0 under `async`.
    pub fn effective_k(&self, placement: &Placement) -> usize {
        match placement.policy.durability {
            DurabilityMode::Async => 0,
            DurabilityMode::Sync => placement.policy.k,
            DurabilityMode::AutoSync => {
                let staying = self.in_sync_counted(placement).filter(|b| !b.leaving).count();
                placement.policy.k.min(staying)
            }
        }
    }

    /// How long a primary that may degrade waits after the last acknowledgement it received. By the mode of the federation,
    /// which never changes: primary and judges of a failover must use the same number.
    pub fn degrade_wait_ms(&self) -> u64 {
        if self.mode().relaxed() { DEGRADE_WAIT_RELAXED_MS } else { DEGRADE_WAIT_MS }
    }

    /// How long a counted backup under `auto_sync` may be silent before its primary drops it. By mode.
    pub fn shrink_wait_ms(&self) -> u64 {
        if self.mode().relaxed() { SHRINK_WAIT_RELAXED_MS } else { SHRINK_WAIT_MS }
    }

    /// The newest record format that everybody who keeps this journal reads: its primary writes no newer kind.
    pub fn read_by_all(&self, placement: &Placement) -> u16 {
        let holders = std::iter::once(placement.primary).chain(placement.backups.iter().map(|b| b.node));
        holders.filter_map(|n| self.node(n)).map(|n| n.reads).min().unwrap_or(1)
    }

    /// True when the primary of this placement, as far as the policy goes, may degrade.
    pub fn may_degrade(&self, placement: &Placement) -> bool {
        let policy = placement.policy;
        policy.durability == DurabilityMode::AutoSync && policy.isolation == Isolation::Degrade
    }

    /// True when the primary still has to show that it knows the policy and the in-sync set, or that nothing is left of what a
    /// former one let it answer alone.
    pub fn awaits_primary(&self, placement: &Placement) -> bool {
        !placement.seen || placement.degrade_k > crate::decide::degrade_k(self, placement)
    }

    /// True when `last`, as a node shows it in a failover, agrees with what the registry knows that it had. A backup that was taken
    /// in sync in the present epoch, or a primary that has opened it, and shows nothing of it, is an old copy of its data. A tail that a
    /// failover left behind, be its epoch a later one than that of the record which the present epoch follows, witnesses nothing.
    pub fn may_witness(&self, placement: &Placement, node: NodeId, last: &Position) -> bool {
        if !placement.is_on_branch(last) {
            return false;
        }
        let shows_epoch = last.epoch >= placement.epoch;
        if node == placement.primary {
            let head = self.newest_head(placement.region, placement.epoch);
            let opened = head != Position::ZERO || placement.backups.iter().any(|b| b.in_sync && b.level);
            return !opened || (shows_epoch && last.index >= head.index);
        }
        shows_epoch || !placement.backup(node).is_some_and(|b| b.in_sync && b.level)
    }

    /// True when these answers prove that no acknowledged record is lost by a failover: the old primary's own, or a seal
    /// quorum of which enough show that their primary cannot have degraded before.
    pub fn proves(
        &self,
        placement: &Placement,
        sealed: impl Fn(NodeId) -> bool,
        fresh: impl Fn(NodeId) -> bool,
    ) -> bool {
        let answers = self.in_sync_counted(placement).filter(|b| sealed(b.node));
        let (have, undegraded) =
            answers.fold((0, 0), |(all, new), b| (all + 1, new + usize::from(fresh(b.node))));
        sealed(placement.primary)
            || (have >= self.seal_quorum(placement) && undegraded >= placement.degrade_k)
    }

    /// A move.
    pub fn movement(&self, id: MoveId) -> Option<&MoveRecord> {
        self.moves.get(&id)
    }

    /// Acknowledged records that a move lost. Whatever needed no permission to lose lost nothing; after a permitted loss it is
    /// what the old primary's tail holds, once it has come back and exported that. `None` while it is not known.
    pub fn lost_records(&self, m: &MoveRecord) -> Option<u64> {
        match m.state {
            crate::MoveState::Done if !m.accept_data_loss => Some(0),
            crate::MoveState::Done => {
                let tail = m.exported_tail.as_deref().and_then(|id| self.tail(id));
                tail.map(crate::Tail::records)
            }
            crate::MoveState::Aborted => Some(0),
            _ => None,
        }
    }

    /// Moves of a platform, oldest first.
    pub fn moves_of(&self, region: RegionCode) -> Vec<&MoveRecord> {
        let mut out: Vec<_> = self.moves.values().filter(|m| m.region == region).collect();
        out.sort_by_key(|m| (m.version_before, m.id));
        out
    }

    /// The newest failover of a platform opened on `version` or later that is under way or done: a command planned on
    /// that version joins it.
    pub fn failover_since(&self, region: RegionCode, version: u64) -> Option<&MoveRecord> {
        use crate::MoveState::{Done, Running};
        self.moves_of(region).into_iter().rev().find(|m| {
            m.kind == MoveKind::Failover && m.version_before >= version && matches!(m.state, Running | Done)
        })
    }

    /// The head that a node published of a platform.
    pub fn head(&self, region: RegionCode, node: NodeId) -> Option<&Head> {
        self.heads.get(&(region, node))
    }

    /// The newest head of the platform that was published in this epoch; `Position::ZERO` for none.
    pub fn newest_head(&self, region: RegionCode, epoch: Epoch) -> Position {
        let of_region =
            self.heads.range((region, NodeId::default())..).take_while(|((r, _), _)| *r == region);
        let heads = of_region.map(|(_, head)| head.position).filter(|p| p.epoch == epoch);
        heads.max_by_key(|p| p.index).unwrap_or(Position::ZERO)
    }

    /// All tails by id.
    pub fn tails(&self) -> impl Iterator<Item = &Tail> {
        self.tails.values()
    }

    /// A tail.
    pub fn tail(&self, id: &str) -> Option<&Tail> {
        self.tails.get(id)
    }

    /// Bodies of a platform that operators have ordered to be erased, by record.
    pub fn erasures(&self, region: RegionCode) -> impl Iterator<Item = &crate::Erasure> {
        self.erasures.values().filter(move |e| e.region == region)
    }

    /// The order to erase this body, if there is one.
    pub fn erasure(&self, region: RegionCode, target: &crate::EraseTarget) -> Option<&crate::Erasure> {
        self.erasures.get(&(region, *target))
    }

    /// Number blocks of one epoch, in order.
    pub fn number_blocks(&self, region: RegionCode, epoch: Epoch) -> Vec<NumberBlock> {
        let blocks = self.numbers.get(&region).into_iter().flat_map(|b| b.values());
        blocks.filter(|b| b.epoch == epoch).copied().collect()
    }

    /// All tables by id.
    pub fn tables(&self) -> impl Iterator<Item = &TableId> {
        self.tables.keys().filter(|id| id.kind == crate::CatalogKind::Table)
    }

    /// All catalogs by id, of every kind, also those of which there are only drafts.
    pub fn catalogs(&self) -> impl Iterator<Item = &TableId> {
        let known = self.tables.keys();
        let drafted = self.drafts.keys().map(|(id, _)| id).filter(|id| !self.tables.contains_key(*id));
        let mut before = None;
        known.chain(drafted.filter(move |id| before.replace(*id) != Some(*id)))
    }

    /// Versions of a table, oldest first.
    pub fn table_versions(&self, table: &TableId) -> impl DoubleEndedIterator<Item = &TableVersion> {
        self.tables.get(table).into_iter().flat_map(|v| v.values())
    }

    /// Versions of a catalog of any kind, oldest first.
    pub fn catalog_versions(&self, id: &TableId) -> impl DoubleEndedIterator<Item = &TableVersion> {
        self.table_versions(id)
    }

    /// Contents that are being brought to the nodes.
    pub fn drafts(&self) -> impl Iterator<Item = &crate::Draft> {
        self.drafts.values()
    }

    /// The draft of a content.
    pub fn draft(&self, id: &TableId, root: &eport_model::Digest) -> Option<&crate::Draft> {
        self.drafts.get(&(id.clone(), *root))
    }

    /// The newest version of a table, in force or not yet.
    pub fn table_newest(&self, table: &TableId) -> Option<&TableVersion> {
        self.table_versions(table).next_back()
    }

    /// The version in force at an instant: the latest effective one, of equal ones the newest; what was withdrawn never was.
    pub fn table_as_of(&self, table: &TableId, at: Timestamp) -> Option<&TableVersion> {
        let known = self.table_versions(table).filter(|v| v.effective <= at && !v.is_withdrawn());
        known.max_by_key(|v| (v.effective, v.version))
    }

    /// All operators by id.
    pub fn operators(&self) -> impl Iterator<Item = &Operator> {
        self.operators.values()
    }

    /// An operator.
    pub fn operator(&self, id: &str) -> Option<&Operator> {
        self.operators.get(id)
    }

    /// How many certificates are revoked.
    pub fn revoked_count(&self) -> usize {
        self.revocations.len()
    }

    /// Whether an operator may issue and revoke certificates: listed with such a role and not suspended; one that is not
    /// listed may while signatures are optional.
    pub fn administers(&self, id: &str) -> bool {
        let permits = |r: &crate::OperatorRole| r.permits(crate::Permission::AdministerCertificates);
        match self.operators.get(id) {
            Some(known) => !known.suspended && known.roles.iter().any(permits),
            None => !self.signatures_required(),
        }
    }

    /// All approvals by id: waiting, decided and expired ones.
    pub fn approvals(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.values()
    }

    /// An approval.
    pub fn approval(&self, id: CommandId) -> Option<&Approval> {
        self.approvals.get(&id)
    }

    /// All drills by id.
    pub fn drills(&self) -> impl Iterator<Item = &Drill> {
        self.drills.values()
    }

    /// A drill.
    pub fn drill(&self, id: CommandId) -> Option<&Drill> {
        self.drills.get(&id)
    }

    /// The drill under way.
    pub fn running_drill(&self) -> Option<&Drill> {
        self.drills.values().find(|d| d.is_running())
    }

    /// The platforms of a drill that are not served by their start primary now, or are being moved.
    pub fn drill_away(&self, drill: &Drill) -> Vec<DrillStart> {
        let back = |s: &&DrillStart| {
            // A platform that is gone is nobody's to put back.
            self.placement(s.region).is_none_or(|p| p.primary == s.primary && p.state.move_id().is_none())
        };
        drill.start.iter().filter(|s| !back(s)).copied().collect()
    }

    /// All schedules of drills, by platform and name.
    pub fn drill_schedules(&self) -> impl Iterator<Item = &DrillSchedule> {
        self.drill_schedules.values()
    }

    /// A schedule.
    pub fn drill_schedule(&self, region: RegionCode, name: &str) -> Option<&DrillSchedule> {
        self.drill_schedules.get(&(region, name.to_owned()))
    }

    /// The quota of a platform, if one was ever set.
    pub fn quota(&self, region: RegionCode) -> Option<&Quota> {
        self.quotas.get(&region)
    }

    /// What a platform may take; without a quota anything.
    pub fn quota_limits(&self, region: RegionCode) -> QuotaLimits {
        self.quota(region).map(|q| q.limits).unwrap_or_default()
    }

    /// When a schedule's next drill is due.
    pub fn drill_due(&self, schedule: &DrillSchedule) -> Timestamp {
        let same = |d: &&Drill| d.name == schedule.name && d.region == schedule.region && d.is_complete();
        schedule.due(self.drills.values().filter(same).map(|d| d.begun).max())
    }

    /// The audit, oldest first.
    pub fn audit(&self) -> impl DoubleEndedIterator<Item = &Audit> {
        self.audit.values()
    }

    /// All settings by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All issuers by key id.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.values()
    }

    /// All revocations by serial.
    pub fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.revocations.values()
    }

    /// Custody of an issuing CA's key.
    pub fn custody(&self, ca: &Digest) -> Option<&CaCustody> {
        self.custodies.get(ca)
    }

    /// All custodies by CA.
    pub fn custodies(&self) -> impl Iterator<Item = &CaCustody> {
        self.custodies.values()
    }

    /// The revocation of a certificate in whatever form: by its serial, by its CA's own list, by its key or its CA's, by the epoch
    /// that issued it.
    pub fn revoked(&self, mark: &CertificateMark<'_>) -> Option<&Revocation> {
        let listed = Distrust::Listed { issuer: mark.issuer, serial: mark.serial.to_owned() };
        let of_key = |key| self.revocation(&Distrust::Key(key).to_string());
        let prefix = format!("epoch/{}/", mark.issuer);
        let epochs = self.revocations.range(prefix.clone()..);
        let of_epoch = || {
            epochs
                .take_while(|(text, _)| text.starts_with(&prefix))
                .map(|(_, r)| r)
                .find(|r| r.serial.parse::<Distrust>().is_ok_and(|rule| rule.covers(mark)))
        };
        self.revocation(mark.serial)
            .or_else(|| self.revocation(&listed.to_string()))
            .or_else(|| of_key(mark.key))
            .or_else(|| of_key(mark.issuer))
            .or_else(of_epoch)
    }

    /// The revocation of a serial that the CA's ledger does not know: what an epoch issued behind the ledger's end is unknown to it.
    pub fn revoked_unknown(&self, issuer: &Digest, serial: &str) -> Option<&Revocation> {
        let mark = CertificateMark { serial, key: *issuer, issuer: *issuer, not_before: i64::MAX };
        self.revoked(&mark)
    }

    /// Why a CA is trusted no more: its certificate's serial, or its key.
    pub fn revoked_ca(&self, serial: &str, key: Digest) -> Option<&Revocation> {
        self.revocation(serial).or_else(|| self.revocation(&Distrust::Key(key).to_string()))
    }

    /// The revocation of a serial.
    pub fn revocation(&self, serial: &str) -> Option<&Revocation> {
        self.revocations.get(serial)
    }
}

//! What stands against removing a node for good. Design §3.
//!
//! What always holds: nothing is removed while the federation would lose the only place of something by it: a duty in a placement, the
//! key of a CA, or records that nobody has decided on.

use crate::movement::OLD_PRIMARY_RETURNED;
use crate::{IssuerState, MoveKind, MoveState, NodeState, State, TailState};
use eport_model::{Digest, Epoch, NodeId, RegionCode};
use std::fmt;

/// One reason against it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RemovalObstacle {
    /// It is primary of a platform.
    Primary(RegionCode),
    /// A placement names it as a backup.
    Backup(RegionCode),
    /// It is the last node of a platform whose CA's key is in nobody's custody.
    CaKey(RegionCode),
    /// Records that it left behind wait for a decision.
    TailWaits(String),
    /// It was the primary of an epoch that a failover ended, and has not shown since what that left behind.
    TailUnknown {
        /// The platform.
        region: RegionCode,
        /// The epoch.
        epoch: Epoch,
    },
}

impl RemovalObstacle {
    /// True when an operator may declare it away: whatever the disk held is known to be lost.
    pub fn may_be_declared_lost(&self) -> bool {
        matches!(self, RemovalObstacle::TailUnknown { .. })
    }

    /// What to do about it, in Chinese and English.
    pub fn advice(&self) -> (String, String) {
        match self {
            RemovalObstacle::Primary(r) => (
                format!("先执行 eport platform switchover {r} --to 其他节点"),
                format!("first: eport platform switchover {r} --to ANOTHER"),
            ),
            RemovalObstacle::Backup(r) => (
                format!("在平台 {r} 的策略中以其他节点替换它：eport platform policy {r} --backup 节点"),
                format!("replace it in the policy of {r}: eport platform policy {r} --backup NODE"),
            ),
            RemovalObstacle::CaKey(r) => (
                format!("先分存平台 {r} 的 CA 密钥：eport ca export"),
                format!("first divide the CA key of {r} among holders: eport ca export"),
            ),
            RemovalObstacle::TailWaits(id) => {
                (format!("先处理：eport tail show {id}"), format!("decide first: eport tail show {id}"))
            }
            RemovalObstacle::TailUnknown { region, .. } => (
                format!(
                    "启动该节点，或执行 eport tail export {region} --offline 后导入；确已丢失时加 --tail-lost"
                ),
                format!(
                    "start it, or bring its tail: eport tail export {region} --offline DIR; if its disk is lost: --tail-lost"
                ),
            ),
        }
    }
}

impl fmt::Display for RemovalObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemovalObstacle::Primary(region) => write!(f, "primary of platform {region}"),
            RemovalObstacle::Backup(region) => write!(f, "backup of platform {region}"),
            RemovalObstacle::CaKey(region) => write!(f, "the only holder of the CA key of platform {region}"),
            RemovalObstacle::TailWaits(id) => write!(f, "where {id} comes from, which waits for a decision"),
            RemovalObstacle::TailUnknown { region, epoch } => {
                write!(f, "the former primary of platform {region} in epoch {epoch}, whose tail nobody knows")
            }
        }
    }
}

impl State {
    /// Everything that stands against removing a node; nothing when it can go.
    pub fn removal_obstacles(&self, node: NodeId) -> Vec<RemovalObstacle> {
        let mut out: Vec<RemovalObstacle> = Vec::new();
        for p in self.placements() {
            match p.primary == node {
                true => out.push(RemovalObstacle::Primary(p.region)),
                false if p.backup(node).is_some() => out.push(RemovalObstacle::Backup(p.region)),
                false => {}
            }
        }
        out.extend(self.sole_ca_key(node));
        let waiting = self.tails().filter(|t| t.node == node && t.state == TailState::Exported);
        out.extend(waiting.map(|t| RemovalObstacle::TailWaits(t.id())));
        out.extend(self.placements().filter_map(|p| self.unknown_tail(p.region, node)));
        out
    }

    /// The key of a platform's CA lies on its own nodes. A key whose shares are held by persons travels with the journal.
    fn sole_ca_key(&self, node: NodeId) -> Option<RemovalObstacle> {
        let region = self.node(node).filter(|n| n.state != NodeState::Removed)?.region;
        let last = self.home_nodes(region).all(|n| n.id == node);
        let kept = |key_id: &str| key_id.parse::<Digest>().is_ok_and(|ca| self.custody(&ca).is_some());
        let used = |state: IssuerState| state != IssuerState::Retired;
        let bare = self.issuers().any(|i| i.platform == Some(region) && used(i.state) && !kept(&i.key_id));
        (last && bare).then_some(RemovalObstacle::CaKey(region))
    }

    /// The newest failover away from the node, when it has shown neither its tail nor a record of a later epoch since.
    fn unknown_tail(&self, region: RegionCode, node: NodeId) -> Option<RemovalObstacle> {
        let moves = self.moves_of(region);
        let lost = moves.iter().rev().find(|m| m.from == node && m.state == MoveState::Done)?;
        let epoch = lost.epoch_before;
        let shown = lost.steps.iter().any(|s| s.name == OLD_PRIMARY_RETURNED)
            || self.head(region, node).is_some_and(|h| h.position.epoch > epoch)
            || self.tails().any(|t| t.region == region && t.node == node && t.epoch >= epoch);
        let left = lost.kind == MoveKind::Failover && !shown;
        left.then_some(RemovalObstacle::TailUnknown { region, epoch })
    }
}

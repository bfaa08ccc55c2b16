//! What is lost when sites are: for each platform, what of its data and what of its service.
//!
//! The rule of the registry decides: with n counted in-sync copies of which `proven_k` are proven to hold every acknowledged
//! record, n − proven_k + 1 survivors that seal are certain to have it all. Fewer may have it, or may not: then the loss is
//! named, although it may turn out smaller.

use crate::{Picture, PlatformFact};
use eport_model::{NodeId, RegionCode, SiteId};
use eport_registry::{DurabilityMode, FailoverMode, Isolation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Pairs are all listed up to this number of sites: 496 pairs. Beyond, pairs that cost no more than their sites are left out.
const SITES_LISTED: usize = 32;

/// How bad it is, least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nothing acknowledged is lost, and the platform serves again after a failover at most.
    Nothing,
    /// Nothing acknowledged is lost, but no write is taken until somebody mends more than the primary.
    PlatformUnavailable,
    /// The newest records, those that no surviving copy provably holds, may be lost.
    UnreplicatedTail,
    /// No copy is left.
    DataLost,
}

/// What becomes of the service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The primary goes on as its policy promises.
    Continues,
    /// The primary goes on, but answers promise only the primary's own disk.
    Local,
    /// Nodes take over by themselves.
    FailsOver,
    /// It waits for `eport platform failover`.
    Operator,
    /// A failover is possible, but writes wait then: too few copies are left for the policy.
    Blocked,
    /// The registry has no quorum: nothing moves until it is recovered.
    NoQuorum,
    /// Nobody has it.
    Gone,
}

/// Why these sites are lost together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// One site.
    Site,
    /// Two sites at the same time.
    Pair,
    /// All sites that share a label.
    Group(String),
}

/// What one platform loses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlatformLoss {
    /// The platform.
    pub region: RegionCode,
    /// How bad.
    pub class: Class,
    /// What becomes of the service.
    pub service: Service,
    /// Records that may be lost, where known.
    pub records: Option<u64>,
    /// Who still has a copy.
    pub survivors: Vec<NodeId>,
}

/// What the loss of some sites costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Loss {
    /// Why together.
    pub cause: Cause,
    /// The sites.
    pub sites: Vec<SiteId>,
    /// The registry loses its quorum.
    pub quorum_lost: bool,
    /// The worst of all platforms.
    pub worst: Class,
    /// Platforms that lose or change anything.
    pub platforms: Vec<PlatformLoss>,
}

/// Every site, every pair of sites and every group of sites that share a label, in that order. With more than 32 sites, pairs
/// that cost no more than their two sites one by one are left out.
pub fn losses(picture: &Picture) -> Vec<Loss> {
    let sites: Vec<SiteId> = picture.sites.keys().copied().collect();
    let singles: Vec<Loss> = sites.iter().map(|s| loss(picture, Cause::Site, &[*s])).collect();
    let mut pairs = Vec::new();
    for (i, a) in sites.iter().enumerate() {
        for (j, b) in sites.iter().enumerate().skip(i + 1) {
            let pair = loss(picture, Cause::Pair, &[*a, *b]);
            let alone = singles.get(i).map(|l| l.worst).max(singles.get(j).map(|l| l.worst));
            if sites.len() <= SITES_LISTED || Some(pair.worst) > alone {
                pairs.push(pair);
            }
        }
    }
    let mut groups: Vec<Loss> = Vec::new();
    let labels: BTreeSet<&String> = picture.sites.values().flat_map(|s| &s.groups).collect();
    for label in labels {
        let members: Vec<SiteId> =
            picture.sites.iter().filter(|(_, s)| s.groups.contains(label)).map(|(id, _)| *id).collect();
        if members.len() > 1 {
            groups.push(loss(picture, Cause::Group(label.clone()), &members));
        }
    }
    singles.into_iter().chain(pairs).chain(groups).collect()
}

/// What the loss of these sites costs.
pub fn loss(picture: &Picture, cause: Cause, sites: &[SiteId]) -> Loss {
    let lost: BTreeSet<SiteId> = sites.iter().copied().collect();
    let gone = |node: NodeId| picture.site_of(node).is_none_or(|s| lost.contains(&s));
    let voters_left = picture.voters.iter().filter(|v| !gone(**v)).count();
    let quorum_lost = !picture.voters.is_empty() && voters_left * 2 <= picture.voters.len();
    let all = picture.platforms.values().map(|p| platform_loss(picture, p, &lost, quorum_lost));
    let platforms: Vec<PlatformLoss> =
        all.filter(|p| p.class > Class::Nothing || p.service > Service::Continues).collect();
    let worst = platforms.iter().map(|p| p.class).max().unwrap_or(Class::Nothing);
    Loss { cause, sites: sites.to_vec(), quorum_lost, worst, platforms }
}

/// What one platform loses with some sites.
pub(crate) fn platform_loss(
    picture: &Picture,
    p: &PlatformFact,
    lost: &BTreeSet<SiteId>,
    quorum_lost: bool,
) -> PlatformLoss {
    let stays = |node: NodeId| picture.site_of(node).is_some_and(|s| !lost.contains(&s));
    let survivors: Vec<NodeId> =
        p.copies.iter().map(|c| c.node).chain([p.primary]).filter(|n| stays(*n)).collect();
    let (class, service, records) = if stays(p.primary) {
        primary_stays(picture, p, &stays, quorum_lost)
    } else {
        primary_lost(picture, p, &stays, quorum_lost)
    };
    PlatformLoss { region: p.region, class, service, records, survivors }
}

type Verdict = (Class, Service, Option<u64>);

fn primary_stays(
    picture: &Picture,
    p: &PlatformFact,
    stays: &dyn Fn(NodeId) -> bool,
    quorum_lost: bool,
) -> Verdict {
    // A lease that nobody can renew ends, and the primary stops with it.
    if p.policy.failover == FailoverMode::Auto && quorum_lost {
        return (Class::PlatformUnavailable, Service::NoQuorum, None);
    }
    let counted = |c: &&crate::Copy| c.in_sync && !c.leaving && picture.counted(p, c.node);
    let before = p.copies.iter().filter(counted).count();
    let left = p.copies.iter().filter(counted).filter(|c| stays(c.node)).count();
    match p.policy.durability {
        DurabilityMode::Async => (Class::Nothing, Service::Continues, None),
        _ if left >= p.policy.k => (Class::Nothing, Service::Continues, None),
        DurabilityMode::Sync => (Class::PlatformUnavailable, Service::Blocked, None),
        // Nothing had to be waited for before, and nothing has to be now.
        DurabilityMode::AutoSync if left == before => (Class::Nothing, Service::Continues, None),
        // The shrink must be recorded, by the registry or, with `degrade`, in the platform's own journal.
        DurabilityMode::AutoSync if quorum_lost && p.policy.isolation == Isolation::Block => {
            (Class::PlatformUnavailable, Service::NoQuorum, None)
        }
        DurabilityMode::AutoSync if left > 0 => (Class::Nothing, Service::Continues, None),
        DurabilityMode::AutoSync => (Class::Nothing, Service::Local, None),
    }
}

fn primary_lost(
    picture: &Picture,
    p: &PlatformFact,
    stays: &dyn Fn(NodeId) -> bool,
    quorum_lost: bool,
) -> Verdict {
    let left: Vec<&crate::Copy> = p.copies.iter().filter(|c| stays(c.node)).collect();
    if left.is_empty() {
        return (Class::DataLost, Service::Gone, p.records);
    }
    let counted: Vec<&crate::Copy> =
        p.copies.iter().filter(|c| c.in_sync && picture.counted(p, c.node)).collect();
    let sealing = counted.iter().filter(|c| stays(c.node)).count();
    // As `State::seal_quorum`: with nothing proven no number of answers suffices.
    let certain = sealing > 0 && sealing + p.proven_k > counted.len();
    let service = if quorum_lost {
        Service::NoQuorum
    } else if !certain {
        // Only with `--accept-data-loss`, so by a person.
        Service::Operator
    } else if p.policy.durability == DurabilityMode::Sync && !enough_after(picture, p, &left) {
        Service::Blocked
    } else if p.policy.failover == FailoverMode::Auto {
        Service::FailsOver
    } else {
        Service::Operator
    };
    if !certain {
        // What the best survivor lacks, if it said so.
        return (Class::UnreplicatedTail, service, left.iter().filter_map(|c| c.lag).min());
    }
    let class = match service {
        Service::Blocked | Service::NoQuorum => Class::PlatformUnavailable,
        _ => Class::Nothing,
    };
    (class, service, None)
}

/// Whether some survivor, as the new primary, has k others whose acknowledgements count.
fn enough_after(picture: &Picture, p: &PlatformFact, left: &[&crate::Copy]) -> bool {
    left.iter().filter(|c| c.in_sync).any(|new| {
        let moved = PlatformFact { primary: new.node, ..p.clone() };
        let acks = left.iter().filter(|c| c.in_sync && c.node != new.node && picture.counted(&moved, c.node));
        acks.count() >= p.policy.k
    })
}

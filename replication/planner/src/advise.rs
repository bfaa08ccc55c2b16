//! Who should back whom.
//!
//! Each platform wants copies on max(2, k + 1) sites other than its primary's: it then survives any site and still writes
//! after the next. They are given in rounds, one site a platform and round, so that nobody gets a second copy while somebody
//! could have had a first. Within a round a site is preferred that shares neither power nor network with the copies before
//! it, that answers, that has the copy already (a new one is a bootstrap over the wide area), the province's for a city, and
//! then the least busy one.

use crate::matching::{Room, Round};
use crate::{Copy, Picture, PlatformFact};
use eport_model::{NodeId, RegionCode, SiteId};
use eport_registry::DurabilityMode;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most sites that a proposal gives one platform, whatever its k.
const COPIES_MAX: usize = 4;

/// Why a node was chosen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has the copy already.
    Kept,
    /// The province protects a city.
    Province,
    /// A city protects.
    City,
    /// It shares this with the primary's site, and no better site has room.
    Shares(String),
    /// It does not answer now, and no better site has room.
    Silent,
}

/// A backup of a proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// The node.
    pub node: NodeId,
    /// Where it stands.
    pub site: SiteId,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// The proposal for one platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// The platform.
    pub region: RegionCode,
    /// Its primary, which a proposal never changes.
    pub primary: NodeId,
    /// The backups it should have, the most wanted first; all with role `sync`.
    pub backups: Vec<Choice>,
    /// It takes `sync` with k = 1 as well: under `async` no copy is sure to have the newest documents.
    pub sync: bool,
    /// Sites that were wanted and could not be given.
    pub short: usize,
    /// It differs from what the registry says now.
    pub changed: bool,
}

/// Copies that a node keeps, primaries included.
type Load = BTreeMap<NodeId, usize>;
type Chosen = BTreeMap<RegionCode, Vec<(SiteId, NodeId)>>;

/// A proposal for every platform, by region.
pub fn advise(picture: &Picture) -> Vec<Advice> {
    let mut load = Load::new();
    for p in picture.platforms.values() {
        *load.entry(p.primary).or_default() += 1;
    }
    let mut room = room(picture);
    let mut chosen = Chosen::new();
    let rounds = picture.platforms.values().map(|p| wanted(picture, p)).max().unwrap_or(0);
    for n in 0..rounds {
        let mut round = Round::new(&room);
        for p in picture.platforms.values().filter(|p| wanted(picture, p) > n) {
            let before = chosen.get(&p.region).map(Vec::as_slice).unwrap_or_default();
            // One that went without in this round's turn before gets no later copy either: its sites are all taken.
            if before.len() == n {
                round.add(p.region, candidates(picture, p, before, &load, round.given()));
            }
        }
        let given = round.given().clone();
        for (region, site) in given {
            let Some(p) = picture.platforms.get(&region) else { continue };
            let Some(node) = node_at(picture, p, site, &load) else { continue };
            *load.entry(node).or_default() += 1;
            if let Some(left) = room.get_mut(&site) {
                *left = left.saturating_sub(1);
            }
            chosen.entry(region).or_default().push((site, node));
        }
    }
    picture.platforms.values().map(|p| advice(picture, p, chosen.get(&p.region))).collect()
}

/// The picture as it is once every proposal is carried out and caught up.
pub fn proposed(picture: &Picture, advices: &[Advice]) -> Picture {
    let mut after = picture.clone();
    for a in advices.iter().filter(|a| a.changed) {
        let Some(p) = after.platforms.get_mut(&a.region) else { continue };
        if a.sync {
            p.policy.durability = DurabilityMode::Sync;
            p.policy.k = 1;
        }
        p.copies = a
            .backups
            .iter()
            .map(|c| Copy { node: c.node, in_sync: true, leaving: false, sync: true, lag: Some(0) })
            .collect();
        let elsewhere = p.copies.iter().filter(|c| picture.counted(p, c.node)).count();
        p.proven_k = p.policy.k.min(elsewhere);
    }
    after
}

/// Sites other than the primary's that a platform should be on; never fewer than it is on now.
fn wanted(picture: &Picture, p: &PlatformFact) -> usize {
    let k = if p.policy.durability == DurabilityMode::Async { 1 } else { p.policy.k };
    let home = picture.site_of(p.primary);
    let staying = p.copies.iter().filter(|c| !c.leaving).filter_map(|c| picture.site_of(c.node));
    let now: BTreeSet<SiteId> = staying.filter(|s| Some(*s) != home).collect();
    (k + 1).max(2).max(now.len()).min(COPIES_MAX.max(now.len()))
}

/// What sites have room for beside the primaries they keep.
fn room(picture: &Picture) -> Room {
    let limited = picture.sites.iter().filter_map(|(id, s)| s.copies_max.map(|max| (*id, max)));
    let primaries = |site: SiteId| {
        picture.platforms.values().filter(|p| picture.site_of(p.primary) == Some(site)).count()
    };
    limited
        .map(|(id, max)| (id, usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(primaries(id))))
        .collect()
}

/// Sites for one more copy, best first.
fn candidates(
    picture: &Picture,
    p: &PlatformFact,
    before: &[(SiteId, NodeId)],
    load: &Load,
    given: &BTreeMap<RegionCode, SiteId>,
) -> Vec<SiteId> {
    let home = picture.site_of(p.primary);
    let mut ranked: Vec<_> = picture
        .sites
        .keys()
        .filter(|s| Some(**s) != home && before.iter().all(|(site, _)| site != *s))
        .filter_map(|s| {
            let node = node_at(picture, p, *s, load)?;
            let fact = picture.nodes.get(&node)?;
            let with_home = home.is_some_and(|h| !picture.shared(h, *s).is_empty());
            let with_others = before.iter().any(|(site, _)| !picture.shared(*site, *s).is_empty());
            let new = !keeps(p, node);
            let stranger = !protects_as_province(picture, p, *s);
            let busy = load.get(&node).copied().unwrap_or(0) + given.values().filter(|g| *g == s).count();
            Some(((with_home, with_others, !fact.up, new, stranger, busy), *s))
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(_, site)| site).collect()
}

/// The node of a site that should keep a copy: the one that has it, else the least busy that answers.
fn node_at(picture: &Picture, p: &PlatformFact, site: SiteId, load: &Load) -> Option<NodeId> {
    let at_site = picture.nodes.iter().filter(|(id, n)| n.site == site && n.takes && **id != p.primary);
    let rank = |id: NodeId, up: bool| (!up, !keeps(p, id), load.get(&id).copied().unwrap_or(0), id);
    at_site.map(|(id, n)| rank(*id, n.up)).min().map(|(.., id)| id)
}

fn keeps(p: &PlatformFact, node: NodeId) -> bool {
    p.copies.iter().any(|c| c.node == node && !c.leaving)
}

/// True for a site of the province that a city belongs to.
fn protects_as_province(picture: &Picture, p: &PlatformFact, site: SiteId) -> bool {
    let stands = picture.sites.get(&site).map(|s| s.region);
    !p.region.is_province() && stands == Some(p.region.province())
}

fn advice(picture: &Picture, p: &PlatformFact, chosen: Option<&Vec<(SiteId, NodeId)>>) -> Advice {
    let chosen = chosen.map(Vec::as_slice).unwrap_or_default();
    let choice = |(site, node): &(SiteId, NodeId)| {
        let mut reasons = Vec::new();
        if keeps(p, *node) {
            reasons.push(Reason::Kept);
        }
        let province = protects_as_province(picture, p, *site);
        reasons.push(if province { Reason::Province } else { Reason::City });
        if let Some(home) = picture.site_of(p.primary) {
            reasons.extend(picture.shared(home, *site).into_iter().cloned().map(Reason::Shares));
        }
        if !picture.nodes.get(node).is_some_and(|n| n.up) {
            reasons.push(Reason::Silent);
        }
        Choice { node: *node, site: *site, reasons }
    };
    let mut backups: Vec<Choice> = chosen.iter().map(choice).collect();
    // Copies on the primary's own site stay where the policy counts them.
    let home = picture.site_of(p.primary);
    let local =
        p.copies.iter().filter(|c| p.policy.same_site && !c.leaving && picture.site_of(c.node) == home);
    backups.extend(home.into_iter().flat_map(|site| {
        local.clone().map(move |c| Choice { node: c.node, site, reasons: vec![Reason::Kept] })
    }));
    let now: BTreeSet<NodeId> = p.copies.iter().filter(|c| !c.leaving && c.sync).map(|c| c.node).collect();
    let then: BTreeSet<NodeId> = backups.iter().map(|c| c.node).collect();
    // A copy with role `async` is one that is named and not yet what is proposed.
    let sync = p.policy.durability == DurabilityMode::Async && !backups.is_empty();
    let changed = sync || now != then || p.copies.iter().any(|c| !c.leaving && !c.sync);
    Advice {
        region: p.region,
        primary: p.primary,
        short: wanted(picture, p).saturating_sub(chosen.len()),
        backups,
        sync,
        changed,
    }
}

//! What a loss costs and who should back whom, by example and for random federations.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

use eport_model::{NodeId, RegionCode, SiteId};
use eport_planner::*;
use eport_registry::{DurabilityMode, FailoverMode, Isolation, Policy};
use std::collections::{BTreeMap, BTreeSet};

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn region(code: &str) -> RegionCode {
    code.parse().unwrap()
}

fn policy(durability: DurabilityMode, k: usize) -> Policy {
    Policy {
        durability,
        k,
        isolation: Isolation::Block,
        failover: FailoverMode::Manual,
        same_site: false,
        min_durability: eport_model::Durability::Local,
    }
}

/// A federation with one node a site, `SITE-1`, and no platform.
fn federation(sites: &[(&str, &str)]) -> Picture {
    let mut picture = Picture::default();
    for (name, home) in sites {
        let fact = SiteFact { region: region(home), groups: BTreeSet::new(), copies_max: None };
        picture.sites.insert(site(name), fact);
        let fact = NodeFact { site: site(name), region: region(home), takes: true, up: true };
        picture.nodes.insert(node(&format!("{name}-1")), fact);
    }
    picture
}

fn three_sites() -> Picture {
    federation(&[("gz-a", "440000"), ("gz-c", "440100"), ("sz-a", "440300")])
}

fn put(picture: &mut Picture, code: &str, primary: &str, copies: &[&str], policy: Policy) {
    let copies: Vec<Copy> = copies
        .iter()
        .map(|n| Copy { node: node(n), in_sync: true, leaving: false, sync: true, lag: Some(3) })
        .collect();
    let proven_k = policy.k.min(copies.len());
    let fact = PlatformFact {
        region: region(code),
        primary: node(primary),
        copies,
        policy,
        proven_k,
        records: Some(100),
    };
    picture.platforms.insert(region(code), fact);
}

fn of<'a>(all: &'a [Loss], sites: &[&str]) -> &'a Loss {
    let wanted: Vec<SiteId> = sites.iter().map(|s| site(s)).collect();
    all.iter().find(|l| l.sites == wanted).unwrap()
}

fn class(loss: &Loss, code: &str) -> (Class, Service) {
    let found = loss.platforms.iter().find(|p| p.region == region(code));
    found.map_or((Class::Nothing, Service::Continues), |p| (p.class, p.service))
}

#[test]
fn with_copies_on_two_other_sites_no_single_site_costs_anything() {
    let mut picture = three_sites();
    put(&mut picture, "440300", "sz-a-1", &["gz-a-1", "gz-c-1"], policy(DurabilityMode::Sync, 1));
    let all = losses(&picture);
    assert_eq!(class(of(&all, &["sz-a"]), "440300"), (Class::Nothing, Service::Operator));
    assert_eq!(class(of(&all, &["gz-a"]), "440300"), (Class::Nothing, Service::Continues));
    // Two sites: an acknowledged record was held by one of the two backups, and perhaps by the lost one only.
    assert_eq!(class(of(&all, &["gz-a", "sz-a"]), "440300"), (Class::UnreplicatedTail, Service::Operator));
    // Both backups away: nothing is lost, and `sync` waits.
    assert_eq!(class(of(&all, &["gz-a", "gz-c"]), "440300"), (Class::PlatformUnavailable, Service::Blocked));
    assert_eq!(all.len(), 3 + 3, "every site and every pair");
}

#[test]
fn k_of_two_survives_the_primary_and_one_backup_but_then_waits() {
    let mut picture = three_sites();
    put(&mut picture, "440300", "sz-a-1", &["gz-a-1", "gz-c-1"], policy(DurabilityMode::Sync, 2));
    let all = losses(&picture);
    // One survivor has every acknowledged record, but cannot get two acknowledgements.
    assert_eq!(class(of(&all, &["gz-a", "sz-a"]), "440300"), (Class::PlatformUnavailable, Service::Blocked));
    assert_eq!(class(of(&all, &["gz-a"]), "440300"), (Class::PlatformUnavailable, Service::Blocked));
}

#[test]
fn a_single_copy_is_lost_with_its_site_and_an_asynchronous_one_loses_its_tail() {
    let mut picture = three_sites();
    put(&mut picture, "440100", "gz-c-1", &[], policy(DurabilityMode::Async, 0));
    put(&mut picture, "440300", "sz-a-1", &["gz-a-1"], policy(DurabilityMode::Async, 0));
    let all = losses(&picture);
    let gone = of(&all, &["gz-c"]);
    assert_eq!((gone.worst, gone.platforms[0].records), (Class::DataLost, Some(100)));
    let tail = of(&all, &["sz-a"]);
    assert_eq!(class(tail, "440300"), (Class::UnreplicatedTail, Service::Operator));
    assert_eq!(tail.platforms[0].records, Some(3), "what the best survivor lacks");
    assert_eq!(class(of(&all, &["gz-a"]), "440300"), (Class::Nothing, Service::Continues));
    assert_eq!(of(&all, &["gz-a", "sz-a"]).worst, Class::DataLost);
}

#[test]
fn without_a_quorum_nothing_moves_although_nothing_is_lost() {
    let mut picture = three_sites();
    put(&mut picture, "440300", "sz-a-1", &["gz-a-1", "gz-c-1"], policy(DurabilityMode::Sync, 1));
    picture.voters = [node("sz-a-1")].into();
    let all = losses(&picture);
    let loss = of(&all, &["sz-a"]);
    assert!(loss.quorum_lost);
    assert_eq!(class(loss, "440300"), (Class::PlatformUnavailable, Service::NoQuorum));
    picture.voters = [node("sz-a-1"), node("gz-a-1"), node("gz-c-1")].into();
    assert!(!of(&losses(&picture), &["sz-a"]).quorum_lost);
    assert!(of(&losses(&picture), &["gz-a", "sz-a"]).quorum_lost);
}

#[test]
fn a_primary_with_a_lease_stops_when_the_quorum_is_lost_and_auto_sync_shrinks_when_it_is_not() {
    let mut picture = three_sites();
    let auto = Policy { failover: FailoverMode::Auto, ..policy(DurabilityMode::AutoSync, 1) };
    put(&mut picture, "440300", "sz-a-1", &["gz-a-1", "gz-c-1"], auto);
    let manual = Policy { isolation: Isolation::Degrade, ..policy(DurabilityMode::AutoSync, 1) };
    put(&mut picture, "440301", "sz-a-1", &["gz-a-1", "gz-c-1"], manual);
    picture.voters = [node("sz-a-1"), node("gz-a-1"), node("gz-c-1")].into();
    let all = losses(&picture);
    let pair = of(&all, &["gz-a", "gz-c"]);
    assert_eq!(class(pair, "440300"), (Class::PlatformUnavailable, Service::NoQuorum));
    assert_eq!(class(pair, "440301"), (Class::Nothing, Service::Local));
    assert_eq!(class(of(&all, &["gz-a"]), "440300"), (Class::Nothing, Service::Continues));
    assert_eq!(class(of(&all, &["sz-a"]), "440300"), (Class::Nothing, Service::FailsOver));
}

#[test]
fn sites_on_one_grid_are_one_loss_and_copies_avoid_it() {
    let mut picture =
        federation(&[("gz-a", "440000"), ("gz-c", "440100"), ("sz-a", "440300"), ("zh-a", "440400")]);
    for name in ["gz-a", "sz-a"] {
        picture.sites.get_mut(&site(name)).unwrap().groups.insert("power=grid-1".into());
    }
    put(&mut picture, "440300", "sz-a-1", &["gz-a-1"], policy(DurabilityMode::Sync, 1));
    let all = losses(&picture);
    let grid = all.iter().find(|l| l.cause == Cause::Group("power=grid-1".into())).unwrap();
    assert_eq!(grid.worst, Class::DataLost);
    let advices = advise(&picture);
    let chosen: Vec<&str> = advices[0].backups.iter().map(|c| c.site.as_str()).collect();
    assert_eq!(chosen, ["gz-c", "zh-a"]);
    assert!(advices[0].changed);
    let after = losses(&proposed(&picture, &advices));
    assert_eq!(after.iter().find(|l| matches!(l.cause, Cause::Group(_))).unwrap().worst, Class::Nothing);
    let texts: Vec<String> = warnings(&picture, &advices).into_iter().map(|w| w.text.en).collect();
    assert!(texts.iter().any(|t| t.contains("depend on power=grid-1")), "{texts:?}");
    assert!(texts.iter().any(|t| t.contains("exactly the 1 in-sync backups")), "{texts:?}");
}

#[test]
fn the_province_protects_a_city_first_and_cities_protect_the_province() {
    let mut picture = three_sites();
    put(&mut picture, "440000", "gz-a-1", &[], policy(DurabilityMode::Async, 0));
    put(&mut picture, "440300", "sz-a-1", &[], policy(DurabilityMode::Async, 0));
    let advices = advise(&picture);
    assert!(advices.iter().all(|a| a.sync && a.changed), "async keeps nothing for certain");
    let sites = |n: usize| advices[n].backups.iter().map(|c| c.site.as_str()).collect::<Vec<_>>();
    assert_eq!(sites(0), ["gz-c", "sz-a"]);
    assert_eq!(sites(1), ["gz-a", "gz-c"]);
    assert!(advices[1].backups[0].reasons.contains(&Reason::Province));
}

#[test]
fn what_is_well_placed_stays_and_a_draining_node_is_replaced() {
    let mut picture =
        federation(&[("gz-a", "440000"), ("gz-c", "440100"), ("sz-a", "440300"), ("zh-a", "440400")]);
    put(&mut picture, "440300", "sz-a-1", &["gz-c-1", "zh-a-1"], policy(DurabilityMode::Sync, 1));
    assert!(!advise(&picture)[0].changed, "a new copy is dearer than a nearer one is worth");
    picture.nodes.get_mut(&node("zh-a-1")).unwrap().takes = false;
    let advice = &advise(&picture)[0];
    assert!(advice.changed);
    let chosen: BTreeSet<&str> = advice.backups.iter().map(|c| c.node.as_str()).collect();
    assert_eq!(chosen, ["gz-a-1", "gz-c-1"].into());
}

#[test]
fn a_full_federation_says_what_it_lacks() {
    let mut picture = federation(&[("gz-a", "440000"), ("sz-a", "440300")]);
    picture.sites.get_mut(&site("gz-a")).unwrap().copies_max = Some(1);
    put(&mut picture, "440300", "sz-a-1", &[], policy(DurabilityMode::Async, 0));
    put(&mut picture, "440301", "sz-a-1", &[], policy(DurabilityMode::Async, 0));
    let advices = advise(&picture);
    assert_eq!(advices.iter().map(|a| a.backups.len()).sum::<usize>(), 1);
    let full = warnings(&picture, &advices);
    assert!(
        full.iter().any(|w| w.code == eport_model::codes::ROOM_MISSING && w.region == Some(region("440301")))
    );
    picture.sites.get_mut(&site("sz-a")).unwrap().copies_max = Some(1);
    let over = warnings(&picture, &advices);
    assert!(over.iter().any(|w| w.site == Some(site("sz-a"))), "{over:?}");
}

/// SplitMix64: a generator whose stream never changes, so that a seed stays a reproduction.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A random federation of 1 to 5 sites with 1 to 5 platforms.
fn random(dice: &mut Dice) -> Picture {
    let mut picture = Picture::default();
    let names = ["gz-a", "gz-c", "sz-a", "zh-a", "st-a"];
    let homes = ["440000", "440100", "440300", "440400", "440500"];
    let count = 1 + dice.below(5);
    let mut nodes = Vec::new();
    for (name, home) in names.iter().zip(homes).take(count) {
        let mut groups = BTreeSet::new();
        if dice.chance(40) {
            groups.insert(format!("power=grid-{}", dice.below(2)));
        }
        let copies_max = dice.chance(60).then(|| u32::try_from(dice.below(6)).unwrap());
        picture.sites.insert(site(name), SiteFact { region: region(home), groups, copies_max });
        for n in 1..=1 + dice.below(2) {
            let id = node(&format!("{name}-{n}"));
            let fact = NodeFact {
                site: site(name),
                region: region(home),
                takes: dice.chance(90),
                up: dice.chance(90),
            };
            picture.nodes.insert(id, fact);
            nodes.push(id);
        }
    }
    let count = 1 + dice.below(5);
    for home in homes.into_iter().take(count) {
        let primary = nodes[dice.below(nodes.len())];
        let copies: Vec<Copy> = nodes
            .iter()
            .filter(|id| **id != primary)
            .filter(|_| dice.chance(30))
            .map(|id| Copy { node: *id, in_sync: true, leaving: false, sync: true, lag: None })
            .collect();
        let durability =
            [DurabilityMode::Sync, DurabilityMode::AutoSync, DurabilityMode::Async][dice.below(3)];
        let k = if durability == DurabilityMode::Async { 0 } else { 1 + dice.below(2) };
        let fact = PlatformFact {
            region: region(home),
            primary,
            proven_k: k.min(copies.len()),
            copies,
            policy: policy(durability, k),
            records: None,
        };
        picture.platforms.insert(region(home), fact);
    }
    picture.voters = nodes.iter().copied().filter(|_| dice.chance(50)).collect();
    picture
}

/// Most platforms that can have one copy on another site: every assignment is tried.
fn possible(picture: &Picture) -> usize {
    let mut room: BTreeMap<SiteId, usize> = BTreeMap::new();
    for (id, s) in &picture.sites {
        let primaries =
            picture.platforms.values().filter(|p| picture.site_of(p.primary) == Some(*id)).count();
        room.insert(*id, s.copies_max.map_or(99, |m| (m as usize).saturating_sub(primaries)));
    }
    let wishes: Vec<Vec<SiteId>> = picture
        .platforms
        .values()
        .map(|p| {
            let taking = |s: &SiteId| picture.nodes.values().any(|n| n.site == *s && n.takes);
            picture
                .sites
                .keys()
                .copied()
                .filter(|s| Some(*s) != picture.site_of(p.primary) && taking(s))
                .collect()
        })
        .collect();
    fn best(wishes: &[Vec<SiteId>], room: &mut BTreeMap<SiteId, usize>) -> usize {
        let Some((first, rest)) = wishes.split_first() else { return 0 };
        let mut most = best(rest, room);
        for s in first {
            if room[s] > 0 {
                *room.get_mut(s).unwrap() -= 1;
                most = most.max(1 + best(rest, room));
                *room.get_mut(s).unwrap() += 1;
            }
        }
        most
    }
    best(&wishes, &mut room)
}

#[test]
fn for_random_federations_a_proposal_spreads_copies_and_protects_everybody_it_can() {
    for seed in 0..1_500u64 {
        let picture = random(&mut Dice(seed));
        let advices = advise(&picture);
        assert_eq!(advices, advise(&picture), "seed {seed}: the same facts give the same advice");
        let mut taken: BTreeMap<SiteId, usize> = BTreeMap::new();
        for p in picture.platforms.values() {
            *taken.entry(picture.site_of(p.primary).unwrap()).or_default() += 1;
        }
        for a in &advices {
            let p = &picture.platforms[&a.region];
            let mut sites: Vec<SiteId> = a.backups.iter().map(|c| c.site).collect();
            sites.push(picture.site_of(p.primary).unwrap());
            let distinct: BTreeSet<SiteId> = sites.iter().copied().collect();
            assert_eq!(distinct.len(), sites.len(), "seed {seed}: two copies of {} on one site", a.region);
            for c in &a.backups {
                assert!(picture.nodes[&c.node].takes, "seed {seed}: {} takes nothing", c.node);
                *taken.entry(c.site).or_default() += 1;
            }
        }
        for (id, s) in &picture.sites {
            let primaries =
                picture.platforms.values().filter(|p| picture.site_of(p.primary) == Some(*id)).count();
            let max = s.copies_max.map_or(usize::MAX, |m| (m as usize).max(primaries));
            assert!(taken.get(id).copied().unwrap_or(0) <= max, "seed {seed}: {id} is overfull");
        }
        let protected = advices.iter().filter(|a| !a.backups.is_empty()).count();
        assert_eq!(protected, possible(&picture), "seed {seed}: somebody could have had a first copy");
        let after = losses(&proposed(&picture, &advices));
        for loss in after.iter().filter(|l| l.cause == Cause::Site) {
            for p in loss.platforms.iter().filter(|p| p.class == Class::DataLost) {
                let advice = advices.iter().find(|a| a.region == p.region).unwrap();
                assert!(
                    advice.backups.is_empty(),
                    "seed {seed}: {} is lost although it has a copy",
                    p.region
                );
            }
        }
    }
}

#[test]
fn for_random_federations_a_greater_loss_never_costs_less() {
    for seed in 0..800u64 {
        let picture = random(&mut Dice(seed));
        let all = losses(&picture);
        let single = |s: SiteId, r: RegionCode| {
            let loss = all.iter().find(|l| l.cause == Cause::Site && l.sites == [s]).unwrap();
            loss.platforms.iter().find(|p| p.region == r).map_or(Class::Nothing, |p| p.class)
        };
        for pair in all.iter().filter(|l| l.cause == Cause::Pair) {
            for r in picture.platforms.keys() {
                let both = pair.platforms.iter().find(|p| p.region == *r).map_or(Class::Nothing, |p| p.class);
                for s in &pair.sites {
                    assert!(both >= single(*s, *r), "seed {seed}: {r} loses less with {:?}", pair.sites);
                }
            }
        }
    }
}

//! Policies that cannot hold what they promise, and sites that carry more than they have room for.

use crate::{Advice, Picture, PlatformFact};
use eport_model::{Code, NodeId, RegionCode, SiteId, codes};
use eport_registry::{DurabilityMode, FailoverMode, Text};
use std::collections::{BTreeMap, BTreeSet};

/// Something to mend before the next loss.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Concern {
    /// The code.
    pub code: Code,
    /// The platform it is about.
    pub region: Option<RegionCode>,
    /// The site it is about.
    pub site: Option<SiteId>,
    /// What it means.
    pub text: Text,
}

/// Everything that does not hold now, by platform and then by site.
pub fn warnings(picture: &Picture, advices: &[Advice]) -> Vec<Concern> {
    let mut out = Vec::new();
    for p in picture.platforms.values() {
        let texts = promises(picture, p);
        out.extend(texts.into_iter().map(|text| Concern {
            code: codes::PROMISE_WEAK,
            region: Some(p.region),
            site: None,
            text,
        }));
    }
    for a in advices.iter().filter(|a| a.short > 0) {
        let text = Text::new(
            format!("平台 {} 还缺 {} 个其他站点上的备份，没有站点有余量", a.region, a.short),
            format!("platform {} lacks {} backups on other sites, and no site has room", a.region, a.short),
        );
        out.push(Concern { code: codes::ROOM_MISSING, region: Some(a.region), site: None, text });
    }
    out.extend(full_sites(picture));
    out
}

fn promises(picture: &Picture, p: &PlatformFact) -> Vec<Text> {
    let mut out = Vec::new();
    let region = p.region;
    let home = picture.site_of(p.primary);
    let counted: Vec<NodeId> = p
        .copies
        .iter()
        .filter(|c| c.in_sync && !c.leaving && picture.counted(p, c.node))
        .map(|c| c.node)
        .collect();
    let sites: BTreeSet<SiteId> =
        counted.iter().filter_map(|n| picture.site_of(*n)).filter(|s| Some(*s) != home).collect();
    let (n, k) = (counted.len(), p.policy.k);
    match p.policy.durability {
        DurabilityMode::Async => out.push(Text::new(
            format!("平台 {region} 为异步：失去主节点所在站点会丢失最近的单证"),
            format!("platform {region} is async: losing its primary's site loses the newest documents"),
        )),
        DurabilityMode::Sync if n < k => out.push(Text::new(
            format!("平台 {region} 要求 {k} 个同步备份，只有 {n} 个：写入停止"),
            format!("platform {region} asks for {k} in-sync backups and has {n}: writes stop"),
        )),
        DurabilityMode::Sync if n == k => out.push(Text::new(
            format!("平台 {region} 正好有 {k} 个同步备份：再失去任何一个，写入即停止"),
            format!("platform {region} has exactly the {k} in-sync backups it asks for: losing one more stops writes"),
        )),
        DurabilityMode::AutoSync if n == 0 => out.push(Text::new(
            format!("平台 {region} 没有同步备份：应答只保证本地落盘"),
            format!("platform {region} has no in-sync backup: answers promise the primary's own disk only"),
        )),
        DurabilityMode::Sync | DurabilityMode::AutoSync => {}
    }
    if p.policy.durability != DurabilityMode::Async && n > sites.len() && !sites.is_empty() {
        out.push(Text::new(
            format!("平台 {region} 的 {n} 个同步备份只在 {} 个其他站点上", sites.len()),
            format!("the {n} in-sync backups of platform {region} stand on {} other sites only", sites.len()),
        ));
    }
    if p.policy.failover == FailoverMode::Auto && sites.len() < 2 {
        out.push(Text::new(
            format!("平台 {region} 为自动切换，但同步备份不在两个以上的其他站点上"),
            format!(
                "platform {region} fails over by itself, but its in-sync backups are not on two other sites"
            ),
        ));
    }
    out.extend(shared_fate(picture, p, home, &sites));
    out
}

/// One power cut that takes the primary and every in-sync copy.
fn shared_fate(
    picture: &Picture,
    p: &PlatformFact,
    home: Option<SiteId>,
    sites: &BTreeSet<SiteId>,
) -> Vec<Text> {
    let Some(home) = home.filter(|_| !sites.is_empty()) else { return Vec::new() };
    let groups = picture.sites.get(&home).map(|s| s.groups.clone()).unwrap_or_default();
    let common = groups
        .into_iter()
        .filter(|g| sites.iter().all(|s| picture.sites.get(s).is_some_and(|s| s.groups.contains(g))));
    common
        .map(|g| {
            Text::new(
                format!("平台 {} 的主节点和全部同步备份都依赖 {g}", p.region),
                format!("the primary and every in-sync backup of platform {} depend on {g}", p.region),
            )
        })
        .collect()
}

fn full_sites(picture: &Picture) -> Vec<Concern> {
    let mut kept: BTreeMap<SiteId, u32> = BTreeMap::new();
    for p in picture.platforms.values() {
        // Two copies of one platform on a site take the room of two.
        let nodes = p.copies.iter().map(|c| c.node).chain([p.primary]);
        for site in nodes.filter_map(|n| picture.site_of(n)) {
            *kept.entry(site).or_default() += 1;
        }
    }
    let full = picture.sites.iter().filter_map(|(id, s)| {
        let (kept, max) = (kept.get(id).copied().unwrap_or(0), s.copies_max?);
        (kept > max).then_some((*id, kept, max))
    });
    full.map(|(id, kept, max)| Concern {
        code: codes::ROOM_MISSING,
        region: None,
        site: Some(id),
        text: Text::new(
            format!("站点 {id} 保存 {kept} 份平台副本，容量为 {max}"),
            format!("site {id} keeps {kept} copies of platforms and has room for {max}"),
        ),
    })
    .collect()
}

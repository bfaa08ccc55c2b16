//! Which nodes and platforms a local federation has, from `--site` and `--virtual`. Pure.

use crate::error::Error;
use crate::regions;
use eport_model::{NodeId, RegionCode, SiteId};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Most nodes of one local federation: more would not start within a minute on one machine.
const NODES_MAX: usize = 32;

/// `NAME=REGION[:NODES]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSpec {
    /// Name of the site.
    pub site: SiteId,
    /// Region it stands in; its platform is physical there.
    pub region: RegionCode,
    /// How many nodes.
    pub nodes: usize,
}

/// `REGION@SITE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualSpec {
    /// The virtual platform.
    pub region: RegionCode,
    /// The site that hosts it.
    pub site: SiteId,
}

impl FromStr for SiteSpec {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (site, rest) = s.split_once('=').ok_or_else(|| format!("{s:?} is not NAME=REGION[:NODES]"))?;
        let (region, nodes) = rest.split_once(':').unwrap_or((rest, "1"));
        let nodes = nodes.parse().ok().filter(|n| (1..=9).contains(n));
        Ok(Self {
            site: site.parse().map_err(|e: eport_model::ParseError| e.to_string())?,
            region: region.parse().map_err(|e: eport_model::ParseError| e.to_string())?,
            nodes: nodes.ok_or_else(|| format!("{s:?}: a site has 1 to 9 nodes"))?,
        })
    }
}

impl FromStr for VirtualSpec {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (region, site) = s.split_once('@').ok_or_else(|| format!("{s:?} is not REGION@SITE"))?;
        Ok(Self {
            region: region.parse().map_err(|e: eport_model::ParseError| e.to_string())?,
            site: site.parse().map_err(|e: eport_model::ParseError| e.to_string())?,
        })
    }
}

/// A node of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanNode {
    /// Its id, `SITE-N`.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
}

/// A platform of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPlatform {
    /// Its region.
    pub region: RegionCode,
    /// Hosted by another region's nodes.
    pub hosted: bool,
    /// First primary.
    pub primary: NodeId,
    /// In-sync backups, on sites other than the primary's, at most two.
    pub backups: Vec<NodeId>,
}

/// The plan of a federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Nodes in the order of the sites.
    pub nodes: Vec<PlanNode>,
    /// Platforms: one a region of a site, then the virtual ones.
    pub platforms: Vec<PlanPlatform>,
}

/// What `dev up` starts when no site is named.
pub const DEFAULT_SITES: [&str; 3] = ["gz-a=440000:2", "gz-c=440100", "sz-a=440300"];
/// What it hosts then.
pub const DEFAULT_VIRTUAL: [&str; 1] = ["440500@gz-a"];

impl Topology {
    /// Plans a federation. The first site is the province's.
    pub fn plan(sites: &[SiteSpec], hosted: &[VirtualSpec]) -> Result<Self, Error> {
        let mut nodes: Vec<PlanNode> = Vec::new();
        for s in sites {
            if nodes.iter().any(|n| n.site == s.site) {
                return Err(Error::usage(format!("site {} is named twice", s.site)));
            }
            for n in 1..=s.nodes {
                let node = format!("{}-{n}", s.site).parse().map_err(|e| Error::usage(format!("{e}")))?;
                nodes.push(PlanNode { node, site: s.site, region: s.region });
            }
        }
        if nodes.is_empty() || nodes.len() > NODES_MAX {
            return Err(Error::usage(format!(
                "a local federation has 1 to {NODES_MAX} nodes, not {}",
                nodes.len()
            )));
        }
        let mut plan = Self { nodes, platforms: Vec::new() };
        let mut load: BTreeMap<NodeId, usize> = BTreeMap::new();
        for s in sites {
            // Two sites of one region share its platform: the first serves it. One that is hosted elsewhere starts there, and
            // the site's nodes wait until it is promoted.
            let elsewhere = hosted.iter().any(|v| v.region == s.region);
            if !elsewhere && !plan.platforms.iter().any(|p| p.region == s.region) {
                plan.place(s.region, s.site, false, &mut load)?;
            }
        }
        for v in hosted {
            if plan.platforms.iter().any(|p| p.region == v.region) {
                return Err(Error::usage(format!("platform {} is named twice", v.region)));
            }
            plan.place(v.region, v.site, true, &mut load)?;
        }
        Ok(plan)
    }

    /// Places a platform on the least busy node of a site, with backups on up to two other sites.
    fn place(
        &mut self,
        region: RegionCode,
        site: SiteId,
        hosted: bool,
        load: &mut BTreeMap<NodeId, usize>,
    ) -> Result<(), Error> {
        let least = |site: SiteId, load: &BTreeMap<NodeId, usize>| {
            let at_site = self.nodes.iter().filter(|n| n.site == site);
            at_site.map(|n| (load.get(&n.node).copied().unwrap_or(0), n.node)).min()
        };
        let Some((_, primary)) = least(site, load) else {
            return Err(Error::usage(format!("platform {region} names the unknown site {site}")));
        };
        let mut others: Vec<(usize, NodeId, SiteId)> = Vec::new();
        for n in &self.nodes {
            if n.site != site && !others.iter().any(|o| o.2 == n.site) {
                others.extend(least(n.site, load).map(|(busy, node)| (busy, node, n.site)));
            }
        }
        others.sort_by_key(|o| o.0);
        let backups: Vec<NodeId> = others.iter().take(2).map(|o| o.1).collect();
        // A primary works harder than a backup; the weights only spread the platforms.
        *load.entry(primary).or_default() += 2;
        for b in &backups {
            *load.entry(*b).or_default() += 1;
        }
        self.platforms.push(PlanPlatform { region, hosted, primary, backups });
        Ok(())
    }

    /// The region of the province that founds the federation.
    pub fn province(&self) -> RegionCode {
        self.nodes[0].region
    }
}

impl PlanPlatform {
    /// Names of the platform (Chinese, English).
    pub fn names(&self) -> (String, String) {
        regions::names(self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_plan() -> Topology {
        let sites: Vec<SiteSpec> = DEFAULT_SITES.iter().map(|s| s.parse().unwrap()).collect();
        let hosted: Vec<VirtualSpec> = DEFAULT_VIRTUAL.iter().map(|s| s.parse().unwrap()).collect();
        Topology::plan(&sites, &hosted).unwrap()
    }

    #[test]
    fn the_default_federation_has_four_nodes_and_every_platform_two_backups_on_other_sites() {
        let plan = default_plan();
        let ids: Vec<&str> = plan.nodes.iter().map(|n| n.node.as_str()).collect();
        assert_eq!(ids, ["gz-a-1", "gz-a-2", "gz-c-1", "sz-a-1"]);
        let regions: Vec<String> = plan.platforms.iter().map(|p| p.region.to_string()).collect();
        assert_eq!(regions, ["440000", "440100", "440300", "440500"]);
        let site = |n: NodeId| plan.nodes.iter().find(|p| p.node == n).unwrap().site;
        for p in &plan.platforms {
            assert_eq!(p.backups.len(), 2, "{}", p.region);
            let mut sites: Vec<SiteId> = p.backups.iter().map(|b| site(*b)).collect();
            sites.push(site(p.primary));
            sites.sort();
            sites.dedup();
            assert_eq!(sites.len(), 3, "{} spreads over three sites", p.region);
        }
        assert!(plan.platforms[3].hosted && plan.platforms[3].primary.as_str().starts_with("gz-a-"));
    }

    #[test]
    fn wrong_specifications_are_usage_errors_that_name_the_word() {
        for bad in ["gz-a", "gz-a=44", "gz-a=440000:0", "gz-a=440000:x", "GZ=440000"] {
            assert!(bad.parse::<SiteSpec>().is_err(), "{bad}");
        }
        assert!("440500".parse::<VirtualSpec>().is_err());
        let site: SiteSpec = "gz-a=440000".parse().unwrap();
        let twice = Topology::plan(&[site.clone(), site.clone()], &[]).unwrap_err();
        assert_eq!(twice.exit(), 2);
        let elsewhere = Topology::plan(&[site], &["440500@sz-a".parse().unwrap()]).unwrap_err();
        assert!(elsewhere.to_string().contains("sz-a"));
    }

    #[test]
    fn a_platform_with_nodes_of_its_own_may_begin_with_a_host() {
        let sites: Vec<SiteSpec> =
            ["gz-a=440000:2", "st-a=440500"].iter().map(|s| s.parse().unwrap()).collect();
        let hosted: VirtualSpec = "440500@gz-a".parse().unwrap();
        let plan = Topology::plan(&sites, std::slice::from_ref(&hosted)).unwrap();
        let shantou: Vec<_> = plan.platforms.iter().filter(|p| p.region.to_string() == "440500").collect();
        assert_eq!(shantou.len(), 1);
        assert!(shantou[0].hosted && shantou[0].primary.as_str().starts_with("gz-a-"));
        assert!(Topology::plan(&sites, &[hosted.clone(), hosted]).is_err(), "hosted twice");
    }

    #[test]
    fn one_site_alone_has_platforms_without_backups() {
        let plan = Topology::plan(&["gz-a=440000:2".parse().unwrap()], &[]).unwrap();
        assert!(plan.platforms[0].backups.is_empty());
    }
}

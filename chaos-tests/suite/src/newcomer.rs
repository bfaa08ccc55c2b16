//! A node that is to join a running federation: its certificate, from the federation's own CA.

use anyhow::{Result, anyhow};
use eport_authority::{Authority, Key, LeafNames, Validity};
use eport_cluster::Federation;
use eport_model::{Epoch, NodeId, RegionCode};
use time::OffsetDateTime;

/// Certificate and key files of a new node, good for ten days, in the scratch folder.
pub fn newcomer(fed: &Federation, node: &str, region: &str) -> Result<(String, String)> {
    let fail = |e: eport_authority::Error| anyhow!("{e}");
    let (id, region): (NodeId, RegionCode) = (node.parse()?, region.parse()?);
    let dir = fed.scratch().join(format!("{node}-tls"));
    std::fs::create_dir_all(&dir)?;
    let names = LeafNames { loopback: true, ..LeafNames::default() };
    let validity = Validity::days(OffsetDateTime::now_utc(), 10);
    let ca = Authority::load(&fed.home().join("ca"), "440000").map_err(fail)?;
    let issued = ca.issue_node(region, id, &names, Key::Generate, Epoch::from_u64(1), validity);
    issued.map_err(fail)?.save(&dir, "node").map_err(fail)?;
    let path = |name: &str| dir.join(name).display().to_string();
    Ok((path("node.crt"), path("node.key")))
}

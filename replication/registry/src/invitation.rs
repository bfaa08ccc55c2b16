//! Invitations of nodes: an operator's signed word that a node may join, kept as a setting until it has.
//!
//! Always holds: who joins, where, and until when is the operator's; the node that brings it adds the addresses alone.

use crate::{Setting, State};
use eport_model::{NodeId, RegionCode, SiteId, Timestamp};

/// A node that may join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// Last instant at which it may join.
    pub expires: Timestamp,
}

/// Name of the setting that keeps the invitation of a node.
pub fn invitation_setting(node: NodeId) -> String {
    // Node ids have no underscore, so no two of them share a name.
    format!("invited_{}", node.to_string().replace('-', "_"))
}

impl Invitation {
    /// As a setting.
    pub fn setting(&self, node: NodeId) -> Setting {
        let value = format!("{} {} {}", self.site, self.region, self.expires.as_millis());
        Setting { name: invitation_setting(node), value }
    }

    /// Reads the value of a setting.
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(' ');
        let (site, region, expires) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let expires = Timestamp::from_millis(expires.parse().ok()?);
        Some(Self { site: site.parse().ok()?, region: region.parse().ok()?, expires })
    }
}

impl State {
    /// The invitation of a node, whether it has joined or not.
    pub fn invitation(&self, node: NodeId) -> Option<Invitation> {
        Invitation::parse(self.setting(&invitation_setting(node))?)
    }
}

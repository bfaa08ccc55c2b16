//! Data keys of platforms: numbers and wrapped copies, never a key itself.
//!
//! Always: keys of one platform are numbered from 1 without gaps and none is ever removed, because old records need them; a
//! copy is made for one holder's public key, and a holder whose key changed has no copy until one is wrapped afresh. Who has a
//! duty to make or wrap a key is read from the state alone, so that any node comes to the same answer.

use crate::{Placement, State};
use eport_model::{Digest, NodeId, ParseError, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Length of a holder's public key.
pub const KEY_PUBLIC_LEN: usize = 32;

/// What a copy is bound to: the platform and the number of the key.
pub fn wrap_context(region: RegionCode, id: u32) -> String {
    format!("{region}/{id}")
}

/// The setting that says how many data keys a platform should have.
pub fn data_keys_setting(region: RegionCode) -> String {
    format!("data_keys_{region}")
}

/// Longest wrapped key.
pub const WRAP_LEN_MAX: usize = 256;

/// Who can open data keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum HolderName {
    /// A node, with the key it keeps outside its data directory.
    Node(NodeId),
    /// A key kept offline, for the day when no node is left. It opens every platform.
    Recovery(String),
}

impl fmt::Display for HolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HolderName::Node(node) => write!(f, "node/{node}"),
            HolderName::Recovery(name) => write!(f, "recovery/{name}"),
        }
    }
}

impl FromStr for HolderName {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        match s.split_once('/') {
            Some(("node", id)) => id.parse().map(HolderName::Node),
            Some(("recovery", name)) if !name.is_empty() => Ok(HolderName::Recovery(name.to_owned())),
            _ => Err(ParseError {
                what: "holder of data keys",
                input: s.chars().take(64).collect(),
                reason: "node/ID or recovery/NAME is needed",
            }),
        }
    }
}

/// A holder and its public key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub name: HolderName,
    /// Its public key.
    pub public: [u8; KEY_PUBLIC_LEN],
    /// When it was put.
    pub at: Timestamp,
}

/// A copy of a data key for one holder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wrap {
    /// For whom.
    pub holder: HolderName,
    /// The public key it was made for.
    pub public: [u8; KEY_PUBLIC_LEN],
    /// The copy.
    pub wrapped: Vec<u8>,
}

/// A data key of a platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DataKey {
    /// The platform.
    pub region: RegionCode,
    /// Its number, from 1.
    pub id: u32,
    /// What tells it from another key.
    pub check: Digest,
    /// Copies, ordered by holder.
    pub wraps: Vec<Wrap>,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub by: String,
}

impl DataKey {
    /// The copy for a holder.
    pub fn wrap(&self, holder: &HolderName) -> Option<&Wrap> {
        self.wraps.iter().find(|w| w.holder == *holder)
    }
}

/// What a node has to do about data keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyDuty {
    /// Tell the registry its public key.
    Introduce,
    /// Make the platform's first key, or the next one when a rotation is asked for.
    Create {
        /// The platform.
        region: RegionCode,
        /// Its number.
        id: u32,
        /// For whom.
        holders: Vec<Holder>,
    },
    /// Wrap a key for holders that lack a copy.
    Wrap {
        /// The platform.
        region: RegionCode,
        /// Number of the key.
        id: u32,
        /// For whom.
        holders: Vec<Holder>,
    },
}

impl State {
    /// A holder.
    pub fn holder(&self, name: &HolderName) -> Option<&Holder> {
        self.holders.get(name)
    }

    /// All holders by name.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.values()
    }

    /// Data keys of a platform, 1 first.
    pub fn data_keys(&self, region: RegionCode) -> impl DoubleEndedIterator<Item = &DataKey> {
        self.data_keys.range((region, 0)..=(region, u32::MAX)).map(|(_, k)| k)
    }

    /// One data key.
    pub fn data_key(&self, region: RegionCode, id: u32) -> Option<&DataKey> {
        self.data_keys.get(&(region, id))
    }

    /// True when a copy for the holder's present key exists.
    pub fn is_wrapped(&self, key: &DataKey, holder: &HolderName) -> bool {
        let public = self.holder(holder).map(|h| h.public);
        public.is_some() && key.wrap(holder).map(|w| w.public) == public
    }

    /// True when the node can open every data key of the platform; trivially so while it has none.
    pub fn can_open(&self, region: RegionCode, node: NodeId) -> bool {
        let name = HolderName::Node(node);
        self.data_keys(region).all(|k| self.is_wrapped(k, &name))
    }

    /// Holders that a key of this platform is wrapped for: primary, every backup, and the recovery keys; those known so far.
    pub fn entitled_holders(&self, placement: &Placement) -> Vec<Holder> {
        let named = |h: &&Holder| match &h.name {
            HolderName::Node(node) => placement.names(*node) && self.is_member(*node),
            HolderName::Recovery(_) => true,
        };
        self.holders().filter(named).cloned().collect()
    }

    /// What `me`, whose key is `public`, has to do now.
    pub fn key_duties(&self, me: NodeId, public: &[u8; KEY_PUBLIC_LEN]) -> Vec<KeyDuty> {
        let name = HolderName::Node(me);
        if !self.is_member(me) {
            return Vec::new();
        }
        if self.holder(&name).is_none_or(|h| h.public != *public) {
            return vec![KeyDuty::Introduce];
        }
        let mut duties = Vec::new();
        for placement in self.placements().filter(|p| p.names(me)) {
            let (region, holders) = (placement.region, self.entitled_holders(placement));
            let newest = self.data_keys(region).next_back().map_or(0, |k| k.id);
            let due = newest < self.data_keys_wanted(region) && self.can_open(region, me);
            if placement.primary == me && due {
                duties.push(KeyDuty::Create { region, id: newest + 1, holders });
                continue;
            }
            for key in self.data_keys(region).filter(|k| self.wrapper(placement, k) == Some(me)) {
                let lacking: Vec<Holder> =
                    holders.iter().filter(|h| !self.is_wrapped(key, &h.name)).cloned().collect();
                if !lacking.is_empty() {
                    duties.push(KeyDuty::Wrap { region, id: key.id, holders: lacking });
                }
            }
        }
        duties
    }

    /// How many keys the platform should have: one, or what its setting `data_keys_REGION` says. Raising it rotates the key.
    pub fn data_keys_wanted(&self, region: RegionCode) -> u32 {
        self.setting(&data_keys_setting(region)).and_then(|v| v.parse().ok()).unwrap_or(1)
    }

    /// Who wraps this key for others: the primary, or the first backup that can open it when the primary cannot.
    fn wrapper(&self, placement: &Placement, key: &DataKey) -> Option<NodeId> {
        let named = std::iter::once(placement.primary).chain(placement.backups.iter().map(|b| b.node));
        named.into_iter().find(|n| self.is_member(*n) && self.is_wrapped(key, &HolderName::Node(*n)))
    }
}

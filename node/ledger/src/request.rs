//! What is asked of an account. A request names what a document needs there, so that a repeat changes nothing.

use crate::{AccountKey, Amount, Standing, Terms};
use eport_model::{Digest, DigestHasher, Epoch, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use time::Date;

/// Most items of one request.
pub const ITEMS_MAX: usize = 1_000;

/// The document that holds or grants something: its platform and its number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The platform that accepted it.
    pub platform: RegionCode,
    /// Its number there.
    pub document: String,
}

impl Holder {
    /// The name as the bytes of a row's key.
    pub fn bytes(&self) -> Vec<u8> {
        format!("{}/{}", self.platform, self.document).into_bytes()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.document)
    }
}

/// What a version of a document does at an account, in the order in which it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It reserves, or grants.
    #[default]
    Hold,
    /// It was refused elsewhere: what the version before held is held again.
    Back,
    /// It commits.
    Commit,
    /// It gives back.
    Release,
}

/// Place of a request in its document's life. What is not later than the newest that took effect changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// Version of the document; 0: before the first.
    pub version: u32,
    /// What the version does.
    pub phase: Phase,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The document grants so much in all, under these terms. Makes the account.
    Grant {
        /// How much in all.
        quantity: Amount,
        /// Its terms.
        terms: Terms,
    },
    /// The document needs so much in all, by item; what it needs no more is given back.
    Hold {
        /// By item number.
        items: BTreeMap<u16, Amount>,
        /// The unit of these quantities.
        unit: Option<String>,
    },
    /// The goods are released: what was released is committed, the rest given back.
    Commit {
        /// By item number; `None`: all that is reserved.
        items: Option<BTreeMap<u16, Amount>>,
    },
    /// The document ends without effect: everything is given back.
    Release {
        /// The use is given back also when something was committed.
        returns_use: bool,
    },
    /// So much is given to a city, to reserve from while it is cut off. The cause is the share's name.
    Escrow {
        /// The city.
        city: RegionCode,
        /// The city's epoch when it asked: the share may be used in that one.
        epoch: Epoch,
        /// How much.
        quantity: Amount,
        /// Last local day on which the city may use it.
        valid_to: Date,
    },
    /// What the document reserved from a share becomes a reserve at home.
    Settle {
        /// The share.
        share: Digest,
        /// By item number.
        items: BTreeMap<u16, Amount>,
    },
    /// The city gives the rest of a share back; it uses nothing of it any more.
    Return {
        /// The share.
        share: Digest,
        /// What is left of it.
        quantity: Amount,
    },
    /// The account takes reserves, or takes none.
    Stand {
        /// From now on.
        standing: Standing,
    },
}

impl Order {
    /// The word that goes into the cause.
    pub fn word(&self) -> &'static str {
        match self {
            Order::Grant { .. } => "grant",
            Order::Hold { .. } => "hold",
            Order::Commit { .. } => "commit",
            Order::Release { .. } => "release",
            Order::Escrow { .. } => "escrow",
            Order::Settle { .. } => "settle",
            Order::Return { .. } => "return",
            Order::Stand { .. } => "stand",
        }
    }
}

/// One request about one account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Names it for ever: [`cause`].
    pub cause: Digest,
    /// The account.
    pub account: AccountKey,
    /// Whose it is.
    pub holder: Holder,
    /// Its place in the document's life.
    pub step: Step,
    /// What is asked.
    pub order: Order,
    /// The local day on which the document was accepted: it decides about validity.
    pub day: Date,
    /// When it is asked.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// Why, for people.
    pub reason: String,
}

/// Longest number of a document, name of who caused a request, and reason of it, in bytes.
const TEXT_LEN_MAX: usize = 512;

impl Request {
    /// The name that it must have: [`cause`] of what it says.
    pub fn name(&self) -> Digest {
        let word = match &self.order {
            Order::Return { share, .. } => format!("return {share}"),
            order => order.word().to_owned(),
        };
        cause(&self.holder, self.step, &self.account, &word)
    }

    /// Why the platform `from` may not ask this of an account elsewhere; `None`: it may. It asks in the name of its own documents and
    /// shares, grants at home only, and chooses no names.
    pub fn fault_of(&self, from: RegionCode) -> Option<&'static str> {
        let text = |t: &str| t.len() <= TEXT_LEN_MAX && !t.chars().any(char::is_control);
        if self.holder.platform != from {
            return Some("a platform asks for its own documents");
        }
        match &self.order {
            Order::Grant { .. } | Order::Stand { .. } => return Some("a platform grants at home only"),
            Order::Escrow { city, .. } if *city != from => return Some("a share is for who asks for it"),
            Order::Hold { items, .. } | Order::Settle { items, .. } if items.len() > ITEMS_MAX => {
                return Some("at most 1000 items are asked for at once");
            }
            _ => {}
        }
        if self.holder.document.is_empty()
            || ![&self.holder.document, &self.actor, &self.reason].into_iter().all(|t| text(t))
        {
            return Some("a name or a reason is empty, too long or not printable");
        }
        (self.cause != self.name()).then_some("the cause is not the one that follows from the request")
    }
}

/// The name of a request: SHA-256 over document, version, phase, account and kind (cross-checks §1.4 rule 2). All items that a
/// document has on an account are one request, since they are tested with their sum.
pub fn cause(holder: &Holder, step: Step, account: &AccountKey, word: &str) -> Digest {
    let mut hasher = DigestHasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(b"eport ledger request 1");
    part(&holder.bytes());
    part(&step.version.to_be_bytes());
    part(&[step.phase as u8]);
    part(&account.bytes());
    part(word.as_bytes());
    hasher.finish()
}

//! What passes between two platforms: an offer of messages, and the answer to it. The values are bounded by the shells that
//! decode them; nothing here allocates by a length that a peer names.

use crate::{Kind, Recipient};
use bytes::Bytes;
use eport_identity::{Epoch, RegionCode};
use eport_model::{Digest, EpochHistory, JournalIndex, Timestamp};
use serde::{Deserialize, Serialize};

/// Largest body of one message in bytes: a document of the largest type. 1 MiB.
pub const MESSAGE_LEN_MAX: usize = 1 << 20;
/// Bodies of one offer together, in bytes. 2 MiB, half of what a frame may hold.
pub const OFFER_LEN_MAX: usize = 2 << 20;
/// Messages of one offer at most.
pub const OFFER_MESSAGES_MAX: usize = 256;

/// The record of the sender's journal that made a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Source {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its index.
    pub index: JournalIndex,
}

/// What a receiver decides by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The message's id. For a withdrawal: the id of what is withdrawn.
    pub id: Digest,
    /// What it carries.
    pub kind: Kind,
    /// Who it is for.
    pub recipient: Recipient,
    /// The record that made it. For a withdrawal: the record that was lost.
    pub source: Source,
    /// SHA-256 of the body in canonical form, before encryption.
    pub digest: Digest,
}

/// What a recipient learns of the document that a message is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Document {
    /// The platform that owns it.
    pub owner: RegionCode,
    /// Its type.
    pub doc_type: String,
    /// Its number.
    pub doc_id: String,
    /// The version.
    pub doc_version: u32,
    /// Add, amend, …
    pub function_code: String,
    /// In whose name it was lodged.
    pub lodged_by: String,
    /// Record time.
    pub received_at: Timestamp,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// What the receiver decides by.
    pub head: Head,
    /// The document it is about.
    pub document: Document,
    /// The recipient's part of the document, or the receipt; empty for a withdrawal.
    pub body: Bytes,
}

/// Messages of one channel, in order. Without any it asks how far the receiver is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// The sending platform.
    pub from: RegionCode,
    /// The receiving platform.
    pub to: RegionCode,
    /// Epoch of the sending primary.
    pub epoch: Epoch,
    /// Epoch of the receiver whose acknowledgements the sender goes by; `None`: it goes by none and offers nothing yet.
    pub expects: Option<Epoch>,
    /// The sender's epochs: shows which earlier messages its journal no longer holds.
    pub history: EpochHistory,
    /// The messages.
    pub messages: Vec<Message>,
}

/// What became of one message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Taken {
    /// Its effect stands at or before this index of the receiver's journal.
    At(JournalIndex),
    /// It never will: reason code and detail. Nothing behind it waits.
    Dead(String, String),
}

/// Why nothing of an offer was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refused {
    /// This node is not the primary; ask again when the registry has moved.
    NotPrimary,
    /// The receiver's epoch is another one than the sender goes by: what it acknowledged may be gone, so everything is offered again.
    Moved,
    /// A higher epoch of the sending platform is known here: the sender must stop.
    Stale {
        /// That epoch.
        known: Epoch,
    },
    /// Nothing can be written now; ask again later.
    Busy(String),
    /// The offer breaks a bound or names another platform.
    Malformed(String),
}

/// The answer to an offer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Epoch of the answering primary.
    pub epoch: Epoch,
    /// Records up to here survive a failover that loses nothing that was promised.
    pub held: JournalIndex,
    /// The newest message that it has from this platform.
    pub last: Option<Source>,
    /// One result a message, in order; an error when nothing was taken.
    pub results: Result<Vec<Taken>, Refused>,
}

//! What passes between two platforms: an offer of messages, and the answer to it. The values are bounded by the shells that
//! decode them; nothing here allocates by a length that a peer names.

use crate::{Kind, Receipt, Recipient, message_id};
use bytes::Bytes;
use eport_identity::{Epoch, RegionCode};
use eport_model::{Digest, EpochHistory, JournalIndex, Timestamp, codec};
use serde::{Deserialize, Serialize};

/// Largest body of one message in bytes: a document of the largest type. 1 MiB.
pub const MESSAGE_LEN_MAX: usize = 1 << 20;
/// Longest receipt on the wire, in bytes.
pub const RECEIPT_LEN_MAX: usize = 8 << 10;
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

/// Longest agency code and document number that a message may name, in bytes.
const NAME_LEN_MAX: usize = 64;
/// Longest of the other texts about a document, in bytes.
const TEXT_LEN_MAX: usize = 256;

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'|' && b != b'/';
    !text.is_empty() && text.len() <= NAME_LEN_MAX && text.bytes().all(plain)
}

fn is_text(text: &str) -> bool {
    text.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control)
}

impl Message {
    /// Why the platform `from`, in `epoch` and with these epochs in its journal, may not send this to the platform `to`; `None`: it
    /// may. A platform sends parts of its own documents, and receipts for documents of the receiver; what it names of its journal is
    /// there, and what it withdraws is not.
    pub fn fault(
        &self,
        (from, to): (RegionCode, RegionCode),
        epoch: Epoch,
        history: &EpochHistory,
    ) -> Option<&'static str> {
        let (head, document) = (&self.head, &self.document);
        if self.body.len() > MESSAGE_LEN_MAX {
            return Some("E-XCH-SIZE");
        }
        if head.kind != Kind::Withdrawal && Digest::of(&self.body) != head.digest {
            return Some("E-XCH-DIGEST");
        }
        let texts = [&document.doc_type, &document.function_code, &document.lodged_by];
        if !is_name(&document.doc_id) || document.doc_version == 0 || !texts.into_iter().all(|t| is_text(t)) {
            return Some("E-XCH-FIELDS");
        }
        let here = history.epoch_of(head.source.index) == Some(head.source.epoch);
        if head.source.epoch > epoch || (head.kind != Kind::Withdrawal && !here) {
            return Some("E-XCH-SOURCE");
        }
        let fits = match (&head.recipient, head.kind) {
            (Recipient::Agency(code), Kind::Document | Kind::Withdrawal) => {
                if !is_name(code) {
                    return Some("E-XCH-FIELDS");
                }
                document.owner == from
            }
            // What an agency has said stays said: a receipt is never withdrawn.
            (Recipient::Platform(region), Kind::Receipt) => *region == to && document.owner == to,
            _ => false,
        };
        (!fits).then_some("E-XCH-SENDER")
    }

    /// The receipt that a message carries, as one that a stranger wrote: its fields, its document and its id are those that it
    /// must have. `Err` names the reason against it.
    pub fn receipt(&self) -> Result<Receipt, &'static str> {
        let receipt: Receipt =
            codec::decode_with_limit(&self.body, RECEIPT_LEN_MAX).map_err(|_| "E-XCH-RECEIPT")?;
        if !receipt.faults().is_empty() || !is_name(&receipt.agency) {
            return Err("E-XCH-RECEIPT");
        }
        let of = (receipt.owner, &receipt.doc_id, receipt.doc_version);
        if of != (self.document.owner, &self.document.doc_id, self.document.doc_version) {
            return Err("E-XCH-RECEIPT");
        }
        let id = message_id(receipt.owner, &receipt.cause(), &self.head.recipient, Kind::Receipt);
        if id == self.head.id { Ok(receipt) } else { Err("E-XCH-RECEIPT") }
    }
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

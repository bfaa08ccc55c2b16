//! Exchange: inboxes of agencies, receipts, channels, dead letters, where a document stands.

use crate::Receipt;
use eport_identity::Epoch;
use eport_model::{Durability, Position};
use serde::{Deserialize, Serialize};

/// A message in an agency's inbox.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InboxItem {
    /// The message's id: the same message has the same id for ever, also after a failover.
    pub msg_id: String,
    /// `document` or `withdrawal`.
    pub kind: String,
    /// The platform that owns the document.
    pub platform: String,
    /// The platform at which the agency takes it.
    pub at: String,
    /// Epoch of the owner's record.
    pub epoch: Epoch,
    /// The document's type.
    pub doc_type: String,
    /// Its number.
    pub doc_id: String,
    /// The version.
    pub doc_version: u32,
    /// Add, amend, …
    pub function_code: String,
    /// In whose name it was lodged.
    pub lodged_by: String,
    /// Record time at the owner.
    pub received_at: String,
    /// SHA-256 of the agency's part in the canonical form of RFC 8785.
    pub digest: String,
    /// Names what is shown here: an acknowledgement gives it back, so that it acknowledges nothing that came meanwhile.
    pub read: String,
    /// True when another content under this id was delivered before and is void.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaces: bool,
    /// True when the content was erased by law; `body` is null then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// The agency's part of the document, as far as the rules of sharing in force send it; null for a withdrawal.
    pub body: serde_json::Value,
    /// Fields of the part that are not shown as they were lodged; `digest` is that of the part before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<crate::MaskedField>,
    /// The rules of sharing that send it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_by: Vec<String>,
}

/// Answer to an acknowledgement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InboxAck {
    /// The message.
    pub msg_id: String,
    /// True when it was acknowledged before.
    pub repeated: bool,
    /// What the answer promises. What is `local` may show again after a failover, under the same id.
    pub durability: Durability,
    /// The record that says so.
    pub position: Option<Position>,
}

/// A receipt as an agency hands it in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiptRequest {
    /// The agency's number of the receipt.
    pub agency_receipt_no: String,
    /// The platform that owns the document, as the inbox shows it.
    pub platform: String,
    /// The document.
    pub doc_id: String,
    /// The version that is answered.
    pub doc_version: u32,
    /// `TECH_ACK`, `TECH_NAK`, `BUSINESS` or `NOTICE`.
    pub kind: String,
    /// The agency's code.
    pub code: String,
    /// For people.
    pub text: String,
    /// When it happened, RFC 3339.
    pub event_time: String,
}

/// Answer to a receipt: 201 the first time, 200 when it is repeated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptAnswer {
    /// The agency's number.
    pub agency_receipt_no: String,
    /// True when it was handed in before.
    pub repeated: bool,
    /// True when it goes on to the platform that owns the document; what it does is decided there.
    pub forwarded: bool,
    /// True when it moved something.
    pub applied: bool,
    /// Why not, or what a person should know.
    pub note: String,
    /// The document's state after it, where the document is owned here.
    pub state: Option<String>,
    /// What the answer promises. Repeat what is `local` until it is `replicated`.
    pub durability: Durability,
    /// The record that holds it.
    pub position: Option<Position>,
}

/// An agency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgencyItem {
    /// Its code.
    pub agency: String,
    /// Its name.
    pub name: String,
    /// Its gateways as certificates name them.
    pub gateways: Vec<String>,
    /// The platforms it is attached to; empty: all.
    pub platforms: Vec<String>,
    /// True while no gateway of it may do anything.
    pub suspended: bool,
}

/// One channel to another platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChannelItem {
    /// The receiving platform.
    pub to: String,
    /// Messages in the outbox.
    pub rows: u64,
    /// Lanes that have some.
    pub lanes: Vec<String>,
    /// When the oldest was made.
    pub oldest: Option<String>,
    /// Acknowledged, not held yet.
    pub acknowledged: u64,
    /// Epoch of the receiver.
    pub receiver_epoch: Option<Epoch>,
    /// Index of the newest record whose message the receiver has.
    pub last_received: Option<u64>,
    /// Its epoch.
    pub last_received_epoch: Option<Epoch>,
    /// Why the last offer took nothing.
    pub trouble: Option<String>,
    /// When the receiver last answered.
    pub answered: Option<String>,
}

/// An agency's inbox in short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InboxSummary {
    /// The agency.
    pub agency: String,
    /// Messages that it has not acknowledged.
    pub waiting: u64,
    /// When the oldest came.
    pub oldest: Option<String>,
}

/// The exchange of a platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExchangeStatus {
    /// The platform.
    pub region: String,
    /// Channels to other platforms.
    pub channels: Vec<ChannelItem>,
    /// Inboxes here.
    pub inboxes: Vec<InboxSummary>,
    /// Messages for agencies that are attached nowhere.
    pub unrouted: u64,
    /// Messages that cannot take effect.
    pub dead_letters: u64,
    /// Answers that a person must look at.
    pub alerts: u64,
}

/// A message that cannot take effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its id.
    pub msg_id: String,
    /// `document`, `receipt` or `withdrawal`.
    pub kind: String,
    /// Who it is for.
    pub recipient: String,
    /// The platform it was sent to.
    pub to: Option<String>,
    /// The document, or agency and number of the receipt.
    pub doc_id: String,
    /// The version; 0 for a receipt.
    pub doc_version: u32,
    /// Reason code.
    pub reason: String,
    /// The same in words.
    pub detail: String,
    /// Who must act.
    pub owner: String,
    /// How often it was sent again.
    pub attempts: u32,
    /// When it became one.
    pub at: String,
}

/// An answer that a person must look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptAlert {
    /// The document.
    pub doc_id: String,
    /// The version that was answered.
    pub doc_version: u32,
    /// Who answered.
    pub agency: String,
    /// Its number.
    pub agency_receipt_no: String,
    /// Its code.
    pub code: String,
    /// `unknown_code` or `not_taken`.
    pub note: String,
    /// Who must act.
    pub owner: String,
    /// When it came.
    pub at: String,
}

/// Dead letters and alerts of a platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadLetters {
    /// Messages.
    pub items: Vec<DeadLetter>,
    /// Answers.
    pub alerts: Vec<ReceiptAlert>,
    /// Always null: the lists are bounded.
    pub next_page_token: Option<String>,
}

/// Answer to a resend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResendAnswer {
    /// The message.
    pub msg_id: String,
    /// How often it was sent again.
    pub attempts: u32,
    /// Where it goes.
    pub to: Option<String>,
}

/// One agency's side of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgencyPart {
    /// The agency.
    pub agency: String,
    /// `lead`, `mandatory` or `optional`.
    pub role: String,
    /// What it has done.
    pub state: String,
    /// The platform it is attached to.
    pub at: Option<String>,
    /// How far its part has come.
    pub passage: String,
    /// The message that carries its part.
    pub msg_id: String,
    /// The version in which it was last sent something.
    pub sent_version: u32,
}

/// Why a document stands where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyItem {
    /// The agency it is about, where it is about one.
    pub agency: Option<String>,
    /// Where it is, in Chinese.
    pub place_zh: String,
    /// Where it is.
    pub place_en: String,
    /// What it waits for, in Chinese.
    pub waits_zh: String,
    /// What it waits for.
    pub waits_en: String,
    /// `nobody`, `platform`, `lodger`, `agency` or `operator`.
    pub actor: String,
    /// True when the document cannot go on before.
    pub holds: bool,
    /// Index of the record it rests on.
    pub record: Option<u64>,
    /// That record's epoch.
    pub record_epoch: Option<Epoch>,
}

/// Where a document is and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DocumentTrace {
    /// The document.
    pub doc_id: String,
    /// Its newest version.
    pub doc_version: u32,
    /// Its type.
    pub doc_type: String,
    /// Its state.
    pub state: String,
    /// The state of its type's own life cycle.
    pub stage: Option<String>,
    /// Index of the record that holds it.
    pub record: Option<u64>,
    /// That record's epoch.
    pub record_epoch: Option<Epoch>,
    /// False while a backup on another site does not hold it.
    pub replicated: bool,
    /// Who got a part of it.
    pub agencies: Vec<AgencyPart>,
    /// Receipts, oldest first.
    pub receipts: Vec<Receipt>,
    /// Why it stands where it stands.
    pub why: Vec<WhyItem>,
}

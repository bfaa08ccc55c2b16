//! State rows of the exchange: their keys and values.
//!
//! ```text
//! x/o/REGION/LANE 0 TIME N ID8      outbox: what waits for a platform                                OutboxRow
//! x/o/------/AGENCY|LANE 0 TIME N ID8   what waits for an agency to be attached somewhere            OutboxRow
//! x/n/AGENCY 0 TIME N ID8           inbox of an agency attached here                                 the message's id
//! x/i/ID                            a message that came here, or is for an agency here               IdRow
//! x/m/AGENCY 0 OWNER DOC_ID 0 VERSION (u32)   the message that carried this version to the agency    the message's id
//! x/c/REGION                        the newest message that came from a platform                     Source
//! x/d/DOC_ID/VERSION (u32)          who got a version of a document, and what they made of it        Dispatch
//! x/r/AGENCY 0 NUMBER               a receipt                                                        ReceiptRow
//! x/q/DOC_ID/TIME N                 receipts of a document in the order in which they came           key of its row
//! x/l/ID                            a dead letter                                                    DeadRow
//! x/w/ID EPOCH INDEX                a withdrawal that was written                                     empty
//! x/t/TAIL_ID                       how much of a tail was given up when its messages were withdrawn      count and a flag
//! x/a/DOC_ID/AGENCY                 an answer that a person must look at                             AlertRow
//! ```
//!
//! TIME is the record's (u64, milliseconds), N counts within it (u32): rows made later sort later.

use crate::Error;
use bytes::Bytes;
use eport_exchange::{Document, Entry, Kind, Recipient, Source};
use eport_model::{Digest, Epoch, JournalIndex, RegionCode, Timestamp, codec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest row value a reader decodes. 64 KiB.
const ROW_LEN_MAX: usize = 64 << 10;
/// In the place of the region while an agency is attached nowhere.
pub(crate) const UNROUTED: &str = "------";

pub(crate) const OUTBOX: &[u8] = b"x/o/";
pub(crate) const INBOXES: &[u8] = b"x/n/";
pub(crate) const DEAD: &[u8] = b"x/l/";
pub(crate) const ALERTS: &[u8] = b"x/a/";

/// What a message is made of when it is sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Matter {
    /// An agency's part of a version of a document of this platform.
    Part { doc_id: String, doc_version: u32 },
    /// A receipt that was handed in here.
    Receipt { agency: String, number: String },
    /// A message of a record that was lost and given up.
    Withdrawal { document: Document, lost: Source },
}

/// What waits to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OutboxRow {
    pub(crate) id: Digest,
    pub(crate) kind: Kind,
    pub(crate) recipient: Recipient,
    pub(crate) digest: Digest,
    /// Length of the body, for shares of lanes.
    pub(crate) bytes: u32,
    /// Request id of the record that made it, its epoch, and where it most likely stands.
    pub(crate) request: String,
    pub(crate) epoch: Epoch,
    pub(crate) hint: JournalIndex,
    pub(crate) matter: Matter,
    /// How often a person had it sent again.
    pub(crate) resent: u32,
}

/// Where the content of a message lies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// A document of this platform: its part is made when it is read.
    Own,
    /// Body 0 of the record with this request id, most likely there.
    Record { request: String, hint: JournalIndex },
    /// It has none: a receipt, a withdrawal.
    Empty,
}

/// What is kept of a message id, as long as the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct IdRow {
    pub(crate) entry: Entry,
    pub(crate) kind: Kind,
    pub(crate) recipient: Recipient,
    pub(crate) document: Document,
    pub(crate) origin: Origin,
    /// Key of its row in the agency's inbox.
    pub(crate) place: Bytes,
    /// The agency's acknowledgement.
    pub(crate) acked: Option<AckRow>,
    /// True when another content under this id was delivered before.
    pub(crate) replaces: bool,
}

/// An agency's acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AckRow {
    pub(crate) at: Timestamp,
    /// Where its record most likely stands.
    pub(crate) hint: JournalIndex,
}

/// A receipt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ReceiptRow {
    pub(crate) digest: Digest,
    /// The receipt, encrypted: `Place{request: id_of_receipt, part: Columns}`.
    pub(crate) sealed: Bytes,
    pub(crate) owner: RegionCode,
    pub(crate) doc_id: String,
    pub(crate) doc_version: u32,
    pub(crate) received_at: Timestamp,
    pub(crate) applied: bool,
    pub(crate) note: String,
    /// Request id of its record, and where it most likely stands.
    pub(crate) request: String,
    pub(crate) hint: JournalIndex,
}

/// What became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Dead {
    /// A message on its way out.
    Row(OutboxRow),
    /// A row of the outbox or of an inbox that this software cannot read, or whose content it cannot, as it was. `about` where
    /// that is known.
    Unreadable { id: Digest, key: Bytes, value: Bytes, about: Option<Document> },
}

impl Dead {
    /// The id under which it is listed and sent again.
    pub(crate) fn id(&self) -> Digest {
        match self {
            Dead::Row(row) => row.id,
            Dead::Unreadable { id, .. } => *id,
        }
    }
}

/// A message that cannot take effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DeadRow {
    pub(crate) what: Dead,
    pub(crate) to: Option<RegionCode>,
    pub(crate) lane: String,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) at: Timestamp,
}

/// An answer that a person must look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AlertRow {
    pub(crate) doc_version: u32,
    pub(crate) number: String,
    pub(crate) code: String,
    pub(crate) note: String,
    pub(crate) at: Timestamp,
}

fn join(parts: &[&[u8]]) -> Bytes {
    Bytes::from(parts.concat())
}

/// The time part of a key.
fn place(time: Timestamp, n: u32) -> [u8; 12] {
    let mut out = [0; 12];
    out[..8].copy_from_slice(&u64::try_from(time.as_millis()).unwrap_or(0).to_be_bytes());
    out[8..].copy_from_slice(&n.to_be_bytes());
    out
}

/// The instant in a key of the outbox or an inbox.
pub(crate) fn time_of(key: &[u8]) -> Option<Timestamp> {
    let at = key.len().checked_sub(20)?;
    let millis = key.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)?;
    i64::try_from(millis).ok().map(Timestamp::from_millis)
}

pub(crate) fn region_word(to: Option<RegionCode>) -> String {
    to.map_or_else(|| UNROUTED.to_owned(), |r| r.to_string())
}

pub(crate) fn outbox_of(to: Option<RegionCode>) -> Bytes {
    join(&[OUTBOX, region_word(to).as_bytes(), b"/"])
}

pub(crate) fn lane_of(to: Option<RegionCode>, lane: &str) -> Bytes {
    join(&[&outbox_of(to), lane.as_bytes(), &[0]])
}

pub(crate) fn outbox(to: Option<RegionCode>, lane: &str, time: Timestamp, n: u32, id: &Digest) -> Bytes {
    join(&[&lane_of(to, lane), &place(time, n), &id.as_bytes()[..8]])
}

/// Region word and lane of an outbox key.
pub(crate) fn way_of(key: &[u8]) -> Option<(&str, &str)> {
    let rest = key.strip_prefix(OUTBOX)?;
    let (region, rest) = (rest.get(..6)?, rest.get(7..)?);
    let lane = rest.split(|b| *b == 0).next()?;
    Some((std::str::from_utf8(region).ok()?, std::str::from_utf8(lane).ok()?))
}

pub(crate) fn inbox_of(agency: &str) -> Bytes {
    join(&[INBOXES, agency.as_bytes(), &[0]])
}

pub(crate) fn inbox(agency: &str, time: Timestamp, n: u32, id: &Digest) -> Bytes {
    join(&[&inbox_of(agency), &place(time, n), &id.as_bytes()[..8]])
}

/// The agency of an inbox key.
pub(crate) fn agency_of(key: &[u8]) -> Option<&str> {
    let rest = key.strip_prefix(INBOXES)?;
    std::str::from_utf8(rest.split(|b| *b == 0).next()?).ok()
}

pub(crate) fn id(id: &Digest) -> Bytes {
    join(&[b"x/i/", id.as_bytes()])
}

/// An id in the value of an index row.
pub(crate) fn id_in(value: &[u8]) -> Option<Digest> {
    hex::encode(value).parse().ok()
}

pub(crate) fn sent(agency: &str, owner: RegionCode, doc_id: &str, version: u32) -> Bytes {
    let owner = owner.to_string();
    join(&[
        b"x/m/",
        agency.as_bytes(),
        &[0],
        owner.as_bytes(),
        doc_id.as_bytes(),
        &[0],
        &version.to_be_bytes(),
    ])
}

pub(crate) fn channel(from: RegionCode) -> Bytes {
    join(&[b"x/c/", from.to_string().as_bytes()])
}

pub(crate) fn dispatch(doc_id: &str, version: u32) -> Bytes {
    join(&[b"x/d/", doc_id.as_bytes(), b"/", &version.to_be_bytes()])
}

pub(crate) fn receipt(agency: &str, number: &str) -> Bytes {
    join(&[b"x/r/", agency.as_bytes(), &[0], number.as_bytes()])
}

pub(crate) fn receipts_of(doc_id: &str) -> Bytes {
    join(&[b"x/q/", doc_id.as_bytes(), b"/"])
}

pub(crate) fn receipt_of(doc_id: &str, time: Timestamp, n: u32) -> Bytes {
    join(&[&receipts_of(doc_id), &place(time, n)])
}

pub(crate) fn dead(id: &Digest) -> Bytes {
    join(&[DEAD, id.as_bytes()])
}

pub(crate) fn alert(doc_id: &str, agency: &str) -> Bytes {
    join(&[ALERTS, doc_id.as_bytes(), b"/", agency.as_bytes()])
}

pub(crate) fn withdrawn(id: &Digest, lost: Source) -> Bytes {
    let (epoch, index) = (lost.epoch.as_u64().to_be_bytes(), lost.index.as_u64().to_be_bytes());
    join(&[b"x/w/", id.as_bytes(), &epoch, &index])
}

pub(crate) fn given_up(tail: &str) -> Bytes {
    join(&[b"x/t/", tail.as_bytes()])
}

/// Agency and number of a receipt's key.
pub(crate) fn receipt_name(key: &[u8]) -> Option<(String, String)> {
    let mut words = key.strip_prefix(b"x/r/")?.splitn(2, |b| *b == 0);
    let word = |w: &[u8]| String::from_utf8(w.to_vec()).ok();
    Some((word(words.next()?)?, word(words.next()?)?))
}

/// Document and agency of an alert's key.
pub(crate) fn alert_of(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key.strip_prefix(ALERTS)?).ok()?.split_once('/')
}

/// Request id under which a receipt is encrypted.
pub(crate) fn id_of_receipt(agency: &str, number: &str) -> String {
    format!("receipt/{agency}|{number}")
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Bytes {
    codec::encode(row).into()
}

pub(crate) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Error> {
    codec::decode_with_limit(value, ROW_LEN_MAX)
        .map_err(|source| Error::Row { key: String::from_utf8_lossy(key).chars().take(96).collect(), source })
}

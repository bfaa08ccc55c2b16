//! State rows of accounts.
//!
//! ```text
//! g/s                                    epoch of the book, and whom it waits for   eport_ledger::Book
//! g/a/ACCOUNT                            an account                                 eport_ledger::Account
//! g/e/ACCOUNT 0 NO (u64, big endian)     an entry                                   eport_ledger::Entry
//! g/h/ACCOUNT 0 HOLDER                   what a document holds                      eport_ledger::Hold
//! g/o/CAUSE (32 bytes)                   the outcome of a request                   eport_ledger::Outcome
//! g/x/SHARE (32 bytes)                   a share given away                         eport_ledger::Share
//! g/n/PART 0 ACCOUNT                     index by long parts of the name            empty
//! g/r/EPOCH (u64, big endian)            who opened the book, and why               OpenedRow
//! g/q/INDEX (u64, big endian) ID         a duty                                     DutyRow
//! g/w/INDEX ID 0 N (u16, big endian)     one of its steps                           StepRow
//! g/d/DOC_ID                             what a document asks of accounts           DocumentAccounts
//! g/c/HOME ACCOUNT CLASS HOLDER 0 STEP   what a home elsewhere has confirmed        eport_ledger::Request
//! g/p/ACCOUNT                            a share that this platform has             eport_ledger::Portion
//! g/z/ACCOUNT 0 HOLDER                   drawn from a share, not settled yet        empty
//! g/k/HOME                               newest epoch heard of a home               Epoch
//! g/f/ACCOUNT                            the home of an account                     RegionCode
//! ```
//!
//! ACCOUNT ends with a zero byte, as its parts do; no part is empty, so no name begins another.

use crate::rows::join;
use bytes::Bytes;
use eport_ledger::{AccountKey, Holder, Order, Request};
use eport_model::{Digest, Epoch, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

pub(super) const BOOK: &[u8] = b"g/s";
pub(super) const DUTIES: &[u8] = b"g/q/";
pub(super) const PORTIONS: &[u8] = b"g/p/";
/// Shorter parts tell accounts of one number apart and find none.
const INDEXED_LEN_MIN: usize = 5;

/// Who opened a book that waited, and why.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OpenedRow {
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: Timestamp,
}

pub(super) fn account(key: &AccountKey) -> Bytes {
    join(b"g/a/", &[&key.bytes()])
}

pub(super) fn entries(key: &AccountKey) -> Bytes {
    join(b"g/e/", &[&key.bytes(), &[0]])
}

pub(super) fn entry(key: &AccountKey, no: u64) -> Bytes {
    join(b"g/e/", &[&key.bytes(), &[0], &no.to_be_bytes()])
}

pub(super) fn holds(key: &AccountKey) -> Bytes {
    join(b"g/h/", &[&key.bytes(), &[0]])
}

pub(super) fn hold(key: &AccountKey, holder: &Holder) -> Bytes {
    join(b"g/h/", &[&key.bytes(), &[0], &holder.bytes()])
}

pub(super) fn outcome(cause: &Digest) -> Bytes {
    join(b"g/o/", &[cause.as_bytes()])
}

pub(super) fn share(id: &Digest) -> Bytes {
    join(b"g/x/", &[id.as_bytes()])
}

pub(super) fn numbers(part: &str) -> Bytes {
    join(b"g/n/", &[part.as_bytes(), &[0]])
}

/// Rows by which an account is found.
pub(super) fn index(key: &AccountKey) -> impl Iterator<Item = Bytes> {
    let long = key.parts().iter().filter(|p| p.len() >= INDEXED_LEN_MIN);
    long.map(|part| join(b"g/n/", &[part.as_bytes(), &[0], &key.bytes()]))
}

/// The account that a key of [`index`] ends in.
pub(super) fn indexed<'k>(key: &'k [u8], part: &str) -> Option<&'k [u8]> {
    key.strip_prefix(&numbers(part)[..])
}

pub(super) fn opened(epoch: Epoch) -> Bytes {
    join(b"g/r/", &[&epoch.as_u64().to_be_bytes()])
}

pub(super) fn duty(id: &[u8]) -> Bytes {
    join(DUTIES, &[id])
}

pub(super) fn steps(id: &[u8]) -> Bytes {
    join(b"g/w/", &[id, &[0]])
}

pub(super) fn step(id: &[u8], n: u16) -> Bytes {
    join(b"g/w/", &[id, &[0], &n.to_be_bytes()])
}

pub(super) fn document(doc_id: &str) -> Bytes {
    join(b"g/d/", &[doc_id.as_bytes()])
}

/// Prefix of what a home has confirmed.
pub(super) fn claims(home: RegionCode) -> Bytes {
    join(b"g/c/", &[home.to_string().as_bytes(), b"/"])
}

/// Shares come before what was reserved from them, and their return last.
pub(super) fn claim(home: RegionCode, request: &Request) -> Bytes {
    let class = match request.order {
        Order::Escrow { .. } => 0,
        Order::Return { .. } => 2,
        _ => 1,
    };
    let step = [&request.step.version.to_be_bytes()[..], &[request.step.phase as u8]].concat();
    let (key, holder) = (request.account.bytes(), request.holder.bytes());
    join(&claims(home), &[&key, &[class], &holder, &[0], &step])
}

pub(super) fn portion(key: &AccountKey) -> Bytes {
    join(PORTIONS, &[&key.bytes()])
}

pub(super) fn unsettled(key: &AccountKey, holder: &Holder) -> Bytes {
    join(b"g/z/", &[&key.bytes(), &[0], &holder.bytes()])
}

pub(super) fn heard(home: RegionCode) -> Bytes {
    join(b"g/k/", &[home.to_string().as_bytes()])
}

pub(super) fn home(key: &AccountKey) -> Bytes {
    join(b"g/f/", &[&key.bytes()])
}

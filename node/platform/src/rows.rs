//! State rows of documents: their keys and values. Full values, written as effects of the record that changes them.
//!
//! ```text
//! d/DOC_ID                               newest version of a document             DocumentRow
//! v/DOC_ID/VERSION (u32, big endian)     versions before the newest               DocumentRow
//! r/TYPE 0 BLIND (16 bytes) LODGED_BY    what a business key names                ReferenceRow
//! s/TYPE 0 STATE 0 DOC_ID                index by type and state                  empty
//! y/BLIND (16 bytes) DOC_ID              a number that a document is known by      the kind of number
//! n                                      next document number and its epoch       CursorRow
//! u/served                               requests served, by month                ServedRow
//! u/journal                              documents and bytes, by month            eport_model::Usage
//! a/DOC_ID                               number of a tail record's document now    the other number
//! t/TAIL_ID/INDEX (u64, big endian)      what became of a record of a tail         TailRow
//! c/SERIAL                               a certificate of the platform's CAs       CertificateRow
//! i/SERIAL                               an intent that no certificate followed     empty
//! u/SUBJECT 0 SERIAL                     index of certificates by subject          empty
//! k/KEY (hex)                            newest certificate of a public key        its serial
//! e/t/ID                                 an enrolment token                        eport_enrolment::TokenRow
//! w/CA (hex)/KEK                         a CA's wrapped key                       custody::WrappedRow
//! e/q/ID                                 a request that waits, or is decided       eport_enrolment::RequestRow
//! g/…                                    accounts: see the module of that name
//! y/…                                    consents: see the module of that name
//! ```
//!
//! BLIND is a keyed digest of the client reference, or of a number; they themselves stand encrypted, in `DocumentRow::columns` and in
//! the body.
//!
//! A row cannot name the index of the record that writes it, because the journal draws that later. `DocumentRow::hint` is where
//! it most likely stands: off by the journal's own records in between, or by proposals that were turned away. Readers look
//! outwards from there for the record whose request has the document's business key.

use crate::Error;
use crate::keys::{self, decrypt};
use bytes::Bytes;
use eport_documents::State;
use eport_envelope::{Blind, KeyRing, Part};
use eport_model::{Digest, Epoch, JournalIndex, Timestamp, codec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Key of the number cursor.
pub(crate) const CURSOR: &[u8] = b"n";

/// Key of the requests served; beside it lies what came in, which the store counts (`eport_model::USAGE_KEY`).
pub(crate) const SERVED: &[u8] = b"u/served";

/// Largest row value a reader decodes. 64 KiB.
const ROW_LEN_MAX: usize = 64 << 10;

/// One version of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DocumentRow {
    pub(crate) doc_version: u32,
    pub(crate) doc_type: String,
    /// The blinded client reference.
    pub(crate) blind: Blind,
    /// Sensitive columns, encrypted: see [`Columns`].
    pub(crate) columns: Bytes,
    pub(crate) lodged_by: String,
    pub(crate) function_code: String,
    pub(crate) state: State,
    /// Record time.
    pub(crate) received_at: Timestamp,
    /// Where the record that wrote this version most likely stands.
    pub(crate) hint: JournalIndex,
    /// Keyed digest of the lodged content.
    pub(crate) content: Digest,
    /// Keyed digest of the version before.
    pub(crate) previous: Option<Digest>,
    pub(crate) pack_version: String,
    /// Which body of the record readers are shown: 0 as lodged, 1 where normalisation changed something.
    pub(crate) body: u16,
}

impl DocumentRow {
    /// Request id of the record that wrote this version.
    pub(crate) fn request(&self) -> String {
        keys::request_id(&self.lodged_by, &self.doc_type, &self.blind, self.doc_version)
    }

    /// The sensitive columns.
    pub(crate) fn open(&self, ring: &KeyRing) -> Result<Columns, Error> {
        let request = self.request();
        let plain = decrypt(ring, &request, Part::Columns, &self.columns)?;
        decode(request.as_bytes(), &plain)
    }
}

/// Columns of a document's row that a copy of the data must not show.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Columns {
    pub(crate) client_ref: String,
}

/// The sensitive columns before they are encrypted.
pub(crate) fn columns(client_ref: &str) -> Vec<u8> {
    codec::encode(&Columns { client_ref: client_ref.to_owned() })
}

/// What (lodged_by, doc_type, client_ref) names: a document, and the keyed digest of each version, 1 first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ReferenceRow {
    pub(crate) doc_id: String,
    pub(crate) contents: Vec<Digest>,
}

/// The next number and the epoch whose blocks it is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct CursorRow {
    pub(crate) epoch: Epoch,
    pub(crate) next: u64,
}

/// What became of one record of a diverged tail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TailRow {
    pub(crate) outcome: TailOutcome,
    /// The number under which the platform has the document now.
    pub(crate) doc_id: Option<String>,
    /// Why a person has to look: a code and the same in words.
    pub(crate) code: String,
    pub(crate) detail: String,
    /// Who had it submitted again, and when.
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

/// The first two are final.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum TailOutcome {
    Present,
    Resubmitted,
    Conflict,
}

pub(crate) fn alias(doc_id: &str) -> Bytes {
    join(b"a/", &[doc_id.as_bytes()])
}

/// Prefix of what became of a tail's records.
pub(crate) fn tail(id: &str) -> Bytes {
    join(b"t/", &[id.as_bytes(), b"/"])
}

pub(crate) fn tail_record(id: &str, index: JournalIndex) -> Bytes {
    join(b"t/", &[id.as_bytes(), b"/", &index.as_u64().to_be_bytes()])
}

/// The record that a key of [`tail_record`] names.
pub(crate) fn index_of_tail_record(key: &[u8]) -> Option<JournalIndex> {
    let index = key.last_chunk::<8>()?;
    Some(JournalIndex::from_u64(u64::from_be_bytes(*index)))
}

pub(crate) fn document(doc_id: &str) -> Bytes {
    join(b"d/", &[doc_id.as_bytes()])
}

pub(crate) fn version(doc_id: &str, version: u32) -> Bytes {
    join(b"v/", &[doc_id.as_bytes(), b"/", &version.to_be_bytes()])
}

pub(crate) fn versions(doc_id: &str) -> Bytes {
    join(b"v/", &[doc_id.as_bytes(), b"/"])
}

pub(crate) fn reference(lodged_by: &str, doc_type: &str, client_ref: &Blind) -> Bytes {
    join(b"r/", &[doc_type.as_bytes(), &[0], client_ref, lodged_by.as_bytes()])
}

pub(crate) fn references(doc_type: &str, client_ref: &Blind) -> Bytes {
    join(b"r/", &[doc_type.as_bytes(), &[0], client_ref])
}

pub(crate) fn state(doc_type: &str, state: State, doc_id: &str) -> Bytes {
    join(b"s/", &[doc_type.as_bytes(), &[0], state.as_str().as_bytes(), &[0], doc_id.as_bytes()])
}

/// Prefix of the documents that are known by a number.
pub(crate) fn numbers(number: &Blind) -> Bytes {
    join(b"y/", &[number])
}

pub(crate) fn number(number: &Blind, doc_id: &str) -> Bytes {
    join(b"y/", &[number, doc_id.as_bytes()])
}

/// The row of a certificate.
pub(crate) fn certificate(serial: &str) -> Bytes {
    join(b"c/", &[serial.as_bytes()])
}

pub(crate) fn intent(serial: &str) -> Bytes {
    join(b"i/", &[serial.as_bytes()])
}

/// Prefix of a subject's certificates.
pub(crate) fn subject(subject: &str) -> Bytes {
    join(b"u/", &[subject.as_bytes(), &[0]])
}

pub(crate) fn subject_serial(subject: &str, serial: &str) -> Bytes {
    join(b"u/", &[subject.as_bytes(), &[0], serial.as_bytes()])
}

/// The newest certificate of a public key.
pub(crate) fn certified_key(key: &Digest) -> Bytes {
    join(b"k/", &[key.to_string().as_bytes()])
}

/// Prefix of a CA's wrapped keys.
pub(crate) fn wrapped(ca: &Digest) -> Bytes {
    join(b"w/", &[ca.to_string().as_bytes(), b"/"])
}

pub(crate) fn wrapped_key(ca: &Digest, kek: &str) -> Bytes {
    join(b"w/", &[ca.to_string().as_bytes(), b"/", kek.as_bytes()])
}

/// Prefix of the enrolment tokens.
pub(crate) const TOKENS: &[u8] = b"e/t/";
/// Prefix of the requests for certificates.
pub(crate) const REQUESTS: &[u8] = b"e/q/";

pub(crate) fn token(id: &str) -> Bytes {
    join(TOKENS, &[id.as_bytes()])
}

pub(crate) fn request(id: &str) -> Bytes {
    join(REQUESTS, &[id.as_bytes()])
}

/// Prefix of the index for a type and a state; without state all states, without type everything.
pub(crate) fn states(doc_type: Option<&str>, state: Option<State>) -> Bytes {
    match (doc_type, state) {
        (None, _) => Bytes::from_static(b"s/"),
        (Some(t), None) => join(b"s/", &[t.as_bytes(), &[0]]),
        (Some(t), Some(s)) => join(b"s/", &[t.as_bytes(), &[0], s.as_str().as_bytes(), &[0]]),
    }
}

/// The document an index key ends in.
pub(crate) fn doc_id_of_state(key: &[u8]) -> Option<&str> {
    key.rsplit(|b| *b == 0).next().and_then(|id| std::str::from_utf8(id).ok())
}

/// The document a `d/` key names.
pub(crate) fn doc_id_of_document(key: &[u8]) -> Option<&str> {
    key.strip_prefix(b"d/").and_then(|id| std::str::from_utf8(id).ok())
}

pub(crate) fn join(prefix: &[u8], parts: &[&[u8]]) -> Bytes {
    let mut key = Vec::with_capacity(prefix.len() + parts.iter().map(|p| p.len()).sum::<usize>());
    key.extend_from_slice(prefix);
    for part in parts {
        key.extend_from_slice(part);
    }
    key.into()
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Bytes {
    codec::encode(row).into()
}

/// Largest row about accounts: a document of 1 MiB may grant thousands of them.
const LONG_ROW_LEN_MAX: usize = 4 << 20;

/// As [`decode`], for rows that list what a document asks.
pub(crate) fn decode_long<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Error> {
    codec::decode_with_limit(value, LONG_ROW_LEN_MAX)
        .map_err(|source| Error::Row { key: String::from_utf8_lossy(key).chars().take(96).collect(), source })
}

pub(crate) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Error> {
    codec::decode_with_limit(value, ROW_LEN_MAX)
        .map_err(|source| Error::Row { key: String::from_utf8_lossy(key).chars().take(96).collect(), source })
}

//! The part of a submission that depends on nothing in flight: done on the caller's task, before the queue.

use crate::answer::SubmitAnswer;
use crate::platform::SharedTables;
use crate::{Error, keys, rows};
use bytes::Bytes;
use eport_documents::pack::Shelf;
use eport_documents::{BusinessKey, Document};
use eport_envelope::{Blind, KeyRing, Part, commitment};
use eport_model::{Coded, Digest, ReadVersion, Timestamp};

/// Who hands documents in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The subject path of the certificate, kept with the record.
    pub subject: String,
    /// In whose name documents are lodged: `Subject::lodger`.
    pub lodged_by: String,
}

impl From<&eport_identity::Subject> for Caller {
    fn from(subject: &eport_identity::Subject) -> Self {
        Self { subject: subject.to_string(), lodged_by: subject.lodger() }
    }
}

/// A judged document, ready for the sequencer.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The business key.
    pub(crate) key: BusinessKey,
    /// Row that the business key's document is found under.
    pub(crate) reference: Bytes,
    /// Keyed digest of the content.
    pub(crate) content: Digest,
    /// What the record says in the clear of the content, lodged and shown.
    pub(crate) commitment: Digest,
    /// The judgement.
    pub(crate) document: Document,
    /// Request id of the record: the business key with its client reference blinded.
    pub(crate) request: String,
    /// The blinded client reference.
    pub(crate) blind: Blind,
    /// Sensitive columns of the document's row, encrypted.
    pub(crate) columns: Bytes,
    /// Canonical form of what was lodged; judged again when a table changes meanwhile, never stored.
    pub(crate) plain: Bytes,
    /// The request as it is journalled: the canonical form, encrypted.
    pub(crate) body: Bytes,
    /// What readers are shown, where it differs; encrypted.
    pub(crate) normalised: Option<Bytes>,
    pub(crate) caller: String,
    pub(crate) signature: Option<Bytes>,
    /// The parts that its recipients get, by digest.
    pub(crate) parts: Vec<crate::exchange::PreparedPart>,
    /// Numbers that it is known by, blinded, with their kinds.
    pub(crate) numbers: Vec<(Blind, String)>,
    /// The whole document as readers are shown it, where that differs from `plain`; never stored.
    pub(crate) shown: Option<Bytes>,
    /// The records that it was compared with.
    pub(crate) compared_with: Vec<ReadVersion>,
    /// Set when a record of a diverged tail is submitted again.
    pub(crate) origin: Option<crate::resubmit::Origin>,
}

impl Prepared {
    pub(crate) fn new(
        caller: &Caller,
        raw: &[u8],
        signature: Option<Bytes>,
        packs: &dyn Shelf,
        tables: &SharedTables,
        at: Timestamp,
        ring: &KeyRing,
    ) -> Result<Self, Box<SubmitAnswer>> {
        let judged = packs.at(at).and_then(|packs| Document::judge(raw, &packs, &**tables, at));
        let mut document = judged.map_err(|refusal| Box::new(SubmitAnswer::from(refusal)))?;
        let key = BusinessKey {
            lodged_by: caller.lodged_by.clone(),
            doc_type: document.kind.doc_type.to_string(),
            client_ref: document.client_ref.clone(),
            doc_version: document.doc_version,
        };
        let blind = keys::blind(ring, &key.client_ref);
        let request = keys::request_id(&key.lodged_by, &key.doc_type, &blind, key.doc_version);
        let parts = crate::exchange::parts_of(&document, tables, at);
        let plain = Bytes::from(std::mem::take(&mut document.canonical));
        let normalised = document.normalised.take();
        let shown = normalised.as_deref().map(Digest::of);
        // It was judged: it can be read.
        let numbers = document.kind.numbers(normalised.as_deref().unwrap_or(&plain)).unwrap_or_default();
        let numbers = numbers.into_iter().map(|(kind, n)| (keys::blind_number(ring, &n), kind)).collect();
        let encrypt = |part, plain: &[u8]| {
            keys::encrypt(ring, &request, part, plain).map_err(|e| Box::new(not_encrypted(&e)))
        };
        Ok(Self {
            reference: rows::reference(&key.lodged_by, &key.doc_type, &blind),
            content: ring.content(&document.digest),
            columns: encrypt(Part::Columns, &rows::columns(&key.client_ref))?,
            body: encrypt(Part::Request, &plain)?,
            commitment: commitment(&ring.opening(&request), &document.digest, shown.as_ref()),
            numbers,
            shown: normalised.as_ref().map(|n| Bytes::copy_from_slice(n)),
            compared_with: Vec::new(),
            normalised: normalised.map(|n| encrypt(Part::Shown, &n)).transpose()?,
            blind,
            plain,
            request,
            caller: caller.subject.clone(),
            key,
            document,
            signature,
            parts,
            origin: None,
        })
    }

    pub(crate) fn weight(&self) -> usize {
        self.plain.len() + self.body.len() + self.normalised.as_ref().map_or(0, Bytes::len)
    }
}

/// Without a key nothing is stored: the caller repeats the document a moment later.
pub(crate) fn not_encrypted(error: &Error) -> SubmitAnswer {
    SubmitAnswer::unavailable(error.code(), &error.to_string())
}

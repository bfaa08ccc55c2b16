//! The part of a submission that depends on nothing in flight: done on the caller's task, before the queue.

use crate::answer::SubmitAnswer;
use crate::platform::SharedTables;
use crate::rows;
use bytes::Bytes;
use eport_documents::{BusinessKey, Document, Packs};
use eport_model::{Digest, DigestHasher, Timestamp};

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
    /// The judgement.
    pub(crate) document: Document,
    /// The request as it is journalled: canonical form of what was lodged.
    pub(crate) body: Bytes,
    /// What readers are shown, where it differs.
    pub(crate) normalised: Option<Bytes>,
    pub(crate) caller: String,
    pub(crate) signature: Option<Bytes>,
}

impl Prepared {
    pub(crate) fn new(
        caller: &Caller,
        raw: &[u8],
        signature: Option<Bytes>,
        packs: &Packs,
        tables: &SharedTables,
        at: Timestamp,
        content_key: &[u8; 32],
    ) -> Result<Self, Box<SubmitAnswer>> {
        let mut document = Document::judge(raw, packs, &**tables, at)
            .map_err(|refusal| Box::new(SubmitAnswer::from(refusal)))?;
        let key = BusinessKey {
            lodged_by: caller.lodged_by.clone(),
            doc_type: document.kind.doc_type.to_string(),
            client_ref: document.client_ref.clone(),
            doc_version: document.doc_version,
        };
        Ok(Self {
            reference: rows::reference(&key.lodged_by, &key.doc_type, &key.client_ref),
            content: keyed(content_key, &document.digest),
            body: std::mem::take(&mut document.canonical).into(),
            normalised: document.normalised.take().map(Bytes::from),
            caller: caller.subject.clone(),
            key,
            document,
            signature,
        })
    }

    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.normalised.as_ref().map_or(0, Bytes::len)
    }
}

/// A digest under a key. Prefix-keyed SHA-256 is a sound function here because both parts have a fixed length.
fn keyed(key: &[u8; 32], content: &Digest) -> Digest {
    let mut h = DigestHasher::new();
    h.update(b"eport document content 1");
    h.update(key);
    h.update(content.as_bytes());
    h.finish()
}

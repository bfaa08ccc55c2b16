//! What evidence of one document is made of: its record with what opens it, and the records from there to the next signed head.
//!
//! Always: only committed records are given, and every one whose answer was given (what is applied: the status that others hear is
//! told now and then); what was erased by law is not opened any more.

use crate::keys::decrypt;
use crate::platform::Platform;
use crate::{Error, read, rows};
use bytes::Bytes;
use eport_envelope::{Opening, Part};
use eport_model::{Digest, Effect, JournalIndex, Position, RecordHeader, RecordKind};

/// Bytes of records that are read at once.
const PIECE: usize = 1 << 20;

/// The record that took a version of a document.
#[derive(Clone, Debug)]
pub struct DocumentRecord {
    /// The version.
    pub doc_version: u32,
    /// The record's header.
    pub header: RecordHeader,
    /// The record's digest.
    pub digest: Digest,
    /// The row that gave the document its number, as the record wrote it.
    pub row: (Bytes, Bytes),
    /// The document as lodged, in canonical form; `None` where it was erased.
    pub lodged: Option<String>,
    /// As readers are shown it, where normalisation changed something.
    pub shown: Option<String>,
    /// Opens the record's commitment; `None` where it has none or the content was erased.
    pub opening: Option<Opening>,
    /// True when the content was erased by law.
    pub erased: bool,
}

/// Where the way from a record ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChainEnd {
    /// At a record that a signed head covers.
    Signed {
        /// What it covers.
        covers: Position,
        /// Its header.
        head: Box<RecordHeader>,
    },
    /// No signed head has followed; at the last committed record.
    Unsigned(Position),
    /// A signed head may follow, further away than was asked for.
    Far,
}

impl Platform {
    /// The record of a document's version, the newest unless one is named, with what evidence of it needs.
    pub fn record_of(&self, doc_id: &str, version: Option<u32>) -> Result<Option<DocumentRecord>, Error> {
        let log = &*self.inner.log;
        let row = match version {
            Some(version) => read::version(log, doc_id, version)?,
            None => read::newest(log, doc_id)?,
        };
        let Some(row) = row else { return Ok(None) };
        let request = row.request();
        let Some((header, digest)) = read::record(log, &row)? else { return Ok(None) };
        // A read gives at least the record it begins with.
        let Some(record) = log.read(header.index, 1)?.into_iter().next() else { return Ok(None) };
        let key = rows::document(doc_id);
        let written = record.effects.iter().find_map(|e| match e {
            Effect::Put { key: k, value } if *k == key => Some(value.clone()),
            _ => None,
        });
        let Some(value) = written else { return Ok(None) };
        let ring = self.inner.config.keys.need()?;
        let text = |n: u16, part: Part| -> Result<Option<String>, Error> {
            let body = log.body(header.index, n)?.filter(|b| !b.is_empty());
            let Some(body) = body else { return Ok(None) };
            let plain = decrypt(&ring, &request, part, &body)?;
            let unreadable = |_| Error::Content { request: request.chars().take(96).collect() };
            String::from_utf8(plain).map(Some).map_err(unreadable)
        };
        let lodged = text(0, Part::Request)?;
        let shown = if row.body == 0 { None } else { text(row.body, Part::Shown)? };
        let erased = lodged.is_none() || (row.body > 0 && shown.is_none());
        let opens = header.content_commitment().is_some() && !erased;
        Ok(Some(DocumentRecord {
            doc_version: row.doc_version,
            row: (key, value),
            lodged: lodged.filter(|_| !erased),
            shown: shown.filter(|_| !erased),
            opening: opens.then(|| ring.opening(&request)),
            erased,
            header,
            digest,
        }))
    }

    /// The first signed head that covers a record or one behind it, at most `links` records behind.
    pub fn chain_end(&self, record: Position, links: u64) -> Result<ChainEnd, Error> {
        let committed = self.inner.log.applied().index.max(record.index);
        let behind = |n: u64| JournalIndex::from_u64(record.index.as_u64().saturating_add(n));
        // A head stands behind what it covers by what was in flight then: looking twice as far finds it.
        let (last, sight) = (behind(links), behind(links.saturating_mul(2)));
        let (mut end, mut found) = (record, None);
        self.walk_records(record.index.next(), committed, |header, position| {
            if let RecordKind::SignedHead { covers, .. } = &header.kind
                && covers.index >= record.index
            {
                found = Some((*covers, Box::new(header.clone())));
                return false;
            }
            end = position;
            position.index < sight
        })?;
        Ok(match found {
            Some((covers, head)) if covers.index <= last => ChainEnd::Signed { covers, head },
            None if end.index == committed && end.index <= last => ChainEnd::Unsigned(end),
            _ => ChainEnd::Far,
        })
    }

    /// Headers of the records after one, up to another one, about `max_bytes` of what `text` makes of them, at least one.
    pub fn headers_between(
        &self,
        after: JournalIndex,
        through: JournalIndex,
        max_bytes: usize,
        text: impl Fn(&RecordHeader) -> String,
    ) -> Result<Vec<String>, Error> {
        let through = through.min(self.inner.log.applied().index);
        let (mut out, mut bytes) = (Vec::new(), 0usize);
        self.walk_records(after.next(), through, |header, _| {
            let text = text(header);
            bytes = bytes.saturating_add(text.len());
            out.push(text);
            bytes < max_bytes
        })?;
        Ok(out)
    }

    /// Calls `each` with the records from one to another, in order, until it answers false.
    fn walk_records(
        &self,
        from: JournalIndex,
        through: JournalIndex,
        mut each: impl FnMut(&RecordHeader, Position) -> bool,
    ) -> Result<(), Error> {
        let mut next = from;
        while next <= through {
            let piece = self.inner.log.read(next, PIECE)?;
            if piece.is_empty() {
                return Ok(());
            }
            for record in piece {
                if record.index() > through || !each(&record.header, record.position()) {
                    return Ok(());
                }
                next = record.index().next();
            }
        }
        Ok(())
    }
}

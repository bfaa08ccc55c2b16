//! Finding a document's rows and the record behind them.

use crate::Error;
use crate::log::Log;
use crate::rows::{self, DocumentRow};
use eport_model::{Digest, JournalIndex, Position, RecordHeader};

/// Distance from the hint that is searched. A hint is off by the marks and epoch starts since the last document, or by the
/// proposals turned away at once, of which there are at most as many as documents in flight (32 768 by default).
const SEARCH_MAX: u64 = 65_536;

/// The number under which the platform has a document: another one when it was given in an epoch that was left, and its trader
/// had lodged the document again before that came to light.
pub(crate) fn present_number(log: &dyn Log, doc_id: &str) -> Result<Option<String>, Error> {
    Ok(log.get(&rows::alias(doc_id))?.and_then(|v| String::from_utf8(v.to_vec()).ok()))
}

/// The newest version of a document.
pub(crate) fn newest(log: &dyn Log, doc_id: &str) -> Result<Option<DocumentRow>, Error> {
    let key = rows::document(doc_id);
    log.get(&key)?.map(|v| rows::decode(&key, &v)).transpose()
}

/// One version of a document.
pub(crate) fn version(log: &dyn Log, doc_id: &str, version: u32) -> Result<Option<DocumentRow>, Error> {
    let Some(newest) = newest(log, doc_id)? else { return Ok(None) };
    if newest.doc_version == version {
        return Ok(Some(newest));
    }
    let key = rows::version(doc_id, version);
    log.get(&key)?.map(|v| rows::decode(&key, &v)).transpose()
}

/// Every version of a document, 1 first.
pub(crate) fn versions(log: &dyn Log, doc_id: &str) -> Result<Vec<DocumentRow>, Error> {
    let Some(newest) = newest(log, doc_id)? else { return Ok(Vec::new()) };
    let before = log.scan(&rows::versions(doc_id), None, newest.doc_version as usize)?;
    let mut all: Vec<DocumentRow> =
        before.iter().map(|(k, v)| rows::decode(k, v)).collect::<Result<_, _>>()?;
    // A version that became old between the two reads stands in both.
    all.retain(|d| d.doc_version < newest.doc_version);
    all.push(newest);
    Ok(all)
}

/// The record that wrote this version: at the hint, or searched outwards from there.
pub(crate) fn record(log: &dyn Log, row: &DocumentRow) -> Result<Option<(RecordHeader, Digest)>, Error> {
    find(log, row.hint, &row.request())
}

/// The record of a request: at the hint, or searched outwards from there.
pub(crate) fn find(
    log: &dyn Log,
    hint: JournalIndex,
    key: &str,
) -> Result<Option<(RecordHeader, Digest)>, Error> {
    let at = |index: u64| -> Result<Option<(RecordHeader, Digest)>, Error> {
        let found = log.header(JournalIndex::from_u64(index))?;
        Ok(found.filter(|(header, _)| header.request.as_ref().is_some_and(|r| r.id == key)))
    };
    let hint = hint.as_u64();
    let end = log.last().index.as_u64();
    for distance in 0..SEARCH_MAX {
        let (below, above) = (hint.checked_sub(distance).filter(|i| *i > 0), hint.saturating_add(distance));
        if above <= end
            && let Some(found) = at(above)?
        {
            return Ok(Some(found));
        }
        if let Some(found) = below.map(at).transpose()?.flatten() {
            return Ok(Some(found));
        }
        if below.is_none() && above > end {
            break;
        }
    }
    Ok(None)
}

/// Place and proof of the record that wrote this version.
pub(crate) fn position(log: &dyn Log, row: &DocumentRow) -> Result<Option<Position>, Error> {
    Ok(record(log, row)?.map(|(header, digest)| Position {
        epoch: header.epoch,
        index: header.index,
        digest,
    }))
}

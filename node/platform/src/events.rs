//! The journal as subscribers follow it: applied records after an index, in order, none twice, none left out.

use crate::platform::Platform;
use crate::rows::{self, DocumentRow};
use crate::{Error, read};
use eport_api_types::{Event, rfc3339};
use eport_model::{Effect, JournalIndex, Record, RecordKind};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes of records read for one answer.
const READ_BYTES: usize = 4 << 20;

/// Longest wait for a new event.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Platform {
    /// Events after `after`, at most `limit`; waits up to `wait` for the first one. Only committed and applied records show.
    /// A reader is told of documents that the rules share with it; of the others it learns that something was written.
    pub async fn events(
        &self,
        after: u64,
        limit: usize,
        wait: Duration,
        scope: &crate::Scope,
    ) -> Result<Vec<Event>, Error> {
        let log = &self.inner.log;
        let until = Instant::now() + wait.min(WAIT_MAX);
        let mut status = log.status();
        while log.applied().index.as_u64() <= after {
            status.borrow_and_update();
            if log.applied().index.as_u64() > after {
                break;
            }
            match timeout_at(until, status.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
            }
        }
        let applied = log.applied().index;
        let from = JournalIndex::from_u64(after).next();
        let limit = limit.clamp(1, self.inner.config.page_max);
        let records = log.read(from, READ_BYTES)?;
        let applied = records.iter().take_while(|r| r.index() <= applied).take(limit);
        let shown = |record: &Record| -> Result<Event, Error> {
            let event = event(record)?;
            let told = match (&event.doc_id, event.doc_version, scope) {
                (Some(id), Some(version), crate::Scope::Agency(code)) => {
                    self.is_recipient(id, version, code)?
                }
                (Some(id), Some(version), crate::Scope::Shared(_)) => {
                    match read::version(&**log, id, version)? {
                        Some(row) => self.sees(scope, id, &row)?,
                        None => false,
                    }
                }
                _ => true,
            };
            let untold = Event {
                kind: RecordKind::Entry.name().to_owned(),
                doc_id: None,
                doc_version: None,
                doc_type: None,
                state: None,
                ..event.clone()
            };
            Ok(if told { event } else { untold })
        };
        applied.map(|r| shown(r)).collect()
    }
}

fn event(record: &Record) -> Result<Event, Error> {
    let header = &record.header;
    let mut event = Event {
        index: header.index.as_u64(),
        epoch: header.epoch,
        time: rfc3339(header.time),
        kind: header.kind.name().to_owned(),
        doc_id: None,
        doc_version: None,
        doc_type: None,
        state: None,
    };
    if header.kind != RecordKind::Entry {
        return Ok(event);
    }
    let document = record.effects.iter().find_map(|effect| match effect {
        Effect::Put { key, value } => rows::doc_id_of_document(key).map(|id| (id.to_owned(), key, value)),
        Effect::Delete { .. } => None,
    });
    if let Some((id, key, value)) = document {
        let row: DocumentRow = rows::decode(key, value)?;
        event.kind = "document".into();
        event.doc_id = Some(id);
        event.doc_version = Some(row.doc_version);
        event.doc_type = Some(row.doc_type);
        event.state = Some(row.state.to_string());
    }
    Ok(event)
}

//! What the acceptance of a document leaves for its recipients: in the same record, a row each.

use super::rows::{self, IdRow, Matter, Origin, OutboxRow};
use super::{Overlay, Routes};
use crate::Error;
use crate::log::Log;
use crate::platform::SharedTables;
use crate::rows::{self as documents, DocumentRow};
use bytes::Bytes;
use eport_documents::pack::{AgencyState, Role};
use eport_documents::{Document as Judged, DocumentType, State};
use eport_exchange::{Dispatch, Document, Entry, Kind, Part, Recipient, Source, Standing, message_id};
use eport_model::{Digest, Effect, Epoch, JournalIndex, RegionCode, Timestamp};

/// The part that one recipient gets, by digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PreparedPart {
    pub(crate) agency: String,
    pub(crate) role: Role,
    pub(crate) after: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) bytes: u32,
}

/// The parts of a judged document. A document whose form readers are shown cannot be read has none; that cannot be, since it was
/// judged a moment before.
pub(crate) fn parts_of(document: &Judged, tables: &SharedTables, at: Timestamp) -> Vec<PreparedPart> {
    let shown = document.normalised.as_deref().unwrap_or(&document.canonical);
    let parts = document.kind.projections_of(shown, &**tables, at).unwrap_or_default();
    let prepared = |p: eport_documents::Projection| {
        let recipient = document.kind.recipients.iter().find(|r| r.agency == p.agency)?;
        Some(PreparedPart {
            role: recipient.role,
            after: recipient.after.clone(),
            digest: Digest::of(&p.body),
            bytes: u32::try_from(p.body.len()).unwrap_or(u32::MAX),
            agency: p.agency,
        })
    };
    parts.into_iter().filter_map(prepared).collect()
}

/// Writes rows for recipients at one moment.
pub(crate) struct Outbox<'a> {
    pub(crate) log: &'a dyn Log,
    pub(crate) routes: &'a dyn Routes,
    pub(crate) epoch: Epoch,
    pub(crate) time: Timestamp,
    /// Request id of the record that sends the messages: a part that waited for a state is sent by the receipt that reached it.
    pub(crate) request: &'a str,
    /// Where that record most likely stands.
    pub(crate) hint: JournalIndex,
    pub(crate) made: &'a mut u32,
}

/// What an acceptance leaves.
pub(crate) struct Sent {
    pub(crate) state: State,
    pub(crate) effects: Vec<Effect>,
}

/// What a message about a document of this platform says of it.
pub(crate) fn about(owner: RegionCode, doc_id: &str, row: &DocumentRow) -> Document {
    Document {
        owner,
        doc_type: row.doc_type.clone(),
        doc_id: doc_id.to_owned(),
        doc_version: row.doc_version,
        function_code: row.function_code.clone(),
        lodged_by: row.lodged_by.clone(),
        received_at: row.received_at,
    }
}

impl Outbox<'_> {
    fn count(&mut self) -> u32 {
        *self.made = self.made.wrapping_add(1);
        *self.made
    }

    /// Rows for the recipients of an accepted version. An agency whose part an amendment does not touch is sent nothing, and what it
    /// has made of that part stands.
    pub(crate) fn accept(
        &mut self,
        doc_id: &str,
        row: &DocumentRow,
        kind: &DocumentType,
        parts: &[PreparedPart],
        old: Option<&DocumentRow>,
    ) -> Result<Sent, Error> {
        let mut overlay = Overlay::new(self.log);
        let before: Option<Dispatch> = match old {
            Some(old) => overlay.row(&rows::dispatch(doc_id, old.doc_version))?,
            None => None,
        };
        let owner = self.log.region();
        let mut dispatch =
            Dispatch { stage: kind.life_cycle.as_ref().map(|c| c.start.clone()), parts: Vec::new() };
        let mut touched = false;
        for part in parts {
            let known = before.iter().flat_map(|d| &d.parts).find(|p| p.agency == part.agency);
            if let Some(known) = known.filter(|k| k.digest == part.digest && k.sent) {
                dispatch.parts.push(known.clone());
                continue;
            }
            let mut new = Part {
                agency: part.agency.clone(),
                role: part.role,
                state: AgencyState::Queued,
                message: message_id(
                    owner,
                    &row.request(),
                    &Recipient::Agency(part.agency.clone()),
                    Kind::Document,
                ),
                digest: part.digest,
                bytes: part.bytes,
                version: row.doc_version,
                after: part.after.clone(),
                sent: false,
                at: None,
                row: Vec::new(),
            };
            // Once sent, changes follow at once, whatever state the first version had waited for.
            if new.after.is_none() || known.is_some_and(|k| k.sent) {
                touched = true;
                self.send(&mut overlay, doc_id, row, kind.pack.name.as_ref(), &mut new)?;
            }
            dispatch.parts.push(new);
        }
        if !touched && let Some(before) = before {
            dispatch.stage = before.stage;
        }
        let state = dispatch.state();
        if !dispatch.parts.is_empty() {
            overlay.put(rows::dispatch(doc_id, row.doc_version), rows::encode(&dispatch));
        }
        Ok(Sent { state, effects: overlay.take() })
    }

    /// Puts one part on its way: into the agency's inbox here, into the outbox, or aside until the agency is attached somewhere.
    pub(crate) fn send(
        &mut self,
        overlay: &mut Overlay<'_>,
        doc_id: &str,
        row: &DocumentRow,
        lane: &str,
        part: &mut Part,
    ) -> Result<(), Error> {
        let owner = self.log.region();
        part.at = self.routes.route(&part.agency, owner);
        part.sent = true;
        let n = self.count();
        if part.at == Some(owner) {
            let document = about(owner, doc_id, row);
            part.row = self.deliver(overlay, part, document, n).to_vec();
            return Ok(());
        }
        // Without a route it lies by agency, so that one that nobody attaches hides no other.
        let lane = match part.at {
            Some(_) => lane.to_owned(),
            None => format!("{}|{lane}", part.agency),
        };
        let key = rows::outbox(part.at, &lane, self.time, n, &part.message);
        let row = OutboxRow {
            id: part.message,
            kind: Kind::Document,
            recipient: Recipient::Agency(part.agency.clone()),
            digest: part.digest,
            bytes: part.bytes,
            request: self.request.to_owned(),
            epoch: self.epoch,
            hint: self.hint,
            matter: Matter::Part { doc_id: doc_id.to_owned(), doc_version: row.doc_version },
            resent: 0,
        };
        overlay.put(key.clone(), rows::encode(&row));
        part.row = key.to_vec();
        Ok(())
    }

    /// A part for an agency that is attached here.
    pub(crate) fn deliver(
        &self,
        overlay: &mut Overlay<'_>,
        part: &Part,
        document: Document,
        n: u32,
    ) -> Bytes {
        let place = rows::inbox(&part.agency, self.time, n, &part.message);
        let source = Source { epoch: self.epoch, index: self.hint };
        let row = IdRow {
            entry: Entry { source, digest: part.digest, standing: Standing::Live },
            kind: Kind::Document,
            recipient: Recipient::Agency(part.agency.clone()),
            document,
            origin: Origin::Own,
            place: place.clone(),
            acked: None,
            replaces: false,
        };
        overlay.put(rows::id(&part.message), rows::encode(&row));
        overlay.put(place.clone(), Bytes::copy_from_slice(part.message.as_bytes()));
        place
    }
}

/// Changes the state of a document's newest version and its index.
pub(crate) fn put_state(overlay: &mut Overlay<'_>, doc_id: &str, row: &DocumentRow, state: State) {
    if row.state == state {
        return;
    }
    overlay.delete(documents::state(&row.doc_type, row.state, doc_id));
    overlay.put(documents::state(&row.doc_type, state, doc_id), Bytes::new());
    let row = DocumentRow { state, ..row.clone() };
    overlay.put(documents::document(doc_id), documents::encode(&row));
}

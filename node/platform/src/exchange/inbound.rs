//! The receiving side: an offer of another platform becomes records of this one, each message with exactly one effect.

use super::letters::unreadable;
use super::rows::{self, IdRow, Origin};
use super::sending::request;
use super::{ExchangeError, Now, Overlay, reason_in_words};
use crate::keys::encrypt;
use crate::platform::Platform;
use bytes::Bytes;
use eport_envelope::{KeyRing, Part as Sealed};
use eport_exchange::{
    Answer, Entry, Kind, Message, OFFER_MESSAGES_MAX, Offer, Recipient, Refused, Source, Standing, Step,
    Taken, receive,
};
use eport_model::{Digest, Draft, Epoch, EpochHistory, JournalIndex, RecordKind, RegionCode};
use std::collections::BTreeSet;

/// A message that was judged: a record to write, or a result that needs none.
enum Judged {
    Record(Box<Draft>),
    Settled(Taken),
}

/// Who makes an offer.
struct Sender<'o> {
    from: RegionCode,
    epoch: Epoch,
    history: &'o EpochHistory,
}

/// What becomes of one message that meets a row which cannot be read: it is dead, and nothing behind it waits. Other errors
/// concern them all.
fn of_one(error: ExchangeError) -> Result<Taken, ExchangeError> {
    let reason = match &error {
        ExchangeError::Platform(error) => unreadable(error),
        _ => None,
    };
    let Some(reason) = reason else { return Err(error) };
    Ok(Taken::Dead(reason.to_owned(), reason_in_words(reason).to_owned()))
}

impl Platform {
    /// Takes an offer. An answer with results comes after every record of it is committed.
    pub async fn take_offer(&self, offer: Offer) -> Answer {
        let epoch = self.status().borrow().placement.as_ref().map(|p| p.epoch).unwrap_or_default();
        let (epoch, results) = match self.exchange_now() {
            Err(_) => (epoch, Err(Refused::NotPrimary)),
            Ok(now) => (now.epoch, self.take_open(offer, now).await),
        };
        let (results, last) = match results {
            Ok((results, last)) => (Ok(results), last),
            Err(refused) => (Err(refused), None),
        };
        Answer { epoch, held: self.held_index(), last, results }
    }

    async fn take_open(&self, offer: Offer, now: Now) -> Result<(Vec<Taken>, Option<Source>), Refused> {
        let malformed = |what: &str| Err(Refused::Malformed(what.to_owned()));
        if offer.to != self.region() || offer.from == offer.to {
            return malformed("it is for another platform");
        }
        if offer.messages.len() > OFFER_MESSAGES_MAX {
            return malformed("too many messages");
        }
        if offer.expects.is_none() && !offer.messages.is_empty() {
            return malformed("messages before first contact");
        }
        if offer.expects.is_some_and(|e| e != now.epoch) {
            return Err(Refused::Moved);
        }
        let busy = |e: ExchangeError| Refused::Busy(e.to_string());
        let keys = self.turns_of(&offer).map_err(busy)?;
        let turn = self.exchange_turn(keys).await.map_err(busy)?;
        // While it waited for its turn the role may have changed.
        let now = self.exchange_now().map_err(|_| Refused::NotPrimary)?;
        let mut overlay = Overlay::new(&*self.inner.log);
        let channel = rows::channel(offer.from);
        let last: Option<Source> = overlay.row(&channel).map_err(|e| busy(e.into()))?;
        if let Some(known) = last.map(|l| l.epoch).filter(|known| *known > offer.epoch) {
            return Err(Refused::Stale { known });
        }
        let applied = self.inner.log.applied().index;
        let (mut judged, mut drafts, mut newest) = (Vec::new(), Vec::new(), last);
        for message in offer.messages {
            let source = message.head.source;
            let sender = Sender { from: offer.from, epoch: offer.epoch, history: &offer.history };
            let one = match self.message_in(&mut overlay, message, &sender, now, applied) {
                Ok(one) => one,
                Err(error) => Judged::Settled(of_one(error).map_err(busy)?),
            };
            if let Judged::Record(mut draft) = one {
                newest = newest.max(Some(source));
                let last = newest.unwrap_or(source);
                overlay.put(channel.clone(), rows::encode(&last));
                draft.effects = overlay.take();
                drafts.push(*draft);
                judged.push(None);
            } else if let Judged::Settled(taken) = one {
                overlay.undo();
                judged.push(Some(taken));
            }
        }
        let written = match drafts.is_empty() {
            true => Vec::new(),
            false => self.exchange_write(drafts, now, Some(turn)).await.map_err(busy)?,
        };
        let mut written = written.into_iter();
        let taken = |judged: Option<Taken>| match judged {
            Some(taken) => Some(taken),
            None => written.next().map(|(position, _)| Taken::At(position.index)),
        };
        Ok((judged.into_iter().filter_map(taken).collect(), newest))
    }

    /// What an offer reads and writes.
    fn turns_of(&self, offer: &Offer) -> Result<BTreeSet<Bytes>, ExchangeError> {
        let mut keys: BTreeSet<Bytes> = [rows::channel(offer.from)].into();
        for message in &offer.messages {
            keys.insert(rows::id(&message.head.id));
            if message.head.kind == Kind::Receipt
                && let Ok(receipt) = message.receipt()
            {
                keys.insert(rows::receipt(&receipt.agency, &receipt.number));
                // A row that cannot be read is this message's own trouble.
                match self.reference_of(&receipt.doc_id) {
                    Ok(reference) => keys.extend(reference),
                    Err(error) if unreadable(&error).is_some() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(keys)
    }

    fn message_in(
        &self,
        overlay: &mut Overlay<'_>,
        message: Message,
        sender: &Sender<'_>,
        now: Now,
        applied: JournalIndex,
    ) -> Result<Judged, ExchangeError> {
        let dead = |reason: &str| {
            let detail = reason_in_words(reason).to_owned();
            Ok(Judged::Settled(Taken::Dead(reason.to_owned(), detail)))
        };
        let head = &message.head;
        if let Some(reason) = message.fault((sender.from, self.region()), sender.epoch, sender.history) {
            return dead(reason);
        }
        let known: Option<IdRow> = overlay.row(&rows::id(&head.id))?;
        // Nobody replaces or withdraws what another platform has sent, or for somebody else.
        let other = |k: &IdRow| k.recipient != head.recipient || k.document.owner != message.document.owner;
        if known.as_ref().is_some_and(other) {
            return dead("E-XCH-SENDER");
        }
        let step = receive(known.as_ref().map(|k| &k.entry), head, sender.history);
        match step {
            Step::Dead(reason) => return dead(reason),
            Step::Duplicate => return Ok(Judged::Settled(Taken::At(applied))),
            _ => {}
        }
        let source = head.source;
        let id = format!("exchange/{}/{}.{}", head.id, source.epoch.as_u64(), source.index.as_u64());
        let caller = format!("platform/{}", message.document.owner);
        let mut draft = Draft {
            request: Some(request(id.clone(), &caller, None, now.time)),
            ..Draft::bare(RecordKind::Entry, now.time)
        };
        let entry = Entry::after(known.as_ref().map(|k| &k.entry), &step, head);
        match (&head.kind, &head.recipient) {
            (Kind::Receipt, Recipient::Platform(region)) if *region == self.region() => {
                if step != Step::Moved
                    && let Err(reason) = self.receipt_in(overlay, &message, &id, (sender.from, now))?
                {
                    return dead(reason);
                }
                let row = id_row(entry, message, Origin::Empty);
                overlay.put(rows::id(&row.1), rows::encode(&row.0));
            }
            (Kind::Document | Kind::Withdrawal, Recipient::Agency(_)) => {
                let ring = self.inner.config.keys.need()?;
                let sealing = (id.as_str(), &*ring);
                let body = self.deliver_in(overlay, message, (step, entry), known, sealing, now)?;
                draft.bodies.extend(body);
            }
            _ => return dead("E-XCH-AGENCY"),
        }
        Ok(Judged::Record(Box::new(draft)))
    }

    fn receipt_in(
        &self,
        overlay: &mut Overlay<'_>,
        message: &Message,
        request: &str,
        (from, now): (RegionCode, Now),
    ) -> Result<Result<(), &'static str>, ExchangeError> {
        let receipt = match message.receipt() {
            Ok(receipt) => receipt,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(self.apply_receipt(overlay, &receipt, request, Some(from), now)?.map(drop))
    }

    /// A document's part, or its withdrawal, for an agency here. Returns the body of the record.
    fn deliver_in(
        &self,
        overlay: &mut Overlay<'_>,
        message: Message,
        (step, entry): (Step, Entry),
        known: Option<IdRow>,
        (request, ring): (&str, &KeyRing),
        now: Now,
    ) -> Result<Option<Bytes>, ExchangeError> {
        let id = message.head.id;
        let Recipient::Agency(agency) = message.head.recipient.clone() else { return Ok(None) };
        if step == Step::Moved {
            if let Some(known) = known {
                overlay.put(rows::id(&id), rows::encode(&IdRow { entry, ..known }));
            }
            return Ok(None);
        }
        let lies_there = known.as_ref().is_some_and(|k| k.acked.is_none() && !k.place.is_empty());
        let taken = known.as_ref().is_some_and(|k| k.acked.is_some());
        if let Some(known) = known.as_ref().filter(|_| lies_there) {
            overlay.delete(known.place.clone());
        }
        let (owner, doc_id, version) =
            (message.document.owner, message.document.doc_id.clone(), message.document.doc_version);
        let live = entry.standing == Standing::Live;
        let body = message.body.clone();
        let origin = match live {
            true => Origin::Record { request: request.to_owned(), hint: now.hint },
            false => Origin::Empty,
        };
        let (mut row, _) = id_row(entry, message, origin);
        // What never lay here needs no word when it is void; what did may have been read.
        if live || taken || lies_there {
            row.place = rows::inbox(&agency, now.time, self.exchange_count(), &id);
            row.replaces = taken || lies_there || step == Step::Replace;
            overlay.put(row.place.clone(), Bytes::copy_from_slice(id.as_bytes()));
        }
        overlay.put(rows::id(&id), rows::encode(&row));
        let sent = rows::sent(&agency, owner, &doc_id, version);
        if !live {
            overlay.delete(sent);
            return Ok(None);
        }
        overlay.put(sent, Bytes::copy_from_slice(id.as_bytes()));
        Ok(Some(encrypt(ring, request, Sealed::Request, &body)?))
    }
}

fn id_row(entry: Entry, message: Message, origin: Origin) -> (IdRow, Digest) {
    let row = IdRow {
        entry,
        kind: message.head.kind,
        recipient: message.head.recipient,
        document: message.document,
        origin,
        place: Bytes::new(),
        acked: None,
        replaces: false,
    };
    (row, message.head.id)
}

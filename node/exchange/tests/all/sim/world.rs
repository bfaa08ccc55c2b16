//! The world: a sending platform, a receiving one with an agency, a network between them.

use super::journal::Journal;
use bytes::Bytes;
use eport_exchange::{
    Answer, Document, Entry, Head, Kind, Message, Offer, Recipient, Refused, Sender, Source, Standing, Step,
    Taken, message_id, receive,
};
use eport_model::{Digest, Epoch, JournalIndex, RegionCode, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    None,
    /// The receiver looks up no id.
    NoDedupe,
    /// The receiver calls held what it has only written.
    RowsLeaveOnAcknowledgement,
    /// Acknowledgements of a receiver's former epoch still count.
    NothingOfferedAgain,
    /// The receiver does not ask whether the sender's journal still has what it delivered.
    ForkIgnored,
    /// The receiver takes messages that were picked by acknowledgements of another epoch.
    EpochOfReceiverIgnored,
    /// A tail is given up without a word to who got its messages.
    WithdrawalForgotten,
}

#[derive(Clone)]
enum Sent {
    Accept { doc: u32, content: u32 },
    Withdraw { doc: u32, lost: Source, content: u32 },
    Removed { rows: Vec<Source> },
}

#[derive(Clone)]
enum Got {
    Took { id: Digest, step: &'static str, source: Source, digest: Digest, standing: Standing },
    Acked { id: Digest },
}

struct Wire {
    number: u64,
    offer: Offer,
}

pub struct World {
    rng: ChaCha8Rng,
    bug: Bug,
    now: u64,
    sender: Journal<Sent>,
    receiver: Journal<Got>,
    channel: Sender<Source>,
    /// Number of the offer under way and its rows.
    under_way: Option<u64>,
    requests: Vec<Wire>,
    answers: Vec<(u64, Answer)>,
    numbers: u64,
    docs: u32,
    /// What its lodger wants to stand: content, or nothing.
    wanted: BTreeMap<u32, Option<u32>>,
    cut: bool,
    /// What the agency has handled: id and content.
    handled: BTreeSet<(Digest, Digest)>,
    pub seen: BTreeSet<&'static str>,
}

fn region(code: &str) -> RegionCode {
    code.parse().unwrap()
}

fn lane(doc: u32) -> String {
    format!("pack{}", doc % 3)
}

fn id(doc: u32) -> Digest {
    let recipient = Recipient::Agency("CUS".into());
    message_id(region("440100"), &format!("x|t|{doc}|1"), &recipient, Kind::Document)
}

fn digest(doc: u32, content: u32) -> Digest {
    Digest::of(format!("{doc}/{content}").as_bytes())
}

impl World {
    pub fn new(seed: u64, bug: Bug) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            bug,
            now: 0,
            sender: Journal::new(),
            receiver: Journal::new(),
            channel: Sender::default(),
            under_way: None,
            requests: Vec::new(),
            answers: Vec::new(),
            numbers: 0,
            docs: 0,
            wanted: BTreeMap::new(),
            cut: false,
            handled: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..600 {
            self.now += self.rng.random_range(1..60);
            self.step(true);
        }
        self.cut = false;
        for _ in 0..4_000 {
            self.now += 50;
            self.step(false);
            self.sender.held = self.sender.records.len();
            self.receiver.held = self.receiver.records.len();
            if self.outbox().is_empty() && self.inbox().is_empty() && self.requests.is_empty() {
                break;
            }
        }
        self.check()
    }

    fn step(&mut self, faults: bool) {
        match self.rng.random_range(0..100) {
            0..12 if faults => self.lodge(),
            12..16 if faults => self.sender.replicate(&mut self.rng),
            16..20 if faults => self.receiver.replicate(&mut self.rng),
            20..22 if faults => self.sender_fails_over(),
            22..25 if faults => self.receiver_fails_over(),
            25 if faults => {
                // The process restarts: the journal is whole, the memory is gone.
                (self.channel, self.under_way) = (Sender::default(), None);
            }
            26 if faults => {
                self.cut = !self.cut;
                self.seen.insert("away");
                self.now += 3 * 86_400_000;
            }
            27..32 if faults && !self.requests.is_empty() => {
                let n = self.rng.random_range(0..self.requests.len());
                let copy = Wire { number: self.requests[n].number, offer: self.requests[n].offer.clone() };
                self.requests.push(copy);
            }
            32..50 => self.offer(),
            50..70 => self.deliver(faults),
            70..85 => self.answer(faults),
            _ => self.agency(),
        }
    }

    fn lodge(&mut self) {
        let doc = self.docs;
        self.docs += 1;
        self.wanted.insert(doc, Some(0));
        self.sender.append(Sent::Accept { doc, content: 0 });
    }

    fn sender_fails_over(&mut self) {
        let lost = self.sender.fail_over(&mut self.rng);
        (self.channel, self.under_way) = (Sender::default(), None);
        let mut withdrawals = Vec::new();
        for (source, record) in lost {
            let Sent::Accept { doc, content } = record else {
                withdrawals.extend(matches!(record, Sent::Withdraw { .. }).then_some(record));
                continue;
            };
            self.seen.insert("lost_at_sender");
            match self.rng.random_range(0..4) {
                0 => {
                    self.wanted.insert(doc, Some(content + 1));
                    self.sender.append(Sent::Accept { doc, content: content + 1 });
                }
                1 => {
                    self.wanted.insert(doc, None);
                    if self.bug != Bug::WithdrawalForgotten {
                        self.sender.append(Sent::Withdraw { doc, lost: source, content });
                    }
                    // Some think better of it.
                    if self.rng.random_range(0..3) == 0 {
                        self.wanted.insert(doc, Some(content));
                        self.sender.append(Sent::Accept { doc, content });
                    }
                }
                _ => {
                    self.wanted.insert(doc, Some(content));
                    self.sender.append(Sent::Accept { doc, content });
                }
            }
        }
        // The decision to give a tail up stands outside this journal: a withdrawal that was lost is written again.
        for record in withdrawals {
            if matches!(&record, Sent::Withdraw { doc, .. } if self.wanted[doc].is_none()) {
                self.sender.append(record);
            }
        }
    }

    fn receiver_fails_over(&mut self) {
        for (_, record) in self.receiver.fail_over(&mut self.rng) {
            self.seen.insert(match record {
                Got::Acked { .. } => "ack_lost",
                Got::Took { .. } => "lost_at_receiver",
            });
        }
        self.seen.insert("receiver_moved");
    }

    /// Rows of the outbox by lane, in order.
    fn outbox(&self) -> BTreeMap<String, Vec<(Source, usize)>> {
        let mut rows: BTreeMap<Source, String> = BTreeMap::new();
        for (source, record) in self.sender.all() {
            match record {
                Sent::Accept { doc, .. } | Sent::Withdraw { doc, .. } => {
                    rows.insert(source, lane(*doc));
                }
                Sent::Removed { rows: gone } => gone.iter().for_each(|g| drop(rows.remove(g))),
            }
        }
        let mut lanes: BTreeMap<String, Vec<(Source, usize)>> = BTreeMap::new();
        for (source, lane) in rows {
            lanes.entry(lane).or_default().push((source, 100));
        }
        lanes
    }

    fn message(&self, row: Source) -> Message {
        let found = self.sender.all().find(|(s, _)| *s == row).map(|(_, r)| r.clone()).unwrap();
        let (doc, source, content, kind) = match found {
            Sent::Accept { doc, content } => (doc, row, content, Kind::Document),
            Sent::Withdraw { doc, lost, content } => (doc, lost, content, Kind::Withdrawal),
            Sent::Removed { .. } => unreachable!("no row"),
        };
        let recipient = Recipient::Agency("CUS".into());
        Message {
            head: Head { id: id(doc), kind, recipient, source, digest: digest(doc, content) },
            document: Document {
                owner: region("440100"),
                doc_type: lane(doc),
                doc_id: doc.to_string(),
                doc_version: 1,
                function_code: "2".into(),
                lodged_by: "x".into(),
                received_at: Timestamp::from_millis(0),
            },
            body: Bytes::new(),
        }
    }

    fn offer(&mut self) {
        if self.under_way.is_some() {
            // No answer came: it is given up after a while.
            if self.rng.random_range(0..4) == 0 {
                self.under_way = None;
                self.channel.failed("timeout".into(), self.now);
            }
            return;
        }
        let Some(picked) = self.channel.pick(&self.outbox(), self.now) else { return };
        self.numbers += 1;
        let offer = Offer {
            from: region("440100"),
            to: region("440000"),
            epoch: self.sender.epoch,
            expects: self.channel.receiver(),
            history: self.sender.history.clone(),
            messages: picked.iter().map(|row| self.message(*row)).collect(),
        };
        self.under_way = Some(self.numbers);
        self.requests.push(Wire { number: self.numbers, offer });
    }

    fn deliver(&mut self, faults: bool) {
        if self.requests.is_empty() {
            return;
        }
        let n = if faults { self.rng.random_range(0..self.requests.len()) } else { 0 };
        let wire = self.requests.remove(n);
        if (self.cut || self.rng.random_range(0..6) == 0) && faults {
            return;
        }
        let answer = self.take(wire.offer);
        if !faults || self.rng.random_range(0..6) != 0 {
            self.answers.push((wire.number, answer));
        }
    }

    /// The receiving shell in short: fences, decides each message, writes, answers.
    fn take(&mut self, offer: Offer) -> Answer {
        let refused = |why| Answer {
            epoch: self.receiver.epoch,
            held: JournalIndex::ZERO,
            last: None,
            results: Err(why),
        };
        let highest = self.receiver.all().filter_map(|(_, r)| match r {
            Got::Took { source, .. } => Some(source.epoch),
            Got::Acked { .. } => None,
        });
        if let Some(known) = highest.max().filter(|known| *known > offer.epoch) {
            self.seen.insert("stale");
            return refused(Refused::Stale { known });
        }
        let blind = matches!(self.bug, Bug::EpochOfReceiverIgnored | Bug::NothingOfferedAgain);
        if offer.expects.is_some_and(|e| e != self.receiver.epoch) && !blind {
            return refused(Refused::Moved);
        }
        let mut results = Vec::new();
        for message in offer.messages {
            let known = self.entries().remove(&message.head.id).filter(|_| self.bug != Bug::NoDedupe);
            let step = match self.bug {
                // It answers from the ids alone.
                Bug::ForkIgnored if known.as_ref().is_some_and(|k| k.source != message.head.source) => {
                    Step::Duplicate
                }
                _ => receive(known.as_ref(), &message.head, &offer.history),
            };
            results.push(self.write(step, known.as_ref(), &message.head));
        }
        let held = match self.bug {
            Bug::RowsLeaveOnAcknowledgement => self.receiver.last(),
            _ => JournalIndex::from_u64(self.receiver.held as u64),
        };
        let mut epoch = self.receiver.epoch;
        if self.bug == Bug::NothingOfferedAgain {
            epoch = Epoch::INITIAL;
        }
        Answer { epoch, held, last: None, results: Ok(results) }
    }

    fn write(&mut self, step: Step, known: Option<&Entry>, head: &Head) -> Taken {
        let name = match step {
            Step::Deliver => "deliver",
            Step::Moved => "moved",
            Step::Reinstate => "reinstate",
            Step::Replace => "replace",
            Step::Withdraw => "withdraw",
            Step::Duplicate => {
                self.seen.insert("duplicate");
                return Taken::At(self.receiver.last());
            }
            Step::Dead(reason) => return Taken::Dead(reason.into(), String::new()),
        };
        self.seen.insert(name);
        let Entry { source, digest, standing } = Entry::after(known, &step, head);
        let took = Got::Took { id: head.id, step: name, source, digest, standing };
        Taken::At(self.receiver.append(took).index)
    }

    fn answer(&mut self, faults: bool) {
        if self.answers.is_empty() {
            return;
        }
        let (number, answer) = self.answers.remove(0);
        if self.under_way != Some(number) || (faults && self.cut) {
            return;
        }
        self.under_way = None;
        let done = self.channel.answered(answer, self.now);
        let mut rows = done.held;
        rows.extend(done.dead.into_iter().map(|(row, ..)| row));
        if !rows.is_empty() {
            self.sender.append(Sent::Removed { rows });
        }
    }

    fn entries(&self) -> BTreeMap<Digest, Entry> {
        let mut out = BTreeMap::new();
        for (_, record) in self.receiver.all() {
            if let Got::Took { id, source, digest, standing, .. } = record {
                out.insert(*id, Entry { source: *source, digest: *digest, standing: *standing });
            }
        }
        out
    }

    /// What lies before the agency.
    fn inbox(&self) -> Vec<(Digest, Digest)> {
        let mut items: BTreeMap<Digest, Digest> = BTreeMap::new();
        for (_, record) in self.receiver.all() {
            match record {
                Got::Took { id, step: "deliver" | "replace" | "reinstate", digest, .. } => {
                    items.insert(*id, *digest);
                }
                Got::Took { id, standing: Standing::Withdrawn, .. } | Got::Acked { id } => {
                    items.remove(id);
                }
                Got::Took { .. } => {}
            }
        }
        items.into_iter().collect()
    }

    fn agency(&mut self) {
        if let Some((id, digest)) = self.inbox().first().copied() {
            self.handled.insert((id, digest));
            self.receiver.append(Got::Acked { id });
        }
    }

    fn check(&self) -> Result<(), String> {
        if !self.outbox().is_empty() || !self.inbox().is_empty() {
            return Err(format!("left behind: {:?}, {:?}", self.outbox(), self.inbox()));
        }
        let entries = self.entries();
        for (doc, wanted) in &self.wanted {
            let live = entries.get(&id(*doc)).filter(|e| e.standing == Standing::Live);
            match (wanted, live) {
                (Some(content), Some(entry)) if entry.digest == digest(*doc, *content) => {
                    if !self.handled.contains(&(id(*doc), entry.digest)) {
                        return Err(format!("document {doc} never reached the agency"));
                    }
                }
                (None, None) => {}
                (wanted, live) => return Err(format!("document {doc}: wanted {wanted:?}, found {live:?}")),
            }
        }
        self.once()?;
        self.in_order()
    }

    /// Between two effects of one id lies a withdrawal, or the second replaces the first by name.
    fn once(&self) -> Result<(), String> {
        let mut live: BTreeSet<Digest> = BTreeSet::new();
        for (_, record) in self.receiver.all() {
            let Got::Took { id, step, .. } = record else { continue };
            match *step {
                "deliver" | "reinstate" if !live.insert(*id) => {
                    return Err(format!("{step} of an id that has an effect"));
                }
                "replace" | "moved" if !live.contains(id) => return Err(format!("{step} of nothing")),
                "withdraw" => drop(live.remove(id)),
                _ => {}
            }
        }
        Ok(())
    }

    /// First deliveries follow the sender's journal, lane by lane, as far as that journal has them.
    fn in_order(&self) -> Result<(), String> {
        let kept: BTreeMap<Source, u32> = self
            .sender
            .all()
            .filter_map(|(s, r)| match r {
                Sent::Accept { doc, .. } => Some((s, *doc)),
                _ => None,
            })
            .collect();
        let mut last: BTreeMap<String, JournalIndex> = BTreeMap::new();
        for (_, record) in self.receiver.all() {
            let Got::Took { step: "deliver", source, .. } = record else { continue };
            let Some(doc) = kept.get(source) else { continue };
            let before = last.insert(lane(*doc), source.index);
            if before.is_some_and(|b| b > source.index) {
                return Err(format!("document {doc} overtook another of its lane"));
            }
        }
        Ok(())
    }
}

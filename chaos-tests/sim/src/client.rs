//! Clients: unique keys, retries with the same key, timeouts that mean "unknown", and answers that depend on others.

use crate::world::{Event, World};
use bytes::Bytes;
use eport_journal::{Input, Outcome, Ticket};
use eport_model::{Draft, Durability, Effect, Lineage, RecordKind, Timestamp};
use rand::Rng;

/// Attempts after which a client gives a key up.
const ATTEMPTS_MAX: u32 = 8;

/// Rows that many requests change.
const SHARED_ROWS: u64 = 5;

/// A client and what it waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    target: usize,
    key: u64,
    attempts: u32,
    waiting: Option<Ticket>,
}

/// Whose request a ticket is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    client: Option<usize>,
    pub(crate) probe: bool,
    depends: bool,
}

pub(crate) fn lineage() -> Lineage {
    Lineage::from_bytes([0x11; 16])
}

/// A row of its own, and a change of one that many requests share: what it holds tells who wrote last.
fn draft(key: u64, ticket: Ticket) -> Draft {
    let row = Bytes::copy_from_slice(&key.to_be_bytes());
    let shared = Bytes::from(format!("shared/{}", ticket % SHARED_ROWS));
    let change = match ticket % 7 {
        0 => Effect::Delete { key: shared },
        _ => Effect::Put { key: shared, value: Bytes::copy_from_slice(&ticket.to_be_bytes()) },
    };
    let effects = vec![Effect::Put { key: row.clone(), value: row }, change];
    // Old clocks of callers are raised to the record before.
    Draft { effects, ..Draft::bare(RecordKind::Entry, Timestamp::from_millis(0)) }
}

impl World {
    pub(crate) fn client_acts(&mut self, client: usize) {
        if self.healing.is_some() || self.clients[client].waiting.is_some() {
            return;
        }
        if self.clients[client].attempts == 0 {
            self.clients[client].key = self.number();
        }
        self.clients[client].attempts += 1;
        let key = self.clients[client].key;
        let target = self.pick_target(client);
        let ticket = self.send_request(target, key, Some(client), false);
        self.clients[client].waiting = Some(ticket);
        self.after(1_500, Event::ClientTimeout { client, ticket });
        if self.chance(15) {
            let on = ticket;
            let ticket = self.number();
            self.requests.insert(ticket, Call { client: None, probe: false, depends: true });
            self.after(6, Event::Request { node: target, input: Box::new(Input::Depend { ticket, on }) });
        }
        if self.chance(30) {
            // A read: answered at once by whoever thinks that it serves, on nobody's acknowledgement.
            let (node, ticket) = (self.clients[client].target, self.number());
            self.requests.insert(ticket, Call { client: None, probe: false, depends: true });
            let ms = self.rng.random_range(1..500);
            self.after(ms, Event::Request { node, input: Box::new(Input::Depend { ticket, on: 0 }) });
        }
        if self.chance(25) {
            // A burst of other requests at the same moment.
            for _ in 0..self.rng.random_range(1..8) {
                let key = self.number();
                self.send_request(target, key, None, false);
            }
        }
    }

    /// Clients that go on reading from a node for a second.
    pub(crate) fn read_from(&mut self, node: usize) {
        for _ in 0..12 {
            let ticket = self.number();
            self.requests.insert(ticket, Call { client: None, probe: false, depends: true });
            let ms = self.rng.random_range(1..1_000);
            self.after(ms, Event::Request { node, input: Box::new(Input::Depend { ticket, on: 0 }) });
        }
    }

    fn pick_target(&mut self, client: usize) -> usize {
        let target = self.clients[client].target;
        if self.clients[client].attempts > 2 || self.chance(5) {
            self.rng.random_range(0..self.hosts.len())
        } else {
            target
        }
    }

    /// A request on its way to a node.
    pub(crate) fn send_request(
        &mut self,
        node: usize,
        key: u64,
        client: Option<usize>,
        probe: bool,
    ) -> Ticket {
        let ticket = self.number();
        self.oracle.keys.insert(key);
        self.requests.insert(ticket, Call { client, probe, depends: false });
        let ms = self.rng.random_range(1..6);
        self.after(
            ms,
            Event::Request {
                node,
                input: Box::new(Input::Propose { drafts: vec![(ticket, draft(key, ticket))] }),
            },
        );
        ticket
    }

    pub(crate) fn client_timeout(&mut self, client: usize, ticket: Ticket) {
        if self.clients[client].waiting == Some(ticket) {
            self.cover.hit("client.timeout");
            self.try_again(client, 50);
        }
    }

    /// The outcome is not known or was a refusal: the same key again, or another one.
    fn try_again(&mut self, client: usize, ms: u64) {
        let state = &mut self.clients[client];
        state.waiting = None;
        if state.attempts >= ATTEMPTS_MAX {
            state.attempts = 0;
        }
        self.after(ms, Event::Client { client });
    }

    /// A replica answered. From here on what it promised must hold, whether or not the answer arrives.
    pub(crate) fn answered(&mut self, node: usize, ticket: Ticket, outcome: Outcome) {
        let Some(call) = self.requests.remove(&ticket) else {
            return self.fail("one answer", format!("n{node} answered ticket {ticket} twice"));
        };
        self.cover.hit(match &outcome {
            Outcome::Done { .. } if call.depends => "answer.depend",
            Outcome::Done { durability: Durability::Replicated, .. } => "answer.done_replicated",
            Outcome::Done { durability: Durability::Local, .. } => "answer.done_local",
            Outcome::Held => "answer.held",
            Outcome::NotPrimary { .. } => "answer.not_primary",
            Outcome::Overloaded => "answer.overloaded",
            Outcome::Unknown => "answer.unknown",
            Outcome::Failed => "answer.failed",
        });
        if let Outcome::Done { position, durability } = outcome {
            self.acknowledged(node, position, durability, call.depends);
            if call.probe {
                self.probe_answered();
            }
        }
        let Some(client) = call.client else { return };
        if self.clients[client].waiting != Some(ticket) || self.chance(4) {
            return; // The answer is lost, or comes too late.
        }
        match outcome {
            Outcome::Done { .. } => {
                let state = &mut self.clients[client];
                state.waiting = None;
                state.attempts = 0;
                state.target = node;
                let ms = self.rng.random_range(80..600);
                self.after(ms, Event::Client { client });
            }
            Outcome::NotPrimary { primary, .. } => {
                if let Some(primary) = self.index_of(primary) {
                    self.clients[client].target = primary;
                }
                self.try_again(client, 40);
            }
            _ => {
                let ms = self.rng.random_range(80..300);
                self.try_again(client, ms);
            }
        }
    }
}

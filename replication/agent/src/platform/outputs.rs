//! What the replica asks for, performed: storage work through the writer's queue, messages, answers, steps of the registry.
//!
//! Always holds: outputs are performed in the order in which the replica gave them; nothing here steps the replica, what storage
//! and registry answer comes back as a completion.

use super::{Completion, Event, REGISTRY_TIMEOUT, Task, envelope};
use crate::steps;
use eport_consensus::ProposeError;
use eport_journal::{Message, Outcome, Output, RegistryStep, Ticket};
use eport_model::{Durability, Epoch, JournalIndex, NodeId, Position};
use eport_store::{Done, Op};
use eport_wire::Purpose;
use std::time::Duration;
use tracing::{info, warn};

impl Task {
    pub(super) fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            eport_failpoint::point!(output.place().unwrap_or_default(), self.region);
            match output {
                Output::Append(records) => {
                    let (region, kind) = (self.region, eport_journal::append_kind(&records));
                    let appended = move |last| {
                        eport_failpoint::point!(format!("append.{kind}.after"), region);
                        Completion::Appended(last)
                    };
                    self.submit(Op::Append(records, self.done("append", appended)));
                }
                Output::PersistSeal { epoch } => {
                    self.submit(Op::Seal(epoch, self.done("seal", move |()| Completion::Sealed(epoch))));
                }
                Output::Apply { through } => {
                    self.submit(Op::Apply(
                        through,
                        self.done("apply", |at: Position| Completion::Applied(at.index)),
                    ));
                }
                Output::Truncate { after } => {
                    let done = self.done("truncate", |(last, time)| Completion::Truncated(last, time));
                    self.submit(Op::Truncate(after, done));
                }
                Output::ExportTail { after } => {
                    let done = self.done("export tail", move |tail| Completion::Exported { after, tail });
                    self.submit(Op::ExportTail(after, self.context.tails.clone(), done));
                }
                Output::UploadTail { after, to } => self.upload_tail(after, to),
                Output::Rewind { after, source, epoch } => self.rewind(after, source, epoch),
                Output::EndRewind { at } => self.end_rewind(at),
                Output::Bootstrap { source, epoch, from } => self.bootstrap(source, epoch, from),
                Output::InstallCheckpoint { .. } => self.install_checkpoint(),
                Output::NoteAcked(acked) => self.note_acked(&acked),
                Output::Send { to, message } => self.send(to, message),
                Output::Read { peer, from, max_bytes } => self.read(peer, from, max_bytes),
                Output::Lookup { index } => self.lookup(index),
                Output::Answer { ticket, outcome } => self.answer(ticket, outcome),
                Output::Registry(step) => self.registry_step(step),
                Output::ReadPlacement => self.read_placement(),
                Output::RenewLease { epoch, sent_ms } => self.renew_lease(epoch, sent_ms),
                Output::Role(role) => {
                    info!(region = %self.region, ?role, "role");
                    let before = std::mem::replace(&mut self.role, role);
                    self.note_pause(&before);
                    self.generation += 1;
                    self.tell_now();
                    self.context.news.notify_one();
                }
                Output::Alarm(alarm) => self.raise(alarm),
            }
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(reply) = self.answers.remove(&ticket) else { return };
        let outcome = match outcome {
            // Same-site copies do not survive the site: the policy may count them, the answer says `local`.
            Outcome::Done { position, .. } if self.placement.as_ref().is_some_and(|p| p.policy.same_site) => {
                Outcome::Done { position, durability: Durability::Local }
            }
            other => other,
        };
        // A caller that went away needs no answer.
        let _ = reply.send(outcome);
    }

    pub(super) fn send(&self, to: NodeId, message: Message) {
        if to == self.context.me {
            self.send_to_self(message);
            return;
        }
        let purpose = match message {
            Message::Seal { .. } | Message::Sealed(_) | Message::Copy { .. } => Purpose::Move,
            _ => Purpose::Journal,
        };
        let version = self.placement.as_ref().map_or(0, |p| p.version);
        let bytes = envelope(self.context.lineage, self.region, version, &message);
        // Not connected or full: the protocol repeats what matters.
        let _ = self.context.transport.send(to, purpose, bytes);
    }

    /// The coordinator of a failover may run on a candidate's own node.
    pub(super) fn send_to_self(&self, message: Message) {
        match message {
            Message::Sealed(report) => self.context.reports.put(self.region, self.context.me, report),
            message => {
                if let Some(events) = self.self_events.upgrade() {
                    // Full means busy; every message is repeated until it is answered.
                    let _ = events.try_send(Event::Peer { from: self.context.me, message });
                }
            }
        }
    }

    pub(super) fn read(&self, peer: NodeId, from: JournalIndex, max_bytes: usize) {
        let (store, tx) = (self.store.clone(), self.done_tx.clone());
        tokio::task::spawn_blocking(move || {
            let completion = match store.read(from, max_bytes) {
                Ok(records) => Completion::Records { peer, from, records },
                Err(error) => {
                    warn!(%peer, %from, %error, "records for a peer cannot be read");
                    Completion::Records { peer, from, records: Vec::new() }
                }
            };
            let _ = tx.send(completion);
        });
    }

    pub(super) fn lookup(&self, index: JournalIndex) {
        let (store, tx) = (self.store.clone(), self.done_tx.clone());
        tokio::task::spawn_blocking(move || {
            let position = store.position(index).unwrap_or_else(|error| {
                warn!(%index, %error, "position cannot be read");
                None
            });
            let _ = tx.send(Completion::Found { index, position });
        });
    }

    /// Asks the leader of the registry; nothing comes back unless it grants.
    pub(super) fn renew_lease(&self, epoch: Epoch, sent_ms: u64) {
        let (context, region, tx) = (self.context.clone(), self.region, self.done_tx.clone());
        tokio::spawn(async move {
            if context.desk.renew(&context.registry, &context.transport, context.me, region, epoch).await {
                let _ = tx.send(Completion::Leased { epoch, sent_ms });
            }
        });
    }

    pub(super) fn registry_step(&self, step: RegistryStep) {
        let (op, move_id, reason) = steps::step_op(self.region, step);
        let context = self.context.clone();
        let command = steps::node_command(context.home, context.me, context.clock.wall(), reason, op);
        let (tx, region) = (self.done_tx.clone(), self.region);
        tokio::spawn(async move {
            let name = eport_failpoint::label(&command.op);
            eport_failpoint::point!(format!("node.{name}.before"), region);
            let answered = context.registry.propose(command, REGISTRY_TIMEOUT).await;
            eport_failpoint::point!(format!("node.{name}.after"), region);
            let applied = match answered {
                Ok(_) => Some(true),
                Err(ProposeError::Refused(refusal)) => {
                    info!(%region, %move_id, %refusal, "registry step refused");
                    Some(false)
                }
                Err(error) => {
                    warn!(%region, %move_id, %error, "outcome of a registry step is unknown");
                    None
                }
            };
            let _ = tx.send(Completion::Registry { move_id, applied });
        });
    }

    /// Reads the placement with a quorum and tells the task; repeats until it succeeds or the node stops.
    pub(super) fn read_placement(&mut self) {
        if std::mem::replace(&mut self.reading, true) {
            return;
        }
        let (context, region, events) = (self.context.clone(), self.region, self.self_events.clone());
        tokio::spawn(async move {
            while !context.stop.is_cancelled() {
                if let Ok(view) = context.registry.linearizable(REGISTRY_TIMEOUT).await
                    && let Some(event) = crate::node::placement_event(&view.state, region, true)
                {
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(event).await;
                    }
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }

    /// Hands an operation to the writer. A full queue makes this task wait: its callbacks never wait for this task.
    pub(super) fn submit(&self, op: Op) {
        if let Err(op) = self.writer.try_submit(op) {
            tokio::task::block_in_place(|| self.writer.submit(op));
        }
    }

    /// Wraps a completion for the writer: success becomes `to(value)`, failure `Completion::Failed`.
    pub(super) fn done<T: 'static>(
        &self,
        operation: &'static str,
        to: impl FnOnce(T) -> Completion + Send + 'static,
    ) -> Done<T> {
        let tx = self.done_tx.clone();
        Box::new(move |result| {
            let completion = match result {
                Ok(value) => to(value),
                Err(error) => Completion::Failed { operation, error },
            };
            // The task is gone only when the node stops.
            let _ = tx.send(completion);
        })
    }
}

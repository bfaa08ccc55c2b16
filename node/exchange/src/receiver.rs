//! What a message does at its receiver, given what is known of its id. The whole decision is one pure function.
//!
//! Always: an id has at most one live effect; a message whose record the sender's journal no longer holds gives way to the one that
//! took its place; every other difference is refused by name.

use crate::{Head, Kind, Source};
use eport_model::{Digest, DigestHasher, EpochHistory};
use serde::{Deserialize, Serialize};

/// Whether the effect of an id counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// It counts.
    Live,
    /// It was withdrawn.
    Withdrawn,
}

/// What is kept of an id, as long as the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The sender's record that it came from.
    pub source: Source,
    /// Digest of its body.
    pub digest: Digest,
    /// Whether it counts.
    pub standing: Standing,
}

impl Entry {
    /// Names what a reader of the message is shown: its content, or that it is void. The same again has the same name, whichever
    /// record brought it.
    pub fn shown(&self) -> Digest {
        let word = match self.standing {
            Standing::Live => "live",
            Standing::Withdrawn => "withdrawn",
        };
        let mut hasher = DigestHasher::new();
        hasher.update(b"eport exchange shown 1 ");
        hasher.update(word.as_bytes());
        hasher.update(self.digest.as_bytes());
        hasher.finish()
    }

    /// What is kept of the id after a message took effect. A withdrawal keeps the later of the records, so that neither comes back.
    pub fn after(known: Option<&Entry>, step: &Step, head: &Head) -> Self {
        let (standing, source) = match step {
            Step::Withdraw => (Standing::Withdrawn, known.map_or(head.source, |k| k.source.max(head.source))),
            _ => (Standing::Live, head.source),
        };
        Self { source, digest: head.digest, standing }
    }
}

/// What a message does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// It takes effect for the first time.
    Deliver,
    /// It did before: nothing happens.
    Duplicate,
    /// The same content stands in another record of the sender now: the position is updated, nothing else happens.
    Moved,
    /// It counts again after it was withdrawn.
    Reinstate,
    /// The earlier content is void, this one takes its place: withdrawal and delivery in one record.
    Replace,
    /// What was delivered is void; or it never was, and will not be.
    Withdraw,
    /// It cannot take effect.
    Dead(&'static str),
}

/// The record is not in the sender's journal, as its epochs show.
fn lost(source: Source, history: &EpochHistory) -> bool {
    history.epoch_of(source.index) != Some(source.epoch)
}

/// Decides about a message. `history` are the epochs of the sender's journal, which has the message.
pub fn receive(known: Option<&Entry>, head: &Head, history: &EpochHistory) -> Step {
    if head.kind == Kind::Withdrawal {
        return withdrawal(known, head, history);
    }
    let Some(known) = known else { return Step::Deliver };
    let (same, live) = (known.digest == head.digest, known.standing == Standing::Live);
    if known.source == head.source {
        return if same { Step::Duplicate } else { Step::Dead("E-XCH-CONTENT") };
    }
    let later = head.source.epoch > known.source.epoch;
    match (later && (!live || lost(known.source, history)), same, live) {
        (true, true, true) => Step::Moved,
        (true, true, false) => Step::Reinstate,
        (true, false, true) => Step::Replace,
        // The withdrawn one is void already.
        (true, false, false) => Step::Reinstate,
        (false, true, _) => Step::Dead("E-XCH-POSITION"),
        (false, false, _) => Step::Dead("E-XCH-CONTENT"),
    }
}

fn withdrawal(known: Option<&Entry>, head: &Head, history: &EpochHistory) -> Step {
    match known {
        // It may still arrive: the entry says that it is void.
        None => Step::Withdraw,
        Some(known) if known.standing == Standing::Withdrawn => Step::Duplicate,
        // Also where an earlier lost record delivered it: what replaced that one never came here and is given up now.
        Some(known) if lost(known.source, history) => Step::Withdraw,
        // It was replaced meanwhile: what stands is another record's, which the sender has.
        Some(known) if known.source != head.source => Step::Duplicate,
        Some(_) => Step::Dead("E-XCH-PRESENT"),
    }
}

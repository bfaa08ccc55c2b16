//! Receipts: what an agency's answer does to a document. Domain rules: documents §2.2 and §2.3.
//!
//! Always: every receipt is kept; one for an older version, or behind what is known already, changes nothing; an unknown code asks
//! for a person; the document's state is a pure function of its agencies' states.

use eport_documents::State;
use eport_documents::pack::{AgencyState, LifeCycle, ReceiptStep, Role, overall};
use eport_identity::RegionCode;
use eport_model::{Digest, Timestamp, codec};
use serde::{Deserialize, Serialize};

/// Longest text of a receipt in characters.
pub const RECEIPT_TEXT_MAX: usize = 512;
/// Longest number and longest code of a receipt in bytes.
const NUMBER_MAX: usize = 64;

/// One agency's part in a version of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The agency.
    pub agency: String,
    /// What its answer counts for.
    pub role: Role,
    /// What it has done.
    pub state: AgencyState,
    /// Id of the message that carries its part; of the newest one, where an amendment did not touch it.
    pub message: Digest,
    /// Digest of its part.
    pub digest: Digest,
    /// Length of its part in bytes.
    pub bytes: u32,
    /// The version of the document in which it was last sent something.
    pub version: u32,
    /// The state in which it gets its part; `None`: at once.
    pub after: Option<String>,
    /// True once it was sent.
    pub sent: bool,
    /// The platform it is attached to; `None` while it is attached to none.
    pub at: Option<RegionCode>,
    /// Key of the row that carries the message: in the outbox, or in the agency's inbox here.
    pub row: Vec<u8>,
}

/// Who got a version of a document, and what they made of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Dispatch {
    /// State of the type's own life cycle, where it has one.
    pub stage: Option<String>,
    /// Its recipients, in the order of the pack.
    pub parts: Vec<Part>,
}

impl Dispatch {
    /// The state of the document: a pure function of its agencies' states.
    pub fn state(&self) -> State {
        if self.parts.is_empty() {
            return State::Checked;
        }
        let sent = self.parts.iter().filter(|p| p.sent);
        overall(&sent.map(|p| (p.role, p.state)).collect::<Vec<_>>())
    }
}

/// What kind of answer a receipt is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReceiptKind {
    /// The agency's system has stored the message.
    TechAck,
    /// The agency's system could not take it.
    TechNak,
    /// The agency has decided something.
    Business,
    /// For information.
    Notice,
}

impl ReceiptKind {
    const ALL: [(ReceiptKind, &'static str); 4] = [
        (ReceiptKind::TechAck, "TECH_ACK"),
        (ReceiptKind::TechNak, "TECH_NAK"),
        (ReceiptKind::Business, "BUSINESS"),
        (ReceiptKind::Notice, "NOTICE"),
    ];

    /// The kind of that name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, w)| *w == word).map(|(kind, _)| *kind)
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(k, _)| *k == self).map_or("", |(_, word)| word)
    }
}

/// An agency's answer to a version of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Who answers.
    pub agency: String,
    /// The agency's number: the same number is the same receipt, for ever.
    pub number: String,
    /// The platform that owns the document.
    pub owner: RegionCode,
    /// The document.
    pub doc_id: String,
    /// The version that is answered.
    pub doc_version: u32,
    /// What kind of answer.
    pub kind: ReceiptKind,
    /// The agency's code.
    pub code: String,
    /// For people.
    pub text: String,
    /// When it happened.
    pub event_time: Timestamp,
}

/// A field of a receipt that cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptFault {
    /// JSON pointer to the field.
    pub path: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl Receipt {
    /// What makes it the same receipt, as ids take it.
    pub fn cause(&self) -> String {
        format!("{}|{}", self.agency, self.number)
    }

    /// Its bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Everything that is wrong with its fields.
    pub fn faults(&self) -> Vec<ReceiptFault> {
        let mut out = Vec::new();
        let mut word = |path, text: &str| {
            let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'|' && b != b'/');
            if text.is_empty() || text.len() > NUMBER_MAX || !plain {
                let detail =
                    format!("1 to {NUMBER_MAX} printable ASCII characters without | and / are needed");
                out.push(ReceiptFault { path, detail });
            }
        };
        word("/agency_receipt_no", &self.number);
        word("/code", &self.code);
        word("/doc_id", &self.doc_id);
        if self.text.chars().count() > RECEIPT_TEXT_MAX
            || self.text.chars().any(|c| c.is_control() && c != '\n')
        {
            let detail = format!("at most {RECEIPT_TEXT_MAX} characters without control characters");
            out.push(ReceiptFault { path: "/text", detail });
        }
        if self.doc_version == 0 {
            out.push(ReceiptFault { path: "/doc_version", detail: "versions count from 1".into() });
        }
        out
    }
}

/// What a receipt does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// True when it moved something.
    pub applied: bool,
    /// Why it did not, or what a person should know: `moved`, `noted`, `late`, `old_version`, `unknown_code`, `not_taken`.
    pub note: &'static str,
    /// The document's agencies after it.
    pub dispatch: Dispatch,
    /// Parts that are due now that the state was reached, by place.
    pub released: Vec<usize>,
    /// True when somebody has to look.
    pub alert: bool,
}

/// Judges a receipt for the newest version of a document. `Err` names the reason for which it is none of this document.
pub fn judge(
    dispatch: &Dispatch,
    cycle: Option<&LifeCycle>,
    newest: u32,
    receipt: &Receipt,
) -> Result<Verdict, &'static str> {
    let mut after = dispatch.clone();
    let stage = after.stage.clone();
    let Some(part) = after.parts.iter_mut().find(|p| p.sent && p.agency == receipt.agency) else {
        return Err("E-XCH-AGENCY");
    };
    if receipt.doc_version > newest {
        return Err("E-XCH-VERSION");
    }
    let kept = |note, alert| Verdict {
        applied: false,
        note,
        dispatch: dispatch.clone(),
        released: Vec::new(),
        alert,
    };
    // What an amendment did not touch is as it was: an answer to it counts for the newest version.
    if receipt.doc_version < part.version {
        return Ok(kept("old_version", false));
    }
    let mut moved = |part: &mut Part, to: AgencyState| {
        let forward = part.state < to;
        if forward {
            part.state = to;
        }
        forward
    };
    let (applied, note, alert, next) = match receipt.kind {
        ReceiptKind::Notice => return Ok(kept("noted", false)),
        ReceiptKind::TechNak => return Ok(kept("not_taken", true)),
        ReceiptKind::TechAck => {
            let applied = moved(part, AgencyState::Received);
            (applied, if applied { "moved" } else { "late" }, false, None)
        }
        ReceiptKind::Business => business(part, cycle, stage.as_deref(), receipt, &mut moved),
    };
    let mut released = Vec::new();
    if let Some(next) = next {
        after.stage = Some(next.clone());
        let due = |p: &Part| !p.sent && p.after.as_ref() == Some(&next);
        released = (0..after.parts.len()).filter(|n| due(&after.parts[*n])).collect();
    }
    Ok(Verdict { applied, note, dispatch: after, released, alert })
}

type Business = (bool, &'static str, bool, Option<String>);

fn business(
    part: &mut Part,
    cycle: Option<&LifeCycle>,
    stage: Option<&str>,
    receipt: &Receipt,
    moved: &mut impl FnMut(&mut Part, AgencyState) -> bool,
) -> Business {
    let step = match (cycle, stage) {
        (Some(cycle), Some(stage)) => cycle.step(stage, &receipt.agency, &receipt.code),
        _ => ReceiptStep::Unknown,
    };
    let of = |name: &str| cycle.and_then(|c| c.states.get(name)).and_then(|s| s.agency);
    match step {
        ReceiptStep::Moved(name) => {
            match of(&name) {
                // The arrow of the life cycle says that this is forward, also from a refusal to an acceptance.
                Some(state) => part.state = state,
                None => drop(moved(part, AgencyState::Received)),
            }
            (true, "moved", false, Some(name))
        }
        ReceiptStep::Noted => {
            let applied = moved(part, AgencyState::Received);
            (applied, "noted", false, None)
        }
        ReceiptStep::Late => {
            // The document is there by another agency's answer; this one's own state still counts, if it has decided nothing yet.
            let target = cycle
                .and_then(|c| c.receipts.get(&(receipt.agency.clone(), receipt.code.clone())))
                .and_then(|name| of(name));
            let first = part.state <= AgencyState::Received;
            match target.filter(|_| first) {
                Some(state) => (moved(part, state), "moved", false, None),
                None => (false, "late", false, None),
            }
        }
        ReceiptStep::Unknown => (moved(part, AgencyState::ManualReview), "unknown_code", true, None),
    }
}

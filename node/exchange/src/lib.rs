//! Exchange: what a platform sends to other platforms and to agencies, and what comes back. Basis: design §7, documents §2.
//!
//! What always holds: the id of a message follows from its cause, so a promoted primary derives the same; an id has exactly one
//! effect at its recipient, whatever is lost, doubled or sent again; messages of one channel and lane take effect in the order of
//! the sender's journal; a row leaves the outbox only when the receiver holds its effect where a failover keeps it, or says why it
//! never will; nothing that is refused holds up what stands behind it. A core: no I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod id;
mod message;
mod receipt;
mod receiver;
mod sender;
mod why;

pub use id::{Kind, Recipient, message_id};
pub use message::{
    Answer, Document, Head, MESSAGE_LEN_MAX, Message, OFFER_LEN_MAX, OFFER_MESSAGES_MAX, Offer,
    RECEIPT_LEN_MAX, Refused, Source, Taken,
};
pub use receipt::{Dispatch, Part, RECEIPT_TEXT_MAX, Receipt, ReceiptFault, ReceiptKind, Verdict, judge};
pub use receiver::{Entry, Standing, Step, receive};
pub use sender::{Done, LANE_WINDOW, Sender};
pub use why::{Actor, AgencyFacts, Facts, Passage, Why, Words, why};

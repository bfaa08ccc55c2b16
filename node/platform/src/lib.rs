//! One hosted platform: order of rules, group of writes, queries, numbers.
//!
//! A document is judged on its caller's task (parse, fields, tables, digest), then passes one sequencer task, which decides in
//! journal order: duplicates, versions, numbers, record time. The journal decides whether it happened; answers wait for it.
//!
//! What always holds: no answer says "stored" before the record is committed and applied; nothing is decided about a document
//! while another record of the same business key is in flight; no number is given twice; content and client references are encrypted
//! before they reach the sequencer; every queue is bounded; when this
//! node is not primary nothing is judged here, the caller is told who is.
#![forbid(unsafe_code)]

mod accounts;
mod adoption;
mod answer;
mod certificates;
mod change;
mod config;
mod consents;
mod core_data;
mod custody;
mod enrolments;
mod error;
mod events;
mod evidence;
mod exchange;
mod hosting;
mod job;
mod judges;
mod keys;
mod known;
mod log;
mod numbers;
mod own;
mod platform;
mod prepare;
mod query;
mod read;
mod resubmit;
mod rows;
mod rules;
mod sequencer;
mod served;
mod sharing;
mod tails;
mod timeliness;
mod token;
mod turns;
mod usage;

pub use accounts::{
    Answer as AccountAnswer, AskError, DocumentAccounts, Duty, Move, Portions, Replayed, SHARE_NAME_MAX,
};
pub use adoption::TAIL_CERTIFICATES_MAX;
pub use answer::SubmitAnswer;
pub use certificates::{CertificateRow, CertificateState, DELEGATE_PROFILE, LedgerError};
pub use config::Config;
pub use core_data::CorePage;
pub use custody::{KEPT_MAX as WRAPPED_KEPT_MAX, WrappedRow};
pub use enrolments::{Claim, Grant};
pub use error::Error;
pub use evidence::{ChainEnd, DocumentRecord};
pub use exchange::{
    Acknowledged, ChannelView, ExchangeError, GivenUp, Nowhere, Offered, ReceiptGiven, Resent, Routes,
    SharedRoutes, Unsendable,
};
pub use hosting::{Body, Counted, Gate, Hosting, Refused, Under};
pub use keys::Keys;
pub use log::Log;
pub use platform::{Clock, Platform, SharedPacks, SharedTables};
pub use prepare::Caller;
pub use query::Scope;
pub use sharing::{Tally, Viewer};
pub use tails::{TailError, TailSource};
pub use timeliness::{FollowError, Followed, OFFSET_MINUTES};

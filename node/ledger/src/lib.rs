//! Account book (电子底账): quantities that agencies grant and documents use up, without ever being overdrawn.
//!
//! Every account has one home platform, whose primary alone decides about it, one request after the other. A request says what a
//! document needs of an account, not by how much that changes: so a repeat, a late twin and an amendment are all the same
//! arithmetic. What always holds:
//!
//! - `available = granted − reserved − committed − escrowed`, never below zero but by the tolerance of a last batch;
//! - the same cause has one effect and one outcome, whoever asks how often, also after a failover;
//! - a request that is older than what its document did last on the account changes nothing;
//! - a share that was given away is lowered at home before it exists elsewhere, and used only in the epoch it was given to;
//! - a book that may have lost entries serves no new reserve before every owner has said what was confirmed to it.
//!
//! A core: rows come through [`Rows`], changes leave through [`Sheet`]; time, epochs and ids are arguments.
#![forbid(unsafe_code)]

mod account;
mod amount;
mod audit;
mod book;
mod escrow;
mod grant;
mod hold;
mod outcome;
mod request;
mod share;
mod sheet;

pub use account::{
    Account, AccountKey, Entry, EntryKind, Hold, Item, KeyError, PART_LEN_MAX, PARTS_MAX, Standing,
    TERMS_SCALE, Terms,
};
pub use amount::{Amount, AmountError};
pub use audit::{Audit, audit};
pub use book::{Book, Recovery, Verdict, decide, replay};
pub use escrow::Share;
pub use outcome::{Closed, Failure, Outcome, code};
pub use request::{Holder, ITEMS_MAX, Order, Phase, Request, Step, cause};
pub use share::{Drawn, Portion, Undrawn};
pub use sheet::{Changes, Rows, Sheet};

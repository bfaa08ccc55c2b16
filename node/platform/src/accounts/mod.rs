//! Accounts of a platform: the book it keeps as a home, and what its documents ask of accounts here and elsewhere.
//!
//! A document that asks something of accounts leaves a *duty* in the record that accepts it: one step an account. Whoever is
//! primary works duties off, step by step, here or at the account's home; every answer is journalled before the next step. So a
//! failover on either side, a lost answer and a repeat change nothing: the cause of a step is its name at the home.
//!
//! Always: accounts are changed only through the sequencer, one record at a time; an answer of a home's older epoch counts for
//! nothing once a newer one has asked what was confirmed; nothing is asked for a document before the record that accepts it is
//! committed.

mod duty;
mod home;
mod owner;
mod plan;
mod rows;
mod share;
mod store;
mod view;

pub(crate) use owner::Homes;
pub(crate) use plan::planned;

pub use duty::{Duty, Move};
pub use home::{Answer, AskError, Replayed};
pub use plan::DocumentAccounts;
pub use share::{Portions, SHARE_NAME_MAX};

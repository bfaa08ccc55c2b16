//! The exchange by what it promises. One binary: each one links everything again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod receipts;
mod receiver;
mod sender;
mod sim;
mod why;

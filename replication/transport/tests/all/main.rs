//! The transport by what it promises, part by part. One binary: each one links everything again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod faults;
mod hostile;
mod kit;
mod messages;

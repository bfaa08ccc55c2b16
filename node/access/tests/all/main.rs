//! Sessions and the access log by what they promise. One binary: each one links everything again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod log;
mod session;

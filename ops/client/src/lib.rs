//! Client of a node's HTTP API, authenticated by a client certificate.
//!
//! What always holds: every request carries a fresh request id; a request is repeated by itself only where a repetition
//! cannot act twice (reads, documents with their business key, requests with an idempotency key); an answer that says
//! "ask the primary" is followed only when the caller asked for it. Errors keep the server's code, title and detail.
#![forbid(unsafe_code)]
// A shell: `http` measures how long a call may still take.
#![allow(clippy::disallowed_methods)]

mod calls;
mod contact;
mod error;
mod http;
mod problem;
mod session;
mod sign;
mod tls;

pub use calls::{FileContent, TableFile, path_segment};
pub use contact::{Contact, first_contact};
pub use eport_signature::{Statement, digest_of as statement_digest};
pub use error::Error;
pub use http::{Answer, Client, Repeat, Settings};
pub use problem::Problem;
pub use reqwest::Method;
pub use session::{Bearer, session_config};
pub use sign::{Detached, Signed, Signer};
pub use tls::{Files, client_config};

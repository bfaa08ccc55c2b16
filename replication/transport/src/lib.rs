//! Connections between nodes: one QUIC connection a node pair and class, ordered streams by purpose, one stream a request.
//!
//! What always holds: `from` in every call of the handler is the node of the verified certificate; the handler sees
//! `connected` before the first message of a connection and `disconnected` after its last one, also when a connection
//! replaces another; what is sent for one (peer, purpose) arrives in order or the connection ends; every queue is bounded
//! by count and bytes. Messages in flight are lost when a connection ends: protocols above start again from their hello.
//! Lives from `start` to `shutdown`. Which nodes exist, and what messages mean, is left to others.
#![forbid(unsafe_code)]
// A shell: it measures silence and age of connections.
#![allow(clippy::disallowed_methods)]

mod accept;
mod config;
mod dial;
mod endpoint;
mod error;
mod greet;
mod handler;
mod inbound;
mod link;
mod outbound;
mod peers;
mod transport;
pub mod yardstick;

pub use config::{Config, Peer};
pub use eport_wire::{Class, CloseCode, Purpose};
pub use error::{Error, Failure, RequestError, SendError};
pub use handler::{BoxFuture, Handler};
pub use link::Connected;
pub use transport::Transport;

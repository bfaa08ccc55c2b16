//! What travels between nodes: purposes and their limits, frames, the connection hello, message envelopes, close codes.
//!
//! Invariants: a decoder allocates no more than it was given bytes, refuses a length above the limit of its purpose before
//! it buffers for it, and after the first error never yields a frame again. Bytes from a peer never panic. A core: no I/O,
//! no clock; QUIC streams belong to `transport`.
#![forbid(unsafe_code)]

mod close;
mod decoder;
mod envelope;
mod frame;
mod hello;
mod purpose;

pub use close::CloseCode;
pub use decoder::FrameDecoder;
pub use envelope::{ENVELOPE_HEADER_LEN, Envelope, EnvelopeError};
pub use frame::{FRAME_HEADER_LEN, Frame, FrameError, header};
pub use hello::{
    ANCESTORS_MAX, Agreed, HELLO_LEN_MAX, HELLO_PREFIX_LEN, Hello, HelloError, Kinship, Mismatch,
};
pub use purpose::{Class, Purpose};

/// Oldest wire version this software speaks.
pub const WIRE_VERSION_MIN: u8 = eport_model::formats::WIRE_OLDEST;
/// Newest wire version this software speaks. It stands in every frame header.
pub const WIRE_VERSION_MAX: u8 = eport_model::formats::WIRE_NEWEST;

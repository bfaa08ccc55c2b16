//! Rules of enrolment and renewal: one-time tokens, requests that wait for a person, when a certificate is renewed.
//!
//! What always holds: every verdict is a function of rows and of a time given by the caller; a token is good for one key; the
//! plain secret of a token is in its text only, rows keep its digest; a renewal is never asked for in a loop, whatever the
//! clock does. Files, keys, signatures and the journal belong to the shells.
#![forbid(unsafe_code)]

mod expiry;
mod fault;
mod renewal;
mod request;
mod token;

pub use expiry::{Ends, FORECAST_DAYS, soon};
pub use fault::Fault;
pub use renewal::{Act, Life, PAUSE_MAX_MS, PAUSE_MIN_MS, Renewal, due};
pub use request::{
    Decision, REQUEST_LIFE_MS, REQUESTS_MAX, RequestRow, RequestState, WAITING_MAX, request_id,
};
pub use token::{
    HOSTS_MAX, TOKEN_LIFE_MAX_MS, TOKEN_TEXT_MAX, TOKENS_MAX, Token, TokenRow, TokenState, host_is_plain,
    token_id,
};

/// What an old key signs, before the request (DER), to have its certificate renewed.
pub const RENEWAL_CONTEXT: &[u8] = b"eport certificate renewal 1\n";
/// How long after its end a node's certificate still proves who asks: 90 days.
pub const EXPIRED_KNOWN_MS: i64 = 90 * 86_400_000;

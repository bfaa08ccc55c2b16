//! TLS of the federation: one verifier for every listener and dialler, and the rustls configurations built on it.
//!
//! What always holds (rules R1 to R9 of the security design; each is a test, in `authority/tests/all/rules.rs` because
//! making certificates belongs to `authority`): TLS 1.3 only; no tickets, no resumption, no early data; a peer is who the
//! one URI of its certificate says, and only if its issuer may speak for that platform and neither it nor its issuer is
//! revoked; trust, revocations and the own certificate are swapped while running, and a bad replacement changes nothing.
#![forbid(unsafe_code)]

mod bundle;
mod configs;
mod identity;
mod outside;
mod peer;
mod refused;
mod revocation;
mod successor;
mod verifier;

pub use bundle::TrustBundle;
pub use configs::{HTTPS_ALPN, Tls, client_of_bundle, first_contact};
pub use identity::Identity;
pub use outside::OutsideCa;
pub use peer::{CHAIN_LEN_MAX, PeerIdentity, Usage, examine, rehearse};
pub use refused::{Error, Refused};
pub use revocation::{Revocations, Serial};
pub use successor::{Offer, adopt, unite};

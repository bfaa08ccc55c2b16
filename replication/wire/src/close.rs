//! Why a connection was closed, as the number both sides see.

use eport_model::{Code, codes};
use std::fmt;

/// Application close code of a QUIC connection. Numbers are part of the protocol and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum CloseCode {
    /// The node stops.
    Shutdown = 0x100,
    /// The peer's certificate was revoked while connected.
    Revoked = 0x101,
    /// The peer's certificate expired while connected.
    Expired = 0x102,
    /// The peer is no longer listed, or was closed by name.
    Removed = 0x103,
    /// No wire version in common.
    Version = 0x104,
    /// The peer belongs to another lineage.
    Lineage = 0x105,
    /// Of two connections of one class the other one stays.
    Duplicate = 0x106,
    /// The peer restarted, or replaced this connection by a newer one.
    Superseded = 0x107,
    /// The peer sent bytes that no version knows.
    Malformed = 0x108,
    /// The certificate, or the name in the hello, is not the expected one.
    Identity = 0x109,
    /// The class of the connection is not known.
    Class = 0x10a,
    /// Too many connections at once.
    Busy = 0x10b,
}

impl CloseCode {
    /// Every close code.
    pub const ALL: [CloseCode; 12] = [
        CloseCode::Shutdown,
        CloseCode::Revoked,
        CloseCode::Expired,
        CloseCode::Removed,
        CloseCode::Version,
        CloseCode::Lineage,
        CloseCode::Duplicate,
        CloseCode::Superseded,
        CloseCode::Malformed,
        CloseCode::Identity,
        CloseCode::Class,
        CloseCode::Busy,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code of a number on the wire; `None` for one of another version.
    pub fn from_number(n: u64) -> Option<CloseCode> {
        Self::ALL.into_iter().find(|c| u64::from(c.number()) == n)
    }

    /// The error code an operator looks up.
    pub const fn error_code(self) -> Code {
        match self {
            CloseCode::Revoked => codes::CERT_REVOKED,
            CloseCode::Expired => codes::CERT_EXPIRED,
            CloseCode::Identity => codes::PEER_IDENTITY,
            CloseCode::Version | CloseCode::Class => codes::WIRE_VERSION,
            CloseCode::Lineage => codes::LINEAGE_FOREIGN,
            CloseCode::Malformed => codes::FRAME_MALFORMED,
            CloseCode::Busy => codes::PEER_BUSY,
            CloseCode::Shutdown | CloseCode::Removed | CloseCode::Duplicate | CloseCode::Superseded => {
                codes::PEER_UNREACHABLE
            }
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseCode::Shutdown => "node stops",
            CloseCode::Revoked => "certificate revoked",
            CloseCode::Expired => "certificate expired",
            CloseCode::Removed => "peer removed",
            CloseCode::Version => "no common wire version",
            CloseCode::Lineage => "another lineage",
            CloseCode::Duplicate => "duplicate connection",
            CloseCode::Superseded => "replaced by a newer connection",
            CloseCode::Malformed => "malformed bytes",
            CloseCode::Identity => "unexpected identity",
            CloseCode::Class => "unknown connection class",
            CloseCode::Busy => "too many connections",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_numbers_are_stable_and_every_one_leads_to_an_explanation() {
        for (i, code) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(code.number() as usize, 0x100 + i);
            assert_eq!(CloseCode::from_number(code.number().into()), Some(code));
            assert!(code.error_code().info().is_some(), "{code}");
        }
        assert_eq!(CloseCode::from_number(0), None);
    }
}

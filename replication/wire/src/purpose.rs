//! Purposes of streams: what a stream or request is for, how urgent it is, how large its frames may be.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a stream or a request exists. One ordered stream a peer and purpose; one stream a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Purpose {
    /// Raft messages of the registry group.
    Raft = 1,
    /// Commands and reads forwarded to the registry's leader.
    Registry = 2,
    /// Records, acknowledgements and hellos of platform journals.
    Journal = 3,
    /// Steps of moves: barriers, seals, positions.
    Move = 4,
    /// Client requests forwarded to another node.
    Forward = 5,
    /// Contents of code tables.
    Catalog = 6,
    /// Small questions between nodes: soft state, heartbeats.
    Control = 7,
    /// Diverged tails on their way to the new primary, and rows for the node that returns.
    Tail = 8,
    /// Checkpoints on their way to a backup.
    Checkpoint = 9,
    /// Messages between platforms: documents for agencies, receipts, withdrawals.
    Exchange = 10,
}

/// Which of a node pair's two connections carries a purpose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Class {
    /// Raft, registry, journals, moves, control: always connected.
    Control = 1,
    /// Large bodies: connected when first needed, so that they never delay a heartbeat.
    Bulk = 2,
}

const MIB: usize = 1 << 20;

impl Purpose {
    /// Every purpose, in the order of the tags.
    pub const ALL: [Purpose; 10] = [
        Purpose::Raft,
        Purpose::Registry,
        Purpose::Journal,
        Purpose::Move,
        Purpose::Forward,
        Purpose::Catalog,
        Purpose::Control,
        Purpose::Tail,
        Purpose::Checkpoint,
        Purpose::Exchange,
    ];

    /// The number on the wire.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// The purpose of a number on the wire; `None` for one of another version.
    pub fn from_tag(tag: u8) -> Option<Purpose> {
        Self::ALL.into_iter().find(|p| p.tag() == tag)
    }

    /// Stream priority: larger is sent first when the connection is congested.
    pub const fn priority(self) -> i32 {
        match self {
            Purpose::Raft => 50,
            Purpose::Registry | Purpose::Move | Purpose::Control => 40,
            Purpose::Journal => 30,
            Purpose::Forward => 20,
            Purpose::Exchange => 15,
            Purpose::Catalog | Purpose::Tail => 10,
            Purpose::Checkpoint => 0,
        }
    }

    /// Longest payload of one frame in bytes.
    pub const fn payload_len_max(self) -> usize {
        match self {
            Purpose::Raft => 8 * MIB,
            Purpose::Registry | Purpose::Move => MIB,
            Purpose::Journal | Purpose::Tail | Purpose::Exchange => 4 * MIB,
            // A manifest of 4 MiB and what is around it.
            Purpose::Checkpoint => 5 * MIB,
            Purpose::Forward | Purpose::Catalog => 64 * MIB,
            Purpose::Control => 64 << 10,
        }
    }

    /// The connection that carries this purpose.
    pub const fn class(self) -> Class {
        match self {
            Purpose::Forward | Purpose::Catalog | Purpose::Tail | Purpose::Checkpoint | Purpose::Exchange => {
                Class::Bulk
            }
            _ => Class::Control,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Purpose::Raft => "raft",
            Purpose::Registry => "registry",
            Purpose::Journal => "journal",
            Purpose::Move => "move",
            Purpose::Forward => "forward",
            Purpose::Catalog => "catalog",
            Purpose::Control => "control",
            Purpose::Tail => "tail",
            Purpose::Checkpoint => "checkpoint",
            Purpose::Exchange => "exchange",
        })
    }
}

impl Class {
    /// Both classes.
    pub const ALL: [Class; 2] = [Class::Control, Class::Bulk];

    /// The ALPN protocol name; a connection without one of these is refused (R8).
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Class::Control => b"eport/1",
            Class::Bulk => b"eport-bulk/1",
        }
    }

    /// The class of a negotiated ALPN protocol.
    pub fn from_alpn(alpn: &[u8]) -> Option<Class> {
        Self::ALL.into_iter().find(|c| c.alpn() == alpn)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Control => "control",
            Class::Bulk => "bulk",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_protocol_names_are_the_published_numbers() {
        let tags: Vec<u8> = Purpose::ALL.iter().map(|p| p.tag()).collect();
        assert_eq!(tags, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        for p in Purpose::ALL {
            assert_eq!(Purpose::from_tag(p.tag()), Some(p));
        }
        assert_eq!((Purpose::from_tag(0), Purpose::from_tag(11)), (None, None));
        assert_eq!(Class::from_alpn(b"eport/1"), Some(Class::Control));
        assert_eq!(Class::from_alpn(b"eport-bulk/1"), Some(Class::Bulk));
        assert_eq!(Class::from_alpn(b"h2"), None);
    }

    #[test]
    fn a_heartbeat_of_raft_goes_before_everything_and_bodies_go_last() {
        use Purpose::*;
        let order = [Raft, Move, Journal, Forward, Exchange, Catalog, Checkpoint];
        assert!(order.windows(2).all(|w| w[0].priority() > w[1].priority()));
        assert_eq!(
            (Registry.class(), Catalog.class(), Forward.class()),
            (Class::Control, Class::Bulk, Class::Bulk)
        );
    }
}

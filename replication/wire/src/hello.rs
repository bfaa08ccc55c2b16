//! The first thing each side says on a connection, and what follows from the two hellos.
//!
//! The layout of the prefix, and the order of the fields, never change; later versions only add fields in a new format
//! byte of the codec. So two nodes of any versions can at least tell each other why they part.

use crate::{CloseCode, WIRE_VERSION_MAX, WIRE_VERSION_MIN};
use eport_model::codec::{DecodeError, decode_with_limit, encode};
use eport_model::{Code, Coded, Lineage, NodeId, codes};
use serde::{Deserialize, Serialize};

/// Bytes before the hello's body: "EPHI" and a u16 length.
pub const HELLO_PREFIX_LEN: usize = 6;
/// Longest body of a hello.
pub const HELLO_LEN_MAX: usize = 1024;
/// Ancestors told in a hello: 16 bytes each, so that a hello stays within its limit.
pub const ANCESTORS_MAX: usize = 16;
const MAGIC: [u8; 4] = *b"EPHI";

/// Who speaks, in which history, with which software.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest wire version the speaker knows.
    pub version_min: u8,
    /// Newest wire version the speaker knows.
    pub version_max: u8,
    /// The speaker's history.
    pub lineage: Lineage,
    /// The speaker. Only a claim: the receiver compares it with the certificate.
    pub node: NodeId,
    /// Rises with every start of the speaker's process.
    pub incarnation: u64,
    /// Version of the speaker's software, for people.
    pub software: String,
    /// Number of this connection, drawn by the dialler; the other side repeats it.
    pub connection: u64,
    /// Number of the last connection of this class that the speaker saw end; 0 for none. Tells a peer that still
    /// believes in that connection to let go of it.
    pub ended: u64,
    /// The lineages that the speaker's descends from, the parent first, at most [`ANCESTORS_MAX`].
    pub ancestors: Vec<Lineage>,
}

/// How the lineages of two nodes are related when they are not the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinship {
    /// The peer's lineage is over: this node's descends from it.
    Ended,
    /// This node's lineage is over: the peer's descends from it.
    Ahead,
    /// Both descend from a third one and both live.
    Split,
    /// They have nothing in common.
    Strange,
}

/// What two hellos agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// The newest wire version both know.
    pub version: u8,
}

/// Why two nodes part after their hellos.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No version in common.
    #[error(
        "{node} speaks wire versions {min} to {max}, here {WIRE_VERSION_MIN} to {WIRE_VERSION_MAX} are known"
    )]
    Version {
        /// The peer.
        node: NodeId,
        /// Its oldest version.
        min: u8,
        /// Its newest version.
        max: u8,
    },
    /// Two histories.
    #[error("{node} belongs to lineage {theirs}, this node to {ours}: {}", kin_words(*.kin))]
    Lineage {
        /// The peer.
        node: NodeId,
        /// The peer's lineage.
        theirs: Lineage,
        /// Our lineage.
        ours: Lineage,
        /// How they are related.
        kin: Kinship,
    },
    /// The name in the hello is not the certificate's.
    #[error("the certificate is {certified}'s, the hello says {claimed}")]
    Identity {
        /// The node of the verified certificate.
        certified: NodeId,
        /// The node of the hello.
        claimed: NodeId,
    },
    /// A node that answers with our own id.
    #[error("{0} is this node's own id")]
    Myself(NodeId),
}

fn kin_words(kin: Kinship) -> &'static str {
    match kin {
        Kinship::Ended => "the peer's is over, it must join again",
        Kinship::Ahead => "this node's is over, it must join again",
        Kinship::Split => "both descend from one and live, one of them must end",
        Kinship::Strange => "they have nothing in common",
    }
}

impl Mismatch {
    /// The code with which the connection is closed.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Mismatch::Version { .. } => CloseCode::Version,
            Mismatch::Lineage { .. } => CloseCode::Lineage,
            Mismatch::Identity { .. } | Mismatch::Myself(_) => CloseCode::Identity,
        }
    }
}

impl Coded for Mismatch {
    fn code(&self) -> Code {
        match self {
            Mismatch::Lineage { kin: Kinship::Split, .. } => codes::LINEAGE_SPLIT,
            other => other.close_code().error_code(),
        }
    }
}

/// Why bytes are not a hello.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not the first bytes of a hello.
    #[error("a hello starts with \"EPHI\", not with {0:02x?}")]
    Magic([u8; 4]),
    /// Longer than any hello.
    #[error("a hello of {0} bytes exceeds the limit of {HELLO_LEN_MAX}")]
    TooLong(usize),
    /// The body is damaged.
    #[error("hello: {0}")]
    Body(#[from] DecodeError),
    /// The speaker names nobody.
    #[error("the hello names no node")]
    Nameless,
}

impl Coded for HelloError {
    fn code(&self) -> Code {
        match self {
            HelloError::TooLong(_) => codes::FRAME_TOO_LONG,
            _ => codes::FRAME_MALFORMED,
        }
    }
}

impl Hello {
    /// A hello of this software. Connection numbers are set by the transport.
    pub fn new(lineage: Lineage, node: NodeId, incarnation: u64, software: &str) -> Self {
        Self {
            version_min: WIRE_VERSION_MIN,
            version_max: WIRE_VERSION_MAX,
            lineage,
            node,
            incarnation,
            software: software.chars().take(64).collect(),
            connection: 0,
            ended: 0,
            ancestors: Vec::new(),
        }
    }

    /// The same hello with the lineages that the speaker's descends from, the parent first.
    #[must_use]
    pub fn descending(mut self, ancestors: &[Lineage]) -> Self {
        self.ancestors = ancestors.iter().take(ANCESTORS_MAX).copied().collect();
        self
    }

    fn kinship(&self, peer: &Hello) -> Kinship {
        if self.ancestors.contains(&peer.lineage) {
            Kinship::Ended
        } else if peer.ancestors.contains(&self.lineage) {
            Kinship::Ahead
        } else if self.ancestors.iter().any(|a| peer.ancestors.contains(a)) {
            Kinship::Split
        } else {
            Kinship::Strange
        }
    }

    /// The bytes to send: prefix and body.
    pub fn encode(&self) -> Vec<u8> {
        let body = encode(self);
        let len = u16::try_from(body.len()).expect("a hello has no field longer than 272 bytes");
        let mut out = Vec::with_capacity(HELLO_PREFIX_LEN + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// The length of the body that follows a prefix.
    pub fn body_len(prefix: &[u8; HELLO_PREFIX_LEN]) -> Result<usize, HelloError> {
        let [m0, m1, m2, m3, l0, l1] = *prefix;
        let magic = [m0, m1, m2, m3];
        if magic != MAGIC {
            return Err(HelloError::Magic(magic));
        }
        match usize::from(u16::from_le_bytes([l0, l1])) {
            len if len > HELLO_LEN_MAX => Err(HelloError::TooLong(len)),
            len => Ok(len),
        }
    }

    /// Reads the body of a hello.
    pub fn decode_body(body: &[u8]) -> Result<Hello, HelloError> {
        let hello: Hello = decode_with_limit(body, HELLO_LEN_MAX)?;
        if hello.node.is_none() {
            return Err(HelloError::Nameless);
        }
        Ok(hello)
    }

    /// What this side and a peer with the given certificate agree on. Both sides compute the same verdict.
    pub fn agree(&self, peer: &Hello, certified: NodeId) -> Result<Agreed, Mismatch> {
        if peer.version_min > self.version_max || peer.version_max < self.version_min {
            return Err(Mismatch::Version { node: certified, min: peer.version_min, max: peer.version_max });
        }
        if peer.lineage != self.lineage {
            let kin = self.kinship(peer);
            return Err(Mismatch::Lineage { node: certified, theirs: peer.lineage, ours: self.lineage, kin });
        }
        if peer.node != certified {
            return Err(Mismatch::Identity { certified, claimed: peer.node });
        }
        if peer.node == self.node {
            return Err(Mismatch::Myself(peer.node));
        }
        Ok(Agreed { version: self.version_max.min(peer.version_max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(node: &str) -> Hello {
        Hello::new(Lineage::from_bytes([1; 16]), node.parse().unwrap(), 3, "0.1.0")
    }

    #[test]
    fn two_hellos_agree_or_name_the_reason_they_part() {
        let (a, b) = (hello("a"), hello("b"));
        assert_eq!(a.agree(&b, b.node), Ok(Agreed { version: 1 }));
        let newer = Hello { version_min: 9, version_max: 12, ..b.clone() };
        assert_eq!(a.agree(&newer, b.node).unwrap_err().close_code(), CloseCode::Version);
        let foreign = Hello { lineage: Lineage::from_bytes([2; 16]), ..b.clone() };
        assert_eq!(a.agree(&foreign, b.node).unwrap_err().close_code(), CloseCode::Lineage);
        assert_eq!(a.agree(&b, "c".parse().unwrap()).unwrap_err().close_code(), CloseCode::Identity);
        assert_eq!(a.agree(&a, a.node), Err(Mismatch::Myself(a.node)));
    }

    #[test]
    fn lineages_that_part_are_told_apart_and_none_of_them_agrees() {
        let of = |n: u8| Lineage::from_bytes([n; 16]);
        let (old, new) = (hello("a"), Hello { lineage: of(2), ..hello("b") }.descending(&[of(1)]));
        let twin = Hello { lineage: of(3), ..hello("c") }.descending(&[of(1)]);
        let kin = |ours: &Hello, theirs: &Hello| match ours.agree(theirs, theirs.node) {
            Err(mismatch @ Mismatch::Lineage { kin, .. }) => (kin, mismatch.code()),
            other => panic!("{other:?}"),
        };
        assert_eq!(kin(&new, &old), (Kinship::Ended, codes::LINEAGE_FOREIGN));
        assert_eq!(kin(&old, &new), (Kinship::Ahead, codes::LINEAGE_FOREIGN));
        assert_eq!(kin(&new, &twin), (Kinship::Split, codes::LINEAGE_SPLIT));
        let strange = Hello { lineage: of(9), ..hello("d") };
        assert_eq!(kin(&new, &strange), (Kinship::Strange, codes::LINEAGE_FOREIGN));
        let many: Vec<Lineage> = (10..100).map(of).collect();
        let sent = new.descending(&many);
        assert!(sent.ancestors.len() == ANCESTORS_MAX && sent.encode().len() <= HELLO_LEN_MAX);
    }

    #[test]
    fn a_hello_survives_the_wire_and_damage_is_refused() {
        let sent = hello("gz-a-1");
        let bytes = sent.encode();
        let prefix: [u8; HELLO_PREFIX_LEN] = bytes[..HELLO_PREFIX_LEN].try_into().unwrap();
        assert_eq!(Hello::body_len(&prefix).unwrap(), bytes.len() - HELLO_PREFIX_LEN);
        assert_eq!(Hello::decode_body(&bytes[HELLO_PREFIX_LEN..]).unwrap(), sent);
        for cut in HELLO_PREFIX_LEN..bytes.len() {
            assert!(Hello::decode_body(&bytes[HELLO_PREFIX_LEN..cut]).is_err());
        }
        assert_eq!(Hello::body_len(b"GET / "), Err(HelloError::Magic(*b"GET ")));
        assert_eq!(Hello::body_len(b"EPHI\xff\xff"), Err(HelloError::TooLong(65535)));
        let nameless = Hello { node: NodeId::default(), ..sent };
        assert_eq!(Hello::decode_body(&nameless.encode()[HELLO_PREFIX_LEN..]), Err(HelloError::Nameless));
    }
}

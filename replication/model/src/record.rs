//! Journal records: what a primary appends, ships and proves.
//!
//! Invariants: `index` is dense from 1; `previous` is the digest of the record before (zero for the first);
//! the digest covers the header, and the header carries the SHA-256 of every effect and body, so a body may be erased by
//! law and the chain still proves itself. Effects are full-value rows, computed once by the primary: replay is idempotent.
//! Basis: design §5.

use crate::{Digest, Epoch, JournalIndex, Lineage, NodeId, Position, RegionCode, Timestamp, codec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the record layout and of the state rows its effects write.
pub const SCHEMA_VERSION: u16 = 7;
/// The record format that knows Degrade records.
pub const DEGRADE_SINCE: u16 = 2;
/// The record format that knows records of certificates.
pub const CERTIFICATES_SINCE: u16 = 3;
/// The record format that knows Erase records.
pub const ERASE_SINCE: u16 = 4;
/// The record format that knows records of enrolment.
pub const ENROLMENT_SINCE: u16 = 5;
/// The record format that knows signed heads.
pub const SIGNED_HEAD_SINCE: u16 = 6;
/// The record format that knows what was done with a CA's key.
pub const CA_ACT_SINCE: u16 = 7;

/// Id of a move, drawn by whoever asked for it. Prints as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MoveId(pub [u8; 16]);

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MoveId {
    type Err = crate::ParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut out = [0u8; 16];
        hex::decode_to_slice(s, &mut out).map_err(|_| crate::ParseError {
            what: "move id",
            input: s.chars().take(64).collect(),
            reason: "32 hex digits are needed",
        })?;
        Ok(Self(out))
    }
}

impl Serialize for MoveId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for MoveId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
        } else {
            Ok(Self(<[u8; 16]>::deserialize(d)?))
        }
    }
}

/// What a record is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RecordKind {
    /// First record of an epoch, written by its primary. Inherited records count as committed when this one is.
    EpochStart {
        /// The primary of the epoch.
        primary: NodeId,
        /// The epoch before; `Epoch::NONE` for the first.
        previous: Epoch,
        /// The move that made it; the default id for the founding epoch.
        move_id: MoveId,
    },
    /// A business write: a request, its effects, its bodies.
    Entry,
    /// Last business position before a planned switchover.
    Barrier {
        /// The switchover.
        move_id: MoveId,
    },
    /// Fsynced by the old primary before it proposes the switchover's commit. A journal that ends here, or in a Barrier,
    /// opens only after a linearizable read of the registry.
    SwitchProposed {
        /// The switchover.
        move_id: MoveId,
        /// Its target.
        to: NodeId,
    },
    /// Every replica hashes its state rows when it has applied exactly this record. One that reads [`STATE_READ`] tells what the
    /// primary had at an earlier mark instead, and every backup compares.
    ChecksumMark,
    /// Nothing; moves the head, for example after an aborted switchover.
    Noop,
    /// From here on the primary answers `local`: its backups are silent and the registry, which was asked to record the
    /// shrink of the in-sync set, cannot be reached. Fsynced before the first such answer.
    Degrade {
        /// Placement version at which the primary stopped to wait.
        version: u64,
    },
    /// A CA of the platform is about to sign: serial and digest of what. Fsynced and held by the backups before it does.
    CertIntent,
    /// What it signed, or a certificate that it had issued before its ledger began.
    CertIssued,
    /// By law a body of an earlier record goes: whoever applies this overwrites it where it lies. Digest and length stay in that
    /// record's header, so the chain proves itself as before, and this record says why the bytes are missing.
    Erase {
        /// The record.
        record: JournalIndex,
        /// Which of its bodies.
        body: u16,
        /// Digest of the body: never another one is erased.
        digest: Digest,
        /// Why, for people.
        reason: String,
        /// By what authority: the order of a court, the number of a request.
        authority: String,
    },
    /// A token was made or withdrawn, a request was filed or refused. What leads to a certificate stands in its `CertIntent`.
    Enrolment,
    /// A signed checkpoint: the primary's node vouches for an earlier record and with it, through the chain, for everything before.
    /// Whoever could alter a copy and chain it anew would also need that node's key.
    SignedHead {
        /// The record that is vouched for.
        covers: Position,
        /// When it was signed; part of what is signed.
        at: Timestamp,
        /// The node's certificate, DER: judged as of `at`.
        certificate: Bytes,
        /// Over lineage, platform, `covers` and `at`; ECDSA, DER.
        signature: Bytes,
    },
    /// Something was done with a CA of the platform: its wrapped key was kept, its key was opened by persons, it revoked what it had
    /// issued while it was cut off.
    CaAct,
}

impl RecordKind {
    /// The record format with which this kind came. A kind is written only where every holder of the journal reads that format
    /// (the registry knows what each reads), so that an older version never meets what it cannot read.
    pub fn since(&self) -> u16 {
        match self {
            RecordKind::Degrade { .. } => DEGRADE_SINCE,
            RecordKind::CertIntent | RecordKind::CertIssued => CERTIFICATES_SINCE,
            RecordKind::Erase { .. } => ERASE_SINCE,
            RecordKind::Enrolment => ENROLMENT_SINCE,
            RecordKind::SignedHead { .. } => SIGNED_HEAD_SINCE,
            RecordKind::CaAct => CA_ACT_SINCE,
            _ => 1,
        }
    }

    /// A stable name, for logs, lists and exports.
    pub fn name(&self) -> &'static str {
        match self {
            RecordKind::EpochStart { .. } => "epoch_start",
            RecordKind::Entry => "entry",
            RecordKind::Barrier { .. } => "barrier",
            RecordKind::SwitchProposed { .. } => "switch_proposed",
            RecordKind::ChecksumMark => "checksum_mark",
            RecordKind::Noop => "noop",
            RecordKind::Degrade { .. } => "degrade",
            RecordKind::Erase { .. } => "erase",
            RecordKind::CertIntent => "cert_intent",
            RecordKind::CertIssued => "cert_issued",
            RecordKind::Enrolment => "enrolment",
            RecordKind::SignedHead { .. } => "signed_head",
            RecordKind::CaAct => "ca_act",
        }
    }
}

/// A full-value change of one state row. Never a delta.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// The row now has this value.
    Put {
        /// Row key.
        key: Bytes,
        /// Whole new value.
        value: Bytes,
    },
    /// The row no longer exists.
    Delete {
        /// Row key.
        key: Bytes,
    },
}

impl Effect {
    /// The row this effect writes.
    pub fn key(&self) -> &Bytes {
        match self {
            Effect::Put { key, .. } | Effect::Delete { key } => key,
        }
    }

    /// Digest of the effect: kind, key length, key, value.
    pub fn digest(&self) -> Digest {
        let mut h = crate::DigestHasher::new();
        let (tag, key, value): (u8, &Bytes, &[u8]) = match self {
            Effect::Put { key, value } => (1, key, value),
            Effect::Delete { key } => (2, key, &[]),
        };
        h.update(&[tag]);
        h.update(&(key.len() as u64).to_le_bytes());
        h.update(key);
        h.update(value);
        h.finish()
    }
}

/// A body by digest and length; the bytes themselves are stored apart and may be erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BodyRef {
    /// SHA-256 of the body as stored.
    pub digest: Digest,
    /// Length in bytes.
    pub len: u64,
}

/// The request that caused a record, kept so that a diverged record can be judged again later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestRef {
    /// Business key of the request, or the caller's idempotency key.
    pub id: String,
    /// Who asked: the subject path of the certificate.
    pub caller: String,
    /// Which of the record's bodies is the request, if any.
    pub body: Option<u16>,
    /// Detached signature of the caller over the request, if it carried one.
    pub signature: Option<Bytes>,
    /// When the request was first accepted. Equals record time except for re-submitted tail records.
    pub accepted_at: Timestamp,
    /// The record of a diverged tail that this one replaces, where the request was submitted again.
    pub replaces: Option<crate::Position>,
}

/// Something the rules read to judge the request: a table version, a row's position. Unchanged means "clean" on re-submission.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadVersion {
    /// What was read, for example `table:440000/ports` or `row:doc/…`.
    pub name: String,
    /// Its version, for example a root digest or an index.
    pub version: String,
}

/// The chained part of a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordHeader {
    /// The federation's history this record belongs to.
    pub lineage: Lineage,
    /// The platform.
    pub platform: RegionCode,
    /// Epoch of the primary that wrote it.
    pub epoch: Epoch,
    /// Place in the journal.
    pub index: JournalIndex,
    /// Digest of the record before.
    pub previous: Digest,
    /// What it is for.
    pub kind: RecordKind,
    /// Record time: never before the record before.
    pub time: Timestamp,
    /// Layout version.
    pub schema: u16,
    /// The request behind it.
    pub request: Option<RequestRef>,
    /// What the rules read.
    pub reads: Vec<ReadVersion>,
    /// Digest of each effect, in order.
    pub effects: Vec<Digest>,
    /// Digest and length of each body, in order.
    pub bodies: Vec<BodyRef>,
}

/// What an EpochStart reads when the record before it belongs to another lineage: the old lineage stands as its version.
pub const LINEAGE_READ: &str = "lineage";

/// What a ChecksumMark reads that tells what the primary had at an earlier one: index and digest stand as its version.
pub const STATE_READ: &str = "state";

/// What the record of a document reads of the document itself: a commitment to its content stands as its version (decision 0049).
pub const CONTENT_READ: &str = "content";

/// Key of the state row that says that a body is erased; its value is the body's digest.
pub fn erased_key(record: JournalIndex, body: u16) -> Vec<u8> {
    [&b"erased/"[..], &record.as_u64().to_be_bytes(), &body.to_be_bytes()].concat()
}

impl RecordHeader {
    /// Index and digest of the rows that a ChecksumMark tells of an earlier one; `None` for a mark at which rows are hashed,
    /// and for every other record.
    pub fn told_state(&self) -> Option<(JournalIndex, Digest)> {
        let RecordKind::ChecksumMark = self.kind else { return None };
        let version = &self.reads.iter().find(|r| r.name == STATE_READ)?.version;
        let (index, digest) = version.split_once(':')?;
        Some((JournalIndex::from_u64(index.parse().ok()?), digest.parse().ok()?))
    }

    /// The lineage that an EpochStart names as the one before its own; `None` for every other record.
    pub fn parent_lineage(&self) -> Option<Lineage> {
        let RecordKind::EpochStart { .. } = self.kind else { return None };
        self.reads.iter().find(|r| r.name == LINEAGE_READ)?.version.parse().ok()
    }

    /// The commitment to the content of the document that this record took; `None` where it has none, or more than one.
    pub fn content_commitment(&self) -> Option<Digest> {
        let RecordKind::Entry = self.kind else { return None };
        let mut named = self.reads.iter().filter(|r| r.name == CONTENT_READ);
        let (first, second) = (named.next()?, named.next());
        second.is_none().then(|| first.version.parse().ok()).flatten()
    }

    /// The chain digest: SHA-256 of the header's canonical bytes.
    pub fn digest(&self) -> Digest {
        let room = 512 + 33 * (self.effects.len() + self.bodies.len()) + 128 * self.reads.len();
        Digest::of(&codec::encode_with_room(self, room))
    }

    /// Place and proof of this record.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, index: self.index, digest: self.digest() }
    }
}

/// What a caller wants appended. Epoch, index, time and digests are filled in by the primary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// What it is for.
    pub kind: RecordKind,
    /// Record time; the primary raises it to the time of the record before if needed.
    pub time: Timestamp,
    /// The request behind it.
    pub request: Option<RequestRef>,
    /// What the rules read.
    pub reads: Vec<ReadVersion>,
    /// Rows to put or delete.
    pub effects: Vec<Effect>,
    /// Byte strings to keep.
    pub bodies: Vec<Bytes>,
}

impl Draft {
    /// A record without request, effects and bodies.
    pub fn bare(kind: RecordKind, time: Timestamp) -> Self {
        Self { kind, time, request: None, reads: Vec::new(), effects: Vec::new(), bodies: Vec::new() }
    }

    /// A record by which a body goes: whoever applies it overwrites that body, and a row says that it is gone for good.
    pub fn erase(
        (record, body): (JournalIndex, u16),
        digest: Digest,
        reason: String,
        authority: String,
        time: Timestamp,
    ) -> Self {
        let row = Effect::Put {
            key: Bytes::from(erased_key(record, body)),
            value: Bytes::copy_from_slice(digest.as_bytes()),
        };
        let kind = RecordKind::Erase { record, body, digest, reason, authority };
        Self { effects: vec![row], ..Self::bare(kind, time) }
    }

    /// A mark that tells which digest the primary's rows had at the mark `index`.
    pub fn state_told(index: JournalIndex, digest: Digest, time: Timestamp) -> Self {
        let version = format!("{}:{digest}", index.as_u64());
        let reads = vec![ReadVersion { name: STATE_READ.to_owned(), version }];
        Self { reads, ..Self::bare(RecordKind::ChecksumMark, time) }
    }
}

/// A whole record with its chain digest, computed once. Shared by reference between log, shipping and state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The chained part.
    pub header: RecordHeader,
    /// Rows to put or delete.
    pub effects: Vec<Effect>,
    /// Byte strings; an erased body is empty while its `BodyRef` still names digest and length.
    pub bodies: Vec<Bytes>,
    /// `header.digest()`, carried so that it is hashed once; checked by `verify`.
    pub digest: Digest,
}

impl Record {
    /// Seals a draft behind `previous`.
    pub fn seal(
        draft: Draft,
        lineage: Lineage,
        platform: RegionCode,
        epoch: Epoch,
        previous: &Position,
        floor: Timestamp,
    ) -> Self {
        let header = RecordHeader {
            lineage,
            platform,
            epoch,
            index: previous.index.next(),
            previous: previous.digest,
            schema: draft.kind.since(),
            kind: draft.kind,
            time: draft.time.max(floor),
            request: draft.request,
            reads: draft.reads,
            effects: draft.effects.iter().map(Effect::digest).collect(),
            bodies: draft
                .bodies
                .iter()
                .map(|b| BodyRef { digest: Digest::of(b), len: b.len() as u64 })
                .collect(),
        };
        let digest = header.digest();
        Self { header, effects: draft.effects, bodies: draft.bodies, digest }
    }

    /// Place and proof of this record.
    pub fn position(&self) -> Position {
        Position { epoch: self.header.epoch, index: self.header.index, digest: self.digest }
    }

    /// Shorthand for the header's index.
    pub fn index(&self) -> JournalIndex {
        self.header.index
    }

    /// Bytes this record roughly takes in memory and on the wire.
    pub fn weight(&self) -> usize {
        512 + self
            .effects
            .iter()
            .map(|e| e.key().len() + 64 + if let Effect::Put { value, .. } = e { value.len() } else { 0 })
            .sum::<usize>()
            + self.bodies.iter().map(|b| b.len() + 48).sum::<usize>()
    }

    /// Checks everything a record proves by itself: its digest, its effects, its bodies (an erased, empty body passes).
    pub fn verify(&self) -> Result<(), RecordDefect> {
        let index = self.header.index;
        if self.header.schema > SCHEMA_VERSION {
            return Err(RecordDefect::Newer { index, schema: self.header.schema });
        }
        if self.header.digest() != self.digest {
            return Err(RecordDefect::Digest { index });
        }
        let effects_match = self.effects.len() == self.header.effects.len()
            && self.effects.iter().zip(&self.header.effects).all(|(e, d)| e.digest() == *d);
        if !effects_match {
            return Err(RecordDefect::Effect { index });
        }
        let bodies_match = self.bodies.len() == self.header.bodies.len()
            && self.bodies.iter().zip(&self.header.bodies).all(|(b, r)| {
                (b.is_empty() && r.len > 0) || (b.len() as u64 == r.len && Digest::of(b) == r.digest)
            });
        if !bodies_match {
            return Err(RecordDefect::Body { index });
        }
        Ok(())
    }

    /// Checks that this record directly follows `previous` in one chain.
    pub fn follows(&self, previous: &Position) -> Result<(), RecordDefect> {
        let index = self.header.index;
        if index != previous.index.next() {
            return Err(RecordDefect::Gap { index, expected: previous.index.next() });
        }
        if self.header.previous != previous.digest || self.header.epoch < previous.epoch {
            return Err(RecordDefect::Chain { index });
        }
        Ok(())
    }
}

/// What is wrong with a record or its place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordDefect {
    /// Written in a format that this version does not read.
    #[error("record {index} has format {schema}, this version reads formats up to {SCHEMA_VERSION}")]
    Newer {
        /// The record.
        index: JournalIndex,
        /// Its format.
        schema: u16,
    },
    /// The header does not hash to the record's digest.
    #[error("record {index}: the header does not match its digest")]
    Digest {
        /// The record.
        index: JournalIndex,
    },
    /// An effect does not hash to what the header says.
    #[error("record {index}: an effect does not match the header")]
    Effect {
        /// The record.
        index: JournalIndex,
    },
    /// A body does not hash to what the header says.
    #[error("record {index}: a body does not match the header")]
    Body {
        /// The record.
        index: JournalIndex,
    },
    /// A record is missing.
    #[error("record {index} came where {expected} was expected")]
    Gap {
        /// What came.
        index: JournalIndex,
        /// What was expected.
        expected: JournalIndex,
    },
    /// The record names another predecessor.
    #[error("record {index} does not chain to the record before it")]
    Chain {
        /// The record.
        index: JournalIndex,
    },
}

/// What an answer promises. `replicated`: fsynced on k in-sync backups of other sites; `local`: fsynced on the primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Survives the loss of any one site of the in-sync set.
    Replicated,
    /// Survives a crash of the primary, not its loss.
    Local,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Durability::Replicated => "replicated",
            Durability::Local => "local",
        })
    }
}

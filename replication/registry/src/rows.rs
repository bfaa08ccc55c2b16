//! Rows: how the state is stored. One row an object; the key's first byte says the kind.
//!
//! Always: `Row::decode(row.key(), row.encode()) == row`, keys are unique, and inserting a state's rows into an empty state
//! gives that state: live and replayed states are built by the same function.

use crate::{
    Approval, Audit, CommandId, Federation, Head, Issuer, LineageRecord, MoveRecord, Node, NumberBlock,
    Operator, Outcome, Placement, Refusal, Revocation, Setting, Site, TableVersion, Tail,
};
use eport_model::{Code, Coded, Digest, codec, codes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A row that changed: `None` deletes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowChange {
    /// Key.
    pub key: Vec<u8>,
    /// Value, or `None` for a deletion.
    pub value: Option<Vec<u8>>,
}

/// A stored row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The key's kind is not known to this version.
    #[error("row kind {0:?} is not known here")]
    Kind(Option<u8>),
    /// The value does not decode.
    #[error("row of kind {kind} does not decode")]
    Value {
        /// The kind.
        kind: u8,
        /// Why.
        #[source]
        source: codec::DecodeError,
    },
    /// The value belongs under another key.
    #[error("row of kind {0} stands under the key of another object")]
    Key(u8),
}

impl Coded for RowError {
    fn code(&self) -> Code {
        codes::REGISTRY_REFUSED
    }
}

/// The remembered outcome of a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Rises by one a command; the oldest are forgotten.
    pub seq: u64,
    /// The command.
    pub id: CommandId,
    /// Digest of who asked for what.
    pub content: Digest,
    /// What became of it.
    pub result: Result<Outcome, Refusal>,
}

/// One object of the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Row {
    Federation(Federation),
    Setting(Setting),
    Site(Site),
    Node(Node),
    Placement(Placement),
    Move(MoveRecord),
    Head(Head),
    Tail(Tail),
    Numbers(NumberBlock),
    Table(TableVersion),
    Issuer(Issuer),
    Revocation(Revocation),
    Kept(Kept),
    Holder(crate::Holder),
    DataKey(crate::DataKey),
    Operator(Operator),
    Approval(Approval),
    Audit(Audit),
    Lineage(LineageRecord),
    Drill(crate::Drill),
    DrillSchedule(crate::DrillSchedule),
    Erasure(crate::Erasure),
    Quota(crate::Quota),
    Trust(crate::Trust),
    TrustAck(crate::TrustAck),
    Binding(crate::RoleBinding),
    User(crate::User),
    Delegation(crate::Delegation),
    SessionEnd(crate::SessionEnd),
    AccessHead(crate::AccessHead),
    Custody(crate::CaCustody),
    Draft(crate::Draft),
    Outside(crate::OutsideCa),
}

const FEDERATION: u8 = 1;
const SETTING: u8 = 2;
const SITE: u8 = 3;
const NODE: u8 = 4;
const PLACEMENT: u8 = 5;
const MOVE: u8 = 6;
const HEAD: u8 = 7;
const TAIL: u8 = 8;
const NUMBERS: u8 = 9;
const TABLE: u8 = 10;
const ISSUER: u8 = 11;
const REVOCATION: u8 = 12;
const KEPT: u8 = 13;
const HOLDER: u8 = 32;
const DATA_KEY: u8 = 33;
const OPERATOR: u8 = 30;
const APPROVAL: u8 = 31;
const AUDIT: u8 = 34;
const LINEAGE: u8 = 50;
const DRILL: u8 = 44;
const DRILL_SCHEDULE: u8 = 45;
const ERASURE: u8 = 70;
const QUOTA: u8 = 60;
const TRUST: u8 = 90;
const TRUST_ACK: u8 = 91;
const BINDING: u8 = 80;
const USER: u8 = 81;
const DELEGATION: u8 = 82;
const SESSION_END: u8 = 83;
const ACCESS_HEAD: u8 = 84;
const CUSTODY: u8 = 92;
const OUTSIDE: u8 = 93;
const DRAFT: u8 = 100;

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![kind];
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out
}

impl Row {
    /// Where the row is stored.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Row::Federation(_) => key(FEDERATION, &[]),
            Row::Setting(s) => key(SETTING, &[s.name.as_bytes()]),
            Row::Site(s) => key(SITE, &[s.id.as_str().as_bytes()]),
            Row::Node(n) => key(NODE, &[n.id.as_str().as_bytes()]),
            Row::Placement(p) => key(PLACEMENT, &[&p.region.as_u32().to_be_bytes()]),
            Row::Move(m) => key(MOVE, &[&m.id.0]),
            Row::Head(h) => key(HEAD, &[&h.region.as_u32().to_be_bytes(), h.node.as_str().as_bytes()]),
            Row::Tail(t) => key(TAIL, &[t.id().as_bytes()]),
            Row::Numbers(b) => key(NUMBERS, &[&b.region.as_u32().to_be_bytes(), &b.start.to_be_bytes()]),
            Row::Table(t) => key(
                TABLE,
                &[
                    &t.table.owner.as_u32().to_be_bytes(),
                    t.table.full_name().as_bytes(),
                    b"/",
                    &t.version.to_be_bytes(),
                ],
            ),
            Row::Issuer(i) => key(ISSUER, &[i.key_id.as_bytes()]),
            Row::Revocation(r) => key(REVOCATION, &[r.serial.as_bytes()]),
            Row::Kept(k) => key(KEPT, &[&k.seq.to_be_bytes()]),
            Row::Holder(h) => key(HOLDER, &[h.name.to_string().as_bytes()]),
            Row::DataKey(k) => key(DATA_KEY, &[&k.region.as_u32().to_be_bytes(), &k.id.to_be_bytes()]),
            Row::Operator(o) => key(OPERATOR, &[o.id.as_bytes()]),
            Row::Approval(a) => key(APPROVAL, &[&a.id.0]),
            Row::Audit(a) => key(AUDIT, &[&a.seq.to_be_bytes()]),
            Row::Lineage(l) => key(LINEAGE, &[&l.generation.to_be_bytes()]),
            Row::Drill(d) => key(DRILL, &[&d.id.0]),
            Row::Erasure(e) => {
                let (record, body) = (e.target.record.as_u64().to_be_bytes(), e.target.body.to_be_bytes());
                key(ERASURE, &[&e.region.as_u32().to_be_bytes(), &record, &body, e.target.digest.as_bytes()])
            }
            Row::DrillSchedule(s) => {
                key(DRILL_SCHEDULE, &[&s.region.as_u32().to_be_bytes(), s.name.as_bytes()])
            }
            Row::Custody(c) => key(CUSTODY, &[c.ca.as_bytes()]),
            Row::Outside(o) => key(OUTSIDE, &[o.key.as_bytes()]),
            Row::Quota(q) => key(QUOTA, &[&q.region.as_u32().to_be_bytes()]),
            Row::Trust(_) => key(TRUST, &[]),
            Row::TrustAck(a) => key(TRUST_ACK, &[a.node.as_str().as_bytes()]),
            Row::Binding(b) => {
                let role = [b.role as u8];
                key(BINDING, &[&b.platform.as_u32().to_be_bytes(), &role, b.operator.as_bytes()])
            }
            Row::User(u) => key(USER, &[u.subject.to_string().as_bytes()]),
            Row::Delegation(d) => key(DELEGATION, &[&d.id.0]),
            Row::SessionEnd(e) => key(SESSION_END, &[e.serial.as_bytes()]),
            Row::Draft(d) => key(
                DRAFT,
                &[
                    &d.catalog.owner.as_u32().to_be_bytes(),
                    d.catalog.full_name().as_bytes(),
                    b"/",
                    d.root.as_bytes(),
                ],
            ),
            Row::AccessHead(h) => key(ACCESS_HEAD, &[h.node.as_str().as_bytes()]),
        }
    }

    /// The stored value.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Row::Federation(v) => codec::encode(v),
            Row::Setting(v) => codec::encode(v),
            Row::Site(v) => codec::encode(v),
            Row::Node(v) => codec::encode(v),
            Row::Placement(v) => codec::encode(v),
            Row::Move(v) => codec::encode(v),
            Row::Head(v) => codec::encode(v),
            Row::Tail(v) => codec::encode(v),
            Row::Numbers(v) => codec::encode(v),
            Row::Table(v) => codec::encode(v),
            Row::Issuer(v) => codec::encode(v),
            Row::Revocation(v) => codec::encode(v),
            Row::Kept(v) => codec::encode(v),
            Row::Holder(v) => codec::encode(v),
            Row::DataKey(v) => codec::encode(v),
            Row::Operator(v) => codec::encode(v),
            Row::Approval(v) => codec::encode(v),
            Row::Audit(v) => codec::encode(v),
            Row::Lineage(v) => codec::encode(v),
            Row::Drill(v) => codec::encode(v),
            Row::DrillSchedule(v) => codec::encode(v),
            Row::Erasure(v) => codec::encode(v),
            Row::Quota(v) => codec::encode(v),
            Row::Trust(v) => codec::encode(v),
            Row::TrustAck(v) => codec::encode(v),
            Row::Binding(v) => codec::encode(v),
            Row::User(v) => codec::encode(v),
            Row::Delegation(v) => codec::encode(v),
            Row::SessionEnd(v) => codec::encode(v),
            Row::AccessHead(v) => codec::encode(v),
            Row::Custody(v) => codec::encode(v),
            Row::Draft(v) => codec::encode(v),
            Row::Outside(v) => codec::encode(v),
        }
    }

    /// Reads a stored row and checks that it stands under its own key.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RowError> {
        let kind = *key.first().ok_or(RowError::Kind(None))?;
        let row = match kind {
            FEDERATION => Row::Federation(read(kind, value)?),
            SETTING => Row::Setting(read(kind, value)?),
            SITE => Row::Site(read(kind, value)?),
            NODE => Row::Node(read(kind, value)?),
            PLACEMENT => Row::Placement(read(kind, value)?),
            MOVE => Row::Move(read(kind, value)?),
            HEAD => Row::Head(read(kind, value)?),
            TAIL => Row::Tail(read(kind, value)?),
            NUMBERS => Row::Numbers(read(kind, value)?),
            TABLE => Row::Table(read(kind, value)?),
            ISSUER => Row::Issuer(read(kind, value)?),
            REVOCATION => Row::Revocation(read(kind, value)?),
            KEPT => Row::Kept(read(kind, value)?),
            HOLDER => Row::Holder(read(kind, value)?),
            DATA_KEY => Row::DataKey(read(kind, value)?),
            OPERATOR => Row::Operator(read(kind, value)?),
            APPROVAL => Row::Approval(read(kind, value)?),
            AUDIT => Row::Audit(read(kind, value)?),
            LINEAGE => Row::Lineage(read(kind, value)?),
            DRILL => Row::Drill(read(kind, value)?),
            DRILL_SCHEDULE => Row::DrillSchedule(read(kind, value)?),
            ERASURE => Row::Erasure(read(kind, value)?),
            QUOTA => Row::Quota(read(kind, value)?),
            TRUST => Row::Trust(read(kind, value)?),
            TRUST_ACK => Row::TrustAck(read(kind, value)?),
            BINDING => Row::Binding(read(kind, value)?),
            USER => Row::User(read(kind, value)?),
            DELEGATION => Row::Delegation(read(kind, value)?),
            SESSION_END => Row::SessionEnd(read(kind, value)?),
            ACCESS_HEAD => Row::AccessHead(read(kind, value)?),
            CUSTODY => Row::Custody(read(kind, value)?),
            DRAFT => Row::Draft(read(kind, value)?),
            OUTSIDE => Row::Outside(read(kind, value)?),
            other => return Err(RowError::Kind(Some(other))),
        };
        if row.key() == key { Ok(row) } else { Err(RowError::Key(kind)) }
    }

    /// The change that stores this row.
    pub fn put(&self) -> RowChange {
        RowChange { key: self.key(), value: Some(self.encode()) }
    }
}

fn read<T: DeserializeOwned>(kind: u8, value: &[u8]) -> Result<T, RowError> {
    codec::decode(value).map_err(|source| RowError::Value { kind, source })
}

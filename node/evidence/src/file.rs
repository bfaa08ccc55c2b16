//! The file of evidence, and the pages in which a node gives it.

use eport_model::{Digest, Position, RecordHeader, RegionCode, SCHEMA_VERSION, Timestamp, codec};
use eport_signature::StatedRecord;
use serde::{Deserialize, Serialize};

/// What a file of evidence calls itself.
pub const KIND: &str = "eport-evidence";
/// Format of the file.
pub const FORMAT: u32 = eport_model::formats::EVIDENCE;
/// Longest file that is read or written. 256 MiB: as many links as may be, with headers of about 1 KiB.
pub const FILE_LEN_MAX: usize = 256 << 20;
/// Most records between the document's and the one that the next signed head covers.
pub const LINKS_MAX: u64 = 100_000;
/// Most certificates of the lodger in one file.
pub const CERTIFICATES_MAX: usize = 16;
/// Longest header of a record. 1 MiB.
const HEADER_LEN_MAX: usize = 1 << 20;

/// A file of evidence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// [`KIND`].
    pub kind: String,
    /// [`FORMAT`].
    pub format: u32,
    /// What is stated about the document.
    pub statement: Statement,
    /// The signature of the node that states it.
    pub attestation: Attestation,
    /// Headers of the records after the document's, hex, up to the one that the statement ends at.
    pub chain: Vec<String>,
}

/// What a node states about a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The platform.
    pub region: RegionCode,
    /// The document's number.
    pub doc_id: String,
    /// Its version.
    pub doc_version: u32,
    /// Header of the record that took it, hex: its SHA-256 is the record's digest.
    pub record: String,
    /// The row that gave the document its number, one of the record's effects.
    pub row: Row,
    /// The document.
    pub document: Content,
    /// Where the chain ends.
    pub through: Position,
    /// Why it ends there.
    pub end: End,
    /// Header of the signed head that covers `through`, hex.
    pub head: Option<String>,
    /// Certificates of whoever handed it in that were valid when it was accepted, as the platform's ledger has them. Which of them was used
    /// stands in no record. Empty: the ledger has none.
    pub certificates: Vec<CertificateThen>,
}

/// A row that a record wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its key, hex.
    pub key: String,
    /// Its value, hex. What is sensitive in it is encrypted.
    pub value: String,
}

/// What was lodged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The document as lodged, in the canonical form of RFC 8785; absent where it was erased by law.
    pub lodged: Option<String>,
    /// The document as readers are shown it, where normalisation changed something.
    pub shown: Option<String>,
    /// Opens the commitment in the record, hex; absent for a record without one, and where the content was erased.
    pub opening: Option<String>,
    /// True when the content was erased by law.
    pub erased: bool,
}

/// Why a chain ends where it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A signed head covers its last record.
    SignedHead,
    /// No signed head has followed yet; it goes up to the journal's head of then.
    Unsigned,
    /// It names what others lodged, and the asker may not see that: the node's attestation stands for it.
    Withheld,
}

/// A certificate as the ledger had it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateThen {
    /// Its serial, lower-case hex.
    pub serial: String,
    /// The certificate, DER as hex.
    pub certificate: String,
    /// `valid` or `revoked` when the document was accepted, by what the node knew when it made the file.
    pub state: String,
    /// When it was revoked, before or after.
    pub revoked_at: Option<String>,
}

/// Who states it: the node's signature over record and statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// When it was signed.
    pub at: Timestamp,
    /// The node's certificate, DER as hex.
    pub certificate: String,
    /// The signature, DER as hex.
    pub signature: String,
}

/// A page of `GET /v1/platforms/{region}/journal/proof`. The first one carries statement and attestation; the pages together, the chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The platform.
    pub region: RegionCode,
    /// The document's number.
    pub doc_id: String,
    /// Its version.
    pub doc_version: u32,
    /// The record that took it.
    pub record: Position,
    /// True when the chain ends at a record that a signed head covers.
    pub end_proven: bool,
    /// What is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
    /// Who states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// Headers of the next records, hex.
    pub chain: Vec<String>,
    /// For the next page.
    pub next_page_token: Option<String>,
}

impl Evidence {
    /// A file of this format.
    pub fn new(statement: Statement, attestation: Attestation, chain: Vec<String>) -> Self {
        Self { kind: KIND.to_owned(), format: FORMAT, statement, attestation, chain }
    }

    /// Reads a file; says why it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > FILE_LEN_MAX {
            return Err(format!("{} bytes are too long for evidence", bytes.len()));
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|e| format!("it is no evidence: {e}"))?;
        if read.kind != KIND {
            return Err("it is no evidence of a document".to_owned());
        }
        if read.format != FORMAT {
            return Err(format!("format {} is not known here (known: {FORMAT})", read.format));
        }
        Ok(read)
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("evidence has only plain fields")
    }
}

impl Statement {
    /// SHA-256 of the statement as it is written in a file, without blank space.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a statement has only plain fields"))
    }
}

/// What a node signs to attest a statement about the document in this record.
pub fn to_attest(
    record: &RecordHeader,
    digest: Digest,
    statement: &Statement,
    at: Timestamp,
) -> StatedRecord {
    StatedRecord {
        lineage: record.lineage,
        region: record.platform,
        epoch: record.epoch,
        index: record.index.as_u64(),
        digest,
        statement: statement.digest(),
        at_ms: at.as_millis(),
    }
}

/// A header as it stands in a file.
pub fn header_text(header: &RecordHeader) -> String {
    hex::encode(codec::encode(header))
}

/// Reads a header; its position carries the digest of exactly these bytes.
pub(crate) fn header_of(text: &str) -> Result<(RecordHeader, Position), String> {
    if text.len() > HEADER_LEN_MAX * 2 {
        return Err(format!("a header has more than {HEADER_LEN_MAX} bytes"));
    }
    let bytes = hex::decode(text).map_err(|_| "a header is not hex".to_owned())?;
    let header: RecordHeader = codec::decode_with_limit(&bytes, HEADER_LEN_MAX)
        .map_err(|e| format!("a header cannot be read: {e}"))?;
    if header.schema > SCHEMA_VERSION {
        return Err(format!(
            "a header has format {}, known are formats up to {SCHEMA_VERSION}",
            header.schema
        ));
    }
    // One record has one spelling; another one would be another record with the same words.
    if header_text(&header) != text {
        return Err("a header is not in its one spelling".to_owned());
    }
    let position = Position { epoch: header.epoch, index: header.index, digest: Digest::of(&bytes) };
    Ok((header, position))
}

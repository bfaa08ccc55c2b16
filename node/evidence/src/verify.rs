//! Verifies evidence: digests over the chain, the two signatures, and that the document is the one in the record.

use crate::file::header_of;
use crate::report::{CertificateSeen, Claim, Report, SignedBy, Vouched};
use crate::{CERTIFICATES_MAX, CertificateThen, Content, End, Evidence, LINKS_MAX, Statement, to_attest};
use bytes::Bytes;
use eport_api_types::rfc3339;
use eport_envelope::{Opening, commitment};
use eport_model::{Digest, Effect, JournalIndex, Position, RecordHeader, RecordKind, RequestRef, Timestamp};
use eport_signature::JournalHead;

/// Bytes that somebody says a node signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The signer's certificate, DER.
    pub certificate: &'a [u8],
    /// What is signed.
    pub bytes: &'a [u8],
    /// The signature, DER.
    pub signature: &'a [u8],
    /// When: the certificate is judged as of this instant.
    pub at: Timestamp,
}

/// Whose a certificate is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// A subject's path.
    pub subject: String,
    /// Its serial, lower-case hex.
    pub serial: String,
}

/// Who is trusted. Reasons are for people.
pub trait Judge {
    /// The node of this federation that signed these bytes.
    fn node(&self, signed: &Signed<'_>) -> Result<String, String>;
    /// Whose a certificate is, when an issuer of this federation signed it and it was valid at the instant.
    fn holder(&self, certificate: &[u8], at: Timestamp) -> Result<Holder, String>;
}

/// Verifies the bytes of a file.
pub fn verify_bytes(bytes: &[u8], judge: &dyn Judge) -> Report {
    match Evidence::read(bytes) {
        Ok(evidence) => verify(&evidence, judge),
        Err(detail) => Report::unreadable(detail),
    }
}

/// Verifies evidence.
pub fn verify(evidence: &Evidence, judge: &dyn Judge) -> Report {
    let (statement, mut report) = (&evidence.statement, Report::of(evidence));
    let (header, record) = match header_of(&statement.record) {
        Ok(read) => read,
        Err(detail) => {
            report.problem(None, "record", detail);
            return report.end();
        }
    };
    report.record = Some(record);
    report.time = Some(rfc3339(header.time));
    let at = header.index;
    let attested = attestation(evidence, &header, record.digest, judge).map(|by| report.attested = Some(by));
    report.claim(Claim::Attestation, at, "attestation", attested);
    report.claim(Claim::Record, at, "record", number(statement, &header));
    document(&statement.document, &header, &mut report);
    chain(evidence, header.clone(), record, &mut report);
    head(statement, &header, judge, &mut report);
    if let Some(request) = &header.request {
        report.caller = Some(request.caller.clone());
        report.accepted_at = Some(rfc3339(request.accepted_at));
        certificates(&statement.certificates, request, at, judge, &mut report);
    }
    report.not_proven.push(Claim::DeclarantSignature);
    report.end()
}

/// Bytes have one spelling: lower case.
fn unhex(text: &str, what: &str) -> Result<Vec<u8>, String> {
    let bytes = (!text.bytes().any(|b| b.is_ascii_uppercase())).then(|| hex::decode(text).ok()).flatten();
    bytes.ok_or_else(|| format!("{what} is not hex"))
}

/// The node that made the file vouches for the record and for everything in the statement.
fn attestation(
    evidence: &Evidence,
    header: &RecordHeader,
    digest: Digest,
    judge: &dyn Judge,
) -> Result<SignedBy, String> {
    let attestation = &evidence.attestation;
    let bytes = to_attest(header, digest, &evidence.statement, attestation.at).bytes();
    let (certificate, signature) = (
        unhex(&attestation.certificate, "its certificate")?,
        unhex(&attestation.signature, "its signature")?,
    );
    let signed =
        Signed { certificate: &certificate, bytes: &bytes, signature: &signature, at: attestation.at };
    let by =
        judge.node(&signed).map_err(|why| format!("the attestation of the file does not hold: {why}"))?;
    Ok(SignedBy { by, at: rfc3339(attestation.at) })
}

/// The record is one of this platform that gave a document this number, as this version.
fn number(statement: &Statement, header: &RecordHeader) -> Result<(), String> {
    if header.platform != statement.region {
        return Err(format!("record {} is of platform {}", header.index, header.platform));
    }
    let request = header.request.as_ref().filter(|_| matches!(header.kind, RecordKind::Entry));
    let request = request.ok_or_else(|| format!("record {} takes no document", header.index))?;
    // The version is the last part of the business key, and a separator stands in no number.
    let version = request.id.rsplit_once('|').and_then(|(_, v)| v.parse::<u32>().ok());
    if version != Some(statement.doc_version) {
        return Err(format!("record {} takes another version of a document", header.index));
    }
    let key = Bytes::from(unhex(&statement.row.key, "the key of the row")?);
    let value = Bytes::from(unhex(&statement.row.value, "the value of the row")?);
    if key.strip_prefix(b"d/") != Some(statement.doc_id.as_bytes()) {
        return Err("the row is that of another document".to_owned());
    }
    let written = Effect::Put { key, value }.digest();
    match header.effects.contains(&written) {
        true => Ok(()),
        false => Err(format!("record {} did not write the row of {}", header.index, statement.doc_id)),
    }
}

/// The document against the commitment of its record.
fn document(content: &Content, header: &RecordHeader, report: &mut Report) {
    let named = header.content_commitment();
    let (Some(lodged), Some(named)) = (&content.lodged, named) else {
        let claimed = content.lodged.is_some() || content.erased;
        match claimed {
            // Erased, or a record from before commitments: the node's word is all there is.
            true => report.not_proven.push(Claim::Document),
            false => report.problem(Some(header.index), "document", "the document is missing"),
        }
        return;
    };
    report.claim(Claim::Document, header.index, "document", opened(content, lodged, named));
}

fn opened(content: &Content, lodged: &str, named: Digest) -> Result<(), String> {
    let opening = content.opening.as_ref().ok_or("what opens the record's commitment is missing")?;
    let mut bytes: Opening = [0; 32];
    hex::decode_to_slice(opening, &mut bytes)
        .map_err(|_| "what opens the commitment is not 32 bytes of hex")?;
    let shown = content.shown.as_ref().map(|s| Digest::of(s.as_bytes()));
    match commitment(&bytes, &Digest::of(lodged.as_bytes()), shown.as_ref()) == named {
        true => Ok(()),
        false => Err("the document is not the one that the record took".to_owned()),
    }
}

/// Every record from the document's on follows the one before, up to where the statement ends.
fn chain(evidence: &Evidence, header: RecordHeader, record: Position, report: &mut Report) {
    let through = evidence.statement.through;
    let (mut before, mut last) = (header, record);
    if evidence.chain.len() as u64 > LINKS_MAX {
        report.problem(Some(last.index), "chain", format!("the chain has more than {LINKS_MAX} records"));
        return;
    }
    for text in &evidence.chain {
        match link(text, &before, last) {
            Ok((header, position)) => (before, last) = (header, position),
            Err((kind, detail)) => return report.problem(Some(last.index.next()), kind, detail),
        }
    }
    let ends = match last == through {
        // A chain of nothing proves nothing.
        true if evidence.statement.end == End::Withheld && evidence.chain.is_empty() => {
            return report.not_proven.push(Claim::Chain);
        }
        true => Ok(()),
        false => Err(format!("the chain ends with {last}, it should with {through}")),
    };
    report.claim(Claim::Chain, last.index, "missing", ends);
}

type Fault = (&'static str, String);

fn link(text: &str, before: &RecordHeader, last: Position) -> Result<(RecordHeader, Position), Fault> {
    let (header, position) = header_of(text).map_err(|detail| ("chain", detail))?;
    let index = header.index;
    if index != last.index.next() {
        return Err(("missing", format!("record {index} came where {} was expected", last.index.next())));
    }
    if header.previous != last.digest || header.epoch < last.epoch {
        return Err(("chain", format!("record {index} does not chain to the record before it")));
    }
    if header.time < before.time {
        return Err(("time", format!("record {index} is older than the record before it")));
    }
    let turned = header.lineage != before.lineage && header.parent_lineage() != Some(before.lineage);
    if header.platform != before.platform || turned {
        return Err(("owner", format!("record {index} is of another journal")));
    }
    Ok((header, position))
}

/// The signed head at the end of the chain, or why there is none.
fn head(statement: &Statement, record: &RecordHeader, judge: &dyn Judge, report: &mut Report) {
    let index = statement.through.index;
    match (statement.end, &statement.head) {
        (End::SignedHead, Some(text)) => {
            let held = signed_head(text, statement, record, judge).map(|v| report.signed = Some(v));
            // Without the chain to it a head says nothing about the document.
            let reached = report.proven.contains(&Claim::Chain);
            match held {
                Ok(()) if reached => report.proven.push(Claim::SignedHead),
                Ok(()) => {}
                Err(detail) => report.problem(Some(index), "signature", detail),
            }
        }
        (End::Unsigned | End::Withheld, None) => report.not_proven.push(Claim::SignedHead),
        _ => report.problem(Some(index), "signature", "the signed head is missing, or there should be none"),
    }
}

fn signed_head(
    text: &str,
    statement: &Statement,
    record: &RecordHeader,
    judge: &dyn Judge,
) -> Result<Vouched, String> {
    let (header, position) = header_of(text)?;
    let RecordKind::SignedHead { covers, at, certificate, signature } = &header.kind else {
        return Err(format!("record {} is no signed head", position.index));
    };
    if *covers != statement.through || header.platform != record.platform || position.index <= covers.index {
        return Err(format!("record {} vouches for {covers}, not for {}", position.index, statement.through));
    }
    let head = JournalHead {
        lineage: header.lineage,
        region: header.platform,
        epoch: covers.epoch,
        index: covers.index.as_u64(),
        digest: covers.digest,
        at_ms: at.as_millis(),
    };
    let signed = Signed { certificate, bytes: &head.bytes(), signature, at: *at };
    let by = judge
        .node(&signed)
        .map_err(|why| format!("the signature under record {covers} does not hold: {why}"))?;
    Ok(Vouched { covers: *covers, signed: SignedBy { by, at: rfc3339(*at) } })
}

/// Certificates of whoever handed the document in, as of its acceptance. One that does not hold is no difference: its CA may have been
/// retired since and be missing in the bundle; altered ones do not pass the attestation.
fn certificates(
    stated: &[CertificateThen],
    request: &RequestRef,
    index: JournalIndex,
    judge: &dyn Judge,
    report: &mut Report,
) {
    if stated.len() > CERTIFICATES_MAX {
        let detail = format!("there are more than {CERTIFICATES_MAX} certificates");
        return report.problem(Some(index), "certificate", detail);
    }
    for c in stated {
        let held = certificate(c, request, judge);
        report.certificates.push(CertificateSeen {
            serial: c.serial.clone(),
            holds: held.is_ok(),
            why: held.err(),
            state: c.state.clone(),
            revoked_at: c.revoked_at.clone(),
        });
    }
    // Whether it was revoked by then is the word of the node that made the file: its attestation stands for it.
    let good = |c: &CertificateSeen| c.holds && c.state == "valid";
    let attested = report.proven.contains(&Claim::Attestation);
    match attested && report.certificates.iter().any(good) {
        true => report.proven.push(Claim::Certificate),
        false => report.not_proven.push(Claim::Certificate),
    }
}

fn certificate(c: &CertificateThen, request: &RequestRef, judge: &dyn Judge) -> Result<(), String> {
    let holder = judge.holder(&unhex(&c.certificate, "it")?, request.accepted_at)?;
    if holder.serial != c.serial || holder.subject != request.caller {
        return Err(format!("it is {} of {}", holder.serial, holder.subject));
    }
    Ok(())
}

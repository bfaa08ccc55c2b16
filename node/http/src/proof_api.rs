//! Evidence of one document: its record, the chain from there to the next signed head, and this node's attestation on all of it.
//!
//! Always: whoever may read a document may ask; the chain names what others lodged, so only who may read every document of the platform is
//! given it, for others this node's attestation stands for it; whoever is shown a part, an agency for example, is refused.

use crate::Caller;
use crate::documents_api::read;
use crate::extract::Query;
use crate::problem::ApiError;
use crate::sharing::visible;
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use eport_access::Action;
use eport_api_types::rfc3339;
use eport_evidence::{
    Attestation, CERTIFICATES_MAX, CertificateThen, Content, End, LINKS_MAX, Proof, Row, Statement,
    header_text, to_attest,
};
use eport_model::{JournalIndex, Position, codes};
use eport_platform::{CertificateState, ChainEnd, DocumentRecord, Platform, Scope, Viewer};
use serde::Deserialize;

/// Hex digits of headers in one page.
const PAGE: usize = 2 << 20;
/// Certificates of one subject that are looked at.
const LOOKED_AT_MAX: usize = 1_000;

/// Which document.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProofQuery {
    doc_id: String,
    doc_version: Option<u32>,
    page_token: Option<String>,
    /// Read where requests are forwarded.
    #[serde(rename = "forward")]
    _forward: Option<bool>,
    #[serde(rename = "purpose")]
    _purpose: Option<String>,
}

/// `GET /v1/platforms/{region}/journal/proof`
pub async fn proof(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<ProofQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = api.clone();
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| page(&asked, p, &scope, &query))
        .await
}

fn page(api: &Api, p: &Platform, scope: &Scope, query: &ProofQuery) -> Result<Answer<Proof>, ApiError> {
    if query.doc_id.is_empty() {
        return Err(ApiError::bad("doc_id: the number of a document is needed"));
    }
    let doc_id = p.number(&query.doc_id)?;
    visible(p, scope, &doc_id)?;
    if !p.is_whole(scope, &doc_id, query.doc_version)? {
        return Err(ApiError::forbidden(
            "evidence is of the whole of a document, and only a part of it is shared with the reader",
        ));
    }
    // The chain names what others lodged.
    let all = scope.viewer().is_some_and(Viewer::lists_all);
    let found = p.record_of(&doc_id, query.doc_version)?;
    let found = found.ok_or_else(|| ApiError::not_found(format!("such version of document {doc_id}")))?;
    let record = Position { epoch: found.header.epoch, index: found.header.index, digest: found.digest };
    let mut proof = Proof {
        region: p.region(),
        doc_id,
        doc_version: found.doc_version,
        record,
        end_proven: false,
        statement: None,
        attestation: None,
        chain: Vec::new(),
        next_page_token: None,
    };
    let (after, through) = match &query.page_token {
        Some(token) => place(token, record.index, all)?,
        None => {
            let (statement, attestation) = stated(api, p, all, &proof, found)?;
            let through = statement.through.index;
            proof.end_proven = statement.end == End::SignedHead;
            (proof.statement, proof.attestation) = (Some(statement), Some(attestation));
            (record.index, through)
        }
    };
    proof.chain = p.headers_between(after, through, PAGE, header_text)?;
    let reached = after.as_u64().saturating_add(proof.chain.len() as u64);
    proof.next_page_token = (reached < through.as_u64() && !proof.chain.is_empty())
        .then(|| format!("{reached}-{}", through.as_u64()));
    Ok(Answer(proof))
}

/// Where a page goes on, and where the chain ends: only what the first page could have said.
fn place(token: &str, record: JournalIndex, all: bool) -> Result<(JournalIndex, JournalIndex), ApiError> {
    let number = |text: &str| text.parse().ok().map(JournalIndex::from_u64);
    let read = token.split_once('-').and_then(|(a, t)| Some((number(a)?, number(t)?)));
    let fits = |(after, through): &(JournalIndex, JournalIndex)| {
        *after >= record && after < through && through.since(record) <= LINKS_MAX
    };
    let read = read.filter(fits).filter(|_| all);
    read.ok_or_else(|| ApiError::bad("page_token: it is none of this document's evidence"))
}

/// What this node states about the document, and its attestation.
fn stated(
    api: &Api,
    p: &Platform,
    all: bool,
    proof: &Proof,
    found: DocumentRecord,
) -> Result<(Statement, Attestation), ApiError> {
    let (through, end, head) = match all {
        true => match p.chain_end(proof.record, LINKS_MAX)? {
            ChainEnd::Signed { covers, head } => (covers, End::SignedHead, Some(header_text(&head))),
            ChainEnd::Unsigned(last) => (last, End::Unsigned, None),
            ChainEnd::Far => {
                let detail = format!("more than {LINKS_MAX} records follow record {}", proof.record.index);
                return Err(ApiError::new(codes::PROOF_TOO_LONG, detail));
            }
        },
        false => (proof.record, End::Withheld, None),
    };
    let certificates = certificates(api, p, &found)?;
    let statement = Statement {
        region: proof.region,
        doc_id: proof.doc_id.clone(),
        doc_version: proof.doc_version,
        record: header_text(&found.header),
        row: Row { key: hex::encode(&found.row.0), value: hex::encode(&found.row.1) },
        document: Content {
            lodged: found.lodged,
            shown: found.shown,
            opening: found.opening.map(hex::encode),
            erased: found.erased,
        },
        through,
        end,
        head,
        certificates,
    };
    let at = api.now();
    let bytes = to_attest(&found.header, found.digest, &statement, at).bytes();
    let signed = api.agent.vouch(&bytes);
    let (certificate, signature) = signed.ok_or_else(|| {
        ApiError::new(codes::KEY_UNREADABLE, "this node cannot sign with the key of its certificate")
    })?;
    let attestation =
        Attestation { at, certificate: hex::encode(certificate), signature: hex::encode(signature) };
    Ok((statement, attestation))
}

/// Certificates of whoever handed the document in that were valid then, as the ledger and the registry have them.
fn certificates(api: &Api, p: &Platform, found: &DocumentRecord) -> Result<Vec<CertificateThen>, ApiError> {
    let Some(request) = &found.header.request else { return Ok(Vec::new()) };
    let (at, mut out, mut after, mut seen) = (request.accepted_at, Vec::new(), None::<String>, 0);
    loop {
        let (rows, full) = p.certificates(Some(&request.caller), after.as_deref(), 100)?;
        seen += rows.len();
        after = rows.last().map(|row| row.serial.clone());
        let then = |row: &eport_platform::CertificateRow| {
            row.state != CertificateState::Intent && row.not_before <= at && at <= row.not_after
        };
        for row in rows.iter().filter(|row| then(row)) {
            let revoked = crate::ca::revocation_of(api, row).map(|(revoked_at, _)| revoked_at);
            let state = if revoked.is_some_and(|r| r <= at) { "revoked" } else { "valid" };
            out.push(CertificateThen {
                serial: row.serial.clone(),
                certificate: hex::encode(&row.certificate),
                state: state.to_owned(),
                revoked_at: revoked.map(rfc3339),
            });
            if out.len() == CERTIFICATES_MAX {
                return Ok(out);
            }
        }
        if !full || seen >= LOOKED_AT_MAX || after.is_none() {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_only_where_the_first_one_could_have_led() {
        let record = JournalIndex::from_u64(10);
        let at = |token: &str, all: bool| place(token, record, all).is_ok();
        assert!(at("10-20", true) && at("19-20", true));
        let far = format!("10-{}", 11 + LINKS_MAX);
        for bad in ["", "9-20", "20-20", "21-20", "10", "x-y", "10-20-30", "-1-5", &far] {
            assert!(!at(bad, true), "{bad}");
        }
        assert!(!at("10-20", false), "others' records are for who may read them");
    }
}

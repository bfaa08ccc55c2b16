//! Signed heads of a journal: who vouched for it, judged with the CAs that are trusted here.
//!
//! Always: a certificate is judged as of the instant that it signed, so a journal stays provable after its signers' certificates
//! have ended; only a node vouches for a journal.

use crate::error::Error;
use eport_model::codes::FILE_UNUSABLE;
use eport_model::{RecordHeader, RecordKind, Subject, TrustDomain};
use eport_signature::{JournalHead, signatory};
use eport_store::HeadJudge;
use std::path::Path;

/// Judges signatures with the CAs of a PEM bundle.
pub fn judge_with(bundle: &Path) -> Result<HeadJudge<'static>, Error> {
    let pem = std::fs::read(bundle).map_err(Error::file(bundle))?;
    let issuers = eport_authority::certificates_of_pem(&pem)
        .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", bundle.display())))?;
    Ok(Box::new(move |header| judge(header, &issuers)))
}

fn judge(header: &RecordHeader, issuers: &[Vec<u8>]) -> Result<String, String> {
    let RecordKind::SignedHead { covers, at, certificate, signature } = &header.kind else {
        return Err("it is no signed head".into());
    };
    let facts = eport_authority::facts_of(certificate).map_err(|e| e.to_string())?;
    // The issuer's own name says whether it may speak in this trust domain.
    let domain = domain_of(&facts.uri).ok_or("the certificate names no trust domain")?;
    let at_ms = at.as_millis();
    let who = signatory(certificate, issuers.iter().map(Vec::as_slice), &domain, at_ms)
        .map_err(|e| e.to_string())?;
    if !matches!(who.subject, Subject::Node { .. }) {
        return Err(format!("{} is not a node", who.subject));
    }
    let head = JournalHead {
        lineage: header.lineage,
        region: header.platform,
        epoch: covers.epoch,
        index: covers.index.as_u64(),
        digest: covers.digest,
        at_ms,
    };
    who.verify(&head.bytes(), signature).map_err(|e| e.to_string())?;
    Ok(who.subject.to_string())
}

fn domain_of(uri: &str) -> Option<TrustDomain> {
    uri.strip_prefix("spiffe://")?.split('/').next()?.parse().ok()
}

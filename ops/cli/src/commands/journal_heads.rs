//! Signatures in and about a journal: who vouched for it, judged with the CAs that are trusted here.
//!
//! Always: a certificate is judged as of the instant that it signed, so a journal stays provable after its signers' certificates
//! have ended; only a node vouches for a journal.

use crate::error::Error;
use eport_evidence::{Holder, Judge, Signed};
use eport_model::codes::FILE_UNUSABLE;
use eport_model::{RecordHeader, RecordKind, Subject, Timestamp, TrustDomain};
use eport_signature::{JournalHead, Signatory, signatory};
use eport_store::HeadJudge;
use std::path::Path;

/// The CAs of a bundle.
pub struct Bundle(Vec<Vec<u8>>);

impl Bundle {
    /// Reads a bundle in PEM.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let pem = std::fs::read(file).map_err(Error::file(file))?;
        let issuers = eport_authority::certificates_of_pem(&pem)
            .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", file.display())))?;
        Ok(Self(issuers))
    }

    fn signatory(&self, certificate: &[u8], at: Timestamp) -> Result<Signatory, String> {
        let facts = eport_authority::facts_of(certificate).map_err(|e| e.to_string())?;
        // The issuer's own name says whether it may speak in this trust domain.
        let domain = domain_of(&facts.uri).ok_or("the certificate names no trust domain")?;
        let issuers = self.0.iter().map(Vec::as_slice);
        signatory(certificate, issuers, &domain, at.as_millis()).map_err(|e| e.to_string())
    }
}

impl Judge for Bundle {
    fn node(&self, signed: &Signed<'_>) -> Result<String, String> {
        let who = self.signatory(signed.certificate, signed.at)?;
        if !matches!(who.subject, Subject::Node { .. }) {
            return Err(format!("{} is not a node", who.subject));
        }
        who.verify(signed.bytes, signed.signature).map_err(|e| e.to_string())?;
        Ok(who.subject.to_string())
    }

    fn holder(&self, certificate: &[u8], at: Timestamp) -> Result<Holder, String> {
        let who = self.signatory(certificate, at)?;
        Ok(Holder { subject: who.subject.to_string(), serial: who.serial })
    }
}

/// Judges signed heads with the CAs of a PEM bundle.
pub fn judge_with(bundle: &Path) -> Result<HeadJudge<'static>, Error> {
    let bundle = Bundle::read(bundle)?;
    Ok(Box::new(move |header| judge(header, &bundle)))
}

fn judge(header: &RecordHeader, bundle: &Bundle) -> Result<String, String> {
    let RecordKind::SignedHead { covers, at, certificate, signature } = &header.kind else {
        return Err("it is no signed head".into());
    };
    let head = JournalHead {
        lineage: header.lineage,
        region: header.platform,
        epoch: covers.epoch,
        index: covers.index.as_u64(),
        digest: covers.digest,
        at_ms: at.as_millis(),
    };
    bundle.node(&Signed { certificate, bytes: &head.bytes(), signature, at: *at })
}

fn domain_of(uri: &str) -> Option<TrustDomain> {
    uri.strip_prefix("spiffe://")?.split('/').next()?.parse().ok()
}

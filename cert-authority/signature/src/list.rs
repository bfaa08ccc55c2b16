//! A revocation list that proves itself: signed by the issuing CA that speaks for what it issued.

use crate::Refused;
use crate::certificate::{CERTIFICATE_LEN_MAX, ECDSA_SHA256, key_of};
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// Largest list read: some hundred thousand entries.
pub const LIST_LEN_MAX: usize = 8 << 20;

/// What a list says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationList {
    /// Its number; never falls.
    pub number: u64,
    /// When it was made, seconds since 1970.
    pub this_update: i64,
    /// The certificates, in the list's order.
    pub entries: Vec<ListEntry>,
}

/// One certificate of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEntry {
    /// Serial, lower-case hex without leading zero bytes.
    pub serial: String,
    /// When it was revoked, seconds since 1970.
    pub at: i64,
    /// Why, the word of RFC 5280 with dashes.
    pub reason: &'static str,
}

/// Reads a list that this issuer signed; anything else is refused whole. A part of a list is none: it says too little.
pub fn revocation_list(der: &[u8], issuer: &[u8]) -> Result<RevocationList, Refused> {
    let bad = |reason: &str| Refused::Malformed(format!("the revocation list cannot be used: {reason}"));
    if der.len() > LIST_LEN_MAX || issuer.len() > CERTIFICATE_LEN_MAX {
        return Err(bad("it is larger than any of ours"));
    }
    let Ok(([], issuer)) = X509Certificate::from_der(issuer) else {
        return Err(bad("its issuer is not a certificate"));
    };
    let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
        return Err(bad("it is not an X.509 one"));
    };
    if list.issuer().as_raw() != issuer.subject().as_raw() {
        return Err(bad("another CA issued it"));
    }
    if list.signature_algorithm.algorithm.to_id_string() != ECDSA_SHA256 {
        return Err(bad("it is not signed with ECDSA and SHA-256"));
    }
    let signature =
        Signature::from_der(&list.signature_value.data).map_err(|_| bad("its signature is damaged"))?;
    key_of(&issuer)?.verify(list.tbs_cert_list.as_ref(), &signature).map_err(|_| Refused::Mismatch)?;
    if list.extensions().iter().any(|e| e.critical) {
        return Err(bad("it is a part of a list"));
    }
    let number = list.crl_number().and_then(|n| u64::try_from(n.clone()).ok());
    let entries = list.iter_revoked_certificates().map(|entry| {
        let raw = entry.raw_serial();
        let start = raw.iter().position(|b| *b != 0).unwrap_or(raw.len());
        ListEntry {
            serial: hex::encode(&raw[start..]),
            at: entry.revocation_date.timestamp(),
            reason: word(entry.reason_code().map_or(0, |(_, r)| r.0)),
        }
    });
    let entries: Vec<ListEntry> = entries.filter(|e| !e.serial.is_empty() && e.serial.len() <= 64).collect();
    let number = number.ok_or_else(|| bad("it has no number"))?;
    Ok(RevocationList { number, this_update: list.last_update().timestamp(), entries })
}

fn word(code: u8) -> &'static str {
    match code {
        1 => "key-compromise",
        2 => "ca-compromise",
        3 => "affiliation-changed",
        4 => "superseded",
        5 => "cessation-of-operation",
        9 => "privilege-withdrawn",
        _ => "unspecified",
    }
}

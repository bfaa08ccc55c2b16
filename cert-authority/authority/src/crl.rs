//! Revocation lists: signed from entries, read back only when their issuer signed them.
//!
//! A number is `epoch << 40 | n`: it rises also when the last number of a former epoch was lost. A list that was read is a
//! source of revocations and never a reason to forget one.

use crate::authority::Authority;
use crate::{Error, serial};
use eport_identity::Epoch;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// Largest list that is read: a shard has at most some ten thousand entries of 40 bytes.
const CRL_LEN_MAX: usize = 16 << 20;
/// Bits of a number that count within an epoch.
const NUMBER_BITS: u32 = 40;

/// Why a certificate was revoked, as lists and OCSP say it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Reason {
    /// Not said.
    #[default]
    Unspecified,
    /// The private key may be known to others.
    KeyCompromise,
    /// The CA's key may be.
    CaCompromise,
    /// The subject belongs to another organisation now.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// It is needed no more.
    CessationOfOperation,
    /// A right was taken away.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 7] = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::CaCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::PrivilegeWithdrawn,
    ];

    /// The number of RFC 5280.
    pub const fn code(self) -> u8 {
        match self {
            Reason::Unspecified => 0,
            Reason::KeyCompromise => 1,
            Reason::CaCompromise => 2,
            Reason::AffiliationChanged => 3,
            Reason::Superseded => 4,
            Reason::CessationOfOperation => 5,
            Reason::PrivilegeWithdrawn => 9,
        }
    }

    /// The word of RFC 5280 with dashes.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "key-compromise",
            Reason::CaCompromise => "ca-compromise",
            Reason::AffiliationChanged => "affiliation-changed",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessation-of-operation",
            Reason::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// The reason a text begins with; anything else is `Unspecified`.
    pub fn of_text(text: &str) -> Self {
        let word = text.split([':', ' ', ',']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|r| r.word() == word).unwrap_or_default()
    }

    fn of_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|r| r.code() == code).unwrap_or_default()
    }

    fn rcgen(self) -> Option<RevocationReason> {
        Some(match self {
            Reason::Unspecified => return None,
            Reason::KeyCompromise => RevocationReason::KeyCompromise,
            Reason::CaCompromise => RevocationReason::CaCompromise,
            Reason::AffiliationChanged => RevocationReason::AffiliationChanged,
            Reason::Superseded => RevocationReason::Superseded,
            Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
            Reason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        })
    }
}

/// A number of a list: its epoch above, a count below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct CrlNumber(pub u64);

impl CrlNumber {
    /// The first number of an epoch.
    pub fn first_of(epoch: Epoch) -> Self {
        // Epochs beyond 2^24 need sixteen lineages; the number then stays at the top and still rises by one a list.
        let epoch = epoch.as_u64().min((1 << (64 - NUMBER_BITS)) - 1);
        Self(epoch << NUMBER_BITS)
    }

    /// The next number, in this epoch or a later one.
    pub fn next(self, epoch: Epoch) -> Self {
        Self(self.0.saturating_add(1)).max(Self::first_of(epoch))
    }
}

/// An entry of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrlEntry {
    /// When it was revoked.
    pub at: OffsetDateTime,
    /// Why.
    pub reason: Reason,
}

/// What a list says, by serial in lower-case hex without leading zeros.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CrlContent {
    /// Its number.
    pub number: CrlNumber,
    /// When it was made.
    pub this_update: OffsetDateTime,
    /// When the next one comes at the latest.
    pub next_update: OffsetDateTime,
    /// The revoked serials.
    pub entries: BTreeMap<String, CrlEntry>,
    /// Address under which exactly this part is found, when the list is a shard.
    pub shard: Option<String>,
}

impl Authority {
    /// Signs a list: DER.
    pub fn sign_crl(&self, content: &CrlContent) -> Result<Vec<u8>, Error> {
        let revoked = |(text, entry): (&String, &CrlEntry)| -> Result<RevokedCertParams, Error> {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(serial::bytes(text).ok_or_else(|| Error::Refused {
                    subject: text.clone(),
                    reason: "it is not a serial of 2 to 64 hex digits".into(),
                })?),
                revocation_time: entry.at,
                reason_code: entry.reason.rcgen(),
                invalidity_date: None,
            })
        };
        let issuing_distribution_point = content.shard.as_ref().map(|url| CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![url.clone()] },
            scope: Some(CrlScope::UserCertsOnly),
        });
        let params = CertificateRevocationListParams {
            this_update: content.this_update,
            next_update: content.next_update,
            crl_number: SerialNumber::from(content.number.0),
            issuing_distribution_point,
            revoked_certs: content.entries.iter().map(revoked).collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::PreSpecified(self.key_identifier().to_vec()),
        };
        Ok(params.signed_by(self.issuer())?.der().to_vec())
    }
}

/// A list as it lies in a file, PEM or DER, as DER. Nothing of it is looked at.
pub fn list_of_file(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(bytes);
    }
    let refuse = |reason: &str| Error::Refused { subject: "revocation list".into(), reason: reason.into() };
    let pem = pem::parse(&bytes).map_err(|_| refuse("it is not PEM"))?;
    match pem.tag() {
        "X509 CRL" => Ok(pem.into_contents()),
        other => Err(refuse(&format!("PEM section {other:?} is not a revocation list"))),
    }
}

/// Reads a list that this issuer signed; anything else is refused whole.
pub fn read_crl(der: &[u8], issuer: &[u8]) -> Result<CrlContent, Error> {
    let refuse = |reason: &str| Error::Refused { subject: "revocation list".into(), reason: reason.into() };
    if der.len() > CRL_LEN_MAX {
        return Err(refuse("it is larger than any list of ours"));
    }
    let (_, issuer) =
        X509Certificate::from_der(issuer).map_err(|_| refuse("its issuer is not a certificate"))?;
    let ([], crl) = CertificateRevocationList::from_der(der).map_err(|_| refuse("it is not an X.509 one"))?
    else {
        return Err(refuse("bytes follow it"));
    };
    if crl.issuer().as_raw() != issuer.subject().as_raw() {
        return Err(refuse("another CA issued it"));
    }
    crl.verify_signature(issuer.public_key()).map_err(|_| refuse("its issuer did not sign it"))?;
    let number = crl.crl_number().and_then(|n| u64::try_from(n.clone()).ok());
    let next_update = crl.next_update().ok_or_else(|| refuse("it says no next update"))?.to_datetime();
    let entries = crl.iter_revoked_certificates().map(|entry| {
        let reason = entry.reason_code().map(|(_, r)| Reason::of_code(r.0)).unwrap_or_default();
        (serial::text(entry.raw_serial()), CrlEntry { at: entry.revocation_date.to_datetime(), reason })
    });
    Ok(CrlContent {
        number: CrlNumber(number.ok_or_else(|| refuse("it has no number"))?),
        this_update: crl.last_update().to_datetime(),
        next_update,
        entries: entries.collect(),
        shard: None,
    })
}

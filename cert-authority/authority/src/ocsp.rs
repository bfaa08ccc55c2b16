//! OCSP (RFC 6960, in the lightweight manner of RFC 5019): a request read with bounds, an answer signed by a delegate of the CA, or by
//! the CA itself.
//!
//! Nonces are ignored, so an answer can be given again until it is stale. A certificate that the CA's ledger does not know is
//! `unknown`, never `good`.

use crate::authority::Authority;
use crate::der::{signed, write_generalized_time};
use crate::{Error, KeyStore, Reason, serial};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, DERWriter, Tag};

/// Largest request read.
pub const OCSP_REQUEST_LEN_MAX: usize = 4 << 10;
/// Certificates asked about in one request.
pub const OCSP_ASKED_MAX: usize = 8;
const BASIC: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
const SHA1: [u64; 6] = [1, 3, 14, 3, 2, 26];
const SHA256_OID: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];

/// A certificate asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OcspAsked {
    hash: Hash,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha1,
    Sha256,
}

/// What a CA knows of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OcspStatus {
    /// Issued, and not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// When.
        at: OffsetDateTime,
        /// Why.
        reason: Reason,
    },
    /// Not in the ledger.
    Unknown,
}

/// Answers without content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OcspError {
    /// The request cannot be read.
    Malformed,
    /// The answer cannot be signed now.
    TryLater,
    /// No CA here answers for the certificate.
    Unauthorized,
}

impl OcspError {
    /// The answer, DER.
    pub fn answer(self) -> Vec<u8> {
        let status = match self {
            OcspError::Malformed => 1,
            OcspError::TryLater => 3,
            OcspError::Unauthorized => 6,
        };
        yasna::construct_der(|w| w.write_sequence(|w| w.next().write_enum(status)))
    }
}

impl OcspAsked {
    /// The serial as text.
    pub fn serial(&self) -> String {
        serial::text(&self.serial)
    }

    /// What tells this question from another: extensions and nonces of a request do not.
    pub fn id(&self) -> Vec<u8> {
        yasna::construct_der(|w| self.write(w))
    }

    /// The usual question about a certificate of a CA: by SHA-1, as most clients ask.
    pub fn usual(authority: &Authority, serial: &str) -> Option<Self> {
        let hash = Hash::Sha1;
        Some(Self {
            hash,
            name_hash: hash.of(authority.distinguished_name()),
            key_hash: hash.of(authority.key().public_point()),
            serial: serial::bytes(serial)?,
        })
    }

    /// Whether a CA issued what is asked about.
    pub fn is_of(&self, authority: &Authority) -> bool {
        self.name_hash == self.hash.of(authority.distinguished_name())
            && self.key_hash == self.hash.of(authority.key().public_point())
    }

    fn write(&self, w: DERWriter<'_>) {
        w.write_sequence(|w| {
            w.next().write_sequence(|w| {
                w.next().write_oid(&ObjectIdentifier::from_slice(match self.hash {
                    Hash::Sha1 => &SHA1,
                    Hash::Sha256 => &SHA256_OID,
                }));
                w.next().write_null();
            });
            w.next().write_bytes(&self.name_hash);
            w.next().write_bytes(&self.key_hash);
            w.next().write_bigint_bytes(&self.serial, true);
        });
    }
}

impl Hash {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &SHA256,
        };
        digest(algorithm, bytes).as_ref().to_vec()
    }
}

/// A request about one certificate of a CA (DER), as a client makes it.
pub fn ocsp_request(ca: &[u8], serial: &str) -> Result<Vec<u8>, Error> {
    let refuse = |reason: &str| Error::Refused { subject: "OCSP request".into(), reason: reason.into() };
    let (_, ca) = X509Certificate::from_der(ca).map_err(|_| refuse("its issuer is not a certificate"))?;
    let hash = Hash::Sha1;
    let asked = OcspAsked {
        hash,
        name_hash: hash.of(ca.subject().as_raw()),
        key_hash: hash.of(&ca.public_key().subject_public_key.data),
        serial: serial::bytes(serial).ok_or_else(|| refuse("it is not a serial"))?,
    };
    Ok(yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_sequence(|w| {
                w.next().write_sequence(|w| {
                    w.next().write_sequence(|w| asked.write(w.next()));
                });
            });
        });
    }))
}

/// Reads a request: what it asks about, in its order. Signatures and extensions of requests are not looked at.
pub fn read_ocsp_request(der: &[u8]) -> Result<Vec<OcspAsked>, OcspError> {
    if der.len() > OCSP_REQUEST_LEN_MAX {
        return Err(OcspError::Malformed);
    }
    let asked = yasna::parse_der(der, |r| {
        r.read_sequence(|r| {
            let asked = r.next().read_sequence(|r| {
                r.read_optional(|r| r.read_tagged(Tag::context(0), |r| r.read_u8()))?;
                r.read_optional(|r| r.read_tagged(Tag::context(1), |r| r.read_der()))?;
                let asked = r.next().collect_sequence_of(read_single)?;
                r.read_optional(|r| r.read_tagged(Tag::context(2), |r| r.read_der()))?;
                Ok(asked)
            })?;
            r.read_optional(|r| r.read_tagged(Tag::context(0), |r| r.read_der()))?;
            Ok(asked)
        })
    });
    match asked {
        Ok(asked) if (1..=OCSP_ASKED_MAX).contains(&asked.len()) => Ok(asked),
        _ => Err(OcspError::Malformed),
    }
}

fn read_single(r: BERReader<'_, '_>) -> ASN1Result<OcspAsked> {
    let invalid = || ASN1Error::new(ASN1ErrorKind::Invalid);
    r.read_sequence(|r| {
        let asked = r.next().read_sequence(|r| {
            let oid = r.next().read_sequence(|r| {
                let oid = r.next().read_oid()?;
                r.read_optional(|r| r.read_null())?;
                Ok(oid)
            })?;
            let hash = match oid.components().as_slice() {
                o if o == SHA1 => Hash::Sha1,
                o if o == SHA256_OID => Hash::Sha256,
                _ => return Err(invalid()),
            };
            let (name_hash, key_hash) = (r.next().read_bytes()?, r.next().read_bytes()?);
            let (serial, positive) = r.next().read_bigint_bytes()?;
            if !positive || serial.len() > 32 {
                return Err(invalid());
            }
            Ok(OcspAsked { hash, name_hash, key_hash, serial })
        })?;
        r.read_optional(|r| r.read_tagged(Tag::context(0), |r| r.read_der()))?;
        Ok(asked)
    })
}

impl Authority {
    /// The signed answer by the CA itself, valid from `now` for `life`.
    pub fn ocsp_answer(
        &self,
        answers: &[(OcspAsked, OcspStatus)],
        now: OffsetDateTime,
        life: Duration,
    ) -> Result<Vec<u8>, Error> {
        signed_answer(&**self.key(), None, answers, now, life)
    }
}

/// An answer in the name of the key's owner; `delegate` is its certificate, which comes along.
pub(crate) fn signed_answer(
    key: &dyn KeyStore,
    delegate: Option<&[u8]>,
    answers: &[(OcspAsked, OcspStatus)],
    now: OffsetDateTime,
    life: Duration,
) -> Result<Vec<u8>, Error> {
    let content = yasna::construct_der(|w| {
        w.write_sequence(|w| {
            // The responder by the SHA-1 of its key, as RFC 6960 has it.
            let own = Hash::Sha1.of(key.public_point());
            w.next().write_tagged(Tag::context(2), |w| w.write_bytes(&own));
            write_generalized_time(w.next(), now);
            w.next().write_sequence(|w| {
                for (asked, status) in answers {
                    w.next().write_sequence(|w| {
                        asked.write(w.next());
                        write_status(w.next(), *status);
                        write_generalized_time(w.next(), now);
                        w.next().write_tagged(Tag::context(0), |w| write_generalized_time(w, now + life));
                    });
                }
            });
        });
    });
    // A delegate's certificate comes along.
    let basic = signed(&content, key, |w| {
        if let Some(der) = delegate {
            w.next().write_tagged(Tag::context(0), |w| w.write_sequence(|w| w.next().write_der(der)));
        }
    })?;
    Ok(yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_enum(0);
            w.next().write_tagged(Tag::context(0), |w| {
                w.write_sequence(|w| {
                    w.next().write_oid(&ObjectIdentifier::from_slice(&BASIC));
                    w.next().write_bytes(&basic);
                });
            });
        });
    }))
}

fn write_status(w: DERWriter<'_>, status: OcspStatus) {
    match status {
        OcspStatus::Good => w.write_tagged_implicit(Tag::context(0), |w| w.write_null()),
        OcspStatus::Unknown => w.write_tagged_implicit(Tag::context(2), |w| w.write_null()),
        OcspStatus::Revoked { at, reason } => w.write_tagged_implicit(Tag::context(1), |w| {
            w.write_sequence(|w| {
                write_generalized_time(w.next(), at);
                if reason != Reason::Unspecified {
                    w.next().write_tagged(Tag::context(0), |w| w.write_enum(i64::from(reason.code())));
                }
            });
        }),
    }
}

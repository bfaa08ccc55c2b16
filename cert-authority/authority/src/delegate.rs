//! Delegates of a CA that answer questions about certificates (OCSP) in its place.
//!
//! What always holds: a delegate's key lives in memory and dies with the process or the epoch; its certificate is good for nothing else
//! (no name, one purpose, fourteen days) and no peer takes it as anybody's; before the CA signs it, the ledger can name exactly what
//! will be signed.

use crate::authority::Authority;
use crate::der::{
    authority_key, extension, no_ca, signed, subject_key, whole_second, write_algorithm, write_name,
    write_validity,
};
use crate::ocsp::signed_answer;
use crate::{Error, KeyAlgorithm, KeyStore, OcspAsked, OcspStatus, SoftKey, Validity, serial};
use eport_identity::{CaName, Digest, Epoch};
use time::{Duration, OffsetDateTime};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriterSeq, Tag};

/// Days of a delegate's life.
const DAYS: i64 = 14;
/// id-kp-OCSPSigning.
const OCSP_SIGNING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 9];
/// id-pkix-ocsp-nocheck: nobody asks about the delegate itself.
const NO_CHECK: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

/// A delegate before the CA's signature.
pub struct DelegateTbs {
    /// Serial, lower-case hex.
    pub serial: String,
    /// From when to when.
    pub validity: Validity,
    bytes: Vec<u8>,
    key: SoftKey,
}

impl DelegateTbs {
    /// What a record of the intent names.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// A delegate.
pub struct OcspDelegate {
    key: SoftKey,
    der: Vec<u8>,
    not_after: OffsetDateTime,
}

impl std::fmt::Debug for OcspDelegate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OcspDelegate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl OcspDelegate {
    /// Its certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Last valid instant.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// True once half of its life is over.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.not_after - now < Duration::days(DAYS / 2)
    }

    /// The signed answer, valid from `now` for `life`, never longer than the delegate.
    pub fn answer(
        &self,
        answers: &[(OcspAsked, OcspStatus)],
        now: OffsetDateTime,
        life: Duration,
    ) -> Result<Vec<u8>, Error> {
        let life = life.min(self.not_after - now).max(Duration::ZERO);
        signed_answer(&self.key, Some(&self.der), answers, now, life)
    }
}

impl Authority {
    /// A new key and the certificate that makes it this CA's delegate. Nothing is signed with the CA's key.
    pub fn prepare_delegate(
        &self,
        epoch: Epoch,
        now: OffsetDateTime,
        random: [u8; 12],
    ) -> Result<DelegateTbs, Error> {
        let Some(region) = self.name().region().filter(|_| *self.name() != CaName::Root) else {
            return Err(Error::Refused { subject: "OCSP delegate".into(), reason: "a root has none".into() });
        };
        let validity = Validity::days(whole_second(now), DAYS).within(self.not_after())?;
        let (serial, key) = (serial::of(epoch, random), SoftKey::generate(KeyAlgorithm::P256)?);
        let spki = spki(key.public_point());
        let bytes = yasna::construct_der(|w| {
            w.write_sequence(|w| {
                w.next().write_tagged(Tag::context(0), |w| w.write_u8(2));
                w.next().write_bigint_bytes(&serial, true);
                write_algorithm(w.next(), self.key().algorithm());
                w.next().write_der(self.distinguished_name());
                write_validity(w.next(), &validity);
                w.next().write_sequence(|w| {
                    write_name(w.next(), &[2, 5, 4, 10], self.domain().as_str());
                    write_name(w.next(), &[2, 5, 4, 3], &format!("{region} OCSP"));
                });
                w.next().write_der(&spki);
                w.next().write_tagged(Tag::context(3), |w| w.write_sequence(|w| self.extensions(w, &spki)));
            });
        });
        Ok(DelegateTbs { serial: serial::text(&serial), validity, bytes, key })
    }

    fn extensions(&self, w: &mut DERWriterSeq<'_>, spki: &[u8]) {
        authority_key(w.next(), self.key_identifier());
        extension(w.next(), &[2, 5, 29, 15], true, |w| w.write_bitvec_bytes(&[0x80], 1));
        extension(w.next(), &[2, 5, 29, 37], false, |w| {
            w.write_sequence(|w| w.next().write_oid(&ObjectIdentifier::from_slice(&OCSP_SIGNING)));
        });
        subject_key(w.next(), spki);
        no_ca(w.next());
        extension(w.next(), &NO_CHECK, false, |w| w.write_null());
    }

    /// Signs what was prepared.
    pub fn sign_delegate(&self, tbs: DelegateTbs) -> Result<OcspDelegate, Error> {
        let der = signed(&tbs.bytes, &**self.key(), |_| {})?;
        Ok(OcspDelegate { key: tbs.key, der, not_after: tbs.validity.not_after })
    }
}

/// A P-256 key as SubjectPublicKeyInfo.
fn spki(point: &[u8]) -> Vec<u8> {
    yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_sequence(|w| {
                w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10045, 2, 1]));
                w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10045, 3, 1, 7]));
            });
            w.next().write_bitvec_bytes(point, point.len() * 8);
        });
    })
}

//! DER that several structures share: what is signed and by whom, extensions, names, times. Certificates of every kind and OCSP answers
//! are written with these, so that each is written in one way.

use crate::{Error, KeyAlgorithm, KeyStore, Validity};
use eport_identity::Digest;
use time::{Duration, OffsetDateTime};
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, Tag};

/// A signed structure: content, algorithm, signature, and whatever comes after them without being signed.
pub(crate) fn signed(
    content: &[u8],
    key: &dyn KeyStore,
    after: impl FnOnce(&mut DERWriterSeq<'_>),
) -> Result<Vec<u8>, Error> {
    let signature = key.sign(content)?;
    Ok(yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_der(content);
            write_algorithm(w.next(), key.algorithm());
            w.next().write_bitvec_bytes(&signature, signature.len() * 8);
            after(w);
        });
    }))
}

/// ECDSA with the digest of the curve.
pub(crate) fn write_algorithm(w: DERWriter<'_>, algorithm: KeyAlgorithm) {
    let last = match algorithm {
        KeyAlgorithm::P256 => 2,
        KeyAlgorithm::P384 => 3,
    };
    w.write_sequence(|w| w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10045, 4, 3, last])));
}

/// An extension of a certificate.
pub(crate) fn extension(w: DERWriter<'_>, oid: &[u64], critical: bool, value: impl FnOnce(DERWriter<'_>)) {
    w.write_sequence(|w| {
        w.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            w.next().write_bool(true);
        }
        w.next().write_bytes(&yasna::construct_der(value));
    });
}

/// Whose key signs: the authority key identifier.
pub(crate) fn authority_key(w: DERWriter<'_>, identifier: &[u8]) {
    extension(w, &[2, 5, 29, 35], false, |w| {
        w.write_sequence(|w| {
            w.next().write_tagged_implicit(Tag::context(0), |w| w.write_bytes(identifier));
        });
    });
}

/// Whose certificate it is: the subject key identifier.
pub(crate) fn subject_key(w: DERWriter<'_>, spki: &[u8]) {
    extension(w, &[2, 5, 29, 14], false, |w| w.write_bytes(&key_id(spki)));
}

/// Never a CA.
pub(crate) fn no_ca(w: DERWriter<'_>) {
    extension(w, &[2, 5, 29, 19], true, |w| w.write_sequence(|_| {}));
}

fn key_id(spki: &[u8]) -> Vec<u8> {
    // RFC 7093, method 1: the leftmost 160 bits of the SHA-256 of the key.
    Digest::of(spki).as_bytes()[..20].to_vec()
}

/// One part of a name.
pub(crate) fn write_name(w: DERWriter<'_>, oid: &[u64], value: &str) {
    w.write_set(|w| {
        w.next().write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(oid));
            w.next().write_utf8_string(value);
        });
    });
}

/// From when to when.
pub(crate) fn write_validity(w: DERWriter<'_>, validity: &Validity) {
    w.write_sequence(|w| {
        write_time(w.next(), validity.not_before);
        write_time(w.next(), validity.not_after);
    });
}

/// RFC 5280: UTCTime below 2050, GeneralizedTime from then on.
fn write_time(w: DERWriter<'_>, t: OffsetDateTime) {
    if (1950..2050).contains(&t.year()) {
        w.write_utctime(&UTCTime::from_datetime(whole_second(t)));
    } else {
        write_generalized_time(w, t);
    }
}

/// The form that OCSP has for every time.
pub(crate) fn write_generalized_time(w: DERWriter<'_>, t: OffsetDateTime) {
    w.write_generalized_time(&GeneralizedTime::from_datetime(whole_second(t)));
}

/// Neither certificates nor answers know parts of a second.
pub(crate) fn whole_second(t: OffsetDateTime) -> OffsetDateTime {
    t - Duration::nanoseconds(i64::from(t.nanosecond()))
}

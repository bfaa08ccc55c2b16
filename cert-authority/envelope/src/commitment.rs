//! Commitments to the content of documents: a record says in the clear which content it took, and tells nothing of it.
//!
//! ```text
//! opening      HMAC-SHA256(key from data key 1 and the platform, request id of the record)
//! commitment   HMAC-SHA256(opening, SHA-256 of what was lodged ‖ SHA-256 of what readers are shown, where that differs)
//! ```
//!
//! What always holds: nobody finds two contents for one commitment, also not who chooses the opening; without the opening a commitment
//! confirms no guess; an opening that was given away opens the commitment of its own record and no other. Basis: decision 0049.

use crate::KEY_LEN;
use eport_identity::Digest;
use ring::hmac;

/// Opens the commitment of one record.
pub type Opening = [u8; KEY_LEN];

/// The commitment to a content: the digest of what was lodged, and of what readers are shown where that differs.
pub fn commitment(opening: &Opening, lodged: &Digest, shown: Option<&Digest>) -> Digest {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, opening));
    mac.update(lodged.as_bytes());
    if let Some(shown) = shown {
        mac.update(shown.as_bytes());
    }
    Digest::from_bytes(bytes_of(&mac.sign()))
}

/// The opening for a request id, under the platform's key for openings.
pub(crate) fn opening(key: &hmac::Key, request: &str) -> Opening {
    bytes_of(&hmac::sign(key, request.as_bytes()))
}

/// A tag of HMAC-SHA256 has this length.
fn bytes_of(tag: &hmac::Tag) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    out.copy_from_slice(tag.as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_is_to_one_content_under_one_opening() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let all = [
            commitment(&[1; 32], &a, None),
            commitment(&[1; 32], &b, None),
            commitment(&[1; 32], &a, Some(&a)),
            commitment(&[1; 32], &a, Some(&b)),
            commitment(&[2; 32], &a, None),
        ];
        let different: std::collections::BTreeSet<Digest> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(commitment(&[1; 32], &a, Some(&b)), all[3]);
    }
}

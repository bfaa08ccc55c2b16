//! An issuing CA's key wrapped for the loss of its site: useless alone, opened by a quorum of persons.
//!
//! What always holds: the key that wraps it exists only while it is divided or put together; every share has a commitment, so a
//! damaged one is named with its holder; what comes out is compared with the CA's certificate by whoever uses it. The wrapped
//! key may lie anywhere: it travels with the platform's journal to every node that may take the platform over.

use crate::ceremony::{Custody, Share, ShareOf, new_id};
use crate::{Error, KeyStore, Seal, SoftKey};
use eport_identity::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest wrapped key, as text.
pub const WRAPPED_KEY_LEN_MAX: usize = 32 << 10;
/// Holders of one division.
const HOLDERS_MAX: usize = 64;

/// A wrapped key with what its shares are checked against.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// Who holds shares of the key that wraps it.
    pub custody: Custody,
    /// The CA's private key, sealed; hex.
    pub sealed: String,
}

impl WrappedKey {
    /// Wraps a CA's key under a new random one and divides that. `ca` is the digest of the CA's public key (SPKI).
    pub fn wrap(
        key: &dyn KeyStore,
        ca: Digest,
        threshold: u8,
        holders: &[String],
    ) -> Result<(Self, Vec<Share>), Error> {
        let refuse = |reason: &str| Err(Error::Custody { reason: reason.to_owned() });
        if threshold < 2 {
            return refuse("one person alone must never open a CA's key: threshold 2 or more");
        }
        if usize::from(threshold) > holders.len() || holders.len() > HOLDERS_MAX {
            return refuse("so many holders do not fit the threshold");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if holders.iter().any(|h| h.is_empty() || h.len() > 64 || !h.bytes().all(plain)) {
            return refuse("a holder's name has 1 to 64 letters, digits, - and _");
        }
        if holders.iter().collect::<BTreeSet<_>>().len() != holders.len() {
            return refuse("one person holds one share");
        }
        let seal = Seal::generate();
        let (custody, shares) =
            Custody::divide(&seal, ShareOf::IssuingCa, &new_id(), ca, 1, threshold, holders);
        let sealed = hex::encode(key.wrap(&seal, custody.context().as_bytes())?);
        Ok((Self { custody, sealed }, shares))
    }

    /// Reads the text that `text` made.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = || Error::Custody { reason: "the wrapped key cannot be read".into() };
        if text.len() > WRAPPED_KEY_LEN_MAX {
            return Err(bad());
        }
        let wrapped: Self = serde_json::from_str(text).map_err(|_| bad())?;
        if wrapped.custody.of != ShareOf::IssuingCa {
            return Err(Error::Custody { reason: "it is not the wrapped key of an issuing CA".into() });
        }
        Ok(wrapped)
    }

    /// The text that travels; its digest is what the registry keeps.
    pub fn text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::Custody { reason: e.to_string() })
    }

    /// The CA, by the digest of its public key.
    pub fn ca(&self) -> Digest {
        self.custody.root
    }

    /// Id of the key that wraps it.
    pub fn kek(&self) -> &str {
        &self.custody.ceremony
    }

    /// Opens it with shares. Whether the key belongs to the CA's certificate is for the caller to see, who has it.
    pub fn open(&self, shares: &[Share]) -> Result<SoftKey, Error> {
        let seal = self.custody.recover(shares)?;
        let damaged = |_| Error::Custody { reason: "the wrapped key is damaged".into() };
        SoftKey::unwrap(
            &seal,
            &hex::decode(&self.sealed).map_err(damaged)?,
            self.custody.context().as_bytes(),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::KeyAlgorithm;

    fn holders(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("h{n}")).collect()
    }

    fn wrapped() -> (SoftKey, WrappedKey, Vec<Share>) {
        let key = SoftKey::generate(KeyAlgorithm::P256).unwrap();
        let (wrapped, shares) = WrappedKey::wrap(&key, Digest::of(b"ca"), 2, &holders(3)).unwrap();
        (key, wrapped, shares)
    }

    #[test]
    fn a_wrapped_key_opens_with_a_quorum_of_shares_and_holds_nothing_of_the_key_without() {
        let (key, wrapped, shares) = wrapped();
        let text = wrapped.text().unwrap();
        let read = WrappedKey::parse(&text).unwrap();
        assert_eq!(read, wrapped);
        for two in [[0, 1], [1, 2], [2, 0]] {
            let shares: Vec<Share> = two.iter().map(|n| Share::parse(&shares[*n].text()).unwrap()).collect();
            assert_eq!(read.open(&shares).unwrap().public_point(), key.public_point());
        }
        let one = read.open(&shares[..1]).err().unwrap();
        assert_eq!(one.code(), 4102, "{one}");
        let pem = key.export().unwrap();
        let secret: Vec<&str> = pem.lines().filter(|l| !l.starts_with('-') && l.len() > 20).collect();
        assert!(secret.iter().all(|line| !text.contains(*line)));
    }

    #[test]
    fn a_damaged_share_is_named_and_neither_a_roots_nor_another_keys_share_opens() {
        let (_, key, shares) = wrapped();
        let good = shares[1].text();
        let at = good.find("value ").unwrap() + 20;
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let bad = Share::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
        let error = key.open(&[shares[0].clone(), bad]).err().unwrap().to_string();
        assert!(error.contains("share of h1") && !error.contains("h0"), "{error}");
        let (_, _, others) = wrapped();
        assert!(key.open(&others).err().unwrap().to_string().contains("another"));
        let as_root = good.replace("eport ca share 1", "eport root share 1");
        let root = Share::parse(&as_root).unwrap();
        assert!(key.open(&[shares[0].clone(), root]).err().unwrap().to_string().contains("share of a root"));
    }

    #[test]
    fn one_person_never_opens_alone_and_a_cut_or_altered_text_is_an_error() {
        let key = SoftKey::generate(KeyAlgorithm::P256).unwrap();
        let ca = Digest::of(b"ca");
        let twice = ["a".to_owned(), "a".to_owned()];
        for (threshold, names) in [
            (1, holders(3)),
            (0, holders(3)),
            (4, holders(3)),
            (2, twice.to_vec()),
            (2, vec!["a/b".into(); 2]),
        ] {
            assert!(WrappedKey::wrap(&key, ca, threshold, &names).is_err(), "{threshold} of {names:?}");
        }
        let (_, made, shares) = wrapped();
        let text = made.text().unwrap();
        for cut in 0..text.len() {
            assert!(WrappedKey::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        let mut altered = made.clone();
        altered.custody.root = Digest::of(b"another CA");
        assert!(altered.open(&shares).is_err(), "bound to its CA");
    }
}

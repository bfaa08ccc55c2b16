//! m-of-n shares of the key that seals a root or an issuing CA: divided, committed to, checked one by one, put together.
//!
//! A damaged share silently gives another secret, so each share has a commitment that is published, and the secret a check
//! value: a wrong share is named with its holder before anything is opened.

use crate::{Error, Seal};
use blahaj::{Share as Part, Sharks};
use eport_identity::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Whose key a share belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareOf {
    /// A root, opened in a ceremony.
    #[default]
    Root,
    /// An issuing CA, opened on the node that takes its platform over.
    IssuingCa,
}

impl ShareOf {
    const fn word(self) -> &'static str {
        match self {
            ShareOf::Root => "root",
            ShareOf::IssuingCa => "ca",
        }
    }

    const fn magic(self) -> &'static str {
        match self {
            ShareOf::Root => "eport root share 1",
            ShareOf::IssuingCa => "eport ca share 1",
        }
    }
}

/// Largest share file read.
pub const SHARE_LEN_MAX: usize = 4 << 10;
/// Bytes of a ceremony's id.
const ID_LEN: usize = 16;
/// Bytes of a share: its number and as many as the secret has.
const PART_LEN: usize = 33;

/// What is public of a division: who holds which share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custody {
    /// Whose key.
    #[serde(default)]
    pub of: ShareOf,
    /// Id of the ceremony, or of the key that wraps an issuing CA's; hex.
    pub ceremony: String,
    /// SHA-256 of the root's or the CA's public key.
    pub root: Digest,
    /// Rises with every new division; shares of an older one open nothing.
    pub generation: u32,
    /// So many shares open.
    pub threshold: u8,
    /// Commitments by holder.
    pub holders: BTreeMap<String, Digest>,
    /// Check value of the sealing key.
    pub check: Digest,
}

/// One holder's share.
#[derive(Clone)]
pub struct Share {
    of: ShareOf,
    holder: String,
    ceremony: String,
    generation: u32,
    part: Zeroizing<Vec<u8>>,
}

impl Custody {
    /// Divides a sealing key.
    pub(crate) fn divide(
        seal: &Seal,
        of: ShareOf,
        ceremony: &str,
        root: Digest,
        generation: u32,
        threshold: u8,
        holders: &[String],
    ) -> (Self, Vec<Share>) {
        let dealer = Sharks(threshold).dealer(seal.bytes());
        let share = |(holder, part): (&String, Part)| Share {
            of,
            holder: holder.clone(),
            ceremony: ceremony.to_owned(),
            generation,
            part: Zeroizing::new(Vec::from(&part)),
        };
        let shares: Vec<Share> = holders.iter().zip(dealer).map(share).collect();
        let mut custody = Self {
            of,
            ceremony: ceremony.to_owned(),
            root,
            generation,
            threshold,
            holders: shares.iter().map(|s| (s.holder.clone(), s.commitment())).collect(),
            check: root,
        };
        custody.check = seal.check(custody.context().as_bytes());
        (custody, shares)
    }

    /// What binds a sealed root to this division.
    pub(crate) fn context(&self) -> String {
        format!("eport {} 1/{}/{}/{}", self.of.word(), self.ceremony, self.root, self.generation)
    }

    /// Puts the sealing key together. Every share is compared with its commitment first.
    pub(crate) fn recover(&self, shares: &[Share]) -> Result<Seal, Error> {
        let mut good: BTreeMap<&str, &Share> = BTreeMap::new();
        let mut faults = Vec::new();
        for share in shares {
            match self.fault(share) {
                Some(fault) => faults.push(format!("share of {}: {fault}", share.holder)),
                None => drop(good.insert(&share.holder, share)),
            }
        }
        if !faults.is_empty() {
            return Err(Error::Shares { reason: faults.join("; ") });
        }
        if good.len() < usize::from(self.threshold) {
            let have: Vec<&str> = good.keys().copied().collect();
            let reason =
                format!("{} shares are needed, {} are here: {}", self.threshold, have.len(), have.join(", "));
            return Err(Error::Shares { reason });
        }
        let broken = |_| Error::Shares { reason: "the shares do not fit together".into() };
        let parts: Vec<Part> = good
            .values()
            .map(|s| Part::try_from(s.part.as_slice()))
            .collect::<Result<_, _>>()
            .map_err(broken)?;
        let secret = Zeroizing::new(Sharks(self.threshold).recover(&parts).map_err(broken)?);
        let seal = Seal::from_bytes(&secret)?;
        if seal.check(self.context().as_bytes()) != self.check {
            let reason = "the shares give another key than the one that was divided".into();
            return Err(Error::Shares { reason });
        }
        Ok(seal)
    }

    fn fault(&self, share: &Share) -> Option<String> {
        if share.of != self.of {
            return Some(format!("it is a share of a {}", share.of.word()));
        }
        if share.ceremony != self.ceremony {
            return Some("it belongs to another ceremony".into());
        }
        if share.generation != self.generation {
            return Some(format!("it is of division {}, in force is {}", share.generation, self.generation));
        }
        match self.holders.get(&share.holder) {
            None => Some("nobody of this name holds one".into()),
            Some(commitment) if *commitment != share.commitment() => {
                Some("it is damaged: it does not match its commitment".into())
            }
            Some(_) => None,
        }
    }
}

impl Share {
    /// Who holds it.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Id of the ceremony, or of the wrapping key, that it belongs to.
    pub fn ceremony(&self) -> &str {
        &self.ceremony
    }

    fn commitment(&self) -> Digest {
        let head = format!("eport share 1/{}/{}/{}/", self.ceremony, self.generation, self.holder);
        Digest::of(&Zeroizing::new([head.as_bytes(), &self.part].concat()))
    }

    /// The file a holder takes along.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{}\nceremony {}\ndivision {}\nholder {}\nvalue {}\n",
            self.of.magic(),
            self.ceremony,
            self.generation,
            self.holder,
            hex::encode(&self.part)
        ))
    }

    /// Reads a holder's file. Whether the value is right is found by [`Custody`], which knows the commitment.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Shares { reason: format!("a share file cannot be read: {reason}") };
        if text.len() > SHARE_LEN_MAX {
            return Err(bad("it is too long"));
        }
        let mut lines = text.lines();
        let first = lines.next();
        let kinds = [ShareOf::Root, ShareOf::IssuingCa];
        let of = kinds.into_iter().find(|of| first == Some(of.magic()));
        let of = of.ok_or_else(|| bad("its first line is not that of a share"))?;
        let mut field = |name: &str| {
            let line = lines.next().and_then(|l| l.strip_prefix(name)).and_then(|l| l.strip_prefix(' '));
            line.ok_or_else(|| bad(&format!("the line {name} is missing")))
        };
        let ceremony = field("ceremony")?.to_owned();
        let generation = field("division")?.parse().map_err(|_| bad("the division is no number"))?;
        let holder = field("holder")?.to_owned();
        let part = hex::decode(field("value")?).map_err(|_| bad("the value is not hex"))?;
        if ceremony.len() != 2 * ID_LEN || part.len() != PART_LEN {
            return Err(bad("a value has another length"));
        }
        Ok(Self { of, holder, ceremony, generation, part: Zeroizing::new(part) })
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "share of {}", self.holder)
    }
}

/// A new ceremony's id.
pub(crate) fn new_id() -> String {
    hex::encode(rand::random::<[u8; ID_LEN]>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn divided(threshold: u8, total: usize) -> (Seal, Custody, Vec<Share>) {
        let seal = Seal::generate();
        let holders: Vec<String> = (0..total).map(|n| format!("h{n}")).collect();
        let (custody, shares) =
            Custody::divide(&seal, ShareOf::Root, &new_id(), Digest::of(b"root"), 1, threshold, &holders);
        (seal, custody, shares)
    }

    #[test]
    fn any_threshold_of_shares_opens_and_one_fewer_does_not() {
        let (seal, custody, shares) = divided(3, 5);
        for skip in 0..5 {
            let three: Vec<Share> =
                shares.iter().cycle().skip(skip).take(3).map(|s| Share::parse(&s.text()).unwrap()).collect();
            assert_eq!(custody.recover(&three).unwrap().bytes(), seal.bytes());
            let error = custody.recover(&three[..2]).err().unwrap().to_string();
            assert!(error.contains("3 shares are needed, 2 are here"), "{error}");
            let twice = [three[0].clone(), three[0].clone(), three[1].clone()];
            assert!(custody.recover(&twice).is_err(), "one share given twice counted as two");
        }
    }

    #[test]
    fn a_damaged_share_is_named_with_its_holder_and_gives_no_key() {
        let (_, custody, shares) = divided(3, 5);
        let good = shares[1].text();
        let at = good.find("value ").unwrap() + 20;
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let bad = Share::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
        let error = custody.recover(&[shares[0].clone(), bad, shares[2].clone()]).err().unwrap().to_string();
        assert!(error.contains("share of h1: it is damaged") && !error.contains("h0"), "{error}");
        let (_, _, strange) = divided(3, 5);
        let error = custody.recover(&strange).err().unwrap().to_string();
        assert!(error.contains("another ceremony"), "{error}");
    }

    #[test]
    fn the_check_value_shows_a_wrong_key_even_when_the_commitments_fit() {
        let (_, mut custody, shares) = divided(2, 3);
        custody.check = Digest::of(b"another");
        assert!(custody.recover(&shares).err().unwrap().to_string().contains("another key"));
    }

    #[test]
    fn a_cut_or_foreign_share_file_is_an_error_and_never_a_panic() {
        let text = divided(2, 3).2[0].text();
        for cut in 0..text.len() - 1 {
            assert!(Share::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Share::parse(&"x".repeat(SHARE_LEN_MAX + 1)).is_err());
    }
}

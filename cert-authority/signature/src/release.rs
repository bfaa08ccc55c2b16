//! What a release consists of, signed by who made it: names of programs with their digests.
//!
//! One spelling, lines ending in a line feed: `eport release 1`, `version V`, `key POINT`, `file NAME SHA256` by name, `signature DER`; the
//! signature covers every line above it. Whoever installs pins the key by its digest, out of band.

use crate::Refused;
use eport_identity::Digest;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use std::collections::BTreeMap;

/// Longest list that is read.
pub const RELEASE_LEN_MAX: usize = 64 << 10;
const FIRST_LINE: &str = "eport release 1";

/// The programs of a release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// The public key that signs it: an uncompressed point on P-256.
    pub key: Vec<u8>,
    /// SHA-256 of each file, by name.
    pub files: BTreeMap<String, Digest>,
}

/// A word of a line: no blank, no control character, at most 64 bytes.
fn plain(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic())
}

impl Release {
    /// What is signed.
    pub fn content(&self) -> String {
        let mut out = format!("{FIRST_LINE}\nversion {}\nkey {}\n", self.version, hex::encode(&self.key));
        self.files.iter().for_each(|(name, digest)| out.push_str(&format!("file {name} {digest}\n")));
        out
    }

    /// The whole text, with the signature of the content, DER.
    pub fn text(&self, signature: &[u8]) -> String {
        format!("{}signature {}\n", self.content(), hex::encode(signature))
    }

    /// By what the key is pinned.
    pub fn pin(&self) -> Digest {
        Digest::of(&self.key)
    }

    /// Reads a list that the pinned key has signed; anything else is refused whole.
    pub fn read(text: &str, pinned: Digest) -> Result<Self, Refused> {
        let bad = |why: &str| Refused::Malformed(format!("the list of the release cannot be used: {why}"));
        if text.len() > RELEASE_LEN_MAX {
            return Err(bad("it is too long"));
        }
        let (content, signature) = text.rsplit_once("signature ").ok_or_else(|| bad("it is not signed"))?;
        let signature = signature.strip_suffix('\n').and_then(|s| hex::decode(s).ok());
        let signature = signature.ok_or_else(|| bad("its signature is not hex"))?;
        let read = Self::of_content(content).ok_or_else(|| bad("it is not in its one spelling"))?;
        if read.pin() != pinned {
            return Err(Refused::Unfit("another key signed the release than the one that is pinned".into()));
        }
        let key = VerifyingKey::from_sec1_bytes(&read.key).map_err(|_| bad("its key is not on P-256"))?;
        let signature = Signature::from_der(&signature).map_err(|_| bad("its signature is damaged"))?;
        key.verify(content.as_bytes(), &signature).map_err(|_| Refused::Mismatch)?;
        Ok(read)
    }

    fn of_content(content: &str) -> Option<Self> {
        let mut lines = content.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let version = lines.next()?.strip_prefix("version ").filter(|v| plain(v))?.to_owned();
        let key = hex::decode(lines.next()?.strip_prefix("key ")?).ok()?;
        let file = |line: &str| {
            let (name, digest) = line.strip_prefix("file ")?.split_once(' ')?;
            plain(name).then_some((name.to_owned(), digest.parse().ok()?))
        };
        let files = lines.map(file).collect::<Option<BTreeMap<_, _>>>()?;
        let read = Self { version, key, files };
        (read.content() == content && !read.files.is_empty()).then_some(read)
    }

    /// Whether a file of this name has this content.
    pub fn holds(&self, name: &str, digest: Digest) -> Result<(), Refused> {
        match self.files.get(name) {
            Some(known) if *known == digest => Ok(()),
            Some(_) => Err(Refused::Unfit(format!("{name} is not what release {} has", self.version))),
            None => Err(Refused::Unfit(format!("release {} has no {name}", self.version))),
        }
    }
}

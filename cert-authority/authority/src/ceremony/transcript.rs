//! The transcript of a ceremony: one JSON line a step, each naming the digest of the one before; sealed by the root's own key
//! and signed by witnesses.
//!
//! A line's digest covers everything in it but the digest. A seal covers every line before it, a witness's signature too.
//! Nothing secret stands here.

use crate::{CommandKey, Error, KeyStore};
use eport_identity::Digest;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Largest transcript read: a century of openings.
pub const TRANSCRIPT_LEN_MAX: usize = 8 << 20;
const SEAL: &str = "seal";
const WITNESS: &str = "witness";
/// Prefix of a fact that names a public file of the ceremony and its digest.
pub(crate) const FILE: &str = "file:";

/// A step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Counts from 1.
    pub seq: u64,
    /// When, as the machine of the ceremony has it.
    pub at: String,
    /// What was done.
    pub action: String,
    /// What it was done to, and what came of it.
    pub facts: BTreeMap<String, String>,
    /// Digest of the line before; of nothing for the first.
    pub previous: Digest,
    /// Digest of this line.
    pub digest: Digest,
}

/// A transcript that is being written or was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transcript {
    lines: Vec<Line>,
}

/// What a verified transcript shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Lines.
    pub lines: usize,
    /// Digest of the last one.
    pub head: Digest,
    /// Seals of the root.
    pub seals: usize,
    /// Keys (SHA-256 of the SPKI) of witnesses whose signature stands behind the last seal, with their names.
    pub witnesses: BTreeMap<Digest, String>,
    /// Newest digest of each public file.
    pub files: BTreeMap<String, Digest>,
}

fn digest_of(line: &Line) -> Digest {
    let content = (&line.seq, &line.at, &line.action, &line.facts, &line.previous);
    Digest::of(&serde_json::to_vec(&content).expect("text and numbers always serialize"))
}

fn message(kind: &str, head: &Digest) -> Vec<u8> {
    format!("eport ceremony {kind} 1/{head}").into_bytes()
}

impl Transcript {
    /// Reads a transcript; whether it proves anything is [`Transcript::verify`]'s word.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > TRANSCRIPT_LEN_MAX {
            return Err(differs("it is longer than any transcript of ours"));
        }
        let line = |(n, l): (usize, &str)| {
            serde_json::from_str(l).map_err(|_| differs(&format!("line {} cannot be read", n + 1)))
        };
        Ok(Self { lines: text.lines().enumerate().map(line).collect::<Result<_, _>>()? })
    }

    /// The file.
    pub fn text(&self) -> String {
        let line = |l: &Line| serde_json::to_string(l).expect("text and numbers always serialize") + "\n";
        self.lines.iter().map(line).collect()
    }

    /// The steps.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Digest of the last line.
    pub fn head(&self) -> Digest {
        self.lines.last().map_or_else(|| Digest::of(b""), |l| l.digest)
    }

    /// Adds a step.
    pub(crate) fn add<K: Into<String>, V: Into<String>>(
        &mut self,
        now: OffsetDateTime,
        action: &str,
        facts: impl IntoIterator<Item = (K, V)>,
    ) {
        let mut line = Line {
            seq: self.lines.len() as u64 + 1,
            at: now.format(&Rfc3339).unwrap_or_default(),
            action: action.to_owned(),
            facts: facts.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            previous: self.head(),
            digest: Digest::of(b""),
        };
        line.digest = digest_of(&line);
        self.lines.push(line);
    }

    /// The root's seal over everything so far.
    pub(crate) fn seal(&mut self, now: OffsetDateTime, root: &dyn KeyStore) -> Result<(), Error> {
        let signature = root.sign(&message(SEAL, &self.head()))?;
        self.add(now, SEAL, [("signature", hex::encode(signature))]);
        Ok(())
    }

    /// A witness signs what stands here, with the key of this certificate.
    pub fn sign(&mut self, now: OffsetDateTime, certificate: &[u8], key: &CommandKey) -> Result<(), Error> {
        let signature = key.sign(&message(WITNESS, &self.head()))?;
        self.add(
            now,
            WITNESS,
            [("certificate", hex::encode(certificate)), ("signature", hex::encode(signature))],
        );
        // A key that does not belong to the certificate would spoil the file for ever.
        let line = self.lines.last().expect("a line was just added");
        if let Err(error) = witness(line) {
            self.lines.pop();
            return Err(error);
        }
        Ok(())
    }

    /// Proves that nothing is missing, added or altered, and that the root with this certificate sealed the last step.
    pub fn verify(&self, root: &[u8]) -> Result<Verified, Error> {
        let (_, certificate) =
            X509Certificate::from_der(root).map_err(|_| differs("the root cannot be read"))?;
        let mut shown = Verified {
            lines: self.lines.len(),
            head: self.head(),
            seals: 0,
            witnesses: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let (mut previous, mut sealed) = (Digest::of(b""), false);
        for (n, line) in self.lines.iter().enumerate() {
            let at = |reason: &str| differs(&format!("line {}: {reason}", n + 1));
            if line.seq != n as u64 + 1 || line.previous != previous {
                return Err(at("it does not follow the one before it"));
            }
            if line.digest != digest_of(line) {
                return Err(at("it was altered"));
            }
            previous = line.digest;
            match line.action.as_str() {
                SEAL => {
                    let signature = fact(line, "signature").and_then(|s| hex::decode(s).ok());
                    let signature = signature.ok_or_else(|| at("the seal cannot be read"))?;
                    verify_by(&certificate, &message(SEAL, &line.previous), &signature)
                        .map_err(|()| at("the root did not seal this"))?;
                    shown.seals += 1;
                    shown.witnesses.clear();
                    sealed = true;
                }
                WITNESS => {
                    let (key, name) = witness(line).map_err(|_| at("the witness did not sign this"))?;
                    shown.witnesses.insert(key, name);
                }
                _ => sealed = false,
            }
            for (name, digest) in line.facts.iter().filter_map(|(k, v)| Some((k.strip_prefix(FILE)?, v))) {
                let digest = digest.parse().map_err(|_| at("the digest of a file cannot be read"))?;
                shown.files.insert(name.to_owned(), digest);
            }
        }
        match sealed {
            true => Ok(shown),
            false => Err(differs("the last steps are not sealed by the root")),
        }
    }
}

fn differs(reason: &str) -> Error {
    Error::Transcript { reason: reason.to_owned() }
}

fn fact<'a>(line: &'a Line, name: &str) -> Option<&'a str> {
    line.facts.get(name).map(String::as_str)
}

/// Key and name of the witness, when the signature is right.
fn witness(line: &Line) -> Result<(Digest, String), Error> {
    let field =
        |name| fact(line, name).and_then(|v| hex::decode(v).ok()).ok_or_else(|| differs("unreadable"));
    let (certificate, signature) = (field("certificate")?, field("signature")?);
    let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| differs("unreadable"))?;
    verify_by(&parsed, &message(WITNESS, &line.previous), &signature)
        .map_err(|()| differs("the key does not belong to the certificate"))?;
    let name = parsed.subject().iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default();
    Ok((Digest::of(parsed.public_key().raw), name.to_owned()))
}

fn verify_by(certificate: &X509Certificate<'_>, message: &[u8], signature: &[u8]) -> Result<(), ()> {
    let point = &certificate.public_key().subject_public_key.data;
    // The length of an uncompressed point tells the curve: 65 bytes on P-256, 97 on P-384.
    let algorithm: &dyn VerificationAlgorithm = match point.len() {
        65 => &ECDSA_P256_SHA256_ASN1,
        97 => &ECDSA_P384_SHA384_ASN1,
        _ => return Err(()),
    };
    UnparsedPublicKey::new(algorithm, point).verify(message, signature).map_err(|_| ())
}

//! A ceremony's folder: written in an order that shows a ceremony cut short, read with bounds, proven against its transcript.

use super::{NEW_BY_OLD, OLD_BY_NEW, Pieces, Product, Record, SealedRoot, Transcript, Verified};
use crate::authority::first_certificate;
use crate::{CommandKey, Error, files, read_crl};
use eport_identity::Digest;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Largest public file read.
const FILE_LEN_MAX: u64 = 16 << 20;
const TRANSCRIPT: &str = "transcript.jsonl";

/// A folder of a ceremony.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What a folder proves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Proof {
    /// SHA-256 of the root's public key; compare it with what is known from elsewhere.
    pub root: Digest,
    /// Lines of the transcript.
    pub lines: usize,
    /// Its last line.
    pub head: Digest,
    /// Seals of the root in it: one a ceremony.
    pub ceremonies: usize,
    /// Witnesses who signed the last ceremony.
    pub witnesses: Vec<String>,
    /// Everything that differs; empty when all is proven.
    pub problems: Vec<String>,
}

impl Folder {
    /// The folder at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether a finished ceremony stands here.
    pub fn is_finished(&self) -> bool {
        self.0.join(TRANSCRIPT).exists()
    }

    /// Writes what a ceremony made. A private key that stands here already is never overwritten.
    pub fn write(&self, product: &Product) -> Result<(), Error> {
        for file in product.files.iter().filter(|f| f.secret) {
            let path = self.0.join(&file.path);
            if path.exists() {
                let reason = "a secret of an earlier ceremony stands here: take it away first".into();
                return Err(Error::Unusable { path, reason });
            }
        }
        for file in &product.files {
            files::write_bytes(&self.0.join(&file.path), &file.bytes, file.secret)?;
        }
        Ok(())
    }

    /// Reads what an opening needs.
    pub fn record(&self) -> Result<Record, Error> {
        let text = |name: &str| {
            String::from_utf8(self.read(name)?).map_err(|_| self.unusable(name, "it is not text"))
        };
        let sealed: SealedRoot = serde_json::from_slice(&self.read("root.sealed")?)
            .map_err(|_| self.unusable("root.sealed", "it is no sealed root"))?;
        Ok(Record {
            root_pem: text("root.crt")?,
            crl: self.read("root.crl")?,
            sealed,
            bundle: text("bundle.pem")?,
            transcript: Transcript::parse(&text(TRANSCRIPT)?)?,
        })
    }

    /// What a rotation brings in, from a folder that is proven first.
    pub fn pieces(&self) -> Result<Pieces, Error> {
        let proof = self.verify(None)?;
        if let Some(problem) = proof.problems.first() {
            return Err(Error::Transcript { reason: problem.clone() });
        }
        let certificate = |name: &str| {
            let text =
                String::from_utf8(self.read(name)?).map_err(|_| self.unusable(name, "it is not text"))?;
            first_certificate(&text).map_err(|r| self.unusable(name, &r))
        };
        let root = certificate("root.crt")?;
        let transcript = self.record()?.transcript;
        let signed = transcript.verify(&root)?.files;
        let issuing = signed.keys().filter(|name| name.starts_with("issuing/"));
        let list = self.read("root.crl")?;
        Ok(Pieces {
            list_ends: read_crl(&list, &root)?.next_update,
            new_by_old: certificate(NEW_BY_OLD)?,
            old_by_new: certificate(OLD_BY_NEW)?,
            issuing: issuing.map(|name| certificate(name)).collect::<Result<_, _>>()?,
            root,
            list,
        })
    }

    /// A witness signs the transcript. Everything is proven before.
    pub fn sign(&self, certificate_pem: &str, key: &CommandKey, now: OffsetDateTime) -> Result<Proof, Error> {
        let proof = self.verify(None)?;
        if let Some(problem) = proof.problems.iter().find(|p| !p.starts_with(LACKING)) {
            return Err(Error::Transcript { reason: problem.clone() });
        }
        let mut transcript = self.record()?.transcript;
        let certificate =
            first_certificate(certificate_pem).map_err(|reason| Error::Transcript { reason })?;
        transcript.sign(now, &certificate, key)?;
        files::write_bytes(&self.0.join(TRANSCRIPT), transcript.text().as_bytes(), false)?;
        self.verify(None)
    }

    /// Proves the folder: transcript, seals, witnesses, files, revocation list. `root` is the fingerprint known from elsewhere.
    pub fn verify(&self, root: Option<Digest>) -> Result<Proof, Error> {
        let pem =
            String::from_utf8(self.read("root.crt")?).map_err(|_| self.unusable("root.crt", "not text"))?;
        let der = first_certificate(&pem).map_err(|r| self.unusable("root.crt", &r))?;
        let (_, cert) =
            X509Certificate::from_der(&der).map_err(|_| self.unusable("root.crt", "no certificate"))?;
        let text =
            String::from_utf8(self.read(TRANSCRIPT)?).map_err(|_| self.unusable(TRANSCRIPT, "not text"))?;
        let spki = Digest::of(cert.public_key().raw);
        let mut problems = Vec::new();
        if root.is_some_and(|known| known != spki) {
            problems.push(format!("the root's key is {spki}, another one was expected"));
        }
        let transcript = Transcript::parse(&text);
        let shown = transcript.as_ref().map_err(ToString::to_string);
        let shown = shown.and_then(|t| t.verify(&der).map_err(|e| e.to_string()));
        let shown = shown.map_err(|problem| problems.push(problem)).ok();
        if let (Some(shown), Ok(transcript)) = (&shown, &transcript) {
            self.compare(shown, &mut problems);
            problems.extend(lacking(transcript, shown));
        }
        if let Err(error) = self.read("root.crl").and_then(|crl| read_crl(&crl, &der)) {
            problems.push(format!("root.crl: {error}"));
        }
        let shown = shown.as_ref();
        Ok(Proof {
            root: spki,
            lines: shown.map_or(0, |s| s.lines),
            head: shown.map_or_else(|| Digest::of(b""), |s| s.head),
            ceremonies: shown.map_or(0, |s| s.seals),
            witnesses: shown.map(|s| s.witnesses.values().cloned().collect()).unwrap_or_default(),
            problems,
        })
    }

    /// Every public file is what the transcript says.
    fn compare(&self, shown: &Verified, problems: &mut Vec<String>) {
        for (name, digest) in &shown.files {
            let plain = name.split('/').all(|part| !part.is_empty() && part != ".." && part != ".");
            if !plain {
                problems.push(format!("{name:?} is no name of a file of a ceremony"));
                continue;
            }
            match self.read(name) {
                Ok(bytes) if Digest::of(&bytes) == *digest => {}
                Ok(_) => problems.push(format!("{name} is not what the transcript says")),
                Err(error) => problems.push(format!("{name}: {error}")),
            }
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.0.join(name);
        let fail = |source| Error::File { action: "reading", path: path.clone(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).map_err(fail)?;
        file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > FILE_LEN_MAX {
            return Err(self.unusable(name, "it is larger than any file of a ceremony"));
        }
        Ok(bytes)
    }

    fn unusable(&self, name: &str, reason: &str) -> Error {
        Error::Unusable { path: self.0.join(name), reason: reason.to_owned() }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

const LACKING: &str = "no signature of the witness";

/// Witnesses that the last ceremony named and whose signature is not there.
fn lacking(transcript: &Transcript, shown: &Verified) -> Vec<String> {
    let close = transcript.lines().iter().rev().find(|l| l.action == "close");
    let named = close.and_then(|l| l.facts.get("witnesses")).map(String::as_str).unwrap_or_default();
    let missing = named.split(", ").filter(|w| !w.is_empty()).filter(|w| {
        let key = w.rsplit_once(' ').and_then(|(_, key)| key.parse().ok());
        key.is_none_or(|key: Digest| !shown.witnesses.contains_key(&key))
    });
    missing.map(|w| format!("{LACKING} {w}")).collect()
}

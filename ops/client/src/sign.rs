//! The operator's signature under a command: the header that `eport` sends with everything that changes the federation.
//!
//! The statement is made from what the operator asked for, never from what a node says was asked; a node that changes a
//! command on the way breaks the signature. The key stays in `authority`'s type.

use crate::tls::{Files, certificates, domain_of_der, leaf_of, subject_of};
use crate::{Client, Error};
use eport_authority::CommandKey;
use eport_identity::Lineage;
use eport_model::{Code, codes};
use eport_signature::{Envelope, Header, Statement, signatory};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who signs, and with which key.
#[derive(Debug)]
pub struct Signer {
    by: String,
    key: CommandKey,
    cert: std::path::PathBuf,
}

/// A signature that is kept beside what was signed: with the certificate, so that it can be checked later and elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// Path of the subject that signed.
    pub by: String,
    /// The federation's history.
    pub lineage: Lineage,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Drawn by the signer, 32 hex digits.
    pub id: String,
    /// Its certificate, DER, in hex.
    pub certificate: String,
    /// The signature over the statement, DER, in hex.
    pub signature: String,
}

/// A signature that travels with its certificate: for files that are judged where no connection proves who signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Detached {
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    /// When it was made, milliseconds since 1970.
    pub at_ms: i64,
    /// The signature, DER.
    pub signature: Vec<u8>,
}

impl Signer {
    /// The signer of an operator's files.
    pub fn from_files(files: &Files) -> Result<Self, Error> {
        let key = CommandKey::load(&files.key)
            .map_err(|e| Error::Setup { detail: e.to_string(), code: Code(e.code()) })?;
        Ok(Self { by: subject_of(&files.cert)?, key, cert: files.cert.clone() })
    }

    /// Path of the subject that signs, for example `operator/admin`.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Signs a statement for a file, now.
    pub fn detached(&self, lineage: Lineage, id: [u8; 16], statement: &Statement) -> Result<Detached, Error> {
        let at_ms = now_ms();
        let envelope = Envelope { lineage, id, by: &self.by, at_ms };
        let signature = self.key.sign(&statement.bytes(&envelope));
        let signature =
            signature.map_err(|e| Error::Setup { detail: e.to_string(), code: Code(e.code()) })?;
        Ok(Detached { certificate: leaf_of(&self.cert)?, at_ms, signature })
    }

    fn header(&self, lineage: Lineage, statement: &Statement) -> Result<Header, Error> {
        let (id, at_ms) = (rand::random::<[u8; 16]>(), now_ms());
        let envelope = Envelope { lineage, id, by: &self.by, at_ms };
        let signature = self.key.sign(&statement.bytes(&envelope));
        let signature =
            signature.map_err(|e| Error::Setup { detail: e.to_string(), code: Code(e.code()) })?;
        Ok(Header { id, at_ms, signature })
    }
}

impl Client {
    /// This client with a signer: commands that have a statement are signed from now on.
    pub fn with_signer(&self, signer: Signer) -> Client {
        self.changed(|inner| inner.signer = Some(std::sync::Arc::new(signer)))
    }

    /// The header for a statement; `None` for a client without a signer.
    pub(crate) async fn signature(&self, statement: Option<&Statement>) -> Result<Option<String>, Error> {
        let (Some(signer), Some(statement)) = (self.signer(), statement) else { return Ok(None) };
        let lineage = self.lineage().await?;
        signer.header(lineage, statement).map(|header| Some(header.to_string()))
    }

    /// Signs a statement that is kept and not sent; `None` for a client without a signer.
    pub async fn sign(&self, statement: &Statement) -> Result<Option<Signed>, Error> {
        let Some(signer) = self.signer() else { return Ok(None) };
        let lineage = self.lineage().await?;
        let header = signer.header(lineage, statement)?;
        Ok(Some(Signed {
            by: signer.by.clone(),
            lineage,
            at_ms: header.at_ms,
            id: hex::encode(header.id),
            certificate: hex::encode(leaf_of(&signer.cert)?),
            signature: hex::encode(&header.signature),
        }))
    }

    /// The federation's history, asked for once: a signature for one federation is none in another.
    async fn lineage(&self) -> Result<Lineage, Error> {
        let cell = self.lineage_cell();
        let asked = cell.get_or_try_init(|| async {
            let status = self.status().await?;
            let text = status.get("lineage").and_then(serde_json::Value::as_str).unwrap_or_default();
            text.parse::<Lineage>()
                .map_err(|e| Error::Setup { detail: e.to_string(), code: codes::BAD_REQUEST })
        });
        asked.await.copied()
    }
}

impl Signed {
    /// Whether `by` signed this statement, under one of the issuers of a PEM file that was valid then. Revocation is the
    /// registry's knowledge and is not looked at here.
    pub fn verify(&self, statement: &Statement, ca: &Path) -> Result<(), Error> {
        let untrue = |detail: String| Error::Setup { detail, code: codes::SIGNATURE_MISMATCH };
        let bytes =
            |text: &str| hex::decode(text).map_err(|_| untrue("the signature file is damaged".into()));
        let (certificate, signature) = (bytes(&self.certificate)?, bytes(&self.signature)?);
        let id: [u8; 16] =
            bytes(&self.id)?.try_into().map_err(|_| untrue("the signature file is damaged".into()))?;
        let issuers = certificates(ca)?;
        let domain =
            domain_of_der(&certificate).ok_or_else(|| untrue("the signer names no domain".into()))?;
        let refused =
            |r: eport_signature::Refused| Error::Setup { detail: r.to_string(), code: Code(r.code()) };
        let who = signatory(&certificate, issuers.iter().map(Vec::as_slice), &domain, self.at_ms)
            .map_err(refused)?;
        if who.subject.to_string() != self.by {
            return Err(untrue(format!("the certificate is {}'s, not {}'s", who.subject, self.by)));
        }
        let envelope = Envelope { lineage: self.lineage, id, by: &self.by, at_ms: self.at_ms };
        who.verify(&statement.bytes(&envelope), &signature).map_err(refused)
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where this crate reads the wall clock")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

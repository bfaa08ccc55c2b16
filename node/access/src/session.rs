//! Sessions: a token that a node gives for a certificate, which any node can check and none keeps.
//!
//! A token is the claims, the certificate of the node that gave it and that node's signature, in hex behind `eport1.`. Always:
//! it is bound to one certificate and dies with it; it ends when it lies idle, at its end, and when its owner logs out; its
//! signer is a member of the federation now; it says nothing about roles, which the registry is asked for at every request.

use eport_identity::{CertificateMark, Digest, Lineage, Subject};
use eport_model::{Code, Coded, Timestamp, codec, codes};
use eport_registry::{SESSION_LIFE_MAX_MS, State};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest token that is read.
pub const TOKEN_LEN_MAX: usize = 8 << 10;
const PREFIX: &str = "eport1.";
/// What is signed begins with this: no signature for another purpose is one for a session.
const PURPOSE: &[u8] = b"eport-session 1\n";
/// A node's clock may lie so far ahead of ours.
const SKEW_MS: i64 = 60_000;
/// CAs above one certificate.
const ISSUERS_MAX: usize = 4;

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The federation's history.
    pub lineage: Lineage,
    /// Who logged in.
    pub subject: Subject,
    /// Serial of the certificate that logged in.
    pub serial: String,
    /// Serials of the CAs above it.
    pub issuers: Vec<String>,
    /// SHA-256 of its public key (SPKI).
    pub key: Digest,
    /// SHA-256 of its issuer's.
    pub issuer: Digest,
    /// Its first valid second since 1970.
    pub not_before: i64,
    /// When the session began.
    pub begun: i64,
    /// After this it has lain idle too long.
    pub idle_until: i64,
    /// Its end, whatever happens.
    pub ends: i64,
    /// Makes tokens of one instant differ.
    pub nonce: [u8; 16],
}

impl Claims {
    /// What the rules of distrust look at.
    pub fn mark(&self) -> CertificateMark<'_> {
        let (key, issuer, not_before) = (self.key, self.issuer, self.not_before);
        CertificateMark { serial: &self.serial, key, issuer, not_before }
    }

    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = PURPOSE.to_vec();
        bytes.extend(codec::encode(self));
        bytes
    }

    /// The same session, used now: its idle time begins again. `None` while less than a third of it is gone.
    pub fn used(&self, now: i64, idle_ms: u64) -> Option<Claims> {
        let idle = i64::try_from(idle_ms).unwrap_or(i64::MAX);
        let left = self.idle_until.saturating_sub(now);
        if left > idle / 3 * 2 || self.idle_until >= self.ends {
            return None;
        }
        Some(Claims { idle_until: now.saturating_add(idle).min(self.ends), ..self.clone() })
    }
}

/// A token: claims with the word of the node that gave it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What it says.
    pub claims: Claims,
    /// Certificate of the node, DER.
    pub certificate: Vec<u8>,
    /// Its signature, DER.
    pub signature: Vec<u8>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never in logs: whoever reads it could use it.
        write!(f, "a token of {}", self.claims.subject)
    }
}

/// A session that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its claims.
    pub claims: Claims,
    /// The node that gave the token.
    pub given_by: Subject,
}

/// Why a token is no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Not a token.
    #[error("it is no token of this kind")]
    Malformed,
    /// Nobody of this federation signed it.
    #[error("no member of this federation gave it")]
    Forged,
    /// It lay idle too long.
    #[error("it lay idle too long")]
    Idle,
    /// Its time is over, or has not begun.
    #[error("its time is over")]
    Expired,
    /// Its owner logged out.
    #[error("it was logged out")]
    Ended,
    /// Its certificate is revoked.
    #[error("its certificate is revoked")]
    Revoked,
}

impl Fault {
    /// True for what no honest caller brings: these failures lock out.
    pub fn is_hostile(self) -> bool {
        matches!(self, Fault::Malformed | Fault::Forged)
    }
}

impl Coded for Fault {
    fn code(&self) -> Code {
        match self {
            Fault::Revoked => codes::CERT_REVOKED,
            _ => codes::SESSION_REFUSED,
        }
    }
}

impl Token {
    /// The text that the caller keeps.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", hex::encode(codec::encode(self)))
    }

    /// Reads a token's text; nothing of it is believed yet.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let hex =
            text.strip_prefix(PREFIX).filter(|_| text.len() <= TOKEN_LEN_MAX).ok_or(Fault::Malformed)?;
        let bytes = hex::decode(hex).map_err(|_| Fault::Malformed)?;
        let token: Token = codec::decode(&bytes).map_err(|_| Fault::Malformed)?;
        if token.claims.issuers.len() > ISSUERS_MAX {
            return Err(Fault::Malformed);
        }
        Ok(token)
    }

    /// Whether a member of the federation gave it: the costly part, whose answer holds while the registry stays the same.
    pub fn signer(&self, state: &State, now: i64) -> Result<Subject, Fault> {
        let federation = state.federation().ok_or(Fault::Forged)?;
        let issuers = state.issuers().map(|i| i.certificate.as_slice());
        let who = eport_signature::signatory(&self.certificate, issuers, &federation.domain, now)
            .map_err(|_| Fault::Forged)?;
        who.verify(&self.claims.signed_bytes(), &self.signature).map_err(|_| Fault::Forged)?;
        let revoked = state.revoked(&who.mark()).is_some() || state.revocation(&who.issuer_serial).is_some();
        let member = who.subject.node().is_some_and(|n| state.is_member(n));
        if revoked || !member || self.claims.lineage != federation.lineage {
            return Err(Fault::Forged);
        }
        Ok(who.subject)
    }
}

impl Claims {
    /// Whether the session holds now.
    pub fn holds(&self, state: &State, now: i64) -> Result<(), Fault> {
        let life = i64::try_from(SESSION_LIFE_MAX_MS).unwrap_or(i64::MAX);
        let sound = self.begun <= now.saturating_add(SKEW_MS) && self.ends.saturating_sub(self.begun) <= life;
        if !sound || now >= self.ends {
            return Err(Fault::Expired);
        }
        if state.revoked(&self.mark()).is_some() || self.issuers.iter().any(|s| state.revocation(s).is_some())
        {
            return Err(Fault::Revoked);
        }
        let begun = Timestamp::from_millis(self.begun);
        if state.sessions_ended(&self.serial).is_some_and(|before| begun <= before) {
            return Err(Fault::Ended);
        }
        if now >= self.idle_until {
            return Err(Fault::Idle);
        }
        Ok(())
    }
}

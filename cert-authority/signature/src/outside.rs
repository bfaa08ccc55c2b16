//! A CA outside the federation, registered beside our own: what its certificate says, and the proof that whoever registers it holds its
//! key.
//!
//! The proof is the CA's own signature under a challenge: a text that names the federation, the key, whom the CA may speak for and
//! where. It is made offline, with `openssl dgst -sha256 -sign` or whatever drives the CA's key, and proves itself on every node.

use crate::Refused;
use crate::certificate::{Signatory, key_of, read, serial, signatory_by, uris};
use eport_identity::{Digest, Lineage, OutsideScope, TrustDomain};
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier;

/// Longest challenge: every subject and platform that a scope may have.
pub const CHALLENGE_LEN_MAX: usize = 32 << 10;
const FIRST_LINE: &str = "eport outside ca 1";

/// What the certificate of an outside CA says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutsideFacts {
    /// SHA-256 of its public key (SPKI): the name under which the registry lists it.
    pub key_id: Digest,
    /// Its common name, else its organisation.
    pub name: String,
    /// Its serial, lower-case hex without leading zeros.
    pub serial: String,
    /// SHA-256 of its own name.
    pub subject: Digest,
    /// First valid second, in milliseconds since 1970.
    pub from_ms: i64,
    /// Last valid second, in milliseconds since 1970.
    pub to_ms: i64,
}

/// Reads the certificate of an outside CA: a CA that may sign certificates, on P-256, that claims no name of our own CAs.
pub fn outside_facts(der: &[u8]) -> Result<OutsideFacts, Refused> {
    let cert = read(der)?;
    let unfit = |why: &str| Refused::Unfit(why.to_owned());
    let usage = cert.key_usage().map_err(|_| unfit("its key usage is stated twice"))?;
    if !cert.is_ca() || !usage.is_some_and(|u| u.value.key_cert_sign()) {
        return Err(unfit("it is not a CA that may sign certificates"));
    }
    if !uris(&cert).is_empty() {
        return Err(unfit("it names a URI: only the CAs of the federation do"));
    }
    key_of(&cert)?;
    let subject = cert.subject();
    let name = subject.iter_common_name().chain(subject.iter_organization()).find_map(|n| n.as_str().ok());
    let ms = |seconds: i64| seconds.saturating_mul(1_000);
    Ok(OutsideFacts {
        key_id: Digest::of(cert.public_key().raw),
        name: name.unwrap_or_default().chars().take(128).collect(),
        serial: serial(&cert),
        subject: Digest::of(subject.as_raw()),
        from_ms: ms(cert.validity().not_before.timestamp()),
        to_ms: ms(cert.validity().not_after.timestamp()),
    })
}

/// What the CA's key signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// The federation's trust domain.
    pub domain: TrustDomain,
    /// Its history: a proof for one federation says nothing in another.
    pub lineage: Lineage,
    /// SHA-256 of the CA's public key (SPKI).
    pub key: Digest,
    /// Whom it shall speak for, and where.
    pub scope: OutsideScope,
    /// When the challenge was made, milliseconds since 1970.
    pub made_ms: i64,
    /// Random: two challenges are never the same.
    pub nonce: [u8; 16],
}

impl Challenge {
    /// The text that is signed: one spelling for one challenge.
    pub fn text(&self) -> String {
        let mut out =
            format!("{FIRST_LINE}\nfederation {}\nlineage {}\nkey {}\n", self.domain, self.lineage, self.key);
        self.scope.subjects().for_each(|s| out.push_str(&format!("subject {s}\n")));
        self.scope.platforms().for_each(|p| out.push_str(&format!("platform {p}\n")));
        out.push_str(&format!("made {}\nnonce {}\n", self.made_ms, hex::encode(self.nonce)));
        out
    }

    /// Reads a challenge. Any other spelling of the same is refused.
    pub fn read(text: &str) -> Result<Self, Refused> {
        let bad = |why: &str| Refused::Malformed(format!("the challenge cannot be used: {why}"));
        if text.len() > CHALLENGE_LEN_MAX {
            return Err(bad("it is too long"));
        }
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(bad("it does not begin as one"));
        }
        let (mut domain, mut lineage, mut key, mut made, mut nonce) = (None, None, None, None, None);
        let (mut subjects, mut platforms) = (Vec::new(), Vec::new());
        for line in lines {
            let (name, value) = line.split_once(' ').ok_or_else(|| bad("a line has no value"))?;
            let unread = |_| bad(&format!("its {name} cannot be read"));
            match name {
                "federation" => domain = Some(value.parse().map_err(unread)?),
                "lineage" => lineage = Some(value.parse().map_err(unread)?),
                "key" => key = Some(value.parse().map_err(unread)?),
                "subject" => subjects.push(value.parse().map_err(unread)?),
                "platform" => platforms.push(value.parse().map_err(unread)?),
                "made" => made = value.parse().ok(),
                "nonce" => nonce = hex::decode(value).ok().and_then(|n| n.try_into().ok()),
                _ => return Err(bad("a line is not known")),
            }
        }
        let missing = || bad("a line is missing");
        let scope = OutsideScope::new(subjects, platforms).map_err(|e| bad(e.reason))?;
        let read = Self {
            domain: domain.ok_or_else(missing)?,
            lineage: lineage.ok_or_else(missing)?,
            key: key.ok_or_else(missing)?,
            scope,
            made_ms: made.ok_or_else(missing)?,
            nonce: nonce.ok_or_else(missing)?,
        };
        if read.text() == text { Ok(read) } else { Err(bad("it is not in its one spelling")) }
    }
}

/// The challenge and the CA, when the CA's key has signed exactly this text.
pub fn possession(
    certificate: &[u8],
    challenge: &str,
    signature: &[u8],
) -> Result<(OutsideFacts, Challenge), Refused> {
    let facts = outside_facts(certificate)?;
    let read_challenge = Challenge::read(challenge)?;
    if read_challenge.key != facts.key_id {
        return Err(Refused::Unfit("the challenge is for another key".into()));
    }
    let signature = Signature::from_der(signature)
        .map_err(|_| Refused::Malformed("the proof is not DER of an ECDSA signature".into()))?;
    let key = key_of(&read(certificate)?)?;
    key.verify(challenge.as_bytes(), &signature).map_err(|_| Refused::Mismatch)?;
    Ok((facts, read_challenge))
}

/// Whom a certificate of an outside CA speaks for, within the CA's scope, both valid at the instant.
pub fn outside_signatory(
    certificate: &[u8],
    ca: &[u8],
    scope: &OutsideScope,
    domain: &TrustDomain,
    at_ms: i64,
) -> Result<Signatory, Refused> {
    signatory_by(certificate, [ca], domain, at_ms, |_, subject| scope.covers(subject))
}

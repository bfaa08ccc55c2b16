//! What a CA certificate says, for the registry's rules about whom the federation trusts. Names and dates only: signatures on
//! P-384 are judged by every node before it trusts (`eport-tls`), and by the node where the command enters.

use crate::Refused;
use crate::certificate::{read, serial, uris};
use eport_identity::{CaName, Digest, TrustDomain};

/// The readable part of a CA certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaFacts {
    /// SHA-256 of its public key (SPKI).
    pub key_id: Digest,
    /// Its common name.
    pub name: String,
    /// Trust domain and what it is.
    pub uri: Option<(TrustDomain, CaName)>,
    /// Its serial, lower-case hex without leading zeros.
    pub serial: String,
    /// SHA-256 of its own name.
    pub subject: Digest,
    /// SHA-256 of its issuer's name.
    pub issuer: Digest,
    /// How many CAs may stand below it.
    pub path_len: Option<u32>,
    /// First valid second, in milliseconds since 1970.
    pub from_ms: i64,
    /// Last valid second, in milliseconds since 1970.
    pub to_ms: i64,
}

impl CaFacts {
    /// True when it names itself as its issuer, as a root does.
    pub fn is_root(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Reads a CA certificate.
pub fn ca_facts(der: &[u8]) -> Result<CaFacts, Refused> {
    let cert = read(der)?;
    if !cert.is_ca() {
        return Err(Refused::Unfit("it is not a CA".into()));
    }
    let uris = uris(&cert);
    let uri = match uris.as_slice() {
        [] => None,
        [uri] => Some(CaName::from_uri(uri).map_err(|e| Refused::Unfit(e.to_string()))?),
        _ => return Err(Refused::Unfit("a CA names one URI".into())),
    };
    let basic =
        cert.basic_constraints().map_err(|_| Refused::Unfit("it says twice that it is a CA".into()))?;
    let name = cert.subject().iter_common_name().next().and_then(|n| n.as_str().ok());
    let ms = |seconds: i64| seconds.saturating_mul(1_000);
    Ok(CaFacts {
        key_id: Digest::of(cert.public_key().raw),
        name: name.unwrap_or_default().to_owned(),
        uri,
        serial: serial(&cert),
        subject: Digest::of(cert.subject().as_raw()),
        issuer: Digest::of(cert.issuer().as_raw()),
        path_len: basic.and_then(|b| b.value.path_len_constraint),
        from_ms: ms(cert.validity().not_before.timestamp()),
        to_ms: ms(cert.validity().not_after.timestamp()),
    })
}

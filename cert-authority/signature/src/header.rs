//! The HTTP header that carries a signature: `v1;id=<32 hex>;at=<ms>;sig=<hex of the DER signature>`.
//!
//! The certificate is the one of the connection, so it does not travel twice.

use crate::Refused;
use std::fmt;
use std::str::FromStr;

/// Name of the header.
pub const HEADER: &str = "eport-signature";
/// Longest header that is read; a P-256 signature takes a third of it.
pub const HEADER_LEN_MAX: usize = 512;

/// A signature with what of the command is chosen by the signer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Id of the command.
    pub id: [u8; 16],
    /// When it was signed, milliseconds since 1970.
    pub at_ms: i64,
    /// The signature, DER.
    pub signature: Vec<u8>,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, at_ms, signature } = self;
        write!(f, "v1;id={};at={at_ms};sig={}", hex::encode(id), hex::encode(signature))
    }
}

impl FromStr for Header {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let bad = || Refused::Malformed("the signature header is not v1;id=..;at=..;sig=..".into());
        if text.len() > HEADER_LEN_MAX {
            return Err(bad());
        }
        let parts: Vec<&str> = text.split(';').collect();
        let ["v1", id, at, signature] = parts.as_slice() else { return Err(bad()) };
        let bytes = |part: &str, name: &str| {
            part.strip_prefix(name).and_then(|hex| hex::decode(hex).ok()).ok_or_else(bad)
        };
        let id = bytes(id, "id=")?.try_into().map_err(|_| bad())?;
        let at_ms = at.strip_prefix("at=").and_then(|ms| ms.parse().ok()).ok_or_else(bad)?;
        Ok(Self { id, at_ms, signature: bytes(signature, "sig=")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_its_text_and_nonsense_is_refused() {
        let header = Header { id: [9; 16], at_ms: -5, signature: vec![48, 1, 2] };
        assert_eq!(header.to_string().parse::<Header>().unwrap(), header);
        let long = format!("v1;id={};at=1;sig={}", "09".repeat(16), "00".repeat(400));
        for bad in ["", "v1", "v2;id=00;at=1;sig=00", "v1;id=00;at=1;sig=00", "v1;at=1;id=00;sig=00", &long] {
            assert!(bad.parse::<Header>().is_err(), "{bad}");
        }
    }
}

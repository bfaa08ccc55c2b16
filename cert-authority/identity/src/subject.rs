//! Who a certificate speaks for: one URI in the trust domain, in the manner of SPIFFE ids.
//!
//! Grammar: `spiffe://TD/platform/REGION/node/NODE`, `spiffe://TD/operator/ID`, `spiffe://TD/enterprise/USCC`,
//! `spiffe://TD/agency/CODE/gw/N`. Names come from the registry or a token, never from a CSR.

use crate::{NodeId, ParseError, RegionCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The DNS-like name of a federation's trust domain, for example `gd.eport.example`. Lower case, at most 100 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let fail = |reason| Err(ParseError::new("trust domain", s, reason));
        if s.is_empty() || s.len() > 100 {
            return fail("1 to 100 characters are allowed");
        }
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if !s.split('.').all(label) {
            return fail("labels of a-z, 0-9 and -, separated by dots, are needed");
        }
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TrustDomain {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TrustDomain {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who a certificate speaks for. The trust domain is kept apart, because a verifier compares it before anything else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A node at its home platform. The right to serve a platform comes from the placement, not from here.
    Node {
        /// The node's home platform.
        platform: RegionCode,
        /// The node.
        node: NodeId,
    },
    /// A person at the command line. Roles are in the registry, not in the certificate.
    Operator(String),
    /// A trader or terminal, by its unified social credit code (GB 32100) or, in samples, a free id.
    Enterprise(String),
    /// A gateway of a border agency.
    Agency {
        /// The agency's code in the table of agencies.
        code: String,
        /// Which of its gateways.
        gateway: String,
    },
}

/// Ids inside a URI: no slash, no percent sign, no control character, at most 64 bytes.
fn plain_id(s: &str) -> bool {
    !s.is_empty()
        && s.len() <= 64
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl Subject {
    /// The URI that stands in the certificate.
    pub fn uri(&self, domain: &TrustDomain) -> String {
        format!("spiffe://{domain}/{self}")
    }

    /// Reads a URI of this trust domain. Another domain is an error, as is any path that the grammar does not know.
    pub fn from_uri(uri: &str, domain: &TrustDomain) -> Result<Self, ParseError> {
        let fail = |reason| Err(ParseError::new("subject URI", uri, reason));
        let Some(rest) = uri.strip_prefix("spiffe://") else { return fail("it must start with spiffe://") };
        let Some((td, path)) = rest.split_once('/') else { return fail("a path is needed") };
        if td != domain.as_str() {
            return fail("it belongs to another trust domain");
        }
        path.parse().or_else(|_| {
            fail("the path is none of platform/../node/.., operator/.., enterprise/.., agency/../gw/..")
        })
    }

    /// The node this subject is, if it is one.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Subject::Node { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// The party in whose name documents are lodged: the credit code of an enterprise, else the path of the URI.
    pub fn lodger(&self) -> String {
        match self {
            Subject::Enterprise(uscc) => uscc.clone(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Node { platform, node } => write!(f, "platform/{platform}/node/{node}"),
            Subject::Operator(id) => write!(f, "operator/{id}"),
            Subject::Enterprise(id) => write!(f, "enterprise/{id}"),
            Subject::Agency { code, gateway } => write!(f, "agency/{code}/gw/{gateway}"),
        }
    }
}

impl FromStr for Subject {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("subject", s, "it is not a path of the subject grammar");
        let parts: Vec<&str> = s.split('/').collect();
        match parts.as_slice() {
            ["platform", region, "node", node] => Ok(Subject::Node {
                platform: region.parse().map_err(|_| fail())?,
                node: node.parse().map_err(|_| fail())?,
            }),
            ["operator", id] if plain_id(id) => Ok(Subject::Operator((*id).to_owned())),
            ["enterprise", id] if plain_id(id) => Ok(Subject::Enterprise((*id).to_owned())),
            ["agency", code, "gw", n] if plain_id(code) && plain_id(n) => {
                Ok(Subject::Agency { code: (*code).to_owned(), gateway: (*n).to_owned() })
            }
            _ => Err(fail()),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_survives_its_uri_and_another_domain_is_refused() {
        let td: TrustDomain = "gd.eport.example".parse().unwrap();
        for path in [
            "platform/440300/node/sz-a-1",
            "operator/admin",
            "enterprise/91440100MA5ABCD19J",
            "agency/CUS/gw/1",
        ] {
            let subject: Subject = path.parse().unwrap();
            assert_eq!(Subject::from_uri(&subject.uri(&td), &td).unwrap(), subject);
        }
        let foreign: TrustDomain = "fj.eport.example".parse().unwrap();
        let uri = "operator/admin".parse::<Subject>().unwrap().uri(&foreign);
        assert!(Subject::from_uri(&uri, &td).is_err());
        for bad in [
            "spiffe://gd.eport.example/",
            "spiffe://gd.eport.example/operator/a/b",
            "http://gd.eport.example/operator/a",
        ] {
            assert!(Subject::from_uri(bad, &td).is_err(), "{bad}");
        }
    }
}

//! What a CA certificate says about itself: one URI that names its trust domain, its platform and what it may issue.
//!
//! Grammar: `spiffe://TD` a root, `spiffe://TD/platform/REGION` an issuing CA for every subject (what a federation that was
//! brought up without a ceremony has), `…/REGION/infra` for nodes only, `…/REGION/subject` for everybody but nodes.

use crate::{ParseError, RegionCode, Subject, TrustDomain};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an issuing CA may issue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaPurpose {
    /// Certificates of nodes.
    Infra,
    /// Certificates of operators, agencies and enterprises.
    Subject,
    /// Both: the CA that a federation without a ceremony begins with.
    Any,
}

impl CaPurpose {
    /// Whether a CA of this purpose may speak for a subject.
    pub fn covers(self, subject: &Subject) -> bool {
        match self {
            CaPurpose::Any => true,
            CaPurpose::Infra => subject.node().is_some(),
            CaPurpose::Subject => subject.node().is_none(),
        }
    }

    /// The word for people and files.
    pub const fn word(self) -> &'static str {
        match self {
            CaPurpose::Infra => "infra",
            CaPurpose::Subject => "subject",
            CaPurpose::Any => "any",
        }
    }
}

impl fmt::Display for CaPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The name of a CA.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CaName {
    /// A root.
    Root,
    /// An issuing CA.
    Issuing {
        /// The platform it belongs to.
        region: RegionCode,
        /// What it may issue.
        purpose: CaPurpose,
    },
}

impl CaName {
    /// The URI that stands in the CA's certificate.
    pub fn uri(&self, domain: &TrustDomain) -> String {
        match self {
            CaName::Root => format!("spiffe://{domain}"),
            CaName::Issuing { region, purpose: CaPurpose::Any } => {
                format!("spiffe://{domain}/platform/{region}")
            }
            CaName::Issuing { region, purpose } => format!("spiffe://{domain}/platform/{region}/{purpose}"),
        }
    }

    /// Reads the URI of a CA: its trust domain and its name.
    pub fn from_uri(uri: &str) -> Result<(TrustDomain, Self), ParseError> {
        let fail = |reason| ParseError::new("CA URI", uri, reason);
        let rest = uri.strip_prefix("spiffe://").ok_or_else(|| fail("it must start with spiffe://"))?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let domain = domain.parse()?;
        let Some(path) = path else { return Ok((domain, CaName::Root)) };
        let parts: Vec<&str> = path.split('/').collect();
        let (region, purpose) = match parts.as_slice() {
            ["platform", region] => (region, CaPurpose::Any),
            ["platform", region, "infra"] => (region, CaPurpose::Infra),
            ["platform", region, "subject"] => (region, CaPurpose::Subject),
            _ => return Err(fail("the path is not platform/REGION with infra, subject or nothing")),
        };
        Ok((domain, CaName::Issuing { region: region.parse()?, purpose }))
    }

    /// The platform of an issuing CA.
    pub fn region(&self) -> Option<RegionCode> {
        match self {
            CaName::Root => None,
            CaName::Issuing { region, .. } => Some(*region),
        }
    }

    /// Whether this CA may speak for a subject: a node of its own platform, or, for a province, of a city it hosts; anybody
    /// else by its purpose. Which issuers a platform accepts beside that is the registry's word.
    pub fn covers(&self, subject: &Subject) -> bool {
        let CaName::Issuing { region, purpose } = self else { return false };
        let in_scope = match subject {
            Subject::Node { platform, .. } => platform == region || platform.province() == *region,
            _ => true,
        };
        in_scope && purpose.covers(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_speaks_for_its_own_platform_and_purpose_only() {
        let domain: TrustDomain = "gd.eport.example".parse().unwrap();
        let ca = |uri: &str| CaName::from_uri(uri).unwrap();
        let subject = |path: &str| path.parse::<Subject>().unwrap();
        let (node, other) = (subject("platform/440300/node/sz-1"), subject("platform/440100/node/gz-1"));
        for (path, covered) in [
            ("", [false, false, false]),
            ("/platform/440300", [true, false, true]),
            ("/platform/440300/infra", [true, false, false]),
            ("/platform/440300/subject", [false, false, true]),
            ("/platform/440000/infra", [true, true, false]),
        ] {
            let (found, name) = ca(&format!("spiffe://{domain}{path}"));
            assert_eq!(found, domain);
            assert_eq!(name.uri(&domain), format!("spiffe://{domain}{path}"));
            let covers = [&node, &other, &subject("operator/admin")].map(|s| name.covers(s));
            assert_eq!(covers, covered, "{path}");
        }
        for bad in ["", "http://a", "spiffe://A", "spiffe://a/platform/440300/root", "spiffe://a/node/x"] {
            assert!(CaName::from_uri(bad).is_err(), "{bad}");
        }
    }
}

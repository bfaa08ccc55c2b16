//! What a CA outside the federation may speak for: an agency's own, or that of traders.
//!
//! Grammar of a subject: `agency/CODE` (every gateway of the agency), `enterprise/USCC`, `enterprise/*` (a card CA of traders). Nodes and
//! operators have no form here, so that no scope can name one. A scope prints in one canonical way and reads back as itself.

use crate::{ParseError, RegionCode, Subject};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Subjects of one scope: an organisation of traders names its members, or all of them.
pub const OUTSIDE_SUBJECTS_MAX: usize = 256;
/// Platforms of one scope: more than any province has.
pub const OUTSIDE_PLATFORMS_MAX: usize = 64;

/// Whom an outside CA may name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OutsideSubject {
    /// Every gateway of one agency.
    Agency(String),
    /// One enterprise.
    Enterprise(String),
    /// Every enterprise.
    Enterprises,
}

impl OutsideSubject {
    /// Whether a subject is meant.
    pub fn covers(&self, subject: &Subject) -> bool {
        match (self, subject) {
            (OutsideSubject::Agency(own), Subject::Agency { code, .. }) => own == code,
            (OutsideSubject::Enterprise(own), Subject::Enterprise(id)) => own == id,
            (OutsideSubject::Enterprises, Subject::Enterprise(_)) => true,
            _ => false,
        }
    }

    /// The profile that certificates of such a subject have.
    pub const fn profile(&self) -> &'static str {
        match self {
            OutsideSubject::Agency(_) => "agency-gateway",
            OutsideSubject::Enterprise(_) | OutsideSubject::Enterprises => "enterprise-sign",
        }
    }
}

impl fmt::Display for OutsideSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutsideSubject::Agency(code) => write!(f, "agency/{code}"),
            OutsideSubject::Enterprise(id) => write!(f, "enterprise/{id}"),
            OutsideSubject::Enterprises => f.write_str("enterprise/*"),
        }
    }
}

impl FromStr for OutsideSubject {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let fail = || {
            ParseError::new(
                "subject of an outside CA",
                s,
                "agency/CODE, enterprise/USCC or enterprise/* is needed; nodes and operators are never vouched for from outside",
            )
        };
        let plain = |id: &str| format!("enterprise/{id}").parse::<Subject>().is_ok();
        match s.split_once('/') {
            Some(("agency", code)) if plain(code) => Ok(OutsideSubject::Agency(code.to_owned())),
            Some(("enterprise", "*")) => Ok(OutsideSubject::Enterprises),
            Some(("enterprise", id)) if plain(id) => Ok(OutsideSubject::Enterprise(id.to_owned())),
            _ => Err(fail()),
        }
    }
}

impl Serialize for OutsideSubject {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OutsideSubject {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What an outside CA may speak for, and where it counts. Neither part is ever empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideScope {
    subjects: BTreeSet<OutsideSubject>,
    platforms: BTreeSet<RegionCode>,
}

impl OutsideScope {
    /// A scope. Refused when a part is empty or larger than any scope is.
    pub fn new(
        subjects: impl IntoIterator<Item = OutsideSubject>,
        platforms: impl IntoIterator<Item = RegionCode>,
    ) -> Result<Self, ParseError> {
        let scope = Self {
            subjects: subjects.into_iter().take(OUTSIDE_SUBJECTS_MAX + 1).collect(),
            platforms: platforms.into_iter().take(OUTSIDE_PLATFORMS_MAX + 1).collect(),
        };
        let fail = |reason| Err(ParseError::new("scope of an outside CA", "", reason));
        if !(1..=OUTSIDE_SUBJECTS_MAX).contains(&scope.subjects.len()) {
            return fail("1 to 256 subjects are needed");
        }
        if !(1..=OUTSIDE_PLATFORMS_MAX).contains(&scope.platforms.len()) {
            return fail("1 to 64 platforms are needed");
        }
        Ok(scope)
    }

    /// Whether the CA may name this subject at all. Never a node, never an operator.
    pub fn covers(&self, subject: &Subject) -> bool {
        self.subjects.iter().any(|s| s.covers(subject))
    }

    /// Whether its certificates count at a platform.
    pub fn counts_at(&self, platform: RegionCode) -> bool {
        self.platforms.contains(&platform)
    }

    /// Whom it may name.
    pub fn subjects(&self) -> impl Iterator<Item = &OutsideSubject> {
        self.subjects.iter()
    }

    /// Where its certificates count.
    pub fn platforms(&self) -> impl Iterator<Item = RegionCode> {
        self.platforms.iter().copied()
    }

    /// The profiles that follow from the subjects.
    pub fn profiles(&self) -> BTreeSet<&'static str> {
        self.subjects.iter().map(OutsideSubject::profile).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outside_ca_speaks_for_what_its_scope_names_and_never_for_nodes_and_operators() {
        let subject = |path: &str| path.parse::<Subject>().unwrap();
        let of = |text: &str| text.parse::<OutsideSubject>().unwrap();
        for (text, covered) in [
            ("agency/CUS", ["agency/CUS/gw/1", "agency/CUS/gw/2"].as_slice()),
            ("enterprise/A", &["enterprise/A"]),
            ("enterprise/*", &["enterprise/A", "enterprise/B"]),
        ] {
            assert_eq!(of(text).to_string(), text);
            for path in [
                "agency/CUS/gw/1",
                "agency/CUS/gw/2",
                "agency/MSA/gw/1",
                "enterprise/A",
                "enterprise/B",
                "operator/admin",
                "platform/440300/node/sz-a-1",
            ] {
                assert_eq!(of(text).covers(&subject(path)), covered.contains(&path), "{text} {path}");
            }
        }
        for bad in [
            "operator/admin",
            "operator/*",
            "platform/440300/node/sz-a-1",
            "platform/440300",
            "agency/*",
            "agency/",
            "agency/CUS/gw/1",
            "enterprise/",
            "enterprise/a/b",
            "*",
            "",
        ] {
            assert!(bad.parse::<OutsideSubject>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_without_subjects_or_platforms_is_none() {
        let (cus, here): (OutsideSubject, RegionCode) =
            ("agency/CUS".parse().unwrap(), "440300".parse().unwrap());
        let scope = OutsideScope::new([cus.clone()], [here]).unwrap();
        assert!(scope.counts_at(here) && !scope.counts_at("440100".parse().unwrap()));
        assert_eq!(scope.profiles().into_iter().collect::<Vec<_>>(), ["agency-gateway"]);
        assert!(OutsideScope::new([], [here]).is_err() && OutsideScope::new([cus], []).is_err());
        let many = (0..300).map(|n| OutsideSubject::Enterprise(n.to_string()));
        assert!(OutsideScope::new(many, [here]).is_err());
    }
}

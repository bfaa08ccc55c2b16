//! Names of tables: `OWNER/NAME`, where the owner is the platform that publishes; a bare NAME means the province's.

use eport_identity::{ParseError, RegionCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Longest table name in bytes.
const NAME_LEN_MAX: usize = 64;

/// A table: its owner's region and its name, for example `440000/ports`. Ordered by owner, then name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    owner: RegionCode,
    name: String,
}

impl TableName {
    /// A name from its parts. The name is 1 to 64 of `a-z 0-9 _ -` and starts with a letter or digit.
    pub fn new(owner: RegionCode, name: &str) -> Result<Self, ParseError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let reason = if name.is_empty() || name.len() > NAME_LEN_MAX {
            "1 to 64 characters are allowed"
        } else if !name.bytes().all(allowed) {
            "only a-z, 0-9, _ and - are allowed"
        } else if matches!(name.as_bytes()[0], b'_' | b'-') {
            "it must start with a letter or a digit"
        } else {
            return Ok(Self { owner, name: name.to_owned() });
        };
        Err(fail(name, reason))
    }

    /// Reads `OWNER/NAME`, or a bare NAME as the table of `province`.
    pub fn resolve(text: &str, province: RegionCode) -> Result<Self, ParseError> {
        match text.split_once('/') {
            Some((owner, name)) => Self::new(owner.parse()?, name),
            None => Self::new(province, text),
        }
    }

    /// The platform that publishes the table.
    pub fn owner(&self) -> RegionCode {
        self.owner
    }

    /// The name without the owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn fail(input: &str, reason: &'static str) -> ParseError {
    ParseError { what: "table name", input: input.chars().take(64).collect(), reason }
}

impl FromStr for TableName {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let Some((owner, name)) = s.split_once('/') else { return Err(fail(s, "OWNER/NAME is needed")) };
        Self::new(owner.parse()?, name)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TableName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_the_provinces_and_a_full_name_prints_as_it_was_parsed() {
        let province: RegionCode = "440000".parse().unwrap();
        let ports = TableName::resolve("ports", province).unwrap();
        assert_eq!(ports.to_string(), "440000/ports");
        assert_eq!(ports, "440000/ports".parse().unwrap());
        let local = TableName::resolve("440300/berths", province).unwrap();
        assert_eq!((local.owner().to_string().as_str(), local.name()), ("440300", "berths"));
        for bad in ["", "Ports", "44/ports", "440000/", "440000/a/b", "-a", "a b", "港口"] {
            assert!(TableName::resolve(bad, province).is_err(), "{bad}");
        }
        assert!("ports".parse::<TableName>().is_err(), "the full form is needed without a province");
    }
}

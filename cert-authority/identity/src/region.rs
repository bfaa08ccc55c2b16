//! Region codes of GB/T 2260: six digits that name a province, a city or a county. A platform is named by its region.

use crate::ParseError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A six-digit GB/T 2260 code, for example 440000 (Guangdong) or 440300 (Shenzhen). It names a platform.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionCode(u32);

impl RegionCode {
    /// The code as a number between 100000 and 999999.
    pub fn as_u32(self) -> u32 {
        self.0
    }

    /// The code of the province this region belongs to: 440300 gives 440000.
    pub fn province(self) -> RegionCode {
        RegionCode(self.0 / 10_000 * 10_000)
    }

    /// True when the code names a province itself.
    pub fn is_province(self) -> bool {
        self.0.is_multiple_of(10_000)
    }
}

impl TryFrom<u32> for RegionCode {
    type Error = ParseError;
    fn try_from(code: u32) -> Result<Self, ParseError> {
        if (100_000..=999_999).contains(&code) {
            Ok(Self(code))
        } else {
            Err(ParseError::new("region code", &code.to_string(), "six digits are needed (GB/T 2260)"))
        }
    }
}

impl FromStr for RegionCode {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("region code", s, "six digits are needed (GB/T 2260)");
        if s.len() != 6 || !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail());
        }
        s.parse::<u32>().map_err(|_| fail())?.try_into().map_err(|_| fail())
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:06}", self.0))
    }
}

impl fmt::Debug for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RegionCode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u32(self.0) }
    }
}

impl<'de> Deserialize<'de> for RegionCode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if d.is_human_readable() {
            std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(D::Error::custom)
        } else {
            u32::deserialize(d)?.try_into().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_code_knows_its_province() {
        let shenzhen: RegionCode = "440300".parse().unwrap();
        assert_eq!(shenzhen.province().to_string(), "440000");
        assert!(shenzhen.province().is_province() && !shenzhen.is_province());
        for bad in ["44030", "4403000", "44030a", "040300", "+40300", ""] {
            assert!(bad.parse::<RegionCode>().is_err(), "{bad}");
        }
    }
}

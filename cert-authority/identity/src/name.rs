//! Short names used as ids: nodes and sites. Inline, `Copy`, ordered by their text.

use crate::ParseError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Longest short name in bytes; 23 letters and a zero keep the value at 24 bytes.
const NAME_LEN_MAX: usize = 23;

macro_rules! short_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; NAME_LEN_MAX + 1]);

        impl $name {
            /// The name as text. Empty only for the default value, which stands for "none".
            pub fn as_str(&self) -> &str {
                let len = self.0.iter().position(|b| *b == 0).unwrap_or(NAME_LEN_MAX);
                // Only ASCII enters through `from_str`, so the slice is always valid UTF-8.
                std::str::from_utf8(&self.0[..len]).unwrap_or("")
            }

            /// True for the default value, which names nobody.
            pub fn is_none(&self) -> bool {
                self.0[0] == 0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(s: &str) -> Result<Self, ParseError> {
                let fail = |reason| Err(ParseError::new($what, s, reason));
                let bytes = s.as_bytes();
                if bytes.is_empty() || bytes.len() > NAME_LEN_MAX {
                    return fail("1 to 23 characters are allowed");
                }
                if !bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
                    return fail("only a-z, 0-9 and - are allowed");
                }
                if bytes[0] == b'-' || bytes[bytes.len() - 1] == b'-' {
                    return fail("it may not start or end with -");
                }
                let mut out = [0u8; NAME_LEN_MAX + 1];
                out[..bytes.len()].copy_from_slice(bytes);
                Ok(Self(out))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                if text.is_empty() {
                    return Ok(Self::default());
                }
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

short_name!(
    /// A node of the federation, for example `gz-a-1`. Never reused: a node that re-joins clean gets a new id.
    NodeId,
    "node id"
);
short_name!(
    /// A site: what is lost together in a fire or a power cut, for example `gz-a`.
    SiteId,
    "site name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_prints_as_it_was_parsed_and_refuses_other_alphabets() {
        let id: NodeId = "gz-a-1".parse().unwrap();
        assert_eq!(id.to_string(), "gz-a-1");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"gz-a-1\"");
        assert_eq!(serde_json::from_str::<NodeId>("\"gz-a-1\"").unwrap(), id);
        for bad in ["", "A", "a_b", "-a", "a-", "广州", "abcdefghijklmnopqrstuvwx"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn order_is_the_order_of_the_text() {
        let mut ids: Vec<NodeId> = ["b", "a-1", "a"].iter().map(|s| s.parse().unwrap()).collect();
        ids.sort();
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "a-1", "b"]);
    }
}

//! The set of revoked serials: filled from the registry, read by every handshake.

use arc_swap::ArcSwap;
use eport_identity::ParseError;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A certificate serial in lower-case hex, as `cert list` prints it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(String);

impl Serial {
    /// A serial from the bytes in a certificate, leading zeros dropped.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
        Self(bytes[start..].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The serial as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let lower = s.to_ascii_lowercase();
        let hex = |t: &str| {
            !t.is_empty()
                && t.len() <= 64
                && t.len().is_multiple_of(2)
                && t.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if !hex(&lower) {
            let input = s.chars().take(64).collect();
            return Err(ParseError {
                what: "certificate serial",
                input,
                reason: "2 to 64 hex digits are needed",
            });
        }
        Ok(Self(lower))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The revoked serials. Clones share one set; a change is seen by the next handshake of every listener.
#[derive(Clone, Default)]
pub struct Revocations(Arc<ArcSwap<BTreeSet<Serial>>>);

impl Revocations {
    /// A set with these serials.
    pub fn new(serials: impl IntoIterator<Item = Serial>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(serials.into_iter().collect())))
    }

    /// Replaces the set by the registry's newest.
    pub fn replace(&self, serials: impl IntoIterator<Item = Serial>) {
        self.0.store(Arc::new(serials.into_iter().collect()));
    }

    /// Adds one serial.
    pub fn add(&self, serial: Serial) {
        self.0.rcu(|set| {
            let mut set = BTreeSet::clone(set);
            set.insert(serial.clone());
            set
        });
    }

    /// Whether a serial is revoked.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.0.load().contains(serial)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revoked", self.0.load().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_reads_the_same_from_bytes_and_text() {
        let serial = Serial::from_bytes(&[0, 1, 0xab]);
        assert_eq!(serial, "01AB".parse().unwrap());
        assert!("".parse::<Serial>().is_err() && "xyz1".parse::<Serial>().is_err());
        let set = Revocations::default();
        let clone = set.clone();
        clone.add(serial.clone());
        assert!(set.contains(&serial));
        set.replace([]);
        assert!(!clone.contains(&serial));
    }
}

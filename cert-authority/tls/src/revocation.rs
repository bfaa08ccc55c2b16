//! The set of revoked serials and the rules that take the trust from many certificates at once: filled from the registry, read by
//! every handshake.

use arc_swap::ArcSwap;
use eport_identity::{CertificateMark, Distrust, Epoch, ParseError};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The revoked serials, and the rules beside them. Clones share one set; a change is seen by the next handshake of every listener.
#[derive(Clone, Default)]
pub struct Revocations {
    serials: Arc<ArcSwap<BTreeSet<Serial>>>,
    rules: Arc<ArcSwap<BTreeSet<Distrust>>>,
    changes: Arc<AtomicU64>,
}

impl Revocations {
    /// A set with these serials.
    pub fn new(serials: impl IntoIterator<Item = Serial>) -> Self {
        let set = Self::default();
        set.replace(serials);
        set
    }

    /// Replaces the set by the registry's newest.
    pub fn replace(&self, serials: impl IntoIterator<Item = Serial>) {
        self.serials.store(Arc::new(serials.into_iter().collect()));
        self.changed();
    }

    /// Adds one serial.
    pub fn add(&self, serial: Serial) {
        self.serials.rcu(|set| {
            let mut set = BTreeSet::clone(set);
            set.insert(serial.clone());
            set
        });
        self.changed();
    }

    /// Whether a serial is revoked.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.serials.load().contains(serial)
    }

    /// The revoked serials as they are now.
    pub fn serials(&self) -> Arc<BTreeSet<Serial>> {
        self.serials.load_full()
    }

    /// Another value after every change: tells whether there is something new to look at.
    pub fn mark(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Replaces the rules by the registry's newest.
    pub fn replace_rules(&self, rules: impl IntoIterator<Item = Distrust>) {
        self.rules.store(Arc::new(rules.into_iter().collect()));
        self.changed();
    }

    /// Adds one rule.
    pub fn add_rule(&self, rule: Distrust) {
        self.rules.rcu(|rules| {
            let mut rules = BTreeSet::clone(rules);
            rules.insert(rule.clone());
            rules
        });
        self.changed();
    }

    /// After the set is in place, so that whoever hears of it sees it.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a rule takes the trust from a certificate.
    pub fn distrusts(&self, mark: &CertificateMark<'_>) -> bool {
        let rules = self.rules.load();
        let listed = Distrust::Listed { issuer: mark.issuer, serial: mark.serial.to_owned() };
        let of_epoch = |epoch, begins| Distrust::Epoch { issuer: mark.issuer, epoch, begins };
        let (first, last) = (of_epoch(Epoch::NONE, i64::MIN), of_epoch(Epoch::from_u64(u64::MAX), i64::MAX));
        rules.contains(&Distrust::Key(mark.key))
            || rules.contains(&Distrust::Key(mark.issuer))
            || rules.contains(&listed)
            || rules.range(first..=last).any(|rule| rule.covers(mark))
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revoked, {} rules", self.serials.load().len(), self.rules.load().len())
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

    #[test]
    fn a_rule_of_every_form_is_found_among_many_others() {
        use eport_identity::Digest;
        let (ca, key) = (Digest::of(b"ca"), Digest::of(b"key"));
        let serial = format!("0100000007{}", "ab".repeat(12));
        let mark = CertificateMark { serial: &serial, key, issuer: ca, not_before: 50 };
        let others = || {
            let of = |n: u64| Digest::of(&n.to_be_bytes());
            (0..50).flat_map(move |n| {
                let epoch = Epoch::from_u64(n);
                let listed = Distrust::Listed { issuer: of(n), serial: "01".into() };
                [Distrust::Key(of(n)), listed, Distrust::Epoch { issuer: of(n), epoch, begins: 0 }]
            })
        };
        let set = Revocations::default();
        set.replace_rules(others());
        assert!(!set.distrusts(&mark));
        let epoch = |n, begins| Distrust::Epoch { issuer: ca, epoch: Epoch::from_u64(n), begins };
        set.replace_rules(others().chain([epoch(6, 0), epoch(7, 51)]));
        assert!(!set.distrusts(&mark), "another epoch, or a later begin");
        let listed = Distrust::Listed { issuer: ca, serial: serial.clone() };
        for rule in [Distrust::Key(key), Distrust::Key(ca), epoch(7, 50), listed] {
            set.replace_rules(others().chain([rule.clone()]));
            assert!(set.distrusts(&mark), "{rule}");
        }
    }
}

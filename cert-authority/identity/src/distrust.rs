//! Rules that take the trust from many certificates at once, without their serials being known.
//!
//! What always holds: a rule is judged from the certificate alone, so every verifier says the same without a ledger at hand; a
//! rule prints as one word that reads back as the same rule. Rules are only ever added.

use crate::{Digest, Epoch, ParseError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Hex digits of a serial of ours: `01`, the epoch, 96 random bits.
const SERIAL_DIGITS: usize = 34;

/// A rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Distrust {
    /// Every certificate of a public key, and, if it is a CA's, every certificate below it.
    Key(Digest),
    /// What an issuing CA issued in one epoch, from an instant on: its serial carries the epoch, its validity says when.
    Epoch {
        /// SHA-256 of the CA's public key (SPKI).
        issuer: Digest,
        /// The epoch.
        epoch: Epoch,
        /// Certificates whose validity begins at this second since 1970 or later; [`Distrust::WHOLE`] takes the whole epoch.
        begins: i64,
    },
    /// One certificate of one CA, by that CA's own list: a CA speaks for what it issued and for nothing else.
    Listed {
        /// SHA-256 of the CA's public key (SPKI).
        issuer: Digest,
        /// Serial, lower-case hex.
        serial: String,
    },
}

/// What of a certificate the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct CertificateMark<'a> {
    /// Serial, lower-case hex, leading zero bytes dropped.
    pub serial: &'a str,
    /// SHA-256 of its public key (SPKI).
    pub key: Digest,
    /// SHA-256 of its issuer's.
    pub issuer: Digest,
    /// First valid second since 1970.
    pub not_before: i64,
}

/// The epoch that a serial of ours carries; `None` for one of another form.
pub fn epoch_of_serial(serial: &str) -> Option<Epoch> {
    let rest = serial.strip_prefix("01").filter(|_| serial.len() == SERIAL_DIGITS)?;
    u32::from_str_radix(rest.get(..8)?, 16).ok().map(|e| Epoch::from_u64(u64::from(e)))
}

impl Distrust {
    /// A begin that no certificate lies before.
    pub const WHOLE: i64 = 0;

    /// Whether the rule takes the trust from a certificate.
    pub fn covers(&self, mark: &CertificateMark<'_>) -> bool {
        match self {
            Distrust::Key(key) => *key == mark.key || *key == mark.issuer,
            Distrust::Epoch { begins, .. } => {
                self.covers_unknown(&mark.issuer, mark.serial) && mark.not_before >= *begins
            }
            Distrust::Listed { .. } => self.covers_unknown(&mark.issuer, mark.serial),
        }
    }

    /// Whether a serial of which only the issuer is known falls under the rule of an epoch: whoever asks looks in the ledger
    /// first, and what the ledger lacks was issued behind its end.
    pub fn covers_unknown(&self, of: &Digest, serial: &str) -> bool {
        match self {
            Distrust::Key(key) => key == of,
            // A serial carries the low 32 bits.
            Distrust::Epoch { issuer, epoch, .. } => {
                issuer == of
                    && epoch_of_serial(serial).is_some_and(|e| e.as_u64() == epoch.as_u64() & 0xffff_ffff)
            }
            Distrust::Listed { issuer, serial: listed } => issuer == of && listed == serial,
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distrust::Key(key) => write!(f, "key/{key}"),
            Distrust::Epoch { issuer, epoch, begins } => {
                write!(f, "epoch/{issuer}/{}/{begins}", epoch.as_u64())
            }
            Distrust::Listed { issuer, serial } => write!(f, "list/{issuer}/{serial}"),
        }
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for Distrust {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let bad = || {
            ParseError::new(
                "rule of distrust",
                s,
                "key/KEY, epoch/ISSUER/N/SECOND or list/ISSUER/SERIAL is needed",
            )
        };
        let parts: Vec<&str> = s.splitn(5, '/').collect();
        let rule = match parts.as_slice() {
            ["key", key] => Distrust::Key(key.parse().map_err(|_| bad())?),
            ["epoch", issuer, epoch, begins] => Distrust::Epoch {
                issuer: issuer.parse().map_err(|_| bad())?,
                epoch: Epoch::from_u64(epoch.parse().map_err(|_| bad())?),
                begins: begins.parse().map_err(|_| bad())?,
            },
            ["list", issuer, serial] if serial.len() <= 64 && is_hex(serial) => {
                Distrust::Listed { issuer: issuer.parse().map_err(|_| bad())?, serial: (*serial).to_owned() }
            }
            _ => return Err(bad()),
        };
        // One rule, one spelling: it is the key of its row.
        if rule.to_string() == s { Ok(rule) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(epoch: u32, n: u8) -> String {
        format!("01{epoch:08x}{}", format!("{n:02x}").repeat(12))
    }

    #[test]
    fn the_rule_of_an_epoch_takes_what_was_issued_in_it_from_an_instant_on_and_nothing_else() {
        let (ca, other, key) = (Digest::of(b"ca"), Digest::of(b"other"), Digest::of(b"key"));
        let rule = Distrust::Epoch { issuer: ca, epoch: Epoch::from_u64(7), begins: 1_000 };
        let mark = |serial: &str, issuer, not_before| {
            rule.covers(&CertificateMark { serial, key, issuer, not_before })
        };
        assert!(mark(&serial(7, 9), ca, 1_000) && mark(&serial(7, 9), ca, 2_000));
        assert!(!mark(&serial(7, 9), ca, 999), "it was issued before the anchor");
        assert!(!mark(&serial(8, 9), ca, 2_000) && !mark(&serial(6, 9), ca, 2_000), "another epoch");
        assert!(!mark(&serial(7, 9), other, 2_000), "another CA");
        assert!(!mark("01ab", ca, 2_000), "a serial of another form");
        let whole = Distrust::Epoch { issuer: ca, epoch: Epoch::from_u64(7), begins: Distrust::WHOLE };
        assert!(whole.covers(&CertificateMark { serial: &serial(7, 1), key, issuer: ca, not_before: 1 }));
        assert!(rule.covers_unknown(&ca, &serial(7, 3)) && !rule.covers_unknown(&ca, &serial(8, 3)));
    }

    #[test]
    fn a_distrusted_key_takes_its_certificates_and_those_below_it() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let rule = Distrust::Key(a);
        let mark = |key, issuer| CertificateMark { serial: "01", key, issuer, not_before: 5 };
        assert!(rule.covers(&mark(a, b)) && rule.covers(&mark(b, a)) && !rule.covers(&mark(b, b)));
    }

    #[test]
    fn a_rule_reads_back_as_itself_and_has_one_spelling() {
        let ca = Digest::of(b"ca");
        let listed = Distrust::Listed { issuer: ca, serial: "01ab".into() };
        assert!(listed.covers_unknown(&ca, "01ab") && !listed.covers_unknown(&Digest::of(b"other"), "01ab"));
        let epoch = Distrust::Epoch { issuer: ca, epoch: Epoch::from_u64(3), begins: -1 };
        for rule in [Distrust::Key(ca), epoch, listed] {
            assert_eq!(rule.to_string().parse::<Distrust>().unwrap(), rule);
        }
        for bad in ["", "key/", "key/zz", "epoch/a/1", "01ab"] {
            assert!(bad.parse::<Distrust>().is_err(), "{bad}");
        }
        assert!(format!("epoch/{ca}/03/0").parse::<Distrust>().is_err(), "a second spelling");
        assert!(format!("key/{}", ca.to_string().to_uppercase()).parse::<Distrust>().is_err());
    }
}

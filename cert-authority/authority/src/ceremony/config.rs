//! The paper of a ceremony: what shall be made, by whom it is held, and the rules it must keep before any key exists.

use crate::Error;
use eport_identity::{CaPurpose, Digest, RegionCode, TrustDomain};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Largest configuration read.
pub const CONFIG_LEN_MAX: usize = 64 << 10;
const HOLDERS_MAX: usize = 16;
const ISSUING_MAX: usize = 64;

/// The whole file (TOML).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyConfig {
    /// Name of the federation.
    pub federation: String,
    /// Trust domain of every certificate below.
    pub trust_domain: TrustDomain,
    /// Life of the root in days.
    #[serde(default = "root_days")]
    pub root_days: i64,
    /// Life of the root's revocation list in days; the next opening must come before its end.
    #[serde(default = "crl_days")]
    pub crl_days: i64,
    /// How the root's key is divided.
    pub shares: SharesConfig,
    /// Who signs the transcript beside the root.
    #[serde(default, rename = "witness")]
    pub witnesses: Vec<WitnessConfig>,
    /// Issuing CAs to make.
    #[serde(default)]
    pub issuing: Vec<IssuingConfig>,
    /// Serials of CA certificates to revoke, with the reason; at an opening only.
    #[serde(default)]
    pub revoke: Vec<RevokeConfig>,
}

/// The division.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharesConfig {
    /// So many open.
    pub threshold: u8,
    /// Who holds one.
    pub holders: Vec<String>,
}

/// A witness.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Name for people.
    pub name: String,
    /// SHA-256 of the public key (SPKI).
    pub key: Digest,
}

/// An issuing CA.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuingConfig {
    /// Its platform.
    pub region: RegionCode,
    /// For whom it issues.
    pub purpose: CaPurpose,
    /// Epoch of the platform, for the serial.
    #[serde(default = "one")]
    pub epoch: u64,
    /// Life in days.
    #[serde(default = "issuing_days")]
    pub days: i64,
    /// File of the certificate request of a key made elsewhere; without it the key is made here and has to travel.
    #[serde(default)]
    pub request: Option<String>,
    /// May speak for localhost: federations on one machine only.
    #[serde(default)]
    pub loopback: bool,
}

/// A CA certificate to revoke.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeConfig {
    /// Serial in hex.
    pub serial: String,
    /// A reason of RFC 5280 with dashes.
    #[serde(default)]
    pub reason: String,
}

fn root_days() -> i64 {
    crate::LifeDays::ROOT
}

fn issuing_days() -> i64 {
    crate::LifeDays::ISSUING
}

fn crl_days() -> i64 {
    395
}

fn one() -> u64 {
    1
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Allowed, and somebody should know.
    Warning,
    /// Nothing is made.
    Error,
}

/// What the lint found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Short name of the rule.
    pub rule: &'static str,
    /// What is wrong with what.
    pub detail: String,
}

impl IssuingConfig {
    /// Name of its files: `440000-infra`.
    pub fn stem(&self) -> String {
        match self.purpose {
            CaPurpose::Any => self.region.to_string(),
            purpose => format!("{}-{purpose}", self.region),
        }
    }
}

impl CeremonyConfig {
    /// Reads the file. Unknown keys are refused: at a ceremony nothing is guessed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::Lint { rules: vec![reason] };
        if text.len() > CONFIG_LEN_MAX {
            return Err(bad("the file is too long".into()));
        }
        toml::from_str(text).map_err(|e| bad(e.to_string().trim().replace('\n', " ")))
    }

    /// Looks at every rule; an empty answer is a clean paper.
    pub fn lint(&self) -> Vec<Finding> {
        let mut found = Findings(Vec::new());
        found.error(
            "federation-name",
            self.federation.is_empty()
                || self.federation.len() > 64
                || self.federation.chars().any(char::is_control),
            || "the name has 1 to 64 bytes of plain text".into(),
        );
        found.error("root-life", !(365..=30 * 365).contains(&self.root_days), || {
            format!("a root lives 1 to 30 years, not {} days", self.root_days)
        });
        found.error("crl-life", !(7..=800).contains(&self.crl_days), || {
            format!("the root's revocation list lives 7 to 800 days, not {}", self.crl_days)
        });
        found.warn("crl-life", self.crl_days < 366, || {
            format!(
                "the list ends after {} days: the root must be opened more than once a year",
                self.crl_days
            )
        });
        self.lint_shares(&mut found);
        self.lint_issuing(&mut found);
        found.warn("no-witness", self.witnesses.is_empty(), || {
            "nobody but the root signs the transcript".into()
        });
        for revoke in &self.revoke {
            found.error("serial", crate::serial::bytes(&revoke.serial).is_none(), || {
                format!("{:?} is not a serial of 2 to 64 hex digits", revoke.serial)
            });
        }
        found.0
    }

    fn lint_shares(&self, found: &mut Findings) {
        let SharesConfig { threshold, holders } = &self.shares;
        let (needed, total) = (usize::from(*threshold), holders.len());
        found.error("share-count", total > HOLDERS_MAX, || {
            format!("at most {HOLDERS_MAX} hold shares, not {total}")
        });
        found.error("one-person", needed < 2, || {
            "one person alone must never open the root: threshold 2 or more".into()
        });
        found.error("threshold", needed > total, || format!("{needed} shares are needed, {total} exist"));
        found.warn("no-spare", needed == total, || "the loss of one share loses the root".into());
        found.warn("minority", needed * 2 <= total, || format!("{needed} of {total} is no majority"));
        let mut seen = BTreeSet::new();
        for holder in holders {
            let plain = !holder.is_empty()
                && holder.len() <= 64
                && holder.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            found.error("holder-name", !plain, || {
                format!("{holder:?}: 1 to 64 letters, digits, - and _ are allowed")
            });
            found.error("holder-twice", !seen.insert(holder), || format!("{holder} holds two shares"));
        }
    }

    fn lint_issuing(&self, found: &mut Findings) {
        found.error("issuing-count", self.issuing.len() > ISSUING_MAX, || {
            format!("at most {ISSUING_MAX} issuing CAs in one ceremony")
        });
        let mut seen = BTreeSet::new();
        for ca in &self.issuing {
            let stem = ca.stem();
            found.error("issuing-twice", !seen.insert((ca.region, ca.purpose)), || {
                format!("{stem} stands twice")
            });
            found.error("issuing-life", !(30..=10 * 365).contains(&ca.days), || {
                format!("{stem}: an issuing CA lives 30 days to 10 years, not {} days", ca.days)
            });
            found.warn("issuing-life", ca.days > self.root_days, || {
                format!("{stem} is cut to the root's end")
            });
            found.error("epoch", ca.epoch == 0, || format!("{stem}: epochs count from 1"));
            found.warn("one-ca", ca.purpose == CaPurpose::Any, || {
                format!("{stem} issues for nodes and persons alike; infra and subject CAs keep them apart")
            });
            found.warn("key-travels", ca.request.is_none(), || {
                format!(
                    "{stem}: its key is made here and has to travel; a request from its own node is better"
                )
            });
            found.warn("loopback", ca.loopback, || format!("{stem} may speak for localhost"));
        }
    }
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, rule: &'static str, broken: bool, detail: impl FnOnce() -> String) {
        self.put(Severity::Error, rule, broken, detail);
    }

    fn warn(&mut self, rule: &'static str, broken: bool, detail: impl FnOnce() -> String) {
        self.put(Severity::Warning, rule, broken, detail);
    }

    fn put(&mut self, severity: Severity, rule: &'static str, broken: bool, detail: impl FnOnce() -> String) {
        if broken {
            self.0.push(Finding { severity, rule, detail: detail() });
        }
    }
}

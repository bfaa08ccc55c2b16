//! Drill scripts: what is disturbed, which steps follow, what must come out. Data under `scripts/`, embedded in the program.
//!
//! Always: a script names a bound on its time and every objective it is judged by; what it disturbs it also mends; an unknown
//! word is refused, so that a mistyped step is never skipped.

use eport_model::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A sentence for people in both languages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// A sentence in both languages.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// One of the two.
    pub fn pick(&self, chinese: bool) -> &str {
        if chinese { &self.zh } else { &self.en }
    }
}

/// What a drill disturbs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Nothing: it looks, or works beside the running system.
    None,
    /// The primary's place: the platform is moved as planned.
    Place,
    /// The process of the platform's primary.
    Primary,
    /// Every process of the site that the platform is served from.
    Site,
    /// Every process whose home is the province.
    Province,
    /// The link between the site of the primary and that of one of its backups.
    Link,
    /// The process of a node that serves nothing.
    Member,
}

impl Target {
    /// True when processes are killed.
    pub fn kills(self) -> bool {
        matches!(self, Target::Primary | Target::Site | Target::Province | Target::Member)
    }

    /// True when a platform changes its primary on the way.
    pub fn moves(self) -> bool {
        matches!(self, Target::Primary | Target::Site | Target::Province | Target::Place)
    }
}

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Wait until so many more canary documents are acknowledged.
    Writes,
    /// Move the platform to its best in-sync backup, as planned.
    Switchover,
    /// Kill the processes of the target.
    Kill,
    /// Take the platforms over whose primary is gone.
    Failover,
    /// Start the killed processes again.
    Start,
    /// Cut the link of the target.
    Cut,
    /// Wait until the backup behind the cut is so many records behind.
    Behind,
    /// Mend the link.
    Heal,
    /// Wait until every backup is in sync and level.
    Follow,
    /// Move the platforms back to where they were.
    Failback,
    /// Make a backup.
    BackUp,
    /// Restore it beside the running system and find the canaries in it.
    Restore,
    /// Read the standbys' own copies and find the canaries in them.
    Standbys,
    /// Compare the state of all holders at one record.
    Compare,
    /// Copy the survivors' directories beside the running federation, as a power cut would leave them.
    Image,
    /// Make a recovery plan of every copy.
    RecoveryPlan,
    /// Sign the plan and carry it out on the copy of the survivor.
    Recover,
    /// Start the recovered copy, let it serve, find the canaries in it.
    ServeCopy,
    /// Take every copy away.
    Sweep,
    /// Register a new root for a rotation.
    RotatePrepare,
    /// Put it and the re-issued CAs into the trust bundle.
    RotatePublish,
    /// Try to use it while a member is down: must be refused with its name.
    RotateRefused,
    /// Use it without the members that are down.
    RotateForced,
    /// Wait until every member verifies by the newest bundle.
    RotateFollowed,
    /// Ask for a certificate, which the node that took over must refuse.
    IssueRefused,
    /// Open the CA's key there with shares.
    Unlock,
    /// Issue a certificate under the present epoch and revoke it.
    Issue,
    /// What shares opened on the standby is closed.
    Locked,
}

/// One step of a script.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptStep {
    /// Name in reports, unique in the script.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// How many, where the action counts.
    #[serde(default)]
    pub count: u64,
    /// The disturbance begins here: pauses from here to the end of the next `writes` step are measured.
    #[serde(default)]
    pub measured: bool,
    /// What is to be expected.
    pub expect: Text,
}

/// What must come out.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Acknowledged records that may be lost.
    pub rpo_records: u64,
    /// Over which time, seconds.
    pub rpo_seconds: f64,
    /// From the disturbance to the first write after it, seconds; absent where nothing is disturbed.
    #[serde(default)]
    pub rto_seconds: Option<f64>,
    /// Longest time without an acknowledged write, milliseconds; absent where nothing is disturbed.
    #[serde(default)]
    pub write_pause_ms: Option<f64>,
}

/// A drill as data.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// One line.
    pub title: Text,
    /// What it is good for.
    pub purpose: Text,
    /// What it disturbs.
    pub target: Target,
    /// It works on copies only, and says so: whoever runs it must have said so too.
    #[serde(default)]
    pub isolated: bool,
    /// After this many seconds anybody may put the start state back.
    pub limit_s: u64,
    /// Canary documents a second, for each platform concerned.
    pub rate: f64,
    /// What must come out.
    pub objectives: Objectives,
    /// What is done; empty for a chain.
    #[serde(default, rename = "step")]
    pub steps: Vec<ScriptStep>,
    /// Names of the drills that follow one another in a chain.
    #[serde(default)]
    pub chain: Vec<String>,
    /// SHA-256 of the text.
    #[serde(skip)]
    pub digest: Digest,
}

/// A script that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("drill script {name}: {reason}")]
pub struct ScriptError {
    /// The script.
    pub name: String,
    /// Why.
    pub reason: String,
}

const EMBEDDED: [(&str, &str); 11] = [
    ("switchover", include_str!("../scripts/switchover.toml")),
    ("primary-kill", include_str!("../scripts/primary-kill.toml")),
    ("site-loss", include_str!("../scripts/site-loss.toml")),
    ("link-cut", include_str!("../scripts/link-cut.toml")),
    ("province-loss", include_str!("../scripts/province-loss.toml")),
    ("ca-loss", include_str!("../scripts/ca-loss.toml")),
    ("quorum-loss", include_str!("../scripts/quorum-loss.toml")),
    ("restore-test", include_str!("../scripts/restore-test.toml")),
    ("standby-read-check", include_str!("../scripts/standby-read-check.toml")),
    ("ca-rotation", include_str!("../scripts/ca-rotation.toml")),
    ("full-day", include_str!("../scripts/full-day.toml")),
];

/// Every script of this version, in the order in which a newcomer would run them.
pub fn scripts() -> Result<Vec<Script>, ScriptError> {
    EMBEDDED.iter().map(|(name, text)| Script::read(name, text)).collect()
}

/// A script by its name.
pub fn script(name: &str) -> Result<Option<Script>, ScriptError> {
    EMBEDDED.iter().find(|(n, _)| *n == name).map(|(n, text)| Script::read(n, text)).transpose()
}

impl Script {
    /// Reads a script from its text.
    pub fn read(name: &str, text: &str) -> Result<Self, ScriptError> {
        let fail = |reason: String| ScriptError { name: name.to_owned(), reason };
        let mut script: Script = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        script.digest = Digest::of(text.as_bytes());
        if script.name != name {
            return Err(fail(format!("it calls itself {}", script.name)));
        }
        script.check().map_err(|reason| fail(reason.to_string()))?;
        Ok(script)
    }

    /// True when it is a chain of others.
    pub fn is_chain(&self) -> bool {
        !self.chain.is_empty()
    }

    /// True when it replaces the root.
    pub fn rotates(&self) -> bool {
        self.steps.iter().any(|s| s.action == Action::RotatePrepare)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.limit_s == 0 || self.limit_s > 86_400 {
            return Err(Fault("limit_s lies between 1 and 86400"));
        }
        if !(self.rate > 0.0 && self.rate <= 1_000.0) {
            return Err(Fault("rate lies between 0 and 1000"));
        }
        if self.is_chain() != self.steps.is_empty() {
            return Err(Fault("it has either steps or a chain"));
        }
        let mut names: Vec<&str> = self.steps.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|w| w[0] == w[1]) {
            return Err(Fault("two steps have one name"));
        }
        if self.is_chain() {
            return Ok(());
        }
        let does = |a: Action| self.steps.iter().any(|s| s.action == a);
        let whole = [
            (self.target.kills(), does(Action::Kill) && does(Action::Start)),
            (self.target.kills() && self.target.moves(), does(Action::Failover)),
            // A root that is published must come into use, and be known to everybody, or the drill shows half a rotation.
            (does(Action::RotatePrepare), does(Action::RotateForced) && does(Action::RotateFollowed)),
            (self.target == Target::Link, does(Action::Cut) && does(Action::Heal)),
            (self.target.moves(), does(Action::Failback)),
            (does(Action::Image), does(Action::Sweep) && self.isolated && self.target == Target::None),
            // What it opens must close, and must have been refused without.
            (does(Action::Unlock), does(Action::Locked) && does(Action::IssueRefused) && self.target.kills()),
        ];
        if whole.iter().any(|(needed, there)| *needed && !there) {
            return Err(Fault("what it disturbs it must also mend"));
        }
        if does(Action::Kill) && !self.target.kills() || does(Action::Cut) && self.target != Target::Link {
            return Err(Fault("it disturbs more than its target"));
        }
        if self.target != Target::None && !self.steps.iter().any(|s| s.measured) {
            return Err(Fault("no step is measured"));
        }
        Ok(())
    }
}

struct Fault(&'static str);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_script_can_be_used_and_chains_name_scripts_that_are_there() {
        let all = scripts().unwrap();
        assert_eq!(all.len(), EMBEDDED.len());
        for s in &all {
            assert!(s.chain.iter().all(|n| script(n).unwrap().is_some_and(|s| !s.is_chain())), "{}", s.name);
            assert_eq!(s.objectives.rpo_records, 0, "{}: no drill of ours may lose an answer", s.name);
        }
        assert!(script("quorum-lost").unwrap().is_none());
    }

    #[test]
    fn a_script_that_does_not_mend_what_it_disturbs_or_has_an_unknown_word_is_refused() {
        let text = include_str!("../scripts/primary-kill.toml");
        assert!(Script::read("primary-kill", text).is_ok());
        let no_start = text.replace("action = \"start\"", "action = \"follow\"");
        assert!(Script::read("primary-kill", &no_start).unwrap_err().reason.contains("mend"));
        let typo = text.replace("action = \"kill\"", "action = \"kil\"");
        assert!(Script::read("primary-kill", &typo).is_err());
        assert!(Script::read("another", text).unwrap_err().reason.contains("calls itself"));
        let copies = include_str!("../scripts/quorum-loss.toml");
        assert!(Script::read("quorum-loss", &copies.replace("isolated = true", "isolated = false")).is_err());
        assert!(Script::read("quorum-loss", &copies.replace("\"sweep\"", "\"follow\"")).is_err());
        let ca = include_str!("../scripts/ca-loss.toml");
        assert!(Script::read("ca-loss", &ca.replace("\"locked\"", "\"follow\"")).is_err());
        assert!(Script::read("ca-loss", &ca.replace("\"issue_refused\"", "\"follow\"")).is_err());
        let timeless = text.replace("limit_s = ", "limit_s = 0 # ");
        assert!(Script::read("primary-kill", &timeless).unwrap_err().reason.contains("limit_s"));
    }
}

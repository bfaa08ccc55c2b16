//! A finding: what is wrong, how bad, why, who must act, and the command to begin with.

use crate::kinds::Kind;
use serde_json::{Value, json};

/// How bad. The worst comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Documents are refused or may be lost now.
    Critical,
    /// Something does not work; what it protects is gone until it is mended.
    Error,
    /// It works, and will not for long or not after the next fault.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// Its name in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }

    /// Its name for people (English, Chinese).
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Severity::Critical => ("CRITICAL", "严重"),
            Severity::Error => ("ERROR", "错误"),
            Severity::Warning => ("WARNING", "警告"),
            Severity::Info => ("INFO", "提示"),
        }
    }
}

/// Who must act, by the role that may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// Nodes, disks, lines, clocks, versions.
    SystemAdministrator,
    /// Certificates, keys, users.
    SecurityAdministrator,
    /// Placements, moves, tails, exchange of a platform.
    PlatformOperator,
    /// Code tables and packs.
    Publisher,
    /// The second person.
    Approver,
}

impl Owner {
    /// Its name in JSON: the role's.
    pub fn word(self) -> &'static str {
        match self {
            Owner::SystemAdministrator => "system_administrator",
            Owner::SecurityAdministrator => "security_administrator",
            Owner::PlatformOperator => "platform_operator",
            Owner::Publisher => "publisher",
            Owner::Approver => "approver",
        }
    }

    /// Its name for people (English, Chinese).
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Owner::SystemAdministrator => ("system administrator", "系统管理员"),
            Owner::SecurityAdministrator => ("security administrator", "安全管理员"),
            Owner::PlatformOperator => ("platform operator", "平台操作员"),
            Owner::Publisher => ("publisher", "码表发布员"),
            Owner::Approver => ("approver", "审批人"),
        }
    }
}

/// The same in both languages.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Words {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

impl Words {
    /// Both texts.
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// A text that another program wrote in one language already.
    pub fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { en: text.clone(), zh: text }
    }

    /// One of them.
    pub fn pick(&self, chinese: bool) -> &str {
        if chinese { &self.zh } else { &self.en }
    }
}

/// What is wrong with one subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable id: one of the catalogue, or a code EPnnnn.
    pub id: String,
    /// Node, platform, site or pair of nodes.
    pub subject: String,
    /// In a few words, the same for every finding of this id.
    pub title: Words,
    /// What was seen.
    pub cause: Words,
    /// Who must act.
    pub owner: Owner,
    /// The command to begin with.
    pub next: String,
    /// True when `docs/runbooks` has a section of this id.
    pub runbook: bool,
}

impl Finding {
    /// A finding of the catalogue.
    pub(crate) fn of(kind: &Kind, subject: impl Into<String>, cause: Words, next: impl Into<String>) -> Self {
        Self {
            severity: kind.severity,
            id: kind.id.to_owned(),
            subject: subject.into(),
            title: Words::new(kind.title.0, kind.title.1),
            cause,
            owner: kind.owner,
            next: next.into(),
            runbook: kind.severity != Severity::Info,
        }
    }

    /// The same, less or more bad than usual.
    pub(crate) fn at(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The finding in one language, as `eport doctor --json` prints it.
    pub fn document(&self, chinese: bool) -> Value {
        json!({
            "id": self.id, "severity": self.severity.word(), "subject": self.subject,
            "title": self.title.pick(chinese), "cause": self.cause.pick(chinese),
            "owner": self.owner.word(), "next": self.next,
            "runbook": self.runbook.then(|| format!("docs/runbooks/README.md#{}", self.id)),
        })
    }
}

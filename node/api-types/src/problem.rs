//! Errors on the wire: problem+json (RFC 9457) over HTTP, `{"error": …}` on the command line.

use crate::Failure;
use eport_identity::{Epoch, NodeId};
use eport_model::{Code, CodeInfo};
use serde::{Deserialize, Serialize};

/// Body of every error answer, media type `application/problem+json`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Page of the code, for example `/docs/errors/EP5001`.
    pub r#type: String,
    /// One line in the asked language.
    pub title: String,
    /// HTTP status, repeated.
    pub status: u16,
    /// What happened to this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Stable code, `EPnnnn`.
    pub code: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// True when the same request may succeed later.
    pub retryable: bool,
    /// Finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// All failures of a refused document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// `unknown` when the request may or may not have taken effect: repeat it with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The approval that waits for a second person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The business key to repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who is primary (with 421).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<NodeId>,
    /// In which epoch (with 421).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Address of the primary's API (with 421).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

impl Problem {
    /// A problem of a known code. A code of another version becomes status 500 without texts.
    pub fn of(code: Code, chinese: bool, detail: impl Into<String>) -> Self {
        let info = code.info();
        let pick = |pair: fn(&CodeInfo) -> (&'static str, &'static str)| {
            info.map(pair).map(|(en, zh)| if chinese { zh } else { en }.to_owned())
        };
        Self {
            r#type: format!("/docs/errors/{code}"),
            title: pick(|i| i.title).unwrap_or_default(),
            status: info.map_or(500, |i| i.http),
            detail: Some(detail.into()),
            code: code.to_string(),
            hint: pick(|i| i.remedy),
            retryable: info.is_some_and(|i| i.retryable),
            ..Self::default()
        }
    }
}

/// Answer of a node that is not primary and was asked not to forward (status 421).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Redirect {
    /// The primary.
    pub primary: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Address of its API.
    pub api: String,
}

/// What `eport --json` prints when it fails.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CliError {
    /// The error.
    pub error: CliErrorBody,
}

/// The error itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CliErrorBody {
    /// Stable code, `EPnnnn`.
    pub code: String,
    /// One line.
    pub title: String,
    /// What happened.
    pub detail: String,
    /// What to do.
    pub hint: String,
    /// True when the same command may succeed later.
    pub retryable: bool,
}

impl From<Problem> for CliError {
    fn from(p: Problem) -> Self {
        Self {
            error: CliErrorBody {
                code: p.code,
                title: p.title,
                detail: p.detail.unwrap_or_default(),
                hint: p.hint.unwrap_or_default(),
                retryable: p.retryable,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_model::codes;

    #[test]
    fn a_problem_speaks_both_languages_and_keeps_its_code() {
        let zh = Problem::of(codes::DOCUMENT_REFUSED, true, "2 failures");
        let en = Problem::of(codes::DOCUMENT_REFUSED, false, "2 failures");
        assert_eq!((zh.status, zh.code.as_str(), zh.title.as_str()), (422, "EP5001", "单证被拒绝"));
        assert_eq!(en.title, "The document was refused");
        let json = serde_json::to_value(&en).unwrap();
        assert_eq!(json["type"], "/docs/errors/EP5001");
        assert!(json.get("primary").is_none(), "absent facts are left out");
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), en);
        assert_eq!(CliError::from(en).error.code, "EP5001");
    }
}

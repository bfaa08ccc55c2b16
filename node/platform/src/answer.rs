//! Answers to submissions, and their forms on the wire.

use crate::job::{Settled, Stored};
use eport_api_types::{BatchLine, DocumentAccepted, Failure, Problem};
use eport_documents::Refusal;
use eport_model::{Code, Coded, Epoch, NodeId, codes};

/// What a submission is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubmitAnswer {
    /// 201: stored now.
    Accepted(DocumentAccepted),
    /// 200: stored before; the first answer again.
    Repeated(DocumentAccepted),
    /// 4xx: refused; the key is not consumed.
    Refused {
        /// Stable code.
        code: Code,
        /// All failures.
        failures: Vec<Failure>,
        /// What happened, in one sentence.
        detail: String,
    },
    /// This node is not primary: the HTTP layer forwards, or answers 421.
    Redirect {
        /// The primary.
        primary: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// 503: repeat with the same key.
    Unavailable {
        /// Stable code.
        code: Code,
        /// What happened, in one sentence.
        detail: String,
        /// The business key; empty when the document was not read.
        key: String,
        /// True when the document may have been stored: only repeating it tells.
        unknown: bool,
    },
}

impl SubmitAnswer {
    pub(crate) fn unavailable(code: Code, detail: &str) -> Self {
        SubmitAnswer::Unavailable { code, detail: detail.to_owned(), key: String::new(), unknown: false }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            SubmitAnswer::Accepted(_) => 201,
            SubmitAnswer::Repeated(_) => 200,
            SubmitAnswer::Redirect { .. } => 421,
            SubmitAnswer::Refused { code, .. } | SubmitAnswer::Unavailable { code, .. } => {
                code.info().map_or(500, |i| i.http)
            }
        }
    }

    /// The stored document, for 201 and 200.
    pub fn document(&self) -> Option<&DocumentAccepted> {
        match self {
            SubmitAnswer::Accepted(d) | SubmitAnswer::Repeated(d) => Some(d),
            _ => None,
        }
    }

    /// The error body for one document; `None` for 201 and 200. `api` of a redirect is the HTTP layer's to add.
    pub fn problem(&self, chinese: bool) -> Option<Problem> {
        match self {
            SubmitAnswer::Accepted(_) | SubmitAnswer::Repeated(_) => None,
            SubmitAnswer::Refused { code, failures, detail } => {
                Some(Problem { failures: failures.clone(), ..Problem::of(*code, chinese, detail.clone()) })
            }
            SubmitAnswer::Redirect { primary, epoch } => Some(Problem {
                primary: Some(*primary),
                epoch: Some(*epoch),
                ..Problem::of(codes::NOT_PRIMARY, chinese, format!("{primary} is primary in epoch {epoch}"))
            }),
            SubmitAnswer::Unavailable { code, detail, key, unknown } => Some(Problem {
                outcome: unknown.then(|| "unknown".to_owned()),
                key: (!key.is_empty()).then(|| key.clone()),
                ..Problem::of(*code, chinese, detail.clone())
            }),
        }
    }

    /// The line of a batch answer.
    pub fn into_line(self, line: u64) -> BatchLine {
        let status = self.status();
        let empty = BatchLine { line, status, ..BatchLine::default() };
        match self {
            SubmitAnswer::Accepted(d) | SubmitAnswer::Repeated(d) => BatchLine {
                doc_id: Some(d.doc_id),
                doc_version: Some(d.doc_version),
                state: Some(d.state),
                position: Some(d.position),
                durability: Some(d.durability),
                warnings: d.warnings,
                ..empty
            },
            SubmitAnswer::Refused { code, failures, detail } => BatchLine {
                code: Some(code.to_string()),
                failures: Some(failures),
                detail: Some(detail),
                ..empty
            },
            SubmitAnswer::Redirect { primary, .. } => BatchLine {
                code: Some(codes::NOT_PRIMARY.to_string()),
                detail: Some(format!("{primary} is primary")),
                ..empty
            },
            SubmitAnswer::Unavailable { code, detail, key, unknown } => BatchLine {
                code: Some(code.to_string()),
                detail: Some(detail),
                key: (!key.is_empty()).then_some(key),
                outcome: unknown.then(|| "unknown".to_owned()),
                ..empty
            },
        }
    }

    /// The answer to a settled document with this business key.
    pub(crate) fn settled(settled: Settled, key: &eport_documents::BusinessKey) -> Self {
        let not_stored = |code, detail: String| SubmitAnswer::Unavailable {
            code,
            detail,
            key: key.to_string(),
            unknown: false,
        };
        match settled {
            Settled::Stored(stored) => Self::stored(stored),
            Settled::Different { doc_id } => SubmitAnswer::Refused {
                code: codes::DOCUMENT_DUPLICATE,
                failures: vec![Failure {
                    path: String::new(),
                    code: "E-DUP-DIFFERENT".into(),
                    detail: format!("{doc_id} has this key and other content"),
                }],
                detail: format!("key {key} names {doc_id}, whose content differs"),
            },
            Settled::Refused(refusal) => refusal.into(),
            Settled::NoNumbers => {
                not_stored(codes::NUMBERS_EXHAUSTED, "no number is left in this epoch's blocks".into())
            }
            Settled::Held => not_stored(
                codes::OVERLOADED,
                "the platform is changing its primary; nothing was stored".into(),
            ),
            Settled::NotPrimary { primary, epoch } => SubmitAnswer::Redirect { primary, epoch },
            Settled::Overloaded => {
                not_stored(codes::OVERLOADED, "too many documents wait; nothing was stored".into())
            }
            Settled::DiskFull => not_stored(
                codes::QUOTA_DISK,
                "the platform takes as much disk as its quota allows; nothing was stored".into(),
            ),
            Settled::Unpromisable => not_stored(
                codes::DURABILITY_UNMET,
                "the answer must promise replicated, and the platform's policy never does; nothing was stored".into(),
            ),
            Settled::Fenced => not_stored(
                codes::FENCED,
                "this node may not write for the platform; nothing was stored".into(),
            ),
            Settled::Unknown => SubmitAnswer::Unavailable {
                code: codes::WRITE_BLOCKED,
                detail: "not confirmed in time; it may or may not be stored".into(),
                key: key.to_string(),
                unknown: true,
            },
            Settled::Failed { detail } => SubmitAnswer::Unavailable {
                code: codes::STORAGE_FAILED,
                detail,
                key: key.to_string(),
                unknown: true,
            },
        }
    }

    fn stored(stored: Stored) -> Self {
        let accepted = DocumentAccepted {
            doc_id: stored.doc_id,
            doc_version: stored.doc_version,
            state: stored.state.to_string(),
            position: stored.position,
            durability: stored.durability,
            warnings: stored.warnings.into_iter().map(failure).collect(),
        };
        if stored.repeated { SubmitAnswer::Repeated(accepted) } else { SubmitAnswer::Accepted(accepted) }
    }
}

impl From<Refusal> for SubmitAnswer {
    fn from(refusal: Refusal) -> Self {
        let (code, detail) = (refusal.code(), refusal.to_string());
        match refusal {
            Refusal::TableNotHere { .. } => SubmitAnswer::unavailable(code, &detail),
            other => SubmitAnswer::Refused {
                code,
                failures: other.failures().into_iter().map(failure).collect(),
                detail,
            },
        }
    }
}

fn failure(f: eport_documents::Failure) -> Failure {
    Failure { path: f.path, code: f.code, detail: f.detail }
}

//! Errors of the command line: what went wrong, with the stable code, what to do, and the exit code.

use crate::exit;
use eport_model::codes::{DEV_FAILED, KEY_UNREADABLE, USAGE};
use eport_model::{Code, Coded};
use serde_json::{Value, json};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is incomplete or contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// A call to the API failed.
    #[error("{0}")]
    Api(#[from] eport_client::Error),
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A condition with a code of its own.
    #[error("{detail}")]
    Coded {
        /// The code.
        code: Code,
        /// What happened.
        detail: String,
    },
    /// The result has been printed already; only the exit code is left.
    #[error("exit {0}")]
    Exit(u8),
}

impl Error {
    /// An error with a code of the catalogue.
    pub fn coded(code: Code, detail: impl Into<String>) -> Self {
        Self::Coded { code, detail: detail.into() }
    }

    /// A usage error.
    pub fn usage(detail: impl Into<String>) -> Self {
        Self::Usage(detail.into())
    }

    /// Attaches a path to an I/O error.
    pub fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }

    /// A failure of the local federation.
    pub fn dev(detail: impl Into<String>) -> Self {
        Self::coded(DEV_FAILED, detail)
    }

    /// A certificate or key that cannot be used.
    pub fn key(detail: impl Into<String>) -> Self {
        Self::coded(KEY_UNREADABLE, detail)
    }

    /// Exit code.
    pub fn exit(&self) -> u8 {
        match self {
            Error::Api(e) => e.exit(),
            Error::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => exit::NOT_FOUND,
            Error::File { .. } => exit::FAILED,
            Error::Exit(code) => *code,
            Error::Usage(_) | Error::Coded { .. } => self.code().info().map_or(exit::FAILED, |i| i.exit),
        }
    }

    /// What to do (English, Chinese): the remedy of the code, else the hint of a newer server.
    pub fn hint(&self) -> Option<(String, String)> {
        let served = || match self {
            Error::Api(e) => e.problem().and_then(|p| p.hint.clone()).map(|h| (h.clone(), h)),
            _ => None,
        };
        self.code().info().map(|i| (i.remedy.0.to_owned(), i.remedy.1.to_owned())).or_else(served)
    }

    /// The title in both languages (English, Chinese).
    pub fn title(&self) -> (String, String) {
        if let Error::Api(e) = self
            && let Some(p) = e.problem()
            && p.known().is_none()
        {
            return (p.title.clone(), p.title.clone());
        }
        self.code().info().map_or_else(
            || (self.code().to_string(), self.code().to_string()),
            |i| (i.title.0.to_owned(), i.title.1.to_owned()),
        )
    }

    /// The object that `--json` prints: `{"error":{code,title,detail,hint,retryable,…}}`.
    pub fn document(&self, lang: crate::lang::Lang) -> Value {
        let title = lang.pick(self.title());
        let hint = self.hint().map(|h| lang.pick(h));
        let mut error = json!({
            "code": self.code().to_string(), "title": title, "detail": self.to_string(), "hint": hint,
            "retryable": self.retryable(),
        });
        if let Error::Api(e) = self
            && let (Some(p), Some(members)) = (e.problem(), error.as_object_mut())
        {
            for (name, value) in p.more.iter().filter(|(n, _)| n.as_str() != "type") {
                members.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        json!({ "error": error })
    }

    fn retryable(&self) -> bool {
        match self {
            Error::Api(e) => e.may_retry(),
            Error::Exit(_) => false,
            _ => self.code().info().is_some_and(|i| i.retryable),
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::Usage(_) | Error::Exit(_) => USAGE,
            Error::Api(e) => e.code(),
            Error::File { .. } => eport_model::codes::FILE_UNUSABLE,
            Error::Coded { code, .. } => *code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Lang;
    use eport_model::codes;

    #[test]
    fn every_kind_of_error_has_its_documented_exit() {
        let api = |status, code: &str| {
            Error::Api(eport_client::Error::Problem(Box::new(eport_client::Problem {
                status,
                code: code.into(),
                ..Default::default()
            })))
        };
        assert_eq!(Error::usage("x").exit(), 2);
        assert_eq!(api(404, "EP2004").exit(), 3);
        assert_eq!(api(409, "EP2001").exit(), 4);
        assert_eq!(api(503, "EP2002").exit(), 5);
        assert_eq!(api(403, "EP6002").exit(), 6);
        assert_eq!(api(409, "EP2101").exit(), 7);
        assert_eq!(Error::coded(codes::VERIFY_DIFFERENCE, "x").exit(), 11);
        assert_eq!(api(418, "").exit(), 1);
    }

    #[test]
    fn the_json_error_carries_code_title_hint_and_what_the_server_added() {
        let mut p = eport_client::Problem {
            status: 422,
            code: "EP5001".into(),
            detail: "2 rules".into(),
            ..Default::default()
        };
        p.more.insert("failures".into(), json!([{"path": "/body/port", "code": "E-TABLE-KEY"}]));
        let doc = Error::Api(eport_client::Error::Problem(Box::new(p))).document(Lang::Zh);
        assert_eq!(doc["error"]["code"], "EP5001");
        assert_eq!(doc["error"]["title"], "单证被拒绝");
        assert_eq!(doc["error"]["retryable"], false);
        assert_eq!(doc["error"]["failures"][0]["code"], "E-TABLE-KEY");
        assert!(doc["error"]["hint"].as_str().unwrap().contains("重新提交"));
    }
}

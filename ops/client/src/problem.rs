//! A problem answer (`application/problem+json`, RFC 9457) as the API sends it.

use eport_model::Code;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the server said about a request it did not fulfil. Unknown members are kept in `more`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// Stable code `EPnnnn` as text; empty when the answer carried none.
    #[serde(default)]
    pub code: String,
    /// One line.
    #[serde(default)]
    pub title: String,
    /// What happened, with the objects and limits.
    #[serde(default)]
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same request may succeed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// Every other member: `failures`, `primary`, `request_id`, …
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// Reads an error answer; a body that is no problem document becomes the detail, cut to 400 characters.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let mut problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| Problem {
            detail: String::from_utf8_lossy(body).trim().chars().take(400).collect(),
            ..Problem::default()
        });
        problem.status = status;
        if problem.title.is_empty() {
            problem.title =
                problem.known().map_or_else(|| format!("HTTP {status}"), |i| i.title.0.to_owned());
        }
        problem
    }

    /// The code, when it is one this version knows or at least can read.
    pub fn stable_code(&self) -> Option<Code> {
        self.code.parse().ok()
    }

    /// The catalogue entry of the code.
    pub fn known(&self) -> Option<&'static eport_model::CodeInfo> {
        self.stable_code().and_then(Code::info)
    }

    /// Exit code of the command line: the code's own, else by HTTP status.
    pub fn exit(&self) -> u8 {
        self.known().map_or_else(|| exit_of_status(self.status), |i| i.exit)
    }

    /// Whether the same request may succeed later: the server's word, else the code's, else the status.
    pub fn may_retry(&self) -> bool {
        self.retryable
            .or_else(|| self.known().map(|i| i.retryable))
            .unwrap_or(matches!(self.status, 429 | 502 | 503 | 504))
    }
}

/// Exit code for an answer without a known code.
fn exit_of_status(status: u16) -> u8 {
    match status {
        400 | 405 | 415 => 2,
        401 | 403 => 6,
        404 => 3,
        409 | 412 | 421 => 4,
        429 | 502 | 503 | 504 => 5,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_what_it_does_not_know_and_maps_its_code_to_the_documented_exit() {
        let body = br#"{"type":"x","code":"EP2102","title":"t","detail":"d","primary":"gz-a-1","failures":[{"path":"/a"}]}"#;
        let p = Problem::read(409, body);
        assert_eq!((p.exit(), p.status, p.may_retry()), (7, 409, false));
        assert_eq!(p.more["primary"], "gz-a-1");
        assert_eq!(p.more["failures"][0]["path"], "/a");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_judged_by_its_status() {
        let p = Problem::read(503, b"<html>bad gateway</html>");
        assert_eq!((p.exit(), p.may_retry(), p.title.as_str()), (5, true, "HTTP 503"));
        assert!(p.detail.contains("bad gateway"));
        let exits: Vec<u8> = [400, 403, 404, 409, 500, 504].map(exit_of_status).to_vec();
        assert_eq!(exits, [2, 6, 3, 4, 1, 5]);
    }
}

//! Errors of the API: one type, made from anything with a code, answered as problem+json in the caller's language.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eport_api_types::Problem;
use eport_model::{Code, Coded, codes};

/// A refusal of a request.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// What the caller is told.
    pub problem: Box<Problem>,
    code: Code,
    retry_after_s: Option<u32>,
}

impl ApiError {
    /// An error of a code with the detail of this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut problem = Problem::of(code, false, detail);
        if code == codes::OUTCOME_UNKNOWN {
            problem.outcome = Some("unknown".to_owned());
        }
        let retry_after_s = (problem.retryable && problem.status == 503).then_some(1);
        Self { problem: Box::new(problem), code, retry_after_s }
    }

    /// The same error with the time after which it is worth asking again.
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_s = Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        self
    }

    /// An error from anything with a code.
    pub fn of(error: &(impl Coded + std::fmt::Display)) -> Self {
        Self::new(error.code(), error.to_string())
    }

    /// The refusal of another node, read from its problem+json.
    pub fn passed_on(body: &[u8]) -> Self {
        let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let code = problem["code"].as_str().and_then(|c| c.parse().ok()).unwrap_or(codes::PEER_UNREACHABLE);
        Self::new(code, problem["detail"].as_str().unwrap_or("no reason was given"))
    }

    /// A request that does not have the documented shape.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(codes::BAD_REQUEST, detail)
    }

    /// No such object.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(codes::NOT_FOUND, format!("there is no {what}"))
    }

    /// The subject may not do this.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(codes::FORBIDDEN, reason)
    }

    /// The same error in the caller's language.
    pub fn in_language(mut self, headers: &HeaderMap) -> Self {
        if wants_chinese(headers) {
            let zh = Problem::of(self.code, true, String::new());
            self.problem.title = zh.title;
            self.problem.hint = zh.hint;
        }
        self
    }
}

/// True when the caller asked for Chinese.
pub fn wants_chinese(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.trim_start().starts_with("zh"))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        // Whoever wraps the handlers adds the request id and the caller's language.
        let copy = self.clone();
        response.extensions_mut().insert(copy);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl<E: Coded + std::fmt::Display> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

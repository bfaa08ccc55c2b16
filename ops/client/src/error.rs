//! Why a call to the API failed.

use crate::Problem;
use eport_model::codes::{API_UNREACHABLE, INTERNAL};
use eport_model::{Code, Coded};

/// Why a call to the API failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a problem.
    #[error("{}", describe(.0))]
    Problem(Box<Problem>),
    /// No connection could be made: the request was never sent.
    #[error("{api} cannot be reached: {detail}")]
    Unreachable {
        /// The address.
        api: String,
        /// The innermost reason.
        detail: String,
    },
    /// The connection broke or the time was over after the request was sent: it may or may not have taken effect.
    #[error("{api} did not answer: {detail}")]
    NoAnswer {
        /// The address.
        api: String,
        /// The innermost reason.
        detail: String,
    },
    /// The answer does not have the documented shape.
    #[error("the answer of {api} to {path} is not readable: {detail}")]
    Answer {
        /// The address.
        api: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Certificate, key or trust files cannot be used, or the address is no URL.
    #[error("{detail}")]
    Setup {
        /// Which, and why.
        detail: String,
        /// The code of the cause.
        code: Code,
    },
}

fn describe(problem: &Problem) -> String {
    match (problem.detail.is_empty(), problem.title.is_empty()) {
        (false, _) => problem.detail.clone(),
        (true, false) => problem.title.clone(),
        (true, true) => format!("HTTP {}", problem.status),
    }
}

impl Error {
    /// The problem document, if the server sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Problem(p) => Some(p),
            _ => None,
        }
    }

    /// Exit code of the command line (interfaces §1).
    pub fn exit(&self) -> u8 {
        match self {
            Error::Problem(p) => p.exit(),
            other => other.code().info().map_or(1, |i| i.exit),
        }
    }

    /// True when the same request may succeed later or at another node.
    pub fn may_retry(&self) -> bool {
        match self {
            Error::Problem(p) => p.may_retry(),
            Error::Unreachable { .. } | Error::NoAnswer { .. } => true,
            Error::Answer { .. } | Error::Setup { .. } => false,
        }
    }

    /// True when the request may have taken effect although it failed.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Error::Problem(p) => p.status >= 500 && !self.never_started(),
            Error::NoAnswer { .. } | Error::Answer { .. } => true,
            Error::Unreachable { .. } | Error::Setup { .. } => false,
        }
    }

    /// True when the server says that it did not begin with the request.
    fn never_started(&self) -> bool {
        use eport_model::codes::{DRAINING, NO_LEADER, OVERLOADED};
        self.problem()
            .and_then(Problem::stable_code)
            .is_some_and(|c| [OVERLOADED, DRAINING, NO_LEADER].contains(&c))
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::Problem(p) => p.stable_code().unwrap_or(INTERNAL),
            Error::Unreachable { .. } | Error::NoAnswer { .. } => API_UNREACHABLE,
            Error::Answer { .. } => INTERNAL,
            Error::Setup { code, .. } => *code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, code: &str) -> Error {
        Error::Problem(Box::new(Problem { status, code: code.into(), ..Problem::default() }))
    }

    #[test]
    fn only_an_answer_that_proves_nothing_happened_is_a_known_outcome() {
        let unsent = Error::Unreachable { api: "a".into(), detail: "refused".into() };
        let lost = Error::NoAnswer { api: "a".into(), detail: "reset".into() };
        assert!(!unsent.outcome_unknown() && unsent.may_retry());
        assert!(lost.outcome_unknown() && lost.may_retry());
        assert!(problem(503, "EP3002").outcome_unknown(), "a blocked write may still be there");
        assert!(!problem(503, "EP3004").outcome_unknown(), "a full queue took nothing");
        assert!(!problem(422, "EP5001").outcome_unknown());
    }

    #[test]
    fn exits_follow_the_codes() {
        assert_eq!(problem(409, "EP2101").exit(), 7);
        assert_eq!(problem(404, "EP2004").exit(), 3);
        assert_eq!(Error::NoAnswer { api: String::new(), detail: String::new() }.exit(), 5);
    }
}

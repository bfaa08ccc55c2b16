//! From an answer, or the lack of one, to a line of the log.

use crate::load::log::{Attempt, Outcome};
use eport_client::Error;
use eport_model::Coded as _;
use serde_json::Value;

/// The line of a finished attempt; `times` are (sent, done).
pub fn attempt(
    number: u64,
    attempt: u32,
    document: &Value,
    api: &str,
    times: (f64, f64),
    result: &Result<(u16, Value), Error>,
) -> Attempt {
    let mut line = Attempt {
        number,
        attempt,
        client_ref: document["client_ref"].as_str().unwrap_or_default().to_owned(),
        api: api.to_owned(),
        sent_ms: times.0,
        done_ms: times.1,
        outcome: Outcome::Unknown,
        status: None,
        code: None,
        detail: None,
        doc_id: None,
        durability: None,
        epoch: None,
        index: None,
        digest: None,
    };
    match result {
        Ok((status, answer)) => accepted(&mut line, *status, answer),
        Err(error) => failed(&mut line, error),
    }
    line
}

fn accepted(line: &mut Attempt, status: u16, answer: &Value) {
    let text = |v: &Value| v.as_str().map(str::to_owned);
    line.outcome = if status == 201 { Outcome::Acknowledged } else { Outcome::Repeated };
    line.status = Some(status);
    line.doc_id = text(&answer["doc_id"]);
    line.durability = text(&answer["durability"]);
    line.epoch = answer["position"]["epoch"].as_u64();
    line.index = answer["position"]["index"].as_u64();
    line.digest = text(&answer["position"]["digest"]);
}

fn failed(line: &mut Attempt, error: &Error) {
    line.status = error.problem().map(|p| p.status);
    line.code = Some(error.code().to_string());
    line.detail = Some(error.to_string());
    line.outcome = match (error.outcome_unknown(), error.may_retry()) {
        (true, _) => Outcome::Unknown,
        (false, true) => Outcome::Unavailable,
        (false, false) => Outcome::Refused,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_becomes_a_promise_with_its_place_and_a_broken_connection_an_open_question() {
        let document = json!({"client_ref": "A-1"});
        let answer =
            json!({"doc_id": "E1", "durability": "replicated", "position": {"epoch": 2, "index": 9}});
        let line = attempt(1, 1, &document, "https://a", (1.0, 2.0), &Ok((201, answer)));
        assert_eq!((line.outcome, line.epoch, line.index), (Outcome::Acknowledged, Some(2), Some(9)));
        let lost = Err(Error::NoAnswer { api: "https://a".into(), detail: "reset".into() });
        assert_eq!(attempt(1, 1, &document, "https://a", (1.0, 2.0), &lost).outcome, Outcome::Unknown);
        let unsent = Err(Error::Unreachable { api: "https://a".into(), detail: "refused".into() });
        assert_eq!(attempt(1, 1, &document, "https://a", (1.0, 2.0), &unsent).outcome, Outcome::Unavailable);
    }
}

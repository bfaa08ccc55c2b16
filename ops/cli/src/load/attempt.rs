//! From an answer, or the lack of one, to a line of the log.

use crate::load::log::{Attempt, Outcome};
use eport_client::Error;
use eport_model::Coded as _;
use serde_json::Value;

/// What was sent, and when the answer or the error came.
pub struct Sent<'a> {
    pub number: u64,
    pub attempt: u32,
    pub document: &'a Value,
    pub api: &'a str,
    pub sent_ms: f64,
    pub done_ms: f64,
}

/// The line of a finished attempt.
pub fn attempt(sent: Sent<'_>, result: &Result<(u16, Value), Error>) -> Attempt {
    let mut line = open(sent);
    match result {
        Ok((status, answer)) => accepted(&mut line, *status, answer),
        Err(error) => failed(&mut line, error),
    }
    line
}

/// The line of a document that a batch answered.
pub fn answered(sent: Sent<'_>, item: &Value) -> Attempt {
    let mut line = open(sent);
    let status = item["status"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or_default();
    if matches!(status, 200 | 201) {
        accepted(&mut line, status, item);
        return line;
    }
    line.status = Some(status);
    line.code = item["code"].as_str().map(str::to_owned);
    // An answer that does not say what became of the document leaves it open.
    let final_answer = (400..500).contains(&status) && status != 429;
    line.outcome = if final_answer { Outcome::Refused } else { Outcome::Unknown };
    line
}

fn open(sent: Sent<'_>) -> Attempt {
    Attempt {
        number: sent.number,
        attempt: sent.attempt,
        client_ref: sent.document["client_ref"].as_str().unwrap_or_default().to_owned(),
        api: sent.api.to_owned(),
        sent_ms: sent.sent_ms,
        done_ms: sent.done_ms,
        outcome: Outcome::Unknown,
        status: None,
        code: None,
        detail: None,
        doc_id: None,
        durability: None,
        epoch: None,
        index: None,
        digest: None,
    }
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
        let sent = || Sent {
            number: 1,
            attempt: 1,
            document: &document,
            api: "https://a",
            sent_ms: 1.0,
            done_ms: 2.0,
        };
        let answer =
            json!({"doc_id": "E1", "durability": "replicated", "position": {"epoch": 2, "index": 9}});
        let line = attempt(sent(), &Ok((201, answer)));
        assert_eq!((line.outcome, line.epoch, line.index), (Outcome::Acknowledged, Some(2), Some(9)));
        let lost = Err(Error::NoAnswer { api: "https://a".into(), detail: "reset".into() });
        assert_eq!(attempt(sent(), &lost).outcome, Outcome::Unknown);
        let unsent = Err(Error::Unreachable { api: "https://a".into(), detail: "refused".into() });
        assert_eq!(attempt(sent(), &unsent).outcome, Outcome::Unavailable);
        for (status, outcome) in [
            (201, Outcome::Acknowledged),
            (200, Outcome::Repeated),
            (422, Outcome::Refused),
            (503, Outcome::Unknown),
        ] {
            assert_eq!(answered(sent(), &json!({"status": status, "code": "EP1209"})).outcome, outcome);
        }
        assert_eq!(answered(sent(), &json!({})).outcome, Outcome::Unknown);
    }
}

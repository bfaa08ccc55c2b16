//! Documents that go in one request, until each of them is answered.
//!
//! Every attempt of every document is a line of the log. What is not answered for good goes again, with its key, in the next
//! request of the same group.

use super::attempt::{Sent, answered, attempt};
use super::log::{Line, Outcome};
use super::{AGAIN_MAX, AGAIN_MIN, Clock};
use eport_client::{Client, Repeat};
use serde_json::Value;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Documents of one request, by number.
pub struct Group {
    pub client: Client,
    pub platform: String,
    pub documents: Vec<(u64, Value)>,
    pub lines: mpsc::Sender<Line>,
    pub clock: Clock,
    pub give_up: watch::Receiver<Option<Instant>>,
}

impl Group {
    /// Sends the group until all is answered or it is too late; the last outcome of each document.
    pub async fn run(mut self) -> Vec<Outcome> {
        let mut ended = Vec::with_capacity(self.documents.len());
        let mut again = AGAIN_MIN;
        for attempt in 1u32.. {
            let api = self.client.api().to_owned();
            let outcomes = self.send(attempt, &api).await;
            let late = self.give_up.borrow().is_some_and(|at| Instant::now() >= at);
            let mut left = Vec::new();
            for (one, outcome) in std::mem::take(&mut self.documents).into_iter().zip(outcomes) {
                if outcome.is_final() || late { ended.push(outcome) } else { left.push(one) }
            }
            if left.is_empty() {
                break;
            }
            self.documents = left;
            self.client.turn_from(&api);
            tokio::time::sleep(again).await;
            again = (again * 2).min(AGAIN_MAX);
        }
        ended
    }

    /// One request; one outcome a document, in order.
    async fn send(&self, number: u32, api: &str) -> Vec<Outcome> {
        let sent_ms = self.clock.now_ms();
        let lines: Vec<_> = match self.documents.as_slice() {
            [(n, document)] => {
                let result = self.client.lodge(&self.platform, document, Repeat::Never).await;
                vec![attempt(self.sent(*n, number, document, api, sent_ms), &result)]
            }
            all => {
                let documents: Vec<Value> = all.iter().map(|(_, d)| d.clone()).collect();
                let result = self.client.lodge_batch(&self.platform, &documents, Repeat::Never).await;
                let sent = all.iter().map(|(n, d)| self.sent(*n, number, d, api, sent_ms));
                match result {
                    Ok(items) => sent.zip(&items).map(|(sent, item)| answered(sent, item)).collect(),
                    Err(error) => {
                        let failed = Err(error);
                        sent.map(|sent| attempt(sent, &failed)).collect()
                    }
                }
            }
        };
        let outcomes = lines.iter().map(|l| l.outcome).collect();
        for line in lines {
            let _ = self.lines.send(Line::Attempt(Box::new(line))).await;
        }
        outcomes
    }

    fn sent<'a>(
        &self,
        number: u64,
        attempt: u32,
        document: &'a Value,
        api: &'a str,
        sent_ms: f64,
    ) -> Sent<'a> {
        Sent { number, attempt, document, api, sent_ms, done_ms: self.clock.now_ms() }
    }
}

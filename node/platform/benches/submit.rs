//! Documents a second through the whole platform path, with a replica that commits in memory: what is left is our own work.

// A benchmark measures time.
#![allow(clippy::disallowed_methods)]

#[path = "../tests/all/support/mod.rs"]
mod support;

use bytes::Bytes;
use eport_platform::{Config, SubmitAnswer};
use std::time::{Duration, Instant};

const BATCH: usize = 256;
const CLIENTS: usize = 4;

#[tokio::main]
async fn main() {
    let h = support::start(Config {
        write_timeout: Duration::from_secs(30),
        ..Config::with_keys(support::keys(1))
    });
    let seconds = 2.0;
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let platform = h.platform.clone();
            tokio::spawn(async move {
                let (mut stored, mut round) = (0, 0);
                while start.elapsed().as_secs_f64() < seconds {
                    let lines: Vec<Bytes> =
                        (0..BATCH).map(|i| support::document(&format!("{client}-{round}-{i}"))).collect();
                    let answers = platform.submit_batch(&support::caller(), &lines).await;
                    stored += answers.iter().map(SubmitAnswer::status).filter(|s| *s == 201).count();
                    round += 1;
                }
                stored
            })
        })
        .collect();
    let mut stored = 0;
    for client in clients {
        stored += client.await.expect("a client ends");
    }
    let rate = stored as f64 / start.elapsed().as_secs_f64();
    println!(
        "{{\"bench\":\"platform/submit_batch\",\"batch\":{BATCH},\"clients\":{CLIENTS},\"documents_per_second\":{rate:.0}}}"
    );
}

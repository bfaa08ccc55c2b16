//! Waiting with an end, and the wish that a drill should stop: a signal, `drill abort`, or its deadline.

use crate::error::Error;
use eport_api_types::DrillItem;
use eport_client::Client;
use eport_model::codes::DEV_TIMEOUT;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(60);
/// How often the registry is asked whether the drill should stop.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Waits until a look succeeds; after `until` the last thing seen is the error.
pub async fn wait_for<T>(
    until: Instant,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Error> {
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() >= until => return Err(Error::coded(DEV_TIMEOUT, seen)),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Hears every reason to stop. The tasks end with the value.
pub struct Stop {
    wish: watch::Receiver<Option<String>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Stop {
    /// Listens from now on.
    pub fn listen(client: &Client, drill_id: &str) -> Result<Self, Error> {
        let (say, wish) = watch::channel(None);
        let kinds = [
            (SignalKind::interrupt(), "interrupted"),
            (SignalKind::terminate(), "terminated"),
            // The terminal went away: the drill ends as if it had been interrupted.
            (SignalKind::hangup(), "its terminal is gone"),
        ];
        let mut tasks = Vec::new();
        for (kind, why) in kinds {
            let mut signals = signal(kind).map_err(Error::file(std::path::Path::new("signal")))?;
            let say = say.clone();
            tasks.push(tokio::spawn(async move {
                if signals.recv().await.is_some() {
                    say.send_replace(Some(why.to_owned()));
                }
            }));
        }
        tasks.push(tokio::spawn(ask(client.clone(), drill_id.to_owned(), say)));
        Ok(Self { wish, tasks })
    }

    /// Why the drill should stop, if somebody wants that by now.
    pub fn wish(&self) -> Option<String> {
        self.wish.borrow().clone()
    }

    /// Waits until somebody wants the drill to stop.
    pub async fn wanted(&self) -> String {
        let mut wish = self.wish.clone();
        loop {
            if let Some(why) = wish.borrow_and_update().clone() {
                return why;
            }
            if wish.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn ask(client: Client, drill_id: String, say: watch::Sender<Option<String>>) {
    let path = format!("/v1/drills/{drill_id}");
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        // A federation that does not answer just now says nothing about the drill.
        let Ok(item) = client.get::<DrillItem>(&path, &[]).await else { continue };
        let why = match item.state.as_str() {
            _ if !item.stop.is_empty() => item.stop,
            "overdue" => "its deadline has passed".to_owned(),
            "ended" => format!("it was ended by {}: {}", item.ended_by, item.note),
            _ => continue,
        };
        say.send_replace(Some(why));
        return;
    }
}

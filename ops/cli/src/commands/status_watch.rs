//! `eport status --watch`: asks again and again and draws; when the node that was asked is gone, the next one is asked.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::Out;
use crate::screen::{Size, Snapshot, frame};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// One question takes no longer: a node that hangs is left for the next.
const QUESTION: Duration = Duration::from_secs(3);
/// Nodes remembered to be asked.
const NODES_MAX: usize = 64;
/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Whom to ask, the one that answered last in front.
struct Nodes {
    global: Global,
    apis: VecDeque<String>,
}

impl Nodes {
    fn new(global: &Global) -> Result<Self, Error> {
        let client = connect::client(global)?;
        let mut global = global.clone();
        global.timeout = Some(global.limit().min(QUESTION));
        Ok(Self { global, apis: client.apis().iter().cloned().collect() })
    }

    fn asked(&self) -> &str {
        self.apis.front().map_or("-", String::as_str)
    }

    async fn ask(&self) -> Result<Value, Error> {
        let mut global = self.global.clone();
        global.api = self.apis.front().cloned();
        Ok(connect::client(&global)?.status().await?)
    }

    /// Remembers every node that the status names and that is heard.
    fn learn(&mut self, status: &Value) {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        for api in nodes.filter(|n| n["state"] == "up").filter_map(|n| n["api"].as_str()) {
            if self.apis.len() < NODES_MAX && !self.apis.iter().any(|known| known == api) {
                self.apis.push_back(api.to_owned());
            }
        }
    }

    /// The next one's turn.
    fn turn(&mut self) {
        self.apis.rotate_left(usize::from(self.apis.len() > 1));
    }
}

/// Draws every `every`, so many frames or until interrupted.
pub async fn run(every: Duration, frames: Option<u64>, global: &Global, out: Out) -> Result<(), Error> {
    let mut nodes = Nodes::new(global)?;
    let terminal = std::io::stdout().is_terminal() && frames.is_none();
    if terminal {
        out.stdout(ENTER);
    }
    tokio::select! {
        () = draw_all(&mut nodes, every, frames, terminal, out) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    if terminal {
        out.stdout(LEAVE);
    }
    Ok(())
}

async fn draw_all(nodes: &mut Nodes, every: Duration, frames: Option<u64>, terminal: bool, out: Out) {
    let mut newest: Option<(Instant, Value)> = None;
    let mut drawn = 0;
    loop {
        let mut trouble = None;
        // Once around: a frame shows trouble only when nobody answers.
        for _ in 0..nodes.apis.len() {
            match nodes.ask().await {
                Ok(status) => {
                    nodes.learn(&status);
                    (newest, trouble) = (Some((Instant::now(), status)), None);
                    break;
                }
                Err(error) => {
                    trouble = Some(error.to_string());
                    nodes.turn();
                }
            }
        }
        let snapshot = Snapshot {
            status: newest.as_ref().map(|(_, s)| s),
            asked: nodes.asked(),
            trouble: trouble.as_deref(),
            age_s: newest.as_ref().map_or(0, |(at, _)| at.elapsed().as_secs()),
            now: OffsetDateTime::now_utc(),
        };
        let size = if terminal { size() } else { Size::UNBOUNDED };
        out.stdout(&written(&frame(&snapshot, size, out.lang), terminal));
        drawn += 1;
        if frames.is_some_and(|most| drawn >= most) {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

/// A frame as bytes: on a terminal each line replaces the one that stood there, in one piece, so nothing flickers.
fn written(lines: &[String], terminal: bool) -> String {
    if !terminal {
        return format!("{}\n\n", lines.join("\n"));
    }
    let body: Vec<String> = lines.iter().map(|l| format!("{l}\x1b[K")).collect();
    format!("\x1b[?2026h\x1b[H{}\x1b[J\x1b[?2026l", body.join("\r\n"))
}

fn size() -> Size {
    let known = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let known = known.map(|s| Size { columns: s.ws_col.into(), rows: s.ws_row.into() });
    known.filter(|s| s.columns > 0 && s.rows > 0).unwrap_or(Size { columns: 80, rows: 24 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_written_over_and_a_pipe_gets_plain_lines() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(written(&lines, false), "a\nb\n\n");
        assert_eq!(written(&lines, true), "\x1b[?2026h\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J\x1b[?2026l");
    }
}

//! How a relay is told what to do: one JSON line a question, one JSON line an answer, over a Unix socket in the folder of
//! the federation, so that only its owner can ask.

use crate::cable::Counts;
use crate::rule::Rule;
use eport_identity::SiteId;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Longest line, both ways: 992 links in one change.
const LINE_MAX: u64 = 1 << 20;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Name of the socket in its folder.
const SOCKET: &str = "relay.sock";

/// A question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Question {
    /// What the links do.
    Show,
    /// Put rules in force, all or none; the answer shows every link afterwards.
    Set {
        /// The changes.
        changes: Vec<Change>,
    },
}

/// A new rule for one direction of a link.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Where traffic comes from.
    pub from: SiteId,
    /// Where it goes.
    pub to: SiteId,
    /// The rule.
    pub rule: Rule,
    /// Begin the draws anew from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// A cut is mended after so many milliseconds, unless another rule was put in force meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_ms: Option<u64>,
}

/// An answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Every link.
    Links(Vec<LinkState>),
    /// Why nothing was changed.
    Refused(String),
}

/// One direction of a link: its rule and what it did.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct LinkState {
    /// Where traffic comes from.
    pub from: SiteId,
    /// Where it goes.
    pub to: SiteId,
    /// The rule in force.
    #[serde(flatten)]
    pub rule: Rule,
    /// What it did since the relay started.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Where the socket of a folder is.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join(SOCKET)
}

/// A path to the socket that the system takes however deep the folder lies: addresses of Unix sockets have 108 bytes.
fn short(dir: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    let folder = std::fs::File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, path))
}

/// Asks the relay of a folder.
pub async fn ask(dir: &Path, question: &Question) -> io::Result<Answer> {
    let (folder, path) = short(dir)?;
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        let mut line = serde_json::to_vec(question).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(LINE_MAX)).read_line(&mut answer).await?;
        serde_json::from_str(&answer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    drop(folder);
    answer.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the relay does not answer")))
}

/// Binds the socket of a folder; one that an earlier relay left is replaced.
pub(crate) fn listen(dir: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket(dir)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let (folder, path) = short(dir)?;
    let listener = UnixListener::bind(&path)?;
    drop(folder);
    Ok(listener)
}

/// Answers questions, one connection after the other: each asks once and waits, so none can hold up the next for long.
pub(crate) async fn serve(listener: UnixListener, answer: impl Fn(Question) -> Answer) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let talk = async {
            let (read, mut write) = stream.into_split();
            let mut line = String::new();
            BufReader::new(read.take(LINE_MAX)).read_line(&mut line).await?;
            let said = match serde_json::from_str(&line) {
                Ok(question) => answer(question),
                Err(e) => Answer::Refused(format!("the question cannot be read: {e}")),
            };
            let mut line = serde_json::to_vec(&said).map_err(io::Error::other)?;
            line.push(b'\n');
            write.write_all(&line).await
        };
        match tokio::time::timeout(PATIENCE, talk).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a question was not answered"),
            Err(_) => tracing::debug!("a question took too long"),
        }
    }
}

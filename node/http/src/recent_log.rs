//! The newest lines of this node's log, kept in memory for a diagnosis. Bounded; the oldest go first.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines kept: some minutes of a busy node, a day of a quiet one.
const LINES_MAX: usize = 1_000;
/// Bytes kept of one line.
const LINE_LEN_MAX: usize = 2_048;

/// The newest lines. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RecentLog(Arc<Mutex<VecDeque<String>>>);

impl RecentLog {
    /// Notes what was written; whole lines, as the log writes them.
    pub fn note(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().filter(|l| !l.is_empty()) {
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line.chars().take(LINE_LEN_MAX).collect());
        }
    }

    /// The newest so many lines without secrets, oldest first.
    pub fn tail(&self, most: usize) -> Vec<String> {
        let lines: Vec<String> = {
            let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().skip(lines.len().saturating_sub(most)).cloned().collect()
        };
        lines.iter().map(|l| eport_doctor::redact(l)).collect()
    }

    /// A writer to standard error that keeps a copy here.
    pub fn writer(&self) -> impl Fn() -> Tee + Send + Sync + 'static {
        let log = self.clone();
        move || Tee(log.clone())
    }
}

/// Writes to standard error and keeps a copy.
pub struct Tee(RecentLog);

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = io::stderr().write(bytes)?;
        self.0.note(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay_and_none_holds_a_secret() {
        let log = RecentLog::default();
        for n in 0..LINES_MAX + 5 {
            log.note(format!("line {n} password=hunter2\n").as_bytes());
        }
        log.note("长".repeat(10_000).as_bytes());
        let tail = log.tail(3);
        assert_eq!(tail.len(), 3);
        assert!(tail[1].starts_with("line 1004") && !tail[1].contains("hunter2"), "{tail:?}");
        assert_eq!(tail[2].chars().count(), LINE_LEN_MAX);
        assert_eq!(log.tail(usize::MAX).len(), LINES_MAX);
    }
}

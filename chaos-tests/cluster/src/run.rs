//! Running a command to its end, and waiting for a condition.

use anyhow::{Context, Result, bail};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What a finished command left.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs a command and keeps everything it printed.
    pub fn of(command: &mut Command) -> Result<Self> {
        Ok(command.output().with_context(|| format!("{command:?}"))?.into())
    }

    /// The code of the error that `--json` printed, empty when there is none.
    pub fn error_code(&self) -> String {
        self.json().ok().and_then(|j| j["error"]["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Fails unless the command ended with this exit code.
    pub fn expect(self, code: i32, what: &str) -> Result<Self> {
        if self.code != code {
            bail!(
                "{what}: exit {} instead of {code}: stdout {}, stderr {}",
                self.code,
                self.stdout,
                self.stderr
            );
        }
        Ok(self)
    }

    /// The one JSON document that `--json` promises.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| {
            format!("exit {}, stdout {:?}, stderr {:?}", self.code, self.stdout, self.stderr)
        })
    }

    /// The JSON document of a command that must have ended with exit code 0.
    pub fn ok_json(&self) -> Result<serde_json::Value> {
        if self.code != 0 {
            bail!("exit {}: stdout {:?}, stderr {:?}", self.code, self.stdout, self.stderr);
        }
        self.json()
    }
}

impl From<Output> for Ran {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

/// Waits until `check` gives a value. `check` returns `Err(what it saw)` while the condition does not hold yet.
/// The limit is far above what a busy machine needs; reaching it means the condition will not come.
pub fn wait_for<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T, String>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        match check() {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= end => {
                bail!("{what} did not come within {limit:?}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

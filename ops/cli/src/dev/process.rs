//! Processes of a local federation: start, signals, what they do now.
//!
//! A process is named by its id *and* its start time, so that a signal never reaches a stranger that got the same id.

use crate::error::Error;
use eport_api_types::ProcessState;
use rustix::process::{Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A process, told apart from a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pid {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot, from `/proc/PID/stat`.
    pub started: u64,
}

/// Starts `eportd` in a session of its own: a Ctrl-C at the terminal does not reach it, its output goes to `log`.
pub fn spawn(eportd: &Path, config: &Path, log: &Path) -> Result<Pid, Error> {
    spawn_with(eportd, &["--config".as_ref(), config.as_os_str()], log)
}

/// Starts a program as `spawn` does.
pub fn spawn_with(program: &Path, args: &[&OsStr], log: &Path) -> Result<Pid, Error> {
    let out = OpenOptions::new().create(true).append(true).open(log).map_err(Error::file(log))?;
    let err = out.try_clone().map_err(Error::file(log))?;
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(Error::file(program))?;
    let pid = child.id();
    // A process that is gone already has no start time; it is then reported as exited, with its log.
    let started = stat(pid).map_or(0, |s| s.started);
    Ok(Pid { pid, started })
}

/// What a process does now. A zombie has exited, its parent has only not looked yet; but while another of its threads is still
/// in the kernel, for example in an fsync, it holds its files and their locks.
pub fn state(process: Pid) -> ProcessState {
    reap(process);
    match stat(process.pid) {
        Some(s) if s.started == process.started => s.meaning(),
        _ => ProcessState::Exited,
    }
}

/// Sends a signal if the process is still the one that was meant. Returns false when it is gone.
pub fn signal(process: Pid, signal: Signal) -> Result<bool, Error> {
    if state(process) == ProcessState::Exited {
        return Ok(false);
    }
    let Some(pid) = raw(process) else { return Ok(false) };
    match kill_process(pid, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(e) => Err(Error::dev(format!("process {} cannot be signalled: {e}", process.pid))),
    }
}

/// Kills at once and waits until the process is gone.
pub async fn kill(process: Pid) -> Result<(), Error> {
    signal(process, Signal::KILL)?;
    if gone_within(process, Duration::from_secs(10)).await {
        Ok(())
    } else {
        Err(Error::dev(format!("process {} does not end although it was killed", process.pid)))
    }
}

/// Asks a process to drain and stop; kills it when it has not stopped after `patience`. Returns true when it stopped by itself.
pub async fn stop(process: Pid, patience: Duration) -> Result<bool, Error> {
    // A paused process cannot act on TERM: let it go on first.
    signal(process, Signal::CONT)?;
    signal(process, Signal::TERM)?;
    if gone_within(process, patience).await {
        return Ok(true);
    }
    kill(process).await?;
    Ok(false)
}

async fn gone_within(process: Pid, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if state(process) == ProcessState::Exited {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Collects the exit of a child of ours; does nothing for processes of others.
fn reap(process: Pid) {
    if let Some(pid) = raw(process) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn raw(process: Pid) -> Option<rustix::process::Pid> {
    i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw)
}

struct Stat {
    state: char,
    threads: u32,
    started: u64,
}

impl Stat {
    fn meaning(&self) -> ProcessState {
        match self.state {
            'T' | 't' => ProcessState::Paused,
            'Z' | 'X' | 'x' if self.threads <= 1 => ProcessState::Exited,
            _ => ProcessState::Running,
        }
    }
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// State (field 3), threads (field 20) and start time (field 22) of a stat line. The command name may hold spaces and brackets, so the fields
/// are counted behind its last bracket.
fn parse_stat(line: &str) -> Option<Stat> {
    let rest = &line[line.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_a_command_name_with_brackets() {
        let line =
            "77 (a ) T 9) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 18446744073709551615";
        let s = parse_stat(line).unwrap();
        assert_eq!((s.state, s.threads, s.started), ('S', 1, 12_345));
        assert!(parse_stat("no brackets").is_none() && parse_stat("1 (x) S").is_none());
    }

    #[test]
    fn a_killed_process_has_ended_only_when_its_last_thread_has() {
        let of = |state, threads| Stat { state, threads, started: 1 }.meaning();
        assert_eq!(of('Z', 2), ProcessState::Running, "a thread in the kernel holds the data directory");
        assert_eq!(of('Z', 1), ProcessState::Exited);
        assert_eq!((of('T', 9), of('S', 9)), (ProcessState::Paused, ProcessState::Running));
    }

    #[tokio::test]
    async fn a_process_is_paused_resumed_and_killed_and_a_stranger_is_never_signalled() {
        let dir = tempfile::tempdir().unwrap();
        // `sleep --config 60` fails at once, so a script stands in for the daemon.
        let script = dir.path().join("daemon");
        std::fs::write(&script, "#!/bin/sh\nexec sleep 60\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let pid = spawn(&script, Path::new("c"), &dir.path().join("log")).unwrap();
        assert_eq!(state(pid), ProcessState::Running);
        assert!(signal(pid, Signal::STOP).unwrap());
        while state(pid) != ProcessState::Paused {
            tokio::task::yield_now().await;
        }
        let stranger = Pid { started: pid.started + 1, ..pid };
        assert!(!signal(stranger, Signal::KILL).unwrap(), "another start time is another process");
        assert_eq!(state(pid), ProcessState::Paused);
        kill(pid).await.unwrap();
        assert_eq!(state(pid), ProcessState::Exited);
        assert!(!signal(pid, Signal::TERM).unwrap());
    }
}

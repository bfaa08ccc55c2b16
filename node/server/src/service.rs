//! What the service manager is told: that the node listens, what it waits for, that it stops, and that it lives.
//!
//! The protocol is a line in a datagram (`sd_notify(3)`); without a manager that listens nothing is sent. The manager hears READY
//! when the node listens, not when the federation has taken it in: a node that waits for its peers is no reason for a restart.
//! Life is told by a task of the same runtime that does the work, at half the interval the manager asks for: a runtime that
//! stands still is restarted.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest text of a state: a line for people.
const STATUS_LEN_MAX: usize = 200;

/// The service manager, if there is one.
pub(crate) struct Systemd {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        let own = std::process::id().to_string();
        // The watchdog may be meant for a process that started this one.
        let mine = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == own);
        let watchdog = std::env::var("WATCHDOG_USEC").ok().filter(|_| mine);
        Self::at(std::env::var_os("NOTIFY_SOCKET"), watchdog.as_deref())
    }

    fn at(socket: Option<OsString>, watchdog_usec: Option<&str>) -> Self {
        let to = socket.and_then(|path| Some((unbound()?, address(&path)?)));
        let asked = watchdog_usec.and_then(|text| text.parse().ok()).filter(|usec| *usec > 0);
        Self { watchdog: asked.map(Duration::from_micros).filter(|_| to.is_some()), to }
    }

    /// Says one thing. A manager that does not hear stops nothing.
    pub(crate) fn say(&self, text: &str) {
        if let Some((socket, to)) = &self.to {
            let _ = socket.send_to_addr(text.as_bytes(), to);
        }
    }
}

/// A socket that never waits: a manager that does not read must not hold up a node.
fn unbound() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// A path, or a name in the abstract namespace, which is written with `@`.
fn address(path: &OsStr) -> Option<SocketAddr> {
    match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name).ok(),
        Some((b'/', _)) => SocketAddr::from_pathname(path).ok(),
        _ => None,
    }
}

/// Tells the manager until it is stopped: ready now, afterwards every change of the state, and life.
pub(crate) async fn tell(manager: Arc<Systemd>, mut ready: watch::Receiver<Result<(), String>>) {
    if manager.to.is_none() {
        return;
    }
    manager.say("READY=1");
    // Half of what is asked for, so that one late turn is no death.
    let every = manager.watchdog.map_or(Duration::from_secs(3_600), |asked| asked / 2);
    let mut beat = tokio::time::interval(every.max(Duration::from_millis(1)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => if manager.watchdog.is_some() { manager.say("WATCHDOG=1") },
            changed = ready.changed() => {
                if changed.is_err() {
                    return;
                }
                let line = status(&ready.borrow_and_update());
                manager.say(&line);
            }
        }
    }
}

fn status(ready: &Result<(), String>) -> String {
    let text = match ready {
        Ok(()) => "ready".to_owned(),
        Err(reason) => reason.chars().filter(|c| !c.is_control()).take(STATUS_LEN_MAX).collect(),
    };
    format!("STATUS={text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_manager_hears_ready_every_reason_and_a_beat_at_half_the_interval() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (heard, hear) = std::sync::mpsc::channel();
        // Reads all the time: a full queue would lose lines.
        std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok(len) = socket.recv(&mut bytes) {
                if heard.send(String::from_utf8_lossy(&bytes[..len]).into_owned()).is_err() {
                    return;
                }
            }
        });
        let listen = |want: &str| {
            let within = Duration::from_secs(20);
            while hear.recv_timeout(within).unwrap_or_else(|_| panic!("{want} was not said")) != want {}
        };
        let manager = Arc::new(Systemd::at(Some(path.into_os_string()), Some("40000")));
        let (to, ready) = watch::channel(Err("starting".into()));
        let task = tokio::spawn(tell(manager.clone(), ready));
        listen("READY=1");
        listen("WATCHDOG=1");
        listen("WATCHDOG=1");
        drop(to.send_replace(Err("no leader\nhas reached this node".into())));
        listen("STATUS=no leaderhas reached this node");
        drop(to.send_replace(Ok(())));
        listen("STATUS=ready");
        task.abort();
        manager.say("STOPPING=1");
        listen("STOPPING=1");
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_odd_words_are_no_address() {
        for odd in ["", "relative", "@"] {
            let manager = Systemd::at(Some(odd.into()), Some("1000000"));
            manager.say("READY=1");
            assert!(manager.to.is_none() || odd == "@", "{odd:?}");
        }
        let none = Systemd::at(None, Some("1000000"));
        assert!(none.watchdog.is_none());
        assert!(Systemd::at(Some("@eport-test".into()), Some("many")).watchdog.is_none());
    }
}

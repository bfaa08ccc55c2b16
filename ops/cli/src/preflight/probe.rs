//! Asks the system for the facts: binds and lets go, writes a small file, reads limits. Nothing stays behind.

use super::{Bound, Disk, Facts, Listener, PeerClock};
use eport_client::Client;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Fsyncs that are measured.
const SYNCS: usize = 15;
/// Bytes written before each.
const SYNC_BYTES: usize = 4_096;
/// File systems that lie behind a network, as /proc/self/mounts names them.
const NETWORK: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.sshfs", "9p"];

/// What the system says about a node that would listen and store there.
pub fn facts(quic: SocketAddr, api: SocketAddr, dir: &Path) -> Facts {
    Facts {
        listeners: vec![
            Listener { name: "quic", at: quic, bound: bound(UdpSocket::bind(quic).map(drop)) },
            Listener { name: "api", at: api, bound: bound(TcpListener::bind(api).map(drop)) },
        ],
        now_ms: millis(SystemTime::now()),
        program_ms: program(),
        synchronised: synchronised(),
        peer: None,
        disk: Some(disk(dir)),
        files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        locked: rustix::process::getrlimit(rustix::process::Resource::Memlock).current,
        memory: memory(),
    }
}

fn bound(tried: std::io::Result<()>) -> Bound {
    match tried {
        Ok(()) => Bound::Free,
        Err(e) if e.kind() == ErrorKind::AddrInUse => Bound::Taken,
        Err(e) if e.kind() == ErrorKind::AddrNotAvailable => Bound::Elsewhere,
        Err(e) => Bound::Refused(e.to_string()),
    }
}

fn millis(time: SystemTime) -> i64 {
    let before = |e: std::time::SystemTimeError| {
        i64::try_from(e.duration().as_millis()).map_or(i64::MIN, |ms| ms.saturating_neg())
    };
    time.duration_since(UNIX_EPOCH).map_or_else(before, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// When the own program was written. A package keeps the time of its build.
fn program() -> Option<i64> {
    let path = std::env::current_exe().ok()?;
    fs::metadata(path).ok()?.modified().ok().map(millis)
}

/// Whether a time service says that it has set the clock. Neither daemon known here: nobody can be asked.
fn synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let chrony = ["/run/chrony/chronyd.pid", "/run/chrony/chronyd.sock", "/run/chronyd.pid", "/run/ntpd.pid"];
    chrony.iter().any(|p| Path::new(p).exists()).then_some(true)
}

fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The folder, or the nearest one above it that exists: what is not there yet is made by whoever asks.
fn existing(dir: &Path) -> PathBuf {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    whole.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn disk(dir: &Path) -> Disk {
    let there = existing(dir);
    let free = rustix::fs::statvfs(&there).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    let (refused, fsync_ms) = match syncs(&there) {
        Ok(ms) => (None, ms),
        Err(error) => (Some(error.to_string()), None),
    };
    Disk { dir: dir.to_owned(), refused, free, fsync_ms, network: network(&there) }
}

/// The time that half of the fsyncs stay below.
fn syncs(dir: &Path) -> std::io::Result<Option<f64>> {
    let path = dir.join(format!(".eport-check-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let measured = measure(&mut file);
    fs::remove_file(&path)?;
    let mut taken = measured?;
    taken.sort_by(f64::total_cmp);
    Ok(taken.get(taken.len() / 2).copied())
}

fn measure(file: &mut File) -> std::io::Result<Vec<f64>> {
    let piece = [0x5a; SYNC_BYTES];
    let mut taken = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&piece)?;
        let begin = Instant::now();
        file.sync_data()?;
        taken.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(taken)
}

/// The kind of the file system when it lies behind a network: of the mount with the longest path above the folder.
fn network(dir: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let parsed = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = parsed.filter(|(at, _)| dir.starts_with(at));
    let (_, kind) = above.max_by_key(|(at, _)| at.len())?;
    NETWORK.contains(&kind).then(|| kind.to_owned())
}

/// The address with which this machine would speak to others; loopback where it has no other. Nothing is sent.
pub fn own_address() -> IpAddr {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0") else { return loopback };
    // An address of documentation (RFC 5737): only the route to the world is asked for.
    match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(own) if !own.ip().is_unspecified() => own.ip(),
        _ => loopback,
    }
}

/// What the clock of a node says; `None` when it does not tell.
pub async fn peer_clock(client: &Client) -> Option<PeerClock> {
    let (asked, begin) = (millis(SystemTime::now()), Instant::now());
    let answer: Value = client.get("/v1/version", &[]).await.ok()?;
    let half = i64::try_from(begin.elapsed().as_millis()).ok()? / 2;
    let told = eport_api_types::from_rfc3339(answer["time"].as_str()?)?.as_millis();
    Some(PeerClock { ahead_ms: told.saturating_sub(asked.saturating_add(half)), doubt_ms: half })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_taken_and_nothing_stays_behind() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = held.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let facts = facts("127.0.0.1:0".parse().unwrap(), at, &dir.path().join("not/there/yet"));
        assert_eq!(facts.listeners[0].bound, Bound::Free);
        assert_eq!(facts.listeners[1].bound, Bound::Taken);
        let disk = facts.disk.unwrap();
        assert!(disk.refused.is_none() && disk.free > Some(0) && disk.fsync_ms.is_some(), "{disk:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(facts.now_ms > 1_500_000_000_000 && facts.memory > Some(0));
        assert!(!own_address().is_unspecified());
        assert_eq!(bound(UdpSocket::bind("192.0.2.1:0").map(drop)), Bound::Elsewhere);
    }
}

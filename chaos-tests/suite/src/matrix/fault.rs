//! The faults of the matrix: how each is done to a real process, and how it ends.

use super::steps::Who;
use anyhow::{Context, Result, ensure};
use eport_cluster::{Armed, Federation};
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a fault that ends by itself lasts: longer than the silence after which a backup counts as gone.
const LASTS: Duration = Duration::from_millis(2_000);

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// `kill -9`, and a start a moment later.
    Kill,
    /// The same twice: it dies again while it starts.
    KillTwice,
    /// `kill -9`, half a record behind the journal's end, a start.
    TornEnd,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// One task stands still, the rest of the process goes on.
    Stall,
    /// The process gets a tenth of its time.
    Starved,
    /// No new file descriptors.
    FewFiles,
    /// The site's links are cut both ways.
    Cut,
    /// What the site sends is lost.
    CutOut,
    /// What is sent to the site is lost.
    CutIn,
    /// The links flap.
    Flap,
    /// Slow, with losses, duplicates, overtaking and changed bits.
    Noise,
    /// The relay dies: every link breaks, and comes back from other ports.
    NewPath,
    /// An fsync of the journal fails.
    JournalSync,
    /// An fsync of the registry's log fails.
    RegistrySync,
    /// Every fsync of the journal takes a quarter of a second.
    SlowDisk,
    /// The file system is full.
    FullDisk,
    /// The wall clock jumps an hour ahead, and back.
    ClockAhead,
    /// The wall clock jumps an hour back, and ahead again.
    ClockBehind,
}

/// Every kind.
pub const FAULTS: [Fault; 19] = [
    Fault::Kill,
    Fault::KillTwice,
    Fault::TornEnd,
    Fault::Pause,
    Fault::Stall,
    Fault::Starved,
    Fault::FewFiles,
    Fault::Cut,
    Fault::CutOut,
    Fault::CutIn,
    Fault::Flap,
    Fault::Noise,
    Fault::NewPath,
    Fault::JournalSync,
    Fault::RegistrySync,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::ClockAhead,
    Fault::ClockBehind,
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Kill => "kill -9",
            Fault::KillTwice => "crash loop",
            Fault::TornEnd => "torn end",
            Fault::Pause => "SIGSTOP",
            Fault::Stall => "stalled task",
            Fault::Starved => "no CPU",
            Fault::FewFiles => "no files",
            Fault::Cut => "cut off",
            Fault::CutOut => "cut outbound",
            Fault::CutIn => "cut inbound",
            Fault::Flap => "flapping link",
            Fault::Noise => "bad link",
            Fault::NewPath => "relay dies",
            Fault::JournalSync => "journal fsync fails",
            Fault::RegistrySync => "registry fsync fails",
            Fault::SlowDisk => "slow disk",
            Fault::FullDisk => "full disk",
            Fault::ClockAhead => "clock +1 h",
            Fault::ClockBehind => "clock -1 h",
        })
    }
}

impl Fault {
    /// What can be done to whom: a command only dies or stands still; some faults need a disk that is made for it.
    pub fn can_hit(self, who: Who) -> bool {
        match who {
            Who::Cli => matches!(self, Fault::Kill | Fault::Pause | Fault::Stall),
            Who::Old | Who::Target => true,
            Who::Leader | Who::Entry => {
                !matches!(self, Fault::FullDisk | Fault::TornEnd | Fault::JournalSync | Fault::SlowDisk)
            }
        }
    }

    /// True when the process is gone, or must be started again by whoever keeps it running.
    pub fn needs_start(self) -> bool {
        matches!(self, Fault::JournalSync | Fault::RegistrySync | Fault::FullDisk)
    }
}

/// Whom a fault is done to.
pub enum Prey<'a> {
    /// A node.
    Node(&'a str),
    /// The operator's command.
    Command(&'a mut Child),
}

fn signal(pid: u32, name: &str) -> Result<()> {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(done.success(), "kill -{name} {pid}: {done}");
    Ok(())
}

/// Process of a node as `dev status` has it.
fn pid_of(fed: &Federation, node: &str) -> Result<u32> {
    let status = fed.eport(&["dev", "status"])?.ok_json()?;
    let row = status["nodes"].as_array().and_then(|l| l.iter().find(|n| n["node"] == node)).cloned();
    let pid = row.and_then(|r| r["pid"].as_u64()).and_then(|p| u32::try_from(p).ok());
    pid.with_context(|| format!("no process of {node} in {status}"))
}

/// Does a fault from beginning to end while `place` holds somebody; lets them go on when the fault is there. True when it had an
/// effect that could be seen.
pub fn inject(
    fed: &Federation,
    region: &str,
    fault: Fault,
    mut prey: Prey<'_>,
    place: &Armed,
) -> Result<bool> {
    if let Prey::Command(child) = &mut prey {
        match fault {
            Fault::Kill => {
                child.kill()?;
                place.release();
            }
            Fault::Stall => {
                std::thread::sleep(LASTS);
                place.release();
            }
            _ => {
                signal(child.id(), "STOP")?;
                place.release();
                std::thread::sleep(LASTS);
                // It may have been on its way out already.
                let _ = signal(child.id(), "CONT");
            }
        }
        return Ok(true);
    }
    let Prey::Node(node) = prey else { return Ok(false) };
    match fault {
        Fault::Kill | Fault::KillTwice | Fault::TornEnd => killed(fed, region, fault, node, place)?,
        Fault::Stall => {
            std::thread::sleep(LASTS);
            place.release();
        }
        Fault::Pause => {
            let pid = pid_of(fed, node)?;
            during(place, || signal(pid, "STOP"), || signal(pid, "CONT"))?;
        }
        Fault::Starved => starved(pid_of(fed, node)?, place)?,
        Fault::FewFiles => few_files(pid_of(fed, node)?, place)?,
        Fault::Cut | Fault::CutOut | Fault::CutIn | Fault::Noise | Fault::Flap => {
            links(fed, fault, node, place)?;
        }
        Fault::NewPath => new_path(fed, place)?,
        Fault::JournalSync => {
            return failing(fed, node, "journal.fsync", &format!("fail about={region}"), place);
        }
        Fault::RegistrySync => return failing(fed, node, "registry.fsync", "fail", place),
        Fault::SlowDisk => {
            let slow = fed.arm(node, "journal.fsync.before", &format!("delay 250 about={region}"))?;
            place.release();
            std::thread::sleep(LASTS);
            drop(slow);
        }
        Fault::FullDisk => full(fed, node, place)?,
        Fault::ClockAhead | Fault::ClockBehind => {
            let hour = if fault == Fault::ClockAhead { 3_600_000 } else { -3_600_000 };
            during(place, || fed.shift_clock(node, hour), || fed.shift_clock(node, 0))?;
        }
    }
    Ok(true)
}

/// Begins, lets go, waits, ends.
fn during(place: &Armed, begin: impl FnOnce() -> Result<()>, end: impl FnOnce() -> Result<()>) -> Result<()> {
    begin()?;
    place.release();
    std::thread::sleep(LASTS);
    end()
}

fn killed(fed: &Federation, region: &str, fault: Fault, node: &str, place: &Armed) -> Result<()> {
    signal(pid_of(fed, node)?, "KILL")?;
    place.release();
    if fault == Fault::TornEnd {
        torn(fed, region, node)?;
    }
    if fault == Fault::KillTwice {
        // A start that is not waited for, and the next kill in the midst of it.
        let mut start = fed.spawn(&["--timeout", "60s", "dev", "restart", node])?;
        std::thread::sleep(Duration::from_millis(250));
        let again = pid_of(fed, node).and_then(|pid| signal(pid, "KILL"));
        let _ = start.kill();
        let _ = start.wait();
        again?;
    }
    fed.dev("restart", node)
}

/// Bytes behind the last record, as a write that a power loss cut off.
fn torn(fed: &Federation, region: &str, node: &str) -> Result<()> {
    let dir = fed.node_dir(node).join("data/platform").join(region);
    let mut logs: Vec<PathBuf> = Vec::new();
    let mut dirs = vec![dir.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.file_name().is_some_and(is_journal) => logs.push(path),
                false => {}
            }
        }
    }
    logs.sort();
    let last = logs.last().with_context(|| format!("no journal file in {}", dir.display()))?;
    let mut file = std::fs::OpenOptions::new().append(true).open(last)?;
    Ok(file.write_all(&[0x5a; 37])?)
}

/// `FIRST.log` of the journal, not a log of RocksDB: that has six digits.
fn is_journal(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.strip_suffix(".log").is_some_and(|n| n.len() > 6 && n.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Runs for 20 of every 200 milliseconds.
fn starved(pid: u32, place: &Armed) -> Result<()> {
    place.release();
    let end = Instant::now() + LASTS;
    while Instant::now() < end {
        signal(pid, "STOP")?;
        std::thread::sleep(Duration::from_millis(180));
        signal(pid, "CONT")?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn few_files(pid: u32, place: &Armed) -> Result<()> {
    let limit = |n: &str| -> Result<()> {
        let done =
            Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={n}:")]).status()?;
        ensure!(done.success(), "prlimit {n}: {done}");
        Ok(())
    };
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits.lines().find(|l| l.starts_with("Max open files")).context("Max open files")?;
    let soft = line.split_ascii_whitespace().nth(3).context("soft limit")?.to_owned();
    during(place, || limit("3"), || limit(&soft))
}

fn site_of(fed: &Federation, node: &str) -> Result<String> {
    fed.nodes().iter().find(|n| n.node == node).map(|n| n.site.clone()).with_context(|| node.to_owned())
}

fn links(fed: &Federation, fault: Fault, node: &str, place: &Armed) -> Result<()> {
    let site = site_of(fed, node)?;
    let mut others: Vec<String> = fed.nodes().iter().map(|n| n.site.clone()).filter(|s| *s != site).collect();
    others.dedup();
    let cut = || -> Result<()> {
        for other in &others {
            let args: Vec<&str> = match fault {
                Fault::CutOut => vec!["dev", "cut", &site, other, "--one-way"],
                Fault::CutIn => vec!["dev", "cut", other, &site, "--one-way"],
                Fault::Noise => vec![
                    "dev",
                    "slow",
                    &site,
                    other,
                    "--rate-kbit",
                    "500",
                    "--delay-ms",
                    "60",
                    "--jitter-ms",
                    "40",
                    "--loss",
                    "3",
                    "--duplicate",
                    "3",
                    "--reorder",
                    "3",
                    "--corrupt",
                    "2",
                ],
                _ => vec!["dev", "cut", &site, other],
            };
            fed.eport(&args)?.expect(0, &args.join(" "))?;
        }
        Ok(())
    };
    let heal = || fed.eport(&["dev", "heal"])?.expect(0, "dev heal").map(|_| ());
    if fault == Fault::Flap {
        cut()?;
        place.release();
        for _ in 0..2 {
            heal()?;
            cut()?;
        }
        return heal();
    }
    during(place, cut, heal)
}

fn new_path(fed: &Federation, place: &Armed) -> Result<()> {
    let status = fed.eport(&["dev", "status"])?.ok_json()?;
    let pid =
        status["relay"]["pid"].as_u64().and_then(|p| u32::try_from(p).ok()).context("the relay's process")?;
    signal(pid, "KILL")?;
    place.release();
    std::thread::sleep(Duration::from_millis(500));
    fed.eport(&["dev", "heal"])?.expect(0, "dev heal").map(|_| ())
}

/// Lets the next call at a place fail; false when none came there.
fn failing(fed: &Federation, node: &str, name: &str, action: &str, place: &Armed) -> Result<bool> {
    let fails = fed.arm(node, name, action)?;
    place.release();
    let bit = fails.wait(LASTS);
    drop(fails);
    Ok(bit)
}

/// Fills the file system of a node byte by byte, and empties it again.
fn full(fed: &Federation, node: &str, place: &Armed) -> Result<()> {
    let filler = fed.node_dir(node).join("data/filler");
    let fill = || -> Result<()> {
        let mut size = 0u64;
        for block in [1usize << 20, 4_096, 1] {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&filler)?;
            while size < 2 << 30 && file.write_all(&vec![7u8; block]).is_ok() {
                size += block as u64;
            }
        }
        ensure!(size < 2 << 30, "{} has no end", filler.display());
        Ok(())
    };
    during(place, fill, || Ok(std::fs::remove_file(&filler)?))
}

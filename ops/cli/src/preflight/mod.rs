//! What is looked at before a machine becomes a node: ports, clock, disk, limits, and whether the federation can be reached.
//!
//! `probe` asks the system and returns facts; the judgement here is a function of the facts alone. A finding says what was found,
//! why that matters and what to do next. Failures stop `init` and `node join` before anything is written; doubts are said.

mod probe;

pub use probe::{facts, own_address, peer_clock};

use crate::lang::Lang;
use crate::table::Table;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A node does not start with less, see `FREE_BYTES_MIN` of the daemon.
const FREE_MIN: u64 = 64 << 20;
/// A journal of a month and its backups want more than this; 20 GiB.
const FREE_WANTED: u64 = 20 << 30;
/// Connections, journal files and RocksDB's files of a node with many platforms.
const FILES_WANTED: u64 = 65_536;
/// RocksDB and the listeners alone take some hundreds.
const FILES_MIN: u64 = 512;
/// A grouped write waits for one fsync: at 20 ms a platform acknowledges fifty groups a second.
const FSYNC_SLOW_MS: f64 = 20.0;
/// `clock_skew_max` (design §3): beyond it a node is not ready and no target of moves.
const SKEW_MAX_MS: i64 = 500;
/// Certificates are refused before their begin, which lies ten minutes back: no handshake succeeds far beyond.
const SKEW_FATAL_MS: i64 = 600_000;
/// The daemon's default cache, its processes and the page cache of its files.
const MEMORY_WANTED: u64 = 1 << 30;
/// What `limits.lock_memory` wants to lock: the default cache and as much again.
const LOCKED_WANTED: u64 = 512 << 20;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// As it should be.
    Good,
    /// A node runs, but worse than it could.
    Doubt,
    /// A node cannot run.
    Failure,
}

impl Level {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Level::Good => "ok",
            Level::Doubt => "warning",
            Level::Failure => "failed",
        }
    }

    fn shown(self, lang: Lang) -> &'static str {
        lang.pick(match self {
            Level::Good => ("ok", "正常"),
            Level::Doubt => ("warning", "警告"),
            Level::Failure => ("failed", "失败"),
        })
    }
}

/// A text in both languages.
pub type Text = (String, String);

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Stable name of the check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: Text,
    /// Why that matters; empty where all is well.
    pub cause: Text,
    /// What to do next; empty where all is well.
    pub next: Text,
}

/// Whether an address can be listened on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// It can.
    Free,
    /// Somebody else does.
    Taken,
    /// This machine has no such address.
    Elsewhere,
    /// The system refuses, for another reason.
    Refused(String),
}

/// An address that the node would listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// `quic` or `api`.
    pub name: &'static str,
    /// Where.
    pub at: SocketAddr,
    /// Whether it can.
    pub bound: Bound,
}

/// What the clock of a node of the federation says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerClock {
    /// Its time less ours, milliseconds.
    pub ahead_ms: i64,
    /// Half of the time the question took: the difference is not known better.
    pub doubt_ms: i64,
}

/// The disk where the node would keep its data.
#[derive(Clone, PartialEq, Debug)]
pub struct Disk {
    /// The folder.
    pub dir: PathBuf,
    /// Why nothing can be written there.
    pub refused: Option<String>,
    /// Bytes free.
    pub free: Option<u64>,
    /// Half of the fsyncs took longer.
    pub fsync_ms: Option<f64>,
    /// The kind of a file system that lies behind a network.
    pub network: Option<String>,
}

/// What the system said.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Addresses to listen on.
    pub listeners: Vec<Listener>,
    /// This machine's time, milliseconds since 1970.
    pub now_ms: i64,
    /// When this program was made.
    pub program_ms: Option<i64>,
    /// Whether a time service has set the clock; `None` where none could be asked.
    pub synchronised: Option<bool>,
    /// The clock of a node, where the federation exists already.
    pub peer: Option<PeerClock>,
    /// The disk.
    pub disk: Option<Disk>,
    /// Files that a process may have open; `None` for no limit.
    pub files: Option<u64>,
    /// Bytes that a process may lock in memory; `None` for no limit.
    pub locked: Option<u64>,
    /// Memory of the machine.
    pub memory: Option<u64>,
}

fn finding(check: &'static str, level: Level, found: (String, &str)) -> Finding {
    let empty = || (String::new(), String::new());
    Finding { check, level, found: (found.0, found.1.to_owned()), cause: empty(), next: empty() }
}

impl Finding {
    fn because(mut self, cause: (&str, &str), next: (&str, &str)) -> Self {
        self.cause = (cause.0.to_owned(), cause.1.to_owned());
        self.next = (next.0.to_owned(), next.1.to_owned());
        self
    }
}

/// Everything that was looked at, in the order in which a person would put it right.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut out: Vec<Finding> = facts.listeners.iter().map(listener).collect();
    out.extend(clock(facts));
    out.extend(facts.disk.iter().flat_map(disk));
    out.extend(limits(facts));
    out
}

fn listener(l: &Listener) -> Finding {
    let kind = if l.name == "quic" { "udp" } else { "tcp" };
    let at = format!("{kind} {}", l.at);
    let check = if l.name == "quic" { "port_quic" } else { "port_api" };
    match &l.bound {
        Bound::Free => finding(check, Level::Good, (format!("{at} is free"), &format!("{at} 可用"))),
        Bound::Taken => finding(check, Level::Failure, (format!("{at} is taken"), &format!("{at} 已被占用")))
            .because(
                (
                    "another process listens there, perhaps a node that runs already",
                    "另一个进程正在监听，可能节点已在运行",
                ),
                (
                    "stop it (ss -lnptu shows who), or choose another address with --listen-quic or --listen-api",
                    "停止该进程（ss -lnptu 可查看），或用 --listen-quic、--listen-api 选择其他地址",
                ),
            ),
        Bound::Elsewhere => finding(
            check,
            Level::Doubt,
            (format!("{at} is no address of this machine"), &format!("{at} 不是本机地址")),
        )
        .because(
            (
                "eportd cannot listen there; the files may be meant for another machine",
                "eportd 无法在此监听；这些文件可能用于另一台机器",
            ),
            (
                "give an address of this machine, or 0.0.0.0 with --public-quic and --public-api, unless the files go elsewhere",
                "请给出本机地址，或使用 0.0.0.0 并配合 --public-quic 与 --public-api；若文件用于别处则可忽略",
            ),
        ),
        Bound::Refused(why) => finding(check, Level::Failure, (format!("{at}: {why}"), &format!("{at}：{why}")))
            .because(
                ("the system does not let this user listen there", "系统不允许当前用户在此监听"),
                (
                    "choose a port above 1023; the service has no right to lower ones",
                    "请选择 1023 以上的端口；服务没有使用低端口的权限",
                ),
            ),
    }
}

fn clock(facts: &Facts) -> Vec<Finding> {
    let mut out = Vec::new();
    let made = facts.program_ms.filter(|made| facts.now_ms < *made);
    if let Some(made) = made {
        let days = made.saturating_sub(facts.now_ms) / 86_400_000;
        let text = format!("the clock is {days} days before the day this program was made");
        let zh = format!("时钟早于本程序的生成日期 {days} 天");
        out.push(finding("clock", Level::Failure, (text, &zh)).because(
            (
                "certificates would not be valid yet, and what has ended would seem valid",
                "证书会被视为尚未生效，而已到期者会被视为有效",
            ),
            (
                "set the clock (timedatectl set-ntp true; hwclock --systohc) and look again",
                "请校正时钟（timedatectl set-ntp true；hwclock --systohc）后重试",
            ),
        ));
    } else {
        out.push(match facts.synchronised {
            Some(true) => finding(
                "clock",
                Level::Good,
                ("a time service has set the clock".into(), "时钟已由授时服务校准"),
            ),
            _ => finding(
                "clock",
                Level::Doubt,
                ("no time service is known to have set the clock".into(), "未发现已校准时钟的授时服务"),
            )
            .because(
                (
                    "a node more than 500 ms from its peers is not ready and is no target of moves",
                    "与其他节点相差超过 500 毫秒的节点不会就绪，也不会成为迁移目标",
                ),
                (
                    "run chrony or systemd-timesyncd against the province's time servers",
                    "请运行 chrony 或 systemd-timesyncd，并使用省级授时服务器",
                ),
            ),
        });
    }
    let Some(peer) = facts.peer else { return out };
    let off = peer.ahead_ms.saturating_abs().saturating_sub(peer.doubt_ms.max(0)).max(0);
    let (en, zh) = (
        format!("the federation's clock is {} ms ahead of this one (± {})", peer.ahead_ms, peer.doubt_ms),
        format!("联邦时钟比本机快 {} 毫秒（± {}）", peer.ahead_ms, peer.doubt_ms),
    );
    let level = match off {
        off if off > SKEW_FATAL_MS => Level::Failure,
        off if off > SKEW_MAX_MS => Level::Doubt,
        _ => Level::Good,
    };
    let found = finding("clock_peer", level, (en, &zh));
    out.push(match level {
        Level::Good => found,
        _ => found.because(
            (
                "one of the two clocks is wrong; certificates and record times are judged by them",
                "两个时钟必有一个不准；证书与记录时间以时钟为准",
            ),
            ("set both from the same time servers and look again", "请让两者使用同一授时服务器后重试"),
        ),
    });
    out
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn disk(d: &Disk) -> Vec<Finding> {
    let at = d.dir.display();
    if let Some(why) = &d.refused {
        let found = (format!("{at} cannot be written: {why}"), &*format!("{at} 不可写：{why}"));
        return vec![finding("disk_writable", Level::Failure, found).because(
            ("the node keeps its key, certificate and data there", "节点的密钥、证书与数据存放于此"),
            (
                "make the folder, give it to the service's user (chown eport:), and run this as that user",
                "请建立该目录并交给服务用户（chown eport:），并以该用户运行本命令",
            ),
        )];
    }
    let mut out =
        vec![finding("disk_writable", Level::Good, (format!("{at} can be written"), &format!("{at} 可写")))];
    if let Some(kind) = &d.network {
        let found = (format!("{at} lies on {kind}"), &*format!("{at} 位于 {kind}"));
        out.push(finding("disk_kind", Level::Doubt, found).because(
            (
                "what a network file system has acknowledged may be lost with its server, and locks may fail",
                "网络文件系统确认的写入可能随服务器丢失，文件锁也可能失效",
            ),
            ("give the node a disk of this machine", "请为节点使用本机磁盘"),
        ));
    }
    if let Some(free) = d.free {
        let level = match free {
            free if free < FREE_MIN => Level::Failure,
            free if free < FREE_WANTED => Level::Doubt,
            _ => Level::Good,
        };
        let found =
            finding("disk_free", level, (format!("{} free", gib(free)), &format!("可用 {}", gib(free))));
        out.push(match level {
            Level::Good => found,
            _ => found.because(
                (
                    "journals grow until they are archived; a node with less than 64 MiB does not start",
                    "日志在归档前持续增长；可用空间不足 64 MiB 时节点不会启动",
                ),
                (
                    "give it a volume of its own, 20 GiB at least, and see [archive] in the configuration",
                    "请提供独立卷（至少 20 GiB），并参见配置中的 [archive]",
                ),
            ),
        });
    }
    if let Some(ms) = d.fsync_ms {
        let slow = ms > FSYNC_SLOW_MS;
        let level = if slow { Level::Doubt } else { Level::Good };
        let found = finding(
            "disk_sync",
            level,
            (format!("an fsync takes {ms:.1} ms"), &format!("一次 fsync 需 {ms:.1} 毫秒")),
        );
        out.push(if slow {
            found.because(
                (
                    "every answer waits for an fsync here and at a backup",
                    "每个答复都要等待本机及备份的 fsync",
                ),
                (
                    "use a disk with power-loss protection, and no other heavy writer beside it",
                    "请使用带掉电保护的磁盘，并避免与其他高写入负载共用",
                ),
            )
        } else {
            found
        });
    }
    out
}

fn limits(facts: &Facts) -> Vec<Finding> {
    let mut out = Vec::new();
    out.push(match facts.files {
        Some(files) if files < FILES_WANTED => {
            let level = if files < FILES_MIN { Level::Failure } else { Level::Doubt };
            finding(
                "limit_files",
                level,
                (format!("{files} open files at most"), &format!("最多打开 {files} 个文件")),
            )
            .because(
                (
                    "connections, journal files and the store together need more with many platforms",
                    "平台较多时，连接、日志文件与存储合计需要更多",
                ),
                (
                    "the delivered unit sets LimitNOFILE=65536; elsewhere raise it with ulimit -n 65536",
                    "随附的服务单元已设 LimitNOFILE=65536；其他方式请用 ulimit -n 65536 提高",
                ),
            )
        }
        Some(files) => finding(
            "limit_files",
            Level::Good,
            (format!("{files} open files"), &format!("可打开 {files} 个文件")),
        ),
        None => finding("limit_files", Level::Good, ("open files without limit".into(), "打开文件数无限制")),
    });
    if let Some(locked) = facts.locked.filter(|l| *l < LOCKED_WANTED) {
        let mib = locked >> 20;
        out.push(
            finding(
                "limit_locked",
                Level::Doubt,
                (format!("{mib} MiB of locked memory"), &format!("可锁定内存 {mib} MiB")),
            )
            .because(
                ("keys in memory may be written to swap", "内存中的密钥可能被写入交换区"),
                (
                    "the delivered unit sets LimitMEMLOCK=infinity; elsewhere switch swap off",
                    "随附的服务单元已设 LimitMEMLOCK=infinity；其他方式请关闭交换区",
                ),
            ),
        );
    }
    if let Some(memory) = facts.memory.filter(|m| *m < MEMORY_WANTED) {
        out.push(
            finding(
                "memory",
                Level::Doubt,
                (format!("{} of memory", gib(memory)), &format!("内存 {}", gib(memory))),
            )
            .because(
                ("the default cache alone takes 256 MiB", "默认缓存即占用 256 MiB"),
                (
                    "give the machine 2 GiB, or set limits.memory_mib lower",
                    "请为机器提供 2 GiB 内存，或调低 limits.memory_mib",
                ),
            ),
        );
    }
    out
}

/// The worst of all.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|f| f.level).max().unwrap_or(Level::Good)
}

/// The findings as JSON.
pub fn document(findings: &[Finding], lang: Lang) -> Vec<Value> {
    let one = |f: &Finding| {
        let said = |text: &Text| Some(lang.pick(text.clone())).filter(|t| !t.is_empty());
        json!({ "check": f.check, "level": f.level.word(), "found": lang.pick(f.found.clone()),
            "cause": said(&f.cause), "next": said(&f.next) })
    };
    findings.iter().map(one).collect()
}

/// The findings for people: a table, then cause and next step of whatever is not well.
pub fn text(findings: &[Finding], lang: Lang) -> String {
    let mut table = Table::new(lang.pick((["check", "", "found"], ["检查项", "", "结果"])));
    for f in findings {
        table.row([f.check.to_owned(), f.level.shown(lang).to_owned(), lang.pick(f.found.clone())]);
    }
    let mut out = table.render();
    for f in findings.iter().filter(|f| f.level != Level::Good) {
        let (cause, next) = (lang.pick(f.cause.clone()), lang.pick(f.next.clone()));
        out.push_str(&match lang {
            Lang::En => format!("\n{}: {cause}\n  next: {next}\n", f.check),
            Lang::Zh => format!("\n{}：{cause}\n  下一步：{next}\n", f.check),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        let listener = |name| Listener { name, at: "10.0.0.1:7400".parse().unwrap(), bound: Bound::Free };
        Facts {
            listeners: vec![listener("quic"), listener("api")],
            now_ms: 2_000,
            program_ms: Some(1_000),
            synchronised: Some(true),
            peer: Some(PeerClock { ahead_ms: 40, doubt_ms: 10 }),
            disk: Some(Disk {
                dir: "/var/lib/eport".into(),
                refused: None,
                free: Some(100 << 30),
                fsync_ms: Some(1.5),
                network: None,
            }),
            files: Some(65_536),
            locked: None,
            memory: Some(8 << 30),
        }
    }

    fn of(facts: &Facts, check: &str) -> Finding {
        judge(facts).into_iter().find(|f| f.check == check).unwrap_or_else(|| panic!("{check}"))
    }

    #[test]
    fn a_machine_in_order_has_no_finding_with_a_next_step() {
        let findings = judge(&good());
        assert_eq!(worst(&findings), Level::Good, "{findings:#?}");
        assert!(findings.iter().all(|f| f.next.0.is_empty()) && findings.len() == 8);
    }

    #[test]
    fn each_planted_fault_is_named_with_its_cause_and_its_next_step_in_both_languages() {
        type Plant = fn(&mut Facts);
        let faults: [(&str, Level, Plant); 14] = [
            ("port_quic", Level::Failure, |f| f.listeners[0].bound = Bound::Taken),
            ("port_api", Level::Doubt, |f| f.listeners[1].bound = Bound::Elsewhere),
            ("port_api", Level::Failure, |f| {
                f.listeners[1].bound = Bound::Refused("permission denied".into())
            }),
            ("clock", Level::Failure, |f| f.now_ms = -86_400_000),
            ("clock", Level::Doubt, |f| f.synchronised = None),
            ("clock_peer", Level::Failure, |f| {
                f.peer = Some(PeerClock { ahead_ms: -86_400_000, doubt_ms: 20 })
            }),
            ("clock_peer", Level::Doubt, |f| f.peer = Some(PeerClock { ahead_ms: 900, doubt_ms: 20 })),
            ("disk_writable", Level::Failure, |f| {
                f.disk.as_mut().unwrap().refused = Some("read-only".into())
            }),
            ("disk_free", Level::Failure, |f| f.disk.as_mut().unwrap().free = Some(1 << 20)),
            ("disk_free", Level::Doubt, |f| f.disk.as_mut().unwrap().free = Some(1 << 30)),
            ("disk_sync", Level::Doubt, |f| f.disk.as_mut().unwrap().fsync_ms = Some(45.0)),
            ("disk_kind", Level::Doubt, |f| f.disk.as_mut().unwrap().network = Some("nfs".into())),
            ("limit_files", Level::Doubt, |f| f.files = Some(1_024)),
            ("limit_files", Level::Failure, |f| f.files = Some(64)),
        ];
        for (check, level, plant) in faults {
            let mut facts = good();
            plant(&mut facts);
            let found = of(&facts, check);
            assert_eq!(found.level, level, "{found:?}");
            for text in [&found.cause, &found.next] {
                assert!(!text.0.is_empty() && !text.1.is_empty(), "{found:?}");
            }
            assert_eq!(worst(&judge(&facts)), level);
        }
        let low = Facts { locked: Some(8 << 20), memory: Some(512 << 20), ..good() };
        assert_eq!((of(&low, "limit_locked").level, of(&low, "memory").level), (Level::Doubt, Level::Doubt));
    }

    #[test]
    fn a_slow_line_is_no_wrong_clock() {
        let facts = Facts { peer: Some(PeerClock { ahead_ms: 900, doubt_ms: 600 }), ..good() };
        assert_eq!(of(&facts, "clock_peer").level, Level::Good);
        let text = text(&judge(&facts), Lang::Zh);
        assert!(text.contains("联邦时钟") && !text.contains("下一步"), "{text}");
    }
}

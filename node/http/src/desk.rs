//! What one node knows about access besides the registry: its access log, who is locked out, sessions verified lately, the time
//! that it has seen.
//!
//! Always: every table is bounded; what is remembered of a session are a digest and its claims, never the token; validity is
//! judged by no earlier time than the node has seen.

use crate::access_log::AccessLog;
use crate::problem::ApiError;
use crate::state::Api;
use eport_access::{
    CLOCK_FLOOR_FILE, Claims, ClockFloor, Event, Failure, Fault, Head, Line, Lockouts, Session,
    TOKEN_LEN_MAX, Token,
};
use eport_model::{Digest, Subject, codes};
use eport_registry::{Command, CommandId, Op};
use eport_tls::Tls;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// The folder of the access log in the data directory.
pub const ACCESS_LOG_DIR: &str = "access-log";

/// Signatures of sessions that are remembered at most; beyond it all are forgotten at once.
const SESSIONS_MAX: usize = 4_096;
/// And for how long.
const SESSION_KNOWN: Duration = Duration::from_secs(30);
/// Logins of one identity within ten minutes, and how long it waits beyond.
const LOGINS: (u32, u64) = (60, 60_000);
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One session whose signature was verified.
struct Known {
    at: Instant,
    given_by: Subject,
}

/// The parts.
pub struct Desk {
    /// The access log.
    pub log: AccessLog,
    started: Instant,
    identities: Mutex<Lockouts<String>>,
    sources: Mutex<Lockouts<IpAddr>>,
    logins: Mutex<Lockouts<String>>,
    sessions: Mutex<BTreeMap<Digest, Known>>,
    floor: Mutex<ClockFloor>,
    floor_file: PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time that was stored; one that cannot be read is none, which is said in the log.
pub fn stored_floor(dir: &Path) -> std::io::Result<i64> {
    match std::fs::read_to_string(dir.join(CLOCK_FLOOR_FILE)) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "clock.floor holds no number")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    }
}

/// Stores the time that was seen, so that a crash leaves the old or the new one.
pub fn store_floor(dir: &Path, floor: i64) -> std::io::Result<()> {
    let (path, fresh) = (dir.join(CLOCK_FLOOR_FILE), dir.join("clock.floor.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(format!("{floor}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    File::open(dir)?.sync_all()
}

impl Desk {
    /// Opens the desk of a node in its data directory.
    pub fn open(dir: &Path, node: &str) -> std::io::Result<Self> {
        let floor = stored_floor(dir).unwrap_or_else(|error| {
            warn!(%error, "the time this node has seen cannot be read; it begins anew");
            0
        });
        Ok(Self {
            log: AccessLog::open(&dir.join(ACCESS_LOG_DIR), node)?,
            started: Instant::now(),
            identities: Mutex::default(),
            sources: Mutex::default(),
            logins: Mutex::default(),
            sessions: Mutex::default(),
            floor: Mutex::new(ClockFloor::new(floor)),
            floor_file: dir.to_owned(),
        })
    }

    fn mono(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How far this node's clock was set back, in milliseconds, when that is too far.
    pub fn behind(&self, clock: i64) -> Option<i64> {
        lock(&self.floor).behind(clock)
    }

    /// The time by which validity is judged.
    pub fn now(&self, clock: i64) -> i64 {
        lock(&self.floor).now(clock)
    }

    fn advance(&self, clock: i64) {
        let store = lock(&self.floor).advance(clock);
        let Some(floor) = store else { return };
        match store_floor(&self.floor_file, floor) {
            Ok(()) => lock(&self.floor).stored(floor),
            Err(error) => warn!(%error, "the time this node has seen cannot be stored"),
        }
    }

    /// An identity that failed too often waits.
    pub(crate) fn identity_admitted(&self, subject: &Subject) -> Result<(), ApiError> {
        admitted(lock(&self.identities).locked(&subject.to_string(), self.mono()), "this identity")
    }

    /// An address that brought too many false tokens brings none for a while.
    pub(crate) fn source_admitted(&self, source: Option<IpAddr>) -> Result<(), ApiError> {
        let Some(source) = source else { return Ok(()) };
        admitted(lock(&self.sources).locked(&source, self.mono()), "this address")
    }

    /// A proven identity was denied something that administers, or a session.
    pub(crate) fn identity_failed(&self, subject: &Subject, limit: (u32, u64), line: &Line) {
        if lock(&self.identities).failed(subject.to_string(), self.mono(), limit) == Failure::Locked {
            warn!(%subject, "locked out after repeated failures");
            self.locked_out(line);
        }
    }

    /// An address brought a false token.
    pub(crate) fn source_failed(&self, source: Option<IpAddr>, limit: (u32, u64), line: &Line) {
        let Some(source) = source else { return };
        if lock(&self.sources).failed(source, self.mono(), limit) == Failure::Locked {
            warn!(%source, "locked out after repeated false tokens");
            self.locked_out(line);
        }
    }

    fn locked_out(&self, line: &Line) {
        let code = codes::LOCKED_OUT.to_string();
        self.log.write(Line { event: Event::LockedOut, code, times: 1, ..line.clone() });
    }

    /// One more login of an identity.
    pub(crate) fn login_admitted(&self, subject: &Subject) -> Result<(), ApiError> {
        let (key, now) = (subject.to_string(), self.mono());
        let mut logins = lock(&self.logins);
        admitted(logins.locked(&key, now), "this identity")?;
        logins.failed(key, now, LOGINS);
        Ok(())
    }

    /// The session of a token, judged now. The signature is remembered for a short time, everything else is looked at each time.
    pub(crate) fn session(&self, api: &Api, text: &str) -> Result<Session, Fault> {
        if text.len() > TOKEN_LEN_MAX {
            return Err(Fault::Malformed);
        }
        let (key, view) = (Digest::of(text.as_bytes()), api.registry.state());
        let token = Token::parse(text)?;
        let now = self.now(api.now().as_millis());
        let known = lock(&self.sessions)
            .get(&key)
            .filter(|k| k.at.elapsed() < SESSION_KNOWN)
            .map(|k| k.given_by.clone());
        // A node that was removed meanwhile gives nothing any more.
        let known = known.filter(|s| s.node().is_some_and(|n| view.state.is_member(n)));
        let given_by = match known {
            Some(given_by) => given_by,
            None => {
                let given_by = token.signer(&view.state, now)?;
                let mut sessions = lock(&self.sessions);
                if sessions.len() >= SESSIONS_MAX {
                    sessions.clear();
                }
                sessions.insert(key, Known { at: Instant::now(), given_by: given_by.clone() });
                given_by
            }
        };
        token.claims.holds(&view.state, now)?;
        let revoked = |s: &String| s.parse().is_ok_and(|s| api.tls.revocations().contains(&s));
        let claims = &token.claims;
        // What this node knows before the registry does counts as well, a cut-off CA's own list for example.
        let distrusted = api.tls.revocations().distrusts(&claims.mark());
        if distrusted || revoked(&claims.serial) || claims.issuers.iter().any(revoked) {
            return Err(Fault::Revoked);
        }
        Ok(Session { claims: token.claims, given_by })
    }
}

/// A token over these claims in this node's name.
pub(crate) fn token(tls: &Tls, claims: Claims) -> Result<Token, ApiError> {
    let signed = tls.sign(&claims.signed_bytes());
    let (certificate, signature) =
        signed.map_err(|e| ApiError::new(codes::INTERNAL, format!("the session cannot be signed: {e}")))?;
    Ok(Token { claims, certificate, signature })
}

fn admitted(left: Option<u64>, who: &str) -> Result<(), ApiError> {
    match left {
        None => Ok(()),
        Some(ms) => {
            let wait = Duration::from_millis(ms);
            let detail = format!("{who} waits for {} more seconds", ms.div_ceil(1_000));
            Err(ApiError::new(codes::LOCKED_OUT, detail).retry_after(wait))
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The guard of the watch does not outlive this line.
    let _ = stop.wait_for(|s| *s).await;
}

/// Once a second until the node stops: the floor of the clock, counts of the log, and now and then its head for the registry.
pub async fn follow(api: Api, mut stop: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut anchored, mut said_behind): (Option<Instant>, bool) = (None, false);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => {
                api.desk.log.drain();
                // Behind everything that was written before.
                let _ = api.desk.log.durable(Line::of(Event::Stopped)).await;
                return;
            }
            _ = every.tick() => {}
        }
        let desk = &api.desk;
        let clock = api.now().as_millis();
        let desk_ref = api.clone();
        // The floor is stored with an fsync: off the async threads.
        let _ = tokio::task::spawn_blocking(move || desk_ref.desk.advance(clock)).await;
        desk.log.tick();
        let behind = desk.behind(clock);
        if let (Some(by), false) = (behind, said_behind) {
            error!(code = %codes::CLOCK_BEHIND, seconds = by / 1_000, "this node's clock was set back: nothing is administered here");
            desk.log.write(Line { code: codes::CLOCK_BEHIND.to_string(), ..Line::of(Event::ClockBehind) });
        }
        said_behind = behind.is_some();
        let view = api.registry.state();
        desk.log.keep_days(view.state.access_log_days());
        let due = anchored
            .is_none_or(|at| at.elapsed() >= Duration::from_millis(view.state.access_log_anchor_ms()));
        let published = view.state.access_head(api.agent.me()).map(|h| h.seq);
        if due
            && view.state.is_member(api.agent.me())
            && published.is_none_or(|seq| desk.log.head().seq > seq)
        {
            anchored = Some(Instant::now());
            anchor(&api, desk.log.head()).await;
        }
    }
}

async fn anchor(api: &Api, head: Head) {
    if head.seq == 0 {
        return;
    }
    let op = Op::AnchorAccessLog { seq: head.seq, digest: head.digest };
    match api.registry.propose(own_command(api, "access log head", op), PROPOSE_TIMEOUT).await {
        Ok(_) => {}
        // Tried again next time; nothing is lost by it.
        Err(error) => info!(%error, "the head of the access log is not published yet"),
    }
}

/// A command in this node's own name.
pub(crate) fn own_command(api: &Api, reason: &str, op: Op) -> Command {
    let me = Subject::Node { platform: api.agent.home(), node: api.agent.me() };
    Command {
        id: CommandId(rand::random()),
        by: me.to_string(),
        at: api.now(),
        reason: reason.into(),
        op,
        proof: None,
    }
}

/// What a person should look at, of this node.
pub(crate) fn warnings(api: &Api, chinese: bool) -> Vec<eport_api_types::Warning> {
    let me = api.agent.me();
    let mut out = Vec::new();
    let mut warn = |code: eport_model::Code, en: String, zh: String| {
        out.push(eport_api_types::Warning { code: code.to_string(), text: if chinese { zh } else { en } });
    };
    if let Some(by) = api.desk.behind(api.now().as_millis()) {
        let s = by / 1_000;
        warn(
            codes::CLOCK_BEHIND,
            format!("the clock of {me} was set back by {s} s; nothing is administered there"),
            format!("{me} 的时钟被回拨 {s} 秒，该节点拒绝管理操作"),
        );
    }
    if let Some(why) = api.desk.log.failure() {
        let code =
            if why.starts_with("write: ") { codes::ACCESS_LOG_FAILED } else { codes::ACCESS_LOG_BROKEN };
        warn(code, format!("the access log of {me}: {why}"), format!("{me} 的访问日志：{why}"));
    }
    let view = api.registry.state();
    if let Some(known) = view.state.access_head(me).filter(|k| k.seq > api.desk.log.head().seq) {
        let (seq, have) = (known.seq, api.desk.log.head().seq);
        warn(
            codes::ACCESS_LOG_BROKEN,
            format!("the access log of {me} ends at line {have}, line {seq} was published"),
            format!("{me} 的访问日志止于第 {have} 行，但已公布至第 {seq} 行"),
        );
    }
    if view.state.separation() == eport_registry::Separation::Founding {
        let both = view
            .state
            .operators()
            .any(|o| !o.suspended && o.roles.contains(&eport_registry::OperatorRole::Administrator));
        if both {
            warn(
                codes::ROLES_JOINED,
                "an administrator of the founding joins the three separated roles".to_owned(),
                "建立联邦时的管理员仍同时拥有三类管理员权限".to_owned(),
            );
        }
    }
    out
}

/// Gauges about access.
pub(crate) fn metrics(api: &Api, sheet: &mut crate::sheet::Sheet) {
    use eport_watch::metric;
    let behind = api.desk.behind(api.now().as_millis()).unwrap_or(0) / 1_000;
    sheet.put(&metric::CLOCK_BEHIND, behind);
    sheet.put(&metric::ACCESS_LOG_LINES, api.desk.log.head().seq);
    sheet.put(&metric::ACCESS_LOG_FAILED, api.desk.log.failure().is_some());
}

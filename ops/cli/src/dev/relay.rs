//! The relay process of a local federation: which paths it carries, its start, and questions to it.
//!
//! Nodes of different sites reach each other only through it, because their configuration names its addresses; the daemon
//! knows nothing of it. Its plan lies in `relay.json`, its control socket beside it.

use crate::dev::process::{self, Pid};
use crate::dev::ready::log_end;
use crate::dev::state::DevState;
use crate::error::Error;
use crate::files::write_new;
use eport_api_types::{DevPath, DevRelay, ProcessState};
use eport_model::NodeId;
use eport_model::codes::{FILE_UNUSABLE, RELAY_DOWN};
use eport_relay::{Answer, End, LinkState, Path as RelayPath, Plan, Question, ask};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the plan in the federation's folder.
const PLAN: &str = "relay.json";
/// Longest plan that is read: 2 048 paths of 500 bytes.
const PLAN_LEN_MAX: u64 = 4 << 20;
/// How long the relay may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The relay in `dev.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayRow {
    /// Its last known process.
    pub process: Option<Pid>,
    /// Its log file.
    pub log: PathBuf,
    /// What it carries.
    pub paths: Vec<RelayPath>,
}

impl RelayRow {
    /// What its process does.
    pub fn state(&self) -> ProcessState {
        self.process.map_or(ProcessState::Exited, process::state)
    }

    /// The object of `dev up --json`.
    pub fn document(&self, with_state: bool) -> DevRelay {
        let path = |p: &RelayPath| DevPath {
            from: p.from.node,
            to: p.to.node,
            quic: p.listen.to_string(),
            api: format!("https://{}", p.listen),
        };
        DevRelay {
            pid: self.process.map_or(0, |p| p.pid),
            state: with_state.then(|| self.state()),
            paths: self.paths.iter().map(path).collect(),
        }
    }
}

/// The ordered pairs of nodes on different sites: each needs an address.
pub fn pairs<T: Copy, S: PartialEq>(nodes: &[T], site: impl Fn(T) -> S) -> Vec<(T, T)> {
    let all = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
    all.filter(|(a, b)| site(*a) != site(*b)).collect()
}

/// Writes the plan of a new federation; none without a second site.
pub fn build(dir: &Path, ends: &[End], addresses: &[SocketAddr]) -> Result<Option<RelayRow>, Error> {
    let pairs = pairs(ends, |e| e.site);
    if pairs.is_empty() {
        return Ok(None);
    }
    let paths: Vec<RelayPath> = pairs
        .into_iter()
        .zip(addresses)
        .map(|((from, to), at)| RelayPath { from, to, listen: *at })
        .collect();
    let plan = Plan { seed: rand::random(), paths };
    let text = serde_json::to_string_pretty(&plan).map_err(|e| Error::coded(FILE_UNUSABLE, e.to_string()))?;
    write_new(&dir.join(PLAN), text.as_bytes(), false)?;
    Ok(Some(RelayRow { process: None, log: dir.join("relay.log"), paths: plan.paths }))
}

/// Where one node dials the others.
pub fn via(relay: Option<&RelayRow>, me: NodeId) -> BTreeMap<NodeId, SocketAddr> {
    let paths = relay.map(|r| r.paths.as_slice()).unwrap_or_default();
    paths.iter().filter(|p| p.from.node == me).map(|p| (p.to.node, p.listen)).collect()
}

/// Starts the relay unless it runs, and waits until it answers. Does nothing where there is none.
pub async fn start(state: &mut DevState) -> Result<(), Error> {
    let (dir, eportd) = (state.dir.clone(), state.eportd.clone());
    let Some(row) = state.relay.as_mut() else { return Ok(()) };
    if row.state() == ProcessState::Exited {
        let eport = find_eport(&eportd)?;
        let args: [&OsStr; 4] = ["dev".as_ref(), "relay".as_ref(), "--dir".as_ref(), dir.as_os_str()];
        row.process = Some(process::spawn_with(&eport, &args, &row.log)?);
    }
    let row = row.clone();
    state.save()?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let answer = ask(&dir, &Question::Show).await;
        let why = match answer {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        if row.state() == ProcessState::Exited || Instant::now() >= deadline {
            let detail = format!("{why}; {}: {}", row.log.display(), log_end(&row.log));
            return Err(Error::dev(format!("the relay did not start: {detail}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stops the relay.
pub async fn stop(state: &DevState) -> Result<(), Error> {
    match state.relay.as_ref().and_then(|r| r.process) {
        Some(p) => process::stop(p, STOP_PATIENCE).await.map(|_| ()),
        None => Ok(()),
    }
}

/// Every link, after a question.
pub async fn links(dir: &Path, question: &Question) -> Result<Vec<LinkState>, Error> {
    let down = |e: std::io::Error| Error::coded(RELAY_DOWN, format!("{}: {e}", dir.display()));
    match ask(dir, question).await.map_err(down)? {
        Answer::Links(links) => Ok(links),
        Answer::Refused(why) => Err(Error::usage(why)),
    }
}

/// The relay process itself: carries until it is killed.
pub async fn run(dir: &Path) -> Result<(), Error> {
    let path = dir.join(PLAN);
    let length = std::fs::metadata(&path).map_err(Error::file(&path))?.len();
    let unusable = |what: String| Error::coded(FILE_UNUSABLE, format!("{}: {what}", path.display()));
    if length > PLAN_LEN_MAX {
        return Err(unusable(format!("{length} bytes; {PLAN_LEN_MAX} are allowed")));
    }
    let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|e| unusable(e.to_string()))?;
    let failed = |e: eport_relay::Error| Error::coded(eport_model::Coded::code(&e), e.to_string());
    let mut relay = eport_relay::Relay::start(&plan, dir).await.map_err(failed)?;
    relay.run().await.map_err(failed)
}

/// This program, or where it stands beside the daemon when a test runs this code.
fn find_eport(eportd: &Path) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().ok().filter(|p| p.file_stem().is_some_and(|n| n == "eport"));
    let beside = Some(eportd.with_file_name("eport")).filter(|p| p.exists());
    own.or(beside).ok_or_else(|| Error::dev("the relay needs the program eport beside eportd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(node: &str, site: &str, port: u16) -> End {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        End { node: node.parse().unwrap(), site: site.parse().unwrap(), quic: at, api: at }
    }

    #[test]
    fn nodes_of_one_site_reach_each_other_directly_and_all_others_by_an_address_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let ends = [end("gz-a-1", "gz-a", 1), end("gz-a-2", "gz-a", 2), end("sz-a-1", "sz-a", 3)];
        let addresses: Vec<SocketAddr> = (10..14).map(|p| SocketAddr::from(([127, 0, 0, 1], p))).collect();
        let relay = build(dir.path(), &ends, &addresses).unwrap();
        let known = |me: &str| -> Vec<String> {
            via(relay.as_ref(), me.parse().unwrap()).keys().map(ToString::to_string).collect()
        };
        assert_eq!(known("gz-a-1"), ["sz-a-1"]);
        assert_eq!(known("sz-a-1"), ["gz-a-1", "gz-a-2"]);
        let plan: Plan = serde_json::from_slice(&std::fs::read(dir.path().join(PLAN)).unwrap()).unwrap();
        plan.check().unwrap();
        assert!(build(dir.path(), &ends[..2], &addresses).unwrap().is_none(), "one site needs no relay");
    }

    #[tokio::test]
    async fn a_question_to_a_relay_that_does_not_run_says_so_and_exits_with_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(links(dir.path(), &Question::Show).await.unwrap_err().exit(), 5);
    }
}

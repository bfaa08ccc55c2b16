//! Canaries: documents lodged all through a drill by a client process of its own, and what became of each.
//!
//! Always: the process ends with the drill, also when the drill is killed; a canary's reference begins with the drill's id, so it
//! can be told from real trade for ever; every promised canary is asked for by its business key.

use crate::connect::Access;
use crate::dev::ready::log_end;
use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::load::log::{self, Line};
use crate::output::cell;
use eport_api_types::{DocumentItem, Page};
use eport_client::Client;
use eport_drill::reconcile::Held;
use eport_model::RegionCode;
use eport_model::codes::{DEV_TIMEOUT, DRILL_FAILED};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Semaphore;

/// Questions by business key under way at once.
const QUESTIONS: usize = 16;
/// Up to this many records a platform is also listed as a whole, which shows doubles that no answer named.
const LIST_RECORDS_MAX: u64 = 200_000;

/// What all canaries of a drill share.
#[derive(Clone, Debug)]
pub struct Flock {
    /// Start of every reference.
    pub prefix: String,
    /// Documents a second.
    pub rate: f64,
    /// Folder of the logs.
    pub dir: PathBuf,
    /// How the federation is called: every node's address.
    pub access: Access,
}

/// The client process of one platform. Killed when dropped.
pub struct Canary {
    /// The platform.
    pub region: RegionCode,
    child: Child,
    /// Held open: the process ends when it closes.
    _parent: Option<ChildStdin>,
    log: PathBuf,
    stop: PathBuf,
}

impl Flock {
    /// References of one platform.
    pub fn prefix_of(&self, region: RegionCode) -> String {
        format!("{}-{region}", self.prefix)
    }

    /// Starts the client of a platform.
    pub fn start(&self, region: RegionCode) -> Result<Canary, Error> {
        let file = |end: &str| self.dir.join(format!("canary-{region}.{end}"));
        let (log, stop, out) = (file("log"), file("stop"), file("out"));
        let exe = std::env::current_exe().map_err(Error::file(Path::new("this program")))?;
        let output = std::fs::File::create(&out).map_err(Error::file(&out))?;
        let errors = output.try_clone().map_err(Error::file(&out))?;
        let mut command = Command::new(&exe);
        command
            .args(self.access.flags())
            .args(["load", "--with-parent", "--platform", &region.to_string()])
            .args(["--prefix", &self.prefix_of(region), "--rate", &self.rate.to_string()])
            .args(self.access.further())
            .arg("--log")
            .arg(&log)
            .arg("--stop-file")
            .arg(&stop);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C at the terminal reaches the drill, which ends this process in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::file(&exe))?;
        let parent = child.stdin.take();
        Ok(Canary { region, child, _parent: parent, log, stop })
    }
}

impl Canary {
    /// How many documents are acknowledged by now.
    pub fn acknowledged(&self) -> u64 {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|l| l.contains("\"outcome\":\"acknowledged\"")).count() as u64
    }

    /// Waits until so many documents are acknowledged in all.
    pub async fn reach(&self, count: u64, until: Instant) -> Result<(), Error> {
        wait_for(until, async || {
            let now = self.acknowledged();
            let seen = format!("{}: {now} of {count} canaries are acknowledged", self.region);
            if now >= count { Ok(()) } else { Err(seen) }
        })
        .await
    }

    /// The lines written so far.
    pub fn lines(&self) -> Result<Vec<Line>, Error> {
        let text = std::fs::read_to_string(&self.log).map_err(Error::file(&self.log))?;
        log::parse(&text).map_err(|e| Error::coded(DRILL_FAILED, format!("{}: {e}", self.log.display())))
    }

    /// Lets it end, which it does when everything is answered, and reads its log.
    pub async fn finish(mut self, patience: Duration) -> Result<Vec<Line>, Error> {
        std::fs::write(&self.stop, b"").map_err(Error::file(&self.stop))?;
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        let late = || {
            let detail = format!("the canaries of {} did not end; log {}", self.region, self.log.display());
            Error::coded(DEV_TIMEOUT, detail)
        };
        let status = ended.map_err(|_| late())?.map_err(Error::file(&self.log))?;
        if !status.success() {
            let out = self.log.with_extension("out");
            let detail = format!("the canaries of {} failed ({status}): {}", self.region, log_end(&out));
            return Err(Error::coded(DRILL_FAILED, detail));
        }
        self.lines()
    }
}

/// What a platform holds of the canaries in a log.
pub async fn held(
    client: &Client,
    region: RegionCode,
    lines: &[Line],
    lodged_by: &str,
    prefix: &str,
) -> Result<Vec<Held>, Error> {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        let Line::Attempt(a) = line else { continue };
        let ids = wanted.entry(&a.client_ref).or_default();
        ids.extend(a.doc_id.as_deref());
    }
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    let slots = Arc::new(Semaphore::new(QUESTIONS));
    let mut tasks = tokio::task::JoinSet::new();
    for (reference, promised) in &wanted {
        let question = Question {
            client: client.clone(),
            region,
            key: format!("{lodged_by}|arrival_report|{reference}|1"),
            promised: promised.iter().map(|id| (*id).to_owned()).collect(),
            reference: (*reference).to_owned(),
        };
        let slots = slots.clone();
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            question.ask().await
        });
    }
    while let Some(done) = tasks.join_next().await {
        let answer = done.map_err(|e| Error::coded(DRILL_FAILED, e.to_string()))?;
        found.extend(answer?);
    }
    found.extend(listed(client, region, prefix).await?);
    Ok(found.into_iter().map(|(client_ref, doc_id)| Held { client_ref, doc_id }).collect())
}

/// One canary, asked for by its business key and by every number that was promised for it.
struct Question {
    client: Client,
    region: RegionCode,
    key: String,
    reference: String,
    promised: Vec<String>,
}

impl Question {
    async fn ask(self) -> Result<Vec<(String, String)>, Error> {
        let path = format!("/v1/platforms/{}/documents", self.region);
        let page: Page<DocumentItem> = self.client.get(&path, &[("key", self.key)]).await?;
        let mut found: Vec<(String, String)> =
            page.items.into_iter().map(|d| (d.client_ref, d.doc_id)).collect();
        // A number beside the key's own would be a second document for one key.
        let beside = |id: &&String| found.iter().all(|(_, known)| known != *id);
        for id in self.promised.iter().filter(beside).cloned().collect::<Vec<_>>() {
            let one = self.client.get::<serde_json::Value>(&format!("{path}/{id}"), &[]).await;
            match one {
                Ok(_) => found.push((self.reference.clone(), id)),
                Err(e) if e.exit() == crate::exit::NOT_FOUND => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(found)
    }
}

/// Everything under the prefix, where the platform is small enough to be listed.
async fn listed(client: &Client, region: RegionCode, prefix: &str) -> Result<Vec<(String, String)>, Error> {
    let platform = crate::drill::moving::platform(client, region).await?;
    if platform.records > LIST_RECORDS_MAX {
        return Ok(Vec::new());
    }
    let query = [("doc_type", "arrival_report".to_owned()), ("limit", "1000".to_owned())];
    let items = client.list(&format!("/v1/platforms/{region}/documents"), &query).await?;
    let mine = items.iter().filter(|d| d["client_ref"].as_str().is_some_and(|r| r.starts_with(prefix)));
    Ok(mine.map(|d| (cell(d, "client_ref"), cell(d, "doc_id"))).collect())
}

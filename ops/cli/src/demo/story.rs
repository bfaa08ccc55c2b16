//! The story of the demo: a federation, code tables, documents, a planned move, a killed primary, the proof.
//!
//! The documents come from client processes of their own (`eport load`), whose logs are the only source of the numbers.

use crate::commands::moves;
use crate::connect::{Access, client_of};
use crate::demo::reconcile::{Held, pause, reconcile};
use crate::demo::report::{Facts, MoveFacts, Step, Verified};
use crate::dev::state::DevState;
use crate::dev::{process, ready, up};
use crate::error::Error;
use crate::load::Clock;
use crate::load::log::{self, Line};
use crate::output::{Out, cell};
use crate::{regions, starter};
use eport_api_types::{FederationStatus, MoveRequest, PlatformStatus};
use eport_client::Client;
use eport_model::codes::{DEMO_FAILED, DEV_TIMEOUT, PRIMARY_ANSWERS, VERSION_CONFLICT};
use eport_model::{Coded, NodeId, RegionCode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the demo is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Documents a second of each load.
    pub rate: f64,
    /// Longest time for one step.
    pub limit: Duration,
}

/// Runs the story on a federation whose files exist; facts are filled in as far as it gets.
pub struct Story<'a> {
    state: &'a mut DevState,
    settings: Settings,
    out: Out,
    clock: Clock,
    /// What was found out so far.
    pub facts: Facts,
}

impl<'a> Story<'a> {
    /// A story on this federation.
    pub fn new(state: &'a mut DevState, settings: Settings, out: Out) -> Self {
        let facts =
            Facts { dir: state.dir.display().to_string(), nodes: state.nodes.len(), ..Facts::default() };
        Self { state, settings, out, clock: Clock::start(), facts }
    }

    /// Tells the story. An error is also in the facts, so that the report can be printed either way.
    pub async fn tell(&mut self, switch: RegionCode, fail: RegionCode) -> Result<(), Error> {
        let told = self.chapters(switch, fail).await;
        match &told {
            Ok(()) => self.facts.passed = true,
            Err(error) => self.facts.failure = Some(format!("{}: {error}", error.code())),
        }
        told
    }

    async fn chapters(&mut self, switch: RegionCode, fail: RegionCode) -> Result<(), Error> {
        self.start().await?;
        self.publish().await?;
        self.switchover(switch, fail).await?;
        let killed = self.failover(fail).await?;
        self.returns(killed, fail).await?;
        self.prove().await?;
        let documents = self.facts.documents();
        if documents.is_clean() {
            Ok(())
        } else {
            Err(Error::coded(DEMO_FAILED, format!("promises were not kept: {documents:?}")))
        }
    }

    async fn start(&mut self) -> Result<(), Error> {
        let begun = self.begin("启动本地联邦", "start the federation");
        up::start_all(self.state)?;
        ready::wait(self.state, self.settings.limit, |_| {}).await?;
        let status = self.status(&self.client()?).await?;
        self.facts.platforms = status.platforms.len();
        self.done(
            begun,
            format!("{} 节点 nodes, {} 平台 platforms", status.nodes.len(), status.platforms.len()),
        );
        Ok(())
    }

    async fn publish(&mut self) -> Result<(), Error> {
        let begun = self.begin("发布代码表", "publish code tables");
        let client = self.client()?;
        let (mut versions, mut rows) = (0u64, 0u64);
        for t in starter::tables()? {
            let answer =
                crate::commands::publish::import(&client, &t.table(), t.upload(false, false)).await?;
            if answer["published"] != true {
                return Err(Error::coded(
                    DEMO_FAILED,
                    format!("table {} was not published: {answer}", t.name),
                ));
            }
            versions += 1;
            rows += answer["rows"].as_u64().unwrap_or(0);
        }
        let nodes = self.state.nodes.len() as u64;
        ready::wait_status(&client, self.settings.limit, |s| {
            let lacking = s.tables.iter().find(|t| t.installed_nodes < nodes);
            lacking.map(|t| format!("{} is on {} of {nodes} nodes", t.name, t.installed_nodes))
        })
        .await?;
        self.done(begun, format!("{versions} 版本 versions, {rows} 行 rows, {nodes} 节点 nodes"));
        Ok(())
    }

    async fn switchover(&mut self, region: RegionCode, other: RegionCode) -> Result<(), Error> {
        let begun = self.begin("写入中计划切换", "planned switchover under load");
        let client = self.client()?;
        let status = self.status(&client).await?;
        let before = platform(&status, region)?;
        let to = target(&before, platform(&status, other)?.primary)?;
        let load = Load::start(self.state, region, "SW", self.settings.rate)?;
        load.wait_acknowledged(120, self.settings.limit).await?;
        let from_ms = self.clock.now_ms();
        let request = MoveRequest { to: Some(to), ..crate::commands::moves::request("switchover", None) };
        let last = self.carry_out(&client, region, request).await?;
        let to_ms = self.clock.now_ms();
        load.wait_more(120, self.settings.limit).await?;
        let lines = load.finish(self.settings.limit).await?;
        self.record("switchover", &client, region, &before, &last, &lines, (from_ms, to_ms)).await?;
        self.done(begun, format!("{region}: {} → {to}", before.primary));
        Ok(())
    }

    /// Kills the primary in the middle of writes and takes its platform over. Returns the killed node.
    async fn failover(&mut self, region: RegionCode) -> Result<NodeId, Error> {
        let begun = self.begin("写入中强杀主节点并接管", "kill -9 the primary under load, take over");
        let before = platform(&self.status(&self.client()?).await?, region)?;
        let load = Load::start(self.state, region, "FO", self.settings.rate)?;
        load.wait_acknowledged(120, self.settings.limit).await?;
        let victim = self.state.node(before.primary)?.clone();
        let from_ms = self.clock.now_ms();
        if let Some(p) = victim.process {
            process::kill(p).await?;
        }
        let client = self.client_without(victim.node)?;
        let command_ms = self.clock.now_ms();
        let request = MoveRequest {
            old_primary: Some("stopped".into()),
            ..crate::commands::moves::request("failover", None)
        };
        let last = self.carry_out(&client, region, request).await?;
        let to_ms = self.clock.now_ms();
        load.wait_more(120, self.settings.limit).await?;
        let lines = load.finish(self.settings.limit).await?;
        self.record("failover", &client, region, &before, &last, &lines, (from_ms, to_ms)).await?;
        let seen = pause(&lines, command_ms, f64::MAX);
        if let Some(m) = self.facts.moves.last_mut() {
            m.move_ms = to_ms - command_ms;
            m.command_to_write_ms =
                first_in_epoch(&lines, m.epoch_after).map(|t| t - command_ms).or(seen.first_after_ms);
        }
        self.done(begun, format!("{region}: {} → {}", before.primary, cell(&last, "to")));
        Ok(victim.node)
    }

    async fn returns(&mut self, node: NodeId, region: RegionCode) -> Result<(), Error> {
        let begun = self.begin("原主节点重启并跟随", "the old primary restarts and follows");
        up::start(self.state, node)?;
        ready::wait_node(self.state, self.state.node(node)?, self.settings.limit).await?;
        let client = self.client()?;
        ready::wait_status(&client, self.settings.limit, |s| {
            let p = s.platforms.iter().find(|p| p.region == region)?;
            match p.backups.iter().find(|b| b.node == node) {
                Some(b) if b.in_sync && b.lag_records == 0 => None,
                Some(b) => Some(format!("{node} lacks {} records of {region}", b.lag_records)),
                None => Some(format!("{node} is no backup of {region} yet")),
            }
        })
        .await?;
        let moves = client.list(&format!("/v1/platforms/{region}/moves"), &[]).await?;
        let tail = moves.iter().find_map(|m| m["exported_tail"].as_str().map(str::to_owned));
        let tail = tail
            .map_or_else(|| "无分叉尾部 no diverged tail".to_owned(), |t| format!("已导出尾部 exported {t}"));
        self.done(begun, format!("{node}: {tail}"));
        Ok(())
    }

    /// Compares all holders of every platform and verifies the journals.
    async fn prove(&mut self) -> Result<(), Error> {
        let begun = self.begin("核验副本与日志", "verify replicas and journals");
        let client = self.client()?;
        let all_in_sync = |s: &FederationStatus| {
            let lagging = s.platforms.iter().find(|p| p.backups.iter().any(|b| !b.in_sync));
            lagging.map(|p| format!("a backup of {} is not in sync", p.region))
        };
        let status = ready::wait_status(&client, self.settings.limit, all_in_sync).await?;
        for p in &status.platforms {
            let found = self.verify(&client, p.region).await?;
            let good = found.chain_ok && found.equal == found.holders;
            self.facts.verified.push(found);
            if !good {
                return Err(Error::coded(DEMO_FAILED, format!("platform {} does not verify", p.region)));
            }
        }
        self.done(begun, format!("{} 平台 platforms", status.platforms.len()));
        Ok(())
    }

    async fn verify(&self, client: &Client, region: RegionCode) -> Result<Verified, Error> {
        let path = format!("/v1/platforms/{region}/verify");
        let compared: Value = client.post(&path, &serde_json::json!({}), eport_client::Repeat::Safe).await?;
        let replicas = compared["replicas"].as_array().cloned().unwrap_or_default();
        let report = crate::commands::journal::verify(client, region, None, None).await?;
        Ok(Verified {
            region: region.to_string(),
            equal: replicas.iter().filter(|r| r["equal"] == true).count(),
            holders: replicas.len(),
            records: report["records"].as_u64().unwrap_or(0),
            chain_ok: report["ok"] == true && report["end_proven"] == true,
        })
    }

    /// Plans a move and carries it out, again while the federation still believes that a killed primary answers.
    async fn carry_out(
        &self,
        client: &Client,
        region: RegionCode,
        request: MoveRequest,
    ) -> Result<Value, Error> {
        let deadline = Instant::now() + self.settings.limit;
        loop {
            match self.one_move(client, region, &request).await {
                Err(e) if worth_repeating(&e) && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                result => return result,
            }
        }
    }

    async fn one_move(
        &self,
        client: &Client,
        region: RegionCode,
        request: &MoveRequest,
    ) -> Result<Value, Error> {
        let name = region.to_string();
        let document =
            |r: &MoveRequest| serde_json::to_value(r).map_err(|e| Error::coded(DEMO_FAILED, e.to_string()));
        let plan =
            client.plan_move(&name, &document(&MoveRequest { dry_run: true, ..request.clone() })?).await?;
        let (request, statement) = moves::order(request.clone(), &plan, region)?;
        let begun = client.start_move(&name, &document(&request)?, &statement).await?;
        let id = begun["move_id"].as_str().unwrap_or_default().to_owned();
        let last =
            client.follow_move(&name, &id, Duration::from_millis(10), self.settings.limit, |_| {}).await?;
        if last["state"] == "done" {
            Ok(last)
        } else {
            Err(Error::coded(
                DEMO_FAILED,
                format!("the {} ended {}: {}", request.kind, cell(&last, "state"), cell(&last, "reason")),
            ))
        }
    }

    async fn record(
        &mut self,
        kind: &str,
        client: &Client,
        region: RegionCode,
        before: &PlatformStatus,
        last: &Value,
        lines: &[Line],
        window: (f64, f64),
    ) -> Result<(), Error> {
        let held = held(client, region).await?;
        let (name_zh, name_en) = regions::names(region);
        self.facts.moves.push(MoveFacts {
            kind: kind.to_owned(),
            region: region.to_string(),
            name_zh,
            name_en,
            from: before.primary.to_string(),
            to: cell(last, "to"),
            epoch_before: before.epoch.as_u64(),
            epoch_after: last["epoch_after"].as_u64().unwrap_or(0),
            pause: pause(lines, window.0, window.1),
            move_ms: window.1 - window.0,
            command_to_write_ms: None,
            documents: reconcile(lines, &held),
        });
        Ok(())
    }

    async fn status(&self, client: &Client) -> Result<FederationStatus, Error> {
        Ok(client.get("/v1/federation", &[]).await?)
    }

    fn client(&self) -> Result<Client, Error> {
        client_of(&self.state.access(), self.settings.limit, self.out.lang)
    }

    /// A client that does not even try the killed node, so that its numbers are not those of a timeout.
    fn client_without(&self, node: NodeId) -> Result<Client, Error> {
        let apis = self.state.nodes.iter().filter(|n| n.node != node).map(|n| n.api.clone()).collect();
        client_of(&Access { apis, ..self.state.access() }, self.settings.limit, self.out.lang)
    }

    fn begin(&mut self, zh: &str, en: &str) -> Instant {
        self.out.say(format!("{en} ..."), format!("{zh} …"));
        self.facts.steps.push(Step {
            zh: zh.into(),
            en: en.into(),
            result: String::new(),
            seconds: 0.0,
            ok: false,
        });
        Instant::now()
    }

    fn done(&mut self, begun: Instant, result: String) {
        if let Some(step) = self.facts.steps.last_mut() {
            step.result = result;
            step.seconds = begun.elapsed().as_secs_f64();
            step.ok = true;
        }
    }
}

/// A refusal that only means "the federation has not noticed yet" or "the placement changed meanwhile". Repeating a move
/// is safe: it names the placement version it was planned on, and a failover under way is joined.
fn worth_repeating(error: &Error) -> bool {
    let code = error.code();
    code == PRIMARY_ANSWERS || code == VERSION_CONFLICT || matches!(error, Error::Api(e) if e.may_retry())
}

fn platform(status: &FederationStatus, region: RegionCode) -> Result<PlatformStatus, Error> {
    let found = status.platforms.iter().find(|p| p.region == region).cloned();
    found.ok_or_else(|| Error::coded(DEMO_FAILED, format!("platform {region} is not placed")))
}

/// The in-sync backup that the platform moves to: not the node that is killed later, so that each move stands alone.
fn target(p: &PlatformStatus, killed_later: NodeId) -> Result<NodeId, Error> {
    let in_sync = p.backups.iter().filter(|b| b.in_sync).map(|b| b.node);
    let best = in_sync.max_by_key(|n| (*n != killed_later, *n));
    best.ok_or_else(|| Error::coded(DEMO_FAILED, format!("platform {} has no in-sync backup", p.region)))
}

/// When the first document was acknowledged in this epoch or a later one.
fn first_in_epoch(lines: &[Line], epoch: u64) -> Option<f64> {
    let acks = lines.iter().filter_map(|l| match l {
        Line::Attempt(a)
            if a.outcome == log::Outcome::Acknowledged && a.epoch.is_some_and(|e| e >= epoch) =>
        {
            Some(a.done_ms)
        }
        _ => None,
    });
    acks.min_by(f64::total_cmp)
}

/// Everything the platform holds of the loads' type.
async fn held(client: &Client, region: RegionCode) -> Result<Vec<Held>, Error> {
    let query = [("doc_type", "arrival_report".to_owned()), ("limit", "1000".to_owned())];
    let items = client.list(&format!("/v1/platforms/{region}/documents"), &query).await?;
    let count = client.count_documents(&region.to_string(), "arrival_report").await?;
    if count != items.len() as u64 {
        let detail = format!("{region} counts {count} documents and lists {}", items.len());
        return Err(Error::coded(DEMO_FAILED, detail));
    }
    Ok(items.iter().map(|d| Held { client_ref: cell(d, "client_ref"), doc_id: cell(d, "doc_id") }).collect())
}

/// A load in a process of its own. Killed when dropped.
struct Load {
    child: tokio::process::Child,
    log: PathBuf,
    stop: PathBuf,
    before: std::cell::Cell<usize>,
}

impl Load {
    fn start(state: &DevState, region: RegionCode, prefix: &str, rate: f64) -> Result<Self, Error> {
        let dir = state.dir.join("load");
        std::fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
        let (log, stop) = (dir.join(format!("{prefix}.log")), dir.join(format!("{prefix}.stop")));
        let exe = std::env::current_exe().map_err(Error::file(Path::new("this program")))?;
        let output = std::fs::File::create(dir.join(format!("{prefix}.out"))).map_err(Error::file(&dir))?;
        let errors = output.try_clone().map_err(Error::file(&dir))?;
        let child = tokio::process::Command::new(&exe)
            .args([
                "load",
                "--json",
                "--platform",
                &region.to_string(),
                "--prefix",
                prefix,
                "--rate",
                &rate.to_string(),
            ])
            .arg("--log")
            .arg(&log)
            .arg("--stop-file")
            .arg(&stop)
            .env("EPORT_DIR", &state.dir)
            .env_remove("EPORT_API")
            .stdin(std::process::Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::file(&exe))?;
        Ok(Self { child, log, stop, before: std::cell::Cell::new(0) })
    }

    fn acknowledged(&self) -> usize {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|l| l.contains("\"outcome\":\"acknowledged\"")).count()
    }

    /// Waits until so many documents are acknowledged.
    async fn wait_acknowledged(&self, count: usize, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        loop {
            let now = self.acknowledged();
            self.before.set(now);
            if now >= count {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let detail =
                    format!("only {now} of {count} documents were acknowledged; log {}", self.log.display());
                return Err(Error::coded(DEV_TIMEOUT, detail));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits for so many more than are acknowledged now: proof that writes go on.
    async fn wait_more(&self, count: usize, limit: Duration) -> Result<(), Error> {
        self.wait_acknowledged(self.acknowledged() + count, limit).await
    }

    /// Lets it end, which it does when everything is answered, and reads its log.
    async fn finish(mut self, limit: Duration) -> Result<Vec<Line>, Error> {
        std::fs::write(&self.stop, b"").map_err(Error::file(&self.stop))?;
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let late = || Error::coded(DEV_TIMEOUT, format!("the load did not end; log {}", self.log.display()));
        let status = ended.map_err(|_| late())?.map_err(Error::file(&self.log))?;
        if !status.success() {
            let out = self.log.with_extension("out");
            let detail = format!("the load failed ({status}); {}: {}", out.display(), ready::log_end(&out));
            return Err(Error::coded(DEMO_FAILED, detail));
        }
        let text = std::fs::read_to_string(&self.log).map_err(Error::file(&self.log))?;
        log::parse(&text).map_err(|e| Error::coded(DEMO_FAILED, format!("{}: {e}", self.log.display())))
    }
}

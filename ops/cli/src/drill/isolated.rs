//! Copies of nodes for a drill that must not touch the living federation: made, recovered, served, taken away.
//!
//! Always: a copy has ports of its own and dials every node of the federation at an address where nobody listens, so neither side
//! ever hears of the other; whatever runs on copies is named in a file in their folder before it is started, so that whoever
//! finds the folder can end it; the folder goes with the last of them.

use crate::connect::{Access, client_of};
use crate::dev::ports;
use crate::dev::process::{self, Pid};
use crate::dev::state::DevState;
use crate::drill::place::Place;
use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::lang::Lang;
use eport_api_types::ProcessState;
use eport_drill::Plan;
use eport_model::codes::{CONFIG_INVALID, DRILL_FAILED};
use eport_model::{Coded, JournalIndex, NodeId, Position, RegionCode};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long one call to the copy may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Names the processes that run on copies.
const PROCESSES: &str = "processes.json";
/// Names the process that stands still while its directory is copied.
const STILL: &str = "still.json";

/// The copies of one drill.
pub struct Copies {
    dir: PathBuf,
    state: DevState,
    survivors: Vec<NodeId>,
    lost: Vec<NodeId>,
    access: Access,
    api: String,
    /// Plan files with their tokens, the survivor's first.
    plans: Vec<(PathBuf, String)>,
}

impl Copies {
    /// Copies that are not made yet, below a folder that is theirs alone.
    pub fn new(dir: &Path, place: &Place, plan: &Plan, access: &Access) -> Result<Self, Error> {
        let local = place.dir().ok_or_else(|| failed("the nodes' directories are not on this machine"))?;
        let (found, _) = ports::free(1, 0)?;
        let at = found.first().ok_or_else(|| failed("no free port"))?.api;
        let api = format!("https://{at}");
        Ok(Self {
            dir: dir.to_owned(),
            state: DevState::load(local)?,
            survivors: plan.survivors.clone(),
            lost: plan.lost.clone(),
            access: Access { apis: vec![api.clone()], ..access.clone() },
            api,
            plans: Vec::new(),
        })
    }

    fn config(&self, node: NodeId) -> PathBuf {
        self.dir.join(node.as_str()).join("eportd.toml")
    }

    fn survivor(&self) -> Result<NodeId, Error> {
        self.survivors.first().copied().ok_or_else(|| failed("the plan names no survivor"))
    }

    /// Copies each survivor's directory while its process stands still for a moment: what a power cut would leave.
    pub async fn image(&mut self) -> Result<String, Error> {
        std::fs::create_dir_all(&self.dir).map_err(Error::file(&self.dir))?;
        let mut told = Vec::new();
        for node in self.survivors.clone() {
            let row = self.state.node(node)?.clone();
            let text = std::fs::read_to_string(&row.config).map_err(Error::file(&row.config))?;
            let home = self.dir.join(node.as_str());
            std::fs::create_dir_all(&home).map_err(Error::file(&home))?;
            let mut file: toml::Table = toml::from_str(&text).map_err(invalid(&row.config))?;
            let data = data_dir(&file, &row.config)?;
            let begun = Instant::now();
            let copied = self.still(row.process, || copy_dir(&data, &home.join("data")));
            copied?;
            let ms = begun.elapsed().as_millis();
            self.isolate(&mut file, &home, &row.config)?;
            let text = toml::to_string(&file).map_err(|e| failed(e.to_string()))?;
            std::fs::write(self.config(node), text).map_err(Error::file(&home))?;
            told.push(format!("{node} ({ms} ms)"));
        }
        Ok(format!("copied {}", told.join(", ")))
    }

    /// The configuration of a copy: its own folder and ports, and no way to any other node.
    fn isolate(&self, file: &mut toml::Table, home: &Path, from: &Path) -> Result<(), Error> {
        let base = from.parent().unwrap_or(Path::new("/"));
        let absolute = |t: &mut toml::Table, section: &str| {
            let names = t.get_mut(section).and_then(toml::Value::as_table_mut);
            for value in names.into_iter().flat_map(|t| t.iter_mut().map(|(_, v)| v)) {
                if let Some(path) = value.as_str().filter(|p| Path::new(p).is_relative()) {
                    *value = base.join(path).display().to_string().into();
                }
            }
        };
        // The copy reads the certificates where they lie; its vault key stays beside the node's own TLS key.
        absolute(file, "tls");
        absolute(file, "keys");
        let (quic, nobody) = udp_pair()?;
        let api = self.api.trim_start_matches("https://").to_owned();
        let set = |file: &mut toml::Table, section: &str, key: &str, value: toml::Value| {
            let table = file.entry(section).or_insert_with(|| toml::Table::new().into());
            if let Some(table) = table.as_table_mut() {
                table.insert(key.to_owned(), value);
            }
        };
        set(file, "node", "data_dir", home.join("data").display().to_string().into());
        set(file, "listen", "quic", quic.into());
        set(file, "listen", "api", api.into());
        if let Some(listen) = file.get_mut("listen").and_then(toml::Value::as_table_mut) {
            listen.remove("metrics");
        }
        let via: toml::Table =
            self.state.nodes.iter().map(|n| (n.node.to_string(), nobody.clone().into())).collect();
        set(file, "transport", "via", via.into());
        set(file, "federation", "seeds", toml::Value::Array(Vec::new()));
        if let Some(federation) = file.get_mut("federation").and_then(toml::Value::as_table_mut) {
            federation.remove("genesis");
        }
        Ok(())
    }

    /// A recovery plan of every copy.
    pub async fn plan(&mut self) -> Result<String, Error> {
        self.plans.clear();
        for node in self.survivors.clone() {
            let file = self.dir.join(format!("recover-{node}.json"));
            let args = ["quorum", "recover", "plan", "--config"].map(Into::into);
            let config = self.config(node).into_os_string();
            let out: [std::ffi::OsString; 2] = ["--out".into(), file.clone().into_os_string()];
            let made = self.eport(&args.into_iter().chain([config]).chain(out).collect::<Vec<_>>()).await?;
            let token = made["token"].as_str().ok_or_else(|| failed("the plan shows no token"))?.to_owned();
            self.plans.push((file, token));
        }
        Ok(format!("plans of {} copies", self.plans.len()))
    }

    /// Signed, tried, carried out, and refused the second time.
    pub async fn recover(&mut self) -> Result<String, Error> {
        let (own, token) = self.plans.first().cloned().ok_or_else(|| failed("there is no plan"))?;
        let sign: Vec<std::ffi::OsString> =
            ["quorum", "recover", "sign", "--plan"].map(Into::into).into_iter().chain([own.into()]).collect();
        self.eport(&sign).await?;
        let mut apply: Vec<std::ffi::OsString> =
            ["quorum", "recover", "apply", "--config"].map(Into::into).into_iter().collect();
        apply.push(self.config(self.survivor()?).into());
        apply.extend(["--tail".into(), "commit".into(), "--token".into(), token.into(), "--plan".into()]);
        apply.extend(self.plans.iter().map(|(file, _)| file.clone().into_os_string()));
        apply.push("--confirm-stopped".into());
        let gone = self.lost.iter().map(|n| n.to_string().into());
        apply.extend(gone);
        let done = self.eport(&apply).await?;
        let lineage = done["lineage"].as_str().unwrap_or_default().to_owned();
        match self.eport(&apply).await {
            Ok(_) => Err(failed("the same plan was carried out twice")),
            Err(_) => Ok(format!("lineage {lineage}, epochs raised by {}", done["epochs_raised_by"])),
        }
    }

    /// Starts the recovered copy and lets it take a write; answers the epoch.
    pub async fn serve(&mut self, region: RegionCode, until: Instant) -> Result<u64, Error> {
        let node = self.survivor()?;
        let log = self.dir.join("eportd.log");
        let process = process::spawn(&self.state.eportd, &self.config(node), &log)?;
        self.note(PROCESSES, process)?;
        let client = client_of(&self.access, CALL_LIMIT, Lang::En)?;
        let path = format!("/v1/platforms/{region}");
        wait_for(until, async || {
            if process::state(process) == ProcessState::Exited {
                return Err(format!("the copy has ended; see {}", log.display()));
            }
            client.get::<Value>(&path, &[]).await.map(|_| ()).map_err(|e| e.to_string())
        })
        .await?;
        let name = region.to_string();
        let now: Value = client.get(&path, &[]).await?;
        if now["state"] == "stopped" {
            self.repeat(&["platform", "adopt", &name, "--node", node.as_str()], until).await?;
        }
        // Nobody is left in the copy who could acknowledge.
        self.repeat(&["platform", "policy", &name, "--durability", "async"], until).await?;
        let document = crate::load::documents::Generator::new("COPY").document(1);
        wait_for(until, async || {
            let lodged = client.lodge(&name, &document, eport_client::Repeat::Safe).await;
            match lodged {
                Ok((200 | 201, _)) => Ok(()),
                Ok((status, body)) => Err(format!("HTTP {status}: {body}")),
                Err(e) => Err(e.to_string()),
            }
        })
        .await?;
        let now: Value = client.get(&path, &[]).await?;
        now["epoch"].as_u64().ok_or_else(|| failed("the copy names no epoch"))
    }

    /// How many promises stand in the copy's journal: the newest one is found by its digest, which proves all before it.
    pub async fn find(
        &self,
        region: RegionCode,
        promised: &[(String, Position)],
        until: Instant,
    ) -> Result<usize, Error> {
        let client = client_of(&self.access, CALL_LIMIT, Lang::En)?;
        let folder = self.dir.join("export");
        let newest = promised.iter().map(|(_, at)| *at).max_by_key(|at| (at.epoch, at.index));
        let newest = newest.ok_or_else(|| failed("no canary was acknowledged before the copy"))?;
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let (client, first) = (client.with_timeout(left), JournalIndex::from_u64(1));
        crate::commands::journal::export_at(&client, region, &folder, first).await?;
        let report = eport_store::verify_export(&folder, Some(newest), None)
            .map_err(|e| Error::coded(e.code(), format!("the copy: {e}")))?;
        if !report.ok {
            let what = report.problems.first().map(|p| p.detail.clone()).unwrap_or_default();
            return Err(failed(format!("the copy's journal: {what}")));
        }
        Ok(promised.len())
    }

    /// Takes everything away.
    pub async fn end(&self) -> Result<(), Error> {
        sweep(&self.dir).await
    }

    /// Does something while a process stands still; it goes on whatever comes of it, and whoever sweeps lets it go on too.
    fn still(&self, process: Option<Pid>, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let Some(process) = process else { return work() };
        self.note(STILL, process)?;
        process::signal(process, Signal::STOP)?;
        let done = work();
        process::signal(process, Signal::CONT)?;
        done
    }

    fn note(&self, name: &str, process: Pid) -> Result<(), Error> {
        let path = self.dir.join(name);
        let text = serde_json::to_vec(&[process]).map_err(|e| failed(e.to_string()))?;
        std::fs::write(&path, text).map_err(Error::file(&path))
    }

    /// A command against the copy, again until it is done: a copy that has just started is not ready for every command.
    async fn repeat(&self, words: &[&str], until: Instant) -> Result<(), Error> {
        let args: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        wait_for(until, async || self.eport(&args).await.map(|_| ()).map_err(|e| e.to_string())).await
    }

    /// Runs this very program on the copies and answers its document.
    async fn eport(&self, args: &[std::ffi::OsString]) -> Result<Value, Error> {
        let exe = std::env::current_exe().map_err(Error::file(Path::new("this program")))?;
        let mut command = tokio::process::Command::new(&exe);
        command.args(self.access.flags()).arg("--yes").args(args).stdin(Stdio::null()).kill_on_drop(true);
        let done = command.output().await.map_err(Error::file(&exe))?;
        let document: Value = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
        if done.status.success() {
            return Ok(document);
        }
        let words =
            document["error"]["detail"].as_str().or(document["error"]["title"].as_str()).unwrap_or("no word");
        let code = document["error"]["code"].as_str().unwrap_or_default();
        let what: Vec<String> = args.iter().take(3).map(|a| a.to_string_lossy().into_owned()).collect();
        Err(failed(format!("{} on the copy: {code} {words}", what.join(" "))))
    }
}

/// Ends whatever runs on copies and removes their folder. May be repeated; a folder that is not there is done.
pub async fn sweep(dir: &Path) -> Result<(), Error> {
    let named = |name: &str| -> Vec<Pid> {
        let text = std::fs::read(dir.join(name)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    };
    for stopped in named(STILL) {
        process::signal(stopped, Signal::CONT)?;
    }
    for process in named(PROCESSES) {
        process::kill(process).await?;
    }
    match std::fs::remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::file(dir)(e)),
    }
}

fn failed(detail: impl Into<String>) -> Error {
    Error::coded(DRILL_FAILED, detail.into())
}

fn invalid(path: &Path) -> impl Fn(toml::de::Error) -> Error + '_ {
    move |e| Error::coded(CONFIG_INVALID, format!("{}: {}", path.display(), e.message()))
}

fn data_dir(file: &toml::Table, config: &Path) -> Result<PathBuf, Error> {
    let found = file.get("node").and_then(|n| n.get("data_dir")).and_then(toml::Value::as_str);
    let found = found.ok_or_else(|| failed(format!("{}: no data_dir", config.display())))?;
    Ok(config.parent().unwrap_or(Path::new("/")).join(found))
}

/// A free address to listen at, and one where nobody does.
fn udp_pair() -> Result<(String, String), Error> {
    let (found, nobody) = ports::free(1, 1)?;
    let quic = found.first().ok_or_else(|| failed("no free port"))?.quic;
    let nobody = nobody.first().ok_or_else(|| failed("no free port"))?;
    Ok((quic.to_string(), nobody.to_string()))
}

fn copy_dir(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(Error::file(to))?;
    for entry in std::fs::read_dir(from).map_err(Error::file(from))? {
        let entry = entry.map_err(Error::file(from))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(Error::file(from))?);
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_dir(&path, &target)?;
        } else if kind.is_file() {
            std::fs::copy(&path, &target).map_err(Error::file(&path))?;
        }
    }
    Ok(())
}

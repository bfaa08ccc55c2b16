//! One federation of real processes.

use crate::{Binaries, Http, Presented, Ran, binaries, wait_for};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The variable that names the folder of failpoints.
const POINTS: &str = "EPORT_FAILPOINTS";

/// A node as `eport dev up` reported it.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Its id.
    pub node: String,
    /// Its site.
    pub site: String,
    /// Its API address.
    pub api: String,
    /// Its process when the federation started.
    pub pid: u32,
}

/// Runs a scenario on a new federation; a scenario that fails shows what it saw and the end of every node's log.
///
/// # Panics
/// When the federation does not start or the scenario fails.
#[allow(clippy::panic, reason = "this is how a test fails")]
pub fn with_federation(extra: &[&str], scenario: impl FnOnce(&Federation) -> Result<()>) {
    let federation = Federation::up(extra).unwrap_or_else(|e| panic!("{e:#}"));
    if let Err(error) = scenario(&federation) {
        // The federation is dropped while this unwinds and then prints the logs.
        panic!("{error:#}");
    }
}

/// A running federation. Dropping it stops every process and removes the folder.
#[derive(Debug)]
pub struct Federation {
    dir: tempfile::TempDir,
    bin: &'static Binaries,
    nodes: Vec<NodeInfo>,
    points: Option<PathBuf>,
    /// What `eport dev up --json` printed.
    pub up: Value,
}

impl Federation {
    /// `eport dev up` with extra arguments.
    pub fn up(extra: &[&str]) -> Result<Self> {
        Self::start(extra, None)
    }

    /// The same, with processes whose failpoints a scenario may arm.
    pub fn up_armed(extra: &[&str]) -> Result<Self> {
        Self::start(extra, Some(&[]))
    }

    /// The same, where processes say of themselves from their first start on what `says` names: process, name, value.
    pub fn up_armed_with(extra: &[&str], says: &[(&str, &str, &str)]) -> Result<Self> {
        Self::start(extra, Some(says))
    }

    fn start(extra: &[&str], armed: Option<&[(&str, &str, &str)]>) -> Result<Self> {
        let bin = binaries()?;
        let dir = tempfile::Builder::new().prefix("eport-test-").tempdir()?;
        let home = dir.path().join("fed");
        let points = armed.map(|_| dir.path().join("points"));
        let mut first = Command::new(&bin.eport);
        first.args(["--json", "dev", "up", "--dir"]).arg(&home).args(extra);
        if let Some(points) = &points {
            std::fs::create_dir_all(points)?;
            for (scope, name, value) in armed.into_iter().flatten() {
                std::fs::create_dir_all(points.join(scope))?;
                std::fs::write(points.join(scope).join(name), value)?;
            }
            first.env(POINTS, points);
        }
        let ran = Ran::of(&mut first)?;
        let up = match ran.ok_json() {
            Ok(up) => up,
            Err(error) => {
                let logs = logs(&home);
                let _ = Ran::of(Command::new(&bin.eport).args(["dev", "down", "--dir"]).arg(&home));
                return Err(error.context(format!("dev up; logs:\n{logs}")));
            }
        };
        let text = |v: &Value| v.as_str().map(str::to_owned).context("a string in dev up's nodes");
        let mut nodes = Vec::new();
        for n in up["nodes"].as_array().context("nodes of dev up")? {
            let pid = n["pid"].as_u64().and_then(|p| u32::try_from(p).ok()).context("pid of a node")?;
            nodes.push(NodeInfo {
                node: text(&n["node"])?,
                site: text(&n["site"])?,
                api: text(&n["api"])?,
                pid,
            });
        }
        Ok(Self { dir, bin, nodes, points, up })
    }

    /// The folder that `EPORT_DIR` names.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("fed")
    }

    /// A scratch folder beside it.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The nodes.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// API address of a node.
    pub fn api(&self, node: &str) -> Result<&str> {
        self.nodes
            .iter()
            .find(|n| n.node == node)
            .map(|n| n.api.as_str())
            .with_context(|| format!("no node {node}"))
    }

    /// A command of the operators' tool against this federation, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(&self.bin.eport);
        c.args(args).env("EPORT_DIR", self.home()).env_remove("EPORT_API");
        if let Some(points) = &self.points {
            c.env(POINTS, points);
        }
        c
    }

    /// Where failpoints are armed, if they can be.
    pub fn points(&self) -> Option<&Path> {
        self.points.as_deref()
    }

    /// Starts `eport --json --yes --api NODE …` with its output kept for later.
    pub fn spawn_at(&self, node: &str, args: &[&str]) -> Result<std::process::Child> {
        let api = self.api(node)?.to_owned();
        let mut command = self.command(&["--json", "--yes", "--api", &api]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("{args:?}"))
    }

    /// Runs `eport --json --yes …`.
    pub fn eport(&self, args: &[&str]) -> Result<Ran> {
        Ran::of(self.command(&["--json", "--yes"]).args(args))
    }

    /// Runs `eport --json --yes --api NODE …`.
    pub fn eport_at(&self, node: &str, args: &[&str]) -> Result<Ran> {
        let api = self.api(node)?.to_owned();
        Ran::of(self.command(&["--json", "--yes", "--api", &api]).args(args))
    }

    /// `eport status --json` of one node.
    pub fn status_at(&self, node: &str) -> Result<Value> {
        self.eport_at(node, &["status"])?.ok_json()
    }

    /// The entry of one platform in a node's status.
    pub fn platform_at(&self, node: &str, region: &str) -> Result<Value> {
        let status = self.status_at(node)?;
        let found =
            status["platforms"].as_array().and_then(|l| l.iter().find(|p| p["region"] == region)).cloned();
        found.with_context(|| format!("no platform {region} in {status}"))
    }

    /// `eport dev kill|pause|resume|restart NODE`.
    pub fn dev(&self, verb: &str, node: &str) -> Result<()> {
        let home = self.home();
        let ran = Ran::of(self.command(&["--json", "dev", verb, node, "--dir"]).arg(&home))?;
        if ran.code != 0 {
            bail!("dev {verb} {node}: exit {} {} {}", ran.code, ran.stdout, ran.stderr);
        }
        Ok(())
    }

    /// Waits until a node's status of a platform satisfies `check`.
    pub fn wait_platform(
        &self,
        node: &str,
        region: &str,
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait_for(&format!("{region} {what} at {node}"), Duration::from_secs(120), || {
            match self.platform_at(node, region) {
                Ok(p) if check(&p) => Ok(p),
                Ok(p) => Err(p.to_string()),
                Err(e) => Err(format!("{e:#}")),
            }
        })
    }

    /// Waits until a node's whole status satisfies `check`.
    pub fn wait_status(&self, node: &str, what: &str, check: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(&format!("{what} at {node}"), Duration::from_secs(120), || match self.status_at(node) {
            Ok(s) if check(&s) => Ok(s),
            Ok(s) => Err(s.to_string()),
            Err(e) => Err(format!("{e:#}")),
        })
    }

    /// `eport platform history R --json` of one node.
    pub fn history_at(&self, node: &str, region: &str) -> Result<Vec<Value>> {
        let list = self.eport_at(node, &["platform", "history", region])?.ok_json()?;
        Ok(list["items"].as_array().context("items of the history")?.clone())
    }

    /// Starts a command of the operators' tool (`--json --yes`) with its output kept for later.
    pub fn spawn(&self, args: &[&str]) -> Result<std::process::Child> {
        let mut command = self.command(&["--json", "--yes"]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("{args:?}"))
    }

    /// The folder of a node: `eportd.toml`, `log`, `data/`, `tls/`.
    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.home().join(node)
    }

    /// The operator's certificate, key and trust bundle.
    pub fn operator(&self) -> (PathBuf, PathBuf, PathBuf) {
        let home = self.home();
        (home.join("operator/admin.crt"), home.join("operator/admin.key"), home.join("ca/bundle.pem"))
    }

    /// A plain caller with the operator's certificate.
    pub fn http(&self) -> Result<Http> {
        let (cert, key, ca) = self.operator();
        Http::new(&ca, Some(Presented { cert: &cert, key: &key }))
    }

    /// Runs `eportd` with a configuration until it ends by itself; fails when it goes on longer than `limit`.
    pub fn eportd(&self, config: &Path, limit: Duration) -> Result<Ran> {
        let mut command = Command::new(&self.bin.eportd);
        command
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let ended = wait_for("the end of eportd", limit, || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if ended.is_err() {
            let _ = child.kill();
        }
        let ran = Ran::from(child.wait_with_output()?);
        ended.with_context(|| format!("{ran:?}"))?;
        Ok(ran)
    }

    /// Starts `eportd` with a configuration, its output going to a file; it is killed when the value is dropped. Its places can be
    /// armed like those of the federation's own nodes.
    pub fn daemon(&self, config: &Path, log: &Path) -> Result<Daemon> {
        let out = std::fs::File::create(log)?;
        let mut command = Command::new(&self.bin.eportd);
        command.arg("--config").arg(config).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        if let Some(points) = &self.points {
            command.env(POINTS, points);
        }
        Ok(Daemon(command.spawn()?))
    }

    /// The end of every node's log, for a failed test.
    pub fn logs(&self) -> String {
        logs(&self.home())
    }
}

/// A daemon beside the federation's own.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Its exit code once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().ok().flatten().map(|s| s.code().unwrap_or(-1))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        let home = self.home();
        let _ = Ran::of(self.command(&["dev", "down", "--dir"]).arg(&home));
    }
}

/// The last lines of every `log` file below a folder.
fn logs(home: &Path) -> String {
    let mut out = String::new();
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let path = entry.path().join("log");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let lines: Vec<&str> = text.lines().collect();
            out.push_str(&format!(
                "== {}\n{}\n",
                path.display(),
                lines[lines.len().saturating_sub(40)..].join("\n")
            ));
        }
    }
    out
}

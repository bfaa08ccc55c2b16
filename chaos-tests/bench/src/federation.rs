//! A federation under measurement: started and steered through the `eport` command line, in a folder on a real disk.

use anyhow::{Context, Result, bail};
use eport_cli::dev::{process, state::DevState, up};
use eport_client::{Client, Files, Settings, client_config};
use eport_cluster::{Ran, wait_for};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::ClientConfig;

/// Addresses of the nodes of a local federation and TLS for HTTP/1.1 clients, from its folder.
pub fn access(home: &Path) -> Result<(Vec<String>, Arc<ClientConfig>)> {
    let access = DevState::load(home)?.access();
    let mut config = client_config(&Files { cert: access.cert, key: access.key, ca: access.ca })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((access.apis, Arc::new(config)))
}

/// A running federation; dropping it stops its processes and removes its folder.
pub struct Federation {
    eport: PathBuf,
    dir: tempfile::TempDir,
}

impl Federation {
    /// `eport dev up` with extra arguments, and the starter tables published. What is measured is the nodes, not the process
    /// that `dev up` puts between their sites.
    pub fn up(bin: &Path, dir: &Path, extra: &[&str]) -> Result<Self> {
        Self::linked(bin, dir, &[&["--direct"], extra].concat())
    }

    /// The same with the process between the sites, which can slow their links.
    pub fn linked(bin: &Path, dir: &Path, extra: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        let federation = Self { eport: bin.join("eport"), dir };
        let home = federation.home().display().to_string();
        let mut args = vec!["dev", "up", "--dir", &home];
        args.extend(extra);
        federation.eport(&args)?;
        federation.eport(&["table", "import", "--starter"])?;
        Ok(federation)
    }

    /// The folder of the federation.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("fed")
    }

    /// A folder beside it, on the same disk.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// What `dev.json` says.
    pub fn state(&self) -> Result<DevState> {
        Ok(DevState::load(&self.home())?)
    }

    /// A command that is not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.eport);
        command.args(["--json", "--yes"]).args(args).env("EPORT_DIR", self.home()).env_remove("EPORT_API");
        command
    }

    /// Runs a command to its end and reads its JSON.
    pub fn eport(&self, args: &[&str]) -> Result<Value> {
        Ran::of(&mut self.command(args))?.ok_json().with_context(|| format!("eport {}", args.join(" ")))
    }

    /// API addresses in the order of the nodes.
    pub fn apis(&self) -> Result<Vec<String>> {
        Ok(self.state()?.access().apis)
    }

    /// TLS for HTTP/1.1 clients.
    pub fn tls(&self) -> Result<Arc<ClientConfig>> {
        Ok(access(&self.home())?.1)
    }

    /// A client of one node.
    pub fn client(&self, api: &str) -> Result<Client> {
        let settings =
            Settings { apis: vec![api.to_owned()], timeout: Duration::from_secs(30), language: "en" };
        Ok(Client::new(settings, client_config(&self.files()?)?)?)
    }

    fn files(&self) -> Result<Files> {
        let access = self.state()?.access();
        Ok(Files { cert: access.cert, key: access.key, ca: access.ca })
    }

    /// A platform's entry in `eport status`.
    pub fn platform(&self, region: &str) -> Result<Value> {
        let status = self.eport(&["status"])?;
        let found = status["platforms"].as_array().and_then(|l| l.iter().find(|p| p["region"] == region));
        found.cloned().with_context(|| format!("no platform {region}"))
    }

    /// Waits until every backup of a platform is in sync and nothing moves.
    pub fn wait_in_sync(&self, region: &str, backups: usize) -> Result<Value> {
        wait_for(&format!("{region} in sync"), Duration::from_secs(120), || {
            let p = self.platform(region).map_err(|e| format!("{e:#}"))?;
            let synced =
                p["backups"].as_array().into_iter().flatten().filter(|b| b["in_sync"] == true).count();
            if p["state"] == "active" && synced >= backups { Ok(p) } else { Err(p.to_string()) }
        })
    }

    /// Who leads the registry, as the first node that answers sees it.
    pub fn leader(&self) -> Result<String> {
        let status = self.eport(&["status"])?;
        Ok(status["leader"].as_str().context("the registry has no leader")?.to_owned())
    }

    /// Starts a killed node again and waits until it is ready.
    pub fn restart(&self, node: &str) -> Result<()> {
        self.eport(&["dev", "restart", node, "--dir", &self.home().display().to_string()])?;
        Ok(())
    }

    /// Kills a node at once; its data directory is free when this returns.
    pub fn kill(&self, node: &str) -> Result<()> {
        self.eport(&["dev", "kill", node, "--dir", &self.home().display().to_string()])?;
        Ok(())
    }

    /// Starts a node's process without waiting for anything; its address and the instant before the start.
    pub fn start(&self, node: &str) -> Result<(String, Instant)> {
        let mut state = self.state()?;
        let id = node.parse().with_context(|| node.to_owned())?;
        let begin = Instant::now();
        up::start(&mut state, id)?;
        Ok((state.node(id)?.api.clone(), begin))
    }

    /// Adds `[shipping]` to the configuration of a node that does not run, in place of what stood there.
    pub fn set_shipping(&self, node: &str, section: &str) -> Result<()> {
        let path = self.home().join(node).join("eportd.toml");
        let text = std::fs::read_to_string(&path)?;
        let kept = text.split("\n[shipping]").next().unwrap_or(&text).trim_end();
        std::fs::write(&path, format!("{kept}\n\n[shipping]\n{section}"))?;
        Ok(())
    }

    /// Stops a node and waits until it has ended.
    pub async fn stop(&self, node: &str) -> Result<()> {
        let state = self.state()?;
        let row = state.node(node.parse().with_context(|| node.to_owned())?)?;
        let Some(pid) = row.process else { bail!("{node} does not run") };
        process::stop(pid, Duration::from_secs(30)).await?;
        Ok(())
    }

    /// Processor time that all nodes have used, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let mut ticks = 0.0;
        for process in self.state()?.nodes.iter().filter_map(|n| n.process) {
            let text = std::fs::read_to_string(format!("/proc/{}/stat", process.pid))?;
            // Behind the name in parentheses the fields count from 3; user and system time are 14 and 15.
            let fields = text.rsplit(')').next().unwrap_or_default();
            ticks +=
                fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(ticks / ticks_per_second)
    }

    /// Resident memory of every node in MiB.
    pub fn resident(&self) -> Result<Vec<(String, f64)>> {
        let state = self.state()?;
        let mut out = Vec::new();
        for row in &state.nodes {
            let pid = row.process.with_context(|| format!("{} does not run", row.node))?.pid;
            let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
            let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
            out.push((row.node.to_string(), kib / 1_024.0));
        }
        Ok(out)
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        let _ = self.eport(&["dev", "down", "--dir", &self.home().display().to_string()]);
    }
}

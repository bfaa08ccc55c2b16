//! `dev.json`: what a local federation consists of, and the lock that keeps two commands from changing it at once.

use crate::connect::Access;
use crate::dev::process::{self, Pid};
use crate::dev::relay::RelayRow;
use crate::error::Error;
use eport_api_types::{DevNode, DevUp, OperatorFiles, ProcessState};
use eport_model::codes::{DEV_DIR_IN_USE, DEV_NOT_FOUND, FILE_UNUSABLE};
use eport_model::{Lineage, NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the file.
pub const FILE: &str = "dev.json";

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DevState {
    /// The folder.
    pub dir: PathBuf,
    /// Name of the federation.
    pub federation: String,
    /// Its lineage.
    pub lineage: Lineage,
    /// `dev` or `demo`.
    pub mode: String,
    /// The daemon's executable.
    pub eportd: PathBuf,
    /// The nodes.
    pub nodes: Vec<NodeRow>,
    /// The operator's files.
    pub operator: OperatorFiles,
    /// The process between the sites, where there is one.
    #[serde(default)]
    pub relay: Option<RelayRow>,
}

/// One node of a local federation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// Its last known process.
    pub process: Option<Pid>,
    /// API address, `https://…`.
    pub api: String,
    /// QUIC address.
    pub quic: String,
    /// Metrics address, `http://…`.
    pub metrics: String,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its log file.
    pub log: PathBuf,
}

impl DevState {
    /// Reads the state of a folder.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::coded(DEV_NOT_FOUND, format!("{} does not exist", path.display())));
            }
            Err(e) => return Err(Error::file(&path)(e)),
        };
        let read = serde_json::from_slice(&bytes);
        let mut state: Self =
            read.map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", path.display())))?;
        // The folder may have been given by another name since; paths inside stay as written.
        state.dir = dir.to_owned();
        Ok(state)
    }

    /// Writes the state.
    pub fn save(&self) -> Result<(), Error> {
        let text =
            serde_json::to_string_pretty(self).map_err(|e| Error::coded(FILE_UNUSABLE, e.to_string()))?;
        crate::files::write_atomic(&self.dir.join(FILE), text.as_bytes())
    }

    /// How operators call this federation.
    pub fn access(&self) -> Access {
        Access {
            apis: self.nodes.iter().map(|n| n.api.clone()).collect(),
            cert: PathBuf::from(&self.operator.cert),
            key: PathBuf::from(&self.operator.key),
            ca: PathBuf::from(&self.operator.ca),
        }
    }

    /// The row of a node.
    pub fn node(&self, node: NodeId) -> Result<&NodeRow, Error> {
        self.nodes.iter().find(|n| n.node == node).ok_or_else(|| self.unknown(node))
    }

    /// The row of a node, to change it.
    pub fn node_mut(&mut self, node: NodeId) -> Result<&mut NodeRow, Error> {
        let unknown = self.unknown(node);
        self.nodes.iter_mut().find(|n| n.node == node).ok_or(unknown)
    }

    fn unknown(&self, node: NodeId) -> Error {
        let known: Vec<&str> = self.nodes.iter().map(|n| n.node.as_str()).collect();
        let detail = format!("{} has no node {node}; it has {}", self.dir.display(), known.join(", "));
        Error::coded(DEV_NOT_FOUND, detail)
    }

    /// The object of `dev up --json`, or with states that of `dev status --json`.
    pub fn document(&self, with_state: bool) -> DevUp {
        let nodes = self.nodes.iter().map(|n| DevNode {
            node: n.node,
            site: n.site,
            region: n.region,
            pid: n.process.map_or(0, |p| p.pid),
            api: n.api.clone(),
            quic: n.quic.clone(),
            state: with_state.then(|| n.state()),
        });
        DevUp {
            dir: self.dir.display().to_string(),
            api: self.nodes.iter().map(|n| n.api.clone()).collect(),
            nodes: nodes.collect(),
            operator: self.operator.clone(),
            relay: self.relay.as_ref().map(|r| r.document(with_state)),
        }
    }

    /// True while one of its processes exists.
    pub fn alive(&self) -> bool {
        self.nodes.iter().any(|n| n.state() != ProcessState::Exited)
    }
}

impl NodeRow {
    /// What its process does.
    pub fn state(&self) -> ProcessState {
        self.process.map_or(ProcessState::Exited, process::state)
    }
}

/// Holds the folder for one command. Released when dropped, also when the command is killed.
#[derive(Debug)]
pub struct DirLock(#[expect(dead_code, reason = "the open file is the lock")] std::fs::File);

impl DirLock {
    /// Takes the lock of a folder that holds a federation; another folder is not created.
    pub fn take_existing(dir: &Path) -> Result<Self, Error> {
        if dir.join(FILE).exists() {
            return Self::take(dir);
        }
        Err(Error::coded(DEV_NOT_FOUND, format!("{} does not exist", dir.join(FILE).display())))
    }

    /// Takes the lock, or says that another command works on the folder.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let path = dir.join("dev.lock");
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::file(&path))?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(Self(file)),
            Err(_) => {
                let detail = format!("another eport command is working on {}", dir.display());
                Err(Error::coded(DEV_DIR_IN_USE, detail))
            }
        }
    }
}

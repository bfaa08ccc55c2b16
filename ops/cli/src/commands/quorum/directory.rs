//! A stopped survivor: its configuration, its data directory, what it knows.

use crate::error::Error;
use eport_client::{Files, Signer};
use eport_consensus::recover::{Survey, survey};
use eport_model::{Coded, Digest, Lineage, NodeId, RegionCode, SiteId, Timestamp, codes};
use eport_registry::Revocation;
use eport_registry::recover::{FoundJournal, JournalKept, PLAN_FORMAT, RecoveryPlan, losses_here};
use eport_store::{Budget, DataDir, NodeFile, PlatformStore, RegistryStore, Shared};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Largest configuration that is read.
const CONFIG_LEN_MAX: u64 = 1 << 20;

/// What the offline commands need of an eportd configuration. The daemon owns the format.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeConfig {
    pub node: NodePart,
    pub listen: ListenPart,
    pub tls: TlsPart,
    #[serde(default)]
    pub keys: KeysPart,
    pub federation: FederationPart,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodePart {
    pub id: NodeId,
    pub site: SiteId,
    pub region: RegionCode,
    pub data_dir: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ListenPart {
    pub quic: SocketAddr,
    pub api: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TlsPart {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub trust: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct KeysPart {
    pub file: Option<PathBuf>,
    pub secret: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FederationPart {
    pub lineage: Lineage,
}

impl NodeConfig {
    /// Reads a configuration; relative paths in it are relative to its folder, as the daemon reads them.
    pub(crate) fn load(path: &Path) -> Result<(Self, toml::Table), Error> {
        let len = std::fs::metadata(path).map_err(Error::file(path))?.len();
        if len > CONFIG_LEN_MAX {
            let detail = format!("{}: {len} bytes are no configuration", path.display());
            return Err(Error::coded(codes::CONFIG_INVALID, detail));
        }
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        let invalid = |e: toml::de::Error| {
            Error::coded(codes::CONFIG_INVALID, format!("{}: {}", path.display(), e.message()))
        };
        let table: toml::Table = toml::from_str(&text).map_err(invalid)?;
        let mut config: Self = toml::from_str(&text).map_err(invalid)?;
        let absolute = std::path::absolute(path).map_err(Error::file(path))?;
        let base = absolute.parent().unwrap_or(Path::new("/"));
        for p in [&mut config.node.data_dir, &mut config.tls.cert, &mut config.tls.key, &mut config.tls.trust]
        {
            *p = base.join(&*p);
        }
        for p in [&mut config.keys.file, &mut config.keys.secret].into_iter().flatten() {
            *p = base.join(&*p);
        }
        Ok((config, table))
    }

    /// The node's certificate and key as a signer.
    pub(crate) fn signer(&self) -> Result<Signer, Error> {
        let TlsPart { cert, key, trust } = self.tls.clone();
        Ok(Signer::from_files(&Files { cert, key, ca: trust })?)
    }

    /// Takes the data directory, which must exist and which no process may hold.
    pub(crate) fn take_directory(&self) -> Result<DataDir, Error> {
        let dir = &self.node.data_dir;
        if NodeFile::read(dir).map_err(coded)?.is_none() {
            return Err(absent(dir));
        }
        DataDir::open(dir, self.node.id, self.federation.lineage, 0).map_err(coded)
    }
}

/// A directory that holds no node.
pub(crate) fn absent(dir: &Path) -> Error {
    Error::coded(codes::NOT_FOUND, format!("{} holds no node's data", dir.display()))
}

/// Any failure of storage or registry with its code and its causes.
pub(crate) fn coded<E: Coded + std::error::Error>(error: E) -> Error {
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        detail.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Error::coded(error.code(), detail)
}

/// A stopped survivor with everything it knows. Holds the directory's lock until dropped.
pub(crate) struct Survivor {
    pub config: NodeConfig,
    pub data: DataDir,
    pub found: Survey,
    pub journals: Vec<JournalKept>,
}

impl Survivor {
    /// Opens the directory and reads it. Nothing in it is changed.
    pub(crate) fn read(config_path: &Path) -> Result<Self, Error> {
        let (config, _) = NodeConfig::load(config_path)?;
        let data = config.take_directory()?;
        if !data.registry().exists() {
            return Err(absent(&data.registry()));
        }
        let found = survey(&RegistryStore::open(&data.registry()).map_err(coded)?).map_err(coded)?;
        if found.state.federation().is_none() {
            let detail =
                format!("{}: the registry there is empty, nothing can be recovered from it", config.node.id);
            return Err(Error::coded(codes::NOT_FOUND, detail));
        }
        let journals = journals(&config, &data, &found)?;
        Ok(Self { config, data, found, journals })
    }

    /// The plan: what this survivor knows.
    pub(crate) fn plan(&self, now: Timestamp, token: Digest) -> RecoveryPlan {
        let found = &self.found;
        let newest = found.state_through(found.last.index);
        let known = found.state.revocations().chain(newest.revocations());
        let revocations: BTreeMap<&str, &Revocation> = known.map(|r| (r.serial.as_str(), r)).collect();
        RecoveryPlan {
            format: PLAN_FORMAT,
            federation: found.state.federation().map(|f| f.name.clone()).unwrap_or_default(),
            lineage: self.data.identity().lineage,
            node: self.config.node.id,
            site: self.config.node.site,
            made_at_ms: now,
            term: found.term,
            applied: found.applied,
            committed: found.committed,
            last: found.last,
            voters: found.voters.clone(),
            state: found.state.digest(),
            journals: self.journals.clone(),
            losses: losses_here(&found.state, &self.journals),
            revocations: revocations.into_values().cloned().collect(),
            token,
        }
    }

    /// Where the journals end.
    pub(crate) fn ends(&self) -> Vec<FoundJournal> {
        self.journals.iter().map(|j| FoundJournal { region: j.region, last: j.last }).collect()
    }
}

fn journals(config: &NodeConfig, data: &DataDir, found: &Survey) -> Result<Vec<JournalKept>, Error> {
    let shared = Shared::new(Budget::default()).map_err(coded)?;
    let identity = data.identity();
    let mut out = Vec::new();
    for region in data.kept_platforms().map_err(coded)? {
        let dir = data.platform(region);
        let (store, at) =
            PlatformStore::open_as_found(&dir, identity.lineage, &identity.ancestors, region, &shared)
                .map_err(coded)?;
        drop(store);
        let duty = match found.state.placement(region) {
            Some(p) if p.primary == config.node.id => "primary",
            Some(p) if p.names(config.node.id) => "backup",
            _ => "none",
        };
        out.push(JournalKept {
            region,
            last: at.last,
            applied: at.applied.index,
            history: at.history,
            duty: duty.to_owned(),
        });
    }
    Ok(out)
}

//! Makes the folder of a local federation and starts its processes.

use crate::dev::certs::{Authorities, FIRST_OPERATOR};
use crate::dev::ports::{self, Addresses};
use crate::dev::settings::{
    CaSection, FederationSection, Genesis, LimitsSection, ListenSection, NodeFile, NodeSection,
    RegistrySection, Seed, TlsSection, TransportSection,
};
use crate::dev::state::{DevState, FILE, NodeRow};
use crate::dev::topology::{PlanNode, Topology};
use crate::dev::{process, ready, relay};
use crate::error::Error;
use crate::files::write_new;
use eport_authority::{LeafNames, LifeDays};
use eport_model::codes::DEV_DIR_IN_USE;
use eport_model::{Lineage, NodeId, SiteId, TrustDomain};
use eport_relay::End;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Block cache and write buffers of one local node: several share this machine.
const MEMORY_MIB: usize = 96;

/// What to make.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Folder, absolute.
    pub dir: PathBuf,
    /// Nodes and platforms.
    pub plan: Topology,
    /// `dev` or `demo`.
    pub mode: &'static str,
    /// Timing of the registry.
    pub profile: &'static str,
    /// The daemon.
    pub eportd: PathBuf,
    /// Nodes of different sites reach each other directly: no link can be cut or slowed.
    pub direct: bool,
}

impl Blueprint {
    /// Writes every file of the federation into its folder, which must be empty. Nothing is started.
    pub fn build(&self) -> Result<DevState, Error> {
        refuse_occupied(&self.dir)?;
        let domain = trust_domain();
        let lineage = Lineage::from_bytes(rand::random());
        let regions: Vec<_> = self.plan.nodes.iter().map(|n| n.region).collect();
        let name = format!("eport-{}", self.mode);
        let authorities = Authorities::create(&self.dir, &name, &domain, &regions, true, true)?;
        let paths = if self.direct { 0 } else { relay::pairs(&self.sites(), |s| s).len() };
        let (addresses, between) = ports::free(self.plan.nodes.len(), paths)?;
        let relay =
            if self.direct { None } else { relay::build(&self.dir, &self.ends(&addresses), &between)? };
        let pairs: Vec<(SocketAddr, SocketAddr)> = addresses.iter().map(|a| (a.quic, a.api)).collect();
        let genesis = self.dir.join("genesis.json");
        let first = Genesis::of(&name, self.mode, &self.plan, &pairs).with_operators([FIRST_OPERATOR]);
        write_new(&genesis, first.text()?.as_bytes(), false)?;
        let mut nodes = Vec::new();
        for (n, at) in self.plan.nodes.iter().zip(&addresses) {
            let (cert, key) = authorities.node(n.region, n.node, LeafNames::default(), LifeDays::NODE)?;
            let file = NodeFile {
                tls: TlsSection { cert, key, trust: authorities.bundle() },
                federation: FederationSection {
                    trust_domain: domain.clone(),
                    lineage,
                    genesis: nodes.is_empty().then(|| genesis.clone()),
                    seeds: self.seeds(n.node, &addresses),
                },
                transport: Some(relay::via(relay.as_ref(), n.node))
                    .filter(|via| !via.is_empty())
                    .map(|via| TransportSection { via }),
                ..self.node_file(n, at)
            };
            nodes.push(self.write_node(n, at, &file)?);
        }
        let operator = authorities.operator(self.plan.province())?;
        let state = DevState {
            dir: self.dir.clone(),
            federation: name,
            lineage,
            mode: self.mode.to_owned(),
            eportd: self.eportd.clone(),
            nodes,
            operator,
            relay,
        };
        state.save()?;
        Ok(state)
    }

    fn sites(&self) -> Vec<SiteId> {
        self.plan.nodes.iter().map(|n| n.site).collect()
    }

    fn ends(&self, addresses: &[Addresses]) -> Vec<End> {
        let all = self.plan.nodes.iter().zip(addresses);
        all.map(|(n, a)| End { node: n.node, site: n.site, quic: a.quic, api: a.api }).collect()
    }

    fn seeds(&self, me: NodeId, addresses: &[Addresses]) -> Vec<Seed> {
        let all = self.plan.nodes.iter().zip(addresses);
        all.filter(|(n, _)| n.node != me).map(|(n, a)| Seed { node: n.node, quic: a.quic }).collect()
    }

    /// The part of a node's file that needs no certificate.
    fn node_file(&self, n: &PlanNode, at: &Addresses) -> NodeFile {
        let home = self.dir.join(n.node.as_str());
        NodeFile {
            node: NodeSection { id: n.node, site: n.site, region: n.region, data_dir: home.join("data") },
            listen: ListenSection { quic: at.quic, api: at.api, metrics: Some(at.metrics) },
            tls: TlsSection { cert: PathBuf::new(), key: PathBuf::new(), trust: PathBuf::new() },
            federation: FederationSection {
                trust_domain: trust_domain(),
                lineage: Lineage::from_bytes([0; 16]),
                genesis: None,
                seeds: Vec::new(),
            },
            transport: None,
            registry: RegistrySection { profile: self.profile },
            ca: Some(CaSection {
                dir: self.dir.join("ca"),
                passphrase_file: Some(crate::dev::certs::passphrase_path(&self.dir, true)),
            }),
            limits: Some(LimitsSection { memory_mib: MEMORY_MIB }),
        }
    }

    fn write_node(&self, n: &PlanNode, at: &Addresses, file: &NodeFile) -> Result<NodeRow, Error> {
        let home = self.dir.join(n.node.as_str());
        std::fs::create_dir_all(&home).map_err(Error::file(&home))?;
        let config = home.join("eportd.toml");
        write_new(&config, file.text()?.as_bytes(), false)?;
        Ok(NodeRow {
            node: n.node,
            site: n.site,
            region: n.region,
            process: None,
            api: format!("https://{}", at.api),
            quic: at.quic.to_string(),
            metrics: format!("http://{}", at.metrics),
            config,
            log: home.join("log"),
        })
    }
}

/// The trust domain of local federations.
fn trust_domain() -> TrustDomain {
    "gd.eport.example".parse().expect("the literal is a valid trust domain")
}

/// A folder with anything in it but our lock is never written to.
fn refuse_occupied(dir: &Path) -> Result<(), Error> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::file(dir)(e)),
    };
    for entry in entries {
        let name = entry.map_err(Error::file(dir))?.file_name();
        if name != "dev.lock" {
            let what = if name == FILE { "a local federation" } else { "other files" };
            let detail = format!("{} already holds {what} ({})", dir.display(), name.display());
            return Err(Error::coded(DEV_DIR_IN_USE, detail));
        }
    }
    Ok(())
}

/// Starts every node that does not run and records the processes.
pub fn start_all(state: &mut DevState) -> Result<(), Error> {
    let nodes: Vec<NodeId> = state.nodes.iter().map(|n| n.node).collect();
    for node in nodes {
        start(state, node)?;
    }
    Ok(())
}

/// Starts one node unless it runs, and records its process.
pub fn start(state: &mut DevState, node: NodeId) -> Result<(), Error> {
    let eportd = state.eportd.clone();
    let row = state.node_mut(node)?;
    if row.state() == eport_api_types::ProcessState::Exited {
        row.process = Some(process::spawn(&eportd, &row.config, &row.log)?);
    }
    state.save()
}

/// Stops every node: drains for `patience`, then kills what is left. Goes on after an error and reports the first.
pub async fn stop_all(state: &DevState, patience: Duration) -> Result<(), Error> {
    let running = state.nodes.iter().filter_map(|n| n.process);
    let stops: Vec<_> = running.map(|p| tokio::spawn(process::stop(p, patience))).collect();
    let mut first = Ok(());
    for stop in stops {
        let result = stop.await.map_err(|e| Error::dev(format!("stopping was interrupted: {e}")));
        first = first.and(result.and_then(|r| r.map(|_| ())));
    }
    // Last: draining nodes still speak to each other.
    first.and(relay::stop(state).await)
}

/// Kills every node at once, without waiting for anything: the last resort of an interrupted command.
pub fn kill_all(state: &DevState) {
    let relay = state.relay.as_ref().and_then(|r| r.process);
    for p in state.nodes.iter().filter_map(|n| n.process).chain(relay) {
        let _ = process::signal(p, rustix::process::Signal::KILL);
    }
}

/// Starts all nodes and waits until the federation serves. On failure or Ctrl-C everything started is killed.
pub async fn run(state: &mut DevState, limit: Duration, note: impl FnMut(&str)) -> Result<(), Error> {
    let result = match relay::start(state).await.and_then(|()| start_all(state)) {
        Ok(()) => tokio::select! {
            result = ready::wait(state, limit, note) => result,
            _ = tokio::signal::ctrl_c() => Err(Error::dev("interrupted")),
        },
        Err(error) => Err(error),
    };
    if result.is_err() {
        kill_all(state);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_gets_a_configuration_a_node_and_a_genesis_on_the_first_only() {
        let dir = tempfile::tempdir().unwrap();
        let sites = ["gz-a=440000:2".parse().unwrap(), "sz-a=440300".parse().unwrap()];
        let blueprint = Blueprint {
            dir: dir.path().to_owned(),
            plan: Topology::plan(&sites, &[]).unwrap(),
            mode: "dev",
            profile: "lan",
            eportd: "/bin/true".into(),
            direct: false,
        };
        let state = blueprint.build().unwrap();
        let text = |n: usize| std::fs::read_to_string(&state.nodes[n].config).unwrap();
        let first: toml::Table = toml::from_str(&text(0)).unwrap();
        assert_eq!(first["node"]["id"].as_str(), Some("gz-a-1"));
        assert_eq!(first["federation"]["seeds"].as_array().unwrap().len(), 2);
        assert!(first["federation"].get("genesis").is_some());
        let second: toml::Table = toml::from_str(&text(1)).unwrap();
        assert!(second["federation"].get("genesis").is_none());
        let via = first["transport"]["via"].as_table().unwrap();
        assert!(
            via.len() == 1 && via.contains_key("sz-a-1"),
            "another site is reached through the relay: {via:?}"
        );
        assert_eq!(first["federation"]["lineage"], second["federation"]["lineage"]);
        let again = DevState::load(dir.path()).unwrap();
        assert_eq!(again.nodes.len(), 3);
        assert!(!again.alive());
        assert_eq!(blueprint.build().unwrap_err().exit(), 4, "an occupied folder is never written to");
    }
}

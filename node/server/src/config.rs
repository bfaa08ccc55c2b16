//! The daemon's configuration file: what one node may choose. What all nodes must agree on lives in the registry.
//!
//! Defaults exist once, in the `Default` of each section. Unknown keys are refused with the nearest known key.

pub use crate::archive::ArchiveSection;
pub use crate::backups::BackupSection;
use eport_model::{Code, Coded, Lineage, NodeId, RegionCode, SiteId, TrustDomain, codes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this node is.
    pub node: Node,
    /// Where it listens.
    pub listen: Listen,
    /// Its certificate and whom it trusts.
    pub tls: TlsFiles,
    /// Its key for encryption at rest.
    #[serde(default)]
    pub keys: Keys,
    /// The federation it belongs to.
    pub federation: Federation,
    /// How other nodes are reached.
    #[serde(default)]
    pub transport: TransportSection,
    /// Timing of the registry.
    #[serde(default)]
    pub registry: RegistrySection,
    /// Issuing CAs of this node.
    #[serde(default)]
    pub ca: CaSection,
    /// Bounds of memory and queues.
    #[serde(default)]
    pub limits: Limits,
    /// Verification in the background.
    #[serde(default)]
    pub verify: Verify,
    /// How backups are kept up to date.
    #[serde(default)]
    pub shipping: Shipping,
    /// Backups that this node makes by schedule. Absent: none.
    #[serde(default)]
    pub backup: Option<BackupSection>,
    /// Where old journal files go. Absent: they stay in the data directory.
    #[serde(default)]
    pub archive: Option<ArchiveSection>,
    /// What this program must be.
    #[serde(default)]
    pub release: Release,
    /// Log output.
    #[serde(default)]
    pub log: Log,
}

/// What this program must be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// The signed list of the release, from `eport release sign`. Default: none, the program does not look at itself.
    pub manifest: Option<PathBuf>,
    /// Digest of the key that signs releases, as `eport release sign` prints it; needed with a list.
    pub pin: Option<eport_model::Digest>,
}

/// Who this node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Node id, as in its certificate. 1–23 characters a-z, 0-9, -.
    pub id: NodeId,
    /// Site: what is lost together.
    pub site: SiteId,
    /// Home platform (GB/T 2260).
    pub region: RegionCode,
    /// Folder for everything the node stores. Created when missing; locked while the node runs.
    pub data_dir: PathBuf,
}

/// Where the node listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// UDP address for other nodes (QUIC).
    pub quic: SocketAddr,
    /// TCP address of the HTTP API (TLS).
    pub api: SocketAddr,
    /// TCP address of `/metrics` without TLS; must be loopback. Absent: metrics only on the API, with a certificate.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
}

/// Certificate, key and trust.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM: node certificate, then its issuing CA.
    pub cert: PathBuf,
    /// PEM: private key, mode 0600.
    pub key: PathBuf,
    /// PEM bundle: root and issuing CAs of the federation.
    pub trust: PathBuf,
}

/// The node's key for encryption at rest. Both files are made at the first start and may not lie in the data directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Sealed key file, mode 0600. Default: `node-vault.key` beside the TLS key.
    pub file: Option<PathBuf>,
    /// Secret that opens it, mode 0600: at least 32 random characters. In production on another medium than the key file, for
    /// example a systemd credential. Default: `node-vault.secret` beside the TLS key.
    pub secret: Option<PathBuf>,
}

/// The federation this node belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// Trust domain of every certificate.
    pub trust_domain: TrustDomain,
    /// Lineage, 32 hex digits, drawn when the federation was founded.
    pub lineage: Lineage,
    /// Other nodes to dial until the registry names them.
    #[serde(default)]
    pub seeds: Vec<Seed>,
    /// Only on the node that founds the federation: the genesis file. Used once, when the data directory is new.
    #[serde(default)]
    pub genesis: Option<PathBuf>,
}

/// A node to dial before the registry is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// Its id.
    pub node: NodeId,
    /// Its QUIC address.
    pub quic: SocketAddr,
}

/// How other nodes are reached.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransportSection {
    /// Nodes that this one dials at another address than the registry says, `NODE = "IP:PORT"`: behind NAT, a bastion or a
    /// relay. Who answers there must still prove to be the node. Default: none.
    pub via: BTreeMap<NodeId, SocketAddr>,
}

/// Timing of the registry. All nodes of a federation use the same profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrySection {
    /// `lan` (heartbeat 100 ms, election 300–600 ms), `default` (500 ms, 1.5–3 s) or `wan` (1 s, 3–6 s).
    pub profile: String,
}

impl Default for RegistrySection {
    fn default() -> Self {
        Self { profile: "default".into() }
    }
}

/// The issuing CAs whose keys are on this node; it issues with them while it is primary of their platform.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaSection {
    /// Folder of pairs `NAME.crt`, `NAME.key` (mode 0600), and of `root.crt` with `root.crl`. Default: none, the node does not
    /// issue.
    pub dir: Option<PathBuf>,
    /// File with the passphrase under which the keys are sealed, mode 0600, on another medium than the keys. Default: the systemd
    /// credential `eport-ca`; without one the keys stay locked until `eport ca unlock`.
    pub passphrase_file: Option<PathBuf>,
}

/// Bounds of memory and queues.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Block cache and write buffers of all platforms together, in MiB. 32–65536, default 256.
    pub memory_mib: usize,
    /// Longest wait of a write for its backups before the answer is 503 with unknown outcome, in milliseconds. Default 5000.
    pub write_timeout_ms: u64,
    /// Longest hold of a request during a switchover, in milliseconds. Default 2000 (design §6).
    pub hold_max_ms: u64,
    /// Requests held at most during a switchover. Default 10000 (design §6).
    pub hold_requests: usize,
    /// Largest HTTP body in MiB. Default 64.
    pub body_mib: usize,
    /// Largest file of a table in MiB; it lies on the disk while it is read, and its rows once or twice more. 1–2048, default 2048.
    pub table_file_mib: u64,
    /// Keep this process out of swap, for the keys in its memory, where the system's limit of locked memory allows it. Default true.
    pub lock_memory: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 256,
            write_timeout_ms: 5_000,
            hold_max_ms: 2_000,
            hold_requests: 10_000,
            body_mib: 64,
            table_file_mib: 2_048,
            lock_memory: true,
        }
    }
}

/// Verification in the background.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Seconds between two checksum marks that this node writes as primary, if anything was written since. 1–604800, default 3600.
    pub mark_every_s: u64,
    /// Seconds between two looks through each copy kept here. 1–2592000, default 86400.
    pub scrub_every_s: u64,
    /// MiB looked at in a second. 1–4096, default 8.
    pub scrub_mib_s: u64,
}

impl Default for Verify {
    fn default() -> Self {
        Self { mark_every_s: 3_600, scrub_every_s: 86_400, scrub_mib_s: 8 }
    }
}

/// How backups are kept up to date. Explained in `docs/reference/bootstrap.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shipping {
    /// A backup that lacks at least so many records, and at least half of the journal, is given a checkpoint. 1–10^12, default 10000.
    pub bootstrap_records: u64,
    /// Checkpoints leave this node no faster than this, all together, in KiB a second; 0 for no limit. Default 65536.
    pub bootstrap_rate_kib: u64,
    /// Backups that this node sends checkpoints to at the same time. 1–64, default 2.
    pub bootstrap_sends: usize,
    /// Content of catalogs is fetched no faster than this, each catalog, in KiB a second; 0 for no limit. Default 65536.
    pub catalog_rate_kib: u64,
    /// A slot keeps at most so many records for one backup. 1–10^12, default 1000000.
    pub slot_records: u64,
    /// A slot keeps at most so many MiB of records. 1–10^9, default 8192.
    pub slot_mib: u64,
    /// A slot keeps a record at most so long, in seconds. 1–10^9, default 86400.
    pub slot_age_s: u64,
}

impl Default for Shipping {
    fn default() -> Self {
        Self {
            bootstrap_records: 10_000,
            bootstrap_rate_kib: 65_536,
            bootstrap_sends: 2,
            catalog_rate_kib: 65_536,
            slot_records: 1_000_000,
            slot_mib: 8_192,
            slot_age_s: 86_400,
        }
    }
}

/// Log output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Filter, for example `info` or `info,eport_agent=debug`. Default `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into() }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not valid.
    #[error("configuration {path}: {detail}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Key, line, and the nearest valid key.
        detail: String,
    },
}

impl Coded for Error {
    fn code(&self) -> Code {
        codes::CONFIG_INVALID
    }
}

impl Config {
    /// Reads and checks a configuration file. Relative paths in it are relative to the file's folder.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let mut config =
            Self::parse(&text).map_err(|detail| Error::Invalid { path: path.to_owned(), detail })?;
        let base = path.parent().unwrap_or(Path::new("."));
        for p in [&mut config.node.data_dir, &mut config.tls.cert, &mut config.tls.key, &mut config.tls.trust]
        {
            *p = base.join(&*p);
        }
        if let Some(backup) = &mut config.backup {
            backup.resolve(base);
        }
        let files = [&mut config.federation.genesis, &mut config.keys.file, &mut config.keys.secret];
        for p in files.into_iter().flatten() {
            *p = base.join(&*p);
        }
        Ok(config)
    }

    /// Where the node key and its secret stand.
    pub fn key_files(&self) -> (PathBuf, PathBuf) {
        let beside = |name: &str| self.tls.key.with_file_name(name);
        let file = self.keys.file.clone().unwrap_or_else(|| beside("node-vault.key"));
        let secret = self.keys.secret.clone().unwrap_or_else(|| beside("node-vault.secret"));
        (file, secret)
    }

    /// Parses and checks the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Config = toml::from_str(text).map_err(|e| with_nearest_key(&e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(metrics) = self.listen.metrics
            && !metrics.ip().is_loopback()
        {
            return Err(format!(
                "listen.metrics: {metrics} is not a loopback address; metrics without TLS stay on this machine"
            ));
        }
        if !["lan", "default", "wan"].contains(&self.registry.profile.as_str()) {
            return Err(format!(
                "registry.profile: {:?} is none of lan, default, wan",
                self.registry.profile
            ));
        }
        let within = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name}: {value} is outside {low} to {high}"))
            }
        };
        within("limits.memory_mib", self.limits.memory_mib as u64, 32, 65_536)?;
        within("limits.write_timeout_ms", self.limits.write_timeout_ms, 100, 600_000)?;
        within("limits.hold_max_ms", self.limits.hold_max_ms, 0, 60_000)?;
        within("limits.hold_requests", self.limits.hold_requests as u64, 0, 1_000_000)?;
        within("limits.body_mib", self.limits.body_mib as u64, 1, 1_024)?;
        within("limits.table_file_mib", self.limits.table_file_mib, 1, 2_048)?;
        let s = &self.shipping;
        within("shipping.bootstrap_records", s.bootstrap_records, 1, 1_000_000_000_000)?;
        within("shipping.bootstrap_rate_kib", s.bootstrap_rate_kib, 0, 1 << 30)?;
        within("shipping.bootstrap_sends", s.bootstrap_sends as u64, 1, 64)?;
        within("shipping.catalog_rate_kib", s.catalog_rate_kib, 0, 1 << 30)?;
        within("shipping.slot_records", s.slot_records, 1, 1_000_000_000_000)?;
        within("shipping.slot_mib", s.slot_mib, 1, 1_000_000_000)?;
        within("shipping.slot_age_s", s.slot_age_s, 1, 1_000_000_000)?;
        self.backup.as_ref().map_or(Ok(()), BackupSection::check)?;
        self.archive.as_ref().map_or(Ok(()), ArchiveSection::check)?;
        let v = &self.verify;
        within("verify.mark_every_s", v.mark_every_s, 1, 604_800)?;
        within("verify.scrub_every_s", v.scrub_every_s, 1, 2_592_000)?;
        within("verify.scrub_mib_s", v.scrub_mib_s, 1, 4_096)
    }
}

/// Adds "did you mean" to serde's list of expected keys.
fn with_nearest_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(found) = quoted.next().filter(|_| message.contains("unknown field")) else {
        return message.to_owned();
    };
    let nearest = quoted.map(|k| (distance(found, k), k)).min();
    match nearest {
        Some((d, key)) if d <= found.len().max(3) => format!("{message}\nnearest valid key: {key}"),
        _ => message.to_owned(),
    }
}

/// Levenshtein distance; keys are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.chars().enumerate() {
            let cost = (diagonal + usize::from(ca != cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[node]
id = "gz-a-1"
site = "gz-a"
region = "440000"
data_dir = "data"
[listen]
quic = "127.0.0.1:7001"
api = "127.0.0.1:8001"
[tls]
cert = "node.pem"
key = "node.key"
trust = "trust.pem"
[federation]
trust_domain = "gd.eport.example"
lineage = "00112233445566778899aabbccddeeff"
seeds = [{ node = "sz-a-1", quic = "127.0.0.1:7002" }]
"#;

    #[test]
    fn a_complete_file_takes_its_defaults_from_one_place() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.limits.hold_requests, Limits::default().hold_requests);
        assert_eq!(config.federation.seeds[0].node.as_str(), "sz-a-1");
    }

    #[test]
    fn nodes_behind_another_address_are_named_one_by_one() {
        let config =
            Config::parse(&format!("{GOOD}\n[transport.via]\nsz-a-1 = \"192.0.2.7:7001\"\n")).unwrap();
        let via: Vec<String> = config.transport.via.iter().map(|(n, a)| format!("{n} {a}")).collect();
        assert_eq!(via, ["sz-a-1 192.0.2.7:7001"]);
        assert!(Config::parse(&format!("{GOOD}\n[transport.via]\nsz-a-1 = \"192.0.2.7\"\n")).is_err());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_valid_key() {
        let error = Config::parse(&GOOD.replace("data_dir", "datadir")).unwrap_err();
        assert!(error.contains("line 6") && error.contains("nearest valid key: data_dir"), "{error}");
    }

    #[test]
    fn values_outside_their_bounds_are_named() {
        let error = Config::parse(&format!("{GOOD}\n[limits]\nmemory_mib = 1\n")).unwrap_err();
        assert!(error.contains("limits.memory_mib"), "{error}");
        let error = Config::parse(&format!("{GOOD}\n[verify]\nscrub_mib_s = 0\n")).unwrap_err();
        assert!(error.contains("verify.scrub_mib_s"), "{error}");
        let error = Config::parse(&GOOD.replace("[tls]", "metrics = \"10.0.0.1:9\"\n[tls]")).unwrap_err();
        assert!(error.contains("loopback"), "{error}");
        assert!(Config::parse(&GOOD.replace("gz-a-1", "GZ_A_1")).is_err());
    }
}

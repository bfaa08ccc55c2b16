//! `eport node rejoin`: a node takes part again under a new id.
//!
//! An id that voted or served in a history that is over is never used again; the journals are: they belong to the platform, not
//! to the id. Order: the new configuration is written, the federation is told of the new id, then the data directory changes
//! hands in one durable write. Repeated after an interruption it goes on where it stopped.

use super::quorum::{NodeConfig, absent};
use crate::error::Error;
use crate::files::write_atomic;
use crate::output::{Out, cell};
use clap::Args;
use eport_client::{Client, Files, Method, Signer};
use eport_model::{Coded, Lineage, NodeId, Subject, Timestamp, codes};
use eport_registry::{Node, NodeState, statement};
use eport_store::{DataDir, NodeFile};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Arguments of `eport node rejoin`.
#[derive(Args, Debug)]
pub struct RejoinArgs {
    /// Configuration of the node as it was
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The new id
    #[arg(long, value_name = "NODE")]
    pub node: NodeId,
    /// Certificate of the new id, PEM
    #[arg(long, value_name = "FILE")]
    pub node_cert: PathBuf,
    /// Its private key, PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    pub node_key: PathBuf,
    /// Keep the journals in the data directory; each waits for platform adopt or a policy that names the new id
    #[arg(long, conflicts_with = "data_dir", required_unless_present = "data_dir")]
    pub keep_journals: bool,
    /// Start with this empty folder instead: everything is fetched from the others
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address for other nodes (QUIC), if it changes
    #[arg(long, value_name = "IP:PORT")]
    pub listen_quic: Option<SocketAddr>,
    /// Address of the API, if it changes
    #[arg(long, value_name = "IP:PORT")]
    pub listen_api: Option<SocketAddr>,
    /// New configuration to write
    #[arg(long, value_name = "FILE")]
    pub config_out: PathBuf,
}

/// The federation that is joined: its lineage and those it descends from, the parent first.
struct Target {
    lineage: Lineage,
    ancestors: Vec<Lineage>,
}

fn coded<E: Coded + std::fmt::Display>(error: E) -> Error {
    Error::coded(error.code(), error.to_string())
}

impl Target {
    fn of(status: &Value) -> Result<Self, Error> {
        let read = |v: &Value| -> Result<Lineage, Error> {
            v.as_str()
                .unwrap_or_default()
                .parse()
                .map_err(|e| Error::coded(codes::BAD_REQUEST, format!("{e}")))
        };
        let breaks = status["lineages"].as_array().cloned().unwrap_or_default();
        let ancestors = breaks.iter().map(|l| read(&l["parent"])).collect::<Result<_, _>>()?;
        Ok(Self { lineage: read(&status["lineage"])?, ancestors })
    }

    /// What the directory would say of itself afterwards; refused for one of another history.
    fn check(&self, found: &NodeFile, dir: &Path) -> Result<(), Error> {
        if found.lineage == self.lineage || self.ancestors.contains(&found.lineage) {
            return Ok(());
        }
        let detail = format!(
            "{} belongs to lineage {}, the federation to {}, which does not descend from it",
            dir.display(),
            found.lineage,
            self.lineage
        );
        Err(Error::coded(codes::LINEAGE_FOREIGN, detail))
    }
}

pub(crate) async fn rejoin(args: &RejoinArgs, client: &Client, out: Out) -> Result<(), Error> {
    let (old, table) = NodeConfig::load(&args.config)?;
    let status = client.status().await?;
    let target = Target::of(&status)?;
    check_certificate(args)?;
    let dir = match &args.data_dir {
        Some(dir) => empty(dir)?,
        None => old.node.data_dir.clone(),
    };
    let document = |state: &str| {
        json!({ "node": args.node, "former": old.node.id, "lineage": target.lineage, "data_dir": dir,
            "config": args.config_out, "keep_journals": args.keep_journals, "state": state })
    };
    let mut data = None;
    if args.keep_journals {
        let found = NodeFile::read(&dir).map_err(coded)?.ok_or_else(|| absent(&dir))?;
        target.check(&found, &dir)?;
        if found.node == args.node && found.lineage == target.lineage {
            out.result(&document("done"), || format!("{}: joined again already\n", args.node));
            return Ok(());
        }
        data = Some(DataDir::open(&dir, old.node.id, found.lineage, 0).map_err(coded)?);
    }
    let (from, to) = (old.node.id, args.node);
    out.confirm((
        &format!("let {from} join lineage {} again as {to}?", target.lineage),
        &format!("让 {from} 以 {to} 的身份重新加入谱系 {}？", target.lineage),
    ))?;
    let fresh = configuration(args, &old, table, &dir, &target)?;
    write_atomic(&args.config_out, fresh.as_bytes())?;
    add(args, &old, client).await?;
    if let Some(data) = &mut data {
        data.descend(target.lineage, &target.ancestors, args.node).map_err(coded)?;
    }
    let document = document("done");
    out.result(&document, || {
        let config = cell(&document, "config");
        format!("{to} joins lineage {}; start it: eportd --config {config}\n", target.lineage)
    });
    Ok(())
}

/// The certificate must be the new id's, and the key its own.
fn check_certificate(args: &RejoinArgs) -> Result<(), Error> {
    let (cert, key) = (args.node_cert.clone(), args.node_key.clone());
    let signer = Signer::from_files(&Files { cert, key, ca: PathBuf::new() })?;
    let subject: Option<Subject> = signer.by().parse().ok();
    if subject.and_then(|s| s.node()) == Some(args.node) {
        return Ok(());
    }
    let detail = format!(
        "{} is the certificate of {}, not of node {}",
        args.node_cert.display(),
        signer.by(),
        args.node
    );
    Err(Error::coded(codes::KEY_UNREADABLE, detail))
}

fn empty(dir: &Path) -> Result<PathBuf, Error> {
    let dir = std::path::absolute(dir).map_err(Error::file(dir))?;
    if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        let detail = format!("{} is not empty", dir.display());
        return Err(Error::coded(codes::DIR_OF_ANOTHER_NODE, detail));
    }
    Ok(dir)
}

/// The old configuration with the new identity. Paths become absolute: the new file may stand elsewhere. The key for encryption
/// at rest stays the same, or nothing that was kept could be read.
fn configuration(
    args: &RejoinArgs,
    old: &NodeConfig,
    mut table: toml::Table,
    dir: &Path,
    target: &Target,
) -> Result<String, Error> {
    let absolute = |p: &Path| -> Result<toml::Value, Error> {
        let path = std::path::absolute(p).map_err(Error::file(p))?;
        Ok(toml::Value::String(path.display().to_string()))
    };
    let beside = |name: &str| old.tls.key.with_file_name(name);
    let vault = old.keys.file.clone().unwrap_or_else(|| beside("node-vault.key"));
    let secret = old.keys.secret.clone().unwrap_or_else(|| beside("node-vault.secret"));
    let quic = args.listen_quic.unwrap_or(old.listen.quic).to_string();
    let api = args.listen_api.unwrap_or(old.listen.api).to_string();
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let Some(section) = section.as_table_mut() {
            section.insert(key.to_owned(), value);
        }
    };
    set("node", "id", args.node.to_string().into());
    set("node", "data_dir", absolute(dir)?);
    set("listen", "quic", quic.into());
    set("listen", "api", api.into());
    set("tls", "cert", absolute(&args.node_cert)?);
    set("tls", "key", absolute(&args.node_key)?);
    set("tls", "trust", absolute(&old.tls.trust)?);
    set("keys", "file", absolute(&vault)?);
    set("keys", "secret", absolute(&secret)?);
    set("federation", "lineage", target.lineage.to_string().into());
    if let Some(backup) = table.get_mut("backup").and_then(toml::Value::as_table_mut) {
        let base = args.config.parent().unwrap_or(Path::new("."));
        for key in ["target", "scratch", "s3_credentials"] {
            let named = backup.get(key).and_then(toml::Value::as_str).filter(|p| !p.starts_with("s3://"));
            if let Some(path) = named.map(|p| absolute(&base.join(p))).transpose()? {
                backup.insert(key.to_owned(), path);
            }
        }
    }
    if let Some(federation) = table.get_mut("federation").and_then(toml::Value::as_table_mut) {
        // A node that joins again founds nothing; the leader dials it, so it needs nobody to begin with.
        federation.remove("genesis");
        federation.insert("seeds".to_owned(), toml::Value::Array(Vec::new()));
    }
    toml::to_string(&table).map_err(|e| Error::coded(codes::CONFIG_INVALID, e.to_string()))
}

/// Tells the federation of the new id. The same again changes nothing.
async fn add(args: &RejoinArgs, old: &NodeConfig, client: &Client) -> Result<(), Error> {
    let quic = args.listen_quic.unwrap_or(old.listen.quic).to_string();
    let api = args.listen_api.unwrap_or(old.listen.api).to_string();
    let node = Node {
        id: args.node,
        site: old.node.site,
        region: old.node.region,
        quic: quic.clone(),
        api: api.clone(),
        cert_serial: String::new(),
        state: NodeState::Up,
        software: String::new(),
        incarnation: 0,
        reads: 1,
        joined: Timestamp::default(),
    };
    let body = json!({ "node": args.node, "site": old.node.site, "region": old.node.region, "quic": quic, "api": api });
    let _: Value = client.give(Method::POST, "/v1/nodes", &body, &statement::add_node(&node)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
[node]
id = "gz-a-2"
site = "gz-a"
region = "440000"
data_dir = "data"
[listen]
quic = "127.0.0.1:7001"
api = "127.0.0.1:8001"
[tls]
cert = "tls/node.crt"
key = "tls/node.key"
trust = "ca.pem"
[federation]
trust_domain = "gd.eport.example"
lineage = "07070707070707070707070707070707"
genesis = "genesis.json"
seeds = [{ node = "sz-a-1", quic = "127.0.0.1:7002" }]
[registry]
profile = "lan"
[backup]
target = "backups"
"#;

    #[test]
    fn the_new_configuration_founds_nothing_and_keeps_the_key_that_opens_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eportd.toml");
        std::fs::write(&path, OLD).unwrap();
        let (old, table) = NodeConfig::load(&path).unwrap();
        let args = RejoinArgs {
            config: path.clone(),
            node: "gz-a-9".parse().unwrap(),
            node_cert: dir.path().join("new/node.crt"),
            node_key: dir.path().join("new/node.key"),
            keep_journals: true,
            data_dir: None,
            listen_quic: None,
            listen_api: None,
            config_out: dir.path().join("new.toml"),
        };
        let target =
            Target { lineage: Lineage::from_bytes([9; 16]), ancestors: vec![old.federation.lineage] };
        let text = configuration(&args, &old, table, &old.node.data_dir, &target).unwrap();
        let fresh: toml::Table = toml::from_str(&text).unwrap();
        let text = |section: &str, key: &str| fresh[section][key].as_str().unwrap().to_owned();
        assert_eq!(text("node", "id"), "gz-a-9");
        assert_eq!(text("node", "data_dir"), dir.path().join("data").display().to_string());
        assert_eq!(text("keys", "file"), dir.path().join("tls/node-vault.key").display().to_string());
        assert_eq!(text("federation", "lineage"), target.lineage.to_string());
        assert_eq!(text("backup", "target"), dir.path().join("backups").display().to_string());
        assert!(fresh["federation"].get("genesis").is_none() && text("registry", "profile") == "lan");
        let stranger = NodeFile {
            format: 1,
            node: old.node.id,
            lineage: Lineage::from_bytes([8; 16]),
            ancestors: Vec::new(),
            former: Vec::new(),
        };
        assert_eq!(target.check(&stranger, dir.path()).unwrap_err().exit(), 4, "another history");
        let twin = NodeFile { ancestors: vec![old.federation.lineage], ..stranger };
        assert!(target.check(&twin, dir.path()).is_err(), "a living twin does not enter by itself");
    }

    #[test]
    fn a_folder_with_anything_in_it_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(empty(dir.path()).is_ok() && empty(&dir.path().join("new")).is_ok());
        std::fs::write(dir.path().join("x"), b"x").unwrap();
        assert!(empty(dir.path()).is_err());
    }
}

//! `eport init`: found a federation.

use crate::dev::certs::{Authorities, FIRST_OPERATOR};
use crate::dev::settings::{
    CaSection, FederationSection, Genesis, ListenSection, NodeFile, NodeSection, RegistrySection, TlsSection,
};
use crate::dev::topology::{SiteSpec, Topology};
use crate::error::Error;
use crate::files::write_new;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_authority::{LeafNames, LifeDays};
use eport_model::codes::DEV_DIR_IN_USE;
use eport_model::{Lineage, RegionCode, SiteId, TrustDomain};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Arguments of `eport init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: InitCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum InitCommand {
    /// Make root, province CA, configuration and certificates of the first province node
    Federation(FederationArgs),
}

/// Arguments of `eport init federation`.
#[derive(Args, Debug)]
pub struct FederationArgs {
    /// Name of the federation
    #[arg(long)]
    pub name: String,
    /// Region code of the province
    #[arg(long)]
    pub region: RegionCode,
    /// Site of the first node
    #[arg(long)]
    pub site: SiteId,
    /// Trust domain of all certificates, like gd.eport.example
    #[arg(long, value_name = "DOMAIN")]
    pub trust_domain: TrustDomain,
    /// Address for other nodes (QUIC)
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7400")]
    pub listen_quic: SocketAddr,
    /// Address of the API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7443")]
    pub listen_api: SocketAddr,
    /// DNS name under which the API is reached; may be given several times
    #[arg(long = "dns", value_name = "NAME")]
    pub dns: Vec<String>,
    /// A further operator who can be the second person; may be given several times. The first one is admin
    #[arg(long = "operator", value_name = "ID")]
    pub operators: Vec<String>,
    /// Folder of a ceremony whose root and issuing CAs are used, instead of new ones made here
    #[arg(long, value_name = "DIR")]
    pub ceremony: Option<PathBuf>,
    /// Folder with certificates and keys of the ceremony's issuing CAs; default issuing in the ceremony's folder
    #[arg(long, value_name = "DIR", requires = "ceremony")]
    pub ca_dir: Option<PathBuf>,
    /// Folder to write, which must be empty
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Runs the group.
pub fn run(args: InitArgs, out: Out) -> Result<(), Error> {
    match args.command {
        InitCommand::Federation(args) => federation(&args, out),
    }
}

fn federation(args: &FederationArgs, out: Out) -> Result<(), Error> {
    if !args.region.is_province() {
        return Err(Error::usage(format!(
            "{} is not a province: a federation is founded by one",
            args.region
        )));
    }
    let dir = std::path::absolute(&args.dir).map_err(Error::file(&args.dir))?;
    if std::fs::read_dir(&dir).is_ok_and(|mut d| d.next().is_some()) {
        return Err(Error::coded(DEV_DIR_IN_USE, format!("{} is not empty", dir.display())));
    }
    let spec = SiteSpec { site: args.site, region: args.region, nodes: 1 };
    let plan = Topology::plan(&[spec], &[])?;
    let first = plan.nodes[0].clone();
    let localhost = args.listen_api.ip().is_loopback();
    let authorities = match &args.ceremony {
        Some(from) => {
            let keys = args.ca_dir.clone().unwrap_or_else(|| from.join("issuing"));
            Authorities::from_ceremony(&dir, from, &keys, &args.trust_domain, args.region, localhost)?
        }
        None => Authorities::create(&dir, &args.name, &args.trust_domain, &[args.region], false, localhost)?,
    };
    let home = dir.join(first.node.as_str());
    let names = LeafNames { loopback: localhost, addresses: addresses(args), dns: args.dns.clone() };
    let (cert, key) = authorities.node(args.region, first.node, names, LifeDays::NODE)?;
    let genesis_path = dir.join("genesis.json");
    let names: Vec<&str> = std::iter::once(FIRST_OPERATOR).chain(further(&args.operators)).collect();
    let genesis = Genesis::of(&args.name, "production", &plan, &[(args.listen_quic, args.listen_api)]);
    let genesis = genesis.with_operators(names.iter().copied());
    write_new(&genesis_path, genesis.text()?.as_bytes(), false)?;
    let lineage = Lineage::from_bytes(rand::random());
    let file = NodeFile {
        node: NodeSection {
            id: first.node,
            site: first.site,
            region: first.region,
            data_dir: home.join("data"),
        },
        listen: ListenSection { quic: args.listen_quic, api: args.listen_api, metrics: None },
        tls: TlsSection { cert, key, trust: authorities.bundle() },
        federation: FederationSection {
            trust_domain: args.trust_domain.clone(),
            lineage,
            genesis: Some(genesis_path),
            seeds: Vec::new(),
        },
        transport: None,
        registry: RegistrySection { profile: "default" },
        ca: Some(CaSection { dir: dir.join("ca"), passphrase_file: Some(authorities.passphrase_file()) }),
        limits: None,
    };
    let config = home.join("eportd.toml");
    write_new(&config, file.text()?.as_bytes(), false)?;
    let operator = authorities.operator(args.region)?;
    let issued = names.iter().skip(1).map(|id| authorities.operator_of(args.region, id));
    let further = issued.collect::<Result<Vec<_>, _>>()?;
    let document = json!({
        "dir": dir, "federation": args.name, "lineage": lineage, "root_fingerprint": authorities.root_fingerprint(),
        "node": first.node, "config": config, "api": format!("https://{}", args.listen_api), "operator": operator,
        "further_operators": further,
    });
    out.result(&document, || {
        let mut table = Table::new(["", ""]);
        for name in ["federation", "lineage", "root_fingerprint", "node", "config", "api"] {
            table.row([name.to_owned(), cell(&document, name)]);
        }
        let next = format!("eportd --config {}\n", config.display());
        format!("{}{}", table.render(), out.lang.pick((format!("start it: {next}"), format!("启动：{next}"))))
    });
    Ok(())
}

/// The further operators, each once.
fn further(ids: &[String]) -> impl Iterator<Item = &str> {
    let once = ids.iter().enumerate().filter(|(n, id)| !ids[..*n].contains(id));
    once.map(|(_, id)| id.as_str()).filter(|id| *id != FIRST_OPERATOR)
}

/// The listening address goes into the certificate unless it stands for "all addresses".
fn addresses(args: &FederationArgs) -> Vec<std::net::IpAddr> {
    [args.listen_api.ip()].into_iter().filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect()
}

//! `eport init`: found a federation.
//!
//! The machine is looked at first, then everything is made: nothing is written on a machine on which a node cannot run. What the flags
//! leave open is asked for on a terminal; elsewhere all that is missing is named at once.

use super::join::{JoinArgs, join};
use super::preflight::{PreflightFlags, look, settle};
use crate::args::Global;
use crate::dev::certs::{Authorities, FIRST_OPERATOR};
use crate::dev::settings::{
    CaSection, FederationSection, Genesis, ListenSection, NodeFile, NodeSection, RegistrySection, TlsSection,
};
use crate::dev::topology::{SiteSpec, Topology};
use crate::error::Error;
use crate::files::write_new;
use crate::output::{Out, cell};
use crate::preflight::own_address;
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_authority::{LeafNames, LifeDays};
use eport_model::codes::DEV_DIR_IN_USE;
use eport_model::{Lineage, RegionCode, SiteId, TrustDomain};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the delivered service keeps everything.
const STATE: &str = "/var/lib/eport";

/// Arguments of `eport init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<InitCommand>,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum InitCommand {
    /// Make root, province CA, configuration and certificates of the first province node
    Federation(Box<FederationArgs>),
}

/// Arguments of `eport init federation`.
#[derive(Args, Debug)]
pub struct FederationArgs {
    /// Name of the federation; asked for on a terminal
    #[arg(long)]
    pub name: Option<String>,
    /// Region code of the province; asked for on a terminal
    #[arg(long)]
    pub region: Option<RegionCode>,
    /// Site of the first node; asked for on a terminal
    #[arg(long)]
    pub site: Option<SiteId>,
    /// Trust domain of all certificates, like gd.eport.example; asked for on a terminal
    #[arg(long, value_name = "DOMAIN")]
    pub trust_domain: Option<TrustDomain>,
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
    /// Folder to write, which must be empty; asked for on a terminal
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Checks of this machine
    #[command(flatten)]
    pub preflight: PreflightFlags,
}

/// What must be known before anything is made.
struct Named {
    name: String,
    region: RegionCode,
    site: SiteId,
    trust_domain: TrustDomain,
    dir: PathBuf,
}

/// Runs the group.
pub async fn run(args: InitArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        Some(InitCommand::Federation(args)) => federation(*args, out),
        None if out.can_ask() => guided(global, out).await,
        None => Err(Error::usage(
            "what is to be founded: eport init federation; a machine that joins one: eport node join",
        )),
    }
}

/// Without any word: asks what this machine is to be.
async fn guided(global: &Global, out: Out) -> Result<(), Error> {
    out.say(
        "This machine becomes a node of eport. Nothing is written before every question is answered.",
        "本机将成为 eport 节点。在所有问题回答之前不会写入任何内容。",
    );
    let what = out.choose(
        (
            "Found a federation here (the province's first node), or join one with a token?",
            "在此新建联邦（省级首个节点），还是用令牌加入已有联邦？",
        ),
        &["found", "join"],
        "eport init federation, or eport node join",
    )?;
    // Others must reach it: an address of this machine, not "all addresses".
    let (quic, api) = (format!("{}:7400", own_address()), format!("{}:7443", own_address()));
    let quic = out.enter(("Address for other nodes, UDP", "供其他节点使用的地址（UDP）"), Some(&quic))?;
    let api = out.enter(("Address of the API, TCP", "接口地址（TCP）"), Some(&api))?;
    let preflight = PreflightFlags { check: false, unchecked: false };
    if what == "join" {
        let home =
            out.enter(("Folder for key, certificate and data", "密钥、证书与数据目录"), Some(STATE))?;
        let args = JoinArgs {
            token: None,
            config_out: None,
            home: Some(home),
            listen_quic: quic,
            listen_api: api,
            public_quic: None,
            public_api: None,
            preflight,
        };
        return join(&args, global, out).await;
    }
    let dns: String = out.enter(
        ("DNS name under which clients reach the API", "客户端访问接口所用的域名"),
        Some("localhost"),
    )?;
    federation(
        FederationArgs {
            name: None,
            region: None,
            site: None,
            trust_domain: None,
            listen_quic: quic,
            listen_api: api,
            dns: vec![dns],
            operators: Vec::new(),
            ceremony: None,
            ca_dir: None,
            dir: None,
            preflight,
        },
        out,
    )
}

/// The names: from the flags, else asked for, else everything that is missing at once.
fn named(args: &FederationArgs, out: Out) -> Result<Named, Error> {
    if !out.can_ask() {
        let missing: Vec<&str> = [
            ("--name", args.name.is_none()),
            ("--region", args.region.is_none()),
            ("--site", args.site.is_none()),
            ("--trust-domain", args.trust_domain.is_none()),
            ("--dir", args.dir.is_none()),
        ]
        .into_iter()
        .filter_map(|(flag, absent)| absent.then_some(flag))
        .collect();
        if !missing.is_empty() {
            return Err(Error::usage(format!("{} needed: nobody can be asked here", missing.join(", "))));
        }
    }
    let name = match &args.name {
        Some(name) => name.clone(),
        None => out.enter(("Name of the federation", "联邦名称"), None)?,
    };
    let region = match args.region {
        Some(region) => region,
        None => out.enter(("Region code of the province, like 440000", "省级区划代码，如 440000"), None)?,
    };
    let site = match args.site {
        Some(site) => site,
        None => out.enter(
            (
                "Site of this machine: what is lost together, like gz-a",
                "本机所在站点（同时失效的范围），如 gz-a",
            ),
            None,
        )?,
    };
    let trust_domain = match &args.trust_domain {
        Some(domain) => domain.clone(),
        None => out.enter(
            ("Trust domain of all certificates, like gd.eport.example", "证书信任域，如 gd.eport.example"),
            None,
        )?,
    };
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => out.enter(
            ("Folder for everything the node keeps", "节点数据目录"),
            Some("/var/lib/eport/federation"),
        )?,
    };
    Ok(Named { name, region, site, trust_domain, dir })
}

fn federation(args: FederationArgs, out: Out) -> Result<(), Error> {
    if args.preflight.check {
        let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        return settle(&look(args.listen_quic, args.listen_api, &dir), args.preflight, out).map(drop);
    }
    let named = named(&args, out)?;
    if !named.region.is_province() {
        return Err(Error::usage(format!(
            "{} is not a province: a federation is founded by one",
            named.region
        )));
    }
    let dir = std::path::absolute(&named.dir).map_err(Error::file(&named.dir))?;
    if std::fs::read_dir(&dir).is_ok_and(|mut d| d.next().is_some()) {
        return Err(Error::coded(DEV_DIR_IN_USE, format!("{} is not empty", dir.display())));
    }
    let checks = settle(&look(args.listen_quic, args.listen_api, &dir), args.preflight, out)?;
    let spec = SiteSpec { site: named.site, region: named.region, nodes: 1 };
    let plan = Topology::plan(&[spec], &[])?;
    let first = plan.nodes[0].clone();
    let localhost = args.listen_api.ip().is_loopback();
    let authorities = match &args.ceremony {
        Some(from) => {
            let keys = args.ca_dir.clone().unwrap_or_else(|| from.join("issuing"));
            Authorities::from_ceremony(&dir, from, &keys, &named.trust_domain, named.region, localhost)?
        }
        None => {
            Authorities::create(&dir, &named.name, &named.trust_domain, &[named.region], false, localhost)?
        }
    };
    let home = dir.join(first.node.as_str());
    let names = LeafNames { loopback: localhost, addresses: addresses(&args), dns: args.dns.clone() };
    let (cert, key) = authorities.node(named.region, first.node, names, LifeDays::NODE)?;
    let genesis_path = dir.join("genesis.json");
    let names: Vec<&str> = std::iter::once(FIRST_OPERATOR).chain(further(&args.operators)).collect();
    let genesis = Genesis::of(&named.name, "production", &plan, &[(args.listen_quic, args.listen_api)]);
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
            trust_domain: named.trust_domain.clone(),
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
    let operator = authorities.operator(named.region)?;
    let issued = names.iter().skip(1).map(|id| authorities.operator_of(named.region, id));
    let further = issued.collect::<Result<Vec<_>, _>>()?;
    let document = json!({
        "dir": dir, "federation": named.name, "lineage": lineage, "root_fingerprint": authorities.root_fingerprint(),
        "node": first.node, "config": config, "api": format!("https://{}", args.listen_api), "operator": operator,
        "further_operators": further, "checks": checks,
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
